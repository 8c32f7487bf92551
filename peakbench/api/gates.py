"""Baselines and the gate: save the scores of a run that is known to be good; pass another only if it is no worse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from peakbench.analysis.comparison.savedscores import as_baseline, as_table
from peakbench.analysis.comparison.scoretable import ScoreTable, read_scores
from peakbench.analysis.gating.judgement import Verdict, judge
from peakbench.errors import StoreError
from peakbench.runs import Run
from peakbench.store import RunDirectory
from peakbench.store.baseline import read_baseline, write_baseline

__all__ = ["gate", "load_baseline", "save_baseline"]


def gate(
    run: Run | RunDirectory | str | Path,
    baseline: ScoreTable | str | Path,
    *,
    metrics: str | Sequence[str] | None = None,
    margin: float = 0.01,
    min_samples: int = 100,
    resamples: int = 10_000,
    seed: int = 0,
) -> Verdict:
    """Hold a run against a baseline; the verdict is true only where the run has passed.

    Args:
        run: a scored run, or its directory.
        baseline: the file of :func:`save_baseline`, or the scores that :func:`load_baseline` read from it.
        metrics: metric ids, or ``field:NAME``; of several all must pass. None: quality; weighted_score where neither
            side has quality.
        margin: how much may be lost, a fraction: 0.01 is one point of a hundred.
        min_samples: fewer compared samples decide nothing.
        resamples: of the intervals, 1,000 or more.
        seed: of the resamples.

    Raises:
        StoreError: the run is unfinished, or the baseline is missing or damaged.
        ConfigError: the margin, the seed, the number of samples or that of resamples cannot be used.
    """
    kept = baseline if isinstance(baseline, ScoreTable) else load_baseline(baseline)
    directory = _directory(run)
    scores = read_scores(directory)
    return judge(
        scores,
        kept,
        metrics=[metrics] if isinstance(metrics, str) else metrics,
        margin=margin,
        min_samples=min_samples,
        unasked=_unasked(directory, scores),
        answers=directory,
        resamples=resamples,
        seed=seed,
    )


def save_baseline(
    run: Run | RunDirectory | str | Path, path: str | Path, *, overwrite: bool = False, allow_failed: bool = False
) -> Path:
    """Save the scores of a run, sample by sample, with their signatures, and return the path.

    Raises:
        StoreError: the run is unfinished, requests failed or were not asked (``allow_failed`` lets them), or the file
            is there already (``overwrite`` replaces it).
    """
    directory = _directory(run)
    scores = read_scores(directory)
    counts = (directory.summary() or {})["samples"]
    left = [
        f"{counts[key]:,} {words}" for key, words in (("failed", "failed"), ("unasked", "not asked")) if counts.get(key)
    ]
    if left and not allow_failed:
        raise StoreError(
            f"requests without an answer: {', '.join(left)}",
            where=str(directory.path),
            expected="a run in which every request was answered",
            hint=f"ask again: peakbench run --resume --out {directory.path}; or keep it as it is: --allow-failed",
        )
    write_baseline(path, as_baseline(scores), overwrite=overwrite)
    return Path(path)


def load_baseline(path: str | Path) -> ScoreTable:
    """Read the scores that a baseline holds.

    Raises:
        StoreError: it is missing, damaged, edited by hand, or of another version.
    """
    return as_table(read_baseline(path))


def _directory(run: Run | RunDirectory | str | Path) -> RunDirectory:
    return run.directory if isinstance(run, Run) else run if isinstance(run, RunDirectory) else RunDirectory.open(run)


def _unasked(run: RunDirectory, scores: ScoreTable) -> dict[str, float]:
    """Return the share of repeats that was not asked, for samples of which some were."""
    counts = (run.summary() or {})["samples"]
    whole = (counts["total"] - len(scores.ids)) * scores.repeats
    if counts.get("unasked", 0) <= whole:
        return {}
    lines = Counter(line["sample_id"] for line in run.scores())
    return {sample_id: 1 - count / scores.repeats for sample_id, count in lines.items() if count < scores.repeats}
