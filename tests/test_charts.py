"""Charts: what they show, what they refuse to show, and that nothing in them can run or load."""

from __future__ import annotations

import itertools
import json
import re
from xml.etree import ElementTree

import pytest

from peakbench.analysis.leaderboard.standings import Group, Leaderboard, Score, Standing
from peakbench.analysis.lineage.models import known_lineage
from peakbench.errors import InputError, MissingDependency, PeakBenchError
from peakbench.report import charts
from peakbench.report.charts.bars import leaderboard as bars
from peakbench.report.charts.canvas import WIDTHS, Canvas, Dot, Rule, Text
from peakbench.report.charts.changes import quantization, training
from peakbench.report.charts.lettering import fitted, text_width, wrapped
from peakbench.report.charts.rows import read_board
from peakbench.report.charts.saving import _checked
from peakbench.report.charts.speed import pareto, speed
from peakbench.report.charts.theme import contrast, page_css, shade, tones
from peakbench.store import LineageRecord
from peakbench.tasks import Task

HOSTILE = "</script><script>alert(1)</script>"
NAMES = (
    "Qwen/Qwen3-VL-8B-Instruct",
    "Qwen/Qwen3-VL-8B-Instruct-FP8",
    "org/Qwen3-VL-8B-SFT",
    "InternVL3-2B",
    "InternVL3-2B-GRPO",
    HOSTILE,
    'a\x1b[31m\x00\n\u202e"onload="x" & <b>\ud800',
)
FIELDS = ("type", "color", "sleeve_length", "__proto__", "a.b[0]", "<!--<script>")


def standing(name: str, value: float, rank: int, **more: object) -> Standing:
    lineage = known_lineage(name, LineageRecord())
    given: dict[str, object] = {
        "rank": rank,
        "last_rank": rank,
        "family": lineage.family,
        "parameters": lineage.parameters,
        "training": lineage.training,
        "quantization": lineage.quantization,
        "lineage": lineage,
        "score": Score(value, value - 0.03, value + 0.02),
        "json_rate": Score(1.0 if rank < 3 else 1.1 - rank / 10),
        "throughput": Score(3.0 * rank),
        "fields": {field: Score(value - number / 20, 0, 1) for number, field in enumerate(FIELDS)},
        "n": 100,
        "path": f"runs/{rank}",
    }
    return Standing(model=name, **(given | more))  # type: ignore[arg-type]


@pytest.fixture
def board() -> Leaderboard:
    standings = [standing(name, 0.93 - 0.07 * number, number + 1) for number, name in enumerate(NAMES)]
    refused = Standing(model="Granite4", source="published", refused={"weighted_score": 1.014})
    floors = (
        Standing(model="all null", source="floor", score=Score(0.43)),
        Standing(model="most frequent", source="floor", score=Score(0.54)),
    )
    groups = (Group("garment", "run", "paired", n=100),)
    return Leaderboard((*standings, refused), floors, "weighted_score", groups=groups)


@pytest.fixture
def task() -> Task:
    fields = {"type": {"weight": 3}, "color": {"weight": 1}}
    return Task.model_validate({"id": "t", "title": "t", "fields": fields, "prompt": {"user": "?"}})


def texts(canvas: Canvas) -> list[str]:
    return [mark.text for mark in canvas.marks if isinstance(mark, Text)]


def boxes(canvas: Canvas) -> list[tuple[str, float, float, float, float]]:
    """Every line of letters with the pixels that it covers."""
    found = []
    for mark in canvas.marks:
        if isinstance(mark, Text) and not mark.angle:
            wide = text_width(mark.text, mark.size, bold=mark.bold)
            x, y = canvas.x.pixel(mark.x), canvas.y.pixel(mark.y)
            left = x - {"left": 0.0, "center": wide / 2, "right": wide}[mark.align]
            found.append((mark.text, left, y - mark.size * 0.4, left + wide, y + mark.size * 0.4))
    return found


