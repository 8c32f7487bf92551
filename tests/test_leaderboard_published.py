"""The leaderboard of a published table: what cannot be is refused, what says nothing is flagged, equal values tie."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from peakbench.analysis.leaderboard.published import read_scores_table
from peakbench.analysis.leaderboard.standings import Leaderboard, Score, Standing
from peakbench.api.leaderboards import leaderboard
from peakbench.cli.app import main
from peakbench.errors import DataError, InputError

PUBLISHED = Path(__file__).parents[2] / "shared" / "data" / "published" / "denali_leaderboard_2026-04-04.csv"
# Rows of the garment leaderboard of 2026-04-04, as they were published: the first is ranked first with 101.4 %.
TABLE = """\
rank,model,architecture,params,training,weighted_pct,sbert_nli_pct,json_pct,throughput_samples_per_s
1,Granite4-Vision-3B SFT,Granite4-Vision,4.5B,SFT,101.4,87.5,100,
2,Qwen3-VL-8B SFT+GRPO,Qwen3-VL,8B,SFT+GRPO,91.3,78.7,100,7.5
3,Qwen3-VL-2B SFT+GRPO v9,Qwen3-VL,2B,SFT+GRPO,89.5,78.5,100,15.9
4,Qwen3-VL-8B SFT+GRPO NVFP4,Qwen3-VL,8B,SFT+GRPO+NVFP4,89.5,77.0,100,12.1
17,phi-4-multimodal-sft,,,,65.1,58.6,99,
19,Qwen3.5-35B GPTQ-Int4,Qwen3.5 MoE,35B (3B),Zero-shot,50.7,48.7,14,1.6
22,Qwen3.5-2B NVFP4 v10,Qwen3.5-VL,2B,Zero-shot,42.9,42.9,0,4.0
27,Qwen3-8B FP8,Qwen3,8B,Zero-shot+FP8,42.9,42.9,0,
28,granite4-vision-sft-vllm,,,,42.9,42.9,0,
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "published.csv"
    path.write_text(TABLE, encoding="utf-8")
    return path


def by_model(board: Leaderboard) -> dict[str, Standing]:
    return {one.model: one for one in board}


def test_the_impossible_score_is_struck_out_and_who_is_best_changes(table: Path) -> None:
    board = leaderboard(csv=table)
    found = by_model(board)
    first = found["Granite4-Vision-3B SFT"]
    assert (first.rank, first.score, dict(first.refused)) == (None, None, {"weighted_score": 1.014})
    assert first.published_rank == 1
    assert "weighted_score 101.4 % is outside 0 to 100 %: refused" in first.flags
    assert board.standings[-1] is first
    assert board.standings[0].model == "Qwen3-VL-8B SFT+GRPO"
    assert [one.place for one in board] == ["1", "2-3", "2-3", "4", "5", "6-8", "6-8", "6-8", "-"]
    # its other score stands, and ranks where that is asked for
    assert leaderboard(csv=table, metric="sbert_nli").standings[0].model == "Granite4-Vision-3B SFT"


def test_the_floor_is_read_off_rows_without_json_and_they_are_flagged(table: Path) -> None:
    board = leaderboard(csv=table)
    (floor,) = board.floors
    assert (floor.score, floor.sbert_nli) == (Score(0.429), Score(0.429))
    for name in ("Qwen3.5-2B NVFP4 v10", "Qwen3-8B FP8", "granite4-vision-sft-vllm"):
        assert by_model(board)[name].flags == (
            "no answer was JSON: 42.9 % is what an answer with every field null scores",
        )
        assert by_model(board)[name].skill == Score(0.0)
    assert "only 14 %" in by_model(board)["Qwen3.5-35B GPTQ-Int4"].flags[0]
    best = by_model(board)["Qwen3-VL-8B SFT+GRPO"]
    assert best.skill is not None
    assert best.skill.value == pytest.approx((0.913 - 0.429) / (1 - 0.429))  # by hand: 0.8476
    assert (best.throughput, best.json_rate, best.n) == (Score(7.5), Score(1.0), None)
    assert best.flags == ()


