"""The endpoint: it answers chat completions on loopback by a script."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
import pybase64

from peakbench.client.base import Endpoint
from peakbench.listener import Listener
from peakbench.testing.script import Answers, Asked, Fault, Reply, body_of, chunks_of, key, refusal

if TYPE_CHECKING:
    from aiohttp import web

_KEPT = 1000


class ScriptedEndpoint(Listener):
    """An OpenAI-compatible server on loopback: ``/v1/chat/completions``, ``/v1/models`` and ``/health``.

    Args:
        answers: a text or `Reply` for every request; a sequence, one a request in order of arrival; a mapping by `key`;
            or a function of `Asked`, which may be a coroutine function. A request without an answer gets a 500.
        latency_s: seconds before each answer.
        faults: functions of `Asked`; the first that returns a `Reply` has it sent in place of the answer.
        api_key: where set, other keys get a 401.
        model: where set, other models get a 404.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        latency_s: float = 0.0,
        faults: Sequence[Fault] = (),
        api_key: str | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(shutdown_timeout=0.05)
        self._answers = answers
        self._latency_s = latency_s
        self._faults = tuple(faults)
        self._api_key = api_key
        self._model = model
        self._turns: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self.requests = 0
        """How many chat completions were asked for, refused ones included."""
        self.asked: deque[Asked] = deque(maxlen=_KEPT)
        """The last 1,000 requests."""

    def endpoint(self, **settings: Any) -> Endpoint:
        """Return an `Endpoint` that points here; ``settings`` are its other fields."""
        defaults = {"model": self._model or "scripted", "api_key": self._api_key}
        return Endpoint(self.url, **{**defaults, **settings})

    def application(self) -> web.Application:
        """Return the three routes."""
        from aiohttp import web

        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        return app

    async def _health(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response({"status": "ok"})

    async def _models(self, request: web.Request) -> web.StreamResponse:
        from aiohttp import web

        return web.json_response({"object": "list", "data": [{"id": self._model or "scripted", "object": "model"}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        number, self.requests = self.requests, self.requests + 1
        try:
            asked = self._read(await request.read(), request.headers, number)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return await self._send(request, None, refusal(400, f"not a chat completion: {error!r}"))
        self.asked.append(asked)
        try:
            reply = await self._reply(asked)
        except Exception as error:  # the caller's script; without this the test would see a bare 500
            reply = refusal(500, f"the script failed: {error!r}")
        return await self._send(request, asked, reply)

    def _read(self, raw: bytes, headers: Mapping[str, str], number: int) -> Asked:
        body = orjson.loads(raw)
        images: list[str] = []
        prompts: list[str] = []
        for message in body["messages"]:
            if isinstance(message["content"], str):
                prompts += [message["content"]] if message["role"] == "user" else []
                continue
            for part in message["content"]:
                if part["type"] == "text":
                    prompts.append(part["text"])
                elif part["type"] == "image_url":
                    image = part["image_url"]
                    image["url"] = url = _hashed(image["url"])
                    images.append(url.removeprefix("sha256:"))
        prompt = "\n".join(prompts)
        same = key(images, prompt)
        turn = self._turns[same]
        self._turns[same] += 1
        return Asked(body, tuple(images), prompt, headers, number, turn)

    async def _reply(self, asked: Asked) -> Reply:
        if self._api_key is not None and asked.headers.get("Authorization") != f"Bearer {self._api_key}":
            return refusal(401, "Incorrect API key provided.", "invalid_api_key")
        if self._model is not None and asked.body.get("model") != self._model:
            return refusal(404, f"The model `{asked.body.get('model')}` does not exist.", "model_not_found")
        for fault in self._faults:
            reply = fault(asked)
            if reply is not None:
                return reply
        found: Any = self._answers
        if callable(found):
            found = found(asked)
            if isinstance(found, Awaitable):
                found = await found
        elif isinstance(found, Mapping):
            places = (key(asked.images, asked.prompt), key(asked.images), asked.prompt)
            found = next((found[place] for place in places if place and place in found), None)
        elif not isinstance(found, str | Reply):
            return self._whole(found[asked.number] if asked.number < len(found) else None)
        if isinstance(found, Sequence) and not isinstance(found, str):
            # turns that met a fault do not count: the retry gets the answer that they did not get
            same = key(asked.images, asked.prompt)
            turn, self._answered[same] = self._answered[same], self._answered[same] + 1
            found = found[min(turn, len(found) - 1)]
        return self._whole(found)

    @staticmethod
    def _whole(found: str | Reply | None) -> Reply:
        if found is None:
            return refusal(500, "the script has no answer for this request")
        return Reply(found) if isinstance(found, str) else found

    async def _send(self, request: web.Request, asked: Asked | None, reply: Reply) -> web.StreamResponse:
        from aiohttp import web

        latency = self._latency_s if reply.latency_s is None else reply.latency_s
        if latency:
            await asyncio.sleep(latency)
        if reply.drop:
            return _hang_up(request, web.Response())
        headers = dict(reply.headers)
        if reply.retry_after is not None:
            headers["Retry-After"] = f"{reply.retry_after}"
        if asked is not None and asked.body.get("stream") and reply.status == 200 and reply.body is None:
            return await self._stream(request, asked, reply)
        body = body_of(asked, reply)
        if not reply.truncate:
            return web.Response(status=reply.status, body=body, headers=headers, content_type="application/json")
        response = web.StreamResponse(status=reply.status, headers={**headers, "Content-Length": str(len(body))})
        response.content_type = "application/json"
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        return _hang_up(request, response)

    async def _stream(self, request: web.Request, asked: Asked, reply: Reply) -> web.StreamResponse:
        from aiohttp import web

        response = web.StreamResponse(headers={**reply.headers, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunks = list(chunks_of(asked, reply))
        for chunk in chunks[: len(chunks) // 2] if reply.truncate else chunks:
            await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
            if reply.chunk_s:
                await asyncio.sleep(reply.chunk_s)
        if reply.truncate:
            return _hang_up(request, response)
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def _hashed(url: str) -> str:
    head, found, data = url.partition(";base64,")
    if not found or not head.startswith("data:"):
        return url
    return "sha256:" + hashlib.sha256(pybase64.b64decode(data, validate=True)).hexdigest()


def _hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return response
