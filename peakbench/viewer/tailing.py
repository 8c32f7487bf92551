"""A journal that is read as it grows: every line once, however often one looks."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from peakbench.records import Completion
from peakbench.store import load_completion

LONGEST = 64 << 20
"""Bytes of one line; a longer one is damage, and what stands behind it is not read."""

LATEST = 200
"""Finished requests that are kept for a figure."""

BEGINNING = 160
"""Characters of an answer that are kept for a page."""

STATES = ("strict", "text", "extracted", "repaired", "off_schema", "unparseable", "failed")
"""How answers could be read, best first."""


@dataclass(frozen=True, slots=True)
class Latest:
    """One finished request, as short as a page shows it. ``latency_s`` is None where nobody timed it."""

    sample_id: str
    repeat: int
    state: str
    latency_s: float | None
    finished_at: float | None
    text: str


class JournalTail:
    """What a journal says so far. Of a (sample, repeat) that stands more than once the last line counts.

    Args:
        path: responses.jsonl; it need not be there yet.
        state_of: says how an answer could be read; without it, an answer is "answered", and its text is not kept.

    Attributes:
        states: finished requests by state; ``failures``: the failed ones by kind. ``latest``: the last ones, in the
            order in which they finished. ``damaged``: lines that are none. ``lines``: how many were read;
            ``whole``: whether that was all there is.
    """

    def __init__(self, path: Path, state_of: Callable[[Completion], str] | None = None) -> None:
        self.path = path
        self._state_of = state_of
        self._clear()

    def _clear(self) -> None:
        self.states: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.latest: deque[Latest] = deque(maxlen=LATEST)
        self.lines = self.damaged = self.retried = 0
        self.whole = True
        self._offset = 0
        self._file: tuple[int, int] | None = None
        self._ended: dict[bytes, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._ended)

    def read(self, budget_s: float = 1.0) -> bool:
        """Read what was added since the last time, for at most so many seconds; say whether anything was.

        A line that is still being written is left for the next time. A journal that was replaced or shortened is read
        from its beginning.
        """
        try:
            with self.path.open("rb", buffering=1 << 18) as file:
                status = self.path.stat()
                if self._file != (status.st_dev, status.st_ino) or status.st_size < self._offset:
                    self._clear()
                    self._file = (status.st_dev, status.st_ino)
                before, until = self.lines, time.monotonic() + budget_s
                file.seek(self._offset)
                self.whole = True
                while line := file.readline(LONGEST):
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    self._take(line)
                    if time.monotonic() > until:
                        self.whole = self._offset >= status.st_size
                        break
                return self.lines != before
        except FileNotFoundError:
            changed = bool(self.lines)
            self._clear()
            return changed
        except OSError:
            return False

    def _take(self, line: bytes) -> None:
        self.lines += 1
        try:
            completion = load_completion(line)
            state, kind = self._judged(completion)
            latest = _latest(completion, state, with_text=self._state_of is not None)
        except (ValueError, TypeError, AttributeError, KeyError):
            self.damaged += 1
            return
        key = _key(completion)
        before = self._ended.get(key)
        if before is not None:
            self.retried += 1
            self.states[before[0]] -= 1
            if before[1]:
                self.failures[before[1]] -= 1
        self._ended[key] = (state, kind)
        self.states[state] += 1
        if kind:
            self.failures[kind] += 1
        self.latest.append(latest)

    def _judged(self, completion: Completion) -> tuple[str, str]:
        if completion.failure is not None:
            return "failed", str(completion.failure.kind)[:40]
        return ("answered" if self._state_of is None else self._state_of(completion)), ""


def _latest(completion: Completion, state: str, *, with_text: bool) -> Latest:
    response, started = completion.response, completion.started_at
    timed = response is not None and isinstance(started, int | float)
    latency = float(response.latency_s) if timed and response is not None else None
    finished = None if not isinstance(started, int | float) else float(started) + (latency or 0.0)
    text = ""
    if with_text:
        said = completion.failure.message if completion.failure else response.text if response else ""
        whole = str(said or "")
        text = whole if len(whole) <= BEGINNING else f"{whole[:BEGINNING]}…"
    return Latest(completion.sample_id[:200], completion.repeat, state, latency, finished, text)


def _key(completion: Completion) -> bytes:
    name = completion.sample_id.encode("utf-8", "surrogatepass")
    return blake2b(b"%d\0%b" % (completion.repeat, name), digest_size=8).digest()
