"""Floors, skill and the range with the failures: of each field and each slice, worked out by hand and by plain sums."""

import json
import random
from typing import ClassVar

import numpy as np
import pytest

from peakbench.analysis.evaluation import passes as evaluation
from peakbench.analysis.evaluation.passes import evaluate_stream
from peakbench.builtins import open_registry
from peakbench.metrics.base import MetricInfo, Scores, Tools, as_written
from peakbench.records import Completion, Failure, Response, Sample
from peakbench.report.rows import summary_rows
from peakbench.statistics import Bootstrap, Ratio, Skill
from peakbench.tasks import Task

TASK = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"a": {"weight": 3}, "b": {}}})
METRICS = ("structured_match", "weighted_score", "valued_f1", "value_accuracy", "rouge_l", "json_parse_rate", "latency")
FLOORS = ("unparseable", "all_null", "majority", "vocabulary")


@pytest.fixture(scope="module")
def registry():
    return open_registry()


def sample(id_, reference, **metadata):
    return Sample(id_, reference=reference, metadata=metadata)


def answer(id_, value, repeat=0):
    text = value if isinstance(value, str) else json.dumps(value)
    return Completion(id_, repeat, Response(text, latency_s=0.5), started_at=100.0)


def failure(id_, repeat=0):
    return Completion(id_, repeat, None, Failure("timeout", "no answer"), started_at=100.0)


class Raw:
    """1 where the whole text of an answer holds an x; it keeps the texts that it saw."""

    info = MetricInfo(
        id="raw", title="Raw", family="text", low=0.0, high=1.0, higher_is_better=True, signature="raw|v1"
    )
    requires = ()
    seen: ClassVar[list[str]] = []

    def score_batch(self, batch):
        texts = [as_written(prediction) for prediction in batch.predictions]
        self.seen.extend(texts)
        return Scores.full(["x" in text for text in texts])


class Alike:
    """An encoder to which all texts are one, and an entailer that never sees a contradiction."""

    identity = "alike@1"

    def encode(self, texts):
        return np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (len(texts), 1))

    def contradiction(self, pairs):
        return np.zeros(len(pairs))


def run(pairs, registry, *, task=TASK, metrics=METRICS, built=None, tools=None, **options):
    """Return the summary and the lines of pairs (sample, completions)."""
    rows = []
    summary = evaluate_stream(
        lambda: iter(pairs),
        metrics=built or registry.build(list(metrics), task, tools or Tools()),
        task=task,
        comparators=registry.comparators(task, Tools()),
        nulls=registry.nulls_of(task),
        field_signatures=registry.field_signatures(task, Tools()),
        write_rows=rows.extend,
        **{"resamples": 500, **options},
    )
    json.dumps(summary, allow_nan=False)
    return summary, rows


@pytest.fixture(scope="module")
def by_hand(registry):
    """Field a: x x y -, where - is absent; b: null null p q. The majority says x and null, the vocabulary x or y."""
    pairs = [
        (sample("s0", {"a": "x", "b": None}, shop="A"), [answer("s0", {"a": "x", "b": None})]),
        (sample("s1", {"a": "x", "b": None}, shop="A"), [answer("s1", {"a": "z", "b": "p"})]),
        (sample("s2", {"a": "y", "b": "p"}, shop="B"), [answer("s2", {"a": "y", "b": None})]),
        (sample("s3", {"b": "q"}, shop="B"), [failure("s3")]),
    ]
    return run(pairs, registry, slices=["shop"])[0]


