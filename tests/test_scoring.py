"""What every metric is given and what becomes of what it returns. Expected values are worked out by hand."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.metrics.base import MetricInfo, Scores
from peakbench.metrics.comparators import Exact
from peakbench.metrics.structured import StructuredMatch, ValuedF1
from peakbench.records import Completion, Failure, Prediction, Problem
from peakbench.scoring import Scorer
from peakbench.tasks import Task

JSON_TASK = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"a": {}, "b": {}}})
TEXT_TASK = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "answer": "text"})
COMPARATORS = {"a": Exact(), "b": Exact()}
REFERENCE = {"a": "x", "b": None}


def info(id_="m", **changes):
    given = {"title": id_, "family": "text", "low": 0.0, "high": 1.0, "higher_is_better": True, "signature": id_}
    return MetricInfo(id=id_, **{**given, **changes})


@dataclasses.dataclass
class Fake:
    """Returns what it is told; remembers the batches."""

    info: MetricInfo
    answer: object
    requires: tuple[str, ...] = ()
    seen: list = dataclasses.field(default_factory=list)

    def score_batch(self, batch):
        self.seen.append(batch)
        found = self.answer(batch) if callable(self.answer) else self.answer
        if isinstance(found, Exception):
            raise found
        return found


def constant(value):
    return lambda batch: Scores.full(np.full(len(batch), value))


def good(id_="s0", value=None):
    return Prediction(id_, 0, "strict", {"a": "x", "b": None} if value is None else value)


def unread(id_="s1"):
    return Prediction(id_, 0, "unparseable", problem=Problem("no_object", 3, "no object"))


def failed(id_="s2"):
    return Prediction(id_, 1, "failed", completion=Completion(id_, 1, None, Failure("timeout", "60 s")))


def score(metrics, predictions, references=None, task=JSON_TASK, broken=None):
    scorer = Scorer(task, metrics, COMPARATORS, frozenset({"n/a"}), broken=broken)
    references = [REFERENCE] * len(predictions) if references is None else references
    return scorer, scorer.score(predictions, references)


def test_rows_are_the_format():
    metric = StructuredMatch(info("structured_match"))
    _, scored = score([metric], [good(value={"a": "X", "b": "y"}), unread(), failed()])
    assert list(scored.rows()) == [
        {
            "sample_id": "s0",
            "repeat": 0,
            "state": "strict",
            "metrics": {"structured_match": {"value": 0.5, "reason": None}},
            "fields": {"a": {"score": 1.0, "outcome": "correct"}, "b": {"score": 0.0, "outcome": "invented"}},
        },
        {
            "sample_id": "s1",
            "repeat": 0,
            "state": "unparseable",
            "metrics": {"structured_match": {"value": 0.0, "reason": None}},
            "fields": {"a": {"score": 0.0, "outcome": "unread"}, "b": {"score": 0.0, "outcome": "unread"}},
            "problem": {"reason": "no_object", "position": 3, "detail": "no object"},
        },
        {
            "sample_id": "s2",
            "repeat": 1,
            "state": "failed",
            "metrics": {"structured_match": {"value": None, "reason": "failed: timeout"}},
            "fields": {},
        },
    ]


def test_a_row_without_a_reference_has_that_reason_whatever_else_a_metric_lacks():
    def lacks(batch):
        return Scores.none(len(batch), "no encoder")

    metrics = [Fake(info("sbert", needs=frozenset({"reference"})), lacks), Fake(info("other"), lacks)]
    _, scored = score(metrics, [good("s0"), good("s1")], [REFERENCE, None])
    assert scored.scores["sbert"].reasons == {0: "no encoder", 1: "the sample has no reference"}
    assert scored.scores["other"].reasons == {0: "no encoder", 1: "no encoder"}


def test_only_expected_fields_stand_in_a_row():
    _, scored = score([], [good()], [{"a": "x"}])
    assert [row["fields"].keys() for row in scored.rows()] == [{"a"}]


def test_metrics_never_see_failed_answers():
    metric = Fake(info(), constant(1.0))
    _, scored = score([metric], [failed("f"), good("g")])
    assert [prediction.sample_id for prediction in metric.seen[0].predictions] == ["g"]
    assert scored.scores["m"].scored.tolist() == [False, True]


def test_all_failed():
    metric = Fake(info(), constant(1.0))
    _, scored = score([metric], [failed(), failed()])
    assert metric.seen == []
    assert scored.scores["m"].reasons == {0: "failed: timeout", 1: "failed: timeout"}


class TestUnread:
    @pytest.mark.parametrize(("higher", "worst"), [(True, 0.0), (False, 1.0)])
    def test_worst_whatever_the_metric_says(self, higher, worst):
        _, scored = score([Fake(info(higher_is_better=higher), constant(0.7))], [good(), unread()])
        assert scored.scores["m"].values.tolist() == [0.7, worst]

    def test_worst_where_a_metric_shies_away(self):
        def shy(batch):
            reasons = dict.fromkeys(np.flatnonzero(~batch.read).tolist(), "not read")
            return Scores(np.where(batch.read, 0.7, 0.0), batch.read.copy(), reasons)

        _, scored = score([Fake(info(), shy)], [good(), unread()])
        assert scored.scores["m"].scored.tolist() == [True, True]
        _, alone = score([Fake(info(), shy)], [unread()])  # a batch without any answer that can be read
        assert alone.scores["m"].values.tolist() == [0.0]
        assert alone.scores["m"].scored.tolist() == [True]
        assert len(list(alone.rows())) == 1

    @pytest.mark.parametrize("predictions", [[good(), unread()], [unread()]])
    def test_unscored_where_the_metric_scores_nothing(self, predictions):
        missing = Fake(info(), lambda batch: Scores.none(len(batch), "no encoder"))
        scorer, scored = score([missing], predictions)
        assert not scored.scores["m"].scored.any()
        assert set(scored.scores["m"].reasons.values()) == {"no encoder"}
        assert scorer.broken == {}

    def test_unscored_without_a_reference(self):
        metric = StructuredMatch(info())
        _, scored = score([metric], [good(), unread(), unread()], [REFERENCE, None, {"other": 1}])
        assert scored.scores["m"].scored.tolist() == [True, False, False]

    def test_kept_where_the_metric_does_not_read_the_answer(self):
        _, scored = score([Fake(info(reads_answer=False), constant(0.7))], [good(), unread()])
        assert scored.scores["m"].values.tolist() == [0.7, 0.7]

    def test_unscored_where_the_range_has_no_worst_end(self):
        _, scored = score([Fake(info(low=None), constant(0.7))], [good(), unread()])
        assert scored.scores["m"].scored.tolist() == [True, False]
        assert "no worst end" in scored.scores["m"].reasons[1]

    def test_numerators_of_a_pooled_metric(self):
        # REFERENCE has one value: unread counts it as missed, 0 / 1. The good answer: C = 1, 2 / 2.
        _, scored = score([ValuedF1(info(reduction="pooled"))], [good(), unread()])
        assert scored.scores["m"].numerators.tolist() == [2.0, 0.0]
        assert scored.scores["m"].denominators.tolist() == [2.0, 1.0]

    def test_text(self):
        _, scored = score(
            [Fake(info(), constant(0.7))],
            [Prediction("s", 0, "text", "x"), Prediction("t", 0, "unparseable"), Prediction("u", 0, "unparseable")],
            ["x", "x", None],
            task=TEXT_TASK,
        )
        assert scored.scores["m"].values.tolist() == [0.7, 0.0, 0.0]
        assert scored.cells is None
        assert [row["fields"] for row in scored.rows()] == [{}, {}, {}]


class TestRange:
    def test_clamped_within_a_billionth(self):
        values = Fake(info(), lambda _: Scores.full([1 + 9e-10, -9e-10, 0.5]))
        _, scored = score([values], [good(), good(), good()])
        assert scored.scores["m"].values.tolist() == [1.0, 0.0, 0.5]

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (lambda _: Scores.full([0.5, 1.7]), "value 1.7 outside [0, 1] at sample s9"),
            (lambda _: Scores.full([0.5, 1 + 2e-9]), "value 1.000000002 outside [0, 1] at sample s9"),
            (lambda _: Scores.full([0.5, float("nan")]), "value nan outside [0, 1] at sample s9"),
            (lambda _: Scores.full([0.5]), "returned shapes (1,) and (1,) for 2 answers"),
            (lambda _: ValueError("no such word\nsecond line"), "ValueError: no such word"),
            (lambda _: KeyError(), "KeyError"),
            (lambda _: None, "AttributeError: 'NoneType' object has no attribute 'values'"),
        ],
    )
    def test_broken(self, answer, reason):
        broken, whole = Fake(info("broken"), answer), Fake(info("whole"), constant(0.25))
        scorer, scored = score([broken, whole], [good("s8"), good("s9")])
        assert scorer.broken == {"broken": reason}
        assert scored.scores["broken"].scored.tolist() == [False, False]
        assert scored.scores["broken"].reasons == {0: reason, 1: reason}
        assert scored.scores["whole"].values.tolist() == [0.25, 0.25]

    def test_broken_stays_broken(self):
        metric = Fake(info(), constant(0.5))
        _, scored = score([metric], [good()], broken={"m": "value 3 outside [0, 1] at sample s7"})
        assert metric.seen == []
        assert scored.scores["m"].reasons[0].startswith("value 3")

    def test_open_ends(self):
        metric = Fake(info(low=0.0, high=None), lambda _: Scores.full([1e12, -1.0]))
        scorer, _ = score([metric], [good(), good("s5")])
        assert scorer.broken == {"m": "value -1 outside [0, inf] at sample s5"}

    def test_unscored_rows_may_hold_anything(self):
        metric = Fake(info(), lambda _: Scores(np.array([np.nan, 0.5]), np.array([False, True]), {0: "why"}))
        scorer, scored = score([metric], [good(), good()])
        assert scorer.broken == {}
        assert [row["metrics"]["m"] for row in scored.rows()] == [
            {"value": None, "reason": "why"},
            {"value": 0.5, "reason": None},
        ]

    @pytest.mark.parametrize(
        "parts", [(None, None), (np.array([np.inf]), np.array([1.0])), (np.array([1.0]), np.array([-1.0]))]
    )
    def test_a_pooled_metric_needs_its_parts(self, parts):
        metric = Fake(info(reduction="pooled"), lambda _: Scores(np.ones(1), np.ones(1, bool), {}, *parts))
        scorer, _ = score([metric], [good()])
        assert "numerators" in scorer.broken["m"]


class TestOrder:
    def test_composites_read_settled_scores(self):
        part = Fake(info("part"), constant(0.5))
        whole = Fake(info("whole"), lambda batch: batch.scores["part"], requires=("part",))
        _, scored = score([part, whole], [good(), unread()])
        assert scored.scores["whole"].values.tolist() == [0.5, 0.0]

    def test_dependencies_come_first(self):
        part, whole = Fake(info("part"), None), Fake(info("whole"), None, requires=("part",))
        with pytest.raises(ValueError, match="whole"):
            Scorer(JSON_TASK, [whole, part], COMPARATORS, frozenset())
        with pytest.raises(ValueError, match="part"):
            Scorer(JSON_TASK, [part, part], COMPARATORS, frozenset())

    def test_run_metrics_have_no_rows(self):
        _, scored = score([Fake(info(reduction="run"), None)], [good()])
        assert scored.scores == {}

    def test_lengths_must_agree(self):
        with pytest.raises(ValueError, match="shorter"):
            score([], [good(), good()], [REFERENCE])


json_values = (
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5) | st.lists(st.text(max_size=2))
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("gufx"), json_values, json_values), max_size=8))
def test_every_row_is_scored_in_range_or_has_a_reason(rows):
    made = {
        "g": lambda v: good(value={"a": v}),
        "u": lambda _: unread(),
        "f": lambda _: failed(),
        "x": lambda _: good(),
    }
    predictions = [made[kind](value) for kind, value, _ in rows]
    references = [{"a": reference} if reference != "" else None for _, _, reference in rows]
    metrics = [StructuredMatch(info("match")), ValuedF1(info("f1", reduction="pooled"))]
    _, scored = score(metrics, predictions, references)
    lines = list(scored.rows())
    assert len(lines) == len(rows)
    for line, prediction in zip(lines, predictions, strict=True):
        for entry in line["metrics"].values():
            assert (entry["value"] is None) == bool(entry["reason"])
            assert entry["value"] is None or 0 <= entry["value"] <= 1
            if prediction.state == "failed":
                assert entry == {"value": None, "reason": "failed: timeout"}
