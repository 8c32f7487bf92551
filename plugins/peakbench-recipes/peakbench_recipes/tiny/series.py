"""All stages of a recipe's run as one reader folder, with the report of its training: the form that ships."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peakbench import ConfigError, StoreError
from peakbench.reader import Manifest

from peakbench_recipes.folder import VERSIONS, RunFolder
from peakbench_recipes.running import parent_of
from peakbench_recipes.tiny.checkpoint import load_model
from peakbench_recipes.tiny.export import export_series, sha256

REPORTED = ("kind", "steps", "batch", "images", "data", "algorithm", "cpu_seconds", "validation")
MEASURES = ("reward", "weighted_score", "quality_lexical", "all_correct", "json_parse_rate")


def export_run(checkpoint: Path, target: Path) -> Manifest:
    """Write the stages that led to a checkpoint, which lies in the folder of a recipe's run.

    Raises:
        ConfigError: the checkpoint lies in no run's folder.
        StoreError: a stage before it is not trained.
    """
    if len(checkpoint.absolute().parents) < 2 or not (checkpoint.absolute().parents[1] / "resolved.yaml").is_file():
        raise ConfigError("a series needs the run of a recipe around the checkpoint", where=str(checkpoint))
    folder = RunFolder.open(checkpoint.absolute().parents[1])
    stages = {one.name: one for one in folder.recipe.stages}
    names: list[str] = []
    at: str | None = checkpoint.absolute().parent.name
    while at is not None:
        names.insert(0, at)
        at = parent_of(folder.recipe, stages[at])
    checkpoints: dict[str, Path] = {}
    for name in names:
        found = folder.stage(name).checkpoint
        if found is None:
            raise StoreError(f"stage '{name}' is not trained", where=str(folder.path))
        checkpoints[name] = found
    return export_series(checkpoints, target, training=report(folder, checkpoints))


def report(folder: RunFolder, checkpoints: Mapping[str, Path]) -> dict[str, Any]:
    """How the stages were trained and what they reached: seed, steps, data, CPU seconds, measures, checksums."""
    versions = folder.path / VERSIONS
    return {
        "recipe": folder.recipe.name,
        "seed": folder.recipe.seed,
        "command": f"peakbench recipe run {folder.recipe.name} --seed {folder.recipe.seed}",
        "measured_on": folder.recipe.evaluation.data,
        "stages": {name: _stage(folder, name, checkpoint) for name, checkpoint in checkpoints.items()},
        "versions": json.loads(versions.read_text(encoding="utf-8"))[-1] if versions.is_file() else {},
    }


def _stage(folder: RunFolder, name: str, checkpoint: Path) -> dict[str, Any]:
    _, _, about = load_model(checkpoint)
    found = {key: about["training"][key] for key in REPORTED if key in about["training"]}
    place = folder.stage(name)
    if place.evaluated:
        metrics = json.loads((place.evaluation / "summary.json").read_text(encoding="utf-8"))["metrics"]
        found["measured"] = {
            key: {
                part: round(metrics[key][part], 4)
                for part in ("value", "low", "high")
                if metrics[key].get(part) is not None
            }
            for key in MEASURES
            if metrics.get(key, {}).get("value") is not None
        }
    return {**found, "sha256": sha256(checkpoint)}
