"""Where a run's numbers can go: what a destination is, for those that ship and for those of plugins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from peakbench.runs import Run

TableName = Literal["answers", "summary"]


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be written, and where to.

    Attributes:
        run: a run that has been scored.
        target: the path of the file, or what stands behind ``name:``, "" where nothing does.
        contents: whether what the model read and wrote goes too: references, answers, raw text, metadata.
        table: one row an answer, or one row a number of the summary; for destinations that are a table.
    """

    run: Run
    target: str
    contents: bool
    table: TableName = "answers"


@dataclass(frozen=True, slots=True)
class Destination:
    """One kind of place that runs can be written to.

    Attributes:
        name: what stands before the colon in ``--to name:target``.
        write: writes the run and returns one line that says what was written and where.
        endings: of file names that choose this destination without its name, like ``(".csv",)``.
        description: one line, for lists.
        contents: whether contents go there where nobody said; no for whatever leaves the machine.

    >>> csv = Destination("csv", lambda export: f"wrote {export.target}", (".csv",))
    >>> csv.fits("runs/a/Answers.CSV"), csv.fits("answers.parquet")
    (True, False)
    """

    name: str
    write: Callable[[Export], str]
    endings: tuple[str, ...] = ()
    description: str = ""
    contents: bool = False

    def fits(self, target: str) -> bool:
        """Whether a file's name chooses this destination."""
        return target.lower().endswith(self.endings)
