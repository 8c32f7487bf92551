"""Columns to samples: the form that CSV, Parquet, Hugging Face folders and data frames share; and CSV itself.

====================  ==================================================================================
column                what it holds
====================  ==================================================================================
id                    required
image                 a path, a URL or a data URI; in Parquet also bytes or a struct of bytes and path
images                several: separated by ";" in CSV, a list in Parquet
image_front, ...      one image each, labelled "front"; an empty cell: this sample has none
prompt                replaces the task's user prompt
reference             a JSON object as text, or plain text for a text task; in Parquet also a struct
reference.color, ...  one field each
metadata              a JSON object as text; in Parquet also a struct
metadata.source, ...  one key each
====================  ==================================================================================

An empty cell of a ``reference.*`` column is null: "not there", and scored. A column that is absent is a field that is
absent: not scored. So is a key that is absent from the JSON object of a ``reference`` column, which is how a field is
left out for some samples only; a struct cannot say that, its nulls are null. A row whose ``reference`` cell is empty
has no reference. Every cell of a CSV file is text: numbers and lists go into a ``reference`` column.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import orjson

from peakbench.datasets.lines import LINE_BYTES, open_utf8, why_not_json
from peakbench.datasets.samples import SampleReader, as_json, is_null
from peakbench.errors import DataProblem, nearest
from peakbench.records import ImageSource, JSONValue, Sample

_PLAIN = ("id", "image", "images", "prompt", "reference", "metadata")
_PREFIXES = ("reference.", "metadata.", "image_")


class Columns:
    """The columns of one table, sorted by what they are; ``problems`` says what is wrong with them."""

    def __init__(self, names: Sequence[str], *, base: str | None) -> None:
        self.problems: list[str] = []
        self._samples = SampleReader(base)
        self._width = len(names)
        self._plain = {name: index for index, name in enumerate(names) if name in _PLAIN}
        self._fields = self._prefixed(names, "reference.")
        self._metadata = self._prefixed(names, "metadata.")
        self._labelled = self._prefixed(names, "image_")
        for index, name in enumerate(names):
            if name in names[:index]:
                self.problems.append(f"two columns have the name {name!r}")
            elif not name:
                self.problems.append(f"column {index + 1} has no name")
            elif name not in _PLAIN and not (name.startswith(_PREFIXES) and name not in _PREFIXES):
                rest = name.partition(".")[2] or "NAME"
                known = (*_PLAIN, "image_NAME", f"reference.{rest}", f"metadata.{rest}")
                self.problems.append(f"unknown column {name!r} ({nearest(name, known)}), or name it metadata.{name}")
        if "id" not in names:
            self.problems.append("no column 'id'")
        if "reference" in names and self._fields:
            self.problems.append("both a column 'reference' and columns 'reference.NAME'; use one of the two")
        if "metadata" in names and self._metadata:
            self.problems.append("both a column 'metadata' and columns 'metadata.NAME'; use one of the two")
        if "images" in names and ("image" in names or self._labelled):
            self.problems.append("both a column 'images' and columns for single images; use one of the two")

    @staticmethod
    def _prefixed(names: Sequence[str], prefix: str) -> list[tuple[str, int]]:
        return [(name[len(prefix) :], index) for index, name in enumerate(names) if name.startswith(prefix)]

    def read(self, cells: Sequence[Any], where: str) -> Sample | list[DataProblem]:
        """Return the sample of one row, or everything that is wrong with it. A cell that is not there is None."""
        if len(cells) != self._width:
            return [DataProblem(where, f"{len(cells)} cells, where the header has {self._width}")]
        value: dict[str, Any] = {}
        cells = [None if is_null(cell) else cell for cell in cells]
        try:
            for name, index in self._plain.items():
                cell = cells[index]
                if name in ("image", "images"):
                    continue
                value[name] = _json_cell(cell, name) if name in ("reference", "metadata") else as_json(cell)
            if self._fields:
                value["reference"] = {name: as_json(cells[index]) for name, index in self._fields}
            if self._metadata:
                value["metadata"] = {name: as_json(cells[index]) for name, index in self._metadata}
            if images := self._images(cells):
                value["images"] = images
        except ValueError as error:
            return [DataProblem(where, str(error))]
        return self._samples.read(value, where)

    def _images(self, cells: Sequence[Any]) -> list[Any]:
        images: list[Any] = []
        if "image" in self._plain and cells[self._plain["image"]] is not None:
            images.append(self._image(cells[self._plain["image"]], None))
        if "images" in self._plain and (cell := cells[self._plain["images"]]) is not None:
            parts = [part.strip() for part in cell.split(";")] if isinstance(cell, str) else list(cell)
            if isinstance(cell, str) and any(part.startswith("data:") for part in parts):
                raise ValueError("a data URI holds ';' and cannot stand in 'images'; use 'image' or 'image_NAME'")
            images += [self._image(part, None) for part in parts if part]
        images += [self._image(cells[index], label) for label, index in self._labelled if cells[index] is not None]
        return images

    def _image(self, cell: Any, label: str | None) -> Any:
        """Bring a cell into the JSON form of an image. Hugging Face's image is a struct of bytes and path."""
        if isinstance(cell, Mapping) and set(cell) == {"bytes", "path"}:
            cell = cell["path"] if cell["bytes"] is None else cell["bytes"]
        if isinstance(cell, bytes):
            return ImageSource("bytes", cell, label)
        if isinstance(cell, str):
            key = "data" if cell.startswith("data:") else "url" if cell.startswith(("http://", "https://")) else "path"
            return {key: cell, "label": label}
        return cell


