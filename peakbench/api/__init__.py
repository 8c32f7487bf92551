"""What a user does: run, arun, plan, score, load_run. The command line is a thin layer over this room."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, Unpack

from peakbench.analysis.evaluation.passes import evaluate
from peakbench.api.adoption import adopt
from peakbench.api.jobs import DEFAULT_PROVIDER, Job, prepared, samples_of
from peakbench.api.options import MetricChoice, Options, RunOptions, check_profile, options_of
from peakbench.backends import open_tools
from peakbench.builtins import open_registry
from peakbench.client.opening import display_url, open_transport
from peakbench.client.wire import preview
from peakbench.errors import ConfigError, ImageError
from peakbench.metrics.base import Encoder, Entailer, Lexicon
from peakbench.records import Completion, Sample
from peakbench.runner import Policy, ask
from peakbench.runs import Run
from peakbench.scoring import Profile
from peakbench.store import JournalIndex, RunDirectory
from peakbench.tasks import Task

__all__ = ["DEFAULT_PROVIDER", "Plan", "RunOptions", "arun", "load_run", "plan", "run", "score"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would ask, without asking.

    ``request``: the first request as it would be sent, images shortened. ``requests``: how many this run would send;
    ``full_requests``: how many without ``limit``. ``image_bytes`` and ``prompt_characters``: of this run, all requests
    together. ``max_completion_tokens``: the most that all answers together could hold.
    """

    request: Mapping[str, Any]
    url: str
    requests: int
    full_requests: int
    image_bytes: int
    prompt_characters: int
    max_completion_tokens: int
    notes: tuple[str, ...]


def run(data: Any = None, **options: Unpack[RunOptions]) -> Run:
    """Ask a model about a data set, score the answers, and return the run.

    Works in a script and inside a notebook's running event loop. Whatever ends it early, every finished answer is in
    the run directory, and ``resume=True`` asks only the rest.

    Args:
        data: a path (JSONL, CSV, Parquet, a Hugging Face data set on disk), or samples. Default: the endpoint's own.
        options: see :class:`RunOptions`.

    Raises:
        InputError: a setting, the task, the data or the run directory cannot be used; nothing has been asked.
        EndpointRefused: the server said 401, 403 or 404.
        EndpointGone: the server stopped answering.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> result = run(out=f"{folder}/demo", limit=4, resamples=100)
    >>> result.summary["samples"]["answers"], result.summary["samples"]["failed"]
    (4, 0)
    """
    return _wait(arun(data, **options))


async def arun(data: Any = None, **options: Unpack[RunOptions]) -> Run:
    """Do what :func:`run` does, inside the caller's event loop."""
    with prepared(data, options_of(options)) as job:
        directory = await asyncio.to_thread(job.open_directory)
        with contextlib.closing(directory.index()) as index:
            left = job.left(directory, index)
            if left:
                await _ask(job, directory, index, left)
        await asyncio.to_thread(job.evaluate, directory)
        return Run(directory.path)


async def _ask(job: Job, directory: RunDirectory, index: JournalIndex, left: int) -> None:
    with directory.session(job.options.workers), directory.journal() as journal:
        transport = open_transport(job.endpoint)
        try:
            await ask(
                job.requests(directory, index.answered),
                transport,
                journal,
                policy=Policy(
                    workers=job.options.workers,
                    retries=job.options.retries,
                    rate=job.options.rate,
                ),
                stream=job.options.stream,
                total=left,
                on_event=job.options.on_event,
            )
        finally:
            await transport.aclose()


