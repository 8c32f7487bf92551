"""Fields compared once for every metric (:class:`CellBuilder`), and the metrics that count fields.

A garment answer takes few values, so each field remembers what came of a (reference, prediction) pair of strings:
most cells are one dictionary look-up and one numpy ``take``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from peakbench.errors import PluginError, TaskError
from peakbench.metrics.base import (
    Batch,
    Bools,
    Cells,
    Comparator,
    Floats,
    Ints,
    MetricInfo,
    MetricKind,
    Scores,
    Setting,
)
from peakbench.records import OUTCOMES, JSONValue, Prediction, Reference
from peakbench.tasks import Task, TaskField
from peakbench.values import canonical, is_null, shipped_table, text_form

_CORRECT, _CORRECT_NULL, _WRONG, _INVENTED, _OMITTED, _UNREAD = range(len(OUTCOMES))
_NO_TEXT, _LEFT_OUT = -1, -2
_RANGE_SLACK = 1e-9

_Shape = Literal["scalar", "list", "object"]


class _Marker:
    """A value that no JSON text holds."""

    __slots__ = ()


_MISSING, _ANSWER_UNREAD = _Marker(), _Marker()
_WRONG_SHAPE = _Marker()


class _Results:
    """What came of each pair so far: one row a code, in arrays that double as they fill."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.count = 0
        self.characters = 0
        self.expected: Bools = np.zeros(1024, dtype=np.bool_)
        self.present: Bools = np.zeros(1024, dtype=np.bool_)
        self.outcomes: npt.NDArray[np.int8] = np.zeros(1024, dtype=np.int8)
        self.exact: Floats = np.zeros(1024)
        self.scores: Floats = np.zeros(1024)
        self.pairs: Ints = np.zeros(1024, dtype=np.int64)
        self.texts: list[tuple[str, str]] = []
        self._text_codes: dict[tuple[str, str], int] = {}

    def add(
        self,
        *,
        expected: bool,
        present: bool,
        outcome: int = -1,
        exact: float = 0.0,
        score: float = 0.0,
        pair: int = _LEFT_OUT,
    ) -> int:
        code = self.count
        if code == len(self.expected):
            for name in ("expected", "present", "outcomes", "exact", "scores", "pairs"):
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
        self.expected[code], self.present[code], self.outcomes[code] = expected, present, outcome
        self.exact[code], self.scores[code], self.pairs[code] = exact, score, pair
        self.count = code + 1
        return code

    def text(self, reference: str, prediction: str) -> int:
        """Return the code of a pair of texts."""
        code = self._text_codes.setdefault((reference, prediction), len(self.texts))
        if code == len(self.texts):
            self.texts.append((reference, prediction))
            self.characters += len(reference) + len(prediction)
        return code


