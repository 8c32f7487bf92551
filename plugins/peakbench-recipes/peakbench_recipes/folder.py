"""The folder of a recipe's run, whole after a kill at any moment.

::

    FOLDER/
      resolved.yaml       the recipe with every default filled in
      versions.json       one entry an attempt: when, Python, packages, machine
      start/evaluation/   the model before the first stage, where there is one: a run directory of PeakBench
      STAGE/
        stage.json        whether it is trained, which checkpoint is its last, how long it took
        steps.jsonl       one line a step
        ...               what the stage keeps: checkpoints, its state
        evaluation/       the checkpoint measured: a run directory of PeakBench
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from peakbench.errors import StoreError

from peakbench_recipes.configuration import START, RecipeConfig, parse_recipe, read_yaml, write_yaml

RESOLVED, VERSIONS, STAGE, STEPS = "resolved.yaml", "versions.json", "stage.json", "steps.jsonl"


@dataclass(frozen=True, slots=True)
class StageState:
    """What is known of a trained stage. ``checkpoint``: relative to the stage's folder, or absolute outside it.

    ``seconds``: of training, all attempts together, as far as steps were logged; ``attempts``: 1 where nothing cut it
    off.
    """

    kind: str
    seed: int
    checkpoint: str
    seconds: float
    attempts: int


class StepLog:
    """Writes ``steps.jsonl``, and mends what a kill left: a torn last line, and steps that are done again.

    Every line gets ``elapsed_s``, seconds of training up to it over all attempts. A number that is not finite is
    written as null.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = time.monotonic()
        self._before = 0.0
        self._fresh = True
        self._file: Any = None

    @property
    def elapsed_s(self) -> float:
        """Seconds of training so far."""
        return self._before + time.monotonic() - self._begun

    def __enter__(self) -> StepLog:
        whole = read_steps(self.path)
        self._before = max((float(line.get("elapsed_s", 0.0)) for line in whole), default=0.0)
        self._rewrite(whole)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one step.

        Raises:
            ValueError: ``step`` is no whole number.
        """
        step = _plain(line.get("step"))
        if not isinstance(step, int) or isinstance(step, bool):
            raise ValueError(f"a line of the step log needs a whole 'step', found {step!r}")
        if self._fresh:
            self._fresh = False
            known = read_steps(self.path)
            kept = [one for one in known if one["step"] < step]
            if len(kept) < len(known):
                self._before = max((float(one.get("elapsed_s", 0.0)) for one in kept), default=0.0)
                self._rewrite(kept)
        written = {**{key: _plain(value) for key, value in line.items()}, "elapsed_s": round(self.elapsed_s, 3)}
        self._file.write(json.dumps(written, allow_nan=False) + "\n")
        self._file.flush()

    def _rewrite(self, lines: list[dict[str, Any]]) -> None:
        self.__exit__()
        write_whole(self.path, "".join(json.dumps(line) + "\n" for line in lines))
        self._file = self.path.open("a", encoding="utf-8")


class StageFolder:
    """One stage's folder inside a run's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.evaluation = path / "evaluation"

    @property
    def state(self) -> StageState | None:
        """What is known of the stage once it is trained, None before."""
        try:
            return StageState(**json.loads((self.path / STAGE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise StoreError(f"damaged: {error}", where=str(self.path / STAGE)) from error

    @property
    def checkpoint(self) -> Path | None:
        """The trained checkpoint, None before the stage is trained."""
        state = self.state
        return None if state is None else self.path / state.checkpoint

    @property
    def evaluated(self) -> bool:
        """Whether its evaluation is whole."""
        return (self.evaluation / "summary.json").is_file()

    @property
    def attempts(self) -> int:
        """How often training was begun."""
        try:
            return len((self.path / ".attempts").read_text(encoding="utf-8").splitlines())
        except FileNotFoundError:
            return 0

    def begin(self) -> None:
        """Note an attempt."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".attempts").open("a", encoding="utf-8") as file:
            file.write(f"{time.time():.0f}\n")

    def finish(self, kind: str, seed: int, checkpoint: Path, seconds: float) -> None:
        """Note that the stage is trained; from now on it is never trained again."""
        if not checkpoint.is_dir():
            raise StoreError(f"stage kind '{kind}' returned a checkpoint that is no folder", where=str(checkpoint))
        full = checkpoint.resolve()
        inside = full.is_relative_to(self.path.resolve())
        place = full.relative_to(self.path.resolve()).as_posix() if inside else str(full)
        state = StageState(kind, seed, place, round(seconds, 3), self.attempts)
        write_whole(self.path / STAGE, json.dumps(asdict(state), indent=2) + "\n")

    def steps(self) -> list[dict[str, Any]]:
        """The lines of the step log."""
        return read_steps(self.path / STEPS)


class RunFolder:
    """A recipe's run on disk."""

    def __init__(self, path: Path, recipe: RecipeConfig) -> None:
        self.path = path
        self.recipe = recipe
        self.start = StageFolder(path / START)

    @classmethod
    def create(cls, path: str | Path, recipe: RecipeConfig) -> RunFolder:
        """Make the folder of a new run.

        Raises:
            StoreError: something is there already.
        """
        folder = Path(path)
        if (folder / RESOLVED).exists():
            raise StoreError(
                "there is a run of a recipe already",
                where=str(folder),
                hint="go on with it: --resume; or keep it and choose another folder: --out",
            )
        if folder.is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise StoreError("the folder is not empty", where=str(folder), hint="choose another folder: --out")
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / RESOLVED, write_yaml(recipe))
        return cls(folder, recipe)

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the folder of a run.

        Raises:
            StoreError: there is none.
        """
        folder = Path(path)
        if not (folder / RESOLVED).is_file():
            raise StoreError(
                "no run of a recipe here", where=str(path), expected=f"a folder of 'recipe run': it holds {RESOLVED}"
            )
        return cls(folder, parse_recipe(read_yaml(folder / RESOLVED), where=str(folder / RESOLVED)))

    def check_same(self, recipe: RecipeConfig) -> None:
        """Make sure that a recipe is the one that was begun here.

        Raises:
            StoreError: naming every difference.
        """
        found = list(differences(self.recipe.model_dump(mode="json"), recipe.model_dump(mode="json")))
        if found:
            raise StoreError(
                "this is not the same recipe:\n" + "\n".join(f"    {line}" for line in found[:20]),
                where=str(self.path),
                hint="resume it as it is: --resume --out alone; or choose another folder: --out",
            )

    def stage(self, name: str) -> StageFolder:
        """The folder of a stage; it need not be there yet."""
        return StageFolder(self.path / name)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder against another process; a killed one leaves it free.

        Raises:
            StoreError: another process trains here.
        """
        try:
            with FileLock(self.path / ".lock", timeout=0):
                yield
        except Timeout:
            raise StoreError("another process is at work here", where=str(self.path), hint="wait for it") from None

    def note_versions(self, versions: Mapping[str, Any]) -> None:
        """Add an attempt's versions."""
        path = self.path / VERSIONS
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
        write_whole(path, json.dumps([*known, versions], indent=2) + "\n")


def read_steps(path: Path) -> list[dict[str, Any]]:
    """The lines of a step log; a last line that a kill tore is left out.

    Raises:
        StoreError: another line is damaged.
    """
    if not path.is_file():
        return []
    found: list[dict[str, Any]] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line end was cut off
        try:
            one = json.loads(line)
            one["step"] += 0
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError("not a line of a step log", where=f"{path}:{number}") from error
        found.append(one)
    return found


def differences(first: Any, second: Any, place: str = "") -> Iterator[str]:
    """Say where two JSON values differ.

    >>> list(differences({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 3]}))
    ['b.1: 2 there, 3 here']
    """
    if isinstance(first, dict) and isinstance(second, dict):
        pairs = [(key, first.get(key), second.get(key)) for key in {**first, **second}]
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        pairs = [(str(at), *both) for at, both in enumerate(zip(first, second, strict=True))]
    else:
        if first != second:
            yield f"{place}: {json.dumps(first)} there, {json.dumps(second)} here"
        return
    for key, one, other in pairs:
        yield from differences(one, other, f"{place}.{key}" if place else str(key))


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _plain(value: Any) -> Any:
    """A value as JSON has it: NumPy's and torch's numbers as Python's own, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    item = getattr(value, "item", None)
    found = item() if callable(item) else value
    if isinstance(found, float):
        return found if math.isfinite(found) else None
    return found if found is None or isinstance(found, bool | int | str) else str(found)
