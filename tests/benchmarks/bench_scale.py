"""Peak memory and time of scoring 1,000,000 synthetic samples beside 3,500.

    python tests/benchmarks/bench_scale.py [--samples 1000000] [--metrics structured_match,weighted_score,...]

Each size runs in a process of its own, which reports its peak resident memory (ru_maxrss). Answers are made on the fly,
scored lines are written to a temporary file. Aim: 1,000,000 samples at most 150 MB above 3,500.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import orjson

from peakbench.analysis.evaluation.passes import evaluate_stream
from peakbench.builtins import open_registry
from peakbench.metrics.base import Tools
from peakbench.records import Completion, Response, Sample

AIM_MB = 150
MODEL_FREE = (
    "structured_match,field_match_rate,value_accuracy,weighted_score,valued_f1,token_set_ratio,rouge_l,levenshtein,"
    "quality_lexical,json_parse_rate,schema_valid_rate,throughput,latency,ttft,tokens_per_second"
)
VALUES = {
    "type": ["dress", "t-shirt", "jeans", "hoodie", "skirt", "shoes"],
    "color": ["navy blue", "red", "black", "white", "green", "beige"],
    "pattern": ["solid", "striped", "floral", "plaid"],
    "neckline": ["crew neck", "v-neck", None],
    "sleeve_length": ["long sleeve", "short sleeve", None],
    "closure": ["button", "zip", "pullover", None],
    "brand": [None, None, None, "Acme", "Globex"],
    "size": [None, "M", "32x34"],
    "defect_type": [None, None, None, "stain"],
}


def records(n: int) -> Iterator[tuple[Sample, list[Completion]]]:
    """Yield n samples with an answer each: 10 % of the fields wrong, 1 % not JSON, 1 % failed."""
    draw = random.Random(0)  # noqa: S311 - synthetic data
    for index in range(n):
        reference = {name: draw.choice(values) for name, values in VALUES.items()}
        answer = {n: draw.choice(VALUES[n]) if draw.random() < 0.1 else value for n, value in reference.items()}
        text = "no idea" if draw.random() < 0.01 else json.dumps(answer)
        usage = {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960}
        response = Response(text, usage=usage, latency_s=draw.uniform(0.2, 2.0), ttft_s=draw.uniform(0.05, 0.2))
        failed = draw.random() < 0.01
        completion = Completion(f"s{index}", 0, None if failed else response, started_at=float(index))
        yield Sample(f"s{index}", reference=reference, metadata={"shop": f"shop {index % 50}"}), [completion]


def measure(n: int, metrics: str) -> dict[str, float]:
    """Score n samples in this process; return seconds, MB and what was found."""
    registry = open_registry()
    task = registry.task("garment")
    tools = Tools()
    built = registry.build(metrics.split(","), task, tools)
    with tempfile.TemporaryFile() as file:
        began = time.perf_counter()
        summary = evaluate_stream(
            lambda: records(n),
            samples=lambda: (sample for sample, _ in records(n)),
            metrics=built,
            task=task,
            comparators=registry.comparators(task, tools),
            nulls=registry.nulls_of(task),
            slices=["shop"],
            workers=8,
            wall_s=n / 100,
            write_rows=lambda rows: file.writelines(orjson.dumps(row) + b"\n" for row in rows),
        )
        seconds = time.perf_counter() - began
    began = time.perf_counter()
    for _ in records(n):
        pass
    entry = summary["metrics"]["structured_match"]
    return {
        "samples": n,
        "seconds": seconds,
        "seconds_making_data": 2 * (time.perf_counter() - began),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "method": entry["method"],
        "value": entry["value"],
        "low": entry["low"],
        "high": entry["high"],
    }


def main() -> int:
    """Measure both sizes; exit 1 where the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--metrics", default=MODEL_FREE)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.metrics)))
        return 0
    found = []
    for n in (3_500, arguments.samples):
        command = [sys.executable, __file__, "--one", str(n), "--metrics", arguments.metrics]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603
        found.append(json.loads(output))
        print(json.dumps(found[-1]), flush=True)
    above = found[1]["peak_mb"] - found[0]["peak_mb"]
    print(f"{above:.0f} MB above {found[0]['samples']} samples; aim {AIM_MB}")
    return 0 if above <= AIM_MB else 1


if __name__ == "__main__":
    sys.exit(main())
