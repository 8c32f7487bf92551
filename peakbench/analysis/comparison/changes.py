"""Two runs held against each other: for every metric and field the paired difference, how sure it is, and its p.

The samples are what is drawn: a difference is taken sample by sample, and one set of resamples and one set of
exchanges serves every metric and every field. Where two runs share no samples they are two independent draws.

Sources
    * Interval: of :mod:`peakbench.statistics`, over pairs: each end of BCa or Student's t, whichever lies further out.
    * p of a value: exchanging the two runs' rows of a sample at random (Fisher 1935; Edgington & Onghena 2007).
    * p of a count of right and wrong: McNemar (1947), Psychometrika 12, exact binomial.
    * Holm (1979), Scandinavian Journal of Statistics 6. A test in which nothing differs cannot reject at any level, so
      it stands outside the family (Tarone 1990, Biometrics 46).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from peakbench import statistics
from peakbench.analysis.comparison.pairing import Columns, Pairing
from peakbench.errors import NotComparable
from peakbench.metrics.base import Bools, Floats
from peakbench.statistics import (
    FEW_DIFFERENT,
    FEW_SAMPLES,
    Bootstrap,
    Difference,
    Method,
    Moments,
    Ratio,
    bootstrap_p,
    holm,
    influence,
    mcnemar,
    samples_needed,
    swap_tests,
    unpaired,
)

Kind = Literal["metric", "field", "cost"]
Test = Literal["sign flips, exact", "sign flips", "McNemar", "normal", "labels exchanged"]

_TIE = 1e-12
_TESTS: Mapping[str, Test] = {"exact": "sign flips, exact", "sampled": "sign flips", "normal": "normal"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One number in two runs, over the samples that count in both.

    Attributes:
        value: ``second - first``, in the number's own unit (scores are fractions, not per cent).
        low: lower end of the 95 % interval of ``value``, made by ``method``; ``high`` the upper.
        n: samples that count. ``dropped``: shared samples that do not, unscored on one side.
        unreliable: why the interval is not to be trusted, or None.
        p: two-sided, by ``test``. ``p_holm``: the same corrected for the family it was tested in; None outside one.
        p_bootstrap: as sacrebleu's paired bootstrap has it, beside ``p``.
        better: samples that are better in the second run, ``worse`` and ``same`` likewise; None where unpaired.
        gained: samples that became correct, where the test is McNemar's; ``lost``: that ceased to be.
        spread: standard deviation of the difference per sample.
        needed: samples that would show this difference with a power of 80 %.
        low_range: lower end of the range of the number itself, None where open; ``high_range`` the upper.
        with_failures: the ends of ``value`` where every failed answer is read as the worst and as the best there is.
        reason: why there are no numbers, or None.
    """

    name: str
    kind: Kind
    first: float | None = None
    second: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    method: Method = "none"
    n: int = 0
    dropped: int = 0
    unreliable: str | None = None
    p: float | None = None
    test: Test | None = None
    p_holm: float | None = None
    p_bootstrap: float | None = None
    better: int | None = None
    worse: int | None = None
    same: int | None = None
    gained: int | None = None
    lost: int | None = None
    spread: float | None = None
    needed: int | None = None
    higher_is_better: bool = True
    low_range: float | None = None
    high_range: float | None = None
    with_failures: Mapping[str, float] | None = None
    reason: str | None = None

    @property
    def differs(self) -> bool:
        """Whether any sample differs; without one there is nothing to test."""
        return bool(self.better or self.worse or self.gained or self.lost) or (self.better is None and bool(self.value))

    @property
    def oriented(self) -> tuple[float, float, float] | None:
        """``(value, low, high)`` turned so that above 0 the second run is better; None without an interval."""
        if self.value is None or self.low is None or self.high is None:
            return None
        if self.higher_is_better:
            return self.value, self.low, self.high
        return -self.value, -self.high, -self.low

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Case:
    """What one number is made of. ``correct``: both sides' 0 or 1, for McNemar; ``failures``: see :class:`Change`."""

    name: str
    kind: Kind
    columns: Columns
    correct: tuple[Floats, Floats] | None = None
    failures: Mapping[str, float] | None = None


