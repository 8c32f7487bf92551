"""Lexical text metrics: token_set_ratio, rouge_l, chrf, bleu, levenshtein.

The numbers are those of the reference implementations (rapidfuzz; rouge-score 0.1.2; sacrebleu 2.6), divided by 100
where they run to 100. ROUGE-L, chrF++ and BLEU are computed here, for whole batches: rouge-score imports nltk, and
sacrebleu counts n-grams pair by pair. The tests hold every number against the libraries themselves.

With ``view: "values"`` a metric reads values, not JSON: for a JSON task the mean over the fields that have a value
on at least one side, for a text task the whole text, in the form of :func:`peakbench.values.text_form`; identical
values score 1 (also where the reference implementation knows no token of them, as rouge-score with any text
that is not Latin). ``view: "raw"`` reads the answer as it was written against the serialised reference, and is the
reference implementation's number as it stands. Both read the first 100,000 characters of a text.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Literal

import numpy as np
from pydantic import BaseModel
from rapidfuzz import fuzz, process
from rapidfuzz.distance import LCSseq, Levenshtein

from peakbench.metrics.base import (
    NO_REFERENCE,
    Batch,
    Floats,
    Ints,
    MetricInfo,
    MetricKind,
    Scores,
    Setting,
    as_written,
    serialised,
)
from peakbench.values import text_form

MAX_TEXT = 100_000
"""How many characters of a text are compared."""

_MEMO_ENTRIES = 1 << 16
_MEMO_CHARS = 256
_CHUNK = 1 << 18

Pairs = Sequence[tuple[str, str]]
"""(reference, prediction) strings."""


class TextParameters(BaseModel, extra="forbid", frozen=True):
    """What a text metric reads: ``values`` (the default), or ``raw`` serialised text."""

    view: Literal["values", "raw"] = "values"


class TextMetric:
    """A text metric over unique pairs of strings, each computed once a batch and kept in a bounded memo."""

    requires: tuple[str, ...] = ()

    def __init__(
        self, info: MetricInfo, compare: Callable[[Pairs], Floats], view: Literal["values", "raw"] = "values"
    ) -> None:
        self.info = info
        self._compare = compare
        self._view = view
        self._memo: dict[tuple[str, str], float] = {}

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers in [0, 1]; rows without a reference are unscored."""
        if self._view == "values" and batch.cells is not None:
            return batch.cells.mean_over_values(self._values(batch.cells.texts))
        pairs = []
        reasons = {}
        for row, (prediction, reference) in enumerate(zip(batch.predictions, batch.references, strict=True)):
            if reference is None:
                reasons[row] = NO_REFERENCE
                pairs.append(("", ""))
            elif self._view == "raw":
                pairs.append((serialised(reference), as_written(prediction)))
            else:
                pairs.append((text_form(reference), text_form(prediction.value)))
        scored = np.ones(len(pairs), dtype=np.bool_)
        scored[list(reasons)] = False
        return Scores(self._values(pairs), scored, reasons)

    def _values(self, pairs: Pairs) -> Floats:
        memo = self._memo
        new = list({pair: None for pair in pairs if pair not in memo})
        if not new:
            return np.fromiter((memo[pair] for pair in pairs), np.float64, len(pairs))
        cut = [(reference[:MAX_TEXT], prediction[:MAX_TEXT]) for reference, prediction in new]
        values = np.minimum(self._compare(cut), 1.0)
        if self._view == "values":
            values[[reference == prediction for reference, prediction in new]] = 1.0
        found = dict(zip(new, values.tolist(), strict=True))
        result = np.fromiter((memo[p] if p in memo else found[p] for p in pairs), np.float64, len(pairs))
        if len(memo) + len(found) > _MEMO_ENTRIES:
            memo.clear()
        memo.update(
            (pair, value)
            for pair, value in list(found.items())[:_MEMO_ENTRIES]
            if len(pair[0]) + len(pair[1]) <= _MEMO_CHARS
        )
        return result


