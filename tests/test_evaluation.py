"""Summaries worked out by hand, and from their own rows by plain arithmetic."""

import dataclasses
import json
import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.analysis.evaluation import passes as evaluation
from peakbench.analysis.evaluation.passes import evaluate, evaluate_stream
from peakbench.builtins import open_registry
from peakbench.metrics.base import MetricInfo, Scores, Tools
from peakbench.metrics.comparators import Exact
from peakbench.records import Completion, Failure, Response, Sample, Sampling
from peakbench.store import DataRecord, EndpointRecord, RunDirectory, RunRecord, TaskRecord
from peakbench.tasks import Task

TASK = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": {"a": {"weight": 3}, "b": {}}})
TEXT_TASK = Task.model_validate({"id": "t", "prompt": {"user": "?"}, "answer": "text"})
STRUCTURED = ("structured_match", "weighted_score", "valued_f1", "json_parse_rate", "latency", "throughput")


@pytest.fixture(scope="module")
def registry():
    return open_registry()


def sample(id_, reference, **metadata):
    return Sample(id_, reference=reference, metadata=metadata)


def answer(id_, value, repeat=0, **changes):
    text = value if isinstance(value, str) else json.dumps(value)
    response = Response(text, **{"latency_s": 0.5, **changes})
    return Completion(id_, repeat, response, started_at=100.0)


def failure(id_, repeat=0, kind="timeout"):
    return Completion(id_, repeat, None, Failure(kind, "no answer"), started_at=100.0)


def run(pairs, *, registry, metrics=STRUCTURED, task=TASK, write_rows=None, **options):
    """Return the summary and the rows of pairs (sample, completions)."""
    rows = []
    built = registry.build(list(metrics), task, Tools()) if isinstance(metrics[0], str) else metrics
    summary = evaluate_stream(
        lambda: iter(pairs),
        metrics=built,
        task=task,
        comparators=registry.comparators(task, Tools()),
        nulls=registry.nulls_of(task),
        write_rows=write_rows or rows.extend,
        **{"resamples": 200, **options},
    )
    assert_finite(summary)
    json.dumps(summary, allow_nan=False)
    return summary, rows


def assert_finite(value):
    if isinstance(value, dict):
        for item in value.values():
            assert_finite(item)
    elif isinstance(value, list):
        for item in value:
            assert_finite(item)
    else:
        assert not isinstance(value, np.generic)
        assert not isinstance(value, float) or math.isfinite(value)


@dataclasses.dataclass
class Fake:
    """A metric that scores each answer by a function of its value."""

    info: MetricInfo
    of: object
    requires: tuple[str, ...] = ()

    def score_batch(self, batch):
        return Scores.full([self.of(prediction) for prediction in batch.predictions])


def info(id_, **changes):
    given = {"title": id_, "family": "text", "low": 0.0, "high": 1.0, "higher_is_better": True, "signature": id_}
    return MetricInfo(id=id_, **{**given, **changes})


@pytest.fixture(scope="module")
def found(registry):
    """Four samples: one half right, one unparseable, one failed, one never asked."""
    full = {"a": "x", "b": "p"}
    return run(
        [
            (sample("s0", full), [answer("s0", {"a": "x", "b": "q"})]),
            (sample("s1", {"a": "x", "b": None}), [answer("s1", "no idea")]),
            (sample("s2", {"a": "y", "b": "p"}), [failure("s2")]),
            (sample("s3", full), []),
        ],
        registry=registry,
        workers=4,
        wall_s=2.0,
    )


