"""Parquet files and Hugging Face data sets on disk, streamed with pyarrow alone (the extra ``data``).

A folder is one of three: what ``datasets.save_to_disk`` wrote (``state.json`` beside Arrow files), the same with
splits (``dataset_dict.json`` beside one such folder a split), or Parquet shards as they come from the Hub
(``train-00000-of-00002.parquet``, in the folder, in ``data/`` or in one folder a split). ``FOLDER#test`` picks a
split; it has to be picked where there are several. Columns are as in :mod:`peakbench.datasets.tables`; class labels are
read as their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from peakbench.datasets.tables import Columns
from peakbench.errors import DataError, DataProblem, MissingDependency, nearest
from peakbench.records import Sample

_ROWS = 64
"""Rows that are turned into Python objects at a time: with images inside, some 10 MB."""
_SHARD = re.compile(r"(?P<split>.+?)-\d+-of-\d+(?:-[0-9a-f]+)?")


@dataclass(frozen=True, slots=True)
class _Table:
    """One file: its columns, the features that Hugging Face wrote into its schema, and its batches of rows."""

    names: list[str]
    features: Mapping[str, Any]
    batches: Iterable[Any]


def read_parquet(spec: str) -> Iterator[Sample | DataProblem]:
    """Read one Parquet file, by batches of rows.

    Raises:
        DataError: the file is missing or not Parquet.
        MissingDependency: pyarrow is not installed.
    """
    _pyarrow()
    if not Path(spec).is_file():
        raise DataError("no such file", where=spec)
    return _samples([Path(spec)], _open_parquet, base=Path(spec).absolute().parent)


def read_folder(spec: str) -> Iterator[Sample | DataProblem]:
    """Read a Hugging Face data set on disk; ``FOLDER#SPLIT`` picks a split.

    Raises:
        DataError: no such folder or split, a split has to be picked, or nothing in it that can be read.
        MissingDependency: pyarrow is not installed.
    """
    _pyarrow()
    name, split = spec, None
    if not Path(spec).exists() and "#" in spec:
        name, split = spec.rsplit("#", 1)
    folder = Path(name)
    if not folder.is_dir():
        raise DataError("no such folder", where=name)
    splits = _splits(folder)
    if split is None and len(splits) == 1:
        split = next(iter(splits))
    if split not in splits:
        what = "several splits" if split is None else f"no split {split!r}"
        if not splits:
            what = "no Hugging Face data set in this folder"
        raise DataError(
            what,
            where=name,
            expected="state.json beside Arrow files, dataset_dict.json, or *.parquet" if not splits else None,
            hint=nearest(split, splits) if split else f"pick one: {', '.join(f'{name}#{s}' for s in sorted(splits))}",
        )
    files = splits[split]
    arrow = files[0].suffix == ".arrow"
    return _samples(files, _open_arrow if arrow else _open_parquet, base=folder.absolute())


def is_huggingface(folder: Path) -> bool:
    """Whether a folder looks like a Hugging Face data set on disk."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json")) or bool(_shards(folder))


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingDependency("reading Parquet and Arrow", package="pyarrow", extra="data") from None
    return pyarrow


def _splits(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each split, in order."""
    if (folder / "dataset_dict.json").is_file():
        names = _json(folder / "dataset_dict.json").get("splits")
        if not isinstance(names, list) or any(Path(str(name)).name != name for name in names):
            raise DataError("no usable list 'splits'", where=str(folder / "dataset_dict.json"))
        return {str(name): _arrow_files(folder / str(name)) for name in names}
    if (folder / "state.json").is_file():
        return {str(_json(folder / "state.json").get("_split") or "all"): _arrow_files(folder)}
    return _shards(folder)


def _json(path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None
    if not isinstance(value, dict):
        raise DataError("not a JSON object", where=str(path))
    return value


def _arrow_files(folder: Path) -> list[Path]:
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise DataError(
            "rows picked by an index file, a form of old versions of 'datasets'",
            where=str(folder / "state.json"),
            hint="load it and save it again with a current version",
        )
    listed = state.get("_data_files")
    names = [item.get("filename") for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    # A name in state.json is only a name: nothing outside the folder is opened.
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise DataError("no usable list of files '_data_files'", where=str(folder / "state.json"))
    return [folder / str(name) for name in names]


def _shards(folder: Path) -> dict[str, list[Path]]:
    splits: dict[str, list[Path]] = {}
    for path in sorted([*folder.glob("*.parquet"), *folder.glob("*/*.parquet")]):
        match = _SHARD.fullmatch(path.stem)
        inside = path.parent.name if path.parent != folder and path.parent.name != "data" else None
        splits.setdefault(inside or (match["split"] if match else path.stem), []).append(path)
    return splits


def _open_parquet(path: Path) -> _Table:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    names = list(file.schema_arrow.names)
    return _Table(names, _features(file.schema_arrow.metadata), file.iter_batches(batch_size=_ROWS))


def _open_arrow(path: Path) -> _Table:
    import pyarrow.ipc

    reader = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path)))
    batches = (batch.slice(start, _ROWS) for batch in reader for start in range(0, max(batch.num_rows, 1), _ROWS))
    return _Table(list(reader.schema.names), _features(reader.schema.metadata), batches)


def _features(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """Return the features that Hugging Face keeps in the schema, by column."""
    try:
        features = orjson.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, orjson.JSONDecodeError):
        return {}
    return features if isinstance(features, dict) else {}


def _samples(files: list[Path], open_table: Callable[[Path], _Table], *, base: Path) -> Iterator[Sample | DataProblem]:
    import pyarrow

    for path in files:
        row = 0
        try:
            table = open_table(path)
            columns = Columns(table.names, base=str(base))
            if columns.problems:
                yield from (DataProblem(str(path), what) for what in columns.problems)
                return
            decoders = [_decoder(table.features.get(name)) for name in table.names]
            for batch in table.batches:
                lists = [
                    values if decode is None else [decode(value) for value in values]
                    for values, decode in zip((c.to_pylist() for c in batch.columns), decoders, strict=True)
                ]
                for cells in zip(*lists, strict=True):
                    row += 1
                    result = columns.read(cells, f"{path}:row {row}")
                    if isinstance(result, Sample):
                        yield result
                    else:
                        yield from result
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
            reason = str(error).split("\n")[0]
            yield DataProblem(f"{path}:row {row + 1}" if row else str(path), f"cannot be read: {reason}")


def _decoder(feature: Any) -> Callable[[Any], Any] | None:
    """Return what turns class labels (stored as numbers) into their names, at any depth; None where there are none."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = {"_type": "Sequence", "feature": feature[0]}
    if not isinstance(feature, dict):
        return None
    kind = feature.get("_type")
    if kind == "ClassLabel" and isinstance(names := feature.get("names"), list):
        # -1 is how a missing label is stored.
        return lambda value: names[value] if isinstance(value, int) and 0 <= value < len(names) else None
    if kind in ("Sequence", "List", "LargeList"):
        inner = _decoder(feature.get("feature"))
        return None if inner is None else lambda value: [inner(v) for v in value] if isinstance(value, list) else value
    if isinstance(kind, str):
        return None
    inside = {key: decode for key, part in feature.items() if (decode := _decoder(part)) is not None}
    if not inside:
        return None
    return lambda value: (
        {key: inside[key](v) if key in inside else v for key, v in value.items()} if isinstance(value, dict) else value
    )