# -- the metrics, each (n pairs) -> (n,) in [0, 1] ---------------------------------------------------------------------


def token_set_ratio(pairs: Pairs) -> Floats:
    """Return rapidfuzz ``fuzz.token_set_ratio`` / 100.

    >>> token_set_ratio([("fuzzy was a bear", "fuzzy fuzzy was a bear")]).tolist()
    [1.0]
    """
    return _distances(pairs, fuzz.token_set_ratio) / 100.0


def levenshtein(pairs: Pairs) -> Floats:
    """Return rapidfuzz ``Levenshtein.normalized_similarity``: 1 - edits / max length.

    >>> levenshtein([("kitten", "sitting")]).round(4).tolist()
    [0.5714]
    """
    return _distances(pairs, Levenshtein.normalized_similarity)


def _distances(pairs: Pairs, scorer: Callable[..., float]) -> Floats:
    if not pairs:
        return np.zeros(0)
    references, predictions = zip(*pairs, strict=True)
    result: Floats = process.cpdist(references, predictions, scorer=scorer, dtype=np.float64)
    return result


def rouge_l(pairs: Pairs) -> Floats:
    """Return rouge-score's rougeL F1, without stemming: F1 of the longest common subsequence of [a-z0-9]+ tokens.

    >>> rouge_l([("the quick brown fox jumps", "the quick dog jumps on")]).tolist()
    [0.6]
    """
    values = np.zeros(len(pairs))
    for index, (reference, prediction) in enumerate(pairs):
        expected = _ROUGE_TOKEN.findall(reference.lower())
        found = _ROUGE_TOKEN.findall(prediction.lower())
        if expected and found:
            common = LCSseq.similarity(expected, found)
            if common:
                precision, recall = common / len(found), common / len(expected)
                values[index] = 2 * precision * recall / (precision + recall)
    return values


_ROUGE_TOKEN = re.compile("[a-z0-9]+")


def chrf(pairs: Pairs) -> Floats:
    """Return sacrebleu's sentence chrF++ / 100: character order 6, word order 2, beta 2, effective order.

    Popović 2017, "chrF++: words helping character n-grams"; precision and recall are averaged over the orders that
    both sides have, before F is taken.

    >>> chrf([("navy blue", "navy blue"), ("navy", "red")]).tolist()
    [1.0, 0.0]
    """
    characters = ["".join(text.split()) for text in chain.from_iterable(pairs)]
    words = [_chrf_words(text) for text in chain.from_iterable(pairs)]
    matches = np.hstack((common_ngrams(characters, 6), common_ngrams(words, 2)))
    totals = np.hstack((_ngrams(characters, 6), _ngrams(words, 2)))
    expected, found = totals[0::2], totals[1::2]
    effective = (expected > 0) & (found > 0)
    # cumsum, not sum: numpy adds pairwise, and the last digit is to be sacrebleu's
    precision = np.cumsum(np.where(effective, matches / np.maximum(found, 1), 0.0), axis=1)[:, -1]
    recall = np.cumsum(np.where(effective, matches / np.maximum(expected, 1), 0.0), axis=1)[:, -1]
    orders = np.maximum(effective.sum(axis=1), 1)
    precision, recall = precision / orders, recall / orders
    below = 4 * precision + recall
    result: Floats = 100 * (5 * precision * recall / np.where(below > 0, below, 1.0)) / 100
    return result


def _chrf_words(text: str) -> list[str]:
    """Split on spaces; one punctuation mark at the end of a word, else one at its beginning, is a word."""
    words = []
    for word in text.split():
        if len(word) == 1 or word.isalnum():
            words.append(word)
        elif word[-1] in string.punctuation:
            words += (word[:-1], word[-1])
        elif word[0] in string.punctuation:
            words += (word[0], word[1:])
        else:
            words.append(word)
    return words


