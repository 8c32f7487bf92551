"""Scores by field: every model against every field, and the shape of each of a few models."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from peakbench.analysis.leaderboard.standings import Score
from peakbench.report.charts.canvas import SMALL_SIZE, TEXT_SIZE, WIDTHS, Axis, Bar, Canvas, Path, Rule, Size
from peakbench.report.charts.lettering import fitted, text_width
from peakbench.report.charts.rows import HARD_SPACE, Board, Row, Undrawn, counted, model_name, percent
from peakbench.report.charts.theme import shade
from peakbench.report.tables import neutral

MOST_SHAPES = 6
_MOST_FIELDS: dict[Size, int] = {"wide": 16, "narrow": 10}
_MOST_MODELS = 40
_FEWEST_SPOKES, _MOST_SPOKES = 3, 14


def heatmap(board: Board, size: Size) -> Canvas:
    """Every model's score in every field, the easiest field first."""
    rows = [row for row in board.rows if row.standing.fields]
    if not rows:
        raise Undrawn("no row has scores by field")
    names = _fields(rows)
    shown_fields, shown = names[: _MOST_FIELDS[size]], rows[:_MOST_MODELS]
    lines: list[tuple[str, dict[str, Score]]] = [
        (_short(row.name) if size == "narrow" else row.name, dict(row.standing.fields)) for row in shown
    ]
    if board.floor is not None and board.floor.fields:
        lines.append((f"floor: {model_name(board.floor)}", dict(board.floor.fields)))
    width = WIDTHS[size]
    left = min(230.0 if size == "wide" else 126.0, max(text_width(name, TEXT_SIZE) for name, _ in lines) + 10)
    cell = min(64.0, (width - left) / len(shown_fields))
    step = 24.0
    labels = [neutral(name, limit=40).replace("_", " ") for name in shown_fields]
    upright = max(text_width(label, SMALL_SIZE) for label in labels) > cell - 4
    head = min(96.0, max(text_width(label, SMALL_SIZE) for label in labels)) + 8 if upright else 20.0
    height = math.ceil(head + step * len(lines))
    canvas_x, canvas_y = Axis(0, width, 0, width), Axis(0, height, 0, height)
    notes = [board.measured, "Per cent of each field's points, easiest field first"]
    half = [(score.high - score.low) / 2 for row in shown for score in row.standing.fields.values()
            if score.low is not None and score.high is not None]  # fmt: skip
    if half:
        notes.append(f"The widest interval is ±{100 * max(half):.1f} points")
    if len(names) > len(shown_fields):
        notes.append(f"The {len(shown_fields)} easiest of {len(names)} fields")
    if len(rows) > len(shown):
        notes.append(f"The first {len(shown)} of {len(rows)} models")
    title = f"Scores of {counted(len(rows), 'model')} in {counted(len(names), 'field')}"
    described = f"{title}; the easiest is {neutral(names[0])}, the hardest {neutral(names[-1])}"
    canvas = Canvas(title, ". ".join(notes) + ".", described, size, height, canvas_x, canvas_y)
    for column, label in enumerate(labels):
        middle = left + cell * (column + 0.5)
        if upright:
            canvas.write(
                fitted(label, head - 8, SMALL_SIZE), middle, head - 5, size=SMALL_SIZE, tone="muted", angle=270
            )
        else:
            canvas.write(label, middle, head - 9, size=SMALL_SIZE, align="center", tone="muted")
    digits = 1 if cell >= 42 else 0
    for line, (name, scores) in enumerate(lines):
        top = head + step * line
        tone = "muted" if line >= len(shown) else "text"
        canvas.write(fitted(name, left - 8, TEXT_SIZE), 0, top + step / 2, tone=tone)
        for column, key in enumerate(shown_fields):
            score = scores.get(key)
            if score is None:
                continue
            start = left + cell * column
            colour, ink = shade(score.value)
            about = {"model": name, "field": labels[column], "score": _between(score)}
            canvas.add(Bar(start, top, start + cell - 1.5, top + step - 1.5, tone=colour, about=about))
            text = percent(score.value).removesuffix(f"{HARD_SPACE}%") if digits else f"{100 * score.value:.0f}"
            canvas.write(text, start + cell / 2 - 0.75, top + step / 2, size=SMALL_SIZE, align="center", tone=ink)
    return canvas


