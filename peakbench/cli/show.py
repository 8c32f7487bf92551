"""``peakbench show``: a run, or one of its samples."""

from __future__ import annotations

from typing import Any

import click

from peakbench.cli.base import Command, json_option, resume_command, write_json, write_page


@click.command(cls=Command)
@click.argument("run", type=click.Path())
@click.option("--sample", "sample_id", metavar="ID", help="Show one sample: what was asked, answered and scored.")
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def show(run: str, sample_id: str | None, form: str | None, as_json: bool) -> None:
    """Show the summary of RUN, a run directory, or one of its samples."""
    from peakbench import api
    from peakbench.report.sample import sample_page
    from peakbench.report.summary import summary_page

    found = api.load_run(run)
    if sample_id is not None:
        view = found.sample(sample_id)
        if as_json:
            write_json(_as_json(view))
            return
        write_page(sample_page(view, found.task), form)
    elif as_json:
        write_json(found.summary)
    else:
        write_page(summary_page(found.summary, path=run, resume=resume_command(run)), form)


def _as_json(view: Any) -> dict[str, Any]:
    from peakbench.store.formats import dump_completion, load_line

    return {
        "sample": view.record.as_dict(),
        "responses": [load_line(dump_completion(completion)) for completion in view.completions],
        "predictions": [
            {
                "repeat": prediction.repeat,
                "state": prediction.state,
                "value": prediction.value,
                "problem": prediction.problem
                and {key: getattr(prediction.problem, key) for key in ("reason", "position", "detail")},
                "duplicates": prediction.duplicates,
                "extra": list(prediction.extra),
                "truncated": prediction.truncated,
            }
            for prediction in view.predictions
        ],
        "scores": list(view.scores),
    }