# -- what is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["wide", "narrow"])
@pytest.mark.parametrize("name", list(charts.CHARTS))
def test_letters_cover_no_letters_and_stay_inside(name: str, size: str, board: Leaderboard, task: Task) -> None:
    canvas = charts.CHARTS[name].place(charts.Given(board, 0, None, task), size)  # type: ignore[arg-type]
    found = boxes(canvas)
    assert found
    for text, left, _, right, _ in found:
        assert left >= -1, text
        assert right <= WIDTHS[size] + 1, text  # type: ignore[index]
    for one, two in itertools.combinations(found, 2):
        apart = one[3] <= two[1] or two[3] <= one[1] or one[4] <= two[2] or two[4] <= one[2]
        assert apart, (one[0], two[0])


def test_the_leaderboard_shows_ranks_scores_floor_and_what_was_refused(board: Leaderboard) -> None:
    canvas = bars(read_board(board), "wide")
    shown = texts(canvas)
    assert canvas.title == "Weighted score of 7 models"
    assert "n = 100" in canvas.subtitle
    assert "95\u00a0% intervals" in canvas.subtitle
    assert "93.0\u00a0%" in shown
    assert "floor 54.0\u00a0%" in shown  # the higher of the two
    assert "101.4\u00a0% refused: outside 0 to 100\u00a0%" in shown
    assert "weighted score" in canvas.description
    # the seventh scores 0.51, no more than the floor of 0.54
    greys = [mark for mark in canvas.marks if mark.tone == "faint"]
    assert len(greys) == 1


def test_ties_are_shown_as_ranges() -> None:
    tied = standing("m", 0.9, 2, last_rank=4)
    canvas = bars(read_board(Leaderboard((tied,), (), "weighted_score", groups=(Group("g", "run", "paired"),))), "wide")
    assert "2–4" in texts(canvas)


def test_intervals_are_drawn_where_they_are(board: Leaderboard) -> None:
    canvas = bars(read_board(board), "wide")
    whiskers = [m for m in canvas.marks if isinstance(m, Rule) and m.tone == "text" and m.y == m.y2]
    assert [(round(m.x, 2), round(m.x2, 2)) for m in whiskers][0] == (0.90, 0.95)
    assert len(whiskers) == 7


def test_a_pareto_front_worked_by_hand() -> None:
    # (3, 3) is beaten by (3, 5); the two equal points beat each other in nothing
    assert pareto([(1, 9), (3, 5), (3, 3), (7, 5), (7, 5), (8, 1)]) == [0, 3, 4, 5]


def test_every_point_of_the_front_is_named(board: Leaderboard) -> None:
    canvas = speed(read_board(board), "wide")
    bold = [mark.text for mark in canvas.marks if isinstance(mark, Text) and mark.bold]
    assert len(bold) == 7  # the better a model here, the slower: nobody beats anybody
    dots = [mark for mark in canvas.marks if isinstance(mark, Dot)]
    assert len(dots) == 7
    assert {(dot.x, round(dot.y, 2)) for dot in dots} >= {(3.0, 0.93), (21.0, 0.51)}


def test_pairs_show_their_difference(board: Leaderboard) -> None:
    read = read_board(board)
    lost = quantization(read, "wide")
    assert "−7.0" in texts(lost)
    assert "FP8, from Qwen/Qwen3-VL-8B-Instruct" in texts(lost)
    grown = training(read, "wide")
    assert "SFT, from Qwen/Qwen3-VL-8B-Instruct" in texts(grown)
    assert "GRPO, from InternVL3-2B" in texts(grown)
    assert "0 of 2 up" in grown.subtitle
    assert "−10.5 points" in grown.subtitle  # the median of -14 and -7


def test_weights_are_shares_of_their_sum(board: Leaderboard, task: Task) -> None:
    canvas = charts.CHARTS["field_weights"].place(charts.Given(board, 0, None, task), "wide")
    assert "75.0\u00a0% (weight 3)" in texts(canvas)
    assert "25.0\u00a0% (weight 1)" in texts(canvas)


def test_the_heatmap_begins_with_the_easiest_field(board: Leaderboard) -> None:
    canvas = charts.CHARTS["field_heatmap"].place(charts.Given(board, 0, None, None), "wide")
    heads = [text for text in texts(canvas) if text in {name.replace("_", " ") for name in FIELDS}]
    assert heads[0] == "type"
    assert "93.0" in texts(canvas)


