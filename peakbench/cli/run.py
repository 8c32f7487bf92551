"""``peakbench run``: ask a model about a data set, score the answers, show the result."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peakbench.cli.base import Command, PanelOption, json_option, resume_command, say, write_json, write_page
from peakbench.cli.options import resolve_options, with_settings
from peakbench.config import FIELDS, Resolved, option_name
from peakbench.errors import ConfigError, EndpointError, EndpointRefused, StoreError, TaskError, nearest

if TYPE_CHECKING:
    from peakbench.api import Plan
    from peakbench.config import RunSettings
    from peakbench.registry import Registry
    from peakbench.report.progress import Progress
    from peakbench.runner import Started
    from peakbench.runs import Run

FAILED_REMAIN = 3
INTERRUPTED = 130
RECORDED = frozenset(
    {"endpoint", "model", "data", "task", "out", "limit", "repeats", "repair", "transport", "workers"}
    | {"family", "parameters", "training", "quantization", "model_version", "base_run"}
    | {"temperature", "max_tokens", "max_completion_tokens", "seed", "top_p", "stop", "structured", "extra_body"}
)
"""Settings that run.json holds, so that ``--resume --out DIR`` needs none of them."""


@click.command(cls=Command)
@with_settings
@click.option(
    "--resume",
    is_flag=True,
    cls=PanelOption,
    panel="What is measured",
    help="Go on with the run in --out: ask what is left.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    cls=PanelOption,
    panel="What is measured",
    help="Show the first request and the size of the run.",
)
@json_option
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but the result.")
def run(resume: bool, dry_run: bool, as_json: bool, quiet: bool, **values: Any) -> int:
    """Ask a model about a data set, score its answers, and show the result.

    Without --endpoint, the small reader inside the package is asked, on this machine, about drawn garments that it
    has not seen: no key, no GPU, no network.

    \b
    peakbench run --endpoint http://127.0.0.1:8000/v1 --model qwen3-vl-2b --data eval.jsonl --task garment
    peakbench run --resume --out runs/qwen3-vl-2b
    """
    from peakbench import api
    from peakbench.builtins import open_registry

    resolved = resolve_options(values, resume=resume)
    settings = resolved.settings
    registry = open_registry(extra=[Path(file) for file in settings.definitions])
    for broken in registry.plugins.broken:
        say(f"warning: {broken}; it is left out (see: peakbench plugins)")
    _check_endpoint(resolved, registry)
    if dry_run:
        plan = api.plan(**settings.arguments())
        _show_plan(plan, as_json=as_json)
        return 0
    if resume:
        _check_resumable(settings)
    out = settings.out or default_out(settings)
    again = full_resume_command(resolved, out, config=values.get("config_file"))
    arguments = {**settings.arguments(), "out": out, "resume": resume}
    for note in [] if quiet else _notes(settings, registry):
        say(note)
    try:
        with _progress(settings, out, registry, quiet=quiet) as on_event:
            finished = api.run(**arguments, on_event=on_event)
    except KeyboardInterrupt:
        if (Path(out) / "run.json").is_file():
            say(f"interrupted; every finished answer is on disk. Go on with:\n  {again}")
        else:
            say("interrupted; nothing was asked")
        return INTERRUPTED
    except EndpointError as error:
        say(f"error: {error}\n  go on with: {again}")
        if isinstance(error, EndpointRefused) and not resume:
            say(f"  another model is another run: name another --out, or remove {out}")
        return error.exit_code
    if as_json:
        write_json(finished.summary)
    else:
        from peakbench.report.summary import summary_page

        write_page(summary_page(finished.summary, path=out, resume=again))
        if not quiet:
            say(f"one sample: peakbench show {shlex.quote(out)} --sample ID")
    if settings.report:
        _write_report(finished, quiet=quiet or as_json)
    failed = int(finished.summary["samples"].get("failed") or 0)
    if failed > settings.max_failed:
        if quiet or as_json:
            say(f"{failed:,} request{'' if failed == 1 else 's'} failed; go on with: {again}")
        return FAILED_REMAIN
    return 0


def _write_report(finished: Run, *, quiet: bool) -> None:
    """Write the run's page. The run is finished and its numbers are on disk: nothing here may make it fail."""
    try:
        from peakbench.api.reports import write_report

        page = write_report(finished)
    except (Exception, KeyboardInterrupt) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        say(
            f"warning: no report was written: {reason}\n  try again: peakbench report {shlex.quote(str(finished.path))}"
        )
    else:
        if not quiet:
            say(f"report: {page}")


def default_out(settings: RunSettings) -> str:
    """A run directory that names what is measured and when.

    >>> from peakbench.config import RunSettings
    >>> default_out(RunSettings(model="org/qwen3", data="sets/eval.jsonl")).rpartition("-")[0].rpartition("-")[0]
    'runs/org-qwen3-eval'
    """
    from peakbench.api import DEFAULT_PROVIDER

    model = settings.model or settings.endpoint or DEFAULT_PROVIDER
    names = (model, Path(settings.data).stem if settings.data else "demo")
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(names)).strip("-.")
    return f"runs/{slug}-{datetime.now():%Y%m%d-%H%M%S}"


def _check_resumable(settings: RunSettings) -> None:
    """``--resume`` may begin a run that is fully named (a script that always resumes); it must not begin another."""
    if settings.out is None:
        raise ConfigError("--resume needs the run that is to go on", expected="--out DIR")
    if settings.endpoint is None and not (Path(settings.out) / "run.json").is_file():
        raise StoreError("no run here to go on with", where=settings.out, expected="a run directory: it holds run.json")


