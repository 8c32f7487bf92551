"""The reward pays what the benchmark scores, and nothing for what looks like an answer."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peakbench as pb
from peakbench.analysis.evaluation.baselines import count_references
from peakbench.builtins import open_registry
from peakbench.parsing import MAX_CHARS, MAX_DEPTH
from peakbench.rewards import Reward, RewardParts

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "garment_photos"
DEMO = Path(pb.__file__).parent / "data" / "demo"
PAGE = (Path(__file__).parents[1] / "docs" / "rewards.md").read_text(encoding="utf-8")

# Weights of the garment task: type 2.5, defect_type 2, brand 1.5, size 1.5, the other five 1.
REFERENCE: dict[str, Any] = {
    "type": "t-shirt",
    "color": "navy blue and white",
    "pattern": "striped",
    "neckline": "crew neck",
    "sleeve_length": "short sleeve",
    "closure": "pullover",
    "brand": "Nordvik",
    "size": None,
    "defect_type": None,
}
VALUED = 2.5 + 1 + 1 + 1 + 1 + 1 + 1.5  # the weights of the seven fields that have a value: 9

REWARD = Reward("garment")
AGAIN = Reward("garment")  # another, whose memory has other pairs in it
COMPARATORS = open_registry().comparators(REWARD.task, pb.Tools())


def changed(**values: Any) -> str:
    return json.dumps(REFERENCE | values)


def score(text: str | None, reference: Any = None) -> RewardParts:
    return REWARD(text, REFERENCE if reference is None else reference)


# -- the three layers, worked by hand ----------------------------------------------------------------------------------


def test_the_right_answer_earns_all() -> None:
    assert score(json.dumps(REFERENCE)) == RewardParts(
        1.0, True, 1.0, 1.0, {name: 1.0 for name, value in REFERENCE.items() if value is not None}
    )


def test_layers_add_up_by_hand() -> None:
    # Wrong: color 1. Omitted: brand 1.5. Invented: size 1.5, whose weight joins the 9. The neckline's key is missing.
    answer = {**REFERENCE, "color": "red", "brand": None, "size": "M"}
    del answer["neckline"]
    parts = score(json.dumps(answer))
    assert parts.json
    assert parts.fields == {
        "type": 1, "color": 0, "pattern": 1, "neckline": 0, "sleeve_length": 1, "closure": 1, "brand": 0, "size": 0
    }  # fmt: skip
    assert parts.structure == pytest.approx(8 / 9)
    assert parts.content == pytest.approx((2.5 + 1 + 1 + 1) / (VALUED + 1.5))
    assert parts.total == pytest.approx(0.2 * 8 / 9 + 0.8 * 5.5 / 10.5)


def test_a_partial_field_score_is_paid_in_part() -> None:
    # rapidfuzz.fuzz.ratio("nordvik", "nordviks") = 2 * 7 / 15
    parts = score(changed(brand="Nordviks"))
    assert parts.fields["brand"] == pytest.approx(14 / 15)
    assert parts.content == pytest.approx((7.5 + 1.5 * 14 / 15) / VALUED)


def test_nothing_to_see_and_nothing_said_is_right() -> None:
    nothing = dict.fromkeys(REFERENCE)
    assert score(json.dumps(nothing), nothing) == RewardParts(1.0, True, 1.0, 1.0, {})
    assert score(json.dumps({**nothing, "color": "red"}), nothing).content == 0.0


def test_other_weights() -> None:
    reward = Reward("garment", structure=0.5, content=0.5)
    assert reward(changed(type="dress"), REFERENCE).total == pytest.approx(0.5 + 0.5 * 6.5 / 9)


ANSWER = json.dumps(REFERENCE)
GATE = {
    "prose": ("A striped t-shirt.", False, "no_object"),
    "nothing": (None, False, "empty"),
    "spaces": (" \n", False, "empty"),
    "cut off": (ANSWER[:-9], False, "truncated_object"),
    "fence": (f"```json\n{ANSWER}\n```", False, "other_text"),
    "prose before": (f"Sure: {ANSWER}", False, "other_text"),
    "a word after": (f"{ANSWER} Done", False, "other_text"),
    "reasoning before": (f"<think>hm</think>{ANSWER}", False, "other_text"),
    "twice": (ANSWER + ANSWER, False, "several_objects"),
    "array": (f"[{ANSWER}]", False, "top_level_array"),
    "string": (json.dumps(ANSWER), False, "top_level_scalar"),
    "NaN": (ANSWER.replace("null", "NaN"), False, "not_a_number"),
    "single quotes": (ANSWER.replace('"', "'"), False, "invalid_json"),
    "trailing comma": (ANSWER[:-1] + ",}", False, "invalid_json"),
    "too deep": ('{"type":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}", False, "too_deep"),
    "too large": (ANSWER + " " * MAX_CHARS, False, "too_large"),
    "empty object": ("{}", True, "no_expected_key"),
    "other keys": ('{"Type": "t-shirt"}', True, "no_expected_key"),
    "other keys in prose": ('Sure: {"Type": "t-shirt"}', False, "no_expected_key"),
}


@pytest.mark.parametrize("name", GATE)
def test_what_stays_outside_the_gate_earns_nothing(name: str) -> None:
    text, is_json, problem = GATE[name]
    assert score(text) == RewardParts(0.0, is_json, 0.0, 0.0, {}, problem)


def test_extract_lets_one_object_in_other_text_through() -> None:
    reward = Reward("garment", extract=True)
    for name, (text, _, problem) in GATE.items():
        parts = reward(text, REFERENCE)
        assert (parts.total == 1.0, parts.json) == (
            problem == "other_text",
            problem in {"other_text", "no_expected_key"},
        ), name


def test_white_space_around_the_object_is_json() -> None:
    assert score(f"\n {ANSWER}\n").total == 1.0


STRUCTURE = {
    "in another order": (json.dumps(dict(reversed(REFERENCE.items()))), 1),
    "a key is missing": (json.dumps({k: v for k, v in REFERENCE.items() if k != "size"}), 8 / 9),
    "one key": ('{"type": null}', 1 / 9),
    "a key too many": (changed(fabric="cotton"), 9 / 10),
    "a key twice": (ANSWER[:-1] + ', "size": null}', 9 / 10),
    "a key twice, deep inside": (changed(size={"a": 1}).replace('"a": 1', '"a": 1, "a": 2'), 8 / 10),
    "a number for a string": (changed(size=42), 8 / 9),
    "a boolean for a string": (changed(defect_type=False), 8 / 9),
    "a list for a string": (changed(color=["navy blue", "white"]), 8 / 9),
    "an object for a string": (changed(type={"value": "t-shirt"}), 8 / 9),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure(name: str) -> None:
    text, expected = STRUCTURE[name]
    assert score(text).structure == pytest.approx(expected)


def test_kinds_of_every_type(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "name": {},
        "price": {"type": "number"},
        "count": {"type": "integer"},
        "worn": {"type": "boolean"},
        "label": {"type": "object"},
        "tags": {"many": True, "comparator": "set"},
        "faults": {"type": "object", "many": True, "comparator": {"kind": "objects", "fields": {"part": "exact"}}},
        "note": {"optional": True},
    }
    file = tmp_path / "task.json"
    file.write_text(json.dumps({"id": "kinds", "prompt": {"user": "?"}, "fields": fields}), encoding="utf-8")
    reward = Reward(file)
    good = {
        "name": "a", "price": 1, "count": 2, "worn": True, "label": {"x": 1}, "tags": ["a"], "faults": [{"part": "hem"}]
    }  # fmt: skip
    assert reward(json.dumps(good), good).total == 1.0  # the optional key costs nothing
    bad = {
        "name": 1, "price": True, "count": 1.5, "worn": 1, "label": [], "tags": "a", "faults": ["hem"], "note": 1
    }  # fmt: skip
    for name, value in bad.items():
        assert reward(json.dumps({**good, name: value}), good).structure == pytest.approx(7 / 8), name


# -- reward hacking ----------------------------------------------------------------------------------------------------

WORDS = "t-shirt or dress or jeans or shirt or skirt"
HACKS: dict[str, tuple[str, float, float]] = {
    # name: text, structure, content; "right" below is what the answer is right about, of 9
    "all null": (json.dumps(dict.fromkeys(REFERENCE)), 1, 0),
    "no key but one null": ('{"size": null}', 1 / 9, 0),
    "majority of each field": (
        json.dumps(
            {
                **dict.fromkeys(REFERENCE),
                "type": "t-shirt",
                "color": "black",
                "pattern": "solid",
                "neckline": "crew neck",
                "sleeve_length": "short sleeve",
                "closure": "pullover",
            }
        ),
        1,
        (2.5 + 1 + 1 + 1) / 9,
    ),
    "whole vocabulary in each field": (
        json.dumps(
            dict.fromkeys(REFERENCE, "red or blue or white")
            | {"type": WORDS, "color": "navy blue and white or red", "brand": "Nordvik or Avelo"}
        ),
        1,
        0,
    ),
    "right and wrong value": (changed(type="t-shirt / dress"), 1, 6.5 / 9),
    "right value twice": (changed(type="t-shirt, t-shirt"), 1, 6.5 / 9),
    "a list of guesses": (changed(type=["t-shirt", "dress"]), 8 / 9, 6.5 / 9),
    "the right value in a list": (changed(type=["t-shirt"]), 8 / 9, 6.5 / 9),
    "the right value in an object": (changed(type={"value": "t-shirt"}), 8 / 9, 6.5 / 9),
    "all in one nested object": (json.dumps({"answer": REFERENCE}), 0, 0),
    "all in a nested object beside one key": (json.dumps({"type": "t-shirt", "answer": REFERENCE}), 1 / 10, 2.5 / 9),
    "a key twice, wrong then right": ('{"type": "dress", ' + ANSWER[1:], 9 / 10, 1),
    "a key twice, right then wrong": (ANSWER[:-1] + ', "type": "dress"}', 9 / 10, 6.5 / 9),
    "each key twice": (ANSWER[:-1] + ", " + ANSWER[1:], 9 / 18, 1),
    "extra keys with other guesses": (
        changed(type="dress", type_2="t-shirt", color="red", color_2="navy blue and white"),
        9 / 11,
        5.5 / 9,
    ),
    "a thousand extra keys": (changed(**{f"k{i}": i for i in range(1000)}), 9 / 1009, 1),
    "every null filled in": (changed(size="M", defect_type="stain"), 1, 9 / 12.5),
    "null in words": (json.dumps(dict.fromkeys(REFERENCE, "not visible")), 1, 0),
    "right value padded": (changed(type="t-shirt" + " and more" * 50), 1, 6.5 / 9),
    "a huge string": (changed(type="t-shirt" * 50_000), 1, 6.5 / 9),
    "a huge brand": (changed(brand="Nordvik " * 50_000), 1, 7.5 / 9),
    "padded text": (f"Answer:\n\n{ANSWER}", 0, 0),
    "two answers": (f"{ANSWER}\n{changed(type='dress')}", 0, 0),
}


@pytest.mark.parametrize("name", HACKS)
def test_hacks_earn_what_they_are_right_about(name: str) -> None:
    text, structure, content = HACKS[name]
    parts = score(text)
    assert parts.structure == pytest.approx(structure)
    assert parts.content == pytest.approx(content)
    assert parts.total == pytest.approx(0.2 * structure + 0.8 * content)


def test_no_hack_earns_as_much_as_the_right_answer() -> None:
    # White space around the one object is the only freedom: test_white_space_around_the_object_is_json.
    assert max(score(text).total for text, _, _ in HACKS.values()) < 1.0


def test_answers_without_a_model_earn_no_more_than_they_are_right_about() -> None:
    registry = open_registry()
    task, tools = registry.task("garment"), pb.Tools()
    comparators = registry.comparators(task, tools)
    references = [json.loads(line)["reference"] for line in (DEMO / "samples.jsonl").read_text("utf-8").splitlines()]
    floors = count_references(references, task=task, comparators=comparators, nulls=registry.nulls_of(task))
    means = {}
    for name, answer in floors.answers.items():
        if answer is None or answer.value is None:
            continue
        parts = REWARD.batch([json.dumps(answer.value)] * len(references), references)
        means[name] = sum(one.content for one in parts) / len(parts)
        for one, reference in zip(parts, references, strict=True):
            assert one.content <= right_share(comparators, answer.value, reference) + 1e-12
    assert means["all_null"] == 0.0
    assert means["vocabulary"] <= means["majority"] < 0.5


def right_share(comparators: Any, answer: Any, reference: dict[str, Any]) -> float:
    """Ask the comparators themselves which share of the reference's values, by weight, an answer has right."""
    gained = total = 0.0
    for name, value in reference.items():
        if value is not None:
            weight = REWARD.task.fields[name].weight
            total += weight
            given = answer.get(name)
            if isinstance(given, str):
                gained += weight * comparators[name].score(value, given)
    return gained / total if total else 1.0


