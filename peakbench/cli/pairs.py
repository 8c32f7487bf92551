"""``peakbench pairs``: quantization and training pairs, and what each cost or added."""

from __future__ import annotations

import click

from peakbench.cli.base import Command, json_option, write_json, write_page


@click.command(cls=Command)
@click.argument("runs", type=click.Path(), nargs=-1)
@click.option(
    "--csv", "table", type=click.Path(), metavar="FILE", help="Instead of runs, the rows of a published table."
)
@click.option("--metric", "metrics", metavar="ID", multiple=True, help="A metric to compare by; repeatable.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 0.5, max_open=True),
    metavar="FRACTION",
    default=0.01,
    show_default=True,
    help="A loss within it counts as no worse; 0.01 is one point of a hundred.",
)
@click.option(
    "--resamples", type=click.IntRange(1000), default=10_000, show_default=True, help="Of intervals and tests."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def pairs(
    *,
    runs: tuple[str, ...],
    table: str | None,
    metrics: tuple[str, ...],
    margin: float,
    resamples: int,
    seed: int,
    form: str | None,
    as_json: bool,
) -> None:
    """Find quantization and training pairs among RUNS, and what each cost or added.

    Models are told apart by what 'peakbench tag' says of them, and for the rest by their names.

    \b
    peakbench pairs runs/qwen-8b runs/qwen-8b-nvfp4 runs/qwen-8b-sft
    peakbench pairs --csv leaderboard.csv
    """
    from peakbench.api import lineages
    from peakbench.report.pairs import pairs_page

    if bool(runs) == (table is not None):
        raise click.UsageError("name runs, or a table with --csv" + (", not both" if runs else ""))
    chosen = [part.strip() for name in metrics for part in name.split(",") if part.strip()] or None
    if table is not None:
        found = lineages.table_pairs(table, metrics=chosen)
    else:
        found = lineages.pairs(*runs, metrics=chosen, margin=margin, resamples=resamples, seed=seed)
    if as_json:
        write_json(found.as_dict())
    else:
        write_page(pairs_page(found), form)
