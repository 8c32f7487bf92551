"""The library interface, end to end against the scripted endpoint: run, resume, plan, score, answers from elsewhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import peakbench as pb
from peakbench.answers import read_answers
from peakbench.api.jobs import demo_data
from peakbench.errors import ConfigError, DataError, EndpointRefused, InputError, StoreError, TaskError
from peakbench.testing import Reply, ScriptedEndpoint, every

DEMO = Path(demo_data())
ANSWER = json.dumps({"type": "dress", "color": "red", "pattern": None, "neckline": None, "sleeve_length": None,
                     "closure": None, "brand": None, "size": None, "defect_type": None})  # fmt: skip
QUICK = {"resamples": 50}


def ask(server: ScriptedEndpoint, out: Path, **options) -> pb.Run:
    return pb.run(DEMO, task="garment", endpoint=server.url, model="m", out=out, **{**QUICK, **options})


def journal(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "responses.jsonl").read_text().splitlines()]


def test_a_run_writes_every_file_of_the_format(tmp_path):
    with ScriptedEndpoint(ANSWER) as server:
        run = ask(server, tmp_path / "r", slices=["difficulty"])
    names = {path.name for path in run.path.iterdir() if not path.name.startswith(".")}
    assert names == {"run.json", "task.json", "samples.jsonl", "responses.jsonl", "scores.jsonl", "summary.json"}
    assert len(journal(run.path)) == len(list(run.rows())) == len(list(run.samples())) == 24
    assert run.summary["samples"]["answers"] == run.summary["samples"]["strict"] == 24
    assert run.record.model == "m"
    assert run.record.endpoint.url == server.url


def test_floors_hold_for_an_all_null_model(tmp_path):
    """A model that answers null everywhere scores exactly its floor: skill relative to all_null is none."""
    nothing = json.dumps(dict.fromkeys(json.loads(ANSWER)))
    with ScriptedEndpoint(nothing) as server:
        run = ask(server, tmp_path / "r")
    entry = run.summary["metrics"]["weighted_score"]
    assert entry["value"] == pytest.approx(entry["floor"]["all_null"], abs=1e-12)
    assert entry["skill"] <= 0


def test_a_failed_request_is_failed_never_a_zero(tmp_path):
    def answer(asked):
        return Reply(status=400, body=b'{"error": {"message": "no"}}') if asked.number % 4 == 0 else "{}"

    with ScriptedEndpoint(answer) as server:
        run = ask(server, tmp_path / "r", workers=1)
    counts = run.summary["samples"]
    assert (counts["failed"], counts["off_schema"]) == (6, 18)
    entry = run.summary["metrics"]["weighted_score"]
    assert (entry["n"], entry["unscored"], entry["value"]) == (18, 0, 0.0)
    assert entry["with_failures"] == {"low": 0.0, "high": pytest.approx(0.25)}
    failed = [row for row in run.rows() if row["state"] == "failed"]
    assert {row["metrics"]["weighted_score"]["value"] for row in failed} == {None}


def test_resume_asks_again_only_what_failed_and_doubles_nothing(tmp_path):
    out = tmp_path / "r"
    with ScriptedEndpoint(ANSWER, faults=[every(3, Reply(status=400))]) as server:
        assert ask(server, out).summary["samples"]["failed"] == 8
    with ScriptedEndpoint(ANSWER) as server:
        run = ask(server, out, resume=True, workers=3)
        assert server.requests == 8
    # 8 workers, then 3: the throughput is of neither
    assert run.summary["performance"]["workers"] is None
    assert run.summary["samples"]["failed"] == 0
    answered = [line["sample_id"] for line in journal(out) if line["error"] is None]
    assert len(answered) == len(set(answered)) == 24
    assert len(run.record.sessions) == 2


def test_resume_of_another_run_is_refused_and_says_what_differs(tmp_path):
    out = tmp_path / "r"
    with ScriptedEndpoint(ANSWER) as server:
        ask(server, out)
        for changed, named in (
            ({"sampling": pb.Sampling(temperature=1.0)}, "sampling.temperature"),
            ({"repeats": 2}, "repeats"),
            ({"limit": 3}, "data: samples"),
            ({"max_side": 64}, "max_side"),
        ):
            with pytest.raises(StoreError, match=named):
                ask(server, out, resume=True, **changed)
        assert server.requests == 24
        with pytest.raises(StoreError, match="there is a run already"):
            ask(server, out)


def test_repeats_are_separate_requests_with_seeds_of_their_own(tmp_path):
    seen: list[tuple[int, int | None]] = []

    def answer(asked):
        seen.append((asked.body["seed"], asked.body.get("n")))
        return ANSWER

    with ScriptedEndpoint(answer) as server:
        run = ask(server, tmp_path / "r", repeats=3, limit=4, sampling=pb.Sampling(seed=10))
    assert sorted(seen) == [(seed, None) for seed in (10, 11, 12) for _ in range(4)]
    assert run.summary["samples"] | {"total": 4, "answers": 12} == run.summary["samples"]
    assert len({line["request_sha256"] for line in journal(run.path)}) == 12


def test_a_refused_key_stops_the_run_at_once(tmp_path):
    with (
        ScriptedEndpoint(Reply(status=401, body=b'{"error": {"message": "bad key"}}')) as server,
        pytest.raises(EndpointRefused, match="401") as caught,
    ):
        ask(server, tmp_path / "r", api_key="sk-very-secret-key")
    assert "very-secret" not in str(caught.value)
    assert "very-secret" not in "".join(p.read_text() for p in (tmp_path / "r").glob("*.json*"))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"task": "garmet"}, TaskError, "did you mean 'garment'"),
        ({"metrics": ["quallity"]}, InputError, "did you mean 'quality'"),
        ({"workers": 0}, ConfigError, "workers = 0"),
        ({"limit": 0}, ConfigError, "limit = 0"),
        ({"model": None}, ConfigError, "no model was named"),
        ({"endpoint": "recorde"}, InputError, "did you mean 'recorded'"),
        ({"api_key_env": "NO_SUCH_VARIABLE"}, ConfigError, "NO_SUCH_VARIABLE is not set"),
        ({"sampling": pb.Sampling(extra_body={"model": "x"})}, ConfigError, "model"),
    ],
)
def test_mistakes_are_found_before_anything_is_asked(tmp_path, options, error, words):
    with ScriptedEndpoint(ANSWER) as server:
        with pytest.raises(error, match=words):
            pb.run(DEMO, **{"task": "garment", "endpoint": server.url, "model": "m", "out": tmp_path / "r"} | options)
        assert server.requests == 0


def test_samples_in_memory(tmp_path):
    rows = [
        {"id": str(i), "image": str(DEMO.parent / "images" / "g01.jpg"), "reference": {"color": "red"}} for i in (1, 2)
    ]
    with ScriptedEndpoint(ANSWER) as server:
        run = pb.run(rows, endpoint=server.url, model="m", out=tmp_path / "r", allow_outside=True, **QUICK)
    assert run.summary["metrics"]["structured_match"]["value"] == 1.0


async def test_run_and_arun_inside_a_running_loop(tmp_path):
    with ScriptedEndpoint(ANSWER) as server:
        one = ask(server, tmp_path / "a", limit=2)
        two = await pb.arun(DEMO, endpoint=server.url, model="m", out=tmp_path / "b", limit=2, **QUICK)
    assert one.summary["metrics"]["weighted_score"]["value"] == two.summary["metrics"]["weighted_score"]["value"]
    assert asyncio.get_running_loop().is_running()


def test_a_run_shows_itself_and_becomes_a_table(tmp_path):
    pandas = pytest.importorskip("pandas")
    with ScriptedEndpoint('{"type": "<script>alert(1)</script>"}') as server:
        run = ask(server, tmp_path / "r", limit=3)
    page = run._repr_html_()
    assert "weighted_score" in page
    assert "<script>" not in page
    table = run.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert table["sample_id"].tolist() == [record.id for record in run.samples()]
    assert table["weighted_score"].mean() == pytest.approx(run.summary["metrics"]["weighted_score"]["value"])
    assert set(table["type.outcome"]) <= {"wrong", "correct"}
    view = run.sample(table["sample_id"][0])
    assert view.predictions[0].value == {"type": "<script>alert(1)</script>"}
    with pytest.raises(InputError, match="no sample 'nope'"):
        run.sample("nope")


def test_plan_asks_nothing_and_counts_everything():
    plan = pb.plan(DEMO, endpoint="http://127.0.0.1:9/v1", model="m", limit=3, repeats=2)
    assert (plan.requests, plan.full_requests) == (6, 48)
    sizes = [(DEMO.parent / json.loads(line)["image"]).stat().st_size for line in DEMO.read_text().splitlines()]
    assert plan.image_bytes == 2 * sum(sizes[:3])
    assert plan.max_completion_tokens == 6 * 512
    assert len(json.dumps(plan.request)) < 10_000


def test_score_again_with_other_metrics_without_asking(tmp_path):
    with ScriptedEndpoint(ANSWER) as server:
        run = ask(server, tmp_path / "r", metrics=["weighted_score"])
    assert set(run.summary["metrics"]) == {"weighted_score"}
    again = pb.score(run, metrics=["bleu", "weighted_score"], **QUICK)
    assert set(again.summary["metrics"]) == {"bleu", "weighted_score"}
    assert again.summary["metrics"]["weighted_score"]["value"] == run.summary["metrics"]["weighted_score"]["value"]


class TestAnswersFromElsewhere:
    def write(self, path: Path, *lines: object) -> Path:
        path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        return path

    def test_scores_equal_those_of_the_same_answers_asked_for(self, tmp_path):
        with ScriptedEndpoint(ANSWER) as server:
            asked = ask(server, tmp_path / "asked")
        ids = [record.id for record in asked.samples()]
        answers = self.write(tmp_path / "theirs.jsonl", *({"id": id_, "response": ANSWER} for id_ in ids))
        theirs = pb.score(answers=answers, data=DEMO, out=tmp_path / "theirs", **QUICK)
        for name in ("structured_match", "weighted_score", "chrf", "quality_lexical"):
            assert theirs.summary["metrics"][name]["value"] == asked.summary["metrics"][name]["value"]
        assert theirs.record.data.fingerprint == asked.record.data.fingerprint
        journal_too = pb.score(answers=asked.path / "responses.jsonl", data=DEMO, out=tmp_path / "j", **QUICK)
        assert journal_too.summary["metrics"]["bleu"]["value"] == asked.summary["metrics"]["bleu"]["value"]

    def test_a_missing_answer_is_unasked_not_failed_and_brackets_the_value(self, tmp_path):
        answers = self.write(tmp_path / "a.jsonl", {"id": "g01", "response": ANSWER})
        run = pb.score(answers=answers, data=DEMO, out=tmp_path / "r", **QUICK)
        assert (run.summary["samples"]["answers"], run.summary["samples"]["unasked"]) == (1, 23)

    def test_every_problem_is_named_with_its_line(self, tmp_path):
        answers = self.write(
            tmp_path / "a.jsonl",
            {"id": "g01", "response": "{}"},
            "{oops",
            {"response": "{}"},
            {"id": "g02", "text": 5},
            {"id": "g02", "respons": "x"},
            {"id": "zzz", "response": "{}"},
            {"id": "g01", "response": "{}"},
            {"id": "g03", "response": "{}", "repeat": -1},
            {"id": "g03", "response": "{}", "repeat": 10**12},
        )
        with pytest.raises(DataError) as caught:
            pb.score(answers=answers, data=DEMO, out=tmp_path / "r")
        text = str(caught.value)
        for words in ("a.jsonl:2: not JSON", "a.jsonl:3: no 'id'", "a.jsonl:4: 'text' is int", "a.jsonl:5: no answer",
                      "'zzz' is no sample", "'g01' is answered more than once", "a.jsonl:8: 'repeat'",
                      "a.jsonl:9: 'repeat' is 1000000000000; expected a whole number from 0 to 9999"):  # fmt: skip
            assert words in text
        assert not (tmp_path / "r").exists()

    def test_an_object_in_place_of_the_text(self, tmp_path):
        answers = self.write(tmp_path / "a.jsonl", {"sample_id": "1", "prediction": {"a": None}})
        (completion,) = read_answers(answers)
        assert isinstance(completion, pb.Completion)
        assert completion.response is not None
        assert completion.response.text == '{"a": null}'

    def test_nothing_or_two_things_to_score(self, tmp_path):
        for arguments in ({}, {"run": "x", "answers": "y"}):
            with pytest.raises(ConfigError):
                pb.score(**arguments)
        with pytest.raises(DataError, match="cannot be read"):
            pb.score(answers=tmp_path / "none.jsonl", data=DEMO, out=tmp_path / "r")


def test_a_definition_file_of_ones_own(tmp_path):
    """token_set_ratio and bleu at 0.5 each: the mean of the two, checked against them."""
    entry = {
        "id": "half_and_half",
        "kind": "weighted_mean",
        "title": "Half and half",
        "family": "composite",
        "range": [0, 1],
        "higher_is_better": True,
        "parameters": {"parts": {"token_set_ratio": 0.5, "bleu": 0.5}},
    }
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"format": 1, "metrics": [entry]}))
    with ScriptedEndpoint(ANSWER) as server:
        run = ask(server, tmp_path / "r", definitions=[file], metrics=["half_and_half"])
    found = run.summary["metrics"]
    parts = (found["token_set_ratio"]["value"] + found["bleu"]["value"]) / 2
    assert found["half_and_half"]["value"] == pytest.approx(parts, abs=1e-12)


def test_data_without_an_endpoint_is_refused():
    with pytest.raises(ConfigError, match="nobody to ask"):
        pb.run(DEMO)


def test_an_unknown_keyword_names_the_nearest():
    with pytest.raises(TypeError, match="did you mean 'workers'"):
        pb.run(DEMO, endpoint="http://127.0.0.1:9/v1", model="m", worker=3)


def test_resuming_a_finished_run_adds_no_session(tmp_path):
    with ScriptedEndpoint(ANSWER) as server:
        first = ask(server, tmp_path / "r")
        again = ask(server, tmp_path / "r", resume=True)
        assert server.requests == 24
    assert again.record.sessions == first.record.sessions
    assert again.summary["performance"] == first.summary["performance"]


def test_a_sample_is_shown_as_it_was_last_scored(tmp_path):
    with ScriptedEndpoint("{'type': 'dress'}") as server:
        run = ask(server, tmp_path / "r", limit=1)
    assert run.sample("g01").predictions[0].state == "unparseable"
    again = pb.score(run, repair=True, **QUICK)
    assert again.summary["samples"]["repaired"] == 1
    assert again.sample("g01").predictions[0].state == "repaired"
