"""Which models belong together: a quantized one and its original, a trained one and what it was trained from.

A quantization pair: one family, size and training; one of the two is quantized. A training pair: one family, size and
quantization; the stages of one begin with all the stages of the other, and the longest such beginning is the nearest
predecessor. A base run that was named goes before what names say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from peakbench.analysis.lineage.models import Lineage

Kind = Literal["quantization", "training", "base run"]
FEW_READABLE = 0.5
"""Below this share of readable answers, scores say more about the form of the answers than about their content."""

KINDS: tuple[Kind, ...] = ("quantization", "training", "base run")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may be one half of a pair.

    ``where``: its run's folder, or its line in a table. ``context``: only candidates of one context make a pair by
    their names (the same task and data). ``base``: place of the base run that was named. ``readable``: the share of its
    answers that could be read, None where that is not known.
    """

    name: str
    where: str
    lineage: Lineage
    context: str = ""
    base: int | None = None
    readable: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two candidates by their places, and what the other has that the base has not.

    ``flags``: why the difference may be due to something else too. ``inferred``: the pair rests on what names say.
    """

    kind: Kind
    base: int
    other: int
    added: str
    flags: tuple[str, ...] = ()
    inferred: bool = False
    named: bool = False

    @property
    def clean(self) -> bool:
        """Whether nothing but what was added is known to tell the two apart."""
        return not self.flags


def find_pairs(candidates: Sequence[Candidate]) -> list[Pair]:
    """Return every pair, quantization first, each kind in the order of the candidates.

    A candidate has at most one base of each kind: the one whose name differs least. Of a model whose base run was named
    it is taken that it was trained as its base, where nothing says otherwise.
    """
    candidates = [_inheriting(candidates, place) for place in range(len(candidates))]
    found = []
    for place, one in enumerate(candidates):
        kinds = set()
        if one.base is not None:
            pair = _named(candidates, one.base, place)
            kinds.add(pair.kind)
            found.append(pair)
        if one.lineage.quantized and "quantization" not in kinds:
            found += _nearest(candidates, place, "quantization", _originals(candidates, one))
        if one.lineage.training and "training" not in kinds:
            found += _nearest(candidates, place, "training", _predecessors(candidates, one))
    return sorted(found, key=lambda pair: (KINDS.index(pair.kind), pair.other))


def _inheriting(candidates: Sequence[Candidate], place: int) -> Candidate:
    """The candidate, with its base's training where its own is unknown."""
    one, seen, base = candidates[place], {place}, candidates[place].base
    lineage = one.lineage
    while base is not None and base not in seen and "training" in lineage.unknown:
        first = candidates[base].lineage
        lineage = replace(lineage, training=first.training, unknown=lineage.unknown & first.unknown)
        seen.add(base)
        base = candidates[base].base
    return replace(one, lineage=lineage)


def why_alone(candidate: Candidate) -> str:
    """Say, for a candidate of no pair, what was looked for."""
    lineage = candidate.lineage
    if lineage.family is None:
        return "neither its name nor anybody says of which family it is"
    stages = "+".join(lineage.training)
    size = f" {lineage.parameters}" if lineage.parameters else ""
    if lineage.quantized:
        return f"no unquantized {lineage.family}{size} {stages or 'as released'}"
    if stages:
        return f"no {lineage.family}{size} with fewer stages than {stages}"
    return f"no other {lineage.family}{size} was made from it"


def _originals(candidates: Sequence[Candidate], one: Candidate) -> list[int]:
    return [
        place
        for place, other in enumerate(candidates)
        if not other.lineage.quantized and other.lineage.training == one.lineage.training and _akin(one, other)
    ]


def _predecessors(candidates: Sequence[Candidate], one: Candidate) -> list[int]:
    fitting = [
        place
        for place, other in enumerate(candidates)
        if other.lineage.quantization == one.lineage.quantization
        and _begins(other.lineage, one.lineage)
        and _akin(one, other)
    ]
    longest = max((len(candidates[place].lineage.training) for place in fitting), default=0)
    return [place for place in fitting if len(candidates[place].lineage.training) == longest]


def _akin(one: Candidate, other: Candidate) -> bool:
    return one is not other and one.context == other.context and one.lineage.related(other.lineage)


