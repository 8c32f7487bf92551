"""Charts of a leaderboard, drawn by altair and vl-convert, without a browser and without a network.

>>> list(CHARTS)[:3]
['leaderboard', 'accuracy_speed', 'training']
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peakbench.analysis.leaderboard.standings import Leaderboard
from peakbench.analysis.lineage.pairs import Pairs
from peakbench.errors import InputError, nearest
from peakbench.report.charts import bars, changes, families, fields, speed
from peakbench.report.charts.canvas import Canvas, Size
from peakbench.report.charts.rows import Board, Undrawn, read_board
from peakbench.report.charts.saving import page, png, save, svg
from peakbench.report.charts.theme import THEMES, Theme, page_css
from peakbench.tasks import Task

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "CHARTS",
    "THEMES",
    "ChartFiles",
    "ChartKind",
    "Theme",
    "chart_files",
    "draw",
    "figure",
    "page",
    "page_css",
    "png",
    "save",
    "svg",
    "why_not",
]


@dataclass(frozen=True, slots=True)
class Given:
    """What a chart may be drawn from."""

    board: Leaderboard
    group: int
    pairs: Pairs | None
    task: Task | None

    def read(self) -> Board:
        """The group's rows."""
        return read_board(self.board, self.group)


@dataclass(frozen=True, slots=True)
class ChartKind:
    """A kind of chart. ``shows``: what it answers. ``place``: lays it out, or raises :class:`Undrawn`."""

    name: str
    title: str
    shows: str
    place: Callable[[Given, Size], Canvas]


def _weights(given: Given, size: Size) -> Canvas:
    if given.task is None:
        raise Undrawn("no task is known: a published table does not say what its fields count for")
    return bars.weights(given.task, size)


CHARTS: Mapping[str, ChartKind] = {
    kind.name: kind
    for kind in (
        ChartKind(
            "leaderboard",
            "Leaderboard",
            "who is best, how sure, and how far above a floor",
            lambda given, size: bars.leaderboard(given.read(), size),
        ),
        ChartKind(
            "accuracy_speed",
            "Accuracy against throughput",
            "which models no other beats in both",
            lambda given, size: speed.speed(given.read(), size),
        ),
        ChartKind(
            "training",
            "Training impact",
            "what each stage of training added",
            lambda given, size: changes.training(given.read(), size, given.pairs),
        ),
        ChartKind(
            "quantization",
            "Quantization pairs",
            "what quantization cost",
            lambda given, size: changes.quantization(given.read(), size, given.pairs),
        ),
        ChartKind(
            "collections",
            "Collections by architecture",
            "how models of one architecture compare with others",
            lambda given, size: families.families(given.read(), size),
        ),
        ChartKind(
            "json_rate",
            "JSON parse rates",
            "whose answers cannot be read",
            lambda given, size: bars.readable(given.read(), size),
        ),
        ChartKind(
            "field_heatmap",
            "Models and fields",
            "which fields are hard, and for whom",
            lambda given, size: fields.heatmap(given.read(), size),
        ),
        ChartKind(
            "field_radar",
            "Fields of the best models",
            "where each of the best is strong and weak",
            lambda given, size: fields.radar(given.read(), size),
        ),
        ChartKind("field_weights", "Field weights", "what each field counts for", _weights),
    )
}
"""Every chart, in the order in which they are read."""


@dataclass(frozen=True, slots=True)
class ChartFiles:
    """What was drawn. ``light``, ``dark``: file by chart. ``undrawn``: why there is no such chart."""

    light: Mapping[str, Path]
    dark: Mapping[str, Path]
    undrawn: Mapping[str, str]


def draw(
    name: str,
    board: Leaderboard,
    *,
    theme: Theme = "light",
    size: Size = "wide",
    group: int = 0,
    pairs: Pairs | None = None,
    task: Task | None = None,
) -> alt.LayerChart | None:
    """Draw a chart; None where the data do not carry it, and :func:`why_not` says why.

    Args:
        name: one of :data:`CHARTS`.
        theme: ``light``, ``dark``, or ``page``: for SVG inside a page that has the CSS of :func:`page_css`.
        size: ``wide`` is 700 pixels, ``narrow`` 360: the same chart laid out for a phone.
        group: place in ``board.groups``.
        pairs: adds the intervals of paired differences.
        task: what the fields count for.

    Raises:
        InputError: no such chart, or theme.
        MissingDependency: altair is not installed.
    """
    try:
        canvas = _kind(name).place(Given(board, group, pairs, task), size)
    except Undrawn:
        return None
    return canvas.chart(theme)


def why_not(
    name: str, board: Leaderboard, *, group: int = 0, pairs: Pairs | None = None, task: Task | None = None
) -> str | None:
    """Say why a chart cannot be drawn from a board; None where it can. Needs no altair.

    >>> why_not("leaderboard", Leaderboard((), (), "weighted_score"))
    'the leaderboard has no rows'
    """
    try:
        _kind(name).place(Given(board, group, pairs, task), "wide")
    except Undrawn as reason:
        return str(reason)
    return None


def figure(
    name: str, board: Leaderboard, *, group: int = 0, pairs: Pairs | None = None, task: Task | None = None
) -> str | None:
    """Return a chart as HTML for a page with the CSS of :func:`page_css`; None where it cannot be drawn.

    Both layouts are in it, and the page's width chooses: SVG that was checked, nothing that runs or loads.

    Raises:
        InputError: no such chart.
        MissingDependency: altair or vl-convert is not installed.
    """
    parts = []
    for size in ("wide", "narrow"):
        chart = draw(name, board, theme="page", size=size, group=group, pairs=pairs, task=task)
        if chart is None:
            return None
        parts.append(f'<div class="chart-{size}">{svg(chart, prefix=f"{html.escape(name)}-{group}-{size}-")}</div>')
    return "".join(parts)


def chart_files(
    board: Leaderboard,
    folder: str | Path,
    *,
    ending: str = ".svg",
    group: int = 0,
    pairs: Pairs | None = None,
    task: Task | None = None,
) -> ChartFiles:
    """Write every chart that the data carry into a folder: ``NAME.svg`` and ``NAME-dark.svg``.

    Raises:
        InputError: an unknown ending, or a folder that cannot be written.
        MissingDependency: altair or vl-convert is not installed.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made: {error.strerror}", where=str(place)) from None
    light: dict[str, Path] = {}
    dark: dict[str, Path] = {}
    undrawn: dict[str, str] = {}
    for name in CHARTS:
        reason = why_not(name, board, group=group, pairs=pairs, task=task)
        if reason is not None:
            undrawn[name] = reason
            continue
        for theme, files, mark in (("light", light, ""), ("dark", dark, "-dark")):
            chart = draw(name, board, theme=theme, group=group, pairs=pairs, task=task)  # type: ignore[arg-type]
            assert chart is not None
            files[name] = save(chart, place / f"{name}{mark}{ending}")
    return ChartFiles(light, dark, undrawn)


def _kind(name: str) -> ChartKind:
    if name not in CHARTS:
        raise InputError(f"no chart '{name}'", expected=", ".join(CHARTS), hint=nearest(name, CHARTS))
    return CHARTS[name]
