"""A leaderboard for people and for programs: text, Markdown, CSV, JSON; one row a model, floors among them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from peakbench.analysis.leaderboard.standings import Group, Leaderboard, Score, Standing
from peakbench.report.comparison import points
from peakbench.report.tables import Lines, Page, Table, neutral, percent
from peakbench.store.formats import csv_cell

TITLES = {
    "weighted_score": "weighted score",
    "sbert_nli": "SBERT+NLI",
    "json_parse_rate": "JSON",
    "structured_match": "structured match",
    "quality_lexical": "quality (lexical)",
}
RULES = {
    "paired": (
        "Ranks by paired differences over the same samples: two models are told apart where the 95 % interval of their "
        "difference leaves 0 out and p, after Holm over all pairs, is below 0.05. A range of ranks holds every rank "
        "that the data allow."
    ),
    "intervals": (
        "Ranks by intervals: two models are told apart where their 95 % intervals do not overlap, which is coarser "
        "than a paired test; a row without an interval is taken as its value."
    ),
    "values": "Ranks by published values: equal values share their ranks, and nothing says that an order is no luck.",
}
"""How ranks came about, in words."""

_NAME, _CELL = 44, 40


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: a standing, and whether it is ranked, a floor, or left out of the ranking."""

    standing: Standing
    kind: str

    @property
    def place(self) -> str:
        """The rank as it is shown."""
        return "floor" if self.kind == "floor" else self.standing.place


def title_of(metric: str) -> str:
    """A metric's name for people.

    >>> title_of("weighted_score"), title_of("valued_f1")
    ('weighted score', 'valued f1')
    """
    return TITLES.get(metric, neutral(metric.replace("_", " "), limit=_CELL))


def lines_of(board: Leaderboard, group: int) -> list[Line]:
    """The lines of a group: ranked models with the floors where their scores put them, then who is not ranked."""
    sign = -1 if board.higher_is_better else 1
    standings = board.of(group)
    lines = [Line(one, "ranked") for one in standings if one.rank is not None]
    floors = sorted(
        (one for one in board.of(group, floors=True) if one.score is not None), key=lambda one: sign * _value(one.score)
    )
    for floor in floors:  # above those models that score no more than it
        place = next(
            (i for i, line in enumerate(lines) if sign * _value(line.standing.score) >= sign * _value(floor.score)),
            len(lines),
        )
        while place < len(lines) and lines[place].kind == "floor":
            place += 1
        lines.insert(place, Line(floor, "floor"))
    return lines + [Line(one, "unranked") for one in standings if one.rank is None]


def names_of(board: Leaderboard) -> dict[str, str]:
    """A name for each standing by its path: its model, and its folder too where several have that model."""
    counts = Counter(one.model for one in board.standings)
    return {
        one.path: one.model if counts[one.model] == 1 else f"{one.model} ({Path(one.path).name})"
        for one in board.standings
    }


def board_page(board: Leaderboard, *, findings: Lines | None = None, struck: bool = False) -> Page:
    """Lay out a leaderboard.

    Args:
        findings: a block to stand above the tables.
        struck: strike refused scores out, as Markdown does.
    """
    page = Page()
    page.add(Lines([neutral(board.title, limit=200)], kind="heading"))
    page.add(findings)
    for number, group in enumerate(board.groups):
        page.add(_table(board, number, group, struck=struck))
        page.add(Lines(list(_flags(board, number)), "What speaks against a row"))
    rules = [RULES[rule] for rule in dict.fromkeys(group.rule for group in board.groups)]
    notes = [note for group in board.groups for note in group.notes] + list(board.notes)
    page.add(Lines([*rules, *(_sentence(note) for note in notes)], "How it is ranked", "note"))
    return page


def _table(board: Leaderboard, number: int, group: Group, *, struck: bool) -> Table:
    lines = lines_of(board, number)
    standings = [line.standing for line in lines]
    columns = ["rank", "model", "architecture", "params", "training", f"{title_of(board.metric)}, %"]
    shown = [
        ("95 %", any(one.score is not None and one.score.certain for one in standings)),
        ("SBERT+NLI", board.metric != "sbert_nli" and any(one.sbert_nli for one in standings)),
        ("JSON", any(one.json_rate for one in standings)),
        ("samples/s", any(one.throughput for one in standings)),
        ("skill", any(one.skill for one in standings)),
        ("behind", any(one.behind for one in standings)),
        ("n", any(one.n for one in standings)),
    ]
    names = [name for name, there in shown if there]
    marks, names_by_path = _marks(board, number), names_of(board)
    rows = []
    for line in lines:
        one = line.standing
        cells = {
            "95 %": interval(one.score),
            "SBERT+NLI": _percent(one.sbert_nli),
            "JSON": _percent(one.json_rate),
            "samples/s": speed(one.throughput),
            "skill": _percent(one.skill),
            "behind": behind(one.behind),
            "n": "-" if one.n is None else f"{one.n:,}",
        }
        rows.append(
            [
                line.place,
                neutral(names_by_path.get(one.path, one.model), limit=_NAME)
                + (f" [{marks[one.flags]}]" if one.flags else ""),
                neutral(one.family or "-", limit=_CELL),
                neutral(one.parameters or "-", limit=_CELL),
                training(one) or "-",
                score_text(board, one, struck=struck),
                *(cells[name] for name in names),
            ]
        )
    faint = frozenset(place for place, line in enumerate(lines) if line.kind != "ranked")
    return Table([*columns, *names], rows, neutral(group.title, limit=200), frozenset(columns[:5]), faint)


