"""Timings of single requests, and the throughput of a run.

Timings come from the journal, never from a clock of this room. Unread answers count: they took their time. Answers that
came from elsewhere have none, and are unscored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from peakbench.metrics.base import Batch, MetricInfo, MetricKind, Scores
from peakbench.records import Prediction, Response

NO_TIMINGS = "no timings: the answers came from elsewhere"

_Reading = float | str
"""A value, or the reason why there is none."""


def _response(prediction: Prediction) -> Response | None:
    """Return the response where it was timed."""
    completion = prediction.completion
    response = completion.response if completion else None
    return response if response and response.latency_s > 0 else None


def _latency(response: Response) -> _Reading:
    return response.latency_s


def _ttft(response: Response) -> _Reading:
    if response.ttft_s is None:
        return "no first-token time: the answers were not streamed"
    return response.ttft_s


def _tokens_per_second(response: Response) -> _Reading:
    tokens = (response.usage or {}).get("completion_tokens")
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        return "the server reported no completion tokens"
    return tokens / response.latency_s


@dataclass(frozen=True, slots=True)
class Timing:
    """One number a request, read from its response."""

    info: MetricInfo
    reading: Callable[[Response], _Reading]
    requires: tuple[str, ...] = ()

    def score_batch(self, batch: Batch) -> Scores:
        """Read n responses; a row without the timing is unscored."""
        n = len(batch)
        values, scored = np.zeros(n), np.zeros(n, dtype=np.bool_)
        reasons: dict[int, str] = {}
        for row, prediction in enumerate(batch.predictions):
            response = _response(prediction)
            found = self.reading(response) if response else NO_TIMINGS
            if isinstance(found, str):
                reasons[row] = found
            else:
                values[row], scored[row] = found, True
        return Scores(values, scored, reasons)


@dataclass(frozen=True, slots=True)
class RunMetric:
    """One number a run, worked out from the journal by the analysis; no row has a value."""

    info: MetricInfo
    requires: tuple[str, ...] = ()

    def score_batch(self, batch: Batch) -> Scores:
        """Return n unscored rows."""
        return Scores.none(len(batch), "one number a run")


def _kind(name: str, reading: Callable[[Response], _Reading], description: str) -> MetricKind:
    return MetricKind(
        name,
        lambda info, _parameters, _setting: Timing(info, reading),
        needs=frozenset({"timings"}),
        description=description,
    )


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "throughput",
        lambda info, _parameters, _setting: RunMetric(info),
        needs=frozenset({"timings"}),
        description="samples a second of wall time, at the run's number of workers",
    ),
    _kind("latency", _latency, "seconds from sending a request to the last byte of its answer"),
    _kind("ttft", _ttft, "seconds from sending a request to its first token, where the answer was streamed"),
    _kind("tokens_per_second", _tokens_per_second, "completion tokens / latency of one request"),
)
"""What ships, in the order in which it is listed."""
