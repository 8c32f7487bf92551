"""How fast a run was: latencies, tokens, answers a second, from the journal's own figures."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from peakbench.records import Completion

_LARGEST = 2**53
_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


class Timings:
    """Collects what the completions say about time and tokens: 16 bytes an answer.

    Answers that came from elsewhere were not timed (``started_at`` is None).

    >>> from peakbench.records import Response
    >>> timings = Timings()
    >>> usage = {"prompt_tokens": 900, "completion_tokens": 60}
    >>> timings.add(Completion("p1", 0, Response("{}", usage=usage, latency_s=0.5), started_at=0.0))
    >>> found = timings.summary(workers=8, wall_s=2.0)
    >>> found["samples_per_s"], found["latency_s"]["p50"], found["tokens"]["per_s"]
    (0.5, 0.5, 30.0)
    """

    def __init__(self) -> None:
        self._latencies: array[float] = array("d")
        self._first: array[float] = array("d")
        self._answers = 0
        self._tokens = {"prompt": 0, "completion": 0, "total": 0}
        self._counted = 0

    def add(self, completion: Completion) -> None:
        """Take one finished attempt series; a failed one has no timing."""
        response = completion.response
        if response is None:
            return
        self._answers += 1
        if completion.started_at is not None:
            self._latencies.append(response.latency_s)
            if response.ttft_s is not None:
                self._first.append(response.ttft_s)
        usage = response.usage if isinstance(response.usage, Mapping) else {}
        prompt, made = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
        if prompt is None and made is None:
            return
        self._counted += 1
        total = _count(usage.get("total_tokens"))
        self._tokens["prompt"] += prompt or 0
        self._tokens["completion"] += made or 0
        self._tokens["total"] += (prompt or 0) + (made or 0) if total is None else total

    @property
    def untimed(self) -> str:
        """Why there is no rate, where there is none."""
        if not self._answers:
            return "nothing was answered"
        return "the wall time is not known" if self._latencies else "no wall time: the answers came from elsewhere"

    def summary(self, *, workers: int | None, wall_s: float | None) -> dict[str, Any]:
        """Return the ``performance`` part of a summary.

        ``samples_per_s``: answers (sample x repeat) a second of wall time; ``tokens.per_s``: completion tokens a second
        of wall time; ``tokens.n``: answers whose tokens the server counted. None where nothing was measured.
        """
        timed = wall_s if wall_s and len(self._latencies) else None
        tokens: dict[str, Any] = dict.fromkeys(self._tokens) if not self._counted else dict(self._tokens)
        tokens["per_s"] = tokens["completion"] / timed if timed and self._counted else None
        tokens["n"] = self._counted
        return {
            "workers": workers,
            "wall_s": wall_s if len(self._latencies) else None,
            "samples_per_s": self._answers / timed if timed else None,
            "latency_s": _percentiles(self._latencies),
            "ttft_s": _percentiles(self._first),
            "tokens": tokens,
        }


def _percentiles(seconds: array[float]) -> dict[str, float | int | None]:
    found: dict[str, float | int | None] = dict.fromkeys(_SHARES)
    if seconds:
        values = np.quantile(np.frombuffer(seconds), list(_SHARES.values())).tolist()
        found.update(zip(_SHARES, values, strict=True))
    return {**found, "n": len(seconds)}


def _count(value: object) -> int | None:
    """Return a token count, or None where a server sent something else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST:
        return value
    return None
