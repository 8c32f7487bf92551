"""How hard to try: workers, retries, waiting, and when to give up."""

from __future__ import annotations

import random
from dataclasses import dataclass

from peakbench.errors import ConfigError
from peakbench.records import Failure, FailureKind

RETRIED: frozenset[FailureKind] = frozenset({"timeout", "connection", "rate_limited", "server_error", "bad_body"})
"""What may go away when it is tried again."""

STOPPING: frozenset[FailureKind] = frozenset({"authentication", "permission", "not_found"})
"""What ends the run at once: every other request would meet it too."""

_GATEWAY = frozenset({502, 503, 504})


def is_absence(failure: Failure) -> bool:
    """Whether a failure is what a server that is gone looks like: no connection, no answer, a gateway without it.

    >>> is_absence(Failure("server_error", "bad gateway", 502)), is_absence(Failure("server_error", "bug", 500))
    (True, False)
    """
    return failure.kind in {"connection", "timeout"} or failure.http_status in _GATEWAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How requests are sent. All times are seconds.

    ``workers``: requests in flight at once. ``retries``: attempts after the first; ``timeout_retries``: of these, after
    a time-out (each costs a whole time-out). The wait before attempt k is drawn from [0, min(``backoff_cap_s``,
    ``backoff_s`` 2^(k-1))] ("full jitter"), or what Retry-After says, ``retry_after_cap_s`` at most. ``rate``: requests
    a second at most. ``breaker``: after how many attempts in a row without a sign of the server the run ends, None for
    max(2 ``workers``, 10); a server that has answered before gets ``patience_s`` to come back. ``look_ahead`` requests,
    and ``look_ahead_bytes``, are encoded before they are needed, None for 2 ``workers``. ``seed``: of the jitter.
    """

    workers: int = 8
    retries: int = 5
    timeout_retries: int = 2
    backoff_s: float = 0.5
    backoff_cap_s: float = 30.0
    retry_after_cap_s: float = 300.0
    rate: float | None = None
    breaker: int | None = None
    patience_s: float = 60.0
    look_ahead: int | None = None
    look_ahead_bytes: int = 64 * 1024 * 1024
    seed: int | None = None

    def __post_init__(self) -> None:
        lowest = {"workers": 1, "retries": 0, "timeout_retries": 0, "breaker": 1, "look_ahead": 1}
        for name, low in lowest.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ConfigError(f"{name} = {value}", expected=f"{low} or more")
        if self.rate is not None and not self.rate > 0:
            raise ConfigError(f"rate = {self.rate}", expected="requests a second, more than 0")

    @property
    def threshold(self) -> int:
        """Attempts in a row without a sign of the server after which it counts as gone."""
        return self.breaker if self.breaker is not None else max(2 * self.workers, 10)

    @property
    def ahead(self) -> int:
        """How many requests are encoded before they are needed."""
        return self.look_ahead if self.look_ahead is not None else 2 * self.workers

    def allows(self, failure: Failure) -> int:
        """How many attempts after the first this failure is worth.

        >>> Policy().allows(Failure("bad_request", "no such field", 400)), Policy().allows(Failure("timeout", "60 s"))
        (0, 2)
        """
        if failure.kind not in RETRIED:
            return 0
        return min(self.timeout_retries, self.retries) if failure.kind == "timeout" else self.retries

    def wait(self, failure: Failure, attempt: int, rng: random.Random) -> float:
        """Seconds to wait after attempt number ``attempt`` (from 1) has failed."""
        if failure.retry_after_s is not None:
            return min(failure.retry_after_s, self.retry_after_cap_s)
        return rng.uniform(0.0, self.backoff(attempt))

    def backoff(self, attempt: int) -> float:
        """The longest wait after attempt number ``attempt`` (from 1).

        >>> [Policy().backoff(attempt) for attempt in (1, 2, 3, 10)]
        [0.5, 1.0, 2.0, 30.0]
        """
        return float(min(self.backoff_cap_s, self.backoff_s * 2.0 ** min(attempt - 1, 60)))
