"""Tables in files: CSV, JSON lines, Parquet; written whole or not at all, in bounded memory."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peakbench.destinations import Export
from peakbench.errors import InputError, MissingDependency
from peakbench.exports.answers import ColumnType, answer_table, text
from peakbench.records import OUTCOMES
from peakbench.report.rows import summary_rows
from peakbench.store.directory import RESPONSES, RUN, SAMPLES, SCORES, SUMMARY, TASK
from peakbench.store.formats import csv_cell, dump_line

if TYPE_CHECKING:
    from peakbench.runs import Run

_BLOCK = 1000
"""Rows of a row group: what is held in memory at once."""

_TEXTS = {"what", "name", "slice_key", "slice", "profile", "method", "floor_answer", "reason", "unreliable", "unit"}
_TEXTS |= {"signature", "skill_reason"}
_INTEGERS = {"n", "unscored", *OUTCOMES}


def write_csv(export: Export) -> str:
    """Write a table as CSV in UTF-8; a text that a spreadsheet would run as a formula has ``'`` before it."""
    columns, rows = _table(export)
    with (
        writing(export.target) as path,
        path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([csv_cell(name) for name in columns])
        written = 0
        for row in rows:
            writer.writerow(["" if row[name] is None else csv_cell(row[name]) for name in columns])
            written += 1
    return _done(export, written)


def write_jsonl(export: Export) -> str:
    """Write a table as one JSON object a line."""
    columns, rows = _table(export)
    with writing(export.target) as path, path.open("wb") as file:
        written = 0
        for row in rows:
            file.write(dump_line({name: row[name] for name in columns}))
            written += 1
    return _done(export, written)


def write_parquet(export: Export) -> str:
    """Write a table as Parquet; what the run is stands in the file's metadata, as JSON under ``peakbench``.

    Raises:
        MissingDependency: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingDependency("writing Parquet", package="pyarrow", extra="data") from None
    columns, rows = _table(export)
    types = {"text": pa.string(), "integer": pa.int64(), "number": pa.float64()}
    about = json.dumps(_about(export.run)).encode()
    schema = pa.schema([pa.field(name, types[kind]) for name, kind in columns.items()], metadata={"peakbench": about})
    written = 0
    with writing(export.target) as path, parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while block := list(islice(rows, _BLOCK)):
            arrays = [
                pa.array([_cell(row[name], kind) for row in block], type=types[kind]) for name, kind in columns.items()
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(block)
    return _done(export, written)


def _cell(value: Any, kind: ColumnType) -> Any:
    if value is None or kind == "integer":
        return value
    if kind == "number":
        return float(value)
    return str(text(value)).encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no UTF-8


def _table(export: Export) -> tuple[Mapping[str, ColumnType], Iterator[dict[str, Any]]]:
    if export.table == "summary":
        rows = list(summary_rows(export.run.summary))
        names: Iterable[str] = rows[0] if rows else ()
        return {name: _kind(name) for name in names}, iter(_plain(row) for row in rows)
    table = answer_table(export.run, contents=export.contents)
    return table.columns, table.rows()


def _kind(name: str) -> ColumnType:
    return "text" if name in _TEXTS else "integer" if name in _INTEGERS else "number"


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    # the direction is a flag in memory and 0 or 1 in a table, where every reader has numbers
    return {name: int(value) if isinstance(value, bool) else value for name, value in row.items()}


def _about(run: Run) -> dict[str, Any]:
    """What the run is, so that a file that went its way still says it."""
    record = run.record
    return {
        "model": record.model,
        "task": record.task.model_dump(),
        "data": {"name": record.data.name, "fingerprint": record.data.fingerprint, "samples": record.data.samples},
        "sampling": record.model_dump()["sampling"],
        "created_at": record.created_at,
        "versions": record.versions,
        "responses_sha256": run.directory.responses_sha256(),
        "signatures": {name: entry.get("signature") for name, entry in run.summary["metrics"].items()},
    }


@contextlib.contextmanager
def writing(target: str) -> Iterator[Path]:
    """Yield a path beside the target, which takes its place when everything is written.

    Raises:
        InputError: there can be no such file, or it is one that a run is made of.
    """
    path = Path(target)
    if path.name in (RUN, TASK, SAMPLES, RESPONSES, SCORES, SUMMARY) and (path.parent / RUN).exists():
        raise InputError(
            "this file is part of a run",
            where=target,
            expected="another name",
            hint=f"for instance: export-{path.name}",
        )
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=target) from None
    os.close(handle)
    made = Path(temporary)
    try:
        yield made
        made.chmod(0o666 & ~_umask())
        made.replace(path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", where=target) from None
    finally:
        made.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _done(export: Export, written: int) -> str:
    what = "answers" if export.table == "answers" else "numbers"
    return f"{written:,} {what} written to {export.target}"
