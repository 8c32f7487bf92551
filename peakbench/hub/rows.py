"""Rows of a YAML list changed in its text: one row is written anew, added or taken out, all else stays byte for byte.

Reading a file and dumping it again would fold other people's lines, drop their comments and turn their quotes. So the
places come from the parser's marks, and only the text between them changes. What comes out is parsed again by whoever
calls: a file that cannot be changed safely is refused, never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from peakbench.errors import InputError

_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unsafe(InputError):  # noqa: N818 - said of a text
    """YAML that cannot be read, or not be changed in place."""


def compose(text: str, *, where: str) -> yaml.Node | None:
    """Read YAML into nodes that know their places.

    Raises:
        Unsafe: it is not YAML.
    """
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise Unsafe(
            f"not YAML: {first_line(error)}", where=where, hint="mend the card on the Hub: it cannot be read as it is"
        ) from None


def load(text: str, *, where: str) -> Any:
    """Read YAML into values.

    Raises:
        Unsafe: it is not YAML, or not plain.
    """
    try:
        return yaml.load(text, Loader=_FAST)  # noqa: S506 - a safe loader, in C where there is one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unsafe(f"not YAML: {first_line(error)}", where=where, hint="mend it on the Hub") from None


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    mark = getattr(error, "problem_mark", None)
    place = f" in line {mark.line + 1}" if mark is not None else ""
    return f"{getattr(error, 'problem', None) or str(error).split(chr(10), 1)[0]}"[:200] + place


def dump(value: Any, *, flow: bool = False) -> str:
    """Write a value as YAML: keys in their order, one line a scalar, no newline at the end.

    >>> dump({"a": "x: y", "b": [1]})
    "a: 'x: y'\\nb:\\n- 1"
    """
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=1 << 30, default_flow_style=flow)
    return text.rstrip("\n")


def child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """Return what stands under a key of a mapping, None where there is none."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                return value  # type: ignore[no-any-return]
    return None


def scalar(node: yaml.Node | None) -> str | None:
    """Return a scalar's text, None where it is none."""
    return node.value if isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":null") else None


def items(node: yaml.Node | None) -> list[yaml.Node]:
    """Return the items of a list; nothing where it is none."""
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def end_of(node: yaml.Node) -> int:
    """Return where a node's text ends; a block's own mark lies behind the comments that follow it."""
    if isinstance(node, yaml.SequenceNode | yaml.MappingNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return end_of(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def replace(text: str, sequence: yaml.SequenceNode, index: int, value: Any, newline: str) -> str:
    """Return the text with one item written anew, in the place and the indentation that it has."""
    item = sequence.value[index]
    new = dump(value, flow=bool(sequence.flow_style or getattr(item, "flow_style", False)))
    start = int(item.start_mark.index)
    return text[:start] + indented(new, int(item.start_mark.column), newline) + text[end_of(item) :]


def append(text: str, sequence: yaml.SequenceNode, values: Iterable[Any], newline: str) -> str:
    """Return the text with items behind the last one, in the style of the list."""
    given = list(values)
    if sequence.flow_style:
        inside = ", ".join(dump(value, flow=True) for value in given)
        last = end_of(sequence.value[-1]) if sequence.value else int(sequence.start_mark.index) + 1
        return text[:last] + (", " if sequence.value else "") + inside + text[last:]
    column = int(sequence.start_mark.column)
    place = _line_end(text, end_of(sequence.value[-1]))
    lines = (f"{newline}{' ' * column}- {indented(dump(value), column + 2, newline)}" for value in given)
    return text[:place] + "".join(lines) + text[place:]


def remove(text: str, sequence: yaml.SequenceNode, index: int) -> str:
    """Return the text without one item and its line. The caller sees to it that another item stays."""
    item = sequence.value[index]
    if sequence.flow_style:
        following = index + 1 < len(sequence.value)
        start = int(item.start_mark.index) if following else end_of(sequence.value[index - 1])
        return text[:start] + text[int(sequence.value[index + 1].start_mark.index) if following else end_of(item) :]
    dash = text.rindex("-", 0, int(item.start_mark.index))
    start = text.rfind("\n", 0, dash) + 1
    if text[start:dash].strip():
        raise Unsafe("a list item that does not begin its line", where="YAML")
    end = _line_end(text, end_of(item))
    after = 2 if text.startswith("\r\n", end) else 1
    if end == len(text) and start:  # the last line has no end of its own: the one before it goes
        return text[: start - (2 if text.startswith("\r\n", start - 2) else 1)]
    return text[:start] + text[end + after :]


def indented(text: str, column: int, newline: str) -> str:
    """Return text whose lines after the first begin at a column."""
    return (newline + " " * column).join(text.split("\n"))


def _line_end(text: str, place: int) -> int:
    end = text.find("\n", place)
    end = len(text) if end < 0 else end
    return end - 1 if end > place and text[end - 1] == "\r" else end
