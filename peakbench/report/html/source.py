"""What a report page is made from: a run directory and what stands in it, and the comparison it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peakbench.analysis.comparison.contrasts import Comparison
from peakbench.errors import StoreError
from peakbench.store import RunDirectory, RunRecord
from peakbench.tasks import Task


@dataclass(frozen=True, slots=True)
class ReportSource:
    """A run that a page is made of.

    Attributes:
        directory: the run on disk; samples, responses and scores are read from it when they are needed.
        record: run.json. ``task``: the task as it was. ``summary``: summary.json.
        title: names the page: model and data.
        second: the run that is held against this one, on the page of a comparison; else None.
        comparison: what came of holding it against this one (``comparison.contrasts[0]``), on the page of a comparison.
    """

    directory: RunDirectory
    record: RunRecord
    task: Task
    summary: Mapping[str, Any]
    title: str
    second: ReportSource | None = None
    comparison: Comparison | None = None


def open_source(
    directory: RunDirectory, *, second: ReportSource | None = None, comparison: Comparison | None = None
) -> ReportSource:
    """Read what a page of this run needs.

    Raises:
        StoreError: the run is unfinished, or damaged.
        TaskError: its task is.
    """
    summary = directory.summary()
    if summary is None:
        raise StoreError(
            "the run is unfinished: it has no summary",
            where=str(directory.path),
            hint=f"finish it: peakbench run --resume --out {directory.path}; or score what is there: "
            f"peakbench score {directory.path}",
        )
    record = directory.run
    title = f"{record.model} on {record.data.name}"
    if second is not None:
        title = f"{second.record.model} against {record.model}"
    return ReportSource(directory, record, directory.task, summary, title, second, comparison)
