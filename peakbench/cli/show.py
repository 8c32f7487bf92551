"""``peakbench show``: a run, or one of its samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from peakbench.cli.base import Command, json_option, resume_command, write_json, write_page

if TYPE_CHECKING:
    from peakbench.runs import Run, SampleView


@click.command(cls=Command)
@click.argument("run", type=click.Path())
@click.option("--sample", "sample_id", metavar="ID", help="Show one sample: what was asked, answered and scored.")
@click.option("--explain", is_flag=True, help="Take the sample's scores apart, term by term, in words.")
@click.option(
    "--definitions",
    type=click.Path(),
    metavar="FILE",
    multiple=True,
    help="Your own metric definitions, to explain by.",
)
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def show(
    *,
    run: str,
    sample_id: str | None,
    explain: bool,
    definitions: tuple[str, ...],
    form: str | None,
    as_json: bool,
) -> None:
    """Show the summary of RUN, a run directory, or one of its samples."""
    from peakbench import api
    from peakbench.report.sample import sample_page
    from peakbench.report.summary import summary_page

    if explain and sample_id is None:
        raise click.UsageError("--explain takes a sample apart; name it: --sample ID")
    found = api.load_run(run)
    if sample_id is not None:
        view = found.sample(sample_id)
        if explain:
            _explain(found, view, definitions, form, as_json)
            return
        if as_json:
            write_json(_as_json(view))
            return
        write_page(sample_page(view, found.task), form)
    elif as_json:
        write_json(found.summary)
    else:
        write_page(summary_page(found.summary, path=run, resume=resume_command(run)), form)


def _explain(run: Run, view: SampleView, definitions: Sequence[str], form: str | None, as_json: bool) -> None:
    from dataclasses import asdict
    from pathlib import Path

    from peakbench.backends import open_tools
    from peakbench.builtins import open_registry
    from peakbench.report.explanation import explain
    from peakbench.report.terms import explanation_page
    from peakbench.scoring import read_under

    registry, tools = open_registry(extra=[Path(file) for file in definitions]), open_tools()
    signatures = {name: entry["signature"] for name, entry in run.summary["metrics"].items()}
    profile = run.summary["run"].get("profile")
    predictions = {one.repeat: read_under(one, run.task, profile) for one in view.predictions}
    explanations = [
        explain(
            predictions[row["repeat"]],
            view.record.reference,
            row,
            task=run.task,
            registry=registry,
            tools=tools,
            signatures=signatures,
        )
        for row in view.scores
        if row["repeat"] in predictions
    ]
    if as_json:
        write_json([asdict(one) for one in explanations])
    else:
        write_page(explanation_page(explanations), form)


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
