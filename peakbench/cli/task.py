"""``peakbench task``: list and show tasks, and write one from a JSON schema or from the references of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peakbench.cli.base import Command, Group, json_option, say, write_json, write_page
from peakbench.errors import ConfigError, DataError, DataProblem, StoreError, TaskError

if TYPE_CHECKING:
    from peakbench.records import Sample


@click.group(cls=Group)
def task() -> None:
    """List, show and write tasks."""


@task.command("list", cls=Command)
@json_option
def list_tasks(as_json: bool) -> None:
    """List the tasks that ship or come from plugins."""
    from peakbench.builtins import open_registry
    from peakbench.report.tables import Page, Table, neutral

    tasks = open_registry().tasks
    if as_json:
        write_json(
            [{"id": t.id, "version": t.version, "title": t.title, "fields": list(t.keys)} for t in tasks.values()]
        )
        return
    page = Page()
    rows = [
        [name, str(t.version), t.answer, neutral(", ".join(t.keys)) or "-", neutral(t.title)]
        for name, t in tasks.items()
    ]
    columns = ["task", "version", "answer", "fields", "title"]
    page.add(Table(columns, rows, "", frozenset(columns)))
    write_page(page)


@task.command("show", cls=Command)
@click.argument("name")
@json_option
def show_task(name: str, as_json: bool) -> None:
    """Show a task: NAME is one of 'peakbench task list', or a task file. --json writes a file to start from."""
    from peakbench.builtins import open_registry
    from peakbench.report.tables import Lines, Page, Table, neutral
    from peakbench.tasks import task_file

    found = open_registry().task(name)
    if as_json:
        write_json(task_file(found))
        return
    page = Page()
    page.add(Lines([f"{found.id} v{found.version}", *([neutral(found.title)] if found.title else [])], kind="heading"))
    rows = []
    for key, field in found.fields.items():
        kind = f"list of {field.type}" if field.many else field.type
        values = neutral(", ".join(field.vocabulary), limit=60) if field.vocabulary else "any"
        rows.append([neutral(key), f"{field.weight:g}", neutral(field.comparator, limit=50), kind, values])
    columns = ["field", "weight", "comparator", "type", "values"]
    page.add(Table(columns, rows, "Fields", frozenset(columns[2:])))
    page.add(
        Lines(neutral(found.prompt.system or "", keep="\n").split("\n") if found.prompt.system else [], "System prompt")
    )
    page.add(Lines(neutral(found.prompt.user, keep="\n").split("\n"), f"Prompt, version {found.prompt.version}"))
    write_page(page)


@task.command("init", cls=Command)
@click.argument("task_id", metavar="ID")
@click.option("--from-schema", type=click.Path(), metavar="FILE", help="A JSON schema of the answer.")
@click.option("--from-data", type=click.Path(), metavar="PATH", help="A data set; its references show the fields.")
@click.option("--out", type=click.Path(), metavar="FILE", help="Where to write it. [default: ID.json]")
@click.option("--force", is_flag=True, help="Overwrite the file.")
def init(task_id: str, from_schema: str | None, from_data: str | None, out: str | None, force: bool) -> None:
    """Write the task ID, from a JSON schema or from the references of a data set, to be mended by hand."""
    from peakbench.builtins import open_registry
    from peakbench.datasets import open_dataset
    from peakbench.tasks import task_file, task_from_references, task_from_schema

    if (from_schema is None) == (from_data is None):
        raise ConfigError("a task comes from one source", expected="--from-schema FILE or --from-data PATH")
    path = Path(out or f"{task_id}.json")
    if path.exists() and not force:
        raise StoreError(
            "exists already", where=str(path), hint="name another with --out, or overwrite it with --force"
        )
    if from_schema is not None:
        drafted = task_from_schema(_read_schema(Path(from_schema)), task_id)
    else:
        registry = open_registry()
        samples = _samples(open_dataset(from_data, readers=registry.readers))
        drafted = task_from_references(samples, task_id, nulls=registry.nulls)
    try:
        path.write_text(json.dumps(task_file(drafted), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from None
    say(f"wrote {path}: {len(drafted.fields)} fields; look at weights, comparators and prompt")


def _read_schema(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TaskError("no such file", where=str(path)) from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise TaskError(f"cannot be read: {error}", where=str(path)) from None
    except json.JSONDecodeError as error:
        raise TaskError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    if not isinstance(value, dict):
        raise TaskError("not a JSON object", where=str(path), expected="a JSON schema")
    return value


def _samples(dataset: Iterable[Sample | DataProblem]) -> Iterator[Sample]:
    for item in dataset:
        if isinstance(item, DataProblem):
            raise DataError("a task cannot be drafted from this data set", problems=[item], hint="peakbench data check")
        yield item
