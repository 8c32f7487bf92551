"""The page of a run and of a comparison: words and figures against hand-worked ones, hostile text in every place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peakbench
from peakbench.analysis.comparison.changes import Change
from peakbench.api.jobs import demo_data
from peakbench.api.reports import report
from peakbench.builtins import open_registry
from peakbench.cli import main
from peakbench.errors import InputError, StoreError
from peakbench.metrics.base import Tools
from peakbench.plugins import Loaded, Offers, SectionWriter
from peakbench.report.html.assembly import run_html
from peakbench.report.html.figures import change_spans, outcome_stacks, score_spans, ticks
from peakbench.report.html.page import embedded_json, policy, slug
from peakbench.report.html.source import open_source
from peakbench.report.html.timeline import timeline
from peakbench.report.html.writing import verdict
from peakbench.sections import ReportSection, SectionHtml, SectionList, SectionTable, SectionText
from peakbench.store import RunDirectory
from peakbench.testing import Reply, ScriptedEndpoint

HOSTILE = "</script><script>window.hit=1</script><img src=x onerror=window.hit=2>\u202e'\"&lt;"
VOID = {"meta", "link", "br", "img", "input", "hr"}
CHROMIUM = Path("/usr/bin/chromium")


class Tree(HTMLParser):
    """What a browser makes of a page, as far as the tests ask."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.unclosed: list[str] = []
        self._script: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self._script = []
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag, f"</{tag}> closes another element"
        if tag == "script" and self._script is not None:
            attributes = next(one for name, one in reversed(self.elements) if name == "script")
            self.scripts.append((attributes, "".join(self._script)))
            self._script = None

    def handle_data(self, data: str) -> None:
        (self.texts if self._script is None else self._script).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def read(path: Path) -> Tree:
    return Tree(path.read_text(encoding="utf-8"))


def answers(text: str) -> Any:
    """Answers that are right, wrong, wrapped, unreadable and failed, with ``text`` as a value and inside the words."""

    def answer(asked: Any) -> Reply:
        value = {"type": "dress", "color": f"{text}\ud800", "pattern": "solid", "neckline": None, text: 1}
        made = (
            Reply(json.dumps(value)),
            Reply(f"{text} ```json\n{json.dumps(value)}\n```"),
            Reply(f"no JSON {text}"),
            Reply(status=400, text=text),
            Reply(json.dumps(value)[:30], finish_reason="length"),
        )
        return made[asked.number % len(made)]

    return answer


def make_run(folder: Path, text: str, *, repeats: int = 2) -> Path:
    """A run over samples in whose every text field ``text`` stands."""
    rows = [json.loads(line) for line in Path(demo_data()).read_text(encoding="utf-8").splitlines()[:8]]
    for number, row in enumerate(rows):
        row["id"] = f"{number}{text}".replace("\u202e", "")  # an id has printable characters only
        row["metadata"] = {"source": text if number % 2 else "plain"}
        row["reference"]["color"] = text if number % 3 else "navy"
        for image in row.get("images", []):
            if isinstance(image, dict) and "path" in image:
                image["path"] = str(Path(demo_data()).parent / image["path"])
        if isinstance(row.get("image"), str):
            row["image"] = str(Path(demo_data()).parent / row["image"])
        if row.get("images") and isinstance(row["images"][0], str):
            row["images"] = [str(Path(demo_data()).parent / one) for one in row["images"]]
    folder.mkdir(parents=True)
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with ScriptedEndpoint(answers(text)) as server:
        peakbench.run(
            str(data),
            endpoint=server.url,
            model=f"m{text}",
            task="garment",
            out=folder / "run",
            repeats=repeats,
            workers=1,
            retries=0,
            resamples=100,
            slices=["source"],
            allow_outside=True,
            metrics=["weighted_score", "structured_match", "field_match_rate", "json_parse_rate", "latency"],
        )
    return folder / "run"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("hostile") / "h", HOSTILE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("plain") / "p", "navy")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    for name, limit in (("a", 12), ("b", 12)):
        peakbench.run(out=folder / name, limit=limit, resamples=100, metrics=["weighted_score", "json_parse_rate"])
    return folder


