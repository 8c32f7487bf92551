"""A trained checkpoint for use elsewhere, with a note of where it comes from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from peakbench.errors import ConfigError, StoreError, nearest

from peakbench_recipes.folder import VERSIONS, RunFolder, write_whole
from peakbench_recipes.running import lineage_of
from peakbench_recipes.stages import stage_kind

FOLDER = "folder"
"""The form that every stage has: its checkpoint folder as it is."""

PROVENANCE = "provenance.json"


def forms_of(folder: RunFolder, stage: str) -> tuple[str, ...]:
    """The forms in which a stage's checkpoint can be written."""
    kind = next(stage_kind(one.kind) for one in folder.recipe.stages if one.name == stage)
    return (FOLDER, *kind.forms)


def export(folder: RunFolder, out: str | Path, *, stage: str | None = None, form: str = FOLDER) -> Path:
    """Write a stage's checkpoint to a new folder, with ``provenance.json`` in it.

    Args:
        folder: a recipe's run.
        out: the folder to write; it must not be there.
        stage: by default the last one that is trained.
        form: ``folder`` for the checkpoint as it is, or a form that the stage's kind has.

    Raises:
        ConfigError: the stage or the form is unknown.
        StoreError: nothing is trained yet, or ``out`` is there.
    """
    known = [one.name for one in folder.recipe.stages]
    if stage is not None and stage not in known:
        raise ConfigError(f"no stage '{stage}'", where=str(folder.path), hint=nearest(stage, known))
    trained = [name for name in known if folder.stage(name).state is not None]
    name = stage or (trained[-1] if trained else "")
    if name not in trained:
        what = f"stage '{name}' is not trained" if name else "no stage is trained"
        raise StoreError(what, where=str(folder.path), hint=f"go on: peakbench recipe run --resume --out {folder.path}")
    if form not in forms_of(folder, name):
        hint = nearest(form, forms_of(folder, name))
        raise ConfigError(f"stage '{name}' has no form '{form}'", where="--form", hint=hint)
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError("there is something already", where=str(target), hint="choose another folder")
    checkpoint = folder.stage(name).checkpoint
    assert checkpoint is not None
    config = next(one for one in folder.recipe.stages if one.name == name)
    kind = stage_kind(config.kind)
    if form == FOLDER or kind.export is None:
        shutil.copytree(checkpoint, target, dirs_exist_ok=True)
        written = target
    else:
        target.mkdir(parents=True, exist_ok=True)
        written = kind.export(checkpoint, form, target)
    write_whole(written / PROVENANCE, json.dumps(_provenance(folder, name), indent=2, default=str) + "\n")
    return written


def _provenance(folder: RunFolder, name: str) -> dict[str, Any]:
    stage = next(one for one in folder.recipe.stages if one.name == name)
    place = folder.stage(name)
    state, measured = place.state, None
    assert state is not None
    if place.evaluated:
        summary = json.loads((place.evaluation / "summary.json").read_text(encoding="utf-8"))
        keys = ("value", "low", "high")
        measured = {
            "data": folder.recipe.evaluation.data,
            "samples": summary["samples"],
            "metrics": {
                metric: {key: one.get(key) for key in keys}
                for metric, one in summary["metrics"].items()
                if one.get("value") is not None
            },
        }
    versions = folder.path / VERSIONS
    return {
        "recipe": folder.recipe.name,
        "stage": name,
        "kind": state.kind,
        "seed": state.seed,
        "seconds": state.seconds,
        "training": lineage_of(folder, stage).get("training", []),
        "configuration": stage.model_dump(mode="json"),
        "evaluation": measured,
        "versions": json.loads(versions.read_text(encoding="utf-8"))[-1] if versions.is_file() else {},
    }
