"""The profile published-2026, from the command line and the library to the summary, and what it is comparable with."""

from __future__ import annotations

import json
import typing
from pathlib import Path

import pytest

import peakbench as pb
from peakbench.analysis.comparison.pairing import pair
from peakbench.analysis.comparison.scoretable import read_scores
from peakbench.api.jobs import demo_data
from peakbench.cli import main
from peakbench.cli.run import full_resume_command
from peakbench.config import kind_of, resolve
from peakbench.errors import ConfigError, InputError, NotComparable
from peakbench.scoring import PROFILES
from peakbench.testing import ScriptedEndpoint

PROFILE = "published-2026"
PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "garment_photos"
METRICS = "weighted_score,json_parse_rate"


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A run whose model never writes JSON, scored under the profile when it was asked."""
    with ScriptedEndpoint("I see a nice dress.") as server:
        return pb.run(
            demo_data(),
            task="garment",
            endpoint=server.url,
            model="m",
            out=tmp_path_factory.mktemp("runs") / "published",
            profile=PROFILE,
            metrics=["weighted_score", "json_parse_rate"],
            resamples=50,
        )


def scored(run: pb.Run, **options) -> pb.Run:
    return pb.score(run, metrics=["weighted_score", "json_parse_rate"], resamples=50, **options)


def test_a_run_says_its_profile_and_scoring_again_says_its_own(asked):
    assert asked.summary["run"]["profile"] == PROFILE
    entry = asked.summary["metrics"]["weighted_score"]
    floor = entry["floor"]["all_null"]
    assert entry["value"] == floor > 0
    assert "profile" not in json.loads((asked.path / "run.json").read_text())  # nothing else would be asked under it
    again = scored(asked)
    assert again.summary["run"]["profile"] is None
    assert again.summary["metrics"]["weighted_score"]["value"] == 0
    assert again.summary["metrics"]["weighted_score"]["floor"]["all_null"] == floor
    back = scored(again, profile=PROFILE)
    assert back.summary["metrics"]["weighted_score"]["value"] == floor
    assert back.summary["metrics"]["json_parse_rate"]["value"] == 0


def test_numbers_under_a_profile_are_compared_with_their_like_only(asked, tmp_path):
    lines = (asked.path / "responses.jsonl").read_text()
    (tmp_path / "answers.jsonl").write_text(lines)
    where = {"answers": tmp_path / "answers.jsonl", "data": demo_data(), "images": False}
    strict = scored(None, **where, out=tmp_path / "strict")
    published = scored(None, **where, out=tmp_path / "published", profile=PROFILE)
    tables = [read_scores(run.directory) for run in (strict, published)]
    assert [table.origin.profile for table in tables] == [None, PROFILE]
    both = pair(*tables)
    with pytest.raises(NotComparable):
        both.metric("weighted_score")
    with pytest.raises(NotComparable):
        both.field("type")
    assert both.metric("json_parse_rate").n == 24
    assert pair(tables[1], read_scores(scored(asked, profile=PROFILE).directory)).metric("weighted_score").n == 24


def test_the_command_line_takes_it_for_run_and_score(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with ScriptedEndpoint("no JSON") as server:
        given = ["--endpoint", server.url, "--model", "m", "--data", demo_data(), "--limit", "3", "--metrics", METRICS]
        assert main(["run", *given, "--out", "r", "--profile", PROFILE, "--json", "--quiet"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["metrics"]["weighted_score"]["signature"].endswith(f"|profile:{PROFILE}")
    assert main(["score", "r", "--metrics", METRICS]) == 0
    assert "for comparison with published numbers only" not in capsys.readouterr().out
    assert main(["score", "r", "--metrics", METRICS, "--profile", PROFILE]) == 0
    text = capsys.readouterr().out
    assert "for comparison with published numbers only; 3 answers that cannot be read are scored as all null" in text
    assert main(["score", "r", "--profile", "published-2025"]) == 2


def test_an_explanation_adds_up_to_the_score_under_a_profile(asked, capsys):
    run = scored(asked, profile=PROFILE)
    sample_id = next(run.samples()).id
    capsys.readouterr()
    assert main(["show", str(run.path), "--sample", sample_id, "--explain"]) == 0
    value = next(row["metrics"]["weighted_score"]["value"] for row in run.rows() if row["sample_id"] == sample_id)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("weighted_score: "))
    assert line.endswith(f"= {value:.4f}")  # and not "...; another number is stored"


def test_settings_name_the_profiles_that_there_are(tmp_path, monkeypatch):
    kind, may_be_none = kind_of("profile")
    assert (typing.get_args(kind), may_be_none) == (PROFILES, True)
    monkeypatch.chdir(tmp_path)
    assert resolve({}, environment={}).settings.profile is None
    assert resolve({}, environment={"PEAKBENCH_PROFILE": PROFILE}).settings.profile == PROFILE
    Path("peakbench.toml").write_text(f'[run]\nprofile = "{PROFILE}"\n')
    resolved = resolve({}, environment={})
    assert resolved.settings.arguments()["profile"] == PROFILE
    assert resolve({"profile": "none"}, environment={}).settings.profile is None
    with pytest.raises(ConfigError, match="published-2026"):
        resolve({}, environment={"PEAKBENCH_PROFILE": "published"})


def test_the_command_that_goes_on_names_the_profile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = full_resume_command(resolve({"profile": PROFILE, "model": "m"}, environment={}), "runs/a")
    assert command == f"peakbench run --resume --out runs/a --profile {PROFILE}"


def test_a_profile_that_there_is_none_of_is_refused(asked, tmp_path):
    with pytest.raises(ConfigError, match="profile = 'published'"):
        scored(asked, profile="published")
    with pytest.raises(ConfigError, match="profile = 'published'"):
        pb.plan(profile="published")


def test_a_run_becomes_a_table_of_its_numbers(tmp_path):
    pandas = pytest.importorskip("pandas")
    lines = [json.loads(line) for line in Path(demo_data()).read_text().splitlines()]
    samples = [
        {"id": line["id"], "image": "x.jpg", "reference": line["reference"], "metadata": {"<shop>": f"<{at % 2}>"}}
        for at, line in enumerate(lines)
    ]
    (tmp_path / "eval.jsonl").write_text("\n".join(map(json.dumps, samples)))
    (tmp_path / "answers.jsonl").write_text("\n".join(json.dumps({"id": one["id"], "response": "no"}) for one in lines))
    run = scored(
        None,
        answers=tmp_path / "answers.jsonl",
        data=tmp_path / "eval.jsonl",
        out=tmp_path / "r",
        profile=PROFILE,
        slices=["<shop>"],
        images=False,
    )
    rows = run.table()
    assert len(rows) == (2 + 9) * (1 + 2)
    table = run.to_pandas("summary")
    assert isinstance(table, pandas.DataFrame)
    assert table.columns.tolist() == list(rows[0])
    brands = table[(table["what"] == "field") & (table["name"] == "brand")].set_index("slice")
    assert set(brands.index.dropna()) == {"<0>", "<1>"}
    assert (brands["value"] == brands["floor_all_null"]).all()
    assert brands["n"].tolist() == [24, 12, 12]
    assert set(table["profile"]) == {PROFILE}
    with pytest.raises(InputError, match="'answers' or 'summary'"):
        run.to_pandas("metrics")
    page = run._repr_html_()
    assert "by &lt;shop&gt;" in page
    assert '&lt;1&gt;</th><th scope="row" style="text-align:left">weighted_score</th>' in page
    assert "<shop>" not in page
    assert "for comparison with published numbers only" in page
    assert ">omitted</th>" in page


@pytest.mark.skipif(not PHOTOS.exists(), reason="../shared/data/garment_photos is not there")
def test_a_model_without_json_on_100_real_photos(tmp_path):
    """What is read as all null scores .453 structured, .482 weighted: the table of the metric definitions."""
    ids = [json.loads(line)["id"] for line in (PHOTOS / "samples.jsonl").read_text().splitlines()]
    lines = [json.dumps({"id": one, "response": "A nice dress, size M."}) for one in ids]
    (tmp_path / "answers.jsonl").write_text("\n".join(lines))
    run = pb.score(
        answers=tmp_path / "answers.jsonl",
        data=PHOTOS / "samples.jsonl",
        out=tmp_path / "zero",
        images=False,
        metrics=["structured_match", "weighted_score", "json_parse_rate"],
        profile=PROFILE,
        resamples=200,
    )
    found = {name: round(entry["value"], 3) for name, entry in run.summary["metrics"].items()}
    assert found == {"structured_match": 0.453, "weighted_score": 0.482, "json_parse_rate": 0.0}
    assert run.summary["fields"]["brand"]["skill"] == 0