def changes(
    pairing: Pairing,
    *,
    metrics: Sequence[str] | None = None,
    fields: Sequence[str] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Change]:
    """Return the change of each metric and each field from the first run to the second, in that order.

    All share one set of resamples and one set of exchanges. What cannot be compared comes back with its ``reason``.
    ``p_holm`` is left for :func:`with_holm`, which must know the whole family.

    Args:
        pairing: two runs side by side.
        metrics: ids, None for all that either run has.
        fields: names, None for all.
        resamples: bootstrap resamples, and exchanges where they are sampled.
        seed: of both.
    """
    first, second = pairing.first, pairing.second
    if metrics is None:
        metrics = list(dict.fromkeys([*first.metrics, *second.metrics]))
    if fields is None:
        fields = list(first.fields)
    cases: list[_Case | Change] = []
    for name in metrics:
        try:
            cases.append(_metric_case(pairing, name))
        except NotComparable as error:
            cases.append(Change(name=name, kind="metric", reason=_reason(error, "metric", name, pairing)))
    for name in fields:
        try:
            cases.append(_field_case(pairing, name))
        except NotComparable as error:
            cases.append(Change(name=name, kind="field", reason=_reason(error, "field", name, pairing)))
    whole = [case for case in cases if isinstance(case, _Case)]
    made = iter(
        _paired(whole, resamples, seed) if pairing.paired else [_unpaired(case, resamples, seed) for case in whole]
    )
    return [next(made) if isinstance(case, _Case) else case for case in cases]


