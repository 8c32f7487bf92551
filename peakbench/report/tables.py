"""Headings, lines and tables, and how they are written: for a terminal, as plain text, as Markdown.

Everything shown may hold model output or a data set's text. :func:`neutral` takes the power from it: a terminal
would obey an escape sequence, so control characters are shown, not sent; markup is never interpreted.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Literal

Form = Literal["terminal", "plain", "markdown"]
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format and bidi, lone surrogates, line separators


def neutral(text: object, *, limit: int | None = None, keep: str = "") -> str:
    r"""Return text that a terminal only prints: control and invisible characters stand as escapes.

    Args:
        limit: cut after this many characters and say how many are missing.
        keep: characters to leave alone, like ``"\n"``.

    >>> neutral("\x1b[31mred\x1b[0m [bold]x[/bold]")
    '\\x1b[31mred\\x1b[0m [bold]x[/bold]'
    >>> neutral("abcdef", limit=3)
    'abc… (3 more)'
    """
    whole = str(text)
    cut = whole if limit is None or len(whole) <= limit else whole[:limit]
    shown = "".join(
        letter if letter in keep or unicodedata.category(letter) not in _SHOWN else _escaped(letter) for letter in cut
    )
    return shown if cut is whole else f"{shown}… ({len(whole) - len(cut):,} more)"


def _escaped(letter: str) -> str:
    code = ord(letter)
    return _NAMED.get(letter) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def percent(value: float | None) -> str:
    """A fraction in per cent with one decimal; ``-`` where there is none. Rounding never makes a whole of a part.

    >>> percent(0.9143), percent(None), percent(1.0), percent(0.99996), percent(0.00004), percent(-0.25)
    ('91.4', '-', '100.0', '99.9', '0.1', '-25.0')
    """
    if value is None or not math.isfinite(value):
        return "-"
    shown = round(value * 100, 1)
    if shown == 100.0 and value < 1:
        shown = 99.9
    if shown == 0.0 and value:
        shown = math.copysign(0.1, value)
    return f"{shown:.1f}"


def quantity(value: float | None, unit: str = "") -> str:
    """A number with three significant digits, or whole above a thousand; ``-`` where there is none.

    >>> quantity(0.04321, "s"), quantity(12345.6), quantity(None), quantity(0)
    ('0.0432 s', '12,346', '-', '0')
    """
    if value is None or not math.isfinite(value):
        return "-"
    if abs(value) >= 1000 or value == int(value):
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"
    return f"{text} {unit}".strip()


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text; without a head where no column has a name.

    The first column is aligned left, as are those named in ``left``; numbers right. ``faint``: rows that stand back.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    left: frozenset[str] = frozenset()
    faint: frozenset[int] = frozenset()

    def is_left(self, index: int) -> bool:
        """Whether a column is aligned left."""
        return index == 0 or self.columns[index] in self.left


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of text under an optional title; ``kind`` "note" stands out, "heading" heads the page."""

    lines: Sequence[str]
    title: str = ""
    kind: Literal["text", "note", "heading"] = "text"


@dataclass(slots=True)
class Page:
    """Blocks in the order in which they are read."""

    blocks: list[Table | Lines] = field(default_factory=list)

    def add(self, block: Table | Lines | None) -> None:
        """Append a block; an empty one is left out."""
        if block is not None and (block.rows if isinstance(block, Table) else block.lines):
            self.blocks.append(block)

    def text(self) -> str:
        """The page as aligned plain text, in ASCII but for the data's own letters."""
        return "\n\n".join("\n".join(_plain(block)) for block in self.blocks) + "\n"

    def markdown(self) -> str:
        """The page as Markdown."""
        return "\n\n".join("\n".join(_markdown(block)) for block in self.blocks) + "\n"

    def write(self, file: IO[str], form: Form) -> None:
        """Write the page; ``terminal`` uses rich, which drops colours where NO_COLOR is set or TERM is dumb."""
        if form == "terminal":
            _write_rich(self.blocks, file)
        else:
            file.write(self.markdown() if form == "markdown" else self.text())


def _plain(block: Table | Lines) -> Iterable[str]:
    if block.title:
        yield block.title
    indent = "  " if block.title else ""
    if isinstance(block, Lines):
        for line in block.lines:
            yield indent + line
        return
    rows = [block.columns, *block.rows] if any(block.columns) else block.rows
    widths = [max(_width(row[index]) for row in rows) for index in range(len(block.columns))]
    for row in rows:
        cells = (
            cell + " " * (width - _width(cell)) if block.is_left(index) else " " * (width - _width(cell)) + cell
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield (indent + "  ".join(cells)).rstrip()


def _width(text: str) -> int:
    """Columns that a terminal gives to a text: wide letters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _markdown(block: Table | Lines) -> Iterable[str]:
    if block.title:
        yield from (f"### {_marked(block.title)}", "")
    if isinstance(block, Lines):
        mark = "## " if block.kind == "heading" else "- "
        for index, line in enumerate(block.lines):
            yield (mark if block.kind != "heading" or index == 0 else "- ") + _marked(line)
        return
    yield "| " + " | ".join(map(_marked, block.columns)) + " |"
    yield "|" + "|".join(" --- " if block.is_left(index) else " ---: " for index in range(len(block.columns))) + "|"
    for row in block.rows:
        yield "| " + " | ".join(map(_marked, row)) + " |"


def _marked(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\|`*<>[]#" else letter for letter in text)


def _write_rich(blocks: Iterable[Table | Lines], file: IO[str]) -> None:
    """Write the plain layout with bold and colour: rich's own tables cut numbers where the window is narrow."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False, markup=False, emoji=False)
    for number, block in enumerate(blocks):
        if number:
            console.print()
        lines = list(_plain(block))
        styles = [_style(block, index - bool(block.title)) for index in range(len(lines))]
        for line, style in zip(lines, styles, strict=True):
            console.print(Text(line, style=style), soft_wrap=True)


def _style(block: Table | Lines, index: int) -> str:
    if index < 0:
        return "bold"
    if isinstance(block, Table):
        index -= any(block.columns)
        return "bold" if index < 0 else "dim" if index in block.faint else ""
    if block.kind == "heading":
        return "bold" if index == 0 else ""
    return "yellow" if block.kind == "note" else ""