class TestByHand:
    def test_samples(self, found):
        summary, rows = found
        assert summary["samples"] == {
            "total": 4,
            "answers": 3,
            "failed": 1,
            "strict": 1,
            "extracted": 0,
            "repaired": 0,
            "unparseable": 1,
            "off_schema": 0,
            "text": 0,
            "truncated": 0,
            "unasked": 1,
            "refused": 0,
            "duplicate_keys": 0,
            "extra_keys": 0,
            "failures": {"timeout": 1},
        }
        assert [row["sample_id"] for row in rows] == ["s0", "s1", "s2"]
        assert summary["format"] == 1

    def test_structured_match(self, found):
        # s0 1/2, s1 worst: mean 1/4. Failed as 0: .5 / 3; as 1: 1.5 / 3. The unasked sample is in neither.
        entry = found[0]["metrics"]["structured_match"]
        assert (entry["value"], entry["n"], entry["unscored"], entry["reason"]) == (0.25, 2, 0, None)
        assert entry["with_failures"] == pytest.approx({"low": 0.5 / 3, "high": 1.5 / 3})
        assert entry["unreliable"] == "fewer than 100 samples (2)"

    def test_floors_rest_on_the_answered_samples(self, found):
        # Majority of the four references: a = x (3 of 4), b = p (3 of 4). On s0 1, on s1 1/2. All null: 0, 1/2.
        # Vocabulary: a = "x or y", b = "p": 1/2, 0. Skill (.25 - .75) / (1 - .75) = -2: unclipped.
        entry = found[0]["metrics"]["structured_match"]
        assert entry["floor"] == {"unparseable": 0.0, "all_null": 0.25, "majority": 0.75, "vocabulary": 0.25}
        assert entry["skill"] == pytest.approx(-2.0)

    def test_weighted_score(self, found):
        # s0 3/4, s1 0; majority 1 and 3/4; skill (.375 - .875) / .125 = -4.
        entry = found[0]["metrics"]["weighted_score"]
        assert (entry["value"], entry["floor"]["majority"]) == (0.375, 0.875)
        assert entry["skill"] == pytest.approx(-4.0)

    def test_pooled(self, found):
        # s0: C = 1, wrong = 1: 2 / 4. s1, unread with one value in the reference: 0 / 1. Pooled 2 / 5.
        # A failed answer weighs as much as the mean scored one, 2.5: 2 / 7.5 and 4.5 / 7.5.
        entry = found[0]["metrics"]["valued_f1"]
        assert entry["value"] == pytest.approx(0.4)
        assert entry["with_failures"] == pytest.approx({"low": 2 / 7.5, "high": 4.5 / 7.5})

    def test_rate(self, found):
        # One of two answers is JSON; Wilson for 1 of 2: (1 + z^2/2) / (2 + z^2) -+ ..., scipy gives .0945, .9055.
        entry = found[0]["metrics"]["json_parse_rate"]
        assert (entry["value"], entry["method"], entry["floor"]) == (0.5, "wilson", {})
        assert (entry["low"], entry["high"]) == pytest.approx((0.0945312, 0.9054688), abs=1e-6)
        assert entry["skill_reason"] == "the metric has no floor"
        assert entry["with_failures"] == pytest.approx({"low": 1 / 3, "high": 2 / 3})

    def test_fields(self, found):
        a, b = found[0]["fields"]["a"], found[0]["fields"]["b"]
        assert (a["score"], a["weight"], a["n"], a["correct"], a["unread"]) == (0.5, 3.0, 2, 1, 1)
        assert (b["score"], b["wrong"], b["unread"], b["correct_null"]) == (0.0, 1, 1, 0)
        assert a["floor"] == {"unparseable": 0.0, "all_null": 0.0, "majority": 1.0, "vocabulary": 0.0}
        assert b["floor"] == {"unparseable": 0.0, "all_null": 0.5, "majority": 0.5, "vocabulary": 0.5}

    def test_performance(self, found):
        # Two answers in two seconds; a failed attempt is no answer.
        performance = found[0]["performance"]
        assert (performance["workers"], performance["wall_s"], performance["samples_per_s"]) == (4, 2.0, 1.0)
        assert performance["latency_s"] == {"p50": 0.5, "p90": 0.5, "p99": 0.5, "n": 2}
        assert performance["ttft_s"]["n"] == 0
        assert found[0]["metrics"]["throughput"]["value"] == 1.0
        latency = found[0]["metrics"]["latency"]
        assert (latency["value"], latency["low"], latency["method"], latency["n"]) == (0.5, None, "none", 2)
        assert latency["with_failures"] == {"low": None, "high": None}


