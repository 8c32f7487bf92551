"""A run held against the scores it is to keep: its rows for every sample of theirs, what is missing read as an end.

A gate must not pass because an answer is missing. So the samples without an answer get rows, and the table is made
twice more: with every missing answer at the worst of each range, and at the best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from peakbench.analysis.comparison.scoretable import FieldColumns, MetricColumns, ScoreTable
from peakbench.metrics.base import Floats, Ints
from peakbench.records import OUTCOMES

_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}


def completed(run: ScoreTable, kept: ScoreTable, unasked: Mapping[str, float]) -> ScoreTable:
    """Return the run with a row for every sample of ``kept``; those it lacks have failed.

    Args:
        run: the run's scores.
        kept: the scores it is held against, over the same data.
        unasked: the share of its repeats that were not asked, by id, where it is neither 0 nor 1.
    """
    lacking = [row for row, sample_id in enumerate(kept.ids) if sample_id not in run.places]
    failed = run.failed.copy()
    for sample_id, share in unasked.items():
        row = run.places[sample_id]
        failed[row] = failed[row] * (1 - share) + share
    if not lacking:
        return replace(run, failed=failed)
    width = len(lacking)
    return replace(
        run,
        ids=(*run.ids, *(kept.ids[row] for row in lacking)),
        references=(*run.references, *(kept.references[row] for row in lacking)),
        failed=np.concatenate([failed, np.ones(width)]),
        metrics={
            name: replace(one, above=_longer(one.above, width), below=_longer(one.below, width))
            for name, one in run.metrics.items()
        },
        fields={
            name: replace(
                one,
                score=_longer(one.score, width),
                asked=_longer(one.asked, width),
                outcomes=np.vstack([one.outcomes, np.zeros((width, len(OUTCOMES)))]),
            )
            for name, one in run.fields.items()
        },
        places={},
    )


def read_as(run: ScoreTable, kept: ScoreTable, names: tuple[list[str], list[str]], *, best: bool) -> ScoreTable:
    """Return the run with every missing value of some metrics and fields at the best, or the worst, of its range.

    A metric whose range has no such end is left as it is. Nothing counts as failed any more.

    Args:
        run: as :func:`completed` returns it.
        kept: the scores it is held against.
        names: metrics, fields.
        best: which end.
    """
    metrics, fields = dict(run.metrics), dict(run.fields)
    for name in names[0]:
        one, other = run.metrics.get(name), kept.metrics.get(name)
        if one is not None and other is not None:
            metrics[name] = _metric(one, other, run, kept, best=best)
    for name in names[1]:
        if name in run.fields and name in kept.fields:
            fields[name] = _field(run.fields[name], kept.fields[name], run, kept, best=best)
    return replace(run, metrics=metrics, fields=fields, failed=np.zeros(len(run.ids)))


def _longer(column: Floats, width: int) -> Floats:
    return np.concatenate([column, np.zeros(width)])


def _shares(columns: MetricColumns | FieldColumns, run: ScoreTable, kept: ScoreTable) -> tuple[Floats, Ints]:
    """Return the shares, and for each row of ``run`` the row of ``kept``, -1 where there is none."""
    at = np.array([kept.places.get(sample_id, -1) for sample_id in run.ids], dtype=np.int64)
    if isinstance(columns, FieldColumns):
        has = columns.asked > 0
    elif columns.reduction == "pooled":
        has = kept.failed < 1
    else:
        has = columns.below > 0
    return np.where((at >= 0) & has[at], run.failed, 0.0), at


def _metric(
    one: MetricColumns, other: MetricColumns, run: ScoreTable, kept: ScoreTable, *, best: bool
) -> MetricColumns:
    end = one.high if best == one.higher_is_better else one.low
    if end is None:
        return one
    share, at = _shares(other, run, kept)
    if one.reduction == "pooled":
        # A missing answer weighs as much as the kept one of its sample, at least as much as answers do on average.
        counted = one.below[run.failed < 1]
        typical = float(counted.mean()) if len(counted) else 0.0
        size = np.where(share > 0, np.maximum(other.below[at], typical), 0.0)
    else:
        lost = (share > 0) | ((at >= 0) & (other.below[at] > 0))
        share = np.where(lost & (one.below == 0), 1.0, share)
        size = (share > 0).astype(np.float64)
    left = 1 - share
    below = left * one.below + share * size
    return replace(one, above=left * one.above + share * size * end, below=below, binary=False)


def _field(one: FieldColumns, other: FieldColumns, run: ScoreTable, kept: ScoreTable, *, best: bool) -> FieldColumns:
    share, at = _shares(other, run, kept)
    share = np.where((one.asked == 0) & (at >= 0) & (other.asked[at] > 0), 1.0, share)
    outcomes = one.outcomes * (1 - share)[:, None]
    outcomes[:, _CODES["correct" if best else "unread"]] += share
    return replace(
        one,
        score=one.score * (1 - share) + share * float(best),
        asked=np.maximum(one.asked, (share > 0).astype(np.float64)),
        outcomes=outcomes,
    )
