"""A section of a card between two comments. What stands outside them is somebody else's and stays byte for byte."""

from __future__ import annotations

import hashlib
import re

from peakbench.errors import InputError

_LINE = re.compile(r"^[ \t]*<!-- peakbench:(begin|end) (\S+) -->[ \t]*\r?$", re.MULTILINE)


def section_key(*names: str) -> str:
    """Return a name for a section, in letters that a comment can hold; different names never share one.

    >>> section_key("garment_photos", "garment")
    'garment_photos/garment'
    >>> section_key("a b", "c").startswith("a-b/c."), section_key("a b") == section_key("a-b")
    (True, False)
    """
    whole = "/".join(name.replace("/", ":") for name in names)
    plain = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9._/:-]+", "-", whole)).strip("-")[:80]
    if plain == whole:
        return plain
    return f"{plain}.{hashlib.sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def with_section(card: str, key: str, section: str, *, where: str = "README.md") -> str:
    r"""Return the card with this section in place of the one of that key, or at its end where it has none.

    The card's own line ends are kept. ``section`` ends with a newline.

    Raises:
        InputError: the markers of this key are damaged: one without the other, twice, or in the wrong order.

    >>> with_section("# Mine\r\n", "k", "text\n")
    '# Mine\r\n\r\n<!-- peakbench:begin k -->\r\ntext\r\n<!-- peakbench:end k -->\r\n'
    """
    newline = line_end(card)
    block = f"<!-- peakbench:begin {key} -->\n{section}<!-- peakbench:end {key} -->".replace("\n", newline)
    span = find_section(card, key, where=where)
    if span is not None:
        return card[: span[0]] + block + card[span[1] :]
    if not card:
        return block + newline
    ends = len(card) - len(card.rstrip("\r\n"))
    gap = newline * 2 if not ends else newline if card[-ends:].count("\n") < 2 else ""
    return card + gap + block + newline


def find_section(card: str, key: str, *, where: str = "README.md") -> tuple[int, int] | None:
    """Return where a section stands, from the first letter of its first marker to the last of its second.

    Raises:
        InputError: as :func:`with_section`.
    """
    marks = [found for found in _LINE.finditer(card) if found[2] == key]
    if not marks:
        return None
    if [found[1] for found in marks] != ["begin", "end"]:
        kinds = ", ".join(f"{found[1]} in line {card.count(chr(10), 0, found.start()) + 1}" for found in marks)
        raise InputError(
            f"the markers of the section '{key}' are damaged: {kinds}",
            where=where,
            expected=f"one <!-- peakbench:begin {key} --> and after it one <!-- peakbench:end {key} -->",
            hint="mend the card on the Hub, or delete both markers and what stands between them",
        )
    begin, end = marks
    start = begin.start() + begin[0].index("<")
    return start, end.start() + end[0].index(">", end[0].index("<")) + 1


def line_end(text: str) -> str:
    r"""Return the line end that a text uses: ``"\r\n"`` where its first line has it."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"
