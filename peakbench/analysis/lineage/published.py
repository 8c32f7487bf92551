"""Rows of a published table of models: names, what the table says of each, and scores in per cent."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from peakbench.analysis.lineage.kinship import Candidate
from peakbench.analysis.lineage.models import known_lineage, lineage_record
from peakbench.errors import DataError, DataProblem, InputError, nearest

_GIVEN = {"architecture": "family", "family": "family", "params": "parameters", "parameters": "parameters"}
_JSON = ("json_pct", "valid_json_pct", "json_parse_rate_pct")
_MOST_ROWS, _LONGEST = 10_000, 200


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table as it was read: its rows as candidates, and per metric their scores in per cent, None where not given.

    The scores stand as they were published, also where they cannot be: 101.4 of 100.
    """

    path: str
    rows: tuple[Candidate, ...]
    scores: Mapping[str, tuple[float | None, ...]]


def read_table(path: str | Path) -> PublishedTable:
    """Read a CSV file with a column ``model``, and a score in each column whose name ends in ``_pct``.

    ``architecture`` (or ``family``), ``params``, ``training``, ``quantization`` and ``version`` are read where they are
    there; what they leave empty is read from the model's name. A share of valid JSON (``json_pct``) is no score.

    Raises:
        InputError: no such file, or not such a table.
        DataError: cells that cannot be used, each with its line.
    """
    file = Path(path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            columns = [name for name in reader.fieldnames or () if name]
            if "model" not in columns:
                raise InputError(
                    "no column 'model'", where=str(file), expected="a header line", hint=nearest("model", columns)
                )
            rows = [(reader.line_num, row) for row, _ in zip(reader, range(_MOST_ROWS + 1), strict=False)]
    except FileNotFoundError:
        raise InputError("no such file", where=str(file)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read: {error}", where=str(file)) from None
    if len(rows) > _MOST_ROWS:
        raise InputError(f"more than {_MOST_ROWS:,} rows", where=str(file))
    metrics = [name for name in columns if name.endswith("_pct") and name not in _JSON]
    if not metrics:
        raise InputError("no scores", where=str(file), expected="columns whose names end in _pct")
    problems: list[DataProblem] = []
    rates = next((name for name in _JSON if name in columns), None)
    candidates = []
    scores: dict[str, list[float | None]] = {name: [] for name in metrics}
    for line, row in rows:
        where = f"{file}:{line}"
        problems += [DataProblem(where, "more cells than columns")] if None in row else []
        for name, column in scores.items():
            column.append(_number(row, name, where, problems))
        readable = _number(row, rates, where, problems) if rates else None
        try:
            candidates.append(_candidate(row, where, None if readable is None else readable / 100))
        except InputError as error:
            problems.append(DataProblem(where, error.what))
    if problems:
        raise DataError(f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in {file}", problems=problems)
    return PublishedTable(
        str(file), tuple(candidates), {name.removesuffix("_pct"): tuple(column) for name, column in scores.items()}
    )


def _candidate(row: Mapping[str, str | None], where: str, readable: float | None) -> Candidate:
    name = (row["model"] or "").strip()
    if not name or len(name) > _LONGEST:
        raise InputError("no model's name" if not name else f"a name of more than {_LONGEST} characters")
    given: dict[str, str] = {}
    for column, part in (*_GIVEN.items(), *((part, part) for part in ("training", "quantization", "version"))):
        text = (row.get(column) or "").strip()
        if text:
            given.setdefault(part, text)
    return Candidate(name, where, known_lineage(name, lineage_record(given)), readable=readable)


def _number(row: Mapping[str, str | None], column: str, where: str, problems: list[DataProblem]) -> float | None:
    text = (row.get(column) or "").strip().removesuffix("%")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        problems.append(DataProblem(where, f"{column}: not a number: {text[:40]!r}"))
        return None
    return value
