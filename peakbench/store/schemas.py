"""summary.json as a type, and the JSON Schemas of everything in a run directory; they ship in ``peakbench/schemas``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter
from typing_extensions import NotRequired, TypedDict  # noqa: UP035 - pydantic reads no other before Python 3.12

from peakbench.store.baseline import Baseline
from peakbench.store.formats import ResponseLine, SampleLine, ScoreLine
from peakbench.store.record import RunRecord

FOLDER = Path(__file__).parent.parent / "schemas"


class Counts(TypedDict):
    """``total`` counts samples; everything else counts answers (sample x repeat)."""

    total: int
    answers: int
    failed: int
    strict: int
    extracted: int
    repaired: int
    unparseable: int
    off_schema: int
    truncated: int
    text: NotRequired[int]
    unasked: NotRequired[int]
    refused: NotRequired[int]
    duplicate_keys: NotRequired[int]
    extra_keys: NotRequired[int]
    failures: NotRequired[dict[str, int]]


class Bracket(TypedDict):
    """A metric's value with the failed answers read as the lowest and as the highest of its range."""

    low: float | None
    high: float | None


class Beside(TypedDict):
    """A figure that stands beside a metric's values: its ``sum`` over the ``n`` answers that have it."""

    sum: float
    n: int


class MetricEntry(TypedDict):
    """A metric's value with its 95 % interval (``low``, ``high``), or null with the reason.

    ``n``: samples scored. ``floor``: what answers without a model score. ``skill``: (value - highest floor) / (best -
    highest floor), with its own interval. Values with different signatures are not comparable. ``unreliable``: why the
    interval is not to be relied on. ``pooled``: sum over sum, where the number of fields differs between samples.
    ``beside``: further figures over single answers, such as ``exact_but_contradicted`` beside quality.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str
    n: int
    unscored: int
    reason: str | None
    signature: str
    floor: dict[str, float | None]
    skill: float | None
    skill_low: NotRequired[float | None]
    skill_high: NotRequired[float | None]
    skill_reason: NotRequired[str | None]
    unreliable: NotRequired[str | None]
    pooled: NotRequired[float]
    beside: NotRequired[dict[str, Beside]]
    with_failures: NotRequired[Bracket]
    title: NotRequired[str]
    unit: NotRequired[str]
    reduction: NotRequired[str]
    range: NotRequired[list[float | None]]
    higher_is_better: NotRequired[bool]


class FieldEntry(TypedDict):
    """A field's mean score with its interval, floors and skill as for metrics, and the outcomes of all its answers.

    ``n``: samples whose reference has the field and that have an answer. ``weight`` and ``signature`` stand in the
    run's entry, not again in a slice's.
    """

    score: float | None
    low: float | None
    high: float | None
    n: int
    correct: int
    correct_null: int
    wrong: int
    invented: int
    omitted: int
    unread: int
    weight: NotRequired[float]
    signature: NotRequired[str | None]
    method: NotRequired[str]
    floor: NotRequired[dict[str, float | None]]
    skill: NotRequired[float | None]
    skill_low: NotRequired[float | None]
    skill_high: NotRequired[float | None]
    skill_reason: NotRequired[str | None]
    with_failures: NotRequired[Bracket]
    reason: NotRequired[str | None]
    unreliable: NotRequired[str | None]


class SliceMetric(TypedDict):
    """A metric over the samples of a slice; what it declares stands in the run's entry.

    ``floor``: what the run's own constant answers score on the samples of the slice.
    """

    value: float | None
    low: float | None
    high: float | None
    n: NotRequired[int]
    method: NotRequired[str]
    unscored: NotRequired[int]
    reason: NotRequired[str | None]
    unreliable: NotRequired[str | None]
    floor: NotRequired[dict[str, float | None]]
    skill: NotRequired[float | None]
    skill_low: NotRequired[float | None]
    skill_high: NotRequired[float | None]
    skill_reason: NotRequired[str | None]
    with_failures: NotRequired[Bracket]


class SliceEntry(TypedDict):
    """The samples that share one value of a metadata key.

    ``n``: samples with an answer. ``answers``, ``failed``: requests that ended, and those of them without an answer.
    """

    n: int
    answers: NotRequired[int]
    failed: NotRequired[int]
    metrics: dict[str, SliceMetric]
    fields: NotRequired[dict[str, FieldEntry]]


class Resamples(TypedDict):
    """How the intervals were drawn: ``n`` bootstrap resamples from ``seed``."""

    n: int
    seed: int


class Percentiles(TypedDict):
    """Seconds, over ``n`` answers."""

    p50: float | None
    p90: float | None
    p99: float | None
    n: NotRequired[int]


class Performance(TypedDict):
    """``wall_s``: seconds of asking, over all sessions. ``samples_per_s``: answers a second, at ``workers`` workers."""

    workers: int | None
    wall_s: float | None
    samples_per_s: float | None
    latency_s: Percentiles
    ttft_s: NotRequired[Percentiles]
    tokens: dict[str, float | int | None]


class Summary(TypedDict):
    """summary.json: the numbers of a run; a run directory without it is unfinished."""

    format: Literal[1]
    run: dict[str, Any]
    samples: Counts
    metrics: dict[str, MetricEntry]
    fields: dict[str, FieldEntry]
    slices: dict[str, dict[str, SliceEntry]]
    performance: Performance
    resamples: NotRequired[Resamples]
    notes: NotRequired[list[str]]


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of the files that PeakBench writes, by file name. Those of .jsonl files are of one line.

    >>> sorted(schemas())[:3]
    ['baseline.schema.json', 'responses.schema.json', 'run.schema.json']
    """
    types: dict[str, Any] = {
        "run": RunRecord,
        "samples": SampleLine,
        "responses": ResponseLine,
        "scores": ScoreLine,
        "summary": Summary,
        "baseline": Baseline,
    }
    return {
        f"{name}.schema.json": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **TypeAdapter(kind).json_schema(mode="validation"),
        }
        for name, kind in types.items()
    }


def write_schemas(folder: Path = FOLDER) -> None:
    """Write the JSON Schemas of the files that PeakBench writes."""
    for name, schema in schemas().items():
        (folder / name).write_bytes(orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
