"""What this package offers to PeakBench: one function a hook."""

from collections.abc import Iterable
from pathlib import Path

from peakbench import ComparatorKind, MetricKind, hookimpl
from peakbench_example.prefix import PREFIX
from peakbench_example.word_overlap import WORD_OVERLAP

HERE = Path(__file__).parent


@hookimpl
def peakbench_metric_kinds() -> Iterable[MetricKind]:
    """Return the kinds of metric: how a number is computed."""
    return [WORD_OVERLAP]


@hookimpl
def peakbench_metric_definitions() -> Iterable[Path]:
    """Return the metrics: an id, a kind and its parameters, as data."""
    return [HERE / "metrics.json"]


@hookimpl
def peakbench_comparators() -> Iterable[ComparatorKind]:
    """Return the comparators, which a task names for its fields."""
    return [PREFIX]


@hookimpl
def peakbench_tasks() -> Iterable[Path]:
    """Return the tasks."""
    return [HERE / "shoe.json"]
