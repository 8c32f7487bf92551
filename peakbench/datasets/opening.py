"""From what a user names (a file, a folder, a scheme, objects in memory) to a Dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from peakbench.datasets.base import Dataset, Reader
from peakbench.datasets.lines import read_jsonl
from peakbench.datasets.samples import SampleReader
from peakbench.errors import DataError, DataProblem, nearest
from peakbench.records import Sample

JSONL = Reader("jsonl", (".jsonl", ".ndjson"), read_jsonl, "one JSON object a line")
READERS: tuple[Reader, ...] = (JSONL,)
"""The forms that ship."""


def open_dataset(spec: Any, *, readers: Sequence[Reader] = READERS, limit: int | None = None) -> Dataset:
    """Open a data set; nothing is read yet, but what cannot be opened at all is said now.

    Raises:
        DataError: no such file, or a form that no reader knows.
    """
    if isinstance(spec, Dataset):
        return spec if limit is None else Dataset(spec.name, spec.spec, spec.reader, spec.source, limit)
    if not isinstance(spec, str | os.PathLike):
        return in_memory(spec, limit=limit)
    text = os.fspath(spec)
    reader, rest = _choose(text, readers)
    return Dataset(_title(rest), text, reader.name, lambda: reader.open(rest), limit)


def _choose(spec: str, readers: Sequence[Reader]) -> tuple[Reader, str]:
    scheme, colon, rest = spec.partition(":")
    for reader in readers:
        if colon and scheme == reader.name:
            return reader, rest
    path = Path(spec)
    if not path.exists():
        near = sorted(entry.name for entry in path.parent.iterdir())[:1000] if path.parent.is_dir() else []
        raise DataError("no such file or folder", where=spec, hint=nearest(path.name, near) if near else None)
    fitting = [(ending, reader) for reader in readers for ending in reader.endings if spec.lower().endswith(ending)]
    if not fitting:
        raise DataError(
            "no reader knows this form of data set",
            where=spec,
            expected="a name that ends in " + ", ".join(e for r in readers for e in r.endings),
            hint="or say which it is: " + ", ".join(f"{reader.name}:{spec}" for reader in readers[:2]),
        )
    return max(fitting, key=lambda pair: len(pair[0]))[1], spec


def _title(spec: str) -> str:
    """Name a data set: its file's name without ending, or the folder's where every data set has that file name."""
    path = Path(spec)
    return path.absolute().parent.name if path.stem in ("samples", "data") else path.stem or spec


def in_memory(rows: Iterable[Sample | Mapping[str, Any]], *, limit: int | None = None) -> Dataset:
    """Make a data set from samples or mappings in the JSON form. A one-time iterator is drawn into a list.

    >>> [sample.id for sample in in_memory([{"id": 1, "image": "a.jpg"}])]
    ['1']
    """
    kept = list(rows) if isinstance(rows, Iterator) else rows
    return Dataset("in-memory", "in-memory", "memory", lambda: _rows(kept), limit)


def _rows(rows: Iterable[Sample | Mapping[str, Any]]) -> Iterator[Sample | DataProblem]:
    samples = SampleReader(None)
    for number, row in enumerate(rows, 1):
        result = row if isinstance(row, Sample) else samples.read(row, f"in-memory:{number}")
        if isinstance(result, Sample):
            yield result
        else:
            yield from result
