"""Predictions and metrics in, scores out: one batch at a time, the same rules for every metric.

What a metric does not settle is settled here, so that no metric can do it differently:

* a *failed* answer is unscored, ``failed: <kind>``; metrics never see it;
* an answer that *cannot be read* has the worst value of the range on every metric that reads the answer, whatever
  the metric returned for it, unless there is nothing to compare it with or the metric scores nothing at all (a
  missing model);
* a value within 1e-9 outside its range is clamped; one further out, a NaN, a wrong shape or an exception marks the
  metric as *broken*: unscored in this run, with the reason. A broken plugin never takes the run down.

A *profile* reads answers as numbers published elsewhere read them, for comparison with those numbers only.
``published-2026``: an answer that cannot be read is read as one with every field null (a text task: the empty text),
by every metric that reads the answer. Its state, and with it the rates of valid JSON, stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from peakbench.metrics.base import (
    NO_REFERENCE,
    Batch,
    Bools,
    Cells,
    Comparator,
    Floats,
    Ints,
    Metric,
    MetricInfo,
    Scores,
)
from peakbench.metrics.cells import CellBuilder
from peakbench.records import OUTCOMES, JSONValue, Prediction, Reference, State
from peakbench.tasks import Task

CLAMP = 1e-9
"""How far outside its range a value may lie and still be put on its edge."""

Profile = Literal["published-2026"]
PROFILES: tuple[Profile, ...] = get_args(Profile)

_NO_REASON = "the metric gave no reason"


def profiled(signature: str, profile: Profile | None) -> str:
    """Return a signature with the profile at its end: such a number is comparable with its like only.

    >>> profiled("bleu|v1", "published-2026"), profiled("bleu|v1", None)
    ('bleu|v1|profile:published-2026', 'bleu|v1')
    """
    return signature if profile is None else f"{signature}|profile:{profile}"


def null_answer(task: Task) -> tuple[State, JSONValue]:
    """Return the state and value of an answer that says nothing: every field null, or the empty text.

    >>> null_answer(Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"color": {}}}))
    ('strict', {'color': None})
    """
    return ("text", "") if task.answer == "text" else ("strict", dict.fromkeys(task.keys))


def read_under(prediction: Prediction, task: Task, profile: Profile | None) -> Prediction:
    """Return an answer as a profile reads it: one that cannot be read says nothing, and its text is not there either.

    >>> task = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"color": {}}})
    >>> read_under(Prediction("p", 0, "off_schema"), task, "published-2026").value
    {'color': None}
    """
    if profile is None or prediction.read or prediction.state == "failed":
        return prediction
    return Prediction(prediction.sample_id, prediction.repeat, *null_answer(task))


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """n answers, scored.

    ``answered``: (m,) rows of the batch that are not failed; ``cells`` has those m rows, None for a text task.
    ``scores``: by metric id, over all n rows. ``pooled``: ids of the metrics whose run value is a ratio of two sums.
    """

    predictions: Sequence[Prediction]
    references: Sequence[Reference]
    answered: Ints
    cells: Cells | None
    scores: Mapping[str, Scores]
    pooled: frozenset[str] = frozenset()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of scores.jsonl: one an answer, with ``problem`` where the text was odd.

        A line is ``{sample_id, repeat, state, metrics: {id: {value, reason}}, fields: {name: {score, outcome}}}``;
        ``fields`` holds the fields that the reference has, and nothing for a failed answer. A pooled metric has its
        ``sums`` too: numerator and denominator.
        """
        ids = list(self.scores)
        table = [_entries(scores, pooled=id_ in self.pooled) for id_, scores in self.scores.items()]
        metrics = zip(*table, strict=True) if table else iter([()] * len(self.predictions))
        fields = self._fields()
        for row, (prediction, values) in enumerate(zip(self.predictions, metrics, strict=True)):
            line: dict[str, Any] = {
                "sample_id": prediction.sample_id,
                "repeat": prediction.repeat,
                "state": prediction.state,
                "metrics": dict(zip(ids, values, strict=True)),
                "fields": fields.get(row, {}),
            }
            if prediction.problem is not None:
                problem = prediction.problem
                line["problem"] = {"reason": problem.reason, "position": problem.position, "detail": problem.detail}
            yield line

    def _fields(self) -> dict[int, dict[str, dict[str, Any]]]:
        if self.cells is None:
            return {}
        names = self.cells.names
        scores, codes = self.cells.scores.tolist(), self.cells.outcomes.tolist()
        return {
            row: {
                name: {"score": score, "outcome": OUTCOMES[code]}
                for name, score, code in zip(names, scores[at], codes[at], strict=True)
                if code >= 0
            }
            for at, row in enumerate(self.answered.tolist())
        }


