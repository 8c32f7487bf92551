"""From logits to a token: temperature, nucleus, and a generator of each answer's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from peakbench.serving.base import Sampling

Logits = npt.NDArray[np.float32]


def log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Natural logarithms of the probabilities, over the last axis.

    >>> np.exp(log_softmax(np.log([1.0, 3.0]))).round(6).tolist()
    [0.25, 0.75]
    """
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return wide


def distribution(logits: npt.NDArray[Any], temperature: float, top_p: float) -> npt.NDArray[np.float64]:
    """Probabilities that a token is drawn with; temperature above 0.

    ``top_p`` keeps the likeliest tokens up to and with the one that reaches it; of equals the lower id is likelier.

    >>> distribution(np.log([0.5, 0.3, 0.2]), 1.0, 0.7).round(4).tolist()
    [0.625, 0.375, 0.0]
    """
    wide = logits.astype(np.float64)
    probabilities: npt.NDArray[np.float64] = np.exp((wide - wide.max()) / max(temperature, 1e-6))
    probabilities /= probabilities.sum()
    if top_p < 1:
        order = np.argsort(-probabilities, kind="stable")
        reached = int(np.searchsorted(np.cumsum(probabilities[order]), top_p - 1e-12)) + 1
        probabilities[order[reached:]] = 0
        probabilities /= probabilities.sum()
    return probabilities


class Sampler:
    """Draws the tokens of one answer. One number from the generator a token, so nothing else moves the draw."""

    def __init__(self, sampling: Sampling, choice: int) -> None:
        self._temperature = sampling.temperature
        self._top_p = sampling.top_p
        self._generator = (
            np.random.default_rng()
            if sampling.seed is None
            else np.random.default_rng([sampling.seed & 0xFFFF_FFFF_FFFF_FFFF, choice])
        )

    def draw(self, logits: npt.NDArray[Any]) -> int:
        """Draw an id; forbidden ones have logits of minus infinity."""
        if self._temperature <= 0:
            return int(logits.argmax())
        probabilities = distribution(logits, self._temperature, self._top_p)
        edges = np.cumsum(probabilities)
        at = int(np.searchsorted(edges, self._generator.random() * edges[-1], side="right"))
        return min(at, int(np.flatnonzero(probabilities)[-1]))