# -- the same scores as the benchmark ----------------------------------------------------------------------------------


def benchmark(samples: Path, answers: Path, out: Path) -> None:
    """Hold the reward of every answer of a file against the lines of scores.jsonl of a scored run."""
    run = pb.score(answers=answers, data=samples, task="garment", out=out, metrics=["weighted_score"], images=False)
    references = {one["id"]: one["reference"] for one in map(json.loads, samples.read_text("utf-8").splitlines())}
    texts = {one["id"]: one["response"] for one in map(json.loads, answers.read_text("utf-8").splitlines())}
    weights = {name: one.weight for name, one in pb.load_run(out).task.fields.items()}
    reward = Reward("garment", extract=True)
    rows = list(run.rows())
    parts = reward.batch([texts[row["sample_id"]] for row in rows], [references[row["sample_id"]] for row in rows])
    assert len(rows) == len(references)
    for row, one in zip(rows, parts, strict=True):
        assert one.json == (row["state"] in {"strict", "extracted", "off_schema"})
        if row["state"] in {"strict", "extracted"}:
            counted = {name: cell for name, cell in row["fields"].items() if cell["outcome"] != "correct_null"}
            assert one.fields == {name: cell["score"] for name, cell in counted.items()}
            total = sum(weights[name] for name in counted)
            gained = sum(weights[name] * cell["score"] for name, cell in counted.items())
            assert one.content == pytest.approx(gained / total if total else 1.0, abs=1e-12)
            # Field by field the mean of weighted_score, too, with the fields that are null on both sides.
            silent = sum(weights[name] for name, cell in row["fields"].items() if cell["outcome"] == "correct_null")
            assert row["metrics"]["weighted_score"]["value"] == pytest.approx((gained + silent) / (total + silent))
        else:
            assert (one.total, one.fields) == (0.0, {})


