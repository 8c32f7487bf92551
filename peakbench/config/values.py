"""One value against its setting: type, range, and what a string stands for."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping
from typing import Any, Literal

from peakbench.config.settings import FIELDS, Setting, kind_of
from peakbench.errors import ConfigError


def convert(value: Any, name: str, *, where: str) -> Any:
    """Check one value against its field's type and range; a string is read as the type asks.

    Raises:
        ConfigError: naming the place, what was found and what was expected.

    >>> convert("none", "seed", where=""), convert("4", "workers", where=""), convert("a: b", "headers", where="")
    (None, 4, {'a': 'b'})
    """
    (kind, may_be_none), setting = kind_of(name), FIELDS[name]
    # "none" unsets a number; a model or a folder may well be called so
    if may_be_none and (value is None or (kind is not str and isinstance(value, str) and value.lower() == "none")):
        return None
    origin = typing.get_origin(kind)
    if origin is Literal:
        if value not in typing.get_args(kind):
            raise _refused(value, where, " | ".join(typing.get_args(kind)))
        return value
    if origin is tuple:
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise _refused(value, where, "a list of strings")
        return tuple(items)
    if origin is Mapping:
        return _as_header(value, where) if name == "headers" else _as_object(value, where)
    if kind is bool:
        return _as_boolean(value, where)
    if kind is str:
        if not isinstance(value, str):
            raise _refused(value, where, "a string")
        return value
    return _as_number(value, kind, setting, where)


def _refused(value: Any, where: str, expected: str) -> ConfigError:
    return ConfigError(f"{value!r} cannot be used", where=where, expected=expected)


def _as_boolean(value: Any, where: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(value, str):
        value = words.get(value.lower(), value)
    if not isinstance(value, bool):
        raise _refused(value, where, "true or false")
    return value


def _as_number(value: Any, kind: type[int] | type[float], setting: Setting, where: str) -> int | float:
    word = "a whole number" if kind is int else "a number"
    bounds = [f"at least {setting.low:g}"] if setting.low is not None else []
    bounds += [f"at most {setting.high:g}"] if setting.high is not None else []
    expected = " ".join([word, " and ".join(bounds)]).strip()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _refused(value, where, expected)
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        raise _refused(value, where, expected) from None
    # NaN fails both comparisons, infinity the last: neither is a setting.
    if number != (float(value) if not isinstance(value, int) else value) or not abs(number) < float("inf"):
        raise _refused(value, where, expected)
    if (setting.low is not None and number < setting.low) or (setting.high is not None and number > setting.high):
        raise _refused(value, where, expected)
    return number


def _as_header(value: Any, where: str) -> dict[str, str]:
    if isinstance(value, Mapping):
        if not all(isinstance(item, str) for item in value.values()):
            raise _refused(value, where, 'headers = { "Name" = "value" }')
        pairs = dict(value)
    elif not isinstance(value, str | list | tuple):
        raise _refused(value, where, "'Name: value'")
    else:
        pairs = {}
        for item in [value] if isinstance(value, str) else value:
            name, colon, content = str(item).partition(":")
            if not colon or not name.strip():
                # The value may be a key: it is not repeated.
                raise ConfigError("a header without a colon", where=where, expected="'Name: value'")
            pairs[name.strip()] = content.strip()
    if any(ord(letter) < 32 for pair in pairs.items() for part in pair for letter in part):
        raise ConfigError("a header with a control character", where=where, expected="'Name: value' on one line")
    return pairs


def _as_object(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise ConfigError(f"not JSON: {error}", where=where, expected='a JSON object, like {"top_k": 20}') from None
    if not isinstance(value, dict):
        raise _refused(value, where, 'an object, like {"top_k": 20}')
    return value
