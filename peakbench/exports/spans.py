"""A run as OpenTelemetry spans: one trace a run, one span an answer, under the conventions for generative AI.

Attributes and the event ``gen_ai.evaluation.result`` are those of the semantic conventions for generative AI (status:
development; https://opentelemetry.io/docs/specs/semconv/gen-ai/); what they have no name for stands under
``peakbench.``. Ids are made from the run and the sample, so the same run gives the same spans however often it is
exported, and a backend that knows them already can tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from peakbench import __version__
from peakbench.errors import MissingDependency
from peakbench.exports.answers import answers, count
from peakbench.records import Completion, ImageSource, Sample

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from peakbench.datasets import SampleRecord
    from peakbench.runs import Run

TEXT_LIMIT = 20_000
"""Characters of one text, where contents are exported."""

_NANO = 1_000_000_000
_PORTS = {"http": 80, "https": 443}


@dataclass
class _Trace:
    """What all spans of a run share, and from when to when they reach (Unix nanoseconds)."""

    run: Run
    key: bytes
    contents: bool
    untimed: int
    shared: Mapping[str, Any]
    resource: Any
    scope: Any
    reach: list[int] = field(default_factory=list)

    def context(self, *parts: object) -> Any:
        from opentelemetry.trace import SpanContext, TraceFlags

        whole = sha256(self.key).digest()
        own = sha256(self.key + json.dumps(parts).encode()).digest()
        return SpanContext(
            trace_id=int.from_bytes(whole[:16], "big") or 1,
            span_id=int.from_bytes(own[:8], "big") or 1,
            is_remote=False,
            trace_flags=TraceFlags(TraceFlags.SAMPLED),
        )


def spans(run: Run, *, contents: bool = False) -> Iterator[ReadableSpan]:
    """Yield a run's spans, read lazily: one of kind client for each answer, then the one of the whole run.

    A span of an answer begins with the first attempt and lasts as long as the attempt that succeeded; waits between
    attempts are not known. An answer without timings (a failure, answers from elsewhere) has no length. Each score,
    of a metric or a field, is an event.

    Args:
        run: a run that has been scored.
        contents: prompts, answers, reasoning and the messages of errors too; at most 20,000 characters a text. Images
            are named by their hash.

    Raises:
        MissingDependency: opentelemetry-sdk is not installed.
        StoreError: nothing has been scored yet.
    """
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    except ImportError:
        raise MissingDependency("OpenTelemetry spans", package="opentelemetry-sdk", extra="otel") from None
    summary, record = run.summary, run.record
    created = round(datetime.fromisoformat(record.created_at).astimezone(UTC).timestamp() * _NANO)
    resource = Resource({"service.name": "peakbench", "service.version": __version__})
    scope = InstrumentationScope("peakbench", __version__)
    key = json.dumps([record.name, record.created_at, run.directory.responses_sha256()]).encode()
    trace = _Trace(run, key, contents, created, _shared(run), resource, scope)
    root = trace.context("run")
    for sample, completion, scored in answers(run):
        yield _answer(trace, root, completion, scored, sample if contents else None)
    yield _whole(trace, root, summary)


def _shared(run: Run) -> dict[str, Any]:
    """Attributes that every request of a run has."""
    record, sampling = run.record, run.record.sampling
    shared: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        # the conventions ask for the flavour of the interface, which may be another maker's
        "gen_ai.provider.name": record.endpoint.provider or "openai",
        "gen_ai.request.model": record.model,
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.temperature": float(sampling.temperature),
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.stop_sequences": list(sampling.stop) or None,
        "gen_ai.output.type": "json" if sampling.structured != "off" else None,
    }
    try:
        url = urlsplit(record.endpoint.url)
        if url.hostname:
            shared |= {"server.address": url.hostname, "server.port": url.port or _PORTS.get(url.scheme)}
    except ValueError:
        pass
    return {name: value for name, value in shared.items() if value is not None}


def _answer(
    trace: _Trace, root: Any, completion: Completion, scored: Mapping[str, Any], sample: SampleRecord | None
) -> ReadableSpan:
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import SpanKind, Status, StatusCode

    response, failure = completion.response, completion.failure
    start = trace.untimed if completion.started_at is None else round(completion.started_at * _NANO)
    end = start + round((response.latency_s if response and completion.started_at is not None else 0.0) * _NANO)
    trace.reach = [min(start, *trace.reach[:1]), max(end, *trace.reach[1:])] if trace.reach else [start, end]
    seed = trace.run.record.sampling.seed
    attributes: dict[str, Any] = {
        **trace.shared,
        "gen_ai.request.seed": None if seed is None else seed + completion.repeat,
        "peakbench.sample.id": completion.sample_id,
        "peakbench.repeat": completion.repeat,
        "peakbench.attempts": completion.attempts,
        "peakbench.state": scored["state"],
        "peakbench.request.sha256": completion.request_sha256,
    }
    if response is not None:
        attributes |= _responded(completion)
    status = Status(StatusCode.UNSET)
    if failure is not None:
        attributes["error.type"] = str(failure.http_status or failure.kind)
        attributes["peakbench.error.kind"] = failure.kind
        status = Status(StatusCode.ERROR, failure.message[:TEXT_LIMIT] if trace.contents else failure.kind)
    if trace.contents and sample is not None:
        attributes |= _messages(trace.run, sample, completion)
    return ReadableSpan(
        name=f"chat {trace.run.record.model}",
        context=trace.context(completion.sample_id, completion.repeat),
        parent=root,
        resource=trace.resource,
        attributes=_known(attributes),
        events=[Event("gen_ai.evaluation.result", _known(one), end) for one in _evaluations(scored)],
        kind=SpanKind.CLIENT,
        status=status,
        start_time=start,
        end_time=end,
        instrumentation_scope=trace.scope,
    )


def _responded(completion: Completion) -> dict[str, Any]:
    response = completion.response
    assert response is not None
    usage = response.usage or {}
    inputs, outputs = (usage.get(f"{name}_tokens_details") or {} for name in ("prompt", "completion"))
    timed = completion.started_at is not None
    return {
        "gen_ai.response.model": response.model,
        "gen_ai.response.finish_reasons": [response.finish_reason] if response.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": response.ttft_s if timed else None,
        "gen_ai.request.stream": True if timed and response.ttft_s is not None else None,
        "gen_ai.usage.input_tokens": count(usage.get("prompt_tokens")),
        "gen_ai.usage.output_tokens": count(usage.get("completion_tokens")),
        "gen_ai.usage.cache_read.input_tokens": _detail(inputs, "cached_tokens"),
        "gen_ai.usage.reasoning.output_tokens": _detail(outputs, "reasoning_tokens"),
    }


def _detail(details: object, name: str) -> int | None:
    return count(details.get(name)) if isinstance(details, Mapping) else None


def _evaluations(scored: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One mapping a score: a metric under its id, a field under ``field.name`` with what became of it as its label."""
    for name, score in scored["metrics"].items():
        if score["value"] is not None:
            yield {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": float(score["value"])}
    for name, one in scored["fields"].items():
        yield {
            "gen_ai.evaluation.name": f"field.{name}",
            "gen_ai.evaluation.score.value": float(one["score"]),
            "gen_ai.evaluation.score.label": one["outcome"],
        }


def _messages(run: Run, record: SampleRecord, completion: Completion) -> dict[str, Any]:
    """The texts that were exchanged, as the conventions write them down: JSON of messages in parts."""
    images = tuple(ImageSource("bytes", b"", label=image.label) for image in record.images)
    messages = run.task.messages(Sample(record.id, images, record.prompt))
    system, asked = [], []
    for message in messages:
        content = message["content"]
        given = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts = [_part(part, record) for part in given]
        if message["role"] == "system":
            system += parts
        else:
            asked.append({"role": message["role"], "parts": parts})
    attributes = {
        "gen_ai.input.messages": _json(asked),
        "gen_ai.system_instructions": _json(system) if system else None,
    }
    response = completion.response
    if response is not None:
        parts = [{"type": "reasoning", "content": response.reasoning[:TEXT_LIMIT]}] if response.reasoning else []
        parts.append({"type": "text", "content": (response.text or response.refusal or "")[:TEXT_LIMIT]})
        finish = response.finish_reason or "unknown"
        attributes["gen_ai.output.messages"] = _json([{"role": "assistant", "parts": parts, "finish_reason": finish}])
    return attributes


def _part(part: Mapping[str, Any], record: SampleRecord) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "content": part["text"][:TEXT_LIMIT]}
    image = record.images[part["index"]]
    uri = f"sha256:{image.sha256}" if image.sha256 else image.url or ""
    return {"type": "uri", "modality": "image", "mime_type": image.media_type, "uri": uri[:TEXT_LIMIT]}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _whole(trace: _Trace, context: Any, summary: Mapping[str, Any]) -> ReadableSpan:
    from opentelemetry.sdk.trace import ReadableSpan

    record, counts = trace.run.record, summary["samples"]
    attributes: dict[str, Any] = {
        "gen_ai.request.model": record.model,
        "peakbench.run": record.name,
        "peakbench.task": record.task.id,
        "peakbench.data.name": record.data.name,
        "peakbench.data.fingerprint": record.data.fingerprint,
        "peakbench.samples": counts["total"],
        "peakbench.answers": counts["answers"],
        "peakbench.failed": counts["failed"],
    }
    for name, entry in summary["metrics"].items():
        attributes |= {
            f"peakbench.metric.{name}{part}": entry.get(key)
            for part, key in (("", "value"), (".low", "low"), (".high", "high"), (".skill", "skill"))
        }
    start, end = trace.reach or [trace.untimed, trace.untimed]
    return ReadableSpan(
        name=f"evaluate {record.task.id}",
        context=context,
        resource=trace.resource,
        attributes=_known(attributes),
        start_time=start,
        end_time=end,
        instrumentation_scope=trace.scope,
    )


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None, and make every text one that UTF-8 can carry."""
    return {name: _sound(value) for name, value in attributes.items() if value is not None}


def _sound(value: Any) -> Any:
    if isinstance(value, list):
        return [_sound(one) for one in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
