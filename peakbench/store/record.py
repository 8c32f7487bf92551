"""run.json: what was asked, of whom, with which versions."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_serializer

from peakbench.records import Sampling

FORMAT = 1
"""Version of the run directory's formats."""

_QUERY_KEPT = frozenset({"api-version"})
"""Query keys that say which API is asked; every other value may be a secret."""


def public_url(url: str) -> str:
    """Return a URL fit to be written down: no user or password, no fragment, query values masked.

    >>> public_url("https://user:pass@example.org/v1?api-version=2024-10-21&key=s3cret")
    'https://example.org/v1?api-version=2024-10-21&key=***'
    """
    parts = urlsplit(url)
    query = [(key, value if key in _QUERY_KEPT else "***") for key, value in parse_qsl(parts.query)]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(query, safe="*"), ""))


class _Record(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class TaskRecord(_Record):
    """Which task: ``sha256`` is over task.json."""

    id: str
    version: int
    sha256: str


class DataRecord(_Record):
    """Which data set. ``fingerprint`` is over its content, ``samples`` counts them, ``limit`` cut it where set."""

    name: str
    source: str
    fingerprint: str
    samples: int
    limit: int | None = None


class EndpointRecord(_Record):
    """Where the requests went. The URL is kept without credentials; keys and headers are never written."""

    url: Annotated[str, AfterValidator(public_url)]
    provider: str | None = None
    transport: str


class Session(_Record):
    """One stretch of asking. ``started_at``: Unix seconds; ``wall_s``: seconds, None where it runs or was killed."""

    started_at: float
    wall_s: float | None = None
    workers: int


def _words(text: str) -> str:
    words = " ".join(text.split())
    if not words:
        raise ValueError("empty: leave it out where it is not known")
    return words


Words = Annotated[str, AfterValidator(_words), Field(max_length=100)]


class LineageRecord(_Record):
    """Where a run's model comes from, as far as somebody said so; what is None may be read from the model's name.

    Attributes:
        family: what the model was made from, like ``Qwen3-VL``.
        parameters: its size, like ``8B`` or ``35B-A3B``.
        training: stages after the release, in order, like ``("SFT", "GRPO")``; empty: as released.
        quantization: like ``NVFP4``; ``none``: as trained.
        version: a label of one's own, like ``v9``.
        base_run: the run of the model that this one was made from, as a path from this run's folder.
    """

    family: Words | None = None
    parameters: Words | None = None
    training: tuple[Words, ...] | None = None
    quantization: Words | None = None
    version: Words | None = None
    base_run: Annotated[str, Field(min_length=1, max_length=4096)] | None = None


class RunRecord(_Record):
    """run.json: what was asked, of whom, with which versions. ``created_at`` is ISO 8601 in UTC.

    ``max_side``: images were shrunk to that many pixels, None where they were sent as found.
    ``repair`` says whether the answers are read with json-repair, ``lineage`` where the model comes from; neither
    changes what is asked.
    """

    format: Literal[1] = 1
    name: str
    created_at: str
    task: TaskRecord
    data: DataRecord
    endpoint: EndpointRecord
    model: str
    sampling: Sampling
    repeats: Annotated[int, Field(ge=1)] = 1
    prompt_version: int = 1
    max_side: int | None = None
    repair: bool = False
    workers: int
    sessions: tuple[Session, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    lineage: LineageRecord | None = None

    @field_serializer("sampling")
    def _sampling(self, sampling: Sampling) -> dict[str, Any]:
        return {name: getattr(sampling, name) for name in sampling.__dataclass_fields__}

    @property
    def structured(self) -> str:
        """How the answer's form is asked for: ``json_schema``, ``json_object`` or ``off``."""
        return self.sampling.structured

    def differences(self, other: RunRecord) -> list[str]:
        """Name everything that makes another run ask other requests: one line each, old and new value.

        The endpoint, the number of workers, time-outs and versions of software may differ.
        """
        found: list[str] = []

        def compare(name: str, old: object, new: object) -> None:
            if old != new:
                found.append(f"{name}: was {_shown(old)}, now {_shown(new)}")

        compare("task", f"{self.task.id} v{self.task.version}", f"{other.task.id} v{other.task.version}")
        if not found:
            compare(f"content of task {self.task.id}", self.task.sha256, other.task.sha256)
        compare("prompt version", self.prompt_version, other.prompt_version)
        compare("data: samples", self.data.samples, other.data.samples)
        if self.data.fingerprint != other.data.fingerprint:
            compare("data: limit", self.data.limit, other.data.limit)
            compare("data: content", self.data.fingerprint, other.data.fingerprint)
        compare("model", self.model, other.model)
        for name in self.sampling.__dataclass_fields__:
            compare(f"sampling.{name}", getattr(self.sampling, name), getattr(other.sampling, name))
        compare("repeats", self.repeats, other.repeats)
        compare("max_side", self.max_side, other.max_side)
        return found


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:16]}…"
