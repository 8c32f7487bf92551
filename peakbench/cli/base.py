"""What every command shares: groups that import a command only when it is called, panels of options, --json."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from peakbench.errors import PluginError, nearest
from peakbench.plugins import commands

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from peakbench.report.tables import Page

F = TypeVar("F", bound=Callable[..., Any])


class PanelOption(click.Option):
    """An option that stands under a heading of its own in ``--help``."""

    def __init__(self, *args: Any, panel: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.panel = panel


class Command(click.Command):
    """A command whose options are grouped by panel; ``--debug`` may stand behind it as before it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, hidden=True))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a panel, in the order in which the panels first appear."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panels.setdefault(getattr(parameter, "panel", "Options"), []).append(record)
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records, col_max=34)


class Group(click.Group):
    """A group whose commands are Commands; an unknown command names the nearest."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; a typo gets the nearest name in the message."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"no command '{name}'; {nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """The root group: built-in commands from a table, plugins' commands from entry points; none imported to be listed.

    ``lazy`` maps a command's name to ``(module:attribute, one line of help)``.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, built-in ones first."""
        return [*self.lazy, *(name for name in commands() if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command that is called."""
        if cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name][0].partition(":")
            return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]
        entry_point = commands().get(cmd_name)
        return PluginCommand(cmd_name, entry_point) if entry_point else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, and plugins' by the package that brings them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in self.lazy.items()])
        added = [(name, _brought_by(entry)) for name, entry in commands().items() if name not in self.lazy]
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(added)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        """Complete command names without importing any of them."""
        from click.shell_completion import CompletionItem

        helps = {name: help for name, (_, help) in self.lazy.items()}
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=helps.get(name)) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)


class PluginCommand(click.Command):
    """A plugin's command, imported when it is called; everything after its name is its own to read.

    The entry point names a click command, or anything with the ``main`` of one (a Typer app's command too).
    """

    def __init__(self, name: str, entry_point: EntryPoint) -> None:
        super().__init__(
            name,
            add_help_option=False,
            context_settings={
                "ignore_unknown_options": True,
                "allow_extra_args": True,
                "allow_interspersed_args": False,
            },
        )
        self.entry_point = entry_point

    def invoke(self, ctx: click.Context) -> Any:
        """Import the plugin's command and hand it the arguments."""
        try:
            command = self.entry_point.load()
        except Exception as error:
            raise self._refused(f"{type(error).__name__}: {error}") from error
        if not callable(getattr(command, "main", None)):
            raise self._refused(f"{self.entry_point.value} is not a click command")
        return command.main(list(ctx.args), prog_name=ctx.command_path, standalone_mode=False)

    def _refused(self, reason: str) -> PluginError:
        return PluginError(
            f"command '{self.name}' of {_brought_by(self.entry_point)} cannot be used: {reason}",
            hint="see: peakbench plugins",
        )


def _brought_by(entry_point: EntryPoint) -> str:
    return f"the package {entry_point.dist.name}" if entry_point.dist else "a plugin"


def json_option(function: F) -> F:
    """Add ``--json`` (``as_json``): the result on stdout as JSON, and nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout, and nothing else there.")(
        function
    )


def resume_command(out: str) -> str:
    """The command that goes on with the run in a directory.

    >>> resume_command("runs/a b")
    "peakbench run --resume --out 'runs/a b'"
    """
    return f"peakbench run --resume --out {shlex.quote(out)}"


def write_json(value: Any) -> None:
    """Write JSON to stdout, in ASCII: what a terminal or a pipe can carry whatever the data holds."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def write_page(page: Page, form: str | None = None) -> None:
    """Write a page to stdout: coloured on a terminal, plain elsewhere."""
    page.write(sys.stdout, "terminal" if form is None and sys.stdout.isatty() else form or "plain")  # type: ignore[arg-type]


def say(message: str) -> None:
    """Write a line for people to stderr, with nothing in it that a terminal would obey."""
    from peakbench.report.tables import neutral

    click.echo(neutral(message, keep="\n"), err=True)


def shared(context: click.Context) -> MutableMapping[str, Any]:
    """What the root command knows: ``arguments`` as they were given."""
    return context.ensure_object(dict)
