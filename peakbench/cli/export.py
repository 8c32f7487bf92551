"""``peakbench export``: a run's numbers for other programs."""

from __future__ import annotations

import click

from peakbench.cli.base import Command, json_option, say, write_json, write_page


@click.command(cls=Command)
@click.argument("run", type=click.Path(), required=False)
@click.option(
    "--to", "targets", metavar="TARGET", multiple=True, help="A file, or NAME:TARGET; see --list. Repeatable."
)
@click.option(
    "--table",
    type=click.Choice(["answers", "summary"]),
    help="One row an answer, or one row a number. [default: by the file's name]",
)
@click.option(
    "--contents/--no-contents",
    default=None,
    help="Export references, answers, texts and metadata too. [default: only into tables in files]",
)
@click.option("--list", "listed", is_flag=True, help="List where runs can be exported to.")
@json_option
def export(
    *,
    run: str | None,
    targets: tuple[str, ...],
    table: str | None,
    contents: bool | None,
    listed: bool,
    as_json: bool,
) -> None:
    """Write the numbers of RUN for other programs.

    \b
    peakbench export runs/a --to answers.parquet --to summary.csv
    peakbench export runs/a --to otlp:http://127.0.0.1:4318/v1/traces
    """
    from peakbench.api import exports

    if listed:
        _list(as_json)
        return
    if run is None or not targets:
        raise click.UsageError("name a run, and where it goes with --to; --list shows where it can go")
    done = []
    for target in targets:
        done.append(exports.export(run, target, table=table, contents=contents))  # type: ignore[arg-type]
        say(done[-1])
    if as_json:
        write_json({"exported": [{"to": to, "done": line} for to, line in zip(targets, done, strict=True)]})


def _list(as_json: bool) -> None:
    from peakbench.api.exports import destinations
    from peakbench.report.tables import Page, Table, neutral

    found = destinations()
    if as_json:
        shown = ("name", "endings", "description", "contents")
        write_json([{key: getattr(one, key) for key in shown} for one in found.values()])
        return
    rows = [
        [neutral(one.name), neutral(", ".join(one.endings)) or "-", neutral(one.description)] for one in found.values()
    ]
    columns = ["name", "endings", "what is written"]
    page = Page()
    page.add(Table(columns, rows, "Destinations", frozenset(columns)))
    write_page(page)
