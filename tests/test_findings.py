"""Findings: sentences that the data support, each with its evidence, and what was not tried."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import peakbench as pb
from peakbench.analysis.findings.gathering import findings
from peakbench.analysis.findings.statements import KINDS, Finding, Findings
from peakbench.analysis.leaderboard.boards import leaderboard_of
from peakbench.analysis.leaderboard.published import read_scores_table
from peakbench.analysis.lineage.pairs import run_pairs, table_pairs
from peakbench.report.findings import findings_page, first_findings
from peakbench.store import RunDirectory

# The garment leaderboard of 2026-04-04, as it was published.
LEADERBOARD = """\
rank,model,architecture,params,training,weighted_pct,sbert_nli_pct,json_pct,throughput_samples_per_s
1,Granite4-Vision-3B SFT,Granite4-Vision,4.5B,SFT,101.4,87.5,100,
2,Qwen3-VL-8B SFT+GRPO,Qwen3-VL,8B,SFT+GRPO,91.3,78.7,100,7.5
3,Qwen3-VL-2B SFT+GRPO v9,Qwen3-VL,2B,SFT+GRPO,89.5,78.5,100,15.9
4,Qwen3-VL-8B SFT+GRPO NVFP4,Qwen3-VL,8B,SFT+GRPO+NVFP4,89.5,77.0,100,12.1
5,Qwen3-VL-8B Instruct (Base),Qwen3-VL,8B,Zero-shot,87.5,75.6,100,5.5
6,Qwen3-VL-8B Instruct NVFP4,Qwen3-VL,8B,Zero-shot+NVFP4,87.2,75.0,100,8.2
7,Qwen3.5-2B Base,Qwen3.5-VL,2B,Zero-shot,84.4,73.0,100,6.6
8,Qwen3-VL-2B SFT+GRPO v9 NVFP4,Qwen3-VL,2B,SFT+GRPO+NVFP4,84.2,74.1,100,17.2
9,qwen3.5-0.8b-orr-sft,,,,79.7,70.5,100,
10,qwen3.5-2b-orr-sft,,,,79.6,69.9,100,
11,Qwen3-VL-2B Instruct (Base),Qwen3-VL,2B,Zero-shot,76.4,66.7,100,15.1
12,InternVL3-2B GRPO+GTPO Full,InternVL3,2B,GRPO+GTPO,72.7,64.3,100,11.8
13,InternVL3-2B GRPO+GTPO FP8,InternVL3,2B,GRPO+GTPO+FP8,72.2,63.8,100,14.3
14,InternVL3-2B Base,InternVL3,2B,Zero-shot,71.8,63.7,100,
15,Moondream2 Base,Moondream,1.6B,Zero-shot,69.8,61.8,100,
16,Qwen3.5-2B SFT+GRPO+GTPO v8,Qwen3.5-VL,2B,SFT+GRPO+GTPO,65.3,60.1,100,11.3
17,phi-4-multimodal-sft,,,,65.1,58.6,99,
18,Qwen3.5-2B SFT v7,Qwen3.5-VL,2B,SFT,63.7,58.9,100,11.6
19,Qwen3.5-35B GPTQ-Int4,Qwen3.5 MoE,35B (3B),Zero-shot,50.7,48.7,14,1.6
20,Qwen3.5-9B NVFP4 v10,Qwen3.5-VL,9B,Zero-shot,47.0,46.0,8,1.7
21,Qwen3.5-9B SFT NVFP4 v11,Qwen3.5-VL,9B,SFT+NVFP4,46.3,45.5,8,
22,Qwen3.5-2B NVFP4 v10,Qwen3.5-VL,2B,Zero-shot,42.9,42.9,0,4.0
23,Qwen3.5-122B-A10B NVFP4,Qwen3.5 MoE,122B (10B),Zero-shot+NVFP4,42.9,42.9,0,
24,Qwen3.5-2B SFT NVFP4 v11,Qwen3.5-VL,2B,SFT+NVFP4,42.9,42.9,0,
25,Qwen3.5-2B SFT+GRPO+GTPO NVFP4,Qwen3.5-VL,2B,SFT+GRPO+GTPO+NVFP4,42.9,42.9,0,
26,Phi-4 Multimodal NVFP4,Phi-4,5.6B,Zero-shot+NVFP4,42.9,42.9,0,
27,Qwen3-8B FP8,Qwen3,8B,Zero-shot+FP8,42.9,42.9,0,
28,granite4-vision-sft-vllm,,,,42.9,42.9,0,
29,granite4-vision-sft-vllm-deepstack,,,,42.9,42.9,0,
"""

TASK = {"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}, "cut": {}, "brand": {}}}
PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def of_table(folder: Path, text: str, **options: Any) -> Findings:
    file = folder / "table.csv"
    file.write_text(text, encoding="utf-8")
    table = read_scores_table(file)
    return findings(leaderboard_of([], [table], **options), table_pairs(table.table))


def said(found: Findings, *words: str) -> Finding:
    """The one finding whose sentence holds all the words."""
    (one,) = [one for one in found if all(word in one.sentence for word in words)]
    return one


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    return of_table(tmp_path_factory.mktemp("published"), LEADERBOARD)


def test_the_best_model_is_not_the_one_with_an_impossible_score(published: Findings) -> None:
    best = said(published, "has the best weighted score")
    assert best.sentence == (
        "Qwen3-VL-8B SFT+GRPO has the best weighted score, 91.3 %, 1.8 points ahead of Qwen3-VL-2B SFT+GRPO v9 and "
        "Qwen3-VL-8B SFT+GRPO NVFP4 (89.5 %); without samples nobody can say whether it is truly ahead."
    )
    assert best.strength == "observed"
    refused = said(published, "101.4 %")
    assert (refused.kind, refused.strength) == ("refused", "fact")
    assert refused.evidence["refused"] == {"weighted_score": 1.014}
    assert "published as number 1" in refused.sentence


def test_pairs_of_a_table_show_nothing_in_general(published: Findings) -> None:
    """All pairs: (-1.8 - 0.3 - 5.3 - 0.5) / 4 = -1.975, s = 2.3143, t(3) = 3.182, half 3.682: -5.66 to +1.71."""
    every = said(published, "Quantization: the weighted score is lower in all 4 pairs")
    assert every.strength == "observed"
    assert (every.evidence["mean"], every.evidence["models"]) == (pytest.approx(-0.01975), 3)
    assert every.evidence["low"] == pytest.approx(-0.01975 - 0.03682, abs=1e-5)
    assert "95 % interval -5.7 to +1.7 holds 0" in every.sentence
    assert "3 more pairs are set aside: in all 3 the versions differ and not one answer could be read" in (
        every.sentence
    )
    chains = {
        "SFT+GRPO on models as released": "higher in all 3 pairs (+2.3, +3.8 and +13.1), on average by +6.4 points",
        "SFT on models as released": "lower in both pairs (-20.7 and -4.8), on average by -12.8 points; 2 pairs of 1",
        "GRPO+GTPO on models as released": "from 71.8 % (InternVL3-2B Base) to 72.7 % (InternVL3-2B GRPO+GTPO Full)",
    }
    for chain, words in chains.items():
        assert said(published, f"{chain}: ", words).strength == "observed"
    assert not [one for one in published if one.strength == "shown"]  # no samples, no interval


def test_what_the_table_cannot_say(published: Findings) -> None:
    words = [
        "GRPO+GTPO after SFT: its effect on the weighted score cannot be said",
        "What GRPO and GTPO do alone cannot be said",
        "What GPTQ-INT4 costs cannot be said",
        "What more than 8B parameters bring cannot be said",
        "Which fields are hard or easy cannot be said",
        "the scores have no intervals and no number of samples",
        "How fast 5 models are cannot be said",
    ]
    assert all(said(published, one).strength == "open" for one in words)
    assert len([one for one in published if one.strength == "open"]) == len(words)


def test_coverage_families_sizes_and_speed_of_the_table(published: Findings) -> None:
    said(
        published,
        "Of 29 models 17 always answer with JSON, 1 in 99 % of their answers, 3 in only 8 to 14 % and 8 never.",
    )
    said(published, "The 8 models that never answer with JSON all have the same weighted score, 42.9 %")
    said(published, "Of 13 quantized models 9 wrote JSON in fewer than half of their answers, of 16 others 2;")
    said(published, "24 trainings and 32 quantizations were not tried on 13 models", "for 30 of these 56")
    ranking = said(
        published, "By the best weighted score of each family: Qwen3-VL 91.3 % (7 models), Qwen3.5-VL 84.4 %"
    )
    assert ranking.evidence["unplaced"] == ["qwen3.5-0.8b-orr-sft"]  # of Qwen3.5-VL, or of Qwen3.5 MoE
    # like against like the order turns round
    said(published, "(2B as released): Qwen3.5-VL 84.4 %, Qwen3-VL 76.4 % and InternVL3 71.8 %; yet the best model")
    said(published, "the larger model has the better weighted score in all 3 pairs (+1.8, +5.3 and +11.1 points)")
    said(published, "Qwen3-VL-2B SFT+GRPO v9 (89.5 %) is 2.0 points above Qwen3-VL-8B Instruct (Base) (87.5 %)")
    front = said(published, "Of 12 models with a known speed")
    assert [one["throughput"] for one in front.evidence["front"]] == [7.5, 15.9, 17.2]
    # 12.1 / 7.5, 8.2 / 5.5, 17.2 / 15.9, 14.3 / 11.8
    said(published, "faster than their originals in all 4 pairs: 1.08 to 1.61 times", "(median 1.35)")


def test_the_research_table(published: Findings) -> None:
    gaps = {(gap.model, gap.lacks): gap for gap in published.research}
    grpo = gaps["Qwen3.5-2B Base", "SFT+GRPO"]
    assert grpo.measured is not None
    assert (grpo.measured.median, grpo.measured.low, grpo.measured.high) == (
        pytest.approx(0.038), pytest.approx(0.023), pytest.approx(0.131)
    )  # fmt: skip
    assert (grpo.measured.pairs, grpo.measured.models) == (3, ("Qwen3-VL 8B", "Qwen3-VL 2B"))
    assert grpo.expected == pytest.approx(0.844 + 0.038)
    nvfp4 = gaps["Moondream2 Base", "NVFP4"]
    assert nvfp4.measured is not None
    assert (nvfp4.measured.median, nvfp4.measured.pairs, nvfp4.set_aside) == (pytest.approx(-0.018), 3, 3)
    unmeasured = gaps["Qwen3-VL-8B SFT+GRPO", "GPTQ-INT4"]
    assert (unmeasured.measured, unmeasured.expected) == (None, None)
    refused = gaps["Granite4-Vision-3B SFT", "FP8"]
    assert (refused.score, refused.expected) == (None, None)
    assert refused.measured is not None
    # stages and formats that are there are not missing, not even as versions that made no clean pair
    for model, lacks in {
        "Qwen3-VL-8B Instruct (Base)": ("SFT+GRPO", "NVFP4"),
        "InternVL3-2B GRPO+GTPO Full": ("FP8",),
        "Qwen3.5-2B Base": ("SFT", "NVFP4", "SFT+GRPO+GTPO"),
    }.items():
        assert not {(model, one) for one in lacks} & set(gaps)
    assert gaps["Qwen3.5-9B NVFP4 v10", "Qwen3.5-VL 9B as released, unquantized"].kind == "original"
    assert gaps["phi-4-multimodal-sft", "phi-4-multimodal as released"].kind == "base"
    # of two alike only the better one; nobody is told to quantize what does not write JSON
    assert ("Qwen3.5-2B SFT v7", "FP8") not in gaps
    assert ("granite4-vision-sft-vllm", "FP8") not in gaps


def scored(folder: Path, model: str, wrong: tuple[float, ...], *, n: int = 300, seed: int = 0) -> Path:
    """Score a made-up model that errs in each field with the given probability."""
    dice = random.Random(seed)
    samples, answers = [], []
    for place in range(n):
        reference = {"color": f"c{place % 7}", "cut": f"t{place % 4}", "brand": f"b{place % 11}"}
        samples.append({"id": f"s{place}", "image": PIXEL, "reference": reference})
        pairs = zip(reference.items(), wrong, strict=True)
        given = {name: "?" if dice.random() < chance else value for (name, value), chance in pairs}
        answers.append({"id": f"s{place}", "response": given, "model": model})
    for name, rows in (("data.jsonl", samples), ("answers.jsonl", answers)):
        (folder / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "task.json").write_text(json.dumps(TASK), encoding="utf-8")
    out = folder / re.sub(r"\W", "-", model)
    files = {"answers": folder / "answers.jsonl", "data": folder / "data.jsonl", "task": folder / "task.json"}
    pb.score(**files, out=out, metrics=["structured_match", "weighted_score", "json_parse_rate"], resamples=50)
    return out


def of_runs(*paths: Path) -> Findings:
    runs = [RunDirectory.open(path) for path in paths]
    board = leaderboard_of(runs, resamples=1000)
    return findings(board, run_pairs(runs, metrics=[board.metric], resamples=1000))


MODELS = {
    "Own-8B": (0.3, 0.2, 0.1),
    "Own-8B-SFT": (0.05, 0.05, 0.1),
    "Own-8B-NVFP4": (0.3, 0.5, 0.1),
    "Own-2B": (0.5, 0.3, 0.3),
    "Own-2B-NVFP4": (0.6, 0.5, 0.3),
    "Two-4B": (0.2, 0.2, 0.2),
    "Two-4B-NVFP4": (0.4, 0.4, 0.2),
    "Idle-8B": (1.0, 1.0, 0.9),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [scored(folder, model, wrong, seed=seed) for seed, (model, wrong) in enumerate(MODELS.items())]


def test_runs_show_what_their_samples_support(runs: list[Path]) -> None:
    found = of_runs(*runs)
    best = said(found, "Own-8B-SFT has the best weighted score", "is alone at the top: over the same 300 samples")
    assert best.strength == "shown"
    assert best.evidence["difference"]["apart"] is True
    assert best.evidence["next"]["model"] == "Two-4B"
    nvfp4 = said(found, "NVFP4: the weighted score is lower in all 3 pairs")
    assert nvfp4.strength == "shown"
    assert nvfp4.evidence["high"] < 0
    assert (nvfp4.evidence["models"], nvfp4.evidence["certain"]) == (3, 3)
    sft = said(found, "SFT on models as released: one pair", "for this model")
    assert sft.strength == "shown"
    cut = said(found, "NVFP4 changes cut by", "the most of 3 fields; beyond chance in all.")
    assert (cut.strength, cut.evidence["certain"]) == ("shown", 3)
    assert cut.evidence["means"]["brand"] > cut.evidence["means"]["color"] > cut.evidence["means"]["cut"]
    assert said(found, "Idle-8B is not above it for sure").strength == "observed"
    size = said(found, "the larger model has the better weighted score in both pairs", "names only")
    assert size.strength == "observed"  # two pairs have no interval
    assert {one["small"]["model"] for one in size.evidence["pairs"]} == {"Own-2B", "Own-2B-NVFP4"}


def test_a_pair_of_runs_shows_nothing_where_its_test_or_its_interval_does_not_hold(runs: list[Path]) -> None:
    opened = [RunDirectory.open(path) for path in runs if path.name in ("Own-8B", "Own-8B-SFT")]
    board = leaderboard_of(opened, resamples=1000)
    pairs = run_pairs(opened, metrics=[board.metric], resamples=1000)
    (one,) = pairs.findings
    (held,) = one.metrics
    assert said(findings(board, pairs), "SFT on models as released: one pair").strength == "shown"
    for doubt, words in (
        ({"unreliable": "fewer than 30 samples"}, "but fewer than 30 samples."),
        ({"p_holm": 0.06}, "but not once corrected for the number of pairs."),
        ({"low": -0.01}, "which holds 0: no effect is shown."),
    ):
        doubtful = replace(one, metrics=(replace(held, change=replace(held.change, **doubt)),))
        found = said(
            findings(board, replace(pairs, findings=(doubtful,))), "SFT on models as released: one pair", words
        )
        assert found.strength == "observed"


def test_what_stages_add_is_told_apart_by_what_was_there_before(tmp_path: Path) -> None:
    rows = "A-2B-SFT,80\nA-2B-SFT-GRPO,85\nB-2B,80\nB-2B-GRPO,70\nC-2B,50\nD-2B-SFT,60\nD-9B-SFT,55\n"
    found = of_table(tmp_path, f"model,weighted_pct\n{rows}")
    gaps = {(gap.model, gap.lacks): gap.expected for gap in found.research}
    assert gaps["C-2B", "GRPO"] == pytest.approx(0.4)
    assert gaps["D-2B-SFT", "GRPO"] == pytest.approx(0.65)
    assert gaps["C-2B", "SFT"] is None
    # D-9B-SFT is larger and lower than D-2B-SFT, but it is trained too
    assert not [one for one in found if "can pass a larger one" in one.sentence]


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        ((99, 98, 0), "Of 3 models 2 answer with JSON in 98 to 99 % of their answers and 1 never."),
        ((100, 99, 9), "Of 3 models 1 always answers with JSON, 1 in 99 % of their answers and 1 in only 9 %."),
        ((8, 0, 0), "Of 3 models 1 answers with JSON in only 8 % and 2 never."),
        ((0, 0), "Of 2 models 2 never answer with JSON."),
    ],
)
def test_who_answers_with_json(tmp_path: Path, rates: tuple[int, ...], sentence: str) -> None:
    rows = "\n".join(f"m{place},{50 + place},{rate}" for place, rate in enumerate(rates))
    said(of_table(tmp_path, f"model,weighted_pct,json_pct\n{rows}"), sentence)


def test_fields_at_their_floor_say_little(tmp_path: Path) -> None:
    """Of c0 to c6, t0 to t3 and b0 to b10 the most frequent values are right in 1/7, 1/4 and 1/11 of the samples."""
    found = of_runs(scored(tmp_path, "Own-8B", (0.95, 0.85, 0.1), n=200))
    idle = said(found, "say little", "the score is not surely above what an answer without a model has")
    assert set(idle.evidence["fields"]) == {"color", "cut"}
    assert idle.evidence["fields"]["cut"]["floor"] == pytest.approx(0.25)


def test_fields_are_ordered_only_where_intervals_allow(tmp_path: Path) -> None:
    alone = of_runs(scored(tmp_path, "Own-8B", (0.6, 0.3, 0.02), n=200))
    assert said(alone, "The hardest field is color").strength == "shown"
    assert said(alone, "The easiest field is brand").strength == "shown"
    near = of_runs(scored(tmp_path, "Own-9B", (0.32, 0.3, 0.3), n=60, seed=3))
    hardest = said(near, "The hardest field is")
    assert hardest.strength == "observed"
    assert hardest.evidence["rivals"]
    assert "by its interval it may as well be" in hardest.sentence


def test_nobody_is_alone_where_nothing_tells_two_apart(tmp_path: Path) -> None:
    first, second = (
        scored(tmp_path, model, (0.3, 0.3, 0.3), n=60, seed=seed) for seed, model in enumerate(("A-8B", "B-8B"))
    )
    best = said(of_runs(first, second), "has the best weighted score")
    assert best.strength == "observed"
    assert "is not alone at the top" in best.sentence
    assert len(best.evidence["tied"]) == 1


@pytest.mark.parametrize(
    ("rows", "strength", "words"),
    [
        ("A,90,88,92\nB,80,78,82\nC,79,77,81\n", "shown", "its interval lies clear of that of B, the next (80.0 %)"),
        ("A,90,88,92\nB,89,85,91\nC,79,77,81\n", "observed", "B cannot be told apart from it (their intervals overlap"),
        ("A,90,,\nB,90,,\nC,80,,\n", "observed", "together with B, 10.0 points ahead of C (80.0 %); without samples"),
    ],
)
def test_the_best_of_a_table_is_alone_where_its_interval_is(
    rows: str, strength: str, words: str, tmp_path: Path
) -> None:
    found = of_table(tmp_path, f"model,weighted_pct,weighted_pct_low,weighted_pct_high\n{rows}")
    assert said(found, "has the best weighted score", words).strength == strength
    checked(found)


def test_a_long_research_table_says_how_much_it_leaves_out(published: Findings) -> None:
    page = findings_page(published, most=3).text()
    assert "Training that was not tried: what pairs let one expect, % (the first 3 of 11)" in page
    assert "(the first 3 of 19)" in page


def test_models_of_one_name_are_told_apart_by_their_runs(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    paths = [
        scored(tmp_path / "one", "Own-8B", (0.1, 0.1, 0.1), n=60),
        scored(tmp_path / "two", "Own-8B", (0.6, 0.6, 0.6), n=60),
    ]
    best = said(of_runs(*paths), "has the best weighted score")
    assert "Own-8B in one/Own-8B has" in best.sentence


def test_runs_and_a_table_are_not_mixed(runs: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(LEADERBOARD, encoding="utf-8")
    table = read_scores_table(file)
    opened = [RunDirectory.open(path) for path in runs]
    board = leaderboard_of(opened, [table], resamples=1000)
    found = findings(board, [run_pairs(opened, metrics=[board.metric], resamples=1000), table_pairs(table.table)])
    groups = {one.group for one in found}
    assert groups == {group.title for group in board.groups}
    nvfp4 = [one for one in found.of("quantization") if one.sentence.startswith("NVFP4: ")]
    assert [len(one.evidence["pairs"]) for one in nvfp4] == [3, 3]
    assert {one.group for one in nvfp4} == groups
    assert len(found.of("best")) == 2
    page = findings_page(found).text()
    assert all(title in page for title in groups)


@pytest.mark.parametrize("model", ["<script>alert(1)</script>-8B", "\x1b[31mred-8B", "![x](http://x/y)-8B", "x" * 190])
def test_names_are_shown_not_obeyed(tmp_path: Path, model: str) -> None:
    rows = f"{model},80,100,T\n{model}-NVFP4,70,100,U\n{model}-FP8,75,100,V\n"
    found = of_table(tmp_path, f"model,weighted_pct,json_pct,version\n{rows}")
    page = findings_page(found)
    shown = page.text() + page.markdown() + found._repr_html_()
    assert "\x1b" not in shown
    assert "<script" not in found._repr_html_()
    assert "![x](" not in page.markdown()
    assert max(len(one.sentence) for one in found) < 1000


@pytest.mark.parametrize(
    "rows",
    [
        "a,101,100\n",
        "a,80,\nb,80,\n",
        "a,42.9,0\nb,42.9,0\n",
        "Own-8B,80,100\nOwn-8B-FP8,101,100\n",
        "Own-8B,80,100\nOwn-8B-FP8,,100\n",
        "Own-8B-SFT,80,100\n",
        "Own-8B,80,100\nOwn-8B-SFT,80,100\nOwn-8B-DPO,81,100\nOwn-2B,80,100\n",
    ],
)
def test_small_and_odd_tables_have_findings_without_claims(tmp_path: Path, rows: str) -> None:
    found = of_table(tmp_path, f"model,weighted_pct,json_pct\n{rows}", metric="weighted_score")
    assert len(found)
    assert not [one for one in found if one.strength == "shown"]
    checked(found)
    json.dumps(found.as_dict(), allow_nan=False)
    assert findings_page(found).text().strip()


@pytest.mark.parametrize(
    ("changes", "models", "strength", "words"),
    [
        # mean -5, s = 1, half 4.303 / sqrt(3) = 2.484
        (
            (-4, -5, -6),
            ("A-1B", "B-1B", "C-1B"),
            "shown",
            "on average by -5.0 points, 95 % interval -7.5 to -2.5 over 3",
        ),
        ((-4, -5, -6), ("A-1B", "A-1B-SFT", "B-1B"), "observed", "3 pairs of 2 models are too few to speak of others"),
        ((-1, -5, -9), ("A-1B", "B-1B", "C-1B"), "observed", "holds 0"),
        ((-5, -5, -5), ("A-1B", "B-1B", "C-1B"), "observed", "that change by the same are no sample of others"),
        (
            (-4, -5),
            ("A-1B", "B-1B"),
            "observed",
            "lower in both pairs (-5.0 and -4.0), on average by -4.5 points; 2 pairs of 2",
        ),
        ((2, 0, -2), ("A-1B", "B-1B", "C-1B"), "observed", "is higher in 1, lower in 1 and the same in 1 of 3 pairs"),
    ],
)
def test_a_mean_over_pairs_shows_something_from_three_models_on(
    changes: tuple[float, ...], models: tuple[str, ...], strength: str, words: str, tmp_path: Path
) -> None:
    rows = "".join(
        f"{model},80,100\n{model}-FP8,{80 + change},100\n" for model, change in zip(models, changes, strict=True)
    )
    found = of_table(tmp_path, f"model,weighted_pct,json_pct\n{rows}")
    one = said(found, "FP8: the weighted score", words)
    assert one.strength == strength
    checked(found)


@pytest.mark.parametrize(("families", "strength"), [("AAAA", "observed"), ("ABCD", "shown")])
def test_larger_models_are_better_only_over_several_families(families: str, strength: str, tmp_path: Path) -> None:
    """+4, +5, +6 and +5: mean 5, s = 0.816, half 3.182 * 0.816 / 2 = 1.299."""
    forms = ("", "-SFT", "-DPO", "-PPO")  # what is of one family differs in training
    rows = "".join(
        f"{family}-{size}B{form},{70 + place + (change if size == 8 else 0)}\n"
        for place, (family, form, change) in enumerate(zip(families, forms, (4, 5, 6, 5), strict=True))
        for size in (2, 8)
    )
    found = of_table(tmp_path, f"model,weighted_pct\n{rows}")
    one = said(found, "the larger model has the better weighted score in all 4 pairs", "95 % interval +3.7 to +6.3")
    assert one.strength == strength


def test_every_number_of_a_sentence_is_in_its_evidence(published: Findings, runs: list[Path]) -> None:
    checked(published)
    checked(of_runs(*runs))


def test_the_first_findings_are_one_of_each_kind(published: Findings) -> None:
    kinds = [one.kind for one in published.first(5)]
    assert kinds == ["best", "refused", "coverage", "quantization", "training"]
    assert len(first_findings(published).lines) == 5
    assert len(published.first(100)) == len([one for one in published if one.strength != "open"])
    assert [one.kind for one in published] == sorted((one.kind for one in published), key=KINDS.index)
    table = published.to_pandas()
    assert len(table) == len(published.research)
    assert set(table["kind"]) == {"training", "quantization", "original", "base"}


def checked(found: Findings) -> None:
    for one in found:
        sentence = one.sentence
        for text in sorted(strings(one.evidence), key=len, reverse=True):
            sentence = sentence.replace(text, " ")
        known = {form for number in numbers(one.evidence) for form in forms(number)} | {"95"}
        for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*[A-Za-z])", sentence.replace(",", "")):
            assert number in known, (number, one)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from filter(None, (value, value[:59]))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from (*strings(one), *([] if len(key) < 3 else [key]))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings(one)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from numbers(one)
    elif isinstance(value, list | tuple):
        yield from (len(value), len(value) - 4)  # "and 3 more"
        flags = [" ".join(one.get("flags", ())) for one in value if isinstance(one, dict)]
        yield from (sum(word in flag for flag in flags) for word in ("versions", "not one answer of", "only "))
        for key in ("value", "inferred"):
            yield sum(bool(one.get(key)) for one in value if isinstance(one, dict))
        for one in value:
            yield from numbers(one)


def forms(number: float) -> set[str]:
    shown = {
        f"{abs(number) * 100:.1f}",
        f"{abs(round(number * 100, 9)):.1f}",
        f"{number:.1f}",
        f"{number:.2f}",
        f"{number:g}",
    }
    return shown | {f"{number * 100:g}"}
