"""Constrained decoding: a JSON schema as a machine over bytes, and the tokens it allows next.

An answer is written as ``json.dumps`` writes it (", " and ": "), properties in the schema's order, in printable ASCII.
That is a part of what a schema allows, never more. A keyword that this cannot keep is refused, not ignored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from peakbench.reader.vocabulary import Trie, Vocabulary
from peakbench.serving.base import PromptRefused

PRINTABLE = frozenset(range(0x20, 0x7F))
MAX_DEPTH = 8
MAX_STATES = 100_000
FREE_DEPTH = 3
"""How deep a value goes that the schema leaves open."""

_LETTERS = PRINTABLE - frozenset(b'"\\')
_DIGITS = frozenset(b"0123456789")
_NOTES = frozenset(
    {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
)
_TYPES = ("string", "number", "integer", "boolean", "null", "object", "array")
_KEYWORDS = _NOTES | {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"}

State = frozenset[int]
_Build = Callable[[int], int]


class Grammar:
    """A compiled schema.

    >>> words = Vocabulary([bytes([i]) for i in range(128)] + [b'{"a": ', b"null}"])
    >>> schema = {"type": "object", "properties": {"a": {"enum": ["x", None]}}, "required": ["a"]}
    >>> grammar = Grammar(schema, words, Trie.of(words))
    >>> state = grammar.advance(grammar.start, b'{"a": ')
    >>> [words.alone[i] for i in np.flatnonzero(grammar.allowed(state))]
    ['"', 'n', 'null}']
    >>> grammar.complete(grammar.advance(state, b"null}"))
    True
    """

    def __init__(self, schema: Mapping[str, Any] | bool, vocabulary: Vocabulary, trie: Trie) -> None:
        if not vocabulary.spells(PRINTABLE):
            raise PromptRefused("This model cannot be held to a schema: its vocabulary does not spell every text.")
        self._trie = trie
        self._size = len(vocabulary)
        self._arrows: list[list[tuple[frozenset[int], int]]] = [[]]
        self._free: list[list[int]] = [[]]
        self._next: dict[State, dict[int, State]] = {}
        self._allowed: dict[State, npt.NDArray[np.bool_]] = {}
        self._end = self._schema(schema, 0, 0, "$")
        self.start = self._closure({0})

    def advance(self, state: State, data: bytes) -> State:
        """The state after some bytes; empty where they are not allowed."""
        for byte in data:
            state = self._step(state).get(byte, frozenset())
        return state

    def complete(self, state: State) -> bool:
        """Whether an answer may end here."""
        return self._end in state

    def allowed(self, state: State) -> npt.NDArray[np.bool_]:
        """Which tokens may follow, by id; the end of the answer is not among them (see ``complete``)."""
        mask = self._allowed.get(state)
        if mask is None:
            mask = np.zeros(self._size, dtype=bool)
            pending = [(self._trie, state)]
            while pending:
                node, at = pending.pop()
                mask[node.ids] = True
                after = self._step(at)
                pending += [(branch, after[byte]) for byte, branch in node.branches.items() if byte in after]
            if len(self._allowed) > 4096:
                self._allowed.clear()
            self._allowed[state] = mask
        return mask

    def _step(self, state: State) -> dict[int, State]:
        step = self._next.get(state)
        if step is None:
            reached: dict[int, set[int]] = {}
            for node in state:
                for alphabet, target in self._arrows[node]:
                    for byte in alphabet:
                        reached.setdefault(byte, set()).add(target)
            step = {byte: self._closure(nodes) for byte, nodes in reached.items()}
            if len(self._next) > 4096:
                self._next.clear()
            self._next[state] = step
        return step

    def _closure(self, nodes: Iterable[int]) -> State:
        seen = set(nodes)
        pending = list(seen)
        while pending:
            for node in self._free[pending.pop()]:
                if node not in seen:
                    seen.add(node)
                    pending.append(node)
        return frozenset(seen)

    # The machine is built forwards: every builder takes the state it starts from and returns the one it ends in.

    def _state(self) -> int:
        if len(self._arrows) >= MAX_STATES:
            raise PromptRefused("The schema is too large.")
        self._arrows.append([])
        self._free.append([])
        return len(self._arrows) - 1

    def _any_of(self, start: int, alphabet: frozenset[int]) -> int:
        end = self._state()
        self._arrows[start].append((alphabet, end))
        return end

    def _text(self, start: int, text: str) -> int:
        for byte in text.encode("ascii"):
            start = self._any_of(start, frozenset((byte,)))
        return start

    def _either(self, start: int, ways: Iterable[_Build]) -> int:
        end = self._state()
        for way in ways:
            own = self._state()
            self._free[start].append(own)
            self._free[way(own)].append(end)
        return end

    def _repeat(self, start: int, alphabet: frozenset[int]) -> int:
        loop = self._state()
        self._free[start].append(loop)
        self._arrows[loop].append((alphabet, loop))
        return loop

    def _schema(self, schema: Any, start: int, depth: int, where: str) -> int:
        if schema is True or schema == {}:
            return self._open(start, max(0, FREE_DEPTH - depth))
        if not isinstance(schema, Mapping):
            raise PromptRefused(f"The schema cannot be kept: {where} is {json.dumps(schema, default=str)}.")
        if depth > MAX_DEPTH:
            raise PromptRefused(f"The schema is nested deeper than {MAX_DEPTH}.")
        if unknown := sorted(set(map(str, schema)) - _KEYWORDS):
            raise PromptRefused(f"The schema cannot be kept: {where} has the keyword '{unknown[0]}'.")
        if "const" in schema or "enum" in schema:
            values = [schema["const"]] if "const" in schema else schema["enum"]
            if not isinstance(values, list) or not (values := [v for v in values if _fits(v, schema.get("type"))]):
                raise PromptRefused(f"The schema cannot be kept: the enum of {where} has no values.")
            return self._either(start, [partial(self._text, text=json.dumps(value)) for value in values])
        if "anyOf" in schema:
            ways = schema["anyOf"]
            if not isinstance(ways, list) or not ways or set(schema) - _NOTES - {"anyOf"}:
                raise PromptRefused(f"The schema cannot be kept: anyOf of {where} has to be a list, alone.")
            return self._either(start, [partial(self._schema, way, depth=depth + 1, where=where) for way in ways])
        kinds = schema.get("type", ["object"] if "properties" in schema else list(_TYPES))
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if not isinstance(kinds, list) or not kinds or not all(kind in _TYPES for kind in kinds):
            raise PromptRefused(f"The schema cannot be kept: {where} has the type {json.dumps(kinds, default=str)}.")
        return self._either(start, [partial(self._typed, kind, schema, depth=depth, where=where) for kind in kinds])

    def _typed(self, kind: str, schema: Mapping[str, Any], start: int, depth: int, where: str) -> int:
        if kind == "object":
            return self._object(schema, start, depth, where)
        if kind == "array":
            return self._array(lambda at: self._schema(schema.get("items", True), at, depth + 1, f"{where}[]"), start)
        return self._scalar(kind, start)

    def _scalar(self, kind: str, start: int) -> int:
        if kind == "null":
            return self._text(start, "null")
        if kind == "boolean":
            return self._either(start, [partial(self._text, text=text) for text in ("true", "false")])
        if kind == "string":
            return self._text(self._characters(self._text(start, '"')), '"')
        end = self._state()
        signed = self._state()
        self._free[start].append(signed)
        self._arrows[start].append((frozenset(b"-"), signed))
        self._free[self._text(signed, "0")].append(end)
        self._free[self._repeat(self._any_of(signed, _DIGITS - frozenset(b"0")), _DIGITS)].append(end)
        if kind == "number":
            decimals = self._any_of(self._text(end, "."), _DIGITS)
            whole, end = end, self._repeat(decimals, _DIGITS)
            self._free[whole].append(end)
        return end

    def _characters(self, start: int) -> int:
        loop = self._repeat(start, _LETTERS)
        self._arrows[self._text(loop, "\\")].append((frozenset(b'"\\/bfnrt'), loop))
        return loop

    def _array(self, item: _Build, start: int) -> int:
        first = self._text(start, "[")
        before, end = self._state(), self._state()
        self._free[first].append(before)
        after = item(before)
        self._free[self._text(after, ", ")].append(before)
        self._free[self._text(after, "]")].append(end)
        self._free[self._text(first, "]")].append(end)
        return end

    def _object(self, schema: Mapping[str, Any], start: int, depth: int, where: str) -> int:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        others = schema.get("additionalProperties", True)
        if (
            not isinstance(properties, Mapping)
            or not isinstance(required, list | tuple)
            or not all(isinstance(key, str) for key in required)
        ):
            raise PromptRefused(f"The schema cannot be kept: properties or required of {where}.")
        named: dict[str, Any] = {**properties, **{key: others for key in required if key not in properties}}
        if not named and others is not False:
            return self._members(start, lambda at: self._schema(others, at, depth + 1, f"{where}.*"))
        first = self._text(start, "{")
        later: int | None = None  # the state after a member, where a comma is still to come
        for key, value in named.items():
            ways = [first, *([self._text(later, ", ")] if later is not None else [])]
            begin = self._state()
            for way in ways:
                if way >= 0:
                    self._free[way].append(begin)
            after = self._text(begin, f"{json.dumps(key)}: ")
            after = self._schema(value, after, depth + 1, f"{where}.{key}")
            if key in required:
                first, later = -1, after
            else:
                joined = self._state()
                self._free[after].append(joined)
                if later is not None:
                    self._free[later].append(joined)
                later = joined
        end = self._state()
        for last in (first, later):
            if last is not None and last >= 0:
                self._free[self._text(last, "}")].append(end)
        return end

    def _members(self, start: int, value: _Build) -> int:
        """An object of any keys."""
        first = self._text(start, "{")
        before, end = self._state(), self._state()
        self._free[first].append(before)
        key = self._text(self._characters(self._text(before, '"')), '": ')
        after = value(key)
        self._free[self._text(after, ", ")].append(before)
        self._free[self._text(after, "}")].append(end)
        self._free[self._text(first, "}")].append(end)
        return end

    def _open(self, start: int, depth: int) -> int:
        """Any value, nested to a depth."""
        ways: list[_Build] = [partial(self._scalar, kind) for kind in ("string", "number", "boolean", "null")]
        if depth > 0:
            ways.append(lambda at: self._members(at, lambda inner: self._open(inner, depth - 1)))
            ways.append(lambda at: self._array(lambda inner: self._open(inner, depth - 1), at))
        return self._either(start, ways)


def _fits(value: Any, kinds: Any) -> bool:
    """Whether a value of an enum is of one of the types beside it, where there are any."""
    if kinds is None:
        return True
    own = {
        "string": isinstance(value, str),
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "object": isinstance(value, Mapping),
        "array": isinstance(value, list),
    }
    return any(own.get(str(kind), False) for kind in (kinds if isinstance(kinds, list) else [kinds]))
