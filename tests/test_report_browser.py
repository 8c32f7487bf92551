"""The report page in a real browser: what a model or a data set wrote never runs, nothing leaves, and all can be used.

Needs playwright (Python) and a Chromium: the one on the PATH, or that of PEAKBENCH_CHROMIUM. With PEAKBENCH_AXE, the
path of axe.min.js or of the npm package (.tgz), the pages are held against axe-core's rules as well.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peakbench import api
from peakbench.api.reports import write_report as report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
CHROMIUM = os.environ.get("PEAKBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)

HOSTILE = (
    "</script><script>window.pwned=1</script>",
    '<img src=x onerror="window.pwned=1">',
    "javascript:window.pwned=1",
    "--><svg onload=window.pwned=1>",
    "</title></style></textarea><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "<!--<script>",
    "{{7*7}}${window.pwned=1}",
    "\u2028\u202e\u0000]]>",
    "https://evil.invalid/<a href='https://evil.invalid'>",
    "__proto__",
)
FIELDS = ("color", "brand", "size")
METRICS = ("structured_match", "weighted_score", "token_set_ratio", "rouge_l", "quality_lexical", "json_parse_rate")
COLORS = ("navy blue", "red", "black")


def task(*names: str) -> dict[str, Any]:
    return {
        "format": 1,
        "id": "demo",
        "version": 1,
        "title": "Demo",
        "prompt": {"user": "What is it?"},
        "fields": {name: {"weight": 2.0 if place == 0 else 1.0} for place, name in enumerate(names)},
    }


def written(folder: Path, name: str, lines: list[dict[str, Any]]) -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def scored(folder: Path, samples: list[Any], answers: list[Any], *, fields: tuple[str, ...] = FIELDS) -> Path:
    """A run of answers that came from elsewhere."""
    folder.mkdir(parents=True)
    (folder / "task.json").write_text(json.dumps(task(*fields)), encoding="utf-8")
    made = api.score(
        answers=written(folder, "answers.jsonl", answers),
        data=written(folder, "samples.jsonl", samples),
        task=folder / "task.json",
        out=folder / "run",
        metrics=METRICS,
        resamples=100,
        images="image" in samples[0],
        allow_outside=True,
    )
    return made.path


def pictures(folder: Path, n: int) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for place in range(n):
        image = Image.new("RGB", (300, 400), (place * 40 % 256, 120, 200))
        image.save(folder / f"{place}.jpg")
        names.append(str(folder / f"{place}.jpg"))
    return names


def answer(place: int, **changes: Any) -> dict[str, Any]:
    value = {"color": COLORS[place % 3], "brand": None, "size": "m", **changes}
    return {"id": f"p{place:03d}", "text": json.dumps(value)}


def samples(n: int, **more: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"p{place:03d}",
            "reference": {"color": COLORS[place % 3], "brand": None, "size": "m"},
            "metadata": {"shop": f"shop {place % 4}"},
            **more,
        }
        for place in range(n)
    ]


class Browser:
    """Opens pages; remembers every request that is none for the page itself or its pictures, and every error."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._open: list[Any] = []

    def __call__(self, path: Path, anchor: str = "", *, width: int = 1440, height: int = 1000, **options: Any) -> Any:
        context = self._browser.new_context(viewport={"width": width, "height": height}, **options)
        self._open.append(context)
        page = context.new_page()

        def seen(route: Any) -> None:
            url = route.request.url
            if url.startswith("file://") and Path(sync_path(url)).parent in (
                path.parent,
                path.parent / f"{path.stem}_files",
            ):
                route.continue_()
                return
            self.requests.append(url)
            route.abort()

        context.route("**/*", seen)
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else self.requests.append(request.url),
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}") or dialog.dismiss())
        page.goto(path.as_uri() + anchor)
        page.wait_for_function("document.getElementById('samples-browser').dataset.ready")
        return page

    def close(self) -> None:
        for context in self._open:
            context.close()
        self._open.clear()


