"""What stands in a run directory: run.json, and the lines of responses.jsonl, scores.jsonl and samples.jsonl.

The types here are the formats; their JSON Schemas (``peakbench/schemas``) are made from them. Readers overlook keys
that they do not know, so a format may gain keys within a version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_serializer
from typing_extensions import NotRequired, TypedDict  # noqa: UP035 - pydantic reads no other before Python 3.12

from peakbench.records import Completion, Failure, FailureKind, Outcome, Response, Sampling, State

FORMAT = 1
"""Version of the run directory's formats."""

_QUERY_KEPT = frozenset({"api-version"})
"""Query keys that say which API is asked; every other value may be a secret."""


def public_url(url: str) -> str:
    """Return a URL fit to be written down: no user or password, no fragment, query values masked.

    >>> public_url("https://user:pass@example.org/v1?api-version=2024-10-21&key=s3cret")
    'https://example.org/v1?api-version=2024-10-21&key=***'
    """
    parts = urlsplit(url)
    query = [(key, value if key in _QUERY_KEPT else "***") for key, value in parse_qsl(parts.query)]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(query, safe="*"), ""))


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class TaskRecord(_Record):
    """Which task: ``sha256`` is over task.json."""

    id: str
    version: int
    sha256: str


class DataRecord(_Record):
    """Which data set. ``fingerprint`` is over its content, ``samples`` counts them, ``limit`` cut it where set."""

    name: str
    source: str
    fingerprint: str
    samples: int
    limit: int | None = None


class EndpointRecord(_Record):
    """Where the requests went. The URL is kept without credentials; keys and headers are never written."""

    url: Annotated[str, AfterValidator(public_url)]
    provider: str | None = None
    transport: str


class Session(_Record):
    """One stretch of asking. ``started_at``: Unix seconds; ``wall_s``: seconds, None where it runs or was killed."""

    started_at: float
    wall_s: float | None = None
    workers: int


class RunRecord(_Record):
    """run.json: what was asked, of whom, with which versions. ``created_at`` is ISO 8601 in UTC.

    ``repair`` says whether the answers are read with json-repair; it does not change what is asked.
    """

    format: Literal[1] = 1
    name: str
    created_at: str
    task: TaskRecord
    data: DataRecord
    endpoint: EndpointRecord
    model: str
    sampling: Sampling
    repeats: Annotated[int, Field(ge=1)] = 1
    prompt_version: int = 1
    repair: bool = False
    workers: int
    sessions: tuple[Session, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)

    @field_serializer("sampling")
    def _sampling(self, sampling: Sampling) -> dict[str, Any]:
        return {name: getattr(sampling, name) for name in sampling.__dataclass_fields__}

    @property
    def structured(self) -> str:
        """How the answer's form is asked for: ``json_schema``, ``json_object`` or ``off``."""
        return self.sampling.structured

    def differences(self, other: RunRecord) -> list[str]:
        """Name everything that makes another run ask other requests: one line each, old and new value.

        The endpoint, the number of workers, time-outs and versions of software may differ.
        """
        found: list[str] = []

        def compare(name: str, old: object, new: object) -> None:
            if old != new:
                found.append(f"{name}: was {_shown(old)}, now {_shown(new)}")

        compare("task", f"{self.task.id} v{self.task.version}", f"{other.task.id} v{other.task.version}")
        if not found:
            compare(f"content of task {self.task.id}", self.task.sha256, other.task.sha256)
        compare("prompt version", self.prompt_version, other.prompt_version)
        compare("data: samples", self.data.samples, other.data.samples)
        if self.data.fingerprint != other.data.fingerprint:
            compare("data: limit", self.data.limit, other.data.limit)
            compare("data: content", self.data.fingerprint, other.data.fingerprint)
        compare("model", self.model, other.model)
        for name in self.sampling.__dataclass_fields__:
            compare(f"sampling.{name}", getattr(self.sampling, name), getattr(other.sampling, name))
        compare("repeats", self.repeats, other.repeats)
        return found


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:16]}…"


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


class MetricScore(TypedDict):
    """A metric's value for one answer, or null with the reason."""

    value: float | None
    reason: NotRequired[str | None]


class FieldScore(TypedDict):
    """A field's score in [0, 1] by its comparator, and what became of it."""

    score: float
    outcome: Outcome


class ScoreLine(TypedDict):
    """One line of scores.jsonl: one answer."""

    sample_id: str
    repeat: Annotated[int, Field(ge=0)]
    state: State
    metrics: dict[str, MetricScore]
    fields: dict[str, FieldScore]


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
