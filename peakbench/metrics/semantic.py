"""Semantic similarity: the cosine of two sentence embeddings, value by value, as a metric and as a comparator.

Cosines are blind to what tells garments apart: "blue" and "red" have 0.74, "long sleeve" and "short sleeve" 0.92. So
each comes a second time, by a mapping that was fitted on labelled pairs: see :mod:`peakbench.metrics.calibration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from peakbench.errors import TaskError
from peakbench.metrics.base import (
    NO_REFERENCE,
    Batch,
    ComparatorKind,
    Encoder,
    Floats,
    MetricInfo,
    MetricKind,
    NoParameters,
    Scores,
    Setting,
    Tools,
)
from peakbench.metrics.calibration import Calibration, shipped_calibration
from peakbench.records import JSONValue
from peakbench.values import text_form

_MEMO_BYTES = 64 << 20
_MEMO_CHARS = 256
_SHARE = 8
_NO_ENCODER = "no sentence encoder is loaded"


class Cosines:
    """The cosine of two texts in [0, 1]; identical texts have 1 and are not encoded, an empty one has 0.

    Every distinct string is encoded once a call; vectors of short strings are kept, at most 64 MiB of them, or one
    ``share`` of that where several fields have comparators. ``mapping``: what a cosine is worth, where it is not to be
    taken as it is.
    """

    def __init__(self, encoder: Encoder, mapping: Calibration | None = None, *, share: int = 1) -> None:
        self.encoder = encoder
        self.mapping = mapping
        self._share = share
        self._memo: dict[str, npt.NDArray[np.float32]] = {}
        self._memo_bytes = 0

    def of(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Return one value a pair, shape (n,), in [0, 1]."""
        values = np.array([float(reference == prediction) for reference, prediction in pairs], dtype=np.float64)
        compared = [
            index
            for index, (reference, prediction) in enumerate(pairs)
            if reference != prediction and reference and prediction
        ]
        if not compared:
            return values
        vectors = self._vectors(dict.fromkeys(text for index in compared for text in pairs[index]))
        references = np.stack([vectors[pairs[index][0]] for index in compared])
        predictions = np.stack([vectors[pairs[index][1]] for index in compared])
        cosines = np.clip(np.einsum("ij,ij->i", references, predictions, dtype=np.float64), 0.0, 1.0)
        values[compared] = cosines if self.mapping is None else self.mapping.apply(cosines)
        return values

    def _vectors(self, texts: dict[str, Any]) -> dict[str, npt.NDArray[np.float32]]:
        found = {text: self._memo[text] for text in texts if text in self._memo}
        new = [text for text in texts if text not in found]
        if not new:
            return found
        encoded = self.encoder.encode(new)
        if encoded.shape[:1] != (len(new),) or not np.isfinite(encoded).all():
            raise ValueError(
                f"encoder {self.encoder.identity} returned shape {encoded.shape} for {len(new)} texts, "
                "or values not finite"
            )
        size = encoded[0].nbytes + 2 * _MEMO_CHARS
        for text, vector in zip(new, encoded, strict=True):
            found[text] = vector
            if len(text) <= _MEMO_CHARS:
                if self._memo_bytes + size > _MEMO_BYTES // self._share:
                    self._memo.clear()
                    self._memo_bytes = 0
                self._memo[text] = vector.copy()
                self._memo_bytes += size
        return found


