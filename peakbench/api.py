"""What a user does: run, arun, plan, score, load_run. The command line is a thin layer over this room."""

from __future__ import annotations

import asyncio
import os
import pickle
import platform
import re
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import numpy as np

from peakbench import __version__
from peakbench.analysis.evaluation import evaluate
from peakbench.answers import read_answers
from peakbench.builtins import open_registry
from peakbench.client.base import Endpoint
from peakbench.client.opening import display_url, open_transport
from peakbench.client.wire import build_request, preview
from peakbench.datasets import Dataset, Fingerprint, SampleRecord, checked, open_dataset
from peakbench.errors import ConfigError, DataError, DataProblem, ImageError, StoreError
from peakbench.images import Image, load_recorded, resize
from peakbench.metrics.base import Encoder, Entailer, Metric, Tools
from peakbench.records import Completion, Failure, Request, Sample, Sampling
from peakbench.registry import Registry
from peakbench.runner import Event, Policy, ask
from peakbench.runs import Run
from peakbench.store import DataRecord, EndpointRecord, JournalIndex, RunDirectory, RunRecord, TaskRecord, task_sha256
from peakbench.tasks import Task

T = TypeVar("T")

DEMO_PROVIDER = "recorded"
DEFAULT_TASK = "garment"
NO_ENCODER = (
    "needs sentence embeddings, and no encoder is there; pass one: peakbench.score(run, encoder=...). "
    "Nothing stands in for it"
)

MetricChoice = Literal["default", "all"] | Sequence[str]


class RunOptions(TypedDict, total=False):
    """The keywords of :func:`run`, :func:`arun` and :func:`plan`.

    Attributes:
        task: a task's name, a path to a task file, or a Task. Default: the endpoint's own, else ``garment``.
        endpoint: a base URL, or the name of an endpoint plugin. Default: recorded answers, no model asked.
        model: the model's name as the server knows it.
        out: the run directory. Default: ``runs/<model>-<data>-<time>``.
        resume: go on with the run in ``out``: ask only what has no answer yet.
        limit: ask about the first ``limit`` samples only.
        workers: requests in flight at once, >= 1.
        repeats: how often each sample is asked, each time as a request of its own with ``seed + repeat``.
        sampling: temperature, token limit, seed, guided decoding and the rest.
        transport: ``aiohttp`` or ``openai`` (the SDK).
        stream: stream the answers and time the first token.
        api_key: the key itself; ``api_key_env`` names the variable that holds it (default ``OPENAI_API_KEY``).
        headers, proxy, ca_file: extra request headers, an HTTP proxy, a PEM file of authorities.
        timeout_s, connect_timeout_s: seconds for one attempt, and for its connection.
        retries: attempts after the first. ``rate``: requests a second at most.
        metrics: ``default``, ``all``, or ids. ``slices``: metadata keys to score apart.
        repair: read near-JSON with json-repair; such answers are counted as repaired, never as valid JSON.
        allow_outside: images may lie outside the folder of the data set. ``allow_urls``: images may be URLs.
        max_side: shrink images whose longer side exceeds it, pixels. Default: the bytes sent are the bytes found.
        encoder, entailer: models for the metrics that need one.
        resamples: bootstrap resamples for the intervals. ``seed``: of those resamples.
        on_event: called in the event loop's thread with each event of the runner.
    """

    task: str | Path | Task | None
    endpoint: str | None
    model: str | None
    out: str | Path | None
    resume: bool
    limit: int | None
    workers: int
    repeats: int
    sampling: Sampling
    transport: Literal["aiohttp", "openai"]
    stream: bool
    api_key: str | None
    api_key_env: str
    headers: Mapping[str, str]
    proxy: str | None
    ca_file: str | None
    timeout_s: float
    connect_timeout_s: float
    retries: int
    rate: float | None
    metrics: MetricChoice
    slices: Sequence[str]
    repair: bool
    allow_outside: bool
    allow_urls: bool
    max_side: int | None
    encoder: Encoder | None
    entailer: Entailer | None
    resamples: int
    seed: int
    on_event: Callable[[Event], None] | None


