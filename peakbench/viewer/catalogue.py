"""All runs under the folders, and what changed since somebody last asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peakbench.viewer.folders import MOST, find_runs
from peakbench.viewer.rows import Look, RunWatch, locked_files

READING_S = 2.0
"""Seconds that reading journals may take at one look; what is left is read at the next."""

FRESH_S = 0.8
"""So long one look serves everybody who asks."""


class Catalogue:
    """Runs by key. Every change gets the next number, so that a page can ask for what is newer than it knows.

    Args:
        folders: where runs lie, resolved.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._watches: dict[str, RunWatch] = {}
        self._looks: dict[str, tuple[int, Look]] = {}
        self._order: tuple[str, ...] = ()
        self._ordered_at = self._number = 0
        self._looked_at = -FRESH_S
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Look at every run, unless somebody just did."""
        with self._lock:
            if time.monotonic() - self._looked_at < FRESH_S:
                return
            known = {watch.path: watch for watch in self._watches.values()}
            paths = find_runs(self.folders)
            found = {watch.key: watch for path in paths for watch in (known.get(path) or RunWatch(path),)}
            locked, until = locked_files(), time.monotonic() + READING_S
            looks: dict[str, tuple[int, Look]] = {}
            number = self._number
            for key, watch in found.items():
                look, before = watch.look(locked, max(0.02, until - time.monotonic())), self._looks.get(key)
                if before is not None and before[1].row == look.row:
                    looks[key] = (before[0], look)
                else:
                    number = self._number + 1
                    looks[key] = (number, look)
            order = tuple(sorted(looks, key=lambda key: (looks[key][1].row["created"], key), reverse=True))
            if order != self._order:
                number = self._number + 1
                self._order, self._ordered_at = order, number
            self._watches, self._looks, self._number = found, looks, number
            self._looked_at = time.monotonic()

    def changes(self, since: int) -> dict[str, Any]:
        """Return the rows that are newer than ``since``, and the order of all where that is newer too."""
        with self._lock:
            if not 0 <= since <= self._number:
                since = 0  # a page that knew another server
            found: dict[str, Any] = {
                "version": self._number,
                "rows": [look.row for at, look in self._looks.values() if at > since],
            }
            if self._ordered_at > since or since == 0:
                found["order"] = self._order
                found["more"] = len(self._order) >= MOST
            return found

    def path(self, key: str) -> Path | None:
        """Return where a run lies, None where there is none of that key."""
        watch = self._watches.get(key)
        return None if watch is None else watch.path

    def look(self, key: str) -> Look | None:
        """Return how a run stood when it was last looked at, None where there is none of that key."""
        found = self._looks.get(key)
        return None if found is None else found[1]
