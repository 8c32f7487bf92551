"""Natural language inference: does the answer contradict what is known?

An object is judged as sentences (see ``tasks.verbalisation``). Strings of values are NFKC-normalised, casefolded and
their spaces collapsed, as for the text metrics. Without the models that a metric needs every row is unscored with what
mends it: nothing else stands in for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel

from peakbench.metrics.base import (
    NO_FIELDS,
    NO_REFERENCE,
    Batch,
    Bools,
    Cells,
    Encoder,
    Entailer,
    Floats,
    Ints,
    MetricInfo,
    MetricKind,
    NoParameters,
    Scores,
    Setting,
)
from peakbench.tasks import Verbaliser
from peakbench.values import text_form

_NO_PREMISE = "there is neither a reference nor a prompt to judge by"
_NO_TOOL = {"encoder": "no sentence encoder is loaded", "entailer": "no entailment model is loaded"}
_NO_PAIR, _LEFT_OUT = -1, -2

_Pair = tuple[str, str]


class HallucinationParameters(BaseModel, extra="forbid", frozen=True):
    """What an answer is held against: the reference where there is one, or always the prompt."""

    premise: Literal["reference", "prompt"] = "reference"


class Hallucination:
    """Probability that the answer contradicts the premise, in [0, 1].

    Premise: the reference, for JSON as sentences with its nulls ("No brand is visible."), or the prompt. Hypothesis:
    the answer, for JSON the sentences of the fields that it has a value for; a field that is absent from the reference
    is not spoken of. An empty hypothesis has 0.

    Beside the whole answer stands ``contradiction.<field>``: one sentence against the other, for each field that the
    answer has a value for; the same value contradicts nothing. An entailer that has a method ``cut(pairs)`` says
    which pairs were longer than it reads: 1 in ``cut``.
    """

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo, entailer: Entailer, parameters: HallucinationParameters, setting: Setting):
        self.info = info
        self._entailer = entailer
        self._verbaliser = Verbaliser(setting.task, setting.nulls)
        self._fields = setting.task.keys
        self._prompt = setting.task.prompt.user
        self._by_reference = parameters.premise == "reference"

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; a row without premise is unscored."""
        n = len(batch)
        pairs = [self._pair(batch, row) for row in range(n)]
        scored = np.array([bool(premise) for premise, _ in pairs], dtype=np.bool_)
        judged = [row for row, (premise, hypothesis) in enumerate(pairs) if premise and hypothesis]
        values = np.zeros(n)
        values[judged] = _contradictions(self._entailer, [pairs[row] for row in judged])
        scores = Scores(values, scored, dict.fromkeys(np.flatnonzero(~scored).tolist(), _NO_PREMISE))
        if judged and hasattr(self._entailer, "cut"):
            scores.beside["cut"] = np.full(n, np.nan)
            scores.beside["cut"][judged] = self._entailer.cut([pairs[row] for row in judged])
        if self._by_reference and batch.cells is not None:
            by_field = self._by_field(batch, batch.cells)
            scores.beside |= {f"contradiction.{name}": by_field[:, at] for at, name in enumerate(self._fields)}
        return scores

    def _pair(self, batch: Batch, row: int) -> _Pair:
        reference = batch.references[row] if self._by_reference else None
        answer = batch.predictions[row].value if batch.read[row] else None
        if not self._fields:
            premise = reference.strip() if isinstance(reference, str) else ""
            return premise or self._asked(batch, row), answer.strip() if isinstance(answer, str) else ""
        known = [name for name in self._fields if name in reference] if isinstance(reference, Mapping) else []
        premise = self._verbaliser.object(reference, known) if isinstance(reference, Mapping) else ""
        names = known or self._fields
        hypothesis = self._verbaliser.object(answer, names, absent=False) if isinstance(answer, dict) else ""
        return premise or self._asked(batch, row), hypothesis

    def _asked(self, batch: Batch, row: int) -> str:
        own = batch.prompts[row] if batch.prompts is not None else None
        return (own or self._prompt).strip()

    def _by_field(self, batch: Batch, cells: Cells) -> Floats:
        """Return each field's contradiction, shape (n, f); NaN where the answer or the reference says nothing."""
        found = np.full(cells.expected.shape, np.nan)
        pairs: dict[_Pair, list[tuple[int, int]]] = {}
        for row, column in np.argwhere(cells.expected & batch.read[:, None]).tolist():
            name, reference = self._fields[column], batch.references[row]
            assert isinstance(reference, Mapping)
            truth, answer = (self._verbaliser.text(one.get(name)) for one in (reference, batch.predictions[row].value))
            if answer == truth or not answer:
                found[row, column] = 0.0 if answer else np.nan
                continue
            pair = self._verbaliser.sentence(name, truth), self._verbaliser.sentence(name, answer)
            pairs.setdefault(pair, []).append((row, column))
        for value, places in zip(_contradictions(self._entailer, list(pairs)), pairs.values(), strict=True):
            found[tuple(np.transpose(places))] = value
        return found