# ---- the page as a browser reads it -------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["hostile", "plain"])
def test_the_page_is_one_file_that_asks_nobody(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    run = request.getfixturevalue(which)
    tree = read(report(run, out=tmp_path / "page.html"))
    assert tree.unclosed == []
    for tag, attributes in tree.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            link = attributes.get(name)
            assert link is None or link.startswith(("#", "data:")), (tag, name, link)
    assert not tree.all("img")  # pictures are the sample browser's, put in by its script
    assert not [one for one in tree.all("link") if one["rel"] != "icon"]
    assert not tree.all("iframe")


@pytest.mark.parametrize("which", ["hostile", "plain"])
def test_only_our_scripts_may_run(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    tree = read(report(request.getfixturevalue(which), out=tmp_path / "page.html"))
    (allowed,) = [one["content"] for one in tree.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert allowed is not None
    assert allowed.startswith("default-src 'none'; ")
    run = [text for attributes, text in tree.scripts if attributes.get("type") is None]
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run}
    assert set(re.findall(r"'sha256-([^']+)'", allowed)) == hashes
    assert "unsafe" not in allowed.partition("script-src")[2]
    for attributes, text in tree.scripts:
        if attributes.get("type") is not None:
            assert attributes["type"] == "application/json"
            json.loads(text)
            assert "<" not in text


def test_hostile_text_makes_no_element(hostile: Path, plain: Path, tmp_path: Path) -> None:
    """Two runs of one shape give the same elements, whatever their texts are."""
    counts = [
        Counter(tag for tag, _ in read(report(run, out=tmp_path / f"{number}.html")).elements)
        for number, run in enumerate((hostile, plain))
    ]
    # what counts rows of values may differ; what could act may not
    for tag in (
        "script",
        "img",
        "iframe",
        "object",
        "form",
        "a",
        "svg",
        "b",
        "style",
        "meta",
        "title",
        "h1",
        "section",
    ):
        assert counts[0][tag] == counts[1][tag], tag
    page = (tmp_path / "0.html").read_bytes()
    assert b"<script>window.hit" not in page
    assert b"<img" not in page
    page.decode("utf-8")  # lone surrogates and all
    head = page.split(b'<script type="application/json"')[0].decode("utf-8")
    assert "\u202e" not in head  # shown as an escape, it turns nothing round
    assert "\\u202e" in head


@pytest.mark.parametrize("which", ["hostile", "plain"])
def test_the_page_can_be_read_by_a_screen_reader(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    tree = read(report(request.getfixturevalue(which), out=tmp_path / "page.html"))
    assert tree.all("html")[0]["lang"] == "en"
    ids = [attributes["id"] for _, attributes in tree.elements if attributes.get("id")]
    assert len(ids) == len(set(ids)), [one for one, n in Counter(ids).items() if n > 1]
    assert {"header", "nav", "main", "footer"} <= {tag for tag, _ in tree.elements}
    links = [one["href"] for one in tree.all("a")]
    assert links[0] == "#content"  # the skip link comes first
    assert [link for link in links if link and not link.startswith("#sample=") and link[1:] not in ids] == []
    assert all(one.get("scope") in ("col", "row") for one in tree.all("th"))
    levels = [int(tag[1]) for tag, _ in tree.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), levels
    for tag, attributes in tree.elements:
        if tag == "svg" and attributes.get("role") == "img":
            assert attributes.get("aria-label")
        if attributes.get("tabindex") == "0" and attributes.get("role") == "region":
            assert attributes.get("aria-label")
    labelled = [attributes["aria-labelledby"] for attributes in tree.all("section")]
    assert set(labelled) <= set(ids)


def test_every_part_is_there(plain: Path, tmp_path: Path) -> None:
    tree = read(report(plain, out=tmp_path / "page.html"))
    ids = {attributes.get("id") for _, attributes in tree.elements}
    assert {"summary", "fields", "confusion", "answers", "speed", "slices", "notes"} <= ids
    # 16 requests, in turn: two read, one without JSON, one refused, one cut off
    samples = peakbench.load_run(plain).summary["samples"]
    assert (samples["answers"], samples["failed"], samples["truncated"]) == (16, 3, 3)
    assert "3 of 16 requests failed and are not scored; read as the worst and as the best" in tree.text
    assert "request failed: 3" in tree.text
    assert "bad request" in tree.text
    assert "3 answers cut off at the token limit." in tree.text
    assert "Only 8 samples" in tree.text


def test_the_numbers_are_those_of_the_summary(demo: Path, tmp_path: Path) -> None:
    tree = read(report(demo / "a", out=tmp_path / "page.html"))
    entry = peakbench.load_run(demo / "a").summary["metrics"]["weighted_score"]
    value, low, high = (f"{100 * entry[name]:.1f}" for name in ("value", "low", "high"))
    assert f"scores {value} % on weighted_score (95 % interval {low} to {high} %, 12 samples)" in tree.text
    assert f"95 %: {low}-{high}" in tree.text


# ---- words --------------------------------------------------------------------------------------------------------


def summary(**more: Any) -> dict[str, Any]:
    entry = {
        "value": 0.8,
        "low": 0.7,
        "high": 0.9,
        "n": 100,
        "floor": {"all_null": 0.4, "majority": 0.6},
        "skill": 0.5,
        "skill_low": 0.25,
        "skill_high": 0.75,
        "with_failures": {"low": 0.78, "high": 0.82},
    }
    samples = {"total": 100, "answers": 100, "failed": 0, "strict": 100}
    samples |= more.pop("samples", {})
    return {
        "run": {"model": "m", **more.pop("run", {})},
        "samples": samples,
        "metrics": {"weighted_score": {**entry, **more}},
        "fields": {},
    }


def test_a_good_run_in_words() -> None:
    made = verdict(summary())
    assert made.lead == (
        "m scores 80.0 % on weighted_score (95 % interval 70.0 to 90.0 %, 100 samples). That is 50.0 % (25.0 to 75.0 "
        "%) of the way from the best answer without a model (always the most frequent values, 60.0 %) to a perfect "
        "one.",
    )
    assert made.doubts == ()
    assert made.trust == "Nothing was lost: every sample was asked, answered and read."


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"skill": -0.1}, "That is no better than the best answer without a model"),
        ({"skill": 0.0}, "That is no better than the best answer without a model"),
        ({"skill": 0.1, "skill_low": -0.05}, "That is not clearly better than the best answer without a model"),
        ({"skill": None, "skill_reason": "the floor is the best value already"}, "The floor is the best value already"),
        ({"low": None, "high": None}, "(100 samples, no interval)"),
    ],
)
def test_how_good(more: dict[str, Any], words: str) -> None:
    assert words in verdict(summary(**more)).lead[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"samples": {"failed": 4}},
            "4 of 100 requests failed and are not scored; read as the worst and as the best, weighted_score is 78.0 to "
            "82.0 %.",
        ),
        ({"samples": {"unasked": 1}}, "1 request not sent yet: the run is not finished."),
        (
            {"samples": {"unparseable": 2, "off_schema": 1}},
            "3 of 100 answers cannot be read as what was asked for; they score as the worst.",
        ),
        ({"samples": {"truncated": 5}}, "5 answers cut off at the token limit."),
        ({"samples": {"repaired": 1}}, "1 answer read only after a repair."),
        ({"samples": {"total": 29}}, "Only 29 samples: small differences to other runs mean nothing."),
        (
            {"unreliable": "fewer than 10 imperfect samples (3)"},
            "The interval of weighted_score is unreliable: fewer than 10 imperfect samples (3).",
        ),
        (
            {"skill": None, "skill_reason": "the floor is the best value already"},
            "weighted_score says nothing here: an answer without a model scores the best value on it too.",
        ),
    ],
)
def test_what_to_distrust(more: dict[str, Any], words: str) -> None:
    made = verdict(summary(**more))
    assert words in made.doubts
    assert made.trust == ""


