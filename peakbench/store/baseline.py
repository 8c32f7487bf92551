"""baseline.json: a run's scores sample by sample, in one file that is kept beside the code it guards.

Plain columns, each on a line of its own, one entry a sample in the order of ``ids``. A reader takes nothing on trust:
lengths, ranges and the checksum are verified, so a file that was cut, merged by hand or edited is refused, not read.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from peakbench.errors import StoreError
from peakbench.records import Outcome
from peakbench.store.directory import replace_file
from peakbench.store.formats import load_line

FORMAT: Literal[1] = 1
KIND: Literal["peakbench baseline"] = "peakbench baseline"
MOST_BYTES = 1 << 30
"""A larger file is refused unread."""

_TOLERANCE = 1e-6
_SHOWN = 3

Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1 + 1e-9)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class BaselineOrigin(_Part):
    """Which run the scores are of. ``responses_sha256`` is over its journal."""

    model: str
    path: str
    created_at: str
    task_id: str
    task_version: int
    data_name: str
    data_fingerprint: str
    samples: Annotated[int, Field(ge=0)]
    responses_sha256: str
    profile: str | None = None


class BaselineMetric(_Part):
    """A metric: what it declares, and its rows.

    ``above``: the value of each sample, null where unscored. ``below``: of a pooled metric, the denominators; ``above``
    holds the numerators then. ``problem``: why there are no rows to compare.
    """

    signature: str
    reduction: Literal["mean", "pooled", "rate"]
    range: tuple[Number | None, Number | None]
    higher_is_better: bool
    title: str = ""
    binary: bool = False
    problem: str | None = None
    above: list[Number | None]
    below: list[Annotated[Number, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        low, high = self.range
        if low is not None and high is not None and low >= high:
            raise ValueError(f"the range {low} to {high} is empty")
        if (self.below is not None) != (self.reduction == "pooled"):
            raise ValueError("'below' belongs to a pooled metric, and to no other")
        if self.below is not None and len(self.below) != len(self.above):
            raise ValueError(f"{len(self.above)} entries above, {len(self.below)} below")
        sizes = self.below if self.below is not None else [1.0] * len(self.above)
        for row, (value, size) in enumerate(zip(self.above, sizes, strict=True)):
            if value is None:
                continue
            slack = _TOLERANCE * max(1.0, size)
            if (low is not None and value < low * size - slack) or (high is not None and value > high * size + slack):
                raise ValueError(f"entry {row}: {value} lies outside the range")
            if self.binary and value not in (0, 1):
                raise ValueError(f"entry {row}: {value} is neither 0 nor 1")
        return self


class BaselineField(_Part):
    """A field: ``score`` of each sample, null where it was not asked; ``outcomes``: shares of the answers by outcome.

    An outcome that never occurs has no column.
    """

    signature: str | None
    weight: Annotated[Number, Field(ge=0)]
    score: list[Share | None]
    outcomes: dict[Outcome, list[Share]]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for name, column in self.outcomes.items():
            if len(column) != len(self.score):
                raise ValueError(f"outcome {name}: {len(column)} entries, not {len(self.score)}")
        for row, score in enumerate(self.score):
            share = math.fsum(column[row] for column in self.outcomes.values())
            if abs(share - (score is not None)) > _TOLERANCE:
                raise ValueError(f"entry {row}: the outcomes sum to {share:g}")
        return self


class Baseline(_Part):
    """baseline.json. ``references``: digests; ``failed``: the share of each sample's answers that failed.

    ``sha256`` is over everything else, so that a file that was merged or edited by hand is told from one that was
    written.
    """

    kind: Literal["peakbench baseline"] = KIND
    format: Literal[1] = FORMAT
    peakbench: str
    saved_at: str
    origin: BaselineOrigin
    repeats: Annotated[int, Field(ge=1)]
    ids: list[str]
    references: list[str]
    failed: list[Share]
    metrics: dict[str, BaselineMetric]
    fields: dict[str, BaselineField]
    sha256: str = ""

    @model_validator(mode="after")
    def _one_row_a_sample(self) -> Self:
        n = len(self.ids)
        if not n:
            raise ValueError("no samples")
        if len(set(self.ids)) != n:
            raise ValueError("an id stands twice")
        columns: Iterator[tuple[str, Sequence[Any]]] = iter(
            [
                ("references", self.references),
                ("failed", self.failed),
                *((f"metrics.{name}", metric.above) for name, metric in self.metrics.items()),
                *((f"fields.{name}", field.score) for name, field in self.fields.items()),
            ]
        )
        for name, column in columns:
            if len(column) != n:
                raise ValueError(f"{name}: {len(column)} entries for {n} ids")
        return self


def write_baseline(path: str | Path, baseline: Baseline, *, overwrite: bool = False) -> None:
    """Write a baseline, whole or not at all; its checksum is made here.

    Raises:
        StoreError: the file is there and ``overwrite`` is False, or it cannot be written.
    """
    target = Path(path)
    if target.is_dir():
        raise StoreError("a folder, not a file", where=str(target), expected="the name of a file: baseline.json")
    if target.exists() and not overwrite:
        raise StoreError("there is a baseline already", where=str(target), hint="replace it: --overwrite")
    value = _whole(baseline.model_dump(mode="json", exclude={"sha256"}, exclude_none=False))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder cannot be made: {error.strerror}", where=str(target.parent)) from None
    replace_file(target, _lines({**value, "sha256": _checksum(value)}).encode("ascii"))


def read_baseline(path: str | Path) -> Baseline:
    """Read a baseline and verify it.

    Raises:
        StoreError: it is missing, damaged, edited, or of another version.
    """
    where = str(path)
    elsewhere = "make one from a run that is known to be good: peakbench baseline save RUN --out"
    hint = f"{elsewhere} {where}"
    try:
        size = Path(path).stat().st_size
        if size > MOST_BYTES:
            raise StoreError(f"{size:,} bytes are too many for a baseline", where=where)
        value = load_line(Path(path).read_bytes())
    except FileNotFoundError:
        raise StoreError("no baseline here", where=where, hint=hint) from None
    except IsADirectoryError:
        raise StoreError("a folder, not a baseline", where=where, hint=f"{elsewhere} FILE") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"cannot be read: {error}", where=where, expected="a baseline", hint=hint) from None
    if not isinstance(value, dict) or value.get("kind") != KIND:
        expected = f'a JSON object with "kind": "{KIND}"'
        raise StoreError("not a baseline", where=where, expected=expected, hint=f"{elsewhere} FILE")
    if value.get("format") != FORMAT:
        newer = isinstance(value.get("format"), int) and value["format"] > FORMAT
        raise StoreError(
            f"format {str(value.get('format'))[:20]!r} is not known",
            where=where,
            expected=f"format {FORMAT}",
            hint="a newer PeakBench wrote it: pip install -U peakbench" if newer else hint,
        )
    try:
        found = Baseline.model_validate(value)
    except ValidationError as error:
        raise StoreError(_problems(error), where=where, expected="a baseline as it was saved", hint=hint) from None
    if _checksum({key: part for key, part in value.items() if key != "sha256"}) != found.sha256:
        raise StoreError(
            "the file was changed after it was saved: its checksum does not fit its content", where=where, hint=hint
        )
    return found


def baseline_schema() -> dict[str, Any]:
    """Return the JSON Schema of baseline.json.

    >>> sorted(baseline_schema()["required"])[:4]
    ['failed', 'fields', 'ids', 'metrics']
    """
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Baseline.model_json_schema()}


def _problems(error: ValidationError) -> str:
    found = [
        f"{'.'.join(str(part)[:60] for part in item['loc']) or 'baseline'}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_url=False, include_input=False)
    ]
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more


def _whole(value: Any) -> Any:
    """Write whole numbers without a point: shorter, and one number has one form in the checksum."""
    if isinstance(value, dict):
        return {key: _whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def _checksum(value: Any) -> str:
    text = json.dumps(_whole(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _lines(value: Any, indent: str = "") -> str:
    """Return JSON with objects indented and every list on one line: a column is a line, in a diff too."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, separators=(",", ":")) + ("\n" if not indent else "")
    inner = indent + "  "
    parts = [f"{inner}{json.dumps(key)}: {_lines(part, inner)}" for key, part in value.items()]
    return "{\n" + ",\n".join(parts) + "\n" + indent + "}" + ("\n" if not indent else "")
