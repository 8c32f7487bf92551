"""A run in words: how good it is, how sure that is, and what to distrust. Every number comes from the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakbench.analysis.comparison.contrasts import Contrast
from peakbench.report.comparison import LEADING, LEVEL, interval, p_value
from peakbench.report.scores import highest_floor
from peakbench.report.tables import neutral, percent

Summary = Mapping[str, Any]

FLOOR_WORDS = {
    "unparseable": "an answer that cannot be read",
    "all_null": "every field null",
    "majority": "always the most frequent values",
    "vocabulary": "words from the list, blindly",
}
"""The answers without a model, in words."""

FEW = 30
"""Below so many samples no interval says much."""

_ORDER = (*LEADING, "structured_match", "valued_f1", "quality_lexical")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``lead``: sentences that say how good and how sure; ``doubts``: reasons to distrust; ``trust``: where none is."""

    lead: tuple[str, ...]
    doubts: tuple[str, ...]
    trust: str = ""


def leading(metrics: Mapping[str, Summary]) -> str | None:
    """Return the metric that a run is judged by: quality, else weighted_score, else the first share there is.

    >>> leading({"bleu": {"value": 0.5}, "weighted_score": {"value": 0.4}, "quality": {"value": None}})
    'weighted_score'
    """
    scored = [name for name, one in metrics.items() if one.get("value") is not None and not one.get("unit")]
    return next((name for name in _ORDER if name in scored), scored[0] if scored else None)


def verdict(summary: Summary) -> Verdict:
    """Put a run into words.

    >>> made = verdict({"run": {"model": "m"}, "samples": {"total": 2, "answers": 2}, "metrics": {}, "fields": {}})
    >>> made.lead
    ('No number of this run can be given: nothing was scored.',)
    """
    metrics, fields = summary["metrics"], summary.get("fields") or {}
    name = leading(metrics)
    if name is None:
        lead = ["No number of this run can be given: nothing was scored."]
    else:
        lead = [*_score(summary, name, metrics[name]), *_fields(fields)]
    doubts = tuple(_doubts(summary, name))
    trust = "" if doubts or name is None else "Nothing was lost: every sample was asked, answered and read."
    return Verdict(tuple(lead), doubts, trust)


def contrast_lead(one: Contrast) -> str:
    """Put what became of the leading metric into a sentence: by how much, how sure, and whether that is clear.

    Where no metric of the comparison is a share that both runs have, it is empty.
    """
    found = {change.name: change for change in one.metrics if change.value is not None}
    name = next((name for name in _ORDER if name in found), next(iter(found), None))
    if name is None:
        return ""
    change = found[name]
    assert change.value is not None
    first, second = names(one)
    if not change.differs:
        return f"{second} and {first} have the same {neutral(name)} on every one of {_counted(change.n, 'sample')}."
    way = "higher" if change.value > 0 else "lower" if change.value < 0 else "neither higher nor lower"
    said = f"{second} scores {percent(abs(change.value))} points {way} on {neutral(name)} than {first}"
    if not change.value:
        said = f"{second} and {first} score the same on {neutral(name)}"
    sure = [f"{percent(change.second)} against {percent(change.first)} %"]
    if change.low is not None and change.high is not None:
        sure.append(f"95 % interval of the change {interval(change.low, change.high)}")
    sure.append(_counted(change.n, "sample"))
    if change.p is not None:
        sure.append(f"p {p_value(change.p)}, {p_value(change.p_holm)} after Holm's correction")
    clear = change.p_holm is not None and change.p_holm < LEVEL
    if clear:
        verdict = "better" if (change.value > 0) == change.higher_is_better else "worse"
        return f"{said} ({', '.join(sure)}): {verdict}."
    needed = f"; about {change.needed:,} samples would show a difference of this size" if change.needed else ""
    return f"{said} ({', '.join(sure)}): not clear{needed}."


def names(one: Contrast) -> tuple[str, str]:
    """Name the two runs: by their models or, where those are the same, by their folders."""
    first, second = neutral(one.first.model, limit=80), neutral(one.second.model, limit=80)
    if first == second:
        first, second = (f"{first} ({neutral(Path(run.path).name, limit=60)})" for run in (one.first, one.second))
    return first, second


