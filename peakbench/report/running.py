"""The weighted score so far, while a run is asked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from peakbench.metrics.base import Tools
from peakbench.parsing import read
from peakbench.records import Completion
from peakbench.registry import Registry
from peakbench.scoring import Profile, Scorer
from peakbench.tasks import Task

METRIC = "weighted_score"


class RunningScore:
    """Mean ``weighted_score`` over the answers seen so far, failed requests and samples without a reference left out.

    ``samples``: the records in the order in which they are asked, read lazily. Only the ``window`` newest
    references are kept: answers come back nearly in the order of asking, so memory does not grow with the data
    set. An answer whose reference has left the window is left out; the run's score proper leaves out nothing.
    """

    def __init__(
        self,
        task: Task,
        registry: Registry,
        samples: Iterable[Any],
        *,
        repair: bool,
        window: int,
        profile: Profile | None = None,
    ) -> None:
        tools = Tools()
        metrics = registry.build([METRIC], task, tools)
        comparators = registry.comparators(task, tools)
        self._scorer = Scorer(task, metrics, comparators, registry.nulls_of(task), profile=profile)
        self._task, self._repair, self._window = task, repair, window
        self._samples: Iterator[Any] = iter(samples)
        self._references: OrderedDict[str, Any] = OrderedDict()
        self._sum, self._count = 0.0, 0

    def __call__(self, completions: Sequence[Completion]) -> float | None:
        """Score a batch of finished requests; return the mean so far, None before the first."""
        predictions, references = [], []
        for completion in completions:
            reference = self._reference(completion.sample_id)
            if completion.response is None or not reference:
                continue
            predictions.append(read(completion, keys=self._task.keys, answer=self._task.answer, repair=self._repair))
            references.append(reference)
        if predictions:
            scores = self._scorer.score(predictions, references).scores[METRIC]
            self._sum += float(scores.values[scores.scored].sum())
            self._count += int(scores.scored.sum())
        return self._sum / self._count if self._count else None

    def _reference(self, sample_id: str) -> Any:
        while sample_id not in self._references:
            record = next(self._samples, None)
            if record is None:
                return None
            self._references[record.id] = record.reference
            if len(self._references) > self._window:
                self._references.popitem(last=False)
        return self._references[sample_id]
