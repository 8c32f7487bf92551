"""compare(): runs held against a first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peakbench.analysis.comparison import contrasts
from peakbench.analysis.comparison.contrasts import Comparison
from peakbench.analysis.comparison.costs import checked_costs, read_costs
from peakbench.analysis.comparison.pairing import How
from peakbench.analysis.comparison.scoretable import ScoreTable
from peakbench.runs import Run
from peakbench.store import RunDirectory


def compare(
    first: Run | ScoreTable | str | Path,
    *others: Run | ScoreTable | str | Path,
    how: How = "same",
    metrics: str | Sequence[str] | None = None,
    fields: str | Sequence[str] | None = None,
    costs: Mapping[str, Any] | str | Path | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Hold runs against a first one: for every metric and field the paired difference, its interval and its p.

    Args:
        first: what the others are held against: a run, its directory, or a score table.
        others: one run or more.
        how: ``same``: over the same samples, else refused; ``common``: over the samples that both have;
            ``unpaired``: over all samples of each, as independent draws.
        metrics: an id, or several; None for all that the runs have.
        fields: a name, or several; None for all.
        costs: what mistakes cost, by field (``{"brand": {"wrong": 4, "invented": 10}}``) or a JSON file of that; None:
            as the first run's task has it.
        resamples: of every interval and test.
        seed: likewise.

    Raises:
        ConfigError: ``how``, ``resamples`` or ``seed`` cannot be used.
        InputError: a metric, a field or a cost that cannot be used, or fewer than two runs.
        NotComparable: different tasks, samples or metrics; the message says which.
        StoreError: a run is unfinished or damaged.

    >>> import peakbench, tempfile
    >>> from peakbench.api.comparisons import compare
    >>> folder = tempfile.mkdtemp()
    >>> for name in "ab":
    ...     _ = peakbench.run(out=f"{folder}/{name}", limit=12, resamples=100)
    >>> found = compare(f"{folder}/a", f"{folder}/b", metrics=["weighted_score"], fields=[], resamples=100)
    >>> change = found.contrasts[0].metrics[0]
    >>> change.value, change.n, change.p
    (0.0, 12, 1.0)
    """
    if isinstance(costs, str | Path):
        costs = read_costs(costs)
    elif costs is not None:
        costs = checked_costs({name: getattr(one, "model_dump", lambda one=one: one)() for name, one in costs.items()})
    return contrasts.compare(
        [_opened(run) for run in (first, *others)],
        how=how,
        metrics=[metrics] if isinstance(metrics, str) else metrics,
        fields=[fields] if isinstance(fields, str) else fields,
        costs=costs,
        resamples=resamples,
        seed=seed,
    )


def _opened(run: Run | ScoreTable | str | Path) -> RunDirectory | ScoreTable:
    if isinstance(run, ScoreTable):
        return run
    return run.directory if isinstance(run, Run) else Run(run).directory
