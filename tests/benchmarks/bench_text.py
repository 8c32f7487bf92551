"""The CPU of the lexical text metrics against the reference libraries: python tests/benchmarks/bench_text.py

3,500 pairs of nine-field answers (values drawn from the garment task's vocabularies, seeded; brand and size free), and
1,000 pairs of free texts of about 100 characters. "libraries": rapidfuzz, rouge-score and sacrebleu called value pair
by value pair, the scorer objects made once. "ours": the metric kinds, batches of 500 answers, nothing remembered from
a run before. CPU seconds, best of three, imports not counted. The numbers of both must be the same.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from peakbench.metrics.base import Batch, Cells, Floats, MetricInfo
from peakbench.metrics.text import KINDS
from peakbench.records import Prediction
from peakbench.values import text_form

BATCH = 500
Row = list[tuple[str | None, str | None]]
COLORS = [f"{shade} {hue}" for shade in ("", "navy", "dark", "light", "pale") for hue in
          ("blue", "red", "green", "grey", "black", "white", "beige", "pink", "brown", "yellow")]  # fmt: skip
FIELDS: list[list[str]] = [
    ["t-shirt", "dress", "jeans", "long sleeve shirt", "hoodie", "skirt", "coat", "slippers", "nightgown", "shorts"],
    [color.strip() for color in COLORS],
    ["solid", "striped", "floral", "graphic print", "plaid", "polka dot", "animal print"],
    ["crew neck", "v-neck", "collared", "turtleneck", "scoop neck", "off-the-shoulder"],
    ["short sleeve", "long sleeve", "sleeveless", "three-quarter sleeve"],
    ["pullover", "button-up", "full zip", "half zip", "lace-up", "velcro"],
    [first + last for first in ("nor", "al", "ver", "can", "ma") for last in ("dic", "ta", "vane", "rino & co.")],
    ["xs", "s", "m", "l", "xl", "32x34", "10 (uk)", "eu 42"],
    ["hole", "stain near the collar", "missing button", "faded", "loose thread"],
]  # fmt: skip
SENTENCES = (
    "the a garment shown is navy blue cotton t-shirt with short sleeves, crew neck and small logo on chest; it has "
    "no visible defects, though fabric looks slightly worn near left cuff. label reads 100% organic size m/l"
)


def fields(rng: random.Random) -> list[Row]:
    """3,500 answers: three values of four right, one of three null."""
    rows = []
    for _ in range(3500):
        row: Row = []
        for values in FIELDS:
            reference = None if rng.random() < 1 / 3 else rng.choice(values)
            prediction = reference if rng.random() < 3 / 4 else rng.choice([*values, None])
            row.append((reference, prediction))
        rows.append(row)
    return rows


def texts(rng: random.Random) -> list[tuple[str, str]]:
    """1,000 descriptions of about 100 characters, a third of the words changed."""
    known = SENTENCES.split()
    pairs = []
    for _ in range(1000):
        words = [rng.choice(known) for _ in range(18)]
        pairs.append((" ".join(words), " ".join(w if rng.random() < 2 / 3 else rng.choice(known) for w in words)))
    return pairs


def cpu(function: Callable[[], Floats]) -> tuple[float, Floats]:
    """CPU seconds, best of three, and the result."""
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        result = function()
        best = min(best, time.process_time() - begin)
    return best, result


def libraries() -> dict[str, Callable[[str, str], float]]:
    """Make each metric as one call of its library."""
    chrf, bleu, rouge = CHRF(word_order=2), BLEU(effective_order=True), RougeScorer(["rougeL"])
    return {
        "token_set_ratio": lambda r, p: fuzz.token_set_ratio(r, p) / 100,
        "rouge_l": lambda r, p: rouge.score(r, p)["rougeL"].fmeasure,
        "chrf": lambda r, p: chrf.sentence_score(p, [r]).score / 100,
        "bleu": lambda r, p: min(1.0, bleu.sentence_score(p, [r]).score / 100),
        "levenshtein": Levenshtein.normalized_similarity,
    }


def by_value(rows: list[Row], one: Callable[[str, str], float]) -> Floats:
    """The definition, written out: the mean over fields with a value."""
    means = []
    for row in rows:
        scores = []
        for reference, prediction in row:
            if reference is not None and prediction is not None:
                scores.append(
                    1.0 if reference == prediction and not reference.isascii() else one(reference, prediction)
                )
            elif reference is not None or prediction is not None:
                scores.append(0.0)
        means.append(sum(scores) / len(scores) if scores else 1.0)
    return np.array(means)


def cells(rows: list[Row]) -> Cells:
    """What every metric shares, made once a batch by the structured metrics' room."""
    seen: dict[tuple[str, str], int] = {}
    pairs = np.full((len(rows), len(FIELDS)), -2, dtype=np.int64)
    for i, row in enumerate(rows):
        for j, (reference, prediction) in enumerate(row):
            if reference is not None and prediction is not None:
                pairs[i, j] = seen.setdefault((reference, prediction), len(seen))
            elif reference is not None or prediction is not None:
                pairs[i, j] = -1
    ones, zeros = np.ones(pairs.shape, dtype=np.bool_), np.zeros(pairs.shape)
    names = tuple("abcdefghi")
    return Cells(names, np.ones(9), ones, ones, zeros.astype(np.int8), zeros, zeros, pairs, list(seen))


