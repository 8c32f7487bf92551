"""The weights on this machine: where they lie, whether they are there, whether they are what they should be."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from peakbench.backends.weights.manifest import Bytes, Sha256, WeightFile, Weights, find
from peakbench.errors import InputError

ROOT_VARIABLE = "PEAKBENCH_WEIGHTS"
STAMP = "peakbench.json"
CHUNK = 1 << 20
NEEDED = {
    "encoder": ("torch", "sentence_transformers"),
    "entailer": ("torch", "transformers"),
    "lexicon": ("nltk",),
}
"""The Python packages that read weights of each kind."""

Verified = Literal["published", "first use", "no"]


class Seen(BaseModel):
    """A file as it was when it was verified. ``verified`` says against what: a hash of the manifest, the Hub's own
    word at the time of the download, or nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: Bytes
    sha256: Sha256
    verified: Verified


class Stamp(BaseModel):
    """What ``peakbench.json`` in a weights folder says: written after verification, never before."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    id: str
    revision: str
    source: str
    files: Annotated[dict[str, Seen], Field(min_length=1)]
    broken: tuple[str, ...] = ()

    @property
    def verified(self) -> Verified:
        """How far the whole is to be trusted: as far as its least trusted file."""
        levels = {seen.verified for seen in self.files.values()}
        return "no" if "no" in levels else "first use" if "first use" in levels else "published"


def root() -> Path:
    """Return the folder of all weights: ``$PEAKBENCH_WEIGHTS``, else a folder in the user's cache."""
    given = os.environ.get(ROOT_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("peakbench") / "weights"


def folder(id: str) -> Path:
    """Return the folder of one model, whether it is there or not.

    For ``wordnet`` it is a folder of nltk data: the files lie in ``corpora/wordnet`` below it.

    Raises:
        InputError: the manifest has no such id.
    """
    return root() / find(id).id


def stamp(id: str) -> Stamp | None:
    """Return what was verified when the weights came here; None where nothing is here, or it cannot be read."""
    try:
        return Stamp.model_validate_json((folder(id) / STAMP).read_bytes())
    except (OSError, ValidationError):
        return None


def present(id: str) -> bool:
    """Say whether the weights are here and were verified: one small file is read, sizes are looked at, no more.

    Raises:
        InputError: the manifest has no such id.
    """
    return _absence(find(id)) is None


def verify(id: str) -> list[str]:
    """Read every file again and return what is wrong with each, in words; an empty list when all is right.

    Weights that fail are not used any more until they are fetched again, or verified with success.

    Raises:
        InputError: the weights are not here, or the manifest has no such id.
    """
    weights, found, place = find(id), stamp(id), folder(id)
    if found is None or not _same_model(weights, found):
        raise InputError(
            f"the weights of {id} are not on this machine", where=str(place), hint=f"peakbench weights fetch {id}"
        )
    problems: dict[str, str] = {}
    for file in weights.files:
        seen = found.files[file.name]
        try:
            size, digest = measure(place / file.name)
        except OSError as error:
            problems[file.name] = f"{file.name}: {error.strerror or error}"
            continue
        if (size, digest) != (seen.bytes, seen.sha256):
            problems[file.name] = mismatch(file.name, digest, size, seen.sha256, seen.bytes)
    if tuple(problems) != found.broken:
        with contextlib.suppress(InputError):  # a shared folder may be read-only: its faults are told all the same
            write_stamp(place, found.model_copy(update={"broken": tuple(problems)}))
    return list(problems.values())


def missing_reason(id: str) -> str | None:
    """Return why the weights cannot be used, with the command that mends it; None when they can.

    Nothing is imported to find out.

    Raises:
        InputError: the manifest has no such id.
    """
    weights = find(id)
    absent = [name for name in NEEDED[weights.kind] if importlib.util.find_spec(name) is None]
    if absent:
        return f"the Python package {absent[0]} is not installed: pip install 'peakbench[models]'"
    return _absence(weights)


def write_stamp(place: Path, stamp: Stamp) -> None:
    """Write the stamp of a weights folder, whole or not at all."""
    temporary = place / f"{STAMP}.new"
    try:
        temporary.write_text(stamp.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(place / STAMP)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(place / STAMP)) from None


def measure(path: Path) -> tuple[int, str]:
    """Return size and sha256 of a file."""
    with path.open("rb") as file:
        return measure_stream(file)


def measure_stream(stream: BinaryIO) -> tuple[int, str]:
    """Return the length and the sha256 of what is left in a stream."""
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def holds(path: Path, file: WeightFile) -> bool:
    """Say whether a file is the one that the manifest describes; one without a known hash never is."""
    try:
        if file.sha256 is None or (file.bytes is not None and path.stat().st_size != file.bytes):
            return False
        return measure(path)[1] == file.sha256
    except OSError:
        return False


def mismatch(name: str, digest: str, size: int, expected: str | None, bytes: int | None) -> str:
    """Say of a file that it is not the one described, with both hashes."""
    want = f"sha256 {expected}" if expected else "no known sha256"
    return f"{name}: sha256 {digest}, {size} bytes; expected {want}" + (f", {bytes} bytes" if bytes is not None else "")


def _same_model(weights: Weights, found: Stamp) -> bool:
    """Whether a stamp speaks of this revision, with the manifest's own hashes where it has them."""
    return (
        found.id == weights.id
        and found.revision == weights.revision
        and all(
            (seen := found.files.get(file.name)) is not None and file.sha256 in (None, seen.sha256)
            for file in weights.files
        )
    )


def _absence(weights: Weights) -> str | None:
    found, place = stamp(weights.id), folder(weights.id)
    command = f"peakbench weights fetch {weights.id}"
    if found is None or not _same_model(weights, found):
        return f"the weights of {weights.id} are not on this machine: {command}"
    if found.broken:
        return f"the weights of {weights.id} failed verification ({', '.join(found.broken)}): {command}"
    for file in weights.files:
        try:
            size = (place / file.name).stat().st_size
        except OSError:
            return f"the weights of {weights.id} are not whole ({file.name} is missing): {command}"
        if size != found.files[file.name].bytes:
            return f"the weights of {weights.id} are not whole ({file.name} has another size): {command}"
    return None
