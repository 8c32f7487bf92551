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

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from peakbench.records import Completion, JSONValue, Prediction, Problem, State

MAX_CHARS = 1 << 20
"""How many characters of an answer are read; a longer one is ``too_large``."""

MAX_DEPTH = 64
"""How many levels of objects and arrays are read; a deeper answer is ``too_deep``."""

MAX_REPAIR_CHARS = 1 << 14
"""How long a broken object json-repair is given; a longer one stays unparseable."""

MAX_EXTRA = 32
MAX_NAME = 64

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

_REPAIRABLE = frozenset({"invalid_json", "truncated_object"})


class Parsed(NamedTuple):
    """What was found in one answer text.

    ``value``: the object, None unless ``state`` is strict, extracted or repaired. ``problem``: why it was not read, or
    what had to be overlooked. ``duplicates``: how many keys, at any level, stood more than once, less the one that
    counts. ``extra``: top-level keys that were not expected, at most 32, each cut at 64 characters.
    """

    state: State
    value: dict[str, JSONValue] | None = None
    problem: Problem | None = None
    duplicates: int = 0
    extra: tuple[str, ...] = ()


def parse(text: str | None, *, keys: Collection[str], repair: bool = False) -> Parsed:
    r"""Find the one JSON object in an answer text.

    Args:
        text: what the model wrote.
        keys: the expected keys, matched exactly; an object without one of them is ``off_schema``. A frozenset is
            fastest. Without keys every object is read.
        repair: where there is no valid object and one broken one, let json-repair try.

    Returns:
        A :class:`Parsed` whose state is strict, extracted, repaired, unparseable or off_schema. Never raises.

    >>> parse('{"color": "red", "size": null}', keys={"color", "size"})
    Parsed(state='strict', value={'color': 'red', 'size': None}, problem=None, duplicates=0, extra=())
    >>> parse('Sure:\n```json\n{"color": "red"}\n```', keys={"color"}).state
    'extracted'
    >>> parse('{"color": NaN}', keys={"color"}).problem.reason
    'not_a_number'
    >>> parse("{'color': 'red',}", keys={"color"}, repair=True).state
    'repaired'
    """
    if text is None or not text or text.isspace():
        return _unparseable(Problem("empty", None, REASONS["empty"]))
    if len(text) > MAX_CHARS:
        return _unparseable(Problem("too_large", MAX_CHARS, f"{len(text)} characters; {MAX_CHARS} are read"))
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _parse_inside(text, keys, repair)
    if type(value) is dict:
        return _accept("strict", value, text, 0, keys)
    if type(value) is list:
        return _unparseable(Problem("top_level_array", text.find("["), REASONS["top_level_array"]))
    return _unparseable(Problem("top_level_scalar", 0, REASONS["top_level_scalar"]))


def read(
    completion: Completion, *, keys: Collection[str], answer: Literal["json", "text"], repair: bool = False
) -> Prediction:
    """Read one finished attempt series.

    Args:
        completion: how the attempts ended; one without a response becomes state ``failed``.
        keys: the expected keys of a JSON task, ignored for ``answer="text"``.
        answer: what the task asks for; a text is taken as it stands.
        repair: as in :func:`parse`.

    >>> from peakbench.records import Response
    >>> answered = Completion("p1", 0, Response('{"color": "red"}', finish_reason="length"))
    >>> prediction = read(answered, keys={"color"}, answer="json")
    >>> prediction.state, prediction.value, prediction.truncated
    ('strict', {'color': 'red'}, True)
    """
    sample_id, repeat, response = completion.sample_id, completion.repeat, completion.response
    if response is None:
        failure = completion.failure
        problem = Problem(failure.kind, None, failure.message) if failure else Problem("internal")
        return Prediction(sample_id, repeat, "failed", problem=problem, completion=completion)
    truncated = response.finish_reason == "length"
    text = response.text
    if response.refusal or not text or text.isspace():
        problem = _silence(text, response.refusal, response.reasoning, response.finish_reason)
        return Prediction(sample_id, repeat, "unparseable", problem=problem, truncated=truncated, completion=completion)
    if answer == "text":
        return Prediction(sample_id, repeat, "text", text, truncated=truncated, completion=completion)
    parsed = parse(text, keys=keys, repair=repair)
    return Prediction(
        sample_id,
        repeat,
        parsed.state,
        parsed.value,
        parsed.problem,
        parsed.duplicates,
        parsed.extra,
        truncated,
        completion,
    )


