"""A run's summary for people: header, metrics, fields, answers, speed, notes. Reads summary.json and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from peakbench.records import OUTCOMES
from peakbench.report.tables import Lines, Page, Table, neutral, percent, quantity

Summary = Mapping[str, Any]
STATES = ("strict", "extracted", "repaired", "off_schema", "unparseable", "text")
SLICES_SHOWN = 30
SLICE_METRICS = 5
"""Columns of a table of slices: more do not fit on a screen."""
ODDITIES = {
    "truncated": "truncated at the token limit",
    "refused": "refused",
    "duplicate_keys": "with a key twice",
    "extra_keys": "with unknown keys",
}
FIELD_FIGURES = {"sbert": ("sbert", "cosine"), "contradicted": ("hallucination", "contradiction")}
"""Columns of the field table that a metric brings: the metric, and what stands before a field's name beside it."""
_COUNTED_BESIDE = {
    "exact_but_contradicted": (
        "exact answer",
        "said to contradict its reference: the reference or the entailer is odd",
    ),
    "cut": ("answer", "longer than the entailer reads, judged without the end"),
}
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
    metrics, fields = summary["metrics"], summary.get("fields") or {}
    nothing = _nothing_compared(summary)
    if nothing:
        # Rows of dashes would all say what one line says.
        metrics = {name: entry for name, entry in metrics.items() if entry.get("value") is not None}
        fields = {}
    page.add(metric_table(metrics, failed=_failed(summary) > 0))
    page.add(Lines([nothing], kind="note") if nothing else None)
    page.add(field_table(fields, field_figures(metrics)))
    for table in slice_tables(summary.get("slices") or {}):
        page.add(table)
    page.add(_answers(summary["samples"]))
    page.add(_speed(summary))
    page.add(Lines(list(_notes(summary, resume)), "Notes", "note"))
    return page


def _nothing_compared(summary: Summary) -> str | None:
    """Say that no answer is held against a reference and why, None where one is."""
    reasons = _unscored(summary, timed=False)
    scored = [one for one in summary["metrics"].values() if not one.get("unit") and one.get("value") is not None]
    fields = (summary.get("fields") or {}).values()
    if not reasons or (any(one.get("score") is not None for one in fields) if fields else scored):
        return None
    return f"nothing {'else ' if scored else ''}can be scored: {_main(reasons)}"


def _main(reasons: Mapping[str, list[str]]) -> str:
    """The reason that most metrics have."""
    return max(reasons, key=lambda reason: len(reasons[reason]))


def _failed(summary: Summary) -> int:
    return int(summary["samples"].get("failed") or 0)


def _header(summary: Summary, path: str | None) -> Lines:
    run, samples = summary["run"], summary["samples"]
    data, task, endpoint = run.get("data") or {}, run.get("task") or {}, run.get("endpoint") or {}
    first = neutral(run.get("model") or "no model", limit=80)
    if data.get("name"):
        first += f" on {neutral(data['name'], limit=80)}"
    total = samples.get("total", 0)
    counted = _counted(total, "sample")
    repeats = run.get("repeats") or 1
    if repeats > 1:
        counted += f" x {repeats} repeats = {samples.get('answers', 0):,} answers"
    if task.get("id"):
        counted += f", task {neutral(task['id'])} v{task.get('version', 1)}"
    lines = [first, counted]
    where = endpoint.get("provider") or endpoint.get("url")  # a provider's URL is its own affair, a port by chance
    if where:
        lines.append(f"endpoint {neutral(where)}")
    if path:
        lines.append(f"run {neutral(path)}")
    return Lines(lines, kind="heading")


def metric_table(metrics: Mapping[str, Summary], *, failed: bool = False) -> Table:
    """One row a metric that is a share of something; timings stand in the lines about speed.

    ``failed`` adds the range of each value with the failed answers read as the worst and as the best of its range.
    """
    shown = {name: entry for name, entry in metrics.items() if not entry.get("unit")}
    columns = ["metric", "score", "95 %", "failed 0-1", "floor", "skill", "n", "unscored"]
    rows: list[list[str]] = []
    faint: set[int] = set()
    for name, entry in shown.items():
        value, floor, both = entry.get("value"), highest_floor(entry), entry.get("with_failures") or {}
        if value is None:
            faint.add(len(rows))
        rows.append(
            [
                neutral(name) + ("" if entry.get("higher_is_better", True) else " (low is good)"),
                percent(value) + _mark(entry),
                interval(entry.get("low"), entry.get("high")),
                interval(both.get("low"), both.get("high")),
                f"{percent(floor[1])} {floor[0]}" if floor else "-",
                percent(entry.get("skill")),
                f"{entry.get('n', 0):,}",
                f"{entry.get('unscored') or 0:,}",
            ]
        )
    dropped = {"failed 0-1"} if not failed else set()
    if not any(entry.get("unscored") and entry.get("value") is not None for entry in shown.values()):
        dropped.add("unscored")  # a metric without any value has its reason among the notes
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


