"""The hooks a plugin may implement. Built-ins come through the same hooks (see ``builtins.py``).

A plugin is an installed package with an entry point in the group ``peakbench``. Commands have a group of their own,
``peakbench.commands``: name -> a click command, loaded only when it is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from peakbench.client.base import EndpointProvider
from peakbench.datasets import Reader
from peakbench.destinations import Destination
from peakbench.metrics.base import ComparatorKind, MetricKind
from peakbench.sections import ReportSection
from peakbench.tasks import Task

if TYPE_CHECKING:  # a room far above this one, which is only loaded where a page is written
    from peakbench.report.html.source import ReportSource

PROJECT = "peakbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def peakbench_metric_kinds() -> Iterable[MetricKind]:  # type: ignore[empty-body]
    """Kinds of metric: a name, its parameters, and what builds one."""


@hookspec
def peakbench_metric_definitions() -> Iterable[Path | Mapping[str, Any]]:  # type: ignore[empty-body]
    """Metric definitions: files in the format of peakbench_metrics.json, or the same as mappings."""


@hookspec
def peakbench_comparators() -> Iterable[ComparatorKind]:  # type: ignore[empty-body]
    """Kinds of field comparator."""


@hookspec
def peakbench_tasks() -> Iterable[Path | Task]:  # type: ignore[empty-body]
    """Tasks, as files or objects."""


@hookspec
def peakbench_readers() -> Iterable[Reader]:  # type: ignore[empty-body]
    """Data-set readers: by file ending, or by a ``scheme:`` in front of the name."""


@hookspec
def peakbench_endpoints() -> Iterable[EndpointProvider]:  # type: ignore[empty-body]
    """Endpoints by name, started for a run and stopped after it."""


@hookspec
def peakbench_report_sections(run: ReportSource) -> Iterable[ReportSection]:  # type: ignore[empty-body]
    """Sections of a run's page, asked for when it is written. ``run.second`` is set on the page of a comparison."""


@hookspec
def peakbench_destinations() -> Iterable[Destination]:  # type: ignore[empty-body]
    """Places that a run can be exported to: by file ending, or by a ``name:`` in front of the target."""
