"""Drafts of tasks, from a JSON schema or from the references of a data set. A person mends them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peakbench.errors import DataProblem, InputError, TaskError
from peakbench.records import Sample
from peakbench.tasks import parse_task

SMALL_VOCABULARY = 20
"""Up to so many different strings, each on average seen twice, are taken for a closed list of values."""

_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object"}


def read_schema(path: Path) -> dict[str, Any]:
    """Read a JSON schema.

    Raises:
        TaskError: missing, not JSON, not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TaskError("no such file", where=str(path)) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise TaskError(f"cannot be read: {error}", where=str(path)) from None
    except json.JSONDecodeError as error:
        raise TaskError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    if not isinstance(value, dict):
        raise TaskError("not a JSON object", where=str(path), expected="a JSON schema")
    return value


def from_json_schema(task_id: str, schema: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Draft a task from the JSON schema of its answer; the schema itself is kept as ``response_schema``.

    Raises:
        TaskError: the schema is not that of an object with properties.

    >>> schema = {"type": "object", "properties": {"color": {"enum": ["red", "blue", None]}, "n": {"type": "integer"}}}
    >>> from_json_schema("shirt", schema, where="s.json")["fields"]
    {'color': {'vocabulary': ['red', 'blue'], 'optional': True}, 'n': {'type': 'integer', 'optional': True}}
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        raise TaskError(
            "not the schema of an object with properties",
            where=where,
            expected='{"type": "object", "properties": {...}}',
        )
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    fields = {}
    for name, one in properties.items():
        drafted = _from_property(one if isinstance(one, dict) else {})
        if name not in required:
            drafted["optional"] = True
        fields[name] = drafted
    return _task(task_id, fields, title=schema.get("title"), schema=schema, where=where)


def from_references(task_id: str, samples: Iterable[Sample | DataProblem], *, where: str) -> dict[str, Any]:
    """Draft a task from references: their fields in the order of first sight, types and small vocabularies.

    Raises:
        TaskError: no sample has a reference with fields.

    >>> samples = [Sample(str(n), reference={"color": c, "n": n}) for n, c in enumerate(["red", "blue", "red", "blue"])]
    >>> from_references("shirt", samples, where="s.jsonl")["fields"]
    {'color': {'vocabulary': ['blue', 'red']}, 'n': {'type': 'integer'}}
    """
    seen: dict[str, _Seen] = {}
    for sample in samples:
        if isinstance(sample, DataProblem) or not isinstance(sample.reference, Mapping):
            continue
        for name, value in sample.reference.items():
            seen.setdefault(name, _Seen()).add(value)
    if not seen:
        raise TaskError("no reference with fields was found", where=where, hint="see: peakbench data check")
    return _task(task_id, {name: one.draft() for name, one in seen.items()}, title=None, schema=None, where=where)


@dataclass(slots=True)
class _Seen:
    """What the references show of one field; bounded: the vocabulary is given up beyond the small."""

    types: Counter[str] = field(default_factory=Counter)
    many: int = 0
    strings: Counter[str] | None = field(default_factory=Counter)

    def add(self, value: Any) -> None:
        if isinstance(value, list):
            self.many += 1
            for item in value:
                self._add_one(item)
        elif value is not None:
            self._add_one(value)

    def _add_one(self, value: Any) -> None:
        kind = _TYPES.get(type(value))
        if kind is None:
            return
        self.types[kind] += 1
        if kind == "string" and self.strings is not None:
            self.strings[value] += 1
            if len(self.strings) > SMALL_VOCABULARY:
                self.strings = None

    def draft(self) -> dict[str, Any]:
        drafted: dict[str, Any] = {}
        kinds = set(self.types)
        kind = "number" if kinds == {"integer", "number"} else next(iter(kinds)) if len(kinds) == 1 else "string"
        if kind != "string":
            drafted["type"] = kind
        if self.many:
            drafted |= {"many": True, "comparator": "objects" if kind == "object" else "set"}
        if kinds == {"string"} and self.strings and self.strings.total() >= 2 * len(self.strings):
            drafted["vocabulary"] = sorted(self.strings)
        return drafted


def _from_property(schema: Mapping[str, Any]) -> dict[str, Any]:
    drafted: dict[str, Any] = {}
    for branch in ("anyOf", "oneOf"):
        # pydantic writes an optional value as anyOf [the value, null].
        options = schema.get(branch)
        if isinstance(options, list):
            rest = [one for one in options if isinstance(one, dict) and one.get("type") != "null"]
            if len(rest) == 1:
                schema = {**schema, **rest[0]}
    kinds = schema.get("type", [])
    kinds = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    if kinds == ["array"]:
        items = schema.get("items")
        item = _from_property(items if isinstance(items, dict) else {})
        return {**item, "many": True, "comparator": "objects" if item.get("type") == "object" else "set"}
    if len(kinds) == 1 and kinds[0] in set(_TYPES.values()) - {"string"}:
        drafted["type"] = kinds[0]
    values = schema.get("enum")
    if isinstance(values, list):
        words = [value for value in values if value is not None]
        if words and all(isinstance(word, str) for word in words):
            drafted["vocabulary"] = words
    if isinstance(schema.get("description"), str):
        drafted["description"] = schema["description"]
    return drafted


def _task(
    task_id: str, fields: Mapping[str, Any], *, title: object, schema: Mapping[str, Any] | None, where: str
) -> dict[str, Any]:
    lines = []
    for name, one in fields.items():
        allowed = f" (one of: {', '.join(one['vocabulary'])})" if one.get("vocabulary") else ""
        says = f": {one['description']}" if one.get("description") else ""
        lines.append(f'- "{name}"{says}{allowed}')
    prompt = (
        "Look at the image and answer with one JSON object with exactly these keys. "
        "Use null for what cannot be seen.\n" + "\n".join(lines) + "\nAnswer with the JSON object only."
    )
    drafted: dict[str, Any] = {"format": 1, "id": task_id, "version": 1}
    if isinstance(title, str):
        drafted["title"] = title
    drafted |= {"fields": dict(fields), "prompt": {"version": 1, "user": prompt}}
    if schema is not None:
        drafted["response_schema"] = dict(schema)
    try:
        parse_task(drafted, where=where)
    except TaskError as error:
        raise InputError(f"the draft is not a task: {error.what}", where=where) from None
    return drafted
