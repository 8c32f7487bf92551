"""responses.jsonl: appended to while asking, looked up while scoring."""

from __future__ import annotations

import contextlib
import json
import os
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from types import TracebackType

import numpy as np

from peakbench.errors import StoreError
from peakbench.records import Completion
from peakbench.store.formats import dump_completion, load_completion, load_line

# What our own writer puts at the head and the end of a line. Both are sure signs in any valid JSON line: a quote
# inside a string would be escaped, and `,"error":null}` can only close the outermost object.
_HEAD = re.compile(rb'\{"sample_id":"([^"\\]*)","repeat":(\d{1,9}),"request_sha256":')
_ANSWERED = b',"error":null}\n'
_TAIL_BYTES = 1 << 16


def torn_bytes(path: Path) -> int:
    """Return how many bytes after the last newline a file holds: a line that was being written when its writer died."""
    with path.open("rb") as file:
        end = position = file.seek(0, 2)
        while position > 0:
            start = max(0, position - _TAIL_BYTES)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                return end - (start + newline + 1)
            position = start
        return end


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, line with its newline) of every finished line; a torn last line is left out."""
    offset = 0
    with path.open("rb", buffering=1 << 20) as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield offset, line
            offset += len(line)


class Journal:
    """Appends completions to responses.jsonl, each on disk (in the system's cache) before ``append`` returns.

    A context manager. A line torn by a killed writer is dropped when it opens. The caller holds the run's lock.
    """

    def __init__(
        self,
        path: Path,
        *,
        on_first: Callable[[], None] = lambda: None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.path = path
        self._on_first: Callable[[], None] | None = on_first
        self._on_close = on_close
        self._file = FileIO(path, "ab")
        self._size = self._file.seek(0, 2)
        torn = torn_bytes(path)
        if torn:
            self._size -= torn
            self._file.truncate(self._size)

    def append(self, completion: Completion) -> None:
        """Write one line.

        Raises:
            StoreError: the disk is full or gone. What was written before stays whole.
        """
        line = dump_completion(completion)
        if self._on_first is not None:
            self._on_first()
            self._on_first = None
        try:
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            self._file.truncate(self._size)
            raise StoreError(
                f"the answer to sample '{completion.sample_id}' cannot be written: {error.strerror}",
                where=str(self.path),
                hint="make room on the disk, then go on with --resume",
            ) from error
        self._size += len(line)

    def close(self) -> None:
        """Close the file and let go of the lock. May be called twice."""
        if not self._file.closed:
            try:
                with contextlib.suppress(OSError):  # a device without fsync
                    os.fsync(self._file.fileno())
                self._file.close()
            finally:
                self._on_close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class JournalIndex:
    """Finds the last line of each (sample, repeat) in responses.jsonl, as the file was when the index was made.

    Memory: 21 bytes a line. ``len()`` counts the (sample, repeat) pairs; ``answered_total`` those whose last line holds
    an answer. A hashed key (64 bits) is verified against the line's id where the line is read.

    Raises:
        StoreError: a line that is not one of the format, with file and line number.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        keys, offsets, lengths, answered = array("Q"), array("q"), array("I"), bytearray()
        lines = whole_lines(path) if path.exists() else iter(())
        for number, (offset, line) in enumerate(lines, start=1):
            head = _HEAD.match(line)
            if head is not None:
                name, repeat, ok = head[1], int(head[2]), line.endswith(_ANSWERED)
            else:
                completion = _loaded(line, path, number)
                name, repeat = _name(completion.sample_id), completion.repeat
                ok = completion.failure is None
            keys.append(_key(name, repeat))
            offsets.append(offset)
            lengths.append(len(line))
            answered.append(ok)
        order = np.argsort(np.frombuffer(keys, dtype=np.uint64), kind="stable")
        self._keys = array("Q", np.frombuffer(keys, dtype=np.uint64)[order].tobytes())
        del keys
        self._offsets = np.frombuffer(offsets, dtype=np.int64)[order]
        del offsets
        self._lengths = np.frombuffer(lengths, dtype=np.uint32)[order]
        del lengths
        self._answered = np.frombuffer(answered, dtype=np.bool_)[order]
        sorted_keys = np.frombuffer(self._keys, dtype=np.uint64)
        last = np.ones(len(order), dtype=np.bool_)
        last[:-1] = sorted_keys[1:] != sorted_keys[:-1]
        self._pairs = int(last.sum())
        self.answered_total = int(self._answered[last].sum())
        self._file: FileIO | None = None

    def __len__(self) -> int:
        return self._pairs

    def answered(self, sample_id: str, repeat: int) -> bool:
        """Whether the last line of (sample, repeat) holds an answer; False where there is none."""
        end = bisect_right(self._keys, _key(_name(sample_id), repeat))
        return end > 0 and self._keys[end - 1] == _key(_name(sample_id), repeat) and bool(self._answered[end - 1])

    def get(self, sample_id: str, repeat: int) -> Completion | None:
        """Read the last line of (sample, repeat), None where there is none.

        Raises:
            StoreError: the line is damaged.
        """
        key = _key(_name(sample_id), repeat)
        end = bisect_right(self._keys, key)
        start = bisect_left(self._keys, key, 0, end)
        for position in range(end - 1, start - 1, -1):
            completion = self._read(int(self._offsets[position]), int(self._lengths[position]))
            if completion.sample_id == sample_id and completion.repeat == repeat:
                return completion
        return None

    def _read(self, offset: int, length: int) -> Completion:
        if self._file is None:
            self._file = FileIO(self.path, "rb")
        self._file.seek(offset)
        line = self._file.read(length) or b""
        while len(line) < length and (more := self._file.read(length - len(line))):
            line += more
        try:
            return load_completion(line)
        except ValueError as error:
            number = next(n for n, (start, _) in enumerate(whole_lines(self.path), start=1) if start == offset)
            raise _damaged(self.path, number, error) from None

    def close(self) -> None:
        """Close the file; it opens again at the next ``get``."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()


def _name(sample_id: str) -> bytes:
    # The id as it stands between the quotes of its line when nothing had to be escaped; ids with escapes never match
    # _HEAD, and come here through a full parse, so both roads give the same bytes.
    return sample_id.encode("utf-8", "surrogatepass")


def _key(name: bytes, repeat: int) -> int:
    return int.from_bytes(blake2b(b"%d\0%b" % (repeat, name), digest_size=8).digest(), "little")


def _loaded(line: bytes, path: Path, number: int) -> Completion:
    try:
        return load_completion(line)
    except ValueError as error:
        raise _damaged(path, number, error) from None


def _damaged(path: Path, number: int, error: Exception) -> StoreError:
    return StoreError(
        f"not a line of a journal: {error}",
        where=f"{path}:{number}",
        expected='one JSON object with "sample_id", "repeat", "text" and "error"',
        hint="delete that line, then ask its sample again with --resume",
    )


def last_finish(path: Path, *, since: float) -> float | None:
    """Return the latest Unix time at which an attempt that began after ``since`` is known to have ended.

    Reads the end of the journal only: lines stand in the order in which they finished.
    """
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 16 * _TAIL_BYTES))
        lines = file.read().split(b"\n")
    finished = []
    for line in lines[:-1]:
        try:
            value = load_line(line)
            started = value["started_at"]
            if started is not None and started >= since:
                finished.append(started + (value["latency_s"] or 0.0))
        except (ValueError, KeyError, TypeError, json.JSONDecodeError):
            continue  # the first line of the stretch is cut where the reading began
    return max(finished, default=None)
