"""The request side of the wire: a sample becomes a chat-completion body, and the body becomes bytes.

Building and encoding are apart because the first is small and hashed (images stand as ``sha256:<hex>``), and the
second holds the images. Both are plain functions without a loop: the runner calls them in its feeder thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pybase64

from peakbench.errors import ConfigError
from peakbench.images import data_url
from peakbench.records import Image, Request, Sample, Sampling
from peakbench.tasks import Task

_NEVER = {
    "model": "set it with --model",
    "messages": "the task writes them",
    "stream": "use --stream",
    "stream_options": "use --stream",
    "n": "use --repeats: separate requests, each with a seed of its own",
}
"""Keys that ``extra_body`` may not set, and what to use instead."""

_OF_SAMPLING = {
    "temperature": "set temperature",
    "max_tokens": "set max_tokens",
    "max_completion_tokens": "set max_tokens, and token_limit to the name that the server wants",
    "seed": "set seed",
    "top_p": "set top_p",
    "stop": "set stop",
    "response_format": "set structured",
}
"""Keys that a setting writes: ``extra_body`` may take one out with null, and set one that no setting wrote."""


def build_request(
    task: Task, sample: Sample, images: Sequence[Image], *, model: str, sampling: Sampling, repeat: int = 0
) -> Request:
    """Build the body that asks about one sample, each image in it as ``sha256:<hex>`` (or its URL).

    Repeat k asks with ``seed + k``; ``n`` is never sent. ``sampling.extra_body`` is merged last: a key that a setting
    already wrote is an error, except null, which takes that key out for a server that refuses it.

    Raises:
        ConfigError: ``extra_body`` sets a key of ours, or ``structured`` is asked for a task whose answer is text.

    >>> task = Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}}})
    >>> request = build_request(task, Sample("p1"), (), model="m", sampling=Sampling(seed=7), repeat=2)
    >>> request.body["seed"], request.body["temperature"], request.body["max_tokens"]
    (9, 0.0, 512)
    """
    if len(images) != len(sample.images):
        raise ValueError(f"sample {sample.id!r} has {len(sample.images)} images, {len(images)} were given")
    body: dict[str, Any] = {
        "model": model,
        "messages": [_fill(message, images) for message in task.messages(sample)],
        "temperature": sampling.temperature,
        sampling.token_limit: sampling.max_tokens,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed + repeat
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.structured != "off":
        body["response_format"] = _response_format(task, sampling.structured)
    if sampling.extra_body:
        _merge(body, sampling.extra_body)
    return Request(sample.id, repeat, body, tuple(images))


def _fill(message: Mapping[str, Any], images: Sequence[Image]) -> Mapping[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        return message
    return {**message, "content": [_part(part, images) for part in content]}


def _part(part: Mapping[str, Any], images: Sequence[Image]) -> Mapping[str, Any]:
    if part["type"] != "image":
        return part
    return {"type": "image_url", "image_url": {"url": placeholder(images[part["index"]])}}


def placeholder(image: Image) -> str:
    """Return what stands for an image in a request's body: its URL where it has one, else ``sha256:<hex>``."""
    return image.url if image.data is None and image.url is not None else f"sha256:{image.sha256}"


def _response_format(task: Task, structured: str) -> dict[str, Any]:
    if task.answer != "json":
        raise ConfigError(
            f"structured = {structured!r} needs a task whose answer is JSON; the answer of '{task.id}' is text",
            hint="leave structured off",
        )
    if structured == "json_object":
        return {"type": "json_object"}
    name = task.id.replace(".", "-")[:64]  # OpenAI: letters, digits, dashes and underscores, 64 at most
    return {"type": "json_schema", "json_schema": {"name": name, "schema": task.json_schema, "strict": True}}


def _merge(body: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        if key in _NEVER:
            raise ConfigError(f"extra_body may not set '{key}'", where="extra_body", hint=_NEVER[key])
        if key in _OF_SAMPLING and value is None:
            body.pop(key, None)
        elif key in body:
            raise ConfigError(
                f"'{key}' is set already, as {_short(body[key])}",
                where="extra_body",
                expected=f"null, which takes '{key}' out of the request, or no such key",
                hint=f"to change it, {_OF_SAMPLING[key]}",
            )
        else:
            body[key] = value


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."


def encode(request: Request, *, stream: bool) -> bytes:
    """Encode a request as it goes over the wire, images as data URLs.

    The image bytes are touched twice (base64, then one copy into the body): a 110 KB image costs about 60 us.
    ``stream`` adds ``"stream": true`` and asks for the usage in the last chunk.
    """
    body: Mapping[str, Any] = request.body
    data = {placeholder(image): image for image in request.images if image.data is not None}
    if data:
        body = {**body, "messages": [_inline(message, data) for message in body["messages"]]}
    if stream:
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps(body)


def _inline(message: Mapping[str, Any], data: Mapping[str, Image]) -> Mapping[str, Any]:
    content = message["content"]
    if isinstance(content, str):
        return message
    parts = []
    for part in content:
        image = data.get(part["image_url"]["url"]) if part["type"] == "image_url" else None
        parts.append(part if image is None else {"type": "image_url", "image_url": {"url": _data_url(image)}})
    return {**message, "content": parts}


def _data_url(image: Image) -> orjson.Fragment:
    return orjson.Fragment(b'"%b"' % data_url(image))


def preview(request: Request) -> dict[str, Any]:
    """Return the body for people to read: as it is sent, with each image cut to its first characters and its size."""
    data = {placeholder(image): image for image in request.images if image.data is not None}

    def shown(part: Mapping[str, Any]) -> Mapping[str, Any]:
        image = data.get(part["image_url"]["url"]) if part["type"] == "image_url" else None
        if image is None or image.data is None:
            return part
        head = pybase64.b64encode(image.data[:12]).decode()
        url = f"data:{image.media_type};base64,{head}... ({len(image.data):,} bytes, sha256 {image.sha256})"
        return {"type": "image_url", "image_url": {"url": url}}

    messages = [
        message if isinstance(message["content"], str) else {**message, "content": [*map(shown, message["content"])]}
        for message in request.body["messages"]
    ]
    return {**request.body, "messages": messages}
