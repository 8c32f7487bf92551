"""``peakbench compare``: runs held against a first one."""

from __future__ import annotations

import click

from peakbench.cli.base import Command, json_option, say, write_json, write_page


@click.command(cls=Command)
@click.argument("runs", type=click.Path(), nargs=-1, required=True)
@click.option("--metrics", metavar="IDS", help="Compare these metrics, separated by commas. [default: all]")
@click.option("--fields", metavar="NAMES", help="Compare these fields, separated by commas. [default: all]")
@click.option("--common", is_flag=True, help="The samples differ: compare those that both runs have.")
@click.option("--unpaired", is_flag=True, help="The samples differ: compare all of them, as independent draws.")
@click.option("--flips", type=click.Path(), metavar="FILE", help="Write every flip to FILE (.jsonl or .csv).")
@click.option("--costs", type=click.Path(), metavar="FILE", help="Read what mistakes cost from this JSON file.")
@click.option("--resamples", type=click.IntRange(1), default=10_000, show_default=True, help="Of intervals and tests.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resamples.")
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def compare(
    *,
    runs: tuple[str, ...],
    metrics: str | None,
    fields: str | None,
    common: bool,
    unpaired: bool,
    flips: str | None,
    costs: str | None,
    resamples: int,
    seed: int,
    form: str | None,
    as_json: bool,
) -> None:
    """Hold every one of RUNS against the first: by how much it differs, how sure that is, which samples did it.

    \b
    peakbench compare runs/old runs/new
    peakbench compare runs/old runs/new --flips flips.csv
    """
    from peakbench.analysis.comparison.flips import check_ending, write_flips
    from peakbench.api.comparisons import compare as compared
    from peakbench.report.comparison import comparison_page

    if common and unpaired:
        raise click.UsageError("--common and --unpaired at once: choose one")
    if flips is not None:
        if len(runs) != 2:
            raise click.UsageError("--flips is of two runs: name two")
        if unpaired:
            raise click.UsageError("--flips and --unpaired at once: samples that differ have no flips")
        check_ending(flips)
    found = compared(
        *runs,
        how="common" if common else "unpaired" if unpaired else "same",
        metrics=_names(metrics),
        fields=_names(fields),
        costs=costs,
        resamples=resamples,
        seed=seed,
    )
    if flips is not None:
        (contrast,) = found.contrasts
        assert contrast.flips is not None
        say(f"{write_flips(contrast.flips, flips):,} flips written to {flips}")
    if as_json:
        write_json(found.as_dict())
    else:
        write_page(comparison_page(found), form)


def _names(given: str | None) -> list[str] | None:
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]
