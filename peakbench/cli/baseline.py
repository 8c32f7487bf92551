"""``peakbench baseline``: what the gate holds a run against."""

from __future__ import annotations

import shlex

import click

from peakbench.cli.base import Group, json_option, say, write_json, write_page


@click.group(cls=Group)
def baseline() -> None:
    """Save a run's scores for the gate, and show what was saved."""


@baseline.command()
@click.argument("run", type=click.Path())
@click.option(
    "--out", type=click.Path(), metavar="FILE", default="baseline.json", show_default=True, help="Where it is saved."
)
@click.option("--overwrite", is_flag=True, help="Replace a baseline that is there.")
@click.option("--allow-failed", is_flag=True, help="Save it although requests failed or were not asked.")
def save(run: str, out: str, overwrite: bool, allow_failed: bool) -> None:
    """Save the scores of RUN, sample by sample, with what they mean.

    Commit the file beside the code that it guards: it holds no answers and no images, only scores.
    """
    from peakbench.api import gates

    path = gates.save_baseline(run, out, overwrite=overwrite, allow_failed=allow_failed)
    say(f"saved {path}; hold a run against it: peakbench gate RUN --baseline {shlex.quote(str(path))}")


@baseline.command()
@click.argument("file", type=click.Path())
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def show(file: str, form: str | None, as_json: bool) -> None:
    """Show what a baseline holds."""
    from peakbench.analysis.comparison.savedscores import as_table
    from peakbench.report.gating import baseline_figures, baseline_page
    from peakbench.store.baseline import read_baseline

    saved = read_baseline(file)
    table = as_table(saved)
    if as_json:
        write_json(baseline_figures(saved, table))
    else:
        write_page(baseline_page(saved, table), form)
