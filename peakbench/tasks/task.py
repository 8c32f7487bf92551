"""Tasks as data: fields, weights, comparators, vocabulary, null list, prompt and JSON schema.

A task is a JSON file, validated here; what its comparator names mean is resolved by the registry, so that a
plugin's comparator is a name like any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from peakbench.errors import TaskError, nearest
from peakbench.records import Messages, Sample

FORMAT = 1
"""Version of the task file's format."""

VALUE = "{value}"
"""Where a field's ``sentence`` has its value."""


class ComparatorSpec(BaseModel):
    """A comparator by name, with its parameters: ``"exact"`` or ``{"kind": "fuzzy", "threshold": 0.85}``."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything but the name."""
        return dict(self.model_extra or {})

    def __str__(self) -> str:
        inner = ",".join(f"{key}={value}" for key, value in sorted(self.parameters.items()))
        return f"{self.kind}({inner})" if inner else self.kind


def _comparator(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


def _one_place(sentence: str) -> str:
    if sentence.count(VALUE) != 1:
        raise ValueError(f"expected one {VALUE}, as in 'The color is {VALUE}.'")
    return sentence


def _no_place(sentence: str) -> str:
    if VALUE in sentence:
        raise ValueError(f"expected no {VALUE}, as in 'No color is visible.'")
    return sentence


_Sentence = Annotated[str, Field(min_length=1, max_length=500)]


_Cost = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class FieldCost(BaseModel):
    """What one mistake in a field costs, in a unit of your own (minutes, cents); correct answers cost nothing.

    ``unread`` is the cost of an answer that cannot be read; by default the highest of the other three.

    >>> FieldCost(wrong=2, invented=5).of_unread
    5.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    wrong: _Cost = 0.0
    invented: _Cost = 0.0
    omitted: _Cost = 0.0
    unread: _Cost | None = None

    @property
    def of_unread(self) -> float:
        """What an answer costs that cannot be read."""
        return max(self.wrong, self.invented, self.omitted) if self.unread is None else self.unread


class TaskField(BaseModel):
    """One field of the answer.

    ``weight`` >= 0 counts in weighted_score. ``vocabulary``: the closed list of values, where there is one.
    ``optional``: a missing key does not count against presence. ``many``: the value is a list. ``sentence``, with one
    ``{value}``, and ``absent`` say in words what the field holds, for models that judge sentences. ``cost``: what a
    mistake costs, where comparisons are to count it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    comparator: Annotated[ComparatorSpec, BeforeValidator(_comparator)] = ComparatorSpec(kind="exact")
    type: Literal["string", "number", "integer", "boolean", "object"] = "string"
    many: bool = False
    optional: bool = False
    vocabulary: tuple[str, ...] | None = None
    description: str | None = None
    sentence: Annotated[_Sentence, AfterValidator(_one_place)] | None = None
    absent: Annotated[_Sentence, AfterValidator(_no_place)] | None = None
    cost: FieldCost | None = None

    @model_serializer(mode="wrap")
    def _without_no_cost(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A task without costs is written as it was before there were any: its hash is what tells one run from another.
        value: dict[str, Any] = handler(self)
        if self.cost is None:
            value.pop("cost", None)
        return value


class Prompt(BaseModel):
    """The fixed prompt of a task. ``version`` rises with every change of a word; it is part of the request hash."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Annotated[int, Field(ge=1)] = 1
    system: str | None = None
    user: str


class Task(BaseModel):
    """What is asked and how an answer is read.

    >>> task = Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}}})
    >>> task.keys, task.fields["color"].weight, task.json_schema["required"]
    (('color',), 1.0, ['color'])
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    version: Annotated[int, Field(ge=1)] = 1
    title: str = ""
    answer: Literal["json", "text"] = "json"
    fields: dict[str, TaskField] = Field(default_factory=dict)
    null_values: tuple[str, ...] | None = None
    prompt: Prompt
    response_schema: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _fields_fit_the_answer(self) -> Task:
        if self.answer == "json" and not self.fields:
            raise ValueError("a task whose answer is JSON needs at least one field")
        if self.answer == "text" and self.fields:
            raise ValueError("a task whose answer is text has no fields")
        if self.answer == "json" and not sum(f.weight for f in self.fields.values()):
            raise ValueError("the weights of all fields are 0")
        return self

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The expected keys, in the task's order."""
        return tuple(self.fields)

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of an answer: ``response_schema`` where given, else made from the fields."""
        if self.response_schema is not None:
            return self.response_schema
        return {
            "type": "object",
            "properties": {name: _field_schema(field) for name, field in self.fields.items()},
            "required": [name for name, field in self.fields.items() if not field.optional],
            "additionalProperties": False,
        }

    def messages(self, sample: Sample) -> Messages:
        """Return the chat messages for one sample, one ``{"type": "image"}`` slot an image, images first.

        A sample's own prompt replaces the task's user prompt; a label ("front", "tag") precedes its image.
        """
        parts: list[dict[str, Any]] = []
        for index, image in enumerate(sample.images):
            if image.label:
                parts.append({"type": "text", "text": f"{image.label}:"})
            parts.append({"type": "image", "index": index})
        parts.append({"type": "text", "text": sample.prompt or self.prompt.user})
        messages: list[dict[str, Any]] = []
        if self.prompt.system:
            messages.append({"role": "system", "content": self.prompt.system})
        messages.append({"role": "user", "content": parts})
        return messages


def _field_schema(field: TaskField) -> dict[str, Any]:
    one: dict[str, Any] = {"enum": [*field.vocabulary, None]} if field.vocabulary else {"type": [field.type, "null"]}
    if field.many:
        item = {"enum": list(field.vocabulary)} if field.vocabulary else {"type": field.type}
        one = {"type": ["array", "null"], "items": item}
    if field.description:
        one["description"] = field.description
    return one


_KEYS_OF: dict[str, type[BaseModel]] = {"fields": TaskField, "prompt": Prompt}


def parse_task(value: Mapping[str, Any], *, where: str) -> Task:
    """Validate a task; every problem is named with its place. A ``$schema`` key, for editors, is left out.

    Raises:
        TaskError: with one line a problem, and the nearest known key for an unknown one.
    """
    try:
        return Task.model_validate({key: item for key, item in value.items() if key != "$schema"})
    except ValidationError as error:
        lines = []
        for item in error.errors():
            place = ".".join(str(part) for part in item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                model = _KEYS_OF.get(str(item["loc"][0])) if len(item["loc"]) > 1 else Task
                if "cost" in item["loc"][2:-1]:
                    model = FieldCost
                message = f"unknown key; {nearest(str(item['loc'][-1]), (model or Task).model_fields)}"
            lines.append(f"{place}: {message}" if place else message)
        raise TaskError("; ".join(lines), where=where, hint="see: peakbench task show garment") from None


def load_task_file(path: Path) -> Task:
    """Read a task from a JSON file.

    Raises:
        TaskError: the file is missing, not JSON, or not a task.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except FileNotFoundError:
        raise TaskError("no such task file", where=str(path), hint="see: peakbench task list") from None
    except json.JSONDecodeError as error:
        raise TaskError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise TaskError(f"cannot be read: {error}", where=str(path)) from None
    if not isinstance(value, dict):
        raise TaskError("not a JSON object", where=str(path))
    return parse_task(value, where=str(path))