def test_published_intervals_tie_where_they_overlap(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "model,weighted_pct,weighted_pct_low,weighted_pct_high,n\na,90,88,92,500\nb,87,85,89,500\nc,70,60,80,500\n"
        "d,50,51,52,500\n"
    )
    board = leaderboard(csv=path)
    assert [(one.model, one.place, one.n) for one in board][:2] == [("a", "1-2", 500), ("b", "1-2", 500)]
    assert [one.place for one in board][2:] == ["3", "4"]
    assert "an interval that does not hold its value" in board.standings[3].flags[0]
    path.write_text(path.read_text().replace("d,50,51,52", "d,50,49,52"))
    board = leaderboard(csv=path)
    assert board.groups[0].rule == "intervals"
    assert [one.place for one in board] == ["1-2", "1-2", "3", "4"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model,weighted_pct,rank\na,90,first\n", "rank: not a number: 'first'"),
        ("model,weighted_pct,json_pct\na,90,nan\n", "json_pct: not a number"),
        ("model,weighted_pct\n,90\n", "no model's name"),
        ("name,weighted_pct\na,90\n", "no column 'model'"),
        ("model,weighted_pct,group\na,90,x\nb,80,y\n", "2 groups in one table"),
    ],
)
def test_a_table_that_cannot_be_read_says_where(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises((DataError, InputError)) as caught:
        read_scores_table(path)
    assert words in str(caught.value)


def test_shares_and_speeds_that_cannot_be_are_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,weighted_pct,json_pct,throughput_samples_per_s\na,90,140,-3\nb,-2,100,1\n")
    found = by_model(leaderboard(csv=path))
    assert dict(found["a"].refused) == {"json_parse_rate": 1.4, "throughput": -3.0}
    assert (found["a"].json_rate, found["a"].throughput, found["a"].place) == (None, None, "1")
    assert (dict(found["b"].refused), found["b"].place) == ({"weighted_score": -0.02}, "-")


def test_other_scores_than_ours_rank_where_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("model,category_accuracy_pct,valid_json_pct\na,94.6,99.8\nb,89.3,\n")
    board = leaderboard(csv=path, metric="category_accuracy")
    assert [one.score for one in board] == [Score(0.946), Score(0.893)]
    assert board.standings[0].fields == {"category": Score(0.946)}
    assert board.standings[0].json_rate == Score(0.998)


def test_the_whole_published_table() -> None:
    if not PUBLISHED.is_file():
        pytest.skip("the published table does not lie beside the checkout")
    board = leaderboard(csv=PUBLISHED)
    assert (len(board), len(board.ranked)) == (29, 28)
    assert [one.place for one in board][-9:] == ["21-28"] * 8 + ["-"]
    assert sum("no answer was JSON" in " ".join(one.flags) for one in board) == 8
    assert all(math.isclose(one.score.value, 0.429) for one in board.ranked[-8:] if one.score)


def test_the_json_of_the_command(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", "--csv", str(table), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["rank"] for one in found["standings"]] == [1, 2, 2, 4, 5, 6, 6, 6, None]
    assert found["standings"][-1]["refused"] == {"weighted_score": 1.014}


def test_rows_and_frames(table: Path) -> None:
    board = leaderboard(csv=table)
    rows = board.rows()
    assert len(rows) == 10
    assert rows[0]["weighted"] == 0.913
    assert rows[-1]["source"] == "floor"
    frame = pytest.importorskip("pandas").DataFrame(rows)
    assert list(board.to_pandas().columns) == list(frame.columns)
    assert "&lt;b&gt;" in Leaderboard((Standing(model="<b>"),), (), "m", groups=board.groups)._repr_html_()