def _score(summary: Summary, name: str, entry: Summary) -> Iterator[str]:
    run = summary["run"]
    value, n = entry["value"], int(entry.get("n") or 0)
    said = f"{neutral(run.get('model') or 'This model', limit=80)} scores {percent(value)} % on {neutral(name)}"
    if entry.get("low") is not None and entry.get("high") is not None:
        said += f" (95 % interval {percent(entry['low'])} to {percent(entry['high'])} %, {_counted(n, 'sample')})"
    else:
        said += f" ({_counted(n, 'sample')}, no interval)"
    found, skill = highest_floor(entry), entry.get("skill")
    if found is None:
        yield f"{said}."
        return
    answer, floor = found
    words = f"{FLOOR_WORDS.get(answer, answer)}, {percent(floor)} %"
    if skill is None:
        yield f"{said}. {_sentence(entry.get('skill_reason') or 'its skill cannot be given')} ({words})."
    elif skill <= 0:
        yield f"{said}. That is no better than the best answer without a model ({words})."
    elif entry.get("skill_low") is not None and entry["skill_low"] <= 0:
        yield f"{said}. That is not clearly better than the best answer without a model ({words})."
    else:
        ends = ""
        if entry.get("skill_low") is not None and entry.get("skill_high") is not None:
            ends = f" ({percent(entry['skill_low'])} to {percent(entry['skill_high'])} %)"
        yield (
            f"{said}. That is {percent(skill)} %{ends} of the way from the best answer without a model ({words}) "
            "to a perfect one."
        )


def _fields(fields: Mapping[str, Summary]) -> Iterator[str]:
    scored = {name: one for name, one in fields.items() if one.get("score") is not None}
    if len(scored) < 2:
        return
    worst = min(scored, key=lambda name: scored[name]["score"])
    low, best = scored[worst]["score"], max(one["score"] for one in scored.values())
    if low == best:
        yield f"All {len(scored)} fields score {percent(low)} %."
        return
    top = [neutral(name) for name, one in scored.items() if one["score"] == best]
    named = (
        top[0] if len(top) == 1 else f"{', '.join(top[:-1])} and {top[-1]}" if len(top) < 4 else f"{len(top)} fields"
    )
    yield f"The weakest field is {neutral(worst)} ({percent(low)} %); the best: {named} ({percent(best)} %)."
    mistakes = {
        (name, kind): int(one.get(kind) or 0)
        for name, one in scored.items()
        for kind in ("wrong", "invented", "omitted")
    }
    total = sum(mistakes.values())
    (name, kind), count = max(mistakes.items(), key=lambda item: item[1])
    if total >= 10 and count * 5 >= total:
        words = {"wrong": "a wrong value", "invented": "a value where there is none", "omitted": "a value left out"}
        yield f"Of {total:,} mistakes in fields, {count:,} are {words[kind]} in {neutral(name)}."


def _doubts(summary: Summary, name: str | None) -> Iterator[str]:
    samples, metrics, run = summary["samples"], summary["metrics"], summary["run"]
    answers, failed = int(samples.get("answers") or 0), int(samples.get("failed") or 0)
    entry = metrics[name] if name is not None else {}
    if run.get("profile"):
        yield (
            f"Scored under the profile {neutral(run['profile'])}, for comparison with published numbers only: answers "
            "that cannot be read count as all null."
        )
    if failed:
        both = entry.get("with_failures") or {}
        said = f"{failed:,} of {answers:,} requests failed and are not scored"
        if both.get("low") is not None and both["low"] != both["high"]:
            ends = f"{percent(both['low'])} to {percent(both['high'])} %"
            said += f"; read as the worst and as the best, {neutral(name)} is {ends}"
        yield f"{said}."
    if samples.get("unasked"):
        yield f"{_counted(int(samples['unasked']), 'request')} not sent yet: the run is not finished."
    unread = int(samples.get("unparseable") or 0) + int(samples.get("off_schema") or 0)
    if unread:
        yield f"{unread:,} of {answers:,} answers cannot be read as what was asked for; they score as the worst."
    if samples.get("truncated"):
        yield f"{_counted(int(samples['truncated']), 'answer')} cut off at the token limit."
    if samples.get("repaired"):
        yield f"{_counted(int(samples['repaired']), 'answer')} read only after a repair."
    total = int(samples.get("total") or 0)
    if 0 < total < FEW:
        yield f"Only {_counted(total, 'sample')}: small differences to other runs mean nothing."
    if entry.get("unreliable"):
        yield f"The interval of {neutral(name)} is unreliable: {neutral(entry['unreliable'])}."
    silent = _silent(metrics)
    if silent:
        yield f"{_listed(silent)} {'says' if len(silent) == 1 else 'say'} nothing here: {_floor_reason(len(silent))}."
    missing = [one for one in ("quality", "sbert_nli", "sbert") if one in metrics and metrics[one].get("value") is None]
    if missing:
        reason = neutral(metrics[missing[0]].get("reason") or "no reason given", limit=200)
        yield f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} unscored: {reason}."


def _silent(metrics: Mapping[str, Summary]) -> list[str]:
    """Metrics whose floor is the best value already: any score on them is what an answer without a model scores."""
    return [
        neutral(name)
        for name, one in metrics.items()
        if one.get("value") is not None and "floor is the best value" in (one.get("skill_reason") or "")
    ]


def _floor_reason(count: int) -> str:
    return f"an answer without a model scores the best value on {'it' if count == 1 else 'them'} too"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentence(text: str) -> str:
    shown = neutral(text, limit=200)
    return shown[:1].upper() + shown[1:]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
