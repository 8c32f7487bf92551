"""First drafts of a task, for ``peakbench task init``: from a JSON schema, or from the references of a data set.

A draft is a task like any other: read it, mend weights, comparators and prompt, and keep it as a file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from peakbench.errors import TaskError
from peakbench.records import JSONValue, Sample
from peakbench.tasks.task import Task, parse_task
from peakbench.values import is_null

Type = Literal["string", "number", "integer", "boolean", "object"]

LARGEST_VOCABULARY = 12
"""References with more distinct values than this have an open vocabulary."""

USES = 5
"""A vocabulary counts as closed where its values were used this many times each, on average."""

_DEEPEST = 32
_SHOWN = 20
_COMPARATORS: dict[Type, str] = {
    "string": "exact",
    "number": "numeric",
    "integer": "numeric",
    "boolean": "exact",
    "object": "objects",
}


def task_from_schema(schema: Mapping[str, Any], id: str) -> Task:
    """Draft a task whose answers fit a JSON schema.

    Args:
        schema: the schema of one answer: an object with ``properties``. ``$ref`` within the schema is followed. It
            becomes the task's ``response_schema`` as it is.
        id: the id of the task.

    Returns:
        the task: an ``enum`` gives the vocabulary, an array ``set`` (``objects`` for an array of objects), a number
        ``numeric``, anything else ``exact``; a key that is not ``required`` is optional.

    Raises:
        TaskError: every property that no field can stand for, at once.

    >>> tags = {"type": "array", "items": {"type": "string"}}
    >>> task = task_from_schema({"type": "object", "properties": {"tags": tags}}, "t")
    >>> task.fields["tags"].many, str(task.fields["tags"].comparator), task.fields["tags"].optional
    (True, 'set', True)
    """
    where = f"JSON schema of task '{id}'"
    _check_schema(schema, where)
    reader = _SchemaReader(schema)
    top = reader.follow(schema)
    properties = top.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise TaskError("the schema has no properties", where=where, expected="an object schema with 'properties'")
    required = top.get("required", ())
    drafts = {name: reader.field(f"properties.{name}", one) for name, one in properties.items()}
    if reader.problems:
        raise TaskError("; ".join(reader.problems), where=where, expected="scalars, lists of scalars, lists of objects")
    for name, draft in drafts.items():
        draft.optional = name not in required
    title = top.get("title")
    return _task(id, drafts, where, title=title if isinstance(title, str) else "", schema=schema)


def task_from_references(samples: Iterable[Sample], id: str, *, nulls: frozenset[str] = frozenset()) -> Task:
    """Draft a task from the references of a data set, read once, in bounded memory.

    Args:
        samples: samples; those without a reference are passed over.
        id: the id of the task.
        nulls: folded strings that mean null and so belong to no vocabulary.

    Returns:
        the task: a type a field from its values; at most 12 different strings used five times each on average
        make a closed vocabulary. References that are text give a task whose answer is text.

    Raises:
        TaskError: no sample has a reference, some are text and some are objects, or a field holds what no field can
            stand for.

    >>> samples = [Sample(str(i), reference={"color": "red", "price": 3}) for i in range(5)]
    >>> task = task_from_references(samples, "t")
    >>> task.fields["color"].vocabulary, task.fields["price"].type
    (('red',), 'integer')
    """
    where = f"references of task '{id}'"
    seen: dict[str, _Seen] = {}
    texts = objects = 0
    for sample in samples:
        if isinstance(sample.reference, str):
            texts += 1
        elif sample.reference is not None:
            objects += 1
            for name, value in sample.reference.items():
                seen.setdefault(name, _Seen()).add(value, nulls)
    if texts and objects:
        raise TaskError(f"{texts} references are text and {objects} are objects", where=where, expected="one form")
    if texts:
        prompt = {"user": "Describe what the image shows."}
        return parse_task({"id": id, "answer": "text", "prompt": prompt}, where=where)
    if not seen:
        raise TaskError("no sample has a reference with a field", where=where, hint="see: peakbench data check")
    problems = [f"{name}: {problem}" for name, one in seen.items() for problem in one.problems()]
    if problems:
        raise TaskError("; ".join(problems), where=where, expected="scalars, lists of scalars, lists of objects")
    return _task(id, {name: one.draft() for name, one in seen.items()}, where)


@dataclass(slots=True)
class _Draft:
    """A field being drafted."""

    type: Type = "string"
    many: bool = False
    optional: bool = False
    nullable: bool = True
    vocabulary: tuple[str, ...] | None = None
    description: str | None = None
    inner: dict[str, _Draft] = field(default_factory=dict)

    def comparator(self) -> str | dict[str, Any]:
        if self.inner:
            return {"kind": "objects", "fields": {name: one.comparator() for name, one in self.inner.items()}}
        return "set" if self.many else _COMPARATORS[self.type]

    def as_field(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "many": self.many,
            "optional": self.optional,
            "vocabulary": self.vocabulary,
            "description": self.description,
            "comparator": self.comparator(),
        }

    def form(self) -> str:
        """The value in words, for the prompt."""
        if self.inner:
            keys = ", ".join(f'"{name}" ({one.form()})' for name, one in self.inner.items())
            one = f"objects with the keys {keys}"
        elif self.vocabulary:
            one = "one of " + ", ".join(json.dumps(item, ensure_ascii=False) for item in self.vocabulary)
        else:
            one = {"string": "text", "boolean": "true or false", "integer": "whole number"}.get(self.type, self.type)
        listed = f"list, each item {one}" if self.many and not self.inner else f"list of {one}" if self.many else one
        return f"{listed}, or null" if self.nullable else listed


def _task(
    task_id: str, drafts: Mapping[str, _Draft], where: str, *, title: str = "", schema: Mapping[str, Any] | None = None
) -> Task:
    lines = []
    for name, draft in drafts.items():
        told = f"{draft.description.strip()} " if draft.description else ""
        lines.append(f'"{name}": {told}({draft.form()})')
    user = "\n".join(
        [
            "Look at the image and answer with exactly one JSON object that has these keys, in this order:",
            "",
            *lines,
            "",
            "Use null where the image does not show it and null is allowed. "
            "Write no prose, no code fence and no further key.",
        ]
    )
    fields = {name: draft.as_field() for name, draft in drafts.items()}
    value: dict[str, Any] = {"id": task_id, "title": title, "fields": fields, "prompt": {"user": user}}
    if schema is not None:
        value["response_schema"] = dict(schema)
    return parse_task(value, where=where)


def _check_schema(schema: Mapping[str, Any], where: str) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        errors = list(kind(kind.META_SCHEMA).iter_errors(schema))
    except RecursionError:
        raise TaskError("the schema is nested too deep", where=where) from None
    if errors:
        lines = (f"{'.'.join(map(str, error.absolute_path)) or 'schema'}: {error.message}" for error in errors[:_SHOWN])
        raise TaskError("; ".join(lines), where=where, expected="a JSON schema")


@dataclass(slots=True)
class _SchemaReader:
    """Reads properties of one schema; what cannot be a field is listed in ``problems``."""

    root: Mapping[str, Any]
    problems: list[str] = field(default_factory=list)

    def follow(self, schema: object, depth: int = 0) -> Mapping[str, Any]:
        """Follow ``$ref`` and an ``allOf`` of one; a reference that leads nowhere gives an empty schema."""
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return {}
        found: object = None
        if isinstance(schema.get("$ref"), str):
            found = self.root
            for part in schema["$ref"].removeprefix("#").strip("/").split("/"):
                if part:
                    found = (
                        found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
                    )
        elif isinstance(schema.get("allOf"), Sequence) and len(schema["allOf"]) == 1:
            found = schema["allOf"][0]
        if found is None:
            return schema if "$ref" not in schema else {}
        own = {key: value for key, value in schema.items() if key not in {"$ref", "allOf"}}
        return {**self.follow(found, depth + 1), **own}

    def field(self, place: str, schema: object, depth: int = 0) -> _Draft:
        """Draft one field; ``place`` is for problems."""
        one = self.follow(schema)
        told = one.get("description")
        draft = _Draft(description=told if isinstance(told, str) else None)
        forms = [self.follow(form) for key in ("anyOf", "oneOf") for form in one.get(key, ())] or [one]
        draft.nullable = any(_allows_null(form) for form in forms)
        forms = [form for form in forms if form.get("type") != "null" and form.get("const", 0) is not None]
        types = {name for form in forms for name in _types(form)} - {"null"}
        if types == {"integer", "number"}:
            types = {"number"}
        if len(types) > 1 or depth > _DEEPEST:
            self.problems.append(f"{place}: may be {' or '.join(sorted(types))}; expected one type")
            return draft
        name = types.pop() if types else "string"
        if name == "array":
            inner = self.field(f"{place}.items", forms[0].get("items", {}), depth + 1) if depth == 0 else None
            if inner is None or inner.many:
                self.problems.append(f"{place}: a list in a list")
                return draft
            draft.many, draft.type, draft.vocabulary, draft.inner = True, inner.type, inner.vocabulary, inner.inner
        elif name == "object":
            properties = forms[0].get("properties")
            if not place.endswith(".items") or not properties:
                self.problems.append(f"{place}: an object; give its properties keys of their own, or make it a list")
                return draft
            draft.type = "object"
            draft.inner = {
                key: self.field(f"{place}.properties.{key}", inner, depth + 1) for key, inner in properties.items()
            }
        elif name in _COMPARATORS:
            draft.type = name
            values = [value for form in forms for value in _values(form)]
            if name == "string" and values and all(isinstance(value, str) for value in values):
                draft.vocabulary = tuple(dict.fromkeys(values))
        else:
            self.problems.append(f"{place}: unknown type '{name}'")
        return draft


def _types(schema: Mapping[str, Any]) -> list[str]:
    given = schema.get("type")
    if isinstance(given, str):
        return [given]
    if isinstance(given, list):
        return [str(name) for name in given]
    if "properties" in schema:
        return ["object"]
    if "items" in schema:
        return ["array"]
    return sorted({_type_of(value) for value in _values(schema)})


def _values(schema: Mapping[str, Any]) -> list[JSONValue]:
    values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
    return [value for value in values if value is not None]


def _allows_null(schema: Mapping[str, Any]) -> bool:
    if "enum" in schema or "const" in schema:
        return None in schema.get("enum", [schema.get("const")])
    return "null" in _types(schema) or not _types(schema)


def _type_of(value: JSONValue) -> Type:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "number" if isinstance(value, float) else "object" if isinstance(value, Mapping) else "string"


@dataclass(slots=True)
class _Seen:
    """What the references hold in one field: types, strings (until there are too many), keys of objects."""

    types: Counter[Type] = field(default_factory=Counter)
    strings: Counter[str] | None = field(default_factory=Counter)
    lists: int = 0
    scalars: int = 0
    nested: bool = False
    nulls: int = 0
    inner: dict[str, _Seen] = field(default_factory=dict)

    def add(self, value: JSONValue, nulls: frozenset[str], *, in_list: bool = False) -> None:
        """Count one value."""
        if is_null(value, nulls):
            self.nulls += 1
        elif isinstance(value, list):
            self.nested |= in_list
            self.lists += 1
            for item in () if in_list else value:
                self.add(item, nulls, in_list=True)
        else:
            self.scalars += not in_list
            self.types[_type_of(value)] += 1
            if isinstance(value, str) and self.strings is not None:
                self.strings[value] += 1
                if len(self.strings) > LARGEST_VOCABULARY:
                    self.strings = None
            elif isinstance(value, Mapping):
                for name, item in value.items():
                    self.inner.setdefault(name, _Seen()).add(item, nulls)

    def problems(self) -> list[str]:
        """Say why no field can stand for the values."""
        if self.nested:
            return ["a list in a list"]
        if "object" in self.types and (len(self.types) > 1 or self.scalars):
            return ["an object outside a list, or among other values; give its keys fields of their own"]
        deeper = [f"{name}: {line}" for name, one in self.inner.items() for line in one.problems()]
        return deeper + [f"{name}: a list in an object" for name, one in self.inner.items() if one.lists]

    def draft(self) -> _Draft:
        """Draft the field."""
        known = set(self.types)
        kind: Type = "string"
        if known and known <= {"integer", "number"}:
            kind = "number" if "number" in known else "integer"
        elif len(known) == 1:
            kind = known.pop()
        draft = _Draft(type=kind, many=self.lists > 0)
        draft.inner = {name: one.draft() for name, one in self.inner.items()}
        if set(self.types) == {"string"} and self.strings and self.types.total() >= USES * len(self.strings):
            draft.vocabulary = tuple(sorted(self.strings))
        return draft
