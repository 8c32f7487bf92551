"""Where models come from, and what quantization and training did: tag(), lineage(), pairs(), table_pairs()."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from peakbench.analysis.lineage import pairs as finding
from peakbench.analysis.lineage.models import PARTS, Lineage, lineage_of, lineage_record, placed
from peakbench.analysis.lineage.pairs import Pairs
from peakbench.analysis.lineage.published import read_table
from peakbench.errors import ConfigError, nearest
from peakbench.runs import Run
from peakbench.store import LineageRecord, RunDirectory

__all__ = ["lineage", "pairs", "table_pairs", "tag"]


def lineage(run: Run | RunDirectory | str | Path) -> Lineage:
    """Return what is known about a run's model: what was said of it, and the rest from its name.

    Raises:
        StoreError: there is no run.
    """
    return lineage_of(_directory(run).run)


def tag(run: Run | RunDirectory | str | Path, *, clear: Iterable[str] = (), **parts: Any) -> Lineage:
    """Say where a run's model comes from; what is not named stays as it was.

    Args:
        run: the run, whose run.json is rewritten. What it asked is not touched.
        clear: parts to forget, so that the model's name speaks again.
        parts: any of ``family``, ``parameters``, ``training`` ("SFT+GRPO", "none", or a list), ``quantization``,
            ``version``, ``base_run`` (a run's directory).

    Raises:
        ConfigError: an unknown part, or a value that cannot be used.
        StoreError: no such run, the base run is none, or another writer holds the run.
    """
    forgotten = tuple(clear)
    for name in forgotten:
        if name not in PARTS:
            raise ConfigError(f"unknown part '{name}'", where="lineage", hint=nearest(name, PARTS))
    directory = _directory(run)
    said = placed(lineage_record(parts), directory.path).model_dump(exclude_none=True)

    def change(known: LineageRecord) -> LineageRecord:
        return known.model_copy(update={**dict.fromkeys(forgotten), **said})

    directory.tag(change)
    return lineage_of(directory.run)


def pairs(
    *runs: Run | RunDirectory | str | Path,
    metrics: Sequence[str] | None = None,
    margin: float = 0.01,
    resamples: int = 10_000,
    seed: int = 0,
) -> Pairs:
    """Find the quantization and training pairs among runs, and hold each against the other.

    Args:
        runs: runs, or their directories.
        metrics: ids; None: quality, and weighted_score where a pair has no quality.
        margin: a fraction: a loss within it counts as no worse. 0.01 is one point of a hundred.
        resamples: of intervals and tests.
        seed: of the resamples.

    Raises:
        StoreError: a run is unfinished or damaged.
        InputError: a metric that no run has, or a margin that cannot be used.
    """
    return finding.run_pairs(
        [_directory(run) for run in runs], metrics=metrics, margin=margin, resamples=resamples, seed=seed
    )


def table_pairs(file: str | Path, *, metrics: Sequence[str] | None = None) -> Pairs:
    """Find the pairs among the rows of a published table, a CSV file; their differences have no interval.

    Args:
        file: columns ``model``, if possible ``architecture``, ``params``, ``training``; scores end in ``_pct``.
        metrics: names of such columns, with or without ``_pct``; None for all.

    Raises:
        InputError: the file is no such table.
    """
    return finding.table_pairs(read_table(file), metrics=metrics)


def _directory(run: Run | RunDirectory | str | Path) -> RunDirectory:
    return run.directory if isinstance(run, Run) else run if isinstance(run, RunDirectory) else Run(run).directory
