"""What a metric, a comparator, an encoder and an entailer are; the batch that a metric reads.

A metric reads a :class:`Batch` and returns :class:`Scores`. It never sees the journal, the screen or a model file.
Values of answers that cannot be read, and of failed ones, are settled by the scoring room, the same way for all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from peakbench.records import JSONValue, Prediction, Reference
from peakbench.tasks import Task

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

NO_REFERENCE = "the sample has no reference"
NO_FIELDS = "the reference has none of the task's fields"
"""Why a row is unscored that has nothing to be compared with."""

Need = Literal["reference", "image", "encoder", "entailer", "lexicon", "repeats", "timings"]
Family = Literal["structured", "text", "semantic", "nli", "composite", "validity", "performance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricInfo:
    """What a metric declares. ``low`` and ``high`` bound its range (None: unbounded).

    ``reduction`` says how a run's value comes from its samples: ``mean`` over samples (repeats averaged first),
    ``pooled`` sum of numerators / sum of denominators, ``rate`` a mean of zeros and ones (Wilson interval),
    ``median`` for timings, ``run`` for one number a run. ``reads_answer``: an answer that cannot be read has the
    worst value of the range. ``signature`` names everything that changes the number; different signatures are
    never compared in silence.
    """

    id: str
    title: str
    family: Family
    low: float | None
    high: float | None
    higher_is_better: bool
    signature: str
    description: str = ""
    unit: str = ""
    needs: frozenset[Need] = frozenset()
    reduction: Literal["mean", "pooled", "rate", "median", "run"] = "mean"
    reads_answer: bool = True
    has_floor: bool = True
    version: int = 1
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def signed(self, *parts: str) -> MetricInfo:
        """Return the same with more in its signature, before the null list: what a kind alone knows changes its number.

        >>> info = MetricInfo(
        ...     id="a", title="A", family="text", low=0, high=1, higher_is_better=True, signature="a|v1|null:default"
        ... )
        >>> info.signed("tok:13a").signature
        'a|v1|tok:13a|null:default'
        """
        head, mark, nulls = self.signature.partition("|null:")
        return replace(self, signature="|".join([head, *parts]) + mark + nulls)

    @property
    def worst(self) -> float | None:
        """The worst value of the range, None where that end is unbounded."""
        return self.low if self.higher_is_better else self.high

    @property
    def best(self) -> float | None:
        """The best value of the range, None where that end is unbounded."""
        return self.high if self.higher_is_better else self.low


@dataclass(slots=True)
class Scores:
    """A metric's values for one batch of n answers.

    ``values``: shape (n,), meaningless where ``scored`` is False. ``reasons``: why, by row, for unscored rows.
    ``numerators``, ``denominators``: shape (n,), present where the metric has a pooled reading (for a ``pooled``
    metric they make the value; for a ``mean`` metric they make the pooled value shown beside it). ``beside``: further
    figures by name, shape (n,), NaN where an answer has none; a run shows their sum and how many there are.
    """

    values: Floats
    scored: Bools
    reasons: dict[int, str] = field(default_factory=dict)
    numerators: Floats | None = None
    denominators: Floats | None = None
    beside: dict[str, Floats] = field(default_factory=dict)

    @classmethod
    def full(cls, values: npt.ArrayLike) -> Scores:
        """Scores with every row scored.

        >>> Scores.full([0.5, 1]).scored.tolist()
        [True, True]
        """
        array = np.asarray(values, dtype=np.float64)
        return cls(array, np.ones(array.shape, dtype=np.bool_))

    @classmethod
    def none(cls, n: int, reason: str) -> Scores:
        """N unscored rows, all for one reason."""
        return cls(np.zeros(n), np.zeros(n, dtype=np.bool_), dict.fromkeys(range(n), reason))


@dataclass(slots=True)
class Cells:
    """The fields of a batch, compared once for every metric: n answers by f fields of the task.

    ``expected`` (n, f): the reference has the field. ``present`` (n, f): the answer has the key, or the task
    declares it optional. ``outcomes`` (n, f) int8: index into ``records.OUTCOMES``, -1 where not expected.
    ``exact``, ``scores`` (n, f): field score by the exact comparator, and by the field's own; 0 where not expected.
    ``pairs`` (n, f): index into ``texts`` for fields with a value on both sides whose text form can be compared,
    -1 where one side is null, or a list or object stands where a scalar belongs (a text metric scores 0), -2 where
    neither side has a value or the field is not expected (a text metric leaves it out).
    ``texts``: unique (reference, prediction) strings, NFKC, casefolded, spaces collapsed, hyphens kept.
    """

    names: tuple[str, ...]
    weights: Floats
    expected: Bools
    present: Bools
    outcomes: npt.NDArray[np.int8]
    exact: Floats
    scores: Floats
    pairs: Ints
    texts: list[tuple[str, str]]

    def mean_over_values(self, values: Floats) -> Scores:
        """Return each row's mean over the fields that have a value on at least one side.

        ``values``: shape (len(texts),), the score of each pair. A field whose pair cannot be compared scores 0, a row
        without any value 1; a row whose reference has no field is unscored.
        """
        counted, found = self._figures(values)
        sums, counts = found.sum(axis=1), counted.sum(axis=1)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), 1.0)
        scored: Bools = np.asarray(self.expected.any(axis=1), dtype=np.bool_)
        return Scores(means, scored, dict.fromkeys(np.flatnonzero(~scored).tolist(), NO_FIELDS))

    def by_field(self, values: Floats) -> dict[str, Floats]:
        """Return each field's scores, as :meth:`mean_over_values` reads them: shape (n,), NaN where it is left out."""
        counted, found = self._figures(values)
        figures = np.where(counted, found, np.nan)
        return {name: figures[:, column] for column, name in enumerate(self.names)}

    def _figures(self, values: Floats) -> tuple[Bools, Floats]:
        counted: Bools = self.pairs != -2
        table = np.append(values, 0.0)  # index -1: a pair that cannot be compared
        return counted, np.where(counted, table[np.maximum(self.pairs, -1)], 0.0)


