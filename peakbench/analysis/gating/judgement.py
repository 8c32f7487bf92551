"""Is a run no worse than a baseline? Passed, fell, undecided, or not comparable, and what it would take to tell.

A run passes where the whole 95 % interval of the paired difference lies above ``-margin``; it has fallen where the
whole interval lies below. So a run that is worse by the margin or more passes at most once in forty (non-inferiority:
Schuirmann 1987; CONSORT extension, Piaggio et al. 2012). Several metrics must all pass, so none needs a correction
(Berger 1982).

Nothing passes by accident: see :func:`judge`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from peakbench.analysis.comparison.changes import Change, changes, with_holm
from peakbench.analysis.comparison.flips import Flip, Flips
from peakbench.analysis.comparison.pairing import Columns, Pairing, pair
from peakbench.analysis.comparison.scoretable import ScoreTable
from peakbench.analysis.gating.margins import cautious_low, gains, needed_to_tell, outcome_of
from peakbench.analysis.gating.readings import completed, read_as
from peakbench.analysis.gating.verdicts import EXIT_CODES, FIELD, Gated, Outcome, Shift, Verdict, in_points, points
from peakbench.errors import ConfigError, NotComparable, nearest
from peakbench.metrics.base import Floats
from peakbench.statistics import FEW_SAMPLES
from peakbench.store import RunDirectory

__all__ = ["DEFAULT_METRICS", "EXIT_CODES", "Gated", "Outcome", "Shift", "Verdict", "in_points", "judge", "points"]

DEFAULT_METRICS = ("quality", "weighted_score")
"""What is gated where nothing is named: the first that either side has scored."""

WORST_SHOWN = 10
MOST_MARGIN = 0.5
LEAST_RESAMPLES = 1000
"""Of fewer resamples, the ends of an interval are a matter of luck."""

_GRAVEST: tuple[Outcome, ...] = ("fell", "not comparable", "undecided", "passed")
_TIE = 1e-12


def judge(
    run: ScoreTable,
    baseline: ScoreTable,
    *,
    metrics: Sequence[str] | None = None,
    margin: float = 0.01,
    min_samples: int = FEW_SAMPLES,
    unasked: Mapping[str, float] | None = None,
    answers: RunDirectory | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Verdict:
    """Hold a run against a baseline.

    It never passes: with fewer than ``min_samples`` compared samples; over other data, another task or profile; against
    its own answers; where a gated metric is unscored on a side or means something else; where an answer is missing and
    the run would not pass with the worst value in its place. Where fewer than ten samples differ, resampling says
    little, and the lower bound is at most minus the exact upper bound of the share that got worse times the largest
    loss; where none differs in what is gated, times the width of its range, unless the two runs score the same
    throughout, in every metric and every field.

    Args:
        run: the scores of the run.
        baseline: the scores it is to keep.
        metrics: what is gated: metric ids, or ``field:NAME``. None: quality; weighted_score where neither has quality.
        margin: how much may be lost: a fraction in [0, 0.5), 0.01 is one point of a hundred.
        min_samples: fewer compared samples decide nothing.
        unasked: the share of repeats that were not asked, for the samples where some were.
        answers: the run, to read what it answered where it lost.
        resamples, seed: of the intervals.

    Raises:
        ConfigError: the margin, the seed, the number of samples or that of resamples cannot be used.
    """
    _check(margin, min_samples, resamples, seed, metrics)
    names, notes = _chosen(metrics, run, baseline)
    verdict = Verdict(
        verdict="not comparable",
        margin=margin,
        min_samples=min_samples,
        metrics=tuple(Gated(name=name, kind=kind, verdict="not comparable") for kind, name in names),
        run=run.origin,
        baseline=baseline.origin,
        resamples=resamples,
        seed=seed,
    )
    try:
        _same_data(run, baseline)
        whole = completed(run, baseline, unasked or {})
        scored = pair(baseline, whole)
    except NotComparable as error:
        reason = _by_name(error.what)
        gated = tuple(replace(one, reasons=(reason,)) for one in verdict.metrics)
        return replace(verdict, metrics=gated, reasons=(reason,))
    if run.repeats != baseline.repeats:
        notes.append(f"repeats differ: {baseline.repeats} in the baseline, {run.repeats} in the run")
    kept_failed = int((baseline.failed > 0).sum())
    if kept_failed:
        notes.append(
            f"{_count(kept_failed, 'sample')} of the baseline with answers that failed: only answers are compared"
        )
    chosen = (
        [one.name for one in verdict.metrics if one.kind == "metric"],
        [one.name for one in verdict.metrics if one.kind == "field"],
    )
    missing = int((whole.failed[scored.right] > 0).sum())
    worst = best = None
    if missing or _unscored(scored, chosen[0]):
        worst, best = (
            _Reading.of(pair(baseline, read_as(whole, baseline, chosen, best=end)), *chosen, resamples, seed)
            for end in (False, True)
        )
    first = _Reading.of(scored, chosen[0], list(dict.fromkeys([*baseline.fields, *chosen[1]])), resamples, seed)
    judged = _Judge(first, worst, best, missing, _alike(scored), margin, min_samples)
    gated = tuple(judged.of(one) for one in verdict.metrics)
    overall = next(outcome for outcome in _GRAVEST if any(one.verdict == outcome for one in gated))
    deciding = next((one for one in gated if one.verdict == overall), gated[0])
    return replace(
        verdict,
        verdict=overall,
        metrics=gated,
        fields=tuple(with_holm(change for change in first.found.values() if change.kind == "field")),
        samples=tuple(_worst(first, deciding, answers)),
        missing=missing,
        reasons=tuple(f"{one.label}: {reason}" for one in gated if one.verdict == overall for reason in one.reasons),
        notes=(*scored.notes, *notes),
    )


def _check(margin: float, min_samples: int, resamples: int, seed: int, metrics: Sequence[str] | None) -> None:
    if not 0 <= margin < MOST_MARGIN:  # not a number fails too
        raise ConfigError(
            f"a margin of {margin:g}",
            where="margin",
            expected=f"a fraction from 0 to below {MOST_MARGIN:g}: 0.01 is one point of a hundred",
        )
    if min_samples < 2:
        raise ConfigError(f"{min_samples} samples", where="min_samples", expected="2 or more")
    if resamples < LEAST_RESAMPLES:
        raise ConfigError(f"{resamples} resamples", where="resamples", expected=f"{LEAST_RESAMPLES:,} or more")
    if seed < 0:
        raise ConfigError(f"{seed}", where="seed", expected="0 or more")
    if metrics is not None and not metrics:
        raise ConfigError("no metric to gate", where="metrics", expected="at least one, or None for the default")


def _chosen(
    metrics: Sequence[str] | None, run: ScoreTable, baseline: ScoreTable
) -> tuple[list[tuple[Literal["metric", "field"], str]], list[str]]:
    """Return what is gated, and what is to be said about it."""
    if metrics is not None:
        found: list[tuple[Literal["metric", "field"], str]] = [
            ("field", name.removeprefix(FIELD)) if name.startswith(FIELD) else ("metric", name) for name in metrics
        ]
        return list(dict.fromkeys(found)), []
    first, second = DEFAULT_METRICS
    if any(first in table.metrics and table.metrics[first].problem is None for table in (run, baseline)):
        return [("metric", first)], []
    return [("metric", second)], [f"gated by {second}: {first} is scored neither in the baseline nor in the run"]


def _same_data(run: ScoreTable, baseline: ScoreTable) -> None:
    """Refuse what is no comparison of a run with what was before it."""
    one, two = baseline.origin, run.origin
    if one.responses_sha256 == two.responses_sha256:
        raise NotComparable("the baseline was saved from these very answers: a run is not gated by itself")
    if one.profile != two.profile:
        raise NotComparable(f"scored under two profiles: {one.profile or 'none'} and {two.profile or 'none'}")
    pair(baseline, run)  # says which samples differ
    if one.data_fingerprint != two.data_fingerprint:
        raise NotComparable(
            "the data set was changed since the baseline was saved: the same samples and references, but other "
            "images, prompts or metadata"
        )


def _by_name(reason: str) -> str:
    """Say which is which: what compares any two runs calls them the first and the second."""
    for side, name in (("first", "baseline"), ("second", "run")):
        reason = reason.replace(f"({side} run)", f"(in the {name})").replace(
            f"only in the {side}", f"only in the {name}"
        )
    return reason


def _unscored(scored: Pairing, metrics: list[str]) -> int:
    """Count the values that the baseline has and the run, though answered, has not."""
    count = 0
    for name in metrics:
        one, two = scored.first.metrics.get(name), scored.second.metrics.get(name)
        if one is not None and two is not None and one.problem is None and one.reduction != "pooled":
            count += int(((one.below[scored.left] > 0) & (two.below[scored.right] == 0)).sum())
    return count


@dataclass(frozen=True, slots=True)
class _Reading:
    """The baseline beside the run, read in one way: as scored, or with what is missing at an end of its range."""

    pairing: Pairing
    found: Mapping[tuple[str, str], Change]

    @classmethod
    def of(cls, pairing: Pairing, metrics: list[str], fields: list[str] | None, resamples: int, seed: int) -> _Reading:
        """Compare the metrics and the fields (None: all) in this reading."""
        made = changes(pairing, metrics=metrics, fields=fields, resamples=resamples, seed=seed)
        return cls(pairing, {(one.kind, one.name): one for one in made})

    def change(self, gated: Gated) -> Change:
        """The change of what is gated."""
        return self.found[gated.kind, gated.name]

    def columns(self, gated: Gated) -> Columns:
        """Its rows."""
        return self.pairing.metric(gated.name) if gated.kind == "metric" else self.pairing.field(gated.name)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Judges one metric or field after the other. ``missing``: samples with an answer that is not there.

    ``alike``: the two runs score the same throughout.
    """

    scored: _Reading
    worst: _Reading | None
    best: _Reading | None
    missing: int
    alike: bool
    margin: float
    min_samples: int

    def of(self, gated: Gated) -> Gated:
        """Judge one that has no verdict yet."""
        change = self.scored.change(gated)
        readings = [one for one in (self.scored, self.worst, self.best) if one is not None]
        gated = replace(
            gated,
            change=change,
            worst=self.worst.change(gated) if self.worst is not None else None,
            best=self.best.change(gated) if self.best is not None else None,
        )
        if change.value is None:
            return replace(gated, reasons=(_by_name(change.reason or "no value") + self._meant(gated),))
        if gated.worst is not None and None in (change.low_range, change.high_range):
            reason = f"answers are missing, and the range of {gated.label} is open: there is no worst to read them as"
            return replace(gated, verdict="undecided", reasons=(reason, *self._about_missing(gated)))
        oriented = [reading.change(gated).oriented for reading in readings]
        intervals = [one for one in oriented if one is not None]
        if len(intervals) < len(oriented):
            reason = f"no interval from {_count(change.n, 'compared sample')}"
            return replace(gated, verdict="undecided", reasons=(reason,), needed=self.min_samples)
        steps = [gains(reading.columns(gated)) for reading in readings]
        unseen = 0.0 if self.alike else _width(change)
        lows = [cautious_low(step, low, unseen=unseen) for step, (_, low, _) in zip(steps, intervals, strict=True)]
        low, high, n = min(lows), max(end for _, _, end in intervals), max(map(len, steps))
        value = intervals[0][0]
        needed, seen = needed_to_tell(
            steps[0], change.spread or 0.0, value, margin=self.margin, min_samples=self.min_samples, unseen=unseen
        )
        gated = replace(
            gated,
            verdict=self._outcome(low, high, n),
            value=value,
            low=low,
            high=high,
            bound="few differ" if low < min(end for _, end, _ in intervals) else "interval",
            needed=needed,
            needed_seen=seen,
        )
        alone = self._outcome(lows[0], intervals[0][2], len(steps[0]))
        return replace(gated, reasons=tuple(self._reasons(gated, n, steps[lows.index(low)], alone)))

    def _outcome(self, low: float, high: float, n: int) -> Outcome:
        return outcome_of(low, high, margin=self.margin, n=n, min_samples=self.min_samples)

    def _reasons(self, one: Gated, n: int, steps: Floats, alone: Outcome) -> Iterator[str]:
        """Say why; ``steps``: of the reading that the lower bound is of."""
        assert one.low is not None
        assert one.high is not None
        margin, low, high = in_points(self.margin), points(one.low), in_points(one.high)
        if one.verdict == "passed":
            if one.low > 0:
                yield f"better by at least {in_points(one.low)}"
            else:
                yield f"{in_points(one.low)} at worst, within the margin of {margin}"
            return
        if one.verdict == "fell":
            yield f"{high} at best, beyond the margin of {margin}"
            return
        if n < self.min_samples:
            yield f"{_count(n, 'compared sample')}: fewer than {self.min_samples} decide nothing"
        elif alone != "passed":
            yield f"between {low} and {high} at a margin of {margin}: too few samples to tell"
        if one.bound == "few differ":
            differing = int(np.count_nonzero(steps))
            words = f"only {_count(differing, 'sample')} of" if differing else "none of"
            verb = {0: "samples differs", 1: "differs"}.get(differing, "differ")
            yield f"{words} {len(steps):,} {verb}: the lower bound is exact, for losses too rare to be seen"
        if one.worst is not None:
            yield from self._about_missing(one)
        if n < self.min_samples or alone != "passed":
            yield _needed_words(one)

    def _meant(self, gated: Gated) -> str:
        """Name the nearest where neither side has what was asked for."""
        sides = (self.scored.pairing.first, self.scored.pairing.second)
        known = {name for side in sides for name in (side.metrics if gated.kind == "metric" else side.fields)}
        return "" if gated.name in known else f"; {nearest(gated.name, known)}"

    def _about_missing(self, one: Gated) -> Iterator[str]:
        if self.missing:
            yield (
                f"{_count(self.missing, 'sample')} without every answer, read as the worst. Ask again: "
                f"peakbench run --resume --out {shlex.quote(self.scored.pairing.second.origin.path)}"
            )
        assert one.change is not None
        assert one.worst is not None
        unscored = one.worst.n - one.change.n - self.missing
        if unscored > 0:
            yield f"{_count(unscored, 'answered sample')} without a value of {one.label}, read as the worst"


