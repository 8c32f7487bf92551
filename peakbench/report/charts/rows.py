"""What the charts read: one group of a leaderboard, in the words and figures that a chart shows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from peakbench.analysis.leaderboard.standings import Leaderboard, Score, Standing
from peakbench.report.leaderboard import names_of
from peakbench.report.tables import neutral
from peakbench.report.tables import percent as _percent

MOST_ROWS = 60
"""Rows of one chart. Above that, a chart is a table drawn badly."""

HARD_SPACE = "\u00a0"
"""Between a number and its unit, where no line is broken."""

_NAME = 60
_TITLES = {"sbert_nli": "SBERT+NLI", "json_parse_rate": "JSON parse rate", "valued_f1": "Valued F1"}


class Undrawn(Exception):  # noqa: N818 - no error: it says why there is no chart
    """The data do not carry a chart; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Row:
    """A standing with its score by the metric that ranks.

    ``value``: None where there is none, or where it was ``refused``, and then why.
    """

    standing: Standing
    name: str
    value: float | None
    low: float | None
    high: float | None
    refused: str

    @property
    def rank(self) -> str:
        """The rank as it is shown, empty where it has none."""
        return "" if self.standing.rank is None else self.standing.place.replace("-", "–")


@dataclass(frozen=True, slots=True)
class Board:
    """One group of a leaderboard: its rows, best first, and its highest floor.

    ``title``: the metric that ranks. ``measured``: how, in a sentence without its full stop.
    """

    rows: tuple[Row, ...]
    floor: Standing | None
    metric: str
    title: str
    measured: str
    ascending: bool = False

    @property
    def floor_value(self) -> float | None:
        """What the highest floor scores."""
        return None if self.floor is None or self.floor.score is None else self.floor.score.value

    def at_floor(self, row: Row) -> bool:
        """Whether a row scores no more than an answer without a model."""
        floor = self.floor_value
        return floor is not None and row.value is not None and row.value <= floor + 1e-9


def read_board(board: Leaderboard, group: int = 0) -> Board:
    """Read one group of a leaderboard.

    Raises:
        Undrawn: there is no such group, or its scores are no fractions.
    """
    standings = board.of(group)
    if not standings:
        raise Undrawn("the leaderboard has no rows")
    if not board.higher_is_better:
        raise Undrawn(f"{neutral(board.metric)} is better where it is lower: it is no score to draw as one")
    rows = []
    names = names_of(board)
    for one in standings:
        given = one.refused.get(board.metric)
        score = None if given is not None else one.score
        if score is not None and not 0 <= score.value <= 1:
            raise Undrawn(f"{neutral(board.metric)} is no share of 0 to 1")
        refused = "" if given is None else f"{percent(given)} refused: outside 0 to 100{HARD_SPACE}%"
        value, low, high = (None, None, None) if score is None else (score.value, score.low, score.high)
        name = neutral(names.get(one.path, one.model), limit=_NAME)
        rows.append(Row(one, name, value, low, high, refused))
    rows.sort(key=lambda row: -math.inf if row.value is None else -row.value)
    floor = board.floor(group)
    usable = floor is not None and floor.score is not None and 0 <= floor.score.value <= 1
    return Board(
        tuple(rows),
        floor if usable else None,
        board.metric,
        metric_title(board.metric),
        how_measured([one for one in standings if one.score is not None]),
    )


def metric_title(metric: str) -> str:
    """Return a metric's id as words.

    >>> metric_title("weighted_score"), metric_title("sbert_nli")
    ('Weighted score', 'SBERT+NLI')
    """
    return _TITLES.get(metric) or neutral(metric, limit=_NAME).replace("_", " ").capitalize()


def model_name(standing: Standing) -> str:
    """Return a model's name as it may be shown."""
    return neutral(standing.model, limit=_NAME)


def how_measured(standings: Iterable[Standing]) -> str:
    """Say on how many samples scores rest, and whether they have intervals."""
    standings = list(standings)
    counts = sorted({one.n for one in standings if one.n is not None})
    if not counts:
        samples = "number of samples not given"
    elif len(counts) == 1:
        samples = f"n = {counts[0]:,}"
    else:
        samples = f"n = {counts[0]:,} to {counts[-1]:,}"
    certain = sum(one.score is not None and one.score.certain for one in standings)
    if not certain:
        intervals = "no intervals"
    elif certain == len(standings):
        intervals = f"95{HARD_SPACE}% intervals"
    else:
        intervals = f"95{HARD_SPACE}% intervals where known ({certain} of {len(standings)})"
    source = "Published scores" if all(one.source == "published" for one in standings) else "Measured"
    return f"{source}, {samples}, {intervals}"


def percent(value: float | None) -> str:
    r"""A fraction in per cent with one decimal.

    >>> percent(0.914), percent(None)
    ('91.4\xa0%', '–')
    """
    return "–" if value is None else f"{_percent(value)}{HARD_SPACE}%"


def points(difference: float) -> str:
    """A difference of two fractions in percentage points, with its sign.

    >>> points(0.0421), points(-0.5), points(0.0)
    ('+4.2', '−50.0', '0.0')
    """
    shown = _percent(abs(difference))
    return shown if shown == "0.0" else ("+" if difference > 0 else "−") + shown


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "model"), counted(1200, "model")
    ('1 model', '1,200 models')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def told(standing: Standing, **scores: Score | None) -> dict[str, str]:
    """What a reader who points at a model's mark is told."""
    words = {"model": neutral(standing.model, limit=200)}
    known = {"score": standing.score, **scores}
    for name, score in known.items():
        if score is not None:
            between = "" if not score.certain else f" ({percent(score.low)} to {percent(score.high)})"
            words[name] = f"{percent(score.value)}{between}"
    if standing.n is not None:
        words["samples"] = f"{standing.n:,}"
    return words
