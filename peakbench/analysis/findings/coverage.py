"""Whose scores say something: refused ones, answers that are no JSON, floors; and what nobody measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from peakbench.analysis.findings.ranking import scored
from peakbench.analysis.findings.readings import GroupReading, unreadable, value
from peakbench.analysis.findings.statements import Finding
from peakbench.analysis.findings.wording import count, listed, metric_name, name, percent, share, some_of, within
from peakbench.analysis.leaderboard.standings import Standing


def refused(found: GroupReading) -> Iterator[Finding]:
    """Yield, for each model, the scores that cannot be."""
    for one in found.all:
        cannot = [
            f"{metric_name(metric)} of {percent(score)}" if metric != "throughput" else f"throughput of {score:g}"
            for metric, score in one.refused.items()
        ]
        if cannot:
            verb = "is outside its range and is" if len(cannot) == 1 else "are outside their ranges and are"
            rank = "; the model is not ranked" if one.rank is None else ""
            published = "" if one.published_rank is None else f", published as number {one.published_rank},"
            yield Finding(
                "refused",
                f"{found.label(one)}{published} has a {listed(cannot)}, which {verb} refused{rank}.",
                {
                    "model": one.model,
                    "where": one.path,
                    "refused": dict(one.refused),
                    "published_rank": one.published_rank,
                },
                "fact",
            )


def readable(found: GroupReading) -> Iterator[Finding]:
    """Yield how many models answer with JSON, what those that never do score, and whether quantized ones do less."""
    known = [(one, one.json_rate.value) for one in found.all if one.json_rate is not None]
    if not known:
        return
    always = [one for one, rate in known if rate >= 1]
    never = [one for one, rate in known if rate == 0]
    mostly = [rate for one, rate in known if not unreadable(one) and rate < 1]
    rarely = [rate for one, rate in known if unreadable(one) and rate > 0]
    counted = [
        (len(always), "always", ""),
        (len(mostly), "", f"in {_range(mostly)} of their answers" if mostly else ""),
        (len(rarely), "", f"in only {_range(rarely)}" if rarely else ""),
        (len(never), "never", ""),
    ]
    parts: list[str] = []
    for number, often, share_of in counted:
        if number:  # the first says what is done, the others only how often
            verb = "" if parts else "answers with JSON" if number == 1 else "answer with JSON"
            parts.append(" ".join(filter(None, [str(number), often, verb, share_of])))
    evidence: dict[str, Any] = {
        "models": len(known),
        "always": len(always),
        "mostly": mostly,
        "rarely": rarely,
        "never": [scored(one) for one in never],
    }
    sentence = (
        f"{'Both' if len(known) == 2 else f'All {len(known)}'} models always answer with JSON."
        if 1 < len(known) == len(always)
        else f"{share(known[0][1])} of the answers of {found.label(known[0][0])} are JSON."
        if len(known) == 1
        else f"Of {len(known)} models {listed(parts)}."
    )
    yield Finding("coverage", sentence, evidence, "fact")
    yield from _nothing(found, never)
    yield from _quantized([one for one, _ in known])


def _nothing(found: GroupReading, never: Sequence[Standing]) -> Iterator[Finding]:
    scores = {round(value(one), 6) for one in never if one.score is not None}
    if len(never) < 2 or len(scores) != 1:
        return
    score = scores.pop()
    unquantized = [one.model for one in never if not one.quantized]
    yield Finding(
        "coverage",
        f"The {len(never)} models that never answer with JSON all have the same {metric_name(found.board.metric)}, "
        f"{percent(score)}: it is what an answer with nothing in it scores, not a measure of the models.",
        {"score": score, "models": [scored(one) for one in never], "unquantized": unquantized},
        "fact",
    )


def _quantized(known: Sequence[Standing]) -> Iterator[Finding]:
    quantized = [one for one in known if one.quantized]
    others = [one for one in known if not one.quantized]
    lost, also = sum(map(unreadable, quantized)), sum(map(unreadable, others))
    if not lost or not others:
        return
    yield Finding(
        "coverage",
        f"Of {count(len(quantized), 'quantized model')} {lost} wrote JSON in fewer than half of their answers, "
        f"of {count(len(others), 'other')} {also or 'none'}; "
        "whether the format or something else did that is not known.",
        {
            "quantized": len(quantized),
            "quantized_unreadable": [one.model for one in quantized if unreadable(one)],
            "others": len(others),
            "others_unreadable": [one.model for one in others if unreadable(one)],
        },
        "observed",
    )


def above_floor(found: GroupReading) -> Iterator[Finding]:
    """Yield what an answer without a model scores, and which models are not above it for sure."""
    floor = found.board.floor(found.number)
    if floor is None or floor.score is None or not found.usable:
        return
    what = metric_name(found.board.metric)
    judged = [one for one in found.usable if one.skill is not None]
    certain = [one for one in judged if one.skill is not None and one.skill.low is not None and one.skill.low > 0]
    evidence = {"floor": floor.score.value, "answer": floor.model, "models": len(judged), "above": len(certain)}
    words = f"The highest floor, {name(floor.model)}, has a {what} of {percent(floor.score.value)}"
    first = found.usable[0]
    if first.skill is not None:
        evidence["best_skill"] = {"value": first.skill.value, "low": first.skill.low, "high": first.skill.high}
        words += (
            f"; {found.label(first)} makes {percent(first.skill.value)}{within(first.skill)} of what is left above it"
        )
    if judged and all(one.skill is not None and one.skill.certain for one in judged):
        below = [one for one in judged if one not in certain]
        if below:
            verb = "is" if len(below) == 1 else "are"
            words += f"; {listed([found.label(one) for one in below])} {verb} not above it for sure"
        elif len(judged) > 1:
            words += f"; {some_of(len(judged), len(judged))} models are above it"
        evidence["not_above"] = [one.model for one in below]
        yield Finding("floor", f"{words}.", evidence, "observed" if below else "shown")
        return
    yield Finding("floor", f"{words}.", evidence, "observed" if floor.flags else "fact")


def unknown(found: GroupReading) -> Iterator[Finding]:
    """Yield what a group's scores leave open: intervals, fields, speed."""
    if not found.usable:
        yield Finding(
            "open",
            "No model can be ranked: none has a score that is about the content of its answers.",
            {"models": [one.model for one in found.all]},
            "open",
        )
        return
    if found.group.rule == "values":
        n = found.group.n
        yield Finding(
            "open",
            "Which differences between models are more than chance cannot be said: the scores have no intervals"
            + (" and no number of samples." if n is None else f", only a number of samples ({n:,})."),
            {"rule": found.group.rule, "n": n},
            "open",
        )
    if not any(one.fields for one in found.usable):
        yield Finding(
            "open",
            "Which fields are hard or easy cannot be said: no scores by field are given.",
            {"fields": []},
            "open",
        )
    slow = [one for one in found.usable if one.throughput is None]
    if slow:
        yield Finding(
            "open",
            f"How fast {count(len(slow), 'model is', 'models are')} cannot be said "
            f"({listed([found.label(one) for one in slow])}): no throughput is given.",
            {"models": [one.model for one in slow]},
            "open",
        )


def _range(rates: Sequence[float]) -> str:
    low, high = min(rates), max(rates)
    return share(low) if share(low) == share(high) else f"{share(low)[:-2]} to {share(high)}"
