"""A scripted OpenAI-compatible endpoint on loopback, for anybody's tests and for replaying recorded answers.

>>> with ScriptedEndpoint("red") as server:
...     server.url.startswith("http://127.0.0.1:"), server.requests
(True, 0)

It can be slow, refuse, ask to wait, cut a body off, hang up and stream; what it answers is a text, a list, a mapping or
a function of the request. It listens on 127.0.0.1 alone, in a thread and a loop of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import orjson
import pybase64

from peakbench.client.base import Endpoint
from peakbench.errors import DataError, DataProblem
from peakbench.records import Completion, Sample

if TYPE_CHECKING:
    from aiohttp import web

_KEPT = 1000


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

    >>> [fault is not None for fault in map(every(2, Reply(status=500)), (_asked(n) for n in range(4)))]
    [False, True, False, True]
    """
    return lambda asked: reply if asked.number % k == k - 1 else None


def first(k: int, reply: Reply) -> Fault:
    """Return a fault that meets the first k requests of each image and prompt, so that the next retry succeeds."""
    return lambda asked: reply if asked.turn < k else None


def _asked(number: int) -> Asked:
    return Asked({}, (), "", {}, number, 0)


def key(images: Iterable[str] = (), prompt: str = "") -> str:
    """Return the key of a mapping of answers: the images' sha256 joined by ``+``, and the prompt on a line of its own.

    A request is looked up by images and prompt, then by images alone, then by prompt alone.

    >>> key(["ab", "cd"]), key(prompt="Which color?"), key(["ab"], "Which color?")
    ('ab+cd', 'Which color?', 'ab\\nWhich color?')
    """
    return "\n".join(filter(None, ("+".join(images), prompt)))


