"""Whether answers are valid JSON, and valid by the task's schema.

Both give 0 to an answer that cannot be read, and to a repaired one: it never was valid JSON, and a system that reads
the model's answers without a repair tool would have stopped there. An off-schema object is JSON by its grammar, but
counts apart (see the states), so both are 0 for it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from peakbench.errors import TaskError
from peakbench.metrics.base import Batch, MetricInfo, MetricKind, Scores, Setting
from peakbench.records import JSONValue, State

VALID: frozenset[State] = frozenset({"strict", "extracted"})
"""The states that count as valid JSON."""

_TEXT_TASK = "the task's answer is text: no JSON is expected"
_PLAIN_KEYWORDS = frozenset({"title", "description", "type", "properties", "required"})
_MOST = 65_536

Check = Callable[[JSONValue], bool]


@dataclass(frozen=True, slots=True)
class JSONParseRate:
    """1 where the state is strict or extracted."""

    info: MetricInfo
    requires: tuple[str, ...] = ()

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers, all of them, with 0 or 1."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        return Scores.full([prediction.state in VALID for prediction in batch.predictions])


@dataclass(frozen=True, slots=True)
class SchemaValidRate:
    """1 where the answer is valid JSON and valid by the task's schema."""

    info: MetricInfo
    check: SchemaCheck
    requires: tuple[str, ...] = ()

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers, all of them, with 0 or 1."""
        if batch.cells is None:
            return Scores.none(len(batch), _TEXT_TASK)
        return Scores.full([p.state in VALID and self.check(p.value) for p in batch.predictions])


class SchemaCheck:
    """Says whether a value is valid by a JSON schema (jsonschema; 2020-12 unless ``$schema`` says otherwise).

    ``format`` is an annotation, not a check, and nothing is fetched: a remote ``$ref`` cannot be resolved. Where the
    schema's top level holds nothing but properties, required keys and a word on further keys, as the schema made from a
    task's fields does, each property is checked by itself and remembers the strings it saw.

    Raises:
        TaskError: the schema is not a valid schema.

    >>> check = SchemaCheck({"type": "object", "properties": {"size": {"type": ["string", "null"]}}})
    >>> check({"size": None}), check({"size": 4})
    (True, False)
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._whole = _validator(schema)
        self._properties: dict[str, _PropertyCheck] | None = None
        self._required = tuple(schema.get("required", ()))
        self._closed = schema.get("additionalProperties", True) is False
        if _is_plain(schema):
            properties = schema.get("properties", {})
            self._properties = {name: _PropertyCheck(_validator(one, schema)) for name, one in properties.items()}

    def __call__(self, value: JSONValue) -> bool:
        """Return whether the value is valid; False where checking it exceeds the recursion limit."""
        if self._properties is None or not isinstance(value, dict):
            return _valid(self._whole, value)
        if not all(name in value for name in self._required):
            return False
        for name, item in value.items():
            check = self._properties.get(name)
            if check is None:
                if self._closed:
                    return False
            elif not check(item):
                return False
        return True


class _PropertyCheck(dict[str | None, bool]):
    """One property, by value. Only strings and null are remembered: to a dict 1, 1.0 and True are one key."""

    def __init__(self, check: Check) -> None:
        super().__init__()
        self._check = check

    def __call__(self, value: JSONValue) -> bool:
        return self[value] if value is None or type(value) is str else _valid(self._check, value)

    def __missing__(self, value: str | None) -> bool:
        valid = _valid(self._check, value)
        if value is None or len(value) <= 256:
            if len(self) >= _MOST:
                self.clear()
            self[value] = valid
        return valid


def _valid(check: Check, value: JSONValue) -> bool:
    try:
        return check(value)
    except RecursionError:
        return False


def _is_plain(schema: Mapping[str, Any]) -> bool:
    extra = schema.get("additionalProperties", True)
    return (
        schema.get("type") == "object"
        and isinstance(extra, bool)
        and schema.keys() <= _PLAIN_KEYWORDS | {"additionalProperties"}
        and "$ref" not in repr(schema.get("properties"))
        and "$dynamicRef" not in repr(schema.get("properties"))
    )


def _validator(schema: Any, root: Mapping[str, Any] | None = None) -> Check:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    kind = validator_for(schema if root is None else root, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise TaskError(f"not a JSON schema: {error.message}", where=f"response_schema: {error.json_path}") from None
    registry: Registry[Any] = Registry()  # an empty one: the default would fetch remote references
    return kind(schema, registry=registry).is_valid


def _schema_valid_rate(info: MetricInfo, _parameters: object, setting: Setting) -> SchemaValidRate:
    schema = setting.task.json_schema
    digest = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()[:12]
    return SchemaValidRate(replace(info, signature=f"{info.signature}|schema:{digest}"), SchemaCheck(schema))


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "json_parse_rate",
        lambda info, _parameters, _setting: JSONParseRate(info),
        description="share of answers that are one JSON object, alone or extracted",
    ),
    MetricKind(
        "schema_valid_rate",
        _schema_valid_rate,
        description="share of answers that are valid by the task's JSON schema",
    ),
)
"""What ships, in the order in which it is listed."""
