"""A run's answers as flat rows: one a sample and repeat, with what was asked, answered and scored side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from peakbench.errors import StoreError
from peakbench.parsing import read
from peakbench.records import Completion, JSONValue, Prediction
from peakbench.scoring import read_under

if TYPE_CHECKING:
    from peakbench.datasets import SampleRecord
    from peakbench.runs import Run
    from peakbench.tasks import Task

ColumnType = Literal["text", "integer", "number"]
_INT64 = 2**63
_ASKED: dict[str, ColumnType] = {
    "sample_id": "text",
    "repeat": "integer",
    "state": "text",
    "problem": "text",
    "problem_position": "integer",
    "error": "text",
    "http_status": "integer",
    "finish_reason": "text",
    "answered_by": "text",
    "attempts": "integer",
    "started_at": "number",
    "latency_s": "number",
    "ttft_s": "number",
    "prompt_tokens": "integer",
    "completion_tokens": "integer",
}


@dataclass(frozen=True, slots=True)
class AnswerTable:
    """The columns of a run's answers, and how to read the rows.

    ``columns``: name -> type, in order. ``metrics``: metric id -> the column that holds it.
    """

    run: Run
    contents: bool
    columns: Mapping[str, ColumnType]
    metrics: Mapping[str, str]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield one row an answer, in the order of scores.jsonl, each with every column; read lazily.

        Raises:
            StoreError: the files of the run do not belong together.
        """
        task, said = self.run.task, self.run.summary["run"]
        # as it was last scored, which may differ from how it was asked for
        repair, profile = said.get("repair", self.run.record.repair), said.get("profile")
        for sample, completion, scored in answers(self.run):
            row: dict[str, Any] = dict.fromkeys(self.columns)
            row |= asked(completion)
            row |= self._scored(scored)
            if self.contents:
                prediction = read(completion, keys=task.keys, answer=task.answer, repair=repair)
                row |= _contents(sample, completion, read_under(prediction, task, profile), task)
            yield row

    def _scored(self, scored: Mapping[str, Any]) -> dict[str, Any]:
        problem = scored.get("problem") or {}
        row: dict[str, Any] = {
            "state": scored["state"],
            "problem": problem.get("reason"),
            "problem_position": problem.get("position"),
        }
        for name, score in scored["metrics"].items():
            if name in self.metrics:
                row[self.metrics[name]] = score["value"]
        for name, field in scored["fields"].items():
            row[f"{name}.score"], row[f"{name}.outcome"] = field["score"], field["outcome"]
        return row


def answer_table(run: Run, *, contents: bool) -> AnswerTable:
    """Lay out the answers of a run that has been scored.

    The columns are the same for every row: how the answer came about; with ``contents`` the sample's metadata, its
    reference and the answer, whole for a text task and field by field (``color.reference``, ``color.answer``) for
    others, the text and the reasoning; each metric, under its id; each field's score and outcome. A value that is not
    a text is JSON. None stands for what does not exist: unscored, null, absent.

    Raises:
        StoreError: nothing has been scored yet.
    """
    summary, task = run.summary, run.task
    columns: dict[str, ColumnType] = dict(_ASKED)
    fields = list(summary.get("fields") or {})
    if contents:
        columns["metadata"] = "text"
        named = [f"{name}.{side}" for name in task.fields for side in ("reference", "answer")]
        columns |= dict.fromkeys(named or ["reference"], "text")
        columns |= {"text": "text", "reasoning": "text"}
    taken = {*columns, *(f"{name}.{part}" for name in fields for part in ("score", "outcome"))}
    metrics = {name: f"metric.{name}" if name in taken else name for name in summary["metrics"]}
    columns |= dict.fromkeys(metrics.values(), "number")
    for name in fields:
        columns |= {f"{name}.score": "number", f"{name}.outcome": "text"}
    return AnswerTable(run, contents, columns, metrics)


def answers(run: Run) -> Iterator[tuple[SampleRecord, Completion, Mapping[str, Any]]]:
    """Yield each answer that was scored with its sample and its line of scores.jsonl, in that file's order.

    Raises:
        StoreError: the files of the run do not belong together.
    """
    samples = run.samples()
    sample: SampleRecord | None = None
    with closing(run.directory.index()) as index:
        for scored in run.rows():
            if sample is None or sample.id != scored["sample_id"]:
                sample = next((one for one in samples if one.id == scored["sample_id"]), None)
            completion = index.get(scored["sample_id"], scored["repeat"])
            if sample is None or completion is None:
                raise StoreError(
                    f"scores of the sample {scored['sample_id']!r}, which was not asked, or not in this order",
                    where=str(run.path / "scores.jsonl"),
                    hint=f"score the run again: peakbench score {run.path}",
                )
            yield sample, completion, scored


def asked(completion: Completion) -> dict[str, Any]:
    """Return the columns that say how one answer came about.

    >>> row = asked(Completion("p1", 0, None, attempts=3))
    >>> row["sample_id"], row["attempts"], row["latency_s"]
    ('p1', 3, None)
    """
    response, failure = completion.response, completion.failure
    usage = (response.usage if response else None) or {}
    timed = response is not None and completion.started_at is not None
    return {
        "sample_id": completion.sample_id,
        "repeat": completion.repeat,
        "error": failure.kind if failure else None,
        "http_status": failure.http_status if failure else None,
        "finish_reason": response.finish_reason if response else None,
        "answered_by": response.model if response else None,
        "attempts": completion.attempts,
        "started_at": completion.started_at,
        "latency_s": response.latency_s if response and timed else None,
        "ttft_s": response.ttft_s if response and timed else None,
        "prompt_tokens": count(usage.get("prompt_tokens")),
        "completion_tokens": count(usage.get("completion_tokens")),
    }


def count(value: JSONValue) -> int | None:
    """A number of tokens as a server gave it, None where it is none.

    >>> count(12), count("12"), count(True), count(-1), count(10**30)
    (12, None, None, None, None)
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < _INT64 else None


def _contents(
    sample: SampleRecord, completion: Completion, prediction: Prediction, task: Task
) -> dict[str, str | None]:
    response, reference = completion.response, sample.reference
    row = {
        "metadata": text(dict(sample.metadata)) if sample.metadata else None,
        "text": response.text if response else None,
        "reasoning": response.reasoning if response else None,
    }
    if not task.fields:
        return row | {"reference": text(reference)}
    value = prediction.value
    for name in task.fields:
        row[f"{name}.reference"] = text(reference.get(name)) if isinstance(reference, Mapping) else None
        row[f"{name}.answer"] = text(value.get(name)) if isinstance(value, Mapping) else None
    return row


def text(value: JSONValue) -> str | None:
    """A value as text: a text as it is, None as None, anything else as JSON.

    >>> text("red"), text(None), text(["red", 1]), text(2.5)
    ('red', None, '["red", 1]', '2.5')
    """
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
