"""``peakbench plugins``: what is plugged in, what it offers, what is broken and why."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from peakbench.cli.base import Command, json_option, write_json, write_page


@click.command(cls=Command)
@json_option
def plugins(as_json: bool) -> None:
    """Show what is plugged in, what it offers, and what is broken and why."""
    from peakbench.builtins import open_registry
    from peakbench.plugins import commands as plugin_commands
    from peakbench.report.tables import Lines, Page, Table, neutral

    found = open_registry().plugins
    offers: list[dict[str, Any]] = [
        {
            "name": plugin.name,
            "package": plugin.distribution,
            "version": plugin.version,
            "offers": {
                field.name: [_name(item) for item in getattr(plugin.offers, field.name)]
                for field in dataclasses.fields(plugin.offers)
                if getattr(plugin.offers, field.name)
            },
        }
        for plugin in found.loaded
    ]
    commands = {name: entry.dist.name if entry.dist else "" for name, entry in plugin_commands().items()}
    if as_json:
        broken = [{"name": b.name, "package": b.distribution, "reason": b.reason} for b in found.broken]
        write_json({"loaded": offers, "broken": broken, "blocked": list(found.blocked), "commands": commands})
        return
    page = Page()
    for plugin in offers:
        title = " ".join(filter(None, (plugin["name"], plugin["version"])))
        if plugin["package"] and plugin["package"] != plugin["name"]:
            title += f" (package {plugin['package']})"
        rows = [[kind.replace("_", " "), neutral(", ".join(names))] for kind, names in plugin["offers"].items()]
        page.add(Table(["", ""], rows, neutral(title), frozenset({""})))
    page.add(Lines([neutral(f"{name} (package {package})") for name, package in commands.items()], "Commands"))
    page.add(Lines([neutral(broken) for broken in found.broken], "Broken", "note"))
    page.add(Lines([neutral(name) for name in found.blocked], "Blocked"))
    write_page(page)


def _name(item: Any) -> str:
    """What an offered thing is called: a kind's or task's name, a file's name."""
    if isinstance(item, Path):
        return item.stem if item.parent.name == "tasks" else item.name
    for attribute in ("name", "id"):
        if isinstance(getattr(item, attribute, None), str):
            return str(getattr(item, attribute))
    return "inline definitions"