class TestByHand:
    def test_floors_of_a_field_count_where_its_score_does(self, by_hand):
        # the failed sample is no part of any score; it would have been the fourth for b
        assert by_hand["fields"]["a"]["floor"] == {
            "unparseable": 0.0, "all_null": 0.0, "majority": pytest.approx(2 / 3), "vocabulary": 0.0,
        }  # fmt: skip
        assert by_hand["fields"]["b"]["floor"] == {
            "unparseable": 0.0, "all_null": pytest.approx(2 / 3),
            "majority": pytest.approx(2 / 3), "vocabulary": pytest.approx(2 / 3),
        }  # fmt: skip

    def test_skill_of_a_field(self, by_hand):
        # a: 2 of 3 right, as good as saying x each time. b: 1 of 3: (1/3 - 2/3) / (1 - 2/3)
        assert by_hand["fields"]["a"]["skill"] == pytest.approx(0)
        assert by_hand["fields"]["b"]["skill"] == pytest.approx(-1)
        for entry in by_hand["fields"].values():
            assert entry["skill_reason"] is None

    def test_invented_and_omitted_stand_apart(self, by_hand):
        counted = {name: by_hand["fields"]["b"][name] for name in ("correct_null", "invented", "omitted", "wrong")}
        assert counted == {"correct_null": 1, "invented": 1, "omitted": 1, "wrong": 0}

    def test_failures_bracket_the_fields_that_their_references_have(self, by_hand):
        assert by_hand["fields"]["a"]["with_failures"] == {"low": pytest.approx(2 / 3), "high": pytest.approx(2 / 3)}
        assert by_hand["fields"]["b"]["with_failures"] == {"low": 1 / 4, "high": 2 / 4}

    def test_floors_of_a_slice_are_the_runs_own_constants(self, by_hand):
        shop = by_hand["slices"]["shop"]
        # in B every a is y, and the run's majority says x all the same
        assert shop["B"]["fields"]["a"]["floor"]["majority"] == 0
        assert shop["A"]["fields"]["a"]["floor"]["majority"] == 1
        assert shop["A"]["fields"]["a"]["score"] == 0.5
        assert (shop["A"]["fields"]["a"]["skill"], shop["A"]["fields"]["a"]["skill_reason"]) == (
            None,
            "the floor is the best value already",
        )
        # weights 3 and 1: B has (3 x 1 + 1 x 0) / 4; its floors 0 and 0
        entry = shop["B"]["metrics"]["weighted_score"]
        assert (entry["value"], entry["floor"]["majority"], entry["skill"]) == (0.75, 0.0, 0.75)

    def test_failures_bracket_a_slice(self, by_hand):
        found = by_hand["slices"]["shop"]["B"]
        assert (found["n"], found["answers"], found["failed"]) == (1, 2, 1)
        assert found["metrics"]["weighted_score"]["with_failures"] == {"low": 0.375, "high": 0.875}
        assert found["fields"]["b"]["with_failures"] == {"low": 0.0, "high": 0.5}
        assert found["fields"]["a"]["with_failures"] == {"low": 1.0, "high": 1.0}


def test_a_slice_without_any_answer_is_shown_and_has_no_value(registry):
    pairs = [
        (sample("s0", {"a": "x"}, shop="A"), [answer("s0", {"a": "x"})]),
        (sample("s1", {"a": "x"}, shop="B"), [failure("s1")]),
        (sample("s2", {"a": "x"}, shop="C"), []),
    ]
    shop = run(pairs, registry, slices=["shop"])[0]["slices"]["shop"]
    assert shop.keys() == {"A", "B"}  # nobody has asked about C yet
    entry = shop["B"]["metrics"]["weighted_score"]
    assert (shop["B"]["n"], entry["value"], entry["reason"]) == (0, None, "no sample is scored")
    assert entry["floor"] == dict.fromkeys(FLOORS)
    assert entry["with_failures"] == {"low": 0.0, "high": 1.0}


def test_where_only_the_worst_value_is_a_floor_skill_is_the_score(registry):
    """Every reference is null, and every answer invents: no constant has a valued field, so only 0 is left."""
    pairs = [(sample(f"s{i}", {"a": None, "b": None}), [answer(f"s{i}", {"a": "x", "b": None})]) for i in range(3)]
    entry = run(pairs, registry)[0]["metrics"]["valued_f1"]
    assert entry["floor"] == {"unparseable": 0.0, "all_null": None, "majority": None, "vocabulary": None}
    assert (entry["value"], entry["skill"], entry["skill_reason"]) == (0.0, 0.0, None)


def drawn(n, *, repeats=1, seed=0):
    """Random samples in three shops, with wrong, odd and failed answers."""
    draw = random.Random(seed)
    pairs = []
    for index in range(n):
        reference = {"a": draw.choice("xyz"), "b": draw.choice(["p", "q", None, None])}
        if draw.random() < 0.1:
            del reference["b"]
        completions = []
        for repeat in range(repeats):
            value = {"a": draw.choice(["x", reference["a"]]), "b": draw.choice(["p", None, reference.get("b")])}
            said = answer(f"s{index}", "no idea" if draw.random() < 0.1 else value, repeat)
            completions.append(failure(f"s{index}", repeat) if draw.random() < 0.1 else said)
        pairs.append((sample(f"s{index}", reference, shop=draw.choice("ABC")), completions))
    return pairs