def column_changes(
    named: Iterable[tuple[str, Columns]],
    *,
    paired: bool,
    kind: Kind = "cost",
    failures: Mapping[str, Mapping[str, float] | None] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> list[Change]:
    """Return the changes of columns that are no metric and no field of the run, such as costs."""
    found = failures or {}
    cases = [_Case(name, kind, columns, failures=found.get(name)) for name, columns in named]
    return _paired(cases, resamples, seed) if paired else [_unpaired(case, resamples, seed) for case in cases]


def with_holm(found: Iterable[Change]) -> list[Change]:
    """Return the changes with ``p_holm``, all of them one family.

    Left out of the family, and without ``p_holm``: what was not tested, and a test in which nothing differs.
    """
    family = list(found)
    corrected = holm([one.p if one.differs else None for one in family])
    return [replace(one, p_holm=p) for one, p in zip(family, corrected, strict=True)]


def _reason(error: NotComparable, kind: Kind, name: str, pairing: Pairing) -> str:
    """Why a number cannot be compared, and in which run that lies where it lies in one."""
    tables = pairing.first, pairing.second
    found = [(table.metrics if kind == "metric" else table.fields).get(name) for table in tables]
    signatures = {str(one.signature).partition("|profile:")[0] for one in found if one is not None}
    if None not in found and len(signatures) == 1 and tables[0].origin.profile != tables[1].origin.profile:
        one, two = (table.origin.profile or "none" for table in tables)
        return f"answers are read under two profiles: {one} and {two}"
    problems = [one is None or getattr(one, "problem", None) is not None for one in found]
    words = error.what.removeprefix(f"{name}: ").removeprefix(f"{name} is ")
    if error.where not in (tables[0].origin.path, tables[1].origin.path) or all(problems) or not any(problems):
        return words
    return f"{words} ({'first' if problems[0] else 'second'} run)"


def _metric_case(pairing: Pairing, name: str) -> _Case:
    columns = pairing.metric(name)
    one, two = pairing.first.metrics[name], pairing.second.metrics[name]
    return _Case(
        name,
        "metric",
        columns,
        (columns.first[:, 0], columns.second[:, 0]) if columns.binary and pairing.paired else None,
        _with_failures(pairing, ((one.above, one.below), (two.above, two.below)), columns),
    )


def _field_case(pairing: Pairing, name: str) -> _Case:
    columns = pairing.field(name)
    fields = pairing.first.fields[name], pairing.second.fields[name]
    correct = None
    if pairing.paired and pairing.first.repeats == pairing.second.repeats == 1:
        counts = (columns.first[:, 1] > 0) & (columns.second[:, 1] > 0)
        one, two = (field.correct for field in fields)
        correct = one[pairing.left] * counts, two[pairing.right] * counts
    scores = (fields[0].score, fields[0].asked), (fields[1].score, fields[1].asked)
    return _Case(name, "field", columns, correct, _with_failures(pairing, scores, columns))


def _paired(cases: Sequence[_Case], resamples: int, seed: int) -> list[Change]:
    if not cases:
        return []
    rows = np.hstack([part for case in cases for part in (case.columns.first, case.columns.second)])
    kept = statistics.Columns(rows.shape[1])
    kept.add(rows)
    estimator = kept.close(resamples=resamples, seed=seed)
    flipped = [case for case in cases if case.correct is None]
    tests = iter(
        swap_tests(
            np.hstack([case.columns.first for case in flipped]),
            np.hstack([case.columns.second for case in flipped]),
            [Ratio(2 * place, 2 * place + 1) for place in range(len(flipped))],
            resamples=resamples,
            seed=seed,
        )
        if flipped
        else ()
    )
    found = []
    for place, case in enumerate(cases):
        change = _estimated(case, estimator, 4 * place)
        if case.correct is not None:
            gained = int((case.correct[1] > case.correct[0]).sum())
            lost = int((case.correct[1] < case.correct[0]).sum())
            if not change.higher_is_better:
                gained, lost = lost, gained
            change = replace(change, p=mcnemar(gained, lost), test="McNemar", gained=gained, lost=lost)
        else:
            test = next(tests)
            change = replace(change, p=test.p, test=_TESTS.get(test.method, "sign flips, exact"))
        found.append(change)
    return found


def _estimated(case: _Case, estimator: Bootstrap | Moments, at: int) -> Change:
    """Everything but the test."""
    columns = case.columns
    difference = Difference(Ratio(at, at + 1), Ratio(at + 2, at + 3))
    estimate = estimator.estimate(difference)
    first, second = _ratio(columns.first), _ratio(columns.second)
    base = Change(
        name=case.name,
        kind=case.kind,
        first=first,
        second=second,
        n=columns.n,
        dropped=columns.dropped,
        higher_is_better=columns.higher_is_better,
        low_range=columns.low,
        high_range=columns.high,
        with_failures=case.failures,
    )
    if estimate.value is None:
        return replace(base, reason=estimate.reason)
    up = _steps(columns)
    better, worse = int((up > 0).sum()), int((up < 0).sum())
    spread = _spread(columns)
    bootstrapped = None
    if isinstance(estimator, Bootstrap):
        bootstrapped = bootstrap_p(estimate.value, estimator.resampled(difference))
    return replace(
        base,
        value=estimate.value,
        low=_possible(estimate.low, columns),
        high=_possible(estimate.high, columns),
        method=estimate.method,
        unreliable=_doubts(columns.n, better + worse) or estimate.unreliable,
        p_bootstrap=bootstrapped,
        better=better,
        worse=worse,
        same=columns.n - better - worse,
        spread=spread,
        needed=samples_needed(spread, estimate.value) if spread is not None else None,
    )


def _unpaired(case: _Case, resamples: int, seed: int) -> Change:
    columns = case.columns
    first, second = (side[side[:, 1] > 0] if not columns.pooled else side for side in (columns.first, columns.second))
    estimate, p = unpaired(first, second, Ratio(0, 1), resamples=resamples, seed=seed)
    return Change(
        name=case.name,
        kind=case.kind,
        first=_ratio(columns.first),
        second=_ratio(columns.second),
        value=estimate.value,
        low=_possible(estimate.low, columns),
        high=_possible(estimate.high, columns),
        method=estimate.method,
        n=columns.n,
        dropped=columns.dropped,
        unreliable=_doubts(columns.n, None) or estimate.unreliable,
        p=p if estimate.value is not None else None,
        test="labels exchanged" if estimate.value is not None else None,
        higher_is_better=columns.higher_is_better,
        low_range=columns.low,
        high_range=columns.high,
        reason=estimate.reason if estimate.value is None else None,
    )


def _possible(end: float | None, columns: Columns) -> float | None:
    """The end of an interval, moved to where a difference of two numbers in this range can be."""
    if end is None or columns.low is None or columns.high is None:
        return end
    span = columns.high - columns.low
    return min(max(end, -span), span)


def _doubts(n: int, differing: int | None) -> str | None:
    if n < FEW_SAMPLES:
        return f"fewer than {FEW_SAMPLES} samples ({n})"
    if differing is not None and differing < FEW_DIFFERENT:
        return f"fewer than {FEW_DIFFERENT} samples that differ ({differing})"
    return None


def _ratio(side: Floats) -> float | None:
    below = math.fsum(side[:, 1].tolist())
    return math.fsum(side[:, 0].tolist()) / below if below > 0 else None


def _steps(columns: Columns) -> Floats:
    """Above 0 where a sample got better, by its own ratio.

    A row of a pooled metric may have no ratio on a side (nothing there to find, and then one invented), or one ratio of
    other sums: it got better where it draws the value up, the mean of both runs' values being what it is held against.
    Over all rows what is drawn sums to the difference, so where the value differs, rows do.
    """
    (above, below), (over, under) = columns.first.T, columns.second.T
    whole = (below > 0) & (under > 0)
    one, two = (np.divide(up, down, out=np.zeros(len(up)), where=whole) for up, down in ((above, below), (over, under)))
    step: Floats = two - one
    step[np.abs(step) <= _TIE] = 0.0
    if columns.pooled:
        middle = ((_ratio(columns.first) or 0.0) + (_ratio(columns.second) or 0.0)) / 2
        drawn = (over - above) - middle * (under - below)
        step = np.where((step == 0) & (np.abs(drawn) > _TIE), drawn, step)
    return step if columns.higher_is_better else -step


def _spread(columns: Columns) -> float | None:
    """Standard deviation of the difference per sample, over the n pairs that count."""
    if columns.n < 2:
        return None
    counts: Bools = (columns.first[:, 1] > 0) | (columns.second[:, 1] > 0)
    found = influence(columns.first[counts], columns.second[counts], Ratio(0, 1))
    # A pair of zeros over zeros that counts has no influence, but widens the mean that the others are scaled by.
    found = found * (columns.n / int(counts.sum()))
    return math.sqrt(float(found @ found) / (columns.n - 1))


def _with_failures(
    pairing: Pairing, columns: tuple[tuple[Floats, Floats], tuple[Floats, Floats]], shape: Columns
) -> Mapping[str, float] | None:
    """The ends of the difference where failed answers are read as the worst, and as the best."""
    if not pairing.paired or shape.low is None or shape.high is None:
        return None
    first, second = (
        (above[rows], below[rows], table.failed[rows])
        for (above, below), table, rows in zip(
            columns, (pairing.first, pairing.second), (pairing.left, pairing.right), strict=True
        )
    )
    return bracket(first, second, shape.low, shape.high, pooled=shape.pooled)


def bracket(
    first: tuple[Floats, Floats, Floats],
    second: tuple[Floats, Floats, Floats],
    low: float,
    high: float,
    *,
    pooled: bool = False,
) -> Mapping[str, float] | None:
    """Return the ends of ``second - first`` where every failed answer is read as ``low`` and as ``high``.

    Args:
        first: numerators, denominators and shares of failed answers, each (n,).
        second: the same samples in the other run.
        low: an answer's lowest value.
        high: its highest.
        pooled: a failed answer weighs as much as the others do on average; else as a sample.
    """
    known = [(side[1] > 0) | (pooled & (side[2] < 1)) for side in (first, second)]
    # A row that is unscored though an answer came is unscored for another reason.
    counts = (known[0] | (first[2] >= 1)) & (known[1] | (second[2] >= 1))
    ends: list[tuple[float, float]] = []
    for (above, below, failed), scored in zip((first, second), known, strict=True):
        answered = int((counts & scored).sum())
        size = math.fsum(below[counts].tolist()) / answered if pooled and answered else 1.0
        lost = np.where(scored, failed, 1.0)[counts]
        kept = 1 - lost
        weight = math.fsum((kept * below[counts] + lost * size).tolist())
        if not weight > 0:
            return None
        found = math.fsum((kept * above[counts]).tolist())
        gone = math.fsum((lost * size).tolist())
        ends.append(((found + gone * low) / weight, (found + gone * high) / weight))
    return {"low": ends[1][0] - ends[0][1], "high": ends[1][1] - ends[0][0]}