class SbertNli:
    """Cosine x (1 - contradiction) of two sentences such as "The color is navy blue.", in [0, 1].

    JSON: the mean over the fields of the reference, weighted by the task; both null 1, one null 0, identical values 1,
    a list or object where a scalar belongs 0. Text: of the two texts; one empty 0. Short values recur, so what was
    judged is kept, at most 65,536 pairs.
    """

    requires: tuple[str, ...] = ()
    MOST_KEPT = 65_536

    def __init__(self, info: MetricInfo, encoder: Encoder, entailer: Entailer, verbaliser: Verbaliser) -> None:
        self.info = info
        self._encoder = encoder
        self._entailer = entailer
        self._verbaliser = verbaliser
        self._kept: dict[_Pair, float] = {}

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers, rows without a reference unscored; for JSON with the sums of the weighted mean."""
        if batch.cells is None:
            return self._texts(batch)
        cells = batch.cells
        values = self._fields(cells)
        weights = cells.expected * cells.weights
        above, below = (values * weights).sum(axis=1), weights.sum(axis=1)
        scored = below > 0
        reasons = {
            row: "the fields of the reference have weight 0" if cells.expected[row].any() else NO_FIELDS
            for row in np.flatnonzero(~scored).tolist()
        }
        return Scores(above / np.where(scored, below, 1.0), scored, reasons, above, below)

    def _texts(self, batch: Batch) -> Scores:
        rows = zip(batch.references, batch.predictions, strict=True)
        pairs = [(text_form(reference), text_form(prediction.value)) for reference, prediction in rows]
        values = self._likeness(pairs)
        absent = [row for row, reference in enumerate(batch.references) if reference is None]
        scored = np.ones(len(pairs), dtype=np.bool_)
        scored[absent] = False
        return Scores(values, scored, dict.fromkeys(absent, NO_REFERENCE))

    def _fields(self, cells: Cells) -> Floats:
        """Return each field's value, shape (n, f); 0 where the reference does not have the field."""
        values = np.where(cells.expected & (cells.pairs == _LEFT_OUT), 1.0, 0.0)
        said: list[_Pair] = []
        places: list[tuple[Bools, Ints]] = []
        for column, name in enumerate(cells.names):
            rows = cells.pairs[:, column] > _NO_PAIR
            codes, inverse = np.unique(cells.pairs[rows, column], return_inverse=True)
            places.append((rows, inverse + len(said)))
            for code in codes.tolist():
                truth, answer = (self._verbaliser.sentence(name, text) for text in cells.texts[code])
                said.append((truth, answer))
        likeness = self._likeness(said)
        for column, (rows, at) in enumerate(places):
            values[rows, column] = likeness[at]
        return values

    def _likeness(self, pairs: Sequence[_Pair]) -> Floats:
        """Return cosine x (1 - contradiction); identical strings have 1, an empty one beside another 0."""
        found = {pair: float(pair[0] == pair[1]) for pair in pairs if pair[0] == pair[1] or not all(pair)}
        found |= {pair: self._kept[pair] for pair in pairs if pair in self._kept}
        new = [pair for pair in dict.fromkeys(pairs) if pair not in found]
        judged = dict(zip(new, self._judged(new).tolist(), strict=True))
        if len(self._kept) + len(judged) > self.MOST_KEPT:
            self._kept.clear()
        self._kept |= {pair: judged[pair] for pair in new[: self.MOST_KEPT]}
        found |= judged
        return np.array([found[pair] for pair in pairs], dtype=np.float64)

    def _judged(self, pairs: Sequence[_Pair]) -> Floats:
        if not pairs:
            return np.zeros(0)
        texts = {text: at for at, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair))}
        vectors = np.asarray(self._encoder.encode(list(texts)))
        if vectors.shape[:1] != (len(texts),) or not np.isfinite(vectors).all():
            raise ValueError(f"encoder {self._encoder.identity} returned shape {vectors.shape}, or values not finite")
        first, second = (vectors[[texts[pair[side]] for pair in pairs]] for side in (0, 1))
        cosines = np.clip(np.einsum("ij,ij->i", first, second, dtype=np.float64), 0.0, 1.0)
        likeness: Floats = cosines * (1.0 - _contradictions(self._entailer, pairs))
        return likeness