def sync_path(url: str) -> str:
    from urllib.parse import unquote, urlsplit

    return unquote(urlsplit(url).path)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium: Any) -> Iterator[Browser]:
    browser = Browser(chromium)
    yield browser
    browser.close()
    assert browser.requests == []
    assert browser.errors == []


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 samples with pictures: colours wrong, a brand invented, a size omitted, one unparseable, one failed."""
    folder = tmp_path_factory.mktemp("plain")
    images = pictures(folder / "images", 6)
    given = [answer(place) for place in range(120)]
    given[3] = answer(3, color="green")
    given[7] = answer(7, color="pink", size=None)
    given[11] = answer(11, brand="Acme & <b>Söhne</b>")
    given[17] = {"id": "p017", "text": 'Sure! {"color": "red", "brand": nul}'}
    given[19] = {"id": "p019", "error": {"kind": "server_error", "http_status": 500, "message": "out of memory"}}
    asked = [{**one, "image": images[place % 6]} for place, one in enumerate(samples(120))]
    folder = folder / "one"
    return report(scored(folder, asked, given))


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 samples in two runs: p002 got worse, p005 better in one field and worse in another."""
    folder = tmp_path_factory.mktemp("compared")
    first = [answer(place) for place in range(40)]
    second = [answer(place) for place in range(40)]
    second[2] = answer(2, color="green")
    first[5] = answer(5, color="green")
    second[5] = answer(5, size="xl")
    runs = [scored(folder / name, samples(40), given) for name, given in (("a", first), ("b", second))]
    return report(*runs, out=folder / "comparison.html", resamples=200)


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six samples, asked three times; the second answer to p001 differs."""
    folder = tmp_path_factory.mktemp("repeated")
    given = [{**answer(place), "repeat": repeat} for place in range(6) for repeat in range(3)]
    given[4] = {**answer(1, color="green"), "repeat": 1}
    return report(scored(folder / "one", samples(6), given))


def listed(page: Any) -> list[str]:
    return page.eval_on_selector_all(
        ".sb-row",
        "rows => rows.sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
        ".map(row => row.querySelector('.sb-id').textContent)",
    )


def counted(page: Any) -> str:
    return page.text_content(".sb-count")


def unfold(page: Any) -> None:
    page.eval_on_selector_all("#samples-detail details", "all => all.forEach(one => { one.open = true; })")


def heading(page: Any) -> str:
    return page.text_content("#samples-heading")


def test_what_data_and_models_wrote_never_runs_and_nothing_leaves(tmp_path: Path, browse: Browser) -> None:
    fields = (*FIELDS, "<img src=x onerror=window.pwned=1>")
    asked, given = [], []
    for place, text in enumerate(HOSTILE):
        name = f"{place} {text}" if text.isprintable() else f"{place}"
        asked.append(
            {
                "id": name,
                "prompt": text,
                "reference": dict.fromkeys(fields, text),
                "metadata": {text: text, "shop": text, "deep": [text, {text: text}]},
            }
        )
        wrong = {**dict.fromkeys(fields, f"{text} {text}"), text: text}
        given.append(
            {"id": name, "text": json.dumps(wrong), "reasoning": text, "model": HOSTILE[0], "finish_reason": text}
        )
    given[1] = {"id": asked[1]["id"], "text": f"{HOSTILE[1]} no object at all {HOSTILE[0]}", "reasoning": HOSTILE[0]}
    given[2] = {"id": asked[2]["id"], "error": {"kind": "server_error", "http_status": 500, "message": HOSTILE[1]}}
    one = scored(tmp_path / "one", asked, given, fields=fields)
    two = scored(tmp_path / "two", asked, list(reversed(given)), fields=fields)
    for path in (report(one), report(one, two, out=tmp_path / "comparison.html", resamples=100)):
        page = browse(path)
        for _ in HOSTILE:
            page.keyboard.press("j")
            unfold(page)
        for anchor in (
            *(f"#sample={text}" for text in HOSTILE),
            *(f"#by={text}&is={text}&q={text}&sort={text}" for text in HOSTILE),
        ):
            page.evaluate("anchor => { location.hash = anchor; }", anchor)
        page.select_option("#sb-by", "shop")
        page.wait_for_timeout(100)
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("Object.prototype.polluted") is None
        assert (
            page.query_selector("#samples-browser script, #samples-browser iframe, #samples-browser svg, img[src=x]")
            is None
        )
        links = page.eval_on_selector_all("#samples-browser a", "links => links.map(link => link.getAttribute('href'))")
        assert all(link.startswith("#") for link in links)
        assert HOSTILE[1] in page.content().replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"')


def test_a_script_that_gets_in_after_all_is_not_run(plain: Path, browse: Browser) -> None:
    page = browse(plain)
    page.evaluate(
        """() => {
          const one = document.createElement("script"), two = document.createElement("div");
          one.textContent = "window.pwned = 1";
          two.innerHTML = '<img src="https://evil.invalid/x.png" onerror="window.pwned = 2">';
          document.body.append(one, two);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("window.pwned") is None
    refused = [said for said in browse.errors if "Content Security Policy" in said]
    assert len(refused) >= 2
    browse.errors.clear()
    browse.requests.clear()  # asked for by this test; the policy stopped it before it left


def test_the_worst_samples_come_first_and_the_list_holds_only_what_is_in_sight(plain: Path, browse: Browser) -> None:
    page = browse(plain)
    # quality_lexical and quality are composites; without an encoder the leading metric is weighted_score
    assert listed(page)[:4] == ["p017", "p007", "p003", "p011"]
    assert page.locator(".sb-row").count() < 30
    assert counted(page) == "120 samples"
    page.eval_on_selector("#samples-list", "list => { list.scrollTop = list.scrollHeight; }")
    page.wait_for_function("[...document.querySelectorAll('.sb-row')].some(row => row.ariaPosInSet == 120)")
    assert listed(page)[-1] == "p019"  # failed: unscored, so it comes last, not as a zero
    assert page.locator(".sb-row").count() < 30


def test_one_sample_shows_everything(plain: Path, browse: Browser) -> None:
    page = browse(plain, "#sample=p007")
    assert heading(page) == "p007"
    rows = page.eval_on_selector_all(
        ".sb-fields tbody tr", "rows => rows.map(row => row.innerText.replace(/\\s+/g, ' ').trim())"
    )
    assert rows == [
        "color red pink ✗ wrong 2.0 × 0.00 = 0.00",
        "brand null null ✓ both null 1.0 × 1.00 = 1.00",
        "size m null − omitted 1.0 × 0.00 = 0.00",
    ]
    text = page.inner_text("#samples-detail")
    assert "1.00 of 4.00 weight gained; lost: color 2.00 (wrong), size 1.00 (omitted)" in text
    assert json.dumps({"color": "pink", "brand": None, "size": None}) in text
    image = page.locator("#samples-detail img")
    assert image.get_attribute("alt") == "Image 1 of sample p007"
    assert page.evaluate("document.querySelector('#samples-detail img').naturalHeight") == 192


def test_an_answer_that_cannot_be_read_shows_where_it_goes_wrong(plain: Path, browse: Browser) -> None:
    page = browse(plain, "#sample=p017")
    assert "unparseable" in page.inner_text("#samples-detail")
    before, marked = page.eval_on_selector(
        "#samples-detail mark", "one => [one.previousSibling.textContent, one.textContent]"
    )
    assert f"at character {len(before)}" in page.inner_text("#samples-detail")
    assert marked == 'Sure! {"color": "red", "brand": nul}'[len(before)]


def test_a_failure_is_no_zero(plain: Path, browse: Browser) -> None:
    page = browse(plain, "#sample=p019")
    text = page.inner_text("#samples-detail")
    assert "server_error 500: out of memory" in text
    assert "no metric scores it" in text
    assert "0.0000" not in text


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"field": "color"}, ["p017", "p007", "p003"]),
        ({"field": "color", "outcome": "wrong"}, ["p007", "p003"]),
        ({"outcome": "invented"}, ["p011"]),
        ({"outcome": "omitted"}, ["p007"]),
        ({"outcome": "unread"}, ["p017"]),
        ({"state": "failed"}, ["p019"]),
        ({"state": "unparseable"}, ["p017"]),
        ({"by": "shop", "is": "shop 3", "outcome": "missed"}, ["p007", "p003", "p011"]),
    ],
)
def test_filters(plain: Path, browse: Browser, chosen: dict[str, str], expected: list[str]) -> None:
    page = browse(plain)
    for name, value in chosen.items():
        page.select_option(f"#sb-{name}", value)
    assert listed(page) == expected
    anchor = page.evaluate("location.hash")
    again = browse(plain, anchor)
    assert listed(again) == expected
    assert {name: again.input_value(f"#sb-{name}") for name in chosen} == chosen
    again.click("text=Clear filters")
    assert counted(again) == "120 samples"


