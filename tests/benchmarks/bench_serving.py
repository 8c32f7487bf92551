"""The server: what it costs beside the model, and how full its batches get.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_serving.py                    # a model that costs nothing
    OMP_NUM_THREADS=1 python tests/benchmarks/bench_serving.py --reader reader    # one that ships, or a folder

Clients ask one request after the other, over connections that are kept, each about an image of its own. ``cpu`` is the
CPU time of the whole process (clients, server and model) for a request; beside a model that costs nothing it is what
client and server cost. ``batch`` is the mean number of completions that were generated together.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import time
from collections.abc import Sequence
from dataclasses import replace

import orjson
import pybase64
from PIL import Image

from peakbench.client.base import Endpoint
from peakbench.client.http import AiohttpTransport
from peakbench.serving import Generation, Prompt, ServedModel, Server, Token


class Free:
    """A model that costs nothing."""

    name, context = "free", 4096

    def __init__(self) -> None:
        self._answer = [Generation(tuple(Token(0, "word ") for _ in range(20)))]

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Count nothing."""
        return 1

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        """Answer with 20 words."""
        return [self._answer for _ in prompts]


class Counted:
    """A model, and the size of its batches."""

    def __init__(self, model: ServedModel) -> None:
        self.name, self.context, self._model = model.name, model.context, model
        self.batches: list[int] = []

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt."""
        return self._model.prompt_tokens(prompt)

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        """Answer a batch."""
        self.batches.append(len(prompts))
        return self._model.generate(prompts)


def body(number: int, model: str) -> bytes:
    """A request about an image of its own."""
    image, file = Image.new("RGB", (128, 128), (number % 256, number // 256, 99)), io.BytesIO()
    image.save(file, "JPEG", quality=92)
    url = "data:image/jpeg;base64," + pybase64.b64encode(file.getvalue()).decode()
    content = [{"type": "text", "text": "Describe it."}, {"type": "image_url", "image_url": {"url": url}}]
    messages = [{"role": "user", "content": content}]
    return orjson.dumps({"model": model, "messages": messages, "temperature": 0, "max_tokens": 24})


async def ask(endpoint: Endpoint, bodies: Sequence[bytes], clients: int) -> None:
    """Ask everything with so many clients."""
    transport = AiohttpTransport(replace(endpoint, connections=clients))
    left = iter(bodies)

    async def client() -> None:
        for one in left:
            await transport.send(one, stream=False)

    try:
        await asyncio.gather(*(client() for _ in range(clients)))
    finally:
        await transport.aclose()


def main() -> None:
    """Time it and print one line for each number of clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", help="a reader that ships, or a folder")
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 16, 64])
    given = parser.parse_args()
    if given.reader:
        from peakbench.reader import open_reader
    bodies = None
    for clients in given.clients:
        model = Counted(open_reader(given.reader) if given.reader else Free())
        bodies = bodies or [body(number, model.name) for number in range(given.requests)]
        with Server(model) as server:
            asyncio.run(ask(server.endpoint(), bodies[:clients], clients))
            model.batches.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            asyncio.run(ask(server.endpoint(), bodies, clients))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        found = {
            "model": model.name,
            "clients": clients,
            "requests_per_s": round(given.requests / wall, 1),
            "cpu_ms": round(1000 * cpu / given.requests, 2),
            "batch": round(sum(model.batches) / len(model.batches), 1),
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