def test_repeats_are_averaged_first(registry):
    # s0: 1, 1/2 -> 3/4. s1: 1/2, failed -> 1/2. s2: failed twice. Mean (3/4 + 1/2) / 2 = 5/8.
    # Failed as 0: (3/4 + 1/4 + 0) / 3; as 1: (3/4 + 3/4 + 1) / 3.
    reference = {"a": "x", "b": "p"}
    half, whole = {"a": "x", "b": "q"}, reference
    summary, _ = run(
        [
            (sample("s0", reference), [answer("s0", whole), answer("s0", half, 1)]),
            (sample("s1", reference), [answer("s1", half), failure("s1", 1)]),
            (sample("s2", reference), [failure("s2"), failure("s2", 1, "rate_limited")]),
        ],
        registry=registry,
        repeats=2,
    )
    entry = summary["metrics"]["structured_match"]
    assert (entry["value"], entry["n"]) == (0.625, 2)
    assert entry["with_failures"] == pytest.approx({"low": 1 / 3, "high": 2.5 / 3})
    # Sums averaged over the scored repeats. s0: (4 + 2) / 2 over (4 + 4) / 2; s1: 2 over 4. Pooled 5 / 8.
    assert summary["metrics"]["valued_f1"]["value"] == pytest.approx(5 / 8)
    # Outcomes count answers: three of them.
    assert summary["fields"]["b"]["correct"] + summary["fields"]["b"]["wrong"] == 3
    assert summary["samples"]["failures"] == {"timeout": 2, "rate_limited": 1}
    assert summary["metrics"]["json_parse_rate"]["method"] == "bca"


def test_lower_is_better(registry):
    # Errors: answers x 0.1, null 0.5, anything else 0.8. Majority is x: floor 0.1 (the lowest). Answers: .1, .8.
    def error(prediction):
        return {"x": 0.1, None: 0.5}.get((prediction.value or {}).get("a"), 0.8)

    metric = Fake(info("error", higher_is_better=False), error)
    pairs = [
        (sample("s0", {"a": "x"}), [answer("s0", {"a": "x", "b": 1})]),
        (sample("s1", {"a": "x"}), [answer("s1", {"a": "z", "b": 1})]),
        (sample("s2", {"a": "x"}), [answer("s2", "no idea")]),
    ]
    entry = run(pairs, registry=registry, metrics=[metric])[0]["metrics"]["error"]
    assert entry["value"] == pytest.approx((0.1 + 0.8 + 1.0) / 3)  # unread: the worst is 1
    assert entry["floor"] == pytest.approx({"unparseable": 1.0, "all_null": 0.5, "majority": 0.1, "vocabulary": 0.1})
    assert entry["skill"] == pytest.approx((1.9 / 3 - 0.1) / (0 - 0.1))


def test_partial_references_show_the_pooled_value(registry):
    # s0: 2 of 2; s1: 0 of 1. Mean 1/2, pooled 2/3.
    pairs = [
        (sample("s0", {"a": "x", "b": "p"}), [answer("s0", {"a": "x", "b": "p"})]),
        (sample("s1", {"a": "x"}), [answer("s1", {"a": "z", "b": "p"})]),
        (sample("s2", {}), [answer("s2", {"a": "z", "b": "p"})]),
        (sample("s3", None), [answer("s3", "no idea")]),
    ]
    entry = run(pairs, registry=registry)[0]["metrics"]["structured_match"]
    assert (entry["value"], entry["n"], entry["unscored"]) == (0.5, 2, 2)
    assert entry["pooled"] == pytest.approx(2 / 3)
    assert entry["reason"] == "the reference has none of the task's fields"


def test_oddities_are_counted(registry):
    reference = {"a": "x", "b": "p"}
    pairs = [
        (sample("s0", reference), [answer("s0", '{"a": 1, "a": "x", "b": "p", "c": 0}', finish_reason="length")]),
        (sample("s1", reference), [answer("s1", "", refusal="I cannot help with that")]),
        (sample("s2", reference), [answer("s2", "{}")]),
        (sample("s3", reference), [answer("s3", 'Here: {"a": "x", "b": "p"}')]),
    ]
    counted = run(pairs, registry=registry)[0]["samples"]
    names = ("strict", "extracted", "unparseable", "off_schema", "truncated", "refused", "duplicate_keys", "extra_keys")
    assert {name: counted[name] for name in names} == dict.fromkeys(names, 1)