def full_resume_command(resolved: Resolved, out: str, *, config: str | None = None) -> str:
    """The command that goes on with a run: options that run.json does not hold are repeated, secrets are not.

    ``config``: the file of ``--config``, where one was named.

    >>> from peakbench.config import resolve
    >>> from pathlib import Path
    >>> options = {"model": "m", "timeout": "9", "headers": ("X-Key: secret",)}
    >>> full_resume_command(resolve(options, environment={}, start=Path("/nowhere")), "runs/a b")
    "peakbench run --resume --out 'runs/a b' --header 'X-Key: ...' --timeout 9"
    """
    from peakbench.client.address import display_url
    from peakbench.client.base import Endpoint

    words = [resume_command(out)]
    endpoint = resolved.settings.endpoint or ""
    if config:
        words.append(f"--config {shlex.quote(config)}")
    if resolved.profile:
        words.append(f"--endpoint {shlex.quote(resolved.profile)}")
    elif "://" in endpoint and display_url(Endpoint(endpoint, "")) != endpoint:
        words.append("--endpoint '...'")  # run.json keeps no credentials, and neither does a message
    for name in FIELDS:
        value = getattr(resolved.settings, name)
        flag = option_name(name)
        if name in RECORDED or not resolved.origins[name].startswith("--"):
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif isinstance(value, Mapping):
            words += [f"{flag} {shlex.quote(f'{key}: ...')}" for key in value]
        elif name == "proxy" and "@" in value:
            words.append(f"{flag} '...'")
        else:
            items = value if isinstance(value, tuple) else (value,)
            words += [f"{flag} {shlex.quote(f'{item:g}' if isinstance(item, float) else str(item))}" for item in items]
    return " ".join(words)


def _progress(
    settings: RunSettings, out: str, registry: Registry, *, quiet: bool
) -> AbstractContextManager[Progress | None]:
    """Return what shows a run in progress: nothing where it is to be quiet."""
    if quiet:
        return nullcontext()
    from peakbench.report.progress import Progress
    from peakbench.report.running import RunningScore
    from peakbench.store import RunDirectory

    scorer: RunningScore | None = None

    def started(event: Started) -> None:
        nonlocal scorer
        directory = RunDirectory.open(Path(out))
        if directory.task.answer == "json":
            window = 8 * event.workers + 256
            samples = directory.samples()
            # A comparator that needs a model scores at the end: no model is loaded beside the asking.
            with suppress(TaskError):
                scorer = RunningScore(
                    directory.task, registry, samples, repair=settings.repair, window=window, profile=settings.profile
                )

    return Progress(running=lambda batch: scorer(batch) if scorer else None, on_started=started)


def _check_endpoint(resolved: Resolved, registry: Registry) -> None:
    """A name must be known: peakbench.toml's profiles are already URLs here."""
    name = resolved.settings.endpoint
    given = [option_name(key) for key in ("data", "model") if getattr(resolved.settings, key) is not None]
    if name is None and given:
        raise ConfigError(
            f"{' and '.join(given)} without an endpoint: there is nobody to ask",
            expected="--endpoint URL --model NAME, or nothing of all that for the small reader inside the package",
            hint="--endpoint reader asks that reader about any data",
        )
    if name is None or "://" in name or name in registry.endpoints:
        return
    if ":" in name or "/" in name:
        raise ConfigError(
            f"'{name}' is not a URL", where="--endpoint", expected="http://...", hint=f"did you mean 'http://{name}'?"
        )
    raise ConfigError(
        f"unknown endpoint '{name}'",
        where="--endpoint",
        expected="a URL, a name from [endpoints] in peakbench.toml, or one that a plugin brings",
        hint=nearest(name, [*resolved.profiles, *registry.endpoints]),
    )


def _notes(settings: RunSettings, registry: Registry) -> list[str]:
    from peakbench.api import DEFAULT_PROVIDER

    provider = registry.endpoints.get(settings.endpoint or DEFAULT_PROVIDER)
    notes = [provider.notice] if provider and provider.notice else []
    if settings.data is None and not (provider and provider.data):
        notes.append("No data set was named: the small one inside the package is used.")
    return notes


def _show_plan(plan: Plan, *, as_json: bool) -> None:
    import json

    from peakbench.client.address import completions_url
    from peakbench.client.base import Endpoint
    from peakbench.report.tables import Lines, Page, neutral

    url = completions_url(Endpoint(plan.url, ""))
    shown = {
        "url": url,
        "request": plan.request,
        "requests": plan.requests,
        "full_requests": plan.full_requests,
        "image_bytes": plan.image_bytes,
        "prompt_characters": plan.prompt_characters,
        "max_completion_tokens": plan.max_completion_tokens,
        "notes": list(plan.notes),
    }
    if as_json:
        write_json(shown)
        return
    page = Page()
    page.add(
        Lines(
            [
                f"POST {neutral(url)}",
                *neutral(json.dumps(plan.request, indent=2, ensure_ascii=False), keep="\n").split("\n"),
            ]
        )
    )
    lines = [
        f"{plan.requests:,} requests, {_size(plan.image_bytes)} of images",
        f"{plan.prompt_characters:,} characters of text",
        f"at most {plan.max_completion_tokens:,} tokens of answers",
    ]
    if plan.full_requests != plan.requests:
        whole = plan.image_bytes * plan.full_requests / plan.requests
        lines.append(f"without --limit: {plan.full_requests:,} requests, about {_size(whole)} of images")
    page.add(Lines(lines, "This run would send"))
    page.add(Lines([neutral(note) for note in plan.notes], "Notes", "note"))
    page.add(Lines(["nothing was sent"]))
    write_page(page)


def _size(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
