"""The four floors, from references counted by hand."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.analysis.evaluation import baselines
from peakbench.analysis.evaluation.baselines import FLOORS, ReferenceCounts, ValueCounts, count_references
from peakbench.metrics.base import MetricInfo
from peakbench.metrics.comparators import Exact, Fuzzy, Objects, TagSet
from peakbench.metrics.structured import StructuredMatch, WeightedScore
from peakbench.records import Prediction
from peakbench.scoring import Scorer
from peakbench.tasks import Task
from peakbench.values import fold_nulls

NULLS = fold_nulls(["n/a", ""])
PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "garment_photos" / "samples.jsonl"


def task(**fields):
    return Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": fields or {"a": {}}})


def floors(values, *, field=None, comparator=None):
    """Floors of one field ``a``; an Ellipsis is a reference without the field."""
    references = [{} if value is ... else {"a": value} for value in values]
    return count_references(references, task=task(a=field or {}), comparators={"a": comparator or Exact()}, nulls=NULLS)


def answers(values, **options):
    found = floors(values, **options).answers
    return found["majority"].value["a"], found["vocabulary"].value["a"]


def test_the_four():
    found = floors(["red", "red", "blue"]).answers
    assert tuple(found) == FLOORS == ("unparseable", "all_null", "majority", "vocabulary")
    assert (found["unparseable"].state, found["unparseable"].value) == ("unparseable", None)
    assert found["all_null"].value == {"a": None}
    assert found["majority"].value == {"a": "red"}
    assert found["vocabulary"].value == {"a": "red or blue"}
    assert all(found[name].read for name in FLOORS[1:])


def test_values_are_folded_and_nulls_counted():
    # T-Shirt x 3 in two spellings beats null x 2 (null and "N/A") and dress x 2.
    assert answers(["t-shirt", "T Shirt", "T Shirt", None, " N/A", "dress", "dress"]) == ("T Shirt", "T Shirt or dress")


def test_null_where_null_is_the_mode():
    assert answers([None, "", "red"]) == (None, None)


def test_absent_is_not_null():
    assert answers([..., ..., ..., "red", None, "red"]) == ("red", "red")
    assert answers([..., ...]) == (None, None)


def test_numbers_and_booleans():
    assert answers([32, 32.0, "32", 34]) == (32, "32 or 34")
    assert answers([True, True, "true"]) == (True, "true or true")
    assert answers([7, 7]) == (7, 7)


class TestTies:
    def test_code_point(self):
        assert answers(["pear", "apple", "apple", "pear"])[0] == "apple"

    def test_null_comes_before_every_value(self):
        assert answers(["pear", None])[0] is None

    def test_the_higher_mean_score_first(self):
        # "abcd" scores .75 against "abcx" (one edit of four), "zzzz" nothing against either: means
        # abcd (2 + 0 + .75) / 5, zzzz 2 / 5. By code point alone abcd wins too, so the other way round as well.
        fuzzy = Fuzzy(threshold=0.5)
        assert answers(["abcd", "abcd", "zzzz", "zzzz", "abcx"], comparator=fuzzy)[0] == "abcd"
        assert answers(["aaaa", "aaaa", "zzzz", "zzzz", "zzzx"], comparator=fuzzy)[0] == "zzzz"

    def test_code_point_alone_where_comparing_takes_too_long(self, monkeypatch):
        monkeypatch.setattr(baselines, "MOST_COMPARISONS", 7)
        assert answers(["aaaa", "zzzz", "zzzx"], comparator=Fuzzy(threshold=0.5))[0] == "aaaa"

    def test_a_field_of_weight_0_has_a_majority(self):
        found = count_references(
            [{"a": "x", "b": "y"}],
            task=task(a={"weight": 0}, b={}),
            comparators={"a": Exact(), "b": Exact()},
            nulls=NULLS,
        )
        assert found.answers["majority"].value == {"a": "x", "b": "y"}


class TestLists:
    def test_lists_are_counted_whole_and_in_any_order(self):
        majority, vocabulary = answers(
            [["wool", "silk"], ["silk", "wool"], ["wool"], None], field={"many": True}, comparator=TagSet()
        )
        assert sorted(majority) == ["silk", "wool"]
        assert vocabulary == ["wool", "silk"]  # wool three times, silk twice

    def test_an_empty_list_is_null(self):
        options = {"field": {"many": True}, "comparator": TagSet()}
        assert answers([[], [None], ["n/a"], ["wool"], ["wool"]], **options) == (None, None)
        assert answers(["wool", ["wool"], []], **options) == (["wool"], ["wool"])

    def test_objects(self):
        options = {"field": {"many": True, "type": "object"}, "comparator": Objects({"n": Exact()})}
        majority, vocabulary = answers([[{"n": 1}], [{"n": 1}, {"n": 2}], [{"n": 1}]], **options)
        assert majority == [{"n": 1}]
        assert vocabulary == [{"n": 1}, {"n": 2}]

    def test_one_object_cannot_be_joined(self):
        majority, vocabulary = answers([{"n": 1}, {"n": 1}, {"n": 2}], field={"type": "object"}, comparator=Exact())
        assert (majority, vocabulary) == ({"n": 1}, None)


class TestBounds:
    def test_the_vocabulary_holds_the_most_frequent(self):
        values = [f"v{index:03}" for index in range(300)] + ["v299", "v299", "v005"]
        found = floors(values)
        joined = found.answers["vocabulary"].value["a"].split(" or ")
        assert len(joined) == 256
        assert joined[:3] == ["v299", "v005", "v000"]
        assert found.notes == ("field a: the vocabulary floor holds the 256 most frequent of 300 values",)

    def test_later_new_values_are_not_counted(self, monkeypatch):
        monkeypatch.setattr(baselines, "MOST_VALUES", 3)
        found = floors(["a", "b", "c", "d", "d", "b"])
        assert found.answers["majority"].value == {"a": "b"}
        assert "2 were not counted" in found.notes[0]

    def test_characters_are_bounded(self, monkeypatch):
        counts = ValueCounts(frozenset(), baselines._Budget(10))
        for value in ("12345", "1234567", "12345", "67890", "x", ["y" * 50]):
            counts.add(value)
        assert [group.spelling for group in counts.groups().values()] == ["12345", "67890"]
        assert counts.dropped == 3

    def test_the_order_of_the_samples_does_not_matter(self):
        values = ["Red", "red", "blue", "Blue", None, "green", 5, "5", True]
        assert answers(values) == answers(values[::-1])


class TestText:
    def text(self, references):
        asked = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "answer": "text"})
        return count_references(references, task=asked, comparators={}, nulls=NULLS).answers

    def test_majority_and_empty(self):
        found = self.text(["A red dress.", "a red dress.", "A red dress.", "Jeans", None, ""])
        assert (found["majority"].state, found["majority"].value) == ("text", "A red dress.")
        assert (found["all_null"].state, found["all_null"].value) == ("text", "")
        assert found["vocabulary"] is None

    def test_no_reference(self):
        assert self.text([None])["majority"].value == ""

    def test_a_text_is_never_null(self):
        assert self.text(["n/a", "n/a", "x"])["majority"].value == "n/a"


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4)


@settings(deadline=None, max_examples=80)
@given(st.lists(scalars))
def test_no_other_constant_answer_is_right_more_often(values):
    majority = floors(values).answers["majority"]
    metric = StructuredMatch(
        MetricInfo(id="m", title="", family="structured", low=0, high=1, higher_is_better=True, signature="")
    )
    scorer = Scorer(task(), [metric], {"a": Exact()}, NULLS)
    references = [{"a": value} for value in values]

    def right(answer):
        return scorer.score([answer] * len(values), references).scores["m"].values.sum()

    for value in [None, *values]:
        assert right(majority) >= right(Prediction("", 0, "strict", {"a": value}))


@pytest.mark.skipif(not PHOTOS.exists(), reason="../shared/data/garment_photos is not there")
def test_counts_are_those_of_a_plain_counter():
    references = [json.loads(line)["reference"] for line in PHOTOS.read_text().splitlines()]
    from peakbench.builtins import open_registry
    from peakbench.metrics.base import Tools

    registry = open_registry()
    garment = registry.task("garment")
    found = count_references(
        references, task=garment, comparators=registry.comparators(garment, Tools()), nulls=registry.nulls
    )
    for name in garment.keys:
        counts = Counter(reference[name] for reference in references)
        assert counts[found.answers["majority"].value[name]] == max(counts.values())
    # No legible size tag (data/README.md): null is the mode.
    assert found.answers["vocabulary"].value["size"] is None


def test_weights_do_not_matter_to_the_floors():
    values = [{"a": "x", "b": "p"}, {"a": "x", "b": "q"}, {"a": "y", "b": "q"}]
    asked = task(a={"weight": 3}, b={"weight": 1})
    comparators = {"a": Exact(), "b": Exact()}
    counts = ReferenceCounts(asked, NULLS)
    for value in values:
        counts.add(value)
    majority = counts.floors(comparators).answers["majority"]
    assert majority.value == {"a": "x", "b": "q"}
    metric = WeightedScore(
        MetricInfo(id="w", title="", family="structured", low=0, high=1, higher_is_better=True, signature="")
    )
    scored = Scorer(asked, [metric], comparators, NULLS).score([majority] * 3, values)
    assert scored.scores["w"].values == pytest.approx(np.array([0.75, 1.0, 0.25]))
