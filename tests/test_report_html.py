"""The page of a run and of a comparison: words and figures against hand-worked ones, hostile text in every place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import peakbench
from peakbench.api.jobs import demo_data
from peakbench.api.reports import write_report as report
from peakbench.builtins import open_registry
from peakbench.cli import main
from peakbench.errors import InputError, StoreError
from peakbench.metrics.base import Tools
from peakbench.plugins import Loaded, Offers, SectionWriter
from peakbench.report.html.assembly import run_html
from peakbench.report.html.source import open_source
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
        row["image"] = str(Path(demo_data()).parent / row["image"])
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
        metrics = ["weighted_score", "json_parse_rate"]
        peakbench.run(endpoint="recorded", out=folder / name, limit=limit, resamples=100, metrics=metrics)
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
    regions = [attributes["aria-label"] for _, attributes in tree.elements if attributes.get("role") == "region"]
    assert len(regions) == len(set(regions))
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
    # runs over different references are not compared, and no page is left behind
    with pytest.raises(InputError):
        report(hostile, plain, out=tmp_path / "d.html")
    assert not (tmp_path / "d.html").exists()
    unpaired = read(report(hostile, plain, out=tmp_path / "d.html", how="unpaired", resamples=100))
    assert "different samples, unpaired" in unpaired.text
    assert "samples" not in {attributes.get("id") for _, attributes in unpaired.elements}


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
    regions = [attributes["aria-label"] for _, attributes in tree.elements if attributes.get("role") == "region"]
    assert len(regions) == len(set(regions)) > 2


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
    asked = ["--endpoint", "recorded", "--limit", "3", "--metrics", "weighted_score"]
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


# ---- other kinds of run -------------------------------------------------------------------------------------------


def test_a_run_without_references(tmp_path: Path) -> None:
    images = Path(demo_data()).parent
    (tmp_path / "d.jsonl").write_text(
        "".join(json.dumps({"id": f"s{n}", "image": str(images / "images" / "g01.jpg")}) + "\n" for n in range(3))
    )
    with ScriptedEndpoint('{"type": "dress"}') as server:
        run = peakbench.run(
            str(tmp_path / "d.jsonl"), endpoint=server.url, model="m", out=tmp_path / "r", resamples=10,
            allow_outside=True, metrics=["weighted_score", "json_parse_rate"],
        )  # fmt: skip
    tree = read(report(run))
    assert "m scores 100.0 % on json_parse_rate" in tree.text
    assert "fields" not in {attributes.get("id") for _, attributes in tree.elements}


def test_a_text_task(tmp_path: Path) -> None:
    task = {"id": "caption", "answer": "text", "prompt": {"user": "Describe."}}
    (tmp_path / "t.json").write_text(json.dumps(task))
    image = str(Path(demo_data()).parent / "images" / "g01.jpg")
    rows = [{"id": f"s{n}", "image": image, "reference": "a red shirt"} for n in range(3)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ScriptedEndpoint("a red <b>shirt</b>") as server:
        run = peakbench.run(
            str(tmp_path / "d.jsonl"), endpoint=server.url, model="m", task=tmp_path / "t.json", out=tmp_path / "r",
            resamples=10, allow_outside=True, metrics=["rouge_l", "token_set_ratio"],
        )  # fmt: skip
    tree = read(report(run))
    assert "text: 3" in tree.text
    ids = {attributes.get("id") for _, attributes in tree.elements}
    assert not {"fields", "confusion"} & ids


# ---- in a browser -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


def test_a_frame_of_a_plugin_runs_and_loads_nothing(demo: Path, tmp_path: Path, chromium: Any) -> None:
    hostile_frame = "<p>own</p><script>document.body.append('ran')</script><img src='http://127.0.0.1:9/x.png'>"
    registry = open_registry()
    writer = SectionWriter("demo", lambda: [ReportSection("t", [SectionHtml(hostile_frame, "own")])], False)
    registry.plugins.loaded.append(Loaded("demo", "d", "1", Offers(report_sections=(writer,))))
    (tmp_path / "p.html").write_text(run_html(open_source(RunDirectory.open(demo / "a")), registry, Tools()))
    page = chromium.new_page()
    asked: list[str] = []
    # what reaches the network: a browser also announces, at times, a request that the policy then keeps in
    page.route("http://**", lambda route: (asked.append(route.request.url), route.abort()))
    page.goto((tmp_path / "p.html").as_uri())
    page.wait_for_timeout(300)
    assert asked == []
    assert page.frames[1].evaluate("document.body.innerText").strip() == "own"
    page.close()


def test_the_theme_can_be_chosen_and_stays(plain: Path, tmp_path: Path, chromium: Any) -> None:
    path = report(plain, out=tmp_path / "p.html").as_uri()
    page = chromium.new_page(color_scheme="light")
    page.goto(path)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    assert light == "rgb(255, 255, 255)"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.focus("#theme")
    page.keyboard.press("Enter")
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark
    page.emulate_media(media="print")  # paper is white whatever was chosen
    assert page.evaluate(ground) == light
    page.close()


@pytest.mark.parametrize("width", [320, 390, 768, 1440])
@pytest.mark.parametrize("which", ["hostile", "plain"])
def test_figures_fit_any_width(
    which: str, width: int, request: pytest.FixtureRequest, tmp_path: Path, chromium: Any
) -> None:
    """Nothing is wider than the page, and rows below one axis have figures of one width."""
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.goto(report(request.getfixturevalue(which), out=tmp_path / "p.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate(
        "[...document.querySelectorAll('ul.rows')].map(list => [...list.querySelectorAll('svg.track, .ticks, .stack')]"
        ".map(one => Math.round(one.getBoundingClientRect().width)))"
    )
    assert widths
    assert all(len(set(one)) == 1 and one[0] > 50 for one in widths), widths
    page.close()