def bleu(pairs: Pairs) -> Floats:
    """Return sacrebleu's sentence BLEU / 100: tokens 13a, exponential smoothing, effective order.

    Papineni et al. 2002; Chen and Cherry 2014, smoothing 3: each order without a match halves the one before.

    >>> bleu([("a b c d e", "a b c d f")]).round(4).tolist()
    [0.6687]
    """
    words = [_bleu_words(text) for text in chain.from_iterable(pairs)]
    correct = common_ngrams(words, 4)
    found = _ngrams(words, 4)[1::2]
    lengths = np.array([len(each) for each in words], dtype=np.int64)
    expected_length, found_length = lengths[0::2], lengths[1::2]
    used = found > 0
    missed = used & (correct == 0)
    halved = 2.0 ** np.cumsum(missed, axis=1)
    precision = np.where(missed, 100.0 / (halved * np.maximum(found, 1)), 100.0 * correct / np.maximum(found, 1))
    logs = np.where(used, np.log(np.where(used, precision, 1.0)), 0.0)
    mean_log = np.cumsum(logs, axis=1)[:, -1] / np.maximum(used.sum(axis=1), 1)
    brevity = np.exp(np.minimum(1 - expected_length / np.maximum(found_length, 1), 0.0))
    return np.where(correct.any(axis=1), np.minimum(brevity * np.exp(mean_log) / 100, 1.0), 0.0)


# NIST mteval-v13a: what stands alone as a token. An apostrophe never does; a full stop, a comma and a hyphen do where
# the rules say so.
_ALONE = str.maketrans({mark: f" {mark} " for mark in string.punctuation if mark not in "',-."})
_AFTER_NON_DIGIT = re.compile(r"([^0-9])([.,])")
_BEFORE_NON_DIGIT = re.compile(r"([.,])([^0-9])")
_AFTER_DIGIT = re.compile(r"([0-9])-")


def _bleu_words(text: str) -> list[str]:
    """Tokenise as mteval-v13a.pl does (NIST), with sacrebleu's reading of line ends."""
    if text.isalnum():
        return [text]
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    if "&" in text:
        for entity, character in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
            text = text.replace(entity, character)
    text = f" {text} ".translate(_ALONE)
    if "." in text or "," in text:
        text = _BEFORE_NON_DIGIT.sub(r" \1 \2", _AFTER_NON_DIGIT.sub(r"\1 \2 ", text))
    if "-" in text:
        text = _AFTER_DIGIT.sub(r"\1 - ", text)
    return text.split()


# -- n-grams of many pairs at once -------------------------------------------------------------------------------------


def _ngrams(sequences: Sequence[Sequence[Hashable]], order: int) -> Ints:
    """How many n-grams of each length 1..order each sequence has: shape (len(sequences), order)."""
    lengths = np.array([len(each) for each in sequences], dtype=np.int64)
    counts: Ints = np.maximum(lengths[:, None] - np.arange(order), 0)
    return counts


def common_ngrams(sequences: Sequence[str] | Sequence[Sequence[str]], order: int) -> Ints:
    """Count the n-grams that two sequences have in common, each as often as the rarer side has it.

    Args:
        sequences: reference, prediction, reference, prediction, ...: strings (n-grams of characters) or lists of words.
        order: n-grams of length 1 to ``order``.

    Returns:
        Shape (number of pairs, order).

    >>> common_ngrams(["aab", "aac"], 3).tolist()
    [[2, 1, 0]]
    """
    pairs = len(sequences) // 2
    if pairs == 0:
        return np.zeros((0, order), dtype=np.int64)
    lengths = np.array([len(each) for each in sequences], dtype=np.int64)
    if pairs == 1 or lengths.sum() <= _CHUNK:
        symbols, kinds = _numbered(sequences)
        symbol_bits, pair_bits = (kinds - 1).bit_length(), (pairs - 1).bit_length()
        if order * symbol_bits + pair_bits + 1 <= 63:
            return _common_packed(symbols, lengths, order, symbol_bits)
    if pairs == 1:
        return _common_counted(sequences[0], sequences[1], order)
    half = pairs // 2 * 2
    return np.concatenate((common_ngrams(sequences[:half], order), common_ngrams(sequences[half:], order)))