class TestNothingToScore:
    def test_no_samples(self, registry):
        summary, rows = run([], registry=registry)
        assert rows == []
        assert summary["metrics"]["structured_match"]["value"] is None
        assert summary["metrics"]["structured_match"]["reason"] == "no sample is scored"
        assert summary["samples"]["total"] == 0

    def test_all_failed(self, registry):
        summary, _ = run([(sample("s0", {"a": "x"}), [failure("s0")])], registry=registry)
        entry = summary["metrics"]["structured_match"]
        assert (entry["value"], entry["n"], entry["skill"]) == (None, 0, None)
        assert entry["with_failures"] == {"low": 0.0, "high": 1.0}
        assert entry["floor"]["majority"] is None

    def test_answers_from_elsewhere_have_no_timings(self, registry):
        found = Completion("s0", 0, Response('{"a": "x", "b": null}'))
        summary, _ = run([(sample("s0", {"a": "x"}), [found])], registry=registry, workers=8, wall_s=0.0)
        assert summary["performance"]["samples_per_s"] is None
        assert summary["metrics"]["throughput"]["reason"] == "no wall time: the answers came from elsewhere"
        assert summary["metrics"]["latency"]["value"] is None

    def test_a_missing_model_leaves_its_metric_out(self, registry):
        pairs = [(sample(f"s{i}", {"a": "x"}), [answer(f"s{i}", text)]) for i, text in enumerate(["{}", "no"])]
        entry = run(pairs, registry=registry, metrics=["sbert"])[0]["metrics"]["sbert"]
        assert (entry["value"], entry["n"], entry["unscored"]) == (None, 0, 2)
        assert entry["with_failures"] == {"low": None, "high": None}


class TestBroken:
    def pairs(self, n=7):
        return [(sample(f"s{i}", {"a": "x", "b": str(i)}), [answer(f"s{i}", {"a": "x", "b": i})]) for i in range(n)]

    @pytest.mark.parametrize(
        ("at", "reason"),
        [
            (lambda _: 1.7, "value 1.7 outside [0, 1] at sample s5"),
            (lambda _: 1 / 0, "ZeroDivisionError: division by zero"),
        ],
    )
    def test_no_row_holds_a_value_of_a_broken_metric(self, registry, monkeypatch, at, reason):
        monkeypatch.setattr(evaluation, "BATCH", 2)
        good = Fake(info("good"), lambda _: 0.5)
        bad = Fake(info("bad"), lambda p: at(p) if p.sample_id == "s5" else 0.5)
        written = []

        def write(rows):
            written.append(list(rows))

        summary, _ = run(self.pairs(), registry=registry, metrics=[good, bad], write_rows=write)
        entry = summary["metrics"]["bad"]
        assert (entry["value"], entry["n"], entry["unscored"], entry["reason"]) == (None, 0, 7, reason)
        assert len(written) == 1  # the first attempt ended inside ``write``
        assert [row["metrics"]["bad"] for row in written[0]] == [{"value": None, "reason": reason}] * 7
        assert summary["metrics"]["good"]["value"] == 0.5
        assert summary["samples"]["answers"] == 7

    def test_breaking_on_a_floor(self, registry):
        bad = Fake(info("bad"), lambda p: 2.0 if p.read and p.value["a"] is None else 0.5)
        summary, rows = run(self.pairs(2), registry=registry, metrics=[bad])
        assert summary["metrics"]["bad"]["reason"] == "value 2 outside [0, 1] at sample (floor all_null)"
        assert rows[0]["metrics"]["bad"]["value"] is None


