"""The options of ``run`` and ``config``, made from the table of settings in peakbench.config."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import click

from peakbench.cli.base import PanelOption
from peakbench.config import FIELDS, Resolved, RunSettings, kind_of, option_name, resolve

DEFAULTS = {field.name: field.default for field in dataclasses.fields(RunSettings)}
CONFIG_OPTION = PanelOption(
    ["--config", "config_file"],
    type=click.Path(),
    metavar="FILE",
    help="Read this peakbench.toml instead of the nearest one.",
)


def setting_options() -> list[click.Option]:
    """One option a setting, none with a default: what was not given is for the other layers to say."""
    return [*(_option(name) for name in FIELDS), CONFIG_OPTION]


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all options of a run; it gets them by name, None where not given."""
    for option in reversed(setting_options()):
        # click collects a command's options from this attribute, as its own decorators do.
        function.__dict__.setdefault("__click_params__", []).append(option)
    return function


def resolve_options(values: Mapping[str, Any], *, resume: bool = False) -> Resolved:
    """Lay the options over file and environment; keys that are no setting (``json``, ``quiet``) are passed over.

    Raises:
        ConfigError: a setting cannot be used.
    """
    file = values.get("config_file")
    given = {name: value for name, value in values.items() if name in FIELDS}
    return resolve(given, file=Path(file) if file else None, resume=resume)


def _option(name: str) -> click.Option:
    (kind, may_be_none), setting, flag = kind_of(name), FIELDS[name], option_name(name)
    help_text = setting.help[:1].upper() + setting.help[1:]
    help_text += "." + _default(DEFAULTS[name])
    if kind is bool:
        return PanelOption([f"{flag}/--no-{flag[2:]}", name], default=None, help=help_text, panel=setting.panel)
    origin = typing.get_origin(kind)
    value_type: Any = click.STRING
    if origin is Literal:
        value_type = click.Choice([*typing.get_args(kind), *(["none"] if may_be_none else [])])
    elif setting.is_path or name == "out":
        value_type = click.Path()  # completes file names; whether it is there is for the library to say
    return PanelOption(
        [flag, name],
        type=value_type,
        multiple=origin is tuple or name == "headers",
        default=None,
        metavar=setting.metavar,
        help=help_text,
        panel=setting.panel,
    )


def _default(value: Any) -> str:
    if value is None or value is False or value == () or value is dataclasses.MISSING:
        return ""
    shown = ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
    return f" [default: {shown}]"
