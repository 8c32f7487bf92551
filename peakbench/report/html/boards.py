"""The page of a leaderboard: what its template shows, made from standings, charts and findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from peakbench.analysis.findings.statements import STRENGTHS, Finding, Findings
from peakbench.analysis.leaderboard.standings import Group, Leaderboard, Score
from peakbench.report.findings import research_blocks
from peakbench.report.html.page import render
from peakbench.report.leaderboard import (
    RULES,
    Line,
    behind,
    interval,
    lines_of,
    names_of,
    refused_text,
    speed,
    title_of,
    training,
)
from peakbench.report.tables import Table, neutral, percent

FIRST = 5
"""Findings that are read first."""

MOST_PAIRS = 200
"""Paired comparisons on the page; all of them are in the JSON file."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart on the page. ``drawing``: what :func:`peakbench.report.charts.figure` made and checked."""

    name: str
    title: str
    drawing: str


@dataclass(frozen=True, slots=True)
class Told:
    """Findings on the page: (sentence, how much it claims) each; ``open``: what the data cannot say."""

    first: Sequence[tuple[str, str]]
    more: Sequence[tuple[str, str]]
    open: Sequence[str]
    strengths: Mapping[str, str]
    tables: Sequence[Table]


def board_html(
    board: Leaderboard,
    *,
    pictures: Mapping[int, Sequence[Picture]] | None = None,
    chart_css: str = "",
    findings: Findings | None = None,
) -> str:
    """Return a leaderboard as one page that needs nothing beside it.

    Args:
        pictures: charts of each group, by its place; ``chart_css``: the colours that they name.
        findings: what the board says in sentences.
    """
    told = None if findings is None else _told(findings)
    groups = [
        _group(board, number, group, (pictures or {}).get(number, ())) for number, group in enumerate(board.groups)
    ]
    parts = [("findings", "Key findings")] if told else []
    parts += [(one["id"], "Standings" if len(groups) == 1 else one["short"]) for one in groups]
    if len(groups) == 1 and groups[0]["pictures"]:
        parts += [("charts-1", "Charts")]
    parts += [("research", "What was not tried")] if told and told.tables else []
    parts += [("measured", "How it is ranked")]
    return render(
        "leaderboard.html.j2",
        styles=("leaderboard.css",),
        scripts=("leaderboard.js",),
        title=neutral(board.title, limit=200),
        metric=title_of(board.metric),
        metric_id=board.metric,
        parts=parts,
        lead=list(_lead(board)),
        doubts=list(_doubts(board)),
        groups=groups,
        findings=told,
        chart_css=Markup(chart_css),  # noqa: S704 - our own colours
        rules=[RULES[rule] for rule in dict.fromkeys(group.rule for group in board.groups)],
        notes=[_sentence(note) for note in board.notes],
    )


def _told(found: Findings) -> Told:
    first = found.first(FIRST)
    several = len({one.group for one in found}) > 1

    def text(one: Finding) -> str:
        start = f"{neutral(one.group, limit=60)}: " if several and one.group else ""
        return start + neutral(one.sentence, limit=1000)

    def claim(one: Finding) -> tuple[str, str]:
        return text(one), "" if one.strength == "fact" else one.strength

    rest = [one for one in found if one not in first]
    used = {one.strength for one in found if one.strength not in ("fact", "open")}
    return Told(
        [claim(one) for one in first],
        [claim(one) for one in rest if one.strength != "open"],
        [text(one) for one in rest if one.strength == "open"],
        {word: what for word, what in STRENGTHS.items() if word in used},
        [block for block in research_blocks(found) if isinstance(block, Table) and block.rows],
    )


def _lead(board: Leaderboard) -> Iterator[str]:
    for number, group in enumerate(board.groups):
        ranked = [one for one in board.of(number) if one.rank is not None]
        top = [one for one in ranked if one.rank == 1]
        where = f" in {neutral(group.title, limit=120)}" if len(board.groups) > 1 else ""
        if not top:
            yield f"Nothing is ranked{where}."
            continue
        first = top[0]
        said = f"{neutral(first.model, limit=80)} is first{where} with {_percent(first.score)} %"
        if first.score is not None and first.score.certain:
            said += f" (95 % interval {interval(first.score)})"
        if len(top) > 1:
            others = f"{len(top) - 1} other" + ("s" if len(top) > 2 else "")
            said += f"; {others} may share that place"
        ranks = "1 model is" if len(ranked) == 1 else f"{len(ranked)} models are"
        yield f"{said}. {ranks} ranked by {title_of(board.metric)}."


def _doubts(board: Leaderboard) -> Iterator[str]:
    standings = board.standings
    refused = [one for one in standings if one.refused]
    if refused:
        named = ", ".join(
            f"{neutral(one.model, limit=60)} ({title_of(name)} {refused_text(value)} %)"
            for one in refused[:3]
            for name, value in one.refused.items()
        )
        what = "A score that cannot be is" if len(refused) == 1 else "Scores that cannot be are"
        yield f"{what} struck out, not ranked: {named}{', and others' if len(refused) > 3 else ''}."
    empty = [one for one in standings if any("no answer was JSON" in flag for flag in one.flags)]
    if empty:
        yield (
            f"{len(empty)} {'model' if len(empty) == 1 else 'models'} without a single JSON answer: "
            "the score beside is what an answer with nothing in it scores."
        )
    if any(group.rule == "values" and group.ranked > 1 for group in board.groups):
        yield "Published values come without intervals: small differences may be luck."
    failed = [one for one in standings if any("answers failed" in flag for flag in one.flags)]
    if failed:
        yield f"{len(failed)} {'run has' if len(failed) == 1 else 'runs have'} answers that failed and are not scored."
    if len(board.groups) > 1:
        yield "The groups are not to be compared: their samples or their scoring are not known to be the same."


