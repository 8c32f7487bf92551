"""What this package offers to PeakBench: one function a hook."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peakbench import ComparatorKind, MetricKind, hookimpl
from peakbench.sections import ReportSection, SectionTable, SectionText
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


@hookimpl
def peakbench_report_sections(run: Any) -> Iterable[ReportSection]:
    """Return what stands on a run's page: the metric by slice, where the run has both."""
    rows = [
        [key, value, f"{100 * entry['metrics']['word_overlap']['value']:.1f}"]
        for key, values in run.summary["slices"].items()
        for value, entry in values.items()
        if entry["metrics"].get("word_overlap", {}).get("value") is not None
    ]
    if not rows:
        return []
    text = SectionText("How many words reference and answer share, by slice.")
    table = SectionTable(["metadata", "value", "overlap, %"], rows, left=frozenset({"value"}))
    return [ReportSection("Word overlap", [text, table])]
