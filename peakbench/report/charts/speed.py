"""How good against how fast, and which models nothing beats in both."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from peakbench.report.charts.canvas import SMALL_SIZE, WIDTHS, Axis, Canvas, Dot, Path, Rule, Size
from peakbench.report.charts.lettering import fitted, text_width
from peakbench.report.charts.rows import HARD_SPACE, MOST_ROWS, Board, Row, Undrawn, counted, percent, told
from peakbench.report.tables import quantity

_PLOT: dict[Size, float] = {"wide": 360, "narrow": 260}
_LINE = 15.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether two rectangles have a point in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other one is at least as good as in both, and better in one.

    >>> pareto([(1, 9), (5, 5), (4, 4), (9, 1)])
    [0, 1, 3]
    """
    return [
        place
        for place, (x, y) in enumerate(points)
        if not any(a >= x and b >= y and (a > x or b > y) for a, b in points)
    ]


@dataclass(frozen=True, slots=True)
class Point:
    """A model: its throughput, its score, and their pixels. ``front``: no other beats it in both."""

    row: Row
    rate: float
    value: float
    front: bool
    x: float
    y: float


def speed(board: Board, size: Size) -> Canvas:
    """The score against the samples a second; the line joins those that no other model beats in both."""
    found = [
        (row, row.standing.throughput.value, row.value)
        for row in board.rows
        if row.value is not None and row.standing.throughput is not None and row.standing.throughput.value > 0
    ]
    if len(found) < 2:
        raise Undrawn("fewer than two rows have a score and a throughput")
    shown = found[:MOST_ROWS]
    front = set(pareto([(rate, value) for _, rate, value in shown]))
    width, plot = WIDTHS[size], _PLOT[size]
    fastest = max(rate for _, rate, _ in shown)
    step = _nice(fastest / 5)
    ends = [end for row, _, value in shown for end in (value, row.low, row.high) if end is not None]
    least = max(0.0, math.floor((min(ends) - 0.02) * 10) / 10)
    most = min(1.0, max(math.ceil(max(ends) * 10) / 10, least + 0.1))
    x = Axis(0, step * math.ceil(fastest / step + 0.15), 44, width - 8)
    y = Axis(least, most, plot, 12)
    points = [
        Point(row, rate, value, place in front, x.pixel(rate), y.pixel(value))
        for place, (row, rate, value) in enumerate(shown)
    ]
    title = f"{board.title} against speed: {counted(len(front), 'model')} of {len(shown)} that no other beats in both"
    notes = [board.measured, "Speed in samples a second as served, each on its own machine and settings"]
    if len(found) > MOST_ROWS:
        notes.append(f"The first {MOST_ROWS} of {len(found)} rows")
    missing = sum(row.value is not None for row in board.rows) - len(found)
    if missing:
        notes.append(f"{counted(missing, 'model')} without a throughput left out")
    leading = [point for point in points if point.front]
    described = f"{title}: " + "; ".join(
        f"{point.row.name} with {percent(point.value)} and {quantity(point.rate)} a second" for point in leading[:8]
    )
    canvas = Canvas(title, ". ".join(notes) + ".", described, size, plot + 34, x, y)
    ticks = [(step * number, quantity(step * number)) for number in range(round(x.high / step) + 1)]
    canvas.grid(ticks, 12, plot, name="samples a second")
    for tenth in range(round(least * 10), round(most * 10) + 1):
        canvas.add(Rule(0, tenth / 10, x.high, tenth / 10, tone="grid"))
        label = f"{tenth * 10}{HARD_SPACE}%"
        canvas.write(label, 38, y.pixel(tenth / 10), size=SMALL_SIZE, align="right", tone="muted")
    taken = list(_draw_front(canvas, leading))
    for point in points:
        taken.append(_draw_point(canvas, board, point))
    if size == "narrow":
        _number(canvas, points, taken)
    else:
        _name(canvas, points, taken, plot)
    return canvas


def _draw_front(canvas: Canvas, leading: Sequence[Point]) -> Iterable[Box]:
    """Draw the line of the front as steps, and return what it covers."""
    steps: list[Point] = sorted(leading, key=lambda point: (point.rate, -point.value))
    for one, two in pairwise(steps):
        canvas.add(Path(((one.rate, one.value), (one.rate, two.value), (two.rate, two.value)), tone="soft", width=1.5))
        yield Box(one.x - 2, one.y, one.x + 2, two.y)
        yield Box(one.x, two.y - 2, two.x, two.y + 2)