def _silence(text: str | None, refusal: str | None, reasoning: str | None, finish_reason: str | None) -> Problem:
    if refusal:
        return Problem("refusal", None, refusal[:200])
    if finish_reason == "content_filter":
        return Problem("refusal", None, "the server stopped the answer: finish_reason content_filter")
    if reasoning and not reasoning.isspace():
        why = "; the token limit was reached" if finish_reason == "length" else ""
        return Problem("reasoning_only", None, f"{len(reasoning)} characters of reasoning, no content{why}")
    return Problem("empty", None, "null content" if text is None else REASONS["empty"])


def _unparseable(problem: Problem) -> Parsed:
    return Parsed("unparseable", None, problem)


def _accept(
    state: State,
    value: dict[str, JSONValue],
    text: str,
    start: int,
    keys: Collection[str],
    *,
    problem: Problem | None = None,
) -> Parsed:
    """Judge an object found: ``text`` is its JSON text, which begins at ``start`` of the answer."""
    duplicates = 0
    strings = len(value)
    for item in value.values():
        kind = type(item)
        if kind is str:
            strings += 1
        elif kind is dict or kind is list:
            strings = -1
            break
    # Keys and strings have two quotes each. A quote more is an escaped one, a nested string, or a key that was lost.
    if strings < 0 or text.count('"') != 2 * strings:
        measured = _measure(value)
        if measured is None:
            return _unparseable(_too_deep(text, start))
        if text.count('"') != 2 * measured:
            duplicates, name = _duplicates(text)
            if duplicates and problem is None:
                problem = Problem("duplicate_keys", None, f"{duplicates} of them, first {name[:MAX_NAME]!r}")
    known = frozenset(keys)
    if value.keys() == known:
        return Parsed(state, value, problem, duplicates)
    unknown = [name for name in value if name not in known]
    extra = tuple(name[:MAX_NAME] for name in unknown[:MAX_EXTRA])
    if known and len(unknown) == len(value):
        names = ", ".join(repr(name) for name in extra[:8]) or "none"
        return Parsed("off_schema", None, Problem("no_expected_key", start, f"its keys: {names}"), duplicates, extra)
    return Parsed(state, value, problem, duplicates, extra)


def _measure(value: JSONValue) -> int | None:
    """Count keys and strings at all levels; None where there are more than MAX_DEPTH levels."""
    count = 0
    level = [value]
    for _ in range(MAX_DEPTH):
        below = []
        for container in level:
            items: Iterable[Any] = container
            if type(container) is dict:
                count += len(container)
                items = container.values()
            for item in items:
                kind = type(item)
                if kind is str:
                    count += 1
                elif kind is dict or kind is list:
                    below.append(item)
        if not below:
            return count
        level = below
    return None


def _duplicates(text: str) -> tuple[int, str]:
    """Count the keys that a later one replaces, in a valid object of at most MAX_DEPTH levels; name the first found."""
    lost = 0
    first = ""

    def count(pairs: list[tuple[str, object]]) -> None:
        nonlocal lost, first
        names = {name for name, _ in pairs}
        if len(names) == len(pairs):
            return
        lost += len(pairs) - len(names)
        if not first:
            for name, _ in pairs:
                if name not in names:
                    first = name
                    break
                names.discard(name)

    # parse_int: int() refuses more than 4,300 digits.
    json.JSONDecoder(object_pairs_hook=count, parse_int=len, parse_float=len).decode(text)
    return lost, first


# -- an object inside other text ---------------------------------------------------------------------------------------

