"""What a failed attempt is called: an HTTP status and an error body become a ``Failure`` in a named kind."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from peakbench.records import Failure, FailureKind

MESSAGE_LIMIT = 500
"""Characters of a failure's message, at most."""

_BODY_LIMIT = 64 * 1024
_KINDS: Mapping[int, FailureKind] = {
    401: "authentication",
    403: "permission",
    404: "not_found",
    408: "timeout",
    429: "rate_limited",
}


def classify(status: int, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str] = ()) -> Failure:
    """Name the failure behind an HTTP status that is not a success.

    The message is the server's own where its body has one (the error forms of OpenAI, vLLM, llama.cpp, FastAPI and
    Ollama), else the body's text; at most 500 characters. Each of ``secrets`` is replaced by ``[redacted]``. A redirect
    is ``not_found``: the URL is wrong, and a POST that is redirected can lose its body.

    >>> classify(429, {"Retry-After": "2"}, b'{"error": {"message": "slow down"}}')
    Failure(kind='rate_limited', message='slow down', http_status=429, retry_after_s=2.0)
    """
    if 300 <= status < 400:
        target = next((value for key, value in headers.items() if key.lower() == "location"), "elsewhere")
        message = f"the endpoint redirects to {target}; give the URL it redirects to"
        return Failure("not_found", clean(message, secrets), status)
    kind: FailureKind = _KINDS.get(status, "bad_request" if status < 500 else "server_error")
    message = message_of(body) or f"HTTP {status} without a message"
    return Failure(kind, clean(message, secrets), status, retry_after(headers))


def message_of(body: bytes) -> str:
    """Return the server's message in an error body, or its text where it is in no known form.

    >>> message_of(b'{"detail": [{"loc": ["body", "model"], "msg": "field required"}]}')
    'body.model: field required'
    """
    body = body[:_BODY_LIMIT]
    try:
        value = orjson.loads(body)
    except ValueError:
        return " ".join(re.sub(r"<[^<>]*>", " ", body.decode("utf-8", "replace")).split())
    return error_text(value) or (body.decode("utf-8", "replace") if value else "")


def error_text(value: Any) -> str:
    """Return the message inside a parsed error body; empty where there is none."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(filter(None, (_entry(item) for item in value[:5])))
    if not isinstance(value, dict):
        return ""
    for key in ("error", "detail", "message"):
        text = error_text(value[key]) if key in value else ""
        if text:
            return text
    return ""


def _entry(item: Any) -> str:
    if not isinstance(item, dict) or "msg" not in item:
        return error_text(item)
    place = ".".join(str(part) for part in item["loc"]) if isinstance(item.get("loc"), list) else ""
    return f"{place}: {item['msg']}" if place else str(item["msg"])


def clean(message: str, secrets: Iterable[str] = ()) -> str:
    """Take secrets out of a message, make it one that UTF-8 can carry, and cut it to 500 characters.

    >>> clean("key sk-1234567 is wrong", ["sk-1234567"])
    'key [redacted] is wrong'
    """
    for secret in secrets:
        if secret:
            message = message.replace(secret, "[redacted]")
    message = message.encode("utf-8", "backslashreplace").decode()
    return message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 3] + "..."


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Return how many seconds the server asked to wait, or None.

    Reads ``retry-after-ms`` (milliseconds), then ``Retry-After`` in both forms of RFC 9110, 10.2.3: seconds, or a date.
    ``now``: Unix seconds, the clock where left out.

    >>> retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412470.0)
    10.0
    """
    lower = {key.lower(): value.strip() for key, value in headers.items() if key.lower().startswith("retry-after")}
    for key, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        if key in lower:
            try:
                seconds = float(lower[key]) / unit
            except ValueError:
                continue
            if math.isfinite(seconds) and seconds >= 0:
                return seconds
    try:
        date = email.utils.parsedate_to_datetime(lower.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))