def test_the_demo_answers_earn_what_the_benchmark_scores(tmp_path: Path) -> None:
    benchmark(DEMO / "samples.jsonl", DEMO / "answers.jsonl", tmp_path / "run")


@pytest.mark.skipif(not PHOTOS.exists(), reason="../shared/data/garment_photos is not there")
@pytest.mark.parametrize("name", ["a", "b"])
def test_the_annotators_earn_what_the_benchmark_scores(name: str, tmp_path: Path) -> None:
    benchmark(PHOTOS / "samples.jsonl", PHOTOS / f"annotator_{name}.jsonl", tmp_path / "run")


@pytest.mark.skipif(not PHOTOS.exists(), reason="../shared/data/garment_photos is not there")
def test_the_page_says_what_real_photos_earn() -> None:
    lines = (PHOTOS / "samples.jsonl").read_text("utf-8").splitlines()
    references = {one["id"]: one["reference"] for one in map(json.loads, lines)}
    nulls = REWARD.batch([json.dumps(dict.fromkeys(REFERENCE))] * len(references), list(references.values()))
    majority = {"type": "shirt", "color": "black", "pattern": "solid", "closure": "pullover"}
    most = REWARD.batch([json.dumps(dict.fromkeys(REFERENCE) | majority)] * len(references), list(references.values()))
    earned = [sum(one.content for one in parts) / len(parts) for parts in (nulls, most)]
    for name in "ab":
        given = map(json.loads, (PHOTOS / f"annotator_{name}.jsonl").read_text("utf-8").splitlines())
        parts = [score(one["response"], references[one["id"]]) for one in given]
        earned.append(sum(one.content for one in parts) / len(references))
    assert [f"{one:.2f}" for one in earned] == ["0.00", "0.16", "0.96", "0.97"]
    assert "content is 0.00 and 0.16; that of two careful annotators is 0.96 and 0.97" in PAGE


