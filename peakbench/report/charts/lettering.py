"""How much room letters need, so that they can be placed without overlapping before anything is drawn."""

from __future__ import annotations

import unicodedata

# Advance widths of Helvetica in thousandths of the type size, space to tilde (Adobe core font metrics); Arial and
# Liberation Sans have the same.
_WIDTHS = (
    *(278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278),
    *(556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556),
    *(1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778),
    *(667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556),
    *(333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556),
    *(556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584),
)
_BOLD = 1.08


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return about how many pixels wide a line of text is in a face like Arial.

    >>> text_width("iii", 10), text_width("WWW", 10)
    (6.66, 28.32)
    """
    thousandths = 0
    for letter in text:
        code = ord(letter) - 32
        if 0 <= code < len(_WIDTHS):
            thousandths += _WIDTHS[code]
        elif not unicodedata.combining(letter):
            thousandths += 1000 if unicodedata.east_asian_width(letter) in "WF" else 600
    return thousandths / 1000 * size * (_BOLD if bold else 1)


def fitted(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """Return the text, its middle left out where it needs more than ``room`` pixels: names differ at both ends.

    >>> fitted("Qwen3.5-2B SFT+GRPO+GTPO NVFP4", 120, 12)
    'Qwen3.5-2B…NVFP4'
    """
    if text_width(text, size, bold=bold) <= room:
        return text
    kept = len(text)
    while kept > 2:
        kept -= 1
        head = kept - kept // 3
        cut = text[:head].rstrip() + "…" + text[len(text) - kept // 3 :]
        if text_width(cut, size, bold=bold) <= room:
            return cut
    return text[:1] + "…"


def wrapped(text: str, room: float, size: float, *, bold: bool = False) -> list[str]:
    """Return the text in lines of at most ``room`` pixels, broken between words where that can be done.

    >>> wrapped("Published scores, without intervals", 110, 12)
    ['Published scores,', 'without intervals']
    """
    lines: list[str] = []
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, size, bold=bold) <= room:
            lines[-1] = joined
        else:
            lines.append(fitted(word, room, size, bold=bold))
    return lines
