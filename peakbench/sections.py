"""What a plugin adds to a report: sections of plain text, lists and tables, which the page lays out and escapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_ROWS = 1000
"""Rows or items of one block that a page shows; what is beyond is counted."""


@dataclass(frozen=True, slots=True)
class SectionText:
    """A paragraph. ``fixed``: set in a fixed-width font, its line breaks kept."""

    text: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class SectionList:
    """Lines of text with a dot before each."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class SectionTable:
    """Rows of text under named columns. The first column is aligned left, as are those named in ``left``.

    Raises:
        ValueError: a row has more or fewer cells than there are columns.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    left: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} cells, and there are {len(self.columns)} columns")


@dataclass(frozen=True, slots=True)
class SectionHtml:
    """A piece of HTML of the plugin's own, shown in a frame of its own.

    The frame is sandboxed: no script in it runs, no form is sent, nothing is loaded. Whatever of it comes from a model
    or a data set must be escaped by the plugin. ``height``: of the frame, pixels. ``label``: for screen readers.
    """

    trusted_html: str
    label: str
    height: int = 300


Block = SectionText | SectionList | SectionTable | SectionHtml


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A section of a report: a title, and blocks in the order in which they are read.

    >>> ReportSection("Prices", [SectionText("Nothing was priced.")]).title
    'Prices'
    """

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
