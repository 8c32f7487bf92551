"""Findings for people: sentences with what each claims, and the research table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from peakbench.analysis.findings.research import GAP_KINDS, Gap, GapKind
from peakbench.analysis.findings.statements import STRENGTHS, Finding, Findings
from peakbench.report.comparison import points
from peakbench.report.tables import Lines, Page, Table, neutral, percent

_LONGEST, _NAME = 1000, 40
_TITLES: dict[GapKind, str] = {
    "training": "Training that was not tried",
    "quantization": "Formats that were not tried",
    "original": "Quantized models without their original",
    "base": "Trained models without what they were trained from",
}


def findings_page(found: Findings, *, most: int = 20) -> Page:
    """Lay out all findings, what the data leave open, and the research table.

    Args:
        most: rows of each research table; how many more there are is said.
    """
    page = Page()
    page.add(Lines(["Key findings"], kind="heading"))
    for group in dict.fromkeys(one.group for one in found):
        of = [one for one in found if one.group == group]
        page.add(Lines(list(sentences(one for one in of if one.strength != "open")), neutral(group, limit=200)))
        title = f"What the data cannot say{f': {neutral(group, limit=200)}' if group else ''}"
        page.add(Lines(list(sentences(one for one in of if one.strength == "open")), title))
    for block in research_blocks(found, most=most):
        page.add(block)
    used = [one.strength for one in found]
    page.add(Lines([f"{word}: {what}" for word, what in STRENGTHS.items() if word in used], "How sure", "note"))
    return page


def sentences(found: Iterable[Finding], *, groups: bool = False) -> Iterable[str]:
    """Yield each finding's sentence as text that a terminal only prints; how much it claims stands behind it.

    Args:
        groups: begin with the group that it is of.
    """
    for one in found:
        start = f"{neutral(one.group, limit=60)}: " if groups and one.group else ""
        claim = "" if one.strength in ("fact", "open") else f" ({one.strength})"
        yield f"{start}{neutral(one.sentence, limit=_LONGEST)}{claim}"


def first_findings(found: Findings, count: int = 5) -> Lines:
    """The findings to read first, as one block."""
    several = len({one.group for one in found}) > 1
    return Lines(list(sentences(found.first(count), groups=several)), "Key findings")


def research_blocks(found: Findings, *, most: int = 20) -> Iterable[Table | Lines]:
    """Yield the research tables: what pairs let one expect, and by model what no pair measured."""
    for kind in GAP_KINDS:
        gaps = [gap for gap in found.research if gap.kind == kind]
        measured = [gap for gap in gaps if gap.measured is not None]
        if kind in ("original", "base"):
            yield _missing(gaps, _TITLES[kind])
            continue
        yield _expected(measured, _TITLES[kind], most)
        yield _unmeasured([gap for gap in gaps if gap.measured is None], f"{_TITLES[kind]}: no measured pair")


def _expected(gaps: Sequence[Gap], title: str, most: int) -> Table:
    rows = []
    for gap in gaps[:most]:
        found = gap.measured
        assert found is not None
        rows.append(
            [
                neutral(gap.model, limit=_NAME),
                neutral(gap.lacks, limit=_NAME),
                percent(gap.score),
                points(found.median),
                f"{points(found.low)} to {points(found.high)}" if found.pairs > 1 else "one pair",
                percent(gap.expected),
                f"{found.pairs}" + (f" ({gap.set_aside} set aside)" if gap.set_aside else ""),
                neutral(", ".join(found.models), limit=2 * _NAME),
            ]
        )
    columns = ["model", "lacks", "score", "median", "range", "expected", "pairs", "measured on"]
    more = f" (the first {most} of {len(gaps)})" if len(gaps) > most else ""
    return Table(columns, rows, f"{title}: what pairs let one expect, %{more}", frozenset({"lacks", "measured on"}))


def _unmeasured(gaps: Sequence[Gap], title: str) -> Table:
    lacking: dict[str, list[Gap]] = {}
    for gap in gaps:
        lacking.setdefault(gap.where, []).append(gap)
    rows = [
        [neutral(of[0].model, limit=_NAME), neutral(", ".join(gap.lacks for gap in of), limit=3 * _NAME)]
        for of in lacking.values()
    ]
    return Table(["model", "lacks"], rows, title, frozenset({"lacks"}))


def _missing(gaps: Sequence[Gap], title: str) -> Table:
    rows = [[neutral(gap.model, limit=_NAME), neutral(gap.lacks, limit=2 * _NAME)] for gap in gaps]
    return Table(["model", "missing"], rows, title, frozenset({"missing"}))