_OPEN = (
    r"<(?:think|thinking|reasoning|thought)>|\[THINK\]|◁think▷|<\|START_THINKING\|>"
    r"|<\|channel\|>(?:analysis|commentary)[^<{]{0,64}<\|message\|>"
)
_CLOSE = (
    r"</(?:think|thinking|reasoning|thought)>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>"
    r"|<\|channel\|>final[^<{]{0,64}<\|message\|>"
)
_CLOSES = re.compile(_CLOSE, re.IGNORECASE)
_MARKS = re.compile(f"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)
_STOPS = re.compile(
    rf"(?P<open>{_OPEN})|(?P<close>{_CLOSE})|(?P<array>\[)"
    r"|(?P<object>\{(?=[ \t\n\r]*+[\"}]))"
    # the object of another language, as in {'a': 1}, {a: 1}, {/* a */ "b": 1}; any other brace is prose
    r"|(?P<alien>\{(?=\s*+(?:['‘“`/#]|[\w.-]{1,64}+\s*+:)))",
    re.IGNORECASE,
)

_ARRAY_OF_OBJECTS = re.compile(r"\[[ \t\n\r\[]*+\{")
_NEXT_BRACKET = re.compile(r'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+([{}\[\]"]|\Z)', re.DOTALL)
_BRACES = re.compile(r"[{}]")
_NOT_A_NUMBER = re.compile(r"-?(?:NaN|Infinity|inf)\b", re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class _Findings:
    """What stands in the text outside reasoning blocks, so far."""

    begin: int = 0
    objects: int = 0
    value: dict[str, JSONValue] | None = None
    start: int = 0
    end: int = 0
    several: int = 0
    array: int | None = None
    broken: Problem | None = None
    broken_at: int = 0
    broken_end: int = 0
    broken_objects: int = 0
    reasoned: bool = False
    unclosed: int | None = None

    def after_reasoning(self, position: int) -> _Findings:
        """Forget everything: it was reasoning."""
        return _Findings(begin=position, reasoned=True)

    def note_broken(self, text: str, start: int, end: int, too_deep_at: int | None = None) -> None:
        """Keep what is wrong with the first object that is not valid."""
        self.broken_objects += 1
        if self.broken is None:
            self.broken = _invalid(text, start, end, too_deep_at)
            self.broken_at, self.broken_end = start, end


def _parse_inside(text: str, keys: Collection[str], repair: bool) -> Parsed:
    found = _search(text)
    if found.objects + (found.array is not None) > 1:
        position = found.several if found.objects > 1 else found.array
        return _unparseable(Problem("several_objects", position, REASONS["several_objects"]))
    if found.value is not None:
        return _accept("extracted", found.value, text[found.start : found.end], found.start, keys, problem=found.broken)
    problem = _why_nothing(text, found)
    if repair and found.broken_objects == 1 and problem.reason in _REPAIRABLE:
        value = _repair(text[found.broken_at : found.broken_end])
        if value is not None:
            parsed = _accept("repaired", value, json.dumps(value), found.broken_at, keys, problem=problem)
            if parsed.value is not None:
                return parsed
    return _unparseable(problem)


def _why_nothing(text: str, found: _Findings) -> Problem:
    if found.array is not None:
        return Problem("top_level_array", found.array, REASONS["top_level_array"])
    if found.broken is not None:
        return found.broken
    if found.unclosed is not None:
        return Problem("unclosed_reasoning", found.unclosed, REASONS["unclosed_reasoning"])
    if found.reasoned:
        return Problem("reasoning_only", found.begin, REASONS["reasoning_only"])
    stripped = text.strip()
    if _NOT_A_NUMBER.fullmatch(stripped):
        return Problem("not_a_number", text.find(stripped), REASONS["not_a_number"])
    return Problem("no_object", None, REASONS["no_object"])


def _search(text: str) -> _Findings:
    """Walk the text once, from one bracket or reasoning tag outside objects to the next."""
    found = _Findings()
    if text.startswith("analysis") and (final := text.find("assistantfinal")) > 0:
        # gpt-oss channels after a server has stripped their special tokens
        found = found.after_reasoning(final + len("assistantfinal"))
    position = found.begin
    no_array_before = 0  # an opening bracket that is no array: those inside it are none either
    closing_braces: dict[int, int] | None = None
    jumped = False
    while stop := (_STOPS if found.objects < 2 else _MARKS).search(text, position):
        at = stop.start()
        kind = stop.lastgroup
        if kind == "open":
            close = _CLOSES.search(text, stop.end())
            if close is None:
                found.unclosed = at
                break
            found.reasoned = True
            position = close.end()
            if found.objects == 0:
                found.begin = position
            continue
        if kind == "close":
            position = stop.end()
            found = found.after_reasoning(position)
            continue
        position = at + 1
        if kind == "alien":
            if closing_braces is None:
                closing_braces = _closing_braces(text)
            found.note_broken(text, at, closing_braces.get(at, len(text)))
            position = closing_braces.get(at, position)
            continue
        if kind == "array" and at < no_array_before:
            continue
        end, too_deep_at = _balance(text, at)
        objects_in_array = kind == "array" and _ARRAY_OF_OBJECTS.match(text, at)
        if end is None and (kind == "object" or objects_in_array):
            last = None if jumped else _last_close(text, at)
            if last is not None:
                # It is broken because it is reasoning whose opening tag the server stripped.
                jumped = True
                position = last
                found = found.after_reasoning(last)
                continue
            if objects_in_array:
                found.array = at
            else:
                found.note_broken(text, at, len(text), too_deep_at)
            break
        if end is None:
            no_array_before = len(text)
            continue
        try:
            value = orjson.loads(text[at:end]) if too_deep_at is None else None
        except orjson.JSONDecodeError:
            value = None
        if type(value) is dict:
            found.objects += 1
            if found.objects == 1:
                found.value, found.start, found.end = value, at, end
            else:
                found.several = at
        elif objects_in_array or (type(value) is list and _holds_object(value)):
            found.array = at
        elif kind == "object":
            found.note_broken(text, at, end, too_deep_at)
        elif value is None:
            no_array_before = end
            continue
        position = end
    return found


def _balance(text: str, start: int) -> tuple[int | None, int | None]:
    """Where the bracket at ``start`` closes (None: nowhere), and where MAX_DEPTH is passed (None: nowhere)."""
    depth = 0
    too_deep_at = None
    position = start
    while True:
        bracket = _NEXT_BRACKET.match(text, position)
        if bracket is None or bracket[1] in {"", '"'}:
            return None, too_deep_at
        position = bracket.end()
        if bracket[1] in "{[":
            depth += 1
            if depth > MAX_DEPTH and too_deep_at is None:
                too_deep_at = position - 1
        else:
            depth -= 1
            if depth == 0:
                return position, too_deep_at


def _closing_braces(text: str) -> dict[int, int]:
    """Position of each opening brace -> position after the brace that closes it, strings not regarded."""
    pairs = {}
    opened = []
    for brace in _BRACES.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif opened:
            pairs[opened.pop()] = brace.end()
    return pairs


def _last_close(text: str, start: int) -> int | None:
    last = None
    for close in _CLOSES.finditer(text, start):
        last = close.end()
    return last


def _holds_object(value: list[JSONValue]) -> bool:
    """Whether an array of at most MAX_DEPTH levels holds an object at any level."""
    level = value
    while level:
        if any(type(item) is dict for item in level):
            return True
        level = [inner for item in level if type(item) is list for inner in item]
    return False


def _too_deep(text: str, start: int) -> Problem:
    position = _balance(text, max(text.find("{"), 0))[1]
    return Problem("too_deep", None if position is None else start + position, f"more than {MAX_DEPTH} levels")


def _invalid(text: str, start: int, end: int, too_deep_at: int | None = None) -> Problem:
    """Name what is wrong with the object that begins at ``start``."""
    if too_deep_at is not None:
        return Problem("too_deep", too_deep_at, f"more than {MAX_DEPTH} levels")
    try:
        orjson.loads(text[start:end])
    except orjson.JSONDecodeError as error:
        position = start + error.pos
        if "surrogate" in error.msg:
            raw = _SURROGATE.search(text, start, end)
            return Problem("lone_surrogate", raw.start() if raw else position, REASONS["lone_surrogate"])
        before = position - 1 if text[position - 1 : position] == "-" else position
        if "infinity" in error.msg or _NOT_A_NUMBER.match(text, before):
            return Problem("not_a_number", before, REASONS["not_a_number"])
        if position >= len(text):
            return Problem("truncated_object", len(text), REASONS["truncated_object"])
        return Problem("invalid_json", position, error.msg)
    return Problem("invalid_json", start, REASONS["invalid_json"])


def _repair(text: str) -> dict[str, JSONValue] | None:
    """What json-repair makes of a text; None where that is not one object of plain JSON values."""
    if len(text) > MAX_REPAIR_CHARS or text.count("{") + text.count("[") > 4 * MAX_DEPTH:
        return None
    from json_repair import repair_json

    try:
        value = repair_json(text, return_objects=True, skip_json_loads=True)
        if type(value) is not dict or _measure(value) is None:
            return None
        # Through JSON and back: what is left is what any other answer could hold, or a ValueError.
        again = orjson.loads(json.dumps(value, allow_nan=False))
    except (ValueError, RecursionError, IndexError, TypeError, AttributeError):
        return None
    return again if type(again) is dict else None
