"""The server: the OpenAI API over one thread that asks the models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from peakbench.client.base import Endpoint
from peakbench.errors import ConfigError
from peakbench.listener import Listener
from peakbench.serving.answers import Answer
from peakbench.serving.base import PromptRefused, ServedModel
from peakbench.serving.batching import Batcher
from peakbench.serving.counters import Counters
from peakbench.serving.refusals import Refusal
from peakbench.serving.requests import Asked, read_request

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler

MAX_BODY = 32 * 1024 * 1024
"""Bytes of a request, at most: an image of 20 MB as base64, and its prompt."""


class Server(Listener):
    """Serves models behind the OpenAI API, while the context lasts.

    ``/v1/chat/completions``, ``/v1/models``, ``/health``, ``/metrics`` and ``/version``; malformed requests are
    answered as vLLM answers them. It listens on loopback unless another address is named.

    Args:
        model: what is served, one or several; a request that names none gets the first.
        host: the address to listen at. ``port``: 0 for a free one.
        max_batch: completions that are generated together, at most.
        max_body: bytes of a request, at most.

    Raises:
        ConfigError: two models have one name, there is none, or (on entering) the address cannot be had.
    """

    def __init__(
        self,
        model: ServedModel | Sequence[ServedModel],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        max_batch: int = 16,
        max_body: int = MAX_BODY,
    ) -> None:
        super().__init__(host, port, handler_cancellation=True, shutdown_timeout=1.0)
        models = [*model] if isinstance(model, Sequence) else [model]
        self._models = {one.name: one for one in models}
        if not models or len(self._models) < len(models):
            raise ConfigError(
                f"cannot serve {', '.join(one.name for one in models) or 'nothing'}",
                expected="at least one model, each with a name of its own",
            )
        self._first = models[0]
        self._max_batch, self._max_body = max_batch, max_body
        self._counters = Counters()
        self._created = int(time.time())

    def endpoint(self, **settings: Any) -> Endpoint:
        """Return an `Endpoint` that points at the first model; ``settings`` are its other fields."""
        return Endpoint(self.url, **{"model": self._first.name, **settings})

    def application(self) -> web.Application:
        """Return the routes of the OpenAI API, and those that say how the server is."""
        from aiohttp import web

        app = web.Application(client_max_size=self._max_body, middlewares=[self._middleware()])
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._list)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/version", self._version)
        app.on_startup.append(self._open)
        app.on_shutdown.append(self._close)
        return app

    async def _open(self, _app: web.Application) -> None:
        self._batcher = Batcher(max_batch=self._max_batch, on_batch=self._counters.batch)
        self._reading = ThreadPoolExecutor(1, "reading")

    async def _close(self, _app: web.Application) -> None:
        # what waits is sent away while its connections are still open
        await asyncio.to_thread(self._batcher.close)
        self._reading.shutdown(wait=False, cancel_futures=True)

    def _middleware(self) -> Any:
        from aiohttp import web

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refusal as error:
                refusal = error
            except web.HTTPRequestEntityTooLarge:
                refusal = Refusal(f"Request body too large: at most {self._max_body} bytes are read.", status=413)
            except web.HTTPException as error:
                refusal = Refusal(error.reason, status=error.status)
            except ConnectionError:
                raise  # the client has gone: there is nobody to answer
            except Exception as error:  # without this the client would get a page of HTML
                refusal = Refusal(f"{type(error).__name__}: {error}"[:500], status=500)
            self._counters.refused(refusal.status)
            return web.Response(status=refusal.status, body=orjson.dumps(refusal.body), content_type="application/json")

        return answer

    async def _health(self, _request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.Response(status=200 if self._batcher.alive else 503)

    async def _version(self, _request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        from peakbench import __version__

        return web.json_response({"version": __version__})

    async def _metrics(self, _request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        text = self._counters.text(running=self._batcher.running, waiting=self._batcher.waiting)
        return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _list(self, _request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        cards = [
            {
                "id": name,
                "object": "model",
                "created": self._created,
                "owned_by": "peakbench",
                "root": name,
                "parent": None,
                "max_model_len": model.context,
            }
            for name, model in self._models.items()
        ]
        return web.json_response({"object": "list", "data": cards})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        started = time.monotonic()
        if request.content_type != "application/json":
            raise Refusal("Unsupported Media Type: Only 'application/json' is allowed")
        body = await request.read()
        loop = asyncio.get_running_loop()
        # images are decoded here: off the loop, which has other clients
        asked, model, prompt_tokens = await loop.run_in_executor(self._reading, self._admit, body)
        generations = await asyncio.wrap_future(self._batcher.submit(model, asked.prompt))
        answer = Answer.of(
            model.name,
            generations,
            prompt_tokens=prompt_tokens,
            stops=asked.stop,
            logprobs=asked.prompt.sampling.logprobs is not None,
        )
        self._counters.answered(
            model.name,
            finish_reasons=[choice.finish_reason for choice in answer.choices],
            prompt_tokens=prompt_tokens,
            tokens=answer.completion_tokens,
            seconds=time.monotonic() - started,
        )
        if not asked.stream:
            return web.Response(body=orjson.dumps(answer.body()), content_type="application/json")
        return await self._stream(request, asked, answer)

    def _admit(self, body: bytes) -> tuple[Asked, ServedModel, int]:
        asked = read_request(body)
        model = self._first if asked.model is None else self._models.get(asked.model)
        if model is None:
            raise Refusal(f"The model `{asked.model}` does not exist.", status=404, param="model")
        try:
            tokens = model.prompt_tokens(asked.prompt)
        except PromptRefused as error:
            raise Refusal(str(error)) from None
        if tokens >= model.context:
            raise Refusal(
                f"This model's maximum context length is {model.context} tokens. However, your request has "
                f"{tokens} input tokens. Please reduce the length of the input messages.",
                param="input_tokens",
            )
        # an answer never gets longer than the context leaves, so a limit beyond that is one that it cannot reach: vLLM
        # refuses such a request, and with a small model would refuse what most clients send
        sampling = asked.prompt.sampling
        most = min(sampling.max_tokens or model.context, model.context - tokens)
        prompt = replace(asked.prompt, sampling=replace(sampling, max_tokens=most))
        return replace(asked, prompt=prompt), model, tokens

    async def _stream(self, request: web.Request, asked: Asked, answer: Answer) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        for chunk in answer.chunks(include_usage=asked.include_usage):
            await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response
