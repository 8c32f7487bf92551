"""Pairs of a field's reference and answer, counted: what a confusion matrix is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from peakbench.analysis.evaluation.baselines import ValueCounts
from peakbench.analysis.vocabulary.confusion import OTHER, Confusion, ValueScore, averages
from peakbench.analysis.vocabulary.synonyms import Similarity, unknown_words
from peakbench.analysis.vocabulary.words import NO_SINGLE_VALUE_AT, NULL_AT, OTHER_AT, UNREAD_AT, Vocabulary
from peakbench.metrics.base import Comparator
from peakbench.metrics.comparators import Exact
from peakbench.records import OUTCOMES, JSONValue
from peakbench.statistics import Estimate, doubts
from peakbench.tasks import TaskField
from peakbench.values import is_null

MOST_PAIRS = 100_000
LEFT_OUT = -1
"""The outcome of a field that the reference does not have."""

_CORRECT, _CORRECT_NULL, _WRONG, _, _OMITTED, _UNREAD = range(len(OUTCOMES))


class FieldPairs:
    """One field: (reference, answered) pairs, counted, each value by its number in the vocabulary.

    First :meth:`survey` takes every reference, then :meth:`settle` makes the vocabulary, then :meth:`add` every answer.
    """

    def __init__(self, name: str, spec: TaskField, comparator: Comparator, nulls: frozenset[str]) -> None:
        self.name = name
        self.tags = _is_list(spec, comparator)
        self.vocabulary = Vocabulary(Exact() if self.tags else comparator, where=f"field '{name}'")
        self.source: Literal["task", "references"] = "task" if spec.vocabulary else "references"
        self.references = ValueCounts(nulls)
        self.pairs: Counter[tuple[int, int]] = Counter()
        self.given: Counter[int] = Counter()
        self.stood: Counter[tuple[int, int]] = Counter()
        self.inside: set[int] = set()
        self.correct = self.valued = self.outside = 0
        self._spec = spec
        self._nulls = nulls

    def survey(self, reference: JSONValue) -> None:
        """Count one reference's value."""
        for value in self._items(reference) if self.tags else [reference]:
            if not isinstance(value, list | dict):
                self.references.add(value)

    def settle(self) -> None:
        """Make the vocabulary of what was counted."""
        for word in self._spec.vocabulary or ():
            if not is_null(word, self._nulls):
                self.vocabulary.add(word, known=True)
        for group in self.references.groups().values():
            self.vocabulary.add(group.spelling, known=self.source == "references")

    def add(self, reference: JSONValue, answer: JSONValue, outcome: int) -> tuple[int, int, int, int]:
        """Count one answer; return (outside, valued, 2 x correct, values on both sides)."""
        before = self.outside, self.valued
        correct, sides = (self._add_tags if self.tags else self._add_one)(reference, answer, outcome)
        self.correct += correct
        return self.outside - before[0], self.valued - before[1], 2 * correct, sides

    def _add_one(self, reference: JSONValue, answer: JSONValue, outcome: int) -> tuple[int, int]:
        if outcome == _CORRECT_NULL:
            self._pair(NULL_AT, NULL_AT)
            return 0, 0
        truth = LEFT_OUT if outcome == LEFT_OUT else self._truth(reference)
        if outcome == _UNREAD:
            self._pair(truth, UNREAD_AT)
            return 0, int(truth != NULL_AT)
        if outcome == _OMITTED:
            self._pair(truth, NULL_AT)
            return 0, 1
        if outcome == _CORRECT:
            number, inside = truth, self._answered(answer)[1]
        elif outcome == LEFT_OUT and is_null(answer, self._nulls):
            return 0, 0
        else:
            number, inside = self._answered(answer)
        self._value(number, inside)
        if outcome == LEFT_OUT:
            return 0, 0
        if outcome == _WRONG and number == truth and number >= 0:
            number = self.vocabulary.apart(answer)
        self._pair(truth, number)
        return int(outcome == _CORRECT), 1 + (truth != NULL_AT)

    def _add_tags(self, reference: JSONValue, answer: JSONValue, outcome: int) -> tuple[int, int]:
        truths = {} if outcome == LEFT_OUT else {self._truth(item): None for item in self._items(reference)}
        if outcome == _UNREAD:
            for truth in truths or (NULL_AT,):
                self._pair(truth, UNREAD_AT)
            return 0, len(truths)
        if isinstance(answer, list):
            given = {self._answered(item): None for item in self._items(answer)}
        else:
            given = {} if is_null(answer, self._nulls) else {(NO_SINGLE_VALUE_AT, False): None}
        for number, inside in given:
            self._value(number, inside)
        if outcome == LEFT_OUT:
            return 0, 0
        numbers = {number for number, _ in given}
        right = [truth for truth in truths if truth in numbers]
        missed = [truth for truth in truths if truth not in numbers]
        extra = [number for number, _ in given if number not in truths]
        if not truths and not given:
            self._pair(NULL_AT, NULL_AT)
        for truth in right:
            self._pair(truth, truth)
        for truth in missed:
            self._pair(truth, NULL_AT)
        for number in extra:
            self._pair(NULL_AT, number)
            for truth in missed if len(self.stood) < MOST_PAIRS else ():
                self.stood[truth, number] += 1
        return len(right), len(truths) + len(given)

    def _items(self, value: JSONValue) -> list[JSONValue]:
        items = value if isinstance(value, list) else [value]
        return [item for item in items if not is_null(item, self._nulls)]

    def _truth(self, reference: JSONValue) -> int:
        if is_null(reference, self._nulls):
            return NULL_AT
        if isinstance(reference, list | dict):
            return OTHER_AT
        return self.vocabulary.find(reference)[0]

    def _answered(self, answer: JSONValue) -> tuple[int, bool]:
        return (NO_SINGLE_VALUE_AT, False) if isinstance(answer, list | dict) else self.vocabulary.find(answer)

    def _value(self, number: int, inside: bool) -> None:
        self.valued += 1
        self.outside += not inside
        self.given[number] += 1
        if inside:
            self.inside.add(number)

    def _pair(self, truth: int, number: int) -> None:
        # Right answers, null and unread ones keep their place: they are a few a word, and every score rests on them.
        if number >= 0 and number != truth and len(self.pairs) >= MOST_PAIRS and (truth, number) not in self.pairs:
            self.vocabulary.full = True
            number = OTHER_AT
        self.pairs[truth, number] += 1

    @property
    def notes(self) -> list[str]:
        """Say where a bound was met, and where references are outside the task's vocabulary."""
        notes = []
        if self.vocabulary.full or self.references.dropped:
            notes.append(f"some values are too many or too long to be told apart: they share {OTHER}")
        if self.vocabulary.tired:
            notes.append("too many values to compare each with every word: some stand apart from a word that is theirs")
        strange: Counter[int] = Counter()
        for (truth, _), count in self.pairs.items():
            if truth >= 0 and truth not in self._words:
                strange[truth] += count
        if strange:
            most = self.vocabulary.label(strange.most_common(1)[0][0])
            notes.append(f"{strange.total():,} references are outside the task's vocabulary (as '{most}')")
        return notes

    def _doubted(self, one: Estimate) -> Estimate:
        if one.value is None or one.unreliable is not None:
            return one
        missed = sum(count for pair, count in self.pairs.items() if pair[0] != pair[1])
        return replace(one, unreliable=doubts(one.n, missed, self.correct))

    @property
    def _words(self) -> frozenset[int]:
        return frozenset(self.vocabulary.words)

    def confusion(
        self,
        *,
        spec: TaskField,
        similarity: Similarity,
        near: float,
        rate: Estimate,
        micro_f1: Estimate,
        once: bool,
        tally: Mapping[str, int],
    ) -> Confusion:
        """Return what was counted."""
        support: Counter[int] = Counter()
        answered: Counter[int] = Counter()
        for (truth, number), count in self.pairs.items():
            support[truth] += count
            answered[number] += count
        label = self.vocabulary.label
        values = [
            ValueScore.of(
                label(number),
                support=support[number],
                answered=answered[number],
                correct=self.pairs[number, number],
                intervals=once,
            )
            for number in range(len(self.vocabulary))
            if support[number] or answered[number]
        ]
        values.sort(key=lambda one: (-one.support, -one.answered, one.value))
        micro, macro = averages(
            values,
            correct=self.correct,
            support=sum(count for truth, count in support.items() if truth != NULL_AT),
            answered=sum(count for number, count in answered.items() if number not in (NULL_AT, UNREAD_AT)),
        )
        words = self.vocabulary.words
        strangers = [number for number in self.given if number >= 0 and number not in self.inside]
        stood = self.stood if self.tags else self.pairs
        ordered = sorted(self.pairs.items(), key=lambda item: (-item[1], label(item[0][0]), label(item[0][1])))
        unknown, notes = unknown_words(
            {label(number): self.given[number] for number in strangers},
            {
                (label(truth), label(number)): count
                for (truth, number), count in stood.items()
                if truth >= 0 and number >= 0 and number not in self.inside
            },
            [label(number) for number in sorted(words, key=lambda number: -support[number])],
            similarity,
            near=near,
            grouped={label(number) for number in strangers if self.vocabulary.is_grouped(number)},
        )
        return Confusion(
            field=self.name,
            comparator=str(spec.comparator),
            tags=self.tags,
            source=self.source,
            words=tuple(map(label, words)),
            counts={(label(truth), label(number)): count for (truth, number), count in ordered},
            correct=self.correct + self.pairs[NULL_AT, NULL_AT],
            values=tuple(values),
            micro=micro,
            macro=macro,
            micro_f1=self._doubted(micro_f1),
            valued=self.valued,
            outside=self.outside,
            out_of_vocabulary=rate,
            unknown=unknown,
            similar_by=similarity.name,
            answers=tally["answers"],
            unread=tally["unread"],
            failed=tally["failed"],
            unasked=tally["unasked"],
            notes=(*self.notes, *notes),
        )


def _is_list(spec: TaskField, comparator: Comparator) -> bool:
    return spec.many or comparator.shape == "list"
