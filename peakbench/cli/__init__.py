"""The command line: one file a command group, each imported only when its command is called."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``peakbench`` with these arguments (``sys.argv[1:]`` where None) and return the exit code."""
    from peakbench.cli.app import main as run

    return run(arguments)
