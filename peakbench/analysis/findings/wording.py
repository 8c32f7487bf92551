"""Numbers and names as sentences hold them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from peakbench.analysis.leaderboard.standings import Score

_LONGEST, _MOST = 60, 4


def percent(value: float) -> str:
    """A fraction in per cent with one decimal. Rounding never makes a whole of a part, nor nothing of something.

    >>> percent(0.9143), percent(0.99996), percent(0.00004), percent(1.0)
    ('91.4 %', '99.9 %', '0.1 %', '100.0 %')
    """
    shown = round(value * 100, 1)
    if shown == 100.0 and value < 1:
        shown = 99.9
    if shown == 0.0 and value:
        shown = math.copysign(0.1, value)
    return f"{shown:.1f} %"


def points(value: float) -> str:
    """A difference of fractions in points of a hundred, with its sign.

    >>> points(0.038), points(-0.0036), points(0.0), points(-0.0001)
    ('+3.8', '-0.4', '0.0', '-0.0')
    """
    shown = f"{_half_up(value * 100):+.1f}"
    return shown if round(value, 12) else "0.0"


def distance(value: float) -> str:
    """How far two fractions are apart, in points of a hundred.

    >>> distance(0.018), distance(-0.0204)
    ('1.8', '2.0')
    """
    return points(abs(value)).lstrip("+-")


def share(value: float) -> str:
    """A share in per cent, without a decimal where it is whole.

    >>> share(0.99), share(0.085), share(1.0)
    ('99 %', '8.5 %', '100 %')
    """
    return percent(value).replace(".0 %", " %")


def interval(low: float, high: float) -> str:
    """The interval of a difference.

    >>> interval(-0.013, 0.002)
    '95 % interval -1.3 to +0.2'
    """
    return f"95 % interval {points(low)} to {points(high)}"


def within(score: Score | None) -> str:
    """The interval of a score in brackets; nothing where it has none.

    >>> within(Score(0.9, 0.881, 0.919)), within(Score(0.9))
    (' (95 % interval 88.1 to 91.9)', '')
    """
    if score is None or score.low is None or score.high is None:
        return ""
    return f" (95 % interval {percent(score.low)[:-2]} to {percent(score.high)[:-2]})"


def spread(values: Sequence[float]) -> str:
    """Differences one by one, or from the least to the greatest where they are many.

    >>> spread([0.038, 0.131, 0.023]), spread([0.01, 0.02, 0.03, 0.04, 0.05])
    ('+2.3, +3.8 and +13.1', '+1.0 to +5.0')
    """
    ordered = sorted(values)
    if len(ordered) > _MOST:
        return f"{points(ordered[0])} to {points(ordered[-1])}"
    return listed([points(value) for value in ordered])


def name(text: str) -> str:
    """A model's name on one line, cut where it is long, without characters that act on the text around them.

    >>> name("a  b"), name("a\\x1b[31mb"), len(name("x" * 500))
    ('a b', 'a\ufffd[31mb', 60)
    """
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def labels(places: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What each of some models is called, by where it stands: its name, and its place too where it shares the name.

    >>> labels([("runs/a", "m"), ("runs/b", "m"), ("runs/c", "n")])
    {'runs/a': 'm in a', 'runs/b': 'm in b', 'runs/c': 'n'}
    """
    known = dict(places)
    alike: dict[str, list[str]] = {}
    for where, model in known.items():
        alike.setdefault(model, []).append(where)
    return {
        where: name(model) if len(alike[model]) == 1 else f"{name(model)} in {_end(where, alike[model])}"
        for where, model in known.items()
    }


def _end(where: str, others: Iterable[str]) -> str:
    """The last parts of a path, as many as tell it apart from the others."""
    parts = PurePath(where).parts
    rest = [PurePath(other).parts for other in others if other != where]
    length = next((n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in rest)), len(parts))
    return name(str(PurePath(*parts[-length:])))


def metric_name(metric: str) -> str:
    """A metric in words, also where it is named after a column.

    >>> metric_name("weighted"), metric_name("weighted_score"), metric_name("quality")
    ('weighted score', 'weighted score', 'quality')
    """
    return {"weighted": "weighted score", "sbert_nli": "SBERT+NLI score"}.get(metric, metric.replace("_", " "))


def listed(items: Iterable[str], *, most: int = _MOST) -> str:
    """Items in a sentence; beyond ``most`` they are counted.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed("abcdef", most=3)
    ('a', 'a, b and c', 'a, b, c and 3 more')
    """
    found = list(items)
    if len(found) > most:
        return f"{', '.join(found[:most])} and {len(found) - most} more"
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else "none"


def count(number: int, one: str, several: str | None = None) -> str:
    """A number of things.

    >>> count(1, "pair"), count(3, "pair"), count(2, "family", "families"), count(0, "pair")
    ('1 pair', '3 pairs', '2 families', 'no pair')
    """
    if number == 0:
        return f"no {one}"
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def some_of(number: int, total: int) -> str:
    """How many of several, two or more.

    >>> some_of(2, 2), some_of(3, 3), some_of(1, 3)
    ('both', 'all 3', '1 of 3')
    """
    return f"{number} of {total}" if number < total else "both" if total == 2 else f"all {total}"


def _half_up(value: float) -> float:
    """Round to one decimal after taking off the noise of binary fractions, so that 87.5 - 87.2 is 0.3."""
    return round(round(value, 9), 1)
