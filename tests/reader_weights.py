"""Readers with random weights, for tests: small, whole, and of the same format as the one that ships."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from peakbench.reader.weights import ADAPTED, Architecture, Entry, Manifest, Stage, save_reader

KEYS = ("type", "color", "pattern", "neckline", "sleeve_length", "closure", "brand", "size", "defect_type")
ARCHITECTURE = Architecture(
    size=32,
    stem=(Stage(8), Stage(12, residual=1), Stage(16)),
    width=32,
    heads=4,
    blocks=2,
    hidden=64,
    positions=144,
)
SPECIAL = 5


def vocabulary() -> tuple[bytes, ...]:
    """Special tokens, one token a byte of printable ASCII and of UTF-8, the keys, and some words."""
    keys = [f'{{"{KEYS[0]}": ', *(f', "{key}": ' for key in KEYS[1:]), "}", "null"]
    words = ['"t-shirt"', '"navy blue"', '"solid"', '"crew neck"', '"short sleeve"', "pull", "over", '"m"', "ain"]
    letters = [bytes([i]) for i in (*range(0x20, 0x7F), *range(0x80, 0x100)) if i not in (0x7D,)]
    return (b"",) * SPECIAL + tuple(text.encode() for text in (*keys, *words)) + tuple(letters)


def random_arrays(architecture: Architecture, tokens: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights of a size at which every layer still has something to say."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for name, shape in architecture.shapes(tokens).items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        if name.endswith(("norm", "norm1", "norm2")):
            array = 1 + 0.1 * generator.standard_normal(shape)
        elif name in {"embedding", "position"}:
            array = 0.5 * generator.standard_normal(shape)
        elif len(shape) == 1:
            array = 0.1 * generator.standard_normal(shape)
        else:
            array = generator.standard_normal(shape) * (1.4 / fan_in) ** 0.5
        arrays[name] = array.astype(np.float16)
    return arrays


def random_adapter(architecture: Architecture, tokens: int, seed: int = 1, rank: int = 4) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = architecture.shapes(tokens)
    arrays: dict[str, np.ndarray] = {"scale": np.float16(2.0)}
    for i in range(architecture.blocks):
        for matrix in ADAPTED:
            out, into = shapes[f"blocks.{i}.{matrix}.weight"]
            arrays[f"blocks.{i}.{matrix}.a"] = (0.1 * generator.standard_normal((rank, into))).astype(np.float16)
            arrays[f"blocks.{i}.{matrix}.b"] = (0.1 * generator.standard_normal((out, rank))).astype(np.float16)
    return arrays


def write_random_reader(folder: Path, *, seed: int = 0, architecture: Architecture = ARCHITECTURE) -> Path:
    """A folder with the models reader (adapted), reader-int8 (the same, quantized) and reader-base (no adapter)."""
    tokens = vocabulary()
    manifest = Manifest(
        architecture=architecture,
        vocabulary=tokens,
        prompt=(3, *(tokens.index(bytes([byte])) for byte in b"read"), 4),
        end=1,
        models={
            "reader": Entry("base.npz", "sft.npz"),
            "reader-int8": Entry("base.npz", "sft.npz", "int8"),
            "reader-base": Entry("base.npz"),
        },
        training={"seed": seed, "recipe": "random"},
    )
    arrays = {
        "base.npz": random_arrays(architecture, len(tokens), seed),
        "sft.npz": random_adapter(architecture, len(tokens), seed + 1),
    }
    save_reader(folder, manifest, arrays)
    return folder


def answer(**values: str | None) -> str:
    return json.dumps({key: values.get(key) for key in KEYS})