@dataclass(frozen=True, kw_only=True)
class _Options:
    """RunOptions with every default filled in."""

    task: str | Path | Task | None = None
    endpoint: str | None = None
    model: str | None = None
    out: str | Path | None = None
    resume: bool = False
    limit: int | None = None
    workers: int = 8
    repeats: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    transport: Literal["aiohttp", "openai"] = "aiohttp"
    stream: bool = False
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str = "OPENAI_API_KEY"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str | None = None
    ca_file: str | None = None
    timeout_s: float = 120.0
    connect_timeout_s: float = 10.0
    retries: int = 5
    rate: float | None = None
    metrics: MetricChoice = "default"
    slices: Sequence[str] = ()
    repair: bool = False
    allow_outside: bool = False
    allow_urls: bool = False
    max_side: int | None = None
    encoder: Encoder | None = None
    entailer: Entailer | None = None
    resamples: int = 10_000
    seed: int = 0
    on_event: Callable[[Event], None] | None = None

    def __post_init__(self) -> None:
        for name, low in (("workers", 1), ("repeats", 1), ("retries", 0), ("resamples", 1)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name} = {getattr(self, name)}", expected=f"{low} or more")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit = {self.limit}", expected="1 or more")


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
    with _prepared(data, _Options(**options)) as job:
        directory = await asyncio.to_thread(job.open_directory)
        with directory.session(job.options.workers), directory.journal() as journal:
            index = directory.index()
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
                    total=job.left(directory, index),
                    on_event=job.options.on_event,
                )
            finally:
                index.close()
                await transport.aclose()
        await asyncio.to_thread(job.evaluate, directory)
        return Run(directory.path)


