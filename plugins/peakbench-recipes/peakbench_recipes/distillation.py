"""Labels from a teacher: what another model answered becomes what a student learns.

Hard labels alone (sequence-level distillation; Kim and Rush, EMNLP 2016): the teacher's answer takes the reference's
place. Several answers to one sample, the repeats of a run, vote field by field.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakbench import ConfigError, DataError, DataProblem, Sample, Task, load_run
from peakbench.answers import read_answers
from peakbench.images import load
from peakbench.parsing import parse
from peakbench.rewards import Reward
from peakbench.values import canonical, is_null

_READ = ("strict", "extracted")
_LOOKED_AT = 64


@dataclass(frozen=True)
class TeacherAnswers:
    """What the teacher said, by sample id.

    ``labels``: values in the task's order, null-like words as null. ``unread``: the text of an answer that holds no
    object, for samples without a label.
    """

    labels: Mapping[str, dict[str, Any]]
    unread: Mapping[str, str]


def read_teacher(teacher: str | Path, task: Task, nulls: frozenset[str]) -> TeacherAnswers:
    """Read a run directory or a file of answers (JSONL), and let repeats vote.

    Votes are counted by a value's canonical form (case, spaces and dashes do not matter). Of the values of the form
    that won, the first given is kept; a tie goes to the form that was given first. A missing key is a null, a key
    that the task does not ask for is left out.

    Raises:
        ConfigError: a task whose answer is text.
        DataError: the answers cannot be read, with every problem found.
    """
    if task.answer != "json":
        raise ConfigError(f"task '{task.id}' is answered with text: distillation needs fields", where="data: distil")
    path = Path(teacher)
    problems: list[DataProblem] = []
    texts: dict[str, dict[int, str]] = {}
    for item in read_answers(path / "responses.jsonl" if path.is_dir() else path):
        if isinstance(item, DataProblem):
            problems.append(item)
        elif item.response is not None and item.response.text is not None:
            texts.setdefault(item.sample_id, {})[item.repeat] = item.response.text
    if problems:
        raise DataError(f"{len(problems)} problems in the teacher's answers", problems=problems[:1000])
    labels: dict[str, dict[str, Any]] = {}
    unread: dict[str, str] = {}
    keys = frozenset(task.keys)
    for name, answers in texts.items():
        given = [answers[repeat] for repeat in sorted(answers)]
        found = [parsed.value for text in given if (parsed := parse(text, keys=keys)).state in _READ]
        ballot = [
            {key: None if is_null(value.get(key), nulls) else value.get(key) for key in task.keys}
            for value in found
            if value is not None
        ]
        if ballot:
            labels[name] = elect(ballot, task.keys)
        else:
            unread[name] = given[0]
    return TeacherAnswers(labels, unread)


def elect(ballot: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Return the values that most answers give.

    >>> elect([{"color": "red"}, {"color": "Navy"}, {"color": "navy"}], ["color"])
    {'color': 'Navy'}
    """
    elected: dict[str, Any] = {}
    for key in keys:
        forms = [canonical(answer[key]) for answer in ballot]
        (winner, _), *_ = Counter(forms).most_common(1)
        elected[key] = ballot[forms.index(winner)][key]
    return elected


def check_images(teacher: str | Path, samples: Sequence[Sample]) -> None:
    """Make sure that a run asked about the images that are to be learned, by the hashes that it wrote down.

    Drawn with another seed, samples have the same ids and other images. At most 64 samples are looked at, spread over
    the data set; a file of answers knows no images, so nothing is checked there.

    Raises:
        DataError: an image is another one.
    """
    path = Path(teacher)
    if not (path / "run.json").is_file():
        return
    asked = {record.id: record.images for record in load_run(path).samples()}
    known = [sample for sample in samples if sample.id in asked]
    chosen = known[:: max(1, -(-len(known) // _LOOKED_AT))]
    for sample in chosen:
        for source, record in zip(sample.images, asked[sample.id], strict=False):
            if record.sha256 is not None and load(source).sha256 != record.sha256:
                raise DataError(
                    f"the teacher was asked about another image of sample '{sample.id}'",
                    where=str(teacher),
                    expected="a run over the data that is to be learned: the same seed, split, level and size",
                )


def agreements(labels: Sequence[Mapping[str, Any]], references: Sequence[Mapping[str, Any]], task: Task) -> list[float]:
    """Return the share of fields that each label has as the reference has them, as the benchmark scores fields.

    A field that is null in both is agreed on.

    >>> from peakbench.builtins import open_registry
    >>> garment = open_registry().task("garment")
    >>> reference = dict.fromkeys(garment.keys) | {"type": "t-shirt", "color": "red"}
    >>> agreements([reference | {"type": "tee", "color": "blue", "size": "m"}], [reference], garment)
    [0.7777777777777778]
    """
    texts = [json.dumps(dict(label)) for label in labels]
    fields = len(task.keys)
    return [
        (fields - len(parts.fields) + sum(parts.fields.values())) / fields
        for parts in Reward(task).batch(texts, list(references))
    ]
