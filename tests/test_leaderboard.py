"""The leaderboard: who is ranked against whom, ranks as ranges, and the files."""

from __future__ import annotations

import csv
import io
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import peakbench as pb
from peakbench.analysis.comparison.changes import Change
from peakbench.analysis.leaderboard.contests import _refined
from peakbench.analysis.leaderboard.ranking import overlap, rank_ranges
from peakbench.analysis.leaderboard.standings import Leaderboard, Score, Standing
from peakbench.api.leaderboards import leaderboard, write_leaderboard
from peakbench.api.lineages import tag
from peakbench.cli.app import main
from peakbench.errors import InputError, StoreError
from peakbench.report.leaderboard import board_csv, board_page, lines_of

# Rows of the garment leaderboard of 2026-04-04, as they were published: the first is ranked first with 101.4 %.
TABLE = """\
rank,model,architecture,params,training,weighted_pct,sbert_nli_pct,json_pct,throughput_samples_per_s
1,Granite4-Vision-3B SFT,Granite4-Vision,4.5B,SFT,101.4,87.5,100,
2,Qwen3-VL-8B SFT+GRPO,Qwen3-VL,8B,SFT+GRPO,91.3,78.7,100,7.5
4,Qwen3-VL-8B SFT+GRPO NVFP4,Qwen3-VL,8B,SFT+GRPO+NVFP4,89.5,77.0,100,12.1
22,Qwen3.5-2B NVFP4 v10,Qwen3.5-VL,2B,Zero-shot,42.9,42.9,0,4.0
"""
COLORS = ("red", "blue", "green", "black")
TASK: dict[str, Any] = {"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}, "brand": {}}}
HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "published.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def scored(
    folder: Path,
    name: str,
    right: Sequence[bool],
    *,
    model: str | None = None,
    answers: int | None = None,
    seed: int = 0,
) -> Path:
    """A run over ``len(right)`` samples, whose answers to both fields are right where that is said."""
    home = folder / f"data{len(right)}-{seed}"
    rng = random.Random(seed)  # noqa: S311
    references = [{"color": rng.choice(COLORS), "brand": rng.choice(("Acme", "Zeta"))} for _ in right]
    home.mkdir(exist_ok=True)
    (home / "task.json").write_text(json.dumps({"format": 1, "version": 1, "title": "Shirt", **TASK}))
    with (home / "samples.jsonl").open("w") as file:
        file.writelines(json.dumps({"id": f"s{i}", "reference": one}) + "\n" for i, one in enumerate(references))
    given = home / f"{model or name}.jsonl"  # answers from elsewhere: the model is the file's name
    with given.open("w") as file:
        for i, (one, fine) in enumerate(zip(references, right, strict=True)):
            if answers is None or i < answers:
                response = json.dumps(one if fine else {"color": "white", "brand": "Nobody"})
                file.write(json.dumps({"id": f"s{i}", "response": response}) + "\n")
    run = pb.score(
        answers=given,
        data=home / "samples.jsonl",
        task=home / "task.json",
        out=folder / "runs" / name,
        metrics=["weighted_score", "structured_match", "json_parse_rate"],
        resamples=200,
        images=False,
    )
    return run.path


def pattern(n: int, wrong: int, start: int = 0) -> list[bool]:
    bad = {(start + i) % n for i in range(wrong)}
    return [i not in bad for i in range(n)]


def by_model(board: Leaderboard) -> dict[str, Standing]:
    return {one.model: one for one in board}


# -- ranks as ranges ---------------------------------------------------------------------------------------------------


def test_ranks_are_ranges_by_hand() -> None:
    # A beats C and D for sure, B beats D: A 1-2, B 1-3, C 2-4, D 3-4
    apart = {(0, 2), (0, 3), (1, 3)}
    found = rank_ranges([0.9, 0.8, 0.7, 0.6], lambda one, two: (min(one, two), max(one, two)) in apart)
    assert found == [(1, 2), (1, 3), (2, 4), (3, 4)]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4]), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_a_range_holds_the_rank_by_value_and_all_ranks_are_there(scores: list[float], rng: random.Random) -> None:
    pairs = {(i, j): rng.random() < 0.5 for i in range(len(scores)) for j in range(i + 1, len(scores))}
    found = rank_ranges(scores, lambda one, two: pairs[min(one, two), max(one, two)])
    for score, (best, worst) in zip(scores, found, strict=True):
        above, below = sum(other > score for other in scores), sum(other < score for other in scores)
        assert 1 <= best <= 1 + above <= len(scores) - below <= worst <= len(scores)
    certain = rank_ranges(scores, lambda one, two: True)
    expected = stats.rankdata([-score for score in scores], method="min")
    assert [best for best, _ in certain] == list(expected)


