"""Rows of a published table as standings: scores that cannot be are refused, and scores of nothing are named so."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peakbench.analysis.leaderboard.standings import Score, Standing
from peakbench.analysis.lineage.kinship import FEW_READABLE, Candidate
from peakbench.analysis.lineage.published import PublishedTable, read_table
from peakbench.errors import DataError, DataProblem, InputError

METRICS = {
    "weighted": "weighted_score",
    "json": "json_parse_rate",
    "valid_json": "json_parse_rate",
    "json_parse_rate": "json_parse_rate",
}
"""What the columns of published tables are called here; another name stays as it is."""

_SPEEDS = ("throughput_samples_per_s", "throughput", "samples_per_s")
_RATES = ("json_pct", "valid_json_pct", "json_parse_rate_pct")
_FIELD_ENDS = ("_accuracy",)
_ROUNDED = 0.0005  # scores are published in per cent with one decimal


@dataclass(frozen=True, slots=True)
class PublishedScores:
    """A published table: its rows as they were read, and what stands in each row beside its scores."""

    table: PublishedTable
    cells: tuple[Mapping[str, float], ...]
    floors: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The file's name."""
        return Path(self.table.path).name

    @property
    def metrics(self) -> tuple[str, ...]:
        """The ids of its scores."""
        return tuple(metric_id(name) for name in self.table.scores)


def metric_id(column: str) -> str:
    """Return the id of the metric that a column is of.

    >>> metric_id("weighted"), metric_id("sbert_nli")
    ('weighted_score', 'sbert_nli')
    """
    return METRICS.get(column, column)


def read_scores_table(path: str | Path) -> PublishedScores:
    """Read a table of published scores: see :func:`peakbench.analysis.lineage.published.read_table` for its columns.

    Beside those: ``rank``, ``json_pct``, ``throughput_samples_per_s``, ``n``, and the ends of an interval as
    ``weighted_pct_low`` and ``weighted_pct_high``. A row whose ``source`` is ``floor`` is the score of an answer that
    needs no model, as this program writes it.

    Raises:
        InputError: no such file, or not such a table.
        DataError: cells that cannot be used, each with its line.
    """
    table = read_table(path)
    cells: list[Mapping[str, float]] = []
    floors = []
    groups = set()
    problems: list[DataProblem] = []
    with Path(path).open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        for place, row in enumerate(reader):
            found: dict[str, float] = {}
            for column, text in row.items():
                if column is None or not _numeric(column) or not (text or "").strip():
                    continue
                number = _number(text)
                if number is None:
                    problems.append(DataProblem(f"{path}:{reader.line_num}", f"{column}: not a number: {text[:40]!r}"))
                else:
                    found[column] = number
            cells.append(found)
            groups.add((row.get("group") or "").strip())
            if (row.get("source") or "").strip() == "floor":
                floors.append(place)
    if problems:
        raise DataError(f"{len(problems)} problems in {path}", problems=problems)
    if len(groups) > 1:
        raise InputError(
            f"{len(groups)} groups in one table",
            where=str(path),
            expected="rows that may be ranked together: one value in the column 'group'",
        )
    return PublishedScores(table, tuple(cells), tuple(floors))


def published_standings(found: PublishedScores, metric: str, group: int) -> tuple[list[Standing], list[Standing]]:
    """Return the rows of a table as standings not yet ranked, and its floors: given, or read off rows without JSON."""
    standings = [_standing(found, place, metric, group) for place in range(len(found.table.rows))]
    floors = [
        replace(one, source="floor", lineage=None, training=(), rank=None, flags=())
        for place, one in enumerate(standings)
        if place in found.floors
    ]
    models = [one for place, one in enumerate(standings) if place not in found.floors]
    empty = _empty_floor(models, group)
    if empty is not None and not floors:
        floors = [empty]
    known = [one.score.value for one in floors if one.score is not None]
    return [_judged(one, empty, max(known, default=None)) for one in models], floors


def _numeric(column: str) -> bool:
    return column in ("rank", "n", *_SPEEDS, *_RATES) or column.endswith(("_pct_low", "_pct_high"))


