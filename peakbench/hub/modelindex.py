"""The older way to say how a model scored: rows of ``model-index`` in the front matter of a card.

A row is one metric of one task on one data set. Rows of ours have the source ``PeakBench``; all others are somebody
else's. Where theirs says the same metric of the same task and data, ours is left out, unless it is to take over.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from peakbench.hub.markers import line_end
from peakbench.hub.rows import Unsafe, append, child, compose, dump, indented, items, load, remove, replace, scalar

SOURCE = "PeakBench"
KEY = "model-index"
# as the Hub finds front matter (huggingface_hub.repocard.REGEX_YAML_BLOCK)
_FRONT = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|$))")


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of somebody else that says what ours would say."""

    metric: str
    value: str
    where: str

    def __str__(self) -> str:
        return f"{self.where} has {self.metric} {self.value} from elsewhere: it stays, and ours is left out"


@dataclass(frozen=True, slots=True)
class Front:
    """A card cut where its front matter begins and ends; joined again it is the card."""

    opening: str
    text: str
    rest: str

    @classmethod
    def of(cls, card: str) -> Front:
        """Cut a card; one without front matter gets an empty one."""
        mark = "\ufeff" if card.startswith("\ufeff") else ""
        found = _FRONT.match(card, len(mark)) if not mark else _FRONT.match(card[1:])
        if found:
            return cls(mark + found[1], found[2], found[3] + card[len(mark) + found.end() :])
        newline = line_end(card)
        gap = newline if card[len(mark) :] else ""
        return cls(f"{mark}---{newline}", "", f"{newline}---{newline}{gap}{card[len(mark) :]}")

    def join(self, text: str) -> str:
        """The card with this front matter."""
        return self.opening + text + self.rest


def metadata(card: str, *, where: str = "README.md") -> Mapping[str, Any]:
    """Return the front matter of a card as values; empty where there is none.

    Raises:
        Unsafe: it is not YAML, or no mapping.
    """
    found = load(Front.of(card).text, where=f"{where}: front matter")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Unsafe("the front matter is no mapping", where=where, hint="mend the card on the Hub")
    return found


def with_result(
    card: str, name: str, result: Mapping[str, Any], *, take_over: bool = False, where: str = "README.md"
) -> tuple[str, list[Kept]]:
    """Return the card with one result of ours, and the rows of others that stay in place of ours.

    Args:
        card: README.md.
        name: of the model, where an entry has to be made.
        result: task, dataset, metrics, source.
        take_over: rows of others that say the same are taken out instead.

    Raises:
        Unsafe: the front matter cannot be read, or cannot be changed without touching what is not ours.
    """
    front = Front.of(card)
    newline = line_end(front.opening)
    text, kept = front.text, list[Kept]()
    theirs = _theirs(text, result, where)
    if take_over:
        text = _without_theirs(text, result, where)
    else:
        kept = theirs
        said = {row.metric for row in kept}
        result = {**result, "metrics": [one for one in result["metrics"] if one["type"] not in said]}
    text = _with_ours(text, name, result, newline, where)
    _check(front.text, text, result, where)
    return front.join(text), kept


