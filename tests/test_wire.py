"""The wire: bodies out, answers in, failures named. Server forms are cited where they come from."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.client import completions, failures
from peakbench.client.address import check_url, completions_url, display_url, secrets_of, tls_context
from peakbench.client.base import AttemptFailed, Endpoint
from peakbench.client.completions import StreamedCompletion, read_completion
from peakbench.client.failures import classify, clean, message_of, retry_after
from peakbench.client.wire import build_request, encode, preview
from peakbench.errors import ConfigError
from peakbench.records import Failure, Image, ImageSource, Response, Sample, Sampling
from peakbench.tasks import Task

TASK = Task.model_validate(
    {"id": "shirt.v1", "prompt": {"system": "Be brief.", "user": "Describe."}, "fields": {"color": {}}}
)
FRONT, TAG = b"\xff\xd8front\xff\xd9", b"\x89PNG tag"


def image(data: bytes, media_type: str = "image/jpeg") -> Image:
    return Image(media_type, data, hashlib.sha256(data).hexdigest())


def two_images(sampling: Sampling | None = None, repeat: int = 0):
    sample = Sample("p1", (ImageSource("bytes", FRONT, label="front"), ImageSource("bytes", TAG)))
    images = (image(FRONT), image(TAG, "image/png"))
    return build_request(TASK, sample, images, model="m", sampling=sampling or Sampling(), repeat=repeat)


def text_only(sampling: Sampling, task: Task = TASK, repeat: int = 0):
    return build_request(task, Sample("p1"), (), model="m", sampling=sampling, repeat=repeat)


# requests


def test_body_holds_each_image_as_its_hash_in_the_place_the_task_gave_it():
    body = two_images(Sampling(seed=7, top_p=0.5, stop=("END",)), repeat=2).body
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "front:"},
                    {"type": "image_url", "image_url": {"url": "sha256:" + hashlib.sha256(FRONT).hexdigest()}},
                    {"type": "image_url", "image_url": {"url": "sha256:" + hashlib.sha256(TAG).hexdigest()}},
                    {"type": "text", "text": "Describe."},
                ],
            },
        ],
        "temperature": 0.0,
        "max_tokens": 512,
        "seed": 9,
        "top_p": 0.5,
        "stop": ["END"],
    }


def test_encoded_body_is_the_same_with_the_images_in_it():
    request = two_images()
    sent = json.loads(encode(request, stream=False))
    urls = [part["image_url"]["url"] for part in sent["messages"][1]["content"] if part["type"] == "image_url"]
    assert urls == [
        "data:image/jpeg;base64," + base64.b64encode(FRONT).decode(),
        "data:image/png;base64," + base64.b64encode(TAG).decode(),
    ]
    for part, known in zip(sent["messages"][1]["content"], request.body["messages"][1]["content"], strict=True):
        part.update(known)
    assert sent == request.body


def test_stream_is_asked_for_on_the_wire_and_not_in_the_hash():
    request = two_images()
    plain, streamed = json.loads(encode(request, stream=False)), json.loads(encode(request, stream=True))
    assert streamed.pop("stream") is True
    assert streamed.pop("stream_options") == {"include_usage": True}
    assert streamed == plain
    assert "stream" not in request.body


def test_image_by_url_is_sent_as_the_url():
    sample = Sample("p1", (ImageSource("url", "https://host/a.jpg"),))
    picture = Image("image/jpeg", None, None, url="https://host/a.jpg")
    request = build_request(TASK, sample, (picture,), model="m", sampling=Sampling())
    assert b'"image_url":{"url":"https://host/a.jpg"}' in encode(request, stream=False)
    assert preview(request)["messages"] == request.body["messages"]


def test_hash_covers_model_image_seed_and_sampling():
    hashes = [
        two_images().sha256,
        two_images(repeat=1).sha256,
        two_images(Sampling(temperature=0.5)).sha256,
        build_request(TASK, Sample("p1"), (), model="m", sampling=Sampling()).sha256,
        build_request(TASK, Sample("p1"), (), model="n", sampling=Sampling()).sha256,
    ]
    assert len(set(hashes)) == len(hashes)


def test_no_seed_means_none_is_sent_and_token_limit_names_the_key():
    body = text_only(Sampling(seed=None, token_limit="max_completion_tokens", max_tokens=9), repeat=3).body
    assert "seed" not in body
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 9


def test_structured_sends_the_tasks_schema():
    body = text_only(Sampling(structured="json_schema")).body
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "shirt-v1", "schema": TASK.json_schema, "strict": True},
    }
    assert text_only(Sampling(structured="json_object")).body["response_format"] == {"type": "json_object"}
    text_task = Task.model_validate({"id": "caption", "answer": "text", "prompt": {"user": "Say."}})
    with pytest.raises(ConfigError, match="the answer of 'caption' is text"):
        text_only(Sampling(structured="json_schema"), text_task)


def test_extra_body_is_merged_last_and_may_not_touch_what_a_setting_wrote():
    body = text_only(Sampling(extra_body={"top_k": 1, "chat_template_kwargs": {"enable_thinking": False}})).body
    assert body["top_k"] == 1
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert text_only(Sampling(extra_body={"top_p": 0.1})).body["top_p"] == 0.1
    with pytest.raises(ConfigError, match="'temperature' is set already, as 0.0"):
        text_only(Sampling(extra_body={"temperature": 1}))
    for name in ("model", "messages", "stream", "stream_options", "n"):
        with pytest.raises(ConfigError, match=f"may not set '{name}'"):
            text_only(Sampling(extra_body={name: None}))


def test_null_in_extra_body_takes_a_key_out():
    body = text_only(Sampling(extra_body={"temperature": None, "seed": None, "max_tokens": None})).body
    assert set(body) == {"model", "messages"}


def test_preview_shows_what_an_image_is_and_not_its_bytes():
    big = image(bytes(100_000))
    request = build_request(
        TASK, Sample("p1", (ImageSource("bytes", big.data),)), (big,), model="m", sampling=Sampling()
    )
    url = preview(request)["messages"][1]["content"][0]["image_url"]["url"]
    assert url == f"data:image/jpeg;base64,{'A' * 16}... (100,000 bytes, sha256 {big.sha256})"
    assert {**preview(request), "messages": None} == {**request.body, "messages": None}


def test_images_must_be_as_many_as_the_sample_has():
    with pytest.raises(ValueError, match="has 0 images, 1 were given"):
        build_request(TASK, Sample("p1"), (image(TAG),), model="m", sampling=Sampling())


# answers


def completion(message: object, **more: object) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], **more}).encode()


def test_a_whole_answer():
    # the example response of platform.openai.com/docs/api-reference/chat/create, shortened
    payload = b"""{"id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT", "object": "chat.completion", "created": 1741569952,
      "model": "gpt-5.4", "choices": [{"index": 0, "message": {"role": "assistant",
      "content": "Hello! How can I assist you today?", "refusal": null, "annotations": []}, "logprobs": null,
      "finish_reason": "stop"}], "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29,
      "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}}, "service_tier": "default"}"""
    read = read_completion(payload)
    assert (read.text, read.finish_reason, read.model) == ("Hello! How can I assist you today?", "stop", "gpt-5.4")
    assert (read.reasoning, read.refusal) == (None, None)
    assert read.usage == {
        "prompt_tokens": 19,
        "completion_tokens": 10,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    }


@pytest.mark.parametrize(
    ("message", "text", "reasoning", "refusal"),
    [
        ({"content": None}, None, None, None),
        ({"content": ""}, "", None, None),
        ({}, None, None, None),
        ({"content": "a", "reasoning_content": "why"}, "a", "why", None),
        ({"content": "a", "reasoning": "why"}, "a", "why", None),
        ({"content": None, "refusal": "I cannot."}, None, None, "I cannot."),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", None, None),
        # docs.mistral.ai: reasoning models answer with a thinking part
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}, {"text": "a"}]},
            "a",
            "why",
            None,
        ),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, None, None, "No."),
    ],
)
def test_the_forms_a_message_takes(message, text, reasoning, refusal):
    read = read_completion(completion(message))
    assert (read.text, read.reasoning, read.refusal) == (text, reasoning, refusal)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"", r"not JSON: \(empty\)"),
        (b"<html>busy</html>", "not JSON: <html>busy</html>"),
        (b"[1]", r"not a JSON object: \[1\]"),
        (b"{}", "no choices"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": {}}', "no choices"),
        (b'{"choices": [{"text": "old"}]}', "no message"),
        (completion({"content": {"color": "red"}}), "content is a dict"),
        (completion({"content": 7}), "content is a int"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
    ],
)
def test_what_is_no_chat_completion_is_a_bad_body_and_says_why(payload, says):
    with pytest.raises(AttemptFailed, match=says) as caught:
        read_completion(payload)
    assert caught.value.failure.kind == "bad_body"
    assert caught.value.failure.http_status == 200


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "Rate limited"}, "rate_limited"),  # openrouter.ai/docs/api-reference/errors
        ({"code": "502", "message": "Provider returned error"}, "server_error"),
        ({"code": "invalid_image", "message": "broken"}, "bad_body"),
        ({"code": 1e400, "message": "broken"}, "bad_body"),
        ("out of memory", "bad_body"),
    ],
)
def test_an_error_under_http_200_has_the_kind_of_its_code(error, kind):
    with pytest.raises(AttemptFailed) as caught:
        read_completion(json.dumps({"error": error}).encode())
    message = error if isinstance(error, str) else error["message"]
    assert caught.value.failure.kind == kind
    assert caught.value.failure.http_status == 200
    assert message in caught.value.failure.message