def test_search_reads_values_metadata_texts_and_failures(plain: Path, browse: Browser) -> None:
    page = browse(plain)
    for query, expected in {
        "SÖHNE": ["p011"],
        "sure!": ["p017"],
        "out of MEMORY": ["p019"],
        "p003": ["p003"],
        "pink": ["p007"],
    }.items():
        page.fill("#sb-q", query)
        page.wait_for_function(
            "expected => document.querySelectorAll('.sb-row').length === 1"
            " && document.querySelector('.sb-id').textContent === expected",
            arg=expected[0],
        )
        assert listed(page) == expected
    page.fill("#sb-q", "no such words")
    page.wait_for_selector("text=No sample is like that.")


def test_any_metric_orders_the_list_and_the_order_can_be_reversed(plain: Path, browse: Browser) -> None:
    page = browse(plain)
    page.select_option("#sb-sort", "place")
    assert listed(page)[:3] == ["p000", "p001", "p002"]
    page.click("text=Reverse")
    assert listed(page)[:2] == ["p119", "p118"]
    page.click("text=Reverse")
    page.select_option("#sb-sort", "structured_match")
    assert listed(page)[:2] == ["p017", "p007"]
    assert page.evaluate("location.hash").endswith("sort=structured_match")


def test_keys(plain: Path, browse: Browser) -> None:
    page = browse(plain)
    order = listed(page)
    page.keyboard.press("j")
    assert heading(page) == order[1]
    page.keyboard.press("k")
    assert heading(page) == order[0]
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "sb-q"
    page.keyboard.type("jk?/")  # typed, not obeyed
    assert page.input_value("#sb-q") == "jk?/"
    page.fill("#sb-q", "")
    page.wait_for_function("document.querySelector('.sb-count').textContent === '120 samples'")
    page.focus("#samples-list")
    page.keyboard.press("ArrowDown")
    assert heading(page) == order[1]
    active = page.get_attribute("#samples-list", "aria-activedescendant")
    assert page.get_attribute(f"#{active}", "aria-selected") == "true"
    page.keyboard.press("End")
    assert heading(page) == "p019"
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "samples-heading"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == "samples-list"
    page.select_option("#sb-state", "failed")
    page.focus("#samples-list")
    page.keyboard.press("Escape")
    assert counted(page) == "120 samples"
    page.keyboard.press("?")
    assert page.is_visible("dialog.sb-help")
    page.click("#sb-keys")
    page.keyboard.press("Escape")
    assert not page.is_visible("dialog.sb-help")
    now = heading(page)
    page.keyboard.press("j")
    assert heading(page) == now  # the keys are off