def test_reasons_where_the_data_do_not_carry_a_chart() -> None:
    only = Standing(model="m", score=Score(0.5), rank=1)
    bare = Leaderboard((only,), (), "weighted_score", groups=(Group("g", "run", "values"),))
    reasons = {name: charts.why_not(name, bare) for name in charts.CHARTS}
    assert reasons.pop("leaderboard") is None
    assert all(reasons.values())
    assert reasons["field_heatmap"] == "no row has scores by field"
    low = Leaderboard((only,), (), "latency", groups=(Group("g", "run", "values"),), higher_is_better=False)
    assert "better where it is lower" in (charts.why_not("leaderboard", low) or "")
    with pytest.raises(InputError, match="no chart 'radar'"):
        charts.why_not("radar", bare)


def test_scores_at_either_end_can_be_drawn() -> None:
    ends = tuple(
        standing(name, value, 1, score=Score(value))
        for name, value in zip(NAMES[:5], (0.0, 0.0, 0.0, 1.0, 1.0), strict=True)
    )
    group = (Group("g", "run", "values"),)
    for some in (ends, ends[:3], ends[3:]):
        found = Leaderboard(some, (), "weighted_score", groups=group)
        for name, size in itertools.product(charts.CHARTS, ("wide", "narrow")):
            if charts.why_not(name, found) is None:
                charts.CHARTS[name].place(charts.Given(found, 0, None, None), size)  # type: ignore[arg-type]


# -- letters and colours --------------------------------------------------------------------------------------------


def test_letters_fit_the_room_they_are_given() -> None:
    for room in (40, 90, 160):
        assert text_width(fitted("Qwen3.5-2B SFT+GRPO+GTPO NVFP4", room, 12), 12) <= room
        for line in wrapped("one two three four " + "x" * 99, room, 12):
            assert text_width(line, 12) <= room


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_letters_and_marks_stand_out(theme: charts.Theme) -> None:
    # WCAG 2.2: 4.5 to 1 for letters (1.4.3), 3 to 1 for graphics (1.4.11)
    found = tones(theme)
    for letters in ("text", "muted"):
        assert contrast(found[letters], found["background"]) >= 4.5
    for mark in ("strong", "soft", "faint", "loss", "gain", "mark"):
        assert contrast(found[mark], found["background"]) >= 3


@pytest.mark.parametrize("share", [number / 50 for number in range(51)])
def test_figures_can_be_read_on_every_shade(share: float) -> None:
    colour, ink = shade(share)
    assert contrast(colour, tones("light")[ink]) >= 4.5


def test_the_page_theme_names_variables_that_the_css_gives() -> None:
    css = page_css()
    for colour in tones("page").values():
        name = re.fullmatch(r"var\((--[a-z-]+), #[0-9a-f]{6}\)", colour)
        assert name
        assert css.count(f"{name[1]}:") == 4  # light, dark by the system, dark by the page, print


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawing() -> None:
    pytest.importorskip("altair", reason="altair is not installed")
    pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize("name", list(charts.CHARTS))
def test_svg_holds_shapes_and_letters_alone(name: str, board: Leaderboard, task: Task) -> None:
    for size in ("wide", "narrow"):
        chart = charts.draw(name, board, theme="page", size=size, task=task)  # type: ignore[arg-type]
        assert chart is not None
        drawn = charts.svg(chart, prefix="p-")
        root = ElementTree.fromstring(drawn)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert abs(float(root.get("width") or 0) - WIDTHS[size] - 20) <= 2  # type: ignore[index]
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "g", "path", "text", "tspan", "line", "rect", "defs", "clipPath"}
        assert "<script" not in drawn
        attributes = {key for element in root.iter() for key in element.attrib}
        assert not any(key.lower().startswith("on") or "href" in key for key in attributes)
        assert all(element.get("id", "p-").startswith("p-") for element in root.iter())


