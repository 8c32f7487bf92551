"""A run and its samples as HTML for a notebook: plain tables, every text of the data escaped, no script, no request."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from peakbench.records import OUTCOMES, Completion, Prediction
from peakbench.report.pictures import picture_html
from peakbench.report.rows import summary_rows
from peakbench.report.sample import SampleLike
from peakbench.report.tables import neutral

TEXT_SHOWN = 2000
"""Characters of an answer's text or reasoning."""

VALUE_SHOWN = 200
"""Characters of one value."""

REPEATS_SHOWN = 5
IMAGES_SHOWN = 4

_HEAD = ("score", "95 % interval", "", "floor", "skill", "skill 95 %", "n")
_FACTS = {
    "correct": "✓ correct",
    "correct_null": "✓ both say nothing",
    "wrong": "✗ wrong",
    "invented": "✗ invented",
    "omitted": "✗ omitted",
    "unread": "✗ not read",
}
"""An outcome in a sign and in words, so that it does not hang on a colour."""

_STYLE = "max-width:100%;overflow-x:auto"
_NUMBER = ' style="text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"'
_TEXT = ' style="text-align:left"'
_ABSENT = object()


def summary_html(summary: Mapping[str, Any]) -> str:
    """Return the tables of a summary: metrics, fields, and one a slice key with the slices' metrics and fields.

    >>> summary_html({"run": {"model": "<b>"}, "samples": {"answers": 1, "failed": 0}, "metrics": {}})
    '<p><b>&lt;b&gt;: 1 answers, 0 failed</b></p>'
    """
    run, counts = summary["run"], summary["samples"]
    data = (run.get("data") or {}).get("name")
    title = f"{run.get('model')}{f' on {data}' if data else ''}: {counts['answers']} answers, {counts['failed']} failed"
    parts = [f"<p><b>{_escaped(title)}</b>{_states(counts)}</p>"]
    if run.get("profile"):
        parts.append(
            f"<p>profile {_escaped(run['profile'])}: for comparison with published numbers only; "
            "answers that cannot be read are scored as all null</p>"
        )
    rows = list(summary_rows(summary))
    whole = [row for row in rows if row["slice_key"] is None]
    failed = bool(counts["failed"])
    metrics = [row for row in whole if row["what"] == "metric"]
    parts += _table("metric", [row for row in metrics if row["value"] is not None], failed=failed)
    parts += _table("field", [row for row in whole if row["what"] == "field"], failed=failed, outcomes=True)
    for key in summary.get("slices") or {}:
        of_key = [row for row in rows if row["slice_key"] == key and row["value"] is not None]
        parts.append(f"<details><summary>by {_escaped(key)}</summary>")
        for what in ("metric", "field"):
            found = [row for row in of_key if row["what"] == what]
            parts += _table(what, found, failed=failed, outcomes=what == "field", key=key)
        parts.append("</details>")
    unscored = [row for row in metrics if row["value"] is None]
    if unscored:
        lines = "".join(
            f"<li>{_escaped(row['name'])}: {_escaped(row['reason'] or 'unscored')}</li>" for row in unscored
        )
        parts.append(f"<details><summary>{len(unscored)} metrics are unscored</summary><ul>{lines}</ul></details>")
    return "".join(parts)


def unfinished_html(model: str, data: str, path: str) -> str:
    """Say of a run without a summary what it is.

    >>> unfinished_html("m", "photos", "runs/<a>")
    '<p><b>m on photos</b>: unfinished, nothing has been scored yet (runs/&lt;a&gt;)</p>'
    """
    title = f"{_escaped(model)} on {_escaped(data)}"
    return f"<p><b>{title}</b>: unfinished, nothing has been scored yet ({_escaped(path)})</p>"


def _states(counts: Mapping[str, Any]) -> str:
    words = [
        f"{counts[name]:,} {name.replace('_', '-')}"
        for name in ("strict", "extracted", "repaired", "unparseable", "off_schema", "text", "truncated")
        if counts.get(name)
    ]
    return f"<br>{', '.join(words)}" if words else ""


