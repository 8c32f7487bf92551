"""A drawing as data: marks on two axes, placed before anything draws them, and the Vega-Lite chart made of them.

Placing everything here, letters included, keeps a chart readable at a phone's width without a browser to lay it out.
Text is only ever a value of the chart's data, never part of an expression or of markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from peakbench.errors import MissingDependency
from peakbench.report.charts.lettering import text_width, wrapped
from peakbench.report.charts.theme import FONT, Theme, tones

if TYPE_CHECKING:
    import altair as alt

Size = Literal["wide", "narrow"]
WIDTHS: Mapping[Size, int] = {"wide": 680, "narrow": 340}
"""Pixels between the paddings. The narrow one fits a phone of 390 with its margins."""

PADDING = 10
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 15, 12, 11
_DEPTH = ("grid", "Bar", "Path", "Rule", "Dot", "Text")  # what lies on top comes last


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from ``low`` to ``high`` on the pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def pixel(self, value: float) -> float:
        """Where a value lies.

        >>> Axis(0, 1, 100, 300).pixel(0.5)
        200.0
        """
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def value(self, pixel: float) -> float:
        """The value at a pixel, also outside of the axis.

        >>> Axis(0, 1, 100, 300).value(50)
        -0.25
        """
        return self.low + (pixel - self.start) / (self.end - self.start) * (self.high - self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What all marks have: a tone of the palette or a colour, and what a reader who points at it is told."""

    tone: str = "strong"
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Bar(Mark):
    """A rectangle between two corners."""

    x: float
    y: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class Rule(Mark):
    """A straight line."""

    x: float
    y: float
    x2: float
    y2: float
    width: float = 1.0
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Path(Mark):
    """A line through points; ``filled`` ones are closed, and their area is tinted."""

    points: tuple[tuple[float, float], ...]
    width: float = 1.5
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Dot(Mark):
    """A point; ``area`` in square pixels."""

    x: float
    y: float
    area: float = 60.0
    shape: str = "circle"
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Text(Mark):
    """One line of letters, its middle or baseline at ``y``."""

    x: float
    y: float
    text: str
    size: float = TEXT_SIZE
    align: Literal["left", "center", "right"] = "left"
    bold: bool = False
    angle: int = 0


