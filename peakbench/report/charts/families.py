"""The models of each architecture on one line."""

from __future__ import annotations

from peakbench.report.charts.canvas import SMALL_SIZE, TEXT_SIZE, WIDTHS, Axis, Canvas, Dot, Rule, Size
from peakbench.report.charts.lettering import fitted
from peakbench.report.charts.rows import HARD_SPACE, Board, Row, Undrawn, counted, percent, told
from peakbench.report.tables import neutral

_STEP: dict[Size, float] = {"wide": 38, "narrow": 56}
_MOST = 40
_UNKNOWN = "architecture not known"


def families(board: Board, size: Size) -> Canvas:
    """Every model's score, one line an architecture, the architecture of the best model first."""
    groups: dict[str, list[Row]] = {}
    for row in board.rows:
        if row.value is not None:
            family = row.standing.family
            groups.setdefault(_UNKNOWN if family is None else neutral(family, limit=60), []).append(row)
    known = [name for name in groups if name != _UNKNOWN]
    if len(known) < 2:
        raise Undrawn("models of fewer than two architectures have a score")
    order = [*known, *([_UNKNOWN] if _UNKNOWN in groups else [])][:_MOST]
    width, step = WIDTHS[size], _STEP[size]
    left = 250.0 if size == "wide" else 8.0
    top = 18.0 if board.floor_value is not None else 2.0
    bottom = top + step * len(order)
    x, y = Axis(0, 1, left, width - 14), Axis(0, bottom + 26, 0, bottom + 26)
    count = sum(map(len, groups.values()))
    title = f"{board.title} by architecture: {counted(count, 'model')}, {len(known)} architectures"
    notes = [board.measured, "Filled: not quantized. Hollow: quantized"]
    if len(groups) > len(order):
        notes.append(f"The first {len(order)} of {len(groups)} architectures")
    first = groups[order[0]][0]
    described = f"{title}; the best is {first.name} of {order[0]} with {percent(first.value)}"
    canvas = Canvas(title, ". ".join(notes) + ".", described, size, bottom + 20, x, y)
    ticks = [(quarter / 4, f"{quarter * 25}{HARD_SPACE}%") for quarter in range(5)]
    canvas.grid(ticks, top, bottom)
    for number, name in enumerate(order):
        rows, line = groups[name], top + step * number
        middle = line + (19 if size == "wide" else 43)
        room = left - 16 if size == "wide" else width
        canvas.write(fitted(f"{name} ({len(rows)})", room, TEXT_SIZE, bold=True), 0, line + 11, bold=True)
        best = f"best {percent(rows[0].value)}: {rows[0].name}"
        canvas.write(fitted(best, room, SMALL_SIZE), 0, line + 26, size=SMALL_SIZE, tone="muted")
        at = y.value(middle)
        canvas.add(Rule(rows[-1].value or 0.0, at, rows[0].value or 0.0, at, tone="soft", width=1))
        for row in rows:
            tone = "faint" if board.at_floor(row) else "strong"
            dot = Dot(row.value or 0.0, at, tone=tone, hollow=row.standing.quantized, about=told(row.standing))
            canvas.add(dot)
    floor = board.floor_value
    if floor is not None:
        for number in range(len(order)):
            start = top + step * number + (2 if size == "wide" else 34)
            canvas.add(
                Rule(
                    floor,
                    y.value(start),
                    floor,
                    y.value(start + (34 if size == "wide" else 18)),
                    tone="mark",
                    width=1.8,
                )
            )
        canvas.write(f"floor {percent(floor)}", x.pixel(floor), 8, size=SMALL_SIZE, align="center", tone="muted")
    return canvas
