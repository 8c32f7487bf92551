"""A run's summary for people: header, metrics, fields, answers, speed, notes. Reads summary.json and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from peakbench.records import OUTCOMES
from peakbench.report.tables import Lines, Page, Table, neutral, percent, quantity

Summary = Mapping[str, Any]
STATES = ("strict", "extracted", "repaired", "off_schema", "unparseable", "text")
_OUTCOME_TITLES = {"correct": "correct", "correct_null": "null ok"}


def summary_page(summary: Summary, *, path: str | None = None, resume: str | None = None) -> Page:
    """Lay out a summary.

    Args:
        summary: summary.json as a dictionary.
        path: the run directory, where it is to be named.
        resume: the command that asks again what failed.

    >>> page = summary_page({"run": {"model": "m"}, "samples": {"total": 1, "answers": 1}, "metrics": {}, "fields": {}})
    >>> print(page.text().splitlines()[0])
    m
    """
    page = Page()
    page.add(_header(summary, path))
    page.add(metric_table(summary["metrics"], failed=_failed(summary) > 0))
    page.add(field_table(summary.get("fields") or {}))
    for table in slice_tables(summary.get("slices") or {}):
        page.add(table)
    page.add(_answers(summary["samples"]))
    page.add(_speed(summary.get("performance") or {}))
    page.add(Lines(list(_notes(summary, resume)), "Notes", "note"))
    return page


def _failed(summary: Summary) -> int:
    return int(summary["samples"].get("failed") or 0)


def _header(summary: Summary, path: str | None) -> Lines:
    run, samples = summary["run"], summary["samples"]
    data, task, endpoint = run.get("data") or {}, run.get("task") or {}, run.get("endpoint") or {}
    first = neutral(run.get("model") or "no model", limit=80)
    if data.get("name"):
        first += f" on {neutral(data['name'], limit=80)}"
    total = samples.get("total", 0)
    counted = f"{total:,} sample{'s' if total != 1 else ''}"
    repeats = run.get("repeats") or 1
    if repeats > 1:
        counted += f" x {repeats} repeats = {samples.get('answers', 0):,} answers"
    if task.get("id"):
        counted += f", task {neutral(task['id'])} v{task.get('version', 1)}"
    lines = [first, counted]
    where = endpoint.get("provider") or endpoint.get("url")
    if where:
        url = endpoint.get("url")
        lines.append(f"endpoint {neutral(where)}" + (f" ({neutral(url)})" if url and url != where else ""))
    if path:
        lines.append(f"run {neutral(path)}")
    return Lines(lines, kind="heading")


def metric_table(metrics: Mapping[str, Summary], *, failed: bool = False) -> Table:
    """One row a metric that is a share of something; timings stand in the lines about speed.

    ``failed`` adds the range of each value with the failed answers read as 0 and as 1.
    """
    shown = {name: entry for name, entry in metrics.items() if not entry.get("unit")}
    columns = ["metric", "score", "95 %", "failed as 0-1", "floor", "skill", "n", "unscored"]
    rows: list[list[str]] = []
    faint: set[int] = set()
    for name, entry in shown.items():
        value, floor, both = entry.get("value"), highest_floor(entry), entry.get("with_failures") or {}
        if value is None:
            faint.add(len(rows))
        rows.append(
            [
                neutral(name) + ("" if entry.get("higher_is_better", True) else " (low is good)"),
                percent(value) + ("*" if value is not None and entry.get("unreliable") else ""),
                interval(entry.get("low"), entry.get("high")),
                interval(both.get("low"), both.get("high")),
                f"{percent(floor[1])} {floor[0]}" if floor else "-",
                percent(entry.get("skill")),
                f"{entry.get('n', 0):,}",
                f"{entry.get('unscored') or 0:,}",
            ]
        )
    dropped = {"failed as 0-1"} if not failed else set()
    if all(row[-1] == "0" for row in rows):
        dropped.add("unscored")
    return _without(dropped, Table(columns, rows, "Metrics, %", frozenset({"floor"}), frozenset(faint)))


def _without(dropped: Collection[str], table: Table) -> Table:
    kept = [index for index, column in enumerate(table.columns) if column not in dropped]
    rows = [[row[index] for index in kept] for row in table.rows]
    return replace(table, columns=[table.columns[index] for index in kept], rows=rows)


def highest_floor(entry: Summary) -> tuple[str, float] | None:
    """The floor that counts and which answer makes it: the best one without a model.

    >>> highest_floor({"floor": {"all_null": 0.45, "majority": 0.54, "unparseable": None}})
    ('majority', 0.54)
    """
    floors = {name: value for name, value in (entry.get("floor") or {}).items() if value is not None}
    if not floors:
        return None
    choose = max if entry.get("higher_is_better", True) else min
    name = choose(floors, key=lambda key: floors[key])
    return neutral(name), floors[name]


def interval(low: float | None, high: float | None) -> str:
    """Two fractions in per cent, or ``-``.

    >>> interval(0.5, 0.625), interval(None, 0.5)
    ('50.0-62.5', '-')
    """
    return "-" if low is None or high is None else f"{percent(low)}-{percent(high)}"


def field_table(fields: Mapping[str, Summary]) -> Table:
    """One row a field: its weight, score, interval, and what became of it in each answer."""
    columns = ["field", "weight", "score", "95 %", *(_OUTCOME_TITLES.get(name, name) for name in OUTCOMES)]
    rows: list[list[str]] = []
    for name, entry in fields.items():
        weight = entry.get("weight")
        rows.append(
            [
                neutral(name),
                "-" if weight is None else f"{weight:g}",
                percent(entry.get("score")),
                interval(entry.get("low"), entry.get("high")),
                *(f"{entry.get(outcome) or 0:,}" for outcome in OUTCOMES),
            ]
        )
    dropped = {"unread"} if all(row[-1] == "0" for row in rows) else set()
    return _without(dropped, Table(columns, rows, "Fields, %"))


def slice_tables(slices: Mapping[str, Any]) -> Iterator[Table]:
    """One table a metadata key: a row a value, a column a metric."""
    for key, values in slices.items():
        names = list(dict.fromkeys(name for entry in values.values() for name in entry.get("metrics", {})))
        rows = []
        for value, entry in values.items():
            cells = [percent(entry.get("metrics", {}).get(name, {}).get("value")) for name in names]
            rows.append([neutral(value, limit=40), f"{entry.get('n', 0):,}", *cells])
        if rows:
            yield Table([neutral(key), "n", *(neutral(name) for name in names)], rows, f"By {neutral(key)}, %")


def _answers(samples: Summary) -> Lines:
    states = [f"{samples[state]:,} {state.replace('_', '-')}" for state in STATES if samples.get(state)]
    lines = [", ".join(states) or "none"]
    odd = [f"{samples['truncated']:,} truncated at the token limit"] if samples.get("truncated") else []
    for key, words in (
        ("duplicate_keys", "with a key twice"),
        ("extra_keys", "with unknown keys"),
        ("refused", "refused"),
    ):
        if samples.get(key):
            odd.append(f"{samples[key]:,} {words}")
    if odd:
        lines.append("of these " + ", ".join(odd))
    if samples.get("failed"):
        lines.append(f"{samples['failed']:,} failed: no answer came; not scored")
    return Lines(lines, "Answers")


def _speed(performance: Summary) -> Lines | None:
    lines = []
    for key, words in (("latency_s", "latency"), ("ttft_s", "first token")):
        times = performance.get(key) or {}
        if any(times.get(name) is not None for name in ("p50", "p90", "p99")):
            parts = (f"{name} {quantity(times.get(name), 's')}" for name in ("p50", "p90", "p99"))
            lines.append(f"{words} " + ", ".join(parts))
    rate = performance.get("samples_per_s")
    if rate is not None:
        workers = performance.get("workers")
        at = f" at {workers} worker{'s' if workers != 1 else ''}" if workers else ""
        lines.append(f"{quantity(rate)} samples/s{at}, {quantity(performance.get('wall_s'), 's')} in all")
    tokens = performance.get("tokens") or {}
    counted = [
        f"{value:,} {neutral(name).replace('_', ' ')}" for name, value in tokens.items() if isinstance(value, int)
    ]
    if counted:
        lines.append("tokens: " + ", ".join(counted))
    return Lines(lines, "Speed") if lines else None


def _notes(summary: Summary, resume: str | None) -> Iterator[str]:
    if _failed(summary):
        many = _failed(summary)
        asks = f"; ask again: {resume}" if resume else "; ask again with --resume"
        yield f"{many:,} request{'s' if many != 1 else ''} failed and {'are' if many != 1 else 'is'} not scored{asks}"
    if any(entry.get("unreliable") and entry.get("value") is not None for entry in summary["metrics"].values()):
        yield "* unreliable interval: fewer than 100 samples, or fewer than 10 of them imperfect"
    if summary["samples"].get("truncated"):
        yield "some answers were cut off at the token limit: raise --max-tokens"
    reasons: dict[str, list[str]] = {}
    for name, entry in summary["metrics"].items():
        if entry.get("value") is None or entry.get("unscored"):
            reasons.setdefault(str(entry.get("reason") or "no reason given"), []).append(name)
    for reason, names in reasons.items():
        many_unscored = all(summary["metrics"][name].get("value") is None for name in names)
        what = "unscored" if many_unscored else "unscored in part"
        yield f"{', '.join(neutral(name) for name in names)} {what}: {neutral(reason, limit=300)}"
    for note in summary.get("notes") or ():
        yield neutral(note, limit=500)