class SemanticMetric:
    """:class:`Cosines` of answer and reference; for JSON tasks the mean over the fields with a value.

    Beside them stands ``cosine.<field>``, each field's own. Without an encoder every row is unscored with ``missing``:
    nothing else stands in for it.
    """

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo, cosines: Cosines | None, missing: str = _NO_ENCODER) -> None:
        self.info = info
        self._cosines = cosines
        self._missing = missing

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers in [0, 1]; rows without a reference are unscored."""
        if self._cosines is None:
            return Scores.none(len(batch), self._missing)
        if batch.cells is not None:
            values = self._cosines.of(batch.cells.texts)
            scores = batch.cells.mean_over_values(values)
            scores.beside = {f"cosine.{name}": found for name, found in batch.cells.by_field(values).items()}
            return scores
        absent = [row for row, reference in enumerate(batch.references) if reference is None]
        pairs = [
            ("", "") if reference is None else (text_form(reference), text_form(prediction.value))
            for prediction, reference in zip(batch.predictions, batch.references, strict=True)
        ]
        scored = np.ones(len(pairs), dtype=np.bool_)
        scored[absent] = False
        return Scores(self._cosines.of(pairs), scored, dict.fromkeys(absent, NO_REFERENCE))


class CalibratedParameters(BaseModel, extra="forbid", frozen=True):
    """``mapping``: a mapping from cosine to probability, by the name of one that ships, or itself."""

    mapping: str | Calibration = "garment"

    @property
    def calibration(self) -> Calibration:
        """The mapping itself."""
        return shipped_calibration(self.mapping) if isinstance(self.mapping, str) else self.mapping


def _build(info: MetricInfo, parameters: NoParameters, setting: Setting) -> SemanticMetric:
    encoder = setting.tools.encoder
    info = info.signed(f"encoder:{encoder.identity if encoder else 'off'}")
    cosines = None if encoder is None else Cosines(encoder)
    return SemanticMetric(info, cosines, setting.tools.missing.get("encoder", _NO_ENCODER))


def _build_calibrated(info: MetricInfo, parameters: CalibratedParameters, setting: Setting) -> SemanticMetric:
    encoder, mapping = setting.tools.encoder, parameters.calibration
    info = info.signed(f"encoder:{encoder.identity if encoder else 'off'}", f"fitted:{mapping.digest}")
    if encoder is None:
        return SemanticMetric(info, None, setting.tools.missing.get("encoder", _NO_ENCODER))
    if not mapping.fits(encoder.identity):
        return SemanticMetric(info, None, _other_model(mapping, encoder))
    return SemanticMetric(info, Cosines(encoder, mapping))


def _other_model(mapping: Calibration, encoder: Encoder) -> str:
    return f"the mapping was fitted for {mapping.model}, and the encoder is {encoder.identity}"


class SemanticParameters(BaseModel, extra="forbid", frozen=True):
    """``pass_mark``: the cosine from which a value is correct. None is good: see docs/calibration.md for 0.75."""

    pass_mark: Annotated[float, Field(gt=0, le=1)] = 0.75


class CalibratedComparatorParameters(CalibratedParameters):
    """``mapping``, and ``pass_mark``: the probability from which a value is correct."""

    pass_mark: Annotated[float, Field(gt=0, le=1)] = 0.5


class Semantic:
    """The cosine of two values' texts, or what a mapping makes of it; identical texts have 1."""

    shape: Literal["scalar", "list"] = "scalar"

    def __init__(self, cosines: Cosines, pass_mark: float) -> None:
        self.pass_mark = pass_mark
        self._cosines = cosines

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return the score in [0, 1]; a boolean has 1 with itself and 0 with anything else."""
        if isinstance(reference, bool) or isinstance(prediction, bool):
            return float(reference is prediction)
        return float(self._cosines.of([(text_form(reference), text_form(prediction))])[0])


def _needed(name: str, tools: Tools) -> Encoder:
    if tools.encoder is None:
        raise TaskError(
            f"'{name}' compares by sentence embeddings: {tools.missing.get('encoder', _NO_ENCODER)}",
            hint="or give the field another comparator, such as 'synonyms' or 'fuzzy'",
        )
    return tools.encoder


def _semantic(parameters: SemanticParameters, tools: Tools) -> Semantic:
    return Semantic(Cosines(_needed("semantic", tools), share=_SHARE), parameters.pass_mark)


def _semantic_calibrated(parameters: CalibratedComparatorParameters, tools: Tools) -> Semantic:
    encoder, mapping = _needed("semantic_calibrated", tools), parameters.calibration
    if not mapping.fits(encoder.identity):
        raise TaskError(_other_model(mapping, encoder), hint="use 'semantic', or fit a mapping for this encoder")
    return Semantic(Cosines(encoder, mapping, share=_SHARE), parameters.pass_mark)


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "sbert",
        _build,
        needs=frozenset({"reference", "encoder"}),
        description="cosine of sentence embeddings (all-mpnet-base-v2), clipped to [0, 1]",
    ),
    MetricKind(
        "sbert_calibrated",
        _build_calibrated,
        CalibratedParameters,
        needs=frozenset({"reference", "encoder"}),
        description="what the cosine is worth: the share of labelled pairs at that cosine that mean the same",
    ),
)

COMPARATORS: tuple[ComparatorKind, ...] = (
    ComparatorKind("semantic", _semantic, SemanticParameters, "cosine of sentence embeddings, clipped to [0, 1]"),
    ComparatorKind(
        "semantic_calibrated",
        _semantic_calibrated,
        CalibratedComparatorParameters,
        "probability of the same meaning at that cosine, fitted on labelled pairs",
    ),
)