class ScriptedEndpoint:
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
        self._answers = answers
        self._latency_s = latency_s
        self._faults = tuple(faults)
        self._api_key = api_key
        self._model = model
        self._turns: Counter[str] = Counter()
        self._answered: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started: threading.Event = threading.Event()
        self._problem: BaseException | None = None
        self._port = 0
        self.requests = 0
        """How many chat completions were asked for, refused ones included."""
        self.asked: deque[Asked] = deque(maxlen=_KEPT)
        """The last 1,000 requests."""

    @property
    def url(self) -> str:
        """The base URL, with ``/v1``."""
        return f"http://127.0.0.1:{self._port}/v1"

    def endpoint(self, **settings: Any) -> Endpoint:
        """Return an `Endpoint` that points here; ``settings`` are its other fields."""
        defaults = {"model": self._model or "scripted", "api_key": self._api_key}
        return Endpoint(self.url, **{**defaults, **settings})

    def __enter__(self) -> ScriptedEndpoint:
        self._thread = threading.Thread(target=self._run, name="scripted-endpoint", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._problem is not None:
            self._thread.join()
            raise self._problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    async def __aenter__(self) -> ScriptedEndpoint:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # it belongs to the thread that waits for the start
            self._problem = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from aiohttp import web

        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            self._port = runner.addresses[0][1]
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self._started.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

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
            return await self._send(request, None, _refusal(400, f"not a chat completion: {error!r}"))
        self.asked.append(asked)
        try:
            reply = await self._reply(asked)
        except Exception as error:  # the caller's script; without this the test would see a bare 500
            reply = _refusal(500, f"the script failed: {error!r}")
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
            return _refusal(401, "Incorrect API key provided.", "invalid_api_key")
        if self._model is not None and asked.body.get("model") != self._model:
            return _refusal(404, f"The model `{asked.body.get('model')}` does not exist.", "model_not_found")
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
            return _refusal(500, "the script has no answer for this request")
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
        body = _body(asked, reply)
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
        chunks = list(_chunks(asked, reply))
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


def _refusal(status: int, message: str, code: str | None = None) -> Reply:
    return Reply(status=status, body=orjson.dumps({"error": {"message": message, "type": "scripted", "code": code}}))


def _hang_up(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return response


def _frame(asked: Asked | None, kind: str) -> dict[str, Any]:
    model = asked.body.get("model") if asked is not None else None
    number = asked.number if asked is not None else 0
    return {"id": f"chatcmpl-{number}", "object": kind, "created": int(time.time()), "model": model}


def _usage(reply: Reply) -> Mapping[str, Any]:
    if reply.usage is not None:
        return reply.usage
    words = len((reply.text or "").split())
    return {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1}


def _body(asked: Asked | None, reply: Reply) -> bytes:
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


def _chunks(asked: Asked, reply: Reply) -> Iterator[dict[str, Any]]:
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


def replay(samples: Iterable[Sample], answers: Path | str | Mapping[str, Answer]) -> dict[str, Answer]:
    """Return recorded answers as a mapping for `ScriptedEndpoint`, so that each sample gets its own.

    Args:
        samples: what will be asked; images are read once, for their sha256, from wherever the sample says they are.
        answers: sample id -> answer, or a JSONL file of recorded answers (see `recorded`). Answers to other samples
            are left aside.

    Raises:
        DataError: a line that is no such object, a sample without an answer, or two samples that a server cannot tell
            apart (the same images, and neither or the same prompt) with different answers.
        ImageError: an image cannot be read.
    """
    from peakbench import images

    found = answers if isinstance(answers, Mapping) else recorded(answers)
    replies: dict[str, Answer] = {}
    owners: dict[str, str] = {}
    problems: list[DataProblem] = []
    for sample in samples:
        where = sample.where or sample.id
        if sample.id not in found:
            problems.append(DataProblem(where, f"no recorded answer to sample '{sample.id}'"))
            continue
        hashes = [
            str(source.value) if source.kind == "url" else str(images.load(source, allow_outside=True).sha256)
            for source in sample.images
        ]
        place = key(hashes, sample.prompt or "")
        if replies.setdefault(place, found[sample.id]) != found[sample.id]:
            problems.append(DataProblem(where, f"same images and prompt as sample '{owners[place]}', another answer"))
        owners.setdefault(place, sample.id)
    if problems:
        raise DataError(f"{len(problems)} samples cannot be replayed", problems=problems)
    return replies


def recorded(path: Path | str) -> dict[str, Answer]:
    """Read a JSONL file of recorded answers, ``{"id": ..., "response": ...}`` a line, as sample id -> replies.

    The lines of one id are its repeats, in order. A recorded failure is replayed as its HTTP status, or 500.

    Raises:
        DataError: the file cannot be read, or with every line that holds no answer.
    """
    from peakbench.answers import read_answers

    replies: dict[str, list[Reply]] = {}
    problems: list[DataProblem] = []
    for item in read_answers(Path(path)):
        if isinstance(item, DataProblem):
            problems.append(item)
        else:
            replies.setdefault(item.sample_id, []).append(_reply(item))
    if problems:
        raise DataError(
            f"{len(problems)} lines of {path} hold no answer",
            problems=problems,
            expected='{"id": "...", "response": "..."}',
        )
    return dict(replies)


def _reply(completion: Completion) -> Reply:
    if completion.response is None:
        failure = completion.failure
        return Reply(failure.message if failure else None, status=(failure and failure.http_status) or 500)
    response = completion.response
    return Reply(
        response.text,
        finish_reason=response.finish_reason or "stop",
        reasoning=response.reasoning,
        refusal=response.refusal,
    )


@contextmanager
def recorded_endpoint(
    data: Path | str, answers: Path | str, *, model: str = "recorded", latency_s: float = 0.0
) -> Iterator[Endpoint]:
    """Serve the recorded answers to a data set while the context lasts, and yield the endpoint.

    Raises:
        DataError: the data set or the answers cannot be used.
    """
    from peakbench.datasets import open_dataset

    samples: list[Sample] = []
    problems: list[DataProblem] = []
    for item in open_dataset(data):
        (samples if isinstance(item, Sample) else problems).append(item)  # type: ignore[arg-type]
    if problems:
        raise DataError(f"{len(problems)} problems in {data}", problems=problems)
    with ScriptedEndpoint(replay(samples, answers), latency_s=latency_s, model=model) as server:
        yield server.endpoint()
