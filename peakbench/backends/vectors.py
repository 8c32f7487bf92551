"""Vectors of strings, kept between runs: an SQLite file that any number of processes may read and write.

A string's vector stays the same while the model does, and a data set holds few distinct strings. The key is a digest
of the model's identity and the text, so no text of a data set lies in the file. Whatever goes wrong with the file costs
time and never a result: a vector that cannot be read is made again, a damaged file is put aside and started anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from peakbench.metrics.base import Encoder

Vector = npt.NDArray[np.float32]

VARIABLE = "PEAKBENCH_VECTORS"
MAX_BYTES = 512 << 20

_APPLICATION = 0x50424E43  # "PBNC": told apart from any other SQLite file that a user may name
_VERSION = 1
_WAIT_SECONDS = 10.0
_LOOKED_UP = 500  # SQLite's oldest limit on variables is 999
_ENCODED = 1024
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TAKEN = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_log = logging.getLogger(__name__)


def has_unit_length(vector: Vector) -> bool:
    """Whether an encoder can have made it: a flipped bit, or a cut, makes a vector of another length."""
    return abs(float(np.dot(vector, vector)) - 1.0) < 1e-3


class VectorCache:
    """Vectors by model and text in one file of at most ``max_bytes``; the least recently used go first.

    Every call opens the file anew, so an instance can be used from any thread and in a forked process. Reads and
    writes wait for other processes; one that waits in vain is a miss. Use is noted by the day.

    Args:
        path: the file; it and its folder are made when the first vector is kept.
        max_bytes: size of the file from which old vectors are dropped, down to nine tenths.
        whole: says of a finite vector as it was read whether it can be one that was kept.

    >>> import tempfile
    >>> cache = VectorCache(Path(tempfile.mkdtemp()) / "vectors.sqlite")
    >>> cache.put("model@1", {"navy": np.array([0.6, 0.8], dtype=np.float32)})
    >>> cache.get("model@1", ["navy", "red"]), cache.get("model@2", ["navy"])
    ({'navy': array([0.6, 0.8], dtype=float32)}, {})
    """

    def __init__(
        self, path: Path, max_bytes: int = MAX_BYTES, *, whole: Callable[[Vector], bool] = has_unit_length
    ) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.whole = whole
        self._usable = True

    def get(self, identity: str, texts: Sequence[str]) -> dict[str, Vector]:
        """Return the vectors at hand of one model, by text; a vector that is not whole is not at hand."""
        if not self._usable or not self.path.exists():
            return {}
        by_key = {_key(identity, text): text for text in texts}
        today = _today()

        def look_up(connection: sqlite3.Connection) -> dict[str, Vector]:
            found: dict[str, Vector] = {}
            stale: list[tuple[int, bytes]] = []
            for keys in _parts(list(by_key), _LOOKED_UP):
                marks = ",".join("?" * len(keys))
                rows = connection.execute(f"SELECT key, vector, used FROM vectors WHERE key IN ({marks})", keys)  # noqa: S608
                for key, blob, used in rows:
                    vector = _read(blob)
                    if vector is not None and self.whole(vector):
                        found[by_key[key]] = vector
                        if used < today:
                            stale.append((today, key))
            if stale:
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.executemany("UPDATE vectors SET used = ? WHERE key = ?", stale)
            return found

        return self._attempt(look_up) or {}

    def put(self, identity: str, vectors: Mapping[str, Vector]) -> None:
        """Keep the vectors of one model, by text."""
        if not self._usable or not vectors:
            return
        today = _today()
        rows = [
            (_key(identity, text), np.ascontiguousarray(vector, dtype="<f4").tobytes(), today)
            for text, vector in vectors.items()
        ]

        def keep(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT OR REPLACE INTO vectors (key, vector, used) VALUES (?, ?, ?)", rows)
            self._shrink(connection)

        self._attempt(keep)

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Drop what was not used for longest once the file is too large."""
        page = _number(connection, "PRAGMA page_size")
        used = (_number(connection, "PRAGMA page_count") - _number(connection, "PRAGMA freelist_count")) * page
        if used <= 0.95 * self.max_bytes:
            return
        count = _number(connection, "SELECT count(*) FROM vectors")
        excess = min(count, int(count * (1 - 0.85 * self.max_bytes / used)) + 1)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "DELETE FROM vectors WHERE id IN (SELECT id FROM vectors ORDER BY used, id LIMIT ?)", (excess,)
            )
        # What is written next takes the pages that are free now; they go back only where the file is too large.
        if _number(connection, "PRAGMA page_count") * page > self.max_bytes:
            connection.executescript("PRAGMA incremental_vacuum")  # execute() would give back one page

    def _attempt(self, work: Callable[[sqlite3.Connection], dict[str, Vector] | None]) -> dict[str, Vector] | None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as connection:
                return work(connection)
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte: the rest is detail
            if code in _TAKEN:
                return None
            if code in _DAMAGED and self._put_aside():
                _log.warning("%s was damaged and is started anew: %s", self.path, error)
                return None
            self._usable = False
            _log.warning("%s cannot be used, so vectors are not kept: %s", self.path, error)
            return None

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            if not _is_ours(connection):
                if not _number(connection, "SELECT count(*) FROM sqlite_master"):
                    _create(connection)
                elif not _is_ours(connection):  # asked again: another process may have made it in between
                    raise sqlite3.OperationalError("it is another database")
            # A stopped process harms nothing; a power cut may, and then the file is started anew.
            connection.execute("PRAGMA synchronous = OFF")
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_aside(self) -> bool:
        """Move the file away, for it may be something else that a user named by mistake; whether it is away."""
        try:
            # A journal that stays behind would be played into the new file.
            self.path.with_name(self.path.name + "-journal").unlink(missing_ok=True)
            self.path.replace(self.path.with_name(self.path.name + ".damaged"))
        except FileNotFoundError:  # another process was faster
            return True
        except OSError:
            return False
        return True


