"""Pairs of models for people: who belongs to whom, what it cost or added, and whether that is within the margin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from peakbench.analysis.comparison.changes import Change
from peakbench.analysis.gating.judgement import points as in_points
from peakbench.analysis.lineage.kinship import KINDS, Candidate
from peakbench.analysis.lineage.models import PARTS, Lineage
from peakbench.analysis.lineage.pairs import Effect, Finding, Pairs
from peakbench.report.comparison import LEVEL, interval, p_value, points
from peakbench.report.tables import Lines, Page, Table, neutral, percent

_NAME, _SIDE_BY_SIDE = 40, 3
_TITLES = {
    "quantization": "Quantization pairs",
    "training": "Training pairs",
    "base run": "Pairs by a base run that was named",
}


def pairs_page(found: Pairs) -> Page:
    """Lay out the pairs of each kind, their differences, the fields, the means, and who is left alone."""
    page = Page()
    page.add(_head(found))
    names = _names(found.candidates)
    for kind in KINDS:
        chosen = [(number, one) for number, one in enumerate(found.findings, start=1) if one.pair.kind == kind]
        page.add(_who(chosen, names, _TITLES[kind]))
        if found.published:
            page.add(_published(chosen))
            continue
        page.add(_differences(chosen))
        unit = "point" if found.margin == 0.01 else "points"
        page.add(Lines(list(_verdicts(chosen)), f"Against a margin of {in_points(found.margin)} {unit}"))
        for start in range(0, len(chosen), _SIDE_BY_SIDE):
            page.add(_fields(chosen[start : start + _SIDE_BY_SIDE]))
    page.add(_effects(found.effects))
    page.add(_alone(found.alone, names))
    page.add(Lines(list(_notes(found)), "Notes", "note"))
    return page


def lineage_page(found: Sequence[tuple[str, str, Lineage]]) -> Page:
    """Lay out where the models of some runs come from: (path, model, lineage) each; what a name says is marked."""
    page = Page()
    for path, model, lineage in found:
        values = {**lineage.as_dict(), "training": "+".join(lineage.training) or "none"}
        rows = [
            [part, neutral(values[part] or "-", limit=80), "read from the name" if part in lineage.inferred else ""]
            for part in PARTS
        ]
        page.add(Lines([neutral(path, limit=200), f"model {neutral(model, limit=200)}"], kind="heading"))
        page.add(Table(["part", "value", ""], rows, left=frozenset({"value", ""})))
        page.add(Lines([neutral(conflict) for conflict in lineage.conflicts], "Notes", "note"))
    return page


def _head(found: Pairs) -> Lines:
    counts = Counter(one.pair.kind for one in found.findings)
    n = len(found.candidates)
    what = ("model" if found.published else "run") + ("" if n == 1 else "s")
    what += " of a published table" if found.published else ""
    words = [f"{counts[kind]} {kind}" for kind in KINDS if counts[kind]]
    return Lines([f"Pairs among {n} {what}: {', '.join(words) or 'none'}"], kind="heading")


def _names(candidates: Sequence[Candidate]) -> dict[str, str]:
    """A name for each candidate by where it stands: its model, and its place too where several have that model."""
    counts = Counter(one.name for one in candidates)
    return {
        one.where: neutral(one.name, limit=_NAME) if counts[one.name] == 1 else neutral(one.where, limit=2 * _NAME)
        for one in candidates
    }


def _who(chosen: Sequence[tuple[int, Finding]], names: dict[str, str], title: str) -> Table | None:
    rows = [
        [
            _number(number, one),
            _added(one),
            names[one.other.where],
            names[one.base.where],
            "base run" if one.pair.named else "names" if one.pair.inferred else "given",
        ]
        for number, one in chosen
    ]
    columns = ["", "what", "model", "against", "known from"]
    return Table(columns, rows, title, frozenset(columns)) if rows else None


def _number(number: int, one: Finding) -> str:
    return f"#{number}" if one.pair.clean else f"#{number}~"


def _added(one: Finding) -> str:
    return ("+" if one.pair.kind == "training" else "") + neutral(one.pair.added, limit=30)


def _verdicts(chosen: Sequence[tuple[int, Finding]]) -> Iterator[str]:
    for number, one in chosen:
        for held in one.metrics:
            what = f"{_number(number, one)} {_added(one)}, {neutral(held.change.name, limit=30)}: {held.verdict}"
            yield f"{what}: {neutral('; '.join(held.reasons), limit=400)}"


def _differences(chosen: Sequence[tuple[int, Finding]]) -> Table | None:
    rows = []
    for number, one in chosen:
        for held in one.metrics:
            change = held.change
            rows.append(
                [
                    _number(number, one),
                    _added(one),
                    neutral(change.name, limit=30) + ("" if change.higher_is_better else " (low is good)"),
                    percent(change.first),
                    percent(change.second),
                    points(change.value) + ("*" if change.unreliable else ""),
                    interval(change.low, change.high) if change.differs else "none differs" if change.n else "-",
                    p_value(change.p),
                    p_value(change.p_holm),
                    _count(change.better),
                    _count(change.worse),
                    f"{change.n:,}" if change.n else "-",
                ]
            )
    columns = ["", "what", "metric", "base", "model", "change", "95 %", "p", "Holm", "better", "worse", "n"]
    return Table(columns, rows, "Differences, % (model minus base)", frozenset({"what", "metric"})) if rows else None


def _published(chosen: Sequence[tuple[int, Finding]]) -> Table | None:
    rows = []
    for number, one in chosen:
        row = [_number(number, one), _added(one)]
        for held in one.metrics:
            change = held.change
            row += [percent(change.first), percent(change.second), points(change.value)]
        rows.append(row)
    if not rows:
        return None
    names = [neutral(held.change.name, limit=20) for held in chosen[0][1].metrics]
    columns = ["", "what", *(column for name in names for column in (f"{name}: base", "model", "change"))]
    return Table(columns, rows, "Published scores, %: no samples, so no interval", frozenset({"what"}))


def _fields(chosen: Sequence[tuple[int, Finding]]) -> Table | None:
    """Fields down, pairs across."""
    compared = [(number, one, {change.name: change for change in one.fields}) for number, one in chosen if one.fields]
    fields = dict.fromkeys(name for _, _, changes in compared for name in changes)
    rows = [[neutral(name, limit=30), *(_cell(changes.get(name)) for _, _, changes in compared)] for name in fields]
    heads = [f"{_number(number, one)} {_added(one)}" for number, one, _ in compared]
    return Table(["field", *heads], rows, "Fields, % (model minus base)") if rows else None


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _cell(change: Change | None) -> str:
    if change is None or change.value is None:
        return "-"
    if not change.differs:
        return "none differs"
    clear = change.p_holm is not None and change.p_holm < LEVEL
    doubt = "*" if change.unreliable else ""
    return f"{points(change.value)}{doubt} ({interval(change.low, change.high)}){' !' if clear else ''}"


def _effects(effects: Sequence[Effect]) -> Table | None:
    rows = [
        [
            ("+" if one.kind == "training" else "")
            + (f"any {one.kind}" if one.added == "any" else neutral(one.added, limit=30)),
            neutral(one.metric, limit=30),
            f"{one.pairs} of {one.models} model{'' if one.models == 1 else 's'}",
            points(one.value),
            interval(one.low, one.high) if one.low is not None else "fewer than 3",
            str(one.left_out),
        ]
        for one in effects
    ]
    columns = ["what", "metric", "pairs", "mean change", "95 % over pairs", "left out"]
    return Table(columns, rows, "Means over pairs, %", frozenset({"metric"})) if rows else None


def _alone(alone: Sequence[tuple[Candidate, str]], names: dict[str, str]) -> Table | None:
    rows = [[names[one.where], neutral(reason, limit=100)] for one, reason in alone]
    columns = ["model", "missing"]
    return Table(
        columns, rows, "Without the pair that was looked for", frozenset(columns), faint=frozenset(range(len(rows)))
    )


def _notes(found: Pairs) -> Iterator[str]:
    for number, one in enumerate(found.findings, start=1):
        flags = [*one.pair.flags, *([one.reason] if one.reason else []), *one.notes]
        if flags:
            yield neutral(f"#{number} {'; '.join(flags)}", limit=500)
        for held in one.metrics:
            if found.published and held.change.reason:
                yield neutral(f"#{number} {held.change.name}: {'; '.join(held.reasons)}", limit=500)
    for note in found.notes:
        yield neutral(note, limit=500)
    conflicts = [(one, conflict) for one, _ in found.alone for conflict in one.lineage.conflicts]
    yield from (neutral(f"{one.name}: {conflict}", limit=300) for one, conflict in conflicts)
    if any(one.pair.inferred for one in found.findings):
        yield "known from names: a name may be wrong" + (
            "" if found.published else "; say what a model is: peakbench tag RUN --family ... --training ..."
        )
    changes = [change for one in found.findings for change in (*(held.change for held in one.metrics), *one.fields)]
    doubts = dict.fromkeys(str(change.unreliable).partition(" (")[0] for change in changes if change.unreliable)
    if doubts and not found.published:
        yield f"* interval unreliable: {'; '.join(doubts)}"
    if any(change.p_holm is not None for change in changes):
        yield f"Holm: p corrected over the metrics, and over the fields (! below {LEVEL:g}), of all pairs together"
    if not all(one.pair.clean for one in found.findings):
        yield "~ more is different, or less is known, than the pair is named for"
    if found.effects:
        yield (
            "means: over pairs without ~; the interval takes pairs for independent draws, "
            "which those of one model are not quite"
        )
    if not found.findings:
        yield "no pair: one model must be quantized or trained from another" + (
            "" if found.published else "; tell where a model comes from: peakbench tag RUN --base-run RUN"
        )
