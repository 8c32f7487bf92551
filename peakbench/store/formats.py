"""The lines of responses.jsonl, samples.jsonl and scores.jsonl.

The types are the formats: the JSON Schemas in ``peakbench/schemas`` are made from them. Readers overlook keys that they
do not know, so a format may gain keys within a version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, cast

import orjson
from pydantic import Field
from typing_extensions import NotRequired, TypedDict  # noqa: UP035 - pydantic reads no other before Python 3.12

from peakbench.records import Completion, Failure, FailureKind, JSONValue, Outcome, Response, State


class ErrorLine(TypedDict):
    """Why there is no answer."""

    kind: FailureKind
    http_status: int | None
    message: str


class ImageLine(TypedDict):
    """One image as it was sent: hash and size of its bytes (size 0 for a URL that the server fetched)."""

    sha256: str | None
    bytes: int


class ResponseLine(TypedDict):
    """One line of responses.jsonl: one finished attempt series. The last line of (sample_id, repeat) counts.

    ``started_at``: Unix seconds, when the first attempt began; null, as are the timings, for answers from elsewhere.
    ``latency_s``, ``ttft_s``: seconds, of the successful attempt. ``error`` is null where there is an answer.
    """

    sample_id: str
    repeat: Annotated[int, Field(ge=0)]
    request_sha256: str | None
    text: str | None
    reasoning: str | None
    refusal: NotRequired[str]
    finish_reason: str | None
    model: str | None
    usage: dict[str, Any] | None
    attempts: Annotated[int, Field(ge=0)]
    started_at: float | None
    latency_s: float | None
    ttft_s: float | None
    images: list[ImageLine]
    error: ErrorLine | None


class SampleImage(TypedDict):
    """One image of a sample: where it lies, and what its bytes were when the run began. Absent keys are unknown."""

    path: NotRequired[str]
    url: NotRequired[str]
    sha256: NotRequired[str]
    bytes: int
    media_type: str
    mtime_ns: NotRequired[int]
    width: NotRequired[int]
    height: NotRequired[int]
    label: NotRequired[str]


class SampleLine(TypedDict):
    """One line of samples.jsonl: one sample, in the order of the data set."""

    id: str
    reference: dict[str, Any] | str | None
    prompt: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    images: NotRequired[list[SampleImage]]


class MetricScore(TypedDict):
    """A metric's value for one answer, or null with the reason.

    ``sums``: numerator and denominator, of a metric whose run value is a ratio of two sums.
    """

    value: float | None
    reason: NotRequired[str | None]
    sums: NotRequired[tuple[float, float]]


class FieldScore(TypedDict):
    """A field's score in [0, 1] by its comparator, and what became of it."""

    score: float
    outcome: Outcome


class ProblemLine(TypedDict):
    """Why an answer could not be read as it stands, and at which character."""

    reason: str
    position: int | None
    detail: str


class ScoreLine(TypedDict):
    """One line of scores.jsonl: one answer. ``problem`` is there where its text was odd."""

    sample_id: str
    repeat: Annotated[int, Field(ge=0)]
    state: State
    metrics: dict[str, MetricScore]
    fields: dict[str, FieldScore]
    problem: NotRequired[ProblemLine]


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_cell(value: JSONValue) -> str:
    r"""Return a value for a CSV file; a text that a spreadsheet would run as a formula has ``'`` before it.

    Signs, and the characters of other widths that spreadsheets read as them: the list of OWASP, "CSV injection".

    >>> csv_cell("=1+1"), csv_cell("navy"), csv_cell(-1), csv_cell(None)
    ("'=1+1", 'navy', '-1', 'null')
    >>> {csv_cell(first + "1")[0] for first in "+-@\t\r\n\uff1d\uff0b\uff0d\uff20"}
    {"'"}
    """
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"'{value}" if value.startswith(_FORMULA) else value


def dump_completion(completion: Completion) -> bytes:
    r"""Return the line of responses.jsonl for a completion, newline included, keys in the format's order.

    ``sample_id`` and ``repeat`` come first and ``error`` last: the index relies on it to read lines cheaply.

    >>> dump_completion(Completion("p1", 0, Response("{}")))[:40]
    b'{"sample_id":"p1","repeat":0,"request_sh'
    """
    response, failure = completion.response, completion.failure
    timed = response is not None and completion.started_at is not None
    line: dict[str, Any] = {
        "sample_id": completion.sample_id,
        "repeat": completion.repeat,
        "request_sha256": completion.request_sha256,
        "text": response.text if response else None,
        "reasoning": response.reasoning if response else None,
    }
    if response and response.refusal is not None:
        line["refusal"] = response.refusal
    line |= {
        "finish_reason": response.finish_reason if response else None,
        "model": response.model if response else None,
        "usage": response.usage if response else None,
        "attempts": completion.attempts,
        "started_at": completion.started_at,
        "latency_s": response.latency_s if response and timed else None,
        "ttft_s": response.ttft_s if response and timed else None,
        "images": [{"sha256": sha256, "bytes": size} for sha256, size in completion.images],
        "error": failure and {"kind": failure.kind, "http_status": failure.http_status, "message": failure.message},
    }
    try:
        return dump_line(line)
    except (TypeError, ValueError, RecursionError):
        # Of all this only ``usage`` is passed on as the server made it; an answer is not lost over it.
        return dump_line(line | {"usage": None})


def dump_line(line: Mapping[str, Any]) -> bytes:
    r"""Return one JSON line of a mapping; a lone surrogate, no UTF-8, becomes ``\ud800``."""
    try:
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        return (json.dumps(line, ensure_ascii=True, separators=(",", ":"), default=_plain) + "\n").encode("ascii")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    item = getattr(value, "item", None)  # a numpy scalar
    if item is None:
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
    return item()


def load_line(line: bytes) -> Any:
    """Parse one JSON line, lone surrogates included.

    Raises:
        ValueError: not JSON.
    """
    try:
        return orjson.loads(line)
    except ValueError:
        try:
            return json.loads(line)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def load_completion(line: bytes) -> Completion:
    """Read a line of responses.jsonl.

    Raises:
        ValueError: not JSON, or not such a line; the message says what is wrong.
    """
    value = load_line(line)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    sample_id, repeat, error = value.get("sample_id"), value.get("repeat"), value.get("error")
    if not isinstance(sample_id, str):
        raise ValueError("no sample_id")
    if not isinstance(repeat, int) or repeat < 0:
        raise ValueError("no repeat")
    started_at = value.get("started_at")
    response = failure = None
    if error is None:
        response = Response(
            text=value.get("text"),
            reasoning=value.get("reasoning"),
            refusal=value.get("refusal"),
            finish_reason=value.get("finish_reason"),
            model=value.get("model"),
            usage=value.get("usage"),
            latency_s=value.get("latency_s") or 0.0,
            ttft_s=value.get("ttft_s"),
        )
    elif isinstance(error, dict):
        kind = cast(FailureKind, error.get("kind", "internal"))
        failure = Failure(kind, str(error.get("message", "")), error.get("http_status"))
    else:
        raise ValueError("error is neither null nor an object")
    images = tuple((image.get("sha256"), image.get("bytes", 0)) for image in value.get("images") or ())
    return Completion(
        sample_id,
        repeat,
        response,
        failure,
        request_sha256=value.get("request_sha256"),
        attempts=value.get("attempts", 0),
        started_at=started_at,
        images=images,
    )