def _number(text: str | None) -> float | None:
    try:
        value = float((text or "").strip().removesuffix("%"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _fraction(percent: float) -> float:
    return round(percent / 100, 12)  # 91.3 / 100 is 0.9129999999999999


def _standing(found: PublishedScores, place: int, metric: str, group: int) -> Standing:
    row: Candidate = found.table.rows[place]
    cells = found.cells[place]
    metrics: dict[str, Score] = {}
    refused: dict[str, float] = {}
    flags = []
    given: dict[str, float | None] = {name: column[place] for name, column in found.table.scores.items()}
    given |= {name.removesuffix("_pct"): cells[name] for name in _RATES if name in cells}
    for name, value in given.items():
        if value is None:
            continue
        one = metric_id(name)
        if 0 <= value <= 100:
            low, high = (cells.get(f"{name}_pct_{end}") for end in ("low", "high"))
            sound = low is not None and high is not None and low <= value <= high
            ends = [_fraction(end) for end in (low, high) if end is not None] if sound else []
            metrics[one] = Score(_fraction(value), *ends)
            if low is not None and not sound:
                flags.append(f"{one}: an interval that does not hold its value: left out")
        else:
            refused[one] = _fraction(value)
            flags.append(f"{one} {value:g} % is outside 0 to 100 %: refused")
    speed = next((cells[name] for name in _SPEEDS if name in cells), None)
    if speed is not None and speed < 0:
        flags.append(f"throughput {speed:g} is below 0: refused")
        refused["throughput"], speed = speed, None
    if metric not in metrics and metric not in refused:
        flags.append(f"{metric} is not given")
    lineage = row.lineage
    published, count = cells.get("rank"), cells.get("n")
    return Standing(
        model=row.name,
        family=lineage.family,
        parameters=lineage.parameters,
        training=lineage.training,
        quantization=lineage.quantization,
        version=lineage.version,
        lineage=lineage,
        source="published",
        group=group,
        score=metrics.get(metric),
        weighted=metrics.get("weighted_score"),
        sbert_nli=metrics.get("sbert_nli"),
        quality=metrics.get("quality"),
        json_rate=metrics.get("json_parse_rate"),
        throughput=None if speed is None else Score(speed),
        fields={
            name.removesuffix(end): score
            for name, score in metrics.items()
            for end in _FIELD_ENDS
            if name.endswith(end)
        },
        metrics=metrics,
        n=None if count is None else int(count),
        flags=(*flags, *lineage.conflicts),
        refused=refused,
        published_rank=None if published is None else int(published),
        path=row.where,
    )


def _empty_floor(models: Sequence[Standing], group: int) -> Standing | None:
    """The score of an answer with nothing in it, read off the rows of which no answer was JSON."""
    unread = [one for one in models if one.json_rate is not None and one.json_rate.value == 0]
    values: dict[str, float] = {}
    for name in dict.fromkeys(name for one in unread for name in one.metrics if name != "json_parse_rate"):
        counts = Counter(round(one.metrics[name].value, 6) for one in unread if name in one.metrics)
        value, times = counts.most_common(1)[0]
        if value > 0 and times * 2 > sum(counts.values()):
            values[name] = value
    scored = next((one for one in unread if one.score is not None), None)
    if not values or scored is None:
        return None
    ranked = next((name for name, score in scored.metrics.items() if score is scored.score), None)
    if ranked not in values:
        return None
    metrics = {name: Score(value) for name, value in values.items()}
    rows = "row" if len(unread) == 1 else "rows"
    return Standing(
        model="nothing in it (score of 0 % JSON)",
        source="floor",
        group=group,
        score=metrics[ranked],
        weighted=metrics.get("weighted_score"),
        sbert_nli=metrics.get("sbert_nli"),
        quality=metrics.get("quality"),
        metrics=metrics,
        flags=(f"read off {len(unread)} {rows} without any JSON",),
        path="0 % JSON",
    )


def _judged(one: Standing, empty: Standing | None, floor: float | None) -> Standing:
    """Add the skill, and what speaks against the row."""
    return replace(one, skill=_skill(one.score, floor), flags=(*one.flags, *_flags(one, empty)))


def _skill(score: Score | None, floor: float | None) -> Score | None:
    if score is None or floor is None or floor >= 1:
        return None
    value, *ends = (
        (end - floor) / (1 - floor) if end is not None else None for end in (score.value, score.low, score.high)
    )
    return None if value is None else Score(value, *ends)


def _flags(one: Standing, empty: Standing | None) -> Iterator[str]:
    if one.json_rate is None:
        return
    share = f"{100 * one.json_rate.value:g} %"
    if one.json_rate.value == 0 and one.score is not None and one.score.value > 0:
        level = f"{100 * one.score.value:.1f} %"
        if empty is not None and empty.score is not None and abs(one.score.value - empty.score.value) < _ROUNDED:
            yield f"no answer was JSON: {level} is what an answer with every field null scores"
        else:
            yield f"no answer was JSON, and yet it has {level}"
    elif one.json_rate.value < FEW_READABLE:
        yield f"only {share} of its answers were JSON: most of its score is that of answers with nothing in them"
