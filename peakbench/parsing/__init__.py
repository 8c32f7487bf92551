"""Answer text -> value, how it was found, why it was not.

An answer is read only where it holds *one* JSON object (RFC 8259, strictly: no NaN, no comments, no trailing comma).
What a model wrote is hostile: nothing here raises, recurses, or takes more than linear time. At most
:data:`MAX_CHARS` characters and :data:`MAX_DEPTH` levels are read.

What counts as one object, outside reasoning blocks (``<think>``, ``<thinking>``, ``<reasoning>``, ``<thought>``,
``[THINK]``, gpt-oss channels; a closing tag without an opening one ends a block that began with the text):

- two objects are several, even where they are equal and even where one of them stands in a code fence;
- an object inside an array is not an answer; an array of plain values ("[1]") is prose;
- an object that never closes hides whatever stands inside it, so an inner object is never taken for the answer.

Numbers are what a double holds: integers beyond 64 bits become the nearest double, and a number beyond the
range of doubles is ``not_a_number`` like ``NaN``.
"""

from __future__ import annotations

from peakbench.parsing.answer import Parsed, parse, read
from peakbench.parsing.reasons import MAX_CHARS, MAX_DEPTH, MAX_REPAIR_CHARS, REASONS

__all__ = ["MAX_CHARS", "MAX_DEPTH", "MAX_REPAIR_CHARS", "REASONS", "Parsed", "parse", "read"]
