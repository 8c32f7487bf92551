"""Do repeated answers agree, within a run and between two? Is it the server's concurrency?

A server that batches requests may answer the same request differently beside other requests: sums of floating-point
numbers in another order. So the same requests are asked at 1 and at N workers, each run with repeats, and three shares
of identical answers are compared: within the one run, within the other, and between the two. Only requests that are the
same in both runs are compared between them: the same sample and repeat (a repeat has a seed of its own).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from peakbench.errors import StoreError
from peakbench.metrics.consistency import answer_form, equal_share, field_form, flip_share
from peakbench.parsing import read
from peakbench.records import Prediction
from peakbench.store import JournalIndex, RunDirectory
from peakbench.tasks import Task

STANDARD_ERRORS = 2.0
"""How many standard errors a mean difference over samples must exceed to be called one."""


@dataclass(slots=True)
class Mean:
    """A running mean over samples, with its standard error; ``value`` is None while there is none."""

    n: int = 0
    _sum: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """Add one sample's value."""
        self.n += 1
        self._sum += value
        self._squares += value * value

    @property
    def value(self) -> float | None:
        """The mean."""
        return self._sum / self.n if self.n else None

    @property
    def error(self) -> float | None:
        """Its standard error, None below two samples."""
        if self.n < 2:
            return None
        variance = max(0.0, self._squares - self._sum * self._sum / self.n) / (self.n - 1)
        return math.sqrt(variance / self.n)


@dataclass(slots=True)
class Within:
    """One run's answers among themselves.

    ``identical``: share of identical pairs of a sample's answers, mean over samples with at least two. ``flips``: by
    field, the share of answers whose value is not the sample's most frequent one. ``workers``: of each session.
    """

    path: str
    workers: tuple[int, ...]
    repeats: int
    answers: int = 0
    failed: int = 0
    unread: int = 0
    identical: Mean = field(default_factory=Mean)
    flips: dict[str, Mean] = field(default_factory=dict)


@dataclass(slots=True)
class Between:
    """The answers of two runs to the same requests.

    ``identical``: share of requests answered identically in both, mean over samples. ``differs``: by field, the share
    of requests whose values differ. ``excess``: first run's identical share within, less the share between, over the
    samples that have both: above 0, the two runs agree less with each other than the first with itself.
    """

    requests: int = 0
    identical: Mean = field(default_factory=Mean)
    differs: dict[str, Mean] = field(default_factory=dict)
    excess: Mean = field(default_factory=Mean)


@dataclass(slots=True)
class Agreement:
    """What came of one run, or of two and between them; ``verdict`` says it in words."""

    runs: tuple[Within, ...]
    between: Between | None
    sampled: bool
    verdict: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""

        def mean(one: Mean) -> dict[str, Any]:
            return {"value": one.value, "standard_error": one.error, "samples": one.n}

        runs = [
            {
                "path": one.path,
                "workers": list(one.workers),
                "repeats": one.repeats,
                "answers": one.answers,
                "failed": one.failed,
                "unread": one.unread,
                "identical_share": mean(one.identical),
                "flip_rate": {name: mean(flips) for name, flips in one.flips.items()},
            }
            for one in self.runs
        ]
        between = self.between and {
            "requests": self.between.requests,
            "identical_share": mean(self.between.identical),
            "differs": {name: mean(share) for name, share in self.between.differs.items()},
            "excess": mean(self.between.excess),
        }
        return {"runs": runs, "between": between, "sampled": self.sampled, "verdict": list(self.verdict)}


def agreement(runs: Sequence[RunDirectory], nulls: frozenset[str]) -> Agreement:
    """Compare the answers of one run with each other, or those of two runs with each other too.

    Args:
        runs: one or two; the first of two is the one at fewer workers.
        nulls: the folded null list of their task.

    Raises:
        StoreError: the two runs did not ask the same requests (task, data, model, sampling), or cannot be read.
        ValueError: neither one nor two runs.
    """
    if len(runs) not in (1, 2):
        raise ValueError(f"{len(runs)} runs; expected one or two")
    if len(runs) == 2:
        _check_same(*runs)
    task = runs[0].task
    within = tuple(_within(run, task) for run in runs)
    between = Between(differs={name: Mean() for name in task.keys}) if len(runs) == 2 else None
    indexes = [run.index() for run in runs]
    with closing(indexes[0]), closing(indexes[-1]):
        for sample in runs[0].samples():
            answers = [
                _answers(run, index, sample.id, task, one)
                for run, index, one in zip(runs, indexes, within, strict=True)
            ]
            for one, found in zip(within, answers, strict=True):
                _add_within(one, list(found.values()), nulls)
            if between is not None:
                _add_between(between, answers[0], answers[1], nulls)
    sampled = runs[0].run.sampling.temperature > 0
    return Agreement(within, between, sampled, tuple(_verdict(within, between, sampled)))


def _check_same(first: RunDirectory, second: RunDirectory) -> None:
    """Raise where the requests differ; another number of repeats is no other request."""
    other = second.run.model_copy(update={"repeats": first.run.repeats})
    found = first.run.differences(other)
    if found:
        raise StoreError(
            f"the two runs did not ask the same requests: {'; '.join(found)}",
            where=f"{first.path} and {second.path}",
            expected="the same task, data, model and sampling, at another number of workers",
        )


