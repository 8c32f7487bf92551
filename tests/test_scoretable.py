"""Scores sample by sample, and two runs side by side: columns whose ratio is the run's own value; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import peakbench as pb
from peakbench.analysis.comparison.pairing import pair
from peakbench.analysis.comparison.scoretable import read_scores, reference_digest
from peakbench.errors import NotComparable, StoreError
from peakbench.store import RunDirectory

TASK: dict[str, Any] = {
    "id": "shirt",
    "prompt": {"user": "Describe."},
    "fields": {"color": {}, "brand": {"comparator": {"kind": "fuzzy", "threshold": 0.5}, "weight": 3}},
}
REFERENCES: list[dict[str, Any]] = [
    {"color": "red", "brand": "acme"},
    {"color": "blue", "brand": None},
    {"color": None, "brand": None},
    {"color": "green", "brand": "nord"},
]
PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ALL_NULL = {"color": None, "brand": None}


def scored(
    folder: Path,
    name: str,
    answers: list[Any],
    references: list[dict[str, Any]] = REFERENCES,
    task: dict[str, Any] = TASK,
    **options: Any,
) -> RunDirectory:
    """Score answers, one a reference, several where a list stands; a string is the answer's text."""
    data = folder / f"{name}.data.jsonl"
    lines = [{"id": f"s{i}", "image": PIXEL, "reference": one} for i, one in enumerate(references)]
    data.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    given = folder / f"{name}.answers.jsonl"
    rows = []
    for i, answer in enumerate(answers):
        for repeat, one in enumerate(answer if isinstance(answer, list) else [answer]):
            if one is not None:
                row: dict[str, Any] = {"id": f"s{i}", "repeat": repeat}
                row |= {"error": {"kind": "timeout", "message": "-"}} if one == "FAILED" else {"response": one}
                rows.append(row)
    given.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task_file = folder / f"{name}.task.json"
    task_file.write_text(json.dumps(task), encoding="utf-8")
    run = pb.score(answers=given, data=data, task=task_file, out=folder / name, resamples=50, **options)
    return run.directory


@pytest.mark.parametrize(
    "answers",
    [
        REFERENCES,
        [{"color": "red"}, "no JSON", ALL_NULL, {"color": "x", "brand": "nordic"}],
        [[REFERENCES[0], ALL_NULL], ["no JSON", REFERENCES[1]], [ALL_NULL, "FAILED"], ["FAILED", "FAILED"]],
    ],
    ids=["right", "mixed", "repeats and failures"],
)
def test_the_columns_make_the_numbers_of_the_summary(tmp_path: Path, answers: list[Any]) -> None:
    run = scored(tmp_path, "run", answers)
    table, summary = read_scores(run), run.summary()
    assert summary is not None
    compared = 0
    for name, columns in table.metrics.items():
        value = summary["metrics"][name]["value"]
        assert (value is None) == (columns.problem is not None), name
        if value is not None:
            compared += 1
            assert columns.above.sum() / columns.below.sum() == pytest.approx(value, abs=1e-12), name
    assert compared >= 10
    for name, field in table.fields.items():
        entry = summary["fields"][name]
        assert field.score.sum() / field.asked.sum() == pytest.approx(entry["score"], abs=1e-12)
        assert field.signature == entry["signature"]
        assert field.outcomes.sum(axis=1).tolist() == pytest.approx(field.asked.tolist())
    assert not {"latency", "throughput"} & set(table.metrics)


def test_repeats_are_averaged_and_failures_counted_by_share(tmp_path: Path) -> None:
    answers = [[REFERENCES[0], ALL_NULL], ["no JSON", REFERENCES[1]], [ALL_NULL, "FAILED"], ["FAILED", "FAILED"]]
    table = read_scores(scored(tmp_path, "run", answers))
    assert table.ids == ("s0", "s1", "s2", "s3")
    assert table.failed.tolist() == [0, 0, 0.5, 1]
    # by hand: s0 (1 + 0) / 2, s1 (0 + 1) / 2, s2 one answer, right; s3 none
    match = table.metrics["structured_match"]
    assert match.above.tolist() == [0.5, 0.5, 1, 0]
    assert match.below.tolist() == [1, 1, 1, 0]
    # C = 2 values of s0 once in two answers: numerator 2C = 4 and 0, denominators 4 and 2 omitted
    f1 = table.metrics["valued_f1"]
    assert (f1.above[0], f1.below[0]) == (2, 3)
    assert not match.binary
    assert table.fields["brand"].correct.tolist() == [0.5, 0.5, 1, 0]


