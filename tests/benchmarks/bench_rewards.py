"""The reward of a training step beside the benchmark's own scoring and stickler-eval, in one run.

    pip install stickler-eval==1.0.0
    python tests/benchmarks/bench_rewards.py [--groups 448] [--rounds 7]

A step scores 128 answers: 16 prompts, eight answers each. Nine fields; 85 % of the cells are right, 5 % of the texts
are cut off and 5 % stand in a code fence, so they stay outside the gate. The steps are all different, and the reward
remembers values from one step to the next as it does in training. ``scored`` is what ``peakbench score`` does with the
same texts: parse, compare, ``weighted_score``. ``stickler`` compares what ``json.loads`` reads, with references made
outside the timing. Rounds alternate; microseconds of processor time an answer, median and worst step.
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

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bench_structured import synthetic, theirs  # noqa: E402

from peakbench.builtins import open_registry  # noqa: E402
from peakbench.metrics.base import Tools  # noqa: E402
from peakbench.parsing import parse  # noqa: E402
from peakbench.records import Prediction  # noqa: E402
from peakbench.rewards import Reward  # noqa: E402
from peakbench.scoring import Scorer  # noqa: E402

ANSWERS, STEP = 8, 128

Texts, References = list[str], list[dict[str, Any]]
Step = Callable[[], float]
"""Scores one step, and returns the sum of its rewards."""


def rollouts(groups: int) -> list[tuple[Texts, References]]:
    """Make eight answers to each prompt, 128 a step: each cell another garment's with probability 0.15."""
    references, _ = synthetic(groups)
    texts, repeated = [], []
    for reference in references:
        for _ in range(ANSWERS):
            other = random.choice(references)
            answer = {name: other[name] if random.random() < 0.15 else value for name, value in reference.items()}
            text, kind = json.dumps(answer), random.random()
            texts.append(text[:-20] if kind < 0.05 else f"```json\n{text}\n```" if kind < 0.1 else text)
            repeated.append(reference)
    return [(texts[at : at + STEP], repeated[at : at + STEP]) for at in range(0, len(texts), STEP)]


def in_batches(steps: list[tuple[Texts, References]]) -> list[Step]:
    """The reward, a step at once."""
    reward = Reward("garment")
    return [lambda one=one: sum(parts.total for parts in reward.batch(*one)) for one in steps]


def one_by_one(steps: list[tuple[Texts, References]]) -> list[Step]:
    """The reward, one call an answer."""
    reward = Reward("garment")
    return [lambda one=one: sum(reward(*pair).total for pair in zip(*one, strict=True)) for one in steps]


def scored(steps: list[tuple[Texts, References]]) -> list[Step]:
    """The benchmark's scoring of the same texts."""
    registry = open_registry()
    task = registry.task("garment")
    metrics = registry.build(["weighted_score"], task, Tools())
    scorer = Scorer(task, metrics, registry.comparators(task, Tools()), registry.nulls_of(task))
    keys = frozenset(task.keys)

    def score(texts: Texts, references: References) -> float:
        predictions = []
        for text in texts:
            parsed = parse(text, keys=keys)
            predictions.append(Prediction("", 0, parsed.state, parsed.value, parsed.problem))
        return float(scorer.score(predictions, references).scores["weighted_score"].values.sum())

    return [lambda one=one: score(*one) for one in steps]


def stickler(steps: list[tuple[Texts, References]]) -> list[Step]:
    """The overall score of stickler, of the texts that are JSON; finding those is not timed."""

    def step(texts: Texts, references: References) -> Step:
        read = [(text, truth) for text, truth in zip(texts, references, strict=True) if text[0] + text[-1] == "{}"]
        score = theirs([truth for _, truth in read])
        return lambda: score([text for text, _ in read]) * len(read)

    return [step(*one) for one in steps]


def main() -> None:
    """Time all sides, in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=448)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    steps = rollouts(options.groups)
    makers = {"a step at once": in_batches, "one by one": one_by_one, "scored": scored, "stickler": stickler}
    times: dict[str, list[float]] = {name: [] for name in makers}
    means: dict[str, float] = {}
    n = sum(len(texts) for texts, _ in steps)
    for _ in range(options.rounds):
        for name, make in list(makers.items()):
            try:
                sides = make(steps)
            except ImportError:
                print("stickler-eval is not installed: pip install stickler-eval==1.0.0")
                del makers[name], times[name]
                continue
            gc.collect()
            total = 0.0
            for (texts, _), score in zip(steps, sides, strict=True):
                start = time.process_time()
                total += score()
                times[name].append((time.process_time() - start) / len(texts) * 1e6)
            means[name] = total / n
    print(f"{len(steps)} steps of {STEP} answers, {options.rounds} rounds in turns; microseconds an answer")
    for name, spent in times.items():
        print(f"  {name:15} median {statistics.median(spent):7.1f}  worst {max(spent):7.1f}  mean {means[name]:.4f}")


if __name__ == "__main__":
    main()
