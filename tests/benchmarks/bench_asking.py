"""What asking costs: PeakBench's whole path beside bare aiohttp, on one server, in one run.

    python tests/benchmarks/bench_asking.py            # ten minutes
    python tests/benchmarks/bench_asking.py --quick    # a tenth of the images

Efficiency is ideal wall time / wall time, ideal = rounds of requests x the server's latency. Four clients take turns:

- control: aiohttp + orjson sends bodies that were encoded before the clock started, and reads the answers
- peakbench: reads each image from disk, encodes, sends, reads the answer, writes the journal; as ``peakbench run`` does
- plain: what a script does: reads each image, base64, ``session.post(json=...)``, ``response.json()``; inline
- json: the same with bodies that were built before the clock started: what ``json=`` alone costs

CPU is ``time.process_time`` (all threads) for 1,000 images. The stall is how late a task that wakes every 5 ms was at
worst: how long the loop was blocked. The machine is shared: compare within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson

from peakbench.client.base import Endpoint
from peakbench.client.opening import open_transport
from peakbench.client.wire import build_request, encode
from peakbench.images import ImageRecord, identify, load_recorded
from peakbench.records import ImageSource, Request, Sample, Sampling
from peakbench.runner import Policy, ask
from peakbench.store.journal import Journal
from peakbench.tasks import Task

TASK = Task.model_validate({"id": "bench", "prompt": {"user": "Describe the garment."}, "fields": {"type": {}}})
FILES = 200
TICK_S = 0.005


@dataclass(frozen=True)
class Cell:
    """One condition: workers, the server's latency, and how many images."""

    workers: int
    latency_ms: int
    images: int

    @property
    def ideal_s(self) -> float:
        return -(-self.images // self.workers) * self.latency_ms / 1000


CELLS = (Cell(8, 50, 2000), Cell(8, 300, 500), Cell(256, 300, 5000))
INSTANT = Cell(8, 0, 3000)


@dataclass(frozen=True)
class Figures:
    """What one client took for one cell."""

    wall_s: float
    cpu_s: float
    stall_s: float


class Photos:
    """Files of 100 KB with a JPEG's header and trailer, and samples that walk through them."""

    def __init__(self, folder: Path) -> None:
        # APP0, a frame of 512 x 512 with three components, the start of a scan: as far as a header check reads
        head = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
        head += b"\xff\xc0\x00\x11\x08\x02\x00\x02\x00\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
        head += b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00"
        for number in range(FILES):
            scan = os.urandom(100_000 - len(head) - 2).replace(b"\xff", b"\x7f")
            (folder / f"{number}.jpg").write_bytes(head + scan + b"\xff\xd9")
        self.sources = [ImageSource("path", f"{number}.jpg", base=str(folder)) for number in range(FILES)]
        self.records: list[ImageRecord] = [identify(source) for source in self.sources]

    def requests(self, count: int) -> Iterator[Request]:
        for number in range(count):
            source, record = self.sources[number % FILES], self.records[number % FILES]
            sample = Sample(f"s{number:06d}", (source,))
            image = load_recorded(source, record)
            yield build_request(TASK, sample, (image,), model="bench", sampling=Sampling())


async def peakbench(url: str, cell: Cell, photos: Photos, folder: Path) -> None:
    transport = open_transport(Endpoint(url, "bench", connections=cell.workers))
    path = folder / "responses.jsonl"
    try:
        with Journal(path) as journal:
            tally = await ask(photos.requests(cell.images), transport, journal, policy=Policy(workers=cell.workers))
    finally:
        await transport.aclose()
    assert (tally.answered, tally.failed) == (cell.images, 0), tally
    path.unlink()


async def _bare(url: str, cell: Cell, send: Callable[[aiohttp.ClientSession, str, int], Awaitable[str]]) -> None:
    numbers = iter(range(cell.images))
    answered = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        for number in numbers:
            text = await send(session, url + "/chat/completions", number)
            answered += bool(text)

    connector = aiohttp.TCPConnector(limit=cell.workers)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(work(session) for _ in range(cell.workers)))
    assert answered == cell.images


