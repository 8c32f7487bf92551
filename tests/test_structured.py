"""Cells and the metrics that count fields, against tables worked by hand and a plain retelling of metrics.md.

The numbers of ``test_the_four_answers_of_the_definition`` are worked from the definition, cell by cell, in its comment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.errors import PluginError, TaskError
from peakbench.metrics.base import Batch, Comparator, Metric, MetricInfo, MetricKind, Scores, Setting, Tools
from peakbench.metrics.cells import CellBuilder
from peakbench.metrics.comparators import COMPARATORS
from peakbench.metrics.structured import KINDS
from peakbench.records import OUTCOMES, JSONValue, Prediction, Reference
from peakbench.tasks import Task
from peakbench.values import canonical, fold_nulls

NULLS = fold_nulls(["n/a", "unknown", ""])
UNREAD = "unread"


def task_of(fields: Mapping[str, object], **more: object) -> Task:
    return Task.model_validate({"id": "t", "prompt": {"user": "Describe."}, "fields": fields, **more})


def comparators_of(task: Task) -> dict[str, Comparator]:
    kinds = {kind.name: kind for kind in COMPARATORS}
    return {
        name: kinds[one.comparator.kind].build(
            kinds[one.comparator.kind].parameters.model_validate(one.comparator.parameters), Tools()
        )
        for name, one in task.fields.items()
    }


def batch_of(task: Task, pairs: Sequence[tuple[Reference, JSONValue]], builder: CellBuilder | None = None) -> Batch:
    """Make a batch; the answer UNREAD stands for one that cannot be read."""
    builder = builder or CellBuilder(task, comparators_of(task), NULLS)
    predictions = [
        Prediction(str(row), 0, "unparseable" if answer is UNREAD else "strict", None if answer is UNREAD else answer)
        for row, (_, answer) in enumerate(pairs)
    ]
    references = [reference for reference, _ in pairs]
    read = np.array([prediction.read for prediction in predictions], dtype=np.bool_)
    return Batch(predictions, references, read, builder.build(predictions, references, read))


def metric_of(name: str, task: Task, kinds: Sequence[MetricKind] = KINDS) -> Metric:
    info = MetricInfo(
        id=name,
        title=name,
        family="structured",
        low=0,
        high=1,
        higher_is_better=True,
        signature=f"{name}|v1|null:default",
    )
    kind = next(kind for kind in kinds if kind.name == name)
    return kind.build(info, kind.parameters(), Setting(task, NULLS, Tools()))


def scores_of(name: str, task: Task, pairs: Sequence[tuple[Reference, JSONValue]]) -> Scores:
    return metric_of(name, task).score_batch(batch_of(task, pairs))


def outcomes(task: Task, reference: Reference, answer: JSONValue) -> list[str | None]:
    cells = batch_of(task, [(reference, answer)]).cells
    assert cells is not None
    return [OUTCOMES[code] if code >= 0 else None for code in cells.outcomes[0].tolist()]


GARMENT = task_of(
    {
        "type": {"weight": 2.5, "comparator": {"kind": "synonyms", "table": "garment.type"}},
        "brand": {"weight": 1.5, "comparator": {"kind": "fuzzy", "threshold": 0.85}},
        "size": {"weight": 1.5, "comparator": "size"},
        "color": {},
    }
)
FULL = {"type": "t-shirt", "brand": "Quiksilver", "size": "M", "color": None}
FOUR: list[tuple[Reference, JSONValue]] = [
    (FULL, {"type": "T-Shirt", "brand": "quiksilver", "size": "m", "color": "N/A"}),
    (FULL, {"type": "tee", "brand": "Quicksilver", "size": "Medium", "color": "red"}),
    (FULL, {"type": "dress", "brand": None, "size": ["M"]}),
    (FULL, UNREAD),
]


def test_the_four_answers_of_the_definition() -> None:
    """By hand, with type 2.5, brand 1.5, size 1.5, color 1, sum of weights 6.5.

    Row 1: all exact, color null both.  match 4/4, keys 4/4, weighted 6.5/6.5.  C = 3.
    Row 2: tee is a synonym (exact 0); Quicksilver has an indel ratio of 2 * 10 / 21 (exact 0); Medium = M (exact 0);
           color invented.  match 0/4, keys 4/4, weighted (2.5 + 1.5 * 20/21 + 1.5) / 6.5.  C = 3, invented 1.
    Row 3: type wrong, brand omitted, size a list (wrong), color missing and null: a value score of 1, no key.
           match 0/4, keys 3/4, weighted 1 / 6.5.  C = 0, wrong 2, omitted 1.
    Row 4: unread: 0 on all; three fields have a reference value, so three misses.
    """
    expected = {
        "structured_match": ([4 / 4, 0, 0, 0], [4, 0, 0, 0], [4, 4, 4, 4]),
        "field_match_rate": ([1, 1, 3 / 4, 0], [4, 4, 3, 0], [4, 4, 4, 4]),
        "weighted_score": (
            [1, (2.5 + 1.5 * 20 / 21 + 1.5) / 6.5, 1 / 6.5, 0],
            [6.5, 2.5 + 1.5 * 20 / 21 + 1.5, 1, 0],
            [6.5] * 4,
        ),
        "valued_f1": ([1, 6 / 7, 0, 0], [6, 6, 0, 0], [6, 7, 5, 3]),
    }
    for name, (values, numerators, denominators) in expected.items():
        scores = scores_of(name, GARMENT, FOUR)
        assert scores.scored.all(), name
        assert scores.values.tolist() == pytest.approx(values), name
        assert scores.numerators is not None
        assert scores.denominators is not None
        assert scores.numerators.tolist() == pytest.approx(numerators), name
        assert scores.denominators.tolist() == denominators, name


def test_the_outcomes_of_the_four_answers() -> None:
    table = [outcomes(GARMENT, *pair) for pair in FOUR]
    assert table == [
        ["correct", "correct", "correct", "correct_null"],
        ["correct", "correct", "correct", "invented"],
        ["wrong", "omitted", "wrong", "correct_null"],
        ["unread", "unread", "unread", "unread"],
    ]


def test_value_accuracy_makes_the_published_product_hold() -> None:
    matches = scores_of("structured_match", GARMENT, FOUR).values.mean()
    rates = scores_of("field_match_rate", GARMENT, FOUR).values.mean()
    scores = scores_of("value_accuracy", GARMENT, FOUR)
    assert scores.numerators is not None
    assert scores.denominators is not None
    accuracy = scores.numerators.sum() / scores.denominators.sum()
    # mean match 1/4, mean rate (1 + 1 + 3/4 + 0) / 4 = 2.75/4: 1 / 2.75
    assert accuracy == pytest.approx(1 / 2.75)
    assert matches == pytest.approx(rates * accuracy)
    assert scores.scored.tolist() == [True, True, True, False]  # no key at all: nothing to be accurate about
    assert scores.reasons == {3: "the answer has none of the expected keys"}


def test_a_partial_reference_is_scored_on_its_own_fields() -> None:
    pairs: list[tuple[Reference, JSONValue]] = [
        ({"type": "dress"}, {"type": "dress", "brand": "invented", "other": 1}),
        ({}, {"type": "dress"}),
        (None, {"type": "dress"}),
        ({"elsewhere": 1}, {"type": "dress"}),
    ]
    for name in ("structured_match", "field_match_rate", "value_accuracy", "weighted_score", "valued_f1"):
        scores = scores_of(name, GARMENT, pairs)
        assert scores.scored.tolist() == [True, False, False, False], name
        assert scores.values[0] == 1, name
        assert set(scores.reasons.values()) == {"the reference has none of the task's fields"}, name
    assert outcomes(GARMENT, {"type": "dress"}, {"type": "dress", "brand": "x"}) == ["correct", None, None, None]


def test_valued_f1_has_nothing_to_say_where_nothing_has_a_value() -> None:
    scores = scores_of("valued_f1", GARMENT, [(dict.fromkeys(FULL), dict.fromkeys(FULL)), (FULL, dict.fromkeys(FULL))])
    assert scores.scored.tolist() == [False, True]
    assert scores.reasons == {0: "no field has a value, in the reference or in the answer"}
    assert scores.values[1] == 0  # all-null earns nothing here, and 1/4 on structured_match


def test_weights_of_zero() -> None:
    task = task_of({"a": {"weight": 0}, "b": {}})
    scores = scores_of("weighted_score", task, [({"a": "x"}, {"a": "x"}), ({"a": "x", "b": "y"}, {"a": "z", "b": "y"})])
    assert scores.reasons == {0: "the fields of the reference have weight 0"}
    assert scores.values[1] == 1


def test_an_optional_key_does_not_count_against_presence() -> None:
    task = task_of({"a": {}, "b": {"optional": True}})
    pairs = [({"a": "x", "b": None}, {"a": "x"}), ({"a": "x", "b": "y"}, {"a": "x"}), ({"a": "x", "b": "y"}, UNREAD)]
    assert scores_of("field_match_rate", task, pairs).values.tolist() == [1, 1, 0]
    assert scores_of("structured_match", task, pairs).values.tolist() == [1, 0.5, 0]


def test_booleans_numbers_and_strings_are_not_confused_by_the_memo() -> None:
    task = task_of({"a": {}})
    builder = CellBuilder(task, comparators_of(task), NULLS)
    values: list[JSONValue] = [1, True, 1.0, "1", "true", 0, False, None, "0", "1.0"]
    same = {(canonical(a), canonical(b)) for a in values for b in values if canonical(a) == canonical(b)}
    pairs: list[tuple[Reference, JSONValue]] = [({"a": a}, {"a": b}) for a in values for b in values]
    for _ in range(2):  # the second time from the memo, in the other order
        pairs.reverse()
        cells = batch_of(task, pairs, builder).cells
        assert cells is not None
        for (reference, answer), exact in zip(pairs, cells.exact[:, 0].tolist(), strict=True):
            assert isinstance(reference, dict)
            both = (canonical(reference["a"]), canonical(answer["a"]))
            assert exact == (both in same), both


def test_a_list_or_an_object_where_a_scalar_belongs() -> None:
    task = task_of({"a": {}})
    for wrong in ([], ["x"], {}, {"x": 1}, [None]):
        assert outcomes(task, {"a": "x"}, {"a": wrong}) == ["wrong"]
        assert outcomes(task, {"a": None}, {"a": wrong}) == ["invented"]
    # One such answer must not disturb its neighbours in the batch.
    scores = scores_of("structured_match", task, [({"a": "x"}, {"a": "x"}), ({"a": "x"}, {"a": ["x"]})] * 3)
    assert scores.values.tolist() == [1, 0] * 3


def test_lists() -> None:
    task = task_of({"tags": {"many": True, "comparator": "set"}})
    table = [
        (["a", "b"], ["B", "a"], "correct", 1, 1),
        (["a", "b"], ["a", "c"], "wrong", 0, 0.5),
        (["a"], "a", "wrong", 0, 0),  # a scalar where a list belongs
        (["a"], {"a": 1}, "wrong", 0, 0),
        ("a", ["a"], "correct", 1, 1),  # in the reference, a list of one
        (["a"], [], "omitted", 0, 0),  # an empty list is null, and so is one of nulls
        (["a"], ["n/a", None], "omitted", 0, 0),
        ([], [None], "correct_null", 1, 1),
        (None, [], "correct_null", 1, 1),
        (None, ["a"], "invented", 0, 0),
        (["a"], ["a", "unknown"], "correct", 1, 1),
        (["a"], None, "omitted", 0, 0),
    ]
    for reference, answer, outcome, exact, score in table:
        cells = batch_of(task, [({"tags": reference}, {"tags": answer})]).cells
        assert cells is not None
        found = (OUTCOMES[cells.outcomes[0, 0]], cells.exact[0, 0], cells.scores[0, 0])
        assert found == (outcome, exact, score), (reference, answer)


def test_a_list_that_compares_by_exact_is_right_as_a_whole_in_any_order() -> None:
    task = task_of({"tags": {"many": True}})
    for answer, score in ((["b", "A", "a"], 1), (["a"], 0), (["a", "b", "c"], 0)):
        cells = batch_of(task, [({"tags": ["a", "b"]}, {"tags": answer})]).cells
        assert cells is not None
        assert cells.scores[0, 0] == cells.exact[0, 0] == score, answer


def test_lists_of_objects_and_objects() -> None:
    task = task_of(
        {
            "defects": {
                "type": "object",
                "many": True,
                "comparator": {"kind": "objects", "fields": {"part": "exact", "kind": "exact"}, "pass_mark": 0.5},
            },
            "care": {"type": "object", "comparator": {"kind": "objects", "fields": {"wash": "exact", "iron": "exact"}}},
        }
    )
    reference = {
        "defects": [{"part": "cuff", "kind": "stain"}, {"part": "hem", "kind": None}],
        "care": {"wash": 30, "iron": None},
    }
    answer = {
        "defects": [{"part": "hem", "kind": "n/a"}, {"part": "cuff", "kind": "hole"}],
        "care": {"wash": 30.0, "iron": "low"},
    }
    cells = batch_of(task, [(reference, answer), (reference, reference), (reference, {"care": [1]})]).cells
    assert cells is not None
    # hem: part right, kind null both: 1. cuff: one of two: 0.5. Over two objects: 0.75, above the pass mark of 0.5.
    assert cells.scores.tolist() == [[0.75, 0.5], [1, 1], [0, 0]]
    assert cells.exact.tolist() == [[0, 0], [1, 1], [0, 0]]
    assert [[OUTCOMES[code] for code in row] for row in cells.outcomes] == [
        ["correct", "wrong"],
        ["correct", "correct"],
        ["omitted", "wrong"],
    ]
    with pytest.raises(TaskError, match="fields.tags: comparator 'fuzzy' compares single values"):
        batch_of(task_of({"tags": {"many": True, "comparator": "fuzzy"}}), [])


def test_pairs_and_texts() -> None:
    task = task_of({"a": {}, "b": {}, "c": {"many": True, "comparator": "set"}})
    pairs: list[tuple[Reference, JSONValue]] = [
        ({"a": "Navy-Blue", "b": None, "c": ["X", "y"]}, {"a": " navy  blue", "b": None, "c": ["z"]}),
        ({"a": "red", "b": "red"}, {"a": "Red", "b": "RED", "c": ["z"]}),
        ({"a": "red", "b": None, "c": None}, {"a": ["red"], "b": "x"}),
        ({"a": "red", "b": None, "c": ["q"]}, UNREAD),
    ]
    builder = CellBuilder(task, comparators_of(task), NULLS)
    for start in (0, 1):  # later batches list only their own texts
        cells = batch_of(task, pairs[start:], builder).cells
        assert cells is not None
        found = [[cells.texts[index] if index >= 0 else int(index) for index in row] for row in cells.pairs]
        assert (
            found
            == [
                [("navy-blue", "navy blue"), -2, ("x, y", "z")],
                [("red", "red"), ("red", "red"), -2],
                [-1, -1, -2],
                [-1, -2, -1],
            ][start:]
        )
        assert len(set(cells.texts)) == len(cells.texts) == [3, 1][start]


def test_a_comparator_that_misbehaves_is_named() -> None:
    class Wild:
        pass_mark, shape = 1.0, "scalar"

        def __init__(self, result: float) -> None:
            self.result = result

        def score(self, reference: JSONValue, prediction: JSONValue) -> float:
            return self.result / (prediction != "zero")

    task = task_of({"a": {}})
    one = [Prediction("p", 0, "strict", {"a": "x"})], [{"a": "y"}], np.array([True])
    assert CellBuilder(task, {"a": Wild(1 + 1e-10)}, NULLS).build(*one).scores[0, 0] == 1
    for result in (1.5, -0.1, float("nan")):
        with pytest.raises(PluginError, match=rf"field 'a': the comparator returned {result}"):
            CellBuilder(task, {"a": Wild(result)}, NULLS).build(*one)
    with pytest.raises(PluginError, match="field 'a': the comparator raised ZeroDivisionError"):
        CellBuilder(task, {"a": Wild(1)}, NULLS).build(
            [Prediction("p", 0, "strict", {"a": "zero"})], [{"a": "y"}], np.array([True])
        )
    with pytest.raises(ValueError, match="zip"):
        CellBuilder(task, {"a": Wild(1)}, NULLS).build(one[0], [], np.array([True]))


def test_an_empty_batch() -> None:
    cells = batch_of(GARMENT, []).cells
    assert cells is not None
    assert cells.scores.shape == cells.pairs.shape == (0, 4)
    assert len(metric_of("weighted_score", GARMENT).score_batch(batch_of(GARMENT, [])).values) == 0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CellBuilder, "MOST_PAIRS", 50)
    task = task_of({"a": {}, "b": {}})
    builder = CellBuilder(task, comparators_of(task), NULLS)
    for round_ in range(30):
        pairs: list[tuple[Reference, JSONValue]] = [
            ({"a": f"{round_} {n}", "b": n}, {"a": f"{round_} {n}", "b": n + n % 2}) for n in range(20)
        ]
        cells = batch_of(task, pairs, builder).cells
        assert cells is not None
        assert cells.exact.tolist() == [[1, 1 - n % 2] for n in range(20)]
        assert len(cells.texts) == 40
        assert len(builder._results.texts) <= 50 + 40
        assert sum(map(len, builder._memos)) <= 50 + 40
    monkeypatch.setattr(CellBuilder, "MOST_CHARACTERS", 1000)
    for _ in range(3):
        batch_of(task, [({"a": "x"}, {"a": "y" * 5000})], builder)
        assert builder._results.characters <= 20_001
    for n in range(5):  # invented values are remembered too, though no text metric reads them
        batch_of(task, [({"a": None}, {"a": str(n) * 2000})], builder)
        assert sum(len(key[1]) for key in builder._memos[0]) <= 4000


VALUE = st.sampled_from(
    [None, "n/a", "Red", "red", "navy-blue", "navy blue", "", 1, 1.0, True, False, "1", ["red"], {}]
)
ROW = st.dictionaries(st.sampled_from(["a", "b", "c", "other"]), VALUE, max_size=4)


def retold(reference: dict[str, Any], answer: Any, weights: dict[str, float]) -> dict[str, float | None]:
    """metrics.md, retold without arrays or memos, for fields that compare by ``exact``."""

    def null(value: object) -> bool:
        return value is None or (isinstance(value, str) and value.casefold().strip() in NULLS)

    expected = [name for name in weights if name in reference]
    hits = present = gained = 0.0
    counts = dict.fromkeys(OUTCOMES, 0)
    for name in expected:
        if answer is UNREAD:
            counts["unread" if null(reference[name]) else "omitted"] += 1
            continue
        truth, found = reference[name], answer.get(name)
        if null(truth) or null(found):
            score = float(null(truth) and null(found))
            counts["correct_null" if score else "invented" if null(truth) else "omitted"] += 1
        else:
            shapes = isinstance(truth, (list, dict)) or isinstance(found, (list, dict))
            score = float(not shapes and canonical(truth) == canonical(found))
            counts["correct" if score else "wrong"] += 1
        gained += weights[name] * score
        if name in answer:
            present += 1
            hits += score
    f1 = 2 * counts["correct"] + 2 * counts["wrong"] + counts["invented"] + counts["omitted"]
    weight = sum(weights[name] for name in expected)
    return {
        "structured_match": hits / len(expected) if expected else None,
        "field_match_rate": present / len(expected) if expected else None,
        "value_accuracy": hits / present if present else None,
        "weighted_score": gained / weight if expected else None,
        "valued_f1": 2 * counts["correct"] / f1 if f1 else None,
    }


@given(st.lists(st.tuples(ROW, ROW | st.just(UNREAD)), max_size=6))
@settings(deadline=None, max_examples=200)
def test_metrics_against_the_definition_retold(pairs: list[tuple[dict[str, Any], Any]]) -> None:
    weights = {"a": 2.5, "b": 1.0, "c": 0.5}
    task = task_of({name: {"weight": weight} for name, weight in weights.items()})
    rows = [retold(reference, answer, weights) for reference, answer in pairs]
    batch = batch_of(task, pairs)
    for kind in KINDS:
        scores = metric_of(kind.name, task).score_batch(batch)
        found = [
            value if scored else None
            for value, scored in zip(scores.values.tolist(), scores.scored.tolist(), strict=True)
        ]
        assert found == [pytest.approx(row[kind.name]) for row in rows], kind.name
        assert set(scores.reasons) == {row for row, value in enumerate(found) if value is None}


@given(st.lists(st.tuples(ROW, ROW | st.just(UNREAD)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_a_row_scores_the_same_in_any_batch(pairs: list[tuple[dict[str, Any], Any]]) -> None:
    task = task_of({"a": {"weight": 0.3}, "b": {"weight": 0.1}, "c": {"weight": 0.7}})
    for kind in KINDS:
        metric = metric_of(kind.name, task)
        together = metric.score_batch(batch_of(task, pairs)).values.tolist()
        assert together == [metric.score_batch(batch_of(task, [pair])).values[0] for pair in pairs]


@given(st.lists(st.tuples(ROW, ROW | st.just(UNREAD)), max_size=6))
@settings(deadline=None, max_examples=50)
def test_the_outcomes_sum_to_the_expected_fields(pairs: list[tuple[dict[str, Any], Any]]) -> None:
    task = task_of({"a": {}, "b": {}, "c": {}})
    cells = batch_of(task, pairs).cells
    assert cells is not None
    assert (cells.outcomes >= 0).tolist() == cells.expected.tolist()
    assert not cells.scores[~cells.expected].any()
    assert not cells.exact[~cells.expected].any()


def test_signatures() -> None:
    def signature(name: str, **color: object) -> str:
        return metric_of(
            name, task_of({"type": {"comparator": {"kind": "synonyms", "table": "garment.type"}}, "color": color})
        ).info.signature

    assert signature("structured_match") == "structured_match|v1|comparator:exact|null:default"
    assert signature("value_accuracy") == "value_accuracy|v1|comparator:exact|null:default"
    assert signature("field_match_rate") == "field_match_rate|v1|null:default"
    for name in ("structured_match", "field_match_rate"):
        assert "|shape:" in signature(name, optional=True)
        assert signature(name, optional=True) != signature(name, many=True, comparator="set")
    first = signature("weighted_score")
    assert first.startswith("weighted_score|v1|scoring:")
    assert first.endswith("|null:default")
    assert signature("weighted_score", description="words change no number") == first
    assert signature("weighted_score", weight=2) != first
    assert signature("weighted_score", comparator={"kind": "fuzzy", "threshold": 0.9}) != first
    assert signature("valued_f1", comparator="size") != signature("valued_f1")


def test_a_signature_follows_the_content_of_a_synonym_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from peakbench.values import SynonymTable

    task = task_of({"type": {"comparator": {"kind": "synonyms", "table": "garment.type"}}})
    before = metric_of("weighted_score", task).info.signature
    monkeypatch.setattr("peakbench.metrics.structured.shipped_table", lambda name: SynonymTable({"tee": ["t-shirt"]}))
    assert metric_of("weighted_score", task).info.signature != before


def test_a_text_task_has_no_fields() -> None:
    batch = Batch([Prediction("p", 0, "text", "a red dress")], ["a dress"], np.array([True]), None)
    for kind in KINDS:
        scores = metric_of(kind.name, GARMENT).score_batch(batch)
        assert scores.reasons == {0: "the task's answer is text: it has no fields"}
