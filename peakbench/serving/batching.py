"""One thread asks the models; what waits is asked together."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from peakbench.serving.base import Generation, Prompt, PromptRefused, ServedModel
from peakbench.serving.refusals import Refusal

MAX_WAITING = 512
"""Requests that may wait; the next ones are sent away (503), so that what waits has a bounded size."""


@dataclass(slots=True)
class _Waiting:
    model: ServedModel
    prompt: Prompt
    future: Future[list[Generation]] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Asks models in batches of what waits, one batch at a time.

    A batch holds prompts for one model, in the order in which they came, and at most ``max_batch`` completions (one
    prompt with more is a batch of its own). After the first prompt it waits up to ``gather_s`` seconds for others: the
    clients that were answered together come back one after the other. Where a batch fails, each of its prompts is asked
    alone, so that one fails and not its neighbours.
    """

    def __init__(
        self,
        *,
        max_batch: int = 16,
        gather_s: float = 0.005,
        on_batch: Callable[[int, Sequence[float]], None] | None = None,
    ) -> None:
        self._max_batch = max_batch
        self._gather_s = gather_s
        self._on_batch = on_batch
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._running = 0
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Prompts that are asked at this moment."""
        return self._running

    @property
    def waiting(self) -> int:
        """Prompts that wait."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether prompts are taken."""
        return self._thread.is_alive() and not self._closed

    def submit(self, model: ServedModel, prompt: Prompt) -> Future[list[Generation]]:
        """Let a prompt wait for its turn; a future that is cancelled before that is not asked.

        Raises:
            Refusal: 503, too many wait or the server stops.
        """
        item = _Waiting(model, prompt)
        with self._changed:
            if self._closed:
                raise _stopping()
            if len(self._waiting) >= MAX_WAITING:
                raise Refusal("Too many requests wait for the model; try again later.", status=503)
            self._waiting.append(item)
            self._changed.notify()
        return item.future

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Send away what waits, and wait for the batch that is asked, ``timeout_s`` seconds at most."""
        with self._changed:
            self._closed = True
            left = [*self._waiting]
            self._waiting.clear()
            self._changed.notify()
        for item in left:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(_stopping())
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (taken := self._next()) is not None:
            batch = [item for item in taken if item.future.set_running_or_notify_cancel()]
            if not batch:
                continue
            self._running = len(batch)
            if self._on_batch is not None:
                now = time.monotonic()
                self._on_batch(sum(_size(item) for item in batch), [now - item.since for item in batch])
            try:
                self._ask(batch)
            finally:
                self._running = 0

    def _next(self) -> list[_Waiting] | None:
        """Wait for a batch; None says that there is no more."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            until = time.monotonic() + self._gather_s
            while not self._closed and sum(map(_size, self._waiting)) < self._max_batch:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return None if self._closed else self._take()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        others: deque[_Waiting] = deque()
        room = self._max_batch
        while self._waiting and room > 0:
            item = self._waiting.popleft()
            if item.future.cancelled():
                continue
            if batch and (item.model is not batch[0].model or _size(item) > room):
                others.append(item)
                continue
            batch.append(item)
            room -= _size(item)
        self._waiting.extendleft(reversed(others))
        return batch

    @staticmethod
    def _ask(batch: Sequence[_Waiting]) -> None:
        model = batch[0].model
        try:
            found = model.generate([item.prompt for item in batch])
            for item, generations in zip(batch, found, strict=True):
                item.future.set_result(generations)
            return
        except Exception as error:
            left = [item for item in batch if not item.future.done()]
            if len(left) == 1:
                left[0].future.set_exception(_fault(error))
                return
        for item in left:
            try:
                item.future.set_result(model.generate([item.prompt])[0])
            except Exception as error:
                item.future.set_exception(_fault(error))


def _size(item: _Waiting) -> int:
    return item.prompt.sampling.n


def _fault(error: Exception) -> Refusal:
    if isinstance(error, PromptRefused):
        return Refusal(str(error))
    return Refusal(f"the model failed: {type(error).__name__}: {error}"[:500], status=500)


def _stopping() -> Refusal:
    return Refusal("The server is stopping.", status=503)
