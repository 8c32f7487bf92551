"""What an endpoint and a transport are, and how an attempt fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from peakbench.records import Failure, Response


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go and how they get there. The key and the headers never show in ``repr``.

    ``url``: base URL, with or without ``/v1`` as the server wants it (``/chat/completions`` is appended).
    Time-outs are seconds. ``connections``: how many at once at most.
    """

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    timeout_s: float = 120.0
    connect_timeout_s: float = 10.0
    connections: int = 8
    transport: Literal["aiohttp", "openai"] = "aiohttp"


class AttemptFailed(Exception):  # noqa: N818 - it is a message to the runner, which decides whether it is an error
    """One attempt brought no answer; ``failure`` says why, in a named kind."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Transport(Protocol):
    """Sends one chat-completion body and returns what came back."""

    async def send(self, body: bytes, *, stream: bool) -> Response:
        """Make one attempt, without retries.

        Args:
            body: the JSON body as it goes over the wire (it holds ``"stream": true`` where ``stream`` is set).
            stream: read the answer as server-sent events and time the first token.

        Raises:
            AttemptFailed: with the named kind, for every failure of the server or the network.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


@dataclass(frozen=True, slots=True)
class EndpointProvider:
    """An endpoint by name, as a plugin offers it: started for a run and stopped after it.

    ``open()`` starts it and yields the Endpoint. ``data`` and ``task`` are what it is asked about where the user names
    nothing else. ``notice`` is said plainly before a run that uses it.
    """

    name: str
    open: Callable[[], AbstractContextManager[Endpoint]]
    description: str = ""
    data: str | None = None
    task: str | None = None
    notice: str | None = None
