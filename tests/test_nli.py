"""Contradiction with a scripted entailer and a scripted encoder; every figure is worked by hand in the test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.analysis.evaluation.passes import evaluate_stream
from peakbench.builtins import open_registry
from peakbench.datasets import SampleRecord
from peakbench.metrics.base import Batch, Metric, MetricInfo, Scores, Setting, Tools
from peakbench.metrics.cells import CellBuilder
from peakbench.metrics.comparators import Exact
from peakbench.metrics.nli import KINDS, SbertNli
from peakbench.records import Completion, Failure, Prediction, Response
from peakbench.report.summary import summary_page
from peakbench.scoring import Scorer
from peakbench.tasks import Task, Verbaliser, parse_task
from peakbench.values import fold_nulls

NULLS = fold_nulls(["n/a", ""])
TASK = parse_task(
    {
        "id": "shirt",
        "prompt": {"user": "Describe the shirt."},
        "fields": {
            "color": {"weight": 3, "sentence": "The color is {value}.", "absent": "No color is visible."},
            "brand": {"weight": 1, "absent": "No brand is visible."},
        },
    },
    where="test",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(alphabet=st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
TEXT = parse_task({"id": "caption", "answer": "text", "prompt": {"user": "What is it?"}}, where="test")


class Judge:
    """Gives the probabilities that it was told, 0.25 for any other pair; keeps what it was asked."""

    identity = "judge@1"

    def __init__(self, table: dict[tuple[str, str], float] | None = None) -> None:
        self.table = table or {}
        self.asked: list[list[tuple[str, str]]] = []

    def contradiction(self, pairs: Any) -> Any:
        self.asked.append(list(pairs))
        return np.array([self.table.get(pair, 0.25) for pair in pairs])


class Coder:
    """Counts the letters r, g, b of a sentence's last word, as a unit vector."""

    identity = "coder@2"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Any) -> Any:
        self.asked.append(list(texts))
        last = [text.rstrip(".").split()[-1] for text in texts]
        counts = np.array([[word.count(letter) for letter in "rgb"] for word in last], dtype=np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def build(name: str, tools: Tools, task: Task = TASK, parameters: dict[str, Any] | None = None) -> Metric:
    kind = next(kind for kind in KINDS if kind.name == name)
    info = MetricInfo(
        id=name,
        title=name,
        family="nli",
        low=0,
        high=1,
        higher_is_better=name != "hallucination",
        signature=f"{name}|v1|null:default",
        needs=kind.needs,
    )
    return kind.build(info, kind.parameters.model_validate(parameters or {}), Setting(task, NULLS, tools))


def batch_of(answers: list[Any], references: list[Any], task: Task = TASK, prompts: list[Any] | None = None) -> Batch:
    state = "strict" if task.answer == "json" else "text"
    predictions = [
        Prediction(f"p{i}", 0, state if one is not None else "unparseable", one) for i, one in enumerate(answers)
    ]
    read = np.array([prediction.read for prediction in predictions], dtype=np.bool_)
    cells = None
    if task.answer == "json":
        cells = CellBuilder(task, dict.fromkeys(task.keys, Exact()), NULLS).build(predictions, references, read)
    return Batch(predictions, references, read, cells, prompts=prompts)


class TestVerbalisation:
    verbaliser = Verbaliser(TASK, NULLS)

    def test_templates_of_the_task_and_templates_made_from_names(self):
        value = {"brand": "Nike", "color": "  Navy\u00a0BLUE", "cut": "slim"}
        assert self.verbaliser.object(value) == "The color is navy blue. The brand is nike."
        assert self.verbaliser.object({"brand": "N/A", "color": None}) == "No color is visible. No brand is visible."
        assert self.verbaliser.object({"brand": "N/A", "color": 3.0}, absent=False) == "The color is 3."
        assert self.verbaliser.object({}, ["brand"]) == "No brand is visible."
        assert self.verbaliser.object({}) == ""

    @pytest.mark.parametrize(
        ("name", "words"),
        [("sleeve_length", "sleeve length"), ("sleeveLength", "sleeve length"), ("size-EU", "size eu"), ("_", "value")],
    )
    def test_names_become_words(self, name: str, words: str):
        task = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {name: {}}})
        verbaliser = Verbaliser(task, NULLS)
        assert verbaliser.object({name: "x"}) == f"The {words} is x."
        assert verbaliser.object({name: None}) == f"There is no {words}."

    @pytest.mark.parametrize("hostile", ["{value}", "{0}", "{value.__class__}", "%s", "}{", "\\1", "{{value}}"])
    def test_a_value_is_never_a_template(self, hostile: str):
        assert self.verbaliser.object({"color": hostile}) == f"The color is {hostile}."

    def test_a_value_is_cut_at_200_characters(self):
        assert self.verbaliser.object({"color": "x" * 10_000}) == f"The color is {'x' * 200}."

    @given(st.dictionaries(st.sampled_from(["color", "brand", "cut"]), JSON))
    @settings(max_examples=100, deadline=None)
    def test_any_object_makes_bounded_sentences(self, value: Any):
        said = self.verbaliser.object(value)
        assert len(said) <= len("The color is . The brand is .") + 2 * 200
        assert (said == "") == (not value.keys() & {"color", "brand"})
        spoken = [name for name in ("color", "brand") if self.verbaliser.text(value.get(name))]
        assert self.verbaliser.object(value, absent=False) == self.verbaliser.object(value, spoken)

    def test_lists_lose_their_nulls(self):
        assert self.verbaliser.object({"color": ["Red", None, "n/a", "blue"]}) == "The color is red, blue."
        assert self.verbaliser.object({"color": [None]}) == "No color is visible."

    @pytest.mark.parametrize(
        ("field", "words"),
        [
            ({"sentence": "The color."}, "fields.color.sentence: expected one {value}"),
            ({"sentence": "{value} and {value}"}, "fields.color.sentence: expected one {value}"),
            ({"absent": "No {value}."}, "fields.color.absent: expected no {value}"),
            ({"sentence": ""}, "fields.color.sentence: String should have at least 1 character"),
        ],
    )
    def test_templates_that_cannot_be_used(self, field: dict[str, str], words: str):
        with pytest.raises(Exception, match=words):
            parse_task({"id": "t", "prompt": {"user": "?"}, "fields": {"color": field}}, where="test")

    def test_the_garment_task_has_its_own_for_every_field(self, registry_task: Task):
        assert all(field.sentence and field.absent for field in registry_task.fields.values())


