"""Small against large: one family, training and format, and two sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from peakbench.analysis.findings.effects import ENOUGH_MODELS
from peakbench.analysis.findings.ranking import difference, scored
from peakbench.analysis.findings.readings import GroupReading, by_name, size, unreadable, value
from peakbench.analysis.findings.statements import Finding, Strength
from peakbench.analysis.findings.wording import (
    count,
    distance,
    interval,
    listed,
    metric_name,
    name,
    percent,
    points,
    some_of,
    spread,
)
from peakbench.analysis.leaderboard.standings import Standing
from peakbench.analysis.lineage.pairs import mean_interval


def sizes(found: GroupReading) -> Iterator[Finding]:
    """Yield what size does, where nothing else differs; whether training makes up for it; what no size can say."""
    pairs = _pairs(found)
    if pairs:
        yield _larger(found, pairs)
    made_up = _trained_small(found)
    if made_up is not None:
        yield made_up
    known = [size(one.parameters) for one in found.usable]
    largest = max((one for one in known if one is not None), default=None)
    silent = [one for one in found.all if unreadable(one) and (size(one.parameters) or 0.0) > (largest or 0.0)]
    if largest is not None and silent:
        shown = dict.fromkeys(one.parameters or "" for one in silent)
        yield Finding(
            "open",
            f"What more than {largest:g}B parameters bring cannot be said: fewer than half of the answers of "
            f"{count(len(silent), 'larger model')} ({listed(map(name, shown))}) could be read.",
            {"largest": largest, "models": [{**scored(one), "parameters": one.parameters} for one in silent]},
            "open",
        )


def _pairs(found: GroupReading) -> list[tuple[str, Standing, Standing]]:
    """The best of each size beside the next larger one, of one family, training and format."""
    cells: dict[tuple[str, tuple[str, ...], str], dict[float, Standing]] = defaultdict(dict)
    for one in found.usable:
        billions, family = size(one.parameters), found.families[id(one)]
        if billions is not None and family is not None:
            cells[(family, one.training, one.quantization)].setdefault(billions, one)
    pairs = []
    for (family, *_), of in cells.items():
        ordered = [of[billions] for billions in sorted(of)]
        pairs += [(family, small, large) for small, large in pairwise(ordered)]
    return pairs


def _larger(found: GroupReading, pairs: list[tuple[str, Standing, Standing]]) -> Finding:
    values = [found.gain(large, small) for _, small, large in pairs]
    ahead = sum(round(one, 9) > 0 for one in values)
    kinds = dict.fromkeys(family for family, _, _ in pairs)
    what = metric_name(found.board.metric)
    evidence: dict[str, Any] = {
        "metric": found.board.metric,
        "pairs": [
            {
                "family": family,
                "small": scored(small),
                "large": scored(large),
                "gain": found.gain(large, small),
                "difference": difference(found.told(small, large)),
            }
            for family, small, large in pairs
        ],
    }
    strength: Strength = "observed"
    if len(pairs) == 1:
        _, small, large = pairs[0]
        told = found.told(small, large)
        words = (
            f"{found.label(large)} ({percent(value(large))}) against the smaller {found.label(small)} "
            f"({percent(value(small))}): {points(values[0])} points"
        )
        if told is not None:
            strength = "shown" if told.apart else "observed"
            words += ", told apart over the same samples" if told.apart else ", which is not beyond chance"
        else:
            words += "; one pair is no rule"
        words += by_name((small, large))
        return Finding("size", f"{words}.", evidence, strength)
    mean, half = mean_interval(values)
    low, high = (None, None) if half is None else (mean - half, mean + half)
    evidence |= {"mean": mean, "low": low, "high": high, "families": list(kinds)}
    number = some_of(ahead, len(pairs))
    words = (
        f"Of one family, training and format the larger model has the better {what} in {number} pairs "
        f"({spread(values)} points)"
    )
    of = listed([f"{name(family)}" for family in kinds])
    if low is None or high is None:
        words += f"; {len(pairs)} pairs are too few to say more ({of})"
    elif half and (low > 0 or high < 0) and len(kinds) >= ENOUGH_MODELS:
        words += f", on average by {points(mean)}, {interval(low, high)}"
        strength = "shown"
    else:
        why = "holds 0" if low <= 0 <= high else f"is of {count(len(kinds), 'family', 'families')} only"
        words += f", on average by {points(mean)}; the {interval(low, high)} {why}, so it is no rule ({of})"
    words += by_name(one for _, *both in pairs for one in both)
    return Finding("size", f"{words}.", evidence, strength)


def _trained_small(found: GroupReading) -> Finding | None:
    """A trained small model above a larger one of its family as released: the one that is furthest ahead."""
    candidates = []
    for of in _relatives(found):
        best: Standing | None = None  # the best trained one among those smaller
        for same in of:
            for large in same:
                if best is not None and not large.training and found.gain(best, large) > 0:
                    candidates.append((found.gain(best, large), best, large))
            trained = [one for one in same if one.training]
            if trained and (best is None or found.gain(trained[0], best) > 0):
                best = trained[0]
    if not candidates:
        return None
    gain, small, large = max(candidates, key=lambda one: one[0])
    told = found.told(small, large)
    shown = told is not None and told.apart
    words = (
        f"A small model with training can pass a larger one without: {found.label(small)} ({percent(value(small))}) is "
        f"{distance(gain)} points above {found.label(large)} ({percent(value(large))})"
    )
    if told is not None:
        words += ", told apart over the same samples" if shown else ", which is not beyond chance"
    words += by_name((small, large))
    return Finding(
        "size",
        f"{words}.",
        {
            "metric": found.board.metric,
            "small": scored(small),
            "large": scored(large),
            "gain": gain,
            "difference": difference(told),
        },
        "shown" if shown else "observed",
    )


def _relatives(found: GroupReading) -> list[list[list[Standing]]]:
    """Models of one family and format, those of one size together, the smallest first; of one size the best first."""
    cells: dict[tuple[str, str], dict[float, list[Standing]]] = defaultdict(lambda: defaultdict(list))
    for one in found.usable:
        billions, family = size(one.parameters), found.families[id(one)]
        if billions is not None and family is not None:
            cells[family, one.quantization][billions].append(one)
    return [[of[billions] for billions in sorted(of)] for of in cells.values()]
