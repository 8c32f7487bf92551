"""What a notebook shows of a run and of a sample: bounded, escaped, with the image where it is still the same."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import peakbench as pb
from peakbench.images import MAX_BYTES, ImageRecord, identify
from peakbench.report.pictures import picture_html
from peakbench.testing import ScriptedEndpoint

SCRIPTS = [
    "</script><script>parent.hit=1;hit=1</script>",
    '"><img src=x onerror="hit=1">',
    "<a href='javascript:hit=1' autofocus onfocus='hit=1'>x</a>",
]
HOSTILE = " ".join(SCRIPTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image", reason="draws images: pip install 'peakbench[data]'")
    for name, size in (("a.png", (900, 600)), ("b.png", (40, 30))):
        image.new("RGB", size, "red").save(tmp_path / name)
    return tmp_path


def asked(folder: Path, answer: str, **sample: Any) -> pb.Run:
    line = {"id": HOSTILE, "image": "a.png", "reference": {"type": HOSTILE, "color": "red", "brand": None}, **sample}
    (folder / "eval.jsonl").write_text(json.dumps(line))
    with ScriptedEndpoint(answer) as server:
        return pb.run(
            folder / "eval.jsonl", endpoint=server.url, model=HOSTILE, resamples=100, metrics=METRICS, out=folder / "r"
        )


METRICS = ["weighted_score", "structured_match"]


def shown_image(page: str) -> bytes:
    (found,) = re.findall(r'<img src="data:image/(?:png|jpeg);base64,([^"]+)"', page)
    return base64.b64decode(found)


def test_a_sample_shows_its_image_and_its_fields(folder: Path) -> None:
    from PIL import Image

    run = asked(folder, json.dumps({"type": "shirt", "color": "red"}))
    page = run.sample(HOSTILE)._repr_html_()
    import io

    with Image.open(io.BytesIO(shown_image(page))) as picture:
        assert picture.size == (640, 427)  # 900 x 600 in a square of twice the 320 pixels it is shown in
    assert "✓ correct" in page
    assert "✗ wrong" in page
    assert "<i>absent</i>" in page  # the brand, which the answer does not name
    assert "<i>null</i>" in page  # and which the reference says is not there


def test_no_text_of_the_data_is_markup(folder: Path) -> None:
    answer = json.dumps({"type": HOSTILE, "color": HOSTILE, HOSTILE: 1})
    run = asked(folder, answer, metadata={HOSTILE: HOSTILE})
    pages = run._repr_html_() + run.sample(HOSTILE)._repr_html_()
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z]+)", pages))
    known = {"p", "b", "i", "br", "div", "table", "thead", "tbody", "tr", "th", "td", "img"}
    assert tags <= known | {"svg", "line", "circle", "details", "summary", "pre", "ul", "li"}
    assert not re.search(r"<[^>]*\son\w+\s*=", pages)
    assert "javascript:hit" in pages  # it is shown, as text
    assert re.findall(r"<[^>]*\s(?:href|src)=.{12}", pages) == ['<img src="data:image/']


def test_a_browser_runs_nothing_and_asks_nobody(folder: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright and a Chromium")
    browser = next((path for path in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(path).exists()), None)
    if browser is None:
        pytest.skip("no Chromium at /usr/bin/chromium")
    run = asked(folder, json.dumps({"type": HOSTILE, "color": HOSTILE}), metadata={HOSTILE: HOSTILE})
    page_file = folder / "page.html"
    body = run._repr_html_() + run.sample(HOSTILE)._repr_html_()
    page_file.write_text(f"<!doctype html><meta charset=utf-8><title>t</title>{body}", encoding="utf-8")
    requests: list[str] = []
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 390, "height": 800})
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        assert page.evaluate("typeof window.hit") == "undefined"
        assert page.locator("img").evaluate("image => image.naturalWidth") == 640
        assert page.locator("script").count() == 0
        chromium.close()
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def test_long_texts_are_cut(folder: Path) -> None:
    page = asked(folder, "no JSON " + "x" * 100_000).sample(HOSTILE)._repr_html_()
    assert "(98,008 more)" in page
    assert len(page) < 40_000  # of which most is the image


def test_an_unfinished_run_says_so(folder: Path, tmp_path: Path) -> None:
    run = asked(folder, "{}")
    (run.path / "summary.json").unlink()
    page = pb.load_run(run.path)._repr_html_()
    assert "unfinished, nothing has been scored yet" in page
    assert "<script" not in page


def record(path: Path) -> ImageRecord:
    from peakbench.records import ImageSource

    return identify(ImageSource("path", path.name, base=str(path.parent)))


def test_an_image_that_moved_or_changed_is_not_shown(folder: Path) -> None:
    known = record(folder / "b.png")
    assert picture_html(known).startswith('<img src="data:image/png;base64,')
    os.utime(folder / "b.png", ns=(1, 1))
    assert picture_html(known).startswith("<img")  # touched, and still the same bytes
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes())
    os.utime(folder / "b.png", ns=(known.mtime_ns or 0, known.mtime_ns or 0))
    assert "the image changed since the run began" in picture_html(known)
    (folder / "b.png").unlink()
    assert picture_html(known).startswith("<p>not shown: ")


def test_a_file_that_is_no_image_is_not_shown(tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "secret").write_text("a key")
    digest = hashlib.sha256(b"a key").hexdigest()
    page = picture_html(ImageRecord(str(tmp_path / "secret"), None, digest, 5, 'image/png" onerror="hit=1'))
    assert page.startswith("<p>not shown: ")
    assert "data:" not in page
    assert "onerror" not in page


def test_what_is_too_large_or_elsewhere_is_named(folder: Path) -> None:
    huge = ImageRecord(str(folder / "a.png"), None, "0" * 64, MAX_BYTES + 1, "image/png")
    assert "too large to be shown" in picture_html(huge)
    assert "not kept by the run" in picture_html(ImageRecord(None, None, "0" * 64, 5, "image/png"))
    url = picture_html(ImageRecord(None, "https://example.org/<b>.jpg", None, 0, "image/jpeg"))
    assert "not fetched: https://example.org/&lt;b&gt;.jpg" in url
