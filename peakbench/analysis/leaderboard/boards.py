"""A leaderboard from runs and published tables: what may be ranked together, and ranks that know their uncertainty.

Three rules, the best that the data allow:

paired
    Runs over the same samples: two are told apart where the 95 % interval of their paired difference leaves 0 out and
    its p, corrected after Holm over all pairs of the group, is below 0.05. A pair that cannot be tested so is told
    apart by its intervals, and a note says so.
intervals
    Published rows with intervals: told apart where the intervals have nothing in common; a row without one is taken as
    its value.
values
    Published rows without: told apart where the values differ. Nothing says that such an order is more than luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from peakbench.analysis.leaderboard.contests import contests
from peakbench.analysis.leaderboard.entries import run_floors, run_standing
from peakbench.analysis.leaderboard.published import PublishedScores, published_standings
from peakbench.analysis.leaderboard.ranking import overlap, rank_ranges
from peakbench.analysis.leaderboard.standings import Group, Leaderboard, Score, Standing, Told
from peakbench.errors import InputError, nearest
from peakbench.store import RunDirectory

DEFAULTS = ("weighted_score", "quality", "quality_lexical", "structured_match")
"""What ranks where nobody said: the first of these that any of the runs or tables has."""

_Summary = dict[str, Any]


def leaderboard_of(
    runs: Sequence[RunDirectory],
    tables: Sequence[PublishedScores] = (),
    *,
    metric: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    title: str = "Leaderboard",
) -> Leaderboard:
    """Rank runs and published rows, each group by itself.

    Runs over one data set and task whose scores have one signature make a group, and so does every table: what is not
    known to be the same samples, scored the same way, is not ranked together.

    Args:
        runs: finished runs; one without a summary is left out, and a note says so.
        tables: as they were read.
        metric: what ranks; None: the first of :data:`DEFAULTS` that is there.
        resamples, seed: of the paired tests.

    Raises:
        InputError: nothing to rank, or a metric that is nowhere scored.
        StoreError: a run is damaged.
    """
    opened, notes = _opened(runs)
    if not opened and not tables:
        raise InputError(
            "nothing to rank", expected="finished runs, or a table of published scores", hint=" ".join(notes)
        )
    metric = _metric(metric, [summary for _, summary in opened], tables)
    standings: list[Standing] = []
    floors: list[Standing] = []
    groups: list[Group] = []
    told: list[Told] = []
    higher = True
    for members in _contexts(opened, metric):
        number = len(groups)
        made = [run_standing(run, summary, metric, number) for run, summary in members]
        fullest = max((summary for _, summary in members), key=lambda summary: _entry(summary, metric).get("n") or 0)
        higher = bool(_entry(fullest, metric).get("higher_is_better", True))
        floors += run_floors(fullest, metric, number)
        order = _order(made, higher)
        places = [place for place in order if made[place].score is not None]
        ranked = [made[place] for place in places]
        pairs, more = contests(
            [members[place][0] for place in places], ranked, metric, higher=higher, resamples=resamples, seed=seed
        )
        notes += more
        placed = _placed(ranked, pairs, higher)
        told += [replace(one, first=one.first + len(standings), second=one.second + len(standings)) for one in pairs]
        standings += [*placed, *(made[place] for place in order if made[place].score is None)]
        groups.append(_run_group(members[0][0], fullest, metric, len(placed)))
    for table in tables:
        number = len(groups)
        made, of_table = published_standings(table, metric, number)
        floors += of_table
        order = _order(made, True)
        ranked_rows = [made[place] for place in order if made[place].score is not None]
        certain = any(one.score is not None and one.score.certain for one in ranked_rows)
        rule: Literal["intervals", "values"] = "intervals" if certain else "values"
        standings += [*_by_value(ranked_rows), *(made[place] for place in order if made[place].score is None)]
        counts = {one.n for one in made if one.n is not None}
        groups.append(
            Group(
                f"Published: {table.title}",
                "published",
                rule,
                n=counts.pop() if len(counts) == 1 else None,
                data=table.title,
                ranked=len(ranked_rows),
                notes=tuple(_table_notes(of_table)),
                path=table.table.path,
            )
        )
    if len(groups) > 1:
        notes.append(f"{len(groups)} groups, ranked apart: their samples or their scoring are not known to be the same")
    return Leaderboard(tuple(standings), tuple(floors), metric, tuple(notes), tuple(groups), tuple(told), higher, title)


def _table_notes(floors: Sequence[Standing]) -> Iterator[str]:
    read_off = next((one for one in floors if one.flags), None)
    if read_off is not None and read_off.score is not None:
        yield (
            f"the floor, {100 * read_off.score.value:.1f} %, is {read_off.flags[0]}; an answer of the most frequent "
            "values may score higher, so skill is at most what is shown"
        )
    elif not floors:
        yield "no floor is known, so no skill: what an answer without a model scores is not in the table"


def _opened(runs: Sequence[RunDirectory]) -> tuple[list[tuple[RunDirectory, _Summary]], list[str]]:
    opened: list[tuple[RunDirectory, _Summary]] = []
    notes: list[str] = []
    seen = set()
    for run in runs:
        if run.path.resolve() in seen:
            continue
        seen.add(run.path.resolve())
        summary = run.summary()
        if summary is None:
            notes.append(f"{run.path} is left out: it is unfinished (peakbench run --resume --out {run.path})")
        else:
            opened.append((run, summary))
    return opened, notes


def _metric(asked: str | None, summaries: Sequence[_Summary], tables: Sequence[PublishedScores]) -> str:
    known = dict.fromkeys(
        [name for summary in summaries for name, one in summary["metrics"].items() if one.get("value") is not None]
        + [name for table in tables for name in table.metrics]
    )
    if asked is None:
        asked = next((name for name in DEFAULTS if name in known), next(iter(known), None))
    if asked is None:
        raise InputError("nothing is scored", expected="runs with a metric that is scored")
    if asked not in known:
        raise InputError(f"no score '{asked}' in what is to be ranked", hint=nearest(asked, known))
    return asked


def _entry(summary: _Summary, metric: str) -> dict[str, Any]:
    return summary["metrics"].get(metric) or {}


def _contexts(
    opened: Sequence[tuple[RunDirectory, _Summary]], metric: str
) -> Iterator[list[tuple[RunDirectory, _Summary]]]:
    """Runs that may be ranked together: the same task, samples and scoring; the largest group first."""
    groups: dict[tuple[str, str, str | None], list[tuple[RunDirectory, _Summary]]] = {}
    unscored = []
    for run, summary in opened:
        entry = _entry(summary, metric)
        if entry.get("value") is None:
            unscored.append((run, summary))
        else:
            key = (run.run.task.id, run.run.data.fingerprint, entry.get("signature"))
            groups.setdefault(key, []).append((run, summary))
    for run, summary in unscored:  # beside those of its samples, if there are any
        key = next(
            (key for key in groups if key[:2] == (run.run.task.id, run.run.data.fingerprint)),
            (run.run.task.id, run.run.data.fingerprint, None),
        )
        groups.setdefault(key, []).append((run, summary))
    yield from sorted(groups.values(), key=len, reverse=True)


def _run_group(run: RunDirectory, summary: _Summary, metric: str, ranked: int) -> Group:
    record, entry = run.run, _entry(summary, metric)
    profile = (summary.get("run") or {}).get("profile")
    n = entry.get("n")
    words = [record.data.name, f"{record.data.samples:,} samples", f"task {record.task.id}"]
    return Group(
        ", ".join([*words, *([f"profile {profile}"] if profile else [])]),
        "run",
        "paired",
        n=n,
        task=record.task.id,
        data=record.data.name,
        fingerprint=record.data.fingerprint,
        signature=entry.get("signature"),
        profile=profile,
        ranked=ranked,
    )


def _order(made: Sequence[Standing], higher: bool) -> list[int]:
    sign = -1 if higher else 1

    def key(place: int) -> tuple[bool, float, int, str]:
        one = made[place]
        return one.score is None, sign * one.score.value if one.score else 0.0, one.published_rank or 0, one.model

    return sorted(range(len(made)), key=key)


def _placed(ranked: Sequence[Standing], told: Sequence[Told], higher: bool) -> list[Standing]:
    """Ranks from paired comparisons; ``ranked`` is in order, and the places in ``told`` are of it."""
    pairs = {(one.first, one.second): one for one in told}

    def apart(first: int, second: int) -> bool:
        one = pairs.get((min(first, second), max(first, second)))
        return one is not None and one.apart

    placed = _ranged(ranked, apart, higher)
    behind: list[Score | None] = [None] * len(placed)
    for place in range(1, len(placed)):
        one = pairs.get((0, place))
        behind[place] = None if one is None else Score(one.value, one.low, one.high)
    return [replace(one, behind=behind[place]) for place, one in enumerate(placed)]


def _by_value(ranked: Sequence[Standing]) -> list[Standing]:
    def apart(first: int, second: int) -> bool:
        one, two = ranked[first].score, ranked[second].score
        return one is not None and two is not None and not overlap(one, two)

    placed = _ranged(ranked, apart, True)
    best = placed[0].score if placed else None
    return [
        one
        if not place or best is None or one.score is None
        else replace(one, behind=Score(one.score.value - best.value))
        for place, one in enumerate(placed)
    ]


def _ranged(ranked: Sequence[Standing], apart: Callable[[int, int], bool], higher: bool) -> list[Standing]:
    scores = [(one.score.value if one.score else 0.0) * (1 if higher else -1) for one in ranked]
    ranges = rank_ranges(scores, apart)
    return [replace(one, rank=best, last_rank=worst) for one, (best, worst) in zip(ranked, ranges, strict=True)]
