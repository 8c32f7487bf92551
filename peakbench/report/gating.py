"""A verdict for people, for GitHub's log and summary; a baseline for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from peakbench.analysis.comparison.scoretable import Origin, ScoreTable
from peakbench.analysis.gating.judgement import Gated, Outcome, Verdict, in_points, points
from peakbench.report.comparison import interval, p_value, shown
from peakbench.report.comparison import points as signed
from peakbench.report.tables import Lines, Page, Table, neutral, percent
from peakbench.store.baseline import Baseline

TITLES: Mapping[Outcome, str] = {
    "passed": "PASSED",
    "fell": "FELL",
    "undecided": "UNDECIDED: too few samples to tell",
    "not comparable": "NOT COMPARABLE",
}
_MESSAGE = 1000


def verdict_page(found: Verdict) -> Page:
    """Lay out a verdict: what it is and why, what is gated, which fields changed, which samples lost most."""
    page = Page()
    run, kept = found.run, found.baseline
    page.add(
        Lines(
            [
                TITLES[found.verdict],
                f"run {neutral(run.model, limit=80)}, {neutral(run.path, limit=200)}",
                f"baseline {neutral(kept.model, limit=80)}, {neutral(kept.path, limit=200)}",
                f"{neutral(kept.data_name, limit=80)}, margin {found.margin:g} ({in_points(found.margin)})",
            ],
            kind="heading",
        )
    )
    page.add(Lines([neutral(reason, limit=_MESSAGE) for reason in found.reasons]))
    page.add(_gated(found))
    page.add(_fields(found))
    page.add(_samples(found))
    page.add(Lines([neutral(note, limit=_MESSAGE) for note in found.notes], "Notes", "note"))
    return page


def _gated(found: Verdict) -> Table:
    columns = ["gated, %", "baseline", "run", "change", "sure to lie in", "samples", "better", "worse", "verdict"]
    rows = [_gated_row(one) for one in found.metrics]
    return Table(columns, rows, left=frozenset({"verdict"}))


def _gated_row(one: Gated) -> list[str]:
    change = one.change
    if change is None or change.value is None:
        return [neutral(one.label, limit=60), "-", "-", "-", "-", "-", "-", "-", one.verdict]
    low, high = (one.low, one.high) if change.higher_is_better else (_minus(one.high), _minus(one.low))
    return [
        neutral(one.label, limit=60) + ("" if change.higher_is_better else " (low is good)"),
        percent(change.first),
        percent(change.second),
        signed(change.value),
        "-" if low is None or high is None else f"{points(low)} to {points(high)}",
        f"{change.n:,}",
        str(change.better),
        str(change.worse),
        one.verdict,
    ]


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _fields(found: Verdict) -> Table:
    changed = sorted((one for one in found.fields if one.differs), key=lambda one: one.value or 0.0)
    rows = [
        [
            neutral(one.name, limit=60),
            percent(one.first),
            percent(one.second),
            signed(one.value),
            interval(one.low, one.high),
            str(one.better),
            str(one.worse),
            p_value(one.p),
            p_value(one.p_holm),
        ]
        for one in changed
    ]
    columns = ["field", "baseline", "run", "change", "95 %", "better", "worse", "p", "Holm"]
    return Table(columns, rows, "Fields that changed, %")


def _samples(found: Verdict) -> Table:
    rows = []
    for one in found.samples:
        head = [neutral(one.sample_id, limit=60), f"{percent(one.first)} -> {percent(one.second)}"]
        for flip in one.flips:
            answers = " | ".join(map(shown, flip.second.answers)) if flip.second.answers else "-"
            outcomes = f"{flip.first.outcome} -> {flip.second.outcome}"
            rows.append([*head, neutral(flip.field, limit=40), shown(flip.reference), answers, outcomes])
            head = ["", ""]
        if not one.flips:
            rows.append([*head, "-", "-", "-", "-"])
    metric = neutral(found.samples[0].metric, limit=60) if found.samples else ""
    columns = ["sample", f"{metric}, %", "field", "reference", "answer", "became"]
    return Table(columns, rows, "Samples that lost most", frozenset(columns))


def github_commands(found: Verdict) -> Iterator[str]:
    r"""Yield GitHub Actions workflow commands: one annotation for each metric or field that is gated.

    What passed is a notice, everything else an error.
    """
    for one in found.metrics:
        kind = "notice" if one.verdict == "passed" else "error"
        text = neutral("; ".join(one.reasons) or one.verdict, limit=_MESSAGE)
        yield github_command(kind, f"peakbench gate: {neutral(one.label, limit=60)} {one.verdict}", text)


def github_command(kind: str, title: str, message: str) -> str:
    """Return one workflow command, with GitHub's escapes.

    >>> github_command("error", "a, b: c", "50 %\\nlost")
    '::error title=a%2C b%3A c::50 %25%0Alost'
    """
    data = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    name = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={name}::{data}"


def baseline_page(saved: Baseline, table: ScoreTable) -> Page:
    """Lay out what a baseline holds."""
    page, origin = Page(), table.origin
    failed = int((table.failed > 0).sum())
    repeats = f" x {table.repeats} repeats" if table.repeats > 1 else ""
    lines = [
        f"baseline: {neutral(origin.model, limit=80)} on {neutral(origin.data_name, limit=80)}",
        f"{len(table.ids):,} samples{repeats}, task {neutral(origin.task_id, limit=80)} v{origin.task_version}",
        f"run {neutral(origin.path, limit=200)} of {neutral(origin.created_at, limit=40)}",
        f"saved {neutral(saved.saved_at, limit=40)} by peakbench {neutral(saved.peakbench, limit=20)}",
    ]
    if failed:
        lines.append(f"{failed:,} samples with an answer that failed")
    if origin.profile:
        lines.append(f"profile {neutral(origin.profile, limit=40)}")
    page.add(Lines(lines, kind="heading"))
    rows = [
        [neutral(name, limit=60), *figures, neutral(table.metrics[name].signature, limit=80)]
        for name, figures in _figures(table)
    ]
    page.add(Table(["metric", "%", "samples", "signature"], rows, left=frozenset({"signature"})))
    page.add(
        Table(
            ["field", "%", "samples"],
            [
                [neutral(name, limit=60), percent(_over(one.score.sum(), one.asked.sum())), f"{int(one.asked.sum()):,}"]
                for name, one in table.fields.items()
            ],
        )
    )
    unscored = [
        f"{neutral(name, limit=60)}: {neutral(one.problem, limit=200)}"
        for name, one in table.metrics.items()
        if one.problem
    ]
    page.add(Lines(unscored, "Not to be gated by", "note"))
    return page


def _figures(table: ScoreTable) -> Iterator[tuple[str, list[str]]]:
    for name, one in table.metrics.items():
        if one.problem is None:
            yield name, [percent(_over(one.above.sum(), one.below.sum())), f"{int((one.below > 0).sum()):,}"]


def _over(above: float, below: float) -> float | None:
    return float(above / below) if below > 0 else None


def baseline_figures(saved: Baseline, table: ScoreTable) -> dict[str, object]:
    """Return what :func:`baseline_page` shows as JSON values; the columns stay in the file."""
    origin: Origin = table.origin
    return {
        "saved_at": saved.saved_at,
        "peakbench": saved.peakbench,
        "origin": saved.origin.model_dump(mode="json"),
        "model": origin.model,
        "samples": len(table.ids),
        "repeats": table.repeats,
        "failed": int((table.failed > 0).sum()),
        "metrics": {
            name: {
                "value": _over(one.above.sum(), one.below.sum()),
                "n": int((one.below > 0).sum()),
                "signature": one.signature,
                "reason": one.problem,
            }
            for name, one in table.metrics.items()
        },
        "fields": {
            name: {
                "score": _over(one.score.sum(), one.asked.sum()),
                "n": int(one.asked.sum()),
                "signature": one.signature,
            }
            for name, one in table.fields.items()
        },
    }