def radar(board: Board, size: Size) -> Canvas:
    """The shape of the best models over the fields, each on its own, the middle of all shown models behind it."""
    rows = [row for row in board.rows if len(row.standing.fields) >= _FEWEST_SPOKES]
    if not rows:
        raise Undrawn(f"no row has scores of {_FEWEST_SPOKES} fields or more")
    shown = rows[:MOST_SHAPES]
    names = [name for name in shown[0].standing.fields if all(name in row.standing.fields for row in shown)]
    if not _FEWEST_SPOKES <= len(names) <= _MOST_SPOKES:
        raise Undrawn(f"{len(names)} fields in common: drawn from {_FEWEST_SPOKES} to {_MOST_SPOKES}")
    width = WIDTHS[size]
    columns = 2 if size == "wide" and len(shown) > 1 else 1
    room, radius = width / columns, 92.0
    tall = 2 * radius + 92
    height = tall * math.ceil(len(shown) / columns)
    middles = [_middle([row.standing.fields[name].value for row in shown]) for name in names]
    title = f"Strong and weak fields of {'the first ' if len(rows) > len(shown) else ''}{counted(len(shown), 'model')}"
    notes = [board.measured, f"Rings at 50 and 100{HARD_SPACE}%"]
    if len(shown) > 1:
        notes.append("Grey: the median of the models shown")
    described = f"{title}: one shape a model over {', '.join(neutral(name, limit=40) for name in names)}"
    canvas = Canvas(
        title, ". ".join(notes) + ".", described, size, height, Axis(0, width, 0, width), Axis(0, height, 0, height)
    )
    for place, row in enumerate(shown):
        x = room * (place % columns + 0.5)
        y = tall * (place // columns) + radius + 52
        canvas.write(
            fitted(f"{row.name}  {percent(row.value)}", room - 16, TEXT_SIZE, bold=True),
            x,
            y - radius - 40,
            align="center",
            bold=True,
        )
        _wheel(canvas, x, y, radius, names)
        if len(shown) > 1:
            canvas.add(_shape(x, y, radius, middles, "muted"))
        values = [row.standing.fields[name].value for name in names]
        canvas.add(
            _shape(x, y, radius, values, "strong", filled=True), _shape(x, y, radius, values, "strong", width=2.0)
        )
    return canvas


def _wheel(canvas: Canvas, x: float, y: float, radius: float, names: Sequence[str]) -> None:
    for share in (0.5, 1.0):
        canvas.add(_shape(x, y, radius, [share] * len(names), "grid", width=1.0))
    for number, name in enumerate(names):
        across, down = _direction(number, len(names))
        canvas.add(Rule(x, y, x + across * radius, y + down * radius, tone="grid"))
        label = fitted(neutral(name, limit=40).replace("_", " "), 84, SMALL_SIZE)
        align = "center" if abs(across) < 0.15 else "left" if across > 0 else "right"
        canvas.write(
            label, x + across * (radius + 7), y + down * (radius + 12), size=SMALL_SIZE, align=align, tone="muted"
        )


def _shape(
    x: float, y: float, radius: float, values: Sequence[float], tone: str, *, filled: bool = False, width: float = 1.5
) -> Path:
    directions = [_direction(number, len(values)) for number in range(len(values))]
    corners = [
        (x + across * radius * value, y + down * radius * value)
        for (across, down), value in zip(directions, values, strict=True)
    ]
    return Path((*corners, corners[0]), tone=tone, width=width, filled=filled)


def _direction(number: int, count: int) -> tuple[float, float]:
    angle = 2 * math.pi * number / count
    return math.sin(angle), -math.cos(angle)


def _fields(rows: Sequence[Row]) -> list[str]:
    """Every field, that with the highest mean first."""
    values: dict[str, list[float]] = {}
    for row in rows:
        for name, score in row.standing.fields.items():
            values.setdefault(name, []).append(score.value)
    return sorted(values, key=lambda name: -sum(values[name]) / len(values[name]))


def _middle(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _short(name: str) -> str:
    """A name without the organisation before it."""
    return name.rpartition("/")[2] if re.fullmatch(r"[\w.-]+/[\w.-]+", name) else name


def _between(score: Score) -> str:
    return percent(score.value) + (f" ({percent(score.low)} to {percent(score.high)})" if score.certain else "")
