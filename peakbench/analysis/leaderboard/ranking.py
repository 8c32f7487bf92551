"""Ranks as ranges: a model may have every rank from one below those told apart above it to one above those below it.

A rank is an estimate like any other. With m models, one has the ranks from 1 + (models that are better, told apart) to
m - (models that are worse, told apart): Goldstein & Spiegelhalter 1996, JRSS A 159; Mogstad, Romano, Shaikh & Wilhelm
2024, Review of Economic Studies 91. Where the pairs are tested with Holm's correction over all of them, all ranges hold
together with 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peakbench.analysis.leaderboard.standings import Score


def rank_ranges(scores: Sequence[float], apart: Callable[[int, int], bool]) -> list[tuple[int, int]]:
    """Return the best and the worst rank of each, where higher scores are better.

    Args:
        scores: one a model; None is not among them.
        apart: whether two models, by their places, are told apart; symmetric.

    >>> rank_ranges([0.9, 0.8, 0.79], lambda first, second: {first, second} != {1, 2})
    [(1, 1), (2, 3), (2, 3)]
    """
    ranges = []
    for place, score in enumerate(scores):
        others = [
            (other, value)
            for other, value in enumerate(scores)
            if other != place and value != score and apart(place, other)
        ]
        better = sum(value > score for _, value in others)
        ranges.append((1 + better, len(scores) - (len(others) - better)))
    return ranges


def overlap(first: Score, second: Score) -> bool:
    """Whether two intervals have a value in common; a score without one is taken as its value.

    >>> overlap(Score(0.9, 0.85, 0.95), Score(0.8, 0.7, 0.86)), overlap(Score(0.9), Score(0.8))
    (True, False)
    """
    ends = [
        (one.value, one.value) if one.low is None or one.high is None else (one.low, one.high)
        for one in (first, second)
    ]
    return max(low for low, _ in ends) <= min(high for _, high in ends)
