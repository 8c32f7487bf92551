"""Which fields are hardest and easiest, over all models that have scores by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any

from peakbench.analysis.findings.readings import GroupReading
from peakbench.analysis.findings.statements import Finding, Strength
from peakbench.analysis.findings.wording import listed, name, percent, some_of, within
from peakbench.analysis.leaderboard.standings import Score, Standing


def fields(found: GroupReading) -> Iterator[Finding]:
    """Yield the hardest and the easiest field, and those that are hardly above their floor."""
    models = [one for one in found.usable if one.fields]
    names = [field for field in found.board.field_names if models and all(field in one.fields for one in models)]
    if len(names) < 2:
        return
    means = {field: fmean(one.fields[field].value for one in models) for field in names}
    order = sorted(names, key=lambda field: means[field])
    floors = {field: _floor(found, field) for field in names}
    for field, end in ((order[0], "hardest"), (order[-1], "easiest")):
        yield _extreme(field, end, models, means, floors)
    idle = [field for field in names if all(_within_floor(one.fields[field], floors[field]) for one in models)]
    if idle:
        shown = [f"{name(field)} (floor {percent(floors[field] or 0.0)})" for field in idle]
        verb = "says" if len(idle) == 1 else "say"
        who = "the score is" if len(models) == 1 else f"the scores of {some_of(len(models), len(models))} models are"
        yield Finding(
            "fields",
            f"{listed(shown)} {verb} little: {who} not surely above what an answer without a model has.",
            {
                "fields": {
                    field: {"floor": floors[field], "scores": {one.path: _ends(one.fields[field]) for one in models}}
                    for field in idle
                }
            },
            "observed",
        )


def _extreme(
    field: str, end: str, models: list[Standing], means: Mapping[str, float], floors: Mapping[str, float | None]
) -> Finding:
    hardest = end == "hardest"
    agreeing = [one for one in models if _is_extreme(one.fields, field, means, hardest=hardest)]
    clear = [one for one in models if _is_clear(one.fields, field, means, hardest=hardest)]
    floor = floors[field]
    evidence: dict[str, Any] = {
        "field": field,
        "means": dict(means),
        "scores": {one.path: _ends(one.fields[field]) for one in models},
        "agreeing": len(agreeing),
        "clear": len(clear),
        "models": len(models),
        "floor": floor,
    }
    beside = "" if floor is None else f", where an answer without a model has {percent(floor)}"
    if len(models) == 1:
        score = models[0].fields[field]
        words = f"The {end} field is {name(field)}, {percent(score.value)}{within(score)}{beside}"
        if not clear:
            rivals = [one for one in means if one != field and _overlaps(models[0].fields[one], score)]
            evidence["rivals"] = rivals
            words += f"; by its interval it may as well be {listed([name(one) for one in rivals])}"
    else:
        who = some_of(len(agreeing), len(models))
        words = (
            f"The {end} field is {name(field)}, {percent(means[field])} on average over {len(models)} models{beside}"
        )
        words += f"; it is that of {who}"
        if len(clear) == len(models):
            words += ", with intervals clear of those of every other field"
    strength: Strength = "shown" if len(clear) == len(models) else "observed"
    return Finding("fields", f"{words}.", evidence, strength)


def _is_extreme(scores: Mapping[str, Score], field: str, names: Mapping[str, float], *, hardest: bool) -> bool:
    others = [scores[one].value for one in names if one != field]
    return scores[field].value <= min(others) if hardest else scores[field].value >= max(others)


def _is_clear(scores: Mapping[str, Score], field: str, names: Mapping[str, float], *, hardest: bool) -> bool:
    """Whether a field's interval has nothing in common with that of any other: stricter than a test of each pair."""
    mine, others = scores[field], [scores[one] for one in names if one != field]
    if hardest:
        return mine.high is not None and all(one.low is not None and mine.high < one.low for one in others)
    return mine.low is not None and all(one.high is not None and mine.low > one.high for one in others)


def _overlaps(one: Score, other: Score) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


def _floor(found: GroupReading, field: str) -> float | None:
    known = [one.fields[field].value for one in found.board.of(found.number, floors=True) if field in one.fields]
    return max(known, default=None)


def _within_floor(score: Score, floor: float | None) -> bool:
    return floor is not None and score.low is not None and score.low <= floor


def _ends(score: Score) -> list[float | None]:
    return [score.value, score.low, score.high]
