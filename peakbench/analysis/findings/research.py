"""What was not tried: which model lacks which stage or format, and what the measured pairs let one expect of it.

A model lacks a format if no quantized sibling (one family, size and training) has it, and a chain of stages that other
models have if the chain begins with its own. The expected gain is the median over the pairs in which the same was added
to models that stood at the same stage; pairs that something else tells apart are set aside. It is an expectation, not
a promise: the pairs that were measured are of other models, often of another family.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, NamedTuple

from peakbench.analysis.lineage.kinship import FEW_READABLE, Candidate
from peakbench.analysis.lineage.models import Lineage
from peakbench.analysis.lineage.pairs import Finding, Pairs

GapKind = Literal["training", "quantization", "original", "base"]
GAP_KINDS: tuple[GapKind, ...] = ("training", "quantization", "original", "base")
Stages = tuple[str, ...]
Key = tuple[str, Stages, str]
RELEASED = "as released"


@dataclass(frozen=True, slots=True)
class Measured:
    """The change of one metric over the pairs in which the same was added; fractions.

    ``models``: families and sizes that it was added to.
    """

    median: float
    low: float
    high: float
    pairs: int
    models: tuple[str, ...]


class Gain(NamedTuple):
    """What clean pairs measured, None without one, and how many pairs are set aside: flagged, or without a number."""

    measured: Measured | None
    set_aside: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that a model lacks.

    Attributes:
        model: its name. ``where``: its run's folder, or its line in a table.
        kind: ``training``: a chain of stages; ``quantization``: a format; ``original``: the unquantized model that it
            was made from; ``base``: the one that it was trained from, without which nobody knows what its training did.
        lacks: the stages, the format, or the model that is missing.
        score: of the model, a fraction; None where it has none that can be trusted.
        measured: what pairs say; None: no measured pair.
        expected: score and median gain together, within 0 and 1; None without both.
        set_aside: pairs of the same kind that cannot be counted.
    """

    model: str
    where: str
    kind: GapKind
    lacks: str
    score: float | None
    measured: Measured | None
    expected: float | None
    set_aside: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it as one flat row of JSON values."""
        found = self.measured
        return {
            "model": self.model,
            "where": self.where,
            "kind": self.kind,
            "lacks": self.lacks,
            "score": self.score,
            "gain": found.median if found else None,
            "gain_low": found.low if found else None,
            "gain_high": found.high if found else None,
            "pairs": found.pairs if found else 0,
            "measured_on": list(found.models) if found else [],
            "set_aside": self.set_aside,
            "expected": self.expected,
        }


def research(
    pairs: Pairs, scores: Mapping[str, float | None], metric: str, *, higher_is_better: bool = True
) -> list[Gap]:
    """Return what the models of some pairs lack: of each kind the greatest gain first, what nobody measured last.

    Args:
        pairs: all candidates and the pairs among them.
        scores: by where a candidate stands; None or missing where its score cannot be trusted.
        metric: of the pairs, by which a gain is measured.
    """
    known = [one for one in pairs.candidates if one.lineage.family is not None]
    formats = dict.fromkeys(one.lineage.quantization for one in known if one.lineage.quantized)
    chains = dict.fromkeys(one.lineage.training for one in known if one.lineage.training)
    gains = gains_of(pairs, metric)
    gaps = []
    for one in _leading(known, scores):
        kin = [other.lineage for other in known if one is other or _siblings(one, other)]
        for kind, lacks in _lacking(one.lineage, kin, formats, chains):
            base = one.lineage.training if kind == "training" else ()
            gaps.append(_gap(one, kind, lacks, scores.get(one.where), gains.get((kind, base, lacks))))
    gaps += _unfounded(pairs, scores)
    sign = 1 if higher_is_better else -1
    return sorted(gaps, key=lambda gap: _order(gap, sign))


def gains_of(pairs: Pairs, metric: str) -> dict[Key, Gain]:
    """Return what pairs measured, by the kind of pair, the stages of its base (none for a format) and what was added.

    A format is added to models of any training; stages only to models that stand at the same stage.
    """
    values: dict[Key, list[float]] = defaultdict(list)
    models: dict[Key, dict[str, None]] = defaultdict(dict)
    aside: Counter[Key] = Counter()
    for one in pairs:
        if one.pair.kind == "base run":
            continue
        first, second = one.base.lineage, one.other.lineage
        stages = first.training if one.pair.kind == "training" else ()
        added = added_stages(one) if one.pair.kind == "training" else second.quantization
        key = (one.pair.kind, stages, added)
        value = next((held.change.value for held in one.metrics if held.change.name == metric), None)
        if value is None or not one.pair.clean:
            aside[key] += 1
            continue
        values[key].append(value)
        models[key].setdefault(" ".join(filter(None, (first.family, first.parameters))))
    return {
        key: Gain(
            Measured(median(found), min(found), max(found), len(found), tuple(models[key])) if found else None,
            aside[key],
        )
        for key, found in ((key, values.get(key, [])) for key in dict.fromkeys([*values, *aside]))
    }


def added_stages(one: Finding) -> str:
    """Return the stages that the other model of a training pair has beyond its base."""
    return "+".join(one.other.lineage.training[len(one.base.lineage.training) :])


def _leading(known: Sequence[Candidate], scores: Mapping[str, float | None]) -> Iterable[Candidate]:
    """Unquantized models whose answers can be read, of several alike the one with the best score."""
    chosen: list[Candidate] = []
    for one in sorted(known, key=lambda one: -(scores.get(one.where) or 0.0)):
        unreadable = one.readable is not None and one.readable < FEW_READABLE
        alike = any(_siblings(one, other) and one.lineage.training == other.lineage.training for other in chosen)
        if not one.lineage.quantized and not unreadable and not alike:
            chosen.append(one)
    return chosen


def _siblings(one: Candidate, other: Candidate) -> bool:
    return one is not other and one.context == other.context and one.lineage.related(other.lineage)


def _lacking(
    one: Lineage, kin: Sequence[Lineage], formats: Iterable[str], chains: Iterable[Stages]
) -> Iterable[tuple[GapKind, str]]:
    count = len(one.training)
    for chain in chains:
        there = any(other.training == chain and not other.quantized for other in kin)
        if len(chain) > count and chain[:count] == one.training and not there:
            yield "training", "+".join(chain[count:])
    for form in formats:
        if not any(other.training == one.training and other.quantization == form for other in kin):
            yield "quantization", form


def _gap(one: Candidate, kind: GapKind, lacks: str, score: float | None, gain: Gain | None) -> Gap:
    measured, aside = gain or (None, 0)
    expected = None if measured is None or score is None else min(1.0, max(0.0, score + measured.median))
    return Gap(one.name, one.where, kind, lacks, score, measured, expected, aside)


def _unfounded(pairs: Pairs, scores: Mapping[str, float | None]) -> Iterable[Gap]:
    """Quantized models without their original, and trained ones without what they were trained from."""
    found = {kind: {one.pair.other for one in pairs if one.pair.kind == kind} for kind in ("quantization", "training")}
    named = {one.pair.other for one in pairs if one.pair.kind == "base run"}
    for place, one in enumerate(pairs.candidates):
        lineage = one.lineage
        if lineage.family is None or place in named:
            continue
        model = " ".join(filter(None, (lineage.family, lineage.parameters)))
        if lineage.quantized and place not in found["quantization"]:
            stages = "+".join(lineage.training) or RELEASED
            yield Gap(
                one.name, one.where, "original", f"{model} {stages}, unquantized", scores.get(one.where), None, None
            )
        if lineage.training and not lineage.quantized and place not in found["training"]:
            yield Gap(one.name, one.where, "base", f"{model} {RELEASED}", scores.get(one.where), None, None)


def _order(gap: Gap, sign: int) -> tuple[int, bool, float, float]:
    gain = gap.measured.median if gap.measured else 0.0
    return GAP_KINDS.index(gap.kind), gap.measured is None, -sign * round(gain, 12), -sign * (gap.score or 0.0)
