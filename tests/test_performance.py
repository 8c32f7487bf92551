"""Timings read from completions, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from peakbench.metrics.base import Batch, MetricInfo, Scores, Setting, Tools
from peakbench.metrics.performance import KINDS, NO_TIMINGS
from peakbench.records import Completion, Failure, Prediction, Response
from peakbench.tasks import Task

TASK = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"a": {}}})


def scores_of(name: str, *completions: Completion | None) -> Scores:
    kind = next(kind for kind in KINDS if kind.name == name)
    info = MetricInfo(id=name, title=name, family="performance", low=0, high=None, higher_is_better=False, signature="")
    metric = kind.build(info, kind.parameters(), Setting(TASK, frozenset(), Tools()))
    predictions = [Prediction("p", 0, "strict", {}, completion=completion) for completion in completions]
    n = len(predictions)
    return metric.score_batch(Batch(predictions, [{}] * n, np.ones(n, dtype=np.bool_), None))


def timed(latency_s: float, ttft_s: float | None = None, usage: dict[str, Any] | None = None) -> Completion:
    return Completion("p", 0, Response("{}", latency_s=latency_s, ttft_s=ttft_s, usage=usage))


FROM_ELSEWHERE = Completion("p", 0, Response("{}"))


def test_latency() -> None:
    scores = scores_of("latency", timed(0.25), timed(2.0), FROM_ELSEWHERE, None)
    assert scores.values.tolist() == [0.25, 2.0, 0, 0]
    assert scores.scored.tolist() == [True, True, False, False]
    assert scores.reasons == {2: NO_TIMINGS, 3: NO_TIMINGS}


def test_ttft() -> None:
    scores = scores_of("ttft", timed(0.25, 0.0625), timed(2.0), FROM_ELSEWHERE)
    assert scores.values[0] == 0.0625
    assert scores.reasons == {1: "no first-token time: the answers were not streamed", 2: NO_TIMINGS}


def test_tokens_per_second() -> None:
    usages: list[dict[str, Any] | None] = [
        {"completion_tokens": 64, "prompt_tokens": 1000},
        {"completion_tokens": 0},
        {"completion_tokens": True},
        {"completion_tokens": "64"},
        {"completion_tokens": -1},
        {},
        None,
    ]
    scores = scores_of("tokens_per_second", *[timed(0.5, usage=usage) for usage in usages], FROM_ELSEWHERE)
    assert scores.values[:2].tolist() == [128, 0]
    assert scores.scored.tolist() == [True, True] + [False] * 6
    assert {scores.reasons[row] for row in range(2, 7)} == {"the server reported no completion tokens"}
    assert scores.reasons[7] == NO_TIMINGS


def test_a_failed_request_has_no_timing() -> None:
    failed = Completion("p", 0, None, Failure("timeout", "no answer in 120 s"))
    assert scores_of("latency", failed).reasons == {0: NO_TIMINGS}


@pytest.mark.parametrize("n", [0, 3])
def test_throughput_is_one_number_a_run(n: int) -> None:
    assert scores_of("throughput", *[timed(1.0)] * n).reasons == dict.fromkeys(range(n), "one number a run")


def test_every_kind_needs_timings() -> None:
    assert [kind.name for kind in KINDS] == ["throughput", "latency", "ttft", "tokens_per_second"]
    assert all(kind.needs == {"timings"} for kind in KINDS)