def test_intervals_overlap() -> None:
    assert overlap(Score(0.9, 0.8, 1.0), Score(0.75, 0.7, 0.8))
    assert not overlap(Score(0.9, 0.81, 1.0), Score(0.75, 0.7, 0.8))
    assert overlap(Score(0.8), Score(0.75, 0.7, 0.8))


def test_a_p_that_no_exchange_reached_is_the_normal_one() -> None:
    change = Change(
        name="m", kind="metric", value=-0.05, low=-0.06, high=-0.04, n=400, p=1 / 10_001, test="sign flips", spread=0.1
    )
    assert _refined(change, 10_000).p == pytest.approx(2 * stats.norm.sf(10), rel=1e-9)
    for other in (
        Change(name="m", kind="metric", value=-0.01, n=400, p=0.05, test="sign flips", spread=0.1),
        Change(name="m", kind="metric", value=-0.05, n=20, p=1 / 10_001, test="sign flips", spread=0.01),
        Change(name="m", kind="metric", value=-0.05, n=400, p=1 / 10_001, test="McNemar", spread=0.1),
    ):
        assert _refined(other, 10_000) == other


# -- runs --------------------------------------------------------------------------------------------------------------


def test_runs_over_the_same_samples_are_told_apart_by_pairs(tmp_path: Path) -> None:
    n = 120
    scored(tmp_path, "best", pattern(n, 6))
    scored(tmp_path, "near", pattern(n, 9, start=2))
    scored(tmp_path, "far", pattern(n, 60))
    board = leaderboard(tmp_path / "runs", resamples=2000)
    found = by_model(board)
    assert [one.model for one in board] == ["best", "near", "far"]
    assert (found["best"].place, found["near"].place, found["far"].place) == ("1-2", "1-2", "3")
    assert (found["best"].tied, found["far"].tied) == ("1-2", "")
    assert found["best"].score is not None
    assert found["best"].score.value == pytest.approx(114 / 120)
    behind = found["far"].behind
    assert behind is not None
    assert behind.value == pytest.approx((60 - 114) / 120)
    assert behind.low is not None
    assert behind.high is not None
    assert behind.low < behind.value < behind.high < 0
    assert board.groups[0].rule == "paired"
    assert len(board.told) == 3
    assert [one.apart for one in board.told] == [False, True, True]


def test_pairs_decide_where_intervals_overlap(tmp_path: Path) -> None:
    """9 of 100 samples gained and none lost: exact p = 2 / 2^9 = 0.0039, though the two intervals overlap."""
    scored(tmp_path, "more", pattern(100, 20))
    scored(tmp_path, "less", pattern(100, 29))
    board = leaderboard(tmp_path / "runs", resamples=2000)
    one, two = board.standings
    assert one.score is not None
    assert two.score is not None
    assert overlap(one.score, two.score)
    assert (one.place, two.place) == ("1", "2")
    assert board.told[0].p == pytest.approx(2 / 2**9)


def test_other_samples_or_another_scoring_make_another_group(tmp_path: Path) -> None:
    runs = [scored(tmp_path, "one", pattern(40, 4)), scored(tmp_path, "two", pattern(40, 30))]
    other = scored(tmp_path, "other", pattern(40, 1), seed=5)
    board = leaderboard(*runs, other, resamples=500)
    assert [one.group for one in board] == [0, 0, 1]
    assert [one.place for one in board] == ["1", "2", "1"]
    assert "ranked apart" in board.notes[-1]
    assert board.groups[0].fingerprint != board.groups[1].fingerprint
    # the signature of the ranking metric is part of the group
    summary = json.loads((runs[1] / "summary.json").read_text())
    summary["metrics"]["weighted_score"]["signature"] += "|profile:other"
    (runs[1] / "summary.json").write_text(json.dumps(summary))
    assert sorted(one.group for one in leaderboard(*runs, resamples=500)) == [0, 1]


def test_the_floors_stand_where_their_scores_put_them(tmp_path: Path) -> None:
    n = 60
    scored(tmp_path, "good", pattern(n, 3))
    scored(tmp_path, "bad", pattern(n, 58))
    board = leaderboard(tmp_path / "runs", resamples=500)
    kinds = [(line.kind, line.standing.model) for line in lines_of(board, 0)]
    assert kinds[0] == ("ranked", "good")
    assert kinds.index(("floor", "each field's most frequent value")) < kinds.index(("ranked", "bad"))
    assert {one.path for one in board.floors} == {"unparseable", "all_null", "majority", "vocabulary"}
    highest = board.floor()
    assert highest is not None
    assert highest.path == "majority"
    assert highest.skill == Score(0.0)
    assert "not above what an answer without a model scores" in by_model(board)["bad"].flags
    good = by_model(board)["good"]
    assert good.score is not None
    assert good.skill is not None
    assert highest.score is not None
    floor = highest.score.value
    assert good.skill.value == pytest.approx((good.score.value - floor) / (1 - floor))