def test_error_null_is_no_error():
    assert read_completion(completion({"content": "a"}, error=None)).text == "a"


def test_size_is_bounded(monkeypatch):
    monkeypatch.setattr(completions, "BODY_LIMIT", 100)
    with pytest.raises(AttemptFailed, match="larger than 100 bytes"):
        read_completion(completion({"content": "a" * 100}))
    monkeypatch.setattr(completions, "STREAM_LIMIT", 100)
    with pytest.raises(AttemptFailed, match="larger than 100 bytes"):
        assembled([b": keep-alive\n"] * 20)


def test_a_lone_surrogate_survives_as_its_escape_and_a_split_pair_is_joined():
    read = read_completion(b'{"choices": [{"message": {"content": "a\\ud800b \\ud83d\\ude00"}}], "model": "\\udfff"}')
    assert read.text == "a\\ud800b \N{GRINNING FACE}"
    assert read.model == "\\udfff"
    orjson.dumps(asdict(read))
    stream = StreamedCompletion()
    stream.feed(b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n', at=0.0)
    stream.feed(b'data: {"choices":[{"delta":{"content":"\\ude00"},"finish_reason":"stop"}]}\n\n', at=0.0)
    assert stream.close().text == "\N{GRINNING FACE}"


def test_bytes_that_are_not_utf8_are_replaced_and_nan_elsewhere_is_overlooked():
    payload = b'\xef\xbb\xbf{"choices": [{"message": {"content": "caf\xe9"}, "logprobs": NaN}]}'
    assert read_completion(payload).text == "caf\N{REPLACEMENT CHARACTER}"


def test_usage_keeps_counts_alone():
    usage = {"prompt_tokens": 1, "cost": 0.5, "note": "x", "huge": 10**30, "nan": float("nan"), "deep": {"a": {"b": 1}}}
    read = read_completion(completion({"content": "a"}, usage=usage))
    assert read.usage == {"prompt_tokens": 1, "cost": 0.5, "deep": {}}


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["choices", "message", "content", "error", "usage", "text", "reasoning", "code"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=20,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_payload_is_an_answer_that_the_journal_can_hold_or_a_named_failure(payload):
    for wrapped in (payload, b'{"choices": [{"message": ' + payload + b"}]}"):
        outcome: Response | Failure
        try:
            outcome = read_completion(wrapped)
        except AttemptFailed as failed:
            outcome = failed.failure
        orjson.dumps(asdict(outcome))
        assert isinstance(outcome, Response) or 0 < len(outcome.message) <= 500


# streams

STREAM = (
    b": OPENROUTER PROCESSING\r\n\r\n"
    b'data: {"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b"event: message\r\nid: 7\r\n"
    b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\r\n\r\n'
    b'data:{"choices":[{"index":0,"delta":\r\ndata:{"content":"{\\"color\\": "}}]}\r\r'
    b'data: {"choices":[{"index":0,"delta":{"content":"\xc3\xa9\\"}"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
    b"data: [DONE]\n\n"
)


def assembled(pieces: list[bytes]) -> StreamedCompletion:
    stream = StreamedCompletion()
    for number, piece in enumerate(pieces):
        stream.feed(piece, at=float(number))
    return stream


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_reads_the_same_wherever_it_is_cut(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    stream = assembled([STREAM[a:b] for a, b in zip(edges, edges[1:], strict=False)])
    read = stream.close()
    assert read.text == '{"color": \N{LATIN SMALL LETTER E WITH ACUTE}"}'
    assert (read.reasoning, read.finish_reason, read.model) == ("hm", "stop", "m")
    assert read.usage == {"prompt_tokens": 3, "completion_tokens": 4}
    assert stream.done


def test_a_stream_reads_the_same_byte_by_byte():
    assert assembled([STREAM[i : i + 1] for i in range(len(STREAM))]).close() == assembled([STREAM]).close()


def test_the_first_token_is_the_first_that_says_something():
    events = [event + b"\n\n" for event in STREAM.replace(b"\r\n", b"\n").split(b"\n\n") if event]
    stream = assembled(events)
    assert b"reasoning_content" in events[2]
    assert stream.first_at == 2.0


@pytest.mark.parametrize(
    ("stream", "says", "kind"),
    [
        (b"", "ended early", "bad_body"),
        (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', "ended early", "bad_body"),
        (b"data: [DONE]\n\n", "no choices", "bad_body"),
        (b"data: {oops\n\n", "not JSON: {oops", "bad_body"),
        (b'data: {"error":{"message":"CUDA out of memory","code":500}}\n\n', "CUDA out of memory", "server_error"),
        (b'data: {"choices":[{"delta":{"content":7}}]}\n\n', "content is a int", "bad_body"),
    ],
)
def test_a_stream_that_brings_no_whole_answer_says_why(stream, says, kind):
    with pytest.raises(AttemptFailed, match=says) as caught:
        assembled([stream]).close()
    assert caught.value.failure.kind == kind


def test_a_finish_reason_is_enough_and_a_missing_last_empty_line_too():
    # the stream of some servers ends with the connection, without [DONE]
    assert assembled([b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}']).close().text == "a"


def test_what_follows_done_is_not_read():
    assert assembled([STREAM, b"data: {oops\n\n"]).close().finish_reason == "stop"


# failures


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, "not_found"),
        (400, "bad_request"),
        (401, "authentication"),
        (403, "permission"),
        (404, "not_found"),
        (408, "timeout"),
        (413, "bad_request"),
        (422, "bad_request"),
        (429, "rate_limited"),
        (500, "server_error"),
        (503, "server_error"),
        (529, "server_error"),
    ],
)
def test_each_status_has_its_kind(status, kind):
    failure = classify(status, {"Location": "https://elsewhere/v1"}, b"")
    assert (failure.kind, failure.http_status) == (kind, status)
    assert str(status) in failure.message or "https://elsewhere/v1" in failure.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        # OpenAI: platform.openai.com/docs/guides/error-codes
        ({"error": {"message": "Rate limit reached", "type": "requests", "param": None}}, "Rate limit reached"),
        # vLLM before 0.10: vllm/entrypoints/openai/protocol.py, ErrorResponse
        ({"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}, "too long"),
        # llama.cpp: tools/server, format_error_response
        ({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, "Loading model"),
        # FastAPI: fastapi.tiangolo.com/tutorial/handling-errors
        ({"detail": "Not Found"}, "Not Found"),
        (
            {"detail": [{"loc": ["body", "messages", 0], "msg": "field required", "type": "missing"}]},
            "body.messages.0: field required",
        ),
        # Ollama: {"error": "..."}; Google's compatibility layer wraps the object into a list
        ({"error": "model 'x' not found"}, "model 'x' not found"),
        ([{"error": {"code": 400, "message": "API key not valid."}}], "API key not valid."),
        ({"error": {}, "message": "fallback"}, "fallback"),
        ({"odd": 1}, '{"odd": 1}'),
        ({}, ""),
    ],
)
def test_the_servers_own_message_is_found(body, message):
    assert message_of(json.dumps(body).encode()) == message


def test_html_is_read_as_its_text():
    body = b"<html><head><title>502 Bad Gateway</title></head>\n<body><h1>502 Bad Gateway</h1></body></html>"
    assert message_of(body) == "502 Bad Gateway 502 Bad Gateway"


def test_messages_are_short_and_hold_no_secret():
    key = "sk-" + "x" * 20
    failure = classify(401, {}, json.dumps({"error": {"message": "key " + key + " y" * 600}}).encode(), secrets=[key])
    assert key not in failure.message
    assert failure.message.startswith("key [redacted] y")
    assert len(failure.message) == failures.MESSAGE_LIMIT
    at_the_cut = "y" * 490 + key
    assert "sk-xx" not in clean(at_the_cut, [key])
    assert clean("bad \ud800") == "bad \\ud800"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120.0),  # RFC 9110, 10.2.3
        ({"retry-after": " 0.5 "}, 0.5),
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, 9.0),  # RFC 9110, 10.2.3, nine seconds before
        ({"Retry-After": "Fri, 31 Dec 1999 23:59:40 GMT"}, 0.0),  # past
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Fri, 99 Dec 1999 23:59:59 GMT"}, None),
    ],
)
def test_retry_after_in_each_form(headers, seconds):
    assert retry_after(headers, now=946684790.0) == seconds  # 1999-12-31 23:59:50 UTC