def _draw_point(canvas: Canvas, board: Board, point: Point) -> Box:
    """Draw a model with its interval, and return what it covers."""
    row, top, bottom = point.row, point.y - 5, point.y + 5
    if row.low is not None and row.high is not None:
        canvas.add(Rule(point.rate, row.low, point.rate, row.high, tone="muted", width=1))
        top, bottom = min(top, canvas.y.pixel(row.high)), max(bottom, canvas.y.pixel(row.low))
    tone = "faint" if board.at_floor(row) else "strong"
    about = told(row.standing) | {"samples a second": quantity(point.rate)}
    area = 90.0 if point.front else 50.0
    canvas.add(Dot(point.rate, point.value, area, hollow=not point.front, tone=tone, about=about))
    return Box(point.x - 5, top, point.x + 5, bottom)


def _name(canvas: Canvas, points: Sequence[Point], taken: list[Box], bottom: float) -> None:
    """Write each name where it covers nothing, on the front first; what finds no place is counted."""
    left_out = 0
    for point in sorted(points, key=lambda point: not point.front):
        text = fitted(point.row.name, 230, SMALL_SIZE)
        box = _free(point, text_width(text, SMALL_SIZE, bold=point.front) + 4, taken, Box(46, 0, canvas.width, bottom))
        if box is None:
            left_out += 1
            continue
        taken.append(box)
        middle = (box.top + box.bottom) / 2
        tone = "text" if point.front else "muted"
        canvas.write(text, box.left + 2, middle, size=SMALL_SIZE, tone=tone, bold=point.front)
        if abs(middle - point.y) > 16:
            edge = min(max(point.x, box.left), box.right)
            end = box.bottom if middle < point.y else box.top
            canvas.add(Rule(point.rate, point.value, canvas.x.value(edge), canvas.y.value(end), tone="faint"))
    if left_out:
        canvas.subtitle += f" {counted(left_out, 'point')} without a name, for want of room."


def _number(canvas: Canvas, points: Sequence[Point], taken: list[Box]) -> None:
    """Number the points, with the names in rows below the plot."""
    top, whole = canvas.height + 8, Box(46, 0, canvas.width, canvas.height)
    for place, point in enumerate(points):
        number = str(place + 1)
        style: dict[str, Any] = {"size": SMALL_SIZE, "tone": "text" if point.front else "muted", "bold": point.front}
        box = _free(point, text_width(number, SMALL_SIZE, bold=True) + 2, taken, whole)
        if box is not None:
            taken.append(box)
            canvas.write(number, box.left + 1, (box.top + box.bottom) / 2, **style)
        canvas.write(number, 20, top, align="right", **style)
        canvas.write(fitted(point.row.name, canvas.width - 30, SMALL_SIZE), 28, top, **style)
        top += _LINE
    canvas.height = top


def _free(point: Point, wide: float, taken: Sequence[Box], within: Box) -> Box | None:
    """Where letters may stand beside a point and cover nothing; None where there is no room near it."""
    for dx, dy in _PLACES:
        left = point.x + dx if dx > 0 else point.x - wide + dx if dx < 0 else point.x - wide / 2
        box = Box(left, point.y + dy - 7, left + wide, point.y + dy + 7)
        inside = within.left <= left and box.right <= within.right and within.top <= box.top
        if inside and box.bottom <= within.bottom - 2 and not any(box.meets(other) for other in taken):
            return box
    return None


_PLACES = (
    *((8.0, 0.0), (-8.0, 0.0), (0.0, -14.0), (0.0, 14.0), (6.0, -12.0), (6.0, 12.0), (-6.0, -12.0), (-6.0, 12.0)),
    *((dx, dy) for far in (24.0, 38.0, 54.0, 72.0) for dy in (-far, far) for dx in (10.0, -10.0, 0.0)),
)
"""Where a name may stand beside its point, in pixels: the nearest first, those far off with a line to it."""


def _nice(step: float) -> float:
    power: float = 10 ** math.floor(math.log10(step))
    return next(part * power for part in (1, 2, 2.5, 5, 10) if part * power >= step * 0.999)