@pytest.fixture
def registry_task() -> Task:
    return open_registry().task("garment")


class TestHallucination:
    def test_the_reference_with_its_nulls_against_the_values_of_the_answer(self):
        premise = "The color is red. No brand is visible."
        judge = Judge({(premise, "The color is blue. The brand is nike."): 0.9, (premise, "The color is red."): 0.1})
        answers = [{"color": "blue", "brand": "Nike"}, {"color": "Red", "brand": None}, {"color": None, "brand": "N/A"}]
        batch = batch_of(answers, [{"color": "red", "brand": None}] * 3)
        scores = build("hallucination", Tools(entailer=judge)).score_batch(batch)
        assert scores.scored.all()
        assert scores.values.tolist() == [0.9, 0.1, 0.0]  # an answer without a value says nothing
        assert judge.asked[0] == [(premise, "The color is blue. The brand is nike."), (premise, "The color is red.")]

    def test_contradiction_by_field_stands_beside_it(self):
        judge = Judge(
            {
                ("The color is red.", "The color is blue."): 0.8,
                ("No brand is visible.", "The brand is nike."): 0.6,
            }
        )
        answers = [{"color": "blue", "brand": "Nike"}, {"color": "RED", "brand": None}, None]
        scores = build("hallucination", Tools(entailer=judge)).score_batch(
            batch_of(answers, [{"color": "red", "brand": None}] * 3)
        )
        color, brand = scores.beside["contradiction.color"], scores.beside["contradiction.brand"]
        assert color.tolist()[:2] == [0.8, 0.0]  # the same value contradicts nothing, and nobody is asked
        assert brand[0] == 0.6
        assert np.isnan([color[2], brand[1], brand[2]]).all()
        assert judge.asked[1] == [
            ("The color is red.", "The color is blue."),
            ("No brand is visible.", "The brand is nike."),
        ]

    def test_a_field_that_the_reference_lacks_is_not_spoken_of(self):
        judge = Judge()
        build("hallucination", Tools(entailer=judge)).score_batch(
            batch_of([{"color": "blue", "brand": "Nike"}], [{"color": "red"}])
        )
        assert judge.asked[0] == [("The color is red.", "The color is blue.")]

    def test_the_prompt_where_there_is_no_reference_or_where_it_is_asked_for(self):
        said = "The color is blue. The brand is nike."
        answers = [{"color": "blue", "brand": "Nike"}] * 4
        references = [None, {}, {"color": "red", "brand": None}, None]
        prompts = [None, None, None, "Describe the red shirt."]
        judge = Judge()
        build("hallucination", Tools(entailer=judge)).score_batch(batch_of(answers, references, prompts=prompts))
        assert judge.asked[0] == [
            ("Describe the shirt.", said),
            ("The color is red. No brand is visible.", said),
            ("Describe the red shirt.", said),
        ]
        judge = Judge()
        metric = build("hallucination", Tools(entailer=judge), parameters={"premise": "prompt"})
        scores = metric.score_batch(batch_of(answers, references, prompts=prompts))
        assert judge.asked == [[("Describe the shirt.", said), ("Describe the red shirt.", said)]]
        assert scores.values.tolist() == [0.25] * 4
        assert scores.beside == {}

    def test_texts_stand_for_themselves(self):
        judge = Judge({("A red shirt.", "A blue shirt."): 0.7})
        answers, references = ["A blue shirt.", " ", "A shirt."], ["A red shirt. ", "A red shirt.", None]
        scores = build("hallucination", Tools(entailer=judge), TEXT).score_batch(batch_of(answers, references, TEXT))
        assert scores.values.tolist() == [0.7, 0.0, 0.25]
        assert judge.asked == [[("A red shirt.", "A blue shirt."), ("What is it?", "A shirt.")]]

    def test_without_premise_a_row_is_unscored(self):
        task = TEXT.model_copy(update={"prompt": TEXT.prompt.model_copy(update={"user": " "})})
        scores = build("hallucination", Tools(entailer=Judge()), task).score_batch(
            batch_of(["a", "b"], [None, "c"], task)
        )
        assert scores.scored.tolist() == [False, True]
        assert scores.reasons == {0: "there is neither a reference nor a prompt to judge by"}

    def test_an_answer_that_cannot_be_read_is_the_worst_and_a_failed_one_is_unscored(self):
        metric = build("hallucination", Tools(entailer=Judge()))
        scorer = Scorer(TASK, [metric], dict.fromkeys(TASK.keys, Exact()), NULLS)
        failed = Prediction("f", 0, "failed", completion=Completion("f", 0, None, Failure("timeout", "late")))
        predictions = [
            Prediction("a", 0, "unparseable"),
            failed,
            Prediction("b", 0, "off_schema"),
            Prediction("c", 0, "strict", {"color": "blue", "brand": None}),
        ]
        reference = {"color": "red", "brand": None}
        scored = scorer.score(predictions, [reference, reference, None, reference], [None] * 4)
        scores = scored.scores["hallucination"]
        assert scores.scored.tolist() == [True, False, True, True]
        assert scores.values.tolist() == [1.0, 0.0, 1.0, 0.25]
        assert scores.reasons == {1: "failed: timeout"}
        color = scores.beside["contradiction.color"].tolist()
        assert color[3] == 0.25
        assert all(map(math.isnan, color[:3]))

    def test_a_parameter_that_there_is_not(self):
        with pytest.raises(ValueError, match="'reference' or 'prompt'"):
            build("hallucination", Tools(), parameters={"premise": "image"})

    def test_pairs_that_the_entailer_cut_are_counted(self):
        class Short(Judge):
            def cut(self, pairs: Any) -> Any:
                return np.array([len(hypothesis) > 25 for _, hypothesis in pairs])

        answers = [{"color": "red and white and blue", "brand": None}, {"color": "red"}, {"color": None}]
        scores = build("hallucination", Tools(entailer=Short())).score_batch(batch_of(answers, [{"color": "red"}] * 3))
        assert scores.beside["cut"][:2].tolist() == [1, 0]
        assert np.isnan(scores.beside["cut"][2])


