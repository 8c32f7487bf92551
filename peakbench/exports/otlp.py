"""Spans on their way: to an OTLP endpoint over HTTP, or into a file that a collector reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from peakbench.destinations import Export
from peakbench.errors import InputError, MissingDependency
from peakbench.exports.files import writing
from peakbench.exports.spans import spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

BATCH = 512
"""Spans of one request or of one line of a file: what is held in memory at once."""


def send(export: Export) -> str:
    """Send a run's spans to an OTLP endpoint (HTTP, protobuf).

    Without a target, the endpoint is the one that OTEL_EXPORTER_OTLP_ENDPOINT names, or a collector on this machine;
    headers and time-outs come from the OTEL_ variables too.

    Raises:
        InputError: the endpoint did not take them.
        MissingDependency: the exporter is not installed.
    """
    try:
        exporters = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        from opentelemetry.sdk.trace.export import SpanExportResult
    except ImportError:
        package = "opentelemetry-exporter-otlp-proto-http"
        raise MissingDependency("sending spans", package=package, extra="otel") from None
    exporter = exporters.OTLPSpanExporter(endpoint=export.target or None)
    sent = 0
    try:
        for batch in _batches(spans(export.run, contents=export.contents)):
            if exporter.export(batch) is not SpanExportResult.SUCCESS:
                where = export.target or "OTEL_EXPORTER_OTLP_ENDPOINT"
                raise InputError(
                    f"the endpoint did not take the spans; {sent:,} were sent before",
                    where=where,
                    expected="an address that takes OTLP over HTTP, like http://127.0.0.1:4318/v1/traces",
                    hint="what was sent can be sent again: the spans have the same ids",
                )
            sent += len(batch)
    finally:
        exporter.shutdown()
    return f"{sent:,} spans sent to {export.target or 'the endpoint of OTEL_EXPORTER_OTLP_ENDPOINT'}"


def write(export: Export) -> str:
    """Write a run's spans as OTLP in JSON, one export request a line: what a collector's file receiver reads."""
    written = 0
    with writing(export.target) as path, path.open("wb") as file:
        for batch in _batches(spans(export.run, contents=export.contents)):
            file.write(orjson.dumps(request(batch), option=orjson.OPT_APPEND_NEWLINE))
            written += len(batch)
    return f"{written:,} spans written to {export.target}"


def _batches(found: Iterator[ReadableSpan]) -> Iterator[list[ReadableSpan]]:
    while batch := list(islice(found, BATCH)):
        yield batch


def request(batch: Iterable[ReadableSpan]) -> dict[str, Any]:
    """Return spans of one resource and scope as an OTLP export request in its JSON form.

    Ids are hexadecimal, 64-bit integers are texts and enumerations are numbers, as
    https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding says.
    """
    found = list(batch)
    scope = found[0].instrumentation_scope
    assert scope is not None
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(found[0].resource.attributes)},
                "scopeSpans": [
                    {"scope": {"name": scope.name, "version": scope.version}, "spans": [_span(one) for one in found]}
                ],
            }
        ]
    }


def _span(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    made: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        "kind": span.kind.value + 1,  # OTLP counts from 1, 0 being "unspecified"
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": _attributes(span.attributes or {}),
        "events": [
            {
                "timeUnixNano": str(event.timestamp),
                "name": event.name,
                "attributes": _attributes(event.attributes or {}),
            }
            for event in span.events
        ],
        "status": {"code": span.status.status_code.value},
    }
    if span.parent is not None:
        made["parentSpanId"] = f"{span.parent.span_id:016x}"
    if span.status.description:
        made["status"]["message"] = span.status.description
    return made


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": str(value)}
