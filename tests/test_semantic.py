"""Semantic similarity with a small deterministic encoder; figures worked by hand from its vectors."""

from types import SimpleNamespace

import numpy as np
import pytest

from peakbench.metrics import semantic as room
from peakbench.metrics.base import Batch, Cells, MetricInfo, NoParameters, Tools
from peakbench.metrics.semantic import KINDS, Cosines, SemanticMetric
from peakbench.records import Prediction

INFO = MetricInfo(
    id="sbert", title="SBERT", family="semantic", low=0.0, high=1.0, higher_is_better=True, signature="sbert|v1"
)


class FakeEncoder:
    """Counts the letters r, g, b of a text, as a unit vector; an x turns it around. Keeps what it was asked."""

    identity = "fake@0"

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked.append(list(texts))
        counts = np.array([[text.count(letter) for letter in "rgb"] for text in texts], dtype=np.float32)
        counts /= np.linalg.norm(counts, axis=1, keepdims=True)
        return counts * np.array([[-1.0 if "x" in text else 1.0] for text in texts], dtype=np.float32)


def build(encoder=None, missing=None):
    setting = SimpleNamespace(tools=Tools(encoder=encoder, missing=missing or {}))
    return KINDS[0].build(INFO, NoParameters(), setting)


def cells(pairs, texts):
    pairs = np.array(pairs, dtype=np.int64)
    ones, zeros = np.ones(pairs.shape, dtype=bool), np.zeros(pairs.shape)
    names = tuple("abcdefghi"[: pairs.shape[1]])
    return Cells(names, np.ones(len(names)), ones, ones, zeros.astype(np.int8), zeros, zeros, pairs, texts)


def batch(n, of=None, answers=None, references=None):
    answers = answers or [{}] * n
    predictions = [Prediction(f"p{i}", 0, "strict", value) for i, value in enumerate(answers)]
    return Batch(predictions, references or [{}] * n, np.ones(n, dtype=bool), of)


def test_declares_what_it_needs():
    assert (KINDS[0].name, KINDS[0].needs) == ("sbert", {"reference", "encoder"})


def test_cosine_by_value():
    texts = [("r", "r"), ("rrrg", "rggg"), ("r", "g"), ("r", "rx")]
    # (3, 1) and (1, 3): 6 / 10; orthogonal: 0; opposite: -1, clipped to 0
    scores = build(FakeEncoder()).score_batch(
        batch(6, cells([[0, 1], [2, -2], [3, -2], [1, -1], [-2, -2], [0, 3]], texts))
    )
    assert scores.values == pytest.approx([(1 + 0.6) / 2, 0, 0, 0.3, 1, 0.5], abs=1e-7)
    assert scores.scored.all()


def test_values_stay_in_range():
    class TooLong(FakeEncoder):
        def encode(self, texts):
            return super().encode(texts) * np.float32(1.0001)

    values = build(TooLong()).score_batch(batch(1, cells([[0]], [("rg", "gr")]))).values
    assert values.tolist() == [1.0]


def test_a_text_task():
    scores = build(FakeEncoder()).score_batch(
        batch(5, None, ["RRRg", "r", "", None, "g"], ["rggg", " R ", "r", "r", None])
    )
    assert scores.values[:4] == pytest.approx([0.6, 1, 0, 0], abs=1e-7)
    assert scores.scored.tolist() == [True, True, True, True, False]
    assert scores.reasons == {4: "the sample has no reference"}


def test_without_an_encoder_every_row_is_unscored():
    command = "pip install 'peakbench[models]'"
    scores = build(missing={"encoder": command}).score_batch(batch(2, cells([[0], [0]], [("r", "r")])))
    assert not scores.scored.any()
    assert scores.reasons == {0: command, 1: command}
    assert set(build().score_batch(batch(1, cells([[-2]], []))).reasons.values()) == {room._NO_ENCODER}


def test_every_string_is_encoded_once():
    encoder = FakeEncoder()
    metric = build(encoder)
    metric.score_batch(batch(1, cells([[0, 1, 2]], [("r", "g"), ("g", "r"), ("b", "b")])))
    metric.score_batch(batch(1, cells([[0, 1]], [("r", "g"), ("g", "gb")])))
    metric.score_batch(batch(1, cells([[0]], [("b", "b")])))
    # identical values need no vector
    assert encoder.asked == [["r", "g"], ["gb"]]


def test_memo_is_bounded_and_forgetting_changes_nothing(monkeypatch):
    monkeypatch.setattr(room, "_MEMO_BYTES", 2000)
    memo = Cosines(FakeEncoder())
    bounded = SemanticMetric(INFO, memo)
    for start in range(1, 40):
        texts = [("r" * start, "r" * i + "g" * start) for i in range(start, start + 5)]
        free = SemanticMetric(INFO, Cosines(FakeEncoder()))
        of = cells([range(5)], texts)
        assert bounded.score_batch(batch(1, of)).values == free.score_batch(batch(1, of)).values
        assert memo._memo_bytes <= 2000
        assert len(memo._memo) <= 3
    bounded.score_batch(batch(1, cells([[0]], [("r" * 300, "g" * 300)])))
    assert max(map(len, memo._memo)) <= 256


def test_a_broken_encoder_is_named():
    class Broken(FakeEncoder):
        def encode(self, texts):
            return super().encode(texts)[:1]

    with pytest.raises(ValueError, match=r"fake@0 returned shape \(1, 3\) for 2 texts"):
        build(Broken()).score_batch(batch(1, cells([[0]], [("r", "g")])))

    class NotFinite(FakeEncoder):
        def encode(self, texts):
            return np.full((len(texts), 3), np.nan, dtype=np.float32)

    with pytest.raises(ValueError, match="not finite"):
        build(NotFinite()).score_batch(batch(1, cells([[0]], [("r", "g")])))


def test_the_cosine_of_each_field_stands_beside_the_mean():
    """Two fields, the second without a value on either side in row 0: it is left out of its field's mean."""
    scores = build(FakeEncoder()).score_batch(batch(2, cells([[0, -2], [-1, 1]], [("a", "a"), ("b", "b")])))
    assert scores.values.tolist() == [1.0, 0.5]
    first, second = scores.beside.values()
    assert list(scores.beside) == ["cosine.a", "cosine.b"]
    assert first.tolist() == [1.0, 0.0]
    assert second[1] == 1.0
    assert np.isnan(second[0])