def test_another_task_is_scored_by_its_own_comparators(tmp_path: Path) -> None:
    fields = {"price": {"type": "number", "weight": 3, "comparator": {"kind": "numeric", "absolute": 0.1}}, "name": {}}
    task = pb.Task.model_validate({"id": "shop", "prompt": {"user": "?"}, "fields": fields, "null_values": ["??"]})
    reward = Reward(task)
    parts = reward('{"price": 1.05, "name": "n/a"}', {"price": 1, "name": "??"})
    assert parts.fields == {"price": 1.0, "name": 0.0}  # "n/a" is a value where the task's own null list lacks it
    assert parts.content == 0.75


# -- batches -----------------------------------------------------------------------------------------------------------


def test_a_row_does_not_depend_on_the_others() -> None:
    texts = [text for text, _, _ in HACKS.values()] + [text for text, _, _ in GATE.values()]
    together = REWARD.batch(texts, [REFERENCE] * len(texts))
    assert together == [score(text) for text in texts]
    assert together == Reward().batch(texts[::-1], [REFERENCE] * len(texts))[::-1]
    assert REWARD.batch([], []) == []


def test_the_signature_names_what_changes_a_reward() -> None:
    task = open_registry().task("garment")
    heavier = task.model_copy(
        update={"fields": {**task.fields, "type": task.fields["type"].model_copy(update={"weight": 9})}}
    )
    rewards = [Reward(), Reward(extract=True), Reward(structure=0, content=1), Reward(heavier)]
    assert len({reward.signature for reward in rewards}) == 4
    assert Reward(task).signature == REWARD.signature
    assert REWARD.signature.startswith("reward|v1|gate:strict|structure:0.2|content:0.8|of:weighted_score|v1|scoring:")


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [(0.2, 0.9), (-0.2, 1.2), (float("nan"), 0.8), (float("inf"), 0.0)])
def test_weights_that_are_none(weights: tuple[float, float]) -> None:
    with pytest.raises(pb.ConfigError, match="expected: two numbers from 0 whose sum is 1"):
        Reward(structure=weights[0], content=weights[1])


