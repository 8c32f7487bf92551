"""All findings of a leaderboard: what its ranks say, what its pairs say, what is open, and what was not tried."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from peakbench.analysis.findings.coverage import above_floor, readable, refused, unknown
from peakbench.analysis.findings.effects import quantization, training
from peakbench.analysis.findings.fields import fields
from peakbench.analysis.findings.ranking import best, families
from peakbench.analysis.findings.readings import GroupReading
from peakbench.analysis.findings.research import Gap, research
from peakbench.analysis.findings.sizes import sizes
from peakbench.analysis.findings.speed import speeds
from peakbench.analysis.findings.statements import KINDS, Finding, Findings
from peakbench.analysis.leaderboard.published import metric_id
from peakbench.analysis.leaderboard.standings import Leaderboard
from peakbench.analysis.lineage.pairs import Pairs


def findings(board: Leaderboard, pairs: Pairs | Sequence[Pairs] = ()) -> Findings:
    """Return what a leaderboard says, in sentences that its data support.

    Args:
        board: ranked models.
        pairs: of the same runs or tables, for what quantization and training did; of runs by the board's metric.

    Every group is read by itself; where there are several, a finding names the group that it is of.
    """
    every = [pairs] if isinstance(pairs, Pairs) else list(pairs)
    groups = [GroupReading(board, number) for number in range(len(board.groups))]
    found: list[Finding] = []
    for one in groups:
        label = one.group.title if len(groups) > 1 else ""
        found += [replace(each, group=label) for each in _of_group(one, _of(every, one))]
    gaps: list[Gap] = []
    for several in every:
        metric = _metric(several, board.metric)
        if metric is None:
            continue
        titles = [one.group.title for one in groups if _of([several], one) is not None]
        label = " and ".join(titles) if len(groups) > 1 else ""
        found += [replace(each, group=label) for each in (*quantization(several, metric), *training(several, metric))]
        scores = {one.path: one.score.value for group in groups for one in group.usable if one.score is not None}
        gaps += research(several, scores, metric, higher_is_better=board.higher_is_better)
    order = {kind: place for place, kind in enumerate(KINDS)}
    return Findings(tuple(sorted(found, key=lambda one: order[one.kind])), tuple(gaps), board.metric)


def _of_group(one: GroupReading, pairs: Pairs | None) -> Iterator[Finding]:
    yield from best(one)
    yield from refused(one)
    yield from readable(one)
    yield from sizes(one)
    yield from families(one)
    yield from fields(one)
    yield from speeds(one, pairs)
    yield from above_floor(one)
    yield from unknown(one)


def _of(every: Iterable[Pairs], group: GroupReading) -> Pairs | None:
    """The pairs whose candidates stand in a group."""
    paths = {one.path for one in group.all}
    return next((one for one in every if any(candidate.where in paths for candidate in one.candidates)), None)


def _metric(pairs: Pairs, metric: str) -> str | None:
    """The name that the board's metric has among the pairs."""
    names = {held.change.name for one in pairs for held in one.metrics}
    return next((one for one in sorted(names) if metric in (one, metric_id(one))), metric if not names else None)
