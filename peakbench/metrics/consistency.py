"""Whether repeated answers to one request agree: their cosine, the share of identical ones, the fields that flip.

A batch holds whole samples, a sample's answers one after the other; every answer of a sample has the sample's value,
so that the mean over its repeats is that value. Fewer than two answers of a sample are unscored. No reference is
needed. Failed answers are no answers: they are left out of the pairs, and counted as failed elsewhere.

An answer that cannot be read agrees with none that can; two such answers agree where their texts are the same. So a
server that gives the same broken text twice repeats itself, and one that breaks now and then does not.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

import numpy as np

from peakbench.metrics.base import Batch, Encoder, Floats, MetricInfo, MetricKind, NoParameters, Scores, Setting
from peakbench.records import Prediction
from peakbench.tasks import Task
from peakbench.values import canonical, is_null, text_form

TOO_FEW = "fewer than two answers to compare: needs --repeats 2 or more"
UNREAD = "\0unread"
"""The form of every field of an answer that cannot be read; no value has it."""

_TEXT_TASK = "the task's answer is text: it has no fields"
_NO_ENCODER = "no sentence encoder is loaded"


def answer_form(prediction: Prediction) -> str:
    """Return what makes two answers identical: the parsed value, key order aside, or the text of an unread one.

    >>> one, other = (Prediction("p", 0, "strict", value) for value in ({"a": 1, "b": "x"}, {"b": "x", "a": 1}))
    >>> answer_form(one) == answer_form(other)
    True
    """
    if prediction.read:
        return json.dumps(prediction.value, sort_keys=True)
    completion = prediction.completion
    response = completion.response if completion is not None else None
    return f"{UNREAD}{response.text if response is not None else None}"


def answer_text(prediction: Prediction, task: Task, nulls: frozenset[str]) -> str:
    """Return what is embedded of a read answer: its values in text form, in the task's order, joined by ", ".

    Null values are left out; the answer to a text task is its text form.
    """
    value = prediction.value
    if not isinstance(value, dict):
        return text_form(value)
    values = (value.get(name) for name in task.keys)
    return ", ".join(text_form(one) for one in values if not is_null(one, nulls))


def field_form(prediction: Prediction, name: str, nulls: frozenset[str]) -> str:
    """Return the form in which a field's values are compared over the repeats: what ``exact`` compares, nulls alike."""
    if not prediction.read or not isinstance(prediction.value, dict):
        return UNREAD
    value = prediction.value.get(name)
    return canonical(None if is_null(value, nulls) else value)


def equal_share(forms: Iterable[str]) -> float:
    """Return the share of equal pairs among all pairs of at least two forms.

    >>> equal_share(["a", "a", "b"])
    0.3333333333333333
    """
    counts = Counter(forms)
    n = counts.total()
    return sum(count * (count - 1) for count in counts.values()) / (n * (n - 1))


def flip_share(forms: Iterable[str]) -> float:
    """Return the share of forms that differ from the most frequent one.

    >>> flip_share(["a", "a", "b", "c"])
    0.5
    """
    counts = Counter(forms)
    return 1 - max(counts.values()) / counts.total()


def _samples(batch: Batch) -> list[list[int]]:
    """Group the rows by sample, in order."""
    rows = groupby(range(len(batch)), key=lambda row: batch.predictions[row].sample_id)
    return [list(group) for _, group in rows]


def _by_sample(batch: Batch, value: Callable[[Sequence[Prediction]], float]) -> Scores:
    """Give every row of a sample the value of its answers; samples with fewer than two are unscored."""
    values, scored = np.zeros(len(batch)), np.zeros(len(batch), dtype=np.bool_)
    for rows in _samples(batch):
        if len(rows) > 1:
            values[rows] = value([batch.predictions[row] for row in rows])
            scored[rows] = True
    return Scores(values, scored, dict.fromkeys(np.flatnonzero(~scored).tolist(), TOO_FEW))


class IdenticalShare:
    """The share of pairs of a sample's answers that are identical: the same parsed value, in every letter."""

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo) -> None:
        self.info = info

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers in [0, 1]."""
        return _by_sample(batch, lambda answers: equal_share(map(answer_form, answers)))


class FlipRate:
    """The mean over the task's fields of the share of answers whose value is not the sample's most frequent one.

    Values are compared as ``exact`` does, nulls alike; an answer that cannot be read has a value of its own.
    """

    requires: tuple[str, ...] = ()

    def __init__(self, info: MetricInfo, task: Task, nulls: frozenset[str]) -> None:
        self.info = info
        self._task = task
        self._nulls = nulls

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers in [0, 1), lower is better; a text task has no fields, and every row is unscored."""
        if self._task.answer == "text":
            return Scores.none(len(batch), _TEXT_TASK)
        return _by_sample(batch, self._rate)

    def _rate(self, answers: Sequence[Prediction]) -> float:
        shares = [flip_share(field_form(one, name, self._nulls) for one in answers) for name in self._task.keys]
        return sum(shares) / len(shares)


