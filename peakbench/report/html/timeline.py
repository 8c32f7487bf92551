"""Latency and throughput over the time of asking, read from the journal."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from peakbench.metrics.base import Floats
from peakbench.report.html.figures import Tick, ticks
from peakbench.report.tables import quantity
from peakbench.store import RunDirectory
from peakbench.store.directory import RESPONSES
from peakbench.store.formats import load_line
from peakbench.store.journal import whole_lines

POINTS = 500
"""Dots at most; of more answers every so many-th is drawn."""

BINS = 60
_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Timeline:
    """Two figures over one axis of time; places are shares of the width and from the top.

    ``dots``: answers by when they began and how long they took; ``failed``: where requests failed. ``middle``: the
    median by bin as a path over (100, 100), ``band`` from the 10th to the 90th percentile. ``columns``: (place, width,
    height) of answers a second. ``pauses``: where time in which nothing was asked is left out.
    """

    dots: list[tuple[float, float]]
    failed: list[float]
    middle: str
    band: str
    columns: list[tuple[float, float, float]]
    pauses: list[float]
    time_ticks: list[Tick]
    latency_ticks: list[Tick]
    rate_ticks: list[Tick]
    answers: int
    shown: int
    seconds: float
    top_latency: float
    mean_rate: float
    median: float


def timeline(run: RunDirectory) -> Timeline | None:
    """Return the figures, None where fewer than two answers have timings."""
    started, latency, lost = _read(run)
    if len(started) < 2:
        return None
    ended = started + latency
    clock, pauses = _squeeze(np.concatenate([started, ended, lost]), float(np.median(latency)))
    n = len(started)
    began, done, failed = clock[:n], clock[n : 2 * n], clock[2 * n :]
    span = max(float(clock.max()), 1e-9)
    # The highest hundredth would squeeze all others to the ground.
    top = max(float(np.quantile(latency, 0.99)) * 1.15, 1e-9)
    count = int(min(BINS, max(5, n // 8)))
    edges = np.linspace(0.0, span, count + 1)
    rates = np.histogram(done, edges)[0] / (span / count)
    high = max(float(rates.max()), 1e-9)
    quantiles = _quantiles(began, latency, edges)
    every = max(1, -(-n // POINTS))
    shown = np.argsort(began, kind="stable")[::every]
    return Timeline(
        dots=[(float(began[at] / span), 1 - min(1.0, float(latency[at] / top))) for at in shown],
        failed=sorted({round(float(one / span), 3) for one in failed}),
        middle=_path([(x / span, 1 - min(1.0, q[1] / top)) for x, q in quantiles]),
        band=_path(
            [(x / span, 1 - min(1.0, q[2] / top)) for x, q in quantiles]
            + [(x / span, 1 - min(1.0, q[0] / top)) for x, q in reversed(quantiles)]
        ),
        columns=[(at / count, 1 / count, float(rate / high)) for at, rate in enumerate(rates.tolist()) if rate > 0],
        pauses=[float(one / span) for one in pauses],
        time_ticks=ticks(0.0, span, "s"),
        latency_ticks=ticks(0.0, top, "s"),
        rate_ticks=ticks(0.0, high, ""),
        answers=n,
        shown=len(shown),
        seconds=span,
        top_latency=float(latency.max()),
        mean_rate=n / span,
        median=float(np.median(latency)),
    )


def words(found: Timeline) -> str:
    """The figures in a sentence, for who does not see them."""
    return (
        f"{found.answers:,} answers in {quantity(found.seconds, 's')} of asking: half took less than "
        f"{quantity(found.median, 's')}, the longest {quantity(found.top_latency, 's')}; "
        f"{quantity(found.mean_rate)} a second on average"
        + (f"; {len(found.pauses)} pauses are left out" if found.pauses else "")
    )


def _read(run: RunDirectory) -> tuple[Floats, Floats, Floats]:
    """When each answer began and how long it took; when failures began."""
    started, latency, lost = array("d"), array("d"), array("d")
    for began, took in _timings(run):
        if took is None:
            lost.append(began)
        else:
            started.append(began)
            latency.append(took)
    return np.array(started), np.array(latency), np.array(lost)


def _timings(run: RunDirectory) -> Iterator[tuple[float, float | None]]:
    path = run.path / RESPONSES
    for _, line in whole_lines(path) if path.exists() else ():
        value = load_line(line)
        began, took = value.get("started_at"), value.get("latency_s")
        if not isinstance(began, int | float):
            continue
        if value.get("error") is not None:
            yield float(began), None
        elif isinstance(took, int | float) and took >= 0:
            yield float(began), float(took)


def _squeeze(times: Floats, median: float) -> tuple[Floats, list[float]]:
    """Return seconds of asking, with the stretches in which nothing began or ended taken out; and where those were."""
    order = np.argsort(times, kind="stable")
    gaps = np.diff(times[order], prepend=times[order[0]])
    long = gaps > max(_PAUSE_S, 20 * median)
    gaps[long] = 0.0
    clock = np.empty(len(times))
    clock[order] = np.cumsum(gaps)
    return clock, [float(one) for one in clock[order][long]]


def _quantiles(began: Floats, latency: Floats, edges: Floats) -> list[tuple[float, list[float]]]:
    which = np.clip(np.searchsorted(edges, began, side="right") - 1, 0, len(edges) - 2)
    found = []
    for at in range(len(edges) - 1):
        inside = latency[which == at]
        if len(inside):
            found.append(
                (float((edges[at] + edges[at + 1]) / 2), [float(q) for q in np.quantile(inside, [0.1, 0.5, 0.9])])
            )
    return found


def _path(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{100 * x:.2f},{100 * y:.2f}" for x, y in points)
