"""What a stage trains on: samples, the order of a curriculum, a teacher's answers."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peakbench import ConfigError, DataError, ImageError, ImageSource
from PIL import Image

from peakbench_recipes.configuration import CurriculumConfig, DataConfig, DistilConfig
from peakbench_recipes.curriculum import training_order
from peakbench_recipes.data import TrainingSample, decode, training_samples

KEYS = ("type", "color", "pattern", "neckline", "sleeve_length", "closure", "brand", "size", "defect_type")
REFERENCE = dict.fromkeys(KEYS) | {"type": "t-shirt", "color": "red", "size": "m"}


def encoded(picture: Image.Image, form: str = "PNG") -> bytes:
    out = BytesIO()
    picture.save(out, form)
    return out.getvalue()


def data_set(folder: Path, rows: list[dict[str, Any]]) -> str:
    for row in rows:
        (folder / row["image"]).write_bytes(encoded(Image.new("RGB", (8, 6), "red")))
    path = folder / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    levels = ("easy", "medium", "hard")
    return [
        {
            "id": f"s{number}",
            "image": f"{number}.png",
            "reference": REFERENCE,
            "metadata": {"level": levels[number % 3]},
            **changes,
        }
        for number in range(count)
    ]


def answers(folder: Path, texts: dict[str, list[Any]]) -> str:
    path = folder / "answers.jsonl"
    lines = [
        {"id": name, "repeat": repeat, "response": text}
        for name, given_texts in texts.items()
        for repeat, text in enumerate(given_texts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def test_a_sample_has_its_target_in_the_tasks_order(tmp_path: Path) -> None:
    scrambled = {"size": "m", "more": "than asked", "color": "red", "type": "t-shirt"}
    samples = training_samples(DataConfig(data=data_set(tmp_path, rows(3, reference=scrambled))))
    first = samples[0]
    assert first.reference == REFERENCE
    assert tuple(first.reference) == KEYS
    assert first.target_text == (
        '{"type": "t-shirt", "color": "red", "pattern": null, "neckline": null, "sleeve_length": null, '
        '"closure": null, "brand": null, "size": "m", "defect_type": null}'
    )
    assert [sample.level for sample in samples] == ["easy", "medium", "hard"]
    assert first.array().shape == (6, 8, 3)
    assert first.array()[0, 0].tolist() == [255, 0, 0]
    assert len(samples[1:]) == 2
    system, user = samples.messages(first)
    assert system is not None
    assert '"defect_type"' in user
    assert first.picture().size == samples[0].pictures()[0].size == (8, 6)


def test_n_and_level_choose_among_the_samples(tmp_path: Path) -> None:
    spec = data_set(tmp_path, rows(9))
    assert [one.id for one in training_samples(DataConfig(data=spec, n=4))] == ["s0", "s1", "s2", "s3"]
    hard = training_samples(DataConfig(data=spec, level="hard", n=2))
    assert [one.id for one in hard] == ["s2", "s5"]
    assert hard.dropped == {"not hard": 4}


def test_the_drawn_garments_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEAKBENCH_SYNTHETIC", str(tmp_path))
    samples = training_samples(DataConfig(n=3, level="easy"))
    assert [sample.level for sample in samples] == ["easy"] * 3
    assert samples[0].array().shape == (128, 128, 3)
    assert tuple(json.loads(samples[0].target_text)) == KEYS


@pytest.mark.parametrize(
    "config", [{"split": "test"}, {"data": "synthetic:garments?n=5&split=test"}, {"data": "photos#test"}]
)
def test_nothing_is_trained_on_the_test_split(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the test split is for measuring"):
        training_samples(DataConfig(**config))


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    given_rows = rows(4)
    del given_rows[1]["reference"]
    given_rows[2]["reference"] = "a text"
    spec = data_set(tmp_path, given_rows)
    with pytest.raises(DataError) as refused:
        training_samples(DataConfig(data=spec))
    assert [problem.where.rpartition(":")[2] for problem in refused.value.problems] == ["2", "3"]
    with pytest.raises(DataError, match="no sample is left"):
        training_samples(DataConfig(data=data_set(tmp_path, rows(1)), level="hard"))


def test_images_are_decoded_as_rgb_within_bounds() -> None:
    half = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (0, 0, 255, 255))
    assert np.asarray(decode(encoded(half))).tolist() == [[[255, 255, 255], [0, 0, 255]]]  # transparent is white
    palette = Image.new("RGB", (3, 3), "red").quantize(2)
    assert decode(encoded(palette, "GIF")).getpixel((1, 1)) == (255, 0, 0)
    assert decode(encoded(Image.new("CMYK", (2, 2)), "JPEG")).mode == "RGB"
    with pytest.raises(ImageError, match="100 x 100 pixels"):
        decode(encoded(Image.new("L", (100, 100))), max_pixels=9_999)
    for broken in (b"", b"no image", encoded(Image.new("RGB", (64, 64), "red"))[:80]):
        with pytest.raises(ImageError, match="cannot be decoded"):
            decode(broken)
    empty = TrainingSample("x", (), "{}", {})
    with pytest.raises(ImageError, match="no image"):
        empty.picture()
    assert TrainingSample("x", (ImageSource("bytes", encoded(half)),), "{}", {}).picture().mode == "RGB"


# ---- curriculum


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 40),
    parts=st.integers(2, 6),
    mix=st.floats(0, 1),
    epochs=st.floats(0.3, 4),
    seed=st.integers(0, 99),
)
def test_an_order_has_its_length_and_repeats(count: int, parts: int, mix: float, epochs: float, seed: int) -> None:
    difficulties = [number % 5 for number in range(count)]
    for config in (None, CurriculumConfig(parts=parts, mix=mix)):
        order = training_order(difficulties, config, seed=seed, epochs=epochs)
        assert len(order) == round(count * epochs)
        assert set(order.tolist()) <= set(range(count))
        assert order.tolist() == training_order(difficulties, config, seed=seed, epochs=epochs).tolist()


def test_without_a_curriculum_every_epoch_is_a_shuffle_of_all() -> None:
    order = training_order([0.0] * 50, None, seed=1, epochs=3)
    epochs = order.reshape(3, 50)
    assert all(sorted(epoch.tolist()) == list(range(50)) for epoch in epochs)
    assert epochs[0].tolist() != epochs[1].tolist()
    assert order.tolist() != training_order([0.0] * 50, None, seed=2, epochs=3).tolist()


def test_a_curriculum_goes_from_easy_to_hard() -> None:
    """By hand: 300 samples, 100 a level, 2 epochs; three stretches of 200, each with a fifth from before."""
    levels = np.arange(300) % 3
    order = training_order(levels.tolist(), CurriculumConfig(parts=3, mix=0.2), seed=4, epochs=2)
    stretches = levels[order].reshape(3, 200)
    assert np.bincount(stretches[0], minlength=3).tolist() == [200, 0, 0]
    assert np.bincount(stretches[1], minlength=3).tolist() == [40, 160, 0]
    third = np.bincount(stretches[2], minlength=3)
    assert third[2] == 160
    assert third[0] + third[1] == 40
    assert min(third[:2]) > 8  # of both, by chance
    first = order[:200]
    assert sorted(first[:100].tolist()) == sorted(first[100:].tolist()) == [i for i in range(300) if i % 3 == 0]
    assert np.bincount(stretches[1][:50], minlength=3)[0] > 2  # mixed in, not put at an end


def test_the_scores_of_a_run_sort_too(tmp_path: Path) -> None:
    spec = data_set(tmp_path, rows(4))
    run = tmp_path / "run"
    run.mkdir()

    def line(name: str, repeat: int, value: float | None) -> str:
        metrics = {"weighted_score": {"value": value, "reason": None if value is not None else "failed: timeout"}}
        return json.dumps({"sample_id": name, "repeat": repeat, "state": "strict", "metrics": metrics, "fields": {}})

    lines = [line("s0", 0, 0.25), line("s1", 0, 1.0), line("s1", 1, 0.5), line("s2", 0, None), line("s3", 0, 1.0)]
    (run / "scores.jsonl").write_text("\n".join(lines) + "\n")
    by_scores = {"by": "scores", "run": str(run), "parts": 4, "mix": 0}
    samples = training_samples(DataConfig(data=spec, curriculum=CurriculumConfig(**by_scores)))
    assert [sample.difficulty for sample in samples] == [0.75, 0.25, np.inf, 0.0]  # without a score: last
    assert samples.order(seed=0).tolist() == [3, 1, 0, 2]
    with pytest.raises(ConfigError, match="no metric 'quality'") as refused:
        training_samples(DataConfig(data=spec, curriculum=CurriculumConfig(**by_scores, metric="quality")))
    assert "weighted_score" in str(refused.value)
    (run / "scores.jsonl").write_text(line("other", 0, 1.0) + "\n")
    with pytest.raises(DataError, match="no sample of the training data has a score"):
        training_samples(DataConfig(data=spec, curriculum=CurriculumConfig(**by_scores)))
    (run / "scores.jsonl").write_text("{}\n")
    with pytest.raises(ConfigError, match=r"no line of a scores\.jsonl"):
        training_samples(DataConfig(data=spec, curriculum=CurriculumConfig(**by_scores)))
    with pytest.raises(ConfigError, match="the scores cannot be read"):
        training_samples(DataConfig(data=spec, curriculum=CurriculumConfig(by="scores", run="no/such/run")))


def test_a_sample_without_a_level_is_named(tmp_path: Path) -> None:
    spec = data_set(tmp_path, rows(3, metadata={}))
    with pytest.raises(DataError, match="3 of 3 samples name no level, such as 's0'"):
        training_samples(DataConfig(data=spec, curriculum=CurriculumConfig()))


# ---- a teacher


def test_a_teacher_takes_the_references_place(tmp_path: Path) -> None:
    spec = data_set(tmp_path, [{key: one[key] for key in ("id", "image")} for one in rows(4)])  # no references at all
    said = REFERENCE | {"color": "Navy", "brand": "not visible", "extra": 1}
    teacher = answers(
        tmp_path,
        {"s0": [said], "s1": ["```json\n" + json.dumps(REFERENCE) + "\n```"], "s2": ["I cannot see a garment."]},
    )
    samples = training_samples(DataConfig(data=spec, distil=DistilConfig(teacher=teacher)))
    assert [sample.id for sample in samples] == ["s0", "s1"]
    assert samples[0].reference == REFERENCE | {"color": "Navy"}  # null-like words are null, further keys are gone
    assert json.loads(samples[0].target_text) == samples[0].reference
    assert samples.dropped == {"an answer without an object": 1, "not answered by the teacher": 1}
    loose = training_samples(DataConfig(data=spec, distil=DistilConfig(teacher=teacher, parsed_only=False)))
    assert [sample.id for sample in loose] == ["s0", "s1", "s2"]
    assert (loose[2].target_text, loose[2].reference) == ("I cannot see a garment.", None)


def test_repeats_vote_field_by_field(tmp_path: Path) -> None:
    spec = data_set(tmp_path, rows(2))
    teacher = answers(
        tmp_path,
        {
            "s0": [
                REFERENCE | {"color": "red", "size": "l"},
                REFERENCE | {"color": "Dark Red", "size": None},
                "no object",
                REFERENCE | {"color": "dark-red", "size": None},
            ],
            "s1": [REFERENCE | {"color": "blue"}, REFERENCE | {"color": "red"}],
        },
    )
    samples = training_samples(DataConfig(data=spec, distil=DistilConfig(teacher=teacher)))
    assert samples[0].reference == REFERENCE | {"color": "Dark Red", "size": None}
    assert samples[1].reference["color"] == "blue"  # a tie: what came first


def test_filters_of_a_teachers_answers(tmp_path: Path) -> None:
    """By hand: the reference has three values of nine; agreement counts what is null in both."""
    spec = data_set(tmp_path, rows(4))
    teacher = answers(
        tmp_path,
        {
            "s0": [REFERENCE | {"type": "tee"}],  # 9 of 9: a synonym is the same
            "s1": [REFERENCE | {"color": "blue", "brand": "nike"}],  # 7 of 9
            "s2": [dict.fromkeys(KEYS)],  # 6 of 9
        },
    )

    def kept(**filters: Any) -> list[str]:
        config = DataConfig(data=spec, distil=DistilConfig(teacher=teacher, **filters))
        return [sample.id for sample in training_samples(config)]

    assert kept() == ["s0", "s1", "s2"]
    assert kept(min_agreement=6 / 9) == ["s0", "s1", "s2"]
    assert kept(min_agreement=0.7) == ["s0", "s1"]
    assert kept(min_agreement=1.0) == ["s0"]
    assert kept(max_null=6 / 9) == ["s0", "s1"]
    assert kept(max_null=0.6) == ["s1"]
    with pytest.raises(DataError, match="no sample is left") as refused:
        kept(max_null=0.1)
    assert "too many fields null: 3" in str(refused.value)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "s0"}\nnot json\n')
    with pytest.raises(DataError) as broken:
        training_samples(DataConfig(data=spec, distil=DistilConfig(teacher=str(bad))))
    assert len(broken.value.problems) == 2


def test_a_run_directory_is_a_teacher(tmp_path: Path) -> None:
    import peakbench as pb

    spec = data_set(tmp_path, rows(3))
    given_answers = tmp_path / "given.jsonl"
    given_answers.write_text(
        "".join(json.dumps({"id": f"s{number}", "response": REFERENCE | {"color": "pink"}}) + "\n" for number in (0, 2))
    )
    run = pb.score(answers=given_answers, data=spec, task="garment", out=tmp_path / "teacher", resamples=10)
    samples = training_samples(DataConfig(data=spec, distil=DistilConfig(teacher=str(run.path))))
    assert [(one.id, one.reference["color"]) for one in samples] == [("s0", "pink"), ("s2", "pink")]
    (tmp_path / "2.png").write_bytes(encoded(Image.new("RGB", (8, 6), "blue")))
    with pytest.raises(DataError, match="another image of sample 's2'"):  # the same id, another garment
        training_samples(DataConfig(data=spec, distil=DistilConfig(teacher=str(run.path))))


@pytest.mark.parametrize("name", ["florence", "distil", "curriculum"])
def test_the_recipes_that_ship_are_read(name: str) -> None:
    from peakbench_recipes.configuration import command_of, find_recipe, load_recipe

    pytest.importorskip("torch", reason="torch is not installed")
    recipe = load_recipe(name)
    assert recipe.name == name
    assert command_of(find_recipe(name)).startswith(f"peakbench recipe run {name}")
    if name == "curriculum":
        shuffled, sorted_first = recipe.stages
        changed = {"name", "data"}
        assert shuffled.model_dump(exclude=changed) == sorted_first.model_dump(exclude=changed)
        assert shuffled.data == sorted_first.data.model_copy(update={"curriculum": None})  # the order alone differs
