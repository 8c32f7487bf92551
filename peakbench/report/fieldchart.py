"""The fields of a run as a small picture for a card: bars, 95 % intervals, floors. SVG as text, made of nothing else.

Colours are of Okabe and Ito's palette, told apart by readers with any colour vision (https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from peakbench.report.scores import highest_floor
from peakbench.report.tables import neutral, percent

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 640, 170, 64, 26, 64
_BAR, _FLOOR, _INK, _FAINT = "#56B4E9", "#D55E00", "#1b1b1b", "#6b6b6b"
_FONT = "font-family='system-ui, -apple-system, Segoe UI, Roboto, sans-serif'"


def field_chart(summary: Mapping[str, Any]) -> str | None:
    """Draw the score of each field; None where no field has one.

    >>> chart = field_chart({"run": {"model": "<m>"}, "samples": {"total": 9}, "fields": {"a<b": {"score": 0.5}}})
    >>> chart.startswith("<svg"), "a&lt;b" in chart, "<m>" in chart
    (True, True, False)
    """
    fields = [(name, one) for name, one in (summary.get("fields") or {}).items() if one.get("score") is not None]
    if not fields:
        return None
    height = _TOP + len(fields) * _ROW + 12
    run = summary["run"]
    model = _text(run.get("model") or "model", 60)
    data = _text((run.get("data") or {}).get("name") or "data", 40)
    total = int(summary["samples"].get("total") or 0)
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' viewBox='0 0 {_WIDTH} {height}' "
        f"role='img' {_FONT}>",
        f"<title>{model} on {data}: score of each field in per cent</title>",
        f"<rect width='{_WIDTH}' height='{height}' rx='6' fill='#ffffff'/>",
        f"<text x='16' y='26' font-size='15' font-weight='600' fill='{_INK}'>{model}: score of each field, %</text>",
        f"<text x='16' y='46' font-size='12' fill='{_FAINT}'>{data}, {total:,} samples; line: 95 % interval; "
        f"<tspan fill='{_FLOOR}' font-weight='600'>mark: floor, the best answer without a model</tspan></text>",
    ]
    for number, (name, one) in enumerate(fields):
        lines += _row(_TOP + number * _ROW, name, one)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _row(y: int, name: str, one: Mapping[str, Any]) -> Iterator[str]:
    middle = y + _ROW // 2
    end = _x(one["score"])
    label = f"font-size='13' text-anchor='end' fill='{_INK}'"
    yield f"<text x='{_LEFT - 10}' y='{middle + 4}' {label}>{_text(name, 22)}</text>"
    yield f"<rect x='{_LEFT}' y='{y + 5}' width='{_x(1.0) - _LEFT:.1f}' height='{_ROW - 10}' fill='#f0f0f0'/>"
    yield f"<rect x='{_LEFT}' y='{y + 5}' width='{max(end - _LEFT, 0):.1f}' height='{_ROW - 10}' fill='{_BAR}'/>"
    low, high = one.get("low"), one.get("high")
    if low is not None and high is not None:
        ends = f"M{_x(low):.1f} {middle - 4}v8M{_x(high):.1f} {middle - 4}v8"
        line = f"M{_x(low):.1f} {middle}H{_x(high):.1f}{ends}"
        yield f"<path d='{line}' stroke='{_INK}' stroke-width='1.5' fill='none'/>"
    floor = highest_floor(one, higher_is_better=True)
    if floor:
        yield (
            f"<path d='M{_x(floor[1]):.1f} {y + 2}v{_ROW - 4}' stroke='#ffffff' stroke-width='5'/>"
            f"<path d='M{_x(floor[1]):.1f} {y + 2}v{_ROW - 4}' stroke='{_FLOOR}' stroke-width='3'/>"
        )
    yield f"<text x='{_WIDTH - 16}' y='{middle + 4}' {label}>{percent(one['score'])}</text>"


def _x(share: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, max(0.0, share))


def _text(text: object, limit: int) -> str:
    return html.escape(neutral(text, limit=limit), quote=True)
