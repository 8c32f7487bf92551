"""The table of settings: names, types, defaults, ranges, and what each is for."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MEASURED, LINEAGE, ENDPOINT, SAMPLING, ASKING, IMAGES, SCORING, REPORTING = (
    "What is measured",
    "Where the model comes from",
    "Endpoint",
    "How the model answers",
    "Asking",
    "Images",
    "Scoring",
    "Report",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a field of RunSettings declares about itself, beside its type and default.

    ``metavar`` names the value in help. ``low``, ``high`` bound a number, inclusive. ``is_path``: a relative path in
    peakbench.toml that exists beside that file means that file. ``option``: its name on the command line where
    that is not the field's (a repeatable option is named in the singular).
    """

    help: str
    panel: str
    metavar: str | None = None
    low: float | None = None
    high: float | None = None
    is_path: bool = False
    option: str | None = None


def _setting(default: Any, help: str, panel: str, metavar: str | None = None, **more: Any) -> Any:
    return dataclasses.field(default=default, metadata={"setting": Setting(help, panel, metavar, **more)})


def _mapping(help: str, panel: str, metavar: str, **more: Any) -> Any:
    return dataclasses.field(default_factory=dict, metadata={"setting": Setting(help, panel, metavar, **more)})


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything a run can be told. ``arguments()`` gives the keywords of :func:`peakbench.run`."""

    endpoint: str | None = _setting(
        None, "base URL of an OpenAI-compatible server, or a name (see: peakbench config)", MEASURED, "URL|NAME"
    )
    model: str | None = _setting(None, "model name, as the server knows it", MEASURED, "NAME")
    data: str | None = _setting(
        None, "data set: a JSONL, CSV or Parquet file, or a folder", MEASURED, "PATH", is_path=True
    )
    task: str | None = _setting(
        None, "task: a name (see: peakbench task list) or a file", MEASURED, "NAME|FILE", is_path=True
    )
    out: str | None = _setting(None, "run directory; runs/MODEL-DATA-TIME where not given", MEASURED, "DIR")
    limit: int | None = _setting(None, "ask about the first N samples only", MEASURED, "N", low=1)

    family: str | None = _setting(None, "what the model was made from, like Qwen3-VL", LINEAGE, "NAME")
    parameters: str | None = _setting(None, "its size, like 8B or 35B-A3B", LINEAGE, "SIZE")
    training: str | None = _setting(
        None, "training stages since its release, in order, like SFT+GRPO; or none", LINEAGE, "STAGES"
    )
    quantization: str | None = _setting(None, "like NVFP4, FP8 or GPTQ-INT4; or none", LINEAGE, "FORMAT")
    model_version: str | None = _setting(None, "a label of your own, like v9", LINEAGE, "LABEL")
    base_run: str | None = _setting(
        None, "the run of the model that this one was made from", LINEAGE, "DIR", is_path=True
    )

    api_key_env: str = _setting("OPENAI_API_KEY", "environment variable that holds the key", ENDPOINT, "NAME")
    headers: Mapping[str, str] = _mapping(
        "extra header, 'Name: value'; repeatable", ENDPOINT, "HEADER", option="header"
    )
    proxy: str | None = _setting(None, "proxy for the endpoint", ENDPOINT, "URL")
    ca_file: str | None = _setting(None, "certificates to trust, PEM", ENDPOINT, "FILE", is_path=True)
    timeout: float = _setting(120.0, "seconds for one attempt", ENDPOINT, "SECONDS", low=0.001)
    connect_timeout: float = _setting(10.0, "seconds to connect", ENDPOINT, "SECONDS", low=0.001)
    transport: Literal["aiohttp", "openai"] = _setting(
        "aiohttp", "HTTP client; openai needs the extra [openai]", ENDPOINT
    )
    stream: bool = _setting(False, "stream the answers and time the first token", ENDPOINT)

    temperature: float = _setting(0.0, "sampling temperature", SAMPLING, "T", low=0.0)
    max_tokens: int = _setting(512, "longest answer, in tokens", SAMPLING, "N", low=1)
    max_completion_tokens: int | None = _setting(
        None, "the same, for servers that want it under this name", SAMPLING, "N", low=1
    )
    seed: int | None = _setting(0, "seed (repeat r gets seed + r), or 'none' to send none", SAMPLING, "N|none")
    top_p: float | None = _setting(None, "nucleus sampling", SAMPLING, "P", low=0.0, high=1.0)
    stop: tuple[str, ...] = _setting((), "stop string; repeatable", SAMPLING, "TEXT")
    structured: Literal["json_schema", "json_object", "off"] = _setting("off", "guided decoding", SAMPLING)
    extra_body: Mapping[str, Any] = _mapping("JSON object merged into every request", SAMPLING, "JSON")

    workers: int = _setting(8, "requests in flight at once", ASKING, "N", low=1)
    repeats: int = _setting(1, "ask each question N times, as separate requests", ASKING, "N", low=1)
    rate: float | None = _setting(None, "requests a second at most", ASKING, "R", low=0.001)
    retries: int = _setting(5, "attempts after the first, for what may pass", ASKING, "N", low=0)
    max_failed: int = _setting(0, "exit code 3 only above N failed requests", ASKING, "N", low=0)

    allow_outside: bool = _setting(False, "images may lie outside the data set's folder", IMAGES)
    allow_image_urls: bool = _setting(False, "images may be URLs, sent as they are", IMAGES)
    max_side: int | None = _setting(None, "shrink larger images to N pixels", IMAGES, "N", low=16)

    definitions: tuple[str, ...] = _setting((), "a file of metric definitions of your own; repeatable", SCORING, "FILE")
    metrics: tuple[str, ...] = _setting(("default",), "metric ids, comma-separated; or default; or all", SCORING, "IDS")
    slice_by: tuple[str, ...] = _setting((), "score each value of this metadata key too; repeatable", SCORING, "KEY")
    repair: bool = _setting(False, "repair near-JSON answers (counted apart)", SCORING)
    profile: Literal["published-2026"] | None = _setting(
        None, "score as published numbers did, to compare with those: what cannot be read is all null", SCORING
    )

    report: bool = _setting(True, "write report.html into the run directory at the end", REPORTING)

    def arguments(self) -> dict[str, Any]:
        """The keywords of :func:`peakbench.run` that these settings stand for; the rest is the command line's own."""
        from peakbench.records import Sampling

        limit = self.max_completion_tokens
        sampling = Sampling(
            temperature=self.temperature,
            max_tokens=self.max_tokens if limit is None else limit,
            seed=self.seed,
            top_p=self.top_p,
            stop=self.stop,
            token_limit="max_tokens" if limit is None else "max_completion_tokens",
            structured=self.structured,
            extra_body=dict(self.extra_body),
        )
        renamed = {
            "headers",
            "timeout",
            "connect_timeout",
            "metrics",
            "slice_by",
            "allow_image_urls",
            "max_failed",
            "report",
        }
        same = [name for name in RUN_KEYS if name not in renamed and name not in LINEAGE_KEYS]
        lineage = {name.removeprefix("model_"): getattr(self, name) for name in LINEAGE_KEYS}
        return {
            **{name: getattr(self, name) for name in same},
            "headers": dict(self.headers),
            "sampling": sampling,
            "timeout_s": self.timeout,
            "connect_timeout_s": self.connect_timeout,
            "metrics": metric_choice(self.metrics),
            "slices": self.slice_by,
            "allow_urls": self.allow_image_urls,
            "lineage": {name: value for name, value in lineage.items() if value is not None} or None,
        }


