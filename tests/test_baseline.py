"""baseline.json: what goes in comes out, and a file that was cut, merged or edited is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import peakbench as pb
from peakbench.analysis.comparison.savedscores import as_baseline, as_table
from peakbench.analysis.comparison.scoretable import ScoreTable, read_scores
from peakbench.api.gates import load_baseline, save_baseline
from peakbench.cli.app import main
from peakbench.errors import StoreError
from peakbench.runs import Run
from peakbench.store import baseline as store
from peakbench.store.baseline import baseline_schema, read_baseline, write_baseline

PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TASK = {
    "id": "shirt",
    "prompt": {"user": "Describe."},
    "fields": {"color": {}, "brand": {"comparator": {"kind": "fuzzy", "threshold": 0.5}, "weight": 3}},
}
REFERENCES = [{"color": "red", "brand": "acme"}, {"color": "blue"}, {"color": None, "brand": None}]


def scored(folder: Path, answers: list[list[Any]], name: str = "run", **options: Any) -> Run:
    """Score the answers, a list of repeats a reference; FAILED is no answer, None was not asked."""
    data, given_, task = (folder / f"{name}.{kind}" for kind in ("data.jsonl", "answers.jsonl", "task.json"))
    samples = [{"id": f"s{i}", "image": PIXEL, "reference": one} for i, one in enumerate(REFERENCES)]
    data.write_text("\n".join(map(json.dumps, samples)), encoding="utf-8")
    rows = [
        {"id": f"s{i}", "repeat": repeat}
        | ({"error": {"kind": "timeout", "message": "-"}} if answer == "FAILED" else {"response": answer})
        for i, repeats in enumerate(answers)
        for repeat, answer in enumerate(repeats)
        if answer is not None
    ]
    given_.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task.write_text(json.dumps(TASK), encoding="utf-8")
    return pb.score(answers=given_, data=data, task=task, out=folder / name, resamples=20, **options)


RIGHT = [[one] for one in REFERENCES]
MIXED = [[REFERENCES[0], {"color": "navy"}], ["no JSON", REFERENCES[1]], [REFERENCES[2], "FAILED"]]


def same(one: ScoreTable, two: ScoreTable) -> None:
    assert (one.origin, one.ids, one.references, one.repeats) == (two.origin, two.ids, two.references, two.repeats)
    assert one.failed.tolist() == two.failed.tolist()
    assert list(one.metrics) == list(two.metrics)
    for name, metric in one.metrics.items():
        for part in metric.__slots__:
            first, second = getattr(metric, part), getattr(two.metrics[name], part)
            assert np.array_equal(first, second), (name, part)
    assert list(one.fields) == list(two.fields)
    for name, field in one.fields.items():
        for part in field.__slots__:
            assert np.array_equal(getattr(field, part), getattr(two.fields[name], part)), (name, part)


@pytest.mark.parametrize("answers", [RIGHT, MIXED], ids=["right", "repeats and failures"])
def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path, answers: list[list[Any]]) -> None:
    run = scored(tmp_path, answers)
    table = read_scores(run.directory)
    assert {metric.reduction for metric in table.metrics.values()} == {"mean", "pooled", "rate"}
    same(table, as_table(as_baseline(table)))
    path = save_baseline(run, tmp_path / "deep" / "baseline.json", allow_failed=True)
    same(table, load_baseline(path))


def test_the_file_is_of_its_schema_and_one_line_a_column(tmp_path: Path) -> None:
    path = save_baseline(scored(tmp_path, MIXED), tmp_path / "baseline.json", allow_failed=True)
    value = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(baseline_schema()).validate(value)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert '  "ids": ["s0","s1","s2"],' in lines
    assert '  "failed": [0,0,0.5],' in lines
    # by hand: s0 (1 + 0) / 2, s1 (0 + 1) / 2, s2 the one answer
    assert value["metrics"]["structured_match"]["above"] == [0.5, 0.5, 1]
    assert value["fields"]["brand"]["score"] == [0.5, None, 1]
    assert value["fields"]["brand"]["outcomes"] == {
        "correct": [0.5, 0, 0],
        "correct_null": [0, 0, 1],
        "omitted": [0.5, 0, 0],
    }


def test_the_schema_that_ships_is_that_of_the_type() -> None:
    shipped = Path(store.__file__).parent.parent / "schemas" / "baseline.schema.json"
    assert json.loads(shipped.read_text(encoding="utf-8")) == baseline_schema()


def test_every_key_of_the_file_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs" / "gate.md").read_text(encoding="utf-8")
    schema = baseline_schema()
    declared = {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}
    assert {key for key in declared if f"`{key}`" not in page} == set()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_baseline(scored(tmp_path, RIGHT), tmp_path / "baseline.json")


Edit = Callable[[dict[str, Any]], object]
METRIC = "structured_match"
EDITS: dict[str, tuple[Edit, str]] = {
    "no samples": (lambda v: v.update(ids=[]), "no samples"),
    "an id twice": (lambda v: v["ids"].__setitem__(1, "s0"), "an id stands twice"),
    "a column cut": (lambda v: v["metrics"][METRIC]["above"].pop(), "2 entries for 3 ids"),
    "a value outside": (lambda v: v["metrics"][METRIC]["above"].__setitem__(0, 7), "outside the range"),
    "a value that is no number": (lambda v: v["metrics"][METRIC]["above"].__setitem__(0, "x"), "above.0"),
    "not a number": (lambda v: v["metrics"][METRIC]["above"].__setitem__(0, float("nan")), "finite"),
    "half a rate": (lambda v: v["metrics"]["json_parse_rate"]["above"].__setitem__(0, 0.5), "neither 0 nor 1"),
    "an empty range": (lambda v: v["metrics"][METRIC].update(range=[1, 1]), "is empty"),
    "sizes of a mean": (lambda v: v["metrics"][METRIC].update(below=[1, 1, 1]), "belongs to a pooled metric"),
    "sizes cut": (lambda v: v["metrics"]["valued_f1"]["below"].pop(), "3 entries above, 2 below"),
    "an outcome unheard of": (lambda v: v["fields"]["color"]["outcomes"].update(lucky=[0, 0, 0]), "lucky"),
    "outcomes that do not sum": (lambda v: v["fields"]["color"]["outcomes"]["correct"].__setitem__(0, 0), "sum to 0"),
    "outcomes cut": (lambda v: v["fields"]["color"]["outcomes"]["correct"].pop(), "2 entries, not 3"),
    "no signature": (lambda v: v["metrics"][METRIC].pop("signature"), "signature: Field required"),
    "repeats 0": (lambda v: v.update(repeats=0), "repeats"),
    "a share of 2": (lambda v: v["failed"].__setitem__(0, 2), "failed.0"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_that_is_no_baseline_is_refused(saved: Path, name: str) -> None:
    value = json.loads(saved.read_text(encoding="utf-8"))
    edit, said = EDITS[name]
    edit(value)
    value["sha256"] = store._checksum({key: part for key, part in value.items() if key != "sha256"})
    saved.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(StoreError, match=said) as refused:
        read_baseline(saved)
    assert refused.value.exit_code == 2
    assert "peakbench baseline save" in (refused.value.hint or "")


def test_a_score_that_was_edited_is_refused_though_the_file_looks_sound(saved: Path) -> None:
    value = json.loads(saved.read_text(encoding="utf-8"))
    value["metrics"][METRIC]["above"][0] = 0
    saved.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(StoreError, match="changed after it was saved"):
        read_baseline(saved)


def test_laying_the_file_out_anew_changes_nothing(saved: Path) -> None:
    before = load_baseline(saved)
    value = json.loads(saved.read_text(encoding="utf-8"), parse_int=float)  # 1 as 1.0, as some tools write it
    value["format"], value["repeats"] = 1, 1
    saved.write_text(json.dumps(value, indent=4, sort_keys=True), encoding="utf-8")
    same_ids = load_baseline(saved)
    assert same_ids.ids == before.ids
    assert same_ids.metrics[METRIC].above.tolist() == before.metrics[METRIC].above.tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"<<<<<<< ours\n{}", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[]", "not a baseline"),
        (b'{"format": 1, "run": {}}', "not a baseline"),
        (b'{"kind": "peakbench baseline", "format": 2}', "format '2' is not known"),
        (b'{"kind": "peakbench baseline", "format": "\\u001b[31m"}', "is not known"),
        (b'{"kind": "peakbench baseline", "format": 1}', "and 6 more"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=said):
        read_baseline(path)


def test_a_missing_file_a_folder_and_a_huge_file(tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="no baseline here") as missing:
        read_baseline(tmp_path / "none.json")
    assert "peakbench baseline save RUN --out" in (missing.value.hint or "")
    with pytest.raises(StoreError, match="a folder"):
        read_baseline(tmp_path)
    other = tmp_path / "run.json"
    other.write_text('{"format": 1}', encoding="utf-8")
    with pytest.raises(StoreError, match="not a baseline") as foreign:
        read_baseline(other)
    assert "--out FILE" in (foreign.value.hint or "")  # another file is not to be written over
    monkeypatch.setattr(store, "MOST_BYTES", 10)
    with pytest.raises(StoreError, match="too many for a baseline"):
        read_baseline(saved)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_no_flipped_byte_and_no_cut_goes_unseen(saved: Path, at: float, byte: int, cut: bool) -> None:
    content = saved.read_bytes()
    place = int(at * len(content))
    changed = content[:place] if cut else content[:place] + bytes([byte]) + content[place + 1 :]
    other = saved.with_name("changed.json")
    other.write_bytes(changed)
    try:
        found = load_baseline(other)
    except StoreError:
        return
    same(found, load_baseline(saved))  # white space, or the byte that was there


def test_an_existing_file_is_kept_unless_it_is_to_be_replaced(tmp_path: Path, saved: Path) -> None:
    before = saved.read_bytes()
    run = scored(tmp_path, [[{"color": "x"}]] * 3, "other")
    with pytest.raises(StoreError, match="there is a baseline already") as refused:
        save_baseline(run, saved)
    assert saved.read_bytes() == before
    assert "--overwrite" in (refused.value.hint or "")
    save_baseline(run, saved, overwrite=True)
    assert load_baseline(saved).origin.path.endswith("other")
    assert not list(tmp_path.glob(".baseline*"))
    with pytest.raises(StoreError, match="a folder, not a file"):
        save_baseline(run, tmp_path)
    with pytest.raises(StoreError, match="the folder cannot be made"):
        save_baseline(run, saved / "below" / "baseline.json")
    write_baseline(tmp_path / "direct.json", read_baseline(saved))
    assert load_baseline(tmp_path / "direct.json").ids == ("s0", "s1", "s2")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([*RIGHT[:2], ["FAILED"]], "1 failed"),
        ([*RIGHT[:2], [None]], "1 not asked"),
        ([["FAILED"], [None], *RIGHT[2:]], "1 failed, 1 not asked"),
    ],
)
def test_a_run_with_requests_left_is_no_baseline_unless_it_is_to_be(
    tmp_path: Path, answers: list[list[Any]], said: str
) -> None:
    run = scored(tmp_path, answers)
    with pytest.raises(StoreError, match=said) as refused:
        save_baseline(run, tmp_path / "baseline.json")
    assert "--resume" in (refused.value.hint or "")
    assert not (tmp_path / "baseline.json").exists()
    save_baseline(run, tmp_path / "baseline.json", allow_failed=True)
    assert load_baseline(tmp_path / "baseline.json").repeats == 1


def test_an_unfinished_run_is_no_baseline(tmp_path: Path) -> None:
    run = scored(tmp_path, RIGHT)
    (run.path / "summary.json").unlink()
    with pytest.raises(StoreError, match="unfinished"):
        save_baseline(run.path, tmp_path / "baseline.json", allow_failed=True)


def test_save_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = str(scored(tmp_path, RIGHT).path), str(tmp_path / "baseline.json")
    assert main(["baseline", "save", run, "--out", file]) == 0
    assert "peakbench gate RUN --baseline" in capsys.readouterr().err
    assert main(["baseline", "save", run, "--out", file]) == 2
    assert main(["baseline", "save", run, "--out", file, "--overwrite"]) == 0
    capsys.readouterr()
    assert main(["baseline", "show", file]) == 0
    page = capsys.readouterr().out
    assert "3 samples, task shirt v1" in page
    assert "structured_match   100.0        3  structured_match|v1" in page
    assert "sbert: unscored" in page
    assert main(["baseline", "show", file, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["metrics"][METRIC]["value"] == 1
    assert shown["fields"]["brand"]["n"] == 2
    assert main(["baseline", "show", str(tmp_path / "none.json")]) == 2
