"""Latencies, tokens and rates of a run, against numpy and sums by hand."""

import numpy as np
import pytest

from peakbench.analysis.evaluation.timings import Timings
from peakbench.records import Completion, Failure, Response


def completion(latency_s, *, ttft_s=None, usage=None, started_at=1.0):
    return Completion("s", 0, Response("{}", usage=usage, latency_s=latency_s, ttft_s=ttft_s), started_at=started_at)


def collected(*completions):
    timings = Timings()
    for one in completions:
        timings.add(one)
    return timings


def test_percentiles_are_numpys():
    seconds = np.random.default_rng(0).gamma(2.0, size=1000)
    found = collected(*(completion(float(s), ttft_s=float(s) / 4) for s in seconds)).summary(workers=8, wall_s=250.0)
    assert found["latency_s"] == {
        "p50": pytest.approx(np.percentile(seconds, 50)),
        "p90": pytest.approx(np.percentile(seconds, 90)),
        "p99": pytest.approx(np.percentile(seconds, 99)),
        "n": 1000,
    }
    assert found["ttft_s"]["p50"] == pytest.approx(np.percentile(seconds, 50) / 4)
    assert (found["workers"], found["wall_s"], found["samples_per_s"]) == (8, 250.0, 4.0)


def test_tokens():
    found = collected(
        completion(1.0, usage={"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 970}),
        completion(1.0, usage={"prompt_tokens": 100, "completion_tokens": 40}),
        completion(1.0),
    ).summary(workers=1, wall_s=4.0)
    assert found["tokens"] == {"prompt": 1000, "completion": 100, "total": 1110, "per_s": 25.0, "n": 2}


@pytest.mark.parametrize("odd", [-1, 1.5, "60", True, None, 10**30, [60]])
def test_a_servers_odd_counts_are_left_out(odd):
    found = collected(completion(1.0, usage={"completion_tokens": odd})).summary(workers=1, wall_s=4.0)
    assert found["tokens"] == {"prompt": None, "completion": None, "total": None, "per_s": None, "n": 0}


def test_failures_have_no_timing():
    failed = Completion("s", 0, None, Failure("timeout", ""), started_at=1.0)
    found = collected(failed, completion(2.0)).summary(workers=1, wall_s=4.0)
    assert (found["samples_per_s"], found["latency_s"]["n"]) == (0.25, 1)


def test_answers_from_elsewhere_have_no_timing():
    found = collected(completion(0.0, started_at=None)).summary(workers=8, wall_s=0.0)
    assert (found["wall_s"], found["samples_per_s"], found["latency_s"]["p50"]) == (None, None, None)


def test_why_there_is_no_rate():
    failed = Completion("s", 0, None, Failure("timeout", ""), started_at=1.0)
    assert collected(failed).untimed == collected().untimed == "nothing was answered"
    assert collected(completion(0.0, started_at=None)).untimed == "no wall time: the answers came from elsewhere"
