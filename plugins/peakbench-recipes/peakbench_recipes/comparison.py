"""The stages of one run or several, held against each other by PeakBench: what each added, paired, with intervals.

Runs of one recipe that differ in the seed alone are taken together: every sample's scores are averaged over the seeds
before the paired difference is made, so that interval speaks of other samples. What another training would have given
is a second interval, over the seeds' own differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import peakbench as pb
from peakbench.errors import ConfigError, NotComparable, StoreError, nearest
from peakbench.report.comparison import interval, p_value, points
from peakbench.report.tables import Lines, Table, percent
from peakbench.statistics.intervals import student

from peakbench_recipes.configuration import START
from peakbench_recipes.folder import RunFolder
from peakbench_recipes.running import parent_of

SHOWN = ("reward", "weighted_score", "quality", "quality_lexical", "all_correct", "json_parse_rate")
"""Metrics of the table of stages, as far as the runs have them."""

LEADING = ("reward", "weighted_score")
"""The differences are said in the first of these that the runs have, besides ``all_correct``."""


@dataclass(frozen=True, slots=True)
class StageScores:
    """A stage over the seeds. ``values``: a metric's mean over the seeds; ``each``: of every folder, in their order."""

    recipe: str
    stage: str
    seeds: tuple[int, ...]
    samples: int
    values: Mapping[str, float]
    each: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Step:
    """From one stage to another. ``changes``: by metric, over the samples. ``each``: every seed's own difference."""

    recipe: str
    first: str
    second: str
    changes: Mapping[str, pb.Change]
    each: Mapping[str, tuple[float, ...]]

    def trainings(self, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of a difference over other trainings, the samples kept; None with fewer than two seeds."""
        return over_trainings(self.each[metric])


@dataclass(frozen=True, slots=True)
class StageComparison:
    """What came of it."""

    stages: tuple[StageScores, ...]
    steps: tuple[Step, ...]
    resamples: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "format": 1,
            "resamples": self.resamples,
            "stages": [
                {
                    "recipe": one.recipe,
                    "stage": one.stage,
                    "seeds": list(one.seeds),
                    "samples": one.samples,
                    "metrics": {
                        name: {"mean": value, "each": list(one.each[name])} for name, value in one.values.items()
                    },
                }
                for one in self.stages
            ],
            "steps": [
                {
                    "recipe": one.recipe,
                    "first": one.first,
                    "second": one.second,
                    "metrics": {
                        name: {**change.as_dict(), "each": list(one.each[name]), "trainings": one.trainings(name)}
                        for name, change in one.changes.items()
                    },
                }
                for one in self.steps
            ],
        }


def compare_folders(
    folders: Sequence[RunFolder], *, metrics: Sequence[str] | None = None, resamples: int = 2000
) -> StageComparison:
    """Hold the stages of runs against each other.

    Args:
        folders: runs of recipes; those of one recipe are its seeds.
        metrics: ids; None for those of ``SHOWN`` that the runs have.
        resamples: of every interval.

    Returns:
        each recipe's stages; the step from the stage that each starts from, and from its siblings; and, with more than
        one recipe, from the first recipe's last stage to the last one of the others.

    Raises:
        ConfigError: a metric that none has.
        StoreError: nothing is measured, or seeds of one recipe are not measured alike.
        NotComparable: different samples.
    """
    groups: dict[str, list[RunFolder]] = {}
    for folder in folders:
        groups.setdefault(folder.recipe.name, []).append(folder)
    tables = {name: _tables(group) for name, group in groups.items()}
    if not any(tables.values()):
        raise StoreError("no stage is measured", where=", ".join(str(one.path) for one in folders))
    known = {name for group in tables.values() for runs in group.values() for table in runs for name in table.metrics}
    for name in metrics or ():
        if name not in known:
            raise ConfigError(f"no metric '{name}' in these runs", where="--metrics", hint=nearest(name, known))
    wanted = [name for name in metrics or SHOWN if name in known]
    stages = [
        _scores(name, stage, groups[name], runs, wanted)
        for name, group in tables.items()
        for stage, runs in group.items()
    ]
    steps = [
        _step(name, (first, second), tables[name][first], tables[name][second], metrics=wanted, resamples=resamples)
        for name, group in groups.items()
        for first, second in _pairs(group[0], tables[name])
    ]
    ends = [(name, list(group)[-1]) for name, group in tables.items() if group]
    for name, stage in ends[1:]:
        first = ends[0]
        runs = tables[first[0]][first[1]], tables[name][stage]
        label = f"{first[0]}: {first[1]}"
        steps.append(_step(name, (label, stage), *runs, metrics=wanted, resamples=resamples))
    return StageComparison(tuple(stages), tuple(steps), resamples)


def over_trainings(differences: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the mean of the seeds' differences: Student's t.

    As ``scipy.stats.ttest_1samp``. Ends stay within -1 to 1, where differences of shares lie. A few seeds give a wide
    interval, as they should: what two trainings agree on may be luck (Bouthillier and others, "Accounting for variance
    in machine learning benchmarks", MLSys 2021).

    >>> [round(end, 3) for end in over_trainings([0.01, 0.03, 0.02])]
    [-0.005, 0.045]
    >>> over_trainings([0.01]) is None
    True
    """
    count = len(differences)
    if count < 2:
        return None
    each = np.array(differences)
    mean = float(each.mean())
    half = student((each.sum() - each) / (count - 1), count)
    return max(-1.0, mean - half), min(1.0, mean + half)


def comparison_page(found: StageComparison) -> list[Table | Lines]:
    """The tables for people."""
    recipes = {one.recipe for one in found.stages}

    def label(recipe: str, stage: str) -> str:
        return f"{recipe}: {stage}" if len(recipes) > 1 else stage

    names = [name for name in _ordered(found) if any(name in one.values for one in found.stages)]
    rows = [
        [
            label(one.recipe, one.stage),
            str(len(one.seeds)),
            f"{one.samples:,}",
            *(percent(one.values.get(name)) for name in names),
        ]
        for one in found.stages
    ]
    blocks: list[Table | Lines] = [
        Table(["stage", "seeds", "samples", *names], rows, "Stages, % (mean over the seeds)")
    ]
    seeds = any(len(one.seeds) > 1 for one in found.stages)
    for name in names:
        changed = [(one, one.changes[name]) for one in found.steps if name in one.changes]
        if changed and (name in _leading(names) or name == "all_correct"):
            rows = [
                [
                    f"{one.first} to {label(one.recipe, one.second)}",
                    points(change.value),
                    interval(change.low, change.high),
                    p_value(change.p),
                    *([interval(*(one.trainings(name) or (None, None)))] if seeds else []),
                    " ".join(points(value) for value in one.each[name]),
                ]
                for one, change in changed
            ]
            title = f"{name}: difference in points, paired over {changed[0][1].n:,} samples"
            over = ["over samples, 95 %", "p", "over trainings, 95 %"] if seeds else ["95 %", "p"]
            blocks.append(Table(["step", "change", *over, "each seed"], rows, title))
    return blocks


def _leading(names: Sequence[str]) -> list[str]:
    return [next((name for name in LEADING if name in names), names[0])] if names else []


def _ordered(found: StageComparison) -> list[str]:
    return list(dict.fromkeys(name for one in found.stages for name in one.values))


def _tables(group: Sequence[RunFolder]) -> dict[str, list[pb.ScoreTable]]:
    """The scores of every stage that all folders of a recipe have measured."""
    from peakbench.analysis.comparison.scoretable import read_scores

    first = group[0]
    for other in group[1:]:
        if [stage.name for stage in other.recipe.stages] != [stage.name for stage in first.recipe.stages]:
            raise NotComparable(
                "the recipe has other stages", where=str(other.path), expected=f"those of {first.path}, or another name"
            )
    names = [START, *(stage.name for stage in first.recipe.stages)]
    return {
        name: [read_scores(pb.load_run(one.stage(name).evaluation).directory) for one in group]
        for name in names
        if all(one.stage(name).evaluated for one in group)
    }


def _pairs(folder: RunFolder, tables: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Stages that are held against each other: parent and child, then siblings."""
    recipe = folder.recipe
    parents = {stage.name: parent_of(recipe, stage) or START for stage in recipe.stages}
    for name, parent in parents.items():
        if name in tables and parent in tables:
            yield parent, name
    measured = [name for name in parents if name in tables]
    for place, name in enumerate(measured):
        for other in measured[place + 1 :]:
            if parents[other] == parents[name]:
                yield name, other


def _scores(
    recipe: str, stage: str, group: Sequence[RunFolder], runs: Sequence[pb.ScoreTable], wanted: Sequence[str]
) -> StageScores:
    each = {
        name: tuple(_value(run, name) for run in runs)
        for name in wanted
        if all(name in run.metrics and run.metrics[name].problem is None for run in runs)
    }
    seeds = tuple(one.recipe.seed for one in group)
    values = {name: float(np.mean(found)) for name, found in each.items()}
    return StageScores(recipe, stage, seeds, len(runs[0].ids), values, each)


def _value(run: pb.ScoreTable, name: str) -> float:
    columns = run.metrics[name]
    return float(columns.above.sum() / columns.below.sum())


def _step(
    recipe: str,
    stages: tuple[str, str],
    before: Sequence[pb.ScoreTable],
    after: Sequence[pb.ScoreTable],
    *,
    metrics: Sequence[str],
    resamples: int,
) -> Step:
    pair = _averaged(before), _averaged(after)
    names = [name for name in metrics if all(name in one.metrics for one in pair)]
    (contrast,) = pb.compare(*pair, metrics=names, fields=[], resamples=resamples)
    changes = {change.name: change for change in contrast.metrics if change.value is not None}
    each: dict[str, tuple[float, ...]] = {}
    for name in changes:
        alike = len(before) == len(after)
        each[name] = (
            tuple(_value(b, name) - _value(a, name) for a, b in zip(before, after, strict=True)) if alike else ()
        )
    return Step(recipe, *stages, changes, each)


def _averaged(runs: Sequence[pb.ScoreTable]) -> pb.ScoreTable:
    """One table of the seeds' mean, sample by sample.

    Raises:
        NotComparable: the runs have other samples, or scored them in another way.
    """
    first = runs[0]
    if len(runs) == 1:
        return first
    for other in runs[1:]:
        if (other.ids, other.references) != (first.ids, first.references):
            raise NotComparable(
                "the seeds were measured over different samples", where=Path(other.origin.path).as_posix()
            )
    metrics = {}
    for name, columns in first.metrics.items():
        every = [run.metrics[name] for run in runs if name in run.metrics]
        if len(every) == len(runs) and {one.signature for one in every} == {columns.signature}:
            metrics[name] = replace(
                columns,
                above=np.mean([one.above for one in every], axis=0),
                below=np.mean([one.below for one in every], axis=0),
                binary=False,
            )
    failed = np.mean([run.failed for run in runs], axis=0)
    repeats = sum(run.repeats for run in runs)
    digest = "+".join(run.origin.responses_sha256 for run in runs)
    return replace(
        first,
        origin=replace(first.origin, responses_sha256=digest),
        failed=failed,
        repeats=repeats,
        metrics=metrics,
        fields={},
    )