def test_tasks_that_cannot_be_rewarded() -> None:
    with pytest.raises(pb.TaskError, match="did you mean 'garment'"):
        Reward("garmet")
    with pytest.raises(pb.TaskError, match="the answer is text"):
        Reward(pb.Task.model_validate({"id": "caption", "answer": "text", "prompt": {"user": "?"}}))


@pytest.mark.parametrize("reference", [None, "{}", {}, {"colour": "red"}])
def test_a_reference_that_nothing_can_be_compared_with_is_a_mistake_and_not_full_marks(reference: Any) -> None:
    with pytest.raises(pb.DataError, match="1 of 2 references") as caught:
        REWARD.batch([ANSWER, ANSWER], [REFERENCE, reference])
    assert caught.value.problems[0].where == "row 1"


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 texts for 2 references"):
        REWARD.batch([ANSWER], [REFERENCE, REFERENCE])


# -- properties, and cost ----------------------------------------------------------------------------------------------

VALUES: dict[str, list[str | None]] = {
    "type": ["t-shirt", "tee", "dress", "jeans", None],
    "color": ["navy blue", "navy", "red", "black and white", None],
    "pattern": ["solid", "striped", None],
    "neckline": ["crew neck", "v-neck", None],
    "sleeve_length": ["short sleeve", "long sleeve", None],
    "closure": ["pullover", "zip front", None],
    "brand": ["Nordvik", "Nordvick", "Avelo", None],
    "size": ["M", "medium", "32x34", None],
    "defect_type": ["stain", "hole", None],
}
SAMPLES = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()})
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
ANSWERS = st.dictionaries(st.sampled_from([*VALUES, "fabric", ""]), JSON | st.sampled_from(["tee", "M", "navy"]))

