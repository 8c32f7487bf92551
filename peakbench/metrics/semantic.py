"""Semantic similarity: the cosine of two sentence embeddings, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from peakbench.metrics.base import (
    Batch,
    Encoder,
    Floats,
    MetricInfo,
    MetricKind,
    NoParameters,
    Scores,
    Setting,
)
from peakbench.values import text_form

_MEMO_BYTES = 64 << 20
_MEMO_CHARS = 256
_NO_ENCODER = "no sentence encoder is loaded"


class SemanticMetric:
    """Cosine of the encoder's vectors, clipped to [0, 1]; for JSON tasks the mean over the fields with a value.

    Every distinct string is encoded once a batch; vectors of short strings are kept, at most 64 MiB of them. Without
    an encoder every row is unscored with ``missing``: nothing else stands in for it.
    """

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo, encoder: Encoder | None, missing: str = _NO_ENCODER) -> None:
        self.info = info
        self._encoder = encoder
        self._missing = missing
        self._memo: dict[str, npt.NDArray[np.float32]] = {}
        self._memo_bytes = 0

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers in [0, 1]; rows without a reference are unscored."""
        if self._encoder is None:
            return Scores.none(len(batch), self._missing)
        if batch.cells is not None:
            return batch.cells.mean_over_values(self._cosines(self._encoder, batch.cells.texts))
        absent = [row for row, reference in enumerate(batch.references) if reference is None]
        pairs = [
            ("", "") if reference is None else (text_form(reference), text_form(prediction.value))
            for prediction, reference in zip(batch.predictions, batch.references, strict=True)
        ]
        scored = np.ones(len(pairs), dtype=np.bool_)
        scored[absent] = False
        return Scores(self._cosines(self._encoder, pairs), scored, dict.fromkeys(absent, "the sample has no reference"))

    def _cosines(self, encoder: Encoder, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Cosine of each pair in [0, 1]; identical strings have 1 and are not encoded, an empty string has 0."""
        values = np.array([float(reference == prediction) for reference, prediction in pairs], dtype=np.float64)
        compared = [
            index
            for index, (reference, prediction) in enumerate(pairs)
            if reference != prediction and reference and prediction
        ]
        if not compared:
            return values
        vectors = self._vectors(encoder, dict.fromkeys(text for index in compared for text in pairs[index]))
        references = np.stack([vectors[pairs[index][0]] for index in compared])
        predictions = np.stack([vectors[pairs[index][1]] for index in compared])
        cosines = np.einsum("ij,ij->i", references, predictions, dtype=np.float64)
        values[compared] = np.clip(cosines, 0.0, 1.0)
        return values

    def _vectors(self, encoder: Encoder, texts: dict[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        found = {text: self._memo[text] for text in texts if text in self._memo}
        new = [text for text in texts if text not in found]
        if not new:
            return found
        encoded = encoder.encode(new)
        if encoded.shape[:1] != (len(new),) or not np.isfinite(encoded).all():
            raise ValueError(
                f"encoder {encoder.identity} returned shape {encoded.shape} for {len(new)} texts, or values not finite"
            )
        size = encoded[0].nbytes + 2 * _MEMO_CHARS
        for text, vector in zip(new, encoded, strict=True):
            found[text] = vector
            if len(text) <= _MEMO_CHARS:
                if self._memo_bytes + size > _MEMO_BYTES:
                    self._memo.clear()
                    self._memo_bytes = 0
                self._memo[text] = vector.copy()
                self._memo_bytes += size
        return found


def _build(info: MetricInfo, parameters: NoParameters, setting: Setting) -> SemanticMetric:
    tools = setting.tools
    info = info.signed(f"encoder:{tools.encoder.identity if tools.encoder else 'off'}")
    return SemanticMetric(info, tools.encoder, tools.missing.get("encoder", _NO_ENCODER))


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "sbert",
        _build,
        needs=frozenset({"reference", "encoder"}),
        description="cosine of sentence embeddings (all-mpnet-base-v2), clipped to [0, 1]",
    ),
)
