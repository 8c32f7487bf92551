"""Lexical text metrics: published values of the libraries, tables worked by hand, and the libraries themselves."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from peakbench.metrics import text as room
from peakbench.metrics.base import Batch, Cells, MetricInfo
from peakbench.metrics.text import KINDS, TextMetric, bleu, chrf, common_ngrams, levenshtein, rouge_l, token_set_ratio
from peakbench.records import Completion, Prediction, Response

KIND = {kind.name: kind for kind in KINDS}


def info(kind):
    return MetricInfo(
        id=kind, title=kind, family="text", low=0.0, high=1.0, higher_is_better=True, signature=f"{kind}|v1"
    )


def metric(kind, **parameters):
    offered = KIND[kind]
    return offered.build(info(kind), offered.parameters(**parameters), None)


def cells(pairs, texts, expected=None):
    pairs = np.array(pairs, dtype=np.int64)
    n, f = pairs.shape
    expected = np.ones((n, f), dtype=bool) if expected is None else np.array(expected)
    zeros = np.zeros((n, f))
    return Cells(
        tuple("abcdefghi"[:f]), np.ones(f), expected, expected, zeros.astype(np.int8), zeros, zeros, pairs, texts
    )


def batch(answers, references, of=None, texts=None):
    predictions = [
        Prediction(
            f"p{i}",
            0,
            "text" if isinstance(value, str) else "strict",
            value,
            completion=None if texts is None else Completion(f"p{i}", 0, Response(texts[i])),
        )
        for i, value in enumerate(answers)
    ]
    return Batch(predictions, references, np.ones(len(answers), dtype=bool), of)


class TestPublishedValues:
    def test_rapidfuzz_documentation(self):
        # rapidfuzz.github.io/RapidFuzz: fuzz.token_set_ratio, Levenshtein.normalized_similarity
        pairs = [
            ("fuzzy wuzzy was a bear", "wuzzy fuzzy was a bear"),
            ("fuzzy was a bear", "fuzzy fuzzy was a bear"),
            ("fuzzy was a bear but not a dog", "fuzzy was a bear but not a cat"),
        ]
        assert token_set_ratio(pairs) == pytest.approx([1.0, 1.0, 0.92307692307692], abs=1e-12)
        assert levenshtein([("lewenstein", "levenshtein")]) == pytest.approx([0.81818181818181], abs=1e-12)

    def test_rouge_scorer_own_tests(self):
        # google-research/rouge/rouge_scorer_test.py: testRougeLConsecutive, ...NonConsecutive, testRougeEmpty
        target = "testing one two"
        pairs = [(target, "testing one"), (target, "testing two"), (target, ""), (target, "/"), (target, "testing")]
        assert rouge_l(pairs) == pytest.approx([4 / 5, 4 / 5, 0, 0, 1 / 2], abs=1e-12)

    def test_sacrebleu_own_tests(self):
        # mjpost/sacrebleu test_bleu.py: test_case_effective_order, test_case_statistics
        assert bleu([("a test", "test"), ("a test", "a test")]) == pytest.approx([0.3678794411714425, 1.0], abs=1e-12)
        hypothesis, reference = "am I am a character sequence", "I am a symbol string sequence a a"
        assert common_ngrams([reference.split(), hypothesis.split()], 4).tolist() == [[4, 2, 1, 0]]

    def test_papineni_clipped_counts(self):
        # Papineni et al. 2002, section 2.1: modified unigram precision 2/7
        assert common_ngrams([["the", "cat", "is", "on", "the", "mat"], ["the"] * 7], 1).tolist() == [[2]]

    def test_bleu_by_hand(self):
        # orders 1 to 4: 4/5, 3/4, 2/3, 1/2, no brevity penalty: (0.2) ** (1 / 4)
        assert bleu([("a b c d e", "a b c d f")]) == pytest.approx([0.2**0.25], abs=1e-12)
        # orders 1, 2: 1/2 and none of 1, halved once: sqrt(1/2 * 1/2); half as long as the reference: e^(1 - 4/2)
        assert bleu([("a b c d", "a x")]) == pytest.approx([0.5 * np.exp(-1)], abs=1e-12)

    def test_chrf_by_hand(self):
        # "aa" against "ab": characters 1/2, 0; words 0; longer n-grams do not exist: precision = recall = F = 1/6
        assert chrf([("ab", "aa")]) == pytest.approx([1 / 6], abs=1e-12)
        # "ab" against "abc": characters 2/2 2/3, 1/1 1/2 (no trigram in the answer), words 0: P = 2/3, R = 7/18
        p, r = 2 / 3, 7 / 18
        assert chrf([("abc", "ab")]) == pytest.approx([5 * p * r / (4 * p + r)], abs=1e-12)
        # sacrebleu test_chrf.py, effective order: "a b c" against "abc" has all characters; words: 0 of 3, 0 of 1
        assert chrf([("abc", "a b c")]) == pytest.approx([3 / 4], abs=1e-12)


WORDS = st.sampled_from(
    ["the", "a", "navy-blue", "t-shirt,", "don't", "3.5", "3,000", "-5", "4-5", "U.S.", "&amp;", "<skipped>", "x-\ny",
     '"q"', "(hi)", "éclair", "藍色", ",,", "..", "a.b", "$5", "i'm", "!", "\u00a0", "\ud800", "İ", "\x1c"]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=40) | st.text("ab .,-0\n&", max_size=30)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS) | TEXTS.map(lambda text: (text, text)), min_size=1, max_size=12)


class TestAgainstTheLibraries:
    @settings(deadline=None, max_examples=200)
    @given(PAIRS)
    def test_chrf_is_sacrebleu_to_the_last_bit(self, pairs):
        from sacrebleu.metrics import CHRF

        library = CHRF(word_order=2)
        assert chrf(pairs).tolist() == [library.sentence_score(p, [r]).score / 100 for r, p in pairs]

    @settings(deadline=None, max_examples=200)
    @given(PAIRS)
    def test_bleu_is_sacrebleu(self, pairs):
        from sacrebleu.metrics import BLEU

        library = BLEU(effective_order=True)
        expected = [min(library.sentence_score(p, [r]).score / 100, 1.0) for r, p in pairs]
        assert bleu(pairs) == pytest.approx(expected, abs=1e-14)

    @settings(deadline=None, max_examples=200)
    @given(PAIRS)
    def test_rouge_l_is_rouge_score(self, pairs):
        from rouge_score.rouge_scorer import RougeScorer

        library = RougeScorer(["rougeL"])
        assert rouge_l(pairs).tolist() == [library.score(r, p)["rougeL"].fmeasure for r, p in pairs]

    @settings(deadline=None, max_examples=50)
    @given(PAIRS)
    def test_rapidfuzz_in_bulk_is_rapidfuzz_one_by_one(self, pairs):
        assert token_set_ratio(pairs).tolist() == [fuzz.token_set_ratio(r, p) / 100 for r, p in pairs]
        assert levenshtein(pairs).tolist() == [Levenshtein.normalized_similarity(r, p) for r, p in pairs]

    def test_signatures_are_those_that_the_numbers_have(self):
        from sacrebleu.metrics import BLEU, CHRF

        chrf_library, bleu_library = CHRF(word_order=2), BLEU(effective_order=True)
        chrf_library.sentence_score("a", ["a"])
        bleu_library.sentence_score("a", ["a"])
        assert chrf_library.get_signature().format().startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|")
        assert bleu_library.get_signature().format().startswith("nrefs:1|case:mixed|eff:yes|tok:13a|smooth:exp|")


class TestCommonNgrams:
    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.text("abc", max_size=12), min_size=2, max_size=12), st.integers(1, 6))
    def test_packed_is_counted(self, texts, order):
        texts = texts[: len(texts) // 2 * 2]
        expected = [room._common_counted(r, p, order)[0].tolist() for r, p in zip(texts[::2], texts[1::2], strict=True)]
        assert common_ngrams(texts, order).tolist() == expected

    def test_more_kinds_of_characters_than_can_be_packed(self):
        wide = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
        sequences = [wide, wide[1500:] + "x", "ab", "abab", wide[:10], wide]
        assert common_ngrams(sequences, 6).tolist() == [
            [1500, 1499, 1498, 1497, 1496, 1495],
            [2, 1, 0, 0, 0, 0],
            [10, 9, 8, 7, 6, 5],
        ]

    def test_batches_beyond_one_chunk(self, monkeypatch):
        texts = [f"value number {i % 97} of {i % 13}" for i in range(400)]
        whole = common_ngrams(texts, 6).tolist()
        monkeypatch.setattr(room, "_CHUNK", 50)
        assert common_ngrams(texts, 6).tolist() == whole


class TestValues:
    TEXTS = (("navy blue", "navy blue"), ("navy blue", "dark blue"), ("red", "green"))

    @pytest.mark.parametrize("kind", list(KIND))
    def test_mean_over_fields_with_a_value(self, kind):
        single = metric(kind)._values(self.TEXTS)
        assert single[0] == 1.0
        assert 0 < single[1] < 1
        rows = [[0, 1, 2], [0, -1, -2], [-1, -1, -2], [-2, -2, -2], [1, -2, -2]]
        expected = [single.mean(), 1 / 2, 0.0, 1.0, single[1]]
        scores = metric(kind).score_batch(batch([{}] * 5, [{}] * 5, cells(rows, list(self.TEXTS))))
        assert scores.values == pytest.approx(expected, abs=1e-15)
        assert scores.scored.all()

    @pytest.mark.parametrize("kind", list(KIND))
    def test_identical_values_score_one(self, kind):
        # sacrebleu gives 100.00000000000004 for the first, rouge-score 0 for the last two
        texts = ["a b c d e f g", "藍色", "-", "x"]
        scores = metric(kind).score_batch(batch([{}], [{}], cells([[0, 1, 2, 3]], [(t, t) for t in texts])))
        assert scores.values.tolist() == [1.0]

    def test_a_reference_without_fields_is_unscored(self):
        scores = metric("bleu").score_batch(batch([{}], [{}], cells([[-2, -2]], [], [[False, False]])))
        assert not scores.scored[0]
        assert scores.reasons == {0: "the reference has none of the task's fields"}

    def test_empty_batches(self):
        for kind in KIND:
            assert metric(kind).score_batch(batch([], [], cells(np.zeros((0, 3)), []))).values.shape == (0,)
            assert metric(kind).score_batch(batch([], [])).values.shape == (0,)


class TestTexts:
    @pytest.mark.parametrize("kind", list(KIND))
    def test_a_text_task_reads_folded_texts(self, kind):
        scores = metric(kind).score_batch(
            batch(["A  RED shirt ", "", "a blue shirt", "x"], ["a red shirt", "a red shirt", "a red shirt", None])
        )
        assert scores.values[:2].tolist() == [1.0, 0.0]
        assert 0 < scores.values[2] < 1
        assert scores.scored.tolist() == [True, True, True, False]
        assert scores.reasons == {3: "the sample has no reference"}

    def test_raw_reads_the_answer_as_written(self):
        reference = {"color": "Éclair", "size": None}
        written = '```json\n{"color": "Éclair"}\n```'
        value = metric("levenshtein", view="raw").score_batch(
            batch([{"color": "Éclair"}], [reference], cells([[0, -2]], [("éclair", "éclair")]), [written])
        )
        expected = Levenshtein.normalized_similarity('{"color": "Éclair", "size": null}', written)
        assert value.values.tolist() == [expected]

    def test_raw_of_an_answer_that_nobody_wrote_is_its_value(self):
        scores = metric("levenshtein", view="raw").score_batch(
            batch([{"a": 1}], [{"a": 1}], cells([[0]], [("1", "1")]))
        )
        assert scores.values.tolist() == [1.0]

    def test_raw_pays_for_braces_and_keys(self):
        # Nine wrong values of nine: the braces and keys alone earn the rest.
        names = ["type", "color", "pattern", "neckline", "sleeve_length", "closure", "brand", "size", "defect_type"]
        values = ["t-shirt", "navy", "solid", "crew", "short", "none", "acme", "m", "hole"]
        reference = dict(zip(names, values, strict=True))
        wrong = dict(zip(reference, ["qq", "ww", "zz", "yy", "vv", "uu", "kk", "jj", "xx"], strict=True))
        pairs = [*zip(reference.values(), wrong.values(), strict=True)]
        of = cells([range(9)], pairs)
        both = batch([wrong], [reference], of)
        assert metric("rouge_l", view="raw").score_batch(both).values[0] > 0.45
        assert metric("token_set_ratio", view="raw").score_batch(both).values[0] > 0.7
        assert metric("rouge_l").score_batch(both).values[0] == 0
        assert metric("token_set_ratio").score_batch(both).values[0] < 0.1

    def test_raw_is_the_library_number_even_where_identical(self):
        assert metric("rouge_l", view="raw").score_batch(batch(["藍色"], ["藍色"])).values.tolist() == [0.0]


class TestBounds:
    def test_unique_pairs_are_computed_once(self):
        asked = []

        def compare(pairs):
            asked.append(list(pairs))
            return np.full(len(pairs), 0.5)

        counted = TextMetric(info("bleu"), compare)
        first = cells([[0, 1], [1, 1]], [("a", "b"), ("a", "c")])
        again = cells([[0, 1]], [("a", "c"), ("a", "d")])
        for of in (first, again, first):
            counted.score_batch(batch([{}] * len(of.pairs), [{}] * len(of.pairs), of))
        assert asked == [[("a", "b"), ("a", "c")], [("a", "d")]]

    def test_memo_is_bounded_and_forgetting_changes_nothing(self, monkeypatch):
        monkeypatch.setattr(room, "_MEMO_ENTRIES", 5)
        bounded = metric("levenshtein")
        for start in range(0, 40, 3):
            pairs = [(f"v{i}", "v1") for i in range(start, start + 8)] + [("x" * 300, "y")]
            assert bounded._values(pairs).tolist() == levenshtein(pairs).tolist()
            assert len(bounded._memo) <= 5
        assert all(len(r) + len(p) <= 256 for r, p in bounded._memo)

    @pytest.mark.parametrize("kind", list(KIND))
    def test_long_answers_are_cut(self, kind):
        reference = "a red shirt"
        answer = "red " * 250_000
        tracemalloc.start()
        values = metric(kind)._values([(reference, answer), (reference, answer[: room.MAX_TEXT])])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert values[0] == values[1]
        assert peak < 150e6

    def test_json_of_the_reference_is_not_ascii(self):
        assert room.serialised({"a": "é"}) == json.dumps({"a": "é"}, ensure_ascii=False) == '{"a": "é"}'
