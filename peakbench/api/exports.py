"""Runs for other programs: export(), destinations()."""

from __future__ import annotations

import os
import re
from pathlib import Path

from peakbench.builtins import open_plugins
from peakbench.destinations import Destination, Export, TableName
from peakbench.errors import InputError, nearest
from peakbench.runs import Run

__all__ = ["destinations", "export"]

_NAMED = re.compile(r"(?P<name>[A-Za-z][\w.+-]+)(?::(?P<target>.*))?", re.DOTALL)


def destinations() -> dict[str, Destination]:
    """Return every place that runs can be exported to, by name: what ships, then what plugins add.

    >>> list(destinations())[:3]
    ['csv', 'jsonl', 'parquet']
    """
    found: dict[str, Destination] = {}
    for plugin in open_plugins().loaded:
        for one in plugin.offers.destinations:
            found.setdefault(one.name, one)
    return found


def export(
    run: Run | str | Path,
    to: str | Path,
    *,
    table: TableName | None = None,
    contents: bool | None = None,
) -> str:
    """Write a run's numbers for other programs, and return a line that says what was written.

    Args:
        run: a run that has been scored.
        to: a file, whose ending chooses the form (``answers.parquet``, ``summary.csv``, ``spans.otlp.jsonl``), or
            ``name:target`` of a destination, like ``otlp:http://127.0.0.1:4318/v1/traces``; see :func:`destinations`.
        table: ``answers``, one row a sample and repeat, or ``summary``, one row a number. Default: ``summary`` for a
            file whose name begins so, else ``answers``.
        contents: whether references, answers, texts and metadata go too. Default: as the destination says, yes for
            tables in files, no for whatever leaves the machine.

    Raises:
        InputError: nothing writes such a target, or it cannot be written.
        MissingDependency: what the destination needs is not installed.
        StoreError: no such run, or nothing has been scored yet.

    >>> export("runs/a", "answers.xlsx")
    Traceback (most recent call last):
    ...
    peakbench.errors.InputError: nothing here writes 'answers.xlsx'
      expected: a file ending in .csv, .jsonl, .parquet, .otlp.jsonl, or one of these: otlp
    """
    chosen, target = _chosen(os.fspath(to))
    if table is None:
        table = "summary" if Path(target).name.lower().startswith("summary") else "answers"
    if table not in ("answers", "summary"):
        raise InputError(f"no table '{table}'", expected="'answers' or 'summary'")
    found = run if isinstance(run, Run) else Run(run)
    _ = found.summary  # an unfinished run is named before anything is opened
    return chosen.write(Export(found, target, chosen.contents if contents is None else contents, table))


def _chosen(to: str) -> tuple[Destination, str]:
    known = destinations()
    named = _NAMED.fullmatch(to)
    if (
        named is not None
        and named["name"] in known
        and (named["target"] is not None or not known[named["name"]].endings)
    ):
        return known[named["name"]], named["target"] or ""
    fitting = [one for one in known.values() if one.fits(to)]
    if fitting:
        # of two endings that fit, the longer one says more: .otlp.jsonl is not any .jsonl
        return max(fitting, key=lambda one: max(len(end) for end in one.endings if to.lower().endswith(end))), to
    endings = [ending for one in known.values() for ending in one.endings]
    names = [one.name for one in known.values() if not one.endings]
    hint = nearest(named["name"], known) if named is not None and named["target"] is not None else None
    raise InputError(
        f"nothing here writes '{to[:200]}'",
        expected=f"a file ending in {', '.join(endings)}, or one of these: {', '.join(names)}",
        hint=hint,
    )
