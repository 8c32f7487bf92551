"""Tables of scores with what they are worth: interval, floor, skill; of a run's metrics, of its fields, by slice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from peakbench.records import OUTCOMES
from peakbench.report.tables import Page, Table, neutral, percent

Summary = Mapping[str, Any]
SLICES_SHOWN = 30
SLICE_METRICS = 5
"""Metrics of a table of slices, as far as a screen is wide."""
SCREEN = 100
"""Columns of a screen."""
FIELD_FIGURES = {"sbert": ("sbert", "cosine"), "contradicted": ("hallucination", "contradiction")}
"""Columns of the field table that a metric brings: the metric, and what stands before a field's name beside it."""
_OUTCOME_TITLES = {"correct": "correct", "correct_null": "null ok"}


def metric_table(metrics: Mapping[str, Summary], *, failed: bool = False) -> Table:
    """One row a metric that is a share of something; timings stand in the lines about speed.

    ``failed`` adds the range of each value with the failed answers read as the worst and as the best of its range.
    """
    shown = {name: entry for name, entry in metrics.items() if not entry.get("unit")}
    columns = ["metric", "score", "95 %", "failed 0-1", "floor", "skill", "n", "unscored"]
    rows: list[list[str]] = []
    faint: set[int] = set()
    for name, entry in shown.items():
        if entry.get("value") is None:
            faint.add(len(rows))
        rows.append(
            [
                neutral(name) + ("" if entry.get("higher_is_better", True) else " (low is good)"),
                *_worth(entry),
                f"{entry.get('n', 0):,}",
                f"{entry.get('unscored') or 0:,}",
            ]
        )
    dropped = {"failed 0-1"} if not failed else set()
    if not any(entry.get("unscored") and entry.get("value") is not None for entry in shown.values()):
        dropped.add("unscored")  # a metric without any value has its reason among the notes
    return _without(dropped, Table(columns, rows, "Metrics, %", frozenset({"floor"}), frozenset(faint)))


def _worth(entry: Summary, *, higher_is_better: bool | None = None) -> list[str]:
    """A score, its interval, its range with the failures, its floor and its skill: five cells."""
    floor = highest_floor(entry, higher_is_better=higher_is_better)
    both = entry.get("with_failures") or {}
    return [
        percent(entry.get("value", entry.get("score"))) + mark(entry),
        interval(entry.get("low"), entry.get("high")),
        interval(both.get("low"), both.get("high")),
        f"{percent(floor[1])} {floor[0]}" if floor else "-",
        percent(entry.get("skill")),
    ]


def _without(dropped: Collection[str], table: Table) -> Table:
    kept = [index for index, column in enumerate(table.columns) if column not in dropped]
    rows = [[row[index] for index in kept] for row in table.rows]
    return replace(table, columns=[table.columns[index] for index in kept], rows=rows)


def highest_floor(entry: Summary, *, higher_is_better: bool | None = None) -> tuple[str, float] | None:
    """The floor that counts and which answer makes it: the best one without a model; of equals, one that can be read.

    ``higher_is_better``: where the entry does not say it itself, as those of slices do not; None: as it says.

    >>> highest_floor({"floor": {"all_null": 0.45, "majority": 0.54, "unparseable": None}})
    ('majority', 0.54)
    """
    floors = {name: value for name, value in (entry.get("floor") or {}).items() if value is not None}
    if not floors:
        return None
    high = entry.get("higher_is_better", True) if higher_is_better is None else higher_is_better
    readable_first = sorted(floors, key=lambda name: name == "unparseable")
    name = (max if high else min)(readable_first, key=lambda key: floors[key])
    return neutral(name), floors[name]


def interval(low: float | None, high: float | None) -> str:
    """Two fractions in per cent, or ``-``.

    >>> interval(0.5, 0.625), interval(None, 0.5)
    ('50.0-62.5', '-')
    """
    return "-" if low is None or high is None else f"{percent(low)}-{percent(high)}"


def mark(entry: Summary) -> str:
    """An asterisk where the interval of a number is unreliable."""
    return "*" if entry.get("value", entry.get("score")) is not None and entry.get("unreliable") else ""


def field_figures(metrics: Mapping[str, Summary]) -> dict[str, dict[str, float]]:
    """Return what a metric says of single fields: by column and field, the mean over the answers with a value there.

    >>> field_figures({"hallucination": {"beside": {"contradiction.color": {"sum": 0.5, "n": 2}}}})
    {'contradicted': {'color': 0.25}}
    """
    found: dict[str, dict[str, float]] = {}
    for column, (metric, head) in FIELD_FIGURES.items():
        for name, one in ((metrics.get(metric) or {}).get("beside") or {}).items():
            first, dot, field = name.partition(".")
            if (first, dot) == (head, ".") and one["n"]:
                found.setdefault(column, {})[field] = one["sum"] / one["n"]
    return found


def field_table(
    fields: Mapping[str, Summary],
    figures: Mapping[str, Mapping[str, float]] | None = None,
    *,
    failed: bool = False,
) -> Table:
    """One row a field: its weight, score, interval, floor, skill, and what metrics say of it; ``failed`` as above."""
    figures = figures or {}
    columns = ["field", "weight", "score", "95 %", "failed 0-1", "floor", "skill", *FIELD_FIGURES]
    rows: list[list[str]] = []
    for name, entry in fields.items():
        weight = entry.get("weight")
        rows.append(
            [
                neutral(name),
                "-" if weight is None else f"{weight:g}",
                *_worth(entry),
                *(percent(figures.get(column, {}).get(name)) for column in FIELD_FIGURES),
            ]
        )
    dropped = {column for column in FIELD_FIGURES if column not in figures}
    if not failed:
        dropped.add("failed 0-1")
    return _without(dropped, Table(columns, rows, "Fields, %", frozenset({"floor"})))


