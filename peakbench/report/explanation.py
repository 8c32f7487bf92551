"""One answer's scores taken apart, term by term: what was weighed, what it came to, and why each field scored so.

What stands in scores.jsonl is the truth; this room adds up the same terms again and says where they do not come to
the stored number (other definitions, another model). Exact answers, the hallucination penalty and unscored parts are
those of :mod:`peakbench.metrics.composite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from peakbench.metrics.base import Batch, Cells, Comparator, Tools
from peakbench.metrics.cells import CellBuilder
from peakbench.metrics.comparators import Fuzzy, Synonyms
from peakbench.metrics.composite import QualityParameters, WeightedMeanParameters
from peakbench.records import JSONValue, Prediction, Reference
from peakbench.registry import Registry
from peakbench.tasks import Task
from peakbench.values import canonical

SLACK = 1e-9
"""How far a sum may lie from the stored number."""


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a composite: ``value`` is None where it is unscored, for ``reason``."""

    name: str
    weight: float
    value: float | None
    reason: str | None = None

    @property
    def contribution(self) -> float | None:
        """Weight x value."""
        return None if self.value is None else self.weight * self.value


@dataclass(frozen=True, slots=True)
class CompositeTerms:
    """A composite of one answer. ``value``: what the terms come to; ``stored``: what scores.jsonl says.

    ``exact``: an exact answer, which is 1 at once. ``penalty``: ``on``, ``off`` (``hallucination:off`` in the
    signature), or ``none`` (the metric has none, or the answer is exact). ``factor``: what the sum is multiplied by.
    """

    name: str
    terms: tuple[Term, ...]
    divide_by: float
    exact: bool
    penalty: Literal["on", "off", "none"]
    penalty_metric: str | None
    hallucination: float | None
    factor: float
    total: float | None
    value: float | None
    stored: float | None
    reason: str | None

    @property
    def agrees(self) -> bool:
        """Whether the terms come to the stored number."""
        if self.value is None or self.stored is None:
            return self.value is self.stored
        return abs(self.value - self.stored) <= SLACK


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One field of one answer: its score by its own comparator, by ``exact``, and why."""

    name: str
    reference: JSONValue
    answer: JSONValue
    present: bool
    comparator: str
    outcome: str
    score: float
    exact: float
    weight: float
    why: str

    @property
    def contribution(self) -> float:
        """Weight x score."""
        return self.weight * self.score


@dataclass(frozen=True, slots=True)
class Explanation:
    """One answer taken apart. ``by_value``: for each text metric the value of each field that has one on either side.

    ``weighted_score``, ``structured_match``: what the fields come to, None where there are none; ``stored`` has every
    metric's stored number. ``inexact``: why the answer is no exact one, None where it is, or where that cannot be.
    """

    sample_id: str
    repeat: int
    state: str
    composites: tuple[CompositeTerms, ...]
    fields: tuple[FieldTerm, ...]
    by_value: Mapping[str, Mapping[str, float]]
    weighted_score: float | None
    structured_match: float | None
    stored: Mapping[str, float | None]
    inexact: str | None


class _Shaped:
    """Stands for a comparator whose stored score is used: its shape and pass mark, without its work."""

    def __init__(self, comparator: Comparator) -> None:
        self.shape = comparator.shape
        self.pass_mark = comparator.pass_mark

    def score(self, _reference: JSONValue, _prediction: JSONValue) -> float:
        return 0.0


def explain(
    prediction: Prediction,
    reference: Reference,
    row: Mapping[str, Any],
    *,
    task: Task,
    registry: Registry,
    tools: Tools,
    signatures: Mapping[str, str],
) -> Explanation:
    """Take one answer's scores apart.

    Args:
        prediction: the answer as it was read.
        reference: the sample's.
        row: its line of scores.jsonl.
        task: the run's.
        registry: holds the definitions that the run was scored with.
        tools: the models, for the values of ``sbert`` field by field; only those that are there are asked.
        signatures: by metric id, from the summary; they say whether the penalty was on.
    """
    metrics: Mapping[str, Mapping[str, Any]] = row["metrics"]
    cells, comparators = None, {}
    if task.answer == "json" and row["state"] != "failed":
        comparators = registry.comparators(task, tools)
        builder = CellBuilder(task, {name: _Shaped(one) for name, one in comparators.items()}, registry.nulls_of(task))
        cells = builder.build([prediction], [reference], np.array([prediction.read]))
    inexact = _inexact(prediction, cells)
    exact = cells is not None and inexact is None
    composites = tuple(
        _composite(
            name,
            registry.parameters[name],
            metrics,
            answer=task.answer,
            exact=exact,
            signature=signatures.get(name, ""),
        )
        for name in metrics
        if name in registry.parameters
        and isinstance(registry.parameters[name], QualityParameters | WeightedMeanParameters)
    )
    fields = _fields(prediction, reference, row, cells=cells, task=task, comparators=comparators)
    weights = sum(one.weight for one in fields)
    return Explanation(
        sample_id=row["sample_id"],
        repeat=row["repeat"],
        state=row["state"],
        composites=composites,
        fields=fields,
        by_value={}
        if cells is None
        else _by_value(prediction, reference, cells, composites, task=task, registry=registry, tools=tools),
        weighted_score=sum(one.contribution for one in fields) / weights if weights else None,
        structured_match=sum(one.exact * one.present for one in fields) / len(fields) if fields else None,
        stored={name: one["value"] for name, one in metrics.items()},
        inexact=inexact,
    )


def _composite(
    name: str,
    parameters: BaseModel,
    metrics: Mapping[str, Mapping[str, Any]],
    *,
    answer: Literal["json", "text"],
    exact: bool,
    signature: str,
) -> CompositeTerms:
    assert isinstance(parameters, QualityParameters | WeightedMeanParameters)
    absent = {"value": None, "reason": "not scored in this run"}
    terms = []
    for part, weight in parameters.parts_for(answer).items():
        found = metrics.get(part, absent)
        terms.append(Term(part, weight, found["value"], found["reason"]))
    divide_by = parameters.divide_by if isinstance(parameters, WeightedMeanParameters) else 1.0
    penalty = parameters.penalty if isinstance(parameters, QualityParameters) else None
    exact = exact and isinstance(parameters, QualityParameters)
    known = [term.contribution for term in terms if term.contribution is not None]
    total = sum(known) / divide_by if len(known) == len(terms) else None
    switch: Literal["on", "off", "none"] = "none"
    hallucination, factor = None, 1.0
    if penalty is not None and not exact:
        switch = "on" if "hallucination:on" in signature else "off"
        if switch == "on":
            hallucination = metrics.get(penalty.metric, absent)["value"]
            if hallucination is not None:
                factor = float(penalty.factors(np.array([hallucination]))[0])
    value = None if total is None else 1.0 if exact else total * factor
    if switch == "on" and hallucination is None:
        value = None
    return CompositeTerms(
        name=name,
        terms=tuple(terms),
        divide_by=divide_by,
        exact=exact,
        penalty=switch,
        penalty_metric=penalty.metric if penalty else None,
        hallucination=hallucination,
        factor=factor,
        total=total,
        value=value,
        stored=metrics[name]["value"],
        reason=metrics[name]["reason"],
    )


def _inexact(prediction: Prediction, cells: Cells | None) -> str | None:
    """Say why an answer to a JSON task is no exact one; None where it is."""
    if cells is None:
        return None
    if not prediction.read:
        return "the answer cannot be read"
    expected = [name for name, there in zip(cells.names, cells.expected[0].tolist(), strict=True) if there]
    if not expected:
        return "the reference has none of the task's fields"
    differing = [
        name
        for name, there, exact in zip(cells.names, cells.expected[0].tolist(), cells.exact[0].tolist(), strict=True)
        if there and exact != 1
    ]
    if differing:
        return f"not exact: {', '.join(differing)}"
    keys = prediction.value.keys()
    missing, extra = [name for name in expected if name not in keys], sorted(keys - set(expected))
    if missing or extra:
        return "; ".join(
            f"{words}: {', '.join(names)}"
            for words, names in (("keys missing", missing), ("keys too many", extra))
            if names
        )
    return None


def _fields(
    prediction: Prediction,
    reference: Reference,
    row: Mapping[str, Any],
    *,
    cells: Cells | None,
    task: Task,
    comparators: Mapping[str, Comparator],
) -> tuple[FieldTerm, ...]:
    if cells is None or not isinstance(reference, Mapping):
        return ()
    answer = prediction.value if prediction.read else {}
    found = []
    for place, name in enumerate(cells.names):
        stored = row["fields"].get(name)
        if stored is None:
            continue
        one = task.fields[name]
        given = reference[name], answer.get(name)
        why = _why(*given, comparators[name], outcome=stored["outcome"], score=stored["score"], there=name in answer)
        found.append(
            FieldTerm(
                name=name,
                reference=given[0],
                answer=given[1],
                present=bool(cells.present[0, place]),
                comparator=str(one.comparator),
                outcome=stored["outcome"],
                score=stored["score"],
                exact=float(cells.exact[0, place]),
                weight=one.weight,
                why=why,
            )
        )
    return tuple(found)


def _why(
    reference: JSONValue, answer: JSONValue, comparator: Comparator, *, outcome: str, score: float, there: bool
) -> str:
    """Say in words why a field scored so."""
    settled = {
        "unread": "the answer cannot be read",
        "correct_null": "both are null",
        "omitted": "the reference has a value, the answer has " + ("null" if there else "no such key"),
        "invented": "the reference is null, the answer has a value",
    }
    if outcome in settled:
        return settled[outcome]
    nested = isinstance(answer, list | dict), isinstance(reference, list | dict)
    if comparator.shape == "scalar" and nested[0] and not nested[1]:
        return "a list or an object stands where a single value belongs"
    if canonical(reference) == canonical(answer):
        return "the same, case, spaces and hyphens aside"
    if isinstance(comparator, Synonyms):
        first, second = comparator.table.head(reference), comparator.table.head(answer)
        return f"synonyms of '{first}'" if first == second else f"'{first}' and '{second}' are no synonyms"
    if isinstance(comparator, Fuzzy):
        from rapidfuzz import fuzz

        ratio = fuzz.ratio(canonical(reference), canonical(answer)) / 100
        side = "at or above" if score else "below"
        return f"similarity {ratio:.3f}, {side} the threshold {comparator.pass_mark:g}"
    if comparator.pass_mark == 1:
        return "the same by this comparator" if score == 1 else f"this comparator gives {score:g}"
    return f"this comparator gives {score:g}; {comparator.pass_mark:g} makes the field correct"


def _by_value(
    prediction: Prediction,
    reference: Reference,
    cells: Cells,
    composites: tuple[CompositeTerms, ...],
    *,
    task: Task,
    registry: Registry,
    tools: Tools,
) -> dict[str, dict[str, float]]:
    """Score each field by itself with the parts that read values; those whose mean is the stored one are shown."""
    found: dict[str, dict[str, float]] = {}
    parts = {term.name: term.value for one in composites for term in one.terms if term.value is not None}
    counted = cells.pairs[0] != -2
    names = [name for name, there in zip(cells.names, counted.tolist(), strict=True) if there]
    if not prediction.read or not names:
        return found
    n = len(names)
    single = Cells(
        names=("value",),
        weights=np.ones(1),
        expected=np.ones((n, 1), dtype=np.bool_),
        present=cells.present[:, counted].T,
        outcomes=cells.outcomes[:, counted].T,
        exact=cells.exact[:, counted].T,
        scores=cells.scores[:, counted].T,
        pairs=cells.pairs[:, counted].T,
        texts=cells.texts,
    )
    for part, stored in parts.items():
        if part not in registry.definitions or registry.definitions[part].family not in ("text", "semantic"):
            continue
        (metric,) = [one for one in registry.build([part], task, tools) if one.info.id == part]
        if metric.requires or metric.info.parameters.get("view", "values") != "values":
            continue
        scores = metric.score_batch(Batch([prediction] * n, [reference] * n, np.ones(n, dtype=np.bool_), single))
        if scores.scored.all() and abs(float(scores.values.mean()) - stored) <= SLACK:
            found[part] = dict(zip(names, scores.values.tolist(), strict=True))
    return found
