"""A recipe run: stage after stage, each measured, nothing done twice."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import peakbench
from peakbench.errors import ConfigError, nearest

import peakbench_recipes
from peakbench_recipes.configuration import START, RecipeConfig, StageConfig
from peakbench_recipes.evaluation import evaluate
from peakbench_recipes.folder import RESOLVED, STEPS, RunFolder, StageFolder, StepLog
from peakbench_recipes.stages import StageContext, StageKind, stage_kind

PACKAGES = ("accelerate", "datasets", "numpy", "peft", "pillow", "tokenizers", "torch", "transformers", "trl")
"""Packages whose versions are written down, where they are installed."""

SHOWN = ("reward", "weighted_score", "structured_match", "all_correct", "json_parse_rate")
"""Metrics said as soon as a checkpoint is measured."""


def run_recipe(
    recipe: RecipeConfig,
    out: str | Path,
    *,
    resume: bool = False,
    stages: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> RunFolder:
    """Train and measure, stage after stage.

    Args:
        recipe: what is to be done.
        out: the run's folder.
        resume: go on in ``out``: what is finished stays, a stage that was cut off goes on from its own state.
        stages: the names of those that are to be done; None for all.
        say: gets a line for the person who watches.

    Raises:
        ConfigError: a stage is unknown, or one that it starts from is not trained.
        StoreError: the folder is taken, in use, or of another recipe.
    """
    chosen = _chosen(recipe, stages)
    if resume and (Path(out) / RESOLVED).is_file():
        folder = RunFolder.open(out)
        folder.check_same(recipe)
    else:
        folder = RunFolder.create(out, recipe)
    with folder.lock():
        folder.note_versions(versions())
        work = _Work(folder, say)
        for stage in chosen:
            if stage is recipe.stages[0] and recipe.evaluation.before:
                work.measure_start(stage)
            checkpoint = work.train(stage, starting_point(folder, stage))
            if stage.evaluate:
                work.measure(stage.name, stage_kind(stage.kind), checkpoint, lineage_of(folder, stage))
    return folder


def starting_point(folder: RunFolder, stage: StageConfig) -> Path | None:
    """The checkpoint that a stage starts from.

    Raises:
        ConfigError: it is not trained, or not there.
    """
    recipe = folder.recipe
    parent = parent_of(recipe, stage)
    if parent is None:
        if recipe.start is not None and not Path(recipe.start).is_dir():
            raise ConfigError(f"no checkpoint folder '{recipe.start}'", where="start")
        return None if recipe.start is None else Path(recipe.start)
    found = folder.stage(parent).checkpoint
    if found is None or not found.is_dir():
        raise ConfigError(
            f"stage '{stage.name}' starts from '{parent}', which is not trained",
            where=str(folder.path),
            hint=f"train it first: --stages {parent},{stage.name}",
        )
    return found


def parent_of(recipe: RecipeConfig, stage: StageConfig) -> str | None:
    """The name of the stage that a stage starts from; None where that is the recipe's start, or nothing."""
    if stage.after == START:
        return None
    place = recipe.stages.index(stage)
    return stage.after or (recipe.stages[place - 1].name if place else None)


def lineage_of(folder: RunFolder, stage: StageConfig | None) -> dict[str, Any]:
    """Where a stage's model comes from, as a run says it; None for the model before the first.

    A recipe that starts from a stage of another run goes on with that stage's lineage.
    """
    recipe = folder.recipe
    origin = _origin(recipe)
    found: dict[str, Any] = {"family": recipe.name} if origin is None else lineage_of(*origin)
    if origin is not None and origin[0].stage(origin[1].name).evaluated:
        found["base_run"] = origin[0].stage(origin[1].name).evaluation
    trained: list[str] = []
    at = stage
    while at is not None:
        if not stage_kind(at.kind).pretrains:
            trained.insert(0, at.name)
        parent = parent_of(recipe, at)
        at = next((one for one in recipe.stages if one.name == parent), None)
    if stage is not None:
        before = folder.stage(parent_of(recipe, stage) or START)
        if before.evaluated:
            found["base_run"] = before.evaluation
    found["training"] = [*found.get("training", []), *trained]
    return found | {"version": f"seed {recipe.seed}"}


