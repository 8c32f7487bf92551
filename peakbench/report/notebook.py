"""A run's summary as HTML for a notebook: plain tables, every text of the data escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peakbench.records import OUTCOMES
from peakbench.report.rows import summary_rows

_WORTH = ("score", "95 % interval", "floor", "skill", "skill 95 %", "n")


def summary_html(summary: Mapping[str, Any]) -> str:
    """Return the tables of a summary: metrics, fields, and one a slice key with the slices' metrics and fields.

    >>> summary_html({"run": {"model": "<b>"}, "samples": {"answers": 1, "failed": 0}, "metrics": {}})
    '<p><b>&lt;b&gt;: 1 answers, 0 failed</b></p>'
    """
    run, counts = summary["run"], summary["samples"]
    data = (run.get("data") or {}).get("name")
    title = f"{run.get('model')}{f' on {data}' if data else ''}: {counts['answers']} answers, {counts['failed']} failed"
    parts = [f"<p><b>{html.escape(title)}</b></p>"]
    if run.get("profile"):
        parts.append(
            f"<p>profile {html.escape(run['profile'])}: for comparison with published numbers only; "
            "answers that cannot be read are scored as all null</p>"
        )
    rows = list(summary_rows(summary))
    whole = [row for row in rows if row["slice_key"] is None]
    failed = bool(counts["failed"])
    parts += _table("metric", [row for row in whole if row["what"] == "metric"], failed=failed)
    parts += _table("field", [row for row in whole if row["what"] == "field"], failed=failed, outcomes=True)
    for key in summary.get("slices") or {}:
        of_key = [row for row in rows if row["slice_key"] == key and row["value"] is not None]
        parts.append(f"<details><summary>by {html.escape(key)}</summary>")
        for what in ("metric", "field"):
            found = [row for row in of_key if row["what"] == what]
            parts += _table(what, found, failed=failed, outcomes=what == "field", key=key)
        parts.append("</details>")
    return "".join(parts)


def _table(
    what: str, rows: Sequence[Mapping[str, Any]], *, failed: bool, outcomes: bool = False, key: str | None = None
) -> Iterable[str]:
    if not rows:
        return
    head = [
        *([key] if key else []),
        what,
        *_WORTH,
        *(["failed 0-1"] if failed else []),
        *(OUTCOMES if outcomes else ()),
    ]
    yield f"<table><thead><tr>{''.join(f'<th>{html.escape(name)}</th>' for name in head)}</tr></thead><tbody>"
    for row in rows:
        cells = [*([row["slice"]] if key else []), row["name"], *_worth(row)]
        if failed:
            cells.append(_interval(row["failures_low"], row["failures_high"]))
        if outcomes:
            cells += [str(row[name] or 0) for name in OUTCOMES]
        yield f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
    yield "</tbody></table>"


def _worth(row: Mapping[str, Any]) -> list[str]:
    floor = "–" if row["floor"] is None else f"{row['floor']:.3f} {row['floor_answer']}"
    unit = f" {row['unit']}" if row["unit"] else ""
    score = str(row["reason"] or "unscored") if row["value"] is None else f"{row['value']:.3f}{unit}"
    return [
        score,
        _interval(row["low"], row["high"]),
        floor,
        "–" if row["skill"] is None else f"{row['skill']:.3f}",
        _interval(row["skill_low"], row["skill_high"]),
        str(row["n"]),
    ]


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"
