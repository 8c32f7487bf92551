"""The server: a list of runs, a report of each, a comparison of some, and what changes; it only reads."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from peakbench.errors import InputError, PeakBenchError
from peakbench.report.tables import neutral
from peakbench.store.directory import RUN, TASK
from peakbench.viewer.access import Door, checked_host, checked_token
from peakbench.viewer.catalogue import Catalogue
from peakbench.viewer.folders import checked_folders
from peakbench.viewer.pages import PICTURES, Page, Reports, own_page
from peakbench.viewer.progress import Progress
from peakbench.viewer.rows import Look, Stamp, stamp

COMPARED = 6
"""Runs of one comparison."""

_WATCHED = 32
"""Unfinished runs whose answers are followed one by one."""

_READY = ("finished", "part")
_MEDIA = {".webp": "image/webp", ".jpg": "image/jpeg"}


class Viewer:
    """The pages over some folders, as an application of aiohttp.

    Args:
        folders: with runs in them; ``token``: what opens it, None for a random one.

    Raises:
        InputError: a folder is none, or the token is too short.
    """

    def __init__(self, folders: Sequence[str | Path], *, token: str | None = None) -> None:
        self._catalogue = Catalogue(checked_folders(folders))
        self._door = Door(checked_token(token))
        self._reports = Reports()
        self._progress: OrderedDict[str, tuple[Stamp, Progress]] = OrderedDict()
        self._reading = asyncio.Lock()
        # apart from the threads that look at the runs, so that the list stays live while reports are made
        self._making = ThreadPoolExecutor(1, "report")

    def open(self, host: str, port: int) -> str:
        """Say where the server listens; return the address to open."""
        return self._door.open(host, port)

    def application(self) -> web.Application:
        """Return the application."""
        app = web.Application(middlewares=[self._door.middleware()], client_max_size=1024)
        app.router.add_get("/", self._list)
        app.router.add_get("/changes", self._changes)
        app.router.add_get("/compare/", self._comparison)
        app.router.add_get(f"/compare/{PICTURES}/{{name}}", self._picture)
        app.router.add_get("/run/{key}/", self._run)
        app.router.add_get("/run/{key}/progress", self._going)
        app.router.add_get(f"/run/{{key}}/{PICTURES}/{{name}}", self._picture)
        return app

    def close(self) -> None:
        """Remove what was written beside the runs' own files, in the system's folder for such."""
        self._making.shutdown(wait=True, cancel_futures=True)
        self._reports.close()

    async def _list(self, request: web.Request) -> web.Response:
        names = [neutral(folder, limit=200) for folder in self._catalogue.folders]
        return _html(own_page("list.html.j2", script="list.js", title="Runs", folders=names, compared=COMPARED))

    async def _changes(self, request: web.Request) -> web.Response:
        await self._refresh()
        return _json(self._catalogue.changes(_whole(request.query.get("since"))))

    async def _run(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        look, path = await self._found(key)
        title = str(look.row["model"])
        if look.row["state"] in _READY:
            return await self._report((path,), title)
        if look.row["state"] in ("damaged", "starting"):
            return _said(title, str(look.row["state"]), [str(look.row["note"])])
        try:
            async with self._reading:
                progress = await asyncio.to_thread(self._followed, key, path)
        except Exception as error:
            return _said(title, "damaged", [_why(error)])
        page = own_page("live.html.j2", script="live.js", title=title, key=key, facts=progress.facts(), row=look.row)
        return _html(page)

    async def _going(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        look, path = await self._found(key)
        state = str(look.row["state"])
        if state in (*_READY, "damaged", "starting"):
            return _json({"state": state})
        since, asking = _whole(request.query.get("since")), state == "asking"
        try:
            async with self._reading:
                found = await asyncio.to_thread(
                    lambda: self._followed(key, path).look(since, asking=asking)  # one at a time: it remembers
                )
        except Exception as error:
            return _json({"state": "damaged", "note": _why(error)})
        return _json({"state": state, **found})

    async def _comparison(self, request: web.Request) -> web.Response:
        paths = await self._compared(request)
        if len(paths) < 2:
            return _said("Comparison", "not possible", ["Choose two runs or more in the list."])
        return await self._report(paths, "Comparison")

    async def _compared(self, request: web.Request) -> tuple[Path, ...]:
        keys = list(dict.fromkeys(request.query.getall("run", [])))[:COMPARED]
        return tuple([(await self._found(key))[1] for key in keys])

    async def _picture(self, request: web.Request) -> web.Response:
        # by the pages' own lists: a name from outside opens nothing
        file = self._reports.picture(request.match_info["name"])
        if file is None or file.suffix not in _MEDIA:
            raise web.HTTPNotFound
        try:
            data = await asyncio.to_thread(file.read_bytes)
        except OSError:
            raise web.HTTPNotFound from None
        return web.Response(body=data, content_type=_MEDIA[file.suffix])

    async def _report(self, paths: tuple[Path, ...], title: str) -> web.Response:
        try:
            loop = asyncio.get_running_loop()
            return _html(await loop.run_in_executor(self._making, self._reports.get, *paths))
        except PeakBenchError as error:
            return _said(title, "not possible" if len(paths) > 1 else "damaged", str(error).splitlines())
        except Exception as error:  # files that are JSON and still no run can fail in any way
            return _said(title, "damaged", [_why(error)])

    async def _found(self, key: str) -> tuple[Look, Path]:
        await self._refresh()
        look, path = self._catalogue.look(key), self._catalogue.path(key)
        if look is None or path is None:
            raise web.HTTPNotFound(reason="There is no such run, or it is gone.")
        return look, path

    async def _refresh(self) -> None:
        await asyncio.to_thread(self._catalogue.refresh)

    def _followed(self, key: str, path: Path) -> Progress:
        found = stamp(path, RUN, TASK)
        if key not in self._progress or self._progress[key][0] != found:
            self._progress[key] = (found, Progress(path))
        self._progress.move_to_end(key)
        while len(self._progress) > _WATCHED:
            self._progress.popitem(last=False)
        return self._progress[key][1]


def serve(
    folders: Sequence[str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    on_open: Callable[[str], object] = lambda url: None,
) -> None:
    """Show the runs in these folders until the process is told to end (SIGINT, SIGTERM).

    Args:
        host: an address of this machine alone. ``port``: 0 takes a free one. ``token``: None for a random one.
        on_open: is called with the address, once the server answers.

    Raises:
        InputError: a folder, the host, the token or the port cannot be used.
    """
    asyncio.run(_serve(folders, checked_host(host), port, token, on_open))


async def _serve(
    folders: Sequence[str | Path], host: str, port: int, token: str | None, on_open: Callable[[str], object]
) -> None:
    viewer = Viewer(folders, token=token)
    runner = web.AppRunner(viewer.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise InputError(
                f"cannot listen at {host}, port {port}: {error.strerror}",
                hint="choose another: --port 0 takes a free one",
            ) from None
        ended = asyncio.Event()
        with contextlib.suppress(NotImplementedError):  # no such handlers on Windows: there, Ctrl-C raises
            for one in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(one, ended.set)
        on_open(viewer.open(host, int(runner.addresses[0][1])))
        await ended.wait()
    finally:
        await runner.cleanup()
        viewer.close()


def _html(page: Page) -> web.Response:
    return web.Response(text=page.text, content_type="text/html", headers={"Content-Security-Policy": page.policy})


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _said(title: str, state: str, lines: Sequence[str]) -> web.Response:
    return _html(own_page("said.html.j2", title=title, state=state, lines=lines))


def _why(error: Exception) -> str:
    return neutral(f"{type(error).__name__}: {error}".splitlines()[0], limit=300)


def _whole(text: str | None) -> int:
    return int(text) if text is not None and len(text) < 16 and text.isascii() and text.isdigit() else 0