def _entries(scores: Scores, *, pooled: bool) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = [
        {"value": value, "reason": None} if scored else {"value": None, "reason": scores.reasons.get(row, _NO_REASON)}
        for row, (value, scored) in enumerate(zip(scores.values.tolist(), scores.scored.tolist(), strict=True))
    ]
    if pooled and scores.numerators is not None and scores.denominators is not None:
        sums = zip(scores.numerators.tolist(), scores.denominators.tolist(), strict=True)
        for entry, pair in zip(entries, sums, strict=True):
            if entry["value"] is not None:
                entry["sums"] = pair
    return entries


class _BrokenMetric(Exception):  # noqa: N818 - caught in this room
    """A metric returned what no metric may return."""


class Scorer:
    """Scores batches with a list of metrics, dependencies first.

    ``metrics``: those of one number a run (``reduction`` "run") are left out. ``broken``: by id, why a metric is
    unscored in this run; it grows while scoring, and a scorer that starts with it knows from the first row.
    ``profile``: how answers that cannot be read are read, None for the rule. ``infos``: what each metric declares,
    the profile in the signatures of those that it changes.

    Raises:
        ValueError: a metric stands before one that it reads, or an id stands twice (the registry orders them).
    """

    def __init__(
        self,
        task: Task,
        metrics: Sequence[Metric],
        comparators: Mapping[str, Comparator],
        nulls: frozenset[str],
        *,
        broken: Mapping[str, str] | None = None,
        profile: Profile | None = None,
    ) -> None:
        self.metrics = tuple(metric for metric in metrics if metric.info.reduction != "run")
        self.profile = profile
        self.infos = tuple(
            replace(metric.info, signature=profiled(metric.info.signature, profile))
            if metric.info.reads_answer
            else metric.info
            for metric in self.metrics
        )
        self._task = task
        self.broken = dict(broken or {})
        self._cells = CellBuilder(task, comparators, nulls) if task.answer == "json" else None
        known: set[str] = set()
        for metric in self.metrics:
            if metric.info.id in known or not known.issuperset(metric.requires):
                raise ValueError(f"metric {metric.info.id} stands twice, or before one of {metric.requires}")
            known.add(metric.info.id)

    def score(
        self,
        predictions: Sequence[Prediction],
        references: Sequence[Reference],
        prompts: Sequence[str | None] | None = None,
    ) -> ScoredBatch:
        """Score n answers against their references, row by row; ``prompts``: each sample's own, where it has one.

        Raises:
            ValueError: they differ in length.
        """
        pairs = list(zip(predictions, references, strict=True))
        if prompts is not None and len(prompts) != len(pairs):
            raise ValueError(f"{len(prompts)} prompts for {len(pairs)} answers")
        answered = np.array([row for row, (p, _) in enumerate(pairs) if p.state != "failed"], dtype=np.int64)
        failed = {row: _failure(p) for row, (p, _) in enumerate(pairs) if p.state == "failed"}
        given = self._with_stand_in([pairs[row] for row in answered])
        # Behind the last answer may stand the row that repeats a reference.
        asked = None
        if prompts is not None:
            asked = [*(prompts[row] for row in answered), *[None] * (len(given) - len(answered))]
        batch, comparable = self._batch(given, asked)
        valued = batch
        if self.profile is not None and not batch.read.all():
            lenient = [(read_under(prediction, self._task, self.profile), reference) for prediction, reference in given]
            valued, _ = self._batch(lenient, asked)
            valued.scores = batch.scores
        for metric in self.metrics:
            read_by = valued if metric.info.reads_answer else batch
            batch.scores[metric.info.id] = self._scores(metric, read_by, comparable)
        m = len(answered)
        scores = {id_: _spread(found, answered, failed, len(pairs)) for id_, found in batch.scores.items()}
        pooled = frozenset(metric.info.id for metric in self.metrics if metric.info.reduction == "pooled")
        return ScoredBatch(predictions, references, answered, _head(valued.cells, m), scores, pooled)

    def _with_stand_in(self, pairs: list[tuple[Prediction, Reference]]) -> list[tuple[Prediction, Reference]]:
        """Add a row that repeats a reference where no row can be read (``_spread`` cuts it off).

        Whether a metric can score at all must show even then, or unread answers would be the worst on a metric that
        is not installed.
        """
        if pairs and not any(prediction.read for prediction, _ in pairs):
            stand_in = next((reference for _, reference in pairs if reference), None)
            if stand_in is not None:
                state: State = "text" if self._cells is None else "strict"
                return [*pairs, (Prediction("(reference)", 0, state, stand_in), stand_in)]
        return pairs

    def _batch(
        self, pairs: Sequence[tuple[Prediction, Reference]], prompts: Sequence[str | None] | None
    ) -> tuple[Batch, Bools]:
        """Make the batch, and say which rows have something to compare with."""
        predictions = [prediction for prediction, _ in pairs]
        references = [reference for _, reference in pairs]
        read = np.array([prediction.read for prediction in predictions], dtype=np.bool_)
        if self._cells is None:
            comparable = np.array([isinstance(reference, str) for reference in references], dtype=np.bool_)
            return Batch(predictions, references, read, None, prompts=prompts), comparable
        cells = self._cells.build(predictions, references, read)
        expected: Bools = np.asarray(cells.expected.any(axis=1))
        return Batch(predictions, references, read, cells, prompts=prompts), expected

    def _scores(self, metric: Metric, batch: Batch, comparable: Bools) -> Scores:
        info, n = metric.info, len(batch)
        if not n:
            return Scores.full(np.zeros(0))
        if info.id not in self.broken:
            try:
                scores = _checked(info, metric.score_batch(batch), batch)
                return _settled(info, _without_reference(info, scores, batch), batch.read, comparable)
            except _BrokenMetric as error:
                self.broken[info.id] = str(error)
            except Exception as error:  # whatever a plugin's metric raises, the run goes on without that metric
                first = str(error).partition("\n")[0][:200]
                self.broken[info.id] = f"{type(error).__name__}: {first}" if first else type(error).__name__
        return Scores.none(n, self.broken[info.id])


