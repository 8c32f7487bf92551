"""Killed clients, killed servers, Ctrl-C: no finished answer is lost, none is asked twice, resuming completes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peakbench.client.base import Endpoint
from peakbench.client.opening import open_transport
from peakbench.errors import EndpointGone
from peakbench.records import Request
from peakbench.runner import Policy, Tally, ask
from peakbench.store import JournalIndex, RunDirectory
from peakbench.store.journal import Journal
from peakbench.testing import ScriptedEndpoint

REPEATS, SAMPLES = 40, 24  # of the data set inside the package; so many that a slow kill still comes before the end

CLIENT = f"""
import sys
import peakbench as pb
from pathlib import Path
from typing import Any
data = str(Path(pb.__file__).parent / "data" / "demo" / "samples.jsonl")
pb.run(data, endpoint=sys.argv[1], model="m", out=sys.argv[2], resume=True, repeats={REPEATS}, resamples=10)
"""


@contextlib.contextmanager
def client(url: str, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The whole of PeakBench in a process of its own; it is killed at the end where it still runs."""
    command = [sys.executable, "-c", CLIENT, url, str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OPENAI_API_KEY": "none"}) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_answers(out: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    path = out / "responses.jsonl"
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def answered(path: Path) -> Counter[tuple[str, int]]:
    """How many answers stand in the journal for each (sample, repeat)."""
    found: Counter[tuple[str, int]] = Counter()
    for line in path.read_bytes().splitlines():
        value = json.loads(line)
        if value["error"] is None:
            found[value["sample_id"], value["repeat"]] += 1
    return found


def test_kill_9_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    rng, out = random.Random(0), tmp_path / "run"
    path, total, workers = out / "responses.jsonl", SAMPLES * REPEATS, 8
    before, kills = b"", 3
    with ScriptedEndpoint('{"type": "dress"}', latency_s=0.02) as server:
        for kill in range(kills):
            with client(server.url, out) as process:
                wait_for_answers(out, before.count(b"\n") + 1 + rng.randrange(40), process)
                time.sleep(rng.random() * 0.02)
                process.kill()
                process.wait()
            after = path.read_bytes()
            assert after.startswith(before)  # nothing that was there is gone
            assert after.count(b"\n") > before.count(b"\n")
            assert not (out / "summary.json").exists()
            assert set(answered(path).values()) == {1}
            before = after[: after.rfind(b"\n") + 1]
            if kill % 2:  # as a crash of the machine may leave it
                path.write_bytes(before + b'{"sample_id":"garment-01","repeat":0,"request_sha256":"ab')
        with client(server.url, out) as process:
            assert process.stderr is not None
            problems = process.stderr.read().decode()
            assert process.wait() == 0, problems
        assert server.requests <= total + kills * workers  # only what was in flight is asked again
    assert path.read_bytes().startswith(before)
    assert len(answered(path)) == total
    assert set(answered(path).values()) == {1}
    directory = RunDirectory.open(out)
    index = directory.index()
    assert all(index.answered(sample.id, repeat) for sample in directory.samples() for repeat in range(REPEATS))
    index.close()
    summary = directory.summary()
    assert summary is not None
    assert (summary["samples"]["answers"], summary["samples"]["failed"]) == (total, 0)
    sessions = directory.run.sessions
    assert len(sessions) == kills + 1
    walls = [session.wall_s or 0.0 for session in sessions]
    assert all(0 < wall < 60 for wall in walls)  # the killed ones were settled from the journal
    assert directory.wall_s() == pytest.approx(sum(walls))
    assert directory.wall_s() >= 0.02 * total / workers


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with ScriptedEndpoint('{"type": "dress"}', latency_s=0.03) as server:
        with client(server.url, out) as process:
            wait_for_answers(out, 20, process)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) != 0
            assert process.stderr is not None
            said = process.stderr.read().decode()
        assert "KeyboardInterrupt" in said
        assert "never retrieved" not in said
        assert "destroyed" not in said
        content = (out / "responses.jsonl").read_bytes()
        assert content.endswith(b"\n")
        assert 20 <= content.count(b"\n") < SAMPLES * REPEATS
        (session,) = RunDirectory.open(out).run.sessions
        assert session.wall_s is not None  # it ended, it was not cut off
        with client(server.url, out) as process:
            assert process.wait(60) == 0
    assert len(answered(out / "responses.jsonl")) == SAMPLES * REPEATS


# A server that dies

SERVER = """
import asyncio, json, sys
BODY = json.dumps({"object": "chat.completion", "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}]}).encode()
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(0.01)
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\n")
            writer.write(b"Content-Length: %d\\r\\n\\r\\n" % len(BODY) + BODY)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print("up", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


class Server:
    """A server on a port of its own that can be killed and started again."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER, str(self.port)], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.kill()


async def ask_the_rest(server: Server, path: Path, n: int, **policy: Any) -> Tally:
    index = JournalIndex(path)
    rest = (
        Request(f"s{number}", 0, {"model": "m", "messages": []}, ())
        for number in range(n)
        if not index.answered(f"s{number}", 0)
    )
    transport = open_transport(Endpoint(f"http://127.0.0.1:{server.port}/v1", "m"))
    try:
        with Journal(path) as journal:
            return await ask(
                rest, transport, journal, policy=Policy(backoff_s=0.01, backoff_cap_s=0.2, seed=0, **policy)
            )
    finally:
        index.close()
        await transport.aclose()


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def test_a_server_that_restarts_in_time_costs_nothing(server: Server, tmp_path: Path) -> None:
    path, n = tmp_path / "responses.jsonl", 600
    asking = asyncio.create_task(ask_the_rest(server, path, n, patience_s=30.0))
    await asyncio.to_thread(wait_for_lines, path, 100)
    server.kill()
    await asyncio.sleep(1.0)
    await asyncio.to_thread(server.start)
    tally = await asyncio.wait_for(asking, 60)
    assert (tally.answered, tally.failed) == (n, 0)
    assert answered(path) == Counter({(f"s{number}", 0): 1 for number in range(n)})


async def test_a_server_that_is_gone_ends_the_run_and_resuming_completes_it(server: Server, tmp_path: Path) -> None:
    path, n = tmp_path / "responses.jsonl", 400
    asking = asyncio.create_task(ask_the_rest(server, path, n, patience_s=0.3))
    await asyncio.to_thread(wait_for_lines, path, 100)
    server.kill()
    with pytest.raises(EndpointGone, match="not there"):
        await asyncio.wait_for(asking, 60)
    kept = path.read_bytes()
    assert kept.endswith(b"\n")
    assert sum(answered(path).values()) >= 100
    await asyncio.to_thread(server.start)
    tally = await ask_the_rest(server, path, n)
    assert path.read_bytes().startswith(kept)
    assert tally.answered + sum(answered_in(kept).values()) == n
    assert answered(path) == Counter({(f"s{number}", 0): 1 for number in range(n)})


def answered_in(content: bytes) -> Counter[tuple[str, int]]:
    lines = [json.loads(line) for line in content.splitlines()]
    return Counter((line["sample_id"], line["repeat"]) for line in lines if line["error"] is None)