class _FieldMemo(dict[tuple[Any, Any], int]):
    """One field: (reference, prediction) -> code.

    Only strings, null and the markers are kept as keys: 1, 1.0 and True are one key to a dict, and three values here.
    """

    def __init__(self, name: str, field: TaskField, comparator: Comparator, nulls: frozenset[str], results: _Results):
        super().__init__()
        self._name = name
        self._optional = field.optional
        self._comparator = comparator
        self._nulls = nulls
        self._results = results
        self._shape = _shape(name, field, comparator)
        self._wrapped = self._shape == "object" and comparator.shape == "list"

    def __missing__(self, key: tuple[Any, Any]) -> int:
        code = self.compare(*key)
        reference, prediction = key
        if _is_plain(reference) and _is_plain(prediction):
            self[key] = code
            self._results.characters += sum(len(side) for side in key if type(side) is str)
        return code

    def compare(self, reference: JSONValue, prediction: JSONValue) -> int:
        """Compare one pair, without looking it up, and return its code."""
        results = self._results
        unread = prediction is _ANSWER_UNREAD
        present = not unread and (self._optional or prediction is not _MISSING)
        if reference is _MISSING:
            return results.add(expected=False, present=present)
        truth = self._read(reference, is_reference=True)
        if unread:
            return results.add(
                expected=True, present=False, outcome=_UNREAD, pair=_LEFT_OUT if truth is None else _NO_TEXT
            )
        answer = self._read(None if prediction is _MISSING else prediction)
        if truth is None or answer is None:
            if truth is answer:
                return results.add(expected=True, present=present, outcome=_CORRECT_NULL, exact=1.0, score=1.0)
            outcome = _INVENTED if truth is None else _OMITTED
            return results.add(expected=True, present=present, outcome=outcome, pair=_NO_TEXT)
        if truth is _WRONG_SHAPE or answer is _WRONG_SHAPE:
            return results.add(expected=True, present=present, outcome=_WRONG, pair=_NO_TEXT)
        score = self._score(truth, answer)
        return results.add(
            expected=True,
            present=present,
            outcome=_CORRECT if score >= self._comparator.pass_mark else _WRONG,
            exact=float(_same(truth, answer)),
            score=score,
            pair=results.text(text_form(truth), text_form(answer)),
        )

    def _read(self, value: JSONValue, *, is_reference: bool = False) -> JSONValue:
        """Return the value without its nulls, None for a null one, or the marker for a wrong shape."""
        if is_null(value, self._nulls):
            return None
        if self._shape == "scalar":
            return _WRONG_SHAPE if isinstance(value, (list, dict)) else value
        if self._shape == "object":
            return self._without_nulls(value) if isinstance(value, Mapping) else _WRONG_SHAPE
        if is_reference and not isinstance(value, list):
            value = [value]
        if not isinstance(value, list):
            return _WRONG_SHAPE
        return [self._without_nulls(item) for item in value if not is_null(item, self._nulls)] or None

    def _without_nulls(self, value: JSONValue) -> JSONValue:
        if not isinstance(value, Mapping):
            return value
        return {key: item for key, item in value.items() if not is_null(item, self._nulls)}

    def _score(self, truth: JSONValue, answer: JSONValue) -> float:
        if self._wrapped:
            truth, answer = [truth], [answer]
        try:
            score = float(self._comparator.score(truth, answer))
        except Exception as error:
            raise PluginError(
                f"the comparator raised {type(error).__name__}: {error}", where=f"field '{self._name}'"
            ) from error
        if not -_RANGE_SLACK <= score <= 1 + _RANGE_SLACK:
            raise PluginError(
                f"the comparator returned {score}", where=f"field '{self._name}'", expected="a score in [0, 1]"
            )
        return min(1.0, max(0.0, score))


def _is_plain(value: object) -> bool:
    return value is None or type(value) is str or isinstance(value, _Marker)


def _shape(name: str, field: TaskField, comparator: Comparator) -> _Shape:
    if field.many:
        if comparator.shape == "scalar" and field.comparator.kind != "exact":
            raise TaskError(
                f"comparator '{field.comparator.kind}' compares single values, and the field is a list",
                where=f"fields.{name}",
                expected="'set' for tags, 'objects' for objects, 'exact' for the whole list",
            )
        return "list"
    if field.type == "object":
        return "object"
    return comparator.shape


def _same(truth: JSONValue, answer: JSONValue) -> bool:
    """``exact`` for any shape: lists of scalars as sets, other lists as multisets, in no order."""
    if isinstance(truth, list) and isinstance(answer, list):
        first, second = Counter(map(canonical, truth)), Counter(map(canonical, answer))
        if any(isinstance(item, (list, Mapping)) for item in truth):
            return first == second
        return first.keys() == second.keys()
    return canonical(truth) == canonical(answer)


