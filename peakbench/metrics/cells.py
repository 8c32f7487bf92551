"""Fields compared once for every metric: predictions and references in, :class:`peakbench.metrics.base.Cells` out.

A garment answer takes few values, so each field remembers what came of a (reference, prediction) pair of strings:
most cells are one dictionary look-up and one numpy ``take``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from peakbench.errors import PluginError, TaskError
from peakbench.metrics.base import Bools, Cells, Comparator, Floats, Ints
from peakbench.records import OUTCOMES, JSONValue, Prediction, Reference
from peakbench.tasks import Task, TaskField
from peakbench.values import canonical, is_null, text_form

_CORRECT, _CORRECT_NULL, _WRONG, _INVENTED, _OMITTED, _UNREAD = range(len(OUTCOMES))
_NO_TEXT, _LEFT_OUT = -1, -2
_RANGE_SLACK = 1e-9

_Shape = Literal["scalar", "list", "object"]


_Row = tuple[bool, bool, int, float, float, int]
"""expected, present, outcome, exact, score, pair."""


class _Marker:
    """A value that no JSON text holds."""

    __slots__ = ()


_MISSING, _ANSWER_UNREAD, _WRONG_SHAPE = _Marker(), _Marker(), _Marker()
_PLAIN = frozenset({str, type(None), _Marker})


class _Side(NamedTuple):
    """One side of a pair: its value without nulls (None for a null one), what ``exact`` compares, and its text."""

    value: JSONValue
    form: Hashable
    text: str


_NULL_SIDE = _Side(None, None, "")
_WRONG_SIDE = _Side(_WRONG_SHAPE, None, "")


class _Strings(dict[str, _Side]):
    """What became of each string in a scalar field."""

    def __init__(self, nulls: frozenset[str]) -> None:
        super().__init__()
        self.nulls = nulls

    def __missing__(self, text: str) -> _Side:
        side = _NULL_SIDE if is_null(text, self.nulls) else _Side(text, canonical(text), text_form(text))
        self[text] = side
        return side


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
        self._waiting: list[_Row] = []

    def add(self, row: _Row) -> int:
        """Return the code of a new row; :meth:`settle` puts it into the arrays."""
        self._waiting.append(row)
        self.count += 1
        return self.count - 1

    def text(self, reference: str, prediction: str) -> int:
        """Return the code of a pair of texts."""
        code = self._text_codes.setdefault((reference, prediction), len(self.texts))
        if code == len(self.texts):
            self.texts.append((reference, prediction))
            self.characters += len(reference) + len(prediction)
        return code

    def settle(self) -> None:
        """Put the rows that wait into the arrays."""
        if not self._waiting:
            return
        rows = np.array(self._waiting, dtype=np.float64).T
        start = self.count - len(self._waiting)
        for name, row in zip(("expected", "present", "outcomes", "exact", "scores", "pairs"), rows, strict=True):
            array = getattr(self, name)
            if len(array) < self.count:
                array = np.concatenate([array, np.zeros(self.count, dtype=array.dtype)])
                setattr(self, name, array)
            array[start : self.count] = row
        self._waiting.clear()


class _FieldMemo(dict[tuple[Any, Any], int]):
    """One field: (reference, prediction) -> code.

    Strings, null and the markers are keys as they are. Numbers and booleans are kept with their types: 1, 1.0 and True
    are one key to a dict, and three values here.
    """

    def __init__(self, name: str, field: TaskField, comparator: Comparator, strings: _Strings, results: _Results):
        super().__init__()
        self._name = name
        self._optional = field.optional
        self._comparator = comparator
        self._strings = strings
        self._nulls = strings.nulls
        self._results = results
        self._shape = _shape(name, field, comparator)
        self._wrapped = self._shape == "object" and comparator.shape == "list"
        self._whole = self._shape == "list" and comparator.shape == "scalar"

    def __missing__(self, key: tuple[Any, Any]) -> int:
        reference, prediction = key
        if type(reference) not in _PLAIN or type(prediction) not in _PLAIN:
            key = (type(reference), reference), (type(prediction), prediction)
            known = self.get(key)
            if known is not None:
                return known
        code = self[key] = self.compare(reference, prediction)
        if type(prediction) is str:
            self._results.characters += len(prediction)
        return code

    def compare(self, reference: JSONValue, prediction: JSONValue) -> int:
        """Compare one pair, without looking it up, and return its code."""
        add = self._results.add
        unread = prediction is _ANSWER_UNREAD
        present = not unread and (self._optional or prediction is not _MISSING)
        if reference is _MISSING:
            return add((False, present, -1, 0.0, 0.0, _LEFT_OUT))
        truth = self._side(reference, is_reference=True)
        if unread:
            return add((True, False, _UNREAD, 0.0, 0.0, _LEFT_OUT if truth is _NULL_SIDE else _NO_TEXT))
        answer = _NULL_SIDE if prediction is _MISSING else self._side(prediction)
        if truth is _NULL_SIDE or answer is _NULL_SIDE:
            if truth is answer:
                return add((True, present, _CORRECT_NULL, 1.0, 1.0, _LEFT_OUT))
            return add((True, present, _INVENTED if truth is _NULL_SIDE else _OMITTED, 0.0, 0.0, _NO_TEXT))
        if truth is _WRONG_SIDE or answer is _WRONG_SIDE:
            return add((True, present, _WRONG, 0.0, 0.0, _NO_TEXT))
        exact = 1.0 if truth.form == answer.form else 0.0
        score = exact if self._whole else self._score(truth.value, answer.value)
        outcome = _CORRECT if score >= self._comparator.pass_mark else _WRONG
        return add((True, present, outcome, exact, score, self._results.text(truth.text, answer.text)))

    def _side(self, value: JSONValue, *, is_reference: bool = False) -> _Side:
        if self._shape == "scalar":
            if type(value) is str:
                return self._strings[value]
            if isinstance(value, (list, dict)):
                return _WRONG_SIDE
            return _NULL_SIDE if value is None else _Side(value, canonical(value), text_form(value))
        if is_null(value, self._nulls):
            return _NULL_SIDE
        if self._shape == "object":
            if not isinstance(value, dict):
                return _WRONG_SIDE
            value = self._without_nulls(value)
            return _Side(value, canonical(value), text_form(value))
        if is_reference and not isinstance(value, list):
            value = [value]
        if not isinstance(value, list):
            return _WRONG_SIDE
        value = [self._without_nulls(item) for item in value if not is_null(item, self._nulls)]
        return _Side(value, _list_form(value), text_form(value)) if value else _NULL_SIDE

    def _without_nulls(self, value: JSONValue) -> JSONValue:
        if not isinstance(value, dict):
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
        if 0.0 <= score <= 1.0:
            return score
        if not -_RANGE_SLACK <= score <= 1 + _RANGE_SLACK:
            raise PluginError(
                f"the comparator returned {score}", where=f"field '{self._name}'", expected="a score in [0, 1]"
            )
        return min(1.0, max(0.0, score))


def _can_be_key(value: object) -> bool:
    return not isinstance(value, (list, dict))


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


def _list_form(items: list[JSONValue]) -> Hashable:
    """``exact`` for a list: its tags as a set; where it holds objects, all items; in no order."""
    forms = [canonical(item) for item in items]
    if any(isinstance(item, (list, dict)) for item in items):
        return tuple(sorted(forms))
    return frozenset(forms)


def _column_codes(memo: _FieldMemo, truths: Sequence[JSONValue], answers: Sequence[JSONValue]) -> list[int]:
    try:
        return list(map(memo.__getitem__, zip(truths, answers, strict=True)))
    except TypeError:  # a list or an object cannot be looked up
        return [
            memo[truth, answer] if _can_be_key(truth) and _can_be_key(answer) else memo.compare(truth, answer)
            for truth, answer in zip(truths, answers, strict=True)
        ]


class CellBuilder:
    """Compares the fields of a batch, once for every metric.

    What a value must be follows from the field: a list where it is ``many`` or its comparator compares lists, an
    object where its type is one, else a scalar. Anything else is wrong, a scalar where a list belongs too: what reads
    such answers downstream breaks on it. (A *reference* that is a scalar there is read as a list of one.) An empty
    list, and one of nulls, is null; null items of a list and null keys of its objects are left out.

    Memory is bounded: results are forgotten, between batches, beyond 32,768 pairs or 16 million characters.

    Args:
        task: its fields make the columns, in their order.
        comparators: one for each field of the task.
        nulls: the folded null list (``values.fold_nulls``).

    Raises:
        TaskError: a comparator of single values on a list field.
    """

    MOST_PAIRS = 32_768
    MOST_CHARACTERS = 16_000_000

    def __init__(self, task: Task, comparators: Mapping[str, Comparator], nulls: frozenset[str]) -> None:
        self.names = task.keys
        self.weights: Floats = np.array([field.weight for field in task.fields.values()], dtype=np.float64)
        self._results = _Results()
        self._strings = _Strings(nulls)
        self._memos = [
            _FieldMemo(name, field, comparators[name], self._strings, self._results)
            for name, field in task.fields.items()
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
        truths = [one if type(one) is dict or isinstance(one, Mapping) else {} for one in references]
        codes = self._codes(truths, answers)
        results.settle()
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
        columns = zip(self._memos, self._columns(truths), self._columns(answers), strict=True)
        codes = [_column_codes(memo, truth, answer) for memo, truth, answer in columns]
        # One column after the other in memory: sums over fields are then sums of long vectors.
        return np.array(codes, dtype=np.int64).T

    def _columns(self, rows: Sequence[Mapping[str, JSONValue]]) -> list[tuple[JSONValue, ...]]:
        if not rows:
            return [()] * len(self.names)
        try:
            values = list(map(self._row, rows))
        except KeyError:  # some row lacks a key
            values = [tuple([row.get(name, _MISSING) for name in self.names]) for row in rows]
        return list(zip(*values, strict=True))

    def _forget(self) -> None:
        self._results.clear()
        self._strings.clear()
        for memo in self._memos:
            memo.clear()
