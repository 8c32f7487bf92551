"""PeakBench runs in MLflow: ``peakbench export RUN --to mlflow:EXPERIMENT``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peakbench import InputError, Run, hookimpl
from peakbench.destinations import Destination, Export

EXPERIMENT = "peakbench"
"""Where runs go when no experiment is named."""

ALWAYS = ("run.json", "summary.json")
WITH_CONTENTS = (*ALWAYS, "task.json", "samples.jsonl", "responses.jsonl", "scores.jsonl", "report.html")

_ANSWERS, _SCORES, _STEP = "peakbench.answers_sha256", "peakbench.summary_sha256", "peakbench.step"
_TEXT = 5000
_METRICS_AT_ONCE = 500
_ITEMS_AT_ONCE = 90


@hookimpl
def peakbench_destinations() -> Iterable[Destination]:
    """Offer the destination ``mlflow``."""
    return [Destination("mlflow", _write, description="a run of MLflow: mlflow:EXPERIMENT at MLFLOW_TRACKING_URI")]


def _write(export: Export) -> str:
    try:
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise InputError("MLflow is not installed", hint="install it: pip install mlflow-skinny") from None
    try:
        run_id = log_run(export.run, export.target or EXPERIMENT, contents=export.contents)
    except MlflowException as error:
        where = os.environ.get("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_URI, which is not set")
        raise InputError(f"MLflow did not take the run: {str(error)[:500]}", where=where) from error
    return f"logged to MLflow, experiment {export.target or EXPERIMENT}, run {run_id}"


def log_run(run: Run, experiment: str = EXPERIMENT, *, tracking_uri: str | None = None, contents: bool = False) -> str:
    """Write a scored run to MLflow and return the id of its MLflow run.

    A run that is there already is found by its answers: with the same scores nothing is written, with new ones they
    become the next step of its metrics.

    Args:
        run: a run that has been scored.
        experiment: its name; made where it does not exist.
        tracking_uri: the server. Default: as MLflow is configured.
        contents: the run's files with prompt, references and answers too.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    summary = run.summary
    answers = _digest([run.record.name, run.record.created_at, run.directory.responses_sha256()])
    scores = _digest([summary, contents])
    client = MlflowClient(tracking_uri)
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    known = client.search_runs([experiment_id], f"tags.`{_ANSWERS}` = '{answers}'", max_results=1)
    begun = round(datetime.fromisoformat(run.record.created_at).astimezone(UTC).timestamp() * 1000)
    step = 0
    if known:
        tags = known[0].data.tags
        if tags.get(_SCORES) == scores:
            return str(known[0].info.run_id)
        run_id = known[0].info.run_id
        step = int(tags.get(_STEP, "-1")) + 1
        client.update_run(run_id, status="RUNNING")
    else:
        made = client.create_run(experiment_id, start_time=begun, tags={_ANSWERS: answers}, run_name=run.record.name)
        run_id = made.info.run_id
    parameters = [Param(name, value) for name, value in _parameters(run).items()]
    metrics = [Metric(name, value, begun, step) for name, value in numbers(run).items()]
    notes = [RunTag(name, value) for name, value in _notes(run).items()]
    for block in _blocks(parameters, _ITEMS_AT_ONCE):
        client.log_batch(run_id, params=block)
    for block in _blocks(metrics, _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=block)
    for block in _blocks(notes, _ITEMS_AT_ONCE):
        client.log_batch(run_id, tags=block)
    for name in WITH_CONTENTS if contents else ALWAYS:
        if (Path(run.path) / name).is_file():
            client.log_artifact(run_id, str(Path(run.path) / name), "peakbench")
    # last, so that an export that was killed half-way is done again
    client.log_batch(run_id, tags=[RunTag(_STEP, str(step)), RunTag(_SCORES, scores)])
    client.set_terminated(run_id, "FINISHED", begun)
    return str(run_id)


def numbers(run: Run) -> dict[str, float]:
    """Return the numbers of a run under names that MLflow takes: letters, digits and ``_ - . : /`` and spaces."""
    found: dict[str, Any] = {}
    for row in run.table():
        if row["slice_key"] is not None:
            continue
        name = row["name"] if row["what"] == "metric" else f"field.{row['name']}"
        found[name] = row["value"]
        found |= {f"{name}.{part}": row[part] for part in ("low", "high", "floor", "skill")}
    found |= {f"samples.{name}": count for name, count in run.summary["samples"].items()}
    for name, value in (run.summary.get("performance") or {}).items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        found |= {f"performance.{name}{part and '.' + part}": one for part, one in inner}
    return {
        re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:250]: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _parameters(run: Run) -> dict[str, str]:
    record = run.record
    found = {
        "model": record.model,
        "task": f"{record.task.id} v{record.task.version}",
        "task_sha256": record.task.sha256,
        "data": record.data.name,
        "data_fingerprint": record.data.fingerprint,
        "samples": record.data.samples,
        "repeats": record.repeats,
        "prompt_version": record.prompt_version,
        "endpoint": record.endpoint.url,
        **{f"sampling.{name}": value for name, value in record.model_dump()["sampling"].items()},
    }
    return {name: _text(value) for name, value in found.items()}


def _notes(run: Run) -> dict[str, str]:
    record = run.record
    notes: dict[str, Any] = {f"version.{name}": value for name, value in record.versions.items()}
    if record.lineage is not None:
        notes |= {f"lineage.{name}": value for name, value in record.lineage.model_dump(exclude_none=True).items()}
    unscored = {name: one["reason"] for name, one in run.summary["metrics"].items() if one.get("reason")}
    if unscored:
        notes["unscored"] = unscored
    return {f"peakbench.{name}": _text(value) for name, value in notes.items()}


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, default=str))[:_TEXT]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _blocks(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