def test_links_lead_to_a_sample_and_an_unknown_one_is_said(plain: Path, browse: Browser) -> None:
    page = browse(plain, "#sample=p042")
    assert heading(page) == "p042"
    page.evaluate("location.hash = '#sample=p011'")
    page.wait_for_function("document.getElementById('samples-heading').textContent === 'p011'")
    page.evaluate("location.hash = '#sample=nobody'")
    page.wait_for_function("document.querySelector('.sb-count').textContent.startsWith('No sample is called nobody')")
    top = page.evaluate("document.getElementById('samples').getBoundingClientRect().top")
    assert -5 <= top <= 200


def test_two_runs_stand_side_by_side_and_flips_are_filtered(compared: Path, browse: Browser) -> None:
    page = browse(compared)
    assert listed(page)[0] == "p002"  # what lost most comes first
    page.select_option("#sb-flips", "changed")
    assert sorted(listed(page)) == ["p002", "p005"]
    page.select_option("#sb-flips", "better")
    assert listed(page) == ["p005"]
    page.select_option("#sb-flips", "worse")
    assert sorted(listed(page)) == ["p002", "p005"]
    page.select_option("#sb-field", "size")
    assert listed(page) == ["p005"]
    page.select_option("#sb-flips", "same")
    assert counted(page) == "39 of 40 samples"
    page.evaluate("location.hash = '#sample=p005'")
    page.wait_for_function("document.getElementById('samples-heading').textContent === 'p005'")
    rows = page.eval_on_selector_all(
        ".sb-fields tbody tr", "rows => rows.map(row => row.innerText.replace(/\\s+/g, ' ').trim())"
    )
    assert rows == [
        "color ▲ better black green ✗ wrong black ✓ correct 2.0",
        "brand null null ✓ both null null ✓ both null 1.0",
        "size ▼ worse m m ✓ correct xl ✗ wrong 1.0",
    ]
    change = page.eval_on_selector('.sb-row[aria-selected="true"] .sb-score', "one => one.innerText")
    assert change.startswith("+0.250")  # (4 - 1) / 4 - (4 - 2) / 4