def test_a_pair_of_runs_holds_what_both_have_scored(tmp_path: Path) -> None:
    first = read_scores(scored(tmp_path, "a", [REFERENCES[0], "FAILED", ALL_NULL, {"brand": "nord"}]))
    second = read_scores(scored(tmp_path, "b", [ALL_NULL, REFERENCES[1], {"color": "red"}, REFERENCES[3]]))
    both = pair(first, second)
    assert both.paired
    assert both.ids == ("s0", "s1", "s2", "s3")
    match = both.metric("structured_match")
    assert (match.n, match.dropped) == (3, 1)
    assert match.first.tolist() == [[1, 1], [0, 0], [1, 1], [0.5, 1]]
    # s2: color invented, and a missing key does not count for structured_match
    assert match.second.tolist() == [[0, 1], [0, 0], [0, 1], [1, 1]]
    # s2 has no value to find: 0 of 0 in the first, one invented in the second; it counts in a pooled metric
    f1 = both.metric("valued_f1")
    assert f1.pooled
    assert f1.n == 3
    assert (f1.first[2].tolist(), f1.second[2].tolist()) == ([0, 0], [0, 1])
    color = both.field("color")
    assert color.binary
    assert color.first[:, 0].tolist() == [1, 0, 1, 0]
    assert color.second[:, 0].tolist() == [0, 0, 0, 1]
    assert not both.metric("weighted_score").binary  # 3 of 4: the brand alone
    assert both.metric("json_parse_rate").binary


