"""One answer: judged as a whole first, then as an object in other text."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Literal, NamedTuple

import orjson

from peakbench.parsing.extraction import search, too_deep, why_nothing
from peakbench.parsing.objects import lost_keys, measure, repaired
from peakbench.parsing.reasons import MAX_CHARS, MAX_EXTRA, MAX_NAME, REASONS
from peakbench.records import Completion, JSONValue, Prediction, Problem, State

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
        measured = measure(value)
        if measured is None:
            return _unparseable(too_deep(text, start))
        if text.count('"') != 2 * measured:
            duplicates, name = lost_keys(text)
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


def _parse_inside(text: str, keys: Collection[str], repair: bool) -> Parsed:
    found = search(text)
    if found.objects + (found.array is not None) > 1:
        position = found.several if found.objects > 1 else found.array
        return _unparseable(Problem("several_objects", position, REASONS["several_objects"]))
    if found.value is not None:
        return _accept("extracted", found.value, text[found.start : found.end], found.start, keys, problem=found.broken)
    problem = why_nothing(text, found)
    if repair and found.broken_objects == 1 and problem.reason in _REPAIRABLE:
        value = repaired(text[found.broken_at : found.broken_end])
        if value is not None:
            parsed = _accept("repaired", value, json.dumps(value), found.broken_at, keys, problem=problem)
            if parsed.value is not None:
                return parsed
    return _unparseable(problem)
