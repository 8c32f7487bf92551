"""``peakbench gate``: may this run ship? The exit code says it: 0, 4, 5 or 6."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from peakbench.cli.base import Command, PanelOption, json_option, say, write_json, write_page
from peakbench.errors import PeakBenchError, StoreError

CI = "For continuous integration"


@click.command(cls=Command)
@click.argument("run", type=click.Path())
@click.option(
    "--baseline",
    type=click.Path(),
    metavar="FILE",
    default="baseline.json",
    show_default=True,
    help="What 'peakbench baseline save' wrote.",
)
@click.option(
    "--margin",
    type=float,
    default=0.01,
    show_default=True,
    help="How much may be lost, as a fraction: 0.01 is one point of a hundred.",
)
@click.option(
    "--metric",
    "metrics",
    metavar="ID",
    multiple=True,
    help="What is gated, a metric or field:NAME; repeatable, all must pass. [default: quality, else weighted_score]",
)
@click.option("--min-samples", type=int, default=100, show_default=True, help="Fewer compared samples decide nothing.")
@click.option("--resamples", type=click.IntRange(1000), default=10_000, show_default=True, help="Bootstrap resamples.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the resamples.")
@click.option("--junit", type=click.Path(), metavar="FILE", cls=PanelOption, panel=CI, help="Write JUnit XML too.")
@click.option(
    "--github/--no-github",
    default=None,
    cls=PanelOption,
    panel=CI,
    help="Annotate the job and write its summary. [default: where GITHUB_ACTIONS is true]",
)
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def gate(
    *,
    run: str,
    baseline: str,
    margin: float,
    metrics: tuple[str, ...],
    min_samples: int,
    resamples: int,
    seed: int,
    junit: str | None,
    github: bool | None,
    form: str | None,
    as_json: bool,
) -> int:
    """Pass RUN only where it is no worse than a baseline by more than a margin.

    It passes where the whole 95 % interval of the difference, sample by sample, lies above the loss that is allowed.

    \b
    Exit codes: 0 passed; 4 fell: the whole interval lies below; 5 too few samples to tell, with the number
    needed; 6 not comparable: other data, another task or profile, a metric that is unscored.

    \b
    peakbench baseline save runs/good
    peakbench gate runs/new --margin 0.02 --metric quality --metric field:brand
    """
    from peakbench.api import gates
    from peakbench.report import junit as xml
    from peakbench.report.gating import github_command, github_commands, verdict_page

    on_github = os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github
    try:
        found = gates.gate(
            run,
            baseline,
            metrics=metrics or None,
            margin=margin,
            min_samples=min_samples,
            resamples=resamples,
            seed=seed,
        )
    except PeakBenchError as error:
        if junit is not None:
            _write(junit, xml.junit_error(str(error)))
        if on_github:
            click.echo(github_command("error", "peakbench gate", str(error)), err=as_json)
        raise
    if junit is not None:
        _write(junit, xml.junit(found))
    page = verdict_page(found)
    if as_json:
        write_json(found.as_dict())
    elif on_github:
        # What the data and the model wrote must not be obeyed as a command of the workflow.
        token = secrets.token_hex(16)
        click.echo(f"::stop-commands::{token}")
        write_page(page, form)
        click.echo(f"::{token}::")
    else:
        write_page(page, form)
    if on_github:
        for command in github_commands(found):
            click.echo(command, err=as_json)
        _summarise(page.markdown())
    return found.exit_code


def _write(path: str, data: bytes) -> None:
    from peakbench.store.directory import replace_file

    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder cannot be made: {error.strerror}", where=str(target.parent)) from None
    replace_file(target, data)


def _summarise(text: str) -> None:
    """Append to the summary of the job, where GitHub gives a file for it."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text + "\n")
    except OSError as error:
        say(f"the summary of the job cannot be written: {error}")
