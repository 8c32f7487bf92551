"""``peakbench confusion``: what a field's values are taken for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from peakbench.cli.base import Command, json_option, write_json, write_page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from peakbench.analysis.vocabulary.confusion import Confusion


@click.command(cls=Command)
@click.argument("run", type=click.Path())
@click.option("--field", "fields", multiple=True, metavar="NAME", help="This field, in full; may be given again.")
@click.option(
    "--near",
    type=click.FloatRange(0, 1),
    metavar="X",
    help="Similarity from which an unknown word is proposed as a synonym. [default: 0.75]",
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(),
    metavar="FILE",
    help="Write every pair too: field, reference, answered, count.",
)
@click.option("--format", "form", type=click.Choice(["plain", "markdown"]), help="How the page is written.")
@json_option
def confusion(
    *, run: str, fields: tuple[str, ...], near: float | None, csv_file: str | None, form: str | None, as_json: bool
) -> None:
    """Show what the values of RUN's fields are taken for, and which unknown words may be synonyms.

    \b
    peakbench confusion runs/mine
    peakbench confusion runs/mine --field color --field type
    """
    from peakbench.analysis.vocabulary.survey import without_values
    from peakbench.api.vocabularies import confusion as confusion_of
    from peakbench.report.confusion import confusion_page
    from peakbench.runs import Run

    opened = Run(run)
    found = confusion_of(opened, fields or None, near=near)
    if csv_file is not None:
        _write_csv(csv_file, found.values())
    skipped = {} if fields else without_values(opened.task)
    if as_json:
        write_json({"run": run, "fields": {name: one.as_dict() for name, one in found.items()}, "skipped": skipped})
    else:
        write_page(confusion_page(found, path=run, whole=bool(fields), skipped=skipped), form)


def _write_csv(path: str, found: Iterable[Confusion]) -> None:
    import csv
    from pathlib import Path

    from peakbench.errors import InputError
    from peakbench.store.formats import csv_cell

    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["field", "reference", "answered", "count"])
            for one in found:
                writer.writerows(
                    [csv_cell(one.field), *map(csv_cell, pair), count] for pair, count in one.counts.items()
                )
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", where=path, hint="choose another: --csv FILE"
        ) from None