def _width(change: Change) -> float:
    """Return the most that one sample can lose."""
    if change.low_range is None or change.high_range is None:
        return max(abs(change.first or 0.0), abs(change.second or 0.0))
    return change.high_range - change.low_range


def _alike(scored: Pairing) -> bool:
    """Whether every sample has the same score on both sides, in every metric and every field that both have."""
    one, two, left, right = scored.first, scored.second, scored.left, scored.right
    pairs = [(one.failed, two.failed)]
    for name in one.metrics.keys() & two.metrics.keys():
        pairs += [(getattr(one.metrics[name], part), getattr(two.metrics[name], part)) for part in ("above", "below")]
    for name in one.fields.keys() & two.fields.keys():
        pairs += [(getattr(one.fields[name], part), getattr(two.fields[name], part)) for part in ("score", "outcomes")]
    return all(np.array_equal(first[left], second[right]) for first, second in pairs)


def _needed_words(one: Gated) -> str:
    if one.needed is None and one.needed_seen is None:
        return "no number of samples would tell at this margin"
    words = []
    if one.needed is not None:
        words.append(f"about {one.needed:,} samples let an equal run pass")
    if one.needed_seen is not None:
        words.append(f"about {one.needed_seen:,} decide it if the difference seen is the true one")
    return "; ".join(words) + " (four times in five)"