def field_figures(metrics: Mapping[str, Summary]) -> dict[str, dict[str, float]]:
    """Return what a metric says of single fields: by column and field, the mean over the answers with a value there.

    >>> field_figures({"hallucination": {"beside": {"contradiction.color": {"sum": 0.5, "n": 2}}}})
    {'contradicted': {'color': 0.25}}
    """
    found: dict[str, dict[str, float]] = {}
    for column, (metric, mark) in FIELD_FIGURES.items():
        for name, one in ((metrics.get(metric) or {}).get("beside") or {}).items():
            head, dot, field = name.partition(".")
            if (head, dot) == (mark, ".") and one["n"]:
                found.setdefault(column, {})[field] = one["sum"] / one["n"]
    return found


def field_table(fields: Mapping[str, Summary], figures: Mapping[str, Mapping[str, float]] | None = None) -> Table:
    """One row a field: its weight, score, interval, what metrics say of it, and what became of it in each answer."""
    figures = figures or {}
    outcomes = [_OUTCOME_TITLES.get(name, name) for name in OUTCOMES]
    columns = ["field", "weight", "score", "95 %", *FIELD_FIGURES, *outcomes]
    rows: list[list[str]] = []
    for name, entry in fields.items():
        weight = entry.get("weight")
        rows.append(
            [
                neutral(name),
                "-" if weight is None else f"{weight:g}",
                percent(entry.get("score")) + _mark(entry),
                interval(entry.get("low"), entry.get("high")),
                *(percent(figures.get(column, {}).get(name)) for column in FIELD_FIGURES),
                *(f"{entry.get(outcome) or 0:,}" for outcome in OUTCOMES),
            ]
        )
    dropped = {"unread"} if all(row[-1] == "0" for row in rows) else set()
    dropped.update(column for column in FIELD_FIGURES if column not in figures)
    return _without(dropped, Table(columns, rows, "Fields, %"))


def slice_tables(slices: Mapping[str, Any]) -> Iterator[Table]:
    """One table a metadata key: a row a value, a column a metric, as many as a screen is wide."""
    for key, values in slices.items():
        every = list(dict.fromkeys(name for entry in values.values() for name in entry.get("metrics", {})))
        if not any(one.get("value") is not None for entry in values.values() for one in entry["metrics"].values()):
            continue
        names = _slice_metrics(every, values.values())
        title = f"By {neutral(key)}, %"
        if len(names) < len(every):
            title += f" ({len(names)} of {len(every)} metrics; all are in summary.json)"
        rows = []
        for value, entry in list(values.items())[:SLICES_SHOWN]:
            found = (entry.get("metrics", {}).get(name, {}) for name in names)
            cells = [percent(one.get("value")) + _mark(one) for one in found]
            rows.append([neutral(value, limit=40), f"{entry.get('n', 0):,}", *cells])
        if len(values) > SLICES_SHOWN:
            rows.append([f"... and {len(values) - SLICES_SHOWN:,} more", *("" for _ in (0, *names))])
        if rows:
            yield Table([neutral(key), "n", *(neutral(name) for name in names)], rows, title)


def _slice_metrics(names: Sequence[str], slices: Iterable[Summary]) -> Sequence[str]:
    """Choose the columns: all metrics where they are few, else those that matter most, in this order."""
    if len(names) <= SLICE_METRICS:
        return names
    scored = {name for one in slices for name, entry in one["metrics"].items() if entry.get("value") is not None}
    quality = "quality" if "quality" in scored else "quality_lexical"
    first = ("structured_match", "weighted_score", "valued_f1", quality, "json_parse_rate")
    # a metric without a value would waste its column
    chosen = [name for name in first if name in names and name in scored]
    others = sorted((name for name in names if name not in chosen), key=lambda name: name not in scored)
    return (chosen + others)[:SLICE_METRICS]


def _answers(samples: Summary) -> Lines:
    states = [f"{samples[state]:,} {state.replace('_', '-')}" for state in STATES if samples.get(state)]
    lines = [", ".join(states) or "none"]
    odd = [f"{samples[key]:,} {words}" for key, words in ODDITIES.items() if samples.get(key)]
    if odd:
        lines.append("of these " + ", ".join(odd))
    if samples.get("failed"):
        kinds = [
            f"{count:,} {neutral(kind).replace('_', ' ')}" for kind, count in (samples.get("failures") or {}).items()
        ]
        lines.append(f"{samples['failed']:,} failed, not scored" + (f": {', '.join(kinds)}" if kinds else ""))
    if samples.get("unasked"):
        lines.append(f"{samples['unasked']:,} not asked yet")
    return Lines(lines, "Answers")


