"""A run before it begins: everything it needs, checked, and the requests it will send."""

from __future__ import annotations

import os
import pickle
import platform
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from peakbench import __version__
from peakbench.analysis.evaluation.passes import evaluate
from peakbench.analysis.lineage.models import lineage_record, placed
from peakbench.api.options import Options
from peakbench.backends import open_tools
from peakbench.builtins import open_registry
from peakbench.client.base import Endpoint
from peakbench.client.opening import display_url
from peakbench.client.wire import build_request
from peakbench.datasets import Dataset, Fingerprint, SampleRecord, checked, open_dataset
from peakbench.errors import ConfigError, DataError, DataProblem, ImageError, StoreError
from peakbench.images import load_recorded, resize
from peakbench.metrics.base import Comparator, Metric
from peakbench.records import Completion, Failure, Image, Request, Sample
from peakbench.registry import Registry
from peakbench.store import DataRecord, EndpointRecord, JournalIndex, RunDirectory, RunRecord, TaskRecord, task_sha256
from peakbench.tasks import Task

DEFAULT_PROVIDER = "reader"
DEFAULT_TASK = "garment"


@dataclass(frozen=True)
class Job:
    """Everything a run needs, checked, before anything is asked."""

    options: Options
    registry: Registry
    task: Task
    dataset: Dataset
    data_spec: Any
    endpoint: Endpoint
    provider: str | None
    metrics: Sequence[Metric]
    comparators: Mapping[str, Comparator]
    field_signatures: Mapping[str, str]
    notes: tuple[str, ...]

    def spooled(self) -> AbstractContextManager[tuple[Iterator[SampleRecord], DataRecord]]:
        """Check the whole data set; yield its records from a temporary file, and what identifies it."""
        return spooled(self.dataset, self.task, self.options)

    def full_count(self) -> int:
        """How many samples the data set holds without the limit."""
        whole = open_dataset(self.data_spec, readers=self.registry.readers)
        return sum(isinstance(item, Sample) for item in whole)

    def open_directory(self) -> RunDirectory:
        """Make the run directory, or open it for resuming after a check that it is the same run."""
        with self.spooled() as (records, data):
            path = Path(self.options.out or _default_out(self.endpoint.model, data.name))
            record = self._record(data)
            if self.options.lineage:
                record = record.model_copy(update={"lineage": placed(lineage_record(self.options.lineage), path)})
            if self.options.resume and (path / "run.json").is_file():
                directory = RunDirectory.open(path)
                directory.check_same(record)
                if record.lineage is not None and record.lineage != directory.run.lineage:
                    said = record.lineage.model_dump(exclude_none=True)
                    directory.tag(lambda known: known.model_copy(update=said))
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
        return run_record(
            self.task,
            data,
            EndpointRecord(url=display_url(self.endpoint), provider=self.provider, transport=options.transport),
            model=self.endpoint.model,
            options=options,
        )

    def requests(self, directory: RunDirectory, answered: Callable[[str, int], bool]) -> Iterator[Request | Completion]:
        """Yield what is still to be asked, lazily; an image that cannot be read becomes a failed completion."""
        for sample, record in zip(samples_of(self.dataset), directory.samples(), strict=True):
            for repeat in range(self.options.repeats):
                if not answered(sample.id, repeat):
                    yield self.request(sample, record, repeat)

    def left(self, directory: RunDirectory, index: JournalIndex) -> int:
        """How many requests have no answer yet."""
        return directory.run.data.samples * self.options.repeats - index.answered_total

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
            comparators=self.comparators,
            nulls=self.registry.nulls_of(self.task),
            field_signatures=self.field_signatures,
            repair=self.options.repair,
            profile=self.options.profile,
            slices=self.options.slices,
            resamples=self.options.resamples,
            seed=self.options.seed,
        )


@contextmanager
def prepared(data: Any, options: Options) -> Iterator[Job]:
    """Check everything that can be checked before the data set is read, and start the endpoint where it is a plugin's.

    Raises:
        InputError: the endpoint, the model, the task, a metric or the key cannot be used.
    """
    if options.endpoint is None and (data is not None or options.model is not None):
        raise ConfigError(
            "data or a model without an endpoint: there is nobody to ask",
            where="endpoint",
            expected="a URL and a model, or nothing of all that for the small reader inside the package",
            hint='endpoint="reader" asks that reader about any data',
        )
    registry = open_registry(extra=[Path(file) for file in options.definitions])
    with ExitStack() as stack:
        notes: list[str] = []
        provider = None
        if options.endpoint is None or not re.match(r"https?:", options.endpoint, re.IGNORECASE):
            provider = registry.endpoint(options.endpoint or DEFAULT_PROVIDER)
        spec = data if data is not None else (provider.data if provider else None)
        if spec is None:
            spec = demo_data()
            notes.append("no data set was named: the small one inside the package is used")
        task = options.task or (provider.task if provider and provider.task else DEFAULT_TASK)
        task = task if isinstance(task, Task) else registry.task(str(task))
        tools = open_tools(encoder=options.encoder, entailer=options.entailer, lexicon=options.lexicon)
        metrics = registry.build(options.metrics, task, tools)
        dataset = open_dataset(spec, readers=registry.readers, limit=options.limit)
        if provider:
            endpoint = stack.enter_context(provider.open())
            endpoint = replace(endpoint, model=options.model or endpoint.model, connections=options.workers)
            if provider.notice:
                notes.append(provider.notice)
        else:
            endpoint = _endpoint(options)
        yield Job(
            options,
            registry,
            task,
            dataset,
            spec,
            replace(endpoint, transport=options.transport),
            provider.name if provider else None,
            metrics,
            registry.comparators(task, tools),
            registry.field_signatures(task, tools),
            tuple(notes),
        )


def demo_data() -> str:
    """Path of the small data set inside the package."""
    return str(resources.files("peakbench") / "data" / "demo" / "samples.jsonl")


def _endpoint(options: Options) -> Endpoint:
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


def run_record(task: Task, data: DataRecord, endpoint: EndpointRecord, *, model: str, options: Options) -> RunRecord:
    """What run.json will say."""
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
        max_side=options.max_side,
        repair=options.repair,
        workers=options.workers,
        versions=versions,
    )


@contextmanager
def spooled(
    dataset: Dataset, task: Task, options: Options, *, read_images: bool = True
) -> Iterator[tuple[Iterator[SampleRecord], DataRecord]]:
    """Check the whole data set; yield its records from a temporary file, and what identifies it.

    Raises:
        DataError: naming every problem.
    """
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


def samples_of(dataset: Dataset) -> Iterator[Sample]:
    """The samples of a data set that was checked before.

    Raises:
        DataError: it has a problem now.
    """
    for item in dataset:
        if isinstance(item, DataProblem):
            raise DataError("the data set has changed since it was checked", problems=[item])
        yield item


def _default_out(model: str, data: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{model}-{Path(data).stem}").strip("-.")
    return f"runs/{slug}-{datetime.now():%Y%m%d-%H%M%S}"
