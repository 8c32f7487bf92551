"""One run as a line of a list: what it is, how far it is, how good it is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from peakbench.errors import PeakBenchError
from peakbench.report.html.writing import leading
from peakbench.report.scores import highest_floor
from peakbench.report.tables import neutral
from peakbench.store import RunDirectory, RunRecord
from peakbench.store.directory import LOCK, RESPONSES, RUN, SUMMARY, TASK
from peakbench.viewer.tailing import JournalTail

YOUNG_S = 5.0
"""Files that were touched so lately are still being written, where the system does not tell of the lock."""

_NAME = 200
Stamp = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found of a run: ``row`` for the list, ``record`` where run.json could be read."""

    row: dict[str, Any]
    record: RunRecord | None = None


def key_of(path: Path) -> str:
    """Return what a run is called in a link: a hash of where it lies, so that no link is ever a path.

    >>> key_of(Path("/runs/a")) == key_of(Path("/runs/a")), len(key_of(Path("/runs/a")))
    (True, 20)
    """
    return sha256(os.fsencode(path)).hexdigest()[:20]


def stamp(path: Path, *names: str) -> Stamp:
    """Return when each of a run's files was changed, and its size; None for one that is not there."""
    return tuple(_stamp(path / name) for name in names)


class RunWatch:
    """A run, looked at again and again; what has not changed is not read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key = key_of(path)
        self._tail = JournalTail(path / RESPONSES)
        self._stamp: Stamp | None = None
        self._fixed: Look | None = None
        self._record: RunRecord | None = None

    def look(self, locked: frozenset[int], budget_s: float) -> Look:
        """Return how the run stands.

        Args:
            locked: files that somebody holds a lock on, as far as the system tells: see :func:`locked_files`.
            budget_s: seconds that reading its journal may take now; what is left is read the next time.
        """
        found = stamp(self.path, RUN, TASK, SUMMARY)
        if found != self._stamp:
            self._stamp, self._fixed, self._record = found, None, None
            self._fixed = self._read(found)
        if self._fixed is not None:
            return self._fixed
        assert self._record is not None
        return Look(self._unfinished(self._record, locked, budget_s), self._record)

    def _read(self, found: Stamp) -> Look | None:
        """Read run.json and summary.json; None where the run is unfinished, and the journal has to be asked."""
        if found[1] is None and _young(self.path / RUN):
            return Look({**self._base(), "state": "starting", "note": "it is being set up"})
        if found[1] is None:
            return self._damaged("task.json is missing")
        try:
            directory = RunDirectory.open(self.path)
            self._record = directory.run
            summary = directory.summary() if found[2] is not None else None
            if summary is None:
                return None
            return Look(self._finished(directory.run, summary), directory.run)
        except PeakBenchError as error:
            return self._damaged(str(error).splitlines()[0])
        except Exception as error:  # a file that is JSON and still no run can fail in any way
            return self._damaged(f"its files are not as PeakBench writes them ({type(error).__name__}: {error})")

    def _damaged(self, why: str) -> Look:
        base = self._base(self._record)
        return Look({**base, "state": "damaged", "note": neutral(why, limit=300)}, self._record)

    def _base(self, record: RunRecord | None = None) -> dict[str, Any]:
        row: dict[str, Any] = {"id": self.key, "name": neutral(self.path.name, limit=_NAME), "created": ""}
        if record is None:
            return {**row, "model": row["name"], "data": ""}
        return {
            **row,
            "model": neutral(record.model, limit=_NAME),
            "data": neutral(record.data.name, limit=_NAME),
            "task": neutral(record.task.id, limit=_NAME),
            "created": neutral(record.created_at, limit=40),
        }

    def _finished(self, record: RunRecord, summary: Mapping[str, Any]) -> dict[str, Any]:
        metrics, samples = summary["metrics"], summary["samples"]
        answers, failed, unasked = (int(samples.get(name) or 0) for name in ("answers", "failed", "unasked"))
        row = {
            **self._base(record),
            "state": "part" if unasked else "finished",
            "done": answers,
            "total": answers + unasked,
            "failed": failed,
            "score": None,
            "json": _share((metrics.get("json_parse_rate") or {}).get("value")),
        }
        name = leading(metrics)
        if name is not None:
            entry = metrics[name]
            floor = highest_floor(entry)
            row["score"] = {
                "metric": neutral(name, limit=60),
                "value": _share(entry["value"]),
                "low": _share(entry.get("low")),
                "high": _share(entry.get("high")),
                "floor": _share(floor[1]) if floor else None,
                "floor_name": neutral(floor[0].replace("_", " "), limit=60) if floor else None,
                "skill": _share(entry.get("skill")),
            }
        return row

    def _unfinished(self, record: RunRecord, locked: frozenset[int], budget_s: float) -> dict[str, Any]:
        self._tail.read(budget_s)
        done, total = len(self._tail), record.data.samples * record.repeats
        begun = not record.sessions or record.sessions[-1].wall_s is None
        held = self._locked(locked)
        if begun and (held or _young(self.path / RESPONSES)):
            state = "asking"
        elif done >= total:
            state = "scoring" if held or _young(self.path / RUN) else "not scored"
        else:
            state = "unfinished"
        failed = self._tail.states["failed"]
        row = {**self._base(record), "state": state, "done": done, "total": total, "failed": failed}
        if self._tail.damaged:
            row["note"] = f"{self._tail.damaged:,} lines of the journal are damaged"
        return {**row, "score": None, "json": None}

    def _locked(self, locked: frozenset[int]) -> bool:
        """Whether somebody writes the run; its lock is never taken to find out: that would refuse the writer."""
        try:
            return (self.path / LOCK).stat().st_ino in locked
        except OSError:
            return False


def locked_files(table: Path = Path("/proc/locks")) -> frozenset[int]:
    """Return the inodes that are locked on this machine, as Linux lists them; none where the system has no such list.

    Devices are left out: some file systems number theirs differently in the list and in ``stat``.

    >>> locked_files(Path("/no/such/table"))
    frozenset()
    """
    try:
        lines = table.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    names = (word.split(":")[2] for line in lines for word in line.split() if word.count(":") == 2)
    return frozenset(int(name) for name in names if name.isdecimal())


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _young(path: Path) -> bool:
    found = _stamp(path)
    return found is not None and time.time() - found[0] / 1e9 < YOUNG_S


def _share(value: object) -> float | None:
    """A number as JSON can carry it; what is none, or not finite, is not there."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value < 1e9:
        return None
    return round(float(value), 5)