class TestSlices:
    def test_each_slice_is_its_own_mean(self, registry):
        pairs = [
            (sample("s0", {"a": "x"}, shop="A", new=True), [answer("s0", {"a": "x", "b": 0})]),
            (sample("s1", {"a": "x"}, shop="A"), [answer("s1", {"a": "z", "b": 0})]),
            (sample("s2", {"a": "x"}, shop="B", new=False), [answer("s2", {"a": "x", "b": 0})]),
            (sample("s3", {"a": "x"}, shop="B"), [failure("s3")]),
            (sample("s4", {"a": "x"}, shop=None), [answer("s4", {"a": "x", "b": 0})]),
        ]
        slices = run(pairs, registry=registry, slices=["shop", "new", "nowhere"])[0]["slices"]
        shops = {
            value: (found["n"], found["metrics"]["structured_match"]["value"])
            for value, found in slices["shop"].items()
        }
        assert shops == {"A": (2, 0.5), "B": (1, 1.0)}
        assert slices["new"].keys() == {"true", "false"}
        assert slices["nowhere"] == {}

    @pytest.mark.parametrize(("values", "shown"), [(100, 100), (101, 100)])
    def test_at_most_a_hundred_values(self, registry, values, shown):
        pairs = []
        for index in range(2 * values - 1):  # the last value stands once, the others twice
            found = sample(f"s{index}", {"a": "x"}, shop=f"shop {index % values:03}")
            pairs.append((found, [answer(found.id, {"a": "x", "b": 0})]))
        slices = run(pairs, registry=registry, slices=["shop"], resamples=20)[0]["slices"]["shop"]
        assert len(slices) == shown
        assert sum(found["n"] for found in slices.values()) == 2 * values - 1
        assert slices.get("(other)", {"n": None})["n"] == (3 if values > 100 else None)

    def test_streamed(self, registry):
        random = np.random.default_rng(0)
        pairs = []
        for index in range(120):
            found = sample(f"s{index}", {"a": "x", "b": "p"}, shop="AB"[index % 2])
            value = {"a": "x" if random.random() < 0.6 else "z", "b": "p" if random.random() < 0.8 else "z"}
            pairs.append((found, [answer(found.id, value)]))
        kept = run(pairs, registry=registry, slices=["shop"], resamples=2000)[0]
        streamed = run(pairs, registry=registry, slices=["shop"], kept=119)[0]
        assert streamed["resamples"]["n"] == 0
        for where in (lambda s: s["metrics"], lambda s: s["slices"]["shop"]["A"]["metrics"]):
            for name in ("structured_match", "weighted_score", "valued_f1"):
                first, second = where(kept)[name], where(streamed)[name]
                assert (first["method"], second["method"]) == ("bca", "normal")
                assert first["value"] == pytest.approx(second["value"])
                width = first["high"] - first["low"]
                assert second["low"] == pytest.approx(first["low"], abs=0.15 * width)
                assert second["high"] == pytest.approx(first["high"], abs=0.15 * width)
        first, second = kept["metrics"]["weighted_score"], streamed["metrics"]["weighted_score"]
        assert first["skill"] == pytest.approx(second["skill"])
        assert first["floor"] == pytest.approx(second["floor"])


def test_text_task(registry):
    references = ["a red dress", "a red dress", "blue jeans"]
    pairs = [(sample(f"s{i}", text), [answer(f"s{i}", "a red dress")]) for i, text in enumerate(references)]
    summary, rows = run(pairs, registry=registry, metrics=["levenshtein"], task=TEXT_TASK)
    entry = summary["metrics"]["levenshtein"]
    # The answer is the majority text itself: skill 0. "blue jeans" against it scores some s: (2 + s) / 3.
    assert entry["value"] == pytest.approx((2 + rows[2]["metrics"]["levenshtein"]["value"]) / 3)
    assert entry["floor"] == {"unparseable": 0.0, "all_null": 0.0, "majority": entry["value"], "vocabulary": None}
    assert entry["skill"] == 0.0
    assert summary["fields"] == {}
    assert summary["samples"]["text"] == 3