def test_unfinished_runs_are_left_out_and_failed_answers_are_said(tmp_path: Path) -> None:
    kept = scored(tmp_path, "kept", pattern(30, 3))
    half = scored(tmp_path, "half", pattern(30, 3), answers=20)
    gone = scored(tmp_path, "gone", pattern(30, 3))
    (gone / "summary.json").unlink()
    board = leaderboard(kept, half, gone, resamples=500)
    assert {one.model for one in board} == {"kept", "half"}
    assert any("gone is left out: it is unfinished" in note for note in board.notes)
    assert "10 answers were not asked for yet" in by_model(board)["half"].flags
    with pytest.raises(InputError, match="nothing to rank"):
        leaderboard(gone)
    with pytest.raises(StoreError, match="no run here"):
        leaderboard(kept, tmp_path / "nowhere")
    (tmp_path / "runs" / "notes.txt").write_text("no run")
    board = leaderboard(*sorted((tmp_path / "runs").iterdir()), resamples=500)
    assert {one.model for one in board} == {"kept", "half"}
    assert any("notes.txt is left out: it is no run" in note for note in board.notes)


def test_a_score_outside_its_range_is_refused_in_a_run_too(tmp_path: Path) -> None:
    run = scored(tmp_path, "odd", pattern(30, 3))
    other = scored(tmp_path, "fine", pattern(30, 3, start=9))
    summary = json.loads((run / "summary.json").read_text())
    summary["metrics"]["weighted_score"]["value"] = 1.014
    (run / "summary.json").write_text(json.dumps(summary))
    found = by_model(leaderboard(run, other, resamples=500))
    assert (found["odd"].score, found["odd"].rank, dict(found["odd"].refused)) == (
        None,
        None,
        {"weighted_score": 1.014},
    )
    assert any("outside its range" in flag for flag in found["odd"].flags)
    assert found["fine"].place == "1"


def test_equal_answers_are_noted_and_tie(tmp_path: Path) -> None:
    for name in ("one", "two"):
        scored(tmp_path, name, pattern(30, 3))
    board = leaderboard(tmp_path / "runs", resamples=500)
    assert [one.place for one in board] == ["1-2", "1-2"]
    assert any("the same answers stand in" in note for note in board.notes)


def test_what_is_known_of_a_model_stands_beside_it(tmp_path: Path) -> None:
    run = scored(tmp_path, "m", pattern(20, 2), model="Qwen3-VL-8B SFT NVFP4")
    tag(run, family="Qwen3-VL", training="SFT+GRPO")
    (one,) = leaderboard(run, resamples=500)
    assert (one.family, one.parameters, one.training, one.quantization) == ("Qwen3-VL", "8B", ("SFT", "GRPO"), "NVFP4")
    assert "the name says SFT, given is SFT+GRPO" in one.flags