def _worst(scored: _Reading, gated: Gated, answers: RunDirectory | None) -> list[Shift]:
    """Return the samples that lost most, each with its fields that fell."""
    if gated.change is None or gated.change.value is None:
        return []
    columns, pairing = scored.columns(gated), scored.pairing
    # Of a pooled metric, a row of zeros has nothing to find and nothing wrong.
    best = (columns.high if columns.higher_is_better else columns.low) or 0.0
    before, after = (
        np.divide(side[:, 0], side[:, 1], out=np.full(len(side), best), where=side[:, 1] > 0)
        for side in (columns.first, columns.second)
    )
    step = after - before if columns.higher_is_better else before - after
    order = np.argsort(np.round(step, 9), kind="stable")[:WORST_SHOWN]
    rows = order[step[order] < -_TIE]
    part = replace(pairing, left=pairing.left[rows], right=pairing.right[rows])
    flips: dict[str, list[Flip]] = {sample_id: [] for sample_id in part.ids}
    for flip in Flips(part, first=None, second=answers) if len(rows) else ():
        if flip.direction == "worse":
            flips[flip.sample_id].append(flip)
    return [
        Shift(sample_id, gated.label, float(before[row]), float(after[row]), float(step[row]), tuple(found))
        for (sample_id, found), row in zip(flips.items(), rows.tolist(), strict=True)
    ]


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
