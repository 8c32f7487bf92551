"""A metric of your own, as a plugin in one file: python examples/own_metric.py

The two hooks below are the plugin: a kind of metric (code) and a definition (data). A package that holds them names
this module in its pyproject.toml,

    [project.entry-points.peakbench]
    own-metric = "own_metric"

and is installed; from then on the metric is part of every run. ``registered()`` writes what the installer would write
into a temporary folder, so that this file runs as it stands.
"""

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import peakbench as pb


@dataclass(frozen=True)
class SameLength:
    """How near an answer's values are to the reference's in length: shorter / longer, mean over fields with a value."""

    info: pb.MetricInfo
    requires: tuple[str, ...] = ()

    def score_batch(self, batch: pb.Batch) -> pb.Scores:
        """Score n answers: one number, or one reason why there is none, for each."""
        if batch.cells is None:
            return pb.Scores.none(len(batch), "the answer is text: it has no fields")
        lengths = np.array([(len(reference), len(answer)) for reference, answer in batch.cells.texts]).reshape(-1, 2)
        return batch.cells.mean_over_values(lengths.min(axis=1) / np.maximum(lengths.max(axis=1), 1))


def build(info: pb.MetricInfo, parameters: pb.NoParameters, setting: pb.Setting) -> SameLength:
    return SameLength(info)


@pb.hookimpl
def peakbench_metric_kinds() -> Iterable[pb.MetricKind]:
    return [pb.MetricKind("same_length", build, needs=frozenset({"reference"}))]


@pb.hookimpl
def peakbench_metric_definitions() -> Iterable[Mapping[str, Any]]:
    metric = {
        "id": "same_length",
        "kind": "same_length",
        "title": "Same length",
        "description": "Shorter over longer value, mean over the fields with a value.",
        "family": "text",
        "range": [0, 1],
        "higher_is_better": True,
        "default": True,
    }
    return [{"format": 1, "metrics": [metric]}]


@contextmanager
def registered() -> Iterator[Path]:
    """Make this module an installed plugin for a while."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "own_metric-1.0.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: own-metric\nVersion: 1.0\n", encoding="utf-8")
        (package / "entry_points.txt").write_text("[peakbench]\nown-metric = own_metric\n", encoding="utf-8")
        paths = [folder, str(Path(__file__).parent)]
        sys.path[:0] = paths
        try:
            yield Path(folder)
        finally:
            for path in paths:
                sys.path.remove(path)


if __name__ == "__main__":
    with registered() as folder:
        run = pb.run(endpoint="recorded", out=folder / "run")
        one = run.summary["metrics"]["same_length"]
        print(f"same_length {one['value']:.3f}, 95 % interval {one['low']:.3f} to {one['high']:.3f}")
        print(f"floors {', '.join(f'{name} {value:.3f}' for name, value in one['floor'].items())}")
        print(one["signature"])