def _json_cell(cell: Any, name: str) -> JSONValue:
    """Read a 'reference' or 'metadata' cell: text that begins with a brace is a JSON object."""
    if not isinstance(cell, str):
        return as_json(cell)
    if not cell.lstrip().startswith("{"):
        return None if cell.strip() in ("", "null") else as_json(cell)
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"column '{name}' is not JSON: {why_not_json(cell, error)}") from None


def read_csv(spec: str) -> Iterator[Sample | DataProblem]:
    """Read a CSV file (RFC 4180, a header line, commas; tabs where its name ends in .tsv), UTF-8.

    A problem is named with the line on which its row begins, line breaks inside cells counted.

    Raises:
        DataError: the file is missing, cannot be read, or is not UTF-8 (UTF-16 and UTF-32 are named).
    """
    return _read(open_utf8(spec), spec)


def _read(file: IO[bytes], path: str) -> Iterator[Sample | DataProblem]:
    # A process-wide limit, 128 KiB unless raised: too little for a picture as a data URI. It is never lowered.
    csv.field_size_limit(max(csv.field_size_limit(), LINE_BYTES))
    problems: list[DataProblem] = []
    columns: Columns | None = None
    with file:
        reader = csv.reader(
            _lines(file, path, problems), strict=True, delimiter="\t" if path.lower().endswith(".tsv") else ","
        )
        while True:
            where = f"{path}:{reader.line_num + 1}"
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                yield DataProblem(where, f"not CSV: {_why_not_csv(str(error))}")
                if columns is None:
                    return
                continue
            if problems:
                yield from problems
                problems.clear()
                if columns is None:
                    return
            elif columns is None:
                columns = Columns([name.strip() for name in cells], base=str(Path(path).absolute().parent))
                if len(cells) == 1 and ";" in cells[0]:
                    columns.problems[:] = ["the header is separated by ';'; save the file with commas, or as .tsv"]
                if columns.problems:
                    yield from (DataProblem(where, what) for what in columns.problems)
                    return
            elif any(cells):
                result = columns.read([cell or None for cell in cells], where)
                if isinstance(result, Sample):
                    yield result
                else:
                    yield from result
    yield from problems


def _lines(file: IO[bytes], path: str, problems: list[DataProblem]) -> Iterator[str]:
    """Decode line by line, so that a wrong byte is named with its line and the rest is still read."""
    number = 0
    while raw := file.readline(LINE_BYTES + 1):
        number += 1
        if len(raw) > LINE_BYTES:
            problems.append(DataProblem(f"{path}:{number}", f"the line is longer than {LINE_BYTES // 2**20} MiB"))
            return
        try:
            yield raw.decode()
        except UnicodeDecodeError as error:
            problems.append(DataProblem(f"{path}:{number}", f"byte {error.start + 1} of the line is not UTF-8"))
            yield raw.decode(errors="replace")


def _why_not_csv(reason: str) -> str:
    if reason == "unexpected end of data":
        return "a quote that opens in this row is never closed"
    if "new-line character" in reason:
        return "a bare carriage return inside the line; save the file with line feeds"
    return reason
