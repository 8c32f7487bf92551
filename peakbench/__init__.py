"""PeakBench: a benchmark harness for models that look at an image and answer with JSON.

Everything public is here, loaded when it is first used, so that ``import peakbench`` costs next to nothing::

    import peakbench as pb

    run = pb.run("eval.jsonl", task="garment", endpoint="http://127.0.0.1:8000/v1", model="qwen3-vl-2b")
    run.summary["metrics"]["weighted_score"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peakbench.analysis.comparison.changes import Change
    from peakbench.analysis.comparison.contrasts import Comparison, Contrast
    from peakbench.analysis.comparison.scoretable import ScoreTable
    from peakbench.analysis.findings.statements import Findings
    from peakbench.analysis.gating.verdicts import Verdict
    from peakbench.analysis.leaderboard.standings import Leaderboard
    from peakbench.analysis.lineage.models import Lineage
    from peakbench.analysis.lineage.pairs import Pairs
    from peakbench.analysis.vocabulary.confusion import Confusion
    from peakbench.api import Plan, RunOptions, arun, load_run, plan, run, score
    from peakbench.api.comparisons import compare
    from peakbench.api.exports import export
    from peakbench.api.gates import gate, load_baseline, save_baseline
    from peakbench.api.hubs import hub_plan, hub_push, hub_sync
    from peakbench.api.leaderboards import leaderboard, leaderboard_findings, leaderboard_pairs, write_leaderboard
    from peakbench.api.lineages import lineage, pairs, table_pairs, tag
    from peakbench.api.reports import write_report
    from peakbench.api.vocabularies import confusion
    from peakbench.client.base import AttemptFailed, Endpoint, EndpointProvider, Transport
    from peakbench.datasets import Reader
    from peakbench.destinations import Destination, Export
    from peakbench.errors import (
        ConfigError,
        DataError,
        DataProblem,
        EndpointError,
        EndpointGone,
        EndpointRefused,
        HubError,
        HubRefused,
        ImageError,
        InputError,
        MissingDependency,
        NotComparable,
        PeakBenchError,
        PluginError,
        RegistryError,
        StoreError,
        TaskError,
    )
    from peakbench.hookspecs import hookimpl
    from peakbench.hub.modelcard import CardOptions
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
    from peakbench.records import Completion, Failure, ImageSource, Prediction, Request, Response, Sample, Sampling
    from peakbench.report.html.source import ReportSource
    from peakbench.rewards import Reward, RewardParts
    from peakbench.runs import Run, SampleView
    from peakbench.sections import ReportSection, SectionHtml, SectionList, SectionTable, SectionText
    from peakbench.tasks import Task, TaskField

__version__ = "0.1.0"

_ROOMS = {
    "analysis.comparison.changes": ("Change",),
    "analysis.comparison.contrasts": (
        "Comparison",
        "Contrast",
    ),
    "analysis.comparison.scoretable": ("ScoreTable",),
    "analysis.findings.statements": ("Findings",),
    "analysis.gating.verdicts": ("Verdict",),
    "analysis.leaderboard.standings": ("Leaderboard",),
    "analysis.lineage.models": ("Lineage",),
    "analysis.lineage.pairs": ("Pairs",),
    "analysis.vocabulary.confusion": ("Confusion",),
    "api": (
        "Plan",
        "RunOptions",
        "arun",
        "load_run",
        "plan",
        "run",
        "score",
    ),
    "api.comparisons": ("compare",),
    "api.exports": ("export",),
    "api.gates": (
        "gate",
        "load_baseline",
        "save_baseline",
    ),
    "api.hubs": (
        "hub_plan",
        "hub_push",
        "hub_sync",
    ),
    "api.leaderboards": (
        "leaderboard",
        "leaderboard_findings",
        "leaderboard_pairs",
        "write_leaderboard",
    ),
    "api.lineages": (
        "lineage",
        "pairs",
        "table_pairs",
        "tag",
    ),
    "api.reports": ("write_report",),
    "api.vocabularies": ("confusion",),
    "client.base": (
        "AttemptFailed",
        "Endpoint",
        "EndpointProvider",
        "Transport",
    ),
    "datasets": ("Reader",),
    "destinations": (
        "Destination",
        "Export",
    ),
    "errors": (
        "ConfigError",
        "DataError",
        "DataProblem",
        "EndpointError",
        "EndpointGone",
        "EndpointRefused",
        "HubError",
        "HubRefused",
        "ImageError",
        "InputError",
        "MissingDependency",
        "NotComparable",
        "PeakBenchError",
        "PluginError",
        "RegistryError",
        "StoreError",
        "TaskError",
    ),
    "hookspecs": ("hookimpl",),
    "hub.modelcard": ("CardOptions",),
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
    "records": (
        "Completion",
        "Failure",
        "ImageSource",
        "Prediction",
        "Request",
        "Response",
        "Sample",
        "Sampling",
    ),
    "report.html.source": ("ReportSource",),
    "rewards": (
        "Reward",
        "RewardParts",
    ),
    "runs": (
        "Run",
        "SampleView",
    ),
    "sections": (
        "ReportSection",
        "SectionHtml",
        "SectionList",
        "SectionTable",
        "SectionText",
    ),
    "tasks": (
        "Task",
        "TaskField",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AttemptFailed",
    "Batch",
    "CardOptions",
    "Cells",
    "Change",
    "Comparator",
    "ComparatorKind",
    "Comparison",
    "Completion",
    "ConfigError",
    "Confusion",
    "Contrast",
    "DataError",
    "DataProblem",
    "Destination",
    "Encoder",
    "Endpoint",
    "EndpointError",
    "EndpointGone",
    "EndpointProvider",
    "EndpointRefused",
    "Entailer",
    "Export",
    "Failure",
    "Findings",
    "HubError",
    "HubRefused",
    "ImageError",
    "ImageSource",
    "InputError",
    "Leaderboard",
    "Lexicon",
    "Lineage",
    "Metric",
    "MetricInfo",
    "MetricKind",
    "MissingDependency",
    "NoParameters",
    "NotComparable",
    "Pairs",
    "PeakBenchError",
    "Plan",
    "PluginError",
    "Prediction",
    "Reader",
    "RegistryError",
    "ReportSection",
    "ReportSource",
    "Request",
    "Response",
    "Reward",
    "RewardParts",
    "Run",
    "RunOptions",
    "Sample",
    "SampleView",
    "Sampling",
    "ScoreTable",
    "Scores",
    "SectionHtml",
    "SectionList",
    "SectionTable",
    "SectionText",
    "Setting",
    "StoreError",
    "Task",
    "TaskError",
    "TaskField",
    "Tools",
    "Transport",
    "Verdict",
    "__version__",
    "arun",
    "compare",
    "confusion",
    "export",
    "gate",
    "hookimpl",
    "hub_plan",
    "hub_push",
    "hub_sync",
    "leaderboard",
    "leaderboard_findings",
    "leaderboard_pairs",
    "lineage",
    "load_baseline",
    "load_run",
    "pairs",
    "plan",
    "run",
    "save_baseline",
    "score",
    "table_pairs",
    "tag",
    "write_leaderboard",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'peakbench' has no attribute '{name}'")
    value = getattr(import_module(f"peakbench.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
