"""METEOR by value: nltk's, for comparison with numbers elsewhere, and ours, which knows lemmas of several words.

Both align the words of two texts and weigh precision and recall of the aligned words with a penalty for their
fragmentation (Banerjee and Lavie 2005, "METEOR: An Automatic Metric for MT Evaluation with Improved Correlation with
Human Judgments"; Lavie and Agarwal 2007, "METEOR: An Automatic Metric for MT Evaluation with High Levels of
Correlation with Human Judgments"), alpha 0.9, beta 3, gamma 0.5: the parameters of 2005, and nltk's defaults.

``meteor`` is nltk's number as it stands, over words split at spaces. One word that is identical scores 0.5 (one chunk
of one match is full fragmentation), and synonyms are looked up on Porter's stems, which are rarely words of WordNet:
car / automobile scores 0. ``meteor_lemma`` is :func:`meteor_lemma`. For a JSON task both are the mean over the fields
that have a value on at least one side, in the form of :func:`peakbench.values.text_form`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise, product
from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel

from peakbench.metrics.base import (
    NO_REFERENCE,
    Batch,
    Floats,
    Lexicon,
    MetricInfo,
    MetricKind,
    NoParameters,
    Scores,
    Setting,
    as_written,
    serialised,
)
from peakbench.values import text_form

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
MAX_TEXT = 10_000
"""How many characters of a text are compared."""

LONGEST_LEMMA = 3
"""How many words a lemma may have that is joined."""

_MEMO_ENTRIES = 1 << 16
_MEMO_CHARS = 256
_NO_LEXICON = "no dictionary (WordNet) is loaded"
_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")

Pairs = Sequence[tuple[str, str]]
"""(reference, prediction) strings."""


class Unit(NamedTuple):
    """One word, or one lemma of several words. ``letters``: without what stands between them."""

    letters: str
    stem: str
    senses: frozenset[str]


def meteor_lemma(reference: str, prediction: str, lexicon: Lexicon) -> float:
    """Return the METEOR of two texts whose lemmas of several words count as one word each, in [0, 1].

    1. *Words*: runs of letters and digits, case folded; a hyphen parts words, an apostrophe does not, other
       punctuation is left out.
    2. *Units*: from left to right, the longest run of up to three words that the dictionary has as one lemma, with
       ``_``, ``-`` or nothing in between, is one unit ("navy blue", "t-shirt"); so is a run whose stems are those of
       such a lemma of the other text ("long-sleeved" beside "long sleeve"). Every other word is a unit.
    3. *Alignment*, in three stages, each over the units that the stages before left: the same letters ("crewneck" and
       "crew neck"), the same stems, a sense in common (in any inflection: "sneakers" and "gym shoe"). In each stage
       the units of the prediction, from left to right, take the first free unit of the reference that fits.
    4. *Score*: with m aligned units, P = m / units of the prediction, R = m / units of the reference,
       F = P R / (alpha P + (1 - alpha) R), and c chunks (runs that are adjacent and in order on both sides):
       F (1 - gamma (c / m)^beta), where one chunk has no penalty. So identical texts score 1; nothing aligned is 0.

    >>> class Senses:
    ...     identity = "two words"
    ...     senses = staticmethod(lambda word: {"t-shirt": frozenset("1"), "tee_shirt": frozenset("1")}.get(word, ()))
    ...     stem = staticmethod(str)
    >>> meteor_lemma("T-shirt", "tee shirt", Senses()), meteor_lemma("red shirt", "red hat", Senses())
    (1.0, 0.5)
    """
    expected, found = _words(reference), _words(prediction)
    lemmas: frozenset[tuple[str, ...]] = frozenset()
    for words in (expected, found):
        runs = _runs(words, lexicon, frozenset())
        lemmas |= {tuple(map(lexicon.stem, run)) for run in runs if len(run) > 1}
    truth = [_unit(run, lexicon) for run in _runs(expected, lexicon, lemmas)]
    answer = [_unit(run, lexicon) for run in _runs(found, lexicon, lemmas)]
    pairs = _aligned(truth, answer)
    if not pairs:
        return float(reference == prediction and reference != "")
    matches = len(pairs)
    precision, recall = matches / len(answer), matches / len(truth)
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    chunks = 1 + sum(1 for (a, b), (c, d) in pairwise(pairs) if (c, d) != (a + 1, b + 1))
    penalty = GAMMA * (chunks / matches) ** BETA if chunks > 1 else 0.0
    return min(1.0, mean * (1 - penalty))


def _words(text: str) -> list[str]:
    return _WORD.findall(text[:MAX_TEXT].casefold())


def _runs(words: Sequence[str], lexicon: Lexicon, lemmas: frozenset[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Part words into runs: lemmas of several words, by their spelling or by ``lemmas`` (their stems), and words."""
    runs = []
    start = 0
    while start < len(words):
        for length in range(min(LONGEST_LEMMA, len(words) - start), 0, -1):
            run = tuple(words[start : start + length])
            if length == 1 or tuple(map(lexicon.stem, run)) in lemmas or _known(run, lexicon):
                runs.append(run)
                start += length
                break
    return runs


def _known(run: tuple[str, ...], lexicon: Lexicon) -> frozenset[str]:
    """Return the senses of a run in the first spelling that the dictionary has, empty where it has none."""
    for marks in product("_-", repeat=len(run) - 1):
        senses = lexicon.senses(run[0] + "".join(map("".join, zip(marks, run[1:], strict=True))))
        if senses:
            return frozenset(senses)
    return frozenset(lexicon.senses("".join(run))) if len(run) > 1 else frozenset()


