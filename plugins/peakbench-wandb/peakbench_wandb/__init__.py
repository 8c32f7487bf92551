"""PeakBench runs in Weights & Biases: ``peakbench export RUN --to wandb:ENTITY/PROJECT``."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

from peakbench import InputError, Run, hookimpl
from peakbench.destinations import Destination, Export

PROJECT = "peakbench"
"""Where runs go when no project is named."""

ROWS = 10_000
"""The most rows of a table: what W&B shows of one."""

TEXT = 2000
"""Characters of an answer in the table."""


@hookimpl
def peakbench_destinations() -> Iterable[Destination]:
    """Offer the destination ``wandb``."""
    return [Destination("wandb", _write, description="a run of Weights & Biases: wandb:ENTITY/PROJECT")]


def _write(export: Export) -> str:
    try:
        from wandb.errors import Error
    except ImportError:
        raise InputError("Weights & Biases is not installed", hint="install it: pip install wandb") from None
    entity, _, project = export.target.rpartition("/")
    try:
        where = log_run(export.run, project or PROJECT, entity=entity or None, contents=export.contents)
    except Error as error:
        hint = "log in: wandb login; or write to disk: WANDB_MODE=offline"
        raise InputError(f"Weights & Biases did not take the run: {str(error)[:500]}", hint=hint) from error
    return f"logged to Weights & Biases: {where}"


def log_run(run: Run, project: str = PROJECT, *, entity: str | None = None, contents: bool = False) -> str:
    """Write a scored run to Weights & Biases; return its address, or its folder where nothing is sent.

    Args:
        run: a run that has been scored.
        project: its name. ``entity``: the team; default: as W&B is configured.
        contents: a table of the answers with their texts too.
    """
    import wandb

    record = run.record
    identity = [record.name, record.created_at, run.directory.responses_sha256()]
    one = wandb.init(
        project=project,
        entity=entity,
        id=hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16],
        resume="allow",
        name=record.name,
        job_type="peakbench",
        config=_config(run),
        save_code=False,
        reinit="create_new",
        settings=_settings(),
    )
    try:
        one.summary.update(numbers(run))
        tables = {"scores": _scores(run)}
        if contents:
            tables["answers"] = _answers(run)
        one.log({name: wandb.Table(columns=columns, data=rows) for name, (columns, rows) in tables.items()})
    except BaseException:
        one.finish(exit_code=1)
        raise
    one.finish()
    return str(one.url or one.dir)


def _settings() -> Any:
    """Nothing about this machine goes along: no console, no git state, no list of packages, no hardware."""
    import wandb

    quiet = {"silent": True, "console": "off", "disable_git": True}
    private = {"x_disable_meta": True, "x_disable_stats": True, "x_save_requirements": False}
    known = wandb.Settings.model_fields
    return wandb.Settings(**{name: value for name, value in (quiet | private).items() if name in known})


def numbers(run: Run) -> dict[str, float]:
    """Return the numbers of a run; what is unscored has none."""
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
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def _config(run: Run) -> dict[str, Any]:
    record = run.record.model_dump()
    names = ("model", "task", "data", "endpoint", "sampling", "repeats", "prompt_version", "max_side", "lineage")
    config = {name: record[name] for name in (*names, "versions", "created_at")}
    config["data"] = {
        name: value for name, value in record["data"].items() if name != "source"
    }  # a path of this machine
    return config


def _scores(run: Run) -> tuple[list[str], list[list[Any]]]:
    rows = run.table()
    columns = list(rows[0]) if rows else ["name"]
    return columns, [[row[name] for name in columns] for row in rows[:ROWS]]


def _answers(run: Run) -> tuple[list[str], list[list[Any]]]:
    metrics, fields = list(run.summary["metrics"]), list(run.summary.get("fields") or {})
    columns = ["sample_id", "repeat", "state", *metrics, *(f"{name}.outcome" for name in fields), "text"]
    rows: list[list[Any]] = []
    with closing(run.directory.index()) as index:
        for scored in run.rows():
            if len(rows) == ROWS:
                break
            completion = index.get(scored["sample_id"], scored["repeat"])
            text = completion.response.text if completion is not None and completion.response is not None else None
            values = [scored["metrics"].get(name, {}).get("value") for name in metrics]
            outcomes = [scored["fields"].get(name, {}).get("outcome") for name in fields]
            row = [scored["sample_id"], scored["repeat"], scored["state"], *values, *outcomes, text and text[:TEXT]]
            rows.append(row)
    return columns, rows
