"""``peakbench view``: many runs in the browser, while they are going too."""

from __future__ import annotations

import contextlib

import click

from peakbench.cli.base import Command, say


@click.command(cls=Command)
@click.argument("folders", type=click.Path(), nargs=-1, metavar="[RUNS_FOLDER]...")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default="a free one", help="Listen at this port."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen at this address of this machine.")
@click.option("--no-open", is_flag=True, help="Do not open the browser.")
@click.option(
    "--token", envvar="PEAKBENCH_VIEW_TOKEN", metavar="TEXT", help="What opens the page. [default: a random one]"
)
def view(*, folders: tuple[str, ...], port: int, host: str, no_open: bool, token: str | None) -> None:
    """Show the runs in RUNS_FOLDERs (default: runs) in the browser, and follow those that are going.

    The page is for this machine alone: it listens at a loopback address, opens with a token, and only reads.
    Ctrl-C ends it.

    \b
    peakbench view
    peakbench view runs /data/runs --port 8765 --no-open
    """
    from peakbench.viewer.server import serve

    def opened(url: str) -> None:
        click.echo(url)
        say("Ctrl-C ends the view")
        if not no_open:
            import webbrowser

            webbrowser.open(url)

    with contextlib.suppress(KeyboardInterrupt):
        serve(folders or ("runs",), host=host, port=port, token=token, on_open=opened)
    say("the view has ended; the runs are as they were")
