"""The settings of a run: the keywords that the library takes, and the same with every default filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict

from peakbench.analysis.lineage.models import lineage_record
from peakbench.errors import ConfigError, nearest
from peakbench.metrics.base import Encoder, Entailer, Lexicon
from peakbench.records import Sampling
from peakbench.runner import Event
from peakbench.scoring import PROFILES, Profile
from peakbench.tasks import Task

MetricChoice = Literal["default", "all"] | Sequence[str]
"""``default``, ``all``, or ids of metrics."""


class RunOptions(TypedDict, total=False):
    """The keywords of :func:`run`, :func:`arun` and :func:`plan`.

    Attributes:
        task: a task's name, a path to a task file, or a Task. Default: the endpoint's own, else ``garment``.
        endpoint: a base URL, or the name of an endpoint plugin. Default: ``reader``, the small model
            inside the package, over drawn garments.
        model: the model's name as the server knows it.
        out: the run directory. Default: ``runs/<model>-<data>-<time>``.
        resume: go on with the run in ``out``: ask only what has no answer yet.
        lineage: where the model comes from, as far as its name does not say: any of ``family``, ``parameters``,
            ``training`` ("SFT+GRPO", or a list), ``quantization``, ``version``, ``base_run``.
        limit: ask about the first ``limit`` samples only.
        workers: requests in flight at once, >= 1.
        repeats: how often each sample is asked, each time as a request of its own with ``seed + repeat``.
        sampling: temperature, token limit, seed, guided decoding and the rest.
        transport: ``aiohttp`` or ``openai`` (the SDK).
        stream: stream the answers and time the first token.
        api_key: the key itself; ``api_key_env`` names the variable that holds it (default ``OPENAI_API_KEY``).
        headers, proxy, ca_file: extra request headers, an HTTP proxy, a PEM file of authorities.
        timeout_s, connect_timeout_s: seconds for one attempt, and for its connection.
        retries: attempts after the first. ``rate``: requests a second at most.
        definitions: files with metric definitions of your own, in the format of peakbench_metrics.json.
        metrics: ``default``, ``all``, or ids. ``slices``: metadata keys to score apart.
        repair: read near-JSON with json-repair; such answers are counted as repaired, never as valid JSON.
        profile: ``published-2026`` reads what cannot be read as all null; for comparison with published numbers only.
        allow_outside: images may lie outside the folder of the data set. ``allow_urls``: images may be URLs.
        max_side: shrink images whose longer side exceeds it, pixels. Default: the bytes sent are the bytes found.
        encoder, entailer, lexicon: models for the metrics that need one. Default: those whose weights are here.
        resamples: bootstrap resamples for the intervals. ``seed``: of those resamples.
        on_event: called in the event loop's thread with each event of the runner.
    """

    task: str | Path | Task | None
    endpoint: str | None
    model: str | None
    out: str | Path | None
    resume: bool
    lineage: Mapping[str, Any] | None
    limit: int | None
    workers: int
    repeats: int
    sampling: Sampling
    transport: Literal["aiohttp", "openai"]
    stream: bool
    api_key: str | None
    api_key_env: str
    headers: Mapping[str, str]
    proxy: str | None
    ca_file: str | None
    timeout_s: float
    connect_timeout_s: float
    retries: int
    rate: float | None
    definitions: Sequence[str | Path]
    metrics: MetricChoice
    slices: Sequence[str]
    repair: bool
    profile: Profile | None
    allow_outside: bool
    allow_urls: bool
    max_side: int | None
    encoder: Encoder | None
    entailer: Entailer | None
    lexicon: Lexicon | None
    resamples: int
    seed: int
    on_event: Callable[[Event], None] | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """RunOptions with every default filled in."""

    task: str | Path | Task | None = None
    endpoint: str | None = None
    model: str | None = None
    out: str | Path | None = None
    resume: bool = False
    lineage: Mapping[str, Any] | None = None
    limit: int | None = None
    workers: int = 8
    repeats: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    transport: Literal["aiohttp", "openai"] = "aiohttp"
    stream: bool = False
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str = "OPENAI_API_KEY"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxy: str | None = None
    ca_file: str | None = None
    timeout_s: float = 120.0
    connect_timeout_s: float = 10.0
    retries: int = 5
    rate: float | None = None
    definitions: Sequence[str | Path] = ()
    metrics: MetricChoice = "default"
    slices: Sequence[str] = ()
    repair: bool = False
    profile: Profile | None = None
    allow_outside: bool = False
    allow_urls: bool = False
    max_side: int | None = None
    encoder: Encoder | None = None
    entailer: Entailer | None = None
    lexicon: Lexicon | None = None
    resamples: int = 10_000
    seed: int = 0
    on_event: Callable[[Event], None] | None = None

    def __post_init__(self) -> None:
        for name, low in (("workers", 1), ("repeats", 1), ("retries", 0), ("resamples", 1)):
            if getattr(self, name) < low:
                raise ConfigError(f"{name} = {getattr(self, name)}", expected=f"{low} or more")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit = {self.limit}", expected="1 or more")
        check_profile(self.profile)
        lineage_record(self.lineage)


def check_profile(profile: str | None) -> None:
    """Raise a ConfigError where there is no such profile."""
    if profile is not None and profile not in PROFILES:
        raise ConfigError(f"profile = {profile!r}", expected=" or ".join(map(repr, [*PROFILES, None])))


def options_of(given: RunOptions) -> Options:
    """Fill in the defaults.

    Raises:
        TypeError: a keyword that there is none of, with the nearest.
        ConfigError: a value that cannot be used.
    """
    known = Options.__dataclass_fields__
    for name in given:
        if name not in known:
            raise TypeError(f"unexpected keyword argument '{name}'; {nearest(name, known)}")
    return Options(**given)