def results_of(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all results of a front matter that are written as results are."""
    entries = data.get(KEY)
    found = []
    for entry in entries if isinstance(entries, list) else []:
        results = entry.get("results") if isinstance(entry, dict) else None
        found += [one for one in results if isinstance(one, dict)] if isinstance(results, list) else []
    return found


def is_ours(result: Mapping[str, Any]) -> bool:
    """Whether PeakBench wrote a result."""
    source = result.get("source")
    return isinstance(source, Mapping) and source.get("name") == SOURCE


def _said(result: Mapping[str, Any]) -> tuple[Any, Any]:
    task, data = result.get("task"), result.get("dataset")
    return (
        data.get("type") if isinstance(data, Mapping) else None,
        (task.get("name"), task.get("type")) if isinstance(task, Mapping) else None,
    )


def _same(other: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether somebody else's result is of the same data and task; a task without a name is told by its type."""
    (data, task), (our_data, our_task) = _said(other), _said(ours)
    if data != our_data or task is None or task[1] != our_task[1]:
        return False
    config = other["dataset"].get("config"), other["dataset"].get("split")
    return task[0] in (None, our_task[0]) and config == (None, None)


def _walk(text: str, where: str) -> list[tuple[yaml.SequenceNode, int, yaml.Node]]:
    """Every result of the text: the list that it stands in, its place there, itself."""
    found = []
    for entry in items(child(compose(text, where=where), KEY)):
        results = child(entry, "results")
        found += [(results, index, node) for index, node in enumerate(items(results))]
    return found  # type: ignore[return-value]


def _value(node: yaml.Node) -> Any:
    return yaml.SafeLoader("").construct_document(node)


def _theirs(text: str, result: Mapping[str, Any], where: str) -> list[Kept]:
    ours = {one["type"] for one in result["metrics"]}
    found = []
    for other in results_of(load(text, where=where) or {}):
        if is_ours(other) or not _same(other, result):
            continue
        metrics = other.get("metrics")
        for metric in metrics if isinstance(metrics, list) else []:
            if isinstance(metric, dict) and metric.get("type") in ours:
                found.append(Kept(str(metric["type"]), str(metric.get("value")), f"{where}: {KEY}"))
    return found


def _without_theirs(text: str, result: Mapping[str, Any], where: str) -> str:
    ours = {one["type"] for one in result["metrics"]}

    def one_less(text: str) -> str:
        for results, index, node in _walk(text, where):
            value = _value(node)
            if not isinstance(value, dict) or is_ours(value) or not _same(value, result):
                continue
            metrics = child(node, "metrics")
            places = [place for place, one in enumerate(items(metrics)) if scalar(child(one, "type")) in ours]
            if not places:
                continue
            if len(items(metrics)) > 1:
                return remove(text, metrics, places[0])  # type: ignore[arg-type]
            if len(results.value) > 1:
                return remove(text, results, index)
            return replace(text, results, index, dict(result), line_end(text))
        return text

    return _settled(text, one_less)


def _settled(text: str, step: Callable[[str], str]) -> str:
    for _ in range(1_000):
        before, text = text, step(text)
        if text == before:
            return text
    raise Unsafe("the rows of the front matter do not settle", where="README.md")


def _with_ours(text: str, name: str, result: Mapping[str, Any], newline: str, where: str) -> str:
    places = []
    for results, index, node in _walk(text, where):
        value = _value(node)
        if isinstance(value, dict) and is_ours(value) and _said(value) == _said(result):
            places.append((results, index, value))
    if not result["metrics"]:
        return _without_ours(text, places, newline)
    if places:
        results, index, value = places[0]
        if len(places) > 1:  # written twice, by a tool that compares rows as a whole
            results, index, _ = places[-1]
            if len(results.value) < 2:
                raise Unsafe("a result of ours stands twice, in entries of its own", where=where)
            return _with_ours(remove(text, results, index), name, result, newline, where)
        return text if value == result else replace(text, results, index, dict(result), newline)
    return _with_new(text, name, result, newline, where)


def _without_ours(text: str, places: Sequence[tuple[yaml.SequenceNode, int, Any]], newline: str) -> str:
    for results, index, _ in reversed(places):
        if len(results.value) < 2:
            raise Unsafe("every metric of ours is said by somebody else, and ours is the only result", where=KEY)
        text = remove(text, results, index)
    return text


def _with_new(text: str, name: str, result: Mapping[str, Any], newline: str, where: str) -> str:
    root = compose(text, where=where)
    entry = {"name": name, "results": [dict(result)]}
    if root is not None and (not isinstance(root, yaml.MappingNode) or root.flow_style):
        raise Unsafe(
            "the front matter is no list of 'key: value' lines", where=where, hint="write one key a line on the Hub"
        )
    index = child(root, KEY)
    if index is None:
        column = int(root.start_mark.column) if root is not None else 0
        block = " " * column + indented(dump({KEY: [entry]}), column, newline)
        return f"{text}{newline if text else ''}{block}"
    if not isinstance(index, yaml.SequenceNode):
        if scalar(index):
            raise Unsafe(f"{KEY} is no list", where=where, hint="mend the card on the Hub")
        start, end = int(index.start_mark.index), int(index.end_mark.index)
        return f"{text[:start]}{newline}{indented(dump([entry]), 0, newline)}{text[end:]}"
    if not index.value:
        return append(text, index, [entry], newline)
    named = [one for one in index.value if scalar(child(one, "name")) == name] or index.value
    results = child(named[0], "results")
    if not isinstance(results, yaml.SequenceNode) or not (results.value or results.flow_style):
        raise Unsafe(f"an entry of {KEY} has no list of results", where=where, hint="mend the card on the Hub")
    return append(text, results, [dict(result)], newline)


def _check(before: str, after: str, result: Mapping[str, Any], where: str) -> None:
    """Make sure that ours stands there once, and that all else has the values that it had."""
    old, new = load(before, where=where) or {}, load(after, where=where) or {}
    ours = [one for one in results_of(new) if is_ours(one) and _said(one) == _said(result)]
    expected = [dict(result)] if result["metrics"] else []
    if not isinstance(new, dict) or ours != expected or _others(old, result) != _others(new, result):
        raise Unsafe(
            "the front matter is written in a way that cannot be changed without touching other rows",
            where=where,
            hint="write the model-index in plain YAML (no anchors, no tags) on the Hub",
        )


def _others(data: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """All that is not ours: the other keys, and the other results with what they say beside our metrics."""
    ours = {one["type"] for one in result["metrics"]}
    entries = []
    for entry in data.get(KEY) or []:
        if not isinstance(entry, dict):
            entries.append(entry)
            continue
        results = []
        for one in entry.get("results") or []:
            if isinstance(one, dict) and (is_ours(one) and _said(one) == _said(result)):
                continue
            if isinstance(one, dict) and isinstance(one.get("metrics"), list) and _same(one, result):
                left = [
                    metric for metric in one["metrics"] if not (isinstance(metric, dict) and metric.get("type") in ours)
                ]
                if not left:
                    continue
                one = {**one, "metrics": left}  # noqa: PLW2901
            results.append(one)
        if results:
            entries.append({**entry, "results": results})
    return {**{key: value for key, value in data.items() if key != KEY}, KEY: entries}
