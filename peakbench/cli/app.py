"""The root command: what commands there are, how an error ends, which exit code it has."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from peakbench.cli.base import LazyGroup
from peakbench.errors import PeakBenchError

INTERRUPTED = 130
COMMANDS = {
    "run": ("peakbench.cli.run:run", "Ask a model about a data set, and score its answers."),
    "score": ("peakbench.cli.score:score", "Score a run again, or answers that came from elsewhere."),
    "show": ("peakbench.cli.show:show", "Show a run, or one of its samples."),
    "report": ("peakbench.cli.report:report", "Write the report of a run, or of a comparison, as a web page."),
    "view": ("peakbench.cli.view:view", "Look at many runs in the browser, live."),
    "compare": ("peakbench.cli.compare:compare", "Compare runs: by how much, how sure, which samples."),
    "gate": ("peakbench.cli.gate:gate", "Pass a run only where it is no worse than a baseline."),
    "baseline": ("peakbench.cli.baseline:baseline", "Save a run's scores for the gate, and show what was saved."),
    "leaderboard": (
        "peakbench.cli.leaderboard:leaderboard",
        "Rank runs and published scores, with charts and findings.",
    ),
    "pairs": ("peakbench.cli.pairs:pairs", "Find what quantization cost and training added."),
    "tag": ("peakbench.cli.tag:tag", "Say where a run's model comes from."),
    "confusion": ("peakbench.cli.confusion:confusion", "Show what a field's values are taken for."),
    "export": ("peakbench.cli.export:export", "Write a run's numbers for other tools."),
    "hub": ("peakbench.cli.hub:hub", "Put a run's scores on its Hugging Face model card."),
    "consistency": ("peakbench.cli.consistency:consistency", "Compare repeated answers, of one run or of two."),
    "metrics": ("peakbench.cli.metrics:metrics", "List, explain and check metric definitions."),
    "data": ("peakbench.cli.data:data", "Check a data set: every image is decoded."),
    "task": ("peakbench.cli.task:task", "List, show and write tasks."),
    "weights": ("peakbench.cli.weights:weights", "List, fetch and verify the models that metrics use."),
    "serve": ("peakbench.cli.serve:serve", "Serve a small reader behind the OpenAI API."),
    "plugins": ("peakbench.cli.plugins:plugins", "Show what is plugged in, and what is broken."),
    "config": ("peakbench.cli.config:config", "Show the settings in force and where each came from."),
    "completion": ("peakbench.cli.completion:completion", "Print the completion script of a shell."),
}
EPILOG = """\b
Exit codes: 0 done, 1 internal error, 2 usage or input, 3 failed requests remain,
4 the gate fell, 5 too few samples to tell, 6 not comparable, 130 interrupted.
Settings are read from peakbench.toml and PEAKBENCH_... variables too: see 'peakbench config'."""


def _print_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from peakbench import __version__

        click.echo(f"peakbench {__version__}")
        context.exit()


app = LazyGroup(
    name="peakbench",
    lazy=COMMANDS,
    help="Measure how well a model reads images into JSON.\n\nStart with 'peakbench run': it needs no key, no GPU and "
    "no network.",
    epilog=EPILOG,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Show the version.",
        ),
        click.Option(
            ["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error (PEAKBENCH_DEBUG=1)."
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; every error becomes a message here and nowhere else."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("PEAKBENCH_DEBUG", "0") not in {"", "0"}
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot write a letter of the data must not end the run.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app.main(given, prog_name="peakbench", standalone_mode=False, obj={"arguments": given})
        sys.stdout.flush()
    except click.ClickException as error:
        return _usage(error)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PeakBenchError as error:
        if debug:
            _trace()
        _say(f"error: {error}")
        return error.exit_code
    except Exception as error:
        if debug:
            _trace()
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
        _say(f"internal error: {detail}\n  this is a fault of peakbench or of a plugin; PEAKBENCH_DEBUG=1 shows where")
        return 1
    return code if isinstance(code, int) else 0


def _usage(error: click.ClickException) -> int:
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        click.echo(error.format_message())
        return 2
    if context is not None:
        click.echo(context.get_usage(), err=True)
    _say(f"error: {error.format_message()}")
    if context is not None:
        click.echo(f"  see: {context.command_path} --help", err=True)
    return 2


def _trace() -> None:
    import traceback

    _say(traceback.format_exc())


def _say(message: str) -> None:
    from peakbench.report.tables import neutral

    click.echo(neutral(message, keep="\n"), err=True)
