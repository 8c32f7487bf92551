"""Who is best, whether anybody is beside it, and how families stand, also where size and training are the same."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from peakbench.analysis.findings.readings import GroupReading, by_name, value
from peakbench.analysis.findings.statements import Finding, Strength
from peakbench.analysis.findings.wording import count, distance, interval, listed, metric_name, name, percent, within
from peakbench.analysis.leaderboard.standings import Standing, Told


def best(found: GroupReading) -> Iterator[Finding]:
    """Yield who has the best score, and whether it is alone at the top."""
    ranked = found.usable
    if not ranked:
        return
    first, *others = ranked
    what = metric_name(found.board.metric)
    evidence: dict[str, Any] = {
        "metric": found.board.metric,
        "rule": found.group.rule,
        "n": first.n,
        "best": scored(first),
        "ranked": len(ranked),
        "comparisons": len(found.comparisons),
    }
    words = f"{found.label(first)} has the best {what}, {percent(value(first))}{within(first.score)}"
    if not others:
        yield Finding(
            "best", f"{found.label(first)} is the only model with a {what}: {percent(value(first))}.", evidence, "fact"
        )
        return
    second = others[0]
    if found.group.rule == "values":
        yield _by_value(found, words, evidence)
        return
    tied = [one for one in others if not found.apart(first, one)]
    told = found.told(first, second)
    evidence |= {"tied": [scored(one) for one in tied], "next": scored(second), "difference": difference(told)}
    if tied:
        reason = (
            "no paired difference to them is beyond chance"
            if found.group.rule == "paired"
            else "their intervals overlap with its own"
        )
        names = listed([found.label(one) for one in tied])
        sentence = f"{words}, but is not alone at the top: {names} cannot be told apart from it ({reason})."
        yield Finding("best", sentence, evidence, "observed")
        return
    if told is not None and told.low is not None and told.high is not None:
        ahead = (-told.high, -told.low) if found.board.higher_is_better else (told.low, told.high)
        number = len(found.comparisons)
        corrected = f"; p corrected over all {number} comparisons" if number > 1 else ""
        reason = (
            f"over the same {told.n:,} samples it is {distance(told.value)} points ahead of {found.label(second)}, "
            f"the next ({interval(*ahead)}{corrected})"
        )
    else:
        reason = f"its interval lies clear of that of {found.label(second)}, the next ({percent(value(second))})"
    yield Finding("best", f"{words}, and is alone at the top: {reason}.", evidence, "shown")


def _by_value(found: GroupReading, words: str, evidence: dict[str, Any]) -> Finding:
    """Scores without samples: an order, and nothing about how sure it is."""
    first, *others = found.usable
    equal = [one for one in others if round(found.gain(first, one), 9) == 0]
    rest = [one for one in others if one not in equal]
    if equal:
        words += f", together with {listed([found.label(one) for one in equal])}"
    if rest:
        after = [one for one in rest if round(found.gain(rest[0], one), 9) == 0]
        gap = found.gain(first, rest[0])
        names = listed([found.label(one) for one in after])
        evidence |= {"next": [scored(one) for one in after], "ahead": gap}
        words += f", {distance(gap)} points ahead of {names} ({percent(value(rest[0]))})"
    evidence["equal"] = [scored(one) for one in equal]
    return Finding(
        "best",
        f"{words}; without samples nobody can say whether {'they are' if equal else 'it is'} truly ahead.",
        evidence,
        "observed",
    )


def families(found: GroupReading) -> Iterator[Finding]:
    """Yield the best of each family, and the families side by side where size, training and format are the same."""
    members: dict[str, list[Standing]] = {}
    unplaced = []
    for one in found.usable:
        family = found.families[id(one)]
        if family is None:
            unplaced.append(one)
        else:
            members.setdefault(family, []).append(one)
    if len(members) < 2:
        return
    what = metric_name(found.board.metric)
    rows = [
        {
            "family": family,
            "best": scored(of[0]),
            "median": median([value(one) for one in of]),
            "models": len(of),
        }
        for family, of in members.items()
    ]
    shown = [f"{name(family)} {percent(value(of[0]))} ({count(len(of), 'model')})" for family, of in members.items()]
    left = (
        f"; {count(len(unplaced), 'model is', 'models are')} left out, whose family is not known for sure"
        if unplaced
        else ""
    )
    yield Finding(
        "family",
        f"By the best {what} of each family: {listed(shown, most=6)}; they differ in sizes, training and numbers of "
        f"models, so this is no ranking of families as such{left}.",
        {"metric": found.board.metric, "families": rows, "unplaced": [one.model for one in unplaced]},
        "observed",
    )
    for cell in _alike(found, members):
        yield _side_by_side(found, cell, next(iter(members)))


def _alike(found: GroupReading, members: dict[str, list[Standing]]) -> list[dict[str, Standing]]:
    """The best of each family for every size, training and format that several families have, most families first."""
    cells: dict[tuple[object, ...], dict[str, Standing]] = {}
    for family, of in members.items():
        for one in of:
            if one.parameters is not None:
                cells.setdefault((one.parameters, one.training, one.quantization), {}).setdefault(family, one)
    several = [cell for cell in cells.values() if len(cell) > 1]
    return sorted(several, key=lambda cell: -len(cell))[:3]


def _side_by_side(found: GroupReading, cell: dict[str, Standing], leading: str) -> Finding:
    order = sorted(cell.items(), key=lambda item: -found.gain(item[1], next(iter(cell.values()))))
    (winner, first), (second, next_one) = order[:2]
    how = "+".join(first.training) or "as released"
    form = f", {first.quantization}" if first.quantized else ""
    shown = [f"{name(family)} {percent(value(one))}" for family, one in order]
    words = f"Of one size and training ({name(first.parameters or '')} {name(how + form)}): {listed(shown, most=6)}"
    told = found.told(first, next_one)
    strength: Strength = "shown" if found.apart(first, next_one) else "observed"
    if told is not None:
        apart = "are told apart" if told.apart else "cannot be told apart"
        words += f"; {name(winner)} and {name(second)} {apart} over the same samples"
    elif strength == "shown":
        words += f"; the intervals of {name(winner)} and {name(second)} lie apart"
    if winner != leading and leading in cell:
        words += f"; yet the best model of all is a {name(leading)}"
    variants = {one.lineage.variant for _, one in order if one.lineage is not None} - {None}
    if len(variants) > 1:
        words += "; by their names some are base and some instruct models"
    words += by_name(one for _, one in order)
    return Finding(
        "family",
        f"{words}.",
        {
            "metric": found.board.metric,
            "parameters": first.parameters,
            "training": list(first.training),
            "quantization": first.quantization,
            "models": [{"family": family, **scored(one)} for family, one in order],
            "difference": difference(told),
        },
        strength,
    )


def scored(one: Standing) -> dict[str, Any]:
    """A standing as evidence."""
    score = one.score
    return {
        "model": one.model,
        "score": None if score is None else score.value,
        "low": None if score is None else score.low,
        "high": None if score is None else score.high,
        "where": one.path,
    }


def difference(told: Told | None) -> dict[str, Any] | None:
    """A paired comparison as evidence: the worse one minus the better one."""
    if told is None:
        return None
    return {key: getattr(told, key) for key in ("value", "low", "high", "p", "p_holm", "n", "apart")}
