"""What the template of a run's page shows, section by section, made from its summary and its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peakbench.analysis.lineage.models import lineage_of
from peakbench.report.html.figures import Spans, Stack, Stacks, parts, score_spans
from peakbench.report.html.page import plain_values
from peakbench.report.html.source import ReportSource
from peakbench.report.html.writing import leading
from peakbench.report.scores import slice_tables
from peakbench.report.summary import summary_page
from peakbench.report.tables import Lines, Table, neutral, quantity
from peakbench.store import RunRecord

STATE_WORDS = {
    "strict": "JSON as asked for",
    "text": "text",
    "extracted": "JSON found inside other text",
    "repaired": "read after a repair",
    "off_schema": "JSON of another form",
    "unparseable": "no JSON",
    "failed": "request failed",
    "unasked": "not asked yet",
}
SLICES_DRAWN = 40


@dataclass(frozen=True, slots=True)
class SlicePart:
    """One metadata key: a figure by the leading metric, and its tables."""

    key: str
    metric: str
    figure: Spans
    left_out: int
    tables: Sequence[Table]


def facts(source: ReportSource) -> list[tuple[str, str]]:
    """Return what was asked, of whom and how, as names and values."""
    record, samples = source.record, source.summary["samples"]
    endpoint = record.endpoint.provider or record.endpoint.url
    task = f"{record.task.id} v{record.task.version}"
    data = f"{record.data.name}, {samples.get('total', 0):,} samples"
    if record.data.limit is not None:
        data += f" (the first {record.data.limit:,})"
    return plain_values(
        {
            "model": record.model,
            "lineage": _lineage(record),
            "data": data,
            "task": task,
            "answers": f"{samples.get('answers', 0):,}"
            + (f" ({record.repeats} repeats)" if record.repeats > 1 else ""),
            "endpoint": endpoint,
            "asked": _when(record),
            "workers": str(record.workers) if record.sessions else None,
            "profile": source.summary["run"].get("profile"),
            "PeakBench": source.summary["run"].get("versions", record.versions).get("peakbench"),
        }
    )


def settings(source: ReportSource) -> list[tuple[str, str]]:
    """Return how the model was told to answer, and what identifies data and task."""
    record = source.record
    sampling = {name: getattr(record.sampling, name) for name in record.sampling.__dataclass_fields__}
    versions = {f"version of {name}": value for name, value in record.versions.items()}
    return plain_values(
        {
            **sampling,
            "prompt version": record.prompt_version,
            "images shrunk to": None if record.max_side is None else f"{record.max_side} pixels",
            "repair": "yes" if source.summary["run"].get("repair", record.repair) else None,
            "transport": record.endpoint.transport,
            "data from": record.data.source,
            "data fingerprint": record.data.fingerprint,
            "task sha256": record.task.sha256,
            "run directory": str(source.directory.path),
            **versions,
        }
    )


def _when(record: RunRecord) -> str:
    return record.created_at.replace("T", " ").removesuffix("+00:00") + " UTC"


def _lineage(record: RunRecord) -> str | None:
    """Where the model comes from, in words; what only its name says is marked."""
    found = lineage_of(record)
    words = {
        "family": found.family,
        "parameters": found.parameters,
        "training": "+".join(found.training),
        "quantization": found.quantization if found.quantized else None,
        "version": found.version,
    }
    known = {name: word for name, word in words.items() if word and name not in found.unknown}
    if known.keys() <= found.inferred:
        # nothing but the model's name again is no lineage
        return f"{', '.join(known.values())} (by its name)" if known.keys() - {"family"} else None
    said = [f"{word} (by its name)" if name in found.inferred else word for name, word in known.items()]
    if record.lineage is not None and record.lineage.training == ():
        said.append("as released")
    if found.base_run:
        said.append(f"made from {found.base_run}")
    return ", ".join(said) or None


def shares(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the metrics that are shares and have a value, the leading one first."""
    first = leading(metrics)
    names = [name for name, one in metrics.items() if one.get("value") is not None and not one.get("unit")]
    return [(neutral(name), metrics[name]) for name in sorted(names, key=lambda name: name != first)]