def test_all_repeats_are_shown(repeated: Path, browse: Browser) -> None:
    page = browse(repeated, "#sample=p001")
    answers = page.eval_on_selector_all(".sb-answer > summary strong", "all => all.map(one => one.textContent)")
    assert answers == ["Repeat 0", "Repeat 1", "Repeat 2"]
    cells = page.eval_on_selector_all(
        ".sb-fields tbody tr:first-child td bdi", "all => all.map(one => one.textContent)"
    )
    assert cells == ["red", "red", "green", "red"]
    page.select_option("#sb-sort", "spread weighted_score")
    assert listed(page)[0] == "p001"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_phones_and_desks_in_light_and_dark(
    plain: Path, compared: Path, browse: Browser, scheme: str, width: int
) -> None:
    for path in (plain, compared):
        page = browse(path, width=width, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator(".sb-row").first.click()
        assert page.is_visible("#samples-detail")
        assert page.is_visible("#samples-list") == (width > 900)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width == 390:
            page.go_back()
            page.wait_for_selector("#samples-list", state="visible")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_on_paper_there_is_a_list_instead_of_the_browser(plain: Path, browse: Browser) -> None:
    page = browse(plain)
    assert not page.is_visible(".samples-listed")
    page.emulate_media(media="print")
    page.wait_for_selector(".samples-listed", state="visible")
    assert not page.is_visible("#samples-browser")
    assert page.locator(".samples-listed tbody tr").count() == 20
    assert page.inner_text(".samples-listed tbody tr:nth-child(2)").split("\t") == [
        "p007",
        "0.2500",
        "strict",
        "color wrong, size omitted",
    ]


def test_without_scripts_there_is_a_list_too(plain: Path, chromium: Any) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(plain.as_uri())
    page.wait_for_selector(".samples-listed", state="visible")
    context.close()


def test_pictures_beside_the_page_are_shown(tmp_path: Path, browse: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peakbench.report.html.thumbnails.INLINED_BYTES", 0)
    images = pictures(tmp_path / "images", 3)
    asked = [{**one, "image": images[place]} for place, one in enumerate(samples(3))]
    path = report(scored(tmp_path / "one", asked, [answer(place) for place in range(3)]), out=tmp_path / "a b#ü.html")
    page = browse(path)
    page.wait_for_function("document.querySelector('#samples-detail img').naturalHeight === 192")
    source = page.get_attribute("#samples-detail img", "src")
    assert not source.startswith("data:")
    shutil.rmtree(path.parent / "a b#ü_files")
    page = browse(path)
    page.wait_for_selector("text=the picture is no longer beside this page")
    assert all("ERR_FILE_NOT_FOUND" in one for one in browse.errors)
    browse.errors.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(
    plain: Path, compared: Path, repeated: Path, browse: Browser, axe: str, scheme: str, width: int
) -> None:
    def found(page: Any) -> list[str]:
        page.evaluate(axe)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in result["violations"]]

    for path in (plain, compared, repeated):
        page = browse(path, width=width, color_scheme=scheme)
        assert found(page) == []
        page.locator(".sb-row").first.click()
        unfold(page)
        assert found(page) == []
        if width == 1440:
            page.keyboard.press("?")
            assert found(page) == []
