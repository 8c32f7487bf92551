"""``peakbench recipe``: list, show, run, export and compare training recipes."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from peakbench.errors import ConfigError, nearest
from peakbench.report.tables import Lines, Page, Table, neutral

if TYPE_CHECKING:
    from peakbench_recipes.configuration import RecipeConfig
    from peakbench_recipes.folder import RunFolder


class Group(click.Group):
    """A group in which an unknown command names the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"no command '{args[0]}'; {nearest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


set_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace a setting: stages.sft.steps=10."
)
seed_option = click.option("--seed", type=click.IntRange(0), help="Replace the recipe's seed.")
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout, and nothing else there.")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def recipe() -> None:
    """Train a model by a recipe, measured by PeakBench before and after every stage."""


@recipe.command("list")
@json_option
def list_recipes(as_json: bool) -> None:
    """List the recipes that ship."""
    from peakbench_recipes.configuration import command_of, read_yaml, recipes

    found = {name: read_yaml(path) for name, path in recipes().items()}
    commands = {name: command_of(path).partition("\n")[0] for name, path in recipes().items()}
    stages = {
        name: [str(stage.get("name") or stage.get("kind")) for stage in one.get("stages") or []]
        for name, one in found.items()
    }
    titles = {name: str(one.get("title", "")) for name, one in found.items()}
    if as_json:
        _write_json([{"name": n, "title": titles[n], "stages": stages[n], "command": commands[n]} for n in found])
        return
    table = Table(
        ["recipe", "stages", "title"],
        [[name, " > ".join(stages[name]), titles[name]] for name in found],
        left=frozenset({"stages", "title"}),
    )
    _write(table, Lines(["peakbench recipe show NAME"], kind="note"))


@recipe.command(short_help="Show a recipe in full, or how far a run is.")
@click.argument("name")
@set_option
@seed_option
@json_option
def show(name: str, settings: tuple[str, ...], seed: int | None, as_json: bool) -> None:
    """Show a recipe (a NAME, a file) with every default filled in, or how far a run's folder is."""
    from peakbench_recipes.configuration import command_of, find_recipe, load_recipe, write_yaml
    from peakbench_recipes.folder import RESOLVED, RunFolder

    if (Path(name) / RESOLVED).is_file():
        folder = RunFolder.open(name)
        rows = _progress(folder)
        if as_json:
            _write_json({"recipe": folder.recipe.model_dump(mode="json"), "stages": rows})
        else:
            columns = ["stage", "state", "step", "seconds", "attempts"]
            table = Table(columns, [["-" if row[c] is None else str(row[c]) for c in columns] for row in rows], name)
            _write(table)
        return
    found = load_recipe(name, settings, seed=seed)
    if as_json:
        _write_json({"recipe": found.model_dump(mode="json"), "needs": _needs(found)})
        return
    head = [line for line in [found.title, *command_of(find_recipe(name)).splitlines()] if line]
    _write(Lines(head, found.name, "heading"), _needs_table(found), Lines(write_yaml(found).splitlines(), "Resolved"))