@dataclass(slots=True)
class Canvas:
    """A chart before it is drawn.

    Attributes:
        title: its subject. ``subtitle``: how that was measured. ``description``: the same for who sees nothing.
        height: pixels below the title. ``x``, ``y``: the axes that marks are placed on.
    """

    title: str
    subtitle: str
    description: str
    size: Size
    height: float
    x: Axis
    y: Axis
    marks: list[Mark] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Pixels between the paddings."""
        return WIDTHS[self.size]

    def add(self, *marks: Mark) -> None:
        """Put marks on the canvas."""
        self.marks += marks

    def write(self, text: str, left: float, top: float, **style: Any) -> None:
        """Put letters at pixels instead of values."""
        self.add(Text(self.x.value(left), self.y.value(top), text, **({"tone": "text"} | style)))

    def grid(self, ticks: Iterable[tuple[float, str]], top: float, bottom: float, *, name: str = "") -> None:
        """Draw upright lines at values of the x axis from pixel to pixel, with their labels below and their name."""
        for value, label in ticks:
            self.add(Rule(value, self.y.value(top), value, self.y.value(bottom), tone="grid"))
            half = text_width(label, SMALL_SIZE) / 2
            middle = min(max(self.x.pixel(value), half), self.width - half)
            self.write(label, middle, bottom + 10, size=SMALL_SIZE, align="center", tone="muted")
        if name:
            self.write(name, self.x.end, bottom + 25, size=SMALL_SIZE, align="right", tone="muted")

    def chart(self, theme: Theme) -> alt.LayerChart:
        """Return the chart.

        Raises:
            MissingDependency: altair is not installed.
        """
        try:
            import altair
        except ImportError:
            raise MissingDependency("charts", package="altair", extra="report") from None

        colours = tones(theme)
        layers = [self._layer(altair, group, colours) for group in _groups(self.marks)]
        heading = altair.TitleParams(
            wrapped(self.title, self.width, TITLE_SIZE, bold=True),
            subtitle=wrapped(self.subtitle, self.width, SMALL_SIZE + 0.5),
            anchor="start",
            frame="group",
            color=colours["text"],
            fontSize=TITLE_SIZE,
            fontWeight="bold",
            subtitleColor=colours["muted"],
            subtitleFontSize=SMALL_SIZE + 0.5,
            subtitlePadding=5,
            offset=12,
        )
        drawn: alt.LayerChart = (
            altair.layer(*layers)
            .properties(width=self.width, height=self.height, title=heading, description=self.description)
            .configure(
                font=FONT,
                aria=False,  # the whole is one picture with one description; its marks one by one tell nobody anything
                background="transparent" if theme == "page" else colours["background"],
                padding=PADDING,
            )
            .configure_view(stroke="transparent")
        )
        return drawn

    def _layer(self, altair: Any, group: Sequence[Mark], colours: Mapping[str, str]) -> Any:
        first = group[0]
        rows = [row for number, mark in enumerate(group) for row in _rows(mark, number, colours)]
        chart = altair.Chart(altair.Data(values=rows))
        channels: dict[str, Any] = {"x": _position(altair.X, "x", self.x), "y": _position(altair.Y, "y", self.y)}
        if isinstance(first, Bar | Rule):
            channels |= {"x2": "x2", "y2": "y2"}
        if isinstance(first, Path):
            colour = altair.Fill if first.filled else altair.Stroke
            channels |= {"detail": "part:N", "order": "step:Q"}
            chart = chart.mark_line(
                strokeWidth=first.width,
                filled=first.filled,
                fillOpacity=0.18 if first.filled else 1,
                interpolate="linear-closed" if first.filled else "linear",
            )
            return chart.encode(**channels, **{"fill" if first.filled else "stroke": colour("colour:N", scale=None)})
        if isinstance(first, Bar):
            chart = chart.mark_rect()
        elif isinstance(first, Rule):
            chart = chart.mark_rule(strokeWidth=first.width, strokeDash=[4, 3] if first.dashed else [1, 0])
        elif isinstance(first, Dot):
            chart = chart.mark_point(
                filled=not first.hollow, size=first.area, shape=first.shape, opacity=1, strokeWidth=1.8
            )
        elif isinstance(first, Text):
            chart = chart.mark_text(
                align=first.align,
                baseline="middle",
                fontSize=first.size,
                fontWeight="bold" if first.bold else "normal",
                angle=first.angle,
            )
            channels["text"] = altair.Text("text:N")
        channels["color"] = altair.Color("colour:N", scale=None)
        told = list(dict.fromkeys(name for mark in group for name in mark.about))
        if told:
            channels["tooltip"] = [altair.Tooltip(f"{name}:N") for name in told]
        return chart.encode(**channels)


def _position(channel: Any, name: str, axis: Axis) -> Any:
    scale = {"domain": [axis.low, axis.high], "range": [axis.start, axis.end], "nice": False, "zero": False}
    return channel(f"{name}:Q", scale=scale, axis=None)


def _groups(marks: Sequence[Mark]) -> list[list[Mark]]:
    """Marks that one layer can hold, the layers from below to above."""
    groups: dict[tuple[Any, ...], list[Mark]] = {}
    for mark in marks:
        key: tuple[Any, ...] = ()
        if isinstance(mark, Rule):
            key = (mark.width, mark.dashed)
        elif isinstance(mark, Path):
            key = (mark.width, mark.filled)
        elif isinstance(mark, Dot):
            key = (mark.area, mark.shape, mark.hollow)
        elif isinstance(mark, Text):
            key = (mark.size, mark.align, mark.bold, mark.angle)
        name = "grid" if isinstance(mark, Rule) and mark.tone == "grid" else type(mark).__name__
        groups.setdefault((name, *key), []).append(mark)
    return [groups[key] for key in sorted(groups, key=lambda key: _DEPTH.index(key[0]))]


def _rows(mark: Mark, number: int, colours: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    head = {**mark.about, "colour": colours.get(mark.tone, mark.tone)}
    if isinstance(mark, Path):
        for step, (x, y) in enumerate(mark.points):
            yield {**head, "part": number, "step": step, "x": x, "y": y}
    elif isinstance(mark, Bar | Rule):
        yield {**head, "x": mark.x, "y": mark.y, "x2": mark.x2, "y2": mark.y2}
    elif isinstance(mark, Dot):
        yield {**head, "x": mark.x, "y": mark.y}
    elif isinstance(mark, Text):
        yield {**head, "x": mark.x, "y": mark.y, "text": mark.text}
