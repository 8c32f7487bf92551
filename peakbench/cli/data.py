"""``peakbench data check``: every sample and every image of a data set, before anything is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from peakbench.cli.base import Command, Group, json_option, write_json, write_page
from peakbench.errors import DataError, DataProblem

if TYPE_CHECKING:
    from peakbench.datasets import Dataset


@click.group(cls=Group)
def data() -> None:
    """Check a data set."""


@data.command("check", cls=Command)
@click.argument("path", type=click.Path())
@click.option(
    "--task", default="garment", show_default=True, metavar="NAME|FILE", help="Task that the references answer."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Check the first N samples only.")
@click.option("--allow-outside", is_flag=True, help="Images may lie outside the data set's folder.")
@click.option("--allow-image-urls", is_flag=True, help="Images may be URLs; they are not fetched.")
@click.option("--decode/--no-decode", default=True, help="Decode every image. [default: decode]")
@json_option
def check(
    *, path: str, task: str, limit: int | None, allow_outside: bool, allow_image_urls: bool, decode: bool, as_json: bool
) -> int:
    """Check the data set PATH: ids, references, images.

    Problems stop a run and give exit code 2. Remarks (an image that is rotated, animated or huge) do not.
    """
    from peakbench.builtins import open_registry
    from peakbench.datasets import Fingerprint, checked, open_dataset
    from peakbench.report.tables import Lines, Page, neutral

    registry = open_registry()
    asked = registry.task(task)
    dataset = open_dataset(path, readers=registry.readers, limit=limit)
    problems: list[DataProblem] = []
    message, hint = "", ""
    fingerprint, counts = Fingerprint(), {"samples": 0, "references": 0, "images": 0, "image_bytes": 0}
    try:
        for record in checked(dataset, task=asked, allow_outside=allow_outside, allow_urls=allow_image_urls):
            fingerprint.add(record)
            counts["samples"] += 1
            counts["references"] += record.reference is not None
            counts["images"] += len(record.images)
            counts["image_bytes"] += sum(image.bytes for image in record.images)
    except DataError as error:
        problems, message = list(error.problems) or [DataProblem(path, error.what)], error.what
        hint = error.hint or ""
    remarks = _remarks(dataset, allow_outside=allow_outside) if decode and not problems else []
    if as_json:
        write_json(
            {
                "ok": not problems,
                "task": asked.id,
                **counts,
                "fingerprint": None if problems else fingerprint.hexdigest(),
                "problems": [{"where": problem.where, "what": problem.what} for problem in problems],
                "hints": hint.split("\n  ") if hint else [],
                "remarks": [{"where": remark.where, "what": remark.what} for remark in remarks],
            }
        )
        return 2 if problems else 0
    page = Page()
    lines = [f"{neutral(path)}, against task {asked.id}"]
    if problems:
        lines.append(neutral(message))
    else:
        lines.append(f"{counts['samples']:,} samples, {counts['references']:,} with a reference")
        lines.append(f"{counts['images']:,} images, {counts['image_bytes'] / 1e6:,.1f} MB")
        lines.append(f"fingerprint {fingerprint.hexdigest()[:16]}")
    page.add(Lines(lines, kind="heading"))
    page.add(Lines([neutral(problem, limit=500) for problem in problems], "Problems", "note"))
    page.add(Lines([neutral(line, limit=500) for line in hint.split("\n  ") if line], "Hints"))
    page.add(Lines([neutral(remark, limit=500) for remark in remarks], "Remarks"))
    if not problems and not remarks:
        page.add(Lines(["nothing to complain about" if decode else "nothing to complain about (images not decoded)"]))
    write_page(page)
    return 2 if problems else 0


def _remarks(dataset: Dataset, *, allow_outside: bool) -> list[DataProblem]:
    """What decoding finds; a URL is not fetched."""
    from peakbench.images import inspect, load
    from peakbench.records import Sample
    from peakbench.report.progress import counting

    found = []
    with counting("decoding") as done:
        for number, sample in enumerate(dataset, 1):
            for position, source in enumerate(sample.images if isinstance(sample, Sample) else (), 1):
                if source.kind == "url":
                    continue
                name = source.label or (str(source.value) if source.kind == "path" else f"image {position}")
                remarks = inspect(load(source, allow_outside=allow_outside))
                found += [DataProblem(sample.where, f"{name}: {remark}") for remark in remarks]
            done(number)
    return found
