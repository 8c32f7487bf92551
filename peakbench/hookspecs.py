"""The hooks a plugin may implement. Built-ins come through the same hooks (see ``builtins.py``).

A plugin is an installed package with an entry point in the group ``peakbench``. Commands have a group of their own,
``peakbench.commands``: name -> a click command, loaded only when it is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pluggy

from peakbench.client.base import EndpointProvider
from peakbench.datasets import Reader
from peakbench.metrics.base import ComparatorKind, MetricKind
from peakbench.tasks import Task

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
