"""The view in a real browser: names from models never run, nothing leaves this machine, and a run is seen going.

Needs playwright (Python) and a Chromium: the one on the PATH, or that of PEAKBENCH_CHROMIUM. With PEAKBENCH_AXE, the
path of axe.min.js or of the npm package (.tgz), the pages are held against axe-core's rules as well.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

import peakbench as pb
from peakbench.testing import Reply, ScriptedEndpoint
from peakbench.viewer.server import Viewer

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("PEAKBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)

HOSTILE = (
    "</script><script>window.pwned=1</script>",
    '<img src=https://evil.invalid/x onerror="window.pwned=1">',
    "javascript:window.pwned=1",
    "</title></style></textarea><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "{{7*7}}${window.pwned=1}",
    "__proto__",
)
ANSWER = json.dumps({"type": "shirt", "color": "navy"})
TOKEN = "a-token-of-a-test"


class Server:
    """A view in a thread of its own, with an address to open."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        viewer = Viewer([self._folder], token=TOKEN)
        runner = web.AppRunner(viewer.application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.url = viewer.open("127.0.0.1", runner.addresses[0][1])
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()
        viewer.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for place, name in enumerate(HOSTILE):
        run = folder / f"run{place}"
        pb.run(endpoint="recorded", out=run, limit=4, resamples=50, metrics=["weighted_score", "json_parse_rate"])
        record = json.loads((run / "run.json").read_text())
        record["model"] = record["data"]["name"] = name
        record["created_at"] = f"2026-01-0{place + 1}T00:00:00+00:00"
        (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    cut = folder / "cut"
    shutil.copytree(folder / "run0", cut)
    for file in ("summary.json", "scores.jsonl"):
        (cut / file).unlink()
    with (cut / "responses.jsonl").open("a", encoding="utf-8") as journal:
        for place, text in enumerate(HOSTILE):
            journal.write(json.dumps({"sample_id": f"h{place}{text}", "repeat": 0, "text": text, "error": None}) + "\n")
        journal.write(
            json.dumps({"sample_id": "f", "repeat": 0, "error": {"kind": HOSTILE[0], "message": HOSTILE[1]}}) + "\n"
        )
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    os.utime(folder / "broken" / "run.json", (1, 1))
    return folder


@pytest.fixture(scope="module")
def server(made: Path) -> Iterator[Server]:
    with Server(made) as one:
        yield one


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as found:
        browser = found.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Open an address; at the end, nothing was asked of anybody else, and no script failed or was refused."""
    contexts, foreign, errors = [], [], []

    def opened(url: str, *, width: int = 1440, height: int = 900, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        here = urlsplit(url).netloc

        def seen(request: Any) -> None:
            if not request.url.startswith("data:") and urlsplit(request.url).netloc != here:
                foreign.append(request.url)

        context.on("request", seen)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: errors.append(f"dialog {dialog.message}") or dialog.dismiss())
        page.goto(url)
        page.wait_for_selector("#runs[data-ready]")
        return page

    yield opened
    for context in contexts:
        for page in context.pages:
            assert page.evaluate("window.pwned") is None
        context.close()
    assert foreign == []
    assert errors == []


def test_the_token_leaves_the_address_and_the_script_cannot_read_the_cookie(server: Server, visit: Any) -> None:
    page = visit(server.url)
    assert "token" not in page.url
    assert page.evaluate("document.cookie") == ""
    page.reload()
    page.wait_for_selector("#runs[data-ready]")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_hostile_names_are_text_in_the_list_the_reports_and_the_live_page(server: Server, visit: Any) -> None:
    page = visit(server.url)
    shown = page.locator("#runs th.model a").all_inner_texts()
    assert set(HOSTILE) < set(shown)
    links = page.eval_on_selector_all("#runs th.model a", "found => found.map(one => one.getAttribute('href'))")
    assert all(link.startswith("/run/") for link in links)
    for link in links:
        page.goto(server.url.partition("/?")[0] + link)
        page.wait_for_selector("h1")
        page.wait_for_timeout(100)
        assert page.evaluate("window.pwned") is None


def test_what_a_model_wrote_is_text_while_the_run_goes(server: Server, visit: Any) -> None:
    page = visit(server.url)
    page.locator("#runs tr", has_text="cut").locator("a").click()
    page.wait_for_selector("#bar[data-ready]")
    texts = page.locator("#last td.text").all_inner_texts()
    assert HOSTILE[0] in texts
    assert HOSTILE[3] in texts
    assert HOSTILE[0][:20] in page.inner_text("#failures")
    assert page.locator("#last script, #last img, #last iframe").count() == 0


def test_two_chosen_runs_open_a_comparison_the_first_chosen_first(server: Server, visit: Any) -> None:
    page = visit(server.url)
    assert page.is_disabled("#compare")
    page.check("#runs tr:has-text('run1') input")
    assert page.is_disabled("#compare")
    page.check("#runs tr:has-text('run5') input")
    assert "run5" in page.inner_text("#chosen").partition("held against")[0]
    page.click("#compare")
    page.wait_for_selector("text=What changed")
    page.click("text=All runs")
    page.wait_for_selector("#runs[data-ready]")


def test_the_list_is_found_through_and_used_by_keyboard(server: Server, visit: Any) -> None:
    page = visit(server.url)
    page.fill("#find", "damaged")
    assert page.locator("#runs tbody tr:visible").count() == 1
    assert page.inner_text("#count").startswith("1 of 8 runs")
    page.fill("#find", "")
    page.focus("#runs tr:has-text('run2') input")
    page.keyboard.press("Space")
    assert "run2" in page.inner_text("#chosen")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "A"


def test_a_run_is_seen_beginning_going_and_ending(tmp_path: Path, visit: Any) -> None:
    """Against a slow endpoint: the run appears in the list, counts up without a reload, and ends as a report."""
    gate = threading.Semaphore(0)

    async def answer(asked: Any) -> str | Reply:
        await asyncio.to_thread(gate.acquire)
        return Reply(status=400, body=b"{}") if asked.number == 1 else ANSWER

    (tmp_path / "runs").mkdir()
    with ScriptedEndpoint(answer) as endpoint, Server(tmp_path / "runs") as server:
        page = visit(server.url)
        assert "No run yet" in page.inner_text("#count")
        page.evaluate("window.same = true")
        options = {"endpoint": endpoint.url, "model": "slow", "limit": 8, "workers": 2, "resamples": 50}
        asking = threading.Thread(
            target=lambda: pb.run(task="garment", out=tmp_path / "runs" / "slow", **options), daemon=True
        )
        asking.start()
        page.wait_for_selector("#runs .state.asking", timeout=15_000)
        for _ in range(3):
            gate.release()
        page.wait_for_selector("#runs td.state-cell:has-text('3 of 8 asked')", timeout=15_000)
        assert page.inner_text("#runs td[data-label=Failed]").strip() == "1"
        live = visit(server.url)
        live.click("#runs th.model a")
        live.wait_for_selector("#far:has-text('3 of 8')")
        live.evaluate("window.same = true")
        for _ in range(2):
            gate.release()
        live.wait_for_selector("#far:has-text('5 of 8')", timeout=15_000)
        assert live.locator("#latencies rect").count() == 4
        assert live.evaluate("window.same") is True
        for _ in range(8):
            gate.release()
        asking.join(60)
        page.wait_for_selector("#runs .state.finished", timeout=15_000)
        assert page.evaluate("window.same") is True, "the list was never loaded again"
        live.wait_for_selector("#samples-browser", timeout=30_000)


@pytest.mark.parametrize("width", [390, 1440])
def test_pages_fit_the_window(server: Server, visit: Any, width: int) -> None:
    page = visit(server.url, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#runs tr", has_text="cut").locator("a").click()
    page.wait_for_selector("#bar[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_nothing(server: Server, visit: Any, axe: str, scheme: str, width: int) -> None:
    page = visit(server.url, width=width, color_scheme=scheme)
    for name, ready in ((None, "#runs[data-ready]"), ("cut", "#bar[data-ready]"), ("broken", ".state.damaged")):
        if name is not None:
            page.goto(server.url.partition("?")[0])
            page.wait_for_selector("#runs[data-ready]")
            page.locator("#runs tr", has_text=name).locator("a").click()
        page.wait_for_selector(ready)
        page.evaluate(axe)
        result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        assert [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in result["violations"]] == []
