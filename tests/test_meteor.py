"""METEOR: nltk's number behind the metric, and ours worked by hand.

The senses of the small dictionary below are WordNet 3.0's (a test holds them against it where it is there); its stems
are Porter's for the words used here. So the table of docs/meteor.md is checked with and without WordNet.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.builtins import open_registry
from peakbench.metrics import meteor as room
from peakbench.metrics.base import Batch, Cells, Floats, Lexicon, MetricInfo, Tools
from peakbench.metrics.meteor import KINDS, MeteorMetric, MeteorParameters, meteor_lemma
from peakbench.records import Completion, Prediction, Response

PAGE = Path(__file__).parent.parent / "docs" / "meteor.md"
KIND = {kind.name: kind for kind in KINDS}

# Some senses of each word in WordNet 3.0: those that words of the table share, else the first.
SENSES = {
    "t-shirt": ["jersey.n.03"],
    "tee_shirt": ["jersey.n.03"],
    "tee": ["tee.n.01"],
    "car": ["car.n.01"],
    "automobile": ["car.n.01"],
    "sneaker": ["gym_shoe.n.01"],
    "sneakers": ["gym_shoe.n.01"],
    "gym_shoes": ["gym_shoe.n.01"],
    "trainers": ["trainer.n.01"],
    "navy_blue": ["dark_blue.n.01"],
    "dark_blue": ["dark_blue.n.01"],
    "navy": ["dark_blue.n.01"],
    "light-blue": ["light-blue.s.01"],
    "blue": ["blue.n.01"],
    "red": ["red.n.01"],
    "long_sleeve": ["long_sleeve.n.01"],
    "short_sleeve": ["short_sleeve.n.01"],
    "crew_neck": ["crew_neck.n.01"],
    "v_neck": ["v_neck.n.01"],
    "sweater": ["sweater.n.01"],
    "jumper": ["sweater.n.01"],
    "grey": ["grey.n.06"],
    "gray": ["grey.n.06"],
    "baseball_cap": ["baseball_cap.n.01"],
    "cap": ["cap.n.01"],
}
STEMS = {"sneakers": "sneaker", "trainers": "trainer", "sleeve": "sleev", "sleeved": "sleev", "shoes": "shoe"}

# reference, answer, ours. One unit each, aligned or not: 1 or 0. The last two have three and two words:
# red cotton shirt / cotton shirt red: 3 of 3 aligned in 2 chunks: 1 - 0.5 (2/3)^3 = 23/27
# red shirt / red hat: P = R = 1/2, one chunk: 1/2
TABLE = {
    ("t-shirt", "t-shirt"): 1,
    ("t-shirt", "tee shirt"): 1,
    ("t-shirt", "tshirt"): 1,
    ("t-shirt", "tee"): 0,
    ("car", "automobile"): 1,
    ("sneakers", "sneaker"): 1,
    ("sneakers", "gym shoes"): 1,
    ("sneakers", "trainers"): 0,
    ("navy blue", "dark blue"): 1,
    ("navy blue", "navy"): 1,
    ("light blue", "blue"): 0,
    ("red", "blue"): 0,
    ("long sleeve", "long-sleeved"): 1,
    ("long sleeve", "short sleeve"): 0,
    ("crew neck", "crewneck"): 1,
    ("crew neck", "v-neck"): 0,
    ("sweater", "jumper"): 1,
    ("gray", "grey"): 1,
    ("baseball cap", "cap"): 0,
    ("red cotton shirt", "cotton shirt, red"): 23 / 27,
    ("red shirt", "red hat"): 0.5,
}


class Extract:
    """A dictionary of a few words. ``meteor`` counts the pairs it is asked for, and gives 0.25."""

    identity = "extract@0"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def senses(self, word: str) -> frozenset[str]:
        return frozenset(SENSES.get(word, ()))

    def stem(self, word: str) -> str:
        return STEMS.get(word, word)

    def meteor(self, pairs: Any) -> Floats:
        self.asked += pairs
        return np.full(len(pairs), 0.25)


EXTRACT = Extract()


@pytest.mark.parametrize(("pair", "value"), TABLE.items(), ids=[" = ".join(pair) for pair in TABLE])
def test_pairs_of_garment_words(pair: tuple[str, str], value: float) -> None:
    assert meteor_lemma(*pair, EXTRACT) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("pair", "value"), TABLE.items(), ids=[" = ".join(pair) for pair in TABLE])
def test_pairs_of_garment_words_with_wordnet(wordnet: Lexicon, pair: tuple[str, str], value: float) -> None:
    assert meteor_lemma(*pair, wordnet) == pytest.approx(value, abs=1e-12)


def test_the_extract_is_wordnets(wordnet: Lexicon) -> None:
    for word, senses in SENSES.items():
        assert set(senses) <= wordnet.senses(word), word
    for word, stem in STEMS.items():
        assert wordnet.stem(word) == stem


def documented() -> dict[tuple[str, str], tuple[float, float]]:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([0-9.]+) \| ([0-9.]+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    return {(reference, answer): (float(nltk), float(ours)) for reference, answer, nltk, ours in rows}


def test_the_page_shows_the_table() -> None:
    assert {pair: ours for pair, (_, ours) in documented().items()} == {
        pair: round(value, 3) for pair, value in TABLE.items()
    }


def test_nltks_column_of_the_page(wordnet: Lexicon) -> None:
    shown = documented()
    assert [nltk for nltk, _ in shown.values()] == wordnet.meteor(list(shown)).round(3).tolist()


def test_partial_matches_by_hand() -> None:
    # 2 of 2 units of the answer, 2 of 4 of the reference, one chunk: F = 0.5 / (0.9 + 0.1 x 0.5) = 0.526315...
    assert meteor_lemma("plain red cotton top", "red cotton", EXTRACT) == pytest.approx(0.5 / 0.95)
    # recall weighs nine times as much: the other way round F = 0.5 / (0.45 + 0.1) = 0.909090...
    assert meteor_lemma("red cotton", "plain red cotton top", EXTRACT) == pytest.approx(0.5 / 0.55)
    # two matches in two chunks: penalty 0.5
    assert meteor_lemma("a b", "b a", EXTRACT) == 0.5
    # 4 of 4 in 2 chunks: 0.5 (2/4)^3 = 1/16
    assert meteor_lemma("a b c d", "c d a b", EXTRACT) == pytest.approx(15 / 16)


def test_a_word_is_taken_once() -> None:
    # 1 of 2 units of the answer, 1 of 1 of the reference: F = 0.5 / (0.45 + 0.1)
    assert meteor_lemma("red", "red red", EXTRACT) == pytest.approx(0.5 / 0.55)
    # the same letters before the same sense, wherever they stand
    assert meteor_lemma("car automobile", "automobile", EXTRACT) == pytest.approx(0.5 / 0.95)
    assert meteor_lemma("gray grey", "grey gray", EXTRACT) == 0.5


def test_texts_without_words() -> None:
    assert meteor_lemma("", "", EXTRACT) == 0
    assert meteor_lemma("", "red", EXTRACT) == meteor_lemma("red", "", EXTRACT) == 0
    assert meteor_lemma("100 %", "100 %", EXTRACT) == meteor_lemma("☆", "☆", EXTRACT) == 1
    assert meteor_lemma("%", "$", EXTRACT) == 0


words = st.lists(st.sampled_from(["red", "navy", "blue", "t-shirt", "tee", "shirt", "long", "sleeve", "☆", "x"]))


@settings(deadline=None, max_examples=200)
@given(words, words)
def test_in_range_and_identity_scores_one(first: list[str], second: list[str]) -> None:
    one, other = " ".join(first), " ".join(second)
    assert 0 <= meteor_lemma(one, other, EXTRACT) <= 1
    assert meteor_lemma(one, one, EXTRACT) == float(bool(first))


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_in_range(first: str, second: str) -> None:
    assert 0 <= meteor_lemma(first, second, EXTRACT) <= 1


def test_a_long_hostile_text_is_soon_done() -> None:
    long = "a " * 1_000_000
    assert meteor_lemma(long, long[:-2], EXTRACT) == 1.0  # the first 10,000 characters


# -- the metrics -------------------------------------------------------------------------------------------------------


def info(name: str) -> MetricInfo:
    return MetricInfo(
        id=name, title=name, family="text", low=0, high=1, higher_is_better=True, signature=f"{name}|v1|null:default"
    )


def build(name: str, lexicon: Any = None, missing: dict[str, str] | None = None, **parameters: Any) -> MeteorMetric:
    setting: Any = SimpleNamespace(tools=Tools(lexicon=lexicon, missing=missing or {}))
    built = KIND[name].build(info(name), KIND[name].parameters(**parameters), setting)
    assert isinstance(built, MeteorMetric)
    return built


def batch(pairs: Any, texts: list[tuple[str, str]]) -> Batch:
    n = len(pairs)
    array = np.array(pairs, dtype=np.int64)
    ones, zeros = np.ones(array.shape, dtype=bool), np.zeros(array.shape)
    names = tuple("abcdefghi"[: array.shape[1]])
    cells = Cells(names, np.ones(len(names)), ones, ones, zeros.astype(np.int8), zeros, zeros, array, texts)
    predictions = [Prediction(f"p{i}", 0, "strict", {}) for i in range(n)]
    return Batch(predictions, [{}] * n, np.ones(n, dtype=bool), cells)


def test_by_value() -> None:
    texts = [("t-shirt", "tee shirt"), ("red", "blue")]
    rows = [[0, 1], [0, -2], [1, -1], [-2, -2], [0, -1]]
    assert build("meteor_lemma", EXTRACT).score_batch(batch(rows, texts)).values.tolist() == [0.5, 1, 0, 1, 0.5]
    assert build("meteor", EXTRACT).score_batch(batch(rows, texts)).values.tolist() == [0.25, 0.25, 0.125, 1, 0.125]


def test_meteor_keeps_nltks_number_for_identical_values(wordnet: Lexicon) -> None:
    values = build("meteor", wordnet).score_batch(batch([[0, -2], [1, -2]], [("red", "red"), ("red hat", "red hat")]))
    # one chunk of one match: 1 - 0.5; one chunk of two: 1 - 0.5 (1/2)^3
    assert values.values.tolist() == [0.5, 0.9375]


def test_a_text_task() -> None:
    predictions = [Prediction(f"p{i}", 0, "text", text) for i, text in enumerate(["Navy  BLUE", "red", "x"])]
    scores = build("meteor_lemma", EXTRACT).score_batch(
        Batch(predictions, ["dark blue", "red", None], np.ones(3, dtype=bool), None)
    )
    assert scores.values.tolist()[:2] == [1, 1]
    assert scores.scored.tolist() == [True, True, False]
    assert scores.reasons == {2: "the sample has no reference"}


def test_the_raw_view_reads_what_was_written() -> None:
    lexicon = Extract()
    written = Completion("p0", 0, Response(text='```{"a":"X"}```'))
    predictions = [
        Prediction("p0", 0, "extracted", {"a": "X"}, completion=written),
        Prediction("p1", 0, "strict", {"a": "é"}),
    ]
    one = batch([[-2], [-2]], [])
    scores = build("meteor", lexicon, view="raw").score_batch(
        Batch(predictions, [{"a": "x"}, "text"], np.ones(2, dtype=bool), one.cells)
    )
    assert lexicon.asked == [('{"a": "x"}', '```{"a":"X"}```'), ("text", '{"a": "é"}')]
    assert scores.values.tolist() == [0.25, 0.25]


def test_without_a_dictionary_every_row_is_unscored() -> None:
    command = "fetch it: peakbench weights fetch wordnet"
    for name in ("meteor", "meteor_lemma"):
        scores = build(name, missing={"lexicon": command}).score_batch(batch([[0], [0]], [("r", "r")]))
        assert not scores.scored.any()
        assert scores.reasons == {0: command, 1: command}
        assert set(build(name).score_batch(batch([[0]], [("r", "r")])).reasons.values()) == {room._NO_LEXICON}


def test_the_signature_names_the_dictionary() -> None:
    assert build("meteor", EXTRACT).info.signature == "meteor|v1|lexicon:extract@0|null:default"
    assert build("meteor_lemma").info.signature == "meteor_lemma|v1|lexicon:off|null:default"


def test_every_pair_is_compared_once_and_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    lexicon = Extract()
    metric = build("meteor", lexicon)
    for _ in range(2):
        metric.score_batch(batch([[0, 1], [1, 0]], [("a", "b"), ("c", "d")]))
    assert lexicon.asked == [("a", "b"), ("c", "d")]
    monkeypatch.setattr(room, "_MEMO_ENTRIES", 3)
    for start in range(5):
        texts = [(f"a{start}", "b"), (f"b{start}", "b" * 300)]
        assert metric.score_batch(batch([[0, 1]], texts)).values.tolist() == [0.25]
        assert len(metric._memo) <= 3
    assert all(len(second) < 300 for _, second in metric._memo)


def test_the_registry_builds_both() -> None:
    registry = open_registry()
    task = registry.task("garment")
    built = registry.build(["meteor", "meteor_lemma"], task, Tools(lexicon=EXTRACT))
    assert [one.info.signature for one in built] == [
        "meteor|v1|view:values|lexicon:extract@0|null:default",
        "meteor_lemma|v1|lexicon:extract@0|null:default",
    ]
    assert MeteorParameters().view == "values"