class _Unscored:
    """Stands for a metric whose models are not there."""

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo, reason: str) -> None:
        self.info = info
        self._reason = reason

    def score_batch(self, batch: Batch) -> Scores:
        return Scores.none(len(batch), self._reason)


def _contradictions(entailer: Entailer, pairs: Collection[_Pair]) -> Floats:
    """Ask each distinct pair once."""
    unique = {pair: at for at, pair in enumerate(dict.fromkeys(pairs))}
    if not unique:
        return np.zeros(0)
    found = np.asarray(entailer.contradiction(list(unique)), dtype=np.float64)
    if found.shape != (len(unique),) or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(
            f"entailer {entailer.identity} returned shape {found.shape} for {len(unique)} pairs, or no probabilities"
        )
    return found[[unique[pair] for pair in pairs]]


def _signed(info: MetricInfo, setting: Setting, *tools: Literal["encoder", "entailer"]) -> MetricInfo:
    """Put the models into the signature, and where they are all there what decides the sentences that they read.

    The signatures of composites rest on this one, and without models no sentence has a hand in them.
    """
    found = {name: getattr(setting.tools, name) for name in tools}
    models = [f"{name}:{tool.identity if tool else 'off'}" for name, tool in found.items()]
    if not all(found.values()):
        return info.signed(*models)
    nulls = hashlib.sha256("\n".join(sorted(setting.nulls)).encode()).hexdigest()[:8]
    fields = {name: [one.sentence, one.absent] for name, one in setting.task.fields.items()}
    words = hashlib.sha256(repr(fields).encode()).hexdigest()[:12]
    return info.signed(f"sentences:{words}", f"nulls:{nulls}", *models)


def _missing(setting: Setting, *tools: Literal["encoder", "entailer"]) -> str | None:
    tooling = setting.tools
    absent = [name for name in tools if getattr(tooling, name) is None]
    return "; ".join(tooling.missing.get(name, _NO_TOOL[name]) for name in absent) or None


def _hallucination(
    info: MetricInfo, parameters: HallucinationParameters, setting: Setting
) -> Hallucination | _Unscored:
    info = _signed(info, setting, "entailer")
    entailer = setting.tools.entailer
    if entailer is None:
        return _Unscored(info, _missing(setting, "entailer") or "")
    return Hallucination(info, entailer, parameters, setting)


def _sbert_nli(info: MetricInfo, _parameters: NoParameters, setting: Setting) -> SbertNli | _Unscored:
    info = _signed(info, setting, "encoder", "entailer")
    encoder, entailer = setting.tools.encoder, setting.tools.entailer
    if encoder is None or entailer is None:
        return _Unscored(info, _missing(setting, "encoder", "entailer") or "")
    return SbertNli(info, encoder, entailer, Verbaliser(setting.task, setting.nulls))


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "hallucination",
        _hallucination,
        HallucinationParameters,
        needs=frozenset({"entailer"}),
        description="probability that the answer contradicts the reference, or the prompt",
    ),
    MetricKind(
        "sbert_nli",
        _sbert_nli,
        needs=frozenset({"reference", "encoder", "entailer"}),
        description="cosine x (1 - contradiction) of sentences, weighted over the fields",
    ),
)
"""What ships, in the order in which it is listed."""
