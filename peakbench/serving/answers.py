"""What the server sends back: the body of a completion, or the chunks of a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from peakbench.serving.base import Generation, Token

LOWEST = -9999.0
"""What stands for the logarithm of 0, which JSON cannot hold; vLLM sends the same."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion as it is sent: ``pieces`` are the texts of its tokens, cut where a stop string begins."""

    tokens: tuple[Token, ...]
    pieces: tuple[str, ...]
    finish_reason: str
    stop_reason: str | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


def cut(generation: Generation, stops: Sequence[str]) -> Choice:
    """End a generation where the first of the stop strings is complete; the string itself is left out.

    >>> made = Generation((Token(1, "ab"), Token(2, "cd"), Token(3, "ef")), "length")
    >>> cut(made, ["bc"]).text, cut(made, ["bc"]).stop_reason, len(cut(made, ["bc"]).tokens)
    ('a', 'bc', 2)
    >>> cut(made, ["x"]).finish_reason
    'length'
    """
    text = generation.text
    # the one that is complete first; of two complete at once, the one that begins first
    found = min(
        ((text.find(stop) + len(stop), text.find(stop), stop) for stop in stops if stop in text),
        default=None,
    )
    pieces = [token.text for token in generation.tokens]
    if found is None:
        return Choice(generation.tokens, tuple(pieces), generation.finish_reason)
    end, start, stop = found
    kept: list[str] = []
    at = 0
    for piece in pieces:
        if at >= end:
            break
        kept.append(piece[: max(0, start - at)])
        at += len(piece)
    return Choice(generation.tokens[: len(kept)], tuple(kept), "stop", stop)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request."""

    model: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    logprobs: bool
    id: str
    created: int

    @classmethod
    def of(
        cls, model: str, generations: Sequence[Generation], *, prompt_tokens: int, stops: Sequence[str], logprobs: bool
    ) -> Answer:
        """Make the answer of what a model generated."""
        choices = tuple(cut(generation, stops) for generation in generations)
        return cls(model, choices, prompt_tokens, logprobs, f"chatcmpl-{uuid4().hex}", int(time.time()))

    @property
    def completion_tokens(self) -> int:
        """Tokens of all completions."""
        return sum(len(choice.tokens) for choice in self.choices)

    @property
    def usage(self) -> dict[str, Any]:
        """The counts of tokens."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "completion_tokens": self.completion_tokens,
            "prompt_tokens_details": None,
        }

    def body(self) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": choice.text, "refusal": None},
                "logprobs": {"content": [*map(_logprob, choice.tokens)]} if self.logprobs else None,
                "finish_reason": choice.finish_reason,
                "stop_reason": choice.stop_reason,
            }
            for index, choice in enumerate(self.choices)
        ]
        return {**self._frame("chat.completion"), "choices": choices, "usage": self.usage}

    def chunks(self, *, include_usage: bool) -> Iterator[dict[str, Any]]:
        """The chunks of a stream, one a token, without ``[DONE]``; the usage comes last, where it is asked for."""
        frame = self._frame("chat.completion.chunk")
        for index in range(len(self.choices)):
            delta = {"role": "assistant", "content": ""}
            yield {**frame, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}]}
        for index, choice in enumerate(self.choices):
            for token, piece in zip(choice.tokens, choice.pieces, strict=True):
                logprobs = {"content": [_logprob(token)]} if self.logprobs else None
                part = {"index": index, "delta": {"content": piece}, "logprobs": logprobs, "finish_reason": None}
                yield {**frame, "choices": [part]}
            end = {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.finish_reason}
            yield {**frame, "choices": [{**end, "stop_reason": choice.stop_reason}]}
        if include_usage:
            yield {**frame, "choices": [], "usage": self.usage}

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def _logprob(token: Token) -> dict[str, Any]:
    top = [_entry(text, logprob) for text, logprob in token.top]
    return {**_entry(token.text, token.logprob), "top_logprobs": top}


def _entry(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": max(logprob, LOWEST), "bytes": list(text.encode("utf-8", "replace"))}
