"""Charts of one bar a row: the leaderboard, the readable answers, the weights of the fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from peakbench.report.charts.canvas import SMALL_SIZE, TEXT_SIZE, WIDTHS, Axis, Bar, Canvas, Rule, Size
from peakbench.report.charts.lettering import fitted, text_width
from peakbench.report.charts.rows import HARD_SPACE, MOST_ROWS, Board, Undrawn, counted, model_name, percent, told
from peakbench.tasks import Task

_STEP: dict[Size, float] = {"wide": 21, "narrow": 36}
_BAR = 13.0
_WIDEST_LABEL = 250.0
MOST_REFUSED = 5


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of a chart of bars: ``value`` of 0 to 1, or None with a ``note`` instead of the bar."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    tone: str = "strong"
    rank: str = ""
    about: dict[str, str] = field(default_factory=dict)


def leaderboard(board: Board, size: Size) -> Canvas:
    """The ranked score of every row, with its interval and the highest floor."""
    shown = [row for row in board.rows if row.value is not None]
    refused = [row for row in board.rows if row.refused]
    if not shown:
        raise Undrawn(f"no row has a {board.title.lower()}")
    lanes = [
        Lane(
            row.name,
            row.value,
            row.low,
            row.high,
            row.refused,
            "faint" if board.at_floor(row) else "strong",
            row.rank,
            told(row.standing),
        )
        for row in [*shown[:MOST_ROWS], *refused[:MOST_REFUSED]]
    ]
    notes = [board.measured]
    floor = board.floor_value
    if board.floor is not None and floor is not None:
        notes.append(f"Line: the floor without a model, {percent(floor)}: {model_name(board.floor)}")
        if any(board.at_floor(row) for row in shown):
            notes.append("Grey: not above it")
    if len(shown) > MOST_ROWS:
        notes.append(f"The first {MOST_ROWS} of {len(shown)} rows")
    best = shown[0]
    return _bars(
        f"{board.title} of {counted(len(shown), 'model')}",
        ". ".join(notes) + ".",
        f"Bars of {board.title.lower()}; the highest is {best.name} with {percent(best.value)}",
        lanes,
        size,
        floor=floor,
    )


def readable(board: Board, size: Size) -> Canvas:
    """The share of answers that could be read as JSON; who reads everything is counted, not drawn one by one."""
    known = [(row, row.standing.json_rate) for row in board.rows if row.standing.json_rate is not None]
    if not known:
        raise Undrawn("no row has a JSON parse rate")
    known.sort(key=lambda one: -one[1].value)
    whole = [one for one, rate in known if rate.value >= 1]
    short = [(one, rate) for one, rate in known if rate.value < 1]
    lanes = []
    if whole:
        label = whole[0].name if len(whole) == 1 else f"{len(whole)} models"
        lanes.append(Lane(label, 1.0, about={"models": ", ".join(row.name for row in whole[:12])}))
    for one, rate in short[:MOST_ROWS]:
        tone = "strong" if rate.value >= 0.5 else "loss"
        about = told(one.standing, json=rate)
        lanes.append(Lane(one.name, rate.value, rate.low, rate.high, tone=tone, about=about))
    title = (
        f"JSON parse rate: {len(short)} of {counted(len(known), 'model')} below 100{HARD_SPACE}%"
        if short
        else f"JSON parse rate: 100{HARD_SPACE}% for {counted(len(known), 'model')}"
    )
    notes = ["Share of answers that could be read", board.measured]
    if known[-1][1].value < 0.5:
        notes.append("Orange: fewer than half")
    least, rate = known[-1]
    described = f"{title}; the least: {least.name} with {percent(rate.value)}"
    return _bars(title, ". ".join(notes) + ".", described, lanes, size)


def weights(task: Task, size: Size) -> Canvas:
    """What share of the weighted score each field makes."""
    total = sum(one.weight for one in task.fields.values())
    if not total:
        raise Undrawn("the task has no fields with weights")
    ordered = sorted(task.fields.items(), key=lambda item: -item[1].weight)
    lanes = [
        Lane(name.replace("_", " "), one.weight / total, note=f"{percent(one.weight / total)} (weight {one.weight:g})")
        for name, one in ordered
    ]
    title = f"What {counted(len(ordered), 'field')} count for in the weighted score"
    return _bars(
        title,
        f"Weight of the field by the sum of all, {total:g}; task {task.id} v{task.version}.",
        f"{title}; the most: {ordered[0][0]} with {percent(ordered[0][1].weight / total)}",
        lanes,
        size,
        most=max(lane.value or 0 for lane in lanes) * 1.02,
    )


def _bars(
    title: str,
    subtitle: str,
    description: str,
    lanes: Sequence[Lane],
    size: Size,
    *,
    floor: float | None = None,
    most: float = 1.0,
) -> Canvas:
    width, step = WIDTHS[size], _STEP[size]
    ranks = max((text_width(lane.rank, TEXT_SIZE) for lane in lanes), default=0.0)
    indent = ranks + 10 if ranks else 0.0
    ends = [lane.note or percent(lane.value) for lane in lanes]
    right = max(text_width(end, TEXT_SIZE) for end, lane in zip(ends, lanes, strict=True) if lane.value is not None) + 8
    left = indent
    if size == "wide":
        left += min(_WIDEST_LABEL, max(text_width(lane.label, TEXT_SIZE) for lane in lanes)) + 12
    room = width - left - right
    x = Axis(0, most, left, left + room)
    top = 2.0 if floor is None else 18.0
    bottom = top + step * len(lanes)
    y = Axis(0, bottom + 34, 0, bottom + 34)
    canvas = Canvas(title, subtitle, description, size, bottom + 20, x, y)
    canvas.grid([(tick, f"{tick * 100:.0f}{HARD_SPACE}%") for tick in _ticks(most)], top, bottom)
    for number, (lane, end) in enumerate(zip(lanes, ends, strict=True)):
        line = top + step * number
        middle = line + step / 2
        if size == "narrow":
            canvas.write(fitted(lane.label, width - indent, TEXT_SIZE), indent, line + 9)
            middle = line + 25
        else:
            canvas.write(fitted(lane.label, left - indent - 10, TEXT_SIZE), indent, middle)
        if lane.rank:
            canvas.write(lane.rank, ranks, line + 9 if size == "narrow" else middle, align="right", tone="muted")
        if lane.value is None:
            canvas.write(
                fitted(lane.note, width - left - 4, SMALL_SIZE), left + 4, middle, size=SMALL_SIZE, tone="muted"
            )
            continue
        canvas.add(
            Bar(0, y.value(middle - _BAR / 2), lane.value, y.value(middle + _BAR / 2), tone=lane.tone, about=lane.about)
        )
        after = lane.value
        if lane.low is not None and lane.high is not None:
            canvas.add(Rule(lane.low, y.value(middle), lane.high, y.value(middle), tone="text", width=1.5))
            for value in (lane.low, lane.high):
                canvas.add(Rule(value, y.value(middle - 3), value, y.value(middle + 3), tone="text", width=1.5))
            after = max(after, lane.high)
        canvas.write(end, x.pixel(after) + 6, middle)
    if floor is not None:
        # Beside a name it would strike it through.
        scored = [number for number, lane in enumerate(lanes) if lane.value is not None]
        spans = [(top + step * number + 16, top + step * (number + 1) - 1) for number in scored]
        if size == "wide":
            spans = [(top - 2, top + step * len(scored))]
        for above, below in spans:
            canvas.add(Rule(floor, y.value(above), floor, y.value(below), tone="mark", width=1.8))
        canvas.write(f"floor {percent(floor)}", x.pixel(floor), 8, size=SMALL_SIZE, align="center", tone="muted")
    return canvas


def _ticks(most: float) -> list[float]:
    step = 0.25 if most > 0.6 else 0.1 if most > 0.3 else 0.05
    return [step * number for number in range(int(most / step + 1e-9) + 1)]
