"""One object that was found: its depth, its duplicate keys, and what json-repair makes of a broken one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson

from peakbench.parsing.reasons import MAX_DEPTH, MAX_REPAIR_CHARS
from peakbench.records import JSONValue


def measure(value: JSONValue) -> int | None:
    """Count keys and strings at all levels; None where there are more than MAX_DEPTH levels."""
    count = 0
    level = [value]
    for _ in range(MAX_DEPTH):
        below = []
        for container in level:
            items: Iterable[Any] = container
            if type(container) is dict:
                count += len(container)
                items = container.values()
            for item in items:
                kind = type(item)
                if kind is str:
                    count += 1
                elif kind is dict or kind is list:
                    below.append(item)
        if not below:
            return count
        level = below
    return None


def lost_keys(text: str) -> tuple[int, str]:
    """Count the keys that a later one replaces, in a valid object of at most MAX_DEPTH levels; name the first found."""
    lost = 0
    first = ""

    def count(pairs: list[tuple[str, object]]) -> None:
        nonlocal lost, first
        names = {name for name, _ in pairs}
        if len(names) == len(pairs):
            return
        lost += len(pairs) - len(names)
        if not first:
            for name, _ in pairs:
                if name not in names:
                    first = name
                    break
                names.discard(name)

    # parse_int: int() refuses more than 4,300 digits.
    json.JSONDecoder(object_pairs_hook=count, parse_int=len, parse_float=len).decode(text)
    return lost, first


def repaired(text: str) -> dict[str, JSONValue] | None:
    """What json-repair makes of a text; None where that is not one object of plain JSON values."""
    if len(text) > MAX_REPAIR_CHARS or text.count("{") + text.count("[") > 4 * MAX_DEPTH:
        return None
    from json_repair import repair_json

    try:
        value = repair_json(text, return_objects=True, skip_json_loads=True)
        if type(value) is not dict or measure(value) is None:
            return None
        # Through JSON and back: what is left is what any other answer could hold, or a ValueError.
        again = orjson.loads(json.dumps(value, allow_nan=False))
    except (ValueError, RecursionError, IndexError, TypeError, AttributeError):
        return None
    return again if type(again) is dict else None