def _unit(run: tuple[str, ...], lexicon: Lexicon) -> Unit:
    return Unit("".join(run), "".join(map(lexicon.stem, run)), _known(run, lexicon))


def _aligned(truth: Sequence[Unit], answer: Sequence[Unit]) -> list[tuple[int, int]]:
    """Return (place in the answer, place in the truth) of the aligned units, in the answer's order."""
    partner: dict[int, int] = {}
    taken: set[int] = set()
    stages: tuple[Callable[[Unit], frozenset[str]], ...] = (
        lambda unit: frozenset((unit.letters,)),
        lambda unit: frozenset((unit.stem,)),
        lambda unit: unit.senses,
    )
    for keys in stages:
        places: dict[str, list[int]] = {}
        for place in range(len(truth) - 1, -1, -1):
            if place not in taken:
                for key in keys(truth[place]):
                    places.setdefault(key, []).append(place)
        for place, unit in enumerate(answer):
            if place in partner:
                continue
            free = []
            for key in keys(unit):
                stack = places.get(key, [])
                while stack and stack[-1] in taken:
                    stack.pop()
                free += stack[-1:]
            if free:
                partner[place] = min(free)
                taken.add(partner[place])
    return sorted(partner.items())


class MeteorParameters(BaseModel, extra="forbid", frozen=True):
    """What is read: ``values`` (the default), or ``raw`` serialised text."""

    view: Literal["values", "raw"] = "values"


class MeteorMetric:
    """A METEOR over unique pairs of strings, each computed once and kept in a bounded memo.

    Without a dictionary every row is unscored with ``missing``: nothing else stands in for it.
    """

    requires: tuple[str, ...] = ()

    def __init__(
        self,
        info: MetricInfo,
        compare: Callable[[Pairs], Floats] | None,
        *,
        view: Literal["values", "raw"] = "values",
        missing: str = _NO_LEXICON,
    ) -> None:
        self.info = info
        self._compare = compare
        self._view = view
        self._missing = missing
        self._memo: dict[tuple[str, str], float] = {}

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers in [0, 1]; rows without a reference are unscored."""
        if self._compare is None:
            return Scores.none(len(batch), self._missing)
        if self._view == "values" and batch.cells is not None:
            return batch.cells.mean_over_values(self._values(self._compare, batch.cells.texts))
        absent = [row for row, reference in enumerate(batch.references) if reference is None]
        pairs = []
        for prediction, reference in zip(batch.predictions, batch.references, strict=True):
            if reference is None:
                pairs.append(("", ""))
            elif self._view == "raw":
                pairs.append((serialised(reference), as_written(prediction)))
            else:
                pairs.append((text_form(reference), text_form(prediction.value)))
        scored = np.ones(len(pairs), dtype=np.bool_)
        scored[absent] = False
        return Scores(self._values(self._compare, pairs), scored, dict.fromkeys(absent, NO_REFERENCE))

    def _values(self, compare: Callable[[Pairs], Floats], pairs: Pairs) -> Floats:
        found = {pair: self._memo[pair] for pair in pairs if pair in self._memo}
        new = [pair for pair in dict.fromkeys(pairs) if pair not in found]
        if new:
            values = compare([(reference[:MAX_TEXT], prediction[:MAX_TEXT]) for reference, prediction in new])
            found.update(zip(new, values.tolist(), strict=True))
            kept = [pair for pair in new if len(pair[0]) + len(pair[1]) <= _MEMO_CHARS][:_MEMO_ENTRIES]
            if len(self._memo) + len(kept) > _MEMO_ENTRIES:
                self._memo.clear()
            self._memo.update((pair, found[pair]) for pair in kept)
        return np.fromiter((found[pair] for pair in pairs), np.float64, len(pairs))


def _lemma_values(lexicon: Lexicon, pairs: Pairs) -> Floats:
    return np.fromiter((meteor_lemma(*pair, lexicon) for pair in pairs), np.float64, len(pairs))


def _identified(info: MetricInfo, lexicon: Lexicon | None) -> MetricInfo:
    return info.signed(f"lexicon:{lexicon.identity if lexicon else 'off'}")


def _build(info: MetricInfo, parameters: MeteorParameters, setting: Setting) -> MeteorMetric:
    lexicon = setting.tools.lexicon
    return MeteorMetric(
        _identified(info, lexicon),
        lexicon.meteor if lexicon else None,
        view=parameters.view,
        missing=setting.tools.missing.get("lexicon", _NO_LEXICON),
    )


def _build_lemma(info: MetricInfo, _parameters: NoParameters, setting: Setting) -> MeteorMetric:
    lexicon = setting.tools.lexicon
    return MeteorMetric(
        _identified(info, lexicon),
        partial(_lemma_values, lexicon) if lexicon else None,
        missing=setting.tools.missing.get("lexicon", _NO_LEXICON),
    )


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "meteor",
        _build,
        MeteorParameters,
        needs=frozenset({"reference", "lexicon"}),
        description="nltk's METEOR over words split at spaces: exact, stem, WordNet synonym",
    ),
    MetricKind(
        "meteor_lemma",
        _build_lemma,
        needs=frozenset({"reference", "lexicon"}),
        description="METEOR with WordNet's lemmas of several words as one word each; identity scores 1",
    ),
)
"""What ships, in the order in which it is listed."""
