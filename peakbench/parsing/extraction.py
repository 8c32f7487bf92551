"""The one object in other text: reasoning blocks, prose, arrays and broken objects told apart in one walk."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from peakbench.parsing.reasons import MAX_DEPTH, REASONS
from peakbench.records import JSONValue, Problem

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
class Findings:
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

    def after_reasoning(self, position: int) -> Findings:
        """Forget everything: it was reasoning."""
        return Findings(begin=position, reasoned=True)

    def note_broken(self, text: str, start: int, end: int, too_deep_at: int | None = None) -> None:
        """Keep what is wrong with the first object that is not valid."""
        self.broken_objects += 1
        if self.broken is None:
            self.broken = _invalid(text, start, end, too_deep_at)
            self.broken_at, self.broken_end = start, end


def search(text: str) -> Findings:
    """Walk the text once, from one bracket or reasoning tag outside objects to the next."""
    found = Findings()
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


def why_nothing(text: str, found: Findings) -> Problem:
    """Name the reason why a text that was searched has no object to read."""
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


def too_deep(text: str, start: int) -> Problem:
    """Name the place where the object in ``text``, which begins at ``start`` of the answer, passes MAX_DEPTH."""
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