@recipe.command()
@click.argument("name", required=False)
@click.option("--out", type=click.Path(), help="The run's folder. [default: runs/NAME-seedN]")
@set_option
@seed_option
@click.option("--resume", is_flag=True, help="Go on with the run in --out; nothing that is finished is done again.")
@click.option("--stages", metavar="NAMES", help="Only these stages, separated by commas.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it needs.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but the result.")
def run(
    *,
    name: str | None,
    out: str | None,
    settings: tuple[str, ...],
    seed: int | None,
    resume: bool,
    stages: str | None,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Train by a recipe: a NAME, or a file.

    \b
    peakbench recipe run reader --out runs/reader
    peakbench recipe run reader --set stages.sft.steps=200 --seed 1
    peakbench recipe run --resume --out runs/reader
    """
    from peakbench_recipes.configuration import load_recipe
    from peakbench_recipes.folder import RunFolder
    from peakbench_recipes.running import run_recipe

    if name is None:
        if not resume or out is None:
            raise click.UsageError("name a recipe; or --resume and the --out of one that was begun")
        if settings or seed is not None:
            raise click.UsageError("--set and --seed change the recipe: name it")
        found = RunFolder.open(out).recipe
    else:
        found = load_recipe(name, settings, seed=seed)
    place = out or f"runs/{found.name}-seed{found.seed}"
    only = None if stages is None else [one.strip() for one in stages.split(",") if one.strip()]
    if dry_run:
        _write(Lines([f"{found.name}, seed {found.seed}, to {place}"], kind="heading"), _needs_table(found, only))
        return
    say = _quiet if quiet else _say
    say(f"to go on after an interruption: peakbench recipe run --resume --out {shlex.quote(place)}")
    folder = run_recipe(found, place, resume=resume, stages=only, say=say)
    _write(*_measured([folder]))


@recipe.command(short_help="Write a checkpoint for use elsewhere.")
@click.argument("folder", type=click.Path())
@click.option("--out", required=True, type=click.Path(), help="The folder to write.")
@click.option("--stage", metavar="NAME", help="Which checkpoint. [default: of the last trained stage]")
@click.option("--form", default="folder", show_default=True, help="folder, or a form of the stage's kind.")
def export(folder: str, out: str, stage: str | None, form: str) -> None:
    """Write a trained checkpoint of a run's FOLDER for use elsewhere, with where it comes from."""
    from peakbench_recipes.export import export as exported
    from peakbench_recipes.folder import RunFolder

    click.echo(str(exported(RunFolder.open(folder), out, stage=stage, form=form)))


@recipe.command(short_help="What each stage added, paired.")
@click.argument("folders", type=click.Path(), nargs=-1, required=True)
@click.option("--metrics", metavar="IDS", help="These metrics, separated by commas.")
@click.option("--resamples", type=click.IntRange(1), default=2000, show_default=True, help="Of the intervals.")
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def compare(folders: Sequence[str], metrics: str | None, resamples: int, form: str | None, as_json: bool) -> None:
    """Hold the stages of runs against each other: what each added, over the same samples, with paired intervals.

    Folders of one recipe with different seeds are taken together.

    \b
    peakbench recipe compare runs/reader-seed0 runs/reader-seed1 runs/reader-seed2
    """
    from peakbench_recipes.comparison import compare_folders, comparison_page
    from peakbench_recipes.folder import RunFolder

    chosen = None if metrics is None else [one.strip() for one in metrics.split(",") if one.strip()]
    found = compare_folders([RunFolder.open(one) for one in folders], metrics=chosen, resamples=resamples)
    if as_json:
        _write_json(found.as_dict())
    else:
        _write(*comparison_page(found), form=form)


def _measured(folders: Sequence[RunFolder]) -> list[Table | Lines]:
    from peakbench_recipes.comparison import compare_folders, comparison_page

    if not any(one.stage(stage.name).evaluated for one in folders for stage in one.recipe.stages):
        return [Lines(["nothing measured"], kind="note")]
    return comparison_page(compare_folders(folders))


def _progress(folder: RunFolder) -> list[dict[str, object]]:
    rows = []
    for stage in folder.recipe.stages:
        place = folder.stage(stage.name)
        state, steps = place.state, place.steps()
        done = "measured" if place.evaluated else "trained" if state else "begun" if place.attempts else "to do"
        seconds = state.seconds if state else steps[-1]["elapsed_s"] if steps else None
        rows.append(
            {
                "stage": stage.name,
                "state": done,
                "step": steps[-1]["step"] if steps else None,
                "seconds": seconds,
                "attempts": place.attempts or None,
            }
        )
    return rows


def _needs(found: RecipeConfig, only: Sequence[str] | None = None) -> list[dict[str, object]]:
    from peakbench_recipes.stages import stage_kind

    known = [stage.name for stage in found.stages]
    for name in only or ():
        if name not in known:
            raise ConfigError(f"no stage '{name}' in the recipe", where="--stages", hint=nearest(name, known))
    rows: list[dict[str, object]] = []
    for stage in found.stages:
        if only is None or stage.name in only:
            kind = stage_kind(stage.kind)
            rows.append(
                {"stage": stage.name, "kind": kind.name, "title": kind.title, "needs": kind.needs(stage).lines()}
            )
    return rows


def _needs_table(found: RecipeConfig, only: Sequence[str] | None = None) -> Table:
    rows = [[str(row["stage"]), str(row["title"]), "; ".join(row["needs"])] for row in _needs(found, only)]  # type: ignore[arg-type]
    return Table(["stage", "what it does", "needs"], rows, left=frozenset({"what it does", "needs"}))


def _write(*blocks: Table | Lines, form: str | None = None) -> None:
    page = Page(list(blocks))
    page.write(sys.stdout, "terminal" if form is None and sys.stdout.isatty() else form or "plain")  # type: ignore[arg-type]


def _write_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def _say(line: str) -> None:
    click.echo(neutral(line, keep="\n"), err=True)


def _quiet(line: str) -> None:
    """Say nothing."""
