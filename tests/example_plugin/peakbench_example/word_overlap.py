"""The metric: how many words reference and answer share."""

from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from peakbench import Batch, MetricInfo, MetricKind, Scores, Setting


def jaccard(left: str, right: str, ignore: frozenset[str] = frozenset()) -> float:
    """Return the words in both over the words in either, in [0, 1]; 1 where neither has a word.

    >>> jaccard("navy blue", "dark blue")
    0.3333333333333333
    """
    a, b = set(left.split()) - ignore, set(right.split()) - ignore
    return len(a & b) / len(a | b) if a | b else 1.0


class Parameters(BaseModel, extra="forbid", frozen=True):
    """``ignore``: words that do not count."""

    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class WordOverlap:
    """Mean Jaccard index of the words, over the fields that have a value on either side."""

    info: MetricInfo
    ignore: frozenset[str]
    requires: tuple[str, ...] = ()

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers: one number, or one reason why there is none, for each."""
        if batch.cells is None:
            return Scores.none(len(batch), "the answer is text: it has no fields")
        values = [jaccard(reference, answer, self.ignore) for reference, answer in batch.cells.texts]
        return batch.cells.mean_over_values(np.array(values))


def build(info: MetricInfo, parameters: Parameters, setting: Setting) -> WordOverlap:
    """Build the metric for one task; ``setting`` holds the task, its null list and the models at hand."""
    return WordOverlap(info, frozenset(parameters.ignore))


WORD_OVERLAP = MetricKind("word_overlap", build, Parameters, needs=frozenset({"reference"}))
