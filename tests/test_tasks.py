"""Tasks: the one that ships, the faults of a task file, and drafts from schemas and references."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from peakbench.builtins import PACKAGE, open_plugins, open_registry
from peakbench.errors import TaskError
from peakbench.metrics.base import Tools
from peakbench.records import ImageSource, Sample
from peakbench.registry import Registry
from peakbench.tasks import Task, load_task_file, parse_task, task_file, task_from_references, task_from_schema

MINIMAL: dict[str, Any] = {"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}}}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return open_registry(plugins=open_plugins(blocked=["all"]))


@pytest.fixture(scope="module")
def garment() -> Task:
    return load_task_file(PACKAGE / "data" / "tasks" / "garment.json")


def refused(**changes: Any) -> str:
    with pytest.raises(TaskError) as caught:
        parse_task({**MINIMAL, **changes}, where="task.json")
    return str(caught.value)


# The garment task


def test_garment_fields_in_the_published_order(garment: Task) -> None:
    published = "type color pattern neckline sleeve_length closure brand size defect_type"
    assert garment.keys == tuple(published.split())


def test_garment_weights_are_the_published_ones(garment: Task) -> None:
    """type 2.5, defect_type 2.0, brand 1.5, size 1.5, the other five 1.0."""
    weights = {name: field.weight for name, field in garment.fields.items()}
    heavy = {"type": 2.5, "defect_type": 2.0, "brand": 1.5, "size": 1.5}
    assert weights == dict.fromkeys(garment.keys, 1.0) | heavy
    assert sum(weights.values()) == 12.5


def test_garment_comparators(garment: Task) -> None:
    expected = {name: f"synonyms(table=garment.{name})" for name in garment.keys}
    expected |= {"brand": "fuzzy(threshold=0.85)", "size": "size"}
    assert {name: str(field.comparator) for name, field in garment.fields.items()} == expected


def test_garment_prompt_names_every_key_once_and_in_order(garment: Task) -> None:
    user = garment.prompt.user
    lines = [line for line in user.splitlines() if line.startswith('"')]
    assert [line.split('"')[1] for line in lines] == list(garment.keys)
    assert "exactly one JSON object" in user
    assert "null" in user
    assert garment.prompt.version == 1


def test_garment_schema(garment: Task) -> None:
    valid = jsonschema.Draft202012Validator(garment.json_schema).is_valid
    empty = dict.fromkeys(garment.keys)
    assert valid(empty)
    assert valid(empty | {"color": "navy blue"})
    assert not valid(empty | {"color": 3})
    assert not valid(empty | {"colour": "navy blue"})
    assert not valid(dict.fromkeys(garment.keys[1:]))


def test_messages(garment: Task) -> None:
    images = (ImageSource("path", "a.jpg", label="front"), ImageSource("path", "b.jpg"))
    system, user = garment.messages(Sample("p1", images, prompt="What is it?"))
    assert (system["role"], user["role"]) == ("system", "user")
    assert user["content"] == [
        {"type": "text", "text": "front:"},
        {"type": "image", "index": 0},
        {"type": "image", "index": 1},
        {"type": "text", "text": "What is it?"},
    ]


# Faults


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"promt": {}}, "promt: unknown key; did you mean 'prompt'?"),
        ({"fields": {"color": {"wieght": 2}}}, "fields.color.wieght: unknown key; did you mean 'weight'?"),
        ({"prompt": {"usr": "x", "user": "y"}}, "prompt.usr: unknown key; did you mean 'user'?"),
        ({"fields": {"color": {"weight": -1}}}, "fields.color.weight: Input should be greater than or equal to 0"),
        ({"fields": {"color": {"weight": float("nan")}}}, "fields.color.weight: Input should be a finite number"),
        ({"fields": {"color": {"weight": 0}}}, "the weights of all fields are 0"),
        ({"fields": {}}, "a task whose answer is JSON needs at least one field"),
        ({"answer": "text"}, "a task whose answer is text has no fields"),
        ({"id": "My Task"}, "id: String should match pattern"),
        ({"format": 2}, "format: Input should be 1"),
    ],
)
def test_a_fault_is_named(changes: dict[str, Any], expected: str) -> None:
    assert refused(**changes).startswith(f"task.json: {expected}")


def test_all_faults_come_at_once() -> None:
    message = refused(promt={}, fields={"color": {"wieght": 2}}, version=0)
    assert all(part in message for part in ("promt", "fields.color.wieght", "version"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"id": "x",\n}', "task.json:2: not JSON"),
        ("[]", "not a JSON object"),
        ("\udcff", "cannot be read"),
        ('{"fields": {"a": {}, "a": {}}}', "the key 'a' stands twice in one object"),
        (None, "no such task file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: str | None, expected: str) -> None:
    file = tmp_path / "task.json"
    if content is not None:
        file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(TaskError) as caught:
        load_task_file(file)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


def test_the_file_of_a_task_gives_the_task_again(garment: Task, tmp_path: Path) -> None:
    file = tmp_path / "again.json"
    file.write_text(json.dumps(task_file(garment)), encoding="utf-8")
    assert load_task_file(file) == garment
    assert parse_task(garment.model_dump(mode="json"), where="dump") == garment
    assert task_file(garment)["fields"]["size"] == {
        "weight": 1.5,
        "comparator": "size",
        "description": "size as the label states it, such as m, 42 or 32x34",
        "sentence": "The size is {value}.",
        "absent": "No size is visible.",
    }


# Drafts from a schema


class Part(BaseModel):
    """A schema as pydantic makes it: nested model, optional values, enums, constraints."""

    name: str
    percent: float | None = None


class Label(BaseModel):
    """One label."""

    brand: str | None = Field(description="the brand")
    size: Literal["s", "m", "l"]
    price: float
    count: int | None = None
    organic: bool | None = None
    tags: list[str]
    care: list[Literal["wash", "dry"]] | None = None
    parts: list[Part] = []


def test_a_draft_from_a_pydantic_schema(registry: Registry) -> None:
    schema = Label.model_json_schema()
    task = task_from_schema(schema, "label")
    found = {
        name: (field.type, field.many, field.optional, field.vocabulary, field.comparator.kind)
        for name, field in task.fields.items()
    }
    assert found == {
        "brand": ("string", False, False, None, "exact"),
        "size": ("string", False, False, ("s", "m", "l"), "exact"),
        "price": ("number", False, False, None, "numeric"),
        "count": ("integer", False, True, None, "numeric"),
        "organic": ("boolean", False, True, None, "exact"),
        "tags": ("string", True, False, None, "set"),
        "care": ("string", True, True, ("wash", "dry"), "set"),
        "parts": ("object", True, True, None, "objects"),
    }
    assert task.fields["parts"].comparator.parameters == {"fields": {"name": "exact", "percent": "numeric"}}
    assert task.fields["brand"].description == "the brand"
    assert task.json_schema == schema
    assert task.title == "Label"
    assert '"brand": the brand (text, or null)' in task.prompt.user
    assert '"size": (one of "s", "m", "l")' in task.prompt.user
    assert '"parts": (list of objects with the keys "name" (text), "percent" (number, or null))' in task.prompt.user
    assert set(registry.comparators(task, Tools())) == set(task.keys)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"]}, ("string", None)),
        ({"enum": ["a", "b", None]}, ("string", ("a", "b"))),
        ({"const": "a"}, ("string", ("a",))),
        ({"anyOf": [{"const": "a"}, {"enum": ["b", "a"]}, {"type": "null"}]}, ("string", ("a", "b"))),
        ({"enum": [1, 2]}, ("integer", None)),
        ({"enum": [1, 2.5]}, ("number", None)),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, ("number", None)),
        ({"allOf": [{"$ref": "#/$defs/size"}], "description": "x"}, ("string", ("s", "m"))),
        ({"$ref": "#/$defs/loop"}, ("string", None)),
        ({"$ref": "#/$defs/nothing"}, ("string", None)),
        ({"$ref": "https://example.org/elsewhere"}, ("string", None)),
        ({}, ("string", None)),
        (True, ("string", None)),
    ],
)
def test_forms_of_a_property(schema: Any, expected: tuple[str, Any]) -> None:
    definitions = {"size": {"enum": ["s", "m"]}, "loop": {"$ref": "#/$defs/loop"}}
    field = task_from_schema({"properties": {"x": schema}, "$defs": definitions}, "t").fields["x"]
    assert (field.type, field.vocabulary) == expected


def test_what_no_field_can_stand_for_is_named_all_at_once() -> None:
    properties = {
        "a": {"type": ["string", "integer"]},
        "b": {"type": "object", "properties": {"x": {}}},
        "c": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        "e": {"type": "array", "items": {"type": "object", "properties": {"y": {"type": "array"}}}},
        "fine": {"type": "string"},
    }
    with pytest.raises(TaskError) as caught:
        task_from_schema({"type": "object", "properties": properties}, "t")
    message = str(caught.value)
    for part in (
        "properties.a: may be integer or string",
        "properties.b: an object",
        "properties.c.items: a list in a list",
        "properties.e.items.properties.y: a list",
    ):
        assert part in message
    assert "fine" not in message


def deep_schema(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {"d": {"type": "strnig"}}}, "properties.d.type: 'strnig' is not valid"),
        ({"properties": []}, r"properties: \[\] is not of type 'object'"),
        ({"properties": {"a": {"enum": None}}}, "properties.a.enum: None is not of type 'array'"),
        (deep_schema(5000), "the schema is nested too deep"),
    ],
)
def test_what_is_no_json_schema(schema: dict[str, Any], expected: str) -> None:
    with pytest.raises(TaskError, match=expected):
        task_from_schema(schema, "t")


@pytest.mark.parametrize("schema", [{}, {"type": "array"}, {"properties": {}}])
def test_a_schema_without_properties(schema: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match="no properties"):
        task_from_schema(schema, "t")


# Drafts from references


def samples(*references: Any) -> list[Sample]:
    return [Sample(str(index), reference=reference) for index, reference in enumerate(references)]


def test_a_draft_from_references(registry: Registry) -> None:
    rows = [
        {
            "kind": ("shirt", "dress")[index % 2],
            "brand": f"brand {index}",
            "price": 3 if index else 2.5,
            "count": index,
            "organic": None if index == 4 else index > 3,
            "tags": ["a", "b"],
            "size": "N/A" if index % 3 else "m",
            "code": index if index % 2 else "x",
            "parts": [{"name": "collar", "percent": 3}],
        }
        for index in range(30)
    ]
    task = task_from_references(samples(*rows, None), "shop", nulls=registry.nulls)
    found = {name: (f.type, f.many, f.vocabulary, f.comparator.kind) for name, f in task.fields.items()}
    assert found == {
        "kind": ("string", False, ("dress", "shirt"), "exact"),
        "brand": ("string", False, None, "exact"),
        "price": ("number", False, None, "numeric"),
        "count": ("integer", False, None, "numeric"),
        "organic": ("boolean", False, None, "exact"),
        "tags": ("string", True, ("a", "b"), "set"),
        "size": ("string", False, ("m",), "exact"),
        "code": ("string", False, None, "exact"),
        "parts": ("object", True, None, "objects"),
    }
    assert '"kind": (one of "dress", "shirt", or null)' in task.prompt.user
    assert not any(field.optional for field in task.fields.values())
    assert set(registry.comparators(task, Tools())) == set(task.keys)
    valid = jsonschema.Draft202012Validator(task.json_schema).is_valid
    assert valid(rows[0] | {"size": None, "code": "x"})


def test_references_that_are_text() -> None:
    task = task_from_references(samples("a red shirt", None, "a blue dress"), "captions")
    assert (task.answer, task.keys) == ("text", ())


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ([None, None], "no sample has a reference"),
        ([{}], "no sample has a reference"),
        (["text", {"a": 1}], "1 references are text and 1 are objects"),
        ([{"a": {"b": 1}}], "a: an object outside a list"),
        ([{"a": [{"b": 1}, "c"]}], "a: an object outside a list, or among other values"),
        ([{"a": [[1]]}], "a: a list in a list"),
        ([{"a": [{"b": [1]}]}], "a: b: a list in an object"),
    ],
)
def test_references_that_make_no_task(references: list[Any], expected: str) -> None:
    with pytest.raises(TaskError, match=expected):
        task_from_references(samples(*references), "t")


def test_a_vocabulary_is_bounded() -> None:
    """Memory does not grow with the number of distinct values: beyond 12 none is kept."""
    rows = samples(*({"a": f"value {index}"} for index in range(1000)))
    assert task_from_references(rows, "t").fields["a"].vocabulary is None


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
objects = st.dictionaries(st.text(max_size=3), scalars, max_size=3)
values = st.one_of(scalars, objects, st.lists(st.one_of(scalars, objects, st.lists(scalars, max_size=2)), max_size=3))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(st.none(), st.dictionaries(st.text(max_size=3), values, max_size=3)), max_size=6))
def test_any_references_give_a_task_that_loads_or_a_named_error(references: list[Any]) -> None:
    try:
        task = task_from_references(samples(*references), "t")
    except TaskError:
        return
    assert parse_task(task.model_dump(mode="json"), where="t") == task
    assert parse_task(json.loads(json.dumps(task_file(task))), where="t") == task
    assert set(open_registry(plugins=open_plugins(blocked=["all"])).comparators(task, Tools())) == set(task.keys)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "enum", "const", "anyOf", "$ref", "allOf", "required", "a"]
            ),
            st.one_of(inner, st.sampled_from(["string", "array", "object", "number", "#", "#/properties/a", "null"])),
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(["a", "b", "ü", ""]), json_values, max_size=3))
def test_any_schema_gives_a_task_that_loads_or_a_named_error(properties: dict[str, Any]) -> None:
    try:
        task = task_from_schema({"type": "object", "properties": properties}, "t")
    except TaskError:
        return
    assert parse_task(json.loads(json.dumps(task_file(task))), where="t") == task
