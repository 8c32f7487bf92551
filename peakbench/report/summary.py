"""A run's summary for people: header, metrics, fields, answers, speed, notes. Reads summary.json and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from peakbench.report.scores import (
    Summary,
    field_figures,
    field_table,
    mark,
    metric_table,
    outcome_table,
    slice_tables,
)
from peakbench.report.tables import Lines, Page, neutral, quantity

STATES = ("strict", "extracted", "repaired", "off_schema", "unparseable", "text")
ODDITIES = {
    "truncated": "truncated at the token limit",
    "refused": "refused",
    "duplicate_keys": "with a key twice",
    "extra_keys": "with unknown keys",
}
_COUNTED_BESIDE = {
    "exact_but_contradicted": (
        "exact answer",
        "said to contradict its reference: the reference or the entailer is odd",
    ),
    "cut": ("answer", "longer than the entailer reads, judged without the end"),
}


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
    failed = _failed(summary) > 0
    page.add(metric_table(metrics, failed=failed))
    page.add(Lines([nothing], kind="note") if nothing else None)
    page.add(field_table(fields, field_figures(metrics), failed=failed))
    page.add(outcome_table(fields))
    for table in slice_tables(summary.get("slices") or {}, metrics):
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
    if run.get("profile"):
        lines.append(f"profile {neutral(run['profile'])}")
    return Lines(lines, kind="heading")


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


def _notes(summary: Summary, resume: str | None) -> Iterator[str]:
    samples, metrics = summary["samples"], summary["metrics"]
    if summary["run"].get("profile"):
        unread = sum(int(samples.get(state) or 0) for state in ("unparseable", "off_schema"))
        yield (
            f"profile {neutral(summary['run']['profile'])}: for comparison with published numbers only; "
            f"{_counted(unread, 'answer')} that cannot be read {'is' if unread == 1 else 'are'} scored as all null"
        )
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
    for key in (summary.get("slices") or {}).values():
        for value in key.values():
            entries += [*value["metrics"].values(), *(value.get("fields") or {}).values()]
    doubts = dict.fromkeys(neutral(one["unreliable"]).partition(" (")[0] for one in entries if mark(one))
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
    for key, values in (summary.get("slices") or {}).items():
        if not values:
            yield f"no sample that was asked has {neutral(key, limit=80)} in its metadata: no slices by it"
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