def _nearest(candidates: Sequence[Candidate], place: int, kind: Kind, bases: Sequence[int]) -> Iterable[Pair]:
    """The base whose name differs least from that of the candidate at ``place``; the first of several such."""
    if not bases:
        return
    one = candidates[place]
    ranks = {base: _distance(candidates[base].lineage, one.lineage) for base in bases}
    best = min(bases, key=lambda base: ranks[base])
    flags = _flags(candidates[best], one, kind)
    rivals = [candidates[base] for base in bases if base != best and ranks[base] == ranks[best]]
    if rivals:
        others = ", ".join(rival.where if rival.name == candidates[best].name else rival.name for rival in rivals[:3])
        flags.append(f"as near a base: {others}{' and more' if len(rivals) > 3 else ''}")
    yield _pair(candidates, best, place, kind, flags)


def _named(candidates: Sequence[Candidate], base: int, place: int) -> Pair:
    """The pair of a candidate and the base run that was named for it."""
    first, second = candidates[base].lineage, candidates[place].lineage
    kind: Kind = "base run"
    if first.training == second.training and not first.quantized and second.quantized:
        kind = "quantization"
    elif first.quantization == second.quantization and _begins(first, second):
        kind = "training"
    flags = _flags(candidates[base], candidates[place], kind)
    said = "family" not in first.inferred | second.inferred
    # A name without a size is hardly read: a checkpoint's number is no family.
    if (said or (first.parameters and second.parameters)) and not first.akin(second):
        flags.append(f"families differ: {first.family} and {second.family}")
    if first.parameters and second.parameters and first.parameters != second.parameters:
        flags.append(f"sizes differ: {first.parameters} and {second.parameters}")
    return _pair(candidates, base, place, kind, flags, named=True)


def _begins(first: Lineage, second: Lineage) -> bool:
    """Whether the second has all the stages of the first, and more after them."""
    count = len(first.training)
    return count < len(second.training) and second.training[:count] == first.training


def _pair(
    candidates: Sequence[Candidate], base: int, place: int, kind: Kind, flags: Sequence[str], *, named: bool = False
) -> Pair:
    first, second = candidates[base].lineage, candidates[place].lineage
    begins = first.training == second.training or _begins(first, second)
    new = second.training[len(first.training) :] if begins else second.training
    stages = "+".join(new) if begins or not new else f"{'+'.join(new)} for {'+'.join(first.training)}"
    turned = first.quantization != second.quantization
    form = (second.quantization if second.quantized else f"{first.quantization} taken back") if turned else ""
    added = {"quantization": form, "training": stages}.get(kind) or " and ".join(filter(None, (stages, form)))
    telling = {"family", "parameters", "training", "quantization"}
    return Pair(
        kind,
        base,
        place,
        added or "nothing that is known",
        tuple(flags),
        inferred=not named and bool((first.inferred | second.inferred) & telling),
        named=named,
    )


def _distance(base: Lineage, other: Lineage) -> tuple[int, bool, bool]:
    return (
        len(base.labels ^ other.labels) + (base.version != other.version),
        base.variant != other.variant and base.variant is not None and other.variant is not None,
        bool(base.conflicts),
    )


def _flags(base: Candidate, other: Candidate, kind: Kind) -> list[str]:
    """Everything but what was added that tells two candidates apart."""
    flags = []
    first, second = base.lineage, other.lineage
    # A label of one's own on a trained model says nothing about the release that it was trained from.
    released = kind == "training" and not first.training and first.version is None and not first.labels
    if first.version != second.version and not released:
        flags.append(f"versions differ: {first.version or 'none'} and {second.version or 'none'}")
    if first.labels != second.labels and not released:
        words = ", ".join(sorted(first.labels ^ second.labels))
        flags.append(f"only one is named: {words}")
    if first.variant and second.variant and first.variant != second.variant:
        flags.append(f"variants differ: {first.variant} and {second.variant}")
    for one in (base, other):
        if one.readable == 0:
            flags.append(f"not one answer of {one.name} could be read: its scores are a floor")
        elif one.readable is not None and one.readable < FEW_READABLE:
            flags.append(f"only {one.readable:.0%} of the answers of {one.name} could be read")
    flags += [f"{one.name}: {conflict}" for one in (base, other) for conflict in one.lineage.conflicts]
    return flags