def _table(
    what: str, rows: Sequence[Mapping[str, Any]], *, failed: bool, outcomes: bool = False, key: str | None = None
) -> Iterable[str]:
    if not rows:
        return
    used = [name for name in OUTCOMES if any(row[name] for row in rows)] if outcomes else []
    names = [*([key] if key else []), what]
    left_out = {at for at, name in enumerate(_HEAD) if "skill" in name and all(row["skill"] is None for row in rows)}
    numbers = [
        *(name for at, name in enumerate(_HEAD) if at not in left_out),
        *(["failed 0-1"] if failed else []),
        *(name.replace("_", " ") for name in used),
    ]
    yield f'<div style="{_STYLE}"><table><thead><tr>'
    yield "".join(f'<th scope="col"{_TEXT}>{_escaped(name)}</th>' for name in names)
    yield "".join(f'<th scope="col"{_NUMBER}>{_escaped(name)}</th>' for name in numbers)
    yield "</tr></thead><tbody>"
    for row in rows:
        names = [*([row["slice"]] if key else []), row["name"]]
        worth = [f"<td{_NUMBER}>{_escaped(number)}</td>" for number in _worth(row)]
        worth.insert(_HEAD.index(""), f"<td>{_bar(row)}</td>")
        cells = [f'<th scope="row"{_TEXT}>{_escaped(name)}</th>' for name in names]
        cells += [cell for at, cell in enumerate(worth) if at not in left_out]
        if failed:
            cells.append(f"<td{_NUMBER}>{_interval(row['failures_low'], row['failures_high'])}</td>")
        cells += [f"<td{_NUMBER}>{row[name] or 0:,}</td>" for name in used]
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"
    if any(row["unreliable"] for row in rows):
        reasons = dict.fromkeys(str(row["unreliable"]) for row in rows if row["unreliable"])
        yield f"<p>* the interval is not to be relied on: {_escaped('; '.join(reasons))}</p>"


def _bar(row: Mapping[str, Any]) -> str:
    """The score, its interval and its floor on a line from 0 to 1; nothing for what is no share of something."""
    value, low, high, floor = (row[name] for name in ("value", "low", "high", "floor"))
    if value is None or row["unit"] or not 0 <= value <= 1:
        return ""
    marks = ['<line x1="4" x2="104" y1="8" y2="8" stroke="currentColor" stroke-opacity=".25"/>']
    if floor is not None and 0 <= floor <= 1:
        place = 4 + 100 * floor
        marks.append(f'<line x1="{place:.1f}" x2="{place:.1f}" y1="2" y2="14" stroke="currentColor"/>')
    if low is not None and high is not None:
        marks.append(
            f'<line x1="{4 + 100 * low:.1f}" x2="{4 + 100 * high:.1f}" y1="8" y2="8" stroke="#0072b2" '
            'stroke-width="4" stroke-opacity=".45"/>'
        )
    marks.append(f'<circle cx="{4 + 100 * value:.1f}" cy="8" r="3.5" fill="#0072b2"/>')
    words = f"{value:.3f}" + (f", floor {floor:.3f}" if floor is not None else "")
    return f'<svg width="108" height="16" role="img" aria-label="{words}">{"".join(marks)}</svg>'


def _worth(row: Mapping[str, Any]) -> list[str]:
    floor = "–" if row["floor"] is None else f"{row['floor']:.3f} {row['floor_answer']}"
    unit = f" {row['unit']}" if row["unit"] else ""
    score = str(row["reason"] or "unscored") if row["value"] is None else f"{row['value']:.3f}{unit}"
    return [
        score + ("*" if row["unreliable"] else ""),
        _interval(row["low"], row["high"]),
        floor,
        "–" if row["skill"] is None else f"{row['skill']:.3f}",
        _interval(row["skill_low"], row["skill_high"]),
        str(row["n"]),
    ]


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def sample_html(view: SampleLike) -> str:
    """Return one sample: its images, and for each repeat the fields side by side, the scores, the text.

    An image is shown as it was when the run began, shrunk; where it has moved, changed or
    is too large to be shown, that is said. Texts are cut at 2,000 characters.
    """
    record = view.record
    parts = [f"<p><b>{_escaped(record.id)}</b></p>"]
    if record.images:
        shown = "".join(picture_html(image) for image in record.images[:IMAGES_SHOWN])
        more = len(record.images) - IMAGES_SHOWN
        left = f"<p>and {more} more images</p>" if more > 0 else ""
        parts.append(f'<div style="display:flex;flex-wrap:wrap;gap:8px">{shown}</div>{left}')
    if record.metadata:
        words = ", ".join(f"{_escaped(key, 40)} {_value(value)}" for key, value in record.metadata.items())
        parts.append(f'<p style="overflow-wrap:anywhere">{words}</p>')
    if not view.completions:
        parts.append(f"<p>not asked yet; reference: {_value(record.reference)}</p>")
    rows = {row["repeat"]: row for row in view.scores}
    pairs = list(zip(view.completions, view.predictions, strict=True))
    for completion, prediction in pairs[:REPEATS_SHOWN]:
        if len(pairs) > 1:
            parts.append(f"<p><b>repeat {completion.repeat}</b></p>")
        parts += _answer(record.reference, completion, prediction, rows.get(completion.repeat))
    if len(pairs) > REPEATS_SHOWN:
        parts.append(f"<p>and {len(pairs) - REPEATS_SHOWN} more repeats</p>")
    return "".join(parts)


