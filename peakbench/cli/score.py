"""``peakbench score``: a run again without asking again, or answers that came from elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from peakbench.cli.base import Command, PanelOption, json_option, resume_command, say, write_json, write_page
from peakbench.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from peakbench.scoring import Profile

ELSEWHERE = "Answers from elsewhere"


@click.command(cls=Command)
@click.argument("run", type=click.Path(), required=False)
@click.option(
    "--definitions", type=click.Path(), metavar="FILE", multiple=True, help="Your own metric definitions; repeatable."
)
@click.option("--metrics", metavar="IDS", multiple=True, help="Metric ids, comma-separated; or default; or all.")
@click.option("--slice-by", "slices", metavar="KEY", multiple=True, help="Score each value of this metadata key too.")
@click.option("--repair/--no-repair", default=None, help="Repair near-JSON answers. [default: as the run says]")
@click.option(
    "--profile",
    type=click.Choice(["published-2026"]),
    help="Score as published numbers did, to compare with those: what cannot be read is all null.",
)
@click.option(
    "--answers",
    type=click.Path(),
    metavar="FILE",
    cls=PanelOption,
    panel=ELSEWHERE,
    help="Answers, one JSON line each.",
)
@click.option(
    "--data", type=click.Path(), metavar="PATH", cls=PanelOption, panel=ELSEWHERE, help="The data set they answer."
)
@click.option("--task", metavar="NAME|FILE", cls=PanelOption, panel=ELSEWHERE, help="Task. [default: garment]")
@click.option(
    "--out", type=click.Path(), metavar="DIR", cls=PanelOption, panel=ELSEWHERE, help="The run directory to make."
)
@click.option(
    "--allow-outside", is_flag=True, cls=PanelOption, panel=ELSEWHERE, help="Images may lie outside the data's folder."
)
@click.option("--allow-image-urls", is_flag=True, cls=PanelOption, panel=ELSEWHERE, help="Images may be URLs.")
@click.option("--no-images", is_flag=True, cls=PanelOption, panel=ELSEWHERE, help="The images are not at hand.")
@json_option
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but the result.")
def score(
    *,
    run: str | None,
    definitions: tuple[str, ...],
    metrics: tuple[str, ...],
    slices: tuple[str, ...],
    repair: bool | None,
    profile: Profile | None,
    answers: str | None,
    data: str | None,
    task: str | None,
    out: str | None,
    allow_outside: bool,
    allow_image_urls: bool,
    no_images: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score RUN again without asking again, or score answers that came from elsewhere.

    \b
    peakbench score runs/mine --metrics all
    peakbench score --answers theirs.jsonl --data eval.jsonl --task garment --out runs/theirs
    """
    from peakbench import api
    from peakbench.config import metric_choice
    from peakbench.report.progress import counting
    from peakbench.report.summary import summary_page

    if run is not None and answers is None:
        spare = [f"--{name}" for name, value in (("data", data), ("task", task), ("out", out)) if value is not None]
        if spare:
            raise ConfigError(f"{', '.join(spare)} cannot change a run; only its scores", where=run)
        if not (Path(run) / "run.json").is_file():
            raise StoreError("no run here", where=run, expected="a run directory: it holds run.json")
    before = (api.load_run(run).directory.summary() or {}).get("metrics", {}) if run is not None and not answers else {}
    with counting("scoring", quiet=quiet) as on_progress:
        scored = api.score(
            run,
            answers=answers,
            data=data,
            task=task,
            out=out,
            definitions=definitions,
            metrics=metric_choice(metrics or ("default",)),
            slices=slices,
            repair=repair,
            profile=profile,
            allow_outside=allow_outside,
            allow_urls=allow_image_urls,
            images=not no_images,
            on_progress=on_progress,
        )
    path = str(scored.path)
    gone = [name for name in before if name not in scored.summary["metrics"]]
    if gone and not quiet:
        say(f"the scores hold only these metrics now; gone until the run is scored again: {', '.join(gone)}")
    if as_json:
        write_json(scored.summary)
        return
    write_page(summary_page(scored.summary, path=path, resume=resume_command(path)))
    if not quiet:
        say(f"one sample: peakbench show {shlex.quote(path)} --sample ID")
