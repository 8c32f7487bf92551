"""Sets of drawn garments: as arrays for training, and as a data set of files for a run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from peakbench.datasets import Reader
from peakbench.errors import DataError, DataProblem, nearest
from peakbench.garments.specification import LEVELS, Garment, Level, draw_garment, reference, sample_seed
from peakbench.records import ImageSource, Sample

VERSION = 1
"""Version of the drawings: the same set under another version is another set of files."""

FOLDER_VARIABLE = "PEAKBENCH_SYNTHETIC"
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

_QUALITY = 92
_CHUNK = 64
_MOST = 10_000_000
_SIDES = (32, 1024)


@dataclass(frozen=True, slots=True)
class GarmentSet:
    """``n`` garments of a split: ``train``, ``validation`` or ``test``, which share none, whatever their seeds.

    ``level``: ``easy``, ``medium``, ``hard``, or ``mixed`` for one of them at random each. ``size``: pixels a side.

    >>> GarmentSet(3).ids()
    ['test-00000', 'test-00001', 'test-00002']
    """

    n: int = 100
    seed: int = 7
    split: Split = "test"
    level: Level | Literal["mixed"] = "mixed"
    size: int = 128

    def garment(self, index: int) -> Garment:
        """Return the garment at a place, 0 to n - 1."""
        level = None if self.level == "mixed" else self.level
        return draw_garment(sample_seed(self.seed, self.split, index), level=level)

    def ids(self) -> list[str]:
        """Return the ids of the samples."""
        return [f"{self.split}-{index:05d}" for index in range(self.n)]

    def references(self) -> list[dict[str, str | None]]:
        """Return the nine facts of each garment, in order."""
        return [reference(self.garment(index)) for index in range(self.n)]

    def images(self, *, workers: int = 1, out: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """Draw all garments: (n, size, size, 3), 0 to 255.

        Args:
            workers: processes that draw.
            out: where to put them, such as a memory-mapped file; made where it is None.
        """
        images = np.empty((self.n, self.size, self.size, 3), np.uint8) if out is None else out
        if workers <= 1:
            for index in range(self.n):
                images[index] = _pixels(self, index)
            return images
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for index, drawn in enumerate(pool.map(_pixels, repeat(self, self.n), range(self.n), chunksize=_CHUNK)):
                images[index] = drawn
        return images

    def folder(self) -> Path:
        """Return where the files of this set are kept: under ``$PEAKBENCH_SYNTHETIC``, else in the user's cache."""
        name = f"v{VERSION}-seed{self.seed}-{self.split}-{self.level}-{self.size}"
        if root := os.environ.get(FOLDER_VARIABLE):
            return Path(root).expanduser().absolute() / name
        from platformdirs import user_cache_path

        return user_cache_path("peakbench") / "synthetic" / name

    def samples(self) -> Iterator[Sample]:
        """Yield the garments as samples over JPEG files, each drawn once and kept (see ``folder``)."""
        folder = self.folder()
        for index, id in enumerate(self.ids()):
            path = folder / f"{id}.jpg"
            garment = self.garment(index)
            if not path.exists():
                _keep(garment, self.size, path)
            yield Sample(
                id=id,
                images=(ImageSource("path", path.name, base=str(folder)),),
                reference=reference(garment),
                metadata={"level": garment.level, "view": garment.view, "split": self.split},
                where=f"synthetic:garments:{index + 1}",
            )


def parse_spec(spec: str) -> GarmentSet:
    """Read ``garments?n=3500&seed=7&split=test&level=mixed&size=128``; every part after ``?`` may be left out.

    Raises:
        DataError: another kind of set, an unknown key or a value that does not fit.

    >>> parse_spec("garments?n=10&split=train").split
    'train'
    """
    where = f"synthetic:{spec}"
    kind, _, query = spec.partition("?")
    if kind != "garments":
        raise DataError(f"there are no synthetic '{kind}'", where=where, expected="synthetic:garments?n=100&seed=7")
    given: dict[str, Any] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in given:
            raise DataError(f"'{key}' is given twice", where=where, expected="each key once")
        if key in _CHOICES:
            if value not in _CHOICES[key]:
                hint = nearest(value, _CHOICES[key])
                raise DataError(f"{key} is '{value}'", where=where, expected=" or ".join(_CHOICES[key]), hint=hint)
            given[key] = value
        elif key in _NUMBERS:
            low, high = _NUMBERS[key]
            if not (value.isascii() and value.isdigit() and len(value) < 20 and low <= int(value) <= high):
                expected = f"a whole number, {low:,} to {high:,}"
                raise DataError(f"{key} is '{value[:40]}'", where=where, expected=expected)
            given[key] = int(value)
        else:
            known = (*_NUMBERS, *_CHOICES)
            raise DataError(
                f"unknown key '{key[:40]}'", where=where, expected=", ".join(known), hint=nearest(key, known)
            )
    return GarmentSet(**given)


_NUMBERS = {"n": (1, _MOST), "seed": (0, 2**63 - 1), "size": _SIDES}
_CHOICES: dict[str, tuple[str, ...]] = {"split": SPLITS, "level": (*LEVELS, "mixed")}


def _open(spec: str) -> Iterable[Sample | DataProblem]:
    return parse_spec(spec).samples()


READER = Reader("synthetic", (), _open, "garments drawn on this machine: garments?n=3500&seed=7&split=test&level=mixed")
"""The data set form ``synthetic:garments?...``."""


def _pixels(drawn: GarmentSet, index: int) -> npt.NDArray[np.uint8]:
    from peakbench.garments.scene import render

    return np.asarray(render(drawn.garment(index), drawn.size))


def _keep(garment: Garment, size: int, path: Path) -> None:
    """Write a picture whole or not at all."""
    from tempfile import NamedTemporaryFile

    from peakbench.garments.scene import render

    picture = render(garment, size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            part = Path(file.name)
            try:
                picture.save(file, "JPEG", quality=_QUALITY)
            except BaseException:
                part.unlink()
                raise
        part.replace(path)
    except OSError as error:
        raise DataError(
            f"the picture cannot be kept: {error.strerror or error}",
            where=str(path.parent),
            hint=f"name another folder with {FOLDER_VARIABLE}",
        ) from None