def outcome_table(fields: Mapping[str, Summary]) -> Table:
    """One row a field: what became of it, answer by answer; what is invented and what is omitted stand apart."""
    columns = ["field", *(_OUTCOME_TITLES.get(name, name) for name in OUTCOMES)]
    rows = [
        [neutral(name), *(f"{entry.get(outcome) or 0:,}" for outcome in OUTCOMES)] for name, entry in fields.items()
    ]
    dropped = {"unread"} if all(row[-1] == "0" for row in rows) else set()
    return _without(dropped, Table(columns, rows, "Fields, answers"))


def slice_tables(slices: Mapping[str, Any], metrics: Mapping[str, Summary] | None = None) -> Iterator[Table]:
    """Two tables a metadata key, a row a value: the metrics that matter most, the first with all it is worth; fields.

    ``metrics``: those of the run, which say whether high or low is good. The fields have a table where it is not wider
    than a screen.
    """
    for key, values in slices.items():
        if not any(one.get("value") is not None for entry in values.values() for one in entry["metrics"].values()):
            continue
        yield _metrics_by_slice(neutral(key), values, metrics or {})
        fields = _fields_by_slice(neutral(key), values)
        if fields is not None:
            yield fields


def _metrics_by_slice(key: str, values: Mapping[str, Summary], metrics: Mapping[str, Summary]) -> Table:
    every = list(dict.fromkeys(name for entry in values.values() for name in entry.get("metrics", {})))
    names = _slice_metrics(every, values.values())
    failed = any(entry.get("failed") for entry in values.values())

    def table(count: int) -> Table:
        title = f"By {key}, %"
        if count < len(every):
            title += f" ({count} of {len(every)} metrics; all are in summary.json)"
        high = metrics.get(names[0], {}).get("higher_is_better", True)
        rows = []
        for value, entry in list(values.items())[:SLICES_SHOWN]:
            found = [entry.get("metrics", {}).get(name, {}) for name in names[:count]]
            others = [percent(one.get("value")) + mark(one) for one in found[1:]]
            worth = _worth(found[0], higher_is_better=high)
            rows.append([neutral(value, limit=40), f"{entry.get('n', 0):,}", *worth, *others])
        shown = [neutral(name) for name in names[:count]]
        columns = [key, "n", shown[0], "95 %", "failed 0-1", "floor", "skill", *shown[1:]]
        whole = Table(columns, _cut(rows, len(values)), title, frozenset({"floor"}))
        return _without(set() if failed else {"failed 0-1"}, whole)

    return next((one for one in map(table, range(len(names), 1, -1)) if _fits(one)), table(1))


def _fields_by_slice(key: str, values: Mapping[str, Summary]) -> Table | None:
    """Score and skill of each field in each slice: a row a slice or, where that is narrower, a row a field.

    Where neither fits a screen, the scores alone; None where they do not fit either.
    """
    names = list(dict.fromkeys(name for entry in values.values() for name in entry.get("fields") or {}))
    shown = list(values.items())[:SLICES_SHOWN]
    heads = [neutral(value, limit=40) for value, _ in shown]

    def tables(title: str, *, skill: bool) -> Iterator[Table]:
        rows = [[_field_cell(entry, name, skill=skill) for name in names] for _, entry in shown]
        whole = [[head, *row] for head, row in zip(heads, rows, strict=True)]
        yield Table([key, *map(neutral, names)], _cut(whole, len(values)), title)
        if len(shown) == len(values):
            turned = [[neutral(name), *column] for name, column in zip(names, zip(*rows, strict=True), strict=True)]
            yield Table(["field", *heads], turned, title)

    if not names:
        return None
    both = tables(f"Fields by {key}, %: score (skill)", skill=True)
    scores = tables(f"Fields by {key}, % (skill is in summary.json)", skill=False)
    return next((table for table in (*both, *scores) if _fits(table)), None)


def _field_cell(entry: Summary, name: str, *, skill: bool) -> str:
    one = (entry.get("fields") or {}).get(name, {})
    return percent(one.get("score")) + (f" ({percent(one.get('skill'))})" if skill else "")


def _cut(rows: list[list[str]], count: int) -> list[list[str]]:
    """Say how many rows are not shown."""
    if count > len(rows):
        rows.append([f"... and {count - len(rows):,} more", *("" for _ in rows[0][1:])])
    return rows


def _fits(table: Table) -> bool:
    return max(map(len, Page([table]).text().splitlines()[1:])) <= SCREEN


def _slice_metrics(names: Sequence[str], slices: Iterable[Summary]) -> Sequence[str]:
    """Choose the columns, those that matter most first; a metric without a value would waste its column."""
    scored = {name for one in slices for name, entry in one["metrics"].items() if entry.get("value") is not None}
    quality = "quality" if "quality" in scored else "quality_lexical"
    first = ("weighted_score", "structured_match", "valued_f1", quality, "json_parse_rate")
    chosen = [name for name in ("quality", *first) if name in names and name in scored]
    others = sorted((name for name in names if name not in chosen), key=lambda name: name not in scored)
    return list(dict.fromkeys(chosen + others))[:SLICE_METRICS]