def test_published_profile_is_the_first_doubt() -> None:
    doubts = verdict(summary(run={"profile": "published-2026"}, samples={"failed": 1})).doubts
    assert doubts[0].startswith("Scored under the profile published-2026, for comparison with published numbers only")


def test_fields_in_words() -> None:
    made = summary()
    made["fields"] = {
        "type": {"score": 0.9, "wrong": 10},
        "color": {"score": 0.5, "wrong": 40, "invented": 10},
        "size": {"score": 0.9, "omitted": 10},
    }
    assert verdict(made).lead[1:] == (
        "The weakest field is color (50.0 %); the best: type and size (90.0 %).",
        "Of 70 mistakes in fields, 40 are a wrong value in color.",
    )


# ---- figures ------------------------------------------------------------------------------------------------------


def test_a_score_stands_where_it_is() -> None:
    figure = score_spans(
        [
            (
                "x",
                {
                    "value": 0.8,
                    "low": 0.7,
                    "high": 0.9,
                    "floor": {"majority": 0.6},
                    "with_failures": {"low": 0.5, "high": 1},
                },
            )
        ],
        failed=True,
    )
    (row,) = figure.rows
    assert (row.place, row.low, row.high, row.floor, row.possible) == (0.8, 0.7, 0.9, 0.6, (0.5, 1))
    assert (row.numbers, row.aside) == ("80.0 %", "95 %: 70.0-90.0")
    assert [(one.place, one.label) for one in figure.ticks] == [
        (0.0, "0"), (0.2, "20"), (0.4, "40"), (0.6, "60"), (0.8, "80"), (1.0, "100"),
    ]  # fmt: skip