def _failure(prediction: Prediction) -> str:
    failure = prediction.completion.failure if prediction.completion else None
    return f"failed: {failure.kind}" if failure else "failed"


def _checked(info: MetricInfo, scores: Scores, batch: Batch) -> Scores:
    """Return the scores as float64 of the right shape and inside the range."""
    n = len(batch)
    values = np.array(scores.values, dtype=np.float64)
    scored = np.array(scores.scored, dtype=np.bool_)
    if values.shape != (n,) or scored.shape != (n,):
        raise _BrokenMetric(f"returned shapes {values.shape} and {scored.shape} for {n} answers")
    low = -np.inf if info.low is None else info.low
    high = np.inf if info.high is None else info.high
    outside = scored & ~((values >= low - CLAMP) & (values <= high + CLAMP) & np.isfinite(values))
    if outside.any():
        row = int(np.argmax(outside))
        place = batch.predictions[row].sample_id
        raise _BrokenMetric(f"value {values[row]:.12g} outside [{low:g}, {high:g}] at sample {place}")
    values = np.where(scored, np.clip(values, low, high), 0.0)
    beside = {name: np.asarray(figures, dtype=np.float64) for name, figures in scores.beside.items()}
    if any(figures.shape != (n,) or np.isinf(figures).any() for figures in beside.values()):
        raise _BrokenMetric("returned figures beside its values that are not one finite number or NaN an answer")
    above, below = scores.numerators, scores.denominators
    if above is None or below is None:
        if info.reduction == "pooled":
            raise _BrokenMetric("returned no numerators and denominators, and its reduction is pooled")
        return Scores(values, scored, dict(scores.reasons), beside=beside)
    above, below = (np.where(scored, np.asarray(part, dtype=np.float64), 0.0) for part in (above, below))
    if above.shape != (n,) or not (np.isfinite(above).all() and np.isfinite(below).all() and (below >= 0).all()):
        raise _BrokenMetric("returned numerators or denominators that are no finite numbers, or negative denominators")
    return Scores(values, scored, dict(scores.reasons), above, below, beside)


