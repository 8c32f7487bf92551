"""When the next request may be sent: one pause for all workers, a ramp after it, a rate; and when to give up."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from peakbench.records import Failure
from peakbench.runner.events import Event, Paused, Resumed
from peakbench.runner.policy import Policy, is_absence

_WORTH_SAYING_S = 1.0
"""A pause that is lengthened by less is not announced again: a hundred workers hear Retry-After a hundred times."""


class Pace:
    """Lets attempts through. Every attempt is ``epoch = await enter()``, then :meth:`leave` in a finally.

    A pause holds back all workers. After it few may send at once, one more with each answer, so that the number doubles
    each round trip until all are back: a server that asked for quiet is not met by a stampede.
    """

    def __init__(self, policy: Policy, rng: random.Random, emit: Callable[[Event], None]) -> None:
        self._policy, self._rng, self._emit = policy, rng, emit
        self._loop = asyncio.get_running_loop()
        self._resume_at = -math.inf
        self._paused = False
        self._active = 0
        self._limit = math.inf
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._interval = 1.0 / policy.rate if policy.rate else 0.0
        self._next_slot = -math.inf
        self._epoch = 0
        self._pauses_in_a_row = 0

    async def enter(self) -> int:
        """Wait until one more attempt may be sent; return which stretch between two pauses it belongs to."""
        while True:
            wait = self._resume_at - self._loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            if self._active >= self._limit:
                await self._wait_for_place()
                continue
            self._active += 1
            epoch = self._epoch
            if self._interval and not await self._wait_for_slot():
                continue
            if self._paused:
                self._paused = False
                self._emit(Resumed())
            return epoch

    def leave(self, *, answered: bool) -> None:
        """Give the place back."""
        self._active -= 1
        if answered:
            self._pauses_in_a_row = 0
            self._limit += 1  # inf stays inf
            if self._limit >= self._policy.workers:
                self._limit = math.inf
        self._let_in()

    def pause(self, failure: Failure, *, epoch: int, at_once: int, longest_s: float = math.inf) -> None:
        """Hold everybody back, after an attempt of stretch ``epoch`` has failed; then let ``at_once`` go first.

        Without a Retry-After, pauses in a row double, up to the policy's cap and ``longest_s``. Attempts that were sent
        before the pause began only lengthen it where the server said how long.
        """
        begins = epoch == self._epoch
        if begins:
            self._epoch += 1
            self._pauses_in_a_row += 1
            seconds = min(longest_s, self._policy.backoff(self._pauses_in_a_row)) * self._rng.uniform(0.5, 1.0)
            self._limit = at_once
            self._next_slot = -math.inf  # places in the old queue are void
        elif failure.retry_after_s is not None:
            seconds = 0.0
        else:
            return
        if failure.retry_after_s is not None:
            seconds = min(failure.retry_after_s, self._policy.retry_after_cap_s)
        until = self._loop.time() + seconds
        longer = until - self._resume_at
        if longer > 0:
            self._resume_at = until
            self._paused = True
            if begins or longer > _WORTH_SAYING_S:
                self._emit(Paused(time.time() + seconds, failure))

    async def _wait_for_place(self) -> None:
        place: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._waiting.remove(place)
            self._let_in()
            raise

    async def _wait_for_slot(self) -> bool:
        """Take the next slot of the rate and wait for it; False (place given back) where a pause came between."""
        now, epoch = self._loop.time(), self._epoch
        slot = max(self._next_slot, now)
        self._next_slot = slot + self._interval
        if slot > now:
            try:
                await asyncio.sleep(slot - now)
            except asyncio.CancelledError:
                self.leave(answered=False)
                raise
            if self._epoch != epoch:
                self.leave(answered=False)
                return False
        return True

    def _let_in(self) -> None:
        free = min(self._limit - self._active, len(self._waiting))
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1


class Breaker:
    """Counts attempts in a row that brought no sign of the server, or only a 429.

    A server that has never answered is given up at the policy's threshold. One that has answered before is *missing*
    from the threshold on, and given up when nothing has come from it for ``patience_s``.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._last_answer = self._last_sign = self._loop.time()
        self._ever = False
        self.answers = 0
        self.absent = 0
        self.refused = 0

    def answer(self) -> None:
        """Note a success."""
        self._ever = True
        self.answers += 1
        self.absent = self.refused = 0
        self._last_answer = self._last_sign = self._loop.time()

    def fail(self, failure: Failure) -> None:
        """Note a failed attempt."""
        if is_absence(failure):
            self.absent += 1
        elif failure.http_status is not None:
            self.absent = 0
            self._last_sign = self._loop.time()
        if failure.kind == "rate_limited":
            self.refused += 1

    @property
    def missing(self) -> bool:
        """Whether the server looks gone and is being waited for."""
        return self.absent >= self._policy.threshold

    @property
    def tripped(self) -> int:
        """How many attempts in a row failed where it is time to give up, else 0."""
        threshold, now = self._policy.threshold, self._loop.time()
        if self.absent >= threshold and (not self._ever or now - self._last_sign >= self._policy.patience_s):
            return self.absent
        if self.refused >= threshold and now - self._last_answer >= self._policy.patience_s:
            return self.refused
        return 0
