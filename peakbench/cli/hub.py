"""``peakbench hub``: scores on model cards on the Hugging Face Hub."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from peakbench.cli.base import Group, json_option, say, write_json, write_page

if TYPE_CHECKING:
    from peakbench.hub.bridge import Synced
    from peakbench.hub.modelcard import CardOptions
    from peakbench.hub.pushing import Plan, Push

F = TypeVar("F", bound=Callable[..., Any])
REPO_TYPES = click.Choice(["model", "dataset", "space"])


@click.group(cls=Group)
def hub() -> None:
    """Put a run's scores on its model's card on the Hugging Face Hub, and prove that they are there.

    \b
    The token is the one of 'hf auth login' or HF_TOKEN; HF_ENDPOINT names another Hub.
    """


def _card_options(function: F) -> F:
    options = [
        click.option("--metrics", metavar="IDS", help="Show these, in this order. [default: the headlines]"),
        click.option("--dataset", metavar="ORG/NAME", help="The data set on the Hub: rows go to .eval_results too."),
        click.option("--dataset-revision", metavar="SHA", help="Its commit."),
        click.option(
            "--eval-task",
            "eval_tasks",
            metavar="METRIC=TASK",
            multiple=True,
            help="A metric and the benchmark's task it is the score of. [default: the first metric, the run's task]",
        ),
        click.option("--source-url", metavar="URL", help="Where the evaluation can be seen. [default: the repository]"),
        click.option("--no-model-index", is_flag=True, help="No rows in the card's metadata."),
        click.option("--chart", is_flag=True, help="A picture of the fields too: an SVG file of the repository."),
        click.option("--take-over", is_flag=True, help="Replace rows of others that say the same."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _options(given: dict[str, Any]) -> CardOptions:
    _prepare()
    from peakbench.hub.modelcard import CardOptions

    tasks = {}
    for one in given["eval_tasks"]:
        metric, sign, task = one.partition("=")
        if not (metric and sign and task):
            raise click.UsageError(f"--eval-task {one}: expected METRIC=TASK")
        tasks[metric] = task
    names = given["metrics"]
    return CardOptions(
        metrics=None if names is None else [name.strip() for name in names.split(",") if name.strip()],
        dataset=given["dataset"],
        dataset_revision=given["dataset_revision"],
        eval_tasks=tasks,
        source_url=given["source_url"],
        take_over=given["take_over"],
        model_index=not given["no_model_index"],
        chart=given["chart"],
    )


@hub.command()
@click.argument("run", type=click.Path())
@click.option("--repo", metavar="ORG/NAME", required=True, help="The model's repository.")
@_card_options
@json_option
def plan(*, run: str, repo: str, as_json: bool, **card: Any) -> None:
    """Show what a push of RUN would change. Nothing is written.

    \b
    peakbench hub plan runs/new --repo org/model
    """
    from peakbench.api.hubs import hub_plan
    from peakbench.report.hub import plan_page

    found = hub_plan(run, repo, options=_options(card)).as_dict()
    if as_json:
        write_json(found)
    else:
        write_page(plan_page(found))


@hub.command()
@click.argument("run", type=click.Path())
@click.option("--repo", metavar="ORG/NAME", required=True, help="The model's repository.")
@_card_options
@click.option("--yes", is_flag=True, help="Write without asking.")
@json_option
def push(*, run: str, repo: str, yes: bool, as_json: bool, **card: Any) -> None:
    """Show what would change, ask, write it in one commit, and read it back.

    \b
    peakbench hub push runs/new --repo org/model
    peakbench hub push runs/new --repo org/model --dataset org/data --yes
    """
    from peakbench.api.hubs import hub_push

    done = hub_push(
        run, repo, options=_options(card), on_plan=_asking(yes, as_json), on_retry=lambda why: say(f"again: {why}")
    )
    _tell(done, as_json)


@hub.command()
@click.argument("runs", type=click.Path(), nargs=-1)
@click.option("--repo", metavar="ORG/NAME", required=True, help="Where the card is: an organisation's is ORG/README.")
@click.option("--repo-type", type=REPO_TYPES, default="space", show_default=True, help="What the repository is.")
@click.option("--csv", "tables", type=click.Path(), metavar="FILE", multiple=True, help="Published scores to rank too.")
@click.option("--metric", metavar="ID", help="What ranks. [default: the weighted score]")
@click.option("--title", default="Leaderboard", show_default=True, help="Of the section; one section a title.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@json_option
def board(
    *,
    runs: tuple[str, ...],
    repo: str,
    repo_type: Any,
    tables: tuple[str, ...],
    metric: str | None,
    title: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Put a leaderboard of RUNS on the card of an organisation.

    \b
    peakbench hub board runs/* --repo org/README
    """
    from peakbench.api.hubs import hub_push
    from peakbench.api.leaderboards import leaderboard

    _prepare()
    ranked = leaderboard(*runs, csv=tables, metric=metric, title=title)
    done = hub_push(
        ranked, repo, repo_type=repo_type, on_plan=_asking(yes, as_json), on_retry=lambda why: say(f"again: {why}")
    )
    _tell(done, as_json)


