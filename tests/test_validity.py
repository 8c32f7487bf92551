"""Validity metrics. Oracle of the schema check: jsonschema itself, asked about the whole schema at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from peakbench.errors import TaskError
from peakbench.metrics.base import Batch, MetricInfo, Scores, Setting, Tools
from peakbench.metrics.cells import CellBuilder
from peakbench.metrics.comparators import Exact, TagSet
from peakbench.metrics.validity import KINDS, SchemaCheck
from peakbench.records import Prediction, State
from peakbench.tasks import Task

TASK = Task.model_validate(
    {
        "id": "t",
        "prompt": {"user": "?"},
        "fields": {
            "color": {"vocabulary": ["red", "blue"]},
            "size": {"optional": True},
            "price": {"type": "number"},
            "count": {"type": "integer"},
            "worn": {"type": "boolean"},
            "tags": {"many": True, "comparator": "set"},
        },
    }
)
GOOD: dict[str, Any] = {"color": "red", "price": 1.5, "count": 2, "worn": False, "tags": ["a"]}


def scores_of(name: str, rows: list[tuple[State, Any]], task: Task = TASK) -> Scores:
    kind = next(kind for kind in KINDS if kind.name == name)
    info = MetricInfo(id=name, title=name, family="validity", low=0, high=1, higher_is_better=True, signature=name)
    metric = kind.build(info, kind.parameters(), Setting(task, frozenset(), Tools()))
    predictions = [Prediction("p", 0, state, value) for state, value in rows]
    read = np.array([prediction.read for prediction in predictions])
    builder = CellBuilder(TASK, dict.fromkeys(TASK.keys, Exact()) | {"tags": TagSet()}, frozenset())
    return metric.score_batch(
        Batch(predictions, [GOOD] * len(rows), read, builder.build(predictions, [GOOD] * len(rows), read))
    )


def test_json_parse_rate_is_strict_plus_extracted() -> None:
    states: list[State] = ["strict", "extracted", "repaired", "unparseable", "off_schema"]
    scores = scores_of("json_parse_rate", [(state, GOOD) for state in states])
    assert scores.values.tolist() == [1, 1, 0, 0, 0]
    assert scores.scored.all()


def test_schema_valid_rate_by_hand() -> None:
    rows: list[tuple[State, Any]] = [
        ("strict", GOOD),
        ("extracted", GOOD | {"size": "M"}),
        ("repaired", GOOD),  # it never was valid JSON
        ("unparseable", None),
        ("off_schema", {}),
        ("strict", GOOD | {"color": "green"}),
        ("strict", GOOD | {"color": None, "price": None, "count": None, "worn": None, "tags": None}),
        ("strict", {key: value for key, value in GOOD.items() if key != "worn"}),
        ("strict", GOOD | {"more": 1}),
        ("strict", GOOD | {"worn": 0}),
        ("strict", GOOD | {"count": True}),
        ("strict", GOOD | {"count": 2.0}),  # JSON Schema: a number without a fraction is an integer
        ("strict", GOOD | {"count": 2.5}),
        ("strict", GOOD | {"price": "1.5"}),
        ("strict", GOOD | {"tags": "a"}),
        ("strict", GOOD | {"tags": [1]}),
    ]
    scores = scores_of("schema_valid_rate", rows)
    assert scores.values.tolist() == [1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert scores.scored.all()


def test_the_signature_follows_the_schema() -> None:
    def signature(task: Task) -> str:
        kind = next(kind for kind in KINDS if kind.name == "schema_valid_rate")
        info = MetricInfo(id="x", title="x", family="validity", low=0, high=1, higher_is_better=True, signature="x|v1")
        return kind.build(info, kind.parameters(), Setting(task, frozenset(), Tools())).info.signature

    assert signature(TASK).startswith("x|v1|schema:")
    assert signature(TASK) != signature(
        Task.model_validate(TASK.model_dump() | {"response_schema": {"type": "object"}})
    )


def test_a_text_task_expects_no_json() -> None:
    task = Task.model_validate({"id": "t", "answer": "text", "prompt": {"user": "?"}})
    for kind in KINDS:
        info = MetricInfo(id="x", title="x", family="validity", low=0, high=1, higher_is_better=True, signature="x")
        metric = kind.build(info, kind.parameters(), Setting(task, frozenset(), Tools()))
        batch = Batch([Prediction("p", 0, "text", "x")], ["x"], np.array([True]), None)
        assert metric.score_batch(batch).reasons == {0: "the task's answer is text: no JSON is expected"}


PROPERTY = st.sampled_from(
    [
        {"type": ["string", "null"]},
        {"type": "number", "minimum": 1},
        {"enum": ["x", None, 1]},
        {"const": True},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"pattern": "^x"},
        {"anyOf": [{"type": "integer"}, {"maxLength": 1}]},
        {"not": {"type": "null"}},
        True,
        False,
        {},
    ]
)
NAMES = st.sampled_from(["a", "b", "c"])
SCHEMA = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(NAMES, PROPERTY, max_size=3)},
    optional={
        "required": st.lists(NAMES, max_size=2, unique=True),
        "additionalProperties": st.booleans() | st.just({"type": "string"}),
        "title": st.just("t"),
        "minProperties": st.just(1),
    },
)
ITEM = st.sampled_from([None, "x", "xy", "", 1, 1.0, True, False, 0, 2.5, [], ["x"], ["x", "x"], [1], {}, {"a": "x"}])
VALUE = st.dictionaries(NAMES, ITEM, max_size=3) | ITEM


@given(SCHEMA, st.lists(VALUE, max_size=6))
@settings(deadline=None, max_examples=200)
def test_the_quick_check_agrees_with_jsonschema(schema: dict[str, Any], values: list[Any]) -> None:
    check, oracle = SchemaCheck(schema), Draft202012Validator(schema)
    for value in values * 2:  # twice: the second time some of it is remembered
        assert check(value) == oracle.is_valid(value), value


def test_references_inside_a_schema_are_followed() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/short"}},
        "$defs": {"short": {"type": "string", "maxLength": 2}},
    }
    check = SchemaCheck(schema)
    assert check({"a": "xy"})
    assert not check({"a": "xyz"})
    # The same without "$defs" at the top level: the reference goes through the whole schema.
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"]}
    assert SchemaCheck(tree)({"n": 1, "child": {"n": 2}})
    assert not SchemaCheck(tree)({"n": 1, "child": {}})


def test_a_value_too_deep_for_a_recursive_schema_is_not_valid() -> None:
    deep: Any = []
    for _ in range(20_000):
        deep = [deep]
    assert SchemaCheck({"items": {"$ref": "#"}})([[], [[]]])
    assert not SchemaCheck({"items": {"$ref": "#"}})(deep)


def test_a_remote_reference_is_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda request, *_, **__: asked.append(request))
    check = SchemaCheck({"type": "object", "properties": {"a": {"$ref": "https://example.org/schema.json"}}})
    with pytest.raises(Exception, match="Unresolvable"):
        check({"a": 1})
    assert not asked


def test_a_schema_that_is_none_names_the_place() -> None:
    with pytest.raises(TaskError, match=r"response_schema: \$\.properties\.a\.type: not a JSON schema: 'strin'"):
        SchemaCheck({"type": "object", "properties": {"a": {"type": "strin"}}})
