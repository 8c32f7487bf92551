"""One sample of a run for people: what was asked, what was answered, how it was read and scored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from peakbench.records import Completion, Prediction
from peakbench.report.tables import Lines, Page, Table, neutral, percent, quantity
from peakbench.tasks import Task

TEXT_SHOWN = 2000
VALUE_SHOWN = 40
_ABSENT = object()


class SampleLike(Protocol):
    """What is known about a sample; :class:`peakbench.runs.SampleView` is one."""

    @property
    def record(self) -> Any: ...  # noqa: D102
    @property
    def completions(self) -> Sequence[Completion]: ...  # noqa: D102
    @property
    def predictions(self) -> Sequence[Prediction]: ...  # noqa: D102
    @property
    def scores(self) -> Sequence[Mapping[str, Any]]: ...  # noqa: D102


def sample_page(view: SampleLike, task: Task) -> Page:
    """Lay out one sample: head and images, then for each repeat the answer, its fields, its metrics and its text."""
    page = Page()
    record = view.record
    head = [neutral(record.id, limit=200)]
    for image in record.images:
        where = image.path or image.url or "embedded"
        size = f"{image.bytes:,} bytes" if image.bytes else "not fetched"
        label = f"{neutral(image.label)}: " if image.label else ""
        head.append(f"image {label}{neutral(where, limit=200)} ({neutral(image.media_type)}, {size})")
    for key, value in record.metadata.items():
        head.append(f"{neutral(key, limit=40)} {_value(value, 100)}")
    if record.prompt:
        head.append(f"prompt {neutral(record.prompt, limit=200)}")
    page.add(Lines(head, kind="heading"))
    rows = {row["repeat"]: row for row in view.scores}
    if not view.completions:
        page.add(Lines(["not asked yet"], "Answer", "note"))
    for completion, prediction in zip(view.completions, view.predictions, strict=True):
        title = f"Answer, repeat {completion.repeat}" if len(view.completions) > 1 else "Answer"
        page.add(Lines(list(_answer(completion, prediction)), title))
        row = rows.get(completion.repeat)
        page.add(_fields(record.reference, prediction, row, task))
        page.add(_metrics(row))
        page.add(_text("Text", completion.response.text if completion.response else None))
        page.add(_text("Reasoning", completion.response.reasoning if completion.response else None))
    return page


def _answer(completion: Completion, prediction: Prediction) -> Iterator[str]:
    state = prediction.state.replace("_", "-")
    if prediction.problem:
        problem = prediction.problem
        state += f": {neutral(problem.reason)}"
        if problem.position is not None:
            state += f" at character {problem.position:,}"
        if problem.detail:
            state += f" ({neutral(problem.detail, limit=200)})"
    yield state
    if prediction.truncated:
        yield "truncated: the server stopped at the token limit"
    if prediction.duplicates:
        yield f"{prediction.duplicates} keys stood twice; the last one counts"
    if prediction.extra:
        yield "unknown keys: " + neutral(", ".join(map(str, prediction.extra)), limit=200)
    if completion.failure:
        failure = completion.failure
        status = f" {failure.http_status}" if failure.http_status else ""
        yield f"failed: {failure.kind}{status}: {neutral(failure.message, limit=500)}"
    if completion.response:
        response = completion.response
        if response.refusal:
            yield f"refusal: {neutral(response.refusal, limit=500)}"
        if completion.started_at is not None:
            first = f", first token {quantity(response.ttft_s, 's')}" if response.ttft_s is not None else ""
            yield f"{quantity(response.latency_s, 's')}{first}, finish reason {neutral(response.finish_reason or '-')}"
        tokens = {key: value for key, value in (response.usage or {}).items() if isinstance(value, int)}
        if tokens:
            yield ", ".join(f"{neutral(key).replace('_', ' ')} {value:,}" for key, value in tokens.items())
    if completion.attempts > 1:
        yield f"{completion.attempts} attempts"
    if completion.request_sha256:
        yield f"request {completion.request_sha256[:16]}"


def _fields(reference: Any, prediction: Prediction, row: Mapping[str, Any] | None, task: Task) -> Table | None:
    scored = (row or {}).get("fields") or {}
    expected = reference if isinstance(reference, Mapping) else {}
    answer = prediction.value if isinstance(prediction.value, Mapping) else {}
    rows = []
    for name in task.keys:
        field = scored.get(name, {})
        rows.append(
            [
                neutral(name),
                _value(expected.get(name, _ABSENT)),
                _value(answer.get(name, _ABSENT)) if prediction.read else "-",
                neutral(field.get("outcome", "not scored")),
                percent(field.get("score")),
            ]
        )
    columns = ["field", "reference", "answer", "outcome", "score %"]
    return Table(columns, rows, "Fields", frozenset(columns[1:4])) if rows else None


def _metrics(row: Mapping[str, Any] | None) -> Table | None:
    if not row:
        return None
    rows = []
    for name, score in row["metrics"].items():
        value = score.get("value")
        rows.append(
            [neutral(name), "-" if value is None else f"{value:.4f}", neutral(score.get("reason") or "", limit=100)]
        )
    return Table(["metric", "value", "reason"], rows, "Metrics", frozenset({"reason"})) if rows else None


def _text(title: str, text: str | None) -> Lines | None:
    if not text:
        return None
    return Lines(neutral(text, limit=TEXT_SHOWN, keep="\n").split("\n"), title)


def _value(value: Any, limit: int = VALUE_SHOWN) -> str:
    if value is _ABSENT:
        return "(absent)"
    if isinstance(value, str):
        return neutral(value, limit=limit) or '""'
    try:
        return neutral(json.dumps(value, ensure_ascii=False), limit=limit)
    except (ValueError, RecursionError):
        return "(cannot be shown)"
