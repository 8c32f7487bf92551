"""The public surface: exactly these names, each importable, each documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import peakbench
from peakbench import api
from peakbench.api.options import Options

PUBLIC = {
    "AttemptFailed", "Batch", "CardOptions", "Cells", "Change", "Comparator", "ComparatorKind", "Comparison",
    "Completion", "ConfigError", "Confusion", "Contrast", "DataError", "DataProblem", "Destination", "Encoder",
    "Endpoint", "EndpointError", "EndpointGone", "EndpointProvider", "EndpointRefused", "Entailer", "Export",
    "Failure", "Findings", "HubError", "HubRefused", "ImageError", "ImageSource", "InputError", "Leaderboard",
    "Lexicon", "Lineage", "Metric", "MetricInfo", "MetricKind", "MissingDependency", "NoParameters",
    "NotComparable", "Pairs", "PeakBenchError", "Plan", "PluginError", "Prediction", "Reader", "RegistryError",
    "ReportSection", "ReportSource", "Request", "Response", "Reward", "RewardParts", "Run",
    "RunOptions", "Sample", "SampleView", "Sampling", "ScoreTable",
    "Scores", "SectionHtml", "SectionList", "SectionTable", "SectionText", "Setting", "StoreError",
    "Task", "TaskError", "TaskField", "Tools", "Transport", "Verdict", "__version__", "arun", "compare",
    "confusion", "export", "gate", "hookimpl", "hub_plan", "hub_push", "hub_sync", "leaderboard",
    "leaderboard_findings", "leaderboard_pairs", "lineage", "load_baseline", "load_run", "pairs", "plan", "run",
    "save_baseline", "score", "table_pairs", "tag", "write_leaderboard", "write_report",
}  # fmt: skip


def test_public_names_are_these() -> None:
    assert set(peakbench.__all__) == PUBLIC
    assert dir(peakbench) == sorted(PUBLIC)


def test_every_public_name_is_there_and_documented() -> None:
    for name in PUBLIC - {"__version__", "hookimpl"}:
        assert inspect.getdoc(getattr(peakbench, name)), name


def test_run_stays_a_function_after_every_room_is_loaded() -> None:
    code = (
        "import pkgutil, importlib, peakbench\n"
        "for m in pkgutil.walk_packages(peakbench.__path__, 'peakbench.'):\n"
        "    if not m.name.endswith(('__main__', 'sdk')): importlib.import_module(m.name)\n"
        "assert callable(peakbench.run) and callable(peakbench.score) and callable(peakbench.plan)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)


def test_import_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "nltk", "pandas", "openai", "numpy", "aiohttp", "pydantic"]
    code = f"import sys, peakbench; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert out.stdout.strip() == "[]"


def test_the_core_loads_no_heavy_library() -> None:
    """A whole run over recorded answers loads neither torch, transformers, nltk, pandas nor openai."""
    heavy = ["torch", "transformers", "nltk", "pandas", "openai", "sentence_transformers", "PIL"]
    code = (
        "import sys, tempfile, peakbench\n"
        "peakbench.run(endpoint='recorded', out=tempfile.mkdtemp() + '/r', limit=2, resamples=10)\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent
    )
    assert out.stdout.strip().splitlines()[-1] == "[]"


def test_options_agree_with_their_defaults() -> None:
    assert set(get_type_hints(api.RunOptions)) == set(get_type_hints(Options))
    documented = inspect.getdoc(api.RunOptions) or ""
    assert [name for name in get_type_hints(api.RunOptions) if name not in documented] == []
