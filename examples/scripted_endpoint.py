"""A test of a client against a server that refuses and fails: python -m pytest examples/scripted_endpoint.py

The client here is PeakBench; any other works the same way, given ``server.url``.
"""

from pathlib import Path

import peakbench as pb
from peakbench.testing import Asked, Reply, ScriptedEndpoint, first

ANSWER = '{"type": "t-shirt", "color": "red", "pattern": "solid", "brand": null}'
SAMPLES = 4


def busy_then_broken(asked: Asked) -> Reply | None:
    """Each request: 429 with Retry-After, then 500, then an answer."""
    troubles = [Reply("too many requests", status=429, retry_after=0.05), Reply("out of memory", status=500)]
    return troubles[asked.turn] if asked.turn < len(troubles) else None


def test_retries_until_answered(tmp_path: Path) -> None:
    with ScriptedEndpoint(ANSWER, faults=[busy_then_broken]) as server:
        run = pb.run(endpoint=server.url, model="any", limit=SAMPLES, out=tmp_path / "run", resamples=100)
    assert run.summary["samples"]["failed"] == 0
    assert server.requests == 3 * SAMPLES


def test_failed_is_not_zero(tmp_path: Path) -> None:
    with ScriptedEndpoint(ANSWER, faults=[lambda asked: Reply(status=500) if asked.number == 0 else None]) as server:
        run = pb.run(endpoint=server.url, model="any", limit=SAMPLES, retries=0, out=tmp_path / "run", resamples=100)
        samples, score = run.summary["samples"], run.summary["metrics"]["weighted_score"]
        assert (samples["answers"], samples["failed"], score["n"]) == (SAMPLES, 1, SAMPLES - 1)

        again = pb.run(
            endpoint=server.url, model="any", limit=SAMPLES, out=tmp_path / "run", resume=True, resamples=100
        )
    assert again.summary["samples"]["failed"] == 0
    assert server.requests == SAMPLES + 1  # only the failed one was asked again


def test_a_slow_stream_has_a_first_token(tmp_path: Path) -> None:
    with ScriptedEndpoint(Reply(ANSWER, chunk_s=0.01)) as server:
        run = pb.run(endpoint=server.url, model="any", limit=1, stream=True, out=tmp_path / "run", resamples=100)
    performance = run.summary["performance"]
    assert 0 < performance["ttft_s"]["p50"] < performance["latency_s"]["p50"]


def test_a_retry_succeeds(tmp_path: Path) -> None:
    with ScriptedEndpoint(ANSWER, faults=[first(1, Reply(drop=True))]) as server:
        run = pb.run(endpoint=server.url, model="any", limit=1, out=tmp_path / "run", resamples=100)
    assert run.sample("g01").completions[0].attempts == 2
