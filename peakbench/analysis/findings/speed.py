"""Speed: what quantization gained in samples a second, and who is neither beaten in score nor in speed."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from peakbench.analysis.findings.readings import GroupReading, value
from peakbench.analysis.findings.statements import Finding
from peakbench.analysis.findings.wording import listed, percent, some_of
from peakbench.analysis.leaderboard.standings import Standing
from peakbench.analysis.lineage.pairs import Pairs


def speeds(found: GroupReading, pairs: Pairs | None) -> Iterator[Finding]:
    """Yield the models that no other beats in both, and how much faster quantized models are than their originals."""
    timed = [one for one in found.usable if _speed(one) > 0]
    front = [one for one in timed if not any(_beats(found, other, one) for other in timed)]
    if len(timed) > 1:
        shown = [f"{found.label(one)} ({percent(value(one))}, {_speed(one):.1f} samples/s)" for one in front]
        yield Finding(
            "speed",
            f"Of {len(timed)} models with a known speed no other is both as good and as fast as "
            f"{listed(shown, most=6)}; speeds depend on the machine and the load.",
            {
                "models": len(timed),
                "front": [{"model": one.model, "score": value(one), "throughput": _speed(one)} for one in front],
            },
            "observed",
        )
    if pairs is not None:
        yield from _quantized(timed, pairs)


def _quantized(timed: list[Standing], pairs: Pairs) -> Iterator[Finding]:
    places = {one.path: one for one in timed}
    rows: list[dict[str, Any]] = []
    ratios = []
    for one in pairs:
        first, second = places.get(one.base.where), places.get(one.other.where)
        if one.pair.kind == "quantization" and one.pair.clean and first is not None and second is not None:
            speeds = {"first": _speed(first), "second": _speed(second)}
            ratios.append(_speed(second) / _speed(first))
            rows.append({"model": second.model, "base": first.model, **speeds, "ratio": ratios[-1]})
    if len(rows) < 2:
        return
    ratios.sort()
    faster = sum(ratio > 1 for ratio in ratios)
    number = some_of(faster, len(ratios))
    yield Finding(
        "speed",
        f"Quantized models are faster than their originals in {number} pairs: {ratios[0]:.2f} to {ratios[-1]:.2f} "
        f"times as many samples a second (median {median(ratios):.2f}); speeds depend on the machine and the load.",
        {"pairs": rows, "low": ratios[0], "high": ratios[-1], "median": median(ratios)},
        "observed",
    )


def _beats(found: GroupReading, one: Standing, other: Standing) -> bool:
    """Whether one is at least as good and as fast, and better or faster."""
    gain, faster = round(found.gain(one, other), 9), _speed(one) - _speed(other)
    return gain >= 0 and faster >= 0 and (gain > 0 or faster > 0)


def _speed(one: Standing) -> float:
    return one.throughput.value if one.throughput is not None else 0.0