def _answer(
    reference: Any, completion: Completion, prediction: Prediction, row: Mapping[str, Any] | None
) -> Iterator[str]:
    words = [prediction.state.replace("_", "-")]
    if prediction.problem is not None and completion.failure is None:
        place = "" if prediction.problem.position is None else f" at character {prediction.problem.position:,}"
        detail = f" ({_escaped(prediction.problem.detail)})" if prediction.problem.detail else ""
        words.append(f"{_escaped(prediction.problem.reason)}{place}{detail}")
    if prediction.truncated:
        words.append("cut off at the token limit")
    if completion.failure is not None:
        words.append(f"{_escaped(completion.failure.kind)}: {_escaped(completion.failure.message)}")
    if completion.response is not None and completion.started_at is not None:
        words.append(f"{completion.response.latency_s:.2f} s")
    yield f"<p>{'; '.join(words)}</p>"
    if isinstance(reference, Mapping):
        yield from _fields(reference, prediction, row)
    elif reference is not None:
        yield f"<p>reference: {_value(reference)}</p>"
    scored = {name: one["value"] for name, one in ((row or {}).get("metrics") or {}).items()}
    known = [f"{_escaped(name)} {value:.3f}" for name, value in scored.items() if value is not None]
    if known:
        yield f"<p>{', '.join(known)}</p>"
    response = completion.response
    for title, text in (("text", response and response.text), ("reasoning", response and response.reasoning)):
        if text:
            body = f'<pre style="white-space:pre-wrap">{_escaped(text, TEXT_SHOWN)}</pre>'
            yield f"<details><summary>{title}, {len(text):,} characters</summary>{body}</details>"


def _fields(reference: Mapping[str, Any], prediction: Prediction, row: Mapping[str, Any] | None) -> Iterator[str]:
    value = prediction.value if isinstance(prediction.value, Mapping) else {}
    scored = (row or {}).get("fields") or {}
    if not scored:
        yield f"<p>reference: {_value(reference)}</p>"
        return
    yield f'<div style="{_STYLE}"><table><thead><tr>'
    yield "".join(f'<th scope="col"{_TEXT}>{name}</th>' for name in ("field", "reference", "answer", "score", ""))
    yield "</tr></thead><tbody>"
    for name, one in scored.items():
        outcome = _FACTS.get(one["outcome"], _escaped(one["outcome"]))
        cells = [_value(reference.get(name, _ABSENT)), _value(value.get(name, _ABSENT))]
        yield f'<tr><th scope="row"{_TEXT}>{_escaped(name, 60)}</th>'
        yield "".join(f"<td{_TEXT}>{cell}</td>" for cell in cells)
        yield f"<td{_NUMBER}>{one['score']:.3f}</td><td{_TEXT}>{outcome}</td></tr>"
    yield "</tbody></table></div>"


def _value(value: Any) -> str:
    if value is _ABSENT:
        return "<i>absent</i>"
    if value is None:
        return "<i>null</i>"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return _escaped(text, VALUE_SHOWN) or "<i>empty</i>"


def _escaped(text: Any, limit: int = 500) -> str:
    """A text of the data as HTML: escaped, cut, and without what a page or a terminal would obey."""
    return html.escape(neutral(text, limit=limit, keep="\n"))