def plan(data: Any = None, **options: Unpack[RunOptions]) -> Plan:
    """Say what :func:`run` would send, without sending it: the first request, and what the whole would cost.

    >>> plan(limit=2).requests
    2
    """
    with prepared(data, options_of(options)) as job, job.spooled() as (records, _):
        sample, record = next(zip(job.dataset, records, strict=False))
        assert isinstance(sample, Sample)
        request = job.request(sample, record, 0)
        if isinstance(request, Completion):
            raise ImageError(request.failure.message if request.failure else "cannot be read", where=sample.where)
        repeats = job.options.repeats
        image_bytes = sum(image.bytes for image in record.images)
        characters, count = _characters(job.task, sample), 1
        for item, (other, more) in enumerate(zip(samples_of(job.dataset), [record, *records], strict=True)):
            if item:
                count += 1
                image_bytes += sum(image.bytes for image in more.images)
                characters += _characters(job.task, other)
        whole = job.full_count() if job.options.limit is not None else count
        return Plan(
            request=preview(request),
            url=display_url(job.endpoint),
            requests=count * repeats,
            full_requests=whole * repeats,
            image_bytes=image_bytes * repeats,
            prompt_characters=characters * repeats,
            max_completion_tokens=count * repeats * job.options.sampling.max_tokens,
            notes=job.notes,
        )


def score(
    run: Run | str | Path | None = None,
    *,
    answers: str | Path | None = None,
    data: Any = None,
    task: str | Path | Task | None = None,
    out: str | Path | None = None,
    definitions: Sequence[str | Path] = (),
    metrics: MetricChoice = "default",
    slices: Sequence[str] = (),
    repair: bool | None = None,
    profile: Profile | None = None,
    encoder: Encoder | None = None,
    entailer: Entailer | None = None,
    lexicon: Lexicon | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    allow_outside: bool = False,
    allow_urls: bool = False,
    images: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> Run:
    """Score a run again without asking, or score answers that came from elsewhere.

    Args:
        run: a run, or its directory.
        definitions: files with metric definitions of your own.
        answers: instead of a run, a JSONL file of answers (``id``, ``response``); needs ``data`` and ``out``.
        repair: read near-JSON with json-repair; None: as the run says.
        profile: ``published-2026`` reads what cannot be read as all null; for comparison with published numbers only.
        images: with ``answers``: check and record the images too; False where they are not at hand.
        on_progress: called with the number of samples scored so far.

    Raises:
        InputError: what was named cannot be used.
    """
    check_profile(profile)
    registry = open_registry(extra=[Path(file) for file in definitions])
    tools = open_tools(encoder=encoder, entailer=entailer, lexicon=lexicon)
    if (run is None) == (answers is None):
        raise ConfigError(
            "nothing to score" if run is None else "a run and answers at once",
            expected="a run directory, or --answers FILE with --data and --out",
        )
    if answers is not None:
        directory = adopt(
            registry,
            Path(answers),
            Options(task=task, out=out, repair=bool(repair), allow_outside=allow_outside, allow_urls=allow_urls),
            data,
            images=images,
        )
    else:
        directory = run.directory if isinstance(run, Run) else RunDirectory.open(Path(str(run)))
    chosen = registry.build(metrics, directory.task, tools)
    with directory.lock():
        evaluate(
            directory,
            metrics=chosen,
            task=directory.task,
            comparators=registry.comparators(directory.task, tools),
            nulls=registry.nulls_of(directory.task),
            field_signatures=registry.field_signatures(directory.task, tools),
            repair=directory.run.repair if repair is None else repair,
            profile=profile,
            slices=slices,
            resamples=resamples,
            seed=seed,
            on_progress=on_progress,
        )
    return Run(directory.path)


def load_run(path: str | Path) -> Run:
    """Return the run in a directory.

    Raises:
        StoreError: there is no run.
    """
    return Run(path)


def _characters(task: Task, sample: Sample) -> int:
    parts: Iterable[Any] = (
        part for message in task.messages(sample) for part in _parts(message["content"]) if part["type"] == "text"
    )
    return sum(len(part["text"]) for part in parts)


def _parts(content: Any) -> Sequence[Mapping[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _wait(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in a thread of its own where an event loop runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    handle: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()

    def work() -> T:
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            task = loop.create_task(coroutine)
            handle.set_result((loop, task))
            return loop.run_until_complete(task)

    with ThreadPoolExecutor(1, "peakbench-run") as thread:
        outcome = thread.submit(work)
        try:
            return outcome.result()
        except KeyboardInterrupt:
            # the notebook's stop button: end the run cleanly, with everything finished on disk
            loop, task = handle.result()
            loop.call_soon_threadsafe(task.cancel)
            raise
