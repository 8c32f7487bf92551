"""PeakBench: a benchmark harness for models that look at an image and answer with JSON.

Everything public is here, loaded when it is first used, so that ``import peakbench`` costs next to nothing::

    import peakbench as pb

    run = pb.run("eval.jsonl", task="garment", endpoint="http://127.0.0.1:8000/v1", model="qwen3-vl-2b")
    run.summary["metrics"]["weighted_score"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peakbench.api import Plan, RunOptions, arun, load_run, plan, run, score
    from peakbench.client.base import AttemptFailed, Endpoint, EndpointProvider, Transport
    from peakbench.datasets import Reader
    from peakbench.errors import (
        ConfigError,
        DataError,
        DataProblem,
        EndpointError,
        EndpointGone,
        EndpointRefused,
        ImageError,
        InputError,
        MissingDependency,
        PeakBenchError,
        PluginError,
        RegistryError,
        StoreError,
        TaskError,
    )
    from peakbench.hookspecs import hookimpl
    from peakbench.metrics.base import (
        Batch,
        Cells,
        Comparator,
        ComparatorKind,
        Encoder,
        Entailer,
        Lexicon,
        Metric,
        MetricInfo,
        MetricKind,
        NoParameters,
        Scores,
        Setting,
        Tools,
    )
    from peakbench.records import (
        Completion,
        Failure,
        ImageSource,
        Prediction,
        Request,
        Response,
        Sample,
        Sampling,
    )
    from peakbench.runs import Run, SampleView
    from peakbench.tasks import Task, TaskField

__version__ = "0.1.0"

_ROOMS = {
    "api": ("Plan", "RunOptions", "arun", "load_run", "plan", "run", "score"),
    "client.base": ("AttemptFailed", "Endpoint", "EndpointProvider", "Transport"),
    "datasets": ("Reader",),
    "errors": (
        "ConfigError",
        "DataError",
        "DataProblem",
        "EndpointError",
        "EndpointGone",
        "EndpointRefused",
        "ImageError",
        "InputError",
        "MissingDependency",
        "PeakBenchError",
        "PluginError",
        "RegistryError",
        "StoreError",
        "TaskError",
    ),
    "hookspecs": ("hookimpl",),
    "metrics.base": (
        "Batch",
        "Cells",
        "Comparator",
        "ComparatorKind",
        "Encoder",
        "Entailer",
        "Lexicon",
        "Metric",
        "MetricInfo",
        "MetricKind",
        "NoParameters",
        "Scores",
        "Setting",
        "Tools",
    ),
    "records": ("Completion", "Failure", "ImageSource", "Prediction", "Request", "Response", "Sample", "Sampling"),
    "runs": ("Run", "SampleView"),
    "tasks": ("Task", "TaskField"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AttemptFailed",
    "Batch",
    "Cells",
    "Comparator",
    "ComparatorKind",
    "Completion",
    "ConfigError",
    "DataError",
    "DataProblem",
    "Encoder",
    "Endpoint",
    "EndpointError",
    "EndpointGone",
    "EndpointProvider",
    "EndpointRefused",
    "Entailer",
    "Failure",
    "ImageError",
    "ImageSource",
    "InputError",
    "Lexicon",
    "Metric",
    "MetricInfo",
    "MetricKind",
    "MissingDependency",
    "NoParameters",
    "PeakBenchError",
    "Plan",
    "PluginError",
    "Prediction",
    "Reader",
    "RegistryError",
    "Request",
    "Response",
    "Run",
    "RunOptions",
    "Sample",
    "SampleView",
    "Sampling",
    "Scores",
    "Setting",
    "StoreError",
    "Task",
    "TaskError",
    "TaskField",
    "Tools",
    "Transport",
    "__version__",
    "arun",
    "hookimpl",
    "load_run",
    "plan",
    "run",
    "score",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'peakbench' has no attribute '{name}'")
    value = getattr(import_module(f"peakbench.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
