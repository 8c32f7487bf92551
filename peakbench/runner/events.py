"""What the runner says while it works, for whoever shows it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from peakbench.records import Completion, Failure


@dataclass(slots=True)
class Tally:
    """What became of the requests of one session. ``wall_s``: seconds from the first event to the last.

    ``attempts`` counts everything sent; ``failures`` the failed requests by kind. ``interrupted``: cancelled (Ctrl-C).
    """

    answered: int = 0
    failed: int = 0
    attempts: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    wall_s: float = 0.0

    @property
    def finished(self) -> int:
        """Requests that are on disk, answered or failed."""
        return self.answered + self.failed

    def count(self, completion: Completion) -> None:
        """Count a request that is on disk."""
        if completion.failure is None:
            self.answered += 1
        else:
            self.failed += 1
            self.failures[completion.failure.kind] += 1


@dataclass(frozen=True, slots=True)
class Started:
    """Asking begins. ``total``: requests to come, None where nobody counted them."""

    total: int | None
    workers: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A request has ended, answered or failed, and is on disk."""

    completion: Completion


@dataclass(frozen=True, slots=True)
class Retrying:
    """Attempt number ``attempt`` (from 1) has failed; the next follows in ``wait_s`` seconds or after the pause."""

    sample_id: str
    repeat: int
    failure: Failure
    wait_s: float
    attempt: int


@dataclass(frozen=True, slots=True)
class Paused:
    """All workers wait until ``until`` (Unix seconds), because of ``failure``."""

    until: float
    failure: Failure


@dataclass(frozen=True, slots=True)
class Resumed:
    """A pause is over."""


@dataclass(frozen=True, slots=True)
class Tripped:
    """The server is gone, after ``attempts`` in a row without a sign of it; the run ends."""

    attempts: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Ended:
    """Asking is over, for whatever reason; always the last event."""

    tally: Tally


Event = Started | Finished | Retrying | Paused | Resumed | Tripped | Ended
