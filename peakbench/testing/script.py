"""The script of an endpoint: how it answers, what it was asked, and what a reply looks like as bytes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Reply:
    """How the endpoint answers one request.

    ``latency_s``: seconds before the answer (the endpoint's own where None). ``chunk_s``: seconds between the chunks of
    a stream. ``truncate``: the body or stream is cut off half-way. ``drop``: the connection is closed without an
    answer. ``retry_after``: seconds or a date, sent as it stands. ``body``: these bytes in place of a chat completion,
    streamed or not. ``headers`` are added.
    """

    text: str | None = None
    status: int = 200
    retry_after: float | str | None = None
    latency_s: float | None = None
    chunk_s: float = 0.0
    truncate: bool = False
    drop: bool = False
    finish_reason: str | None = "stop"
    reasoning: str | None = None
    refusal: str | None = None
    usage: Mapping[str, Any] | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the endpoint saw it.

    ``body`` holds each image as ``sha256:<hex>``, so it equals `peakbench.records.Request.body` (plus ``stream``).
    ``images``: those hashes in order. ``prompt``: the text parts of the user's messages. ``number`` counts requests
    from 0, ``turn`` counts those with the same images and prompt. ``headers`` takes names in any case.
    """

    body: Mapping[str, Any]
    images: tuple[str, ...]
    prompt: str
    headers: Mapping[str, str] = field(repr=False)
    number: int
    turn: int


Answer = str | Reply | Sequence["str | Reply"]
"""A text, a reply, or several in turn for requests that are the same; the last one stays."""

Answers = Answer | Mapping[str, Answer] | Callable[[Asked], "Answer | Awaitable[Answer]"]
Fault = Callable[[Asked], Reply | None]


def every(k: int, reply: Reply) -> Fault:
    """Return a fault that meets each k-th request, the k-th first.

    >>> asked = [Asked({}, (), "", {}, number, 0) for number in range(4)]
    >>> [every(2, Reply(status=500))(one) is not None for one in asked]
    [False, True, False, True]
    """
    return lambda asked: reply if asked.number % k == k - 1 else None


def first(k: int, reply: Reply) -> Fault:
    """Return a fault that meets the first k requests of each image and prompt, so that the next retry succeeds."""
    return lambda asked: reply if asked.turn < k else None


def key(images: Iterable[str] = (), prompt: str = "") -> str:
    """Return the key of a mapping of answers: the images' sha256 joined by ``+``, and the prompt on a line of its own.

    A request is looked up by images and prompt, then by images alone, then by prompt alone.

    >>> key(["ab", "cd"]), key(prompt="Which color?"), key(["ab"], "Which color?")
    ('ab+cd', 'Which color?', 'ab\\nWhich color?')
    """
    return "\n".join(filter(None, ("+".join(images), prompt)))


def refusal(status: int, message: str, code: str | None = None) -> Reply:
    """Return an error as the OpenAI API words it."""
    return Reply(status=status, body=orjson.dumps({"error": {"message": message, "type": "scripted", "code": code}}))


def _frame(asked: Asked | None, kind: str) -> dict[str, Any]:
    model = asked.body.get("model") if asked is not None else None
    number = asked.number if asked is not None else 0
    return {"id": f"chatcmpl-{number}", "object": kind, "created": int(time.time()), "model": model}


def _usage(reply: Reply) -> Mapping[str, Any]:
    if reply.usage is not None:
        return reply.usage
    words = len((reply.text or "").split())
    return {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1}


def body_of(asked: Asked | None, reply: Reply) -> bytes:
    """Return the body of a reply that is not streamed."""
    if reply.body is not None:
        return reply.body
    if reply.status != 200:
        return orjson.dumps({"error": {"message": reply.text or "as scripted", "type": "scripted", "code": None}})
    message = {"role": "assistant", "content": reply.text}
    if reply.reasoning is not None:
        message["reasoning_content"] = reply.reasoning
    if reply.refusal is not None:
        message["refusal"] = reply.refusal
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    return orjson.dumps({**_frame(asked, "chat.completion"), "choices": [choice], "usage": _usage(reply)})


def chunks_of(asked: Asked, reply: Reply) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a streamed reply, 16 characters each, without `[DONE]`."""
    frame = _frame(asked, "chat.completion.chunk")

    def chunk(delta: Mapping[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

    yield chunk({"role": "assistant", "content": ""})
    for name, text in (("reasoning_content", reply.reasoning), ("content", reply.text), ("refusal", reply.refusal)):
        for start in range(0, len(text or ""), 16):
            yield chunk({name: (text or "")[start : start + 16]})
    yield chunk({}, reply.finish_reason)
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        yield {**frame, "choices": [], "usage": _usage(reply)}