def task_file(task: Task) -> dict[str, Any]:
    """Return a task as its file would hold it: what stands at its default is left out.

    >>> task = Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}}})
    >>> task_file(task)
    {'format': 1, 'id': 'shirt', 'version': 1, 'fields': {'color': {}}, 'prompt': {'version': 1, 'user': 'Describe.'}}
    """
    value = task.model_dump(mode="json", exclude_defaults=True)
    for one in value.get("fields", {}).values():
        if set(one.get("comparator", ())) == {"kind"}:
            one["comparator"] = one["comparator"]["kind"]
    value["prompt"] = {"version": task.prompt.version, **value["prompt"]}
    return {"format": task.format, "id": task.id, "version": task.version, **value}


def task_schema(comparators: Iterable[str] = ()) -> dict[str, Any]:
    """Return the JSON schema of a task file, for editors; the given names of comparators complete.

    >>> sorted(task_schema()["required"])
    ['id', 'prompt']
    """
    schema = Task.model_json_schema()
    schema["properties"] = {"$schema": {"type": "string"}, **schema["properties"]}
    comparator = schema["$defs"]["TaskField"]["properties"]["comparator"]
    named = {key: comparator.pop(key) for key in ("$ref", "allOf") if key in comparator}
    names = list(comparators)
    comparator["anyOf"] = [{"type": "string", **({"examples": names} if names else {})}, named]
    comparator["default"] = "exact"
    for one in (schema, *schema["$defs"].values()):
        one["description"] = one["description"].split("\n\n")[0]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "PeakBench task"}


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of one JSON object's pairs, for ``json.loads(..., object_pairs_hook=unique_keys)``.

    Raises:
        ValueError: a key stands twice; what came first would be lost in silence.

    >>> unique_keys([("a", 1), ("b", 2)])
    {'a': 1, 'b': 2}
    """
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f"the key '{key}' stands twice in one object")
        value[key] = item
    return value
