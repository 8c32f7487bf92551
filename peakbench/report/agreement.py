"""The agreement of repeated answers for people: one run, or two side by side."""

from __future__ import annotations

from peakbench.analysis.agreement import Agreement, Mean, Within
from peakbench.report.tables import Lines, Page, Table, neutral, percent


def agreement_page(found: Agreement) -> Page:
    """Lay out the verdict, the shares of identical answers, and each field's flip rate."""
    page = Page()
    page.add(Lines(["Do repeated answers agree?", *map(neutral, found.verdict)], kind="heading"))
    rows = [_run_row(one) for one in found.runs]
    if found.between is not None:
        rows.append(["between the two", "", "", f"{found.between.requests:,}", "", *_mean(found.between.identical)])
    columns = ["run", "workers", "repeats", "answers", "unread", "identical %", "± standard error", "samples"]
    page.add(Table(columns, rows, "Identical answers"))
    heads = [f"{neutral(one.path)}, flips %" for one in found.runs]
    if found.between is not None:
        heads.append("between, differs %")
    fields = [
        [
            neutral(name),
            *(percent(one.flips[name].value) for one in found.runs),
            *([percent(found.between.differs[name].value)] if found.between is not None else []),
        ]
        for name in found.runs[0].flips
    ]
    page.add(Table(["field", *heads], fields, "Fields"))
    return page


def _run_row(run: Within) -> list[str]:
    workers = ", ".join(map(str, run.workers))
    return [
        neutral(run.path), workers, str(run.repeats), f"{run.answers:,}", f"{run.unread:,}", *_mean(run.identical)
    ]  # fmt: skip


def _mean(mean: Mean) -> list[str]:
    return [percent(mean.value), percent(mean.error), f"{mean.n:,}"]