class CellBuilder:
    """Compares the fields of a batch, once for every metric.

    What a value must be follows from the field: a list where it is ``many`` or its comparator compares lists, an
    object where its type is one, else a scalar. Anything else is wrong, a scalar where a list belongs too: what reads
    such answers downstream breaks on it. (A *reference* that is a scalar there is read as a list of one.) An empty
    list, and one of nulls, is null; null items of a list and null keys of its objects are left out.

    Memory is bounded: results are forgotten, between batches, beyond 65,536 pairs or 16 million characters.

    Args:
        task: its fields make the columns, in their order.
        comparators: one for each field of the task.
        nulls: the folded null list (``values.fold_nulls``).

    Raises:
        TaskError: a comparator of single values on a list field.
    """

    MOST_PAIRS = 65_536
    MOST_CHARACTERS = 16_000_000

    def __init__(self, task: Task, comparators: Mapping[str, Comparator], nulls: frozenset[str]) -> None:
        self.names = task.keys
        self.weights: Floats = np.array([field.weight for field in task.fields.values()], dtype=np.float64)
        self._results = _Results()
        self._memos = [
            _FieldMemo(name, field, comparators[name], nulls, self._results) for name, field in task.fields.items()
        ]
        self._unread = dict.fromkeys(self.names, _ANSWER_UNREAD)
        # itemgetter of one name returns the value itself, not a tuple of one.
        self._row = itemgetter(*self.names) if len(self.names) > 1 else lambda value: (value[self.names[0]],)

    def build(self, predictions: Sequence[Prediction], references: Sequence[Reference], read: Bools) -> Cells:
        """Compare n answers with their references; ``read`` (n,) says which answers can be read.

        Raises:
            ValueError: the three lengths differ.
            PluginError: a comparator raised, or returned a score outside [0, 1].
        """
        results = self._results
        if results.count > self.MOST_PAIRS or results.characters > self.MOST_CHARACTERS:
            self._forget()
        answers = [
            prediction.value if ok and isinstance(prediction.value, dict) else self._unread
            for prediction, ok in zip(predictions, read.tolist(), strict=True)
        ]
        truths = [reference if isinstance(reference, Mapping) else {} for reference in references]
        codes = self._codes(truths, answers)
        pairs = results.pairs[codes]
        used = np.zeros(len(results.texts), dtype=np.bool_)
        used[pairs[pairs >= 0]] = True
        kept = np.flatnonzero(used)
        places = np.cumsum(used) - 1
        compared = pairs >= 0
        pairs[compared] = places[pairs[compared]]
        texts = results.texts
        return Cells(
            names=self.names,
            weights=self.weights,
            expected=results.expected[codes],
            present=results.present[codes],
            outcomes=results.outcomes[codes],
            exact=results.exact[codes],
            scores=results.scores[codes],
            pairs=pairs,
            texts=[texts[index] for index in kept.tolist()],
        )

    def _codes(self, truths: Sequence[Mapping[str, JSONValue]], answers: Sequence[Mapping[str, JSONValue]]) -> Ints:
        codes: Ints = np.empty((len(truths), len(self.names)), dtype=np.int64)
        rows = zip(map(self._values, truths), map(self._values, answers), strict=True)
        columns = zip(*(zip(truth, answer, strict=True) for truth, answer in rows), strict=True)
        for index, (memo, column) in enumerate(zip(self._memos, columns, strict=False)):
            try:
                codes[:, index] = [memo[pair] for pair in column]
            except TypeError:  # a list or an object cannot be looked up
                codes[:, index] = [
                    memo[pair] if _is_plain(pair[0]) and _is_plain(pair[1]) else memo.compare(*pair) for pair in column
                ]
        return codes

    def _values(self, row: Mapping[str, JSONValue]) -> tuple[JSONValue, ...]:
        try:
            return self._row(row)
        except KeyError:
            return tuple([row.get(name, _MISSING) for name in self.names])

    def _forget(self) -> None:
        self._results.clear()
        for memo in self._memos:
            memo.clear()


def _ratio(numerators: Floats, denominators: Floats, reason: str) -> Scores:
    """Divide row by row; rows whose denominator is 0 are unscored for one reason."""
    scored = denominators > 0
    values = np.divide(numerators, denominators, out=np.zeros(len(numerators)), where=scored)
    reasons = dict.fromkeys(np.flatnonzero(~scored).tolist(), reason)
    return Scores(values, scored, reasons, numerators, denominators)


_NO_FIELDS = "the reference has none of the task's fields"


@dataclass(frozen=True, slots=True)
class _StructuredMetric:
    info: MetricInfo
    requires: tuple[str, ...] = ()


class StructuredMatch(_StructuredMetric):
    """Sum of exact field scores over the expected keys that are present / number of expected keys."""

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators and denominators are the sum and the number of keys."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        cells = batch.cells
        hits = np.where(cells.expected & cells.present, cells.exact, 0.0).sum(axis=1)
        return _ratio(hits, cells.expected.sum(axis=1).astype(np.float64), _NO_FIELDS)


class FieldMatchRate(_StructuredMetric):
    """Expected keys that the answer has / number of expected keys."""

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators and denominators are the two counts."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        cells = batch.cells
        found = (cells.expected & cells.present).sum(axis=1).astype(np.float64)
        return _ratio(found, cells.expected.sum(axis=1).astype(np.float64), _NO_FIELDS)


