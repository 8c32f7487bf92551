"""The contract of a transport: one suite, both transports, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import socket
import ssl
import subprocess
import sys
from dataclasses import replace

import orjson
import pytest

from peakbench.client.base import AttemptFailed, Endpoint
from peakbench.client.opening import open_transport
from peakbench.client.wire import build_request, encode
from peakbench.errors import ConfigError, MissingDependency
from peakbench.records import Image, ImageSource, Sample, Sampling
from peakbench.tasks import Task
from peakbench.testing import Reply, ScriptedEndpoint

TASK = Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}}})
PHOTO = b"\xff\xd8" + bytes(range(256)) * 40 + b"\xff\xd9"
REQUEST = build_request(
    TASK,
    Sample("p1", (ImageSource("bytes", PHOTO),)),
    (Image("image/jpeg", PHOTO, hashlib.sha256(PHOTO).hexdigest()),),
    model="scripted",
    sampling=Sampling(extra_body={"top_k": 1}),
)
ANSWER = '{"color": "red", "pattern": "polka dots on a light ground"}'
GOOD = orjson.dumps({"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]})


@pytest.fixture(params=["aiohttp", "openai"])
async def opened(request):
    """Open transports of one kind, and close them after the test."""
    if request.param == "openai":
        pytest.importorskip("openai")
    transports = []

    def open_one(endpoint: Endpoint, **settings):
        transports.append(open_transport(replace(endpoint, transport=request.param, **settings)))
        return transports[-1]

    yield open_one
    for transport in transports:
        await transport.aclose()


async def ask(transport, *, stream: bool = False, request=REQUEST):
    return await transport.send(encode(request, stream=stream), stream=stream)


async def failure_of(transport, *, stream: bool = False):
    with pytest.raises(AttemptFailed) as caught:
        await ask(transport, stream=stream)
    return caught.value.failure


@contextlib.asynccontextmanager
async def raw_server(*turns: bytes | None, keep: bool = False, tls: ssl.SSLContext | None = None):
    """Serve raw bytes, one turn a request (the last one stays; None closes); yields what it was sent and its port."""
    heads: list[bytes] = []
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                await reader.readexactly(length)
                heads.append(head)
                turn = turns[min(len(heads), len(turns)) - 1]
                if turn is None:
                    break
                writer.write(turn)
                await writer.drain()
                if not keep:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.heads, server.writers = heads, connections  # type: ignore[attr-defined]
    try:
        yield server, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in connections:
            writer.close()
        await server.wait_closed()


def http(body: bytes, head: str = "HTTP/1.1 200 OK\r\nContent-Type: application/json") -> bytes:
    return f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def test_an_answer_comes_whole_with_its_latency(opened):
    reply = Reply(ANSWER, latency_s=0.05, reasoning="hm", finish_reason="length", usage={"prompt_tokens": 7})
    async with ScriptedEndpoint(reply) as server:
        response = await ask(opened(server.endpoint()))
    assert (response.text, response.reasoning, response.finish_reason) == (ANSWER, "hm", "length")
    assert (response.model, response.usage) == ("scripted", {"prompt_tokens": 7})
    assert 0.05 <= response.latency_s < 1
    assert response.ttft_s is None


@pytest.mark.parametrize("stream", [False, True])
async def test_the_server_gets_the_body_that_was_hashed(opened, stream):
    async with ScriptedEndpoint(ANSWER) as server:
        await ask(opened(server.endpoint()), stream=stream)
    body = dict(server.asked[0].body)
    if stream:
        assert body.pop("stream_options") == {"include_usage": True}
    assert body.pop("stream", False) is stream
    assert body == REQUEST.body
    assert server.asked[0].images == (hashlib.sha256(PHOTO).hexdigest(),)


async def test_a_streamed_answer_is_the_same_and_times_its_first_token(opened):
    async with ScriptedEndpoint(Reply(ANSWER, reasoning="hm", chunk_s=0.02)) as server:
        response = await ask(opened(server.endpoint()), stream=True)
    assert (response.text, response.reasoning, response.finish_reason) == (ANSWER, "hm", "stop")
    assert response.usage == {"prompt_tokens": 1, "completion_tokens": 9, "total_tokens": 10}
    # an empty chunk, the reasoning, then four of content and the end: the first token comes after one pause, not seven
    assert 0.02 <= response.ttft_s < response.latency_s - 0.06


async def test_a_server_that_does_not_stream_is_read_all_the_same(opened):
    async with ScriptedEndpoint(Reply(body=GOOD)) as server:
        response = await ask(opened(server.endpoint()), stream=True)
    assert response.text == "ok"
    assert response.ttft_s is None


async def test_a_connection_serves_many_requests(opened):
    async with raw_server(http(GOOD), keep=True) as (server, port):
        transport = opened(Endpoint(f"http://127.0.0.1:{port}/v1", "m"))
        for _ in range(5):
            assert (await ask(transport)).text == "ok"
        assert len(server.heads) == 5
        assert len(server.writers) == 1


async def test_a_streamed_answer_gives_its_connection_back(opened):
    chunk = b'data: {"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    async with raw_server(http(chunk, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream"), keep=True) as (
        server,
        port,
    ):
        transport = opened(Endpoint(f"http://127.0.0.1:{port}/v1", "m"))
        for _ in range(3):
            assert (await ask(transport, stream=True)).text == "ok"
        assert len(server.writers) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "kind", "status", "says"),
    [
        (Reply("wrong key", 401), "authentication", 401, "wrong key"),
        (Reply("no access", 403), "permission", 403, "no access"),
        (Reply("no such model", 404), "not_found", 404, "no such model"),
        (Reply("too long", 400), "bad_request", 400, "too long"),
        (Reply("busy", 500), "server_error", 500, "busy"),
        (Reply(status=502, body=b"<html>Bad Gateway</html>"), "server_error", 502, "Bad Gateway"),
        (Reply(status=307, headers={"Location": "/v2/chat"}), "not_found", 307, "redirects to /v2/chat"),
        (Reply(body=b'{"error": {"message": "no memory", "code": 503}}'), "server_error", 200, "no memory"),
        (Reply(body=b"oops"), "bad_body", 200, "not JSON: oops"),
        (Reply(body=b""), "bad_body", 200, "(empty)"),
    ],
)
async def test_what_the_server_refuses_has_a_named_kind(opened, reply, kind, status, says, stream):
    async with ScriptedEndpoint(reply) as server:
        failure = await failure_of(opened(server.endpoint()), stream=stream)
    assert (failure.kind, failure.http_status) == (kind, status)
    assert says in failure.message
    assert server.requests == 1  # retrying is the runner's business


async def test_the_server_says_how_long_to_wait(opened):
    async with ScriptedEndpoint(Reply("slow down", 429, retry_after=3)) as server:
        failure = await failure_of(opened(server.endpoint()))
    assert (failure.kind, failure.retry_after_s) == ("rate_limited", 3.0)
    assert server.requests == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_off_answer_is_a_bad_body(opened, stream):
    async with ScriptedEndpoint(Reply(ANSWER, truncate=True)) as server:
        failure = await failure_of(opened(server.endpoint()), stream=stream)
    assert failure.kind == "bad_body"
    assert "could not be read to its end" in failure.message


async def test_a_stream_that_ends_early_in_good_order_is_a_bad_body(opened):
    body = b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n'
    async with raw_server(http(body, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream")) as (_, port):
        failure = await failure_of(opened(Endpoint(f"http://127.0.0.1:{port}/v1", "m")), stream=True)
    assert (failure.kind, failure.http_status) == ("bad_body", 200)
    assert "ended early" in failure.message


async def test_a_server_that_hangs_up_is_a_connection_failure(opened):
    async with ScriptedEndpoint(Reply(drop=True)) as server:
        failure = await failure_of(opened(server.endpoint()))
    assert (failure.kind, failure.http_status) == ("connection", None)


async def test_a_kept_connection_that_the_server_closed_is_at_worst_a_connection_failure(opened):
    async with raw_server(http(GOOD), None, http(GOOD), keep=True) as (server, port):
        transport = opened(Endpoint(f"http://127.0.0.1:{port}/v1", "m"))
        assert (await ask(transport)).text == "ok"
        assert (await failure_of(transport)).kind == "connection"
        assert (await ask(transport)).text == "ok"
        assert len(server.writers) == 2


async def test_nobody_listens(opened):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        failure = await failure_of(opened(Endpoint(f"http://127.0.0.1:{unused.getsockname()[1]}/v1", "m")))
    assert failure.kind == "connection"
    assert failure.message


async def test_a_server_that_does_not_accept_is_a_connection_failure_in_time(opened):
    with socket.socket() as full, contextlib.ExitStack() as fillers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # Linux queues one more than asked for, then leaves connects unanswered
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        endpoint = Endpoint(f"http://127.0.0.1:{full.getsockname()[1]}/v1", "m", connect_timeout_s=0.1)
        failure = await failure_of(opened(endpoint))
    assert (failure.kind, failure.message) == ("connection", "no connection within 0.1 s")


async def test_no_answer_in_time(opened):
    async with ScriptedEndpoint(ANSWER, latency_s=5) as server:
        failure = await failure_of(opened(server.endpoint(timeout_s=0.1)))
    assert (failure.kind, failure.message) == ("timeout", "no answer within 0.1 s")


async def test_the_time_out_is_for_the_whole_answer(opened):
    async with ScriptedEndpoint(Reply("word " * 100, chunk_s=0.02)) as server:
        failure = await failure_of(opened(server.endpoint(timeout_s=0.15)), stream=True)
    assert failure.kind == "timeout"


async def test_an_answer_that_is_not_http(opened):
    async with raw_server(b"SSH-2.0-OpenSSH_9.6\r\n") as (_, port):
        failure = await failure_of(opened(Endpoint(f"http://127.0.0.1:{port}/v1", "m")))
    assert failure.kind in {"bad_body", "connection"}


async def test_an_endless_answer_is_cut(opened, monkeypatch):
    for module in ("http", "sdk"):
        monkeypatch.setattr(f"peakbench.client.{module}.BODY_LIMIT", 1000)
    async with ScriptedEndpoint("x" * 2000) as server:
        failure = await failure_of(opened(server.endpoint()))
    assert (failure.kind, failure.message) == ("bad_body", "the answer is larger than 1000 bytes")


async def test_key_and_headers_are_sent_and_never_shown(opened):
    def echo(asked):
        assert asked.headers["X-Project"] == "project-12345"
        assert asked.headers["User-Agent"].startswith("peakbench/")
        return Reply(f"{asked.headers['Authorization']} of {asked.headers['X-Project']} is unknown", 401)

    async with ScriptedEndpoint(echo) as server:
        endpoint = server.endpoint(api_key="sk-secret-1234", headers={"X-Project": "project-12345"})
        failure = await failure_of(opened(endpoint))
    assert failure.message == "Bearer [redacted] of [redacted] is unknown"


async def test_the_environment_brings_neither_key_nor_proxy(opened, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with ScriptedEndpoint(ANSWER) as server:
        assert (await ask(opened(server.endpoint()))).text == ANSWER
    assert "sk-from-the-environment" not in repr(server.asked[0].headers)


async def test_a_proxy_is_asked_for_the_whole_url(opened):
    async with raw_server(http(GOOD)) as (server, port):
        transport = opened(Endpoint("http://models.example/v1", "m", proxy=f"http://me:pass@127.0.0.1:{port}"))
        assert (await ask(transport)).text == "ok"
    assert server.heads[0].startswith(b"POST http://models.example/v1/chat/completions HTTP/1.1")
    assert b"proxy-authorization: basic bwu6cgfzcw==" in server.heads[0].lower()


async def test_a_query_in_the_url_is_kept(opened):
    async with raw_server(http(GOOD)) as (server, port):
        await ask(opened(Endpoint(f"http://127.0.0.1:{port}/v1?tenant=a", "m")))
    assert server.heads[0].startswith(b"POST /v1/chat/completions?tenant=a HTTP/1.1")


async def test_no_more_connections_than_allowed(opened):
    now = most = 0

    async def answer(asked):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return ANSWER

    async with ScriptedEndpoint(answer) as server:
        transport = opened(server.endpoint(connections=3))
        await asyncio.gather(*(ask(transport) for _ in range(10)))
    assert most == 3


async def test_a_cancelled_attempt_leaves_the_transport_usable(opened):
    async with ScriptedEndpoint([Reply(ANSWER, latency_s=5), ANSWER]) as server:
        transport = opened(server.endpoint(connections=1))
        task = asyncio.create_task(ask(transport))
        await asyncio.sleep(0.1)
        assert server.requests == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await ask(transport)).text == ANSWER


async def test_a_body_above_a_megabyte_goes_through(opened):
    photo = bytes(3_000_000)
    picture = Image("image/jpeg", photo, hashlib.sha256(photo).hexdigest())
    request = build_request(
        TASK, Sample("p1", (ImageSource("bytes", photo),)), (picture,), model="m", sampling=Sampling()
    )
    async with ScriptedEndpoint(ANSWER) as server:
        assert (await ask(opened(server.endpoint()), request=request)).text == ANSWER
    assert server.asked[0].images == (picture.sha256,)


@pytest.fixture
def certificate(tmp_path):
    """A new self-signed certificate for 127.0.0.1, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    command = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


