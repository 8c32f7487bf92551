"""Plugins: found by entry point, loaded one by one, refused one by one.

A plugin that cannot be imported, implements a hook that is not there, or raises when it is asked what it offers, is
set aside with its reason; nothing it offered is used, and the run goes on. Nothing is printed here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakbench import __version__
from peakbench.errors import PluginError, nearest

if TYPE_CHECKING:  # the command line asks this room for commands at every start: it must cost next to nothing
    from importlib.metadata import EntryPoint

    import pluggy

    from peakbench.client.base import EndpointProvider
    from peakbench.datasets import Reader
    from peakbench.destinations import Destination
    from peakbench.metrics.base import ComparatorKind, MetricKind
    from peakbench.sections import ReportSection
    from peakbench.tasks import Task

PROJECT = "peakbench"
"""The name of PeakBench's hooks, and that of the plugin which brings what ships."""

GROUP = "peakbench"
"""Entry points of this group are plugins: a module or an object with hook implementations."""

COMMANDS_GROUP = "peakbench.commands"
"""Entry points of this group are click commands, imported only when they are called."""

DISABLE = "PEAKBENCH_DISABLE_PLUGINS"
"""Environment variable: ``1`` or ``all`` loads no plugin, a comma-separated list leaves those names out."""

BUILTIN = PROJECT


@dataclass(frozen=True, slots=True)
class SectionWriter:
    """A plugin's function that writes sections of a page; called with the run, a ``ReportSource``.

    Raises:
        PluginError: it returned something else than sections. What it raises itself is passed on.
    """

    name: str
    function: Callable[..., Iterable[object] | None]
    takes_run: bool

    def __call__(self, run: Any) -> tuple[ReportSection, ...]:
        """Return the sections that the plugin has for a run."""
        from peakbench.sections import ReportSection

        given = self.function(run) if self.takes_run else self.function()
        return _checked("report_sections", given, (ReportSection,))


@dataclass(frozen=True, slots=True)
class Offers:
    """What one plugin offers, one tuple a hook; ``report_sections`` holds what is called when a page is written."""

    metric_kinds: tuple[MetricKind, ...] = ()
    metric_definitions: tuple[Path | Mapping[str, Any], ...] = ()
    comparators: tuple[ComparatorKind, ...] = ()
    tasks: tuple[Path | Task, ...] = ()
    readers: tuple[Reader, ...] = ()
    endpoints: tuple[EndpointProvider, ...] = ()
    destinations: tuple[Destination, ...] = ()
    report_sections: tuple[SectionWriter, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin in use. ``distribution`` and ``version`` are empty for one that no package brought."""

    name: str
    distribution: str
    version: str
    offers: Offers


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugin that is not used, and why.

    >>> print(Broken("demo", "peakbench-demo", "ImportError: no module named 'x'"))
    plugin 'demo' (peakbench-demo) is not used: ImportError: no module named 'x'
    """

    name: str
    distribution: str
    reason: str

    def __str__(self) -> str:
        return f"plugin '{self.name}' ({self.distribution or 'no package'}) is not used: {self.reason}"


@dataclass(slots=True)
class Plugins:
    """The plugins of this process: ``loaded`` in the order in which they count, built-ins first; broken; blocked."""

    loaded: list[Loaded] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    def refuse(self, name: str, reason: str) -> None:
        """Take a loaded plugin out of use, with everything it offers."""
        for plugin in [plugin for plugin in self.loaded if plugin.name == name]:
            self.loaded.remove(plugin)
            self.broken.append(Broken(plugin.name, plugin.distribution, reason))

    def require(self, name: str) -> Loaded:
        """Return a loaded plugin that was asked for by name.

        Raises:
            PluginError: it is not installed, blocked, or broken (with the reason).
        """
        for plugin in self.loaded:
            if plugin.name == name:
                return plugin
        for broken in self.broken:
            if broken.name == name:
                raise PluginError(str(broken), hint="see: peakbench plugins")
        if name in self.blocked:
            raise PluginError(f"plugin '{name}' is blocked", hint=f"look at {DISABLE} and at the block list")
        raise PluginError(f"no plugin '{name}' is installed", hint=nearest(name, [p.name for p in self.loaded]))


def load_plugins(builtins: object | None = None, *, blocked: Collection[str] = ()) -> Plugins:
    """Load every installed plugin, each on its own.

    Args:
        builtins: the object whose hooks give what ships; registered first, under the name ``peakbench``.
        blocked: names of entry points to leave out; the environment variable ``PEAKBENCH_DISABLE_PLUGINS`` adds to it.

    Returns:
        what was loaded, what is broken and what was blocked. A fault of a plugin is never raised.

    >>> load_plugins(blocked=["all"]).loaded
    []
    """
    import pluggy

    from peakbench import hookspecs

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    plugins = Plugins()
    if builtins is not None:
        plugins.loaded.append(Loaded(BUILTIN, PROJECT, __version__, _offers(manager, BUILTIN, builtins)))
    block = {*blocked, *_disabled()}
    for entry_point in _entry_points(GROUP):
        name, (distribution, version) = entry_point.name, _distribution(entry_point)
        if "all" in block or name in block:
            plugins.blocked.append(name)
            continue
        taken = next((plugin for plugin in plugins.loaded if plugin.name == name), None)
        if taken is not None:
            reason = f"the name '{name}' is taken by the package '{taken.distribution}'"
            plugins.broken.append(Broken(name, distribution, reason))
            continue
        try:
            offers = _offers(manager, name, entry_point.load())
        except (Exception, SystemExit) as error:  # whatever a plugin does wrong is its own fault, not the run's
            plugins.broken.append(Broken(name, distribution, _reason(error)))
        else:
            plugins.loaded.append(Loaded(name, distribution, version, offers))
    return plugins


def commands() -> dict[str, EntryPoint]:
    """Return the commands that plugins add, by name, none of them imported; blocked plugins' commands are left out.

    Where two packages give one name, the first by package name counts.

    >>> all(name == entry_point.name for name, entry_point in commands().items())
    True
    """
    block = _disabled()
    if "all" in block:
        return {}
    found: dict[str, EntryPoint] = {}
    for entry_point in _entry_points(COMMANDS_GROUP):
        if entry_point.name not in block:
            found.setdefault(entry_point.name, entry_point)
    return found


def _entry_points(group: str) -> list[EntryPoint]:
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda one: (one.name, _distribution(one)[0]))


