"""``peakbench leaderboard``: runs and published scores, ranked."""

from __future__ import annotations

import click

from peakbench.cli.base import Command, json_option, say, write_json, write_page


@click.command(cls=Command)
@click.argument("runs", type=click.Path(), nargs=-1)
@click.option(
    "--csv", "tables", type=click.Path(), metavar="FILE", multiple=True, help="A table of published scores; repeatable."
)
@click.option("--metric", metavar="ID", help="What ranks. [default: weighted_score, or quality]")
@click.option("--out", type=click.Path(), metavar="FOLDER", help="Write README.md, CSV, JSON and a page there.")
@click.option("--title", default="Leaderboard", show_default=True, metavar="TEXT", help="Heads the page.")
@click.option("--no-charts", is_flag=True, help="Draw nothing.")
@click.option("--open", "opened", is_flag=True, help="Show the page in the browser; with --out.")
@click.option(
    "--resamples", type=click.IntRange(1000), default=10_000, show_default=True, help="Of intervals and tests."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the tables are written.")
@json_option
def leaderboard(
    *,
    runs: tuple[str, ...],
    tables: tuple[str, ...],
    metric: str | None,
    out: str | None,
    title: str,
    no_charts: bool,
    opened: bool,
    resamples: int,
    seed: int,
    form: str | None,
    as_json: bool,
) -> None:
    """Rank RUNS, or all runs in a folder, and the rows of published tables.

    A rank is a range where models cannot be told apart. What is not known to be the same samples, scored the same way,
    is ranked apart; scores that cannot be are refused.

    \b
    peakbench leaderboard runs/ --out board
    peakbench leaderboard runs/* --csv published.csv --out board
    """
    from peakbench.api.leaderboards import leaderboard as ranked
    from peakbench.api.leaderboards import leaderboard_findings, leaderboard_pairs, write_leaderboard
    from peakbench.report.findings import first_findings
    from peakbench.report.leaderboard import board_page

    if not runs and not tables:
        raise click.UsageError("name runs, or a table with --csv")
    if opened and out is None:
        raise click.UsageError("--open shows the page that --out writes: name a folder")
    board = ranked(*runs, csv=tables, metric=metric, resamples=resamples, seed=seed, title=title)
    pairs = leaderboard_pairs(board, resamples=resamples, seed=seed)
    findings = leaderboard_findings(board, pairs)
    written = None
    if out is not None:
        written = write_leaderboard(board, out, pairs=pairs, findings=findings, charts=not no_charts)
    if as_json:
        write_json({**board.as_dict(), "findings": findings.as_dict()})
    else:
        write_page(board_page(board, findings=first_findings(findings), struck=form == "markdown"), form)
    if written is None:
        return
    if written.undrawn is not None:
        say(f"no charts: {written.undrawn}")
    names = ", ".join(file.name for file in written.files if file.parent == written.folder)
    say(f"written: {names}{f' and {written.charts} charts' if written.charts else ''} in {written.folder}")
    if opened:
        import webbrowser

        webbrowser.open((written.folder / "index.html").resolve().as_uri())