async def test_an_authority_of_ones_own(opened, certificate):
    certificate, key = certificate
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with raw_server(http(GOOD), tls=tls) as (_, port):
        endpoint = Endpoint(f"https://127.0.0.1:{port}/v1", "m")
        failure = await failure_of(opened(endpoint))
        assert failure.kind == "connection"
        assert "certificate" in failure.message.lower()
        assert (await ask(opened(endpoint, ca_file=str(certificate)))).text == "ok"


async def test_closing_twice_or_unused_is_no_error(opened):
    transport = opened(Endpoint("http://127.0.0.1:1/v1", "m"))
    await transport.aclose()
    await transport.aclose()


async def test_azure_is_addressed_by_deployment_and_api_key():
    pytest.importorskip("openai")
    async with raw_server(http(GOOD), keep=True) as (server, port):
        for path in ("", "/openai/deployments/scripted"):
            url = f"http://127.0.0.1:{port}{path}?api-version=2024-06-01"
            transport = open_transport(Endpoint(url, "scripted", api_key="azure-key", transport="openai"))
            assert (await ask(transport)).text == "ok"
            await transport.aclose()
    for head in server.heads:
        assert head.startswith(b"POST /openai/deployments/scripted/chat/completions?api-version=2024-06-01 ")
        assert b"api-key: azure-key" in head


