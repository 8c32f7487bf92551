"""Requests encoded ahead of demand in a thread of their own, so that no worker waits for a file or a base64."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from peakbench.records import Completion, Request


@dataclass(frozen=True, slots=True)
class Job:
    """One request as bytes. ``images``: (sha256, bytes) of each image in it."""

    sample_id: str
    repeat: int
    request_sha256: str
    body: bytes
    images: tuple[tuple[str | None, int], ...]


class Feed:
    """Pulls a lazy iterator in a thread, encodes what it yields, and hands it to coroutines, in order.

    At most ``ahead`` items and about ``ahead_bytes`` wait at any time (one item more than the bytes allow, so that
    none is too large). The iterator is closed in the same thread that pulled it, whatever ends the feed.
    ``error`` is what the iterator raised, once :meth:`get` has returned None.

    The thread sleeps until half of what waits has been taken, and wakes the loop only where a coroutine is waiting:
    under load neither costs a system call an item. ``_taken`` belongs to the loop and ``_put`` to the thread, each side
    announces that it will sleep before it looks a last time, and so no lock is held by either.
    """

    def __init__(
        self,
        items: Iterable[Request | Completion],
        encode: Callable[[Request], bytes],
        *,
        ahead: int,
        ahead_bytes: int,
    ) -> None:
        self._items = items
        self._encode = encode
        self._ahead, self._ahead_bytes = ahead, ahead_bytes
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Job | Completion] = deque()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._put = self._taken = self._put_bytes = self._taken_bytes = 0
        self._room = threading.Event()
        self._sleeping = self._waking = self._stopped = self._finished = False
        self._ended = asyncio.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="peakbench-feed", daemon=True)
        self._thread.start()

    async def get(self) -> Job | Completion | None:
        """Return the next item, None when there is none left."""
        while not self._ready:
            if self._finished:
                return None
            getter: asyncio.Future[None] = self._loop.create_future()
            self._getters.append(getter)
            if self._ready or self._finished:
                self._wake()
            try:
                await getter
            except asyncio.CancelledError:
                with suppress(ValueError):
                    self._getters.remove(getter)
                raise
        item = self._ready.popleft()
        self._taken += 1
        if isinstance(item, Job):
            self._taken_bytes += len(item.body)
        if self._sleeping and self._half_empty():
            self._room.set()
        return item

    async def aclose(self) -> None:
        """Stop pulling and wait for the thread to end (it finishes the item it is at)."""
        self._stopped = True
        self._room.set()
        await self._ended.wait()
        self._thread.join()  # it has said its last word, and takes no time

    def _run(self) -> None:
        items = iter(self._items)
        try:
            for item in items:
                if self._stopped:
                    break
                job = item if isinstance(item, Completion) else self._job(item)
                self._wait_for_room()
                self._put += 1
                if isinstance(job, Job):
                    self._put_bytes += len(job.body)
                self._ready.append(job)
                if self._getters and not self._waking:
                    self._waking = True
                    self._loop.call_soon_threadsafe(self._wake)
        except BaseException as error:  # it belongs to the coroutine that asked for the items
            self.error = error
        finally:
            try:
                if callable(close := getattr(items, "close", None)):
                    close()
            finally:
                self._finished = True
                with suppress(RuntimeError):  # the loop is closed: nobody waits
                    self._loop.call_soon_threadsafe(self._end)

    def _job(self, request: Request) -> Job:
        images = tuple((image.sha256, len(image.data) if image.data is not None else 0) for image in request.images)
        return Job(request.sample_id, request.repeat, request.sha256, self._encode(request), images)

    def _wait_for_room(self) -> None:
        while not self._stopped and not self._has_room():
            self._room.clear()
            self._sleeping = True
            if not self._stopped and not self._half_empty():
                self._room.wait()
            self._sleeping = False

    def _has_room(self) -> bool:
        return self._put - self._taken < self._ahead and self._put_bytes - self._taken_bytes < self._ahead_bytes

    def _half_empty(self) -> bool:
        return (
            self._put - self._taken <= self._ahead // 2
            and self._put_bytes - self._taken_bytes <= self._ahead_bytes // 2
        )

    def _wake(self) -> None:
        self._waking = False
        wakes = len(self._getters) if self._finished else len(self._ready)
        while wakes > 0 and self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                wakes -= 1

    def _end(self) -> None:
        self._wake()
        self._ended.set()
