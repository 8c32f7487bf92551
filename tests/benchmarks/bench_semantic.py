"""SBERT by value beside the plain way, and the memory of kept vectors, each in one run.

    peakbench weights fetch all-mpnet-base-v2
    PEAKBENCH_THREADS=1 OMP_NUM_THREADS=1 python tests/benchmarks/bench_semantic.py [--pairs 3500] [--slice 60]
    python tests/benchmarks/bench_semantic.py --strings 1000000    # the cache alone, with a fast encoder of width 768

The plain way encodes both strings of every value that a pair has on both sides, pair by pair, as a script does with one
``model.encode`` a pair. It is timed over a slice of the pairs and multiplied; the table says so. Ours scores all pairs,
first with an empty cache, then again with the vectors kept. Loading the model is in neither, and told apart. Memory is
the peak of a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

from bench_structured import BATCH, synthetic  # noqa: E402

from peakbench.backends.encoder import MODEL, load_sentence_transformer, open_encoder  # noqa: E402
from peakbench.backends.vectors import VARIABLE, CachedEncoder, VectorCache  # noqa: E402
from peakbench.backends.weights import folder  # noqa: E402
from peakbench.builtins import open_registry  # noqa: E402
from peakbench.metrics.base import Batch, Encoder, Tools  # noqa: E402
from peakbench.metrics.cells import CellBuilder  # noqa: E402
from peakbench.records import Prediction  # noqa: E402
from peakbench.values import is_null, text_form  # noqa: E402


class Clock:
    """Wall and processor seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Return both."""
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


def ours(references: list[dict[str, Any]], answers: list[dict[str, Any]], encoder: Encoder) -> np.ndarray:
    """Score every pair with sbert, as a run does: in batches, every distinct string once."""
    registry = open_registry()
    task, tools = registry.task("garment"), Tools(encoder)
    builder = CellBuilder(task, registry.comparators(task, tools), registry.nulls_of(task))
    (metric,) = registry.build(["sbert"], task, tools)
    found = []
    for start in range(0, len(answers), BATCH):
        predictions = [Prediction("", 0, "strict", answer) for answer in answers[start : start + BATCH]]
        truths, read = references[start : start + BATCH], np.ones(len(predictions), dtype=np.bool_)
        batch = Batch(predictions, truths, read, builder.build(predictions, truths, read))
        found.append(metric.score_batch(batch).values)
    return np.concatenate(found)


def plain(references: list[dict[str, Any]], answers: list[dict[str, Any]], model: Any, nulls: Any) -> np.ndarray:
    """Score every pair as a script does: encode both strings of each value, one call a pair."""
    found = []
    for reference, answer in zip(references, answers, strict=True):
        kept = [
            (text_form(reference[name]), text_form(answer[name]))
            for name in reference
            if not (is_null(reference[name], nulls) or is_null(answer[name], nulls))
        ]
        omitted = sum(is_null(reference[name], nulls) != is_null(answer[name], nulls) for name in reference)
        texts = [text for pair in kept for text in pair]
        if not texts:
            found.append(0.0 if omitted else 1.0)
            continue
        vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        cosines = np.clip(np.einsum("ij,ij->i", vectors[::2], vectors[1::2]), 0, 1)
        found.append(float(cosines.sum()) / (len(kept) + omitted))
    return np.array(found)


def compare(pairs: int, part: int) -> None:
    """Print both ways over the same pairs."""
    references, texts = synthetic(pairs)
    answers = [json.loads(text) for text in texts]
    with tempfile.TemporaryDirectory() as place:
        os.environ[VARIABLE] = str(Path(place) / "vectors.sqlite")
        clock = Clock()
        encoder = open_encoder()
        encoder.encode(["a string to load the model"])
        load = clock.read()
        clock = Clock()
        values = ours(references, answers, encoder)
        first = clock.read()
        clock = Clock()
        again = ours(references, answers, open_encoder())
        second = clock.read()
    model = load_sentence_transformer(folder(MODEL))
    registry = open_registry()
    nulls = registry.nulls_of(registry.task("garment"))
    clock = Clock()
    theirs = plain(references[:part], answers[:part], model, nulls)
    wall, cpu = (seconds * pairs / part for seconds in clock.read())
    assert np.allclose(values, again)
    unique = {text_form(value) for one in (*references, *answers) for value in one.values() if value is not None}
    count = sum(value is not None for one in (*references, *answers) for value in one.values())
    print(f"{pairs} pairs of nine fields: {count} values, {len(unique)} distinct; seconds")
    print(f"  loading, import included      wall {load[0]:8.1f}  processor {load[1]:8.1f}")
    print(f"  plain, {part} pairs x {pairs / part:.0f}       wall {wall:8.1f}  processor {cpu:8.1f}")
    print(f"  peakbench, nothing kept       wall {first[0]:8.1f}  processor {first[1]:8.1f}")
    print(f"  peakbench, vectors kept       wall {second[0]:8.1f}  processor {second[1]:8.1f}")
    print(f"  ratio of processor time       {cpu / first[1]:.0f}, and {cpu / second[1]:.0f} with vectors kept")
    print(f"  greatest difference of a pair {np.abs(theirs - values[:part]).max():.1e}")


class Fast:
    """Unit vectors of width 768 at no cost to speak of."""

    identity = "fast@0"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Return one row a text: the same for the same text."""
        rows = np.zeros((len(texts), 768), dtype=np.float32)
        for row, text in enumerate(texts):
            number = int(text.rpartition(" ")[2])
            rows[row, number % 768] = 0.6
            rows[row, (number // 768 + number + 1) % 768] += 0.8
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def peak() -> float:
    """Return the most memory that this process had, in MB; getrusage would count what its parent had at the fork."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory_of_strings(strings: int) -> None:
    """Print the peak of a process that scores as many distinct strings through the cache."""
    with tempfile.TemporaryDirectory() as place:
        cache = VectorCache(Path(place) / "vectors.sqlite")
        encoder = CachedEncoder(Fast(), cache)
        registry = open_registry()
        task, tools = registry.task("garment"), Tools(encoder)
        builder = CellBuilder(task, registry.comparators(task, tools), registry.nulls_of(task))
        (metric,) = registry.build(["sbert"], task, tools)
        clock, before = Clock(), peak()
        for start in range(0, strings, 2 * BATCH):
            numbers = range(start, min(start + 2 * BATCH, strings), 2)
            truths = [{"brand": f"name {number}"} for number in numbers]
            predictions = [Prediction("", 0, "strict", {"brand": f"name {number + 1}"}) for number in numbers]
            read = np.ones(len(truths), dtype=np.bool_)
            metric.score_batch(Batch(predictions, truths, read, builder.build(predictions, truths, read)))
        wall, cpu = clock.read()
        size = cache.path.stat().st_size / (1 << 20)
    print(
        f"{strings} distinct strings of width 768, scored in batches of {BATCH}: {wall:.0f} s, {cpu:.0f} of processor"
    )
    print(f"  peak memory {peak():.0f} MB ({before:.0f} before the first); the file {size:.0f} MB of 512")


def memory_of_sbert() -> None:
    """Print the peak of a process that loads the model and scores values, and of one that finds all vectors kept."""
    with tempfile.TemporaryDirectory() as place:
        environment = os.environ | {VARIABLE: str(Path(place) / "vectors.sqlite")}
        for name in ("loaded", "every vector kept"):
            command = [sys.executable, __file__, "--sbert"]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            print(f"  peak memory, sbert over 3,500 pairs, {name}: {done.stdout.strip()} MB")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3500)
    parser.add_argument("--slice", type=int, default=60)
    parser.add_argument("--strings", type=int)
    parser.add_argument("--sbert", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sbert:
        references, texts = synthetic(3500)
        ours(references, [json.loads(text) for text in texts], open_encoder())
        print(f"{peak():.0f}")
    elif options.strings:
        memory_of_strings(options.strings)
    else:
        compare(options.pairs, options.slice)
        memory_of_sbert()


if __name__ == "__main__":
    main()
