"""The transformer: an image prefix read in both directions, then one token at a time with kept keys and values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from peakbench.reader.weights import Architecture, Array

LANES = 8
"""Rows of one product while decoding. Rows are always multiplied in blocks of this size, filled up where they are
fewer: a product of another shape may round otherwise, and an answer would depend on what else is in the batch."""

EPSILON = np.float32(1e-6)


class Decoder:
    """Blocks of attention and feed-forward over single-precision weights."""

    def __init__(self, architecture: Architecture, weights: Mapping[str, Array]) -> None:
        self._a = architecture
        self._w = weights
        self._table = np.ascontiguousarray(weights["embedding"].T)

    def embed(self, ids: npt.NDArray[np.intp]) -> Array:
        """Rows of the embedding, without positions."""
        return self._table[ids]

    def prefill(self, image: Array, prompt: npt.NDArray[np.intp]) -> tuple[Array, list[tuple[Array, Array]]]:
        """Read image tokens (tokens, width) and a prompt.

        Returns the last token's logits (vocabulary), and for each block keys and values (heads, tokens, head width).
        """
        x = np.concatenate([image, self.embed(prompt)])
        tokens = len(x)
        x += self._w["position"][:tokens]
        hidden = np.triu(np.full((tokens, tokens), -np.inf, dtype=np.float32), 1)
        hidden[: len(image), : len(image)] = 0
        kept = []
        for i in range(self._a.blocks):
            queries, keys, values = self._project(i, x)
            kept.append((keys, values))
            if i == self._a.blocks - 1:  # only the last token's row is asked for
                x, queries, hidden = x[-1:], queries[:, -1:], hidden[-1:]
            x = self._finish(i, x, _attend(queries, keys, values, hidden))
        return self._logits(x)[0], kept

    def step(self, ids: npt.NDArray[np.intp], cache: Cache) -> Array:
        """Read one more token in each row (a multiple of ``LANES``) of the cache; returns logits (rows, vocabulary)."""
        x = self.embed(ids) + self._w["position"][cache.length]
        x = x.reshape(-1, LANES, x.shape[-1])
        rows, heads = len(ids), self._a.heads
        for i in range(self._a.blocks):
            queries, keys, values = (part.reshape(rows, heads, 1, -1) for part in np.split(self._qkv(i, x), 3, axis=-1))
            kept_keys, kept_values = cache.append(i, keys, values)
            attended = _attend(queries, kept_keys, kept_values, None)
            x = self._finish(i, x, attended.reshape(x.shape))
        cache.length += 1
        logits = self._logits(x)
        return logits.reshape(rows, -1)

    def _qkv(self, i: int, x: Array) -> Array:
        return _norm(x, self._w[f"blocks.{i}.norm1"]) @ self._w[f"blocks.{i}.qkv.weight"]

    def _project(self, i: int, x: Array) -> tuple[Array, Array, Array]:
        parts = self._qkv(i, x).reshape(len(x), 3, self._a.heads, -1).transpose(1, 2, 0, 3)
        queries, keys, values = np.ascontiguousarray(parts)
        return queries, keys, values

    def _finish(self, i: int, x: Array, attended: Array) -> Array:
        w, at = self._w, f"blocks.{i}"
        if attended.ndim == 3 and x.ndim == 2:
            attended = attended.transpose(1, 0, 2).reshape(x.shape)
        x = x + attended @ w[f"{at}.o.weight"]
        y = _norm(x, w[f"{at}.norm2"]) @ w[f"{at}.up.weight"]
        y += w[f"{at}.up.bias"]
        return x + (_gelu(y) @ w[f"{at}.down.weight"] + w[f"{at}.down.bias"])

    def _logits(self, x: Array) -> Array:
        return _norm(x, self._w["norm"]) @ self._w["embedding"]


class Cache:
    """Keys and values of every row: a shared beginning, then what each row has read since."""

    def __init__(self, beginnings: list[list[tuple[Array, Array]]], rows: npt.NDArray[np.intp], room: int) -> None:
        """``beginnings``: of each prompt; ``rows``: the prompt of each row; ``room``: tokens to come at most."""
        self.length = beginnings[0][0][0].shape[1]
        self._blocks: list[tuple[Array, Array]] = []
        for i in range(len(beginnings[0])):
            halves = []
            for half in (0, 1):
                heads, length, width = beginnings[0][i][half].shape
                kept = np.zeros((len(rows), heads, length + room, width), dtype=np.float32)
                for row, prompt in enumerate(rows):
                    kept[row, :, :length] = beginnings[prompt][i][half]
                halves.append(kept)
            self._blocks.append((halves[0], halves[1]))

    def append(self, i: int, keys: Array, values: Array) -> tuple[Array, Array]:
        """Keep one more token's keys and values (rows, heads, 1, head width) in a block; returns all of that block."""
        kept_keys, kept_values = self._blocks[i]
        kept_keys[:, :, self.length] = keys[:, :, 0]
        kept_values[:, :, self.length] = values[:, :, 0]
        return kept_keys[:, :, : self.length + 1], kept_values[:, :, : self.length + 1]

    def keep(self, rows: npt.NDArray[np.intp]) -> None:
        """Go on with these rows only."""
        self._blocks = [(keys[rows], values[rows]) for keys, values in self._blocks]


def _norm(x: Array, weight: Array) -> Array:
    square: Array = np.square(x).mean(axis=-1, keepdims=True)
    normed: Array = x / np.sqrt(square + EPSILON)
    normed *= weight
    return normed


def _gelu(x: Array) -> Array:
    inner = x * x
    inner *= np.float32(0.044715)
    inner += 1
    inner *= x
    inner *= np.float32(math.sqrt(2 / math.pi))
    np.tanh(inner, out=inner)
    inner += 1
    inner *= x
    inner *= np.float32(0.5)
    return inner


def _attend(queries: Array, keys: Array, values: Array, hidden: Array | None) -> Array:
    """Attention over (..., heads, tokens, head width); ``hidden``: -inf where a query may not look."""
    scores = queries @ keys.swapaxes(-1, -2)
    scores *= np.float32(1 / math.sqrt(queries.shape[-1]))
    if hidden is not None:
        scores += hidden
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    attended: Array = np.matmul(scores, values)
    return attended
