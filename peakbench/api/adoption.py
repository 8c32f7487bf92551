"""Answers that came from elsewhere become a run directory, as if they had been asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from peakbench.answers import read_answers
from peakbench.api.jobs import DEFAULT_TASK, run_record, spooled
from peakbench.api.options import Options
from peakbench.datasets import open_dataset
from peakbench.errors import ConfigError, DataError, DataProblem
from peakbench.records import Completion, Sample
from peakbench.registry import Registry
from peakbench.store import EndpointRecord, RunDirectory
from peakbench.tasks import Task


def adopt(registry: Registry, answers: Path, options: Options, data: Any, *, images: bool) -> RunDirectory:
    """Make a run directory of answers that came from elsewhere."""
    if data is None or options.out is None:
        raise ConfigError("answers need the data set they answer, and a place for the run", expected="--data and --out")
    task = options.task or DEFAULT_TASK
    task = task if isinstance(task, Task) else registry.task(str(task))
    dataset = open_dataset(data, readers=registry.readers)
    known = array("q", sorted(hash(sample.id) for sample in dataset if isinstance(sample, Sample)))
    with spooled(dataset, task, options, read_images=images) as (records, data_record):
        model, repeats = _check_answers(answers, known)
        run = run_record(
            task,
            data_record,
            EndpointRecord(url="", provider="answers", transport="file"),
            model=model or answers.stem,
            options=replace(options, repeats=repeats),
        )
        directory = RunDirectory.create(options.out, run, task)
        directory.write_samples(records)
    with directory.journal() as journal:
        for completion in read_answers(answers):
            if isinstance(completion, Completion):
                journal.append(completion)
    return directory


def _check_answers(answers: Path, known: array[int]) -> tuple[str | None, int]:
    """Return the model that the answers name, and how often a sample was asked; name every problem at once."""
    problems: list[DataProblem] = []
    model, repeats = None, 1
    seen = array("q")
    for item in read_answers(answers):
        if isinstance(item, DataProblem):
            problems.append(item)
            continue
        place = bisect_left(known, hash(item.sample_id))
        if place == len(known) or known[place] != hash(item.sample_id):
            problems.append(DataProblem(str(answers), f"'{item.sample_id}' is no sample of the data set"))
        if not item.attempts:  # a journal may hold a sample more than once
            seen.append(hash((item.sample_id, item.repeat)))
        model = model or (item.response.model if item.response else None)
        repeats = max(repeats, item.repeat + 1)
    hashes = np.sort(np.frombuffer(seen, dtype=np.int64)) if seen else np.empty(0, dtype=np.int64)
    if twice := set(hashes[1:][hashes[1:] == hashes[:-1]].tolist()):
        again = [item for item in read_answers(answers) if isinstance(item, Completion)]
        named = dict.fromkeys(item.sample_id for item in again if hash((item.sample_id, item.repeat)) in twice)
        problems += [DataProblem(str(answers), f"'{name}' is answered more than once") for name in named]
    if problems:
        raise DataError(
            f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in {answers}", problems=problems[:1000]
        )
    return model, repeats
