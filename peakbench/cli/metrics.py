"""``peakbench metrics``: list, explain and check metric definitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from peakbench.cli.base import Command, Group, json_option, write_json, write_page
from peakbench.errors import RegistryError, nearest

if TYPE_CHECKING:
    from peakbench.registry import Registry


@click.group(cls=Group)
def metrics() -> None:
    """List, explain and check metric definitions."""


@metrics.command("list", cls=Command)
@json_option
def list_metrics(as_json: bool) -> None:
    """List the metrics; those marked * are scored where none is named."""
    from peakbench.builtins import open_registry
    from peakbench.report.tables import Lines, Page, Table, neutral

    registry = open_registry()
    if as_json:
        write_json([_as_json(registry, name) for name in registry.ids])
        return
    page = Page()
    rows = []
    for name, one in registry.definitions.items():
        better = "higher" if one.higher_is_better else "lower"
        rows.append(
            [name + ("*" if one.default else ""), one.family, better, _span(one.range, one.unit), neutral(one.title)]
        )
    columns = ["metric", "family", "better", "range", "title"]
    page.add(Table(columns, rows, "", frozenset(columns)))
    page.add(Lines(["* scored where no metric is named"]))
    write_page(page)


@metrics.command("show", cls=Command)
@click.argument("metric")
@json_option
def show_metric(metric: str, as_json: bool) -> None:
    """Explain METRIC: what it means, its range, parameters, needs and signature."""
    from peakbench.builtins import open_registry
    from peakbench.report.tables import Lines, Page, Table, neutral

    registry = open_registry()
    if metric not in registry.definitions:
        raise RegistryError(f"unknown metric '{metric}'", hint=nearest(metric, registry.ids))
    shown = _as_json(registry, metric)
    if as_json:
        write_json(shown)
        return
    page = Page()
    page.add(
        Lines(
            [f"{metric}: {neutral(shown['title'])}", *neutral(shown["description"], keep="\n").split("\n")],
            kind="heading",
        )
    )
    rows = [
        ["better", "higher" if shown["higher_is_better"] else "lower"],
        ["range", _span(shown["range"], shown["unit"])],
        ["family", shown["family"]],
        ["kind", shown["kind"]],
        ["run's value", shown["reduction"]],
        ["needs", ", ".join(shown["needs"]) or "-"],
        *([f"parameter {key}", neutral(value)] for key, value in shown["parameters"].items()),
        ["scored by default", "yes" if shown["default"] else "no"],
        ["defined by", neutral(shown["origin"])],
        ["signature", neutral(shown["signature"])],
    ]
    page.add(Table(["", ""], rows, "", frozenset({""})))
    write_page(page)


@metrics.command("check", cls=Command)
@click.argument("file", type=click.Path())
@json_option
def check(file: str, as_json: bool) -> None:
    """Check a FILE of metric definitions: keys, kinds, parameters, cycles, and values on trial answers.

    Every metric of the file scores trial answers (right, wrong, empty, unreadable) to the garment task; a value
    outside the declared range is an error.
    """
    from peakbench.builtins import definition_file, open_registry
    from peakbench.cli.trial import trial
    from peakbench.registry.definitions import read_source
    from peakbench.report.tables import Lines, Page, Table, neutral, percent, quantity

    path = Path(file)
    shipped = path.exists() and path.resolve() == definition_file().resolve()
    registry = open_registry(extra=[] if shipped else [path])
    source = read_source(path, owner=file)
    ids = [entry.definition.id for entry in source.entries]
    found = trial(registry, ids)
    if as_json:
        write_json({"ok": True, "metrics": found})
        return
    page = Page()
    page.add(
        Lines([f"{file}: {len(ids)} metric{'s' if len(ids) != 1 else ''}, nothing to complain about"], kind="heading")
    )
    names = list(dict.fromkeys(name for entry in found.values() for name in entry["values"]))
    shares, amounts = [], []
    for metric, entry in found.items():
        values = [entry["values"].get(name) for name in names]
        unit = registry.definitions[metric].unit
        if unit:
            amounts.append([metric, neutral(unit), *map(quantity, values), entry["reason"] or ""])
        else:
            shares.append([metric, *map(percent, values), entry["reason"] or ""])
    left = frozenset({"unit", "unscored because"})
    page.add(Table(["metric", *names, "unscored because"], shares, "Trial answers, %", left))
    page.add(Table(["metric", "unit", *names, "unscored because"], amounts, "Trial answers, in their units", left))
    write_page(page)


def _as_json(registry: Registry, name: str) -> dict[str, Any]:
    from peakbench.metrics.base import Tools

    one = registry.definitions[name]
    # What a kind requires and adds to its signature depends on the task; garment stands for any. A metric is built
    # with the parts that it requires, and without one of them it is unscored: what they need, it needs.
    built = registry.build([name], registry.task("garment"), Tools())
    return {
        **one.model_dump(mode="json"),
        "needs": sorted({need for metric in built for need in metric.info.needs}),
        "parameters": registry.parameters[name].model_dump(mode="json", by_alias=True),
        "origin": registry.origins[name],
        "signature": next(metric.info.signature for metric in built if metric.info.id == name),
    }


def _span(ends: Any, unit: str) -> str:
    low, high = (
        ("-inf" if sign < 0 else "inf") if end is None else f"{end:g}" for end, sign in zip(ends, (-1, 1), strict=True)
    )
    return f"{low} to {high} {unit}".strip()
