"""What adversarial answers score on 100 real photos: the last table of the metric definitions.

Its structured and weighted columns, under the exact comparator for every field.
"""

import json
from pathlib import Path

import pytest

from peakbench.analysis.evaluation.passes import evaluate_stream
from peakbench.builtins import open_registry
from peakbench.metrics.base import Tools
from peakbench.records import Completion, Response, Sample
from peakbench.tasks import Task

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "garment_photos"
METRICS = ("structured_match", "weighted_score")

pytestmark = pytest.mark.skipif(not PHOTOS.exists(), reason="../shared/data/garment_photos is not there")


@pytest.fixture(scope="module")
def registry():
    return open_registry()


@pytest.fixture(scope="module")
def exact_garment(registry):
    garment = registry.task("garment").model_dump(mode="json")
    for field in garment["fields"].values():
        field["comparator"] = "exact"
    return Task.model_validate(garment)


@pytest.fixture(scope="module")
def photos():
    lines = map(json.loads, (PHOTOS / "samples.jsonl").read_text().splitlines())
    return [Sample(line["id"], reference=line["reference"], metadata=line["metadata"]) for line in lines]


def score(registry, task, samples, answers):
    """Return the summary entries of the two metrics."""
    tools = Tools()

    def records():
        for sample in samples:
            given = answers(sample)
            text = given if isinstance(given, str) else json.dumps(given)
            yield sample, [Completion(sample.id, 0, Response(text))]

    summary = evaluate_stream(
        records,
        metrics=registry.build(list(METRICS), task, tools),
        task=task,
        comparators=registry.comparators(task, tools),
        nulls=registry.nulls_of(task),
        resamples=1000,
    )
    return [summary["metrics"][name] for name in METRICS]


@pytest.mark.parametrize(("name", "expected"), [("a", (0.978, 0.978)), ("b", (0.980, 0.983))])
def test_annotators(registry, exact_garment, photos, name, expected):
    lines = map(json.loads, (PHOTOS / f"annotator_{name}.jsonl").read_text().splitlines())
    given = {line["id"]: line["response"] for line in lines}
    structured, weighted = score(registry, exact_garment, photos, lambda one: given[one.id])
    assert (round(structured["value"], 3), round(weighted["value"], 3)) == expected
    # The floors of the same table, and "vocabulary": 0.44 of the summary format's example.
    floor = {name: round(value, 3) for name, value in structured["floor"].items()}
    assert floor == {"unparseable": 0.0, "all_null": 0.453, "majority": 0.538, "vocabulary": 0.436}
    assert round(weighted["floor"]["all_null"], 3) == 0.482
    assert round(weighted["floor"]["majority"], 3) == 0.555
    assert structured["skill"] == pytest.approx(
        (structured["value"] - structured["floor"]["majority"]) / (1 - structured["floor"]["majority"])
    )
    assert structured["skill_low"] < structured["skill"] < structured["skill_high"]


def test_adversarial_answers(registry, exact_garment, photos):
    vocabulary = {
        # size has no value at all, so its vocabulary is empty: null
        name: " or ".join(sorted({one.reference[name] for one in photos if one.reference[name]})) or None
        for name in exact_garment.keys
    }
    cases = {
        "all null": (lambda _: dict.fromkeys(exact_garment.keys), (0.453, 0.482)),
        "unknown": (lambda _: dict.fromkeys(exact_garment.keys, "unknown"), (0.453, 0.482)),
        "whole vocabulary": (lambda _: vocabulary, (0.113, 0.123)),
        "every null invented": (
            lambda one: {name: value or "something" for name, value in one.reference.items()},
            (0.547, 0.518),
        ),
        "right or wrong": (
            lambda one: {name: value and f"{value} or beige" for name, value in one.reference.items()},
            (0.453, 0.482),
        ),
    }
    for name, (answers, expected) in cases.items():
        found = score(registry, exact_garment, photos, answers)
        assert tuple(round(entry["value"], 3) for entry in found) == expected, name
