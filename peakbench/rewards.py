"""A reward for training that is the benchmark's own judgement of an answer, in three layers.

1. *JSON*: a gate. The whole text is one JSON object (RFC 8259: no fence, no prose, no NaN), or the reward is 0.
2. *Structure*, 20 %: keys that are as the task asks, with a value of the right kind or null, / keys asked or given. A
   key that is not asked for costs, and so does one that stands twice.
3. *Content*, 80 %: the field scores of the benchmark, weighted by the task, over the fields that have a value in the
   reference or in the answer. A field that is null in both earns nothing; where every field is, content is 1.

Parsing, null list, comparators and weights are those of ``peakbench run``, so what is trained is what is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

import numpy as np
import orjson

from peakbench.builtins import open_registry
from peakbench.errors import ConfigError, DataError, DataProblem, TaskError
from peakbench.metrics.base import Bools, Comparator, Floats, Tools
from peakbench.metrics.cells import CellBuilder
from peakbench.parsing import Parsed, parse
from peakbench.records import JSONValue, Prediction, Reference
from peakbench.tasks import Task, TaskField

VERSION = 1
"""Rises with every change that changes a reward."""

OTHER_TEXT = "other_text"
"""The problem of an answer whose one object stands in other text: a code fence, prose, reasoning."""

_SLACK = 1e-9
_LEFT_OUT = -2  # Cells.pairs: a value on neither side, or a field that the reference does not have

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
}


@dataclass(frozen=True, slots=True)
class RewardParts:
    """What one answer earns, and for what; every number in [0, 1].

    ``total``: the weighted sum of ``structure`` and ``content``; 0 where ``json`` is False. ``json``: whether the
    answer is one JSON object. ``fields``: the benchmark's score of each field that has a value in the reference or in
    the answer: ``content`` is their mean by the task's weights. ``problem``: why nothing was earned, or what is odd
    about the answer: a reason of ``peakbench.parsing.REASONS``, or ``other_text``.
    """

    total: float
    json: bool
    structure: float
    content: float
    fields: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


class Reward:
    """Scores answers for training, in three layers (see the module).

    Args:
        task: the id of a task, a task file, or a task whose answer is JSON.
        structure: the weight of layer 2.
        content: the weight of layer 3; the two sum to 1.
        extract: whether one object in a code fence, after reasoning or in other text passes the gate too, as it does
            in the benchmark. By default the text must be the object and nothing else.
        tools: the models at hand, for comparators that need one.

    Raises:
        ConfigError: the weights are negative or do not sum to 1.
        TaskError: the task is unknown, its answer is text, or a comparator cannot be had.

    >>> reward = Reward("garment")
    >>> reference = {"type": "t-shirt", "color": "navy blue", "brand": None}
    >>> parts = reward('{"type": "tee", "color": "red", "brand": null}', reference)
    >>> parts.fields, round(parts.content, 3)
    ({'type': 1.0, 'color': 0.0}, 0.714)
    >>> round(parts.structure, 3), round(parts.total, 3)
    (0.333, 0.638)
    >>> reward("It is a navy blue t-shirt.", reference)
    RewardParts(total=0.0, json=False, structure=0.0, content=0.0, fields={}, problem='no_object')
    """

    def __init__(
        self,
        task: str | Path | Task = "garment",
        *,
        structure: float = 0.2,
        content: float = 0.8,
        extract: bool = False,
        tools: Tools | None = None,
    ) -> None:
        if not (structure >= 0 and content >= 0 and math.isclose(structure + content, 1, abs_tol=_SLACK)):
            raise ConfigError(
                f"the layers weigh {structure:g} and {content:g}",
                where="reward: structure, content",
                expected="two numbers from 0 whose sum is 1",
            )
        registry = open_registry()
        self.task = task if isinstance(task, Task) else registry.task(task)
        if self.task.answer == "text":
            raise TaskError(
                "the answer is text: it has no fields to reward", where=f"task '{self.task.id}'", expected="a JSON task"
            )
        self.structure, self.content, self.extract = structure, content, extract
        tools = tools or Tools()
        comparators = registry.comparators(self.task, tools)
        self._cells = CellBuilder(self.task, comparators, registry.nulls_of(self.task))
        self._kinds = {name: _Kind.of(one, comparators[name]) for name, one in self.task.fields.items()}
        self._keys = frozenset(self.task.keys)
        scoring = registry.build(["weighted_score"], self.task, tools)[-1].info.signature
        gate = "extract" if extract else "strict"
        self.signature = f"reward|v{VERSION}|gate:{gate}|structure:{structure:.12g}|content:{content:.12g}|of:{scoring}"
        """Names everything that changes a reward."""

    def __call__(self, text: str | None, reference: Reference) -> RewardParts:
        """Score one answer text against its reference.

        Raises:
            DataError: the reference is no object with a field of the task.
        """
        return self.batch([text], [reference])[0]

    def batch(self, texts: Sequence[str | None], references: Sequence[Reference]) -> list[RewardParts]:
        """Score n answer texts against n references, row by row; a row's reward does not depend on the others.

        Raises:
            ValueError: the lengths differ.
            DataError: references that are no object with a field of the task, each by its row.
        """
        if len(texts) != len(references):
            raise ValueError(f"{len(texts)} texts for {len(references)} references")
        self._check(references)
        found = [parse(text, keys=self._keys) for text in texts]
        passed = [self._passes(parsed) for parsed in found]
        paid = iter(self._paid(list(compress(found, passed)), list(compress(references, passed))))
        return [
            next(paid) if ok else self._unpaid(parsed, text)
            for parsed, text, ok in zip(found, texts, passed, strict=True)
        ]

    def _paid(self, found: Sequence[Parsed], references: Sequence[Reference]) -> Iterator[RewardParts]:
        """Yield what the answers earn that have passed the gate."""
        if not found:
            return
        predictions = [Prediction("", 0, parsed.state, parsed.value) for parsed in found]
        read: Bools = np.ones(len(found), dtype=np.bool_)
        cells = self._cells.build(predictions, references, read)
        counted = cells.pairs != _LEFT_OUT
        contents = _weighted_mean(cells.scores, counted, cells.weights).tolist()
        for parsed, content, scores, kept in zip(found, contents, cells.scores.tolist(), counted.tolist(), strict=True):
            assert parsed.value is not None
            structure = self._structure(parsed.value, parsed.duplicates)
            yield RewardParts(
                total=min(1.0, self.structure * structure + self.content * content),
                json=True,
                structure=structure,
                content=content,
                fields=dict(compress(zip(cells.names, scores, strict=True), kept)),
                problem=parsed.problem.reason if parsed.problem else None,
            )

    def _unpaid(self, parsed: Parsed, text: str | None) -> RewardParts:
        """Return what an answer earns that no layer pays; an object with none of the keys may have passed the gate."""
        passed = parsed.state == "off_schema" and (self.extract or _is_json(text))
        problem = OTHER_TEXT if parsed.state == "extracted" else parsed.problem.reason if parsed.problem else None
        return RewardParts(0.0, passed, 0.0, 0.0, {}, problem)

    def _check(self, references: Sequence[Reference]) -> None:
        wrong = [
            row for row, one in enumerate(references) if not isinstance(one, Mapping) or self._keys.isdisjoint(one)
        ]
        if wrong:
            raise DataError(
                f"{len(wrong)} of {len(references)} references cannot be compared with",
                problems=[DataProblem(f"row {row}", "not an object with a field of the task") for row in wrong],
                where="reward",
                expected=f"objects with the keys of task '{self.task.id}': {', '.join(self.task.keys)}",
            )

    def _passes(self, parsed: Parsed) -> bool:
        return parsed.state == "strict" or (self.extract and parsed.state == "extracted")

    def _structure(self, value: Mapping[str, JSONValue], duplicates: int) -> float:
        known = fitting = 0
        for name, item in value.items():
            kind = self._kinds.get(name)
            if kind is not None:
                known += 1
                fitting += item is None or kind.fits(item)
        if known < len(self._kinds):
            fitting += sum(kind.optional for name, kind in self._kinds.items() if name not in value)
        return fitting / (len(self._kinds) + len(value) - known + duplicates)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value of a field is: one of ``types``, or a list of such; null fits everywhere."""

    types: tuple[type, ...]
    many: bool
    optional: bool

    @classmethod
    def of(cls, one: TaskField, comparator: Comparator) -> _Kind:
        many = one.many or (comparator.shape == "list" and one.type != "object")
        return cls(_KINDS[one.type], many, one.optional)

    def fits(self, value: JSONValue) -> bool:
        if self.many:
            return type(value) is list and all(type(item) in self.types for item in value)
        return type(value) in self.types  # not isinstance: a boolean is no number here


def _is_json(text: str | None) -> bool:
    try:
        orjson.loads(text or "")
    except orjson.JSONDecodeError:
        return False
    return True


def _weighted_mean(scores: Floats, counted: Bools, weights: Floats) -> Floats:
    """Average (n, f) scores over the counted fields, column by column: ``sum`` may differ in the last digit with n."""
    gained, total = np.zeros(len(scores)), np.zeros(len(scores))
    for column, weight in enumerate(weights.tolist()):
        kept = counted[:, column] * weight
        gained += scores[:, column] * kept
        total += kept
    return np.divide(gained, total, out=np.ones(len(scores)), where=total > 0)
