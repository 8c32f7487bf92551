"""Which unknown words may be other spellings of words that the vocabulary has.

A cosine alone does not tell two values of one field apart (docs/calibration.md), so beside it stands what the answers
themselves say: how often the word was answered where the reference was the word that it is near to. Both are needed
for a proposal, and a person decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from peakbench.analysis.vocabulary.confusion import Unknown
from peakbench.metrics.base import Floats, Tools
from peakbench.values import text_form

NEAR = 0.75
"""Where a cosine divides labelled pairs best; see docs/calibration.md."""

MOST_UNKNOWN = 200
MOST_COMPARED = 2_000
MOST_PLACES = 5
SPELLING = "spelling (rapidfuzz ratio)"


@dataclass(frozen=True, slots=True)
class Similarity:
    """What judges how near words are: ``of(words, others)`` in [0, 1], shape (words, others); ``name`` is shown."""

    name: str
    of: Callable[[Sequence[str], Sequence[str]], Floats]
    notes: tuple[str, ...] = ()


def open_similarity(tools: Tools) -> Similarity:
    """Return the cosine of the encoder's vectors, clipped to [0, 1]; where there is none, the likeness of spelling."""
    encoder = tools.encoder
    if encoder is None:
        missing = tools.missing.get("encoder", "no sentence encoder is loaded")
        return Similarity(SPELLING, _spelling, (f"nearest words by spelling alone: {missing}",))

    def cosines(words: Sequence[str], others: Sequence[str]) -> Floats:
        vectors: npt.NDArray[np.float32] = encoder.encode([text_form(text) for text in (*words, *others)])
        table: Floats = np.clip(vectors[: len(words)] @ vectors[len(words) :].T, 0.0, 1.0).astype(np.float64)
        return table

    return Similarity(encoder.identity, cosines)


def _spelling(words: Sequence[str], others: Sequence[str]) -> Floats:
    from rapidfuzz import fuzz, process

    table = process.cdist([text_form(one) for one in words], [text_form(one) for one in others], scorer=fuzz.ratio)
    return np.asarray(table, dtype=np.float64) / 100


def unknown_words(
    given: Mapping[str, int],
    stood: Mapping[tuple[str, str], int],
    vocabulary: Sequence[str],
    similarity: Similarity,
    *,
    near: float = NEAR,
    grouped: Collection[str] = frozenset(),
) -> tuple[tuple[Unknown, ...], list[str]]:
    """Return the unknown words, the most frequent first, and notes where a bound was met.

    Args:
        given: how often each was answered.
        stood: (reference, unknown word) -> how often they stood together.
        vocabulary: its words, the most frequent first.
        similarity: what judges nearness.
        near: similarity from which a word is proposed.
        grouped: words that have a group of their own in the field's synonym table: they are never proposed.

    >>> words, _ = unknown_words({"blu": 3}, {("blue", "blu"): 2}, ["red", "blue"], open_similarity(Tools()))
    >>> words[0].nearest, round(words[0].similarity, 2), words[0].stood_for, words[0].proposal
    ('blue', 0.86, 2, 'blue')
    """
    words = sorted(given, key=lambda word: (-given[word], word))
    notes = list(similarity.notes)
    if len(words) > MOST_UNKNOWN:
        notes.append(f"{len(words) - MOST_UNKNOWN:,} rarer words outside the vocabulary are not listed")
        words = words[:MOST_UNKNOWN]
    if len(vocabulary) > MOST_COMPARED:
        notes.append(f"nearness is judged for the {MOST_COMPARED:,} most frequent words of the vocabulary")
        vocabulary = vocabulary[:MOST_COMPARED]
    if not words:
        return (), []
    places: dict[str, Counter[str]] = {word: Counter() for word in words}
    for (reference, word), count in stood.items():
        if word in places:
            places[word][reference] += count
    table = similarity.of(words, vocabulary) if vocabulary else np.zeros((len(words), 0))
    return tuple(
        _unknown(
            word, given[word], dict(zip(vocabulary, row, strict=True)), places[word], near=near, grouped=word in grouped
        )
        for word, row in zip(words, table.tolist(), strict=True)
    ), notes


def _unknown(
    word: str, count: int, similar: Mapping[str, float], places: Counter[str], *, near: float, grouped: bool
) -> Unknown:
    if not similar:
        return Unknown(word, count, grouped=grouped)
    most = sorted(places.items(), key=lambda item: (-item[1], item[0]))
    best = min(similar, key=lambda one: (-similar[one], one))
    proposal = next((other for other, _ in most if similar.get(other, -1.0) >= near), None)
    if grouped or (proposal is not None and 2 * places[proposal] < places.total()):
        proposal = None
    return Unknown(word, count, best, similar[best], places[best], tuple(most[:MOST_PLACES]), proposal, grouped)