fast = settings(max_examples=100, deadline=None)


@fast
@given(SAMPLES)
def test_every_reference_earns_all_as_its_own_answer(reference: dict[str, Any]) -> None:
    parts = REWARD(json.dumps(reference), reference)
    assert (parts.total, parts.structure, parts.content) == (1.0, 1.0, 1.0)


@fast
@given(
    st.text() | ANSWERS.map(json.dumps) | st.builds(lambda a, b: a + json.dumps(b), st.text(max_size=5), ANSWERS),
    SAMPLES,
)
def test_any_text_earns_a_number_from_0_to_1(text: str, reference: dict[str, Any]) -> None:
    parts = REWARD(text, reference)
    assert all(0.0 <= one <= 1.0 for one in (parts.total, parts.structure, parts.content, *parts.fields.values()))
    assert parts.json or parts.total == 0.0
    assert parts == AGAIN(text, reference)


@fast
@given(ANSWERS, SAMPLES)
def test_content_is_at_most_the_share_of_values_that_are_right(
    answer: dict[str, Any], reference: dict[str, Any]
) -> None:
    assert REWARD(json.dumps(answer), reference).content <= right_share(COMPARATORS, answer, reference) + 1e-12


@fast
@given(SAMPLES, SAMPLES, st.sampled_from(sorted(VALUES)))
def test_mending_one_field_never_costs(answer: dict[str, Any], reference: dict[str, Any], name: str) -> None:
    before = REWARD(json.dumps(answer), reference)
    after = REWARD(json.dumps({**answer, name: reference[name]}), reference)
    assert after.total >= before.total - 1e-12
    without = {key: value for key, value in answer.items() if key != name}
    assert REWARD(json.dumps(without), reference).structure < before.structure
    assert REWARD(json.dumps({**answer, "note": answer[name]}), reference).total < before.total or before.total == 0
    if reference[name] is None:
        invented = REWARD(json.dumps({**answer, name: "anything"}), reference)
        assert invented.total <= REWARD(json.dumps({**answer, name: None}), reference).total


def test_hostile_texts_take_bounded_time() -> None:
    size = MAX_CHARS - 200
    hostile = [
        "{" * size,
        '{"type":' * (size // 8),
        '{"type": "' + "a" * size,
        '{"brand": "' + "nordvik " * (size // 8) + '"}',
        '{"color": "' + "navy and " * (size // 9) + '"}',
        '{"size": "' + "1/" * (size // 2) + '"}',
        '{"type": "' + "\u0301\u0327" * (size // 2) + '"}',
        "{" + ", ".join(f'"k{i}": {i}' for i in range(size // 16)) + ', "type": "tee"}',
        '{"type": "a"' + ', "type": "a"' * (size // 13) + "}",
        '{"type": ' + "1" * size + "}",
    ]
    reward = Reward("garment")
    for text in hostile:
        begun = time.process_time()
        assert reward(text, REFERENCE).total < 0.5
        assert time.process_time() - begun < 5.0, text[:40]


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_says_what_hacks_earn() -> None:
    shown = re.findall(r"^\| (.+?) \| (\d\.\d\d) \| (\d\.\d\d) \| (\d\.\d\d) \|$", PAGE, re.M)
    made = {"the right one": ANSWER} | {name: text for name, (text, _, _) in HACKS.items()}
    parts = {name: score(text) for name, text in made.items()}
    earned = [(name, *(f"{x:.2f}" for x in (one.structure, one.content, one.total))) for name, one in parts.items()]
    assert shown == earned


def test_code_on_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    exec(compile(first, "rewards.md", "exec"), {})
    # By hand: the type 2.5 and the size 1.5 are right, the color 1 is not; four of nine keys are there.
    assert "{'type': 1.0, 'color': 0.0, 'size': 1.0} None" in capsys.readouterr().out
    names: dict[str, Any] = {}
    exec(compile(second, "rewards.md", "exec"), names)
    completions = [[{"role": "assistant", "content": text}] for text in (ANSWER, "A t-shirt.")]
    assert names["reward_function"](["?", "?"], completions, [REFERENCE, REFERENCE], split=["a", "b"]) == [1.0, 0.0]
