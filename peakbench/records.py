"""Frozen records: what flows through the rooms. No logic beyond what a record is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import orjson

JSONValue = Any
"""A value as ``json.loads`` makes it."""

Reference = Mapping[str, JSONValue] | str | None
"""The ground truth: fields for a JSON task, text for a text task, None where nobody wrote one."""

State = Literal["failed", "unparseable", "off_schema", "strict", "extracted", "repaired", "text"]
"""What an answer can be. ``text`` is the state of every answer to a task whose reference is text."""

READ: frozenset[State] = frozenset({"strict", "extracted", "repaired", "text"})
"""The states whose value a metric may read."""

Outcome = Literal["correct", "correct_null", "wrong", "invented", "omitted", "unread"]
OUTCOMES: tuple[Outcome, ...] = ("correct", "correct_null", "wrong", "invented", "omitted", "unread")
"""What became of one field of one answer; the position in this tuple is its code in arrays."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where one image of a sample comes from.

    ``path``: a file path as written in the data set, relative to ``base``. ``url``: sent as it is, only where
    allowed. ``data_uri``: a ``data:image/...;base64,`` string. ``bytes``: the encoded image itself.
    ``label`` says what it shows ("front", "tag") where the data set says so. ``base`` is the folder of the data set.
    """

    kind: Literal["path", "url", "data_uri", "bytes"]
    value: str | bytes
    label: str | None = None
    base: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """One image ready to be sent: the bytes as found (``data`` is None for a URL), their type, size and hash."""

    media_type: str
    data: bytes | None
    sha256: str | None
    width: int | None = None
    height: int | None = None
    url: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One item to ask about. ``where`` is its place in the data set (``file:line``), for messages only."""

    id: str
    images: tuple[ImageSource, ...] = ()
    prompt: str | None = None
    reference: Reference = None
    metadata: Mapping[str, JSONValue] = field(default_factory=dict)
    where: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the model is to answer. ``token_limit`` names the request key that a server wants for ``max_tokens``."""

    temperature: float = 0.0
    max_tokens: int = 512
    seed: int | None = 0
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # noqa: S105 - a count of tokens
    structured: Literal["json_schema", "json_object", "off"] = "off"
    extra_body: Mapping[str, JSONValue] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One request as it will be sent, each image standing in ``body`` as the URL ``sha256:<hex>``.

    ``sha256`` hashes the body in that form with sorted keys, so it covers model, messages, images, sampling,
    schema and seed, and not the endpoint's URL, the transport or whether the answer is streamed.

    >>> r = Request("p1", 0, {"model": "m", "messages": []}, ())
    >>> r.sha256 == Request("p2", 0, {"messages": [], "model": "m"}, ()).sha256
    True
    """

    sample_id: str
    repeat: int
    body: Mapping[str, JSONValue]
    images: tuple[Image, ...]

    @cached_property
    def sha256(self) -> str:
        """Hex sha256 of the canonical body."""
        return hashlib.sha256(orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Response:
    """What one successful attempt returned. ``latency_s``: from sending to the last byte, seconds."""

    text: str | None
    reasoning: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    usage: Mapping[str, JSONValue] | None = None
    latency_s: float = 0.0
    ttft_s: float | None = None


FailureKind = Literal[
    "timeout",  # no answer within the time-out
    "connection",  # refused, reset, unreachable, name not found, TLS
    "rate_limited",  # 429
    "server_error",  # 5xx
    "bad_body",  # 200 with a body that is not a chat completion, or a cut-off one
    "authentication",  # 401
    "permission",  # 403
    "not_found",  # 404
    "bad_request",  # any other 4xx
    "image",  # the image could not be read, or is not the one that the run began with
    "internal",  # a fault of ours, with the exception's name
]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt brought no answer. ``retry_after_s``: what the server asked for, seconds."""

    kind: FailureKind
    message: str
    http_status: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One line of responses.jsonl: how one (sample, repeat) ended. Exactly one of ``response``, ``failure`` is set.

    ``started_at``: Unix seconds, when the first attempt began. ``images``: (sha256, bytes) of each image sent.
    ``request_sha256`` and the timings are None for answers that came from elsewhere.
    """

    sample_id: str
    repeat: int
    response: Response | None
    failure: Failure | None = None
    request_sha256: str | None = None
    attempts: int = 0
    started_at: float | None = None
    images: tuple[tuple[str | None, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """What is odd about an answer text: a named reason, the character position, and words for a person."""

    reason: str
    position: int | None = None
    detail: str = ""


@dataclass(slots=True)
class Prediction:
    """The parsed answer of one (sample, repeat). Treat as frozen; not ``frozen`` because a run makes millions.

    ``value``: the object (JSON tasks), the text (text tasks), or None where the state is not a read one.
    ``problem``: why it was not read, or what had to be overlooked. ``duplicates``: how many keys stood more than
    once. ``extra``: keys that the task does not know. ``truncated``: the server stopped at the token limit.
    """

    sample_id: str
    repeat: int
    state: State
    value: JSONValue = None
    problem: Problem | None = None
    duplicates: int = 0
    extra: tuple[str, ...] = ()
    truncated: bool = False
    completion: Completion | None = None

    @property
    def read(self) -> bool:
        """Whether a metric may read ``value``."""
        return self.state in READ


@dataclass(frozen=True, slots=True)
class FieldOutcome:
    """One field of one answer: its score in [0, 1] by the field's comparator, and what became of it."""

    name: str
    score: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Score:
    """A metric's value for one answer, or None with the reason."""

    value: float | None
    reason: str | None = None


Messages = Sequence[Mapping[str, JSONValue]]
"""Chat messages as the OpenAI API takes them."""