def _within(run: RunDirectory, task: Task) -> Within:
    workers = tuple(dict.fromkeys(session.workers for session in run.run.sessions)) or (run.run.workers,)
    return Within(str(run.path), workers, run.run.repeats, flips={name: Mean() for name in task.keys})


def _answers(
    run: RunDirectory, index: JournalIndex, sample_id: str, task: Task, counts: Within
) -> dict[int, Prediction]:
    """Read a sample's answers by repeat, without the failed ones, and count them."""
    found = {}
    for repeat in range(run.run.repeats):
        completion = index.get(sample_id, repeat)
        if completion is None:
            continue
        prediction = read(completion, keys=task.keys, answer=task.answer, repair=run.run.repair)
        if prediction.state == "failed":
            counts.failed += 1
        else:
            found[repeat] = prediction
            counts.answers += 1
            counts.unread += not prediction.read
    return found


def _add_within(counts: Within, answers: Sequence[Prediction], nulls: frozenset[str]) -> None:
    if len(answers) > 1:
        counts.identical.add(equal_share(map(answer_form, answers)))
        for name, flips in counts.flips.items():
            flips.add(flip_share(field_form(one, name, nulls) for one in answers))


def _add_between(
    counts: Between, first: dict[int, Prediction], second: dict[int, Prediction], nulls: frozenset[str]
) -> None:
    pairs = [(first[repeat], second[repeat]) for repeat in first if repeat in second]
    if not pairs:
        return
    same = Counter(answer_form(one) == answer_form(other) for one, other in pairs)[True] / len(pairs)
    counts.requests += len(pairs)
    counts.identical.add(same)
    for name, differs in counts.differs.items():
        differs.add(
            sum(field_form(one, name, nulls) != field_form(other, name, nulls) for one, other in pairs) / len(pairs)
        )
    if len(first) > 1:
        counts.excess.add(equal_share(map(answer_form, first.values())) - same)


def _verdict(within: Sequence[Within], between: Between | None, sampled: bool) -> list[str]:
    """Say in words what the shares say, and what they do not."""
    if between is None:
        return _alone(within[0])
    first, second = within
    at, beside = _workers(first), _workers(second)
    lines = []
    if between.identical.value is None:
        return ["No request was answered in both runs: there is nothing to compare."]
    if between.identical.value == 1 and all(one.identical.value in (1, None) for one in within):
        lines.append("Every answer is the same, within the runs and between them: nothing here depends on concurrency.")
    elif first.identical.value is None:
        lines.append(
            f"{_percent(1 - between.identical.value)} of the requests are answered differently at {at} and at {beside}."
            f" Whether two runs at {at} would differ as much cannot be said: ask both with --repeats 2 or more."
        )
    else:
        lines.append(_compared(between, at, beside))
    if first.workers == second.workers:
        lines.append("Both runs had the same number of workers: what differs between them is not concurrency.")
    if sampled:
        lines.append("The temperature is above 0, and each repeat has a seed of its own: repeats differ by intention.")
    return lines + _left_out(within)


def _left_out(within: Sequence[Within]) -> list[str]:
    """Say what the shares do not count, or count in another way."""
    failed, unread = sum(one.failed for one in within), sum(one.unread for one in within)
    lines = [f"{failed:,} failed answers are left out."] if failed else []
    if unread:
        answers = sum(one.answers for one in within)
        lines.append(f"{unread:,} of {answers:,} answers cannot be read: they are identical where their texts are.")
    return lines


def _compared(between: Between, at: str, beside: str) -> str:
    excess, error = between.excess.value, between.excess.error
    assert excess is not None
    if error is None:
        return "One sample was answered often enough: too few for a verdict."
    if excess > STANDARD_ERRORS * error and excess > 0:
        return (
            f"Answers at {at} agree with each other more than with those at {beside}, by {_percent(excess)} of the "
            f"pairs (standard error {_percent(error)}): that points to the server's concurrency."
        )
    if excess < -STANDARD_ERRORS * error:
        return (
            f"Answers at {at} agree with each other less than with those at {beside}: what makes repeats differ "
            "(a seed of their own) is not concurrency."
        )
    return (
        f"Answers at {at} differ from each other as much as from those at {beside}: no sign of the server's "
        "concurrency. What differs, differs at the same number of workers too."
    )


def _alone(run: Within) -> list[str]:
    share = run.identical.value
    if share is None:
        return ["No sample has two answers: ask with --repeats 2 or more."]
    if share == 1:
        return [f"Every repeat at {_workers(run)} has the same answer.", *_left_out([run])]
    return [
        f"{_percent(1 - share)} of the pairs of repeats differ at {_workers(run)}. Is it the server's concurrency? Ask "
        "the same at another number of workers, and compare the two runs.",
        *_left_out([run]),
    ]


def _workers(run: Within) -> str:
    numbers = " and ".join(map(str, run.workers))
    return f"{numbers} worker{'' if run.workers == (1,) else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 or share == 0 else "< 0.1 %"
