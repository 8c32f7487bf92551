"""What training added and what quantization cost: both ends of every pair on one axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from peakbench.analysis.lineage.kinship import Candidate, find_pairs
from peakbench.analysis.lineage.pairs import Pairs
from peakbench.report.charts.canvas import SMALL_SIZE, TEXT_SIZE, WIDTHS, Axis, Canvas, Dot, Rule, Size
from peakbench.report.charts.lettering import fitted, text_width
from peakbench.report.charts.rows import HARD_SPACE, MOST_ROWS, Board, Row, Undrawn, counted, percent, points
from peakbench.report.tables import neutral

_STEP: dict[Size, float] = {"wide": 38, "narrow": 52}


@dataclass(frozen=True, slots=True)
class Both:
    """A pair with both scores. ``low``, ``high``: the interval of the paired difference, where there is one."""

    base: Row
    other: Row
    added: str
    clean: bool
    low: float | None = None
    high: float | None = None

    @property
    def change(self) -> float:
        """What the other has more than the base."""
        return (self.other.value or 0.0) - (self.base.value or 0.0)

    @property
    def open(self) -> bool:
        """Whether the interval of the difference holds 0."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high


def training(board: Board, size: Size, pairs: Pairs | None = None) -> Canvas:
    """Arrows from what a model was before a stage of training to what it was after it."""
    found = _both(board, "training", pairs)
    gained = sum(one.change > 0 for one in found)
    title = f"Training: {_lower(board.title)} before and after"
    return _draw(board, size, found, title, f"Arrows from before to after: {gained} of {len(found)} up", arrow=True)


def quantization(board: Board, size: Size, pairs: Pairs | None = None) -> Canvas:
    """What each quantized model scores beside its original."""
    found = _both(board, "quantization", pairs)
    lost = sum(one.change < 0 for one in found)
    title = f"Quantization: {_lower(board.title)} before and after"
    words = f"Hollow: the original. Filled: quantized, {lost} of {len(found)} lower"
    return _draw(board, size, found, title, words, arrow=False)


def _both(board: Board, kind: Literal["training", "quantization"], pairs: Pairs | None) -> list[Both]:
    known = [row for row in board.rows if row.standing.lineage is not None]
    found = []
    for pair in find_pairs([_candidate(row) for row in known]):
        base, other = known[pair.base], known[pair.other]
        if pair.kind == kind and base.value is not None and other.value is not None:
            low, high = _interval(pairs, board.metric, base, other)
            found.append(Both(base, other, neutral(pair.added, limit=40), pair.clean, low, high))
    if not found:
        what = (
            "a quantized model and its original" if kind == "quantization" else "a trained model and what it was before"
        )
        raise Undrawn(f"no pair with two scores: {what}")
    return sorted(found, key=lambda one: (not one.clean, -one.change))


def _candidate(row: Row) -> Candidate:
    one = row.standing
    assert one.lineage is not None
    readable = None if one.json_rate is None else one.json_rate.value
    return Candidate(row.name, one.path, one.lineage, readable=readable)


def _interval(pairs: Pairs | None, metric: str, base: Row, other: Row) -> tuple[float | None, float | None]:
    for one in pairs or ():
        if (one.base.where, one.other.where) == (base.standing.path, other.standing.path):
            for held in one.metrics:
                if held.change.name == metric:
                    return held.change.low, held.change.high
    return None, None


