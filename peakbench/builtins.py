"""Everything that ships, registered through the hooks that a plugin uses.

The module itself is the plugin; :func:`open_plugins` and :func:`open_registry` load it together with what is installed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from sys import modules
from typing import Any

from peakbench.client.base import Endpoint, EndpointProvider
from peakbench.datasets import Reader
from peakbench.destinations import Destination
from peakbench.errors import RegistryError
from peakbench.hookspecs import hookimpl
from peakbench.metrics.base import ComparatorKind, MetricKind
from peakbench.plugins import Plugins, load_plugins
from peakbench.registry import Registry, definitions_schema, load_registry
from peakbench.tasks import Task, task_schema

PACKAGE = Path(__file__).parent
DEFINITIONS = "peakbench_metrics.json"
DEMO = PACKAGE / "data" / "demo"


def open_plugins(*, blocked: Collection[str] = ()) -> Plugins:
    """Load what ships and every installed plugin; see :func:`peakbench.plugins.load_plugins`.

    >>> open_plugins(blocked=["all"]).loaded[0].name
    'peakbench'
    """
    return load_plugins(modules[__name__], blocked=blocked)


def open_registry(*, extra: Iterable[Path | Mapping[str, Any]] = (), plugins: Plugins | None = None) -> Registry:
    """Open the registry over what ships, every installed plugin and further definitions.

    Raises:
        RegistryError: what ``extra`` defines cannot be used; every problem is named.

    >>> open_registry().ids[0]
    'structured_match'
    """
    return load_registry(plugins or open_plugins(), extra)


def definition_file() -> Path:
    """Return the path of peakbench_metrics.json: inside an installed package, or at the top of a checkout.

    Raises:
        RegistryError: the installation is incomplete.

    >>> definition_file().name
    'peakbench_metrics.json'
    """
    for folder in (PACKAGE, PACKAGE.parent):
        if (folder / DEFINITIONS).is_file():
            return folder / DEFINITIONS
    raise RegistryError(
        "the metric definitions are missing from this installation",
        where=str(PACKAGE / DEFINITIONS),
        hint="install it again: pip install --force-reinstall peakbench",
    )


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON schemas of the files that users write, by file name; they ship in ``peakbench/schemas``.

    >>> sorted(schemas())
    ['peakbench_metrics.schema.json', 'task.schema.json']
    """
    return {
        "peakbench_metrics.schema.json": definitions_schema(peakbench_metric_kinds()),
        "task.schema.json": task_schema(kind.name for kind in peakbench_comparators()),
    }


def write_schemas(folder: Path = PACKAGE / "schemas") -> None:
    """Write the JSON schemas of the files that users write."""
    for name, schema in schemas().items():
        (folder / name).write_text(json.dumps(schema, indent=2) + "\n", encoding="utf-8")


@hookimpl
def peakbench_metric_kinds() -> Iterable[MetricKind]:
    """Return the kinds of every metric that ships."""
    from peakbench.metrics import composite, consistency, meteor, nli, performance, semantic, structured, text, validity

    rooms = (structured, semantic, nli, text, meteor, consistency, composite, validity, performance)
    return [kind for room in rooms for kind in room.KINDS]


@hookimpl
def peakbench_metric_definitions() -> Iterable[Path | Mapping[str, Any]]:
    """Return peakbench_metrics.json."""
    return [definition_file()]


@hookimpl
def peakbench_comparators() -> Iterable[ComparatorKind]:
    """Return the comparators that ship."""
    from peakbench.metrics import comparators, semantic

    return [*comparators.COMPARATORS, *semantic.COMPARATORS]


@hookimpl
def peakbench_tasks() -> Iterable[Path | Task]:
    """Return the tasks that ship, one file each."""
    return sorted((PACKAGE / "data" / "tasks").glob("*.json"))


@hookimpl
def peakbench_readers() -> Iterable[Reader]:
    """Return the data-set readers that ship."""
    from peakbench.datasets import READERS
    from peakbench.garments import READER

    return [*READERS, READER]


@hookimpl
def peakbench_endpoints() -> Iterable[EndpointProvider]:
    """Return the reader that ships, and the endpoint that replays recorded answers."""
    return [
        EndpointProvider(
            name="reader",
            open=_reader,
            description="A small trained model inside the package, served on this machine.",
            data="synthetic:garments?n=200&seed=7&split=test",
            task="garment",
            notice="A small model that ships is asked, on this machine. It was trained on drawn garments, and what it "
            "scores on those says nothing about photos. Name your own server with --endpoint and --model.",
        ),
        EndpointProvider(
            name="recorded",
            open=_recorded,
            description="Replays the answers recorded over the data set inside the package; no model is asked.",
            data=str(DEMO / "samples.jsonl"),
            task="garment",
            notice="No model is asked: recorded answers to a small data set inside the package are replayed "
            "by a scripted endpoint on this machine. Name your own server with --endpoint and --model.",
        ),
    ]


@hookimpl
def peakbench_destinations() -> Iterable[Destination]:
    """Return the places that a run can be exported to."""
    from peakbench.exports import files, otlp

    return [
        Destination("csv", files.write_csv, (".csv",), "a table as CSV", contents=True),
        Destination("jsonl", files.write_jsonl, (".jsonl",), "a table as one JSON object a line", contents=True),
        Destination("parquet", files.write_parquet, (".parquet",), "a table as Parquet", contents=True),
        Destination("otlp", otlp.send, (), "OpenTelemetry spans, sent over HTTP to otlp:URL"),
        Destination("otlp-file", otlp.write, (".otlp.jsonl",), "OpenTelemetry spans in a file (OTLP, JSON)"),
    ]


@contextmanager
def _reader() -> Iterator[Endpoint]:
    from peakbench.reader import embedded, open_reader, reader_names
    from peakbench.serving import LazyModel, Server

    # by its folder: a folder "reader" where the command runs is another model
    shipped = [LazyModel(name, partial(open_reader, embedded(), model=name)) for name in reader_names()]
    with Server(shipped) as server:
        yield server.endpoint(model="reader")


@contextmanager
def _recorded() -> Iterator[Endpoint]:
    from peakbench.testing import recorded_endpoint

    with recorded_endpoint(DEMO / "samples.jsonl", DEMO / "answers.jsonl") as endpoint:
        yield endpoint
