"""A run as a user holds it: the summary, the samples one by one, a table for pandas, and itself in a notebook."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peakbench.analysis.frames import frame
from peakbench.errors import InputError, StoreError, nearest
from peakbench.parsing import read
from peakbench.records import Completion, Prediction
from peakbench.report.rows import summary_rows
from peakbench.store import RunDirectory, RunRecord

if TYPE_CHECKING:
    import pandas as pd

    from peakbench.analysis.vocabulary.confusion import Confusion
    from peakbench.datasets import SampleRecord
    from peakbench.tasks import Task


@dataclass(frozen=True, slots=True)
class SampleView:
    """One sample of a run with everything known about it.

    ``completions``, ``predictions`` and ``scores`` have one entry a repeat; ``scores`` are lines of scores.jsonl.
    """

    record: SampleRecord
    completions: tuple[Completion, ...]
    predictions: tuple[Prediction, ...]
    scores: tuple[Mapping[str, Any], ...]

    def __repr__(self) -> str:
        states = ", ".join(prediction.state for prediction in self.predictions) or "not asked yet"
        return f"<SampleView {self.record.id}: {states}>"

    def _repr_html_(self) -> str:
        from peakbench.report.notebook import sample_html

        return sample_html(self)


class Run:
    """One model over one data set, read from its run directory.

    >>> Run("no/such/run")
    Traceback (most recent call last):
    ...
    peakbench.errors.StoreError: no/such/run: no run here
      expected: a run directory: it holds run.json
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise StoreError("no run here", where=str(path), expected="a run directory: it holds run.json")
        self.directory = RunDirectory.open(self.path)

    @property
    def record(self) -> RunRecord:
        """What was asked: task, data, endpoint, model, sampling, versions (run.json)."""
        return self.directory.run

    @property
    def task(self) -> Task:
        """The task as it was when the run began."""
        return self.directory.task

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers (summary.json).

        Raises:
            StoreError: the run is unfinished: nothing has been scored yet.
        """
        summary = self.directory.summary()
        if summary is None:
            raise StoreError(
                "the run is unfinished: it has no summary",
                where=str(self.path),
                hint=f"finish it: peakbench run --resume --out {self.path}; or score what is there: "
                f"peakbench score {self.path}",
            )
        return summary

    def samples(self) -> Iterator[SampleRecord]:
        """The samples in the order of the data set, read lazily."""
        return self.directory.samples()

    def rows(self) -> Iterator[dict[str, Any]]:
        """The lines of scores.jsonl, one a sample and repeat, read lazily."""
        path = self.path / "scores.jsonl"
        if path.is_file():
            with path.open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)

    def sample(self, sample_id: str) -> SampleView:
        """Everything known about one sample.

        Raises:
            InputError: the run has no such sample; the nearest id is named.
        """
        record = next((record for record in self.samples() if record.id == sample_id), None)
        if record is None:
            ids = [record.id for _, record in zip(range(10_000), self.samples(), strict=False)]
            hint = nearest(sample_id, ids) if len(ids) < 20 else nearest(sample_id, ids)[:200]
            raise InputError(f"no sample '{sample_id}' in this run", where=str(self.path), hint=hint)
        index = self.directory.index()
        found = (index.get(sample_id, repeat) for repeat in range(self.record.repeats))
        completions = tuple(completion for completion in found if completion is not None)
        task = self.task
        # as it was last scored, which may differ from how it was asked for
        repair = (self.directory.summary() or {"run": {}})["run"].get("repair", self.record.repair)
        predictions = tuple(
            read(completion, keys=task.keys, answer=task.answer, repair=repair) for completion in completions
        )
        scores = tuple(row for row in self.rows() if row["sample_id"] == sample_id)
        return SampleView(record, completions, predictions, scores)

    def confusion(self, field: str) -> Confusion:
        """What a field's values are taken for: its confusion matrix, the scores of each value, unknown words.

        Raises:
            InputError: an unknown field, or one that has no single values.
        """
        from peakbench.analysis.vocabulary.survey import confusions
        from peakbench.backends import open_tools
        from peakbench.builtins import open_registry

        return confusions(self.directory, open_registry(), open_tools(), fields=[field])[field]

    def table(self) -> list[dict[str, Any]]:
        """The numbers as flat rows: one a metric or field, over the run and over each slice.

        See :func:`peakbench.report.rows.summary_rows` for the keys: value, interval, floors, skill, range with the
        failures, outcomes.
        """
        return list(summary_rows(self.summary))

    def to_pandas(self, kind: Literal["answers", "summary"] = "answers") -> pd.DataFrame:
        """The scores as a data frame.

        Args:
            kind: ``answers``, one row a sample and repeat: state, every metric (None where unscored), every field's
                score and outcome; or ``summary``, the rows of :meth:`table`.

        Raises:
            MissingDependency: pandas is not installed.
            InputError: there is no such kind.
        """
        if kind not in ("answers", "summary"):
            raise InputError(f"to_pandas(kind={kind!r})", expected="'answers' or 'summary'")
        if kind == "summary":
            return frame(self.table())
        records = []
        for row in self.rows():
            record: dict[str, Any] = {"sample_id": row["sample_id"], "repeat": row["repeat"], "state": row["state"]}
            for name, score in row["metrics"].items():
                record[name] = score["value"]
            for name, field in row["fields"].items():
                record[f"{name}.score"] = field["score"]
                record[f"{name}.outcome"] = field["outcome"]
            records.append(record)
        return frame(records)

    def __repr__(self) -> str:
        return f"<Run {self.record.model} on {self.record.data.name}: {self.path}>"

    def _repr_html_(self) -> str:
        from peakbench.report.notebook import summary_html, unfinished_html

        summary = self.directory.summary()
        if summary is None:
            return unfinished_html(self.record.model, self.record.data.name, str(self.path))
        return summary_html(summary)
