"""The runner against a transport that does as it is told: retries, pauses, the breaker, cancellation, the feed."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.client.base import AttemptFailed
from peakbench.errors import ConfigError, EndpointError, EndpointGone, EndpointRefused, StoreError
from peakbench.records import Completion, Failure, FailureKind, Image, Request, Response
from peakbench.runner import (
    Ended,
    Event,
    Finished,
    Paused,
    Policy,
    Retrying,
    Started,
    Tally,
    Tripped,
    ask,
)
from peakbench.runner.feed import Feed, Job
from peakbench.runner.policy import is_absence

FAST: dict[str, Any] = {"backoff_s": 0.001, "seed": 0}

Reply = Failure | Response | None
"""What the transport does with one attempt; None is a plain answer."""


class Scripted:
    """A transport that calls ``reply(sample, attempt)``, and notes when attempts began and how many flew."""

    def __init__(self, reply: Callable[[str, int], Reply | Awaitable[Reply]], *, latency_s: float = 0.0) -> None:
        self.reply, self.latency_s = reply, latency_s
        self.attempts: Counter[str] = Counter()
        self.began: list[tuple[float, str]] = []
        self.in_flight = self.most = 0
        self.in_flight_at: list[int] = []
        self.cancelled = 0
        self.streamed: list[bool] = []

    async def send(self, body: bytes, *, stream: bool) -> Response:
        sample = json.loads(body)["model"]
        self.attempts[sample] += 1
        self.streamed.append(stream)
        self.began.append((time.monotonic(), sample))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        self.in_flight_at.append(self.in_flight)
        try:
            await asyncio.sleep(self.latency_s)
            found = self.reply(sample, self.attempts[sample])
            if isinstance(found, Awaitable):
                found = await found
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        if isinstance(found, Failure):
            raise AttemptFailed(found)
        return found or Response("{}", latency_s=self.latency_s)

    async def aclose(self) -> None:
        pass


def request(name: str) -> Request:
    return Request(name, 0, {"model": name, "messages": []}, ())


def requests(n: int) -> Iterator[Request]:
    return (request(f"s{number}") for number in range(n))


def failing(kind: FailureKind, status: int | None = None, retry_after_s: float | None = None) -> Failure:
    return Failure(kind, "told to", status, retry_after_s)


async def asked(
    transport: Scripted,
    items: int | Iterable[Request | Completion],
    *,
    stream: bool = False,
    **policy: Any,
) -> tuple[list[Completion], list[Event], Tally]:
    journal: list[Completion] = []
    events: list[Event] = []
    tally = await ask(
        requests(items) if isinstance(items, int) else items,
        transport,
        journal,
        policy=Policy(**{**FAST, **policy}),
        stream=stream,
        on_event=events.append,
    )
    return journal, events, tally


def names(events: Iterable[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.fixture(autouse=True)
async def _nothing_is_left_behind() -> AsyncIterator[None]:
    yield
    assert [task for task in asyncio.all_tasks() if "work" in repr(task.get_coro())] == []
    assert [thread for thread in threading.enumerate() if thread.name == "peakbench-feed"] == []


# Asking


async def test_every_request_is_answered_once() -> None:
    transport = Scripted(lambda sample, attempt: None, latency_s=0.001)
    journal, events, tally = await asked(transport, 100)
    assert sorted(c.sample_id for c in journal) == sorted(f"s{n}" for n in range(100))
    assert all(count == 1 for count in transport.attempts.values())
    assert (tally.answered, tally.failed, tally.attempts, tally.finished) == (100, 0, 100, 100)
    assert Counter(names(events)) == {"Started": 1, "Finished": 100, "Ended": 1}
    assert isinstance(events[0], Started)
    assert events[-1] == Ended(tally)
    first = journal[0]
    assert first.request_sha256 == request(first.sample_id).sha256
    assert first.attempts == 1
    assert time.time() - 10 < (first.started_at or 0) <= time.time()


async def test_nothing_to_ask_is_no_error() -> None:
    journal, events, tally = await asked(Scripted(lambda sample, attempt: None), 0)
    assert (journal, names(events), tally.finished) == ([], ["Started", "Ended"], 0)


async def test_the_journal_is_written_before_the_event() -> None:
    journal: list[Completion] = []

    def on_event(event: Event) -> None:
        if isinstance(event, Finished):
            assert journal[-1] is event.completion

    await ask(requests(20), Scripted(lambda s, a: None), journal, policy=Policy(), on_event=on_event)


@pytest.mark.parametrize("workers", [1, 8, 64])
async def test_workers_are_all_busy_and_never_more(workers: int) -> None:
    transport = Scripted(lambda sample, attempt: None, latency_s=0.005)
    await asked(transport, 300, workers=workers)
    assert transport.most == workers


@pytest.mark.parametrize("stream", [False, True])
async def test_streaming_is_asked_for_in_the_body_and_of_the_transport(stream: bool) -> None:
    bodies: list[dict[str, Any]] = []

    class Reading(Scripted):
        async def send(self, body: bytes, *, stream: bool) -> Response:
            bodies.append(json.loads(body))
            return await super().send(body, stream=stream)

    transport = Reading(lambda sample, attempt: None)
    await asked(transport, 3, stream=stream)
    assert transport.streamed == [stream] * 3
    assert [body.get("stream", False) for body in bodies] == [stream] * 3


async def test_images_are_noted_with_hash_and_size() -> None:
    images = (Image("image/jpeg", b"12345", "a" * 64), Image("image/jpeg", None, None, url="http://x/y.jpg"))
    journal, _, _ = await asked(
        Scripted(lambda s, a: None), [Request("p1", 0, {"model": "p1", "messages": []}, images)]
    )
    assert journal[0].images == (("a" * 64, 5), (None, 0))


async def test_a_failure_before_sending_is_journalled_and_not_sent() -> None:
    unread = Completion("p2", 0, None, Failure("image", "no such file"))
    transport = Scripted(lambda sample, attempt: None)
    journal, events, tally = await asked(transport, [request("p1"), unread, request("p3")])
    assert unread in journal
    assert transport.attempts.keys() == {"p1", "p3"}
    assert (tally.answered, tally.failed, dict(tally.failures)) == (2, 1, {"image": 1})
    assert Finished(unread) in events


# Retries


async def test_what_may_go_away_is_tried_again() -> None:
    kinds: list[FailureKind] = ["server_error", "bad_body", "connection"]
    transport = Scripted(lambda sample, attempt: failing(kinds[attempt - 1]) if attempt <= 3 else None)
    before = time.time()
    journal, events, tally = await asked(transport, 1)
    assert journal[0].failure is None
    assert (journal[0].attempts, tally.attempts, tally.answered) == (4, 4, 1)
    assert before <= (journal[0].started_at or 0) <= time.time()
    retries = [event for event in events if isinstance(event, Retrying)]
    assert [(event.attempt, event.failure.kind) for event in retries] == [*enumerate(kinds, start=1)]


@pytest.mark.parametrize(
    ("kind", "status", "attempts"),
    [
        ("bad_request", 400, 1),
        ("internal", None, 1),
        ("server_error", 500, 6),
        ("bad_body", 200, 6),
        ("connection", None, 6),
        ("timeout", None, 3),
        ("rate_limited", 429, 6),
    ],
)
async def test_how_often_a_failure_is_tried(kind: FailureKind, status: int | None, attempts: int) -> None:
    transport = Scripted(lambda sample, attempt: failing(kind, status))
    journal, _, tally = await asked(transport, 1, breaker=100)
    assert journal[0].failure == failing(kind, status)
    assert journal[0].attempts == transport.attempts["s0"] == attempts
    assert (tally.answered, tally.failed, dict(tally.failures)) == (0, 1, {kind: 1})


async def test_a_failed_request_does_not_hold_up_the_others() -> None:
    transport = Scripted(lambda sample, attempt: failing("server_error", 500) if sample == "s3" else None)
    journal, _, tally = await asked(transport, 20, workers=2, retries=2)
    assert [c.sample_id for c in journal if c.failure] == ["s3"]
    assert (tally.answered, tally.failed) == (19, 1)


async def test_a_fault_of_ours_fails_one_request() -> None:
    def reply(sample: str, attempt: int) -> Reply:
        if sample == "s1":
            raise ZeroDivisionError("a bug")
        return None

    journal, _, _ = await asked(Scripted(reply), 3)
    assert {c.sample_id: c.failure for c in journal if c.failure} == {
        "s1": Failure("internal", "ZeroDivisionError: a bug")
    }


def test_waits_are_full_jitter_under_a_doubling_cap() -> None:
    # "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: sleep = random_between(0, min(cap, base * 2^k))
    policy, rng = Policy(), random.Random(1)
    for attempt, cap in ((1, 0.5), (2, 1.0), (5, 8.0), (7, 30.0), (5000, 30.0)):
        waits = [policy.wait(failing("connection"), attempt, rng) for _ in range(400)]
        assert 0 <= min(waits) < 0.1 * cap
        assert 0.9 * cap < max(waits) <= cap
        assert sum(waits) / 400 == pytest.approx(cap / 2, rel=0.15)


def test_the_server_says_how_long_to_wait_up_to_a_cap() -> None:
    policy, rng = Policy(), random.Random(1)
    assert policy.wait(failing("server_error", 503, 7.5), 1, rng) == 7.5
    assert policy.wait(failing("server_error", 503, 86_400.0), 1, rng) == 300.0


async def test_a_seed_repeats_the_jitter() -> None:
    async def waits(seed: int) -> list[float]:
        transport = Scripted(lambda sample, attempt: failing("server_error", 500))
        _, events, _ = await asked(transport, 1, seed=seed)
        return [event.wait_s for event in events if isinstance(event, Retrying)]

    assert await waits(1) == await waits(1) != await waits(2)


# 429


async def test_one_429_pauses_all_workers() -> None:
    pause = 0.25
    transport = Scripted(
        lambda sample, attempt: failing("rate_limited", 429, pause) if sample == "s20" and attempt == 1 else None,
        latency_s=0.01,
    )
    journal, events, tally = await asked(transport, 60, workers=4)
    assert (tally.answered, len(journal)) == (60, 60)
    refused = next(moment for moment, sample in transport.began if sample == "s20") + 0.01
    silence = [moment for moment, _ in transport.began if refused + 0.005 < moment < refused + pause - 0.005]
    assert silence == []
    kinds = [name for name in names(events) if name in {"Paused", "Resumed"}]
    assert kinds == ["Paused", "Resumed"]
    paused = next(event for event in events if isinstance(event, Paused))
    assert paused.failure.kind == "rate_limited"


async def test_after_a_pause_the_workers_come_back_one_round_at_a_time() -> None:
    workers, ready = 32, 0

    def reply(sample: str, attempt: int) -> Reply:
        nonlocal ready
        ready += 1
        return failing("rate_limited", 429, 0.05) if ready <= workers else None

    transport = Scripted(reply, latency_s=0.02)
    _, events, tally = await asked(transport, 400, workers=workers)
    after = transport.in_flight_at[workers:]
    # 32 // 8 = 4 at first; each answer lets in one more, so a round trip doubles the number
    assert max(after[:4]) <= 4
    assert max(after[: 4 + 8]) <= 8
    assert max(after[: 4 + 8 + 16]) <= 16
    assert max(after) == workers
    assert names(events).count("Paused") == 1  # 32 refusals, one pause
    assert tally.answered == 400


async def test_a_limited_server_fails_no_request() -> None:
    """A token bucket (200 a second, 5 at once) under 8 workers; a 429 while others are answered spends no retry."""
    tokens, last, refused = 5.0, time.monotonic(), 0

    def reply(sample: str, attempt: int) -> Reply:
        nonlocal tokens, last, refused
        now = time.monotonic()
        tokens, last = min(5.0, tokens + (now - last) * 200.0), now
        if tokens < 1.0:
            refused += 1
            return failing("rate_limited", 429)
        tokens -= 1.0
        return None

    _, _, tally = await asked(Scripted(reply, latency_s=0.001), 200, workers=8, retries=1, backoff_s=0.02)
    assert (tally.answered, tally.failed) == (200, 0)
    assert refused > 5


async def test_endless_429_ends_the_run() -> None:
    transport = Scripted(lambda sample, attempt: failing("rate_limited", 429))
    with pytest.raises(EndpointGone, match="429") as caught:
        await asked(transport, 1000, patience_s=0.05, retries=100)
    assert "--rate" in str(caught.value)


# The breaker


async def test_a_server_that_was_never_there_is_given_up_at_once() -> None:
    journal: list[Completion] = []
    events: list[Event] = []
    transport = Scripted(lambda sample, attempt: failing("connection"))
    with pytest.raises(EndpointGone, match="not there") as caught:
        await ask(requests(1000), transport, journal, policy=Policy(workers=8, **FAST), on_event=events.append)
    assert caught.value.exit_code == 3
    assert "--resume" in str(caught.value)
    assert sum(transport.attempts.values()) <= 16 + 7  # max(2 x 8, 10), and those in flight beside the last
    assert journal == []
    assert names(events)[-2:] == ["Tripped", "Ended"]
    tripped = events[-2]
    assert isinstance(tripped, Tripped)
    assert tripped.attempts == 16


@pytest.mark.parametrize(
    ("workers", "breaker", "threshold"), [(1, None, 10), (5, None, 10), (8, None, 16), (256, None, 512), (8, 3, 3)]
)
def test_the_threshold(workers: int, breaker: int | None, threshold: int) -> None:
    assert Policy(workers=workers, breaker=breaker).threshold == threshold


def test_what_a_missing_server_looks_like() -> None:
    absent = [failing("connection"), failing("timeout"), *(failing("server_error", code) for code in (502, 503, 504))]
    present = [failing("server_error", 500), failing("rate_limited", 429), failing("bad_request", 400)]
    assert [is_absence(failure) for failure in absent + present] == [True] * 5 + [False] * 3


async def test_a_server_that_answers_with_errors_is_there() -> None:
    codes = [failing("connection"), failing("server_error", 500)]
    transport = Scripted(lambda sample, attempt: codes[attempt % 2])
    journal, _, tally = await asked(transport, 30, workers=1, retries=5)
    assert (tally.failed, len(journal)) == (30, 30)


async def test_a_server_that_comes_back_costs_no_request_its_retries() -> None:
    down = [0.0]

    def reply(sample: str, attempt: int) -> Reply:
        if sample == "s40" and not down[0]:
            down[0] = time.monotonic() + 0.4
        return failing("connection") if time.monotonic() < down[0] else None

    transport = Scripted(reply, latency_s=0.002)
    journal, events, tally = await asked(
        transport, 200, workers=4, retries=4, patience_s=30.0, breaker=4, backoff_s=0.002, backoff_cap_s=0.05
    )
    assert (tally.answered, tally.failed, len(journal)) == (200, 0, 200)
    assert "Paused" in names(events)
    assert "Resumed" in names(events)
    assert max(transport.attempts.values()) > 5  # the probe went on beyond the retries


async def test_a_server_that_stays_away_ends_the_run() -> None:
    journal: list[Completion] = []
    transport = Scripted(lambda sample, attempt: failing("connection") if int(sample[1:]) >= 50 else None)
    with pytest.raises(EndpointGone):
        await ask(requests(1000), transport, journal, policy=Policy(patience_s=0.1, workers=4, **FAST))
    assert sorted(int(c.sample_id[1:]) for c in journal) == list(range(50))


async def test_time_outs_end_the_run_with_another_hint() -> None:
    with pytest.raises(EndpointGone, match="no answer in time") as caught:
        await asked(Scripted(lambda sample, attempt: failing("timeout")), 100)
    assert "--timeout" in str(caught.value)


# Refusals


@pytest.mark.parametrize(
    ("kind", "status", "hint"),
    [("authentication", 401, "--api-key-env"), ("permission", 403, "key"), ("not_found", 404, "/models")],
)
async def test_a_refusal_ends_the_run_at_once(kind: FailureKind, status: int, hint: str) -> None:
    async def reply(sample: str, attempt: int) -> Reply:
        if sample == "s5":
            return failing(kind, status)
        await asyncio.sleep(0 if sample < "s5" else 30)
        return None

    journal: list[Completion] = []
    transport = Scripted(reply)
    with pytest.raises(EndpointRefused, match=str(status)) as caught:
        await ask(requests(100), transport, journal, policy=Policy(workers=8, **FAST))
    assert caught.value.exit_code == 2
    assert hint in str(caught.value)
    assert transport.attempts["s5"] == 1
    assert [c.failure.kind for c in journal if c.failure] == [kind]
    assert len([c for c in journal if not c.failure]) == sum(transport.attempts.values()) - transport.cancelled - 1


# Interruption


async def test_cancelling_keeps_what_is_finished() -> None:
    closed = threading.Event()

    def items() -> Iterator[Request]:
        try:
            yield from requests(1000)
        finally:
            closed.set()

    async def reply(sample: str, attempt: int) -> Reply:
        if int(sample[1:]) >= 20:
            await asyncio.sleep(30)
        return None

    journal: list[Completion] = []
    events: list[Event] = []
    transport = Scripted(reply)
    task = asyncio.create_task(
        ask(items(), transport, journal, policy=Policy(workers=4, **FAST), on_event=events.append)
    )
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(int(c.sample_id[1:]) for c in journal) == list(range(20))
    assert transport.cancelled == 4
    assert closed.is_set()
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.tally.interrupted
    assert ended.tally.answered == 20


@pytest.mark.parametrize("moment", ["pause", "retry", "rate", "feed"])
async def test_cancelling_while_waiting(moment: str) -> None:
    release = threading.Event()

    def items() -> Iterator[Request]:
        yield from requests(20)
        if moment == "feed":
            release.wait(5)

    replies = {"pause": failing("rate_limited", 429, 60.0), "retry": failing("server_error", 503, 60.0)}
    transport = Scripted(lambda sample, attempt: replies.get(moment))
    policy = Policy(workers=4, rate=0.01 if moment == "rate" else None, **FAST)
    task = asyncio.create_task(ask(items(), transport, [], policy=policy))
    await asyncio.sleep(0.05)
    task.cancel()
    threading.Timer(0.05, release.set).start()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 5)


# Other ends


async def test_an_error_of_the_iterator_comes_after_what_it_had_yielded() -> None:
    def items() -> Iterator[Request]:
        yield from requests(30)
        raise LookupError("the data set broke")

    journal: list[Completion] = []
    with pytest.raises(LookupError, match="broke"):
        await ask(items(), Scripted(lambda s, a: None, latency_s=0.01), journal, policy=Policy(workers=4, **FAST))
    assert len(journal) == 30


async def test_a_journal_that_cannot_be_written_ends_the_run() -> None:
    class Full(list[Completion]):
        def append(self, completion: Completion, /) -> None:
            if len(self) == 5:
                raise StoreError("the disk is full")
            super().append(completion)

    journal = Full()
    with pytest.raises(StoreError, match="full"):
        await ask(requests(100), Scripted(lambda s, a: None), journal, policy=Policy(workers=4, **FAST))
    assert len(journal) == 5


async def test_an_error_of_the_listener_loses_nothing() -> None:
    def listener(event: Event) -> None:
        if isinstance(event, Finished):
            raise LookupError("the screen broke")

    journal: list[Completion] = []
    with pytest.raises(LookupError):
        await ask(requests(10), Scripted(lambda s, a: None), journal, policy=Policy(workers=1), on_event=listener)
    assert len(journal) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 0}, {"retries": -1}, {"rate": 0.0}, {"rate": float("nan")}, {"breaker": 0}, {"look_ahead": 0}],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Policy(**wrong)


# Rate


async def test_the_rate_is_kept() -> None:
    transport = Scripted(lambda sample, attempt: None)
    await asked(transport, 21, workers=8, rate=100.0)
    moments = [moment for moment, _ in transport.began]
    assert moments[-1] - moments[0] >= 0.15  # 20 intervals of 10 ms; the first attempt may be late by itself
    assert moments[-1] - moments[0] < 2.0


async def test_the_rate_goes_on_after_a_pause() -> None:
    transport = Scripted(
        lambda sample, attempt: failing("rate_limited", 429, 0.05) if sample == "s3" and attempt == 1 else None
    )
    _, _, tally = await asked(transport, 20, workers=8, rate=200.0)
    assert tally.answered == 20
    assert transport.began[-1][0] - transport.began[0][0] < 2.0


# The feed


async def test_the_iterator_is_pulled_a_bounded_number_ahead_in_its_own_thread() -> None:
    pulled, most, threads = 0, 0, set()
    journal: list[Completion] = []

    def items() -> Iterator[Request]:
        nonlocal pulled, most
        for item in requests(2000):
            threads.add(threading.current_thread())
            pulled += 1
            most = max(most, pulled - len(journal))
            yield item

    await ask(items(), Scripted(lambda s, a: None), journal, policy=Policy(workers=4, look_ahead=8))
    assert len(journal) == 2000
    assert most <= 4 + 8 + 1 + 4  # in flight, waiting, in the thread's hands; taken but not yet journalled
    assert threads.isdisjoint({threading.current_thread()})


async def test_the_bytes_that_wait_are_bounded() -> None:
    feed = Feed(requests(100), lambda request: b"x" * 1000, ahead=100, ahead_bytes=10_000)
    await asyncio.sleep(0.05)
    assert feed._put_bytes == 10_000
    large = Feed(requests(3), lambda request: b"x" * 50_000, ahead=100, ahead_bytes=10_000)
    got = [await large.get() for _ in range(4)]
    assert [isinstance(item, Job) for item in got] == [True, True, True, False]
    await feed.aclose()
    await large.aclose()


async def test_a_slow_iterator_does_not_stop_the_loop() -> None:
    def items() -> Iterator[Request]:
        for item in requests(3):
            time.sleep(0.1)
            yield item

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    _, _, tally = await asked(Scripted(lambda s, a: None), items())
    ticking.cancel()
    assert tally.answered == 3
    assert ticks >= 15


@pytest.mark.parametrize("ahead", [1, 2, 7])
@pytest.mark.parametrize("getters", [1, 5])
async def test_every_item_is_handed_over_once(ahead: int, getters: int) -> None:
    rng = random.Random(ahead)

    def items() -> Iterator[Request]:
        for item in requests(400):
            if rng.random() < 0.05:
                time.sleep(rng.random() * 0.002)
            yield item

    feed = Feed(items(), lambda request: b"", ahead=ahead, ahead_bytes=1)
    got: list[str] = []

    async def get() -> None:
        while (item := await feed.get()) is not None:
            got.append(item.sample_id)
            if len(got) % 7 == 0:
                await asyncio.sleep(0.0005)

    await asyncio.wait_for(asyncio.gather(*(get() for _ in range(getters))), 30)
    await feed.aclose()
    assert got == [f"s{number}" for number in range(400)]


failures = st.sampled_from(
    [
        failing("server_error", 500),
        failing("connection"),
        failing("bad_body", 200),
        failing("rate_limited", 429),
        failing("bad_request", 400),
        failing("timeout"),
    ]
)


@given(st.lists(st.lists(failures, max_size=4), max_size=12), st.integers(1, 5), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_whatever_fails_each_request_ends_once(scripts: list[list[Failure]], workers: int, retries: int) -> None:
    def reply(sample: str, attempt: int) -> Reply:
        script = scripts[int(sample[1:])]
        return script[attempt - 1] if attempt <= len(script) else None

    policy = Policy(workers=workers, retries=retries, timeout_retries=retries, breaker=100, backoff_s=0.0001, seed=1)
    journal: list[Completion] = []
    transport = Scripted(reply)
    tally = asyncio.run(ask(requests(len(scripts)), transport, journal, policy=policy))
    assert sorted(c.sample_id for c in journal) == sorted(f"s{n}" for n in range(len(scripts)))
    assert tally.attempts == sum(c.attempts for c in journal) == sum(transport.attempts.values())
    for completion in journal:
        script = scripts[int(completion.sample_id[1:])]
        assert (completion.response is None) != (completion.failure is None)
        if completion.failure is None:
            assert completion.attempts == len(script) + 1
        else:
            assert completion.failure == script[completion.attempts - 1]
            assert completion.failure.kind == "bad_request" or completion.attempts > retries


async def test_an_error_is_an_endpoint_error() -> None:
    with pytest.raises(EndpointError):
        await asked(Scripted(lambda s, a: failing("authentication", 401)), 1)
