"""What a run's values are taken for, and which unknown words may be synonyms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from peakbench.backends import open_tools
from peakbench.builtins import open_registry
from peakbench.metrics.base import Encoder
from peakbench.runs import Run

if TYPE_CHECKING:
    from peakbench.analysis.vocabulary.confusion import Confusion


def confusion(
    run: Run | str | Path,
    fields: Sequence[str] | None = None,
    *,
    near: float | None = None,
    encoder: Encoder | None = None,
    resamples: int = 10_000,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Mapping[str, Confusion]:
    """Hold a run's answers against its fields' vocabularies: a confusion matrix a field, and what follows from it.

    Args:
        run: a run, or its directory; it need not be scored.
        fields: which fields; None: all that have single values.
        near: similarity in [0, 1] from which an unknown word may be proposed as a synonym. Default: 0.75.
        encoder: judges how near words are. Default: the one whose weights are here; without one, spelling does.
        resamples: bootstrap resamples of the intervals.
        seed: of the resamples.
        on_progress: called with the number of samples read so far.

    Raises:
        ConfigError: ``near`` is no similarity.
        InputError: no run; the task's answer is text; an unknown field, or one that has no single values.
    """
    from peakbench.analysis.vocabulary.survey import confusions
    from peakbench.analysis.vocabulary.synonyms import NEAR

    found = run if isinstance(run, Run) else Run(run)
    return confusions(
        found.directory,
        open_registry(),
        open_tools(encoder=encoder),
        fields=fields,
        near=NEAR if near is None else near,
        resamples=resamples,
        seed=seed,
        on_progress=on_progress,
    )