def _without_reference(info: MetricInfo, scores: Scores, batch: Batch) -> Scores:
    """Give the rows that nothing can score for want of a reference that reason, whatever else a metric lacks."""
    if "reference" in info.needs:
        for row in np.flatnonzero(~scores.scored).tolist():
            if batch.references[row] is None:
                scores.reasons[row] = NO_REFERENCE
    return scores


def _settled(info: MetricInfo, scores: Scores, read: Bools, comparable: Bools) -> Scores:
    """Give unread answers the worst value."""
    if not info.reads_answer or not scores.scored.any():
        return scores
    unread = ~read & (scores.scored | comparable)
    if not unread.any():
        return scores
    worst = info.worst
    if worst is None:
        reason = "the answer cannot be read, and the range has no worst end"
        reasons = scores.reasons | dict.fromkeys(np.flatnonzero(unread).tolist(), reason)
        return replace(scores, scored=scores.scored & ~unread, reasons=reasons)
    above, below = scores.numerators, scores.denominators
    return Scores(
        np.where(unread, worst, scores.values),
        scores.scored | unread,
        {row: reason for row, reason in scores.reasons.items() if not unread[row]},
        None if above is None or below is None else np.where(unread, below * worst, above),
        below,
        {name: np.where(unread, np.nan, figures) for name, figures in scores.beside.items()},
    )


def _spread(scores: Scores, answered: Ints, failed: Mapping[int, str], n: int) -> Scores:
    """Put the m answered rows where they stand among all n; the failed ones are unscored."""
    rows, m = answered.tolist(), len(answered)
    reasons = {rows[row]: reason for row, reason in scores.reasons.items() if row < m}

    def placed(part: Floats | None, elsewhere: float = 0.0) -> Floats | None:
        if part is None:
            return None
        whole = np.full(n, elsewhere)
        whole[answered] = part[:m]
        return whole

    scored = np.zeros(n, dtype=np.bool_)
    scored[answered] = scores.scored[:m]
    values = placed(scores.values)
    assert values is not None
    beside = {name: placed(figures, np.nan) for name, figures in scores.beside.items()}
    return Scores(
        values,
        scored,
        {**reasons, **failed},
        placed(scores.numerators),
        placed(scores.denominators),
        {name: figures for name, figures in beside.items() if figures is not None},
    )


def _head(cells: Cells | None, m: int) -> Cells | None:
    if cells is None or len(cells.expected) == m:
        return cells
    parts = {name: getattr(cells, name)[:m] for name in ("expected", "present", "outcomes", "exact", "scores", "pairs")}
    return replace(cells, **parts)
