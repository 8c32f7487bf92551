"""How a registry comes together: what ships, then plugins by name, then the user's own definitions.

A fault in what ships or in the user's file is an error that names every problem at once. A fault in what a plugin
offers (a name that is taken, a definition or a task that cannot be used) takes that plugin out of use, and
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from peakbench.client.base import EndpointProvider
from peakbench.datasets import Reader
from peakbench.errors import RegistryError, TaskError, nearest
from peakbench.metrics.base import ComparatorKind, MetricKind
from peakbench.plugins import BUILTIN, Loaded, Plugins
from peakbench.registry.catalogue import Registry, task_problems
from peakbench.registry.definitions import Entry, Source, cycles, parameters_of, read_source
from peakbench.tasks import Task, load_task_file
from peakbench.values import fold_nulls


def load_registry(plugins: Plugins, extra: Iterable[Path | Mapping[str, Any]] = ()) -> Registry:
    """Put a registry together.

    Args:
        plugins: what was loaded; a plugin whose offers cannot be used is moved to ``plugins.broken``.
        extra: the user's own definitions, files or mappings. One that gives ``null_values`` replaces the null list.

    Raises:
        RegistryError: definitions that ship or are the user's cannot be used: one line a problem, with file, entry,
            what was expected and the nearest known name.
    """
    sources = list(extra)
    while True:
        draft = _Draft()
        for plugin in plugins.loaded:
            draft.add_plugin(plugin)
        for source in sources:
            draft.add_source(read_source(source, owner=_owner(source)), by_user=True)
        draft.resolve()
        culprit = next((one.name for one in plugins.loaded if one.name != BUILTIN and draft.problems.get(one.name)), "")
        if not culprit:
            break
        plugins.refuse(culprit, "; ".join(draft.problems[culprit]))
    problems = [line for lines in draft.problems.values() for line in lines]
    if len(problems) == 1:
        raise RegistryError(problems[0], hint="see: peakbench metrics list")
    if problems:
        listed = "".join(f"\n  {line}" for line in problems)
        raise RegistryError(
            f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in metric definitions{listed}",
            hint="see: peakbench metrics list",
        )
    return draft.registry(plugins)


def _owner(source: Path | Mapping[str, Any]) -> str:
    return str(source) if isinstance(source, Path) else "given definitions"


@dataclass(slots=True)
class _Draft:
    """A registry being put together; ``problems`` by owner (a plugin's name, or the user's file)."""

    problems: dict[str, list[str]] = field(default_factory=dict)
    kinds: dict[str, MetricKind] = field(default_factory=dict)
    comparators: dict[str, ComparatorKind] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, BaseModel] = field(default_factory=dict)
    requires: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    readers: dict[str, Reader] = field(default_factory=dict)
    endpoints: dict[str, EndpointProvider] = field(default_factory=dict)
    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    shipped_nulls: tuple[str, ...] = ()
    nulls: tuple[str, ...] | None = None

    def add_plugin(self, plugin: Loaded) -> None:
        """Take in everything that one plugin offers."""
        for kind in plugin.offers.metric_kinds:
            self._add("kind", self.kinds, kind.name, kind, plugin.name)
        for comparator in plugin.offers.comparators:
            self._add("comparator", self.comparators, comparator.name, comparator, plugin.name)
        for reader in plugin.offers.readers:
            self._add("reader", self.readers, reader.name, reader, plugin.name)
            for ending in reader.endings:
                self._add("file ending", {}, ending, None, plugin.name)
        for endpoint in plugin.offers.endpoints:
            self._add("endpoint", self.endpoints, endpoint.name, endpoint, plugin.name)
        for offered in plugin.offers.tasks:
            try:
                task = load_task_file(offered) if isinstance(offered, Path) else offered
            except TaskError as error:
                self._problem(plugin.name, str(error).replace("\n  ", "; "))
            else:
                self._add("task", self.tasks, task.id, task, plugin.name)
        for source in plugin.offers.metric_definitions:
            self.add_source(read_source(source, owner=plugin.name))

    def add_source(self, source: Source, *, by_user: bool = False) -> None:
        """Take in one file of definitions. The owner is the plugin's name, or the file's where a user gave it."""
        for line in source.problems:
            self._problem(source.owner, f"{source.where}: {line}")
        for entry in source.entries:
            name = entry.definition.id
            first = self.entries.get(name)
            if first is not None:
                line = f"duplicate id; it is defined in {self.where[name]}: {first.place}; choose another"
                self._problem(source.owner, f"{source.where}: {entry.place}: {line}")
                continue
            self.entries[name] = entry
            self.where[name] = source.where
        if source.null_values is None:
            return
        if source.owner == BUILTIN:
            self.shipped_nulls = source.null_values
        elif by_user:
            self.nulls = source.null_values
        else:
            self._problem(
                source.owner, f"{source.where}: null_values: a plugin cannot change the null list; a task can"
            )

    def resolve(self) -> None:
        """Check what can only be checked once everything is in: kinds, parameters, parts, cycles, tasks."""
        requires = self.requires
        for name, entry in self.entries.items():
            definition = entry.definition
            kind = self.kinds.get(definition.kind)
            if kind is None:
                hint = nearest(definition.kind, self.kinds)
                self._entry_problem(entry, f"unknown kind '{definition.kind}'; {hint}")
                continue
            parameters, problems = parameters_of(kind, entry)
            for line in problems:
                self._entry_problem(entry, line)
            if parameters is None:
                continue
            self.parameters[name] = parameters
            try:
                requires[name] = tuple(dict.fromkeys(kind.requires(parameters))) if kind.requires else ()
            except Exception as error:  # a plugin's code
                self._entry_problem(entry, f"its kind cannot say what it requires: {type(error).__name__}: {error}")
                continue
            for part in requires[name]:
                if part not in self.entries:
                    self._entry_problem(entry, f"unknown part '{part}'; {nearest(part, self.entries)}")
        for cycle in cycles(requires):
            names = " -> ".join([*cycle, cycle[0]])
            last = max(cycle, key=list(self.entries).index)
            self._entry_problem(self.entries[last], f"the parts go round in a circle: {names}")
        for task in self.tasks.values():
            for line in task_problems(task, self.comparators):
                self._problem(self.owners["task", task.id], f"task '{task.id}': {line}")

    def registry(self, plugins: Plugins) -> Registry:
        """Return what was put together."""
        shipped = fold_nulls(self.shipped_nulls)
        return Registry(
            definitions={name: entry.definition for name, entry in self.entries.items()},
            parameters=self.parameters,
            origins={name: entry.owner for name, entry in self.entries.items()},
            kind_origins={name: self.owners["kind", name] for name in self.kinds},
            requires=self.requires,
            kinds=self.kinds,
            comparator_kinds=self.comparators,
            tasks=self.tasks,
            readers=tuple(self.readers.values()),
            endpoints=self.endpoints,
            nulls=shipped if self.nulls is None else fold_nulls(self.nulls),
            shipped_nulls=shipped,
            plugins=plugins,
        )

    def _add(self, what: str, names: dict[str, Any], name: str, value: object, owner: str) -> None:
        taken = self.owners.setdefault((what, name), owner)
        if taken != owner or name in names:
            self._problem(owner, f"the {what} '{name}' is already offered by '{taken}'")
        else:
            names[name] = value

    def _entry_problem(self, entry: Entry, line: str) -> None:
        self._problem(entry.owner, f"{self.where[entry.definition.id]}: {entry.place}: {line}")

    def _problem(self, owner: str, line: str) -> None:
        self.problems.setdefault(owner, []).append(line)
