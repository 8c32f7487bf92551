"""From what a user names (a file, a folder, a scheme, objects in memory) to a Dataset."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from peakbench.datasets.base import Dataset, Reader
from peakbench.datasets.columnar import is_huggingface, read_folder, read_parquet
from peakbench.datasets.lines import read_jsonl
from peakbench.datasets.samples import SampleReader, as_json
from peakbench.datasets.tables import Columns, read_csv
from peakbench.errors import DataError, DataProblem
from peakbench.records import Sample

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")


def read_images(spec: str) -> Iterator[Sample | DataProblem]:
    """Read a folder of image files as samples without references, in the order of their names, folders inside too.

    A sample's id is its path from the folder without the ending.

    Raises:
        DataError: no such folder.
    """
    if not Path(spec).is_dir():
        raise DataError("no such folder", where=spec)
    return _walk(spec)


def _walk(folder: str) -> Iterator[Sample | DataProblem]:
    samples = SampleReader(str(Path(folder).absolute()))
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(IMAGE_ENDINGS):
                path = Path(parent, name).relative_to(folder)
                result = samples.read({"id": path.with_suffix("").as_posix(), "image": path}, str(Path(parent, name)))
                if isinstance(result, Sample):
                    yield result
                else:
                    yield from result


READERS: tuple[Reader, ...] = (
    Reader("jsonl", (".jsonl", ".ndjson"), read_jsonl, "one JSON object a line"),
    Reader("csv", (".csv", ".tsv"), read_csv, "a header line, then one sample a row"),
    Reader("parquet", (".parquet",), read_parquet, "columns as in CSV, images inside or by path"),
    Reader("hf", (), read_folder, "a Hugging Face data set on disk: save_to_disk or Parquet shards; FOLDER#SPLIT"),
    Reader("images", (), read_images, "a folder of image files, without references"),
)
"""The forms that ship."""

_IN_FOLDER = ("samples.jsonl", "samples.csv", "samples.parquet")


def open_dataset(spec: Any, *, readers: Sequence[Reader] = READERS, limit: int | None = None) -> Dataset:
    """Open a data set. No sample is read yet, but a missing file is named now.

    Args:
        spec: a file, chosen by its ending; a folder that holds samples.jsonl (or .csv, .parquet), a Hugging Face
            data set or images; ``scheme:`` and a name, for a form by its name; samples or mappings in memory; a data
            frame; a Dataset.
        readers: the forms known.
        limit: end after this many samples.

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
    by_name = {reader.name: reader for reader in readers}
    scheme, colon, rest = spec.partition(":")
    if colon and scheme in by_name:
        return by_name[scheme], rest
    path = Path(spec)
    if path.is_dir():
        return _choose_folder(path, by_name)
    if not path.exists():
        folder = spec.rpartition("#")[0]
        if folder and Path(folder).is_dir() and "hf" in by_name:
            return by_name["hf"], spec
        raise DataError("no such file or folder", where=spec, hint=_similar(path))
    fitting = [(ending, reader) for reader in readers for ending in reader.endings if spec.lower().endswith(ending)]
    if not fitting:
        raise DataError(
            "no reader knows this form of data set",
            where=spec,
            expected="a name that ends in " + ", ".join(e for reader in readers for e in reader.endings),
            hint=f"or say which form it is: {', '.join(f'{name}:{spec}' for name in list(by_name)[:2])}",
        )
    return max(fitting, key=lambda pair: len(pair[0]))[1], spec


def _similar(path: Path) -> str | None:
    """Name a file beside the missing one whose name is like it."""
    try:
        names = [entry.name for entry in islice(path.parent.iterdir(), 1000)]
    except OSError:
        return f"there is no folder {path.parent} either"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean '{close[0]}'?" if close else None


def _choose_folder(path: Path, by_name: Mapping[str, Reader]) -> tuple[Reader, str]:
    for name in _IN_FOLDER:
        if (path / name).is_file() and (form := name.rpartition(".")[2]) in by_name:
            return by_name[form], str(path / name)
    if "hf" in by_name and is_huggingface(path):
        return by_name["hf"], str(path)
    if "images" in by_name and next(iter(_walk(str(path))), None) is not None:
        return by_name["images"], str(path)
    raise DataError(
        "no data set in this folder",
        where=str(path),
        expected=f"{', '.join(_IN_FOLDER)}, a Hugging Face data set, or image files",
    )


def _title(spec: str) -> str:
    """Name a data set: its file's name without ending, or the folder's where every data set has that file name."""
    path = Path(spec).absolute()
    return path.parent.name if path.stem in ("samples", "data") else path.stem or spec


def in_memory(rows: Any, *, name: str = "in-memory", limit: int | None = None) -> Dataset:
    """Make a data set from samples, from mappings in the JSON form, or from a data frame with the columns of a table.

    A one-time iterator is drawn into a list, because a data set is read more than once. Relative image paths start
    from the working directory, and may lead anywhere.

    Raises:
        DataError: not something that can be iterated over.

    >>> [sample.id for sample in in_memory([{"id": 1, "image": "a.jpg"}])]
    ['1']
    """
    if hasattr(rows, "itertuples") and hasattr(rows, "columns"):
        return Dataset(name, name, "frame", lambda: _frame(rows, name), limit)
    if not isinstance(rows, Iterable) or isinstance(rows, Mapping | bytes):
        raise DataError(
            f"a {type(rows).__name__} is no data set", expected="a path, samples or mappings, or a data frame"
        )
    kept = list(rows) if isinstance(rows, Iterator) else rows
    return Dataset(name, name, "memory", lambda: _rows(kept, name), limit)


def _rows(rows: Iterable[Any], name: str) -> Iterator[Sample | DataProblem]:
    samples = SampleReader(None)
    for number, row in enumerate(rows, 1):
        result = row if isinstance(row, Sample) else _row(samples, row, f"{name}:{number}")
        if isinstance(result, Sample):
            yield result
        else:
            yield from result


def _row(samples: SampleReader, row: Any, where: str) -> Sample | list[DataProblem]:
    """Read one mapping of a program, whose values need not be JSON: arrays, times, NaN."""
    if not isinstance(row, Mapping):
        return samples.read(row, where)
    plain = dict(row)
    for key in ("id", "prompt", "reference", "metadata"):
        if key in plain:
            try:
                plain[key] = as_json(plain[key])
            except ValueError as error:
                return [DataProblem(where, f"'{key}': {error}")]
    return samples.read(plain, where)


def _frame(frame: Any, name: str) -> Iterator[Sample | DataProblem]:
    columns = Columns([str(column) for column in frame.columns], base=None)
    if columns.problems:
        yield from (DataProblem(name, what) for what in columns.problems)
        return
    for number, cells in enumerate(frame.itertuples(index=False, name=None), 1):
        result = columns.read(cells, f"{name}:row {number}")
        if isinstance(result, Sample):
            yield result
        else:
            yield from result
