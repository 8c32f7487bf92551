"""Pairs of models: which belong together, what each difference is, and whether it is within the margin."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

import peakbench as pb
from peakbench.analysis.comparison.changes import changes
from peakbench.analysis.comparison.pairing import pair
from peakbench.analysis.comparison.scoretable import read_scores
from peakbench.analysis.gating.judgement import judge
from peakbench.analysis.lineage.kinship import Candidate, find_pairs
from peakbench.analysis.lineage.models import known_lineage, lineage_record
from peakbench.analysis.lineage.pairs import Pairs, mean_interval
from peakbench.analysis.lineage.published import read_table
from peakbench.api.lineages import pairs, table_pairs, tag
from peakbench.cli.app import main
from peakbench.errors import ConfigError, DataError, InputError, StoreError
from peakbench.report.pairs import pairs_page
from peakbench.statistics import holm

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "published" / "denali_leaderboard_2026-04-04.csv"

# Rows of the garment leaderboard of 2026-04-04: every quantized model, and every other model of a pair.
LEADERBOARD = """\
model,architecture,params,training,weighted_pct,sbert_nli_pct,json_pct
Granite4-Vision-3B SFT,Granite4-Vision,4.5B,SFT,101.4,87.5,100
Qwen3-VL-8B SFT+GRPO,Qwen3-VL,8B,SFT+GRPO,91.3,78.7,100
Qwen3-VL-2B SFT+GRPO v9,Qwen3-VL,2B,SFT+GRPO,89.5,78.5,100
Qwen3-VL-8B SFT+GRPO NVFP4,Qwen3-VL,8B,SFT+GRPO+NVFP4,89.5,77.0,100
Qwen3-VL-8B Instruct (Base),Qwen3-VL,8B,Zero-shot,87.5,75.6,100
Qwen3-VL-8B Instruct NVFP4,Qwen3-VL,8B,Zero-shot+NVFP4,87.2,75.0,100
Qwen3.5-2B Base,Qwen3.5-VL,2B,Zero-shot,84.4,73.0,100
Qwen3-VL-2B SFT+GRPO v9 NVFP4,Qwen3-VL,2B,SFT+GRPO+NVFP4,84.2,74.1,100
qwen3.5-2b-orr-sft,,,,79.6,69.9,100
Qwen3-VL-2B Instruct (Base),Qwen3-VL,2B,Zero-shot,76.4,66.7,100
InternVL3-2B GRPO+GTPO Full,InternVL3,2B,GRPO+GTPO,72.7,64.3,100
InternVL3-2B GRPO+GTPO FP8,InternVL3,2B,GRPO+GTPO+FP8,72.2,63.8,100
InternVL3-2B Base,InternVL3,2B,Zero-shot,71.8,63.7,100
Qwen3.5-2B SFT+GRPO+GTPO v8,Qwen3.5-VL,2B,SFT+GRPO+GTPO,65.3,60.1,100
Qwen3.5-2B SFT v7,Qwen3.5-VL,2B,SFT,63.7,58.9,100
Qwen3.5-35B GPTQ-Int4,Qwen3.5 MoE,35B (3B),Zero-shot,50.7,48.7,14
Qwen3.5-9B NVFP4 v10,Qwen3.5-VL,9B,Zero-shot,47.0,46.0,8
Qwen3.5-9B SFT NVFP4 v11,Qwen3.5-VL,9B,SFT+NVFP4,46.3,45.5,8
Qwen3.5-2B NVFP4 v10,Qwen3.5-VL,2B,Zero-shot,42.9,42.9,0
Qwen3.5-122B-A10B NVFP4,Qwen3.5 MoE,122B (10B),Zero-shot+NVFP4,42.9,42.9,0
Qwen3.5-2B SFT NVFP4 v11,Qwen3.5-VL,2B,SFT+NVFP4,42.9,42.9,0
Qwen3.5-2B SFT+GRPO+GTPO NVFP4,Qwen3.5-VL,2B,SFT+GRPO+GTPO+NVFP4,42.9,42.9,0
Phi-4 Multimodal NVFP4,Phi-4,5.6B,Zero-shot+NVFP4,42.9,42.9,0
Qwen3-8B FP8,Qwen3,8B,Zero-shot+FP8,42.9,42.9,0
"""
QUANTIZATION = {
    # model: what it was quantized from, the format, the change of the weighted score, clean or not
    "Qwen3-VL-8B SFT+GRPO NVFP4": ("Qwen3-VL-8B SFT+GRPO", "NVFP4", -1.8, True),
    "Qwen3-VL-8B Instruct NVFP4": ("Qwen3-VL-8B Instruct (Base)", "NVFP4", -0.3, True),
    "Qwen3-VL-2B SFT+GRPO v9 NVFP4": ("Qwen3-VL-2B SFT+GRPO v9", "NVFP4", -5.3, True),
    "InternVL3-2B GRPO+GTPO FP8": ("InternVL3-2B GRPO+GTPO Full", "FP8", -0.5, True),
    "Qwen3.5-2B NVFP4 v10": ("Qwen3.5-2B Base", "NVFP4", -41.5, False),
    "Qwen3.5-2B SFT NVFP4 v11": ("Qwen3.5-2B SFT v7", "NVFP4", -20.8, False),
    "Qwen3.5-2B SFT+GRPO+GTPO NVFP4": ("Qwen3.5-2B SFT+GRPO+GTPO v8", "NVFP4", -22.4, False),
}
TRAINING = {
    "Qwen3-VL-8B SFT+GRPO": ("Qwen3-VL-8B Instruct (Base)", "SFT+GRPO", 3.8, True),
    "Qwen3-VL-2B SFT+GRPO v9": ("Qwen3-VL-2B Instruct (Base)", "SFT+GRPO", 13.1, True),
    "Qwen3-VL-8B SFT+GRPO NVFP4": ("Qwen3-VL-8B Instruct NVFP4", "SFT+GRPO", 2.3, True),
    "qwen3.5-2b-orr-sft": ("Qwen3.5-2B Base", "SFT", -4.8, True),
    "InternVL3-2B GRPO+GTPO Full": ("InternVL3-2B Base", "GRPO+GTPO", 0.9, True),
    "Qwen3.5-2B SFT+GRPO+GTPO v8": ("Qwen3.5-2B SFT v7", "GRPO+GTPO", 1.6, False),
    "Qwen3.5-2B SFT v7": ("Qwen3.5-2B Base", "SFT", -20.7, True),
    "Qwen3.5-9B SFT NVFP4 v11": ("Qwen3.5-9B NVFP4 v10", "SFT", -0.7, False),
    "Qwen3.5-2B SFT NVFP4 v11": ("Qwen3.5-2B NVFP4 v10", "SFT", 0.0, False),
    "Qwen3.5-2B SFT+GRPO+GTPO NVFP4": ("Qwen3.5-2B SFT NVFP4 v11", "GRPO+GTPO", 0.0, False),
}


def shown(found: Pairs, kind: str) -> dict[str, tuple[str, str, float, bool]]:
    values = {}
    for one in found:
        if one.pair.kind == kind:
            change = one.metrics[0].change
            assert change.value is not None
            assert (change.low, change.high, change.p, one.metrics[0].verdict) == (None, None, None, "no samples")
            values[one.other.name] = (one.base.name, one.pair.added, round(change.value * 100, 1), one.pair.clean)
    return values


def test_every_pair_of_the_published_table_is_found_with_its_difference(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(LEADERBOARD, encoding="utf-8-sig")
    found = table_pairs(file)
    assert shown(found, "quantization") == QUANTIZATION
    assert shown(found, "training") == TRAINING
    missing = {one.name: reason for one, reason in found.alone}
    assert {name for name in missing if "NVFP4" in name or "FP8" in name or "Int4" in name} == {
        "Qwen3.5-35B GPTQ-Int4",
        "Qwen3.5-9B NVFP4 v10",
        "Qwen3.5-9B SFT NVFP4 v11",
        "Qwen3.5-122B-A10B NVFP4",
        "Phi-4 Multimodal NVFP4",
        "Qwen3-8B FP8",
    }
    assert missing["Qwen3.5-122B-A10B NVFP4"] == "no unquantized Qwen3.5 MoE 122B-A10B as released"
    flags = {one.other.name: "; ".join(one.pair.flags) for one in found if one.pair.kind == "quantization"}
    assert "versions differ: v7 and v11" in flags["Qwen3.5-2B SFT NVFP4 v11"]
    assert "not one answer of Qwen3.5-2B SFT+GRPO+GTPO NVFP4 could be read" in flags["Qwen3.5-2B SFT+GRPO+GTPO NVFP4"]
    assert "Granite4-Vision-3B SFT: weighted 101.4 is outside 0 to 100" in found.notes
    inferred = {one.other.name for one in found if one.pair.inferred}
    assert inferred == {
        "Qwen3.5-2B NVFP4 v10",
        "qwen3.5-2b-orr-sft",
        "Qwen3.5-9B SFT NVFP4 v11",
        "Qwen3.5-2B SFT NVFP4 v11",
    }


def test_the_whole_published_table_holds_the_same_pairs() -> None:
    if not PUBLISHED.is_file():
        pytest.skip("the published table is not on this machine")
    found = table_pairs(PUBLISHED)
    assert len(found.candidates) == 29
    assert shown(found, "quantization") == QUANTIZATION
    assert shown(found, "training") == TRAINING


def test_means_over_pairs_only_where_there_are_enough_clean_ones(tmp_path: Path) -> None:
    """-1.8, -0.3, -5.3: mean -7.4 / 3, s = 2.566, t(2) = 4.303, half 4.303 * 2.566 / sqrt(3) = 6.374."""
    file = tmp_path / "table.csv"
    file.write_text(LEADERBOARD, encoding="utf-8")
    effects = {(one.kind, one.added, one.metric): one for one in table_pairs(file, metrics=["weighted_pct"]).effects}
    nvfp4 = effects["quantization", "NVFP4", "weighted"]
    assert (nvfp4.pairs, nvfp4.models, nvfp4.left_out) == (3, 2, 3)
    assert nvfp4.value == pytest.approx(-0.074 / 3)
    assert nvfp4.high is not None
    assert nvfp4.high - nvfp4.value == pytest.approx(0.06374, abs=1e-5)
    assert effects["quantization", "any", "weighted"].value == pytest.approx((-1.8 - 0.3 - 5.3 - 0.5) / 400)
    assert (effects["training", "SFT", "weighted"].pairs, effects["training", "SFT", "weighted"].low) == (2, None)
    assert ("quantization", "FP8", "weighted") not in effects  # one pair has no mean
    assert ("training", "GRPO+GTPO", "weighted") not in effects  # one of three is clean
    assert mean_interval([0.5, 0.7]) == (0.6, None)


def test_a_score_that_cannot_be_makes_no_difference(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(
        "model,a_pct,b_pct\nOwn-8B,101.4,50\nOwn-8B-FP8,90,\nOwn-8B-SFT,80,60\n\x1b[31mOwn-8B-NVFP4,70,55\n",
        encoding="utf-8",
    )
    found = table_pairs(file)
    values = {(one.other.name, held.change.name): held.change for one in found for held in one.metrics}
    assert values["Own-8B-FP8", "a"].value is None
    assert values["Own-8B-FP8", "a"].reason == "101.4 is outside 0 to 100"
    assert values["Own-8B-FP8", "b"].reason == "not given"
    assert values["Own-8B-SFT", "b"].value == pytest.approx(0.1)
    assert "\x1b" not in pairs_page(found).text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,a_pct\nx,1\n", "no column 'model'"),
        ("", "no column 'model'"),
        ("model,a\nx,1\n", "no scores"),
        ("model,a_pct\nx,high\n", "not a number: 'high'"),
        ("model,a_pct\nx,nan\n", "not a number"),
        ("model,a_pct\n,1\n", "no model's name"),
        ("model,a_pct\nx,1,2\n", "more cells than columns"),
        ("model,a_pct,training\nx,1,+\n" + "y,1,SFT\n" * 10_000, "more than 10,000 rows"),
        ("model,a_pct,architecture\nx,1," + "y" * 200 + "\n", "at most 100"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises((InputError, DataError), match=message):
        read_table(file)
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "nothing.csv")


def candidates(*names: str, **options: Any) -> list[Candidate]:
    return [
        Candidate(name, f"runs/{place}", known_lineage(name, lineage_record({})), **options)
        for place, name in enumerate(names)
    ]


def test_the_nearest_predecessor_and_what_was_added() -> None:
    models = candidates("M-2B", "M-2B-SFT", "M-2B-SFT-GRPO-GTPO", "M-2B-GRPO", "M-8B-SFT", "N-2B-SFT")
    found = [(models[one.base].name, one.added, models[one.other].name) for one in find_pairs(models)]
    assert found == [
        ("M-2B", "SFT", "M-2B-SFT"),
        ("M-2B-SFT", "GRPO+GTPO", "M-2B-SFT-GRPO-GTPO"),
        ("M-2B", "GRPO", "M-2B-GRPO"),
    ]


def test_of_several_originals_the_one_whose_name_differs_least() -> None:
    models = candidates("M-2B-SFT v1", "M-2B-SFT v2", "M-2B-SFT NVFP4 v2")
    (found,) = find_pairs(models)
    assert (found.base, found.flags) == (1, ())
    (found,) = find_pairs(candidates("M-2B-SFT v1", "M-2B-SFT NVFP4 v2"))
    assert found.flags == ("versions differ: v1 and v2",)
    (found,) = find_pairs(candidates("M-2B", "M-2B", "M-2B-FP8"))
    assert found.flags == ("as near a base: runs/1",)
    (found,) = find_pairs(candidates("M-2B-Base", "M-2B-Instruct", "M-2B-Instruct-FP8"))
    assert (found.base, found.flags) == (1, ())
    (found,) = find_pairs(candidates("M-2B-Base", "M-2B-Instruct-FP8"))
    assert found.flags == ("variants differ: base and instruct",)


def test_names_make_no_pair_over_other_data_or_between_unknown_and_known_sizes() -> None:
    one, two = candidates("M-2B", context="a") + candidates("M-2B-FP8", context="b")
    assert find_pairs([one, two]) == []
    assert find_pairs(candidates("M", "M-2B-FP8")) == []
    assert len(find_pairs(candidates("M", "M-FP8"))) == 1
    assert find_pairs(candidates("8B", "8B-FP8")) == []  # two models of no known family


def test_a_base_run_that_was_named_goes_before_names() -> None:
    models = candidates("M-2B", "N-7B", "M-2B-FP8")
    models[2] = Candidate("M-2B-FP8", "runs/2", models[2].lineage, base=1)
    (found,) = find_pairs(models)
    assert (found.kind, found.base, found.named) == ("quantization", 1, True)
    assert found.flags == ("families differ: N and M", "sizes differ: 7B and 2B")
    models = candidates("M-2B-SFT", "M-2B-SFT-GRPO-FP8", "own", "own-awq", "M-2B-DPO")
    bases = [None, 0, 0, 2, 0]
    models = [Candidate(one.name, one.where, one.lineage, base=base) for one, base in zip(models, bases, strict=True)]
    assert [(one.kind, one.added, one.base, one.other) for one in find_pairs(models)] == [
        ("quantization", "AWQ", 2, 3),  # trained as its base, which was trained as its own base
        ("base run", "GRPO and FP8", 0, 1),
        ("base run", "nothing that is known", 0, 2),
        ("base run", "DPO for SFT", 0, 4),
    ]
    models = [Candidate(one.name, one.where, one.lineage, base=1 - place) for place, one in enumerate(models[:2])]
    assert {one.kind for one in find_pairs(models)} == {"base run"}  # each the other's base: no endless walk


TASK: dict[str, Any] = {
    "id": "shirt",
    "prompt": {"user": "Describe."},
    "fields": {"color": {}, "cut": {}, "brand": {}},
}
PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def scored(
    folder: Path, model: str, wrong: dict[str, float], *, n: int = 300, seed: int = 0, answer: Any = None
) -> Path:
    """Score a made-up model that errs in each field with the given probability."""
    dice = random.Random(seed)
    samples, answers = [], []
    for place in range(n):
        reference = {"color": f"c{place % 7}", "cut": f"t{place % 4}", "brand": f"b{place % 11}"}
        samples.append({"id": f"s{place}", "image": PIXEL, "reference": reference})
        given = {name: "?" if dice.random() < wrong.get(name, 0) else value for name, value in reference.items()}
        row = {"id": f"s{place}", "response": given if answer is None else answer(place, given), "model": model}
        answers.append({**row, "error": {"kind": "timeout", "message": "-"}} if row["response"] is None else row)
    for name, rows in (("data.jsonl", samples), ("answers.jsonl", answers)):
        (folder / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "task.json").write_text(json.dumps(TASK), encoding="utf-8")
    out = folder / model.replace("/", "-")
    pb.score(
        answers=folder / "answers.jsonl",
        data=folder / "data.jsonl",
        task=folder / "task.json",
        out=out,
        metrics=["structured_match", "weighted_score"],
        resamples=50,
    )
    return out


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    errors = {
        "Own-8B": {"color": 0.3, "cut": 0.2, "brand": 0.1},
        "Own-8B-SFT": {"color": 0.05, "cut": 0.05, "brand": 0.1},
        "Own-8B-NVFP4": {"color": 0.3, "cut": 0.5, "brand": 0.1},
        "Own-8B-FP8": {"color": 0.3, "cut": 0.2, "brand": 0.1},
    }
    return {model: scored(folder, model, wrong) for model, wrong in errors.items()}


def test_pairs_of_runs_have_paired_differences_and_verdicts(runs: dict[str, Path]) -> None:
    found = pairs(*runs.values(), metrics=["weighted_score"], margin=0.02, resamples=1000)
    told = {(one.pair.kind, one.pair.added): one for one in found}
    assert list(told) == [("quantization", "NVFP4"), ("quantization", "FP8"), ("training", "SFT")]
    verdicts = {added: one.metrics[0].verdict for (_, added), one in told.items()}
    # the FP8 twin answers as its original does; the NVFP4 one lost its sense of the cut
    assert verdicts == {"NVFP4": "worse", "FP8": "no worse", "SFT": "no worse"}
    for one in found:
        base, other = (read_scores(pb.load_run(side.where).directory) for side in (one.base, one.other))
        alone = {(c.kind, c.name): c for c in changes(pair(base, other), metrics=["weighted_score"], resamples=1000)}
        for change in (one.metrics[0].change, *one.fields):
            plain = alone[change.kind, change.name]
            assert (change.value, change.low, change.high, change.p) == (plain.value, plain.low, plain.high, plain.p)
        gated = judge(other, base, metrics=["weighted_score"], margin=0.02, resamples=1000).metrics[0]
        assert (one.metrics[0].needed, one.metrics[0].reasons) == (gated.needed, gated.reasons)
    cut = {change.name: change for change in told["quantization", "NVFP4"].fields}
    assert cut["cut"].value is not None
    assert cut["cut"].value < -0.2
    assert cut["brand"].value == 0
    fields = [change for one in found for change in one.fields]
    assert [change.p_holm for change in fields] == holm([change.p if change.differs else None for change in fields])
    metrics = [one.metrics[0].change for one in found]
    assert [change.p_holm for change in metrics] == holm([change.p if change.differs else None for change in metrics])


def test_too_few_samples_cannot_tell_and_say_how_many_would(tmp_path: Path) -> None:
    paths = [
        scored(tmp_path, "Own-8B", {"color": 0.3}, n=120),
        scored(tmp_path, "Own-8B-INT4", {"color": 0.3}, n=120, seed=1),
    ]
    (found,) = pairs(*paths, metrics=["weighted_score"], margin=0.01, resamples=1000)
    (held,) = found.metrics
    assert held.verdict == "cannot tell"
    assert held.needed is not None
    assert held.needed > 1000
    assert f"{held.needed:,} samples" in " ".join(held.reasons)


def test_a_twin_without_readable_answers_is_flagged_and_left_out_of_means(tmp_path: Path) -> None:
    paths = [
        scored(tmp_path, "Own-8B", {"color": 0.3}, n=100),
        scored(tmp_path, "Own-8B-NVFP4", {}, n=100, answer=lambda place, given: "I see a shirt."),
        scored(tmp_path, "Own-8B-FP8", {}, n=100, answer=lambda place, given: given if place % 4 == 0 else "no"),
    ]
    found = pairs(*paths, metrics=["weighted_score"], resamples=1000)
    flags = {one.pair.added: one.pair.flags for one in found}
    assert flags == {
        "NVFP4": ("not one answer of Own-8B-NVFP4 could be read: its scores are a floor",),
        "FP8": ("only 25% of the answers of Own-8B-FP8 could be read",),
    }
    assert found.effects == ()
    assert next(iter(found)).metrics[0].change.second == 0


def test_a_failed_answer_is_read_as_the_worst_before_anything_passes(tmp_path: Path) -> None:
    paths = [
        scored(tmp_path, "Own-8B", {}, n=200),
        scored(tmp_path, "Own-8B-FP8", {}, n=200, answer=lambda place, given: given if place % 10 else None),
    ]
    (found,) = pairs(*paths, metrics=["weighted_score"], resamples=1000)
    (held,) = found.metrics
    assert held.change.value == 0
    assert held.verdict == "cannot tell"
    assert "20 samples without every answer, read as the worst" in " ".join(held.reasons)


def test_a_named_base_run_is_read_though_it_is_not_among_the_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    own = scored(tmp_path, "checkpoint-900", {"color": 0.1})
    assert len(pairs(own, runs["Own-8B"], resamples=1000)) == 0
    tag(own, base_run=runs["Own-8B"], training="SFT")
    found = pairs(own, metrics=["weighted_score"], resamples=1000)
    (one,) = found
    assert (one.pair.kind, one.pair.added, one.base.name, one.pair.named) == ("training", "SFT", "Own-8B", True)
    assert one.pair.flags == ()
    tag(own, parameters="8B")
    (one,) = pairs(own, resamples=1000)
    assert one.pair.flags == ("families differ: Own and checkpoint-900",)
    tag(own, family="Own")
    (one,) = pairs(own, runs["Own-8B"], resamples=1000)
    assert one.pair.flags == ()
    other = tmp_path / "base"
    other.mkdir()
    base = scored(other, "Own-8B", {}, n=50)
    tag(own, base_run=base)
    (one,) = pairs(own, resamples=1000)
    assert one.metrics == ()
    assert one.reason is not None
    assert "sample" in one.reason
    (base / "run.json").unlink()
    found = pairs(own, resamples=1000)
    assert len(found) == 0
    assert "the base run of" in found.notes[0]


def test_of_one_run_and_its_copy_nothing_is_said(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(runs["Own-8B"], tmp_path / name)
    tag(tmp_path / "two", base_run=tmp_path / "one")
    (found,) = pairs(tmp_path / "two")
    assert (found.metrics, found.reason) == ((), "both runs hold the same answers")
    assert "both runs hold the same answers" in pairs_page(pairs(tmp_path / "two")).text()


def test_the_metric_that_is_compared_by_where_none_is_named(runs: dict[str, Path]) -> None:
    found = pairs(runs["Own-8B"], runs["Own-8B-FP8"], resamples=1000)
    (one,) = found
    assert [held.change.name for held in one.metrics] == ["weighted_score"]  # these runs have no quality
    assert one.notes == ()


def test_what_pairs_refuses(runs: dict[str, Path], tmp_path: Path) -> None:
    both = [runs["Own-8B"], runs["Own-8B-FP8"]]
    with pytest.raises(InputError, match="did you mean 'weighted_score'"):
        pairs(*both, metrics=["wieghted_score"])
    with pytest.raises(ConfigError, match="margin"):
        pairs(*both, margin=0.7)
    with pytest.raises(StoreError, match="no run here"):
        pairs(tmp_path)


def test_pairs_on_the_command_line(runs: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    paths = list(map(str, runs.values()))
    assert main(["pairs", *paths, "--metric", "weighted_score", "--resamples", "1000", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["kind"], one["added"]) for one in found["pairs"]] == [
        ("quantization", "NVFP4"), ("quantization", "FP8"), ("training", "SFT"),
    ]  # fmt: skip
    assert {one["metrics"][0]["verdict"] for one in found["pairs"]} <= {"no worse", "worse", "cannot tell"}
    assert found["pairs"][0]["metrics"][0]["change"]["n"] == 300
    assert main(["pairs", *paths, "--metric", "weighted_score", "--resamples", "1000"]) == 0
    page = capsys.readouterr().out
    assert "Against a margin of 1 points" not in page
    assert "Against a margin of 1 point" in page
    assert max(map(len, page.split("Notes")[0].splitlines())) <= 110
    assert main(["pairs", *paths[:1]]) == 0
    assert "no pair" in capsys.readouterr().out
    file = tmp_path / "table.csv"
    file.write_text(LEADERBOARD, encoding="utf-8")
    assert main(["pairs", "--csv", str(file), "--metric", "weighted", "--format", "markdown"]) == 0
    assert "| \\#3 | NVFP4 | 89.5 | 84.2 | -5.3 |" in capsys.readouterr().out
    assert main(["pairs"]) == 2
    assert main(["pairs", *paths, "--csv", str(file)]) == 2
    assert main(["pairs", *paths, "--margin", "0.5"]) == 2


def test_a_notebook_shows_a_table_in_which_names_are_only_text(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("model,a_pct\n<b>Own</b>-8B,50\n<b>Own</b>-8B-FP8,40\n", encoding="utf-8")
    shown = table_pairs(file)._repr_html_()
    assert "<td>-0.100</td>" in shown
    assert "&lt;b&gt;Own" in shown
    assert "<b>Own" not in shown


def test_means_over_pairs_of_runs(tmp_path: Path) -> None:
    paths = []
    for seed, size in enumerate(("1B", "2B", "4B")):
        paths.append(scored(tmp_path, f"Own-{size}", {"color": 0.2}, n=100, seed=seed))
        paths.append(scored(tmp_path, f"Own-{size}-FP8", {"color": 0.6}, n=100, seed=seed))
    found = pairs(*paths, metrics=["weighted_score"], resamples=1000)
    (effect,) = found.effects
    values = [one.metrics[0].change.value for one in found]
    assert (effect.pairs, effect.models, effect.left_out) == (3, 3, 0)
    assert effect.value == pytest.approx(sum(filter(None, values)) / 3)
    assert effect.low is not None
    assert effect.high is not None
    assert effect.low < effect.value < effect.high < 0


def test_rows_for_pandas(runs: dict[str, Path]) -> None:
    pytest.importorskip("pandas")
    table = pairs(*runs.values(), metrics=["weighted_score"], resamples=1000).to_pandas()
    assert len(table) == 3 * (1 + 3)
    assert set(table["verdict"].dropna()) <= {"no worse", "worse", "cannot tell"}
    assert list(table["name"][:4]) == ["weighted_score", "color", "cut", "brand"]
