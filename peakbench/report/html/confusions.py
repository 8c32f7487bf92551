"""What values are taken for, on a page: a small matrix a field, the worst fields open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from peakbench.analysis.vocabulary.confusion import OTHER, Confusion
from peakbench.analysis.vocabulary.survey import confusions, without_values
from peakbench.errors import PeakBenchError
from peakbench.metrics.base import Tools
from peakbench.registry import Registry
from peakbench.report.tables import Table, neutral, percent
from peakbench.store import RunDirectory

MATRIX = 10
"""Values with a row of their own."""

OPEN = 2
"""Fields whose matrix stands open."""

PAIRS = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """A count; ``hit`` on the diagonal, ``mixed`` where rare values meet, right ones and wrong ones.

    ``strength`` of its colour, 25 to 100, by its share of the row.
    """

    count: int
    kind: Literal["hit", "miss", "mixed"]
    strength: int


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """A reference value and the counts of what was answered."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A table of counts with a title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[MatrixRow]


@dataclass(frozen=True, slots=True)
class FieldConfusion:
    """One field: a line that says how often it was right, its matrix, and what was taken for what most often."""

    name: str
    line: str
    matrix: Matrix | None
    pairs: Table | None
    unknown: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class ConfusionPart:
    """All fields; ``reason``: why there are none."""

    fields: Sequence[FieldConfusion]
    reason: str = ""
    skipped: Sequence[tuple[str, str]] = ()


def confusion_part(run: RunDirectory, registry: Registry, tools: Tools) -> ConfusionPart | None:
    """Return what the fields of a run are taken for; None where the task has no fields."""
    if run.task.answer == "text":
        return None
    skipped = list(without_values(run.task).items())
    try:
        found = confusions(run, registry, tools, resamples=1)  # no interval of it is shown
    except PeakBenchError as error:
        return ConfusionPart((), neutral(str(error).splitlines()[0], limit=300), skipped)
    wrong = {name: 1 - one.correct / one.asked if one.asked else 0.0 for name, one in found.items()}
    worst = [name for name in sorted(wrong, key=lambda name: -wrong[name])[:OPEN] if wrong[name] > 0]
    order = sorted(found, key=lambda name: -wrong[name])
    return ConfusionPart([_field(found[name], is_open=name in worst) for name in order], "", skipped)


def _field(one: Confusion, *, is_open: bool) -> FieldConfusion:
    unit = "tags" if one.tags else "answers"
    line = (
        f"{one.correct:,} of {one.asked:,} {unit} right ({percent(one.correct / one.asked if one.asked else None)} %)"
    )
    if one.outside:
        line += f", {one.outside:,} of {one.valued:,} values outside the vocabulary"
    pairs = one.confusions(PAIRS)
    table = Table(
        ["reference", "answered", "times"],
        [[neutral(truth, limit=40), neutral(given, limit=40), f"{count:,}"] for truth, given, count in pairs],
        f"{neutral(one.field)}: taken for something else, most often first",
        frozenset({"answered"}),
    )
    return FieldConfusion(
        neutral(one.field, limit=80), line, _matrix(one, unit), table if pairs else None, _unknown(one), is_open
    )


def _matrix(one: Confusion, unit: str) -> Matrix | None:
    rows, columns, counts = one.matrix(MATRIX)
    kept_columns = [at for at in range(len(columns)) if counts[:, at].any()]
    made = []
    for at, name in enumerate(rows):
        total = int(counts[at].sum())
        if not total:
            continue
        cells = [
            Cell(count, _kind(name, columns[to]), 25 + round(75 * count / total))
            for to, count in ((to, int(counts[at, to])) for to in kept_columns)
        ]
        made.append(MatrixRow(neutral(name, limit=24), cells))
    if not made:
        return None
    title = f"{neutral(one.field)}: rows are references, columns are {unit}"
    return Matrix(title, [neutral(columns[at], limit=24) for at in kept_columns], made)


def _kind(reference: str, answered: str) -> Literal["hit", "miss", "mixed"]:
    if reference != answered:
        return "miss"
    return "mixed" if reference == OTHER else "hit"


def _unknown(one: Confusion) -> str:
    """Words outside the vocabulary, in a sentence."""
    if not one.unknown:
        return ""
    shown = [f"{neutral(word.word, limit=30)} ({word.count:,})" for word in one.unknown[:6]]
    more = f" and {len(one.unknown) - 6:,} more" if len(one.unknown) > 6 else ""
    return f"Outside the vocabulary: {', '.join(shown)}{more}."


def light_tools(run: RunDirectory, tools: Tools) -> Tools:
    """Return the tools that a page may use: no model is loaded for it, unless a field is compared by one."""
    from peakbench.metrics.semantic import COMPARATORS

    kinds = {kind.name for kind in COMPARATORS}
    if any(field.comparator.kind in kinds for field in run.task.fields.values()):
        return tools
    return Tools(missing={**tools.missing, "encoder": "no model is loaded for a page"})
