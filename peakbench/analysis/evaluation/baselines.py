"""Floors: what answers without a model score on the same samples.

Four answers, the same for every sample, made from the references in one streamed pass:

* ``unparseable``: no JSON at all;
* ``all_null``: every field null (a text task: the empty text);
* ``majority``: each field's most frequent value; of several, the one with the higher mean field score against all the
  references, then the first by code point (a text task: the most frequent text);
* ``vocabulary``: all values of a field joined by " or ", null where the majority is null. A list field holds its items
  instead of joining them; an object cannot be joined, so it is null. A text task has no such floor.

Values are the same where their canonical form is; the most frequent spelling stands for all. A field that is absent
from a reference is not counted there.

Memory is bounded: a field counts the first 65,536 distinct values it meets, all fields together 32 million
characters; later new values are not counted, and a note says so. The vocabulary holds the 256 most frequent values (32
for lists of objects), also with a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from peakbench.metrics.base import Comparator
from peakbench.metrics.cells import CellBuilder
from peakbench.records import JSONValue, Prediction, Reference
from peakbench.scoring import null_answer
from peakbench.tasks import Task, TaskField
from peakbench.values import canonical, is_null

FloorName = Literal["unparseable", "all_null", "majority", "vocabulary"]
FLOORS: tuple[FloorName, ...] = get_args(FloorName)

MOST_VALUES = 65_536
MOST_CHARACTERS = 32_000_000
MOST_JOINED = 256
MOST_OBJECTS = 32
MOST_COMPARISONS = 100_000
"""A tie is settled by mean score where that takes no more comparisons than this, else by code point alone."""


@dataclass(slots=True)
class _Budget:
    characters: int = MOST_CHARACTERS


@dataclass(slots=True)
class _Group:
    """Spellings of one canonical value."""

    count: int = 0
    spelling: JSONValue = None
    most: int = 0

    def add(self, value: JSONValue, count: int) -> None:
        self.count += count
        # Of equally frequent spellings the first by code point, so that the order of the samples does not matter.
        if count > self.most or (count == self.most and str(value) < str(self.spelling)):
            self.spelling, self.most = value, count


class ValueCounts:
    """How often each value of one field stands in the references, bounded.

    >>> counts = ValueCounts(frozenset({"n/a"}))
    >>> for value in ("Red", "red", "red", None, "N/A", "blue"):
    ...     counts.add(value)
    >>> [(group.spelling, group.count) for group in counts.groups().values()], counts.nulls
    ([('red', 3), ('blue', 1)], 2)
    """

    def __init__(self, nulls: frozenset[str], budget: _Budget | None = None) -> None:
        self.nulls = 0
        self.dropped = 0
        self._null_list = nulls
        self._budget = budget or _Budget()
        self._spellings: dict[str, int] = {}
        self._others: dict[str, _Group] = {}

    def add(self, value: JSONValue) -> None:
        """Count a value; strings are counted as spelled and folded at the end."""
        if value is None:
            self.nulls += 1
        elif isinstance(value, str):
            if value in self._spellings:
                self._spellings[value] += 1
            elif self._admits(value):
                self._spellings[value] = 1
        else:
            if isinstance(value, list):
                value = sorted((item for item in value if not is_null(item, self._null_list)), key=canonical)
                if not value:
                    self.nulls += 1
                    return
            key = canonical(value)
            if key in self._others or self._admits(key):
                self._others.setdefault(key, _Group()).add(value, 1)

    def _admits(self, key: str) -> bool:
        if len(self._spellings) + len(self._others) >= MOST_VALUES or len(key) > self._budget.characters:
            self.dropped += 1
            return False
        self._budget.characters -= len(key)
        return True

    def most_common(self, n: int) -> list[str]:
        """Return the n most frequent strings as spelled, then by code point."""
        return sorted(self._spellings, key=lambda text: (-self._spellings[text], text))[:n]

    def groups(self) -> dict[str, _Group]:
        """Return the values by canonical form, the most frequent first, then by code point."""
        found: dict[str, _Group] = dict(self._others)
        for spelling, count in self._spellings.items():
            if is_null(spelling, self._null_list):
                self.nulls += count
            else:
                found.setdefault(canonical(spelling), _Group()).add(spelling, count)
        self._spellings.clear()
        self._others = found
        return dict(sorted(found.items(), key=lambda item: (-item[1].count, item[0])))


@dataclass(frozen=True, slots=True)
class Floors:
    """The four answers by name, None where there is none; ``notes`` say where a bound was met."""

    answers: Mapping[FloorName, Prediction | None]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Counted:
    values: ValueCounts
    items: ValueCounts | None = None


@dataclass
class ReferenceCounts:
    """Counts the references of a data set, one after the other, and says which answers need no model."""

    task: Task
    nulls: frozenset[str]
    _budget: _Budget = field(default_factory=_Budget)

    def __post_init__(self) -> None:
        def counts() -> ValueCounts:
            return ValueCounts(self.nulls, self._budget)

        self._fields = {
            name: _Counted(counts(), counts() if field.many else None) for name, field in self.task.fields.items()
        }
        # A text is never null, whatever it says.
        self._texts = ValueCounts(frozenset(), self._budget)

    def add(self, reference: Reference) -> None:
        """Count one reference."""
        if isinstance(reference, str):
            self._texts.add(reference)
        elif isinstance(reference, Mapping):
            for name, counted in self._fields.items():
                if name not in reference:
                    continue
                value = reference[name]
                if counted.items is not None:
                    if not isinstance(value, list):
                        value = [] if is_null(value, self.nulls) else [value]
                    for item in value:
                        counted.items.add(item)
                counted.values.add(value)

    def floors(self, comparators: Mapping[str, Comparator]) -> Floors:
        """Return the four answers.

        Args:
            comparators: one for each field of the task; they settle ties.
        """
        unparseable = Prediction("(floor unparseable)", 0, "unparseable")
        if self.task.answer == "text":
            texts = self._texts.groups()
            most = next(iter(texts.values())).spelling if texts else ""
            notes = [_dropped("the text", self._texts)] if self._texts.dropped else []
            return Floors(
                {
                    "unparseable": unparseable,
                    "all_null": Prediction("(floor all_null)", 0, *null_answer(self.task)),
                    "majority": Prediction("(floor majority)", 0, "text", most),
                    "vocabulary": None,
                },
                tuple(notes),
            )
        majority: dict[str, JSONValue] = {}
        vocabulary: dict[str, JSONValue] = {}
        notes = []
        for name, counted in self._fields.items():
            spec = self.task.fields[name]
            majority[name] = self._majority(name, counted.values, comparators)
            if majority[name] is None:
                vocabulary[name] = None
            else:
                vocabulary[name], cut = _vocabulary(spec, counted)
                if cut:
                    notes.append(
                        f"field {name}: the vocabulary floor holds the {cut[0]} most frequent of {cut[1]:,} values"
                    )
            notes += [
                _dropped(f"field {name}", part) for part in (counted.values, counted.items) if part and part.dropped
            ]
        return Floors(
            {
                "unparseable": unparseable,
                "all_null": Prediction("(floor all_null)", 0, *null_answer(self.task)),
                "majority": Prediction("(floor majority)", 0, "strict", majority),
                "vocabulary": Prediction("(floor vocabulary)", 0, "strict", vocabulary),
            },
            tuple(notes),
        )

    def _majority(self, name: str, counts: ValueCounts, comparators: Mapping[str, Comparator]) -> JSONValue:
        groups = counts.groups()
        most = max([counts.nulls, *(group.count for group in groups.values())])
        tied: list[JSONValue] = [None] if counts.nulls == most else []
        tied += [group.spelling for group in groups.values() if group.count == most]
        if len(tied) == 1 or len(tied) * (len(groups) + 1) > MOST_COMPARISONS:
            return tied[0]
        values = [None, *(group.spelling for group in groups.values())]
        weights = np.array([counts.nulls, *(group.count for group in groups.values())], dtype=np.float64)
        one = self.task.fields[name].model_copy(update={"weight": 1.0})
        task = Task(id=self.task.id, prompt=self.task.prompt, fields={name: one})
        builder = CellBuilder(task, {name: comparators[name]}, self.nulls)
        read = np.ones(len(values), dtype=np.bool_)
        references = [{name: value} for value in values]

        def mean_score(candidate: JSONValue) -> float:
            answers = [Prediction("", 0, "strict", {name: candidate})] * len(values)
            return float(builder.build(answers, references, read).scores[:, 0] @ weights) / float(weights.sum())

        # ``tied`` stands in code point order, and the first of equals is kept.
        scores = [round(mean_score(candidate), 12) for candidate in tied]
        return tied[scores.index(max(scores))]


def _vocabulary(spec: TaskField, counted: _Counted) -> tuple[JSONValue, tuple[int, int] | None]:
    """Return the field's vocabulary answer, and (kept, all) where not all values found room."""
    if spec.type == "object" and not spec.many:
        return None, None
    groups = (counted.items or counted.values).groups()
    room = MOST_OBJECTS if spec.type == "object" else MOST_JOINED
    kept = [group.spelling for _, group in zip(range(room), groups.values(), strict=False)]
    cut = (len(kept), len(groups)) if len(groups) > len(kept) else None
    if spec.many:
        return kept, cut
    return (kept[0] if len(kept) == 1 else " or ".join(_word(value) for value in kept)), cut


def _word(value: JSONValue) -> str:
    return value if isinstance(value, str) else canonical(value).lstrip("\0")


def _dropped(what: str, counts: ValueCounts) -> str:
    return (
        f"{what}: more than {MOST_VALUES:,} distinct values, or too long ones: "
        f"{counts.dropped:,} were not counted for the floors"
    )


def count_references(
    references: Iterable[Reference], *, task: Task, comparators: Mapping[str, Comparator], nulls: frozenset[str]
) -> Floors:
    """Return the floors of references in one pass.

    >>> from peakbench.metrics.comparators import Exact
    >>> task = Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}}})
    >>> references = [{"color": "red"}, {"color": "Red"}, {"color": "blue"}, {"color": None}, {}]
    >>> floors = count_references(references, task=task, comparators={"color": Exact()}, nulls=frozenset())
    >>> floors.answers["majority"].value, floors.answers["vocabulary"].value
    ({'color': 'Red'}, {'color': 'Red or blue'})
    """
    counts = ReferenceCounts(task, nulls)
    for reference in references:
        counts.add(reference)
    return counts.floors(comparators)
