"""The answer side of the wire: a chat-completion body, or a stream of chunks, becomes a ``Response``.

Servers differ, so the reading is tolerant about what may be missing and strict about what an answer is: a body without
a choice is ``bad_body``, never an empty answer. Everything is bounded.

Text that UTF-8 cannot carry: a lone surrogate in the answer is kept as the six characters ``\\udXXX``. In a JSON answer
that is the same value, so parsing sees it and names it, and the journal can hold it. Bytes that are not UTF-8 become
U+FFFD.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from peakbench.client.base import AttemptFailed
from peakbench.client.failures import classify, clean, error_text
from peakbench.records import Failure, Response

BODY_LIMIT = 16 * 1024 * 1024
"""Bytes of an answer, at most; more is ``bad_body``."""

STREAM_LIMIT = 4 * BODY_LIMIT
"""Bytes of a streamed answer, at most: each token comes in a chunk of a few hundred bytes."""

_WORD_LIMIT = 200
_DRAIN_S = 0.2


def bad_body(what: str, *, status: int = 200, secrets: Iterable[str] = ()) -> AttemptFailed:
    """Return the failure of an answer that is not a chat completion."""
    return AttemptFailed(Failure("bad_body", clean(what, secrets), status))


def read_completion(payload: bytes, *, secrets: Iterable[str] = ()) -> Response:
    """Read the body of a successful answer; the timings are left for the transport.

    Content may be null, a string or a list of parts; reasoning may be called ``reasoning_content`` or ``reasoning``;
    ``usage``, ``model`` and ``finish_reason`` may be missing.

    Raises:
        AttemptFailed: ``bad_body`` where it is not a chat completion. An ``{"error": ...}`` under HTTP 200 has the kind
            of its code (OpenRouter answers so), ``bad_body`` without one.

    >>> read_completion(b'{"choices": [{"message": {"content": "red"}, "finish_reason": "stop"}]}').text
    'red'
    """
    if len(payload) > BODY_LIMIT:
        raise bad_body(f"the answer is larger than {BODY_LIMIT} bytes")
    value = _parse(payload, secrets)
    choice = _first_choice(value)
    if choice is None:
        raise bad_body("the answer has no choices")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise bad_body("the first choice has no message")
    text = _Text()
    text.take(message)
    return Response(
        text=_joined(text.content),
        reasoning=_joined(text.reasoning),
        refusal=_joined(text.refusal),
        finish_reason=_word(choice.get("finish_reason")),
        model=_word(value.get("model")),
        usage=_usage(value.get("usage")),
    )


def _parse(payload: bytes, secrets: Iterable[str]) -> dict[str, Any]:
    try:
        value = orjson.loads(payload)
    except ValueError:
        try:
            # what orjson refuses and servers send: lone surrogates, NaN as a logprob, bytes that are not UTF-8
            value = json.loads(payload.decode("utf-8-sig", "replace"))
        except (ValueError, RecursionError):
            raise bad_body(f"the answer is not JSON: {_start(payload)}", secrets=secrets) from None
    if not isinstance(value, dict):
        raise bad_body(f"the answer is not a JSON object: {_start(payload)}", secrets=secrets)
    if value.get("error"):
        raise AttemptFailed(_reported(value["error"], secrets))
    return value


def _start(payload: bytes) -> str:
    text = " ".join(payload[:400].decode("utf-8", "replace").split())
    return text[:100] or "(empty)"


def _reported(error: Any, secrets: Iterable[str]) -> Failure:
    code = error.get("code") if isinstance(error, dict) else None
    message = error_text(error) or "the server reported an error without a message"
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) == 3:
        code = int(code)
    if isinstance(code, int) and 400 <= code < 600:
        failure = classify(code, {}, b"")
        return replace(failure, message=clean(f"error {code} inside an HTTP 200: {message}", secrets), http_status=200)
    return Failure("bad_body", clean(f"an error inside an HTTP 200: {message}", secrets), 200)


def _first_choice(value: Mapping[str, Any]) -> dict[str, Any] | None:
    choices = value.get("choices")
    if not isinstance(choices, list):
        return None
    return next((c for c in choices if isinstance(c, dict) and c.get("index", 0) in {0, None}), None)


@dataclass(slots=True)
class _Text:
    """The pieces of an answer, one list a kind; a list is None until the server sent a string of that kind."""

    content: list[str] | None = None
    reasoning: list[str] | None = None
    refusal: list[str] | None = None

    def take(self, message: Mapping[str, Any]) -> bool:
        """Add a message or a delta; say whether it brought any content or reasoning."""
        came = self._take_content(message.get("content"))
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        if isinstance(reasoning, str):
            came = self._add("reasoning", reasoning) or came
        refusal = message.get("refusal")
        if isinstance(refusal, str):
            self._add("refusal", refusal)
        return came

    def _take_content(self, content: Any) -> bool:
        if content is None:
            return False
        if isinstance(content, str):
            return self._add("content", content)
        if not isinstance(content, list):
            raise bad_body(f"the content is a {type(content).__name__}, not text")
        came = False
        for part in content:
            if isinstance(part, str):
                came = self._add("content", part) or came
            elif isinstance(part, dict):
                came = self._take_part(part) or came
        return came

    def _take_part(self, part: Mapping[str, Any]) -> bool:
        for key, kind in (("text", "content"), ("refusal", "refusal"), ("thinking", "reasoning")):
            value = part.get(key)
            if isinstance(value, str):
                return self._add(kind, value)
            if kind == "reasoning" and isinstance(value, list):  # Mistral: a thinking part holds text parts
                texts = [item["text"] for item in value if isinstance(item, dict) and isinstance(item.get("text"), str)]
                return self._add(kind, "".join(texts))
        return False

    def _add(self, kind: str, piece: str) -> bool:
        pieces = getattr(self, kind)
        if pieces is None:
            setattr(self, kind, [piece])
        else:
            pieces.append(piece)
        return bool(piece)


def _joined(pieces: list[str] | None) -> str | None:
    if pieces is None:
        return None
    text = "".join(pieces)  # joined first: a stream may cut a surrogate pair in two
    if text.isascii():
        return text
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return whole.encode("utf-8", "backslashreplace").decode()


def _word(value: Any) -> str | None:
    return clean(value)[:_WORD_LIMIT] if isinstance(value, str) else None


def _usage(value: Any) -> Mapping[str, Any] | None:
    """Keep the counts, one level of detail deep: whatever else a server writes there must not reach the journal."""
    if not isinstance(value, dict):
        return None
    counts = {key: item for key, item in list(value.items())[:50] if _is_count(item)}
    details = {
        key: {name: item for name, item in list(group.items())[:50] if _is_count(item)}
        for key, group in list(value.items())[:50]
        if isinstance(group, dict)
    }
    return {clean(key)[:_WORD_LIMIT]: item for key, item in {**counts, **details}.items()}


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and abs(value) < 2**53


@dataclass(slots=True)
class StreamedCompletion:
    """Puts a streamed answer together from pieces of any size.

    Feed it bytes as they arrive, each with its time; it knows when the first token came and when the stream is done.
    ``text/event-stream`` as in the WHATWG HTML standard, 9.2.6: lines end in LF, CR or CRLF, comments are skipped,
    several data lines make one event. An event without its empty line at the end of the stream still counts.

    >>> stream = StreamedCompletion()
    >>> stream.feed(b'data: {"choices": [{"delta": {"content": "re', at=0.1)
    >>> stream.feed(b'd"}, "finish_reason": "stop"}]}\\n\\ndata: [DONE]\\n\\n', at=0.2)
    >>> stream.close().text, stream.first_at, stream.done
    ('red', 0.2, True)
    """

    secrets: Iterable[str] = ()
    first_at: float | None = None
    done: bool = False
    _size: int = 0
    _line: list[bytes] = field(default_factory=list)
    _after_cr: bool = False
    _data: list[bytes] = field(default_factory=list)
    _text: _Text = field(default_factory=_Text)
    _finish_reason: str | None = None
    _model: str | None = None
    _usage: Mapping[str, Any] | None = None
    _started: bool = False

    def feed(self, piece: bytes, *, at: float) -> None:
        """Take the next bytes, which arrived at time ``at``.

        Raises:
            AttemptFailed: an event is no chunk, the server reports an error, or the stream is too large.
        """
        self._size += len(piece)
        if self._size > STREAM_LIMIT:
            raise bad_body(f"the streamed answer is larger than {STREAM_LIMIT} bytes")
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = not piece
        if not piece:
            return
        self._after_cr = piece.endswith(b"\r")
        for line in piece.splitlines(keepends=True):
            if not line.endswith((b"\n", b"\r")):
                self._line.append(line)
                continue
            if self._line:
                line = b"".join([*self._line, line])  # noqa: PLW2901 - the line is whole only now
                self._line.clear()
            self._take_line(line.rstrip(b"\r\n"), at)

    def close(self) -> Response:
        """Return the answer after the last byte.

        Raises:
            AttemptFailed: ``bad_body`` where the stream ended without ``[DONE]`` and without a finish reason.
        """
        if self._line:
            self._take_line(b"".join(self._line), self.first_at or 0.0)
        self._dispatch(self.first_at or 0.0)
        if not self.done and self._finish_reason is None:
            raise bad_body("the stream ended early: no [DONE] and no finish reason")
        if not self._started:
            raise bad_body("the stream has no choices")
        return Response(
            text=_joined(self._text.content),
            reasoning=_joined(self._text.reasoning),
            refusal=_joined(self._text.refusal),
            finish_reason=self._finish_reason,
            model=self._model,
            usage=self._usage,
        )

    def _take_line(self, line: bytes, at: float) -> None:
        if not line:
            self._dispatch(at)
        elif line.startswith(b"data:"):
            self._data.append(line[5:])

    def _dispatch(self, at: float) -> None:
        if not self._data or self.done:
            return
        payload = b"\n".join(self._data)
        self._data.clear()
        if payload.strip() == b"[DONE]":
            self.done = True
            return
        chunk = _parse(payload, self.secrets)
        self._model = self._model or _word(chunk.get("model"))
        self._usage = _usage(chunk.get("usage")) or self._usage
        choice = _first_choice(chunk)
        if choice is None:
            return
        self._started = True
        self._finish_reason = _word(choice.get("finish_reason")) or self._finish_reason
        delta = choice.get("delta")
        if isinstance(delta, dict) and self._text.take(delta) and self.first_at is None:
            self.first_at = at


async def read_bounded(pieces: AsyncIterator[bytes], limit: int) -> bytes:
    """Read a body to its end.

    Raises:
        AttemptFailed: ``bad_body`` as soon as it is larger than ``limit`` bytes.
    """
    read: list[bytes] = []
    size = 0
    async for piece in pieces:
        read.append(piece)
        size += len(piece)
        if size > limit:
            raise bad_body(f"the answer is larger than {limit} bytes")
    return read[0] if len(read) == 1 else b"".join(read)


async def read_stream(
    pieces: AsyncIterator[bytes], *, started: float, timed: bool, secrets: Iterable[str] = ()
) -> Response:
    """Read a streamed answer to its end; ``started`` is when the request was sent (``time.perf_counter``).

    ``timed`` is off where no stream was asked for: the time of the first token then says nothing.

    Raises:
        AttemptFailed: as `StreamedCompletion` does.
    """
    stream = StreamedCompletion(secrets)
    async for piece in pieces:
        stream.feed(piece, at=time.perf_counter())
        if stream.done:
            break
    ended = time.perf_counter()
    read = stream.close()
    # [DONE] ends the answer, and the body as a rule: its last bytes are here, and read to them the connection is kept
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass
    first = stream.first_at if timed else None
    return replace(read, latency_s=ended - started, ttft_s=None if first is None else first - started)