def plan(data: Any = None, **options: Unpack[RunOptions]) -> Plan:
    """Say what :func:`run` would send, without sending it: the first request, and what the whole would cost.

    >>> plan(limit=2).requests
    2
    """
    with _prepared(data, _Options(**options)) as job, job.spooled() as (records, _):
        sample, record = next(zip(job.dataset, records, strict=False))
        assert isinstance(sample, Sample)
        request = job.request(sample, record, 0)
        if isinstance(request, Completion):
            raise ImageError(request.failure.message if request.failure else "cannot be read", where=sample.where)
        repeats = job.options.repeats
        image_bytes = sum(image.bytes for image in record.images)
        characters, count = _characters(job.task, sample), 1
        for item, (other, more) in enumerate(zip(_samples(job.dataset), [record, *records], strict=True)):
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
    metrics: MetricChoice = "default",
    slices: Sequence[str] = (),
    repair: bool | None = None,
    encoder: Encoder | None = None,
    entailer: Entailer | None = None,
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
        answers: instead of a run, a JSONL file of answers (``id``, ``response``); needs ``data`` and ``out``.
        repair: read near-JSON with json-repair; None: as the run says.
        images: with ``answers``: check and record the images too; False where they are not at hand.
        on_progress: called with the number of samples scored so far.

    Raises:
        InputError: what was named cannot be used.
    """
    registry = open_registry()
    tools = _tools(encoder, entailer)
    if (run is None) == (answers is None):
        raise ConfigError(
            "nothing to score" if run is None else "a run and answers at once",
            expected="a run directory, or --answers FILE with --data and --out",
        )
    if answers is not None:
        directory = _adopt(
            registry,
            Path(answers),
            _Options(task=task, out=out, repair=bool(repair), allow_outside=allow_outside, allow_urls=allow_urls),
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
            repair=directory.run.repair if repair is None else repair,
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


@dataclass(frozen=True)
class _Job:
    """Everything a run needs, checked, before anything is asked."""

    options: _Options
    registry: Registry
    task: Task
    dataset: Dataset
    data_spec: Any
    endpoint: Endpoint
    provider: str | None
    metrics: Sequence[Metric]
    tools: Tools
    notes: tuple[str, ...]

    def spooled(self) -> AbstractContextManager[tuple[Iterator[SampleRecord], DataRecord]]:
        """Check the whole data set; yield its records from a temporary file, and what identifies it."""
        return _spooled(self.dataset, self.task, self.options)

    def full_count(self) -> int:
        """How many samples the data set holds without the limit."""
        whole = open_dataset(self.data_spec, readers=self.registry.readers)
        return sum(isinstance(item, Sample) for item in whole)

    def open_directory(self) -> RunDirectory:
        """Make the run directory, or open it for resuming after a check that it is the same run."""
        with self.spooled() as (records, data):
            record = self._record(data)
            path = Path(self.options.out or _default_out(self.endpoint.model, data.name))
            if self.options.resume and (path / "run.json").is_file():
                directory = RunDirectory.open(path)
                directory.check_same(record)
                if not directory.has_samples:
                    directory.write_samples(records)
            elif self.options.resume and self.options.out is None:
                raise StoreError("nothing to resume", expected="--out DIR of the run that is to go on")
            else:
                directory = RunDirectory.create(path, record, self.task)
                directory.write_samples(records)
            return directory

    def _record(self, data: DataRecord) -> RunRecord:
        options = self.options
        return _run_record(
            self.task,
            data,
            EndpointRecord(url=display_url(self.endpoint), provider=self.provider, transport=options.transport),
            model=self.endpoint.model,
            options=options,
        )

    def requests(self, directory: RunDirectory, answered: Callable[[str, int], bool]) -> Iterator[Request | Completion]:
        """Yield what is still to be asked, lazily; an image that cannot be read becomes a failed completion."""
        for sample, record in zip(_samples(self.dataset), directory.samples(), strict=True):
            for repeat in range(self.options.repeats):
                if not answered(sample.id, repeat):
                    yield self.request(sample, record, repeat)

    def left(self, directory: RunDirectory, index: JournalIndex) -> int:
        """How many requests have no answer yet."""
        repeats = self.options.repeats
        if not len(index):
            return directory.run.data.samples * repeats
        pairs = ((record.id, repeat) for record in directory.samples() for repeat in range(repeats))
        return sum(not index.answered(*pair) for pair in pairs)

    def request(self, sample: Sample, record: SampleRecord, repeat: int) -> Request | Completion:
        """Return the request for one sample, or the failed completion that says why there is none."""
        try:
            images = [
                self._sized(load_recorded(source, image))
                for source, image in zip(sample.images, record.images, strict=True)
            ]
        except ImageError as error:
            return Completion(sample.id, repeat, None, Failure("image", str(error)))
        return build_request(
            self.task, sample, images, model=self.endpoint.model, sampling=self.options.sampling, repeat=repeat
        )

    def _sized(self, image: Image) -> Image:
        return image if self.options.max_side is None else resize(image, self.options.max_side)

    def evaluate(self, directory: RunDirectory) -> None:
        """Score the run and write its summary."""
        evaluate(
            directory,
            metrics=self.metrics,
            task=self.task,
            comparators=self.registry.comparators(self.task, self.tools),
            nulls=self.registry.nulls_of(self.task),
            repair=self.options.repair,
            slices=self.options.slices,
            resamples=self.options.resamples,
            seed=self.options.seed,
        )


@contextmanager
def _prepared(data: Any, options: _Options) -> Iterator[_Job]:
    registry = open_registry()
    with ExitStack() as stack:
        notes: list[str] = []
        provider = None
        if options.endpoint is None or not re.match(r"https?:", options.endpoint, re.IGNORECASE):
            provider = registry.endpoint(options.endpoint or DEMO_PROVIDER)
        spec = data if data is not None else (provider.data if provider else None)
        if spec is None:
            spec = demo_data()
            notes.append("no data set was named: the small one inside the package is used")
        task = options.task or (provider.task if provider and provider.task else DEFAULT_TASK)
        task = task if isinstance(task, Task) else registry.task(str(task))
        tools = _tools(options.encoder, options.entailer)
        metrics = registry.build(options.metrics, task, tools)
        dataset = open_dataset(spec, readers=registry.readers, limit=options.limit)
        if provider:
            endpoint = stack.enter_context(provider.open())
            endpoint = replace(endpoint, model=options.model or endpoint.model, connections=options.workers)
            if provider.notice:
                notes.append(provider.notice)
        else:
            endpoint = _endpoint(options)
        yield _Job(
            options,
            registry,
            task,
            dataset,
            spec,
            replace(endpoint, transport=options.transport),
            provider.name if provider else None,
            metrics,
            tools,
            tuple(notes),
        )


def demo_data() -> str:
    """Path of the small data set inside the package."""
    return str(resources.files("peakbench") / "data" / "demo" / "samples.jsonl")


def _endpoint(options: _Options) -> Endpoint:
    if options.model is None:
        raise ConfigError("no model was named", where="model", expected="--model NAME, as the server knows it")
    key = options.api_key or os.environ.get(options.api_key_env) or None
    if key is None and options.api_key_env != "OPENAI_API_KEY":
        raise ConfigError(
            f"the environment variable {options.api_key_env} is not set",
            where="api_key_env",
            hint=f"set it: export {options.api_key_env}=...",
        )
    return Endpoint(
        options.endpoint or "",
        options.model,
        api_key=key,
        headers=options.headers,
        proxy=options.proxy,
        ca_file=options.ca_file,
        timeout_s=options.timeout_s,
        connect_timeout_s=options.connect_timeout_s,
        connections=options.workers,
    )


def _tools(encoder: Encoder | None, entailer: Entailer | None) -> Tools:
    missing = {} if encoder else {"encoder": NO_ENCODER}
    return Tools(encoder, entailer, missing)


def _run_record(task: Task, data: DataRecord, endpoint: EndpointRecord, *, model: str, options: _Options) -> RunRecord:
    versions = {"peakbench": __version__, "python": platform.python_version()}
    return RunRecord(
        name=Path(options.out).name if options.out else model,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        task=TaskRecord(id=task.id, version=task.version, sha256=task_sha256(task)),
        data=data,
        endpoint=endpoint,
        model=model,
        sampling=options.sampling,
        repeats=options.repeats,
        prompt_version=task.prompt.version,
        repair=options.repair,
        workers=options.workers,
        versions=versions,
    )


@contextmanager
def _spooled(
    dataset: Dataset, task: Task, options: _Options, *, read_images: bool = True
) -> Iterator[tuple[Iterator[SampleRecord], DataRecord]]:
    fingerprint = Fingerprint()
    with tempfile.TemporaryFile() as spool:
        for record in checked(
            dataset,
            task=task,
            allow_outside=options.allow_outside,
            allow_urls=options.allow_urls,
            read_images=read_images,
        ):
            fingerprint.add(record)
            pickle.dump(record, spool, protocol=pickle.HIGHEST_PROTOCOL)
        count = fingerprint.samples
        spool.seek(0)
        yield (
            (pickle.load(spool) for _ in range(count)),  # noqa: S301 - written above, in this process
            DataRecord(
                name=dataset.name,
                source=dataset.spec,
                fingerprint=fingerprint.hexdigest(),
                samples=count,
                limit=dataset.limit,
            ),
        )


def _adopt(registry: Registry, answers: Path, options: _Options, data: Any, *, images: bool) -> RunDirectory:
    """Make a run directory of answers that came from elsewhere."""
    if data is None or options.out is None:
        raise ConfigError("answers need the data set they answer, and a place for the run", expected="--data and --out")
    task = options.task or DEFAULT_TASK
    task = task if isinstance(task, Task) else registry.task(str(task))
    dataset = open_dataset(data, readers=registry.readers)
    known = array("q", sorted(hash(sample.id) for sample in dataset if isinstance(sample, Sample)))
    with _spooled(dataset, task, options, read_images=images) as (records, data_record):
        model, repeats = _check_answers(answers, known)
        run = _run_record(
            task,
            data_record,
            EndpointRecord(url="", provider="answers", transport="file"),
            model=model or answers.stem,
            options=replace(options, repeats=repeats),
        )
        directory = RunDirectory.create(options.out, run, task)
        directory.write_samples(records)
    with directory.journal() as journal:
        for completion in read_answers(answers):
            if isinstance(completion, Completion):
                journal.append(completion)
    return directory


def _check_answers(answers: Path, known: array[int]) -> tuple[str | None, int]:
    """Return the model that the answers name, and how often a sample was asked; name every problem at once."""
    problems: list[DataProblem] = []
    model, repeats = None, 1
    seen = array("q")
    for item in read_answers(answers):
        if isinstance(item, DataProblem):
            problems.append(item)
            continue
        place = bisect_left(known, hash(item.sample_id))
        if place == len(known) or known[place] != hash(item.sample_id):
            problems.append(DataProblem(str(answers), f"'{item.sample_id}' is no sample of the data set"))
        if not item.attempts:  # a journal may hold a sample more than once
            seen.append(hash((item.sample_id, item.repeat)))
        model = model or (item.response.model if item.response else None)
        repeats = max(repeats, item.repeat + 1)
    hashes = np.sort(np.frombuffer(seen, dtype=np.int64)) if seen else np.empty(0, dtype=np.int64)
    if twice := set(hashes[1:][hashes[1:] == hashes[:-1]].tolist()):
        again = [item for item in read_answers(answers) if isinstance(item, Completion)]
        named = dict.fromkeys(item.sample_id for item in again if hash((item.sample_id, item.repeat)) in twice)
        problems += [DataProblem(str(answers), f"'{name}' is answered more than once") for name in named]
    if problems:
        raise DataError(f"{len(problems)} problems in {answers}", problems=problems[:1000])
    return model, repeats


def _samples(dataset: Dataset) -> Iterator[Sample]:
    for item in dataset:
        if isinstance(item, DataProblem):
            raise DataError("the data set has changed since it was checked", problems=[item])
        yield item


def _characters(task: Task, sample: Sample) -> int:
    parts: Iterable[Any] = (
        part for message in task.messages(sample) for part in _parts(message["content"]) if part["type"] == "text"
    )
    return sum(len(part["text"]) for part in parts)


def _parts(content: Any) -> Sequence[Mapping[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _default_out(model: str, data: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{model}-{Path(data).stem}").strip("-.")
    return f"runs/{slug}-{datetime.now():%Y%m%d-%H%M%S}"


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