@dataclass(slots=True)
class Batch:
    """n answers with their references. ``cells`` is None for a text task. ``scores`` holds the metrics scored before.

    Every prediction here was answered (no failed ones); ``read`` (n,) says which can be read. For rows that cannot
    be read, ``cells`` has outcome ``unread``, scores 0, ``pairs`` -1 where the reference has a value, else -2.
    ``prompts``: each sample's own prompt, None where the task's was asked; None altogether where no sample has one.
    """

    predictions: Sequence[Prediction]
    references: Sequence[Reference]
    read: Bools
    cells: Cells | None
    scores: dict[str, Scores] = field(default_factory=dict)
    prompts: Sequence[str | None] | None = None

    def __len__(self) -> int:
        return len(self.predictions)


def serialised(value: JSONValue) -> str:
    """Return a value as a metric with ``view: "raw"`` reads it: a text as it is, anything else as JSON.

    >>> serialised({"color": "grün"}), serialised("grün")
    ('{"color": "grün"}', 'grün')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_written(prediction: Prediction) -> str:
    """Return the whole text of an answer; an answer without one, such as a floor, is serialised.

    >>> as_written(Prediction("p1", 0, "strict", {"color": None}))
    '{"color": null}'
    """
    completion = prediction.completion
    if completion is not None and completion.response is not None and completion.response.text is not None:
        return completion.response.text
    return "" if prediction.value is None else serialised(prediction.value)


@runtime_checkable
class Metric(Protocol):
    """A metric: what it declares, and its values for a batch.

    Attributes:
        info: what it declares.
        requires: ids of metrics that must be scored before, whose Scores it reads from ``batch.scores``.
    """

    @property
    def info(self) -> MetricInfo:
        """What the metric declares."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Ids of the metrics it reads from ``batch.scores``."""
        ...

    def score_batch(self, batch: Batch) -> Scores:
        """Score n answers; the rows of the result are the rows of the batch."""
        ...


class Comparator(Protocol):
    """Compares one field's two values, neither of them null.

    Attributes:
        pass_mark: a score at or above it is *correct*.
        shape: what a value must be: ``scalar`` (string, number, boolean) or ``list``; anything else is wrong.
    """

    pass_mark: float
    shape: Literal["scalar", "list"]

    def score(self, reference: JSONValue, prediction: JSONValue) -> float:
        """Return the score in [0, 1]; must not raise for any JSON value of the right shape."""
        ...


class Encoder(Protocol):
    """Turns strings into unit vectors. ``identity`` names the model and its sha256, for signatures and caches."""

    @property
    def identity(self) -> str:
        """What it is, for signatures and caches."""
        ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one unit-length row a text, shape (n, d)."""
        ...


class Entailer(Protocol):
    """Judges premise and hypothesis. ``identity`` names the model and its sha256."""

    @property
    def identity(self) -> str:
        """What it is, for signatures and caches."""
        ...

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Return the probability of contradiction for each (premise, hypothesis), shape (n,), in [0, 1]."""
        ...


class Lexicon(Protocol):
    """A dictionary of senses (WordNet). ``identity`` names it and its version."""

    @property
    def identity(self) -> str:
        """Name, version and digest, for signatures."""
        ...

    def senses(self, word: str) -> frozenset[str]:
        """Return the names of the senses of a word in any inflection, empty where the dictionary has none.

        Lower case; ``_`` stands between the words of a lemma of several ("navy_blue"). Words that share a sense are
        synonyms.
        """
        ...

    def stem(self, word: str) -> str:
        """Return the Porter stem of one lower-case word."""
        ...

    def meteor(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Return nltk's METEOR of each (reference, hypothesis), shape (n,), in [0, 1]."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """The models that metrics may use; None where they are not there, with ``missing`` saying what mends it.

    ``missing`` has the name of the tool as its key: ``encoder``, ``entailer``, ``lexicon``.
    """

    encoder: Encoder | None = None
    entailer: Entailer | None = None
    lexicon: Lexicon | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a metric is built in: the task, the null list in force, the models."""

    task: Task
    nulls: frozenset[str]
    tools: Tools


class NoParameters(BaseModel, extra="forbid", frozen=True):
    """The parameters of a kind that has none."""


@dataclass(frozen=True, slots=True)
class MetricKind:
    """A kind of metric, as a plugin offers it: its name, its parameters' model, and what builds one.

    ``build(info, parameters, setting)`` returns the metric; ``info`` carries id, title, range, direction from the
    definition file, the validated ``parameters`` are an instance of ``parameters``. ``requires(parameters)``: ids of
    every metric that a composite can read, so that an unknown part or a cycle is found when the file is read.
    """

    name: str
    build: Callable[[MetricInfo, Any, Setting], Metric]
    parameters: type[BaseModel] = NoParameters
    needs: frozenset[Need] = frozenset()
    description: str = ""
    requires: Callable[[Any], Iterable[str]] | None = None


@dataclass(frozen=True, slots=True)
class ComparatorKind:
    """A kind of comparator, as a plugin offers it; ``build(parameters, tools)`` returns one."""

    name: str
    build: Callable[[Any, Tools], Comparator]
    parameters: type[BaseModel] = NoParameters
    description: str = ""