values = st.sampled_from(["x", "y", None, "n/a", 3])
texts = st.one_of(
    st.builds(lambda a, b: json.dumps({"a": a, "b": b}), values, values), st.sampled_from(["no", "{}", None])
)
outcomes = st.lists(st.one_of(texts, st.just(Failure("timeout", ""))), max_size=3)
references = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["x", "y", None]))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(references, outcomes), max_size=12), st.booleans())
def test_values_are_the_means_of_the_rows(drawn, streamed):
    pairs = []
    for index, (reference, found) in enumerate(drawn):
        completions = [
            failure(f"s{index}", repeat) if isinstance(text, Failure) else answer(f"s{index}", text or "", repeat)
            for repeat, text in enumerate(found)
        ]
        pairs.append((sample(f"s{index}", reference, shop=index % 2), completions))
    summary, rows = run(pairs, registry=REGISTRY, repeats=3, slices=["shop"], resamples=20, kept=0 if streamed else 100)
    for name in ("structured_match", "weighted_score", "json_parse_rate"):
        by_sample = defaultdict(list)
        for row in rows:
            if row["metrics"][name]["value"] is not None:
                by_sample[row["sample_id"]].append(row["metrics"][name]["value"])
        entry = summary["metrics"][name]
        assert entry["n"] == len(by_sample)
        if not by_sample:
            assert entry["value"] is None
            continue
        means = [sum(found) / len(found) for found in by_sample.values()]
        assert entry["value"] == pytest.approx(sum(means) / len(means), abs=1e-12)
        if entry["low"] is not None:
            assert 0 <= entry["low"] <= entry["high"] <= 1
        span = entry["with_failures"]
        assert span["low"] - 1e-12 <= entry["value"] <= span["high"] + 1e-12
    counted = summary["samples"]
    states = ("failed", "strict", "extracted", "repaired", "unparseable", "off_schema", "text")
    assert sum(counted[state] for state in states) == counted["answers"] == len(rows)
    assert counted["answers"] + counted["unasked"] == 3 * counted["total"]
    for name, entry in summary["fields"].items():
        found = [row["fields"][name]["outcome"] for row in rows if name in row["fields"]]
        assert {outcome: found.count(outcome) for outcome in set(found)} == {
            outcome: entry[outcome]
            for outcome in ("correct", "correct_null", "wrong", "invented", "omitted", "unread")
            if entry[outcome]
        }


REGISTRY = open_registry()


def test_run_directory(tmp_path, registry):
    record = RunRecord(
        name="first",
        created_at="2026-11-21T10:00:00+00:00",
        task=TaskRecord(id="t", version=1, sha256="0" * 64),
        data=DataRecord(name="eval", source="eval.jsonl", fingerprint="f" * 64, samples=2),
        endpoint=EndpointRecord(url="http://127.0.0.1:8000/v1", transport="aiohttp"),
        model="m",
        sampling=Sampling(),
        repeats=2,
        workers=8,
    )
    directory = RunDirectory.create(tmp_path / "run", record, TASK)
    from peakbench.datasets import SampleRecord

    directory.write_samples([SampleRecord("s0", {"a": "x", "b": "p"}), SampleRecord("s1", {"a": "x", "b": None})])
    with directory.journal() as journal:
        journal.append(failure("s0"))
        journal.append(answer("s0", {"a": "x", "b": "p"}))  # the last line counts
        journal.append(answer("s1", {"a": "x", "b": "q"}))
        journal.append(answer("s1", {"a": "x", "b": None}, 1))
    done = []
    summary = evaluate(
        directory,
        metrics=registry.build(["structured_match"], TASK, Tools()),
        task=TASK,
        comparators={"a": Exact(), "b": Exact()},
        nulls=registry.nulls,
        resamples=50,
        on_progress=done.append,
    )
    assert summary["metrics"]["structured_match"]["value"] == pytest.approx((1 + 0.75) / 2)
    assert summary["samples"]["unasked"] == 1
    assert summary["run"]["model"] == "m"
    assert summary["performance"]["workers"] == 8
    assert directory.summary() == json.loads(json.dumps(summary))
    lines = [json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]
    assert [(line["sample_id"], line["repeat"]) for line in lines] == [("s0", 0), ("s1", 0), ("s1", 1)]
    assert done == [2]
