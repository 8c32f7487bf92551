"""What a model must do to be served: read prompts in batches and answer with tokens.

The server (``peakbench.serving``) knows nothing else of it, so the reader that ships, a checkpoint in training and a
transformers model are served the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How one request is decoded.

    ``temperature`` 0 is greedy. ``seed``: the same seed gives the same tokens whatever else is in the batch.
    ``max_tokens``: None for what the context leaves. ``logprobs``: how many alternatives to report with each token
    (0: the token's own only), None for none. ``schema``: a JSON schema that the answer has to fit, or None.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    n: int = 1
    max_tokens: int | None = None
    logprobs: int | None = None
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request: encoded images in the order of the messages, the text of the messages, and how to decode."""

    images: tuple[bytes, ...] = ()
    text: str = ""
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Token:
    """One generated token. ``logprob``: natural logarithm. ``top``: the likeliest at its place, best first."""

    id: int
    text: str
    logprob: float = 0.0
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """One completion. The end-of-sequence token is not among ``tokens``."""

    tokens: tuple[Token, ...]
    finish_reason: Literal["stop", "length"] = "stop"

    @property
    def text(self) -> str:
        """The text of the tokens.

        >>> Generation((Token(7, '{"a": '), Token(8, "1}"))).text
        '{"a": 1}'
        """
        return "".join(token.text for token in self.tokens)


class PromptRefused(Exception):  # noqa: N818 - the server turns it into a 400 answer
    """A prompt that the model cannot take: an image that cannot be read, too many images, an unusable schema."""


class ServedModel(Protocol):
    """A model behind the endpoint."""

    @property
    def name(self) -> str:
        """The name under which it is asked."""
        ...

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together, at most."""
        ...

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt, images included.

        Raises:
            PromptRefused: the prompt cannot be taken.
        """
        ...

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        """Answer a batch: for each prompt its ``sampling.n`` generations. Called by one thread at a time.

        Raises:
            PromptRefused: a prompt cannot be taken (checked by ``prompt_tokens`` before it enters a batch).
        """
        ...
