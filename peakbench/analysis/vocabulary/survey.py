"""A run's answers, field by field, held against a closed vocabulary.

Two passes over the samples, neither of which holds them: the first counts the references, whose values are the
vocabulary where the task names none; the second reads the answers and counts pairs. Whether an answer is right is what
scoring says (the same cells), so the diagonal of a matrix is the field's number of correct answers.

Memory is bounded (see ``words`` and ``tabulation``), and a note says where a bound was met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import islice

import numpy as np

from peakbench.analysis.vocabulary.confusion import Confusion
from peakbench.analysis.vocabulary.synonyms import NEAR, open_similarity
from peakbench.analysis.vocabulary.tabulation import LEFT_OUT, FieldPairs
from peakbench.errors import ConfigError, InputError, nearest
from peakbench.metrics.base import Floats, Tools
from peakbench.metrics.cells import CellBuilder
from peakbench.parsing import read
from peakbench.records import Completion, JSONValue, Prediction, Reference
from peakbench.registry import Registry
from peakbench.statistics import Columns, Ratio, wilson
from peakbench.store import JournalIndex, RunDirectory
from peakbench.tasks import Task

BATCH = 512
_WIDTH = 4


def without_values(task: Task) -> dict[str, str]:
    """Return the fields of a task that have no single values to count, with the reason."""
    reason = "its values are objects: there is no vocabulary to hold them against"
    return {
        name: reason for name, spec in task.fields.items() if spec.type == "object" or spec.comparator.kind == "objects"
    }


def confusions(
    run: RunDirectory,
    registry: Registry,
    tools: Tools,
    *,
    fields: Sequence[str] | None = None,
    near: float = NEAR,
    resamples: int = 10_000,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Confusion]:
    """Return what a run's fields were taken for, by field, in the task's order.

    Args:
        run: the run; it may be unfinished or unscored.
        registry: what builds the comparators of its task.
        tools: the encoder judges how near an unknown word is; without one, spelling does, and a note says so.
        fields: which; None: all that have single values.
        near: similarity from which an unknown word may be proposed as a synonym, in [0, 1].
        resamples: bootstrap resamples of the intervals.
        seed: of the resamples.
        on_progress: called with the number of samples read so far, after each batch.

    Raises:
        ConfigError: ``near`` is no similarity.
        InputError: the task's answer is text; an unknown field, or one that has no single values.
        StoreError: the run cannot be read.
    """
    if not 0 <= near <= 1:  # not a number fails too
        raise ConfigError(f"{near:g}", where="near", expected="a similarity from 0 to 1")
    task = run.task
    names = _chosen(task, fields, str(run.path))
    comparators, nulls = registry.comparators(task, tools), registry.nulls_of(task)
    pairs = [FieldPairs(name, task.fields[name], comparators[name], nulls) for name in names]
    for sample in run.samples():
        for one in pairs:
            if isinstance(sample.reference, Mapping) and one.name in sample.reference:
                one.survey(sample.reference[one.name])
    for one in pairs:
        one.settle()
    with closing(run.index()) as index:
        answers = _Answers(run, index, pairs, CellBuilder(_part(task, names), comparators, nulls))
        rows = Columns(_WIDTH * len(names))
        samples = iter(run.samples())
        while batch := [(one.id, one.reference) for one in islice(samples, BATCH)]:
            rows.add(answers.count(batch))
            if on_progress is not None:
                on_progress(rows.n)
    estimator = rows.close(resamples=resamples, seed=seed)
    similarity = open_similarity(tools)
    once = run.run.repeats == 1
    found = {}
    for at, one in enumerate(pairs):
        column = _WIDTH * at
        # Tags of one answer are not independent, and neither are repeats: their rates are resampled by sample.
        trials = once and not one.tags
        rate = wilson(one.outside, one.valued) if trials else estimator.estimate(Ratio(column, column + 1))
        found[one.name] = one.confusion(
            spec=task.fields[one.name],
            similarity=similarity,
            near=near,
            rate=rate,
            micro_f1=estimator.estimate(Ratio(column + 2, column + 3)),
            once=once,
            tally=answers.tally,
        )
    return found


def _chosen(task: Task, fields: Sequence[str] | None, where: str) -> list[str]:
    if task.answer == "text":
        raise InputError("the task's answer is text: it has no fields", where=where, expected="a run of a JSON task")
    unfit = without_values(task)
    for name in fields or ():
        if name not in task.fields:
            raise InputError(f"no field '{name}'", where=where, hint=nearest(name, task.fields))
        if name in unfit:
            raise InputError(f"field '{name}': {unfit[name]}", where=where)
    names = [name for name in task.fields if name not in unfit and (fields is None or name in fields)]
    if not names:
        raise InputError("no field of the task has single values", where=where)
    return names


def _part(task: Task, names: Sequence[str]) -> Task:
    """Return the task with some of its fields; their weights do not matter here, and all 0 is no task."""
    fields = {name: task.fields[name].model_copy(update={"weight": 1.0}) for name in names}
    return Task(id=task.id, prompt=task.prompt, fields=fields)


class _Answers:
    """The second pass: reads the answers of a run, batch by batch, and counts them."""

    def __init__(
        self, run: RunDirectory, index: JournalIndex, pairs: Sequence[FieldPairs], builder: CellBuilder
    ) -> None:
        summary = run.summary()
        # as it was last scored, which may differ from how it was asked for
        self._repair = run.run.repair if summary is None else bool(summary["run"].get("repair", run.run.repair))
        self._task = run.task
        self._repeats = run.run.repeats
        self._index = index
        self._pairs = pairs
        self._builder = builder
        self.tally: Counter[str] = Counter()

    def count(self, batch: Sequence[tuple[str, Reference]]) -> Floats:
        """Count a batch of samples; return one row a sample, four columns a field, repeats averaged."""
        predictions: list[Prediction] = []
        references: list[Mapping[str, JSONValue]] = []
        lengths = []
        for sample_id, reference in batch:
            answered = self._answered(sample_id)
            predictions += answered
            references += [reference if isinstance(reference, Mapping) else {}] * len(answered)
            lengths.append(len(answered))
        table = np.zeros((len(predictions), _WIDTH * len(self._pairs)))
        if predictions:
            readable = np.array([one.read for one in predictions], dtype=np.bool_)
            outcomes = self._builder.build(predictions, references, readable).outcomes
            for at, one in enumerate(self._pairs):
                rows = self._field(one, predictions, references, outcomes[:, at].tolist())
                table[:, _WIDTH * at : _WIDTH * (at + 1)] = rows
        sums = np.zeros((len(lengths), table.shape[1]))
        np.add.at(sums, np.repeat(np.arange(len(lengths)), lengths), table)
        means: Floats = sums / np.maximum(np.array(lengths, dtype=np.float64), 1.0)[:, None]
        return means

    def _answered(self, sample_id: str) -> list[Prediction]:
        found = [self._index.get(sample_id, repeat) for repeat in range(self._repeats)]
        read_ones = [self._read(one) for one in found if one is not None]
        answered = [one for one in read_ones if one.state != "failed"]
        self.tally["unasked"] += self._repeats - len(read_ones)
        self.tally["failed"] += len(read_ones) - len(answered)
        self.tally["answers"] += len(answered)
        self.tally["unread"] += sum(not one.read for one in answered)
        return answered

    def _read(self, completion: Completion) -> Prediction:
        return read(completion, keys=self._task.keys, answer=self._task.answer, repair=self._repair)

    @staticmethod
    def _field(
        pairs: FieldPairs,
        predictions: Sequence[Prediction],
        references: Sequence[Mapping[str, JSONValue]],
        outcomes: Sequence[int],
    ) -> list[tuple[int, int, int, int]]:
        rows = []
        for prediction, reference, outcome in zip(predictions, references, outcomes, strict=True):
            value = prediction.value.get(pairs.name) if isinstance(prediction.value, dict) else None
            if outcome == LEFT_OUT and not prediction.read:
                rows.append((0, 0, 0, 0))
            else:
                rows.append(pairs.add(reference.get(pairs.name), value, outcome))
        return rows
