"""Models behind the OpenAI API, asked by the real openai client, by raw HTTP, and by PeakBench itself."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import openai
import pybase64
import pytest

import peakbench
from peakbench.errors import ConfigError
from peakbench.serving import Generation, LazyModel, Prompt, PromptRefused, Sampling, Server, Token
from peakbench.serving.batching import Batcher
from peakbench.serving.refusals import Refusal

DEMO = Path(peakbench.__file__).parent / "data" / "demo"
IMAGE = next((DEMO / "images").iterdir()).read_bytes()
IMAGE_URL = "data:image/jpeg;base64," + pybase64.b64encode(IMAGE).decode()


class Fake:
    """A model that writes the word of its images and seed, four characters a token; it remembers its batches."""

    def __init__(self, name: str = "fake", *, text: str | Callable[[Prompt], str] = '{"color": "navy blue"}') -> None:
        self.name = name
        self.context = 1000
        self.text = text
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self.gate: threading.Event | None = None
        self.asked: list[Prompt] = []

    def prompt_tokens(self, prompt: Prompt) -> int:
        if len(prompt.images) > 1:
            raise PromptRefused("At most 1 image(s) may be provided in one prompt.")
        if (prompt.sampling.schema or {}).get("type") == "array":
            raise PromptRefused("An array cannot be written.")
        return 64 * len(prompt.images) + len(prompt.text.split())

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        if self.gate is not None:
            self.gate.wait(10)
        self.batches.append(len(prompts))
        self.threads.add(threading.current_thread().name)
        self.asked += prompts
        return [[self._write(prompt, copy) for copy in range(prompt.sampling.n)] for prompt in prompts]

    def _write(self, prompt: Prompt, copy: int) -> Generation:
        text = self.text if isinstance(self.text, str) else self.text(prompt)
        if "explode" in text:
            raise RuntimeError("out of memory")
        if prompt.sampling.temperature:
            text = f"{text}#{prompt.sampling.seed}.{copy}"
        pieces = [text[at : at + 4] for at in range(0, len(text), 4)][: prompt.sampling.max_tokens]
        whole = len("".join(pieces)) == len(text)
        top = (("best", -0.25), ("never", -math.inf))[: prompt.sampling.logprobs or 0]
        tokens = [Token(at, piece, -0.5, top) for at, piece in enumerate(pieces)]
        return Generation(tuple(tokens), "stop" if whole else "length")


@pytest.fixture
def model():
    return Fake()


@pytest.fixture
def server(model):
    with Server([model, Fake("other", text="other words")]) as server:
        yield server


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def said(text: str = "Describe it.") -> list[dict]:
    return [{"role": "user", "content": text}]


def shown(url: str = IMAGE_URL) -> list[dict]:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Describe it."}]
    return [{"role": "system", "content": "Answer with JSON."}, {"role": "user", "content": parts}]


def post(server: Server, body: bytes | dict, *, path: str = "/chat/completions", kind: str = "application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(server.url + path, data, {"Content-Type": kind})
    try:
        with urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def get(server: Server, path: str):
    with urlopen(server.url.removesuffix("/v1") + path, timeout=20) as response:
        return response.status, response.headers["Content-Type"], response.read().decode()


# answers


def test_a_completion_as_the_openai_client_reads_it(client, model):
    done = client.chat.completions.create(model="fake", messages=shown(), temperature=0)
    (choice,) = done.choices
    assert choice.message.content == '{"color": "navy blue"}'
    assert (choice.message.role, choice.finish_reason, choice.logprobs) == ("assistant", "stop", None)
    assert done.object == "chat.completion"
    assert done.id.startswith("chatcmpl-")
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (69, 6, 75)
    (asked,) = model.asked
    assert asked.images == (IMAGE,)
    assert asked.text == "Answer with JSON.\nDescribe it."
    assert (asked.sampling.temperature, asked.sampling.top_p, asked.sampling.seed) == (0.0, 1.0, None)


def test_what_steers_an_answer_reaches_the_model(client, model):
    schema = {"type": "object", "properties": {"color": {"type": "string"}}}
    named = {"type": "json_schema", "json_schema": {"name": "garment", "schema": schema, "strict": True}}
    client.chat.completions.create(
        model="fake", messages=said(), temperature=0.5, top_p=0.9, seed=-7, n=3, max_tokens=9, response_format=named
    )
    sampling = model.asked[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed, sampling.n) == (0.5, 0.9, -7, 3)
    assert (sampling.max_tokens, sampling.logprobs, sampling.schema) == (9, None, schema)
    client.chat.completions.create(
        model="fake", messages=said(), max_tokens=9, max_completion_tokens=3, response_format={"type": "json_object"}
    )
    assert (model.asked[1].sampling.temperature, model.asked[1].sampling.max_tokens) == (1.0, 3)
    assert model.asked[1].sampling.schema == {"type": "object"}
    client.chat.completions.create(model="fake", messages=said(), max_tokens=5000)
    client.chat.completions.create(model="fake", messages=said())
    assert [prompt.sampling.max_tokens for prompt in model.asked[2:]] == [998, 998]  # what the context leaves


def test_several_completions_and_the_token_limit(client):
    done = client.chat.completions.create(model="fake", messages=said(), temperature=1, seed=3, n=2, max_tokens=6)
    assert [choice.message.content for choice in done.choices] == ['{"color": "navy blue"}#3'] * 2
    assert [choice.index for choice in done.choices] == [0, 1]
    assert {choice.finish_reason for choice in done.choices} == {"length"}
    assert done.usage.completion_tokens == 12


def test_a_request_without_a_model_gets_the_first(server):
    status, body = post(server, {"messages": said(), "temperature": 0})
    assert (status, body["model"]) == (200, "fake")


def test_logprobs_come_with_each_token_and_a_zero_probability_is_a_number(client):
    done = client.chat.completions.create(
        model="fake", messages=said(), temperature=0, logprobs=True, top_logprobs=2, max_tokens=2
    )
    first, second = done.choices[0].logprobs.content
    assert (first.token, first.logprob, first.bytes) == ('{"co', -0.5, list(b'{"co'))
    assert [(top.token, top.logprob) for top in second.top_logprobs] == [("best", -0.25), ("never", -9999.0)]
    done = client.chat.completions.create(model="fake", messages=said(), temperature=0, logprobs=True, max_tokens=1)
    assert done.choices[0].logprobs.content[0].top_logprobs == []


@pytest.mark.parametrize(
    ("stop", "text", "reason", "tokens"),
    [
        ("navy", '{"color": "', "navy", 4),  # the word ends in the 4th token: "or": | "navy..."
        (["blue", '": '], '{"color', '": ', 3),  # what is complete first ends it
        ("absent", '{"color": "navy blue"}', None, 6),
    ],
)
def test_a_stop_string_ends_the_answer_and_is_left_out(server, stop, text, reason, tokens):
    _, body = post(server, {"model": "fake", "messages": said(), "temperature": 0, "stop": stop})
    (choice,) = body["choices"]
    assert choice["message"]["content"] == text
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", reason)
    assert body["usage"]["completion_tokens"] == tokens


def test_a_stream_as_the_openai_client_reads_it(client):
    stream = client.chat.completions.create(
        model="fake",
        messages=shown(),
        temperature=1,
        seed=5,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
        logprobs=True,
    )
    texts, ends, usage, tokens = {0: "", 1: ""}, {}, None, 0
    for chunk in stream:
        assert chunk.object == "chat.completion.chunk"
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            tokens += len(choice.logprobs.content) if choice.logprobs else 0
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    assert texts == {0: '{"color": "navy blue"}#5.0', 1: '{"color": "navy blue"}#5.1'}
    assert ends == {0: "stop", 1: "stop"}
    assert usage.completion_tokens == tokens == 14


def test_a_stream_ends_with_done_and_has_no_usage_unasked(server):
    request = Request(
        server.url + "/chat/completions",
        json.dumps({"model": "fake", "messages": said(), "temperature": 0, "stream": True}).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=20) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        events = [line for line in response.read().decode().split("\n\n") if line]
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(chunk.get("usage") is None and chunk["choices"] for chunk in chunks)
    assert len({chunk["id"] for chunk in chunks}) == 1


# refusals, in the words of vLLM where it has them (its chat_completion/protocol.py and sampling_params.py)


@pytest.mark.parametrize(
    ("change", "message", "param"),
    [
        ({"messages": None}, "1 validation error: messages: Input should be a valid list", "messages"),
        ({"messages": []}, "List should have at least 1 item", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "Unknown part type: audio", "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "has no text", "messages"),
        ({"temperature": -1}, "temperature must be in [0, 2], got -1.0.", "temperature"),
        ({"temperature": "hot"}, "temperature: Input should be a valid number", "temperature"),
        ({"top_p": 0}, "top_p must be in (0, 1], got 0.0.", "top_p"),
        ({"n": 0}, "n must be at least 1, got 0.", "n"),
        ({"n": 2}, "n must be 1 when using greedy sampling, got 2.", "n"),
        ({"n": 10**9, "temperature": 1}, "n must be at most 128", "n"),
        ({"max_tokens": 0}, "max_tokens must be at least 1, got 0.", "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens must be at least 1", "max_completion_tokens"),
        ({"seed": 2**70}, "seed: ", "seed"),
        ({"seed": "x"}, "seed: Input should be a valid integer", "seed"),
        ({"top_logprobs": 3}, "when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "which is greater than max allowed: 20", "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -2}, "`top_logprobs` must be a positive value", "top_logprobs"),
        ({"stream_options": {"include_usage": True}}, "Stream options can only be defined", "stream_options"),
        ({"response_format": {"type": "json_schema"}}, "the 'json_schema' field must be provided", "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "response_format"),
        ({"stop": [""]}, "stop cannot contain an empty string.", "stop"),
        ({"tools": [{"type": "function"}]}, "`tools` is not supported by this server.", "tools"),
        ({"logit_bias": {"5": 1}}, "`logit_bias` is not supported by this server.", "logit_bias"),
        ({"presence_penalty": 0.5}, "`presence_penalty` is not supported by this server.", "presence_penalty"),
    ],
)
def test_a_malformed_request_is_a_400_that_says_why(server, model, change, message, param):
    status, body = post(server, {"model": "fake", "messages": said(), "temperature": 0} | change)
    assert status == 400
    error = body["error"]
    assert message in error["message"]
    assert (error["type"], error["param"], error["code"]) == ("BadRequestError", param, 400)
    assert model.asked == []


def test_parameters_that_ask_for_nothing_are_taken(server):
    nothing = {"tools": None, "presence_penalty": 0, "top_k": -1, "logit_bias": {}, "repetition_penalty": 1.0}
    unknown = {"user": "me", "metadata": {"a": "b"}, "chat_template_kwargs": {"enable_thinking": False}}
    status, _ = post(server, {"messages": said(), "temperature": 0, **nothing, **unknown})
    assert status == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"{", "JSON decode error"), (b"[1]", "valid dictionary"), (b'{"a": NaN}', "JSON"), (b"[" * 10_000, "JSON")],
)
def test_a_body_that_is_no_request(server, body, message):
    status, answer = post(server, body)
    assert (status, answer["error"]["type"]) == (400, "BadRequestError")
    assert message in answer["error"]["message"]


def test_a_form_of_a_web_page_is_no_request(server):
    status, answer = post(server, {"messages": said()}, kind="text/plain")
    assert status == 400
    assert answer["error"]["message"] == "Unsupported Media Type: Only 'application/json' is allowed"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://example.org/a.jpg", "this server fetches nothing"),
        ("file:///etc/passwd", "this server fetches nothing"),
        ("data:text/html;base64,aaaa", "Only base64 data URLs of images"),
        ("data:image/png,raw", "Only base64 data URLs of images"),
        ("data:image/png;base64,§", "the data URL is not base64"),
    ],
)
def test_only_images_inside_the_request_are_taken(client, url, message):
    with pytest.raises(openai.BadRequestError, match=message):
        client.chat.completions.create(model="fake", messages=shown(url), temperature=0)


def test_what_the_model_cannot_take_is_refused_before_it_joins_a_batch(client, model):
    twice = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE_URL}}] * 2}]
    with pytest.raises(openai.BadRequestError, match=r"At most 1 image\(s\) may be provided in one prompt."):
        client.chat.completions.create(model="fake", messages=twice, temperature=0)
    array = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "array"}}}
    with pytest.raises(openai.BadRequestError, match="An array cannot be written"):
        client.chat.completions.create(model="fake", messages=said(), response_format=array)
    with pytest.raises(openai.BadRequestError, match="maximum context length is 1000 tokens"):
        client.chat.completions.create(model="fake", messages=said("word " * 1000), temperature=0)
    assert model.batches == []


def test_an_unknown_model_or_path_is_a_404(client, server):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt", messages=said())
    error = {"message": "The model `gpt` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}
    assert caught.value.body == error
    status, body = post(server, {}, path="/embeddings")
    assert (status, body["error"]["type"]) == (404, "NotFoundError")
    status, body = post(server, {}, path="/models")
    assert (status, body["error"]["type"]) == (405, "MethodNotAllowedError")


def test_a_body_that_is_too_large_is_a_413(model):
    with Server(model, max_body=1000) as server:
        status, body = post(server, {"messages": said("x" * 2000)})
    assert (status, body["error"]["type"]) == (413, "RequestEntityTooLargeError")


def test_a_model_that_fails_is_a_500_and_its_neighbours_are_answered():
    model = Fake(text=lambda prompt: prompt.text)
    model.gate = threading.Event()
    with Server(model) as server, ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(post, server, {"messages": said(text), "temperature": 0}) for text in ("a", "explode", "b")
        ]
        model.gate.set()
        answers = [one.result() for one in asked]
    assert [status for status, _ in answers] == [200, 500, 200]
    assert answers[1][1]["error"] == {
        "message": "the model failed: RuntimeError: out of memory",
        "type": "InternalServerError",
        "param": None,
        "code": 500,
    }
    assert [answers[at][1]["choices"][0]["message"]["content"] for at in (0, 2)] == ["a", "b"]


# batches


def test_what_waits_is_asked_together_by_one_thread(model, server):
    model.gate = threading.Event()
    with ThreadPoolExecutor(24) as pool:
        first = pool.submit(post, server, {"messages": said("0"), "temperature": 0})
        while not get(server, "/metrics")[2].count("\npeakbench_num_requests_running 1\n"):
            time.sleep(0.005)
        rest = [pool.submit(post, server, {"messages": said(str(at)), "temperature": 0}) for at in range(1, 21)]
        while not get(server, "/metrics")[2].count("\npeakbench_num_requests_waiting 20\n"):
            time.sleep(0.005)
        model.gate.set()
        assert {status for status, _ in (first.result(), *(one.result() for one in rest))} == {200}
    assert model.batches == [1, 16, 4]
    assert model.threads == {"model"}
    metrics = get(server, "/metrics")[2]
    assert 'peakbench_request_success_total{model_name="fake",finished_reason="stop"} 21' in metrics
    assert "peakbench_batch_completions_sum 21.0" in metrics


def test_a_batch_is_for_one_model_and_counts_completions():
    one, other = Fake("one"), Fake("other")
    one.gate = threading.Event()
    batcher = Batcher(max_batch=4)

    def prompt(n: int = 1) -> Prompt:
        return Prompt(sampling=Sampling(n=n))

    blocking = batcher.submit(one, prompt())
    while not batcher.running:
        time.sleep(0.001)
    left = batcher.submit(one, prompt())
    assert left.cancel()  # the client has gone: it is not asked
    rest = [
        batcher.submit(model, prompt(n))
        for model, n in ((one, 2), (other, 1), (one, 1), (one, 9), (one, 1), (other, 1))
    ]
    one.gate.set()
    for future in (blocking, *rest):
        future.result(10)
    assert one.batches == [1, 3, 1]  # 1; 2 + 1 + 1 completions; 9 alone
    assert other.batches == [2]
    batcher.close()
    with pytest.raises(Refusal, match="stopping"):
        batcher.submit(one, prompt())


def test_too_many_requests_are_sent_away_and_what_waits_at_the_end_too(monkeypatch):
    monkeypatch.setattr("peakbench.serving.batching.MAX_WAITING", 2)
    model = Fake()
    model.gate = threading.Event()
    with Server(model) as server, ThreadPoolExecutor(4) as pool:
        batcher = server._batcher
        running = pool.submit(post, server, {"messages": said(), "temperature": 0})
        while not batcher.running:
            time.sleep(0.001)
        waiting = [pool.submit(post, server, {"messages": said(), "temperature": 0}) for _ in range(2)]
        while batcher.waiting < 2:
            time.sleep(0.001)
        status, body = post(server, {"messages": said(), "temperature": 0})
        assert (status, body["error"]["type"]) == (503, "ServiceUnavailableError")
        stopping = pool.submit(server.__exit__, None, None, None)
        assert [one.result()[0] for one in waiting] == [503, 503]
        model.gate.set()
        stopping.result()
        assert running.result()[0] == 200


# the server itself


def test_models_health_version_and_metrics(client, server):
    cards = {card.id: card.model_dump() for card in client.models.list()}
    assert list(cards) == ["fake", "other"]
    assert cards["other"]["max_model_len"] == 1000
    assert get(server, "/health")[0] == 200
    assert json.loads(get(server, "/version")[2]) == {"version": peakbench.__version__}
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="fake", messages=said(), temperature=-1)
    client.chat.completions.create(model="other", messages=said("two words"), temperature=0)
    status, kind, metrics = get(server, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    lines = metrics.splitlines()
    assert 'peakbench_prompt_tokens_total{model_name="other"} 2' in lines
    assert 'peakbench_generation_tokens_total{model_name="other"} 3' in lines
    assert 'peakbench_request_refused_total{code="400"} 1' in lines
    assert 'peakbench_e2e_request_latency_seconds_bucket{model_name="other",le="+Inf"} 1' in lines
    # every line is a comment or "name{labels} number"; every name was declared
    declared = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    for line in lines:
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            float(value)
            family = name.split("{")[0]
            assert {family, family.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")} & declared


def test_it_listens_on_loopback_on_a_port_of_its_own(model):
    with Server(model) as one, Server(model) as two:
        assert one.url != two.url
        assert one.url.startswith("http://127.0.0.1:")
        endpoint = one.endpoint(timeout_s=5)
        assert (endpoint.url, endpoint.model, endpoint.timeout_s) == (one.url, "fake", 5)
        port = int(one.url.split(":")[2].split("/")[0])
        with pytest.raises(ConfigError, match=rf"cannot listen at 127.0.0.1:{port}"), Server(model, port=port):
            pass
    with pytest.raises(OSError):
        urlopen(one.url + "/models", timeout=2)


def test_models_need_names_of_their_own():
    with pytest.raises(ConfigError, match="cannot serve fake, fake"):
        Server([Fake(), Fake()])
    with pytest.raises(ConfigError, match="cannot serve nothing"):
        Server([])


def test_a_model_is_opened_when_it_is_asked(model):
    opened = []

    def open_it():
        opened.append("fake")
        return model

    with Server([Fake("first"), LazyModel("lazy", open_it)]) as server:
        assert post(server, {"messages": said(), "temperature": 0})[0] == 200
        assert opened == []
        for _ in range(2):
            assert post(server, {"model": "lazy", "messages": said(), "temperature": 0})[0] == 200
    assert opened == ["fake"]


@pytest.mark.parametrize("transport", ["aiohttp", "openai"])
@pytest.mark.parametrize("stream", [False, True])
def test_peakbench_asks_it(tmp_path, server, model, transport, stream):
    run = peakbench.run(
        DEMO / "samples.jsonl",
        task="garment",
        endpoint=server.url,
        model="fake",
        out=tmp_path / "run",
        transport=transport,
        stream=stream,
        resamples=20,
    )
    samples = run.summary["samples"]
    assert (samples["total"], samples["failed"]) == (24, 0)
    assert sum(model.batches) == 24
    assert all(len(prompt.images) == 1 for prompt in model.asked)


def test_the_endpoint_reader_serves_what_ships_for_a_run_and_no_longer(tmp_path, monkeypatch):
    opened = []

    def open_reader(_folder, *, model):
        opened.append(model)
        return Fake(model)

    monkeypatch.setattr("peakbench.reader.open_reader", open_reader)
    monkeypatch.setattr("peakbench.reader.reader_names", lambda: ("reader", "reader-int8"))
    data = DEMO / "samples.jsonl"
    threads = threading.active_count()
    first = peakbench.run(data, endpoint="reader", out=tmp_path / "one", limit=2, resamples=20)
    second = peakbench.run(data, endpoint="reader", model="reader-int8", out=tmp_path / "two", limit=2, resamples=20)
    assert [run.record.model for run in (first, second)] == ["reader", "reader-int8"]
    assert {run.record.endpoint.provider for run in (first, second)} == {"reader"}
    assert [run.summary["samples"]["failed"] for run in (first, second)] == [0, 0]
    assert opened == ["reader", "reader-int8"]  # each when it is asked, and no other
    assert threading.active_count() == threads
