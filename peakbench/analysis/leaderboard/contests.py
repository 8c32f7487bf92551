"""Every two runs of a group held against each other over their shared samples: which of them are told apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from peakbench.analysis.comparison.changes import Change, changes, column_changes, with_holm
from peakbench.analysis.comparison.pairing import Columns, pair
from peakbench.analysis.comparison.scoretable import ScoreTable, read_scores
from peakbench.analysis.leaderboard.ranking import overlap
from peakbench.analysis.leaderboard.standings import Standing, Told
from peakbench.errors import NotComparable
from peakbench.store import RunDirectory

LEVEL = 0.05
_MOST_PAIRS, _MOST_ROWS = 64, 4_000_000  # tested at once: what that needs in memory
_ENOUGH = 30  # pairs of samples from which the normal approximation may refine a p


def contests(
    runs: Sequence[RunDirectory],
    standings: Sequence[Standing],
    metric: str,
    *,
    higher: bool = True,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[list[Told], list[str]]:
    """Return a comparison of every two runs, Holm's correction over all of them, and notes.

    Args:
        runs: of one group, the better one first. ``standings``: theirs.
        metric: its id; ``higher``: whether more of it is better.
        resamples, seed: of each interval and test.

    A pair that cannot be tested sample by sample is told apart by its intervals; a note says so.
    """
    if len(runs) < 2:
        return [], []
    tables = [_slim(read_scores(run), metric) for run in runs]
    notes = list(_same_answers(tables))
    places = list(combinations(range(len(runs)), 2))
    found = [_refined(one, resamples) for one in _changes(tables, places, metric, resamples, seed)]
    untested = [one for one in found if one.value is None]
    if untested:
        reasons = "; ".join(dict.fromkeys(str(one.reason) for one in untested))
        notes.append(f"{len(untested):,} of {len(found):,} pairs are told apart by their intervals alone: {reasons}")
    return [
        _told(first, second, change, standings, higher)
        for (first, second), change in zip(places, with_holm(found), strict=True)
    ], notes


def _clear(first: Standing, second: Standing) -> bool:
    """Whether two standings have intervals, and these nothing in common."""
    one, two = first.score, second.score
    return one is not None and two is not None and one.certain and two.certain and not overlap(one, two)


def _changes(
    tables: Sequence[ScoreTable], places: Sequence[tuple[int, int]], metric: str, resamples: int, seed: int
) -> list[Change]:
    """The change of each pair; pairs over equally many samples share their resamples, as one call for each would."""
    made: dict[int, Change] = {}
    waiting: dict[int, list[tuple[int, Columns]]] = {}

    def settle(count: int) -> None:
        named = [(str(number), columns) for number, columns in waiting.pop(count)]
        for one in column_changes(named, paired=True, kind="metric", resamples=resamples, seed=seed):
            made[int(one.name)] = replace(one, name=metric)

    for number, (first, second) in enumerate(places):
        try:
            pairing = pair(tables[first], tables[second])
            columns = pairing.metric(metric)
        except NotComparable as error:
            made[number] = Change(name=metric, kind="metric", reason=error.what.removeprefix(f"{metric}: "))
            continue
        if columns.binary:  # McNemar's test
            (made[number],) = changes(pairing, metrics=[metric], fields=[], resamples=resamples, seed=seed)
            continue
        count = len(pairing.left)
        waiting.setdefault(count, []).append((number, columns))
        if len(waiting[count]) * count >= _MOST_ROWS or len(waiting[count]) == _MOST_PAIRS:
            settle(count)
    for count in list(waiting):
        settle(count)
    return [made[number] for number in range(len(places))]


def _told(first: int, second: int, change: Change, standings: Sequence[Standing], higher: bool) -> Told:
    if change.value is None:
        one, two = (standings[place].score for place in (first, second))
        plain = 0.0 if one is None or two is None else two.value - one.value
        return Told(first, second, plain, None, None, None, None, 0, _clear(standings[first], standings[second]))
    apart = (
        change.low is not None
        and change.high is not None
        and change.p_holm is not None
        and change.p_holm < LEVEL
        # over the samples that both have, the order must be that of the board
        and (change.high < 0 if higher else change.low > 0)
    )
    return Told(first, second, change.value, change.low, change.high, change.p, change.p_holm, change.n, apart)


def _refined(change: Change, resamples: int) -> Change:
    """The change with a finer p where no exchange reached its difference.

    The p of B exchanges is never below 1 / (B + 1), which Holm over many pairs makes more than any level; so far out
    the normal approximation stands for it.
    """
    if change.p is None or not change.spread or change.value is None or change.n < _ENOUGH:
        return change
    if change.test != "sign flips" or change.p > 1.5 / (resamples + 1):
        return change
    normal = math.erfc(abs(change.value) / (change.spread / math.sqrt(change.n)) / math.sqrt(2))
    return replace(change, p=min(change.p, normal), test="normal")


def _same_answers(tables: Sequence[ScoreTable]) -> Iterator[str]:
    alike: dict[str, list[str]] = {}
    for table in tables:
        alike.setdefault(table.origin.responses_sha256, []).append(table.origin.path)
    yield from (f"the same answers stand in {', '.join(paths)}" for paths in alike.values() if len(paths) > 1)


def _slim(table: ScoreTable, metric: str) -> ScoreTable:
    return replace(table, metrics={name: one for name, one in table.metrics.items() if name == metric})
