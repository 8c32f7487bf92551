"""What a stage of training is, and where the stages that ship are found.

A stage kind is a configuration, a function that trains, and a function that serves what was trained. The frame knows
nothing else of it: it makes the folder, hands over the checkpoint of the stage before, keeps the step log, measures
each checkpoint with PeakBench and goes on after a kill.

A module of stage kinds exports ``KINDS`` and imports torch and its kin inside ``train``, ``serve`` and ``base``, so
that recipes are listed, shown and checked on a machine without them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakbench.errors import ConfigError, PluginError, nearest

if TYPE_CHECKING:
    from peakbench.serving.base import ServedModel

    from peakbench_recipes.configuration import StageConfig

GROUP = "peakbench_recipes.stages"
"""Entry points of this group add stage kinds: the kind's name -> a module with ``KINDS``."""

STAGES: dict[str, str] = {
    "reader.pretrain": "peakbench_recipes.tiny.stages",
    "reader.sft": "peakbench_recipes.tiny.stages",
    "reader.rl": "peakbench_recipes.tiny.stages",
    "sft": "peakbench_recipes.trl.stages",
    "grpo": "peakbench_recipes.trl.stages",
    "gtpo": "peakbench_recipes.trl.stages",
    "florence": "peakbench_recipes.florence.stages",
}
"""Stage kinds that ship: name -> the module that has them in its ``KINDS``, imported when one is asked for."""


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage is given to train.

    Attributes:
        config: the stage's own configuration, an object of its kind's ``config`` class.
        folder: the stage's own folder; it is there. The stage keeps its checkpoints and its state in it.
        seed: of everything random in the stage.
        previous: the checkpoint that the stage starts from; None for the first of a recipe without ``start``.
        resume: an earlier attempt was cut off: go on from the state in ``folder``, where there is one.
        log: one line of ``steps.jsonl``: a mapping with ``step`` (whole, rising) and finite numbers or strings. After
            a resume, lines of steps that are done again replace the earlier ones.
        say: one line for the person who watches.
    """

    config: Any
    folder: Path
    seed: int
    previous: Path | None
    resume: bool
    log: Callable[[Mapping[str, Any]], None]
    say: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a stage would need in full.

    ``gpu_memory_gb``: of one accelerator, None where it needs none. ``hours``: an estimate, on the machine that
    ``note`` names; None where nobody measured one. ``packages``: what has to be installed, as ``pip`` takes it.

    >>> Needs(gpu_memory_gb=24, hours=6, packages=("trl>=0.24",), note="one A100").lines()
    ['GPU memory: 24 GB', 'time: about 6 h', 'packages: trl>=0.24', 'one A100']
    >>> Needs(hours=0.25).lines()
    ['GPU: none needed', 'time: about 15 min']
    """

    gpu_memory_gb: float | None = None
    hours: float | None = None
    packages: tuple[str, ...] = ()
    note: str = ""

    def lines(self) -> list[str]:
        """The same for people, a line each."""
        found = ["GPU: none needed" if self.gpu_memory_gb is None else f"GPU memory: {self.gpu_memory_gb:g} GB"]
        if self.hours is not None:
            found.append(
                f"time: about {self.hours:g} h" if self.hours >= 1 else f"time: about {self.hours * 60:.0f} min"
            )
        if self.packages:
            found.append("packages: " + ", ".join(self.packages))
        return [*found, self.note] if self.note else found


@dataclass(frozen=True, slots=True)
class StageKind:
    """One kind of stage.

    Attributes:
        name: as a recipe names it, ``kind: NAME``.
        title: one line for people.
        config: its configuration class.
        train: trains and returns the folder of the checkpoint, inside ``context.folder`` unless there is nothing to
            train. Called again after a kill with ``context.resume``; what it returns has to be the same.
        serve: a checkpoint folder -> a model that can be asked; knows nothing but the folder.
        needs: what the stage would need in full.
        base: makes the checkpoint of the model before any training, in ``context.folder``, so that it can be measured;
            None where there is no model before (a stage that trains from scratch).
        pretrains: what it makes is a base model: not named among the training stages of a model's lineage.
        export: ``(checkpoint, form, target)`` writes a checkpoint in a form for use elsewhere; ``forms``: which it
            can, ``folder`` (a copy of the checkpoint) is always there.
    """

    name: str
    title: str
    config: type[StageConfig]
    train: Callable[[StageContext], Path]
    serve: Callable[[Path], ServedModel]
    needs: Callable[[Any], Needs] = lambda config: Needs()
    base: Callable[[StageContext], Path] | None = None
    pretrains: bool = False
    export: Callable[[Path, str, Path], Path] | None = None
    forms: tuple[str, ...] = ()


def stage_names() -> list[str]:
    """Every stage kind's name: those that ship, then those that other packages bring.

    >>> stage_names()[:3]
    ['reader.pretrain', 'reader.sft', 'reader.rl']
    """
    return [*STAGES, *(name for name in _brought() if name not in STAGES)]


def stage_kind(name: str) -> StageKind:
    """Return a stage kind; its module is imported now and not before.

    Raises:
        ConfigError: there is none of that name (with the nearest), or its module needs a package that is missing.
        PluginError: the module that should have it does not.
    """
    module_name = STAGES.get(name) or _brought().get(name)
    if module_name is None:
        raise ConfigError(f"no stage kind '{name}'", hint=nearest(name, stage_names()))
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = (error.name or str(error)).partition(".")[0]
        if missing == "peakbench_recipes":
            raise PluginError(f"stage kind '{name}': {error}", where=module_name) from error
        raise ConfigError(
            f"stage kind '{name}' needs the package '{missing}': {error}",
            hint="install what training needs: pip install 'peakbench-recipes[train]'" if name in STAGES else None,
        ) from error
    for kind in getattr(module, "KINDS", ()):
        if kind.name == name:
            return kind  # type: ignore[no-any-return]
    raise PluginError(f"{module_name} has no stage kind '{name}' in KINDS")


def _brought() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {entry.name: entry.value for entry in sorted(entry_points(group=GROUP), key=lambda one: one.name)}
