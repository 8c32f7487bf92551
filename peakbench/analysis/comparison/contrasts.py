"""Runs held against a first one: what changed, how sure that is, what it costs, and which samples did it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

from peakbench.analysis.comparison.changes import Change, changes, with_holm
from peakbench.analysis.comparison.costs import cost_changes, task_costs
from peakbench.analysis.comparison.flips import Flips
from peakbench.analysis.comparison.pairing import How, Pairing, pair
from peakbench.analysis.comparison.scoretable import Origin, ScoreTable, read_scores
from peakbench.analysis.frames import frame
from peakbench.errors import ConfigError, InputError, NotComparable, nearest
from peakbench.store import RunDirectory
from peakbench.tasks import FieldCost

if TYPE_CHECKING:
    import pandas as pd

FLIPS_SHOWN = 20
"""Entries of the flip list in a comparison's JSON and on its page."""

FAMILIES = {
    "metric": "all metrics of this comparison",
    "field": "all fields of this comparison",
    "cost": "all costs of this comparison",
}
"""What Holm's correction holds for together; with several runs, over all of them."""


@dataclass(frozen=True, slots=True)
class Floors:
    """A number of both runs against what an answer without a model scores.

    ``floor``: the highest of the first run's floors, made by ``answer``; ``first`` and ``second``: each run's skill on
    its own samples. ``value``, ``low``, ``high``: the change as a change of skill, the floor held fixed; None where the
    compared samples are not those that the floor is of.
    """

    floor: float
    answer: str
    first: float | None
    second: float | None
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Contrast:
    """A run against the first one.

    ``samples``: compared; ``failed``: answers that failed among them, of either run. ``floors``: by kind and name.
    ``apart``: what differs in how the two were asked. ``flips``: None where unpaired.
    """

    first: Origin
    second: Origin
    paired: bool
    samples: int
    failed: tuple[int, int]
    metrics: tuple[Change, ...]
    fields: tuple[Change, ...]
    costs: tuple[Change, ...]
    floors: Mapping[tuple[str, str], Floors]
    flips: Flips | None
    apart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """Metrics, fields, costs."""
        return (*self.metrics, *self.fields, *self.costs)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values, with the first entries of the flip list."""

        def one(change: Change) -> dict[str, Any]:
            found = self.floors.get((change.kind, change.name))
            return {**change.as_dict(), "skill": None if found is None else asdict(found)}

        flips = self.flips
        return {
            "first": self.first.path,
            "second": self.second.path,
            "paired": self.paired,
            "samples": self.samples,
            "failed": {"first": self.failed[0], "second": self.failed[1]},
            "metrics": [one(change) for change in self.metrics],
            "fields": [one(change) for change in self.fields],
            "costs": [one(change) for change in self.costs],
            "flips": None
            if flips is None
            else {
                "better": flips.better,
                "worse": flips.worse,
                "samples": flips.samples,
                "fields": {name: {"better": up, "worse": down} for name, (up, down) in flips.by_field.items()},
                "shown": [flip.as_dict() for flip in flips.shown(FLIPS_SHOWN)],
            },
            "asked_differently": list(self.apart),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of holding runs against the first of them: one :class:`Contrast` for each of the others."""

    contrasts: tuple[Contrast, ...]
    resamples: int
    seed: int

    def __iter__(self) -> Iterator[Contrast]:
        return iter(self.contrasts)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        origins = [self.contrasts[0].first, *(one.second for one in self.contrasts)]
        return {
            "format": 1,
            "runs": [asdict(one) for one in origins],
            "resamples": {"n": self.resamples, "seed": self.seed},
            "holm": FAMILIES,
            "pairs": [one.as_dict() for one in self.contrasts],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row a number and pair: the runs, the change, and the floor and skill beside it."""
        rows = []
        for one in self.contrasts:
            for change in one.changes:
                row = {"first_run": one.first.path, "second_run": one.second.path, **change.as_dict()}
                failures = row.pop("with_failures") or {}
                row |= {f"with_failures_{end}": failures.get(end) for end in ("low", "high")}
                found = one.floors.get((change.kind, change.name))
                row |= {"floor": found.floor if found else None}
                row |= {f"skill_{side}": getattr(found, side) if found else None for side in ("first", "second")}
                row |= {f"skill_{end}": getattr(found, end) if found else None for end in ("value", "low", "high")}
                rows.append(row)
        return rows

    def to_pandas(self) -> pd.DataFrame:
        """Return :meth:`rows` as a table.

        Raises:
            MissingDependency: pandas is not installed.
        """
        return frame(self.rows())

    def _repr_html_(self) -> str:
        return "".join(_html(one) for one in self.contrasts)


def compare(
    runs: Sequence[RunDirectory | ScoreTable],
    *,
    how: How = "same",
    metrics: Sequence[str] | None = None,
    fields: Sequence[str] | None = None,
    costs: Mapping[str, FieldCost] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Hold every run against the first one.

    Args:
        runs: at least two; score tables have no answers to show, and no skill.
        how: ``same``: over the same samples, else refused; ``common``: over the samples that both have;
            ``unpaired``: over all samples of each, as independent draws.
        metrics: ids, None for all.
        fields: names, None for all.
        costs: by field, None for those of the first run's task.
        resamples: of every interval and test.
        seed: likewise.

    Raises:
        ConfigError: ``how``, ``resamples`` or ``seed`` cannot be used.
        InputError: fewer than two runs; a metric, field or costs of a field that no run has.
        NotComparable: the runs did different tasks or samples, or nothing in them can be compared; a metric that was
            asked for is not comparable.
        StoreError: a run is unfinished or damaged.
    """
    if how not in get_args(How):
        raise ConfigError(f"{how!r}", where="how", hint=nearest(how, get_args(How)))
    for what, given, least in (("resamples", resamples, 1), ("seed", seed, 0)):
        if given < least:
            raise ConfigError(f"{given}", where=what, expected=f"{least} or more")
    if len(runs) < 2:
        raise InputError("one run alone", expected="two runs or more: the others are held against the first")
    first = runs[0]
    reference = _table(first)
    if costs is None:
        costs = task_costs(first.task) if isinstance(first, RunDirectory) else {}
    made = []
    for other in runs[1:]:
        table = _table(other)
        _check_names(metrics, [*reference.metrics, *table.metrics], "metric", table)
        _check_names(fields, [*reference.fields, *table.fields], "field", table)
        pairing = pair(reference, table, how=how)
        found = changes(pairing, metrics=metrics, fields=fields, resamples=resamples, seed=seed)
        _check_comparable(found, metrics, fields, pairing)
        priced = cost_changes(pairing, costs, resamples=resamples, seed=seed) if costs else []
        made.append(_contrast(first, other, pairing, [*found, *priced], fields))
    return Comparison(_corrected(made), resamples, seed)


def _table(run: RunDirectory | ScoreTable) -> ScoreTable:
    return run if isinstance(run, ScoreTable) else read_scores(run)


def _check_names(asked: Sequence[str] | None, known: Iterable[str], what: str, table: ScoreTable) -> None:
    names = list(dict.fromkeys(known))
    for name in asked or ():
        if name not in names:
            hint = nearest(name, names)
            if what == "metric":
                hint = f"score the runs with it first: peakbench score {table.origin.path} --metrics all; {hint}"
            raise InputError(f"no {what} '{name}' in these runs", hint=hint)


def _check_comparable(
    found: Sequence[Change], metrics: Sequence[str] | None, fields: Sequence[str] | None, pairing: Pairing
) -> None:
    where = f"{pairing.first.origin.path}, {pairing.second.origin.path}"
    for one in found:
        asked = metrics if one.kind == "metric" else fields
        if asked is not None and one.reason is not None:
            (pairing.metric if one.kind == "metric" else pairing.field)(one.name)  # raises, with the next step
            raise NotComparable(f"{one.name}: {one.reason}", where=where)
    if all(one.value is None for one in found):
        raise NotComparable(
            f"nothing can be compared: {found[0].reason if found else 'nothing was scored'}", where=where
        )


def _contrast(
    first: RunDirectory | ScoreTable,
    second: RunDirectory | ScoreTable,
    pairing: Pairing,
    found: Sequence[Change],
    fields: Sequence[str] | None,
) -> Contrast:
    directories = [one if isinstance(one, RunDirectory) else None for one in (first, second)]
    notes, apart = list(pairing.notes), []
    one, two = pairing.first, pairing.second
    if one.origin.responses_sha256 == two.origin.responses_sha256:
        notes.append("both runs hold the same answers")
    if directories[0] is not None and directories[1] is not None:
        lines = directories[0].run.differences(directories[1].run)
        apart = [line for line in lines if not line.startswith("model: ")]  # that is what is compared
    flips = None
    if pairing.paired:
        flips = Flips(pairing, first=directories[0], second=directories[1], fields=fields)
    failed = tuple(
        round(float(table.failed[rows].sum()) * table.repeats)
        for table, rows in ((one, pairing.left), (two, pairing.right))
    )
    whole = pairing.paired and len(pairing.left) == len(one.ids) == len(two.ids)
    return Contrast(
        first=one.origin,
        second=two.origin,
        paired=pairing.paired,
        samples=len(pairing.left),
        failed=(failed[0], failed[1]),
        metrics=tuple(change for change in found if change.kind == "metric"),
        fields=tuple(change for change in found if change.kind == "field"),
        costs=tuple(change for change in found if change.kind == "cost"),
        floors=_floors(directories, found, whole=whole),
        flips=flips,
        apart=tuple(apart),
        notes=tuple(notes),
    )


def _corrected(made: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """Holm's correction: one family a kind, over all contrasts of the call."""
    corrected = {
        kind: iter(with_holm([change for one in made for change in one.changes if change.kind == kind]))
        for kind in FAMILIES
    }
    return tuple(
        replace(
            one,
            metrics=tuple(next(corrected["metric"]) for _ in one.metrics),
            fields=tuple(next(corrected["field"]) for _ in one.fields),
            costs=tuple(next(corrected["cost"]) for _ in one.costs),
        )
        for one in made
    )


def _floors(
    directories: Sequence[RunDirectory | None], found: Iterable[Change], *, whole: bool
) -> dict[tuple[str, str], Floors]:
    summaries = [(run.summary() if run is not None else None) or {} for run in directories]
    floors: dict[tuple[str, str], Floors] = {}
    for change in found:
        if change.kind == "cost" or change.value is None:
            continue
        one, two = (summary.get(f"{change.kind}s", {}).get(change.name) or {} for summary in summaries)
        known = {name: value for name, value in (one.get("floor") or {}).items() if value is not None}
        best = change.high_range if change.higher_is_better else change.low_range
        if not known or best is None:
            continue
        # of equal floors, that of an answer which can be read
        names = sorted(known, key=lambda name: name == "unparseable")
        answer = (max if change.higher_is_better else min)(names, key=lambda name: known[name])
        room = best - known[answer]
        made = Floors(known[answer], answer, one.get("skill"), two.get("skill"))
        if whole and abs(room) > 1e-12 and one.get("floor") == two.get("floor"):
            low, high = (None if end is None else end / room for end in (change.low, change.high))
            if room < 0:
                low, high = high, low
            made = replace(
                made,
                first=_skill(made.first, change.first, known[answer], room),
                second=_skill(made.second, change.second, known[answer], room),
                value=change.value / room,
                low=low,
                high=high,
            )
        floors[change.kind, change.name] = made
    return floors


def _skill(given: float | None, score: float | None, floor: float, room: float) -> float | None:
    """The run's own skill where its summary has one, else made from its score (fields of older runs)."""
    return given if given is not None or score is None else (score - floor) / room


def _html(one: Contrast) -> str:
    def number(value: float | None, form: str = ".3f") -> str:
        return "–" if value is None else format(value, form)

    whole = [change for change in one.changes if change.value is not None]
    # costs are amounts of money, not shares: they have no place on one line with the others
    ends = [
        abs(end) for change in whole if change.kind != "cost" for end in (change.low, change.high) if end is not None
    ]
    reach = max(ends, default=0.0)
    rows = []
    for change in whole:
        cells = [
            change.kind,
            number(change.first),
            number(change.second),
            number(change.value, "+.3f"),
            "–" if change.low is None else f"{change.low:+.3f} to {change.high:+.3f}",
            "" if change.kind == "cost" else _span(change, reach),
            number(change.p, ".4f"),
            number(change.p_holm, ".4f"),
            str(change.n),
        ]
        name = html.escape(change.name) + ("" if change.higher_is_better else " (low is good)")
        numbers = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row" style="text-align:left">{name}</th>{numbers}</tr>')
    names = ("", "kind", "first", "second", "change", "95 %", "", "p", "p (Holm)", "n")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    title = html.escape(f"{one.second.model} against {one.first.model}, {one.samples:,} samples")
    label = "" if one.paired else " (unpaired)"
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<p><b>{title}{label}</b></p><div style="max-width:100%;overflow-x:auto">{table}</div>'


def _span(change: Change, reach: float) -> str:
    """The change and its interval on a line with no change in the middle; full where it is sure (Holm)."""
    if change.value is None or change.low is None or change.high is None or not reach:
        return ""
    value, low, high = (54 + 50 * end / reach for end in (change.value, change.low, change.high))
    sure = change.p_holm is not None and change.p_holm < 0.05
    fill = "#0072b2" if sure else "none"
    return (
        f'<svg width="108" height="16" role="img" aria-label="{change.value:+.3f}">'
        '<line x1="54" x2="54" y1="1" y2="15" stroke="currentColor" stroke-opacity=".4"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="8" y2="8" stroke="#0072b2" stroke-width="2"/>'
        f'<circle cx="{value:.1f}" cy="8" r="3.5" fill="{fill}" stroke="#0072b2" stroke-width="1.5"/></svg>'
    )
