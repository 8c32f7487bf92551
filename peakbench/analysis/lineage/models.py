"""Where a run's model comes from: what somebody said, and for the rest what its name says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from peakbench.analysis.lineage.names import NameParts, fold, read_name, read_quantization, read_size, read_stages
from peakbench.errors import ConfigError, StoreError, nearest
from peakbench.store import LineageRecord, RunDirectory, RunRecord

PARTS = ("family", "parameters", "training", "quantization", "version", "base_run")
"""What can be said of a model, in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a model comes from.

    Attributes:
        family: what it was made from. ``parameters``: its size. None: nobody and nothing says so.
        training: stages since its release, in order; empty: as released, as far as is known.
        quantization: ``none`` where it is as trained, or where nothing says otherwise.
        version: a label of the maker's own. ``labels``: words of the name that no convention explains, folded.
        variant: ``base`` or ``instruct``, where the name says so.
        base_run: the run of the model that this one was made from.
        inferred: the parts that were read from the name. ``unknown``: those that nobody and nothing says.
        conflicts: where the name says something else than what was given, in words.
        families: every folded name of the family, the one that was given and the one that the name has.
    """

    family: str | None
    parameters: str | None
    training: tuple[str, ...]
    quantization: str
    version: str | None
    variant: str | None
    labels: frozenset[str]
    base_run: str | None
    inferred: frozenset[str]
    unknown: frozenset[str]
    conflicts: tuple[str, ...]
    families: frozenset[str]

    @property
    def quantized(self) -> bool:
        """Whether anything says that the model is quantized."""
        return self.quantization != "none"

    def akin(self, other: Lineage) -> bool:
        """Whether two models are of one family; where only one was told its family, its name may speak for it too."""
        if "family" in self.inferred or "family" in other.inferred:
            return bool(self.families & other.families)
        return self.family is not None and other.family is not None and fold(self.family) == fold(other.family)

    def related(self, other: Lineage) -> bool:
        """Whether two models are of one family and one size; two unknown sizes are one."""
        return self.akin(other) and self.parameters == other.parameters

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "family": self.family,
            "parameters": self.parameters,
            "training": list(self.training),
            "quantization": self.quantization,
            "version": self.version,
            "base_run": self.base_run,
            "inferred": [part for part in PARTS if part in self.inferred],
            "conflicts": list(self.conflicts),
        }


def lineage_record(given: Mapping[str, Any] | None) -> LineageRecord:
    """Check what was given and bring it into the form that is compared; None stays None.

    ``training`` may be a text like ``SFT+GRPO``; a quantization among the stages becomes the quantization.

    Raises:
        ConfigError: an unknown part, or a value that cannot be used.
        StoreError: ``base_run`` is no run.

    >>> lineage_record({"training": "SFT+GRPO+NVFP4", "parameters": "8b"}).quantization
    'NVFP4'
    """
    values = {name: value for name, value in (given or {}).items() if value is not None}
    for name in values:
        if name not in PARTS:
            raise ConfigError(f"unknown part '{name}'", where="lineage", hint=nearest(name, PARTS))
    stages = values.get("training")
    if stages is not None:
        items = [stages] if isinstance(stages, str) else stages
        if not isinstance(items, list | tuple) or not all(isinstance(stage, str) for stage in items):
            raise ConfigError(f"{stages!r} cannot be used", where="lineage: training", expected="like 'SFT+GRPO'")
        values["training"], found = read_stages("+".join(items))
        if found is not None:
            values.setdefault("quantization", found)
    for name, canonical in (("parameters", read_size), ("quantization", read_quantization)):
        if isinstance(values.get(name), str):
            values[name] = canonical(values[name])
    if values.get("base_run") is not None:
        values["base_run"] = str(values["base_run"])
        RunDirectory.open(values["base_run"])
    try:
        return LineageRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(first["msg"], where=f"lineage: {place}") from None


def placed(record: LineageRecord, path: Path) -> LineageRecord:
    """Return the record as it is written into the run at ``path``: the base run's path starts from there.

    A folder of runs can then be moved as a whole.
    """
    if record.base_run is None:
        return record
    try:
        base = Path(os.path.relpath(record.base_run, path)).as_posix()
    except ValueError:  # another drive
        base = str(Path(record.base_run).resolve())
    if base == ".":
        raise StoreError("a run cannot be its own base run", where=str(path))
    return record.model_copy(update={"base_run": base})


def lineage_of(run: RunRecord) -> Lineage:
    """Return what is known about a run's model: what was given, and the rest from its name."""
    return known_lineage(run.model, run.lineage or LineageRecord())


def known_lineage(name: str, given: LineageRecord) -> Lineage:
    """Complete what was given by what a model's name says.

    >>> found = known_lineage("org/Qwen3-VL-8B-Instruct-FP8", LineageRecord(family="Qwen3-VL"))
    >>> found.parameters, found.quantization, sorted(found.inferred)
    ('8B', 'FP8', ['parameters', 'quantization'])
    """
    read = read_name(name)
    inferred: set[str] = set()
    unknown: set[str] = set()

    def known(part: str, value: Any) -> Any:
        said = getattr(given, part)
        if said is None:
            (inferred if value else unknown).add(part)
        return said if said is not None else value

    family = known("family", read.family)
    return Lineage(
        family=family,
        parameters=known("parameters", read.parameters),
        training=tuple(known("training", read.stages)),
        quantization=known("quantization", read.quantization) or "none",
        version=known("version", read.version),
        variant=read.variant,
        labels=read.labels,
        base_run=given.base_run,
        inferred=frozenset(inferred),
        unknown=frozenset(unknown),
        conflicts=tuple(_conflicts(given, read)),
        families=frozenset(fold(one) for one in (family, read.family) if one),
    )


def _conflicts(given: LineageRecord, read: NameParts) -> Iterable[str]:
    if given.parameters and read.parameters and given.parameters.split("-A")[0] != read.parameters.split("-A")[0]:
        yield f"the name says {read.parameters}, given is {given.parameters}"
    if given.training is not None and read.stages and given.training != read.stages:
        yield f"the name says {'+'.join(read.stages)}, given is {'+'.join(given.training) or 'no training'}"
    if given.quantization is not None and read.quantization and given.quantization != read.quantization:
        yield f"the name says {read.quantization}, given is quantization {given.quantization}"
