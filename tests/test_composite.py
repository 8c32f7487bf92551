"""Composites against the published weights, worked by hand."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from peakbench.metrics.base import Batch, Entailer, Metric, MetricInfo, Scores, Setting, Tools
from peakbench.metrics.cells import CellBuilder
from peakbench.metrics.comparators import Exact
from peakbench.metrics.composite import KINDS, Penalty, QualityParameters, WeightedMeanParameters
from peakbench.records import Prediction
from peakbench.tasks import Task
from peakbench.values import fold_nulls

NULLS = fold_nulls(["n/a"])
TASK = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"a": {}, "b": {"optional": True}}})
TEXT = Task.model_validate({"id": "t", "answer": "text", "prompt": {"user": "?"}})
REFERENCE = {"a": "red", "b": None}


class Judge:
    identity = "judge@1"

    def contradiction(self, pairs: Any) -> Any:
        raise AssertionError("a composite reads scores, not models")


class Coder:
    identity = "coder@2"

    def encode(self, texts: Any) -> Any:
        raise AssertionError("a composite reads scores, not models")


def build(
    name: str, parameters: dict[str, Any] | None = None, *, task: Task = TASK, tools: Tools | None = None
) -> Metric:
    kind = next(kind for kind in KINDS if kind.name == name)
    info = MetricInfo(
        id=name, title=name, family="composite", low=0, high=1, higher_is_better=True, signature=f"{name}|v1"
    )
    setting = Setting(task, NULLS, tools or Tools())
    return kind.build(info, kind.parameters.model_validate(parameters or {}), setting)


def batch_of(answers: list[dict[str, Any] | None], scores: dict[str, list[float] | Scores], n: int = 0) -> Batch:
    predictions = [Prediction("p", 0, "unparseable" if one is None else "strict", one) for one in answers]
    references = [REFERENCE] * len(answers)
    read = np.array([prediction.read for prediction in predictions])
    cells = CellBuilder(TASK, {"a": Exact(), "b": Exact()}, NULLS).build(predictions, references, read)
    full = {name: one if isinstance(one, Scores) else Scores.full(one) for name, one in scores.items()}
    return Batch(predictions, references, read, cells, full)


PARTS: dict[str, list[float] | Scores] = {
    "structured_match": [0.5, 1.0],
    "sbert": [0.8, 1.0],
    "token_set_ratio": [0.6, 1.0],
    "rouge_l": [0.4, 1.0],
}


def test_quality_has_the_published_weights() -> None:
    scores = build("quality").score_batch(batch_of([{"a": "blue", "b": None}, {"a": "Red", "b": "N/A"}], PARTS))
    # 0.60 * 0.5 + 0.25 * 0.8 + 0.10 * 0.6 + 0.05 * 0.4 = 0.30 + 0.20 + 0.06 + 0.02
    assert scores.values.tolist() == [pytest.approx(0.58), 1.0]
    assert scores.scored.all()


def test_quality_of_a_text_has_its_own_weights() -> None:
    metric = build("quality", task=TEXT)
    parts = {"sbert": 0.8, "token_set_ratio": 0.6, "rouge_l": 0.4, "chrf": 0.2}
    assert metric.requires == tuple(parts)
    batch = Batch([Prediction("p", 0, "text", "x")], ["y"], np.array([True]), None)
    batch.scores.update({name: Scores.full([value]) for name, value in parts.items()})
    # 0.50 * 0.8 + 0.20 * 0.6 + 0.20 * 0.4 + 0.10 * 0.2 = 0.40 + 0.12 + 0.08 + 0.02
    assert metric.score_batch(batch).values.tolist() == [pytest.approx(0.62)]


@pytest.mark.parametrize(
    ("answer", "exact"),
    [
        ({"a": "RED", "b": None}, True),
        ({"b": "n/a", "a": "red"}, True),
        ({"a": "red"}, False),  # a key is missing, if an optional one
        ({"a": "red", "b": None, "c": None}, False),  # a key too many
        ({"a": "blue", "b": None}, False),
        (None, False),
    ],
)
def test_an_exact_answer_escapes_the_sum_and_the_penalty(answer: dict[str, Any] | None, exact: bool) -> None:
    parts: dict[str, list[float] | Scores] = dict.fromkeys(PARTS, [0.9])
    batch = batch_of([answer], parts | {"hallucination": [1.0]})
    scores = build("quality", tools=Tools(entailer=Judge())).score_batch(batch)
    assert scores.values[0] == (1.0 if exact else pytest.approx(0.45))


def test_exact_answers_that_the_penalty_would_lower_are_counted() -> None:
    exact, wrong = {"a": "red", "b": None}, {"a": "blue", "b": None}
    answers = [exact, exact, exact, wrong, None]
    parts: dict[str, list[float] | Scores] = dict.fromkeys(PARTS, [0.9] * 5)
    judged = Scores(np.array([0.51, 0.5, 0.9, 0.9, 1.0]), np.array([True, True, False, True, True]))
    batch = batch_of(answers, parts | {"hallucination": judged})
    scores = build("quality", tools=Tools(entailer=Judge())).score_batch(batch)
    assert scores.beside["exact_but_contradicted"].tolist() == [1, 0, 0, 0, 0]
    assert build("quality").score_batch(batch).beside == {}


def test_a_missing_part_leaves_every_row_unscored_exact_ones_too() -> None:
    batch = batch_of([{"a": "red", "b": None}] * 2, PARTS | {"sbert": Scores.none(2, "install it")})
    scores = build("quality").score_batch(batch)
    assert not scores.scored.any()
    assert scores.reasons == dict.fromkeys(range(2), "sbert is unscored: install it")


def test_an_unscored_row_names_the_first_part_that_is_missing() -> None:
    holes = {"sbert": Scores(np.ones(2), np.array([True, False]), {1: "no"}), "rouge_l": Scores.none(2, "gone")}
    scores = build("quality").score_batch(batch_of([{"a": "x"}] * 2, PARTS | holes))
    assert scores.reasons == {0: "rouge_l is unscored: gone", 1: "sbert is unscored: no"}


@pytest.mark.parametrize(("h", "factor"), [(0.0, 1.0), (0.5, 1.0), (0.6, 0.9), (0.75, 0.75), (1.0, 0.5)])
def test_the_penalty_is_1_minus_half_the_excess(h: float, factor: float) -> None:
    # 1 - 0.5 (h - 0.5) / 0.5
    parts: dict[str, list[float] | Scores] = {name: [0.8] for name in PARTS}
    batch = batch_of([{"a": "blue", "b": None}], parts | {"hallucination": [h]})
    on = build("quality", tools=Tools(entailer=Judge()))
    assert on.requires == (*PARTS, "hallucination")
    assert on.score_batch(batch).values[0] == pytest.approx(0.8 * factor)
    # Without an entailer the same scores are not asked for and not read, and the signature says so.
    off = build("quality")
    assert off.requires == tuple(PARTS)
    assert off.score_batch(batch).values[0] == pytest.approx(0.8)
    assert build("quality", {"penalty": None}, tools=Tools(entailer=Judge())).requires == tuple(PARTS)


def test_a_row_whose_penalty_is_unscored_is_unscored() -> None:
    judged = Scores(np.zeros(3), np.array([False, True, False]), {0: "too long", 2: "too long"})
    answers = [{"a": "blue"}, {"a": "blue"}, {"a": "red", "b": None}]
    parts: dict[str, list[float] | Scores] = {name: [0.8] * 3 for name in PARTS}
    scores = build("quality", tools=Tools(entailer=Judge())).score_batch(
        batch_of(answers, parts | {"hallucination": judged})
    )
    assert scores.scored.tolist() == [False, True, True]  # an exact answer needs no judge
    assert scores.reasons == {0: "hallucination is unscored: too long"}


def test_quality_lexical_is_quality_without_the_model() -> None:
    parameters = {"parts": {"structured_match": 0.6, "token_set_ratio": 0.1, "rouge_l": 0.05}, "divide_by": 0.75}
    metric = build("weighted_mean", parameters)
    assert metric.requires == ("structured_match", "token_set_ratio", "rouge_l")
    scores = metric.score_batch(batch_of([{"a": "blue"}, {"a": "red"}], PARTS))
    # (0.30 + 0.06 + 0.02) / 0.75 and (0.60 + 0.10 + 0.05) / 0.75
    assert scores.values.tolist() == pytest.approx([0.38 / 0.75, 1])


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("quality", {"json": {"sbert": 0.5, "rouge_l": 0.4}}, "json: the weights sum to 0.9, expected 1"),
        ("quality", {"text": {"sbert": 1.00000001}}, "text: the weights sum to 1.00000001, expected 1"),
        ("quality", {"json": {"sbert": 1.5, "rouge_l": -0.5}}, "greater than 0"),
        ("quality", {"json": {}}, "at least 1 item"),
        ("quality", {"part": {}}, "Extra inputs are not permitted"),
        ("quality", {"penalty": {"above": 1}}, "less than 1"),
        ("quality", {"penalty": {"strengh": 1}}, "Extra inputs are not permitted"),
        ("weighted_mean", {"parts": {"a": 0.6, "b": 0.1}}, "parts: the weights sum to 0.7, expected 1"),
        ("weighted_mean", {"parts": {"a": 0.6}, "divide_by": 0.75}, "parts: the weights sum to 0.6, expected 0.75"),
        ("weighted_mean", {"parts": {"a": float("inf")}}, "finite"),
    ],
)
def test_parameters_that_cannot_be_used(kind: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        build(kind, parameters)


def test_what_the_registry_asks_for() -> None:
    required = {kind.name: kind.requires for kind in KINDS}
    assert required["quality"] is not None
    assert set(required["quality"](QualityParameters())) == {*PARTS, "chrf", "hallucination"}
    assert required["weighted_mean"] is not None
    assert set(required["weighted_mean"](WeightedMeanParameters(parts={"a": 1}))) == {"a"}


def test_signatures_say_which_models_had_a_hand_in_it() -> None:
    def signature(answer: Literal["json", "text"] = "json", **tools: Any) -> str:
        return build("quality", task=TASK if answer == "json" else TEXT, tools=Tools(**tools)).info.signature

    assert signature() == "quality|v1|answer:json|hallucination:off|encoder:off"
    assert signature("text") == "quality|v1|answer:text|hallucination:off|encoder:off"
    judge: Entailer = Judge()
    both = signature(entailer=judge, encoder=Coder())
    assert both == "quality|v1|answer:json|hallucination:on:judge@1|encoder:coder@2"
    lexical = build("weighted_mean", {"parts": {"rouge_l": 1}}, tools=Tools(encoder=Coder()))
    assert lexical.info.signature == "weighted_mean|v1|answer:json"


def test_penalty_parameters() -> None:
    penalty = Penalty(above=0.2, strength=1.0)
    assert penalty.factors(np.array([0.0, 0.2, 0.6, 1.0])).tolist() == pytest.approx([1, 1, 0.5, 0])
