"""leaderboard(): runs and published scores in the order of a metric, ties included."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from peakbench.analysis.leaderboard.boards import leaderboard_of
from peakbench.analysis.leaderboard.published import read_scores_table
from peakbench.analysis.leaderboard.standings import Leaderboard
from peakbench.runs import Run
from peakbench.store import RunDirectory

__all__ = ["leaderboard"]


def leaderboard(
    *runs: Run | RunDirectory | str | Path,
    csv: str | Path | Sequence[str | Path] = (),
    metric: str | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    title: str = "Leaderboard",
) -> Leaderboard:
    """Rank runs, and the rows of published tables, by a metric.

    A rank is a range where models cannot be told apart: by paired differences where the samples are the same, by their
    intervals or their values where a table says no more. Runs over different samples or scored differently, and every
    table, are ranked apart.

    Args:
        runs: runs or their directories; a folder of runs stands for all of them.
        csv: published tables: a column ``model``, and scores in columns whose names end in ``_pct``.
        metric: what ranks; None: the weighted score, or quality where there is none.
        resamples, seed: of the paired tests.
        title: of the board.

    Raises:
        InputError: nothing to rank, an unknown metric, or a table that cannot be read.
        StoreError: there is no run, or it is damaged.

    >>> import peakbench, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for name in "ab":
    ...     _ = peakbench.run(out=f"{folder}/{name}", limit=12, resamples=100)
    >>> board = leaderboard(folder, resamples=100)
    >>> [(one.place, one.score.value == 1.0) for one in board]
    [('1-2', False), ('1-2', False)]
    """
    tables = [csv] if isinstance(csv, str | Path) else csv
    return leaderboard_of(
        [opened for run in runs for opened in _opened(run)],
        [read_scores_table(path) for path in tables],
        metric=metric,
        resamples=resamples,
        seed=seed,
        title=title,
    )


def _opened(run: Run | RunDirectory | str | Path) -> list[RunDirectory]:
    if isinstance(run, RunDirectory):
        return [run]
    if isinstance(run, Run):
        return [run.directory]
    path = Path(run)
    if not (path / "run.json").is_file() and path.is_dir():
        inside = sorted(one.parent for one in path.glob("*/run.json"))
        if inside:
            return [RunDirectory.open(one) for one in inside]
    return [Run(path).directory]
