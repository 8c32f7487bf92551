"""``peakbench serve``: a model of this machine behind the OpenAI API."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import click

from peakbench.cli.base import Command, say


@click.command(cls=Command)
@click.argument("models", nargs=-1, metavar="[MODEL|FOLDER]...")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Listen here; 0: any free."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen at this address of this machine.")
@click.option(
    "--max-batch", type=click.IntRange(1, 256), default=16, show_default=True, help="Answer so many at once, at most."
)
def serve(*, models: tuple[str, ...], port: int, host: str, max_batch: int) -> None:
    """Serve a small reader, or several, behind the OpenAI API on this machine.

    MODEL is the name of a reader that ships (default: reader), FOLDER one that a recipe exported. It answers
    /v1/chat/completions and /v1/models, and counts at /metrics. Ctrl-C ends it.

    \b
    peakbench serve
    peakbench serve reader reader-int8 --port 8001
    """
    from peakbench.reader import open_reader
    from peakbench.serving import Server

    if not _is_loopback(host):
        say(f"warning: --host {host}: other machines can ask; there is no key and no encryption")
    opened = [open_reader(name) for name in models or ("reader",)]
    with _told_to_end() as ended, Server(opened, host, port, max_batch=max_batch) as server:
        click.echo(server.url)
        say(f"try: peakbench run --endpoint {server.url} --model {opened[0].name} --data DATA --task garment")
        say("Ctrl-C ends it")
        while not ended.wait(0.5):  # with a time-out, because Windows lets no signal through an endless one
            pass
    say("the server has ended")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; the handlers from before come back."""
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