def test_changes_share_one_axis_and_say_what_is_clear() -> None:
    def change(name: str, **more: Any) -> Change:
        return Change(name=name, kind="metric", first=0.5, second=0.5, better=3, worse=1, n=10, **more)

    figure = change_spans(
        [
            change("up", value=0.2, low=0.1, high=0.3, p=0.001, p_holm=0.004),
            change("loud", value=0.2, low=0.1, high=0.3, p=0.001, p_holm=0.004, higher_is_better=False),
            change("unsure", value=-0.1, low=-0.3, high=0.1, p=0.04, p_holm=0.12),
            change("none", reason="not scored"),
        ]
    )
    assert figure is not None
    assert [(row.name, row.tone) for row in figure.rows] == [
        ("up", "better"), ("loud (low is good)", "worse"), ("unsure", "unclear"),
    ]  # fmt: skip
    # from -0.3 to 0.3 and 6 % of 0.6 more on each side: 0 is in the middle
    width = 0.6 * 1.12
    assert figure.zero == pytest.approx(0.5)
    assert figure.rows[0].place == pytest.approx(0.5 + 0.2 / width)
    assert figure.rows[2].low == pytest.approx(0.5 - 0.3 / width)
    assert figure.rows[2].aside == "not clear, p 0.040, Holm 0.120"
    zero = [one for one in figure.ticks if one.label == "0"]
    assert [one.place for one in zero] == [pytest.approx(figure.zero)]


def test_a_bar_holds_all_answers() -> None:
    figure = outcome_stacks({"color": {"score": 0.5, "correct": 40, "correct_null": 10, "wrong": 47, "invented": 3}})
    (row,) = figure.rows
    assert [(one.kind, one.share, one.label) for one in row.parts] == [
        ("correct", 0.4, "40"), ("correct_null", 0.1, "10"), ("wrong", 0.47, "47"), ("invented", 0.03, ""),
    ]  # fmt: skip
    assert sum(one.share for one in row.parts) == pytest.approx(1)
    assert [kind for kind, _ in figure.key] == ["o-correct", "o-correct_null", "o-wrong", "o-invented"]


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_stand_where_they_say(low: float, span: float) -> None:
    made = ticks(low, low + span)
    assert len(made) <= 7
    for one in made:
        value = float(one.label.replace(",", ""))
        assert -1e-6 <= one.place <= 1 + 1e-6
        assert low + one.place * span == pytest.approx(value, abs=span * 0.02 + 1e-5 * abs(value))


