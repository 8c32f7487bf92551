"""Measure what cosines are worth over the garment vocabulary; write the mapping and the tables of calibration.md.

    PEAKBENCH_THREADS=1 python docs/calibration.py     # needs: peakbench weights fetch all-mpnet-base-v2

Labelled pairs: peakbench/data/calibration/garment_pairs.json. A table stands in the page between
``<!-- measured: NAME -->`` and ``<!-- end -->``. tests/test_calibration.py measures again where the weights are.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # the checkout, where it is not installed

from peakbench.backends.encoder import MODEL, OnnxEncoder, TorchEncoder, open_encoder  # noqa: E402
from peakbench.backends.weights import folder  # noqa: E402
from peakbench.metrics.base import Encoder, Floats  # noqa: E402
from peakbench.metrics.calibration import Calibration, Pair, fit, shipped_pairs  # noqa: E402
from peakbench.values import text_form  # noqa: E402

PAGE = FOLDER / "calibration.md"
MAPPING = FOLDER.parent / "peakbench" / "data" / "calibration" / "garment.json"
MARK = re.compile(r"(?P<open><!-- measured: (?P<name>[a-z-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
LABELS = ("same", "synonym", "different")
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
BLIND = [
    ("color", "blue", "red"),
    ("color", "black", "white"),
    ("color", "light gray", "dark gray"),
    ("sleeve_length", "long sleeve", "short sleeve"),
    ("pattern", "horizontal stripes", "vertical stripes"),
    ("neckline", "crew neck", "v-neck"),
    ("type", "sweater", "sweatshirt"),
    ("color", "navy blue", "navy"),
    ("type", "t-shirt", "tee"),
    ("type", "gilet", "body warmer"),
    ("closure", "velcro", "hook and loop"),
    ("pattern", "solid", "plain"),
]
FOLDS, REPEATS = 10, 20


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cosines(encoder: Encoder, pairs: Sequence[Pair]) -> Floats:
    """Return the cosine of each pair, shape (n,), clipped to [0, 1]."""
    vectors = encoder.encode([text_form(text) for pair in pairs for text in (pair.first, pair.second)])
    return np.clip(np.einsum("ij,ij->i", vectors[::2], vectors[1::2], dtype=np.float64), 0, 1)


def cross_validated(values: Floats, alike: Floats, predict: Callable[[Floats, Floats, Floats], Floats]) -> Floats:
    """Return what ``predict(train, labels, test)`` says of each pair while it is held out, shape (repeats, n)."""
    found = np.empty((REPEATS, len(values)))
    for repeat in range(REPEATS):
        order = np.random.default_rng(repeat).permutation(len(values))
        for test in np.array_split(order, FOLDS):
            train = np.setdiff1d(order, test)
            found[repeat, test] = predict(values[train], alike[train], values[test])
    return found


def best_threshold(values: Floats, alike: Floats) -> float:
    """Return the cosine from which passing is right most often, both kinds of error weighed alike."""
    places = np.unique(values)
    balanced = [(values[alike == 1] >= one).mean() + (values[alike == 0] < one).mean() for one in places]
    return float(places[int(np.argmax(balanced))])


def by_label(values: Floats, pairs: Sequence[Pair]) -> str:
    """Quantiles of the cosines, all fields together and the middle of each."""
    labels = np.array([pair.label for pair in pairs])
    rows = []
    for label in LABELS:
        mine = values[labels == label]
        rows.append([label, str(len(mine)), *(f"{one:.2f}" for one in np.quantile(mine, QUANTILES))])
    first = table(["label", "pairs", *(f"{one:.0%}" for one in QUANTILES)], rows)
    fields = list(dict.fromkeys(pair.field for pair in pairs))
    owners = np.array([pair.field for pair in pairs])
    middles = [
        [f"`{field}`", *(f"{np.median(values[(labels == label) & (owners == field)]):.2f}" for label in LABELS)]
        for field in fields
    ]
    return f"{first}\n\n{table(['median by field', *LABELS], middles)}"


def blind(values: Floats, pairs: Sequence[Pair], mapping: Calibration) -> str:
    """Pairs that everybody meets, with both readings."""
    places = {(pair.field, pair.first, pair.second): index for index, pair in enumerate(pairs)}
    rows = []
    for field, first, second in BLIND:
        index = places[field, first, second]
        worth = float(mapping.apply(values[index]))
        rows.append([f"{first} / {second}", pairs[index].label, f"{values[index]:.3f}", f"{worth:.2f}"])
    return table(["pair", "label", "cosine", "calibrated"], rows)


def thresholds(values: Floats, alike: Floats) -> str:
    """What passes, and how often that is right, at each pass mark."""
    rows = []
    for mark in np.arange(0.5, 0.96, 0.05):
        right, wrong = (values[alike == 1] >= mark).mean(), (values[alike == 0] >= mark).mean()
        rows.append(
            [
                f"{mark:.2f}",
                f"{((values >= mark) == (alike == 1)).mean():.2f}",
                f"{(right + 1 - wrong) / 2:.2f}",
                f"{right:.2f}",
                f"{wrong:.2f}",
            ]
        )
    columns = ["pass mark", "right", "balanced", "same or synonym that pass", "different that pass"]
    return table(columns, rows)


def held_out(values: Floats, alike: Floats, model: str) -> str:
    """Errors on pairs that the fit has not seen, beside the plain cosine and no encoder at all."""

    def share(train: Floats, labels: Floats, test: Floats) -> Floats:
        return np.full(len(test), labels.mean())

    def plain(train: Floats, labels: Floats, test: Floats) -> Floats:
        return test

    def isotonic(train: Floats, labels: Floats, test: Floats) -> Floats:
        return fit(train, labels, model).apply(test)

    def threshold(train: Floats, labels: Floats, test: Floats) -> Floats:
        return (test >= best_threshold(train, labels)).astype(np.float64)

    rows = []
    for name, predict in {
        "always the share of alike pairs": share,
        "the cosine itself": plain,
        "isotonic mapping": isotonic,
        "best threshold": threshold,
    }.items():
        found = cross_validated(values, alike, predict)
        brier = float(((found - alike) ** 2).mean())
        right = float(((found >= 0.5) == (alike == 1)).mean())
        bias = float(np.abs(found.mean(axis=1) - alike.mean()).mean())
        rows.append([name, f"{brier:.3f}", f"{bias:.3f}", f"{right:.2f}"])
    return table(["reading", "Brier score", "error of the mean", "right from 0.5"], rows)


def knots(mapping: Calibration) -> str:
    """The mapping, at round cosines."""
    places = np.arange(0.1, 1.01, 0.1)
    rows = [["calibrated", *(f"{one:.2f}" for one in mapping.apply(places))]]
    return table(["cosine", *(f"{one:.1f}" for one in places)], rows)


def sections(encoder: Encoder) -> tuple[dict[str, str], Calibration]:
    """Return the tables that any machine measures alike, by name, and the mapping."""
    pairs = shipped_pairs()
    values, alike = cosines(encoder, pairs), np.array([float(pair.alike) for pair in pairs])
    mapping = fit(values, alike, encoder.identity)
    return {
        "labels": by_label(values, pairs),
        "blind": blind(values, pairs, mapping),
        "thresholds": thresholds(values, alike),
        "mapping": knots(mapping),
        "held-out": held_out(values, alike, encoder.identity),
    }, mapping


def precision(place: Path) -> str:
    """The error of what is faster than the reference, over every two strings of the labelled pairs."""
    import torch

    texts = sorted({text_form(text) for pair in shipped_pairs() for text in (pair.first, pair.second)})
    above = np.triu_indices(len(texts), 1)

    def measured(encoder: Encoder) -> tuple[Floats, float]:
        encoder.encode(texts[:1])
        start = time.process_time()
        vectors = encoder.encode(texts).astype(np.float64)
        return (vectors @ vectors.T)[above], len(texts) / (time.process_time() - start)

    def medium() -> tuple[Floats, float]:
        torch.set_float32_matmul_precision("medium")
        try:
            return measured(TorchEncoder(MODEL, place))
        finally:
            torch.set_float32_matmul_precision("highest")

    exact, rate = measured(TorchEncoder(MODEL, place))
    rows = [["torch, float32: the reference", "0", "0", f"{rate:.0f}"]]
    others: dict[str, Callable[[], tuple[Floats, float]]] = {
        "torch, float32, matmul precision medium (not offered)": medium,
        'ONNX Runtime, float32 (`engine="onnx"`)': lambda: measured(OnnxEncoder(MODEL, place)),
        'torch, bfloat16 (`precision="bfloat16"`)': lambda: measured(TorchEncoder(MODEL, place, "bfloat16")),
    }
    for name, run in others.items():
        found, rate = run()
        error = np.abs(found - exact)
        rows.append([name, f"{error.mean():.0e}", f"{error.max():.0e}", f"{rate:.0f}"])
    return table(["encoder", "mean shift of a cosine", "greatest", "strings per CPU second"], rows)


def filled(page: str, parts: dict[str, str]) -> str:
    """Return the page with these tables in their places."""
    return MARK.sub(
        lambda match: (
            f"{match['open']}\n{parts[match['name']]}\n\n{match['close']}" if match["name"] in parts else match[0]
        ),
        page,
    )


def main() -> None:
    """Write the mapping and the page."""
    parts, mapping = sections(open_encoder())
    MAPPING.write_text(mapping.model_dump_json(indent=2) + "\n", encoding="utf-8")
    parts["precision"] = precision(folder(MODEL))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), parts), encoding="utf-8")
    print("\n\n".join(parts.values()))


if __name__ == "__main__":
    main()
