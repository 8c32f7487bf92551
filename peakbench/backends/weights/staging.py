"""The folder beside the target in which weights are put together: every file is hashed as it is written."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from peakbench.backends.weights.local import CHUNK, Seen, Verified, holds, mismatch
from peakbench.backends.weights.manifest import WeightFile, Weights
from peakbench.errors import InputError

MAX_FILE = 8 << 30
"""Bytes of one file whose size the manifest does not know."""


@dataclass(slots=True)
class Staging:
    """Weights on their way. ``say`` takes one line of progress for people."""

    weights: Weights
    path: Path
    say: Callable[[str], None]
    seen: dict[str, Seen] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """The folder that becomes the target."""
        return self.path / "files"

    @property
    def downloads(self) -> Path:
        """The folder of what was downloaded, kept until the whole is done."""
        return self.path / "downloads"

    def keep(self, target: Path) -> None:
        """Take over what is verified already: from an interrupted fetch, or from a target that is not whole."""
        for file in self.weights.files:
            here, there = self.files / file.name, target / file.name
            if not holds(here, file):
                here.unlink(missing_ok=True)
                if not holds(there, file):
                    continue
                here.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(there, here)
            self.accept(file, here.stat().st_size, str(file.sha256), "published")

    def missing(self) -> Iterator[WeightFile]:
        """Files that are not here yet."""
        return (file for file in self.weights.files if file.name not in self.seen)

    def accept(self, file: WeightFile, size: int, digest: str, verified: Verified) -> None:
        """Note that a file lies in its place and is what it should be."""
        self.seen[file.name] = Seen(bytes=size, sha256=digest, verified=verified)

    def receive(self, file: WeightFile, stream: IO[bytes], *, source: str, text: bool = False) -> None:
        """Write one file while hashing it; refuse and delete what does not match.

        A file without a known hash is written down with what came, as not verified.

        Raises:
            InputError: it does not match, or is longer than it should be.
        """
        path = self.files / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        limit = MAX_FILE if file.bytes is None else file.bytes
        digest, size = hashlib.sha256(), 0
        try:
            with path.open("wb") as out:
                while chunk := stream.read(CHUNK):
                    if text:
                        chunk = chunk.replace(b"\r", b"")
                    size += len(chunk)
                    if size > limit:
                        raise InputError(
                            f"longer than the {limit} bytes it should have; deleted", where=f"{source}: {file.name}"
                        )
                    digest.update(chunk)
                    out.write(chunk)
            self.judge(file, size, digest.hexdigest(), source=source)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def judge(self, file: WeightFile, size: int, digest: str, *, source: str, verified: Verified = "no") -> None:
        """Accept a file by its hash or refuse it; ``verified`` holds where the manifest has no hash."""
        if file.sha256 not in (None, digest) or file.bytes not in (None, size):
            raise InputError(
                mismatch(file.name, digest, size, file.sha256, file.bytes),
                where=source,
                hint="it was refused and deleted: fetch it again, or from another source (--from)",
            )
        self.accept(file, size, digest, "published" if file.sha256 else verified)


def replace_folder(source: Path, target: Path) -> None:
    """Put a finished folder in the place of another; readers see the old one or the new one."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.replace(old)
    source.replace(target)
    shutil.rmtree(old, ignore_errors=True)