def _disabled() -> set[str]:
    names = {name.strip() for name in os.environ.get(DISABLE, "").split(",")} - {"", "0", "false"}
    return {"all"} if names & {"1", "true", "all"} else names


def _distribution(entry_point: EntryPoint) -> tuple[str, str]:
    return (entry_point.dist.name, entry_point.dist.version) if entry_point.dist else ("", "")


def _offered() -> dict[str, tuple[type, ...]]:
    """What the items that a hook returns must be; the hook is named ``peakbench_`` and the key."""
    from peakbench.client.base import EndpointProvider
    from peakbench.datasets import Reader
    from peakbench.destinations import Destination
    from peakbench.metrics.base import ComparatorKind, MetricKind
    from peakbench.tasks import Task

    return {
        "metric_kinds": (MetricKind,),
        "metric_definitions": (Path, Mapping),
        "comparators": (ComparatorKind,),
        "tasks": (Path, Task),
        "readers": (Reader,),
        "endpoints": (EndpointProvider,),
        "destinations": (Destination,),
    }


def _offers(manager: pluggy.PluginManager, name: str, plugin: object) -> Offers:
    """Register one plugin and ask it, alone, what it offers; on any fault it is unregistered again."""
    offered = _offered()
    try:
        manager.register(plugin, name=name)
        for caller in manager.get_hookcallers(plugin) or ():
            if caller.spec is None:
                raise PluginError(
                    f"implements '{caller.name}', which is not a hook of PeakBench; "
                    + nearest(caller.name, (f"{PROJECT}_{key}" for key in (*offered, "report_sections")))
                )
        given = {key: _ask(manager, plugin, key, kinds) for key, kinds in offered.items()}
        sections = _sections(manager, plugin)
        if sections is None and not any(items is not None for items in given.values()):
            raise PluginError("implements no hook; mark its functions with peakbench.hookimpl")
        return Offers(**{key: items or () for key, items in given.items()}, report_sections=sections or ())
    except BaseException:
        if manager.has_plugin(name):
            manager.unregister(name=name)
        raise


def _ask(manager: pluggy.PluginManager, plugin: object, key: str, kinds: tuple[type, ...]) -> tuple[Any, ...] | None:
    """Call one hook of one plugin and check what it returns; None where the plugin does not implement it."""
    found = _implemented(manager, plugin, key)
    return None if found is None else _checked(key, found[0](), kinds)


def _implemented(
    manager: pluggy.PluginManager, plugin: object, key: str
) -> tuple[Callable[..., Iterable[object] | None], tuple[str, ...]] | None:
    """Return the function by which a plugin implements a hook, with the arguments it takes."""
    hook = f"{PROJECT}_{key}"
    impl = next((i for i in getattr(manager.hook, hook).get_hookimpls() if i.plugin is plugin), None)
    if impl is None:
        return None
    if impl.hookwrapper or impl.wrapper:
        raise PluginError(f"'{hook}' is a wrapper; PeakBench asks each plugin on its own, so nothing can be wrapped")
    return impl.function, tuple(impl.argnames)


def _checked(key: str, given: Iterable[object] | None, kinds: tuple[type, ...]) -> tuple[Any, ...]:
    items = tuple(given or ())
    for item in items:
        if not isinstance(item, kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise PluginError(f"'{PROJECT}_{key}' returned {type(item).__name__}; expected items of {expected}")
    return items


def _sections(manager: pluggy.PluginManager, plugin: object) -> tuple[SectionWriter, ...] | None:
    """Return what writes a plugin's sections; unlike the other hooks it is called later, with the run of a page."""
    found = _implemented(manager, plugin, "report_sections")
    if found is None:
        return None
    function, arguments = found
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__name__', '')}"
    return (SectionWriter(name, function, bool(arguments)),)


def _reason(error: BaseException) -> str:
    if isinstance(error, PluginError):
        return error.what
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