class Consistency:
    """The mean over pairs of a sample's answers of the cosine of their embeddings, clipped to [0, 1].

    Identical answers have 1 without being embedded; an answer that cannot be read, or has no value, has 0 with any
    that differs. Without an encoder every row is unscored with ``missing``: nothing else stands in for it.
    """

    requires: tuple[str, ...] = ()

    def __init__(
        self,
        info: MetricInfo,
        task: Task,
        nulls: frozenset[str],
        encoder: Encoder | None,
        missing: str = _NO_ENCODER,
    ) -> None:
        self.info = info
        self._task = task
        self._nulls = nulls
        self._encoder = encoder
        self._missing = missing

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers in [0, 1]."""
        samples = [Counter(self._text(batch.predictions[row]) for row in rows) for rows in _samples(batch)]
        if self._encoder is None:
            repeated = any(texts.total() > 1 for texts in samples)
            return Scores.none(len(batch), self._missing if repeated else TOO_FEW)
        differing = dict.fromkeys(text for texts in samples if len(texts) > 1 for text in texts if _has_words(text))
        vectors: dict[str, Floats] = {}
        if differing:
            encoded = self._encoder.encode(list(differing))
            vectors = dict(zip(differing, encoded.astype(np.float64), strict=True))
        values = iter([_mean_cosine(texts, vectors) for texts in samples if texts.total() > 1])
        return _by_sample(batch, lambda _: next(values))

    def _text(self, prediction: Prediction) -> str:
        return answer_text(prediction, self._task, self._nulls) if prediction.read else answer_form(prediction)


def _has_words(text: str) -> bool:
    return bool(text) and not text.startswith(UNREAD)


def _mean_cosine(texts: Counter[str], vectors: dict[str, Floats]) -> float:
    """Return the mean cosine over all pairs of at least two texts, each as often as it was answered."""
    n = texts.total()
    total = sum(count * (count - 1) / 2 for count in texts.values())
    words = [text for text in texts if text in vectors]
    if len(words) > 1:
        matrix = np.stack([vectors[text] for text in words])
        counts = np.array([texts[text] for text in words], dtype=np.float64)
        cosines = np.triu(np.clip(matrix @ matrix.T, 0.0, 1.0), 1)
        total += float(counts @ cosines @ counts)
    return total / (n * (n - 1) / 2)


def _signed(info: MetricInfo, setting: Setting, *parts: str) -> MetricInfo:
    nulls = hashlib.sha256("\n".join(sorted(setting.nulls)).encode()).hexdigest()[:8]
    return info.signed(*parts, f"nulls:{nulls}")


def _consistency(info: MetricInfo, _parameters: NoParameters, setting: Setting) -> Consistency:
    tools = setting.tools
    return Consistency(
        _signed(info, setting, f"encoder:{tools.encoder.identity if tools.encoder else 'off'}"),
        setting.task,
        setting.nulls,
        tools.encoder,
        tools.missing.get("encoder", _NO_ENCODER),
    )


def _flip_rate(info: MetricInfo, _parameters: NoParameters, setting: Setting) -> FlipRate:
    return FlipRate(_signed(info, setting), setting.task, setting.nulls)


def _identical_share(info: MetricInfo, _parameters: NoParameters, _setting: Setting) -> IdenticalShare:
    return IdenticalShare(info)


KINDS: tuple[MetricKind, ...] = (
    MetricKind(
        "consistency",
        _consistency,
        needs=frozenset({"encoder", "repeats"}),
        description="mean pairwise cosine of the embeddings of repeated answers to one request",
    ),
    MetricKind(
        "identical_share",
        _identical_share,
        needs=frozenset({"repeats"}),
        description="share of pairs of repeated answers whose parsed values are the same",
    ),
    MetricKind(
        "flip_rate",
        _flip_rate,
        needs=frozenset({"repeats"}),
        description="share of field values that differ from the most frequent one over the repeats",
    ),
)
"""What ships, in the order in which it is listed."""
