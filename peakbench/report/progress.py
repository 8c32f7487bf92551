"""What people see while a run is asked: one live line on a terminal, a line now and then elsewhere; all on stderr.

Events come in the loop's thread and are only counted there. Drawing and the running score happen in a thread of their
own, a few times a second, so that neither delays a request.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from peakbench.report.tables import percent, quantity
from peakbench.runner import Ended, Event, Finished, Paused, Resumed, Retrying, Started, Tripped

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from peakbench.records import Completion

REFRESH_S = 0.25
LINE_EVERY_S = 10.0
RATE_WINDOW_S = 30.0
BAR = 20
"""Width of the bar, columns."""
KINDS = {
    "rate_limited": "the server asked for it (429)",
    "connection": "no connection to the server",
    "timeout": "the server does not answer",
}


class State:
    """What has happened so far, as counts. ``total``: requests of this session, None where nobody knows."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.workers = 0
        self.answered = 0
        self.failures: Counter[str] = Counter()
        self.retries = 0
        self.paused_until: float | None = None
        self.pause_reason = ""
        self.phase = "preparing"
        self.began = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque()

    @property
    def done(self) -> int:
        """Requests that have ended, answered or failed."""
        return self.answered + self.failures.total()

    def take(self, event: Event) -> None:
        """Count one event of the runner."""
        if isinstance(event, Finished):
            failure = event.completion.failure
            if failure is None:
                self.answered += 1
            else:
                self.failures[failure.kind] += 1
        elif isinstance(event, Started):
            self.total, self.workers = event.total, event.workers
            self.phase, self.began = "asking", time.monotonic()
        elif isinstance(event, Retrying):
            self.retries += 1
        elif isinstance(event, Paused):
            self.paused_until = event.until
            self.pause_reason = KINDS.get(event.failure.kind, event.failure.kind.replace("_", " "))
        elif isinstance(event, Resumed):
            self.paused_until = None
        elif isinstance(event, Tripped):
            self.phase = "the server is gone"
        elif isinstance(event, Ended):
            self.paused_until = None
            self.phase = "stopping" if event.tally.interrupted else "scoring"

    def rate(self, now: float) -> float | None:
        """Requests a second over the last seconds, None before there is anything to count."""
        marks = self._marks
        if not marks or now > marks[-1][0]:
            marks.append((now, self.done))
        while len(marks) > 2 and now - marks[0][0] > RATE_WINDOW_S:
            marks.popleft()
        first_time, first_done = marks[0] if len(marks) > 1 else (self.began, 0)
        if self.done == first_done or now <= first_time:
            return None
        return (self.done - first_done) / (now - first_time)


def progress_line(state: State, now: float, *, score: float | None = None) -> str:
    """How far a run is.

    Args:
        now: monotonic seconds.
        score: running weighted score in [0, 1].

    >>> state = State()
    >>> state.total, state.answered, state.phase, state.began = 100, 40, "asking", 0.0
    >>> progress_line(state, 10.0, score=0.5)
    '40/100  40 %  4/s  15 s left  weighted 50.0 %'
    """
    if state.phase == "preparing":
        return "reading the data set"
    parts = [f"{state.done:,}/{state.total:,}" if state.total is not None else f"{state.done:,} done"]
    if state.total:
        parts.append(f"{100 * state.done // state.total} %")
    if state.phase != "asking":
        parts.append(state.phase)
    else:
        rate = state.rate(now)
        if rate:
            parts.append(f"{quantity(rate)}/s")
            if state.total is not None and state.total > state.done:
                parts.append(f"{duration((state.total - state.done) / rate)} left")
    if score is not None:
        parts.append(f"weighted {percent(score)} %")
    return "  ".join(parts)


def trouble_line(state: State, wall: float) -> str:
    """What goes wrong: failures by kind, retries, a pause; empty where nothing does. ``wall``: Unix seconds.

    >>> state = State()
    >>> state.retries, state.paused_until, state.pause_reason = 3, 1012.0, KINDS["rate_limited"]
    >>> trouble_line(state, 1000.0)
    '3 retries  paused 12 s: the server asked for it (429)'
    """
    parts = []
    if state.failures:
        kinds = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in state.failures.most_common(3))
        parts.append(f"{state.failures.total():,} failed ({kinds})")
    if state.retries:
        parts.append(f"{state.retries:,} {'retry' if state.retries == 1 else 'retries'}")
    if state.paused_until is not None:
        parts.append(f"paused {max(0, state.paused_until - wall):.0f} s: {state.pause_reason}")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(4.2), duration(75), duration(7300)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def is_terminal(file: IO[str]) -> bool:
    """Whether a live line can be drawn: a terminal that can move its cursor."""
    return file.isatty() and os.environ.get("TERM", "") not in {"dumb", "unknown"}


