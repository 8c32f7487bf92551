"""The view over many runs: who gets in, what it lists, what it reads of a run that is going, and what it never does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, CookieJar, web

import peakbench as pb
from peakbench.cli import main
from peakbench.errors import InputError
from peakbench.records import Completion, Response
from peakbench.store import dump_completion
from peakbench.testing import Reply, ScriptedEndpoint
from peakbench.viewer.access import checked_host, checked_token
from peakbench.viewer.folders import checked_folders
from peakbench.viewer.pages import PICTURES, Reports
from peakbench.viewer.rows import key_of
from peakbench.viewer.server import Viewer

TOKEN = "a-token-of-a-test"
METRICS = ["weighted_score", "json_parse_rate"]
ANSWER = json.dumps({"type": "shirt", "color": "navy"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs of the embedded data: two finished, one that was ended in the middle."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("one", "two"):
        pb.run(endpoint="recorded", out=folder / name, limit=6, resamples=50, metrics=METRICS)
    shutil.copytree(folder / "two", folder / "cut")
    unfinish(folder / "cut", lines=4)
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "runs")
    return (tmp_path / "runs").resolve()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question looks anew; otherwise one look serves everybody for a moment."""
    monkeypatch.setattr("peakbench.viewer.catalogue.FRESH_S", 0.0)


def unfinish(run: Path, *, lines: int) -> None:
    for name in ("summary.json", "scores.jsonl", "report.html"):
        (run / name).unlink(missing_ok=True)
    journal = run / "responses.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:lines]))
    os.utime(journal, (1, 1))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")


class Visit:
    """A server and somebody who talks to it."""

    def __init__(self, viewer: Viewer, session: ClientSession, port: int) -> None:
        self.viewer, self.session, self.port = viewer, session, port
        self.origin = f"http://127.0.0.1:{port}"

    async def get(self, path: str, **options: Any) -> tuple[int, str, Any]:
        method = options.pop("method", "GET")
        async with self.session.request(method, self.origin + path, allow_redirects=False, **options) as answer:
            return answer.status, await answer.text(), answer.headers

    async def rows(self, since: int = 0) -> dict[str, Any]:
        status, text, _ = await self.get(f"/changes?since={since}")
        assert status == 200
        found: dict[str, Any] = json.loads(text)
        return found


