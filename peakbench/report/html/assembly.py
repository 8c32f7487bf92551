"""A whole page: of one run, or of a run and those held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peakbench.analysis.comparison.contrasts import Comparison
from peakbench.metrics.base import Tools
from peakbench.registry import Registry
from peakbench.report.html import contexts, contrasts
from peakbench.report.html.confusions import confusion_part, light_tools
from peakbench.report.html.figures import outcome_stacks, score_spans
from peakbench.report.html.page import render
from peakbench.report.html.plugged import plugged_parts
from peakbench.report.html.samples import sample_context
from peakbench.report.html.source import ReportSource
from peakbench.report.html.timeline import timeline, words
from peakbench.report.html.writing import verdict
from peakbench.report.scores import field_figures, field_table, metric_table, outcome_table


def run_html(source: ReportSource, registry: Registry, tools: Tools, *, files: Path | None = None) -> str:
    """Return the page of one run.

    Args:
        source: the run.
        registry: what builds the comparators of its task, and holds the plugins that add sections.
        tools: models that a field may be compared by.
        files: the folder beside the page in which what is too large for it may be put; None: nothing is.

    Raises:
        StoreError: a file of the run is damaged.
    """
    summary, metrics = source.summary, source.summary["metrics"]
    fields = summary.get("fields") or {}
    failed = bool(summary["samples"].get("failed"))
    shares = contexts.shares(metrics)
    scored_fields = {name: one for name, one in fields.items() if one.get("score") is not None}
    time = timeline(source.directory)
    sections = plugged_parts(source, registry)
    confusion = confusion_part(source.directory, registry, light_tools(source.directory, tools)) if fields else None
    slices = list(contexts.slice_parts(summary))
    speed = contexts.speed_lines(summary)
    samples = sample_context(source, folder=files)
    parts = [("summary", "Summary")]
    parts += [("fields", "Fields")] if scored_fields else []
    parts += [("confusion", "Confusion")] if confusion else []
    parts += [("answers", "Answers")]
    parts += [("speed", "Speed")] if speed or time else []
    parts += [("slices", "Slices")] if slices else []
    parts += [(one.id, one.title) for one in sections]
    parts += [("samples", "Samples"), ("notes", "Notes")]
    return render(
        "run.html.j2",
        **_extra(samples),
        title=f"{source.title} - PeakBench",
        parts=parts,
        source=source,
        verdict=verdict(summary),
        facts=contexts.facts(source),
        settings=contexts.settings(source),
        scores=score_spans(shares, failed=failed) if shares else None,
        metric_table=metric_table(metrics, failed=failed),
        outcomes=outcome_stacks(scored_fields) if scored_fields else None,
        field_tables=[field_table(fields, field_figures(metrics), failed=failed), outcome_table(fields)],
        confusion=confusion,
        states=contexts.state_bar(summary["samples"]),
        oddities=contexts.oddities(summary["samples"]),
        failures=contexts.failure_table(summary["samples"]),
        speed=speed,
        time=time,
        time_words=words(time) if time else "",
        slices=slices,
        sections=sections,
        notes=contexts.notes(summary),
        signatures=contexts.signature_table(summary),
    )


def comparison_html(
    sources: Sequence[ReportSource], found: Comparison, registry: Registry, *, files: Path | None = None
) -> str:
    """Return the page of runs held against the first of them.

    Args:
        sources: the runs, in the order in which they were compared.
        found: what came of it.
        registry: holds the plugins that add sections.
        files: as for :func:`run_html`.

    Raises:
        StoreError: a file of a run is damaged.
    """
    first, others = sources[0], sources[1:]
    made = [contrasts.contrast_part(one, number) for number, one in enumerate(found.contrasts, start=1)]
    pair = ReportSource(
        first.directory, first.record, first.task, first.summary, first.title, others[0], found
    )  # the samples of the first two
    samples = sample_context(pair, folder=files) if found.contrasts[0].paired else None
    sections = plugged_parts(pair, registry)
    parts = [("summary", "Summary")]
    parts += [(one.id, one.title) for one in made] if len(made) > 1 else []
    parts += [("runs", "Runs")]
    parts += [(one.id, one.title) for one in sections]
    parts += [("samples", "Samples")] if samples else []
    return render(
        "comparison.html.j2",
        **_extra(samples),
        title=f"{contrasts.title(found)} - PeakBench",
        heading=contrasts.title(found),
        parts=parts,
        overview=contrasts.overview(found),
        contrasts=made,
        runs=[
            (letter, one, contexts.facts(one), verdict(one.summary))
            for letter, one in zip(_names(sources), sources, strict=True)
        ],
        sections=sections,
    )


def _names(sources: Sequence[ReportSource]) -> list[str]:
    return ["first", "second"] if len(sources) == 2 else ["first", *(f"run {at}" for at in range(2, len(sources) + 1))]


def _extra(samples: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a page with the sample browser has beside the rest."""
    if samples is None:
        return {"samples_json": None}
    return {
        **samples,
        "styles": ["samples.css"],
        "scripts": ["samples-data.js", "samples-one.js", "samples.js"],
    }