def metric_choice(names: tuple[str, ...]) -> str | tuple[str, ...]:
    """What the library takes: ``"default"`` or ``"all"`` alone stay a word, ids become a tuple.

    >>> metric_choice(("all",)), metric_choice(("bleu,chrf", "rouge_l"))
    ('all', ('bleu', 'chrf', 'rouge_l'))
    """
    ids = tuple(part.strip() for name in names for part in name.split(",") if part.strip())
    return ids[0] if len(ids) == 1 and ids[0] in {"default", "all"} else ids


FIELDS: dict[str, Setting] = {field.name: field.metadata["setting"] for field in dataclasses.fields(RunSettings)}
KINDS: dict[str, Any] = typing.get_type_hints(RunSettings)
SAMPLING_KEYS = tuple(name for name, setting in FIELDS.items() if setting.panel == SAMPLING)
LINEAGE_KEYS = tuple(name for name, setting in FIELDS.items() if setting.panel == LINEAGE)
RUN_KEYS = tuple(name for name in FIELDS if name not in SAMPLING_KEYS)
PROFILE_KEYS = (
    "url",
    "model",
    "max_completion_tokens",  # which name a server takes for the token limit is the server's
    *LINEAGE_KEYS,
    *(name for name, setting in FIELDS.items() if setting.panel == ENDPOINT),
    "workers",
    "rate",
    "retries",
)


def kind_of(name: str) -> tuple[Any, bool]:
    """Return a field's type without None, and whether it may be None.

    >>> kind_of("limit"), kind_of("workers")
    ((<class 'int'>, True), (<class 'int'>, False))
    """
    kind = KINDS[name]
    if typing.get_origin(kind) not in {types.UnionType, typing.Union}:
        return kind, False
    (kind,) = (part for part in typing.get_args(kind) if part is not types.NoneType)
    return kind, True


def option_name(name: str) -> str:
    """The option that sets a field.

    >>> option_name("max_tokens"), option_name("headers")
    ('--max-tokens', '--header')
    """
    return "--" + (FIELDS[name].option or name).replace("_", "-")