@pytest.mark.parametrize(("repeats", "kept"), [(1, 1000), (2, 1000), (2, 0), (2, 60)])
def test_numbers_of_a_slice_are_those_of_a_run_over_its_samples(registry, monkeypatch, repeats, kept):
    """All but the floors' answers: those are the whole run's, so they are given to the smaller run, too."""
    monkeypatch.setattr(evaluation, "BATCH", 16)
    pairs = drawn(150, repeats=repeats)
    whole = run(pairs, registry, repeats=repeats, slices=["shop"], kept=kept)[0]
    for shop, found in whole["slices"]["shop"].items():
        alone = run(
            [one for one in pairs if one[0].metadata["shop"] == shop],
            registry,
            repeats=repeats,
            kept=0 if kept < 150 else 1000,
            samples=lambda: [one for one, _ in pairs],
        )[0]
        assert found["answers"] == alone["samples"]["answers"]
        assert found["failed"] == alone["samples"]["failed"]
        for kind in ("metrics", "fields"):
            for name, entry in found[kind].items():
                for key, value in entry.items():
                    if key != "reason":  # of a whole run's metric: why answers are unscored
                        assert value == pytest.approx(alone[kind][name][key], abs=1e-9), (name, key)
    assert "latency" not in found["metrics"]


def test_skill_of_a_field_redraws_score_and_floor_together(registry):
    pairs = drawn(150, seed=4)
    summary, rows = run(pairs, registry, resamples=2000)
    references = {one.id: one.reference for one, _ in pairs}
    columns = np.array(
        [
            [row["fields"]["a"]["score"], 1.0, 0.0, float(references[row["sample_id"]]["a"] == majority)]
            for majority in ["x"]
            for row in rows
            if row["state"] != "failed"
        ]
    )
    entry = summary["fields"]["a"]
    assert entry["floor"]["majority"] == pytest.approx(columns[:, 3].mean())
    expected = Bootstrap(columns, resamples=2000, seed=0).estimate(Skill(Ratio(0, 1), (Ratio(2, 1), Ratio(3, 1)), 1.0))
    assert entry["skill"] == pytest.approx(expected.value)
    # other columns beside it draw the same samples: the resamples are of rows
    assert (entry["skill_low"], entry["skill_high"]) == pytest.approx((expected.low, expected.high))


@pytest.fixture(scope="module")
def pairs():
    """40 answers, none of which is JSON with a key that was asked for."""
    answers = ["no idea", "{}", '["x"]', ""]
    return [(one, [answer(one.id, answers[index % len(answers)])]) for index, (one, _) in enumerate(drawn(40, seed=2))]