# addresses


@pytest.mark.parametrize(
    ("url", "posted"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1/chat/completions"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/chat/completions"),
        ("https://host/v1/chat/completions", "https://host/v1/chat/completions"),
        (
            "https://host/openai/deployments/d?api-version=1",
            "https://host/openai/deployments/d/chat/completions?api-version=1",
        ),
        ("http://[::1]:80/v1/", "http://[::1]:80/v1/chat/completions"),
    ],
)
def test_where_completions_are_posted(url, posted):
    assert completions_url(Endpoint(url, "m")) == posted


@pytest.mark.parametrize(
    "url", ["", "localhost:8000/v1", "ftp://host/v1", "http://", "http://host:99999/v1", "http://[::1"]
)
def test_what_is_no_url_is_a_config_error(url):
    with pytest.raises(ConfigError, match="not a URL"):
        check_url(url, where="endpoint")


def test_a_missing_scheme_is_guessed_and_a_password_never_shown():
    with pytest.raises(ConfigError) as caught:
        check_url("me:secret@localhost:8000/v1", where="endpoint")
    assert "did you mean 'http://localhost:8000/v1'?" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_secrets_are_known_and_never_displayed():
    endpoint = Endpoint(
        "https://me:password1@host/v1?api-version=2024-06-01&key=abcdefghij",
        "m",
        api_key="sk-12345678",
        headers={"X-Token": "token-12345", "X-Flag": "1", "X-Auth": "Basic dXNlcjpwYXNz"},
        proxy="http://u:proxypass9@proxy:8080",
    )
    assert set(secrets_of(endpoint)) == {
        "sk-12345678",
        "token-12345",
        "Basic dXNlcjpwYXNz",
        "dXNlcjpwYXNz",
        "password1",
        "abcdefghij",
        "proxypass9",
    }
    assert display_url(endpoint) == "https://host/v1?api-version=2024-06-01"
    for secret in ("sk-12345678", "token-12345", "proxypass9"):
        assert secret not in repr(endpoint)


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path):
    empty = tmp_path / "ca.pem"
    empty.write_text("no certificate")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match="the CA file cannot be used") as caught:
            tls_context(Endpoint("https://host/v1", "m", ca_file=str(path)))
        assert caught.value.where == str(path)
    assert tls_context(Endpoint("https://host/v1", "m")) is True
