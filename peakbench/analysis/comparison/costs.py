"""What mistakes cost: outcomes times a task's costs, per 1,000 items, of two runs.

An item is a sample whose answer came and is held against a reference. Its cost is the sum over its fields of what
their outcomes cost; a correct field costs nothing. Repeats are averaged. The costs of the fields add up to the total.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from peakbench.analysis.comparison.changes import Change, bracket, column_changes
from peakbench.analysis.comparison.pairing import Columns, Pairing
from peakbench.analysis.comparison.scoretable import ScoreTable
from peakbench.errors import InputError, NotComparable, TaskError, nearest
from peakbench.metrics.base import Bools, Floats, Ints
from peakbench.records import OUTCOMES
from peakbench.tasks import FieldCost, Task, unique_keys

TOTAL = "total"
"""The name of the change of all fields together."""

ITEMS = 1000
"""Costs are given for so many items."""


def task_costs(task: Task) -> dict[str, FieldCost]:
    """Return the costs of the fields that have one.

    >>> fields = {"color": {"cost": {"wrong": 2}}, "size": {}}
    >>> task_costs(Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": fields}))
    {'color': FieldCost(wrong=2.0, invented=0.0, omitted=0.0, unread=None)}
    """
    return {name: field.cost for name, field in task.fields.items() if field.cost is not None}


def read_costs(file: str | Path) -> dict[str, FieldCost]:
    """Read costs from a JSON file: ``{"brand": {"wrong": 4, "invented": 10, "omitted": 1}}``.

    Raises:
        TaskError: the file is missing, not JSON, or does not hold costs; every problem is named with its place.
    """
    path = Path(file)
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except FileNotFoundError:
        raise TaskError("no such file of costs", where=str(path)) from None
    except (OSError, ValueError, RecursionError) as error:
        raise TaskError(f"cannot be read as JSON: {error}", where=str(path)) from None
    return checked_costs(value, where=str(path))


def checked_costs(value: Any, *, where: str = "costs") -> dict[str, FieldCost]:
    """Return costs by field from plain values.

    Raises:
        TaskError: they are no costs.
    """
    expected = 'an object from field to costs: {"brand": {"wrong": 4, "invented": 10, "omitted": 1}}'
    if not isinstance(value, Mapping) or not value:
        raise TaskError("no costs", where=where, expected=expected)
    found, problems = {}, []
    for name, one in value.items():
        try:
            found[str(name)] = FieldCost.model_validate(one)
        except ValidationError as error:
            for item in error.errors():
                place = ".".join(map(str, (name, *item["loc"])))
                known = nearest(str(item["loc"][-1]), FieldCost.model_fields) if item["loc"] else ""
                problems.append(f"{place}: {f'unknown; {known}' if item['type'] == 'extra_forbidden' else item['msg']}")
    if problems:
        raise TaskError("; ".join(problems), where=where, expected=expected)
    return found


def cost_changes(
    pairing: Pairing, costs: Mapping[str, FieldCost], *, resamples: int = 10_000, seed: int = 0
) -> list[Change]:
    """Return the change of the cost per 1,000 items, in total and by field; lower is better.

    Args:
        pairing: two runs side by side.
        costs: by field; a field without costs costs nothing.
        resamples: as in :func:`peakbench.analysis.comparison.changes`.
        seed: likewise.

    Raises:
        InputError: a field is not one of the task's.
        NotComparable: a field is compared in two ways, or no item is judged in both runs.
    """
    unknown = [name for name in costs if name not in pairing.first.fields]
    if unknown:
        raise InputError(f"costs of a field '{unknown[0]}'", hint=nearest(unknown[0], pairing.first.fields))
    for name in costs:
        pairing.field_outcomes(name)  # refuses a field that is compared in two ways
    prices = {name: ITEMS * _by_outcome(cost) for name, cost in costs.items()}
    first, second = _Side(pairing.first, pairing.left), _Side(pairing.second, pairing.right)
    counts = (first.judged & second.judged) if pairing.paired else None
    n = int(counts.sum()) if counts is not None else min(int(side.judged.sum()) for side in (first, second))
    if not n:
        raise NotComparable("costs: no item is judged in both runs", where=pairing.first.origin.path)
    rows = len(first.judged) + (0 if pairing.paired else len(second.judged))
    seen = n if pairing.paired else int(first.judged.sum() + second.judged.sum())
    most = {name: float(price.max()) for name, price in prices.items()}
    named = []
    failures = {}
    for name, fields in ((TOTAL, list(prices)), *((one, [one]) for one in prices)):
        spent = first.cost(prices, fields), second.cost(prices, fields)
        high = sum(most[field] for field in fields)
        masks = (first.judged, second.judged) if counts is None else (counts, counts)
        one, two = (_masked(cost, mask) for cost, mask in zip(spent, masks, strict=True))
        named.append((name, Columns(one, two, n, rows - seen, False, 0.0, high, False, False)))
        if pairing.paired:
            failures[name] = bracket(
                (spent[0], first.judged.astype(np.float64), first.failed),
                (spent[1], second.judged.astype(np.float64), second.failed),
                0.0,
                high,
            )
    return column_changes(named, paired=pairing.paired, failures=failures, resamples=resamples, seed=seed)


class _Side:
    """One run's rows: which are items, how much of each failed, what each costs."""

    def __init__(self, table: ScoreTable, rows: Ints) -> None:
        self._table, self._rows = table, rows
        judged = np.zeros(len(table.ids), dtype=np.bool_)
        for field in table.fields.values():
            judged |= field.asked > 0
        self.judged: Bools = judged[rows]
        self.failed: Floats = table.failed[rows]

    def cost(self, prices: Mapping[str, Floats], fields: list[str]) -> Floats:
        """Return the cost of each row, (n,), of 1,000 such items."""
        total: Floats = np.zeros(len(self._rows))
        for name in fields:
            total += self._table.fields[name].outcomes[self._rows] @ prices[name]
        return total


def _masked(cost: Floats, counts: Bools) -> Floats:
    columns: Floats = np.column_stack([cost * counts, counts * 1.0])
    return columns


def _by_outcome(cost: FieldCost) -> Floats:
    prices = {"wrong": cost.wrong, "invented": cost.invented, "omitted": cost.omitted, "unread": cost.of_unread}
    return np.array([prices.get(outcome, 0.0) for outcome in OUTCOMES])