class TestProfile:
    """What the published leaderboard did: an answer that is no JSON scores as one with every field null."""

    def test_a_run_without_json_scores_the_all_null_floor(self, pairs, registry):
        strict, _ = run(pairs, registry)
        published, rows = run(pairs, registry, profile="published-2026")
        for name in ("structured_match", "weighted_score", "valued_f1", "rouge_l"):
            assert strict["metrics"][name]["value"] == 0
            entry = published["metrics"][name]
            assert entry["value"] == entry["floor"]["all_null"] == strict["metrics"][name]["floor"]["all_null"]
            assert entry["floor"]["unparseable"] == entry["floor"]["all_null"]
            assert entry["skill"] is None or entry["skill"] <= 0
        assert published["metrics"]["weighted_score"]["value"] > 0.1
        for name, field in published["fields"].items():
            assert field["score"] == field["floor"]["all_null"] == strict["fields"][name]["floor"]["all_null"]
            assert (field["unread"], strict["fields"][name]["unread"]) == (0, field["n"])
        assert {row["state"] for row in rows} == {"unparseable", "off_schema"}

    def test_on_any_data_two_published_metrics_of_a_run_without_json_are_equal(self, pairs, registry):
        """Both are 1 where both sides are null and 0 where one is: 42.9 % and 42.9 % on the published leaderboard."""
        tools = Tools(encoder=Alike(), entailer=Alike())
        names = ("weighted_score", "sbert_nli")
        found = run(pairs, registry, metrics=names, tools=tools, profile="published-2026")[0]["metrics"]
        weight = {"a": 3, "b": 1}
        shares = [
            sum(weight[name] for name, value in one.reference.items() if value is None)
            / sum(weight[name] for name in one.reference)
            for one, _ in pairs
        ]
        for name in names:
            assert found[name]["value"] == pytest.approx(sum(shares) / len(shares), abs=1e-12)

    def test_what_is_valid_json_stays_what_it_is(self, pairs, registry):
        strict, published = (run(pairs, registry, profile=profile)[0] for profile in (None, "published-2026"))
        assert published["metrics"]["json_parse_rate"] == strict["metrics"]["json_parse_rate"]
        assert published["metrics"]["json_parse_rate"]["value"] == 0
        assert published["metrics"]["latency"] == strict["metrics"]["latency"]
        assert published["samples"] == strict["samples"]

    def test_signatures_of_what_it_changes_end_with_it(self, pairs, registry):
        strict, published = (run(pairs, registry, profile=profile)[0] for profile in (None, "published-2026"))
        for kind in ("metrics", "fields"):
            for name, entry in published[kind].items():
                changed = name not in {"json_parse_rate", "latency"}
                end = "|profile:published-2026" if changed else ""
                assert entry["signature"] == strict[kind][name]["signature"] + end

    def test_answers_that_can_be_read_and_failed_ones_are_as_they_were(self, registry):
        pairs = drawn(60, repeats=2, seed=3)
        strict, rows = run(pairs, registry, repeats=2)
        published, other = run(pairs, registry, repeats=2, profile="published-2026")
        changed = 0
        for before, after in zip(rows, other, strict=True):
            unread = before["state"] == "unparseable"
            changed += unread
            assert before["state"] == after["state"]
            assert unread or before == after
        assert changed
        assert strict["samples"]["failed"] > 0
        assert strict["metrics"]["weighted_score"]["unscored"] == published["metrics"]["weighted_score"]["unscored"]

    def test_the_text_of_an_unread_answer_is_not_read_either(self, registry):
        """A metric that reads answers raw must not find the words of an answer that is read as null."""
        pairs = [(sample("s0", {"a": "x", "b": "p"}), [answer("s0", 'a: x, b: p (no "JSON")')])]
        summary, _ = run(pairs, registry, built=[Raw()], profile="published-2026")
        assert Raw.seen[0] == '{"a": null, "b": null}'
        assert summary["metrics"]["raw"]["value"] == summary["metrics"]["raw"]["floor"]["all_null"] == 0

    def test_a_text_task(self, registry):
        task = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "answer": "text"})
        pairs = [(sample("s0", "a red dress"), [answer("s0", "")]), (sample("s1", ""), [answer("s1", " ")])]
        for profile, expected in ((None, 0.0), ("published-2026", 0.5)):
            summary, rows = run(pairs, registry, task=task, metrics=["levenshtein"], profile=profile)
            assert summary["metrics"]["levenshtein"]["value"] == expected
            assert {row["state"] for row in rows} == {"unparseable"}


def test_flat_rows_hold_every_number_of_the_summary(registry):
    summary, _ = run(drawn(60), registry, slices=["shop"])
    rows = list(summary_rows(summary))
    metrics, fields = len(summary["metrics"]), len(summary["fields"])
    assert len(rows) == metrics + fields + 3 * (metrics - 1 + fields)  # a timing has no slices
    assert len({tuple(row) for row in rows}) == 1
    for row in rows:
        scope = summary if row["slice"] is None else summary["slices"][row["slice_key"]][row["slice"]]
        entry = scope[f"{row['what']}s"][row["name"]]
        assert row["value"] == entry["score" if row["what"] == "field" else "value"]
        assert [row["skill"], row["skill_low"], row["skill_high"]] == [
            entry["skill"], entry["skill_low"], entry["skill_high"],
        ]  # fmt: skip
        assert [row[f"floor_{name}"] for name in FLOORS] == [entry["floor"].get(name) for name in FLOORS]
        there = [value for value in entry["floor"].values() if value is not None]
        assert row["floor"] == max(there, default=None)
        assert (row["failures_low"], row["failures_high"]) == tuple(entry["with_failures"].values())
        assert row["signature"] == summary[f"{row['what']}s"][row["name"]]["signature"]