def _speed(summary: Summary) -> Lines | None:
    performance = summary.get("performance") or {}
    lines = []
    for key, words in (("latency_s", "latency"), ("ttft_s", "first token")):
        times = performance.get(key) or {}
        if times.get("p50") is not None:
            parts = (f"{name} {quantity(times.get(name), 's')}" for name in ("p50", "p90", "p99"))
            lines.append(f"{words} " + ", ".join(parts))
    rate = performance.get("samples_per_s")
    if rate is not None:
        workers = performance.get("workers")
        at = f" at {_counted(workers, 'worker')}" if workers else ""
        lines.append(f"throughput {quantity(rate)} samples/s{at}, {quantity(performance.get('wall_s'), 's')} in all")
    tokens = performance.get("tokens") or {}
    if tokens.get("n"):
        counted = [f"{tokens.get(name) or 0:,} {name}" for name in ("prompt", "completion")]
        rate = tokens.get("per_s")
        lines.append(f"tokens {', '.join(counted)}" + (f", {quantity(rate)} a second" if rate is not None else ""))
    for reason, names in _unscored(summary, timed=True).items():
        lines.append(f"{', '.join(names)}: {reason}")
    return Lines(lines, "Speed") if lines else None


def _unscored(summary: Summary, *, timed: bool) -> dict[str, list[str]]:
    """Reason -> metrics without a value for it, those with a unit (timings) or those without."""
    reasons: dict[str, list[str]] = {}
    for name, entry in summary["metrics"].items():
        if bool(entry.get("unit")) == timed and entry.get("value") is None:
            reasons.setdefault(neutral(entry.get("reason") or "no reason given", limit=300), []).append(neutral(name))
    for reason in sorted(reasons, key=len, reverse=True):
        # "sbert is unscored: no encoder" says nothing that "no encoder" does not
        inner = next((other for other in reasons if other != reason and reason.endswith(f": {other}")), None)
        if inner:
            reasons[inner] += reasons.pop(reason)
    return reasons


def _mark(entry: Summary) -> str:
    return "*" if entry.get("value", entry.get("score")) is not None and entry.get("unreliable") else ""


def _notes(summary: Summary, resume: str | None) -> Iterator[str]:
    samples, metrics = summary["samples"], summary["metrics"]
    left = _failed(summary) + int(samples.get("unasked") or 0)
    if left and (summary["run"].get("endpoint") or {}).get("provider") == "answers":
        yield f"{_counted(left, 'answer')} missing from the answers that came from elsewhere"
    elif left:
        yield f"{_counted(left, 'request')} without an answer; ask again: {neutral(resume or '--resume')}"
    if samples.get("truncated"):
        yield f"{_counted(samples['truncated'], 'answer')} cut off at the token limit: raise --max-tokens"
    structured = (summary["run"].get("sampling") or {}).get("structured", "off")
    if structured != "off" and (unfit := _unfit(summary, structured)):
        yield (
            f"guided decoding ({structured}) was asked for, and {_counted(unfit, 'whole answer')} "
            "not as asked: the server may have ignored it"
        )
    entries = [*metrics.values(), *(summary.get("fields") or {}).values()]
    entries += [
        one
        for key in (summary.get("slices") or {}).values()
        for value in key.values()
        for one in value["metrics"].values()
    ]
    doubts = dict.fromkeys(neutral(one["unreliable"]).partition(" (")[0] for one in entries if _mark(one))
    if doubts:
        yield f"* interval unreliable: {'; '.join(doubts)}"
    reasons = _unscored(summary, timed=False)
    if _nothing_compared(summary):
        del reasons[_main(reasons)]  # it stands in place of the tables
    for reason, names in reasons.items():
        yield f"{', '.join(names)} unscored: {reason}"
    for name, entry in metrics.items():
        if entry.get("value") is not None and entry.get("unscored") and not entry.get("unit"):
            reason = neutral(entry.get("reason") or "-", limit=300)
            yield f"{neutral(name)}: {_counted(entry['unscored'], 'answer')} unscored: {reason}"
    for name, entry in metrics.items():
        for what, words in _COUNTED_BESIDE.items():
            found = (entry.get("beside") or {}).get(what)
            if found and found["sum"]:
                yield f"{neutral(name)}: {_counted(int(found['sum']), words[0])} {words[1]}"
    for note in summary.get("notes") or ():
        yield neutral(note, limit=500)


def _unfit(summary: Summary, structured: str) -> int:
    """How many answers that were not cut off do not have the form that was asked for."""
    samples, valid = summary["samples"], summary["metrics"].get("schema_valid_rate") or {}
    answered = int(samples["answers"]) - _failed(summary)
    fit = int(samples["strict"])
    if structured == "json_schema" and valid.get("value") is not None:
        fit = round(valid["value"] * answered)
    return max(0, answered - fit - int(samples.get("truncated") or 0))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
