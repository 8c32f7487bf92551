"""``peakbench report``: a run, or a comparison, as a web page."""

from __future__ import annotations

import click

from peakbench.cli.base import Command, json_option, say, write_json


@click.command(cls=Command)
@click.argument("runs", type=click.Path(), nargs=-1, required=True, metavar="RUN [OTHER]...")
@click.option(
    "--out", type=click.Path(), metavar="FILE", help="The page. [default: RUN/report.html or comparison.html]"
)
@click.option("--common", is_flag=True, help="The samples differ: compare those that both runs have.")
@click.option("--unpaired", is_flag=True, help="The samples differ: compare all of them, as independent draws.")
@click.option("--open", "opened", is_flag=True, help="Show the page in the browser.")
@json_option
def report(
    *, runs: tuple[str, ...], out: str | None, common: bool, unpaired: bool, opened: bool, as_json: bool
) -> None:
    """Write the page of RUN; with OTHERs, the page of a comparison, RUN being the first.

    The page is one file: it works offline, and sends no request to anywhere.

    \b
    peakbench report runs/qwen3-vl-2b --open
    peakbench report runs/old runs/new --out comparison.html
    """
    from peakbench.api.reports import write_report

    if common and unpaired:
        raise click.UsageError("--common and --unpaired at once: choose one")
    if (common or unpaired) and len(runs) < 2:
        raise click.UsageError("--common and --unpaired are of a comparison: name two runs or more")
    path = write_report(*runs, out=out, how="common" if common else "unpaired" if unpaired else "same")
    if as_json:
        write_json({"page": str(path), "bytes": path.stat().st_size})
    else:
        say(f"written: {path} ({path.stat().st_size / 1e3:,.0f} kB)")
    if opened:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
