"""What a cosine is worth: the fit against a worked example, the labelled pairs, the comparators, the page."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pydantic import ValidationError

from peakbench.builtins import open_plugins, open_registry
from peakbench.errors import TaskError
from peakbench.metrics.base import Tools
from peakbench.metrics.calibration import Calibration, fit, shipped_calibration, shipped_pairs
from peakbench.metrics.comparators import Synonyms
from peakbench.tasks import Task
from peakbench.values import shipped_table, text_form

ROOT = Path(__file__).parent.parent
MODEL = "all-mpnet-base-v2@78c0197b6159"


class Encoder:
    """Words on a circle, by their angles in degrees: the cosine of two is that of the angle between them."""

    def __init__(self, identity=MODEL, **angles):
        self.identity = identity
        self.angles = {name.replace("_", " "): angle for name, angle in angles.items()}

    def encode(self, texts):
        angles = np.radians([self.angles[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


# -- the fit -----------------------------------------------------------------------------------------------------------


def test_isotonic_regression_of_a_worked_example():
    """Pool adjacent violators by hand: labels 0 1 0 0 1 1 0 1 by rising cosine.

    0 | 1 0 0 -> 1/3 | 1 1 0 -> 2/3 | 1
    """
    cosines = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    mapping = fit(cosines[::-1], [1, 0, 1, 1, 0, 0, 1, 0], "m@1")
    assert mapping.cosines == (0.1, 0.2, 0.4, 0.5, 0.7, 0.8)
    assert mapping.probabilities == pytest.approx((0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1), abs=1e-6)
    assert mapping.apply([0, 0.15, 0.3, 0.45, 1]) == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2, 1], abs=1e-6)


def test_equal_cosines_count_as_one_place():
    mapping = fit([0.5, 0.5, 0.5, 0.9, -0.2], [1, 0, 0, 1, 0], "m@1")
    assert mapping.cosines == (0.0, 0.5, 0.9)
    assert mapping.probabilities == pytest.approx((0, 1 / 3, 1), abs=1e-6)


@pytest.mark.parametrize(
    ("cosines", "probabilities"), [((0.5, 0.5), (0, 1)), ((0.1, 0.2), (1, 0)), ((0.1,), (0, 1)), ((), ()), ((2,), (1,))]
)
def test_a_mapping_that_does_not_rise_is_refused(cosines, probabilities):
    with pytest.raises(ValidationError):
        Calibration(model="m@1", cosines=cosines, probabilities=probabilities)


# -- the pairs ---------------------------------------------------------------------------------------------------------


def test_pairs_cover_the_vocabulary_and_agree_with_the_synonym_tables():
    pairs = shipped_pairs()
    assert len(pairs) >= 200
    counts = Counter((pair.field, pair.label) for pair in pairs)
    fields = {"type", "color", "pattern", "neckline", "sleeve_length", "closure", "defect_type"}
    assert {field for field, _ in counts} == fields
    assert min(counts[field, label] for field in fields for label in ("same", "synonym", "different")) >= 7
    forms = [frozenset({(pair.field, text_form(pair.first)), (pair.field, text_form(pair.second))}) for pair in pairs]
    assert max(Counter(forms).values()) == 1
    assert min(map(len, forms)) == 2
    unlike = [
        (pair.first, pair.second)
        for pair in pairs
        if (Synonyms(shipped_table(f"garment.{pair.field}")).score(pair.first, pair.second) == 1) != pair.alike
    ]
    # four that the tables lack; none that they contradict
    assert unlike == [
        ("tank top", "tank tops"),
        ("plunging neck", "deep plunge"),
        ("sleeveless", "sleeve less"),
        ("zip front", "zipped front"),
    ]


# -- metric and comparators --------------------------------------------------------------------------------------------


def task(**comparator) -> Task:
    fields = {"color": {"comparator": comparator}}
    return Task.model_validate({"id": "t", "prompt": {"user": "?"}, "fields": fields})


def build(encoder=None, missing=None, **comparator):
    registry = open_registry(plugins=open_plugins(blocked=["all"]))
    return registry.comparators(task(**comparator), Tools(encoder, missing=missing or {}))["color"]


def test_semantic_is_the_cosine_clipped():
    encoder = Encoder(navy_blue=0, dark_blue=60, red=90, white=180)
    comparator = build(encoder, kind="semantic", pass_mark=0.5)
    assert comparator.pass_mark == 0.5
    assert build(encoder, kind="semantic").pass_mark == 0.75
    values = [comparator.score("Navy  Blue", other) for other in ("navy blue", "dark blue", "red", "white")]
    assert values == pytest.approx([1, 0.5, 0, 0], abs=1e-6)
    assert (comparator.score(True, True), comparator.score(True, "true"), comparator.score(1, True)) == (1, 0, 0)
    assert comparator.score(32.0, "32") == 1


def test_semantic_calibrated_maps_the_cosine():
    mapping = {"model": "m@1", "cosines": [0.0, 0.5, 1.0], "probabilities": [0.1, 0.2, 0.9]}
    comparator = build(Encoder("m@1+onnx", a=0, b=60, c=90), kind="semantic_calibrated", mapping=mapping)
    assert comparator.pass_mark == 0.5
    values = [comparator.score("a", other) for other in "abc"]
    assert values == pytest.approx([1, 0.2, 0.1], abs=1e-6)
    shipped = build(Encoder(a=0, b=np.degrees(np.arccos(0.924))), kind="semantic_calibrated")
    assert shipped.score("a", "b") == pytest.approx(float(shipped_calibration("garment").apply(0.924)), abs=1e-4)


def test_a_task_that_needs_an_encoder_is_refused_without_one():
    command = "the weights are not on this machine: peakbench weights fetch all-mpnet-base-v2"
    for kind in ("semantic", "semantic_calibrated"):
        with pytest.raises(TaskError, match=rf"fields.color.comparator: '{kind}' compares by .*weights fetch all"):
            build(missing={"encoder": command}, kind=kind)
    with pytest.raises(TaskError, match=r"fitted for all-mpnet-base-v2@78c0197b6159, and the encoder is other@0"):
        build(Encoder("other@0"), kind="semantic_calibrated")
    with pytest.raises(TaskError, match="unknown calibration 'garmet'.*did you mean 'garment'"):
        build(Encoder(), kind="semantic_calibrated", mapping="garmet")


def test_a_run_that_needs_an_encoder_is_refused_before_asking(tmp_path):
    import peakbench
    from peakbench.builtins import DEMO
    from peakbench.testing import ScriptedEndpoint

    shutil.copy(DEMO / "images" / "g01.jpg", tmp_path / "a.jpg")

    path = tmp_path / "task.json"
    path.write_text(task(kind="semantic").model_dump_json(exclude_defaults=True), encoding="utf-8")
    data = tmp_path / "data.jsonl"
    data.write_text('{"id": "a", "images": ["a.jpg"], "reference": {"color": "red"}}\n', encoding="utf-8")
    with ScriptedEndpoint('{"color": "red"}') as server:
        with pytest.raises(TaskError, match=r"the weights of all-mpnet|not installed"):
            peakbench.run(endpoint=server.url, model="m", task=path, data=data, out=tmp_path / "run")
        assert server.requests == 0
        done = peakbench.run(
            endpoint=server.url, model="m", task=path, data=data, out=tmp_path / "run", encoder=Encoder(red=0)
        )
        assert server.requests == 1
    assert done.summary["metrics"]["weighted_score"]["value"] == 1


def test_signatures_name_the_encoder_and_the_mapping():
    registry = open_registry(plugins=open_plugins(blocked=["all"]))

    def signature(metric, encoder, **comparator):
        return registry.build([metric], task(**comparator), Tools(encoder))[0].info.signature

    first, second = Encoder("m@1"), Encoder("m@2")
    assert signature("weighted_score", first, kind="semantic") != signature("weighted_score", second, kind="semantic")
    assert signature("weighted_score", first, kind="exact") == signature("weighted_score", second, kind="exact")
    digest = shipped_calibration("garment").digest
    assert f"|encoder:m@1|fitted:{digest}|" in signature("sbert_calibrated", first, kind="exact")


def test_sbert_calibrated_is_unscored_where_it_cannot_be():
    from peakbench.metrics.base import Batch
    from peakbench.records import Prediction

    registry = open_registry(plugins=open_plugins(blocked=["all"]))
    one = Batch([Prediction("a", 0, "strict", {})], [{}], np.ones(1, dtype=bool), None)

    def reasons(tools):
        return registry.build(["sbert_calibrated"], task(kind="exact"), tools)[0].score_batch(one).reasons

    assert reasons(Tools(missing={"encoder": "fetch it"})) == {0: "fetch it"}
    assert reasons(Tools(Encoder("m@1"))) == {
        0: "the mapping was fitted for all-mpnet-base-v2@78c0197b6159, and the encoder is m@1"
    }


# -- the page ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_calibration", ROOT / "docs" / "calibration.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tables(page: str, generator: ModuleType) -> dict[str, str]:
    return {match["name"]: match[0] for match in generator.MARK.finditer(page)}


def numbers(text: str) -> list[float]:
    return [float(one) for one in re.findall(r"(?<![\w-])\d+(?:\.\d+)?(?:e-?\d+)?", text)]


def test_cross_validation_holds_out_what_it_judges(generator):
    """A prediction that looks its answer up in what it was given finds none of it."""
    values = np.arange(40.0)

    def look_up(train, labels, test):
        return np.isin(test, train).astype(float)

    found = generator.cross_validated(values, values, look_up)
    assert found.shape == (generator.REPEATS, 40)
    assert not found.any()


def test_the_best_threshold(generator):
    # 3 of 4 alike at or above 0.6, 3 of 4 different below it: nothing does better
    values = np.array([0.1, 0.2, 0.3, 0.9, 0.5, 0.6, 0.7, 0.8])
    alike = np.array([0, 0, 0, 0, 0, 1, 1, 1.0])
    assert generator.best_threshold(values, alike) == 0.6


@pytest.mark.timeout(300)
def test_the_page_and_the_mapping_are_what_the_real_weights_give(mpnet, generator):
    from peakbench.backends.encoder import open_encoder

    parts, mapping = generator.sections(open_encoder(folder=mpnet, cached=False))
    page = generator.PAGE.read_text(encoding="utf-8")
    shown = tables(page, generator)
    fresh = tables(generator.filled(page, parts), generator)
    for name in parts:
        assert re.sub(r"[\d.]+", "#", shown[name]) == re.sub(r"[\d.]+", "#", fresh[name]), name
        assert numbers(shown[name]) == pytest.approx(numbers(fresh[name]), abs=0.011), name
    stored = Calibration.model_validate_json(generator.MAPPING.read_text(encoding="utf-8"))
    places = np.linspace(0, 1, 201)
    assert stored.model == mapping.model == MODEL
    assert np.abs(stored.apply(places) - mapping.apply(places)).max() < 0.02


def test_the_page_says_what_it_measured(generator):
    shown = tables(generator.PAGE.read_text(encoding="utf-8"), generator)
    assert set(shown) == {"labels", "blind", "thresholds", "mapping", "held-out", "precision"}
    assert "blue / red | different | 0.739" in shown["blind"]
    assert all(len(numbers(part)) > 8 for part in shown.values())
    rows = [numbers(line) for line in shown["thresholds"].splitlines() if re.match(r"\| 0\.", line)]
    assert max(rows, key=lambda row: row[2])[0] == 0.75  # the comparator's default
    assert json.loads(generator.MAPPING.read_text(encoding="utf-8"))["model"] == MODEL
