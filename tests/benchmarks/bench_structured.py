"""Structured scoring, parsing included, beside stickler-eval on the same nine-field pairs, in one run.

    pip install stickler-eval==1.0.0
    python tests/benchmarks/bench_structured.py [--pairs 3500] [--rounds 7] [--answers theirs.jsonl --data eval.jsonl]

Both sides get the answer as text and the reference as the object that they want (made outside the timing, a gift to
stickler, whose models take 20 us to make); both give a weighted score and a score for each field. Rounds alternate, so
that a busy machine slows both; the ratio is of the medians, in processor time and in wall time. Ours also gives
structured_match, field_match_rate, value_accuracy, valued_f1 and the outcomes. Each round begins with an empty memo.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from peakbench import parsing  # noqa: E402
from peakbench.builtins import open_registry  # noqa: E402
from peakbench.metrics.base import Batch, Tools  # noqa: E402
from peakbench.metrics.cells import CellBuilder  # noqa: E402
from peakbench.records import Prediction  # noqa: E402

IDS = ["structured_match", "field_match_rate", "value_accuracy", "weighted_score", "valued_f1"]
BATCH = 512


def synthetic(n: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Make n pairs like those of 100 photos: few values a field, many nulls, 85 % of the cells right.

    A model takes a value for one of three that look like it, so that pairs of values come again, as they do.
    """
    random.seed(0)
    tables = json.loads((ROOT / "peakbench/data/synonyms/garment.json").read_text(encoding="utf-8"))["tables"]
    values: dict[str, list[str | None]] = {
        name: list(tables[name]["groups"])[:40] for name in ("type", "color", "pattern")
    }
    values |= {name: [None, *list(tables[name]["groups"])[:12]] for name in ("neckline", "sleeve_length", "closure")}
    values["brand"] = [None] * 30 + [
        f"{a}{b}" for a in ("Nord", "Quik", "Levi", "Adi") for b in ("silver", "das", "co")
    ]
    values["size"] = [None] * 20 + ["S", "M", "L", "XL", "32x34", "EU 42"]
    values["defect_type"] = [None] * 20 + list(tables["defect_type"]["groups"])[:6]
    like = {name: {value: random.choices(choices, k=3) for value in choices} for name, choices in values.items()}
    references, answers = [], []
    for _ in range(n):
        reference = {name: random.choice(choices) for name, choices in values.items()}
        answer = {
            name: value if random.random() < 0.85 else random.choice(like[name][value])
            for name, value in reference.items()
        }
        references.append(reference)
        answers.append(json.dumps(answer))
    return references, answers


def recorded(data: Path, answers: Path, n: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Read pairs from files, repeated to n."""
    references = [json.loads(line)["reference"] for line in data.read_text(encoding="utf-8").splitlines()]
    texts = [json.loads(line)["response"] for line in answers.read_text(encoding="utf-8").splitlines()]
    times = -(-n // len(texts))
    return (references * times)[:n], (texts * times)[:n]


def ours(references: list[dict[str, Any]]) -> Callable[[list[str]], float]:
    """Return a function from answers to the mean weighted score, with a fresh memo each time."""
    registry = open_registry()
    task = registry.task("garment")
    comparators, nulls = registry.comparators(task, Tools()), registry.nulls_of(task)
    metrics = registry.build(IDS, task, Tools())
    keys = frozenset(task.keys)

    def score(texts: list[str]) -> float:
        builder = CellBuilder(task, comparators, nulls)
        total = 0.0
        for start in range(0, len(texts), BATCH):
            predictions = []
            for text in texts[start : start + BATCH]:
                parsed = parsing.parse(text, keys=keys)
                predictions.append(Prediction("", 0, parsed.state, parsed.value, parsed.problem))
            truths = references[start : start + BATCH]
            read = np.array([prediction.read for prediction in predictions])
            batch = Batch(predictions, truths, read, builder.build(predictions, truths, read))
            for metric in metrics:
                batch.scores[metric.info.id] = metric.score_batch(batch)
            total += float(batch.scores["weighted_score"].values.sum())
        return total / len(texts)

    return score


def theirs(references: list[dict[str, Any]]) -> Callable[[list[str]], float]:
    """Return the same for stickler: exact fields, a Levenshtein brand, the same weights."""
    from pydantic import create_model
    from stickler import ComparableField, ExactComparator, LevenshteinComparator, StructuredModel

    task = open_registry().task("garment")
    fields: dict[str, Any] = {}
    for name, field in task.fields.items():
        brand = name == "brand"
        fields[name] = (
            str | None,
            ComparableField(
                comparator=LevenshteinComparator() if brand else ExactComparator(),
                threshold=0.85 if brand else 1.0,
                weight=field.weight,
                default=None,
            ),
        )
    model = create_model("Garment", __base__=StructuredModel, **fields)
    truths = [model(**reference) for reference in references]

    def score(texts: list[str]) -> float:
        total = 0.0
        for truth, text in zip(truths, texts, strict=True):
            total += truth.compare_with(model(**orjson.loads(text)))["overall_score"]
        return total / len(texts)

    return score


def main() -> None:
    """Time both sides, in turns, and print microseconds a pair and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--answers", type=Path)
    options = parser.parse_args()
    given = options.data is not None and options.answers is not None
    references, texts = recorded(options.data, options.answers, options.pairs) if given else synthetic(options.pairs)
    sides = {"peakbench": ours(references)}
    try:
        sides["stickler"] = theirs(references)
    except ImportError:
        print("stickler-eval is not installed: pip install stickler-eval==1.0.0")
    walls: dict[str, list[float]] = {name: [] for name in sides}
    times: dict[str, list[float]] = {name: [] for name in sides}
    means: dict[str, float] = {}
    gc.collect()
    gc.freeze()  # what was made before the rounds is not walked in them, whichever side made it
    for _ in range(options.rounds):
        for name, score in sides.items():
            wall, start = time.perf_counter(), time.process_time()
            means[name] = score(texts)
            times[name].append((time.process_time() - start) / len(texts) * 1e6)
            walls[name].append((time.perf_counter() - wall) / len(texts) * 1e6)
    print(f"{len(texts)} pairs of nine fields, {options.rounds} rounds in turns; microseconds a pair, parsing included")
    for name in sides:
        wall, cpu = statistics.median(walls[name]), statistics.median(times[name])
        print(f"  {name:10} wall {wall:7.2f}  processor {cpu:7.2f}  mean score {means[name]:.4f}")
    if "stickler" in sides:
        ratios = [statistics.median(one["stickler"]) / statistics.median(one["peakbench"]) for one in (walls, times)]
        print(f"  ratio      wall {ratios[0]:7.1f}  processor {ratios[1]:7.1f}")


if __name__ == "__main__":
    main()
