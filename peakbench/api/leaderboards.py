"""leaderboard(), write_leaderboard(): runs and published scores in the order of a metric, ties included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from peakbench.analysis.findings.gathering import findings
from peakbench.analysis.findings.statements import Findings
from peakbench.analysis.leaderboard.boards import leaderboard_of
from peakbench.analysis.leaderboard.published import read_scores_table
from peakbench.analysis.leaderboard.standings import Leaderboard
from peakbench.analysis.lineage.pairs import Pairs, run_pairs, table_pairs
from peakbench.analysis.lineage.published import read_table
from peakbench.errors import StoreError
from peakbench.report.boards import WrittenBoard, write_board
from peakbench.runs import Run
from peakbench.store import RunDirectory

__all__ = ["leaderboard", "leaderboard_findings", "leaderboard_pairs", "write_leaderboard"]


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
        runs: runs or their directories; a folder of runs stands for all of them. Among several, what is there but is no
            run is left out, and a note says so.
        csv: published tables: a column ``model``, and scores in columns whose names end in ``_pct``.
        metric: what ranks; None: the weighted score, or quality where there is none.
        resamples: of the paired tests.
        seed: of the resamples.
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
    opened: list[RunDirectory] = []
    notes = []
    for run in runs:
        try:
            opened += _opened(run)
        except StoreError:
            # among several, as runs/* names them, what is no run is passed over
            if len(runs) == 1 or not isinstance(run, str | Path) or not Path(run).exists() or _is_run(Path(run)):
                raise
            notes.append(f"{run} is left out: it is no run")
    board = leaderboard_of(
        opened,
        [read_scores_table(path) for path in tables],
        metric=metric,
        resamples=resamples,
        seed=seed,
        title=title,
    )
    return replace(board, notes=(*notes, *board.notes)) if notes else board


def leaderboard_pairs(board: Leaderboard, *, resamples: int = 10_000, seed: int = 0) -> tuple[Pairs, ...]:
    """Return the quantization and training pairs among a leaderboard's models: of its runs, and of each table.

    Args:
        board: its runs and tables are read again.
        resamples: of the runs' intervals and tests.
        seed: of the resamples.

    Raises:
        StoreError: a run of the board is gone, or damaged.
        InputError: a table of the board is.
    """
    runs = [RunDirectory.open(one.path) for one in board if one.source == "run" and one.score is not None]
    found: list[Pairs] = []
    if len(runs) > 1:
        found.append(run_pairs(runs, metrics=[board.metric], resamples=resamples, seed=seed))
    return (*found, *(table_pairs(read_table(group.path)) for group in board.groups if group.path is not None))


def leaderboard_findings(board: Leaderboard, pairs: Sequence[Pairs] | None = None) -> Findings:
    """Return what a leaderboard says in sentences, each with its evidence.

    Args:
        pairs: what :func:`leaderboard_pairs` returns; None: found now.

    Raises:
        StoreError, InputError: as for the pairs.
    """
    return findings(board, leaderboard_pairs(board) if pairs is None else pairs)


def write_leaderboard(
    board: Leaderboard,
    folder: str | Path,
    *,
    pairs: Sequence[Pairs] | None = None,
    findings: Findings | None = None,
    charts: bool = True,
) -> WrittenBoard:
    """Write a leaderboard into a folder: README.md, leaderboard.csv, leaderboard.json, index.html, and charts.

    The page is one file: it works offline and sends no request to anywhere. Without altair and vl-convert there are no
    charts, and the result says so.

    Args:
        board: as :func:`leaderboard` returns it.
        folder: is made where it is not there; one that holds an earlier leaderboard is written over.
        pairs: what :func:`leaderboard_pairs` returns; None: found now.
        findings: what :func:`leaderboard_findings` returns, to stand above the tables; None: found now.
        charts: whether to draw.

    Raises:
        InputError: the folder is none, or holds a README.md or an index.html of somebody else.
        StoreError: it cannot be written, or a run of the board is gone.
    """
    pairs = leaderboard_pairs(board) if pairs is None else pairs
    findings = leaderboard_findings(board, pairs) if findings is None else findings
    runs = {one.group: one.path for one in reversed(board.standings) if one.source == "run"}
    tasks = {group: RunDirectory.open(path).task for group, path in runs.items()}
    return write_board(board, Path(folder), findings=findings, pairs=pairs, tasks=tasks, charts=charts)


def _opened(run: Run | RunDirectory | str | Path) -> list[RunDirectory]:
    if isinstance(run, RunDirectory):
        return [run]
    if isinstance(run, Run):
        return [run.directory]
    path = Path(run)
    if not _is_run(path) and path.is_dir():
        inside = sorted(one.parent for one in path.glob("*/run.json"))
        if inside:
            return [RunDirectory.open(one) for one in inside]
    return [Run(path).directory]


def _is_run(path: Path) -> bool:
    return (path / "run.json").is_file()
