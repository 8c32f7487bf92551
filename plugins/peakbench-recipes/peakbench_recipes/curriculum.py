"""From easy to hard: the order in which training meets its samples.

A curriculum is a sorting (what is easy) and a pace (how much of the sorted data is open at a time); see Hacohen and
Weinshall, "On the power of curriculum learning in training deep networks" (ICML 2019). The pace here is a staircase:
one part of the sorted samples after the other, each mixed with some of what came before.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peakbench import ConfigError, DataError

from peakbench_recipes.configuration import CurriculumConfig

LEVELS = ("easy", "medium", "hard")
"""The levels of difficulty that a sample may name in its metadata, easiest first."""


def read_difficulties(config: CurriculumConfig, ids: Sequence[str], levels: Sequence[str | None]) -> list[float]:
    """Return each sample's difficulty, in the order of ``ids``.

    By level: 0, 1, 2. By scores: 1 minus the mean score over the sample's repeats, so 0 where all were perfect; a
    sample without a score (its request failed, or the metric left it unscored) is infinitely hard and comes last.

    Raises:
        DataError: a sample without a known level, or a run in which not one of the samples has a score.
        ConfigError: the run has no scores, or has no such metric.

    >>> read_difficulties(CurriculumConfig(), ["a", "b"], ["hard", "easy"])
    [2.0, 0.0]
    """
    if config.by == "level":
        unknown = [name for name, level in zip(ids, levels, strict=True) if level not in LEVELS]
        if unknown:
            raise DataError(
                f"{len(unknown)} of {len(ids)} samples name no level, such as '{unknown[0]}'",
                expected=f"'level' in each sample's metadata: {', '.join(LEVELS)}",
                hint="or sort by the scores of a run: curriculum: {by: scores, run: RUN}",
            )
        return [float(LEVELS.index(level)) for level in levels if level is not None]
    scores = _read_scores(Path(str(config.run)), config.metric)
    found = [scores.get(name, math.nan) for name in ids]
    if all(math.isnan(score) for score in found):
        raise DataError(
            "no sample of the training data has a score in this run",
            where=str(config.run),
            expected=f"a run over the same samples, such as '{ids[0]}'" if ids else None,
        )
    return [math.inf if math.isnan(score) else 1.0 - score for score in found]


def _read_scores(path: Path, metric: str) -> dict[str, float]:
    """Return the mean score of each sample that has one."""
    file = path / "scores.jsonl" if path.is_dir() else path
    kept: defaultdict[str, list[float]] = defaultdict(list)
    names: set[str] = set()
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                _read_line(line, f"{file}:{number}", metric, kept, names)
    except OSError as error:
        raise ConfigError(
            f"the scores cannot be read: {error.strerror}",
            where=str(file),
            expected="a scored run, or its scores.jsonl",
        ) from None
    if metric not in names:
        raise ConfigError(f"no metric '{metric}' in these scores", where=str(file), expected=", ".join(sorted(names)))
    return {name: sum(values) / len(values) for name, values in kept.items()}


def _read_line(line: str, where: str, metric: str, kept: Mapping[str, list[float]], names: set[str]) -> None:
    try:
        row: dict[str, Any] = json.loads(line)
        metrics = row["metrics"]
        value = metrics[metric]["value"] if metric in metrics else None
        names.update(metrics)
        if value is not None:
            kept[row["sample_id"]].append(float(value))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            "no line of a scores.jsonl", where=where, expected=f"sample_id and metrics ({error})"
        ) from None


def training_order(
    difficulties: Sequence[float], config: CurriculumConfig | None, *, seed: int, epochs: float = 1
) -> NDArray[np.int64]:
    """Return the whole order of a training: indices of samples, ``round(len(difficulties) * epochs)`` of them.

    Without a curriculum each epoch is a shuffle of all samples. With one, the samples are sorted by difficulty (equal
    ones by chance) and cut into ``parts`` of equal size, and the training into as many stretches of equal length: a
    stretch deals the cards of its own part, and for the share ``mix`` those of all parts before. A deck is shuffled
    anew when it is used up, so within a stretch no sample of a part comes twice before each of it came once.

    The order depends on nothing but the arguments: a training that goes on after k samples skips the first k.

    >>> order = training_order([2, 0, 1, 0, 2, 1], CurriculumConfig(mix=0), seed=0)
    >>> [sorted(order[place : place + 2].tolist()) for place in (0, 2, 4)]
    [[1, 3], [2, 5], [0, 4]]
    """
    count = len(difficulties)
    total = round(count * epochs)
    chance = np.random.default_rng(seed)
    if config is None:
        return _taken(_dealt(np.arange(count), chance), total)
    shuffled = chance.permutation(count)
    by_ease = shuffled[np.argsort(np.asarray(difficulties, dtype=float)[shuffled], kind="stable")]
    parts = [part for part in np.array_split(by_ease, config.parts) if len(part)]
    stretches = np.array_split(np.empty(total, dtype=np.int64), max(1, len(parts)))
    before: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    for stretch, part in zip(stretches, parts, strict=False):
        again = round(len(stretch) * config.mix) if len(before) else 0
        from_before = chance.permutation(len(stretch)) < again
        stretch[from_before] = _taken(_dealt(before, chance), again)
        stretch[~from_before] = _taken(_dealt(part, chance), len(stretch) - again)
        before = np.concatenate([before, part])
    return np.concatenate(stretches)


def _dealt(deck: NDArray[np.int64], chance: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    while len(deck):
        yield chance.permutation(deck)


def _taken(decks: Iterator[NDArray[np.int64]], count: int) -> NDArray[np.int64]:
    taken = np.empty(count, dtype=np.int64)
    filled = 0
    while filled < count:
        deck = next(decks)[: count - filled]
        taken[filled : filled + len(deck)] = deck
        filled += len(deck)
    return taken