def _draw(board: Board, size: Size, found: Sequence[Both], title: str, words: str, *, arrow: bool) -> Canvas:
    shown = found[:MOST_ROWS]
    width, step = WIDTHS[size], _STEP[size]
    notes = [words, board.measured, _typical(found)]
    if not all(one.clean for one in found):
        notes.append("Grey: something else differs too, or answers could not be read")
    if any(one.clean and one.open for one in found):
        notes.append("Grey with bold figures: the interval of the difference holds 0")
    if len(found) > len(shown):
        notes.append(f"The first {len(shown)} of {len(found)} pairs")
    ends = [value for one in shown for value in (one.base.value, one.other.value) if value is not None]
    tenths = 1 if max(ends) - min(ends) <= 0.3 else 2
    least = max(0.0, math.floor(min(ends) * 10 / tenths - 0.1) * tenths / 10)
    most = min(1.0, math.ceil(max(ends) * 10 / tenths + 0.1) * tenths / 10)
    labels = [_label(one) for one in shown]
    right = max(text_width(label, TEXT_SIZE, bold=True) for label in labels) + 12
    left = 8.0
    if size == "wide":
        names = [text for one in shown for text in (one.other.name, _from(one))]
        left = min(250.0, max(text_width(name, TEXT_SIZE) for name in names)) + 20
    x = Axis(least, most, left, width - right)
    bottom = step * len(shown)
    y = Axis(0, bottom + 26, 0, bottom + 26)
    steepest = max(shown, key=lambda one: abs(one.change))
    described = (
        f"{title}; {counted(len(found), 'pair')}; {_typical(found)}; the largest change: {steepest.other.name} from "
        f"{steepest.base.name} by {points(steepest.change)} points"
    )
    canvas = Canvas(title, ". ".join(notes) + ".", described, size, bottom + 20, x, y)
    ticks = range(round(least * 10), round(most * 10) + 1, tenths)
    canvas.grid([(tick / 10, f"{tick * 10}{HARD_SPACE}%") for tick in ticks], 2, bottom)
    for number, (one, label) in enumerate(zip(shown, labels, strict=True)):
        _row(canvas, one, label, step * number, arrow=arrow)
    return canvas


def _row(canvas: Canvas, one: Both, label: str, top: float, *, arrow: bool) -> None:
    wide = canvas.size == "wide"
    room = canvas.x.start - 16 if wide else canvas.width
    middle = top + (19 if wide else 40)
    canvas.write(fitted(one.other.name, room, TEXT_SIZE), 0, top + 11)
    canvas.write(fitted(_from(one), room, SMALL_SIZE), 0, top + 26, size=SMALL_SIZE, tone="muted")
    base, other = one.base.value or 0.0, one.other.value or 0.0
    tone = "muted" if not one.clean or one.open else "gain" if one.change > 0 else "loss" if one.change < 0 else "muted"
    at = canvas.y.value(middle)
    about = {
        "model": one.other.name,
        "from": one.base.name,
        "added": one.added,
        "score": f"{percent(base)} to {percent(other)}",
        "change": label,
    }
    sign = 1 if one.change >= 0 else -1
    far = abs(canvas.x.pixel(other) - canvas.x.pixel(base))
    if far > 9:
        start, end = canvas.x.pixel(base) + 4 * sign, canvas.x.pixel(other) - (3 if arrow else 4) * sign
        canvas.add(Rule(canvas.x.value(start), at, canvas.x.value(end), at, tone=tone, width=2.5))
    canvas.add(Dot(base, at, area=55, tone="muted", hollow=True, about=about))
    shape = "circle" if not arrow or far <= 9 else "triangle-right" if sign > 0 else "triangle-left"
    canvas.add(Dot(other, at, area=80 if arrow else 60, tone=tone, shape=shape, about=about))
    canvas.write(
        label, canvas.x.pixel(max(base, other)) + 9, middle, bold=one.clean, tone="text" if one.clean else "muted"
    )


def _lower(title: str) -> str:
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def _label(one: Both) -> str:
    if one.low is None or one.high is None:
        return points(one.change)
    return f"{points(one.change)} ({points(one.low)} to {points(one.high)})"


def _from(one: Both) -> str:
    return f"{one.added}, from {one.base.name}"


def _typical(found: Iterable[Both]) -> str:
    changes = [one.change for one in found if one.clean]
    if not changes:
        return "No pair that nothing else tells apart"
    if len(changes) == 1:
        return f"One pair that nothing else tells apart: {points(changes[0])} points"
    return f"Median of the {len(changes)} pairs that nothing else tells apart: {points(median(changes))} points"