def _numbered(sequences: Sequence[str] | Sequence[Sequence[str]]) -> tuple[Ints, int]:
    """Number the symbols of all sequences, one after the other, from 0; and say how many there are."""
    if isinstance(sequences[0], str):
        joined = "".join(chain.from_iterable(sequences))
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        used = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.int64)
        used[codes] = 1
        return (np.cumsum(used) - 1)[codes], int(used.sum())
    numbers: dict[str, int] = {}
    words: Iterable[str] = chain.from_iterable(sequences)
    symbols = np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.int64)
    return symbols, len(numbers)


def _common_packed(symbols: Ints, lengths: Ints, order: int, symbol_bits: int) -> Ints:
    """Pack (pair, n-gram, side) into one integer each, exactly; sorted, the two sides of an n-gram are neighbours."""
    pairs = len(lengths) // 2
    owner = np.repeat(np.arange(len(lengths)), lengths)
    pair, side = owner >> 1, owner & 1
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(symbols))  # symbols from here to the end
    result = np.zeros((pairs, order), dtype=np.int64)
    grams = np.zeros(len(symbols), dtype=np.int64)
    start = np.arange(len(symbols))
    for n in range(1, order + 1):
        kept = left >= n
        left, pair, side, start = left[kept], pair[kept], side[kept], start[kept]
        if len(start) == 0:
            break
        grams = (grams[kept] << symbol_bits) | symbols[start + n - 1]
        keys = (((pair << (n * symbol_bits)) | grams) << 1) | side
        keys.sort()
        first = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        counts = np.diff(first, append=len(keys))
        distinct = keys[first] >> 1
        both = distinct[1:] == distinct[:-1]
        common = np.minimum(counts[1:], counts[:-1])[both]
        owners = distinct[1:][both] >> (n * symbol_bits)
        result[:, n - 1] = np.bincount(owners, weights=common, minlength=pairs)
    return result


def _common_counted(reference: Sequence[str], prediction: Sequence[str], order: int) -> Ints:
    """Count one pair with more kinds of symbols than can be packed."""
    result = np.zeros((1, order), dtype=np.int64)
    for n in range(1, order + 1):
        sides = (Counter(zip(*(text[i:] for i in range(n)), strict=False)) for text in (reference, prediction))
        expected, found = sides
        result[0, n - 1] = (expected & found).total()
    return result


_COMPARE: Mapping[str, tuple[Callable[[Pairs], Floats], str, str]] = {
    "token_set_ratio": (
        token_set_ratio,
        "lib:rapidfuzz",
        "rapidfuzz token_set_ratio / 100: word order and repeats do not count",
    ),
    "rouge_l": (
        rouge_l,
        "lib:rouge-score-0.1.2|stem:no",
        "rouge-score rougeL F1, no stemming: longest common subsequence of words",
    ),
    "chrf": (
        chrf,
        "lib:sacrebleu-2|chrF2++|eff:yes|nc:6|nw:2|space:no",
        "sacrebleu sentence chrF++ / 100: character 1- to 6-grams, word 1- and 2-grams, beta 2",
    ),
    "bleu": (
        bleu,
        "lib:sacrebleu-2|eff:yes|tok:13a|smooth:exp",
        "sacrebleu sentence BLEU / 100: tokens 13a, smoothing exp, effective order",
    ),
    "levenshtein": (levenshtein, "lib:rapidfuzz", "rapidfuzz normalized similarity: 1 - edits / max length"),
}
"""What compares pairs; whose number it is, for signatures; a description."""


def _kind(name: str) -> MetricKind:
    compare, library, description = _COMPARE[name]

    def build(info: MetricInfo, parameters: TextParameters, setting: Setting) -> TextMetric:
        return TextMetric(info.signed(library), compare, parameters.view)

    return MetricKind(name, build, TextParameters, frozenset({"reference"}), description)


KINDS: tuple[MetricKind, ...] = tuple(_kind(name) for name in _COMPARE)
