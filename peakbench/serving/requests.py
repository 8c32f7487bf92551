"""A chat-completion request as it came over the wire, checked and turned into a prompt.

What is refused, and how it is worded, follows vLLM: a client that handles one handles the other. One thing is stricter:
a parameter that would change the answer and that no model here can honour is refused, where vLLM would honour it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
import pybase64
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from peakbench.serving.base import Prompt, Sampling
from peakbench.serving.refusals import Refusal

MAX_N = 128
"""Completions of one request, at most."""

MAX_TOP_LOGPROBS = 20

_SHOWN = 60
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "allowed_token_ids": ([],),
    "audio": (),
    "bad_words": ([],),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "ignore_eos": (False,),
    "logit_bias": ({},),
    "logits_processors": ([],),
    "min_p": (0,),
    "min_tokens": (0,),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "prompt_logprobs": (),
    "repetition_penalty": (1,),
    "stop_token_ids": ([],),
    "structured_outputs": (),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_k": (0, -1),
    "truncate_prompt_tokens": (),
    "use_beam_search": (False,),
}
"""Parameters that are not honoured, each with the values (beside null) that ask for nothing."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class _ImageUrl(_Body):
    url: str


class _Part(_Body):
    type: str
    text: str | None = None
    image_url: str | _ImageUrl | None = None


class _Message(_Body):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None


class _JsonSchema(_Body):
    name: str = ""
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")


class _ResponseFormat(_Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _JsonSchema | None = None


class _StreamOptions(_Body):
    include_usage: bool | None = True


class _Request(_Body):
    messages: list[_Message] = Field(min_length=1)
    model: str | None = None
    stream: bool | None = False
    stream_options: _StreamOptions | None = None
    temperature: Annotated[float, Field(allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(allow_inf_nan=False)] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stop: str | list[str] | None = None
    response_format: _ResponseFormat | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the model's name (None: the first), the prompt, and how the answer is to be sent."""

    model: str | None
    prompt: Prompt
    stream: bool = False
    include_usage: bool = False
    stop: tuple[str, ...] = ()


def read_request(body: bytes) -> Asked:
    """Read the body of a chat-completion request.

    Raises:
        Refusal: it cannot be read, asks for what does not go together, or for what is not honoured here.

    >>> asked = read_request(b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}')
    >>> asked.model, asked.prompt.text, asked.prompt.sampling.temperature
    ('m', 'hi', 0.0)
    """
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise Refusal(f"JSON decode error: {error}") from None
    if not isinstance(value, dict):
        raise Refusal("Input should be a valid dictionary")
    _check_honoured(value)
    try:
        request = _Request.model_validate(value)
    except ValidationError as error:
        raise _invalid(error) from None
    images: list[bytes] = []
    texts: list[str] = []
    for message in request.messages:
        _read_content(message.content, images, texts)
    return Asked(
        request.model,
        Prompt(tuple(images), "\n".join(texts), _sampling(request)),
        stream=bool(request.stream),
        include_usage=bool(request.stream_options and request.stream_options.include_usage),
        stop=_stops(request),
    )


def _check_honoured(value: Mapping[str, Any]) -> None:
    for key, neutral in _NEUTRAL.items():
        given = value.get(key)
        if given is not None and given not in neutral:
            raise Refusal(f"`{key}` is not supported by this server.", param=key)


def _invalid(error: ValidationError) -> Refusal:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(str(step) for step in one['loc'])}: {one['msg']}" for one in found[:5]]
    count = f"{len(found)} validation error{'' if len(found) == 1 else 's'}"
    return Refusal(f"{count}: {'; '.join(lines)}", param=str(found[0]["loc"][0]))


def _read_content(content: str | list[_Part] | None, images: list[bytes], texts: list[str]) -> None:
    if isinstance(content, str):
        texts.append(content)
        return
    for part in content or ():
        if part.type == "text" and part.text is not None:
            texts.append(part.text)
        elif part.type == "image_url" and part.image_url is not None:
            images.append(_read_image(part.image_url if isinstance(part.image_url, str) else part.image_url.url))
        elif part.type in {"text", "image_url"}:
            raise Refusal(f"A part of type {part.type} has no {part.type}.", param="messages")
        else:
            raise Refusal(f"Unknown part type: {part.type[:_SHOWN]}", param="messages")


def _read_image(url: str) -> bytes:
    head, found, data = url.partition(",")
    if not head.startswith("data:"):
        raise Refusal(
            f"The URL must be a data URL (data:image/...;base64,...): this server fetches nothing. Got: {url[:_SHOWN]}",
            param="messages",
        )
    if not found or not head.endswith(";base64") or not head.startswith("data:image/"):
        raise Refusal(f"Only base64 data URLs of images are supported. Got: {head[:_SHOWN]}", param="messages")
    try:
        return pybase64.b64decode(data, validate=True)
    except ValueError:
        raise Refusal("Failed to load image: the data URL is not base64.", param="messages") from None


def _sampling(request: _Request) -> Sampling:
    temperature = 1.0 if request.temperature is None else request.temperature
    top_p = 1.0 if request.top_p is None else request.top_p
    n = 1 if request.n is None else request.n
    limit = request.max_tokens if request.max_completion_tokens is None else request.max_completion_tokens
    top = request.top_logprobs
    if request.stream_options is not None and not request.stream:
        raise Refusal("Stream options can only be defined when `stream=True`.", param="stream_options")
    if not 0 <= temperature <= 2:
        raise Refusal(f"temperature must be in [0, 2], got {temperature}.", param="temperature")
    if not 0 < top_p <= 1:
        raise Refusal(f"top_p must be in (0, 1], got {top_p}.", param="top_p")
    if n < 1:
        raise Refusal(f"n must be at least 1, got {n}.", param="n")
    if n > MAX_N:
        raise Refusal(f"n must be at most {MAX_N}, got {n}.", param="n")
    if n > 1 and temperature == 0:
        raise Refusal(f"n must be 1 when using greedy sampling, got {n}.", param="n")
    if limit is not None and limit < 1:
        name = "max_tokens" if request.max_completion_tokens is None else "max_completion_tokens"
        raise Refusal(f"{name} must be at least 1, got {limit}.", param=name)
    if top is not None and top < 0:
        raise Refusal(f"`top_logprobs` must be a positive value, got {top}.", param="top_logprobs")
    if top and not request.logprobs:
        raise Refusal("when using `top_logprobs`, `logprobs` must be set to true.", param="top_logprobs")
    if top is not None and top > MAX_TOP_LOGPROBS:
        raise Refusal(
            f"Requested sample logprobs of {top}, which is greater than max allowed: {MAX_TOP_LOGPROBS}",
            param="top_logprobs",
        )
    return Sampling(
        temperature=temperature,
        top_p=top_p,
        seed=request.seed,
        n=n,
        max_tokens=limit,
        logprobs=(top or 0) if request.logprobs else None,
        schema=_schema(request.response_format),
    )


def _schema(wanted: _ResponseFormat | None) -> Mapping[str, Any] | None:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "object"}
    if wanted.json_schema is None or wanted.json_schema.schema_ is None:
        raise Refusal(
            "When response_format type is 'json_schema', the 'json_schema' field must be provided.",
            param="response_format",
        )
    return wanted.json_schema.schema_


def _stops(request: _Request) -> tuple[str, ...]:
    stops = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    if "" in stops:
        raise Refusal("stop cannot contain an empty string.", param="stop")
    return stops
