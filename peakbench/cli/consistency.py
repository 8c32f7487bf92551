"""``peakbench consistency``: do repeated answers agree, and is it the server's concurrency?"""

from __future__ import annotations

import click

from peakbench.cli.base import Command, json_option, write_json, write_page


@click.command(cls=Command)
@click.argument("run", type=click.Path())
@click.argument("other", type=click.Path(), required=False)
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def consistency(run: str, other: str | None, form: str | None, as_json: bool) -> None:
    """Compare the repeated answers of RUN, and those of OTHER, which asked the same at another number of workers.

    \b
    peakbench run --repeats 3 --workers 1 --out runs/one
    peakbench run --repeats 3 --workers 32 --out runs/many
    peakbench consistency runs/one runs/many
    """
    from peakbench import api
    from peakbench.analysis.agreement import agreement
    from peakbench.builtins import open_registry
    from peakbench.report.agreement import agreement_page

    runs = [api.load_run(path).directory for path in (run, other) if path is not None]
    found = agreement(runs, open_registry().nulls_of(runs[0].task))
    if as_json:
        write_json(found.as_dict())
    else:
        write_page(agreement_page(found), form)
