"""Which runs lie in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from peakbench.errors import InputError

DEPTH = 3
"""Runs lie in a folder, or in folders in it, at most so deep."""

MOST = 5_000
"""Runs of one page; what comes after is left out."""

ENTRIES = 20_000
"""Entries of one folder that are looked at: a folder of images is no folder of runs."""

_RECORD = "run.json"


def checked_folders(names: Iterable[str | Path]) -> list[Path]:
    """Return the folders, resolved, each once.

    Raises:
        InputError: one is no folder.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if not path.is_dir():
            raise InputError("no such folder", where=str(name), expected="a folder with runs in it, or a run directory")
        found[path.resolve()] = None
    return list(found)


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """Return the run directories in these folders, in no particular order; a folder that cannot be read has none."""
    found: dict[Path, None] = {}
    for folder in folders:
        for path in _below(folder, DEPTH):
            found[path] = None
            if len(found) >= MOST:
                return list(found)
    return list(found)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / _RECORD).is_file():
        yield folder  # nothing in a run is a run
        return
    if depth == 0:
        return
    try:
        with os.scandir(folder) as entries:
            inner = [
                entry.path
                for entry, _ in zip(entries, range(ENTRIES), strict=False)
                if not entry.name.startswith(".") and entry.is_dir()
            ]
    except OSError:
        return
    for path in sorted(inner):
        yield from _below(Path(path), depth - 1)