def _group(board: Leaderboard, number: int, group: Group, pictures: Sequence[Picture]) -> dict[str, Any]:
    lines = lines_of(board, number)
    standings = [line.standing for line in lines]
    values = [end for one in standings if one.score for end in (one.score.value, one.score.high) if end is not None]
    top = max([1.0, *values])
    names, floor = names_of(board), board.floor(number)
    mark = None if floor is None or floor.score is None else floor.score.value / top
    has = {
        "sbert": board.metric != "sbert_nli" and any(one.sbert_nli for one in standings),
        "json": any(one.json_rate for one in standings),
        "speed": any(one.throughput for one in standings),
        "skill": any(one.skill for one in standings),
        "behind": any(one.behind for one in standings),
        "n": any(one.n is not None for one in standings),
        "published": any(one.published_rank is not None for one in standings),
    }
    return {
        "id": f"group-{number + 1}",
        "title": group.title,
        "short": _short(group.data or group.title),
        "rows": [_row(board, line, names.get(line.standing.path, line.standing.model), top, mark) for line in lines],
        "has": has,
        "rule": group.rule,
        "n": group.n,
        "certain": any(one.score is not None and one.score.certain for one in standings),
        "floor": None if floor is None else f"{neutral(floor.model, limit=80)}, {_percent(floor.score)} %",
        "notes": [_sentence(note) for note in group.notes],
        "signature": group.signature,
        "fields": _fields(board, lines),
        "pairs": _pairs(board, number),
        "number": number + 1,
        "pictures": [
            (one.name, one.title, Markup(one.drawing))  # noqa: S704 - drawn and checked by us
            for one in pictures
        ],
    }


def _row(board: Leaderboard, line: Line, name: str, top: float, floor: float | None) -> dict[str, Any]:
    one, score = line.standing, line.standing.score
    return {
        "kind": line.kind,
        "place": line.place,
        "order": None if one.rank is None else one.rank,
        "model": name,
        "flags": one.flags,
        "family": one.family or "-",
        "parameters": one.parameters or "-",
        "training": training(one) or "-",
        "score": _percent(score),
        "value": None if score is None else score.value,
        "refused": refused_text(one.refused[board.metric]) if board.metric in one.refused else None,
        "interval": interval(score) if score is not None and score.certain else None,
        "at": None if score is None else max(0.0, score.value / top),
        "low": None if score is None or score.low is None else max(0.0, score.low / top),
        "high": None if score is None or score.high is None else min(1.0, score.high / top),
        "floor": floor,
        "sbert": _percent(one.sbert_nli),
        "json": _percent(one.json_rate),
        "speed": speed(one.throughput),
        "skill": _percent(one.skill),
        "behind": behind(one.behind),
        "n": "-" if one.n is None else f"{one.n:,}",
        "published": "-" if one.published_rank is None else str(one.published_rank),
    }


def _fields(board: Leaderboard, lines: Sequence[Line]) -> Table | None:
    standings = [line.standing for line in lines if line.standing.fields]
    names = list(dict.fromkeys(name for one in standings for name in one.fields))
    if not names:
        return None
    rows = [[neutral(one.model, limit=60), *(_percent(one.fields.get(name)) for name in names)] for one in standings]
    faint = frozenset(place for place, one in enumerate(standings) if one.source == "floor")
    return Table(["model", *(neutral(name, limit=30) for name in names)], rows, "Scores by field, %", faint=faint)


def _pairs(board: Leaderboard, number: int) -> Table | None:
    labels = names_of(board)
    told = [one for one in board.told if board.standings[one.first].group == number]
    rows = [
        [
            neutral(labels[board.standings[one.first].path], limit=60),
            neutral(labels[board.standings[one.second].path], limit=60),
            behind(Score(one.value, one.low, one.high)),
            "-" if one.p_holm is None else f"{one.p_holm:.4f}",
            f"{one.n:,}",
            "yes" if one.apart else "no",
        ]
        for one in told[:MOST_PAIRS]
    ]
    more = f" (the first {MOST_PAIRS} of {len(told):,})" if len(told) > MOST_PAIRS else ""
    columns = ["better", "worse", "difference, points", "p (Holm)", "n", "told apart"]
    title = f"Every two models, over the same samples{more}"
    return Table(columns, rows, title, frozenset({"worse"})) if rows else None


def _short(text: str) -> str:
    shown = neutral(text)
    return shown if len(shown) <= 32 else f"{shown[:30]}…"


def _percent(score: Score | None) -> str:
    return "-" if score is None else percent(score.value)


def _sentence(text: str) -> str:
    shown = neutral(text, limit=400)
    return f"{shown[:1].upper()}{shown[1:]}{'' if shown.endswith('.') else '.'}"
