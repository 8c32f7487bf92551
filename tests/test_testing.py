"""The scripted endpoint, as a test suite of somebody else would use it: through its URL."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import threading

import aiohttp
import pytest

from peakbench.errors import DataError, ImageError
from peakbench.records import ImageSource, Sample
from peakbench.testing import Reply, ScriptedEndpoint, every, first, key, recorded, recorded_endpoint, replay

PHOTO = b"GIF89a\x02\x00\x03\x00\x00\x00\x00;"
OTHER = b"GIF89a\x05\x00\x03\x00\x00\x00\x00;"
SHA, OTHER_SHA = hashlib.sha256(PHOTO).hexdigest(), hashlib.sha256(OTHER).hexdigest()


def body(text: str = "Describe.", *photos: bytes, **more):
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/gif;base64," + base64.b64encode(photo).decode()}}
        for photo in photos
    ]
    content = [*parts, {"type": "text", "text": text}] if parts else text
    return {"model": "scripted", "messages": [{"role": "user", "content": content}], **more}


@pytest.fixture
async def post():
    """Post a body; return status, headers and the raw answer."""
    async with aiohttp.ClientSession() as session:

        async def send(server: ScriptedEndpoint, content=None, headers=None):
            url = server.url + "/chat/completions"
            async with session.post(url, json=content or body(), headers=headers) as response:
                return response.status, response.headers, await response.read()

        yield send


def text_of(answer) -> str:
    return json.loads(answer[2])["choices"][0]["message"]["content"]


async def test_one_text_answers_everything(post):
    with ScriptedEndpoint("red") as server:
        status, headers, raw = await post(server)
    answer = json.loads(raw)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "scripted"
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "red"}, "finish_reason": "stop"}
    ]
    assert answer["usage"] == {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


async def test_a_list_answers_in_order_of_arrival_and_then_has_none_left(post):
    async with ScriptedEndpoint(["a", Reply("b")]) as server:
        assert [text_of(await post(server)) for _ in range(2)] == ["a", "b"]
        status, _, raw = await post(server)
    assert status == 500
    assert json.loads(raw)["error"]["message"] == "the script has no answer for this request"


async def test_a_mapping_is_keyed_by_images_and_prompt_then_images_then_prompt(post):
    answers = {
        key([SHA], "Which color?"): "both",
        key([SHA]): "image",
        key([SHA, OTHER_SHA]): "two images",
        key(prompt="Which color?"): "prompt",
    }
    with ScriptedEndpoint(answers) as server:
        assert text_of(await post(server, body("Which color?", PHOTO))) == "both"
        assert text_of(await post(server, body("Describe.", PHOTO))) == "image"
        assert text_of(await post(server, body("Describe.", PHOTO, OTHER))) == "two images"
        assert text_of(await post(server, body("Which color?", OTHER))) == "prompt"
        assert (await post(server, body("Describe.", OTHER, PHOTO)))[0] == 500


async def test_a_list_in_a_mapping_is_one_answer_a_turn_and_the_last_stays(post):
    with ScriptedEndpoint({key([SHA]): ["a", "b"], key([OTHER_SHA]): "c"}) as server:
        asked = [PHOTO, OTHER, PHOTO, PHOTO]
        assert [text_of(await post(server, body("?", photo))) for photo in asked] == ["a", "c", "b", "b"]
    assert [asked.turn for asked in server.asked] == [0, 0, 1, 2]


async def test_a_function_sees_the_request_and_may_wait(post):
    def of_prompt(asked):
        return f"{asked.prompt} {asked.body['seed']} {asked.number} {asked.headers['x-test']}"

    async def later(asked):
        await asyncio.sleep(0)
        return Reply(asked.images[0], finish_reason="length")

    with ScriptedEndpoint(of_prompt) as server:
        assert text_of(await post(server, body("Hi", seed=5), {"X-Test": "yes"})) == "Hi 5 0 yes"
    with ScriptedEndpoint(later) as server:
        answer = await post(server, body("Hi", PHOTO))
    assert text_of(answer) == SHA
    assert json.loads(answer[2])["choices"][0]["finish_reason"] == "length"


async def test_a_script_that_fails_says_how(post):
    with ScriptedEndpoint(lambda asked: asked.images[0]) as server:
        status, _, raw = await post(server)
    assert status == 500
    assert "the script failed: IndexError" in json.loads(raw)["error"]["message"]


async def test_what_it_was_asked_is_kept_without_the_bytes_of_the_images(post):
    with ScriptedEndpoint("a") as server:
        await post(server, body("Hi", PHOTO, temperature=0))
        assert server.requests == 1
    asked = server.asked[0]
    assert asked.body == {
        "model": "scripted",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": f"sha256:{SHA}"}},
                    {"type": "text", "text": "Hi"},
                ],
            }
        ],
        "temperature": 0,
    }
    assert (asked.images, asked.prompt) == ((SHA,), "Hi")


async def test_keys_and_models_are_checked_on_request(post):
    with ScriptedEndpoint("a", api_key="k", model="scripted") as server:
        assert (await post(server))[0] == 401
        assert (await post(server, None, {"Authorization": "Bearer x"}))[0] == 401
        assert (await post(server, None, {"Authorization": "Bearer k"}))[0] == 200
        status, _, raw = await post(server, body() | {"model": "y"}, {"Authorization": "Bearer k"})
        assert (status, json.loads(raw)["error"]["code"]) == (404, "model_not_found")
        assert server.endpoint().api_key == "k"
        assert server.endpoint(model="z").model == "z"


async def test_what_is_no_chat_completion_gets_a_400(post):
    with ScriptedEndpoint("a") as server:
        for wrong in ([], {"model": "m"}, {"messages": [{"role": "user"}]}, {"messages": "hello"}):
            assert (await post(server, wrong or [1]))[0] == 400


async def test_faults_come_before_answers_and_do_not_use_them_up(post):
    busy = Reply("busy", 429, retry_after=2)
    with ScriptedEndpoint({key([SHA]): ["a", "b"]}, faults=[first(2, busy)]) as server:
        answers = [await post(server, body("?", PHOTO)) for _ in range(4)]
    assert [status for status, _, _ in answers] == [429, 429, 200, 200]
    assert answers[0][1]["Retry-After"] == "2"
    assert [text_of(answer) for answer in answers[2:]] == ["a", "b"]
    with ScriptedEndpoint("a", faults=[every(3, Reply(status=500)), every(2, Reply(status=503))]) as server:
        assert [(await post(server))[0] for _ in range(6)] == [200, 503, 500, 503, 200, 500]


async def test_a_dropped_and_a_cut_off_answer(post):
    with ScriptedEndpoint([Reply(drop=True), Reply("a" * 100, truncate=True), "fine"]) as server:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await post(server)
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(server)
        assert text_of(await post(server)) == "fine"


async def test_a_stream_in_chunks_with_the_usage_where_asked_for(post):
    text = "a text that is longer than one chunk"
    with ScriptedEndpoint(Reply(text, reasoning="hm", refusal="no", usage={"total_tokens": 3})) as server:
        _, headers, plain = await post(server, body(stream=True))
        _, _, counted = await post(server, body(stream=True, stream_options={"include_usage": True}))
    assert headers["Content-Type"] == "text/event-stream"
    events = [line.removeprefix("data: ") for line in plain.decode().split("\n\n") if line]
    assert events[-1] == "[DONE]"
    choices = [json.loads(event)["choices"][0] for event in events[:-1]]
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["stop"]
    for name, whole in (("content", text), ("reasoning_content", "hm"), ("refusal", "no")):
        assert "".join(choice["delta"].get(name, "") for choice in choices) == whole
    assert b"usage" not in plain
    assert b'"choices":[],"usage":{"total_tokens":3}}\n\ndata: [DONE]' in counted


async def test_a_cut_off_stream_has_no_end(post):
    cut = Reply("a text that is longer than one chunk", truncate=True)
    with ScriptedEndpoint(cut) as server, pytest.raises(aiohttp.ClientPayloadError):
        await post(server, body(stream=True))


async def test_models_and_health(post):
    async with ScriptedEndpoint("a", model="m") as server, aiohttp.ClientSession() as session:
        async with session.get(server.url + "/models") as response:
            assert (await response.json())["data"] == [{"id": "m", "object": "model"}]
        async with session.get(server.url.removesuffix("/v1") + "/health") as response:
            assert await response.json() == {"status": "ok"}


@pytest.mark.timeout(15)
async def test_it_is_gone_at_once_after_the_context_even_with_a_slow_answer_under_way(post):
    with ScriptedEndpoint("a", latency_s=30) as server:
        task = asyncio.create_task(post(server))
        await asyncio.sleep(0.05)
        assert server.requests == 1
    with pytest.raises(aiohttp.ClientError):
        await task
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(server.url.split(":")[2].split("/")[0]))) != 0
    assert "scripted-endpoint" not in [thread.name for thread in threading.enumerate()]


async def test_it_listens_on_loopback_alone():
    with ScriptedEndpoint("a") as server:
        assert server.url.startswith("http://127.0.0.1:")
        port = int(server.url.split(":")[2].split("/")[0])
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.2", port)) != 0  # another address of this machine


# recorded answers


def sample(name: str, data: bytes | None = None, prompt: str | None = None) -> Sample:
    return Sample(name, (ImageSource("bytes", data),) if data else (), prompt)


def test_each_sample_is_keyed_by_what_the_server_will_see():
    samples = [sample("a", PHOTO), sample("b", PHOTO, "Which color?"), sample("c", None, "Say."), sample("d", OTHER)]
    assert replay(samples, {"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}) == {
        SHA: "1",
        f"{SHA}\nWhich color?": "2",
        "Say.": "3",
        OTHER_SHA: "4",
    }


def test_samples_that_cannot_be_told_apart_are_refused_unless_their_answers_agree():
    samples = [sample("a", PHOTO), sample("b", PHOTO), sample("c", PHOTO), sample("d", OTHER)]
    with pytest.raises(DataError) as caught:
        replay(samples, {"a": "1", "b": "1", "c": "2"})
    assert [str(problem) for problem in caught.value.problems] == [
        "c: same images and prompt as sample 'a', another answer",
        "d: no recorded answer to sample 'd'",
    ]


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        replay([Sample("a", (ImageSource("path", "gone.jpg", base=str(tmp_path)),))], {"a": "1"})


def write(path, *lines: object):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_recorded_answers_are_read_from_jsonl_with_repeats_and_failures(tmp_path):
    path = write(
        tmp_path / "answers.jsonl",
        {"id": "a", "response": "1", "finish_reason": "length", "reasoning": "hm"},
        {"id": "b", "response": "2"},
        {"id": "a", "response": None, "refusal": "No.", "repeat": 1},
        {"sample_id": "c", "error": {"kind": "server_error", "http_status": 503, "message": "busy"}},
    )
    assert recorded(path) == {
        "a": [Reply("1", finish_reason="length", reasoning="hm"), Reply(None, refusal="No.")],
        "b": [Reply("2")],
        "c": [Reply("busy", status=503)],
    }
    path.write_text('{"id": "a"}\n{oops\n')
    with pytest.raises(DataError, match="2 lines of") as caught:
        recorded(path)
    assert [problem.where for problem in caught.value.problems] == [f"{path}:1", f"{path}:2"]


async def test_a_recorded_endpoint_replays_a_data_set(tmp_path, post):
    (tmp_path / "a.gif").write_bytes(PHOTO)
    (tmp_path / "b.gif").write_bytes(OTHER)
    data = write(tmp_path / "samples.jsonl", {"id": "a", "image": "a.gif"}, {"id": "b", "image": "b.gif"})
    answers = write(tmp_path / "answers.jsonl", {"id": "a", "response": "1"}, {"id": "b", "response": "2"})
    with recorded_endpoint(data, answers, model="m") as endpoint:
        async with aiohttp.ClientSession() as session:
            for photo, text in ((OTHER, "2"), (PHOTO, "1")):
                question = {**body("?", photo), "model": endpoint.model}
                async with session.post(endpoint.url + "/chat/completions", json=question) as response:
                    assert (await response.json())["choices"][0]["message"]["content"] == text
    data.write_text('{"id": "a", "image": "a.gif"}\n{oops\n')
    with pytest.raises(DataError, match="1 problem"), recorded_endpoint(data, answers):
        pass