class Progress:
    """Shows a run in progress on ``file``; a context manager, called with each event.

    ``running`` takes finished completions in batches, in the drawing thread, and returns the running score (None: no
    score). ``on_started`` is called in the loop's thread when asking begins: the run directory is there by then.
    """

    def __init__(
        self,
        *,
        file: IO[str] | None = None,
        terminal: bool | None = None,
        running: Callable[[list[Completion]], float | None] | None = None,
        on_started: Callable[[Started], None] | None = None,
        refresh_s: float = REFRESH_S,
        line_every_s: float = LINE_EVERY_S,
    ) -> None:
        self.file = file or sys.stderr
        self.terminal = is_terminal(self.file) if terminal is None else terminal
        self.state = State()
        self._running, self._on_started = running, on_started
        self._refresh_s, self._line_every_s = refresh_s, line_every_s
        self._pending: deque[Completion] = deque()
        self._score: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="peakbench-progress", daemon=True)
        self._live: Any = None
        self._said = (time.monotonic(), -1)

    def __call__(self, event: Event) -> None:
        """Count an event; cheap, for the loop's thread."""
        if isinstance(event, Started) and self._on_started:
            self._on_started(event)
        self.state.take(event)
        if self._running and isinstance(event, Finished):
            self._pending.append(event.completion)

    def __enter__(self) -> Progress:
        """Begin to draw."""
        if self.terminal:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self.file, highlight=False, markup=False, emoji=False, force_terminal=True)
            self._live = Live(console=console, auto_refresh=False, transient=True, get_renderable=self._renderable)
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing and take the live line away; leave one line that says what was asked."""
        self._stop.set()
        self._thread.join()
        if self._live is not None:
            self._live.stop()
        state = self.state
        if state.phase != "preparing":
            seconds = time.monotonic() - state.began
            took = duration(seconds) if seconds >= 10 else f"{seconds:.1f} s"
            failed = f", {state.failures.total():,} failed" if state.failures else ""
            self.file.write(f"{state.answered:,} answered{failed} in {took}\n")
            self.file.flush()

    def _draw(self) -> None:
        while not self._stop.wait(self._refresh_s):
            self._update_score()
            if self._live is not None:
                self._live.refresh()
            else:
                self._say_now_and_then()

    def _update_score(self) -> None:
        if self._running is None:
            return
        batch = [self._pending.popleft() for _ in range(len(self._pending))]
        if batch:
            try:
                self._score = self._running(batch)
            except Exception:
                # A running score is a courtesy. Scoring proper says what is wrong; here it only goes silent.
                self._running, self._score = None, None

    def _say_now_and_then(self) -> None:
        now, state = time.monotonic(), self.state
        tenth = 10 * state.done // state.total if state.total else 0
        since, last_tenth = self._said
        waited = now - since
        if waited >= self._line_every_s or (tenth > last_tenth >= 0 and waited >= self._line_every_s / 5):
            self._said = (now, tenth)
            lines = progress_line(state, now, score=self._score), trouble_line(state, time.time())
            self.file.write("  ".join(filter(None, lines)) + "\n")
            self.file.flush()
        elif last_tenth < 0:
            self._said = (since, tenth)

    def _renderable(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        line = Text(progress_line(self.state, time.monotonic(), score=self._score), no_wrap=True, overflow="ellipsis")
        shown: list[RenderableType] = [line]
        if self.state.total:
            grid = Table.grid(padding=(0, 1))
            grid.add_column(width=BAR)
            grid.add_column()
            grid.add_row(ProgressBar(total=self.state.total, completed=self.state.done, width=BAR), line)
            shown = [grid]
        trouble = trouble_line(self.state, time.time())
        if trouble:
            shown.append(Text(trouble, style="yellow", no_wrap=True, overflow="ellipsis"))
        return Group(*shown)


@contextmanager
def counting(what: str, *, quiet: bool = False, file: IO[str] | None = None) -> Iterator[Callable[[int], None]]:
    """Yield what is called with the number of samples done: a live count on a terminal, silence elsewhere."""
    out = file or sys.stderr
    if quiet or not is_terminal(out):
        yield lambda done: None
        return
    from rich.console import Console

    console = Console(file=out, highlight=False, markup=False, emoji=False)
    with console.status(what) as status:
        yield lambda done: status.update(f"{what}: {done:,} samples")