class TestSbertNli:
    def test_weighted_mean_of_cosine_times_not_contradicted(self):
        judge = Judge({("The color is rrrg.", "The color is rggg."): 0.5, ("The brand is r.", "The brand is rg."): 0.0})
        answers = [
            {"color": "rggg", "brand": None},
            {"color": "RRRg", "brand": "rg"},
            {"color": None, "brand": "r"},
            {"color": "n/a", "brand": ["r"]},
        ]
        references = [
            {"color": "rrrg", "brand": None},
            {"color": "rrrg", "brand": "r"},
            {"color": "rrrg", "brand": "r"},
            {"color": None, "brand": "r"},
        ]
        scores = build("sbert_nli", Tools(encoder=Coder(), entailer=judge)).score_batch(batch_of(answers, references))
        # Weights 3 and 1. Cosine of (3, 1) and (1, 3) is 6 / 10; of (1, 0) and (1, 1) it is 1 / sqrt(2).
        # 0: 0.6 x (1 - 0.5) and both null; 1: identical, and the brand; 2: one null, identical; 3: both null, a list.
        expected = [(3 * 0.3 + 1) / 4, (3 + 1 / math.sqrt(2)) / 4, 1 / 4, 3 / 4]
        assert scores.values == pytest.approx(expected, abs=1e-7)
        assert scores.denominators is not None
        assert scores.denominators.tolist() == [4, 4, 4, 4]

    def test_only_the_fields_of_the_reference_count(self):
        tools = Tools(encoder=Coder(), entailer=Judge())
        answers = [{"color": "r", "brand": "g"}] * 3
        scores = build("sbert_nli", tools).score_batch(batch_of(answers, [{"brand": "r"}, None, {"color": "r"}]))
        assert scores.scored.tolist() == [True, False, True]
        assert scores.values.tolist() == [0.0, 0.0, 1.0]
        assert scores.reasons == {1: "the reference has none of the task's fields"}

    def test_a_reference_whose_fields_weigh_nothing(self):
        task = Task.model_validate(
            {"id": "t", "prompt": {"user": "?"}, "fields": {"a": {"weight": 0}, "b": {"weight": 1}}}
        )
        scores = build("sbert_nli", Tools(encoder=Coder(), entailer=Judge()), task).score_batch(
            batch_of([{"a": "r", "b": "r"}], [{"a": "r"}], task)
        )
        assert scores.reasons == {0: "the fields of the reference have weight 0"}

    def test_texts(self):
        judge = Judge({("a rrrg", "a rggg"): 0.5})
        scores = build("sbert_nli", Tools(encoder=Coder(), entailer=judge), TEXT).score_batch(
            batch_of(["A rggg", "A  RRRG", "", "r"], ["a rrrg", "a rrrg", "a rrrg", None], TEXT)
        )
        assert scores.values[:3] == pytest.approx([0.3, 1, 0], abs=1e-7)
        assert scores.reasons == {3: "the sample has no reference"}

    def test_nothing_is_judged_twice_and_forgetting_changes_nothing(self, monkeypatch: pytest.MonkeyPatch):
        coder, judge = Coder(), Judge()
        metric = build("sbert_nli", Tools(encoder=coder, entailer=judge))
        batch = batch_of(
            [{"color": "g", "brand": "g"}, {"color": "g", "brand": "b"}], [{"color": "rg", "brand": "r"}] * 2
        )
        first = metric.score_batch(batch).values.tolist()
        assert metric.score_batch(batch).values.tolist() == first
        assert coder.asked == [
            ["The color is rg.", "The color is g.", "The brand is r.", "The brand is g.", "The brand is b."]
        ]
        assert [len(asked) for asked in judge.asked] == [3]
        monkeypatch.setattr(SbertNli, "MOST_KEPT", 2)
        small = build("sbert_nli", Tools(encoder=Coder(), entailer=Judge()))
        assert [small.score_batch(batch).values.tolist() for _ in range(2)] == [first, first]
        assert len(small._kept) <= 2


