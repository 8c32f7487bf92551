"""The registry itself: everything that has a name, and metrics and comparators built for a task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from peakbench.client.base import EndpointProvider
from peakbench.datasets import Reader
from peakbench.errors import InputError, MissingDependency, RegistryError, TaskError, nearest
from peakbench.metrics.base import (
    Batch,
    Comparator,
    ComparatorKind,
    Metric,
    MetricInfo,
    MetricKind,
    Scores,
    Setting,
    Tools,
)
from peakbench.metrics.structured import field_signature
from peakbench.plugins import BUILTIN, Plugins
from peakbench.registry.definitions import SETS, MetricDefinition, cycles, parameter_problem
from peakbench.tasks import Task, load_task_file
from peakbench.values import fold_nulls


class BuiltMetrics(list[Metric]):
    """Metrics in the order in which they are scored; ``asked`` holds the ids that were asked for, not only needed."""

    def __init__(self, metrics: Iterable[Metric], asked: Iterable[str]) -> None:
        super().__init__(metrics)
        self.asked = frozenset(asked)


@dataclass(frozen=True, slots=True)
class _Unbuilt:
    """Stands for a metric that could not be built: every row is unscored, with the reason."""

    info: MetricInfo
    reason: str
    requires: tuple[str, ...] = ()

    def score_batch(self, batch: Batch) -> Scores:
        return Scores.none(len(batch), self.reason)


@dataclass(frozen=True, slots=True, repr=False)
class Registry:
    """Everything that has a name.

    ``definitions``, ``kinds``, ``comparator_kinds``, ``tasks``, ``endpoints`` go by name, built-ins first.
    ``origins``: metric id -> the plugin or file that defines it; ``kind_origins``: kind -> the plugin that offers it.
    ``requires``: metric id -> ids that it can read, by its definition. ``nulls``: the folded default null list.
    ``shipped_nulls``: the list that ships, which a signature calls ``null:default``.
    """

    definitions: Mapping[str, MetricDefinition]
    parameters: Mapping[str, BaseModel]
    origins: Mapping[str, str]
    kind_origins: Mapping[str, str]
    requires: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, MetricKind]
    comparator_kinds: Mapping[str, ComparatorKind]
    tasks: Mapping[str, Task]
    readers: tuple[Reader, ...]
    endpoints: Mapping[str, EndpointProvider]
    nulls: frozenset[str]
    shipped_nulls: frozenset[str]
    plugins: Plugins

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all metrics, in the order of their definitions."""
        return tuple(self.definitions)

    def nulls_of(self, task: Task) -> frozenset[str]:
        """Return the null list in force for a task, folded: its own where it has one."""
        return self.nulls if task.null_values is None else fold_nulls(task.null_values)

    def build(self, ids: str | Sequence[str], task: Task, tools: Tools) -> BuiltMetrics:
        """Build metrics for a task, parts of composites included, dependencies first.

        Args:
            ids: ``"all"``, ``"default"`` (the metrics so marked), or ids; a set leaves out what a text task cannot
                have. Sets may stand among ids.
            task: what is asked; decides the null list.
            tools: the models at hand. A metric without its model is built too, and gives unscored rows.

        Returns:
            the metrics, with the ids that were asked for in ``asked``.

        Raises:
            RegistryError: an unknown id, with the nearest; parts that need each other.
        """
        wanted = [ids] if isinstance(ids, str) else list(ids)
        unknown = [name for name in wanted if name not in self.definitions and name not in SETS]
        if unknown:
            raise RegistryError(
                "; ".join(f"unknown metric '{name}'" for name in unknown),
                expected="ids of metrics, 'default' or 'all'",
                hint="; ".join([nearest(name, [*self.ids, *SETS]) for name in unknown] + self._refused()),
            )
        setting = Setting(task=task, nulls=self.nulls_of(task), tools=tools)
        built: dict[str, Metric] = {}
        asked = [
            one for name in wanted for one in self._members(name) if name not in SETS or self._fits(one, setting, built)
        ]
        graph = self._graph(asked, setting, built)
        for cycle in cycles(graph):
            raise RegistryError(f"metrics need each other: {' -> '.join([*cycle, cycle[0]])}")
        order: dict[str, Metric] = {}

        def place(name: str) -> None:
            for part in graph[name]:
                if part not in order:
                    place(part)
            order[name] = built[name]

        for name in asked:
            place(name)
        return BuiltMetrics(order.values(), asked)

    def comparators(self, task: Task, tools: Tools) -> dict[str, Comparator]:
        """Build the comparator of each field of a task, by field name.

        Raises:
            TaskError: every unknown comparator and parameter, with its field and the nearest name.
        """
        problems = task_problems(task, self.comparator_kinds)
        if problems:
            raise TaskError("; ".join(problems), where=f"task '{task.id}'", hint="see: peakbench task show garment")
        built = {}
        for name, one in task.fields.items():
            kind = self.comparator_kinds[one.comparator.kind]
            try:
                built[name] = kind.build(kind.parameters.model_validate(one.comparator.parameters), tools)
            except InputError as error:
                problems.append(f"fields.{name}.comparator: {_one_line(error)}")
        if problems:
            raise TaskError("; ".join(problems), where=f"task '{task.id}'")
        return built

    def task(self, name_or_path: str | Path) -> Task:
        """Return a task by id, or from a ``.json`` file.

        Raises:
            TaskError: there is none such (with the nearest), or the file is not a task that can be used.
        """
        name = str(name_or_path)
        if name in self.tasks and not isinstance(name_or_path, Path):
            return self.tasks[name]
        path = Path(name_or_path)
        if isinstance(name_or_path, str) and path.suffix != ".json" and not path.is_file():
            hint = "; ".join([nearest(name, self.tasks), *self._refused()])
            raise TaskError(f"unknown task '{name}'", expected="the id of a task, or a .json file", hint=hint)
        task = load_task_file(path)
        problems = task_problems(task, self.comparator_kinds)
        if problems:
            raise TaskError("; ".join(problems), where=name, hint="see: peakbench task show garment")
        return task

    def endpoint(self, name: str) -> EndpointProvider:
        """Return an endpoint by name.

        Raises:
            RegistryError: there is none such, with the nearest.
        """
        if name not in self.endpoints:
            hint = "; ".join([nearest(name, self.endpoints), *self._refused()])
            raise RegistryError(f"unknown endpoint '{name}'", expected="a URL or the name of an endpoint", hint=hint)
        return self.endpoints[name]

    def _refused(self) -> list[str]:
        return [str(broken) for broken in self.plugins.broken]

    def _members(self, name: str) -> Iterable[str]:
        if name == "all":
            return self.definitions
        if name == "default":
            return [one.id for one in self.definitions.values() if one.default]
        return [name]

    def _fits(self, name: str, setting: Setting, built: dict[str, Metric]) -> bool:
        """Whether a metric of a set can say something about the task's answers: text has no fields and no schema."""
        if setting.task.answer == "json":
            return True
        families = {self.definitions[part].family for part in self._graph([name], setting, built)}
        return not families & {"structured", "validity"}

    def _graph(self, ids: Iterable[str], setting: Setting, built: dict[str, Metric]) -> dict[str, tuple[str, ...]]:
        """Build metrics and, as far down as it goes, those that they require; return who requires whom."""
        graph: dict[str, tuple[str, ...]] = {}
        waiting = list(ids)
        while waiting:
            name = waiting.pop()
            if name in graph:
                continue
            self._build_one(name, setting, built)
            absent = [part for part in built[name].requires if part not in self.definitions]
            if absent:
                built[name] = _Unbuilt(built[name].info, f"it requires '{absent[0]}', which is not defined")
            graph[name] = built[name].requires
            waiting.extend(graph[name])
        return graph

    def _build_one(self, name: str, setting: Setting, built: dict[str, Metric]) -> None:
        """Build a metric, and before it those that it can read, whose signatures its own depends on."""
        if name in built:
            return
        definition = self.definitions[name]
        kind = self.kinds[definition.kind]
        signature = self.signature(name)
        parts = [part for part in self.requires[name] if part in self.definitions]
        if parts:
            for part in parts:
                self._build_one(part, setting, built)
            signature += f"|of:{_digest(built[part].info.signature for part in parts)}"
        if "reference" in kind.needs:
            signature += f"|null:{self._nulls_name(setting.nulls)}"
        info = MetricInfo(
            id=name,
            title=definition.title,
            family=definition.family,
            low=definition.range[0],
            high=definition.range[1],
            higher_is_better=definition.higher_is_better,
            signature=signature,
            description=definition.description or kind.description,
            unit=definition.unit,
            needs=kind.needs,
            reduction=definition.reduction,
            reads_answer=definition.reads_answer,
            has_floor=definition.has_floor,
            version=definition.version,
            parameters=self.parameters[name].model_dump(mode="json", by_alias=True),
        )
        try:
            built[name] = kind.build(info, self.parameters[name], setting)
        except MissingDependency as error:
            built[name] = _Unbuilt(info, _one_line(error))
        except Exception as error:
            if self.kind_origins[kind.name] == BUILTIN:
                raise
            reason = f"could not be built (plugin '{self.kind_origins[kind.name]}'): {type(error).__name__}: {error}"
            built[name] = _Unbuilt(info, reason)

    def _nulls_name(self, nulls: frozenset[str]) -> str:
        return "default" if nulls == self.shipped_nulls else _digest(nulls)

    def field_signatures(self, task: Task, tools: Tools) -> dict[str, str]:
        """Return each field's signature: everything that changes its score; different ones are never compared."""
        setting = Setting(task=task, nulls=self.nulls_of(task), tools=tools)
        nulls = self._nulls_name(setting.nulls)
        return {name: field_signature(name, setting, nulls=nulls) for name in task.fields}

    def signature(self, name: str) -> str:
        """Return what a definition alone says about a metric's number: id, version, parameters.

        A built metric's signature goes on with ``of:`` and a digest of its parts' signatures where it is a composite,
        with the null list where it needs a reference, and with what its kind adds: comparators, libraries, models.
        """
        definition = self.definitions[name]
        parameters = self.parameters[name].model_dump(mode="json", by_alias=True, exclude_none=True)
        parts = [name, f"v{definition.version}", *(f"{key}:{_form(parameters[key])}" for key in sorted(parameters))]
        return "|".join(parts)


def _form(value: object) -> str:
    """A parameter in a signature: ``a=1,b=2`` for a mapping, ``a,b`` for a list, the same text on every machine."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}={_form(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_form(item) for item in value) + "]"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _one_line(error: InputError) -> str:
    return str(error).replace("\n  ", "; ")


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:8]


def task_problems(task: Task, kinds: Mapping[str, ComparatorKind]) -> list[str]:
    """List every field of a task whose comparator is unknown or has parameters that it cannot use."""
    problems = []
    for name, one in task.fields.items():
        spec, place = one.comparator, f"fields.{name}.comparator"
        kind = kinds.get(spec.kind)
        if kind is None:
            problems.append(f"{place}: unknown comparator '{spec.kind}'; {nearest(spec.kind, kinds)}")
            continue
        try:
            kind.parameters.model_validate(spec.parameters)
        except ValidationError as error:
            owner = f"comparator '{kind.name}'"
            problems.extend(f"{place}: {parameter_problem(item, kind.parameters, owner)}" for item in error.errors())
    return problems