def test_a_metric_that_nobody_scored_names_the_nearest(tmp_path: Path) -> None:
    run = scored(tmp_path, "m", pattern(20, 2))
    with pytest.raises(InputError, match="weighted_score"):
        leaderboard(run, metric="weighted_scor")
    assert leaderboard(run, metric="structured_match", resamples=500).metric == "structured_match"


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_folder_and_its_files(tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored(tmp_path, "good", pattern(30, 3))
    scored(tmp_path, "bad", pattern(30, 25))
    out = tmp_path / "board"
    code = main(["leaderboard", str(tmp_path / "runs"), "--csv", str(table), "--out", str(out), "--no-charts"])
    assert code == 0
    said = capsys.readouterr()
    assert "Key findings" in said.out
    assert "(101.4 refused)" in said.out
    assert "written: index.html, README.md, leaderboard.csv, leaderboard.json" in said.err
    readme = (out / "README.md").read_text()
    assert "| 1 | Qwen3-VL-8B SFT+GRPO | Qwen3-VL | 8B | SFT+GRPO | 91.3 |" in readme
    assert "| ~~101.4~~ refused | 87.5 |" in readme
    data = json.loads((out / "leaderboard.json").read_text())
    assert data["standings"][0]["model"] == "good"
    assert data["findings"]["findings"]
    page = (out / "index.html").read_text()
    assert "<del>101.4</del>" in page
    assert "default-src &#39;none&#39;" in page
    # a second time over its own files, and never over somebody else's
    assert main(["leaderboard", "--csv", str(table), "--out", str(out), "--no-charts"]) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("# My project\n")
    assert main(["leaderboard", "--csv", str(table), "--out", str(tmp_path / "mine"), "--no-charts"]) == 2
    assert (tmp_path / "mine" / "README.md").read_text() == "# My project\n"
    assert "left alone" in capsys.readouterr().err
    assert main(["leaderboard", "--csv", str(table), "--out", str(tmp_path / "runs" / "good"), "--no-charts"]) == 2
    assert main(["leaderboard"]) == 2


def test_charts_stand_on_the_page_and_beside_it(tmp_path: Path, table: Path) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    scored(tmp_path, "good", pattern(30, 3))
    scored(tmp_path, "bad", pattern(30, 25))
    written = write_leaderboard(leaderboard(tmp_path / "runs", csv=table, resamples=500), tmp_path / "board")
    assert written.undrawn is None
    assert written.charts == sum(file.suffix == ".svg" for file in written.files) / 2 >= 8
    page = (tmp_path / "board" / "index.html").read_text()
    assert page.count('<figure class="picture"') == written.charts
    readme = (tmp_path / "board" / "README.md").read_text()
    for file in written.files:
        assert file.is_file()
        if file.suffix == ".svg":
            assert file.relative_to(tmp_path / "board").as_posix() in readme


def test_without_the_extra_there_are_no_charts_and_it_is_said(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert main(["leaderboard", "--csv", str(table), "--out", str(tmp_path / "board")]) == 0
    assert "no charts:" in capsys.readouterr().err
    assert "<figure" not in (tmp_path / "board" / "index.html").read_text()


def test_csv_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    for name, wrong in (("a", 3), ("b", 20), ("c", 55)):
        scored(tmp_path, name, pattern(60, wrong))
    board = leaderboard(tmp_path / "runs", resamples=500)
    path = tmp_path / "again.csv"
    path.write_text(board_csv(board))
    again = leaderboard(csv=path)
    assert [one.model for one in again] == ["a", "b", "c"]
    for one, two in zip(board, again, strict=True):
        assert two.score is not None
        assert one.score is not None
        assert two.score.value == pytest.approx(one.score.value, abs=1e-6)
        assert two.score.low == pytest.approx(one.score.low, abs=1e-6)
        assert two.json_rate is not None
        assert one.json_rate is not None
        assert two.json_rate.value == one.json_rate.value
        assert two.n == one.n
    assert again.groups[0].rule == "intervals"
    assert len(again.floors) == 4
    first, second = board.floor(), again.floor()
    assert first is not None
    assert second is not None
    assert first.model == second.model


def test_names_of_models_have_no_power(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "architecture", "weighted_pct", "json_pct"])
        writer.writerow([HOSTILE, HOSTILE, 90, 100])
        writer.writerow(["=HYPERLINK(1)", "\x1b[31mred", 80, 100])
        writer.writerow(["a|b `c` [d](javascript:1)", "", 101, 100])
    board = leaderboard(csv=path, title=HOSTILE)
    written = write_leaderboard(board, tmp_path / "board", charts=False)
    page = (tmp_path / "board" / "index.html").read_text()
    assert "<script>window" not in page
    assert "<img" not in page
    readme = (tmp_path / "board" / "README.md").read_text()
    assert "<script>" not in readme.replace("\\<script\\>", "")
    assert "](javascript" not in readme.replace("\\](javascript", "")
    cells = list(csv.reader(io.StringIO((tmp_path / "board" / "leaderboard.csv").read_text())))
    assert not [cell for row in cells for cell in row if cell.startswith("=")]
    assert "\x1b" not in board_page(board).text() + page + readme
    assert len(written.files) == 4


def test_standings_of_many_runs_agree_with_a_direct_comparison(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name, share in (("a", 0.9), ("b", 0.8), ("c", 0.75), ("d", 0.5)):
        scored(tmp_path, name, list(rng.random(80) < share))
    board = leaderboard(tmp_path / "runs", resamples=1000)
    places = {one.path: place for place, one in enumerate(board)}
    for told in board.told:
        one, two = board.standings[told.first], board.standings[told.second]
        change = (
            pb.compare(one.path, two.path, metrics=["weighted_score"], fields=[], resamples=1000)
            .contrasts[0]
            .metrics[0]
        )
        assert (told.value, told.low, told.high, told.p) == (change.value, change.low, change.high, change.p)
        assert places[one.path] < places[two.path]
