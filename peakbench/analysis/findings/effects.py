"""What quantization cost and training added: sentences over pairs of models that nothing else is known to tell apart.

Of one pair between two runs the paired difference speaks, with its interval. Over three pairs or more the mean has
Student's interval, pairs being what is drawn; where they are of fewer than three models they are too little independent
for it to show anything in general. All else is worded as what was seen in so many pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any

from peakbench.analysis.comparison.changes import Change
from peakbench.analysis.findings.research import RELEASED, added_stages
from peakbench.analysis.findings.statements import Finding, Kind, Strength
from peakbench.analysis.findings.wording import (
    count,
    interval,
    labels,
    listed,
    metric_name,
    name,
    percent,
    points,
    some_of,
    spread,
)
from peakbench.analysis.lineage.names import fold
from peakbench.analysis.lineage.pairs import Finding as PairFinding
from peakbench.analysis.lineage.pairs import Pairs, mean_interval
from peakbench.statistics import LEVEL

ENOUGH_MODELS = 3
"""Models, told apart by family and size, from which on an interval over pairs may show something in general."""

_ASIDE = (
    ("not one answer of", "not one answer could be read"),
    ("only one is named", "their names differ in other words"),
    ("only ", "most answers could not be read"),
    ("versions differ", "the versions differ"),
    ("variants differ", "one is a base and one an instruct model"),
    ("families differ", "the families differ"),
    ("sizes differ", "the sizes differ"),
    ("as near a base", "another base would have done as well"),
)


@dataclass(slots=True)
class Group:
    """Pairs in which the same was added.

    ``clean``: with their change. ``aside``: flagged, or without a number. ``labels``: what models are called, by place.
    """

    clean: list[tuple[PairFinding, Change]] = field(default_factory=list)
    aside: list[PairFinding] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)

    def add(self, one: PairFinding, metric: str) -> None:
        """Sort a pair in."""
        change = next((held.change for held in one.metrics if held.change.name == metric), None)
        if change is None or change.value is None or not one.pair.clean:
            self.aside.append(one)
        else:
            self.clean.append((one, change))

    @property
    def values(self) -> list[float]:
        """The change of every clean pair, a fraction."""
        return [change.value for _, change in self.clean if change.value is not None]

    @property
    def models(self) -> int:
        """Families and sizes among the clean pairs."""
        lineages = [one.base.lineage for one, _ in self.clean]
        return len({(fold(lineage.family or ""), lineage.parameters) for lineage in lineages})


def quantization(pairs: Pairs, metric: str) -> Iterator[Finding]:
    """Yield what quantization cost: over all pairs, and by format where there are several with two pairs or more."""
    formats: dict[str, Group] = {}
    called = labels((one.where, one.name) for one in pairs.candidates)
    every = Group(labels=called)
    for one in pairs:
        if one.pair.kind == "quantization":
            every.add(one, metric)
            formats.setdefault(one.other.lineage.quantization, Group(labels=called)).add(one, metric)
    if not every.clean and not every.aside:
        return
    several = len([one for one in formats.values() if one.clean]) > 1
    subject = "Quantization" if several or not every.clean else next(form for form in formats if formats[form].clean)
    yield _sentence("quantization", subject, every, metric)
    for form, group in formats.items() if several else ():
        if len(group.clean) > 1:
            yield _sentence("quantization", form, group, metric)
    for form, group in formats.items():
        yield from _most_changed(form, group)
    known = dict.fromkeys(one.lineage.quantization for one in pairs.candidates if one.lineage.quantized)
    missing = [form for form in known if form not in formats or not formats[form].clean]
    if missing and every.clean:
        yield Finding(
            "open",
            f"What {listed(map(name, missing))} {'costs' if len(missing) == 1 else 'cost'} cannot be said: no "
            "model of which most answers could be read has it beside its original.",
            {"formats": missing, "measured": [form for form, group in formats.items() if group.clean]},
            "open",
        )


def training(pairs: Pairs, metric: str) -> Iterator[Finding]:
    """Yield what each chain of stages added to models of one stage, most pairs first, and what no pair isolates."""
    groups: dict[tuple[tuple[str, ...], str], Group] = {}
    called = labels((one.where, one.name) for one in pairs.candidates)
    for one in pairs:
        if one.pair.kind == "training":
            key = (one.base.lineage.training, added_stages(one))
            groups.setdefault(key, Group(labels=called)).add(one, metric)
    for (before, added), group in sorted(groups.items(), key=lambda item: -len(item[1].clean)):
        subject = f"{added} after {'+'.join(before)}" if before else f"{added} on models {RELEASED}"
        yield _sentence("training", subject, group, metric)
        yield from _most_changed(subject, group)
    stages = dict.fromkeys(stage for one in pairs.candidates for stage in one.lineage.training)
    alone = {added for (_, added), group in groups.items() if group.clean}
    missing = [stage for stage in stages if stage not in alone]
    if missing and groups:
        yield Finding(
            "open",
            f"What {listed(map(name, missing))} {'does' if len(missing) == 1 else 'do'} alone cannot be said: "
            f"no pair of models differs in {'it' if len(missing) == 1 else 'one of them'} only.",
            {"stages": missing, "measured": sorted(alone)},
            "open",
        )


def _sentence(kind: Kind, subject: str, group: Group, metric: str) -> Finding:
    values = group.values
    what = metric_name(metric)
    evidence: dict[str, Any] = {
        "metric": metric,
        "pairs": [_pair(one, change) for one, change in group.clean],
        "set_aside": [_aside(one) for one in group.aside],
    }
    subject = name(subject)
    if not values:
        sentence = f"{subject}: its effect on the {what} cannot be said. {_left(group.aside, first=True)}."
        return Finding("open", sentence, evidence, "open")
    left = _by_name(group) + (f" {_left(group.aside)}." if group.aside else "")
    if len(values) == 1:
        words, strength = _single(*group.clean[0], group.labels)
        return Finding(kind, f"{subject}: {words}{left}", evidence, strength)
    mean, half = mean_interval(values)
    low, high = (None, None) if half is None else (mean - half, mean + half)
    evidence |= {"mean": mean, "median": median(values), "low": low, "high": high, "models": group.models}
    up, down = sum(round(one, 9) > 0 for one in values), sum(round(one, 9) < 0 for one in values)
    evidence |= {"higher": up, "lower": down, "same": len(values) - up - down}
    where = f"{count(len(values), 'pair')} of {count(group.models, 'model')}"
    direction = f"{_direction(up, down, len(values))} ({spread(values)})"
    words = f"{subject}: the {what} {direction}, on average by {points(mean)} points"
    clear = low is not None and high is not None and bool(half) and (low > 0 or high < 0)
    if low is None or high is None:
        words += f"; {where} are too few to say more."
    elif clear and group.models >= ENOUGH_MODELS:
        words += f", {interval(low, high)} over {where}."
    elif clear:
        words += f", {interval(low, high)}; but {where} are too few to speak of others."
    elif not half:
        words += f"; {where} that change by the same are no sample of others."
    else:
        words += f"; over {where} the {interval(low, high)} holds 0, so an effect in general is not shown."
    single = [one for one, change in group.clean if _certain(change)]
    if any(change.low is not None for _, change in group.clean):
        evidence["certain"] = len(single)
        words += f" Sample by sample, {_of_all(len(single), len(values))} beyond chance."
    return Finding(kind, words + left, evidence, "shown" if clear and group.models >= ENOUGH_MODELS else "observed")


def _most_changed(subject: str, group: Group) -> Iterator[Finding]:
    """Yield the field whose score changed most on average; a table of scores has no fields."""
    tables = [{change.name: change for change in one.fields if change.value is not None} for one, _ in group.clean]
    fields = [one for one in tables[0] if all(one in table for table in tables)] if tables else []
    if len(fields) < 2:
        return
    means = {one: fmean(table[one].value or 0.0 for table in tables) for one in fields}
    most = max(fields, key=lambda one: abs(means[one]))
    if round(means[most], 9) == 0:
        return
    of = [table[most] for table in tables]
    certain = sum(_certain(change) and (change.value or 0.0) * means[most] > 0 for change in of)
    where = "in one pair" if len(of) == 1 else f"on average over {len(of)} pairs"
    if len(of) == 1:
        sure = "beyond chance" if certain else "not beyond chance"
    else:
        sure = "beyond chance in " + ("all" if certain == len(of) else f"{certain or 'none'} of them")
    yield Finding(
        "fields",
        f"{name(subject)} changes {name(most)} by {points(means[most])} points {where}, "
        f"the most of {len(fields)} fields; {sure}.",
        {
            "field": most,
            "fields": len(fields),
            "means": means,
            "pairs": [_pair(one, change) for (one, _), change in zip(group.clean, of, strict=True)],
            "certain": certain,
        },
        "shown" if certain == len(of) else "observed",
    )


def _of_all(some: int, number: int) -> str:
    if some == number:
        return f"{some_of(number, number)} changes are"
    return f"{some or 'none'} of the {number} changes {'is' if some <= 1 else 'are'}"


def _by_name(group: Group) -> str:
    inferred = sum(one.pair.inferred for one, _ in group.clean)
    if not inferred:
        return ""
    if inferred == len(group.clean):
        return " The pair is known from names only." if inferred == 1 else " The pairs are known from names only."
    return (
        f" {inferred} of the pairs is known from names only."
        if inferred == 1
        else (f" {inferred} of the pairs are known from names only.")
    )


def _direction(up: int, down: int, number: int) -> str:
    if number in (up, down):
        return f"is {'higher' if up else 'lower'} in {some_of(number, number)} pairs"
    same = number - up - down
    parts = [f"higher in {up}"] * bool(up) + [f"lower in {down}"] * bool(down) + [f"the same in {same}"] * bool(same)
    return f"is {listed(parts)} of {number} pairs"


def _single(one: PairFinding, change: Change, called: Mapping[str, str]) -> tuple[str, Strength]:
    assert change.value is not None
    assert change.first is not None
    assert change.second is not None
    base, other = called[one.base.where], called[one.other.where]
    models = f"from {percent(change.first)} ({base}) to {percent(change.second)} ({other})"
    words = f"one pair, {models}: {points(change.value)} points"
    if change.low is None or change.high is None:
        return f"{words}; without samples there is no interval, and one pair is no rule.", "observed"
    words += f", {interval(change.low, change.high)}"
    if _certain(change):
        return f"{words}, for this model.", "shown"
    if change.low <= 0 <= change.high:
        return f"{words}, which holds 0: no effect is shown.", "observed"
    return f"{words}, but {change.unreliable or 'not once corrected for the number of pairs'}.", "observed"


def _certain(change: Change) -> bool:
    """Whether a paired difference is beyond chance, also once corrected for the number of pairs."""
    if change.low is None or change.high is None or change.unreliable:
        return False
    return (change.low > 0 or change.high < 0) and (change.p_holm is None or change.p_holm < 1 - LEVEL)


def _left(aside: Sequence[PairFinding], *, first: bool = False) -> str:
    """Say how many pairs are set aside, and why."""
    reasons: Counter[str] = Counter()
    for one in aside:
        words = [next((short for start, short in _ASIDE if flag.startswith(start)), flag) for flag in one.pair.flags]
        reasons.update(list(dict.fromkeys(words or [one.reason or "a score is missing or impossible"])))
    more = "" if first else " more"
    subject = f"{len(aside)}{more} {'pair is' if len(aside) == 1 else 'pairs are'} set aside"
    if len(aside) == 1:
        return f"{subject}: {listed(reasons)}"
    every = [why for why, number in reasons.items() if number == len(aside)]
    parts = [f"in {some_of(len(aside), len(aside))} {listed(every)}"] if every else []
    parts += [f"in {number} {why}" for why, number in reasons.most_common() if why not in every]
    return f"{subject}: {', '.join(parts[:3])}"


def _pair(one: PairFinding, change: Change) -> dict[str, Any]:
    kept = ("first", "second", "value", "low", "high", "n", "p_holm")
    return {
        "model": one.other.name,
        "base": one.base.name,
        **{key: getattr(change, key) for key in kept},
        "inferred": one.pair.inferred,
    }


def _aside(one: PairFinding) -> dict[str, Any]:
    return {"model": one.other.name, "base": one.base.name, "flags": list(one.pair.flags), "reason": one.reason}