@pytest.mark.usefixtures("drawing")
def test_names_reach_the_drawing_as_letters(board: Leaderboard) -> None:
    chart = charts.draw("leaderboard", board)
    assert chart is not None
    drawn = ElementTree.fromstring(charts.svg(chart))
    shown = ["".join(element.itertext()) for element in drawn.iter() if element.tag.endswith("text")]
    assert HOSTILE in shown
    assert any(text.startswith("a\\x1b[31m\\x00\\n\\u202e") for text in shown)


@pytest.mark.usefixtures("drawing")
def test_a_page_is_closed_to_scripts_and_to_the_network(board: Leaderboard) -> None:
    chart = charts.draw("leaderboard", board)
    assert chart is not None
    page = charts.page(chart)
    assert page.lower().count("</script") == 2  # the data and the program
    assert "alert(1)</script" not in page
    assert "\\u003c/script\\u003e" in page
    assert "script-src 'sha256-" in page
    assert not re.search(r"""<(?:script|link|img)[^>]+(?:src|href)=""", page[: page.index("<script")])


@pytest.mark.usefixtures("drawing")
def test_files_by_their_ending(board: Leaderboard, tmp_path) -> None:
    chart = charts.draw("json_rate", board, theme="page")
    assert chart is not None
    assert charts.save(chart, tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    spec = json.loads(charts.save(chart, tmp_path / "a.json").read_text())
    assert spec["$schema"].startswith("https://vega.github.io/schema/vega-lite/")
    assert "var(" not in json.dumps(spec)  # only a page knows its variables
    with pytest.raises(InputError, match=r"unknown ending '\.pdf'"):
        charts.save(chart, tmp_path / "a.pdf")
    with pytest.raises(InputError, match="cannot be written"):
        charts.save(chart, tmp_path / "none" / "a.svg")


@pytest.mark.usefixtures("drawing")
def test_a_folder_of_charts(board: Leaderboard, task: Task, tmp_path) -> None:
    found = charts.chart_files(board, tmp_path / "charts", task=task)
    assert set(found.light) == set(found.dark) == set(charts.CHARTS)
    assert found.undrawn == {}
    assert found.dark["training"].name == "training-dark.svg"
    without = charts.chart_files(board, tmp_path / "charts")
    assert list(without.undrawn) == ["field_weights"]
    assert charts.draw("field_weights", board) is None
    assert charts.figure("field_weights", board) is None


@pytest.mark.usefixtures("drawing")
def test_the_same_board_gives_the_same_drawing(board: Leaderboard) -> None:
    first, second = (charts.figure("accuracy_speed", board) for _ in range(2))
    assert first == second
    assert first is not None
    assert 'class="chart-wide"' in first
    assert 'class="chart-narrow"' in first


@pytest.mark.parametrize(
    "inside",
    ["<script>1</script>", '<g onload="x"/>', '<a href="javascript:x"/>', '<text style="x"/>', "<foreignObject/>"],
)
def test_a_drawing_with_anything_else_is_refused(inside: str) -> None:
    with pytest.raises(PeakBenchError, match="is not used"):
        _checked(f'<svg xmlns="http://www.w3.org/2000/svg">{inside}</svg>', "", None)


def test_without_altair_the_command_that_mends_it(board: Leaderboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "altair", None)
    with pytest.raises(MissingDependency) as caught:
        charts.draw("leaderboard", board)
    assert "peakbench[report]" in str(caught.value)


def test_a_difference_whose_interval_holds_0_has_no_colour(board: Leaderboard, monkeypatch: pytest.MonkeyPatch) -> None:
    for ends, tone in (((-0.2, 0.1), "muted"), ((-0.2, -0.1), "loss")):
        monkeypatch.setattr("peakbench.report.charts.changes._interval", lambda *given, ends=ends: ends)
        canvas = quantization(read_board(board), "wide")
        assert any(text.startswith("−7.0 (−20.0 to ") for text in texts(canvas))
        assert [mark.tone for mark in canvas.marks if isinstance(mark, Dot) and not mark.hollow] == [tone]
        assert ("holds 0" in canvas.subtitle) == (tone == "muted")