@hub.command()
@click.argument("folder", type=click.Path())
@click.option("--repos", type=click.Path(), metavar="FILE", help='Which model is where: JSON, {"model": "org/name"}.')
@click.option("--organisation", metavar="ORG", help="Where the other models are: ORG/model.")
@_card_options
@click.option("--yes", is_flag=True, help="Write; without it, only say what would be written.")
@click.option("--watch", is_flag=True, help="Go on looking for finished runs until interrupted; needs --yes.")
@click.option("--every", type=click.FloatRange(0.1), default=30.0, show_default=True, help="Seconds between looks.")
@json_option
@click.pass_context
def sync(
    context: click.Context,
    /,
    *,
    folder: str,
    repos: str | None,
    organisation: str | None,
    yes: bool,
    watch: bool,
    every: float,
    as_json: bool,
    **card: Any,
) -> None:
    """Bring every finished run in FOLDER to its model's card; what the cards say already is left alone.

    A model that is named like a repository (org/name) is brought there. Of several runs of one model over the same
    data and task the newest counts. With --json: one object a line.

    \b
    peakbench hub sync runs --organisation org
    peakbench hub sync runs --organisation org --yes --watch
    """
    from peakbench.api.hubs import hub_sync
    from peakbench.report.hub import counted

    if watch and not yes:
        raise click.UsageError("--watch writes to cards while nobody looks: say --yes too")
    found = hub_sync(
        folder,
        repos=repos,
        organisation=organisation,
        options=_options(card),
        write=yes,
        watch_s=every if watch else None,
        on_retry=lambda why: say(f"again: {why}"),
    )
    results = list(_told(found, as_json))
    if not as_json:
        say(counted(one.state for one in results) + ("" if yes else "; nothing was written: say --yes to write"))
    context.exit(max((one.error.exit_code for one in results if one.error), default=0))


def _prepare() -> None:
    from peakbench.hub.remote import check_installed, quiet

    check_installed()
    quiet()


def _told(found: Iterator[Synced], as_json: bool) -> Iterator[Synced]:
    import json

    from peakbench.report.hub import plan_page, synced_line

    for one in found:
        if as_json:
            click.echo(json.dumps(one.as_dict()))
        else:
            click.echo(synced_line(one.as_dict()))
            if one.plan and one.state == "planned":
                write_page(plan_page(one.plan.as_dict()))
        sys.stdout.flush()
        yield one


def _asking(yes: bool, as_json: bool) -> Callable[[Plan], bool]:
    def asked(plan: Plan) -> bool:
        from peakbench.report.hub import plan_page

        if as_json:
            if plan.changes and not yes:
                raise click.UsageError("--json asks nobody: say --yes too, or use 'hub plan'")
            return True
        write_page(plan_page(plan.as_dict()))
        sys.stdout.flush()
        if not plan.changes or yes:
            return True
        if not sys.stdin.isatty():
            raise click.UsageError("nothing was written: there is nobody to ask; say --yes")
        return click.confirm(f"Write this to {plan.repo}?", err=True)

    return asked


def _tell(done: Push | None, as_json: bool) -> None:
    from peakbench.report.hub import push_page

    if done is None:
        say("nothing was written")
    elif as_json:
        write_json(done.as_dict())
    else:
        write_page(push_page(done.as_dict()))
