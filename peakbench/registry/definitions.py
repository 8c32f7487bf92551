"""Metric definitions: the format of ``peakbench_metrics.json``, and every problem of a file with its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from peakbench.errors import nearest
from peakbench.metrics.base import Family, MetricKind
from peakbench.tasks import unique_keys

SETS = ("all", "default")
"""Names that stand for several metrics where ids are asked for."""


class MetricDefinition(BaseModel):
    """One metric: an id, the kind that computes it, and what it declares.

    ``range``: its two ends, None where unbounded. ``default``: scored where the user names no metrics.
    ``reads_answer``: an answer that cannot be read has the worst value. ``has_floor``: floors are scored for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name in results: a-z, 0-9 and _.")]
    kind: Annotated[str, Field(description="Kind of metric that computes it.")]
    title: Annotated[str, Field(min_length=1, description="Name for people.")]
    description: Annotated[str, Field(description="What the number means, in a sentence or two.")] = ""
    version: Annotated[int, Field(ge=1, description="Rises with every change that changes the number.")] = 1
    family: Annotated[Family, Field(description="Group in tables.")] = "structured"
    range: Annotated[
        tuple[float | None, float | None],
        Field(description="Lowest and highest value; null where that end is unbounded."),
    ]
    higher_is_better: Annotated[bool, Field(description="Direction.")]
    unit: Annotated[str, Field(description="Unit, where the value has one.")] = ""
    reduction: Annotated[
        Literal["mean", "pooled", "rate", "median", "run"],
        Field(description="How a run's value comes from its samples."),
    ] = "mean"
    reads_answer: Annotated[bool, Field(description="Whether an unreadable answer has the worst value.")] = True
    has_floor: Annotated[bool, Field(description="Whether answers without a model are scored too.")] = True
    default: Annotated[bool, Field(description="Whether it is scored where no metric is named.")] = False
    parameters: Annotated[dict[str, Any], Field(description="Parameters of the kind.")] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _range_and_id_are_usable(self) -> MetricDefinition:
        low, high = self.range
        if low is not None and high is not None and not low < high:
            raise ValueError(f"range [{low:g}, {high:g}] is empty; expected [low, high] with low < high")
        if self.id in SETS:
            raise ValueError(f"the id '{self.id}' names a set of metrics; expected another id")
        return self


class DefinitionFile(BaseModel):
    """A file of metric definitions, such as ``peakbench_metrics.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="PeakBench metric definitions")
    schema_: Annotated[str | None, Field(alias="$schema", description="Where editors find the schema.")] = None
    format: Annotated[Literal[1], Field(description="Version of this file's format.")]
    null_values: Annotated[
        tuple[str, ...] | None,
        Field(description="Strings that mean null; case, and spaces around them, do not count."),
    ] = None
    metrics: tuple[MetricDefinition, ...]


def definitions_schema(kinds: Iterable[MetricKind] = ()) -> dict[str, Any]:
    """Return the JSON schema of a definition file, for editors; the given kinds complete with their parameters.

    >>> sorted(definitions_schema()["required"])
    ['format', 'metrics']
    """
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **DefinitionFile.model_json_schema()}
    shapes, names = [], []
    for kind in kinds:
        parameters = kind.parameters.model_json_schema()
        schema["$defs"].update(parameters.pop("$defs", {}))
        kept = {key: parameters[key] for key in ("properties", "required", "additionalProperties") if key in parameters}
        names.append(kind.name)
        shapes.append(
            {"if": {"properties": {"kind": {"const": kind.name}}}, "then": {"properties": {"parameters": kept}}}
        )
    definition = schema["$defs"]["MetricDefinition"]
    if shapes:
        definition["properties"]["kind"]["examples"] = names
        definition["allOf"] = shapes
    for one in (schema, *schema["$defs"].values()):
        if "description" in one:
            one["description"] = one["description"].split("\n\n")[0]
    return schema


@dataclass(frozen=True, slots=True)
class Entry:
    """A definition as it stands in a source: ``place`` is ``metrics[3] 'quality'``, ``owner`` a plugin or a file."""

    definition: MetricDefinition
    place: str
    owner: str


@dataclass(frozen=True, slots=True)
class Source:
    """One source of definitions, read: what is usable in it, and its problems, one line each."""

    owner: str
    where: str
    entries: tuple[Entry, ...]
    null_values: tuple[str, ...] | None
    problems: tuple[str, ...]


def read_source(source: Path | Mapping[str, Any], *, owner: str) -> Source:
    """Read definitions from a file or a mapping; nothing is raised, every problem is listed.

    >>> read_source({"format": 1, "metrics": [{"id": "a", "kind": "bleu", "title": "A"}]}, owner="me").problems
    ("metrics[0] 'a': range: missing", "metrics[0] 'a': higher_is_better: missing")
    """
    if isinstance(source, Path):
        where = str(source)
        try:
            value = json.loads(source.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
        except FileNotFoundError:
            return Source(owner, where, (), None, ("no such file",))
        except json.JSONDecodeError as error:
            return Source(
                owner, where, (), None, (f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}",)
            )
        except (OSError, ValueError, RecursionError) as error:
            return Source(owner, where, (), None, (f"cannot be read: {error}",))
    else:
        where, value = f"definitions of '{owner}'", source
    if not isinstance(value, Mapping):
        return Source(owner, where, (), None, ("not a JSON object; expected {'format': 1, 'metrics': [...]}",))
    raw = value.get("metrics")
    raw = raw if isinstance(raw, list | tuple) else []
    try:
        DefinitionFile.model_validate(value)
        problems: list[str] = []
    except ValidationError as error:
        problems = [_line(item, raw) for item in error.errors()]
    entries = []
    for index, one in enumerate(raw):
        try:
            definition = MetricDefinition.model_validate(one)
        except ValidationError:
            continue
        entries.append(Entry(definition, place(index, one), owner))
    nulls = value.get("null_values")
    if not isinstance(nulls, list | tuple) or not all(isinstance(one, str) for one in nulls):
        nulls = None
    return Source(owner, where, tuple(entries), None if nulls is None else tuple(nulls), tuple(problems))


def place(index: int, raw: object) -> str:
    """Name an entry by position and id.

    >>> place(3, {"id": "quality"}), place(4, "quality")
    ("metrics[3] 'quality'", 'metrics[4]')
    """
    name = raw.get("id") if isinstance(raw, Mapping) else None
    return f"metrics[{index}] '{name}'" if isinstance(name, str) else f"metrics[{index}]"


def parameters_of(kind: MetricKind, entry: Entry) -> tuple[BaseModel | None, list[str]]:
    """Validate a definition's parameters against its kind: the parameters, or None and the problems."""
    owner = f"kind '{kind.name}'"
    try:
        return kind.parameters.model_validate(entry.definition.parameters), []
    except ValidationError as error:
        return None, [parameter_problem(item, kind.parameters, owner) for item in error.errors()]