def test_what_was_asked_differently_is_said_but_for_the_model(tmp_path: Path) -> None:
    first, second = scored(tmp_path, "a", REFERENCES), scored(tmp_path, "b", REFERENCES)
    assert first.run.model != second.run.model
    (found,) = pb.compare(first.path, second.path, resamples=50)
    assert found.apart == ()
    record = json.loads((second.path / "run.json").read_bytes())
    record["sampling"]["temperature"] = 0.7
    (second.path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (found,) = pb.compare(first.path, second.path, resamples=50)
    assert found.apart == ("sampling.temperature: was 0.0, now 0.7",)


def test_fewer_samples_are_refused_or_shared_or_unpaired(tmp_path: Path) -> None:
    first = read_scores(scored(tmp_path, "a", REFERENCES))
    second = read_scores(scored(tmp_path, "b", REFERENCES[:3], REFERENCES[:3]))
    with pytest.raises(NotComparable, match=r"the samples differ: 1 only in the first \(as s3\)") as refused:
        pair(first, second)
    assert refused.value.exit_code == 6
    shared = pair(first, second, how="common")
    assert shared.ids == ("s0", "s1", "s2")
    assert "only the 3 samples that both share" in shared.notes[0]
    apart = pair(first, second, how="unpaired")
    assert not apart.paired
    assert "unpaired" in apart.notes[0]
    assert [len(apart.metric("structured_match").first), len(apart.metric("structured_match").second)] == [4, 3]
    with pytest.raises(NotComparable, match="to be paired"):
        pair(first, first, how="unpaired")


def test_another_reference_is_another_sample(tmp_path: Path) -> None:
    changed = [{**REFERENCES[0], "color": "scarlet"}, *REFERENCES[1:]]
    first = read_scores(scored(tmp_path, "a", REFERENCES))
    second = read_scores(scored(tmp_path, "b", REFERENCES, changed))
    with pytest.raises(NotComparable, match=r"1 with another reference \(as s0\)"):
        pair(first, second)
    assert pair(first, second, how="common").ids == ("s1", "s2", "s3")


def test_another_task_another_comparator_another_null_list_is_refused(tmp_path: Path) -> None:
    first = read_scores(scored(tmp_path, "a", REFERENCES))
    colors = [{"color": one["color"]} for one in REFERENCES]
    other = read_scores(scored(tmp_path, "b", colors, colors, task={**TASK, "fields": {"color": {}}}))
    with pytest.raises(NotComparable, match="two tasks"):
        pair(first, other)
    strict = {**TASK, "fields": {**TASK["fields"], "brand": {"weight": 3}}}
    both = pair(first, read_scores(scored(tmp_path, "c", REFERENCES, task=strict)))
    assert both.field("color").n == 4
    with pytest.raises(NotComparable, match="compared in two ways"):
        both.field("brand")
    with pytest.raises(NotComparable, match="means two things"):
        both.metric("weighted_score")
    assert both.metric("structured_match").n == 4
    with pytest.raises(NotComparable, match="means two things"):
        pair(first, read_scores(scored(tmp_path, "d", REFERENCES, task={**TASK, "null_values": ["none", "x"]}))).metric(
            "structured_match"
        )


def test_what_is_not_scored_is_not_compared(tmp_path: Path) -> None:
    first = read_scores(scored(tmp_path, "a", REFERENCES))
    both = pair(first, read_scores(scored(tmp_path, "b", REFERENCES, metrics=["structured_match"])))
    with pytest.raises(NotComparable, match="rouge_l is not among its scores"):
        both.metric("rouge_l")
    with pytest.raises(NotComparable, match="quality: unscored: "):
        pair(first, first).metric("quality")
    with pytest.raises(NotComparable, match="no field 'colour'"):
        both.field("colour")


def test_a_run_scored_before_sums_were_written_says_so(tmp_path: Path) -> None:
    run = scored(tmp_path, "a", REFERENCES)
    path = run.path / "scores.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        for entry in line["metrics"].values():
            entry.pop("sums", None)
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    table = read_scores(run)
    assert "score the run again" in str(table.metrics["valued_f1"].problem)
    assert table.metrics["structured_match"].problem is None
    summary = json.loads((run.path / "summary.json").read_bytes())
    for entry in summary["metrics"].values():
        del entry["reduction"]
    (run.path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    assert "score the run again" in str(read_scores(run).metrics["structured_match"].problem)
    assert "latency" not in read_scores(run).metrics


@pytest.mark.parametrize(
    "line", ["[]", '{"sample_id": "s9"}', '{"sample_id": 1, "state": "strict", "metrics": 3}', "{"]
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    run = scored(tmp_path, "a", REFERENCES)
    with (run.path / "scores.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n" + line + "\n")
    with pytest.raises(StoreError, match=r"scores\.jsonl:\d"):
        read_scores(run)


def test_scores_of_fewer_answers_than_the_run_has_are_refused(tmp_path: Path) -> None:
    run = scored(tmp_path, "a", REFERENCES)
    lines = (run.path / "scores.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    for kept in (lines[:3], []):
        (run.path / "scores.jsonl").write_text("".join(kept), encoding="utf-8")
        with pytest.raises(StoreError, match=f"{len(kept)} lines, where the run has 4 answers"):
            read_scores(run)


@pytest.mark.parametrize("value", ["7.0", "-1.0", "NaN"])
def test_a_value_outside_its_range_is_refused(tmp_path: Path, value: str) -> None:
    run = scored(tmp_path, "a", REFERENCES)
    path = run.path / "scores.jsonl"
    found = path.read_text(encoding="utf-8")
    for old, name in (
        ('"structured_match":{"value":1.0', "structured_match"),
        ('"color":{"score":1.0', "color"),
    ):
        path.write_text(found.replace(old, old.replace("1.0", value), 1), encoding="utf-8")
        with pytest.raises(StoreError, match=f"a value of {name} is no number"):
            read_scores(run)


@pytest.mark.parametrize("summary", ["{}", "[]", '{"metrics": 3}', '{"metrics": {}, "fields": {}, "run": {}}'])
def test_a_summary_that_is_none_is_refused(tmp_path: Path, summary: str) -> None:
    run = scored(tmp_path, "a", REFERENCES)
    (run.path / "summary.json").write_text(summary, encoding="utf-8")
    with pytest.raises(StoreError, match="not the summary of a run"):
        read_scores(run)


def test_a_metric_of_the_summary_that_is_cut_is_refused(tmp_path: Path) -> None:
    run = scored(tmp_path, "a", REFERENCES)
    summary = json.loads((run.path / "summary.json").read_bytes())
    del summary["metrics"]["structured_match"]["range"]
    (run.path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(StoreError, match="not the summary of a run"):
        read_scores(run)


def test_an_unfinished_run_has_no_scores(tmp_path: Path) -> None:
    run = scored(tmp_path, "a", REFERENCES)
    (run.path / "summary.json").unlink()
    with pytest.raises(StoreError, match="unfinished"):
        read_scores(run)


@pytest.mark.parametrize("odd", [{"a": 10**30}, {"a": "\ud800"}, None, "text", {}])
def test_every_reference_has_a_digest(odd: Any) -> None:
    assert len(reference_digest(odd)) == 16


def test_rows_follow_the_data_set(tmp_path: Path) -> None:
    table = read_scores(scored(tmp_path, "a", [REFERENCES[0], None, REFERENCES[2], REFERENCES[3]]))
    assert table.ids == ("s0", "s2", "s3")
    assert table.places == {"s0": 0, "s2": 1, "s3": 2}
    assert np.array_equal(table.failed, np.zeros(3))
