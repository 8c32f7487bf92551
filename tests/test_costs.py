"""What mistakes cost: hand-worked tables, a task with costs, files of costs, and tasks that have none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import peakbench as pb
from peakbench.analysis.comparison.costs import checked_costs, cost_changes, read_costs
from peakbench.analysis.comparison.pairing import pair
from peakbench.analysis.comparison.scoretable import FieldColumns, Origin, ScoreTable
from peakbench.api.comparisons import compare
from peakbench.builtins import open_registry
from peakbench.cli.app import main
from peakbench.errors import InputError, NotComparable, TaskError
from peakbench.records import OUTCOMES
from peakbench.report.comparison import comparison_page
from peakbench.store import task_sha256
from peakbench.tasks import FieldCost, Task, parse_task, task_file

PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
OK, NULL, WRONG, INVENTED, OMITTED, UNREAD = OUTCOMES


def table(path: str, fields: dict[str, Sequence[str | None]], failed: Sequence[float] | None = None) -> ScoreTable:
    n = len(next(iter(fields.values())))

    def field(name: str, outcomes: Sequence[str | None]) -> FieldColumns:
        shares = np.array([[float(one == outcome) for one in OUTCOMES] for outcome in outcomes])
        return FieldColumns(f"{name}|exact", 1.0, shares[:, 0] + shares[:, 1], shares.sum(axis=1), shares)

    return ScoreTable(
        origin=Origin("m", path, "2026-01-01", "shirt", 1, "data", "print", n, path),
        ids=tuple(f"s{i}" for i in range(n)),
        references=("",) * n,
        failed=np.array(failed if failed is not None else [0.0] * n),
        repeats=1,
        metrics={},
        fields={name: field(name, outcomes) for name, outcomes in fields.items()},
    )


COSTS = checked_costs({"color": {"wrong": 1, "omitted": 2}, "brand": {"wrong": 4, "invented": 10, "omitted": 1}})


def test_costs_by_hand() -> None:
    first = table(
        "a",
        {
            "color": [OK, WRONG, OMITTED, UNREAD],
            "brand": [NULL, INVENTED, WRONG, OMITTED],
            "size": [WRONG, WRONG, WRONG, WRONG],
        },
    )
    second = table(
        "b", {"color": [OK, OK, OMITTED, OK], "brand": [INVENTED, NULL, WRONG, OMITTED], "size": [OK, OK, OK, OK]}
    )
    total, color, brand = cost_changes(pair(first, second), COSTS, resamples=200)
    # color: 0 + 1 + 2 + 2 (an unread one costs the most there is) against 0 + 0 + 2 + 0; four items, per 1,000
    assert (color.first, color.second, color.value) == (1250, 500, -750)
    # brand: 0 + 10 + 4 + 1 against 10 + 0 + 4 + 1
    assert (brand.first, brand.second, brand.value) == (3750, 3750, 0)
    assert (total.first, total.second, total.value) == (5000, 4250, -750)
    assert (total.name, total.kind, total.higher_is_better) == ("total", "cost", False)
    # s0 dearer (0 to 10), s1 cheaper (11 to 0), s2 the same, s3 cheaper (3 to 1)
    assert (total.better, total.worse, total.same) == (2, 1, 1)
    # the 2^3 exchanges of 10, -11, -2 have |sum| 23, 19, 3 and 1, twice each: three in four are 3 or more
    assert (total.p, total.test) == (0.75, "sign flips, exact")
    # color: -1 and -2; |sum| = 3 in 2 of 4
    assert color.p == 0.5


def test_an_unread_answer_has_a_cost_of_its_own_where_one_is_given() -> None:
    assert FieldCost(wrong=1, invented=3, omitted=2).of_unread == 3
    assert FieldCost(wrong=1, unread=0.5).of_unread == 0.5
    one, two = table("a", {"color": [UNREAD, OK]}), table("b", {"color": [OK, OK]})
    total, _ = cost_changes(pair(one, two), checked_costs({"color": {"wrong": 7, "unread": 3}}), resamples=50)
    assert total.first == 1500


def test_a_sample_without_a_reference_is_no_item_and_one_without_the_field_costs_nothing() -> None:
    one = table("a", {"color": [WRONG, None, None], "size": [OK, OK, None]})
    two = table("b", {"color": [OK, None, None], "size": [OK, OK, None]})
    total, color = cost_changes(pair(one, two), checked_costs({"color": {"wrong": 1}}), resamples=50)
    assert (total.n, total.dropped) == (2, 1)
    assert (color.first, color.second) == (500, 0)


def test_a_failed_answer_costs_between_nothing_and_the_most() -> None:
    one = table("a", {"color": [WRONG, OK, OK]})
    two = table("b", {"color": [OK, OK, None]}, failed=[0, 0, 1])
    total, _ = cost_changes(pair(one, two), checked_costs({"color": {"wrong": 3, "invented": 6}}), resamples=50)
    assert (total.n, total.dropped, total.value) == (2, 1, -1500)
    # three items: 3 + 0 + 0 against 0 + 0 + (0 to 6)
    assert total.with_failures == pytest.approx({"low": -1000, "high": 1000})


def test_costs_of_different_samples_are_two_draws() -> None:
    one = table("a", {"color": [WRONG, WRONG, WRONG, OK] * 10})
    two = table("b", {"color": [OK, OK, OK, WRONG] * 5})
    two = ScoreTable(**{
        **{name: getattr(two, name) for name in two.__dataclass_fields__ if name != "places"},
        "ids": tuple(f"x{i}" for i in range(20)),
        "origin": Origin("m", "b", "2026-01-01", "shirt", 1, "data", "other", 20, "b"),
    })  # fmt: skip
    total, _ = cost_changes(pair(one, two, how="unpaired"), checked_costs({"color": {"wrong": 1}}), resamples=500)
    assert (total.first, total.second, total.value, total.test) == (750, 250, -500, "labels exchanged")
    assert total.p is not None
    assert total.p < 0.01


def test_costs_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    one = table("a", {"color": [WRONG]})
    with pytest.raises(InputError, match="did you mean 'color'"):
        cost_changes(pair(one, table("b", {"color": [OK]})), checked_costs({"colour": {"wrong": 1}}))
    with pytest.raises(NotComparable, match="no item is judged"):
        cost_changes(pair(one, table("b", {"color": [None]}, failed=[1])), checked_costs({"color": {"wrong": 1}}))
    for value, words in (
        ({"brand": {"wrng": 1}}, r"brand\.wrng: unknown; did you mean 'wrong'"),
        ({"brand": {"wrong": -1}}, r"brand\.wrong: Input should be greater than or equal to 0"),
        ({"brand": {"wrong": "much"}}, r"brand\.wrong"),
        ({"brand": 3}, "brand: "),
        ({}, "no costs"),
        ([], "no costs"),
    ):
        file = tmp_path / "costs.json"
        file.write_text(json.dumps(value), encoding="utf-8")
        with pytest.raises(TaskError, match=words) as caught:
            read_costs(file)
        assert str(file) in str(caught.value)
    for text, words in (("{", "JSON"), ('{"a": {}, "a": {}}', "stands twice"), ('{"a": {"wrong": NaN}}', "a.wrong")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(TaskError, match=words):
            read_costs(file)
    with pytest.raises(TaskError, match="no such file"):
        read_costs(tmp_path / "none.json")


# -- tasks -------------------------------------------------------------------------------------------------------------

SHIRT: dict[str, Any] = {
    "id": "shirt",
    "prompt": {"user": "Describe."},
    "fields": {"color": {"cost": {"wrong": 1, "omitted": 2}}, "brand": {"cost": {"invented": 10}}, "size": {}},
}


def test_a_task_without_costs_is_written_as_it_always_was() -> None:
    """The hash of the garment task before tasks had costs: runs of that time are still the same task."""
    assert task_sha256(open_registry().task("garment")) == (
        "4f1c5c056b442869979e1881dc533180414764d70cdcd151f88d607dbef75d78"
    )
    task = parse_task(SHIRT, where="shirt.json")
    written = task.model_dump(mode="json")["fields"]
    assert "cost" not in written["size"]
    assert Task.model_validate(task.model_dump(mode="json")) == task
    assert parse_task(task_file(task), where="shirt.json") == task
    assert task_file(task)["fields"]["brand"]["cost"] == {"invented": 10}


def test_a_tasks_costs_are_checked() -> None:
    with pytest.raises(TaskError, match=r"fields\.brand\.cost\.invent: unknown key; did you mean 'invented'"):
        parse_task({**SHIRT, "fields": {"brand": {"cost": {"invent": 1}}}}, where="shirt.json")
    with pytest.raises(TaskError, match=r"fields\.brand\.cost\.wrong"):
        parse_task({**SHIRT, "fields": {"brand": {"cost": {"wrong": float("inf")}}}}, where="shirt.json")


def test_a_comparison_takes_the_tasks_costs_or_those_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    references = [{"color": "red", "brand": None, "size": "m"}, {"color": "blue", "brand": "acme", "size": "l"}]
    runs = []
    for name, answers in (
        ("a", references),
        ("b", [{**references[0], "brand": "acme"}, {**references[1], "size": "s"}]),
    ):
        data, given, file = (tmp_path / f"{name}.{part}" for part in ("data.jsonl", "answers.jsonl", "task.json"))
        samples = [{"id": str(i), "image": PIXEL, "reference": one} for i, one in enumerate(references)]
        data.write_text("\n".join(map(json.dumps, samples)), encoding="utf-8")
        lines = [json.dumps({"id": str(i), "response": one}) for i, one in enumerate(answers)]
        given.write_text("\n".join(lines), encoding="utf-8")
        file.write_text(json.dumps(SHIRT), encoding="utf-8")
        runs.append(str(pb.score(answers=given, data=data, task=file, out=tmp_path / name, resamples=50).path))
    (contrast,) = compare(*runs, resamples=50)
    assert [(change.name, change.value) for change in contrast.costs] == [
        ("total", 5000), ("color", 0), ("brand", 5000)
    ]  # fmt: skip
    assert "Cost per 1,000 items" in comparison_page(compare(*runs, resamples=50)).text()
    (contrast,) = compare(*runs, resamples=50, costs={"size": {"wrong": 1}})
    assert [(change.name, change.value) for change in contrast.costs] == [("total", 500), ("size", 500)]
    costs = tmp_path / "costs.json"
    costs.write_text(json.dumps({"size": {"wrong": 3}}), encoding="utf-8")
    assert main(["compare", *runs, "--costs", str(costs), "--json", "--resamples", "50"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"][0]["costs"][0]["value"] == 1500
    assert main(["compare", *runs, "--costs", str(tmp_path / "none.json")]) == 2