@pytest.mark.parametrize(
    ("name", "tools", "reason"),
    [
        ("hallucination", Tools(missing={"entailer": "fetch it"}), "fetch it"),
        ("hallucination", Tools(encoder=Coder()), "no entailment model is loaded"),
        ("sbert_nli", Tools(encoder=Coder(), missing={"entailer": "fetch it"}), "fetch it"),
        ("sbert_nli", Tools(entailer=Judge(), missing={"encoder": "install it"}), "install it"),
        ("sbert_nli", Tools(missing={"encoder": "install it", "entailer": "fetch it"}), "install it; fetch it"),
    ],
)
def test_without_a_model_every_row_is_unscored(name: str, tools: Tools, reason: str):
    scores = build(name, tools).score_batch(batch_of([{"color": "r", "brand": "r"}, None], [{"color": "r"}] * 2))
    assert not scores.scored.any()
    assert scores.reasons == {0: reason, 1: reason}


@pytest.mark.parametrize("returned", [np.zeros(7), np.full(1, np.nan), np.full(1, 1.5)])
def test_a_broken_entailer_is_named(returned: Any):
    judge = Judge()
    judge.contradiction = lambda pairs: returned  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=r"entailer judge@1 returned shape"):
        build("hallucination", Tools(entailer=judge)).score_batch(batch_of([{"color": "r"}], [{"color": "g"}]))