class ValueAccuracy(_StructuredMetric):
    """structured_match / field_match_rate: how good the values are where the keys are there.

    The run's value is the ratio of the two means (pooled), so that the product of the published table holds.
    """

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators are structured_match, denominators field_match_rate."""
        matches = StructuredMatch(self.info).score_batch(batch)
        rates = FieldMatchRate(self.info).score_batch(batch)
        scores = _ratio(matches.values, rates.values, "the answer has none of the expected keys")
        for row, reason in matches.reasons.items():
            scores.reasons[row] = reason
        return scores


class WeightedScore(_StructuredMetric):
    """Sum of w f / sum of w over the fields of the reference, each field scored by its own comparator."""

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators and denominators are the two sums."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        cells = batch.cells
        # Row-wise sums rather than a matrix product: BLAS may change the last digit with the batch's size.
        gained = (cells.scores * cells.weights).sum(axis=1)
        total = np.where(cells.expected, cells.weights, 0.0).sum(axis=1)
        scores = _ratio(gained, total, "the fields of the reference have weight 0")
        for row in np.flatnonzero(~cells.expected.any(axis=1)).tolist():
            scores.reasons[row] = _NO_FIELDS
        return scores


class ValuedF1(_StructuredMetric):
    """2C / (2C + 2 wrong + invented + omitted), pooled: what nulls cannot inflate.

    C counts correct fields with a value. A wrong value is a false positive and a miss, so it counts twice. A field of
    an unread answer counts as omitted where the reference has a value.
    """

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; numerators and denominators are those of the formula."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        cells = batch.cells
        outcomes = cells.outcomes
        correct = 2.0 * (outcomes == _CORRECT).sum(axis=1)
        missed = (outcomes == _OMITTED) | (outcomes == _INVENTED)
        missed |= (outcomes == _UNREAD) & (cells.pairs == _NO_TEXT)
        denominators = correct + 2.0 * (outcomes == _WRONG).sum(axis=1) + missed.sum(axis=1)
        scores = _ratio(correct, denominators, "no field has a value, in the reference or in the answer")
        for row in np.flatnonzero(~cells.expected.any(axis=1)).tolist():
            scores.reasons[row] = _NO_FIELDS
        return scores


_TEXT_TASK = "the task's answer is text: it has no fields"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def _extended(info: MetricInfo, part: str) -> MetricInfo:
    """Put a part into the signature, before the null list that the registry ends it with."""
    head, mark, nulls = info.signature.rpartition("|null:")
    return replace(info, signature=f"{head}|{part}{mark}{nulls}" if mark else f"{info.signature}|{part}")


def _scoring_signature(setting: Setting) -> str:
    """Hash what decides weighted_score: fields, weights, comparators, the synonym tables they name."""
    fields: dict[str, Any] = {}
    for name, field in setting.task.fields.items():
        comparator = {"kind": field.comparator.kind, **field.comparator.parameters}
        table = comparator.get("table")
        if field.comparator.kind == "synonyms" and isinstance(table, str):
            comparator["table"] = shipped_table(table).identity
        fields[name] = [field.weight, comparator, field.type, field.many]
    return f"scoring:{_digest(fields)}"


def _exact_kind(metric: type[_StructuredMetric]) -> Any:
    def build(info: MetricInfo, _parameters: object, _setting: Setting) -> _StructuredMetric:
        return metric(_extended(info, "comparator:exact"))

    return build


def _scored_kind(metric: type[_StructuredMetric]) -> Any:
    def build(info: MetricInfo, _parameters: object, setting: Setting) -> _StructuredMetric:
        return metric(_extended(info, _scoring_signature(setting)))

    return build


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "structured_match",
        _exact_kind(StructuredMatch),
        needs=frozenset({"reference"}),
        description="exact field scores over the expected keys that are present / expected keys",
    ),
    MetricKind(
        "field_match_rate",
        lambda info, _parameters, _setting: FieldMatchRate(info),
        needs=frozenset({"reference"}),
        description="expected keys present / expected keys",
    ),
    MetricKind(
        "value_accuracy",
        _exact_kind(ValueAccuracy),
        needs=frozenset({"reference"}),
        description="mean structured_match / mean field_match_rate",
    ),
    MetricKind(
        "weighted_score",
        _scored_kind(WeightedScore),
        needs=frozenset({"reference"}),
        description="field scores by each field's comparator, weighted by the task",
    ),
    MetricKind(
        "valued_f1",
        _scored_kind(ValuedF1),
        needs=frozenset({"reference"}),
        description="F1 over fields that have a value",
    ),
)
"""What ships, in the order in which it is listed."""
