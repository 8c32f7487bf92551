"""How much of an answer is read, and every reason why one is not."""

from __future__ import annotations

MAX_CHARS = 1 << 20
"""How many characters of an answer are read; a longer one is ``too_large``."""

MAX_DEPTH = 64
"""How many levels of objects and arrays are read; a deeper answer is ``too_deep``."""

MAX_REPAIR_CHARS = 1 << 14
"""How long a broken object json-repair is given; a longer one stays unparseable."""

MAX_EXTRA = 32
"""How many unexpected keys are named."""

MAX_NAME = 64
"""How many characters of such a key are kept."""

REASONS: dict[str, str] = {
    "empty": "the answer is empty",
    "refusal": "the model refused to answer",
    "reasoning_only": "there is reasoning and no answer after it",
    "unclosed_reasoning": "a reasoning block is not closed, so no answer follows it",
    "too_large": "the answer is longer than what is read",
    "too_deep": "objects or arrays are nested deeper than what is read",
    "no_object": "the text holds no JSON object",
    "top_level_array": "the answer is an array, where one object is expected",
    "top_level_scalar": "the answer is a string, a number, true, false or null, where one object is expected",
    "several_objects": "the text holds several objects, and which one is the answer cannot be told",
    "truncated_object": "the text ends inside the object",
    "not_a_number": "NaN, Infinity, or a number beyond the range of doubles: not JSON values",
    "lone_surrogate": "a string holds half of a surrogate pair, which is not a character",
    "invalid_json": "the object is not valid JSON",
    "no_expected_key": "the object has not one of the expected keys",
    "duplicate_keys": "a key stands more than once; the last one counts",
}
"""Every reason an answer can be odd for, with its meaning. ``duplicate_keys`` alone goes with an answer that is read
as it stands; a repaired answer, or one beside broken objects, carries the reason that had to be overlooked."""
