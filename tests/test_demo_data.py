import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from peakbench import images
from peakbench.answers import read_answers
from peakbench.datasets import checked, open_dataset
from peakbench.parsing import read
from peakbench.tasks import load_task_file

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "peakbench" / "data" / "demo"
TASK = load_task_file(ROOT / "peakbench" / "data" / "tasks" / "garment.json")

# By hand, from reading answers.jsonl: the fields of each answer whose text is not that of the reference, letter by
# letter, and the state that metrics.md gives the answer. What is not listed is strict and the same in every field.
DIFFERENT = {
    "g03": {"color", "defect_type"},
    "g04": {"type", "size"},
    "g05": {"brand"},
    "g07": {"defect_type"},
    "g08": {"color", "pattern"},
    "g11": {"color"},
    "g12": {"closure"},
    "g13": {"color", "size"},
    "g14": {"color", "brand", "closure"},
    "g15": {"color"},
    "g16": {"color"},
    "g18": {"color", "pattern"},
    "g20": {"type"},
    "g22": {"color"},
    "g23": {"brand"},
    "g24": {"neckline", "closure"},
}
STATES = {"g06": "extracted", "g10": "extracted", "g09": "unparseable", "g17": "unparseable", "g21": "unparseable"}


@pytest.fixture(scope="module")
def records():
    return list(checked(open_dataset(DEMO), task=TASK))


@pytest.fixture(scope="module")
def answers():
    return {completion.sample_id: completion for completion in read_answers(DEMO / "answers.jsonl")}


def test_24_sound_samples(records):
    assert [record.id for record in records] == [f"g{n:02}" for n in range(1, 25)]
    for record in records:
        assert tuple(record.reference) == TASK.keys
        assert all(value is None or value == value.strip() != "" for value in record.reference.values())


def test_most_brands_sizes_and_defects_are_not_there(records):
    there = {name: sum(record.reference[name] is not None for record in records) for name in TASK.keys}
    assert there == {
        "type": 24, "color": 24, "pattern": 24, "neckline": 16, "sleeve_length": 16, "closure": 23,
        "brand": 4, "size": 4, "defect_type": 4,
    }  # fmt: skip


def test_the_folder_is_small_and_every_picture_is_another_and_sound(records):
    assert sum(path.stat().st_size for path in DEMO.rglob("*") if path.is_file()) < 300_000
    assert len({record.images[0].sha256 for record in records}) == 24
    for record in records:
        image = images.load_recorded(None, record.images[0])
        assert (image.media_type, image.width, image.height) == ("image/jpeg", 320, 384)
        assert images.inspect(image) == []


def test_the_script_draws_what_is_committed(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "draw_demo"), str(tmp_path), "--only", "g02", "g10"]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "samples.jsonl").read_text() == (DEMO / "samples.jsonl").read_text()
    for name in ("g02", "g10"):
        drawn, committed = (
            np.asarray(Pillow.open(folder / "images" / f"{name}.jpg"), dtype=float) for folder in (tmp_path, DEMO)
        )
        # Another version of Pillow may round differently; another garment differs by 20 and more.
        assert np.abs(drawn - committed).mean() < 2


def test_the_answers_are_as_their_readme_says(records, answers):
    assert list(answers) == [record.id for record in records]
    different, states = {}, {}
    for record in records:
        prediction = read(answers[record.id], keys=TASK.keys, answer="json")
        if prediction.state != "strict":
            states[record.id] = prediction.state
        if prediction.value is not None:
            names = {n for n in TASK.keys if prediction.value.get(n, "missing") != record.reference[n]}
            if names:
                different[record.id] = names
    assert states == STATES
    assert different == DIFFERENT
    readme = (DEMO / "README.md").read_text()
    odd = {*DIFFERENT, *STATES, "g19"}
    assert all(name in readme for name in odd)
    assert len(odd) == 22
    assert "The other two are right" in readme
    assert "written by hand" in readme
    assert "CC0 1.0" in readme


def test_the_odd_answers_are_odd_in_the_way_they_are_meant(answers):
    predictions = {name: read(answer, keys=TASK.keys, answer="json") for name, answer in answers.items()}
    assert [name for name, prediction in predictions.items() if prediction.truncated] == ["g17"]
    assert {name: prediction.extra for name, prediction in predictions.items() if prediction.extra} == {
        "g19": ("material",)
    }
    assert [name for name, answer in answers.items() if answer.response.reasoning] == ["g22"]
    repaired = read(answers["g09"], keys=TASK.keys, answer="json", repair=True)
    assert (repaired.state, repaired.value["type"]) == ("repaired", "shirt")


def test_lines_hold_nothing_else():
    for line in (DEMO / "samples.jsonl").read_text().splitlines():
        assert list(json.loads(line)) == ["id", "image", "reference"]
    digest = hashlib.sha256((DEMO / "images" / "g01.jpg").read_bytes()).hexdigest()
    (first,) = list(checked(open_dataset(DEMO, limit=1), task=TASK))
    assert first.images[0].sha256 == digest
