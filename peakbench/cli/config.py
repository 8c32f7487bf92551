"""``peakbench config``: the settings in force, and where each came from."""

from __future__ import annotations

import os
from typing import Any

import click

from peakbench.cli.base import Command, json_option, say, write_json, write_page
from peakbench.cli.options import resolve_options, with_settings
from peakbench.config import FIELDS, Resolved, display_path, unknown_variables


@click.command(cls=Command)
@with_settings
@json_option
def config(as_json: bool, **values: Any) -> None:
    """Show the settings in force and where each came from.

    Takes the options of 'peakbench run'. The later layer wins: default, [run] and [run.sampling] in
    peakbench.toml, [endpoints.NAME] for the endpoint that is chosen, PEAKBENCH_... variables, options. Keys are
    never shown, only whether they are set.
    """
    from peakbench.report.tables import Lines, Page, Table, neutral

    resolved = resolve_options(values)
    shown = {name: _shown(name, resolved) for name in FIELDS}
    key = resolved.settings.api_key_env
    key_state = "set" if os.environ.get(key) else "not set"
    for line in unknown_variables(os.environ):
        say(f"note: {line}")
    if as_json:
        write_json(
            {
                "file": str(resolved.file) if resolved.file else None,
                "endpoints": list(resolved.profiles),
                "api_key": {"variable": key, "state": key_state},
                "settings": {name: {"value": value, "from": resolved.origins[name]} for name, value in shown.items()},
            }
        )
        return
    page = Page()
    head = [f"file {display_path(resolved.file)}" if resolved.file else "no peakbench.toml found"]
    if resolved.profiles:
        head.append("endpoints " + ", ".join(neutral(name) for name in resolved.profiles))
    head.append(f"key ${key}: {key_state}")
    page.add(Lines(head))
    for panel in dict.fromkeys(setting.panel for setting in FIELDS.values()):
        rows = [
            [name, neutral(_cell(shown[name]), limit=60), neutral(resolved.origins[name])]
            for name, setting in FIELDS.items()
            if setting.panel == panel
        ]
        page.add(Table(["setting", "value", "from"], rows, panel, frozenset({"value", "from"})))
    write_page(page)


def _shown(name: str, resolved: Resolved) -> Any:
    """A value fit to be seen: header values and what a URL may hide stay out."""
    value = getattr(resolved.settings, name)
    if name == "headers":
        return dict.fromkeys(value, "set")
    if name in {"endpoint", "proxy"} and isinstance(value, str) and "://" in value:
        from urllib.parse import urlsplit, urlunsplit

        parts = urlsplit(value)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return value


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {item}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