async def control(url: str, cell: Cell, photos: Photos, folder: Path) -> None:
    async def send(session: aiohttp.ClientSession, url: str, number: int) -> str:
        body = bodies[number % FILES]
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
            return orjson.loads(await response.read())["choices"][0]["message"]["content"]

    await _bare(url, cell, send)


async def plain(url: str, cell: Cell, photos: Photos, folder: Path) -> None:
    async def send(session: aiohttp.ClientSession, url: str, number: int) -> str:
        with open(photos.records[number % FILES].path or "", "rb") as file:  # noqa: ASYNC230, PTH123 - as a script does
            data = base64.b64encode(file.read()).decode()
        image = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + data}}
        content = [image, {"type": "text", "text": "Describe the garment."}]
        body = {"model": "bench", "messages": [{"role": "user", "content": content}], "temperature": 0, "seed": 0}
        async with session.post(url, json=body) as response:
            return (await response.json())["choices"][0]["message"]["content"]

    await _bare(url, cell, send)


async def built(url: str, cell: Cell, photos: Photos, folder: Path) -> None:
    async def send(session: aiohttp.ClientSession, url: str, number: int) -> str:
        async with session.post(url, json=built_bodies[number % FILES]) as response:
            return (await response.json())["choices"][0]["message"]["content"]

    await _bare(url, cell, send)


CLIENTS = {"control": control, "peakbench": peakbench, "plain": plain, "json": built}
built_bodies: list[object] = []
bodies: list[bytes] = []


async def measured(name: str, url: str, cell: Cell, photos: Photos, folder: Path) -> Figures:
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            due = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            worst = max(worst, time.perf_counter() - due)

    gc.collect()
    ticker = asyncio.create_task(tick())
    wall, cpu = time.perf_counter(), time.process_time()
    await CLIENTS[name](f"{url}/{cell.latency_ms}/v1", cell, photos, folder)
    figures = Figures(time.perf_counter() - wall, time.process_time() - cpu, worst)
    ticker.cancel()
    return figures


def row(*columns: object) -> None:
    print("".join(f"{column!s:<22}" if i == 0 else f"{column!s:>14}" for i, column in enumerate(columns)), flush=True)


def show(cell: Cell, figures: dict[str, list[Figures]]) -> None:
    medians = {name: statistics.median(run.wall_s for run in runs) for name, runs in figures.items()}
    for name, runs in figures.items():
        efficiency = f"{cell.ideal_s / medians[name]:.3f}" if cell.latency_ms else "-"
        row(
            f"{cell.workers} x {cell.latency_ms} ms" if name == next(iter(figures)) else "",
            name,
            cell.images,
            f"{medians[name]:.2f}",
            efficiency,
            f"{medians['control'] / medians[name]:.3f}",
            f"{statistics.median(run.cpu_s for run in runs) / cell.images * 1000:.3f}",
            f"{1000 * max(run.stall_s for run in runs):.0f}",
        )


def main() -> None:
    """Run all cells and print the table."""
    parser = argparse.ArgumentParser(description="Efficiency and CPU of asking, beside bare aiohttp.")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each client in each cell (the median counts)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the images")
    options = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("endpoint_server.py")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        with tempfile.TemporaryDirectory() as name:
            photos = Photos(Path(name))
            bodies.extend(encode(request, stream=False) for request in photos.requests(FILES))
            built_bodies.extend(json.loads(body) for body in bodies)
            row("cell", "client", "images", "wall s", "efficiency", "of control", "CPU s / 1,000", "stall ms")
            for cell in (*CELLS, INSTANT):
                cell = Cell(cell.workers, cell.latency_ms, cell.images // 10) if options.quick else cell
                figures: dict[str, list[Figures]] = {client: [] for client in CLIENTS}
                for _ in range(options.repeats):
                    for client, runs in figures.items():
                        runs.append(asyncio.run(measured(client, url, cell, photos, Path(name))))
                show(cell, figures)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