def _origin(recipe: RecipeConfig) -> tuple[RunFolder, StageConfig] | None:
    """The run and the stage in whose folder the recipe's start lies."""
    for place in Path(recipe.start or "").absolute().parents if recipe.start else ():
        if (place / RESOLVED).is_file():
            folder = RunFolder.open(place)
            name = Path(recipe.start or "").absolute().relative_to(place).parts[0]
            stage = next((one for one in folder.recipe.stages if one.name == name), None)
            return None if stage is None else (folder, stage)
    return None


def versions() -> dict[str, Any]:
    """What the run runs on."""
    found = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version()}
    found |= {"platform": platform.platform(), "machine": platform.machine()}
    found |= {"peakbench": peakbench.__version__, "peakbench-recipes": peakbench_recipes.__version__}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _chosen(recipe: RecipeConfig, stages: Sequence[str] | None) -> list[StageConfig]:
    known = [stage.name for stage in recipe.stages]
    for name in stages or ():
        if name not in known:
            raise ConfigError(f"no stage '{name}' in the recipe", where="--stages", hint=nearest(name, known))
    return [stage for stage in recipe.stages if stages is None or stage.name in stages]


@dataclass(frozen=True, slots=True)
class _Work:
    """What is done stage by stage in a folder that this process holds."""

    folder: RunFolder
    say: Callable[[str], None]

    def train(self, stage: StageConfig, previous: Path | None) -> Path:
        """Train a stage unless it is trained already, and return its checkpoint."""
        kind, place = stage_kind(stage.kind), self.folder.stage(stage.name)
        known = place.checkpoint
        if known is not None:
            self.say(f"{stage.name}: trained already")
            return known
        resumed = place.attempts > 0
        place.begin()
        self.say(f"{stage.name}: {'going on' if resumed else kind.title}")
        with StepLog(place.path / STEPS) as log:
            checkpoint = kind.train(self._context(stage, place, previous, log=log.append, resume=resumed))
            seconds = log.elapsed_s
            place.finish(kind.name, self.folder.recipe.seed, checkpoint, seconds)
        self.say(f"{stage.name}: trained in {seconds:,.0f} s")
        return checkpoint

    def measure_start(self, stage: StageConfig) -> None:
        """Measure the model before the first stage: the start of the recipe, or what the kind says it is."""
        kind, place = stage_kind(stage.kind), self.folder.start
        if place.evaluated:
            return
        checkpoint = starting_point(self.folder, stage)
        if checkpoint is None and kind.base is not None:
            resumed = place.attempts > 0
            place.begin()
            checkpoint = kind.base(self._context(stage, place, None, log=_unlogged, resume=resumed))
        if checkpoint is not None:
            self.measure(START, kind, checkpoint, lineage_of(self.folder, None))

    def measure(self, name: str, kind: StageKind, checkpoint: Path, lineage: Mapping[str, Any]) -> None:
        """Measure a checkpoint unless that is done already."""
        place, recipe = self.folder.stage(name), self.folder.recipe
        if place.evaluated:
            self.say(f"{name}: measured already")
            return
        self.say(f"{name}: measuring over {recipe.evaluation.data}")
        run = evaluate(
            kind.serve(checkpoint),
            recipe.evaluation,
            place.evaluation,
            task=recipe.task,
            name="-".join([lineage["family"], *(lineage["training"] or [name])]),
            lineage=lineage,
        )
        values = {key: one["value"] for key, one in run.summary["metrics"].items() if one.get("value") is not None}
        shown = [f"{key} {values[key]:.3f}" for key in SHOWN if key in values]
        self.say(f"{name}: {', '.join(shown) or 'measured'}")

    def _context(
        self,
        stage: StageConfig,
        place: StageFolder,
        previous: Path | None,
        *,
        log: Callable[[Mapping[str, Any]], None],
        resume: bool,
    ) -> StageContext:
        return StageContext(
            config=stage,
            folder=place.path,
            seed=self.folder.recipe.seed,
            previous=previous,
            resume=resume,
            log=log,
            say=lambda line: self.say(f"{stage.name}: {line}"),
        )


def _unlogged(line: Mapping[str, Any]) -> None:
    """Before training there are no steps."""
