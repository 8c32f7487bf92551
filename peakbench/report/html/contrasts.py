"""What the template of a comparison's page shows, one part for each run that is held against the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peakbench.analysis.comparison.contrasts import FLIPS_SHOWN, Comparison, Contrast
from peakbench.report.comparison import comparison_page
from peakbench.report.html.figures import Spans, change_spans
from peakbench.report.html.writing import contrast_lead, names
from peakbench.report.tables import Lines, Page, Table, neutral


@dataclass(frozen=True, slots=True)
class ContrastPart:
    """One run against the first: what changed in words, figures of metrics and fields, and the tables.

    ``flip_ids``: the sample of each row of ``flips``.
    """

    id: str
    title: str
    heading: str
    lead: str
    facts: Sequence[str]
    verdict: Sequence[str]
    metrics: Spans | None
    fields: Spans | None
    tables: Sequence[Table]
    flips: Table | None
    flip_ids: Sequence[str]
    notes: Sequence[str]


def title(found: Comparison) -> str:
    """Name the page."""
    if len(found.contrasts) == 1:
        return _against(found.contrasts[0])
    return f"{len(found.contrasts)} runs against {neutral(found.contrasts[0].first.model, limit=80)}"


def _against(one: Contrast) -> str:
    first, second = names(one)
    return f"{second} against {first}"


def overview(found: Comparison) -> Table | None:
    """Return one row a run, where there are several."""
    if len(found.contrasts) < 2:
        return None
    block = comparison_page(found).blocks[0]
    return block if isinstance(block, Table) else None


def contrast_part(one: Contrast, number: int) -> ContrastPart:
    """Return a run's part of the page."""
    page = comparison_page(Comparison((one,), 0, 0))
    lines = {block.title: list(block.lines) for block in page.blocks if isinstance(block, Lines)}
    tables = [block for block in page.blocks if isinstance(block, Table)]
    flips = next((table for table in tables if table.title.startswith("Flips")), None)
    head = _head(page)
    return ContrastPart(
        id=f"contrast-{number}",
        title=names(one)[1],
        heading=_against(one),
        lead=contrast_lead(one),
        facts=head[1:],
        verdict=lines.get("What changed", []),
        metrics=change_spans(one.metrics),
        fields=change_spans(one.fields),
        tables=[table for table in tables if table is not flips],
        flips=flips,
        flip_ids=[] if one.flips is None else [flip.sample_id for flip in one.flips.shown(FLIPS_SHOWN)],
        notes=lines.get("Notes", []),
    )


def _head(page: Page) -> list[str]:
    block = page.blocks[0]
    return list(block.lines) if isinstance(block, Lines) else []