def _is_ours(connection: sqlite3.Connection) -> bool:
    return (
        _number(connection, "PRAGMA application_id") == _APPLICATION
        and _number(connection, "PRAGMA user_version") == _VERSION
    )


def _create(connection: sqlite3.Connection) -> None:
    # Five vectors of 768 numbers fit on such a page; on one of 4 KiB a single one does, and a quarter is lost.
    connection.execute("PRAGMA page_size = 16384")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    with connection:
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS vectors"
            " (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL, used INTEGER NOT NULL)"
        )
        connection.execute("CREATE INDEX IF NOT EXISTS by_use ON vectors (used)")
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def _key(identity: str, text: str) -> bytes:
    return hashlib.sha256(f"{identity}\0{text}".encode("utf-8", "surrogatepass")).digest()


def _read(blob: bytes) -> Vector | None:
    if not isinstance(blob, bytes) or len(blob) % 4:
        return None
    vector = np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)
    return vector if np.isfinite(vector).all() else None


def _today() -> int:
    return int(time.time() // 86_400)


def _parts(items: Sequence[str] | Sequence[bytes], size: int) -> Iterator[Sequence[str] | Sequence[bytes]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def default_cache(*, whole: Callable[[Vector], bool] = has_unit_length) -> VectorCache | None:
    """Return the cache of this user; None where ``PEAKBENCH_VECTORS=off``. Any other value of it is a path."""
    named = os.environ.get(VARIABLE, "")
    if named.casefold() in {"off", "0", "no", "false"}:
        return None
    if named:
        return VectorCache(Path(named).expanduser(), whole=whole)
    from platformdirs import user_cache_path

    return VectorCache(user_cache_path("peakbench") / "vectors.sqlite", whole=whole)


class CachedEncoder:
    """An encoder that is asked for each distinct string once, and not at all where a cache has its vector.

    Args:
        encoder: what makes vectors; it may load its model when first asked.
        cache: where vectors are kept; None: only the strings of one call are deduplicated.
    """

    def __init__(self, encoder: Encoder, cache: VectorCache | None) -> None:
        self.encoder = encoder
        self.cache = cache

    @property
    def identity(self) -> str:
        """The identity of the encoder underneath."""
        return self.encoder.identity

    def encode(self, texts: Sequence[str]) -> Vector:
        """Return one unit-length row a text, shape (n, d); (0, 0) for no text.

        Raises:
            ValueError: the encoder returned another number of rows than it was given texts.
        """
        unique = list(dict.fromkeys(texts))
        if not unique:
            return np.empty((0, 0), dtype=np.float32)
        vectors = self.cache.get(self.identity, unique) if self.cache else {}
        # Alike in length they need little padding; in parts, so that a run that is stopped keeps what it has.
        absent = sorted((text for text in unique if text not in vectors), key=len)
        for start in range(0, len(absent), _ENCODED):
            part = absent[start : start + _ENCODED]
            rows = self.encoder.encode(part)
            made = dict(zip(part, rows, strict=True))
            if self.cache and np.isfinite(rows).all():
                self.cache.put(self.identity, made)
            vectors |= made
        return np.stack([vectors[text] for text in texts])