def report(
    title: str, size: int, batches: list[Batch], theirs: Callable[[Callable[[str, str], float]], Floats]
) -> None:
    """Print one table."""
    print(f"\n{title}: CPU microseconds a pair\n{'':18}{'libraries':>12}{'ours':>10}{'ratio':>8}  largest difference")
    whole = [0.0, 0.0]
    for kind in KINDS:
        info = MetricInfo(
            id=kind.name, title="", family="text", low=0, high=1, higher_is_better=True, signature=kind.name
        )

        def ours(kind=kind, info=info) -> Floats:  # type: ignore[no-untyped-def]
            metric = kind.build(info, kind.parameters(), None)  # type: ignore[arg-type]
            return np.concatenate([metric.score_batch(batch).values for batch in batches])

        def reference(kind=kind) -> Floats:  # type: ignore[no-untyped-def]
            return theirs(libraries()[kind.name])

        (slow, expected), (fast, found) = cpu(reference), cpu(ours)
        whole[0] += slow
        whole[1] += fast
        difference = np.abs(expected - found).max()
        print(f"{kind.name:18}{slow / size * 1e6:12.2f}{fast / size * 1e6:10.2f}{fast / slow:8.2f}  {difference:.1e}")
    print(f"{'all five':18}{whole[0] / size * 1e6:12.2f}{whole[1] / size * 1e6:10.2f}{whole[1] / whole[0]:8.2f}")


def main() -> None:
    """Print both tables."""
    rng = random.Random(0)
    rows = fields(rng)
    parts = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
    empty = [Prediction("", 0, "strict", {})] * BATCH
    batches = [Batch(empty[: len(p)], [{}] * len(p), np.ones(len(p), dtype=np.bool_), cells(p)) for p in parts]
    report("3,500 nine-field answers", len(rows), batches, lambda one: by_value(rows, one))

    pairs = texts(rng)
    folded = [(text_form(r), text_form(p)) for r, p in pairs]
    length = sum(len(r) + len(p) for r, p in pairs) / 2 / len(pairs)
    halves = [pairs[i : i + BATCH] for i in range(0, len(pairs), BATCH)]
    batches = [
        Batch(
            [Prediction("", 0, "text", p) for _, p in half],
            [r for r, _ in half],
            np.ones(len(half), dtype=np.bool_),
            None,
        )
        for half in halves
    ]
    report(
        f"1,000 free texts of {length:.0f} characters",
        len(pairs),
        batches,
        lambda one: np.array([one(r, p) for r, p in folded]),
    )


if __name__ == "__main__":
    main()