@contextlib.asynccontextmanager
async def visit(*folders: Path, enter: bool = True) -> AsyncIterator[Visit]:
    viewer = Viewer(folders, token=TOKEN)
    runner = web.AppRunner(viewer.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        viewer.open("127.0.0.1", port)
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
            one = Visit(viewer, session, port)
            if enter:
                assert (await one.get(f"/?token={TOKEN}"))[0] == 200
            yield one
    finally:
        await runner.cleanup()
        viewer.close()


@pytest.mark.parametrize("path", ["/", "/changes", "/compare/", "/run/x/", "/run/x/progress", "/nothing"])
async def test_without_the_token_nothing_is_told(runs: Path, path: str) -> None:
    async with visit(runs, enter=False) as one:
        for query in ("", "?token=", "?token=a-token-of-a-tes", "?token=%ff%00"):
            status, text, headers = await one.get(path + query)
            assert status == 403
            assert str(runs) not in text
            assert "Set-Cookie" not in headers


async def test_the_token_opens_once_and_a_cookie_stays(runs: Path) -> None:
    async with visit(runs, enter=False) as one:
        status, text, headers = await one.get(f"/?token={TOKEN}")
        cookie = headers["Set-Cookie"]
        assert status == 200
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie + text, "the token is neither kept in the browser nor shown"
        assert 'http-equiv="refresh"' in text, "the address with the token does not stay in the history"
        assert (await one.get("/"))[0] == 200


async def test_only_this_machines_names_are_answered(runs: Path) -> None:
    async with visit(runs) as one:
        for host in ("evil.example", f"evil.example:{one.port}", "127.0.0.1", f"127.0.0.1.evil.example:{one.port}", ""):
            assert (await one.get("/", headers={"Host": host}))[0] in (400, 421), host
        for host in (f"127.0.0.1:{one.port}", f"localhost:{one.port}", f"LOCALHOST:{one.port}"):
            assert (await one.get("/", headers={"Host": host}))[0] == 200, host


async def test_other_sites_and_other_methods_are_refused(runs: Path) -> None:
    async with visit(runs) as one:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            status, _, headers = await one.get("/", method=method)
            assert status == 405
            assert headers["Allow"] == "GET, HEAD"
        for origin in ("https://evil.example", "null", f"https://127.0.0.1:{one.port}"):
            status, _, headers = await one.get("/changes", headers={"Origin": origin})
            assert status == 403
            assert not any(name.lower().startswith("access-control") for name in headers)
        assert (await one.get("/changes", headers={"Origin": one.origin}))[0] == 200


async def test_every_answer_is_closed_to_the_outside(runs: Path) -> None:
    async with visit(runs) as one:
        key = key_of(runs / "one")
        for path in ("/", "/changes", f"/run/{key}/", "/run/none/", "/nothing"):
            _, _, headers = await one.get(path)
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe-eval" not in policy
            assert "script-src 'unsafe-inline'" not in policy
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "aiohttp" not in headers["Server"].lower()


async def test_the_list_says_what_each_run_is(runs: Path) -> None:
    async with visit(runs) as one:
        found = await one.rows()
    rows = {row["name"]: row for row in found["rows"]}
    assert (
        list(found["order"])
        == [row["id"] for row in sorted(rows.values(), key=lambda r: (r["created"], r["id"]))][::-1]
    )
    summary = pb.load_run(runs / "one").summary["metrics"]["weighted_score"]
    assert rows["one"]["state"] == "finished"
    assert (rows["one"]["done"], rows["one"]["total"], rows["one"]["failed"]) == (6, 6, 0)
    score = rows["one"]["score"]
    assert score["metric"] == "weighted_score"
    assert (score["value"], score["low"], score["high"]) == pytest.approx(
        (summary["value"], summary["low"], summary["high"]), abs=1e-5
    )
    assert score["floor"] == pytest.approx(max(v for v in summary["floor"].values() if v is not None), abs=1e-5)
    assert rows["one"]["json"] is not None
    assert (rows["cut"]["state"], rows["cut"]["done"], rows["cut"]["total"]) == ("unfinished", 4, 6)


async def test_only_what_changed_is_sent(runs: Path) -> None:
    async with visit(runs) as one:
        first = await one.rows()
        assert await one.rows(first["version"]) == {"version": first["version"], "rows": []}
        with (runs / "cut" / "responses.jsonl").open("ab") as file:
            file.write(dump_completion(Completion("another", 0, Response("{}"))))
        second = await one.rows(first["version"])
        assert [(row["name"], row["done"]) for row in second["rows"]] == [("cut", 5)]
        assert "order" not in second
        shutil.rmtree(runs / "two")
        third = await one.rows(second["version"])
        assert third["rows"] == []
        assert len(third["order"]) == 2
        assert (await one.rows(10**9))["order"] == third["order"], "a page that knew another server begins anew"


async def test_a_run_opens_its_report_and_an_unfinished_one_what_it_is_doing(runs: Path) -> None:
    async with visit(runs) as one:
        status, text, _ = await one.get(f"/run/{key_of(runs / 'one')}/")
        assert status == 200
        assert 'id="samples-browser"' in text
        assert '<a class="brand" href="/">All runs</a>' in text
        assert not (runs / "one" / "report.html").exists(), "nothing is written"
        key = key_of(runs / "cut")
        status, text, _ = await one.get(f"/run/{key}/")
        assert "4 of 6 asked" in text
        found = json.loads((await one.get(f"/run/{key}/progress"))[1])
        assert (found["state"], found["done"], found["total"]) == ("unfinished", 4, 6)
        assert sum(part["count"] for part in found["states"]) == 4
        assert len(found["latest"]) == 4
        again = json.loads((await one.get(f"/run/{key}/progress?since={found['version']}"))[1])
        assert again == {"state": "unfinished", "version": found["version"]}


async def test_a_report_is_made_once_until_a_file_changes(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peakbench.viewer import pages

    made: list[Path] = []
    real = pages._report
    monkeypatch.setattr(pages, "_report", lambda paths, files: made.append(paths[0]) or real(paths, files))
    reports, path = Reports(), runs / "one"
    assert reports.get(path) is reports.get(path)
    assert len(made) == 1
    os.utime(path / "summary.json")
    reports.get(path)
    assert len(made) == 2
    reports.close()


async def test_two_runs_are_compared(runs: Path) -> None:
    one_key, two_key, cut = (key_of(runs / name) for name in ("one", "two", "cut"))
    async with visit(runs) as one:
        status, text, _ = await one.get(f"/compare/?run={one_key}&run={two_key}")
        assert status == 200
        assert "What changed" in text
        for query in ("", f"run={one_key}", f"run={one_key}&run={one_key}", f"run={one_key}&run={cut}"):
            status, text, _ = await one.get(f"/compare/?{query}")
            assert status == 200
            assert "not possible" in text
        assert (await one.get(f"/compare/?run={one_key}&run=none"))[0] == 404


DAMAGES = {
    "run.json cut": lambda run: (run / "run.json").write_text('{"format": 1'),
    "run.json of another kind": lambda run: (run / "run.json").write_text("[]"),
    "run.json from the future": lambda run: edit(run / "run.json", format=99),
    "run.json of bytes": lambda run: (run / "run.json").write_bytes(b"\xff\x00\xfe"),
    "task.json gone": lambda run: ((run / "task.json").unlink(), os.utime(run / "run.json", (1, 1))),
    "task.json cut": lambda run: ((run / "task.json").write_text("{"), unfinish(run, lines=3)),
    "summary.json cut": lambda run: (run / "summary.json").write_text('{"metrics"'),
    "summary.json a list": lambda run: (run / "summary.json").write_text("[]"),
    "summary.json empty": lambda run: (run / "summary.json").write_text("{}"),
    "summary.json of texts": lambda run: (run / "summary.json").write_text(
        '{"samples": {"answers": "many"}, "metrics": "x"}'
    ),
    "summary.json a folder": lambda run: ((run / "summary.json").unlink(), (run / "summary.json").mkdir()),
    "samples.jsonl cut": lambda run: (run / "samples.jsonl").write_text("{\n"),
    "samples.jsonl gone": lambda run: (run / "samples.jsonl").unlink(),
    "scores.jsonl cut": lambda run: (run / "scores.jsonl").write_text("{\n"),
    "responses.jsonl cut": lambda run: (run / "responses.jsonl").write_text("not json\n[]\n"),
    "responses.jsonl of others": lambda run: (
        unfinish(run, lines=2),
        (run / "responses.jsonl")
        .open("ab")
        .write(b'{"sample_id": 3}\n\xff\xff\n{"sample_id":"x","repeat":0,"error":7}\n'),
    ),
    "responses.jsonl gone": lambda run: (unfinish(run, lines=0), (run / "responses.jsonl").unlink()),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_run_is_shown_as_damaged_and_the_others_stand(runs: Path, damage: str) -> None:
    DAMAGES[damage](runs / "two")
    key = key_of(runs / "two")
    async with visit(runs) as one:
        found = await one.rows()
        rows = {row["name"]: row for row in found["rows"]}
        assert rows["one"]["state"] == "finished"
        for path in ("", "progress"):
            status, text, _ = await one.get(f"/run/{key}/{path}")
            assert status == 200
        whole = rows["two"]["state"] in ("finished", "unfinished")
        page = (await one.get(f"/run/{key}/"))[1]
        assert ("damaged" in page) or whole
        if rows["two"]["state"] == "damaged":
            assert rows["two"]["note"]
            assert "Traceback" not in page


async def test_no_path_of_a_link_becomes_a_path_of_the_disk(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.webp").write_text("secret")
    key = key_of(runs / "one")
    async with visit(runs) as one:
        await one.get(f"/run/{key}/")
        for path in (
            "/run/..%2f..%2fsecret/",
            "/run/one/",
            f"/run/{key}/run.json",
            f"/run/{key}/{PICTURES}/..%2f..%2f..%2fsecret.webp",
            f"/run/{key}/{PICTURES}/%2fetc%2fpasswd",
            f"/compare/{PICTURES}/{tmp_path}/secret.webp",
            f"/run/{key}/{PICTURES}/run.json%00.webp",
            "/../../etc/passwd",
        ):
            status, text, _ = await one.get(path)
            assert status in (400, 404), path
            assert "secret\n" not in text.replace("secret.webp", "")


async def test_pictures_that_do_not_fit_into_a_page_are_beside_it(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    from peakbench.report.html import thumbnails

    monkeypatch.setattr(thumbnails, "INLINED_BYTES", 0)
    image.new("RGB", (300, 200), (9, 99, 199)).save(tmp_path / "a.jpg")
    data = [{"id": "p0", "image": str(tmp_path / "a.jpg"), "reference": {"type": "shirt"}}]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in data))
    with ScriptedEndpoint(ANSWER) as server:
        pb.run(
            tmp_path / "data.jsonl", task="garment", endpoint=server.url, model="m", out=runs / "pictures", resamples=50
        )
    async with visit(runs) as one:
        key = key_of(runs / "pictures")
        _, text, _ = await one.get(f"/run/{key}/")
        names = set(re.findall(rf"{PICTURES}/([0-9a-f]{{32}}\.(?:webp|jpg))", text))
        assert len(names) == 1
        async with one.session.get(f"{one.origin}/run/{key}/{PICTURES}/{names.pop()}") as answer:
            assert answer.status == 200
            assert answer.content_type in ("image/webp", "image/jpeg")
            assert len(await answer.read()) > 50


async def test_hostile_names_are_text_in_every_page(runs: Path) -> None:
    name = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b[31m"
    edit(runs / "cut" / "run.json", model=name)
    edit(runs / "two" / "run.json", model=name)
    async with visit(runs) as one:
        found = await one.rows()
        for row in found["rows"]:
            assert "\x1b" not in json.dumps(row, ensure_ascii=False)
            assert "\u202e" not in json.dumps(row, ensure_ascii=False)
        for run in ("two", "cut"):
            _, text, _ = await one.get(f"/run/{key_of(runs / run)}/")
            assert "<script>alert" not in text
            assert "<img src=x" not in text


async def test_a_run_that_is_asked_is_followed_to_its_end(tmp_path: Path) -> None:
    """Against an endpoint that waits for us: what the view says is what has been answered by then."""
    gate = threading.Semaphore(3)

    def answer(asked: Any) -> str | Reply:
        while not gate.acquire(timeout=0.02):
            pass
        return Reply(status=400, body=b"{}") if asked.number == 1 else ANSWER

    async def held(asked: Any) -> str | Reply:
        return await asyncio.to_thread(answer, asked)

    out = tmp_path / "runs" / "going"
    with ScriptedEndpoint(held) as server:
        asking = asyncio.create_task(
            asyncio.to_thread(
                lambda: pb.run(
                    task="garment", endpoint=server.url, model="m", out=out, limit=8, workers=2, resamples=50
                )
            )
        )
        (tmp_path / "runs").mkdir(exist_ok=True)
        async with visit(tmp_path / "runs") as one:
            row = await until(one, lambda row: row["state"] == "asking" and row["done"] == 3)
            assert (row["total"], row["failed"]) == (8, 1)
            key = row["id"]
            found = json.loads((await one.get(f"/run/{key}/progress"))[1])
            assert (found["state"], found["done"], found["failures"][0]["count"]) == ("asking", 3, 1)
            for _ in range(8):
                gate.release()
            await asking
            row = await until(one, lambda row: row["state"] == "finished")
            assert (row["done"], row["failed"], row["score"]["metric"]) == (8, 1, "weighted_score")
            assert json.loads((await one.get(f"/run/{key}/progress"))[1]) == {"state": "finished"}


async def until(one: Visit, fits: Any) -> dict[str, Any]:
    rows: list[Any] = []
    for _ in range(200):
        await asyncio.sleep(0.05)
        rows = (await one.rows())["rows"]
        if rows and fits(rows[0]):
            row: dict[str, Any] = rows[0]
            return row
    raise AssertionError(rows)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_only_this_machine_may_be_listened_at(host: str) -> None:
    with pytest.raises(InputError, match="other machines"):
        checked_host(host)


def test_tokens_are_random_or_long_enough() -> None:
    assert len(checked_token(None)) >= 43
    assert checked_token(None) != checked_token(None)
    for bad in ("short", "x" * 15, "ü" * 20, "line\n" * 5):
        with pytest.raises(InputError, match="too easy"):
            checked_token(bad)
    with pytest.raises(InputError, match="no such folder"):
        checked_folders(["/no/such/folder"])


@pytest.fixture
def started(runs: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "peakbench", "view", str(runs), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_the_view_with_a_word(started: tuple[subprocess.Popen[str], str]) -> None:
    process, url = started
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{43}", url)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "the view has ended" in err
    assert "Traceback" not in out + err


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(tmp_path / "none"), "--no-open"]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["view", str(tmp_path), "--no-open", "--host", "0.0.0.0"]) == 2
    assert "other machines" in capsys.readouterr().err
    assert main(["view", str(tmp_path), "--no-open", "--token", "short"]) == 2
    assert "too easy to guess" in capsys.readouterr().err
