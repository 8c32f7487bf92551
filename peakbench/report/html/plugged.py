"""Sections that plugins add to a page. A plugin that fails loses its section, and the page says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peakbench.registry import Registry
from peakbench.report.html.page import slug
from peakbench.report.html.source import ReportSource
from peakbench.report.tables import Table, neutral
from peakbench.sections import MOST_ROWS, Block, ReportSection, SectionHtml, SectionList, SectionTable, SectionText

MOST_SECTIONS = 20
"""Sections of one plugin at most."""

_TEXT = 100_000
_CELL = 2_000


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text; ``fixed`` in a fixed-width font."""

    text: str
    fixed: bool
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Items:
    """Lines, and how many more there are."""

    items: Sequence[str]
    more: int
    kind: str = "list"


@dataclass(frozen=True, slots=True)
class Rows:
    """A table, and how many more rows there are."""

    table: Table
    more: int
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Frame:
    """A document of its own, sandboxed."""

    document: str
    label: str
    height: int
    kind: str = "html"


@dataclass(frozen=True, slots=True)
class PluggedPart:
    """A section as the template reads it; ``plugin``: who wrote it; ``problem``: why it has nothing to show."""

    id: str
    title: str
    plugin: str
    blocks: Sequence[Paragraph | Items | Rows | Frame]
    problem: str = ""


def plugged_parts(source: ReportSource, registry: Registry) -> list[PluggedPart]:
    """Ask every plugin for its sections of this run's page."""
    taken: set[str] = set()
    found = []
    for plugin in registry.plugins.loaded:
        try:
            sections = [section for write in plugin.offers.report_sections for section in write(source)]
            made = [_part(section, plugin.name, taken) for section in sections[:MOST_SECTIONS]]
        except Exception as error:  # a plugin's fault is not the page's
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            name = neutral(plugin.name, limit=80)
            found.append(PluggedPart(slug(f"plugin {plugin.name}", taken), name, name, (), neutral(reason, limit=500)))
        else:
            found += made
    return found


def _part(section: ReportSection, plugin: str, taken: set[str]) -> PluggedPart:
    blocks = [_block(block) for block in section.blocks]
    return PluggedPart(
        slug(f"plugin {section.title}", taken), neutral(section.title, limit=120), neutral(plugin, limit=80), blocks
    )


def _block(block: Block) -> Paragraph | Items | Rows | Frame:
    if isinstance(block, SectionText):
        return Paragraph(neutral(block.text, limit=_TEXT, keep="\n\t" if block.fixed else ""), block.fixed)
    if isinstance(block, SectionList):
        items = [neutral(item, limit=_CELL) for item in block.items[:MOST_ROWS]]
        return Items(items, len(block.items) - len(items))
    if isinstance(block, SectionTable):
        rows = [[neutral(cell, limit=_CELL) for cell in row] for row in block.rows[:MOST_ROWS]]
        table = Table([neutral(one) for one in block.columns], rows, neutral(block.caption), frozenset(block.left))
        return Rows(table, len(block.rows) - len(rows))
    if isinstance(block, SectionHtml):
        return Frame(str(block.trusted_html), neutral(block.label, limit=200), min(4000, max(20, int(block.height))))
    raise TypeError(f"a block of type {type(block).__name__}; expected one of peakbench.sections")
