"""``peakbench completion``: what a shell needs to complete commands and options."""

from __future__ import annotations

import os
from pathlib import Path

import click

from peakbench.cli.base import Command
from peakbench.errors import ConfigError

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def completion(shell: str | None) -> None:
    """Print the completion script of a SHELL (default: yours).

    \b
    bash: peakbench completion bash > ~/.local/share/bash-completion/completions/peakbench
    zsh:  peakbench completion zsh > "${fpath[1]}/_peakbench"
    fish: peakbench completion fish > ~/.config/fish/completions/peakbench.fish
    """
    from click.shell_completion import get_completion_class

    from peakbench.cli.app import app

    name = shell or Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise ConfigError(f"no completion for the shell '{name}'", expected=" | ".join(SHELLS))
    source = get_completion_class(name)
    assert source is not None
    click.echo(source(app, {}, "peakbench", "_PEAKBENCH_COMPLETE").source())