def test_signatures():
    def signature(name: str, task: Task = TASK, **tools: Any) -> str:
        return build(name, Tools(**tools), task).info.signature

    assert signature("hallucination") == "hallucination|v1|entailer:off|null:default"
    full = signature("hallucination", entailer=Judge())
    assert full.startswith("hallucination|v1|sentences:")
    assert full.endswith("|entailer:judge@1|null:default")
    field = TASK.fields["brand"].model_copy(update={"absent": "There is no brand."})
    other = TASK.model_copy(update={"fields": {**TASK.fields, "brand": field}})
    assert signature("hallucination", other, entailer=Judge()) != full
    assert signature("sbert_nli", encoder=Coder()) == "sbert_nli|v1|encoder:coder@2|entailer:off|null:default"
    assert "|encoder:coder@2|entailer:judge@1|" in signature("sbert_nli", encoder=Coder(), entailer=Judge())


def test_a_run_counts_what_stands_beside_its_metrics():
    registry = open_registry()
    judge = Judge({("The color is red. No brand is visible.", "The color is red."): 0.75})
    tools = Tools(encoder=Coder(), entailer=judge)
    reference = {"color": "red", "brand": None}
    given = [
        '{"color": "red", "brand": null}',  # exact, and contradicted
        '{"color": "blue", "brand": "gg"}',
        '{"color": "green", "brand": null}',
        "no JSON",
    ]
    records = [
        (SampleRecord(f"s{at}", reference), [Completion(f"s{at}", 0, Response(text))]) for at, text in enumerate(given)
    ]
    summary = evaluate_stream(
        lambda: records,
        metrics=registry.build(["quality", "sbert_nli"], TASK, tools),
        task=TASK,
        comparators=dict.fromkeys(TASK.keys, Exact()),
        nulls=NULLS,
        resamples=50,
    )
    entries = summary["metrics"]
    assert entries["quality"]["beside"] == {"exact_but_contradicted": {"sum": 1, "n": 3}}
    # 0 for the same color, twice what any other pair has; the unread answer has a value for no field.
    assert entries["hallucination"]["beside"] == {
        "contradiction.color": {"sum": 0.5, "n": 3},
        "contradiction.brand": {"sum": 0.25, "n": 1},
    }
    assert entries["hallucination"]["value"] == pytest.approx((0.75 + 0.25 + 0.25 + 1) / 4)
    assert entries["hallucination"]["floor"]["all_null"] == 0
    assert entries["hallucination"]["skill"] is None
    assert "hallucination:on:judge@1" in entries["quality"]["signature"]
    text = summary_page(summary).text()
    assert "quality: 1 exact answer said to contradict its reference" in text
    row = next(line for line in text.splitlines() if line.strip().startswith("brand"))
    assert "25.0" in row


def test_a_sample_s_own_prompt_reaches_the_metric():
    registry, judge = open_registry(), Judge()
    records = [
        (SampleRecord("s0", None, prompt="Is it red?"), [Completion("s0", 0, Response("It is blue."))]),
        (SampleRecord("s1", None), [Completion("s1", 0, Response("A shirt."))]),
        (SampleRecord("s2", None), [Completion("s2", 0, None, Failure("timeout", "late"))]),
        (SampleRecord("s3", None, prompt="And this?"), [Completion("s3", 0, Response("No."))]),
    ]
    evaluate_stream(
        lambda: records,
        metrics=registry.build(["hallucination"], TEXT, Tools(entailer=judge)),
        task=TEXT,
        comparators={},
        nulls=NULLS,
        resamples=10,
    )
    assert judge.asked[0] == [("Is it red?", "It is blue."), ("What is it?", "A shirt."), ("And this?", "No.")]


def test_scores_beside_must_be_one_figure_an_answer():
    class Odd:
        info = build("hallucination", Tools(entailer=Judge())).info
        requires = ()

        def score_batch(self, batch: Batch) -> Scores:
            return Scores(np.zeros(len(batch)), np.ones(len(batch), dtype=np.bool_), beside={"x": np.zeros(5)})

    scorer = Scorer(TASK, [Odd()], dict.fromkeys(TASK.keys, Exact()), NULLS)
    scorer.score([Prediction("a", 0, "strict", {"color": "r", "brand": "r"})], [{"color": "r"}])
    assert "beside" in scorer.broken["hallucination"]
