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
from peakbench.analysis.findings.wording import count, listed
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
        scores = {one.path: one.score.value for group in groups for one in group.usable if one.score is not None}
        missing = research(several, scores, metric, higher_is_better=board.higher_is_better)
        of_pairs = (*quantization(several, metric), *training(several, metric), *_untried(missing))
        found += [replace(each, group=label) for each in of_pairs]
        gaps += missing
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


def _untried(gaps: Sequence[Gap]) -> Iterator[Finding]:
    """Yield how much was not tried, and of how much of that pairs say anything."""
    training, formats = ([gap for gap in gaps if gap.kind == kind] for kind in ("training", "quantization"))
    if not training and not formats:
        return
    known = [gap for gap in (*training, *formats) if gap.measured is not None]
    models = len({gap.where for gap in (*training, *formats)})
    parts = [count(len(of), what) for of, what in ((training, "training"), (formats, "quantization")) if of]
    yield Finding(
        "coverage",
        f"Of what other models had, {listed(parts)} were not tried on {count(models, 'model')}; measured pairs let one "
        f"expect something for {len(known) or 'none'} of these {len(training) + len(formats)}.",
        {
            "models": models,
            "training": len(training),
            "quantization": len(formats),
            "expected": len(known),
            "untried": len(training) + len(formats),
        },
        "fact",
    )


def _of(every: Iterable[Pairs], group: GroupReading) -> Pairs | None:
    """The pairs whose candidates stand in a group."""
    paths = {one.path for one in group.all}
    return next((one for one in every if any(candidate.where in paths for candidate in one.candidates)), None)


def _metric(pairs: Pairs, metric: str) -> str | None:
    """The name that the board's metric has among the pairs."""
    names = {held.change.name for one in pairs for held in one.metrics}
    return next((one for one in sorted(names) if metric in (one, metric_id(one))), metric if not names else None)
