"""What the server counts, as the text that Prometheus reads."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Histogram:
    """Counts by upper bound, with their sum, as Prometheus has them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value; one that equals a bound lies below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str = "") -> Iterator[str]:
        """Yield the lines of the text format.

        >>> histogram = Histogram((1.0, 2.0))
        >>> histogram.add(2)
        >>> list(histogram.lines("size"))[1]
        'size_bucket{le="2.0"} 1'
        """
        held = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            held += count
            yield f'{name}_bucket{{{labels}{"," if labels else ""}le="{bound}"}} {held}'
        closed = f"{{{labels}}}" if labels else ""
        yield f"{name}_count{closed} {held}"
        yield f"{name}_sum{closed} {self.total}"


class Counters:
    """Counts of one server. Every name is vLLM's, under ``peakbench_`` in place of ``vllm:``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[int] = Counter()
        self._prompt: Counter[str] = Counter()
        self._generated: Counter[str] = Counter()
        self._latency: dict[str, Histogram] = {}
        self._queued = Histogram(_SECONDS)
        self._batches = Histogram(_SIZES)

    def answered(
        self, model: str, *, finish_reasons: Sequence[str], prompt_tokens: int, tokens: int, seconds: float
    ) -> None:
        """Count a request that was answered: vLLM counts its success once a completion."""
        with self._lock:
            for reason in finish_reasons:
                self._requests[model, reason] += 1
            self._prompt[model] += prompt_tokens
            self._generated[model] += tokens
            self._latency.setdefault(model, Histogram(_SECONDS)).add(seconds)

    def refused(self, status: int) -> None:
        """Count a request that was not."""
        with self._lock:
            self._refused[status] += 1

    def batch(self, size: int, queued_s: Sequence[float]) -> None:
        """Count a batch: its completions, and how long each of its prompts had waited."""
        with self._lock:
            self._batches.add(size)
            for seconds in queued_s:
                self._queued.add(seconds)

    def text(self, *, running: int, waiting: int) -> str:
        """Return everything in the text format, version 0.0.4.

        >>> print(Counters().text(running=1, waiting=0).splitlines()[2])
        peakbench_num_requests_running 1
        """
        with self._lock:
            return "\n".join([*self._lines(running, waiting), ""])

    def _lines(self, running: int, waiting: int) -> Iterator[str]:
        yield from _metric("num_requests_running", "gauge", "Requests that the model answers.", {"": running})
        yield from _metric("num_requests_waiting", "gauge", "Requests that wait for the model.", {"": waiting})
        finished = {
            f"{_label('model_name', model)},{_label('finished_reason', reason)}": count
            for (model, reason), count in sorted(self._requests.items())
        }
        yield from _metric("request_success_total", "counter", "Completions, by why they ended.", finished)
        refused = {_label("code", str(status)): count for status, count in sorted(self._refused.items())}
        yield from _metric("request_refused_total", "counter", "Requests without an answer, by status.", refused)
        for name, help, counts in (
            ("prompt_tokens_total", "Tokens of prompts.", self._prompt),
            ("generation_tokens_total", "Tokens of completions.", self._generated),
        ):
            by_model = {_label("model_name", model): count for model, count in sorted(counts.items())}
            yield from _metric(name, "counter", help, by_model)
        name = "peakbench_e2e_request_latency_seconds"
        yield from _head(name, "histogram", "Seconds from a request to its answer.")
        for model, histogram in sorted(self._latency.items()):
            yield from histogram.lines(name, _label("model_name", model))
        for name, histogram, help in (
            ("peakbench_request_queue_time_seconds", self._queued, "Seconds that requests waited."),
            ("peakbench_batch_completions", self._batches, "Completions of a batch."),
        ):
            yield from _head(name, "histogram", help)
            yield from histogram.lines(name)


def _metric(name: str, kind: str, help: str, values: Mapping[str, int]) -> Iterator[str]:
    name = f"peakbench_{name}"
    yield from _head(name, kind, help)
    for labels, value in values.items():
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"


def _head(name: str, kind: str, help: str) -> Iterator[str]:
    yield f"# HELP {name} {help}"
    yield f"# TYPE {name} {kind}"


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'
