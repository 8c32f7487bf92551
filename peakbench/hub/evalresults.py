"""The newer way to say how a model scored: ``.eval_results/*.yaml``, one row a task of a benchmark on the Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from peakbench.hub.markers import line_end, section_key
from peakbench.hub.modelindex import Kept, is_ours
from peakbench.hub.rows import Unsafe, append, child, compose, dump, items, load, remove, replace, scalar

FOLDER = ".eval_results"


def own_file(dataset: str) -> str:
    """Return the file that rows of a data set go to.

    >>> own_file("org/garments")
    '.eval_results/peakbench-org-garments.yaml'
    """
    return f"{FOLDER}/peakbench-{section_key(*dataset.split('/')).replace('/', '-').replace(':', '-')}.yaml"


def is_file(path: str) -> bool:
    """Whether a file of a repository holds such rows."""
    folder, _, name = path.rpartition("/")
    return folder == FOLDER and name.endswith((".yaml", ".yml"))


def with_row(
    files: Mapping[str, str], row: Mapping[str, Any], *, take_over: bool = False
) -> tuple[dict[str, str], list[Kept]]:
    """Return the files that change to hold a row of ours, and the rows of others that stay in its place.

    Args:
        files: path -> text of every such file of the repository.
        row: as ``huggingface_hub.eval_result_entries_to_yaml`` makes it.
        take_over: a row of somebody else that says the same becomes ours.

    Raises:
        Unsafe: the file that it belongs into cannot be changed in place.
    """
    said = _said(row)
    ours: list[tuple[str, yaml.SequenceNode, int]] = []
    theirs: list[tuple[str, yaml.SequenceNode, int]] = []
    for path, text in files.items():
        try:
            values = load(text, where=path)
            node = compose(text, where=path)
        except Unsafe:
            if path == own_file(said[0]):
                raise
            continue  # somebody else's, and the Hub does not read it either
        for index, value in enumerate(values if isinstance(values, list) else []):
            if isinstance(value, dict) and _said(value) == said:
                (ours if is_ours(value) else theirs).append((path, node, index))  # type: ignore[arg-type]
    if theirs and not take_over:
        path, node, index = theirs[0]
        value = scalar(child(items(node)[index], "value")) or "-"
        changed = _removed(files, ours)
        return changed, [Kept(f"{said[0]} {said[1]}", value, path)]
    places = [*ours, *theirs]
    if places:
        path, node, index = places[0]
        changed = {}
        if load(files[path], where=path)[index] != row:
            changed[path] = replace(files[path], node, index, dict(row), line_end(files[path]))
        if places[1:]:
            left = _removed({**files, **changed}, _again({**files, **changed}, places[1:]))
            changed.update(left)
    else:
        path = own_file(said[0])
        changed = {path: _appended(files.get(path, ""), row, path)}
    _check(files, changed, row)
    return changed, []


def _said(row: Mapping[str, Any]) -> tuple[str, str]:
    data = row.get("dataset")
    return (str(data.get("id")), str(data.get("task_id"))) if isinstance(data, Mapping) else ("", "")


def _appended(text: str, row: Mapping[str, Any], path: str) -> str:
    node = compose(text, where=path)
    if node is None or (isinstance(node, yaml.SequenceNode) and not node.value):
        return dump([dict(row)]) + "\n"
    if not isinstance(node, yaml.SequenceNode):
        raise Unsafe("no list of rows", where=path, hint="mend the file on the Hub, or delete it")
    return append(text, node, [dict(row)], line_end(text))


def _again(
    files: Mapping[str, str], places: Sequence[tuple[str, yaml.SequenceNode, int]]
) -> list[tuple[str, yaml.SequenceNode, int]]:
    """The same places in the text as it is now; replacing a row moves no row."""
    return [(path, compose(files[path], where=path), index) for path, _, index in places]  # type: ignore[misc]


def _removed(files: Mapping[str, str], places: Sequence[tuple[str, yaml.SequenceNode, int]]) -> dict[str, str]:
    """Take rows out, from the last to the first so that places stay; a file without any row left is empty."""
    changed: dict[str, str] = {}
    for path, _, index in sorted(places, key=lambda place: -place[2]):
        text = changed.get(path, files[path])
        node = compose(text, where=path)
        assert isinstance(node, yaml.SequenceNode)
        changed[path] = remove(text, node, index) if len(node.value) > 1 else "[]\n"
    return changed


def _check(files: Mapping[str, str], changed: Mapping[str, str], row: Mapping[str, Any]) -> None:
    said = _said(row)

    def others(text: str, path: str) -> list[Any]:
        values = load(text, where=path) or []
        return [one for one in values if not (isinstance(one, dict) and _said(one) == said)]

    after = {**files, **changed}
    for path in changed:
        if others(files.get(path, ""), path) != others(after[path], path):
            raise Unsafe("the file is written in a way that cannot be changed in place", where=path)
