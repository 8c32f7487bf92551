"""The other transport: the openai SDK, for its authentication, its Azure client and what else people configure in it.

It sends the same JSON and names failures the same way. It costs ten times the CPU of the default transport.

Azure: an endpoint whose URL carries ``?api-version=`` is opened with the SDK's Azure client, which puts the deployment
into the path and the key into ``api-key``; without a key it takes ``AZURE_OPENAI_API_KEY`` or
``AZURE_OPENAI_AD_TOKEN``. Azure's newer ``/openai/v1`` needs none of that and goes through the ordinary client.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from peakbench import __version__
from peakbench.client.address import completions_url, display_url, secrets_of, tls_context
from peakbench.client.base import AttemptFailed, Endpoint
from peakbench.client.completions import BODY_LIMIT, read_bounded, read_completion, read_stream
from peakbench.client.failures import classify, clean
from peakbench.errors import ConfigError, MissingDependency
from peakbench.records import Failure, Response


class OpenAITransport:
    """Sends chat completions through ``AsyncOpenAI`` (or ``AsyncAzureOpenAI``), one attempt each.

    Raises:
        MissingDependency: the package ``openai`` is not installed.
        ConfigError: the SDK finds no credentials for Azure.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            import openai
        except ImportError:
            raise MissingDependency("the openai transport", package="openai", extra="openai") from None
        self._openai: Any = openai
        self._httpx: Any = _http_library(openai)
        self._endpoint = endpoint
        self._secrets = secrets_of(endpoint)
        self._slots = asyncio.Semaphore(endpoint.connections)
        self._client = self._open()

    async def send(self, body: bytes, *, stream: bool) -> Response:
        """Make one attempt; see `Transport.send`."""
        known = orjson.loads(body)
        model, messages = known.pop("model"), known.pop("messages")
        known.pop("stream", None)
        create = self._client.chat.completions.with_streaming_response.create
        started = time.perf_counter()
        try:
            # the SDK's own time-out is one between bytes; this one is for the whole attempt
            async with (
                asyncio.timeout(self._endpoint.timeout_s),
                self._slots,
                create(model=model, messages=messages, stream=stream, extra_body=known) as response,
            ):
                return await self._read(response, started, stream)
        except (self._openai.APIError, self._httpx.HTTPError, OSError) as error:
            # not chained: these errors carry the request with its Authorization header
            raise AttemptFailed(self._named(error)) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _open(self) -> Any:
        endpoint, httpx = self._endpoint, self._httpx
        url = urlsplit(completions_url(endpoint))
        query = dict(parse_qsl(url.query))
        path = url.path.removesuffix("/chat/completions")
        settings = {
            "max_retries": 0,
            "default_headers": {"User-Agent": f"peakbench/{__version__}", **endpoint.headers},
            "http_client": self._openai.DefaultAsyncHttpxClient(
                proxy=endpoint.proxy,
                verify=tls_context(endpoint),
                trust_env=False,
                follow_redirects=False,
                limits=httpx.Limits(
                    max_connections=endpoint.connections, max_keepalive_connections=endpoint.connections
                ),
                timeout=httpx.Timeout(endpoint.timeout_s, connect=endpoint.connect_timeout_s),
            ),
        }
        version = query.pop("api-version", None)
        if version is None:
            # "none" and not None: the SDK would take OPENAI_API_KEY and send it to whatever the URL names
            settings |= {"api_key": endpoint.api_key or "none"}
            return self._openai.AsyncOpenAI(
                base_url=f"{url.scheme}://{url.netloc}{path}", default_query=query, **settings
            )
        try:
            return self._openai.AsyncAzureOpenAI(
                base_url=f"{url.scheme}://{url.netloc}{path or '/openai'}",
                api_version=version,
                api_key=endpoint.api_key,
                default_query=query,
                **settings,
            )
        except self._openai.OpenAIError as error:
            raise ConfigError(
                str(error), where=display_url(endpoint), hint="give a key, or leave out api-version"
            ) from None

    async def _read(self, response: Any, started: float, stream: bool) -> Response:
        pieces = response.iter_bytes()
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            payload = await read_bounded(pieces, BODY_LIMIT)
            latency = time.perf_counter() - started
            return replace(read_completion(payload, secrets=self._secrets), latency_s=latency)
        return await read_stream(pieces, started=started, timed=stream, secrets=self._secrets)

    def _named(self, error: Exception) -> Failure:
        endpoint, httpx = self._endpoint, self._httpx
        if isinstance(error, self._openai.APIStatusError):
            response = error.response
            return classify(error.status_code, response.headers, response.content, secrets=self._secrets)
        cause = error.__cause__ if isinstance(error, self._openai.APIConnectionError) and error.__cause__ else error
        if isinstance(cause, httpx.ConnectTimeout):
            return Failure("connection", f"no connection within {endpoint.connect_timeout_s:g} s")
        if isinstance(cause, httpx.TimeoutException | TimeoutError):
            return Failure("timeout", f"no answer within {endpoint.timeout_s:g} s")
        if cause is error and isinstance(cause, httpx.RequestError):  # it came while the body was read
            return Failure("bad_body", clean(f"the answer could not be read to its end ({cause})", self._secrets))
        return Failure("connection", clean(f"{type(cause).__name__}: {cause}", self._secrets))


def _http_library(openai: Any) -> Any:
    """Return the HTTP library under this SDK: httpx, or httpx2 since its version 3."""
    client = openai.DefaultAsyncHttpxClient.__mro__[1]
    return sys.modules[client.__module__.partition(".")[0]]
