"""The registry: every fault of a definition file is named with its place; metrics come built, parts first, signed."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from peakbench import builtins
from peakbench.builtins import PACKAGE, definition_file, open_plugins, open_registry
from peakbench.errors import RegistryError, TaskError
from peakbench.metrics.base import Tools
from peakbench.registry import Registry, load_registry
from peakbench.registry.definitions import cycles, read_source
from peakbench.tasks import Task, parse_task
from peakbench.values import is_null

RELEASED = [
    "structured_match",
    "field_match_rate",
    "value_accuracy",
    "weighted_score",
    "valued_f1",
    "quality",
    "quality_lexical",
    "sbert",
    "sbert_calibrated",
    "sbert_nli",
    "hallucination",
    "token_set_ratio",
    "rouge_l",
    "chrf",
    "bleu",
    "levenshtein",
    "meteor",
    "meteor_lemma",
    "consistency",
    "identical_share",
    "flip_rate",
    "json_parse_rate",
    "schema_valid_rate",
    "throughput",
    "latency",
    "ttft",
    "tokens_per_second",
]
NEED_REPEATS = {"consistency", "identical_share", "flip_rate"}
ON_REQUEST = {"sbert", "sbert_calibrated", "sbert_nli", "hallucination", "meteor", "meteor_lemma"} | NEED_REPEATS
"""What needs a model or repeats is scored where it is named."""

LOWER_IS_BETTER = {"hallucination", "flip_rate", "latency", "ttft"}

TEXT_TASK = parse_task({"id": "caption", "answer": "text", "prompt": {"user": "Describe."}}, where="test")


@pytest.fixture(scope="module")
def registry() -> Registry:
    return open_registry(plugins=open_plugins(blocked=["all"]))


def metric(**changes: Any) -> dict[str, Any]:
    return {"id": "mine", "kind": "bleu", "title": "Mine", "range": [0, 1], "higher_is_better": True} | changes


def composite(name: str, *parts: str, divide_by: float = 1.0) -> dict[str, Any]:
    weights = {part: divide_by / len(parts) for part in parts}
    return metric(id=name, kind="weighted_mean", parameters={"parts": weights, "divide_by": divide_by})


def refused(*metrics: object, **top: Any) -> str:
    """What the error says about definitions that a user gives."""
    with pytest.raises(RegistryError) as caught:
        load_registry(open_plugins(blocked=["all"]), [{"format": 1, "metrics": list(metrics)} | top])
    assert caught.value.exit_code == 2
    return str(caught.value)


# The released definitions


def test_the_released_ids(registry: Registry) -> None:
    assert list(registry.ids) == RELEASED
    assert registry.plugins.broken == []


def test_the_default_set_needs_no_model_and_no_repeats(registry: Registry) -> None:
    defaults = {name for name, one in registry.definitions.items() if one.default}
    assert defaults == set(RELEASED) - ON_REQUEST


def test_weights_and_ranges_are_the_published_ones(registry: Registry) -> None:
    """The published table: structured 60 %, SBERT 25 %, token set 10 %, ROUGE-L 5 %."""
    quality = registry.definitions["quality"].parameters
    assert quality["json"] == {"structured_match": 0.6, "sbert": 0.25, "token_set_ratio": 0.1, "rouge_l": 0.05}
    assert quality["text"] == {"sbert": 0.5, "token_set_ratio": 0.2, "rouge_l": 0.2, "chrf": 0.1}
    assert {name for name, one in registry.definitions.items() if not one.higher_is_better} == LOWER_IS_BETTER
    unbounded = {"throughput", "latency", "ttft", "tokens_per_second"}
    assert {name for name, one in registry.definitions.items() if one.range == (0, None)} == unbounded
    assert {name for name, one in registry.definitions.items() if one.range == (0, 1)} == set(RELEASED) - unbounded


@pytest.mark.parametrize("value", ["N/A", "none", "Not  Visible", " unknown ", "-", "", "—", "NULL", "not applicable"])
def test_null_like(registry: Registry, value: str) -> None:
    assert is_null(value, registry.nulls)


@pytest.mark.parametrize("value", ["no", "solid", "0", "false", "none-slip", "no brand name", "s", "nike", "missing"])
def test_not_null_like(registry: Registry, value: str) -> None:
    assert not is_null(value, registry.nulls)


def test_the_null_list_has_no_twins(registry: Registry) -> None:
    listed = json.loads(definition_file().read_text(encoding="utf-8"))["null_values"]
    assert len(registry.nulls) == len(listed)


# JSON schemas for editors


@pytest.mark.parametrize("name", ["peakbench_metrics.schema.json", "task.schema.json"])
def test_the_shipped_schema_is_the_models(name: str) -> None:
    shipped = json.loads((PACKAGE / "schemas" / name).read_text(encoding="utf-8"))
    message = 'write them again: python -c "from peakbench.builtins import write_schemas; write_schemas()"'
    assert shipped == builtins.schemas()[name], message
    jsonschema.Draft202012Validator.check_schema(shipped)


def test_the_schemas_accept_what_ships_and_refuse_what_the_models_refuse() -> None:
    check = {name: jsonschema.Draft202012Validator(schema).is_valid for name, schema in builtins.schemas().items()}
    metrics = json.loads(definition_file().read_text(encoding="utf-8"))
    accepts = check["peakbench_metrics.schema.json"]
    assert accepts(metrics)
    for change in ({"rnage": [0, 1]}, {"range": [0]}, {"id": "A"}, {"parameters": {"veiw": "raw"}}, {"version": 0}):
        changed = copy.deepcopy(metrics)
        changed["metrics"][RELEASED.index("bleu")].update(change)
        assert not accepts(changed), change
    garment = json.loads((PACKAGE / "data" / "tasks" / "garment.json").read_text(encoding="utf-8"))
    assert check["task.schema.json"](garment)
    assert not check["task.schema.json"](garment | {"promt": {}})


def test_the_files_name_their_schemas() -> None:
    for file in (definition_file(), PACKAGE / "data" / "tasks" / "garment.json"):
        named = json.loads(file.read_text(encoding="utf-8"))["$schema"]
        assert (file.parent / named).is_file()


# Faults


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"rnage": [0, 1]}, "metrics[0] 'mine': unknown key 'rnage'; did you mean 'range'?"),
        ({"kind": "blue"}, "metrics[0] 'mine': unknown kind 'blue'; did you mean 'bleu'?"),
        ({"parameters": {"veiw": "raw"}}, "metrics[0] 'mine': unknown parameter 'veiw'; did you mean 'view'?"),
        (
            {"parameters": {"view": "rwa"}},
            "metrics[0] 'mine': parameter 'view': \"rwa\" is not known; expected 'values'",
        ),
        (
            {"kind": "weighted_score", "parameters": {"x": 1}},
            "unknown parameter 'x'; kind 'weighted_score' has no parameters",
        ),
        ({"range": [1, 0]}, "metrics[0] 'mine': range [1, 0] is empty; expected [low, high] with low < high"),
        ({"range": [0]}, "metrics[0] 'mine': range.1: missing"),
        ({"range": ["a", 1]}, "metrics[0] 'mine': range.0: \"a\" cannot be used; expected: a valid number"),
        ({"id": "My Metric"}, "metrics[0] 'My Metric': id: \"My Metric\" cannot be used; expected: match pattern"),
        ({"id": "all"}, "metrics[0] 'all': the id 'all' names a set of metrics"),
        ({"version": 0}, "metrics[0] 'mine': version: 0 cannot be used; expected: greater than or equal to 1"),
        (
            {"reduction": "maen"},
            "reduction: \"maen\" is not known; expected 'mean', 'pooled', 'rate', 'median' or 'run'",
        ),
        ({"reduction": "maen"}, "did you mean 'mean'?"),
        ({"higher_is_better": None}, "metrics[0] 'mine': higher_is_better: null cannot be used"),
        ({"id": "bleu"}, f"metrics[0] 'bleu': duplicate id; it is defined in {definition_file()}: metrics[14] 'bleu'"),
    ],
)
def test_a_fault_is_named(change: dict[str, Any], expected: str) -> None:
    assert expected in refused(metric(**change))


def test_a_duplicate_within_one_file() -> None:
    message = refused(metric(), metric(kind="chrf"))
    assert "metrics[1] 'mine': duplicate id; it is defined in definitions of 'given definitions': metrics[0]" in message


def test_weights_that_do_not_sum() -> None:
    parts = {"bleu": 0.6, "chrf": 0.3}
    message = refused(metric(kind="weighted_mean", parameters={"parts": parts, "divide_by": 1}))
    assert "metrics[0] 'mine'" in message
    assert "0.9" in message
    quality = refused(metric(kind="quality", parameters={"json": {"structured_match": 0.6}}))
    assert "metrics[0] 'mine': json: the weights sum to 0.6, expected 1" in quality


def test_an_unknown_part() -> None:
    message = refused(composite("mine", "bleu", "cherf"))
    assert "metrics[0] 'mine': unknown part 'cherf'; did you mean 'chrf'?" in message


def test_a_cycle_of_composites() -> None:
    message = refused(composite("a", "b", "bleu"), composite("b", "c"), composite("c", "a"))
    assert "metrics[2] 'c': the parts go round in a circle: a -> b -> c -> a" in message
    assert "metrics[0] 'mine': the parts go round in a circle: mine -> mine" in refused(composite("mine", "mine"))


def test_cycles_against_all_small_graphs() -> None:
    """Every graph of three nodes: a cycle is found exactly where repeated removal of leaves gets stuck."""
    names = "abc"
    for bits in range(1 << 9):
        graph = {one: [two for j, two in enumerate(names) if bits >> (3 * i + j) & 1] for i, one in enumerate(names)}
        left = set(names)
        while leaves := {one for one in left if not set(graph[one]) & left}:
            left -= leaves
        found = cycles(graph)
        assert bool(found) == bool(left)
        for cycle in found:
            assert all(two in graph[one] for one, two in zip(cycle, [*cycle[1:], cycle[0]], strict=True))


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ({"format": 2}, "format: 2 is not known; expected 1"),
        ({"metrcs": []}, "unknown key 'metrcs'; did you mean 'metrics'?"),
        ({"metrics": {}}, "metrics: {} cannot be used"),
        ({"null_values": "none"}, 'null_values: "none" cannot be used'),
        ({"metrics": ["bleu"]}, "metrics[0]: "),
    ],
)
def test_a_fault_of_the_whole_file(top: dict[str, Any], expected: str) -> None:
    assert expected in refused(**top)


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    file = tmp_path / "my_metrics.json"
    entries = [
        metric(id="a", rnage=1),
        metric(id="b", kind="blue"),
        metric(id="c", parameters={"x": 1}),
        metric(id="bleu"),
    ]
    file.write_text(json.dumps({"format": 1, "metrics": entries, "extra": 1}), encoding="utf-8")
    with pytest.raises(RegistryError) as caught:
        open_registry(extra=[file], plugins=open_plugins(blocked=["all"]))
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 problems in metric definitions"
    assert all(str(file) in line for line in lines[1:6])
    for place in ("'a'", "metrics[1] 'b'", "metrics[2] 'c'", "metrics[3] 'bleu'", "unknown key 'extra'"):
        assert place in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"format": 1,\n "metrics": [}', "line 2, column 14: not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"format": 1, "format": 1, "metrics": []}', "the key 'format' stands twice in one object"),
        (b"[" * 100_000, "cannot be read"),
        (None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, expected: str) -> None:
    file = tmp_path / "my_metrics.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RegistryError) as caught:
        open_registry(extra=[file], plugins=open_plugins(blocked=["all"]))
    assert str(file) in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, "x", [], {"metrics": None}, {"metrics": [None, 3, [], {"id": 3}]}])
def test_a_strange_file_is_a_problem_and_never_a_crash(value: Any, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    assert read_source(file, owner="me").problems


# The user's own definitions


def test_own_definitions_add_to_what_ships() -> None:
    registry = open_registry(
        extra=[{"format": 1, "metrics": [metric(parameters={"view": "raw"}), composite("mix", "mine", "chrf")]}]
    )
    built = registry.build("mix", registry.task("garment"), Tools())
    assert [one.info.id for one in built] == ["mine", "chrf", "mix"]
    assert built.asked == {"mix"}
    assert registry.origins["mine"] == "given definitions"
    assert built[0].info.signature.startswith("mine|v1|view:raw")


# Building


def test_default_for_json(registry: Registry) -> None:
    built = registry.build("default", registry.task("garment"), Tools())
    ids = [one.info.id for one in built]
    assert built.asked == set(RELEASED) - ON_REQUEST
    assert set(ids) == set(RELEASED) - ON_REQUEST | {"sbert"}  # a part of quality
    assert len(ids) == len(set(ids))
    for index, one in enumerate(built):
        assert set(one.requires) <= set(ids[:index]), "a part stands behind what reads it"


def test_sets_leave_out_what_a_text_task_cannot_have(registry: Registry) -> None:
    built = registry.build("all", TEXT_TASK, Tools())
    families = {registry.definitions[one.info.id].family for one in built}
    assert families == {"text", "semantic", "nli", "composite", "performance"}
    assert "quality_lexical" not in {one.info.id for one in built}
    (named,) = registry.build(["structured_match"], TEXT_TASK, Tools())
    assert named.info.id == "structured_match"


def test_ids_keep_their_order_and_sets_may_stand_among_them(registry: Registry) -> None:
    task = registry.task("garment")
    assert [one.info.id for one in registry.build(["chrf", "bleu", "chrf"], task, Tools())] == ["chrf", "bleu"]
    assert registry.build(["default", *sorted(ON_REQUEST)], task, Tools()).asked == set(RELEASED)


def test_unknown_ids_are_all_named(registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.build(["ruge_l", "bleu", "defualt"], registry.task("garment"), Tools())
    message = str(caught.value)
    assert "unknown metric 'ruge_l'; unknown metric 'defualt'" in message
    assert "did you mean 'rouge_l'?; did you mean 'default'?" in message


def test_a_built_metric_declares_what_its_definition_says(registry: Registry) -> None:
    built = {one.info.id: one.info for one in registry.build("all", registry.task("garment"), Tools())}
    latency = built["latency"]
    assert (latency.low, latency.high, latency.worst, latency.best) == (0, None, None, 0)
    assert (latency.unit, latency.reduction, latency.has_floor, latency.reads_answer) == ("s", "median", False, False)
    assert built["json_parse_rate"].reduction == "rate"
    assert "encoder" in built["sbert"].needs
    assert built["quality"].parameters["json"]["sbert"] == 0.25


# Signatures


def signatures(registry: Registry, task: Task) -> dict[str, str]:
    return {one.info.id: one.info.signature for one in registry.build("all", task, Tools())}


def test_signatures(registry: Registry) -> None:
    found = signatures(registry, registry.task("garment"))
    assert found["structured_match"] == "structured_match|v1|comparator:exact|null:default"
    assert found["rouge_l"] == "rouge_l|v1|view:values|lib:rouge-score-0.1.2|stem:no|null:default"
    assert found["sbert"] == "sbert|v1|encoder:off|null:default"
    assert found["schema_valid_rate"].startswith("schema_valid_rate|v1|schema:")
    assert found == signatures(open_registry(plugins=open_plugins(blocked=["all"])), registry.task("garment"))
    assert len(set(found.values())) == len(found)


def test_another_null_list_is_another_signature(registry: Registry) -> None:
    """The digest: the first 8 hex digits of sha256 over the folded strings, sorted, one a line."""
    expected = hashlib.sha256(b"\nn/a").hexdigest()[:8]
    garment = registry.task("garment")
    own = garment.model_copy(update={"null_values": ("N/A", "")})
    assert signatures(registry, own)["structured_match"] == f"structured_match|v1|comparator:exact|null:{expected}"
    assert signatures(registry, own)["quality"] != signatures(registry, garment)["quality"]
    changed = open_registry(extra=[{"format": 1, "null_values": ["N/A", ""], "metrics": []}])
    assert changed.nulls == {"n/a", ""}
    assert signatures(changed, garment)["structured_match"].endswith(f"|null:{expected}")
    same = garment.model_copy(update={"null_values": tuple(registry.nulls)})
    assert signatures(registry, same)["structured_match"].endswith("|null:default")


def test_a_composite_is_signed_by_its_parts() -> None:
    def mix(version: int) -> str:
        entries = [metric(version=version), composite("mix", "mine", "chrf")]
        registry = open_registry(extra=[{"format": 1, "metrics": entries}])
        return signatures(registry, registry.task("garment"))["mix"]

    assert mix(1) == mix(1)
    assert mix(1) != mix(2)
    assert mix(1).startswith("mix|v1|divide_by:1.0|parts:{chrf=0.5,mine=0.5}|of:")


# Tasks, comparators, endpoints


def test_tasks_by_id_and_by_path(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "hat.json"
    file.write_text('{"id": "hat", "prompt": {"user": "x"}, "fields": {"a": {"comparator": "size"}}}', encoding="utf-8")
    assert registry.task(str(file)).id == registry.task(file).id == "hat"
    with pytest.raises(TaskError, match=r"unknown task 'garmnet'(.|\n)*did you mean 'garment'\?"):
        registry.task("garmnet")
    with pytest.raises(TaskError, match="no such task file"):
        registry.task("no/such.json")


def test_a_task_file_with_comparators_that_are_not_there(registry: Registry, tmp_path: Path) -> None:
    fields = {"a": {"comparator": "fuzy"}, "b": {"comparator": {"kind": "fuzzy", "treshold": 0.5}}, "c": {}}
    file = tmp_path / "hat.json"
    file.write_text(json.dumps({"id": "hat", "prompt": {"user": "x"}, "fields": fields}), encoding="utf-8")
    with pytest.raises(TaskError) as caught:
        registry.task(str(file))
    assert "fields.a.comparator: unknown comparator 'fuzy'; did you mean 'fuzzy'?" in str(caught.value)
    assert "fields.b.comparator: unknown parameter 'treshold'; did you mean 'threshold'?" in str(caught.value)


def test_comparators_of_the_garment_task(registry: Registry) -> None:
    built = registry.comparators(registry.task("garment"), Tools())
    assert tuple(built) == registry.task("garment").keys
    assert built["brand"].pass_mark == 0.85
    assert built["size"].score("M", "medium") == 1.0
    assert built["color"].score("gray", "grey") == 1.0


def test_a_synonym_table_that_does_not_ship(registry: Registry) -> None:
    fields = {"a": {"comparator": {"kind": "synonyms", "table": "garmnet.type"}}}
    task = parse_task({"id": "t", "prompt": {"user": "x"}, "fields": fields}, where="t")
    with pytest.raises(TaskError, match=r"fields\.a\.comparator: .*garmnet"):
        registry.comparators(task, Tools())


def test_endpoints_and_readers(registry: Registry) -> None:
    recorded = registry.endpoint("recorded")
    assert "No model is asked" in (recorded.notice or "")
    assert Path(recorded.data or "").is_file()
    assert registry.task(recorded.task or "").id == "garment"
    assert {"jsonl", "csv", "parquet"} <= {reader.name for reader in registry.readers}
    with pytest.raises(RegistryError, match="did you mean 'recorded'"):
        registry.endpoint("recoded")


def test_a_refused_plugin_is_named_where_something_of_it_is_missed() -> None:
    plugins = open_plugins(blocked=["all"])
    registry = load_registry(plugins)
    plugins.loaded.append(plugins.loaded[0])
    plugins.loaded[1] = type(plugins.loaded[0])("mine", "peakbench-mine", "1", plugins.loaded[0].offers)
    registry = load_registry(plugins)
    with pytest.raises(RegistryError, match=r"plugin 'mine' \(peakbench-mine\) is not used"):
        registry.build("mine_score", registry.task("garment"), Tools())