def journal(folder: Path, lines: Sequence[tuple[float, float | None]]) -> Any:
    """A run whose journal holds answers by when they began and how long they took; None: it failed."""
    folder.mkdir()
    (folder / "responses.jsonl").write_text(
        "".join(
            json.dumps(
                {"sample_id": str(n), "started_at": began, "latency_s": took, "error": None if took else {"kind": "x"}}
            )
            + "\n"
            for n, (began, took) in enumerate(lines)
        )
    )
    return SimpleNamespace(path=folder)


def test_time_without_asking_is_left_out(tmp_path: Path) -> None:
    # ten answers of 1 s back to back, an hour's pause, ten more, the first of them after a failure
    first = [(1000.0 + at, 1.0) for at in range(10)]
    second = [(4610.0, None), *((4611.0 + at, 1.0) for at in range(10))]
    found = timeline(journal(tmp_path / "r", [*first, *second]))
    assert found is not None
    assert found.seconds == pytest.approx(21.0)  # 10 s, then 11 s
    assert found.pauses == [pytest.approx(10 / 21)]
    assert found.failed == [pytest.approx(10 / 21, abs=0.001)]
    assert found.answers == 20
    assert found.mean_rate == pytest.approx(20 / 21)
    assert found.median == 1.0
    # the columns hold every answer: their areas are counts
    high = max(height for _, _, height in found.columns)
    assert high == 1.0
    bins = round(1 / found.columns[0][1])
    heights = {round(x * bins): height for x, _, height in found.columns}
    most = 20 / sum(heights.values())
    assert [round(height * most, 6) for height in heights.values()] == [
        round(height * most) for height in heights.values()
    ]


def test_no_timings_no_figure(tmp_path: Path) -> None:
    assert timeline(journal(tmp_path / "r", [(1.0, None), (2.0, 0.5)])) is None


# ---- pieces of the page -------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_embedded_json_is_the_same_value_and_no_markup(value: Any) -> None:
    text = str(embedded_json(value))
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)
    text.encode("utf-8")


def test_the_policy_of_a_page_without_scripts_runs_none() -> None:
    assert policy([]).endswith("script-src 'none'")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=8))
def test_names_in_links_are_all_different(texts: list[str]) -> None:
    taken: set[str] = set()
    made = [slug(text, taken) for text in texts]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[a-z0-9-]+", one) for one in made)


# ---- plugins ------------------------------------------------------------------------------------------------------


def page_with(run: Path, sections: Any, *, takes_run: bool = True) -> Tree:
    registry = open_registry()
    writer = SectionWriter("demo", sections, takes_run)
    registry.plugins.loaded.append(Loaded("demo", "peakbench-demo", "1", Offers(report_sections=(writer,))))
    return Tree(run_html(open_source(RunDirectory.open(run)), registry, Tools()))


def test_a_plugin_adds_a_section(demo: Path) -> None:
    def sections(run: Any) -> Iterator[ReportSection]:
        yield ReportSection(
            f"Prices {HOSTILE}",
            [
                SectionText(f"{run.record.model} {HOSTILE}"),
                SectionText("a\n  b", fixed=True),
                SectionList([HOSTILE, *("item" for _ in range(1200))]),
                SectionTable([HOSTILE, "n"], [[HOSTILE, "1"]], caption=HOSTILE),
                SectionHtml("<p onclick='x()'>own</p><script>top.hit=1</script>", "my own", height=99_999),
            ],
        )

    tree = page_with(demo / "a", sections)
    assert "Written by the plugin demo." in tree.text
    assert "201 more are not shown." in tree.text
    assert not [one for one in tree.all("p") if "onclick" in one]
    (frame,) = tree.all("iframe")
    assert frame["sandbox"] == ""
    assert frame["srcdoc"] == "<p onclick='x()'>own</p><script>top.hit=1</script>"
    assert (frame["title"], frame["height"]) == ("my own", "4000")
    assert not tree.all("img")
    assert "a\n  b" in "".join(tree.texts)


def raising(run: Any) -> Any:
    raise ZeroDivisionError("<b>no prices</b>")


