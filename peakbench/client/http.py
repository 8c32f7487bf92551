"""The default transport: aiohttp. A third of the CPU of the SDKs, and it holds hundreds of connections."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
import time
from collections import deque
from dataclasses import replace

import aiohttp
from yarl import URL

from peakbench import __version__
from peakbench.client.address import completions_url, secrets_of, tls_context
from peakbench.client.base import AttemptFailed, Endpoint
from peakbench.client.completions import BODY_LIMIT, read_bounded, read_completion, read_stream
from peakbench.client.failures import classify, clean
from peakbench.records import Failure, FailureKind, Response

_KEEP_ALIVE_S = 4.0
"""An idle connection is dropped before uvicorn (5 s) drops it: vLLM would close it under the next request."""

_STARTS_A_TURN = 8
_LARGE_BODY = 1024 * 1024


class _Turnstile:
    """Lets a few requests start in one turn of the loop; the others wait for the next turns.

    Answers that arrive together would otherwise start as many requests in one turn: at 256 workers that is 256 bodies
    written in a row, and nothing else runs meanwhile.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._passed = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for a place in a turn."""
        loop = asyncio.get_running_loop()
        if self._passed == 0:
            loop.call_soon(self._turn, loop)
        self._passed += 1
        if self._passed > self._at_once:
            place: asyncio.Future[None] = loop.create_future()
            self._waiting.append(place)
            await place

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._passed = 0
        while self._waiting and self._passed < self._at_once:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._passed += 1
        if self._passed:
            loop.call_soon(self._turn, loop)


class AiohttpTransport:
    """Sends chat completions through one aiohttp session, opened with the first request."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._url = URL(completions_url(endpoint))
        self._secrets = secrets_of(endpoint)
        self._tls = tls_context(endpoint)
        self._session: aiohttp.ClientSession | None = None
        self._turnstile = _Turnstile(_STARTS_A_TURN)

    async def send(self, body: bytes, *, stream: bool) -> Response:
        """Make one attempt; see `Transport.send`."""
        if self._session is None:
            self._session = self._open()
        # above 1 MiB aiohttp wants a file: it then writes in pieces and lets the loop breathe
        data = body if len(body) <= _LARGE_BODY else io.BytesIO(body)
        await self._turnstile.enter()
        started = time.perf_counter()
        try:
            async with self._session.post(self._url, data=data, allow_redirects=False) as response:
                if response.status >= 300:
                    raise AttemptFailed(await self._refusal(response))
                if response.content_type == "text/event-stream":
                    pieces = response.content.iter_any()
                    return await read_stream(pieces, started=started, timed=stream, secrets=self._secrets)
                payload = await read_bounded(response.content.iter_any(), BODY_LIMIT)
                latency = time.perf_counter() - started
            return replace(read_completion(payload, secrets=self._secrets), latency_s=latency)
        except (aiohttp.ClientError, OSError) as error:
            # not chained: aiohttp's errors carry the request with its Authorization header
            raise AttemptFailed(self._named(error)) from None

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        endpoint = self._endpoint
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",  # answers are small, and compression holds tokens back in a stream
            "User-Agent": f"peakbench/{__version__}",
        }
        if endpoint.api_key:
            headers["Authorization"] = f"Bearer {endpoint.api_key}"
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=endpoint.connections, ssl=self._tls, keepalive_timeout=_KEEP_ALIVE_S, ttl_dns_cache=300
            ),
            headers={**headers, **endpoint.headers},
            timeout=aiohttp.ClientTimeout(total=endpoint.timeout_s, sock_connect=endpoint.connect_timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=endpoint.proxy,
            read_bufsize=256 * 1024,
        )

    async def _refusal(self, response: aiohttp.ClientResponse) -> Failure:
        body = b""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, AttemptFailed):
            body = await read_bounded(response.content.iter_any(), BODY_LIMIT)
        return classify(response.status, response.headers, body, secrets=self._secrets)

    def _named(self, error: Exception) -> Failure:
        endpoint = self._endpoint
        kind: FailureKind = "connection"
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            what = f"no connection within {endpoint.connect_timeout_s:g} s"
        elif isinstance(error, TimeoutError):
            kind, what = "timeout", f"no answer within {endpoint.timeout_s:g} s"
        elif isinstance(error, aiohttp.ClientPayloadError):
            kind, what = "bad_body", f"the answer could not be read to its end ({error})"
        elif isinstance(error, aiohttp.ServerDisconnectedError):
            what = "the server closed the connection without an answer"
        elif isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
            what = f"TLS: {error}"
        elif isinstance(error, aiohttp.ClientHttpProxyError):
            what = f"the proxy answered {error.status} {error.message}"
        elif isinstance(error, aiohttp.ClientResponseError):
            kind, what = "bad_body", f"the answer is not HTTP ({error.message})"
        return Failure(kind, clean(what, self._secrets))