async def test_azure_without_a_key_says_so(monkeypatch):
    pytest.importorskip("openai")
    for name in ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="api_key"):
        open_transport(Endpoint("https://res.openai.azure.com?api-version=1", "m", transport="openai"))


async def test_a_missing_sdk_is_named_with_the_install_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingDependency, match=r"pip install 'peakbench\[openai\]'|needs the package 'openai'"):
        open_transport(Endpoint("http://127.0.0.1:1/v1", "m", transport="openai"))


async def test_addresses_are_checked_when_opened():
    with pytest.raises(ConfigError, match="endpoint: '127.0.0.1:1/v1' is not a URL"):
        open_transport(Endpoint("127.0.0.1:1/v1", "m"))
    with pytest.raises(ConfigError, match="proxy: 'socks5://x' is not a URL"):
        open_transport(Endpoint("http://127.0.0.1:1/v1", "m", proxy="socks5://x"))


async def test_requests_that_start_together_start_a_few_in_a_turn_of_the_loop():
    from peakbench.client.http import _Turnstile

    turnstile = _Turnstile(2)
    turn = 0
    started: list[tuple[int, int]] = []

    async def start(number: int) -> None:
        await turnstile.enter()
        started.append((number, turn))

    tasks = [asyncio.create_task(start(number)) for number in range(7)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    for turn in range(1, 12):  # noqa: B007 - start() reads it
        await asyncio.sleep(0)
    assert [number for number, _ in started] == [0, 1, 2, 4, 5, 6]  # in order; the cancelled one holds nobody up
    turns = [turn for _, turn in started]
    assert max(turns.count(turn) for turn in turns) == 2
    assert turnstile._passed == 0
    await turnstile.enter()