def _marks(board: Leaderboard, group: int) -> dict[tuple[str, ...], int]:
    """A number for each set of flags, in the order of the table: rows with the same flags have the same number."""
    flagged = dict.fromkeys(line.standing.flags for line in lines_of(board, group) if line.standing.flags)
    return {flags: number for number, flags in enumerate(flagged, start=1)}


def _flags(board: Leaderboard, group: int) -> Iterator[str]:
    for flags, number in _marks(board, group).items():
        yield f"[{number}] {neutral('; '.join(flags), limit=400)}"


def score_text(board: Leaderboard, one: Standing, *, struck: bool = False) -> str:
    """The score that ranks, in per cent; one that was refused is said to be."""
    if one.score is not None:
        return _percent(one.score)
    if board.metric in one.refused:
        shown = refused_text(one.refused[board.metric])
        return f"~~{shown}~~ refused" if struck else f"({shown} refused)"
    return "-"


def refused_text(value: float) -> str:
    """A score that cannot be, as it was published."""
    return f"{100 * value:.1f}"


def training(one: Standing) -> str:
    """Training and quantization in few words."""
    parts = [one.trained, one.quantization if one.quantized else ""]
    return neutral(", ".join(part for part in parts if part), limit=_CELL)


def interval(score: Score | None) -> str:
    """The ends of an interval in per cent."""
    if score is None or score.low is None or score.high is None:
        return "-"
    return f"{percent(score.low)} to {percent(score.high)}"


def speed(score: Score | None) -> str:
    """Samples a second."""
    return "-" if score is None else f"{score.value:.1f}" if score.value < 1000 else f"{score.value:,.0f}"


def behind(score: Score | None) -> str:
    """The difference to the first in points, with its interval where there is one.

    >>> behind(Score(-0.018)), behind(Score(-0.0056, -0.0228, 0.0097))
    ('-1.8', '-0.6 (-2.3 to +1.0)')
    """
    if score is None:
        return "-"
    if score.low is None or score.high is None:
        return points(score.value)
    return f"{points(score.value)} ({points(score.low)} to {points(score.high)})"


def board_csv(board: Leaderboard) -> str:
    """The leaderboard as CSV, scores in per cent; ``peakbench leaderboard --csv`` reads it again."""
    ranking = [] if board.metric in ("weighted_score", "sbert_nli", "quality") else [board.metric]
    fields = board.field_names
    scores = ["weighted", "sbert_nli", "quality", *ranking]
    columns = [
        *("group", "rank", "last_rank", "model", "architecture", "params", "training", "quantization", "version"),
        *(name for score in scores for name in (f"{score}_pct", f"{score}_pct_low", f"{score}_pct_high")),
        *("json_pct", "throughput_samples_per_s", "skill", "skill_low", "skill_high"),
        *(f"{name}_accuracy_pct" for name in fields),
        *("n", "source", "published_rank", "refused", "flags", "path"),
    ]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    for number, group in enumerate(board.groups):
        for line in lines_of(board, number):
            one = line.standing
            cells: list[str | float | int | None] = [
                neutral(group.title),
                one.rank,
                one.last_rank,
                neutral(one.model),
                neutral(one.family or ""),
                one.parameters,
                "Zero-shot" if one.trained == "as released" else "+".join(one.training),
                one.quantization if one.quantized else "",
                one.version,
            ]
            for name in scores:
                score = getattr(one, name) if name in ("weighted", "sbert_nli", "quality") else one.score
                ends = (None, None, None) if score is None else (score.value, score.low, score.high)
                cells += [None if end is None else _points(end) for end in ends]
            cells += [
                None if one.json_rate is None else _points(one.json_rate.value),
                None if one.throughput is None else round(one.throughput.value, 4),
                *((None, None, None) if one.skill is None else _ends(one.skill)),
                *(None if name not in one.fields else _points(one.fields[name].value) for name in fields),
                one.n,
                one.source,
                one.published_rank,
                "; ".join(f"{name} {100 * value:g}" for name, value in one.refused.items()),
                neutral("; ".join(one.flags)),
                neutral(one.path),
            ]
            writer.writerow(["" if cell is None else csv_cell(cell) for cell in cells])
    return file.getvalue()


def board_json(board: Leaderboard) -> str:
    """The leaderboard as JSON."""
    return json.dumps(board.as_dict(), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def _points(value: float) -> float:
    return round(100 * value, 4)


def _ends(score: Score) -> tuple[float | None, ...]:
    return tuple(None if end is None else round(end, 6) for end in (score.value, score.low, score.high))


def _percent(score: Score | None) -> str:
    return "-" if score is None else percent(score.value)


def _value(score: Score | None) -> float:
    return 0.0 if score is None else score.value


def _sentence(text: str) -> str:
    shown = neutral(text, limit=400)
    return f"{shown[:1].upper()}{shown[1:]}{'' if shown.endswith('.') else '.'}"
