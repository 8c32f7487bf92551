"""The workers: each takes a request, sends it until it is answered or given up, writes it down, takes the next."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from peakbench.client.base import AttemptFailed, Transport
from peakbench.client.wire import encode
from peakbench.errors import EndpointError, EndpointGone, EndpointRefused
from peakbench.records import Completion, Failure, Request
from peakbench.runner.events import Ended, Event, Finished, Retrying, Started, Tally, Tripped
from peakbench.runner.feed import Feed, Job
from peakbench.runner.pacing import Breaker, Pace
from peakbench.runner.policy import STOPPING, Policy, is_absence


class Appendable(Protocol):
    """What finished requests are written to: a :class:`peakbench.store.Journal`, or a list."""

    def append(self, completion: Completion, /) -> None:
        """Write one finished request down, before it counts."""


async def ask(
    requests: Iterable[Request | Completion],
    transport: Transport,
    journal: Appendable,
    *,
    policy: Policy,
    stream: bool = False,
    total: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Tally:
    """Send every request, retry what may go away, and write each to the journal as it ends.

    ``requests`` is pulled in a thread of its own, a bounded number ahead: it may read files. A Completion in it is a
    request that failed before it could be sent (an image); it is journalled as it is. A request that fails after its
    retries is journalled with its error. ``on_event`` is called in the loop's thread, after the journal is written.

    On cancellation the requests in flight are cancelled, everything finished is in the journal, the last event
    ``Ended`` carries a tally with ``interrupted`` set, and the cancellation goes on to the caller.

    Raises:
        EndpointRefused: the server said 401, 403 or 404; that request is journalled as failed, the others not at all.
        EndpointGone: the circuit breaker opened; what was in flight is not journalled.
        StoreError: the journal cannot be written.
        Exception: whatever ``requests`` raised, after everything it had yielded before is done.
    """
    return await _Asking(transport, journal, policy, stream, on_event or (lambda event: None)).run(requests, total)


class _Asking:
    def __init__(
        self,
        transport: Transport,
        journal: Appendable,
        policy: Policy,
        stream: bool,
        emit: Callable[[Event], None],
    ) -> None:
        self.transport, self.journal, self.policy, self.stream, self.emit = transport, journal, policy, stream, emit
        self.rng = random.Random(policy.seed)  # noqa: S311 - jitter
        self.pace = Pace(policy, self.rng, emit)
        self.breaker = Breaker(policy)
        self.tally = Tally()

    async def run(self, requests: Iterable[Request | Completion], total: int | None) -> Tally:
        began = time.monotonic()
        self.emit(Started(total, self.policy.workers))
        feed = Feed(
            requests,
            lambda request: encode(request, stream=self.stream),
            ahead=self.policy.ahead,
            ahead_bytes=self.policy.look_ahead_bytes,
        )
        workers = [asyncio.create_task(self.work(feed)) for _ in range(self.policy.workers)]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
            if feed.error is not None:
                raise feed.error
            return self.tally
        except asyncio.CancelledError:
            self.tally.interrupted = True
            raise
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await feed.aclose()
            self.tally.wall_s = time.monotonic() - began
            self.emit(Ended(self.tally))

    async def work(self, feed: Feed) -> None:
        while (item := await feed.get()) is not None:
            completion = item if isinstance(item, Completion) else await self.series(item)
            self.journal.append(completion)
            self.tally.count(completion)
            self.emit(Finished(completion))
            if completion.failure is not None and completion.failure.kind in STOPPING:
                raise _refused(completion.failure)

    async def series(self, job: Job) -> Completion:
        """Send one request until it is answered or given up."""
        started_at: float | None = None
        attempts = spent = 0
        while True:
            answers = self.breaker.answers
            epoch = await self.pace.enter()
            started_at = started_at or time.time()
            attempts += 1
            self.tally.attempts += 1
            response = failure = None
            try:
                response = await self.transport.send(job.body, stream=self.stream)
            except AttemptFailed as error:
                failure = error.failure
            except Exception as error:  # a fault of ours fails this request, not the run
                failure = Failure("internal", f"{type(error).__name__}: {error}")
            finally:
                self.pace.leave(answered=response is not None)
            if failure is None:
                self.breaker.answer()
            else:
                wait_s, spent = self.fail(failure, epoch, spent, others_answered=self.breaker.answers > answers)
                if wait_s is not None:
                    self.emit(Retrying(job.sample_id, job.repeat, failure, wait_s, attempts))
                    await asyncio.sleep(wait_s)
                    continue
            return Completion(
                job.sample_id, job.repeat, response, failure, job.request_sha256, attempts, started_at, job.images
            )

    def fail(self, failure: Failure, epoch: int, spent: int, *, others_answered: bool) -> tuple[float | None, int]:
        """Settle a failed attempt: how long to wait for the next (None: no more), and how many retries are spent.

        Two failures are nobody's fault among the samples and spend no retry: a 429 while others are being answered, and
        no sign of a server that is being waited for. The breaker bounds both.
        """
        self.breaker.fail(failure)
        attempts = self.breaker.tripped
        if attempts:
            self.emit(Tripped(attempts, failure))
            raise _gone(failure, attempts)
        limited, missing = failure.kind == "rate_limited", is_absence(failure) and self.breaker.missing
        if limited:
            self.pace.pause(failure, epoch=epoch, at_once=max(1, self.policy.workers // 8))
        elif missing:
            self.pace.pause(failure, epoch=epoch, at_once=1, longest_s=self.policy.patience_s / 10)
        if not (missing or (limited and others_answered)):
            spent += 1
            if spent > self.policy.allows(failure):
                return None, spent
        return 0.0 if limited or missing else self.policy.wait(failure, spent, self.rng), spent


def _refused(failure: Failure) -> EndpointError:
    what = f"the endpoint refused the request ({failure.http_status or failure.kind}): {failure.message}"
    return EndpointRefused(
        what,
        hint={
            "authentication": "set the key: export OPENAI_API_KEY=..., or name its variable with --api-key-env",
            "permission": "this key may not use this model or this server: check both",
        }.get(
            failure.kind,
            "check the model's name (GET <endpoint>/models lists them) and the URL (it mostly ends in /v1)",
        ),
    )


def _gone(failure: Failure, attempts: int) -> EndpointError:
    answered = "every answer is on disk; go on with --resume"
    if failure.kind == "rate_limited":
        return EndpointGone(
            f"the server refused {attempts} requests in a row with 429: {failure.message}",
            hint=f"wait, or ask slower with --rate or --workers; {answered}",
        )
    if failure.kind == "timeout":
        return EndpointGone(
            f"{attempts} requests in a row brought no answer in time: {failure.message}",
            hint=f"is the server up, or is --timeout too short? {answered}",
        )
    return EndpointGone(
        f"the server is not there: {attempts} attempts in a row failed: {failure.message}",
        hint=f"is it running at this URL? {answered}",
    )