def parameter_problem(item: Mapping[str, Any], model: type[BaseModel], owner: str) -> str:
    """Say what is wrong with one parameter, from one item of a pydantic error.

    >>> from peakbench.metrics.base import NoParameters
    >>> parameter_problem({"type": "extra_forbidden", "loc": ("x",), "msg": ""}, NoParameters, "kind 'bleu'")
    "unknown parameter 'x'; kind 'bleu' has no parameters"
    """
    name = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        if len(item["loc"]) == 1:
            known = [field.alias or key for key, field in model.model_fields.items()]
            hint = nearest(name, known) if known else f"{owner} has no parameters"
            return f"unknown parameter '{name}'; {hint}"
        return f"unknown parameter '{name}'"
    return f"parameter '{name}': {_message(item)}" if name else _message(item)


def cycles(requires: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Return the cycles of composites, each once, beginning with its first id in the order given.

    >>> cycles({"a": ["b"], "b": ["c"], "c": ["b"], "d": ["d"]})
    [('b', 'c'), ('d',)]
    """
    found: list[tuple[str, ...]] = []
    done: set[str] = set()
    for start in requires:
        path: list[str] = []
        stack = [(start, iter(requires.get(start, ())))] if start not in done else []
        path.extend(name for name, _ in stack)
        while stack:
            part = next(stack[-1][1], None)
            if part is None:
                done.add(stack.pop()[0])
                path.pop()
            elif part in path:
                found.append(tuple(path[path.index(part) :]))
            elif part not in done:
                stack.append((part, iter(requires.get(part, ()))))
                path.append(part)
    return found


def _line(item: Mapping[str, Any], raw: list[Any] | tuple[Any, ...]) -> str:
    loc = item["loc"]
    inside = len(loc) > 1 and loc[0] == "metrics" and isinstance(loc[1], int)
    parts = [place(loc[1], raw[loc[1]])] if inside else []
    rest = ".".join(str(part) for part in loc[2 if inside else 0 :])
    if item["type"] == "extra_forbidden":
        model = MetricDefinition if inside else DefinitionFile
        known = [field.alias or name for name, field in model.model_fields.items()]
        return ": ".join([*parts, f"unknown key '{rest}'; {nearest(rest, known)}"])
    return ": ".join([*parts, *([rest] if rest else []), _message(item)])


def _message(item: Mapping[str, Any]) -> str:
    if item["type"] == "missing":
        return "missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "value_error":
        return message
    message = message.removeprefix("Input should be ").removeprefix("String should ")
    given = json.dumps(item["input"], default=lambda value: type(value).__name__)
    if item["type"] in {"literal_error", "enum"}:
        wanted = list(str(item["ctx"]["expected"]).replace(" or ", ", ").replace("'", "").split(", "))
        hint = nearest(str(item["input"]), wanted)
        near = f"; {hint}" if hint.startswith("did") else ""
        return f"{given} is not known; expected {item['ctx']['expected']}{near}"
    return f"{given} cannot be used; expected: {message}"
