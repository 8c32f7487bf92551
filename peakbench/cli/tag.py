"""``peakbench tag``: where a run's model comes from."""

from __future__ import annotations

import click

from peakbench.cli.base import Command, json_option, write_json, write_page


@click.command(cls=Command)
@click.argument("runs", type=click.Path(), nargs=-1, required=True)
@click.option("--family", metavar="NAME", help="What the model was made from, like Qwen3-VL.")
@click.option("--parameters", metavar="SIZE", help="Its size, like 8B or 35B-A3B.")
@click.option("--training", metavar="STAGES", help="Training stages since its release, like SFT+GRPO; or none.")
@click.option("--quantization", metavar="FORMAT", help="Like NVFP4, FP8 or GPTQ-INT4; or none.")
@click.option("--model-version", "version", metavar="LABEL", help="A label of your own, like v9.")
@click.option("--base-run", type=click.Path(), metavar="DIR", help="The run of the model that it was made from.")
@click.option("--clear", metavar="PARTS", multiple=True, help="Forget these parts, so that the name speaks again.")
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def tag(*, runs: tuple[str, ...], clear: tuple[str, ...], form: str | None, as_json: bool, **parts: str | None) -> None:
    """Say where the model of each of RUNS comes from; without options, show what is known.

    What nobody said is read from the model's name. The run's requests and scores are not touched.

    \b
    peakbench tag runs/8b-nvfp4 --base-run runs/8b --quantization NVFP4
    """
    from peakbench import api
    from peakbench.api import lineages
    from peakbench.report.pairs import lineage_page

    said = {name: value for name, value in parts.items() if value is not None}
    forgotten = [part.strip().replace("-", "_") for names in clear for part in names.split(",") if part.strip()]
    forgotten = [part.removeprefix("model_") for part in forgotten]
    opened = [api.load_run(path) for path in runs]
    if said or forgotten:
        found = [lineages.tag(run, clear=forgotten, **said) for run in opened]
    else:
        found = [lineages.lineage(run) for run in opened]
    if as_json:
        write_json(
            [
                {"run": str(run.path), "model": run.record.model, "lineage": lineage.as_dict()}
                for run, lineage in zip(opened, found, strict=True)
            ]
        )
    else:
        rows = [(str(run.path), run.record.model, lineage) for run, lineage in zip(opened, found, strict=True)]
        write_page(lineage_page(rows), form)
