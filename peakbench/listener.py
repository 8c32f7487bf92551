"""A web application in a thread and a loop of its own: what the server and the scripted endpoint stand on."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from peakbench.errors import ConfigError

if TYPE_CHECKING:
    from aiohttp import web


class Listener(ABC):
    """Listens at an address while the context lasts; what it answers, ``application`` says.

    Args:
        host: the address to listen at.
        port: 0 for a free one.
        runner: settings of aiohttp's ``AppRunner``.

    Raises:
        ConfigError: (on entering) the address cannot be had.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, **runner: Any) -> None:
        self._host, self._port = host, port
        self._runner = runner
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._problem: BaseException | None = None

    @abstractmethod
    def application(self) -> web.Application:
        """Return the routes; what must live as long as they do belongs in ``on_startup`` and ``on_shutdown``."""

    @property
    def url(self) -> str:
        """The base URL, with ``/v1``."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - shown, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}/v1"

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name=type(self).__name__, daemon=True)
        self._thread.start()
        started.wait()
        if self._problem is not None:
            self._thread.join()
            if isinstance(self._problem, OSError):
                reason = self._problem.strerror or str(self._problem)
                raise ConfigError(
                    f"cannot listen at {self._host}:{self._port}: {reason}",
                    expected="an address of this machine and a port that nobody uses (0: a free one)",
                ) from self._problem
            raise self._problem
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop = None

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _run(self, started: threading.Event) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:  # it belongs to the thread that waits for the start
            self._problem = error
        finally:
            started.set()

    async def _serve(self, started: threading.Event) -> None:
        from aiohttp import web

        runner = web.AppRunner(self.application(), access_log=None, **self._runner)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self._port, backlog=1024)
            await site.start()
            self._port = runner.addresses[0][1]
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            started.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()