def state_bar(samples: Mapping[str, Any]) -> Stacks | None:
    """Return how the answers could be read, as one bar."""
    counts = {state: int(samples.get(state) or 0) for state in STATE_WORDS}
    total = sum(counts.values())
    if not total:
        return None
    made = parts(counts, STATE_WORDS, total)
    return Stacks([Stack("answers", made)], [(f"s-{one.kind}", f"{one.words}: {one.count:,}") for one in made])


def failure_table(samples: Mapping[str, Any]) -> Table | None:
    """Return failed requests by kind."""
    failures = samples.get("failures") or {}
    rows = [[neutral(kind).replace("_", " "), f"{count:,}"] for kind, count in failures.items()]
    return Table(["failure", "requests"], rows, "Failed requests") if rows else None


def oddities(samples: Mapping[str, Any]) -> list[str]:
    """Return what is odd about answers that came, in words."""
    words = {
        "truncated": "cut off at the token limit",
        "refused": "refused by the model",
        "duplicate_keys": "with a key twice: the last one counts",
        "extra_keys": "with keys that the task does not know: they are passed over",
    }
    return [f"{samples[name]:,} {said}" for name, said in words.items() if samples.get(name)]


def speed_lines(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return latency, throughput and tokens as names and values; empty where nothing was timed."""
    performance = summary.get("performance") or {}
    found: dict[str, str] = {}
    for key, name in (("latency_s", "latency"), ("ttft_s", "first token")):
        times = performance.get(key) or {}
        if times.get("p50") is not None:
            found[name] = ", ".join(f"{mark} {quantity(times.get(mark), 's')}" for mark in ("p50", "p90", "p99"))
    if performance.get("samples_per_s") is not None:
        workers = performance.get("workers")
        found["throughput"] = f"{quantity(performance['samples_per_s'])} samples a second" + (
            f" with {workers} worker{'' if workers == 1 else 's'}" if workers else ""
        )
        found["time of asking"] = quantity(performance.get("wall_s"), "s")
    tokens = performance.get("tokens") or {}
    if tokens.get("n"):
        found["tokens"] = f"{tokens.get('prompt') or 0:,} in, {tokens.get('completion') or 0:,} out"
        if tokens.get("per_s") is not None:
            found["tokens a second"] = quantity(tokens["per_s"])
    return list(found.items())


def slice_parts(summary: Mapping[str, Any]) -> Iterator[SlicePart]:
    """Yield one part a metadata key: a figure by the metric that matters most there, and the tables."""
    metrics = summary["metrics"]
    for key, values in (summary.get("slices") or {}).items():
        scored = {
            name: {**metrics.get(name, {}), "value": 0.0}
            for one in values.values()
            for name, entry in one["metrics"].items()
            if entry.get("value") is not None
        }
        name = leading(scored)
        if name is None:
            continue
        high = metrics.get(name, {}).get("higher_is_better", True)
        rows = [
            (
                f"{neutral(value, limit=60)} (n = {one.get('n', 0):,})",
                {**one["metrics"].get(name, {}), "higher_is_better": high},
            )
            for value, one in values.items()
        ]
        failed = any(one.get("failed") for one in values.values())
        figure = score_spans(rows[:SLICES_DRAWN], failed=failed)
        yield SlicePart(
            neutral(key, limit=60),
            neutral(name),
            figure,
            max(0, len(rows) - SLICES_DRAWN),
            list(slice_tables({key: values}, metrics)),
        )


def notes(summary: Mapping[str, Any]) -> list[str]:
    """Return the notes that the page in a terminal has."""
    for block in summary_page(summary).blocks:
        if isinstance(block, Lines) and block.title == "Notes":
            return list(block.lines)
    return []


def signature_table(summary: Mapping[str, Any]) -> Table | None:
    """Return what makes each number comparable with another run's."""
    rows = [
        [neutral(name), neutral(one.get("title") or ""), neutral(one["signature"], limit=400)]
        for name, one in summary["metrics"].items()
        if one.get("signature")
    ]
    title = "Signatures: numbers are comparable where these are the same"
    return Table(["metric", "title", "signature"], rows, title, frozenset({"title", "signature"})) if rows else None