@pytest.mark.parametrize(
    ("sections", "takes_run", "words"),
    [
        (raising, True, "ZeroDivisionError: <b>no prices</b>"),
        (lambda: ["text"], False, "'peakbench_report_sections' returned str; expected items of ReportSection"),
        (lambda: [ReportSection("t", ["raw <b>"])], False, "TypeError: a block of type str"),  # type: ignore[list-item]
    ],
)
def test_a_plugin_that_fails_loses_its_section(demo: Path, sections: Any, takes_run: bool, words: str) -> None:
    tree = page_with(demo / "a", sections, takes_run=takes_run)
    assert words in tree.text
    assert "The plugin demo could not write its section" in tree.text
    assert "weighted_score" in tree.text  # the rest of the page stands


def test_a_table_with_a_row_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="row 2 has 1 cells, and there are 2 columns"):
        SectionTable(["a", "b"], [["1", "2"], ["3"]])


# ---- comparisons --------------------------------------------------------------------------------------------------


def test_a_comparison_says_what_changed(hostile: Path, plain: Path, demo: Path, tmp_path: Path) -> None:
    tree = read(report(demo / "a", demo / "b", out=tmp_path / "c.html", resamples=100))
    assert "have the same weighted_score on every one of 12 samples." in tree.text  # the recorded answers, twice
    assert tree.unclosed == []
    # two runs of a different task content are not compared, and no page is left behind
    with pytest.raises(InputError):
        report(hostile, plain, out=tmp_path / "d.html")
    assert not (tmp_path / "d.html").exists()


def test_a_comparison_of_hostile_runs(hostile: Path, tmp_path: Path) -> None:
    tree = read(report(hostile, hostile, out=tmp_path / "c.html", resamples=100))
    assert tree.unclosed == []
    assert not [attributes for _, attributes in tree.elements if any(name.startswith("on") for name in attributes)]
    ids = [attributes["id"] for _, attributes in tree.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))


def test_several_runs_are_held_against_the_first(demo: Path, tmp_path: Path) -> None:
    tree = read(report(demo / "a", demo / "b", demo / "a", out=tmp_path / "c.html", resamples=100))
    assert {"contrast-1", "contrast-2"} <= {attributes.get("id") for _, attributes in tree.elements}
    assert "2 runs against" in tree.text


# ---- where it is written ------------------------------------------------------------------------------------------


def test_where_the_page_is_written(demo: Path, tmp_path: Path) -> None:
    assert report(demo / "a") == demo / "a" / "report.html"
    assert report(demo / "a", demo / "b", resamples=100) == demo / "a" / "comparison.html"
    assert report(peakbench.load_run(demo / "a"), out=tmp_path / "new" / "x.html") == tmp_path / "new" / "x.html"
    with pytest.raises(InputError, match="a folder, not a file"):
        report(demo / "a", out=tmp_path)


def test_an_unfinished_run_has_no_page(demo: Path, tmp_path: Path) -> None:
    for name in ("run.json", "task.json", "samples.jsonl", "responses.jsonl"):
        (tmp_path / name).write_bytes((demo / "a" / name).read_bytes())
    with pytest.raises(StoreError, match="the run is unfinished"):
        report(tmp_path)


def test_the_command(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(demo / "a"), "--out", str(tmp_path / "p.html"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"page": str(tmp_path / "p.html"), "bytes": (tmp_path / "p.html").stat().st_size}
    assert main(["report", str(demo / "nothing")]) == 2
    assert main(["report", str(demo / "a"), "--common"]) == 2
    assert "name two runs or more" in capsys.readouterr().err


def test_a_run_writes_its_page_and_never_fails_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["--limit", "3", "--metrics", "weighted_score"]
    assert main(["run", "--out", "a", *asked]) == 0
    assert "report: a/report.html" in capsys.readouterr().err
    assert Path("a/report.html").is_file()
    assert main(["run", "--out", "b", *asked, "--no-report"]) == 0
    assert not Path("b/report.html").exists()

    def broken(*_: Any, **__: Any) -> str:
        raise RuntimeError("no room\nfor it")

    monkeypatch.setattr("peakbench.report.html.assembly.run_html", broken)
    assert main(["run", "--out", "c", *asked]) == 0
    said = capsys.readouterr().err
    assert "warning: no report was written: no room\n  try again: peakbench report c" in said
    assert Path("c/summary.json").is_file()
