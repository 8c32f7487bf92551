"""The page of a leaderboard in a real browser: names of models never run, nothing leaves, it sorts, and axe is content.

Needs playwright (Python) and a Chromium; with PEAKBENCH_AXE, the path of axe.min.js or of the npm package (.tgz), the
page is held against axe-core's rules as well.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peakbench.api.leaderboards import leaderboard, write_leaderboard

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("PEAKBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)

HOSTILE = "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"
ROWS = (
    (2, "Own-8B SFT+GRPO", "Own", "8B", "SFT+GRPO", 91.3, 78.7, 100, 7.5),
    (1, HOSTILE, HOSTILE, "8B", "SFT", 101.4, 87.5, 100, ""),
    (3, "Own-8B SFT+GRPO NVFP4", "Own", "8B", "SFT+GRPO+NVFP4", 89.5, 77.0, 100, 12.1),
    (4, "Own-8B", "Own", "8B", "Zero-shot", 87.5, 75.6, 100, 5.5),
    (5, "Own-2B NVFP4", "Own", "2B", "Zero-shot+NVFP4", 42.9, 42.9, 0, 17.2),
)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = "rank,model,architecture,params,training,weighted_pct,sbert_nli_pct,json_pct,throughput_samples_per_s"
        writer.writerows([names.split(","), *ROWS])
    made = leaderboard(csv=folder / "t.csv", title=f"Garments {HOSTILE}")
    write_leaderboard(made, folder / "out")
    return folder / "out" / "index.html"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page whose requests and errors are kept."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda one: self.requests.append(one.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        self.page.goto(path.as_uri())

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")])
def test_nothing_runs_and_nothing_leaves_at_any_width(chromium: Any, board: Path, width: int, scheme: str) -> None:
    with Watched(chromium, board, viewport={"width": width, "height": 800}, color_scheme=scheme) as shown:
        assert shown.requests == [board.as_uri()]
        assert shown.errors == []
        assert shown.page.evaluate("window.pwned") is None
        assert shown.page.evaluate("document.querySelectorAll('script').length") == 2
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
        assert "window.pwned=1" in shown.page.locator("tr.unranked th").inner_text()
        assert shown.page.locator("tr.unranked del").inner_text() == "101.4"


def test_columns_sort_by_mouse_and_keyboard(chromium: Any, board: Path) -> None:
    with Watched(chromium, board, viewport={"width": 1440, "height": 900}) as shown:

        def models() -> list[str]:
            found: list[str] = shown.page.locator("table.board tbody th").evaluate_all(
                "heads => heads.map(head => head.dataset.v)"
            )
            return found

        given = models()
        assert given[0] == "Own-8B SFT+GRPO"
        assert given[-1] == HOSTILE
        speed = shown.page.get_by_role("button", name="samples/s")
        speed.click()
        assert models()[:2] == ["Own-2B NVFP4", "Own-8B SFT+GRPO NVFP4"]
        assert shown.page.locator("th[aria-sort=descending]").inner_text() == "samples/s"
        speed.focus()
        shown.page.keyboard.press("Enter")
        assert models()[0] == "Own-8B"
        shown.page.get_by_role("button", name="rank").click()
        assert models() == given


def test_without_scripts_all_is_there(chromium: Any, board: Path) -> None:
    with Watched(chromium, board, java_script_enabled=False) as shown:
        assert shown.page.locator("table.board tbody tr").count() == 6
        assert shown.page.locator("#measured").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(chromium: Any, board: Path, axe: str, scheme: str, width: int) -> None:
    with Watched(
        chromium, board, viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
    ) as shown:
        shown.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        shown.page.evaluate(axe)
        result = shown.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        found = [(one["id"], one["nodes"][0]["html"][:200], len(one["nodes"])) for one in result["violations"]]
        assert found == []
