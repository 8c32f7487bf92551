"""How one run goes while it is asked: how far, how fast, how its answers read, what failed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peakbench.parsing import read
from peakbench.records import Completion
from peakbench.report.html.contexts import STATE_WORDS
from peakbench.report.tables import neutral
from peakbench.store import RunDirectory
from peakbench.store.directory import RESPONSES
from peakbench.viewer.tailing import STATES, JournalTail, Latest

WINDOW_S = 30.0
"""The speed is that of so many seconds."""

_SHOWN = 12


class Progress:
    """One unfinished run, read as its journal grows.

    Raises:
        StoreError: run.json is damaged.
        TaskError: its task is.
    """

    def __init__(self, path: Path) -> None:
        directory = RunDirectory.open(path)
        self._record = directory.run
        self._tail = JournalTail(path / RESPONSES, _reader(directory))
        self._moved = int(time.time() * 1000)  # never again a number that a page knows from a reading before

    def facts(self) -> list[tuple[str, str]]:
        """Return what is asked, of whom and how, as names and values."""
        record = self._record
        samples = f"{record.data.samples:,} samples" + (f", {record.repeats} repeats" if record.repeats > 1 else "")
        found = {
            "model": record.model,
            "data": f"{record.data.name}, {samples}",
            "task": f"{record.task.id} v{record.task.version}",
            "endpoint": record.endpoint.provider or record.endpoint.url,
            "begun": record.created_at.replace("T", " ").removesuffix("+00:00") + " UTC",
            "workers": str(record.workers),
        }
        return [(name, neutral(value, limit=200)) for name, value in found.items()]

    def look(self, since: int, *, asking: bool) -> dict[str, Any]:
        """Read what was added, and return how the run goes; only ``version`` where that is not newer than ``since``.

        Args:
            asking: somebody asks at this moment, so that there is a speed and an end.
        """
        if self._tail.read(1.0):
            self._moved += 1
        version = 2 * self._moved + asking + 1
        if since == version and self._tail.whole:
            return {"version": version}
        tail = self._tail
        done, total = len(tail), self._record.data.samples * self._record.repeats
        timed = [one for one in tail.latest if one.latency_s is not None and math.isfinite(one.latency_s)]
        rate = _rate(tail.latest) if asking else None
        known = [name for name in STATES if tail.states[name]]
        return {
            "version": version,
            "whole": tail.whole,
            "done": done,
            "total": total,
            "states": [
                {"state": name, "words": STATE_WORDS.get(name, name), "count": tail.states[name]} for name in known
            ],
            "failures": [
                {"kind": neutral(kind.replace("_", " ")), "count": count}
                for kind, count in tail.failures.most_common()
                if count
            ],
            "retried": tail.retried,
            "damaged": tail.damaged,
            "rate": None if rate is None else round(rate, 3),
            "left_s": None if not rate else round(max(0, total - done) / rate, 1),
            "latency": [round(one.latency_s or 0.0, 3) for one in timed],
            "p50": _percentile([one.latency_s or 0.0 for one in timed], 0.5),
            "p90": _percentile([one.latency_s or 0.0 for one in timed], 0.9),
            "latest": [_shown(one) for one in list(tail.latest)[: -_SHOWN - 1 : -1]],
        }


def _reader(directory: RunDirectory) -> Callable[[Completion], str]:
    task, repair = directory.task, directory.run.repair
    keys = frozenset(task.keys)
    return lambda completion: read(completion, keys=keys, answer=task.answer, repair=repair).state


def _rate(latest: Any) -> float | None:
    """Requests a second that finished in the last seconds, None where too few did."""
    now = time.time()
    times = [one.finished_at for one in latest if one.finished_at is not None and now - one.finished_at < WINDOW_S]
    if len(times) < 2:
        return None
    span: float = now - min(times)
    return len(times) / span if span > 0 else None


def _percentile(values: list[float], share: float) -> float | None:
    """The nearest-rank percentile, seconds."""
    if not values:
        return None
    return round(sorted(values)[max(0, math.ceil(share * len(values)) - 1)], 3)


def _shown(one: Latest) -> dict[str, Any]:
    return {
        "sample": neutral(one.sample_id, limit=80) + (f" #{one.repeat + 1}" if one.repeat else ""),
        "state": one.state,
        "words": STATE_WORDS.get(one.state, one.state),
        "latency": one.latency_s if one.latency_s is None or math.isfinite(one.latency_s) else None,
        "text": neutral(one.text),
    }
