"""The gate as a test meets it: what it says, and how a baseline comes to be."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from peakbench.analysis.comparison.pairing import pair
from peakbench.analysis.comparison.scoretable import read_scores
from peakbench.analysis.gating.judgement import Outcome, Verdict
from peakbench.analysis.gating.verdicts import FIELD
from peakbench.api.gates import gate, load_baseline, save_baseline
from peakbench.errors import PeakBenchError, StoreError
from peakbench.pytest_plugin.sharing import Shared
from peakbench.report.gating import verdict_page
from peakbench.report.tables import neutral
from peakbench.runs import Run

GATE_OPTIONS = frozenset(inspect.signature(gate).parameters) - {"run", "baseline", "metrics", "margin"}

_WORDS: Mapping[Outcome, str] = {
    "passed": "as good as its baseline",
    "fell": "worse than its baseline",
    "undecided": "not known to be as good as its baseline",
    "not comparable": "not comparable with its baseline",
}
_LINE = 400


@dataclass(frozen=True)
class Asked:
    """How a run is judged: what is gated, how much may be lost, whether the baseline's own answers pass."""

    metrics: str | Sequence[str] | None
    margin: float
    unchanged: Literal["fail", "pass"]
    settings: Mapping[str, Any]


def judged(run: Run, file: Path, asked: Asked) -> Verdict:
    """Hold a run against the baseline in a file."""
    kept = load_baseline(file)
    if asked.unchanged == "pass" and kept.origin.responses_sha256 == run.directory.responses_sha256():
        kept = replace(kept, origin=replace(kept.origin, responses_sha256=""))
    metrics = [asked.metrics] if isinstance(asked.metrics, str) else asked.metrics
    return gate(run, kept, metrics=metrics, margin=asked.margin, **asked.settings)


def line_of(verdict: Verdict) -> str:
    """The verdict and its first reason."""
    reason = next(iter(verdict.reasons), None) or next((one for gated in verdict.metrics for one in gated.reasons), "")
    return f"{_WORDS[verdict.verdict]}: {neutral(reason, limit=_LINE)}"


def failure_text(verdict: Verdict, run: Run, file: Path, test: str) -> str:
    """What a failed test prints: the reason, what is gated, the fields that changed, the samples that lost most."""
    end = [f"baseline file: {file}"]
    if verdict.run.responses_sha256 == verdict.baseline.responses_sha256:
        end.append('answers that may stay as they were: peakbench_baseline(..., unchanged="pass")')
    elif verdict.verdict != "undecided":
        end.append(f"where this is as it should be, save it anew: {_update(test)}")
    head = f"{neutral(run.record.model, limit=80)}: {line_of(verdict)}"
    return "\n".join((head, "", verdict_page(verdict).text(), *end))


def missing_text(run: Run, file: Path, test: str) -> str:
    """What a test prints whose baseline is not there."""
    return "\n".join(
        (
            f"there is no baseline {file}: nothing to hold {neutral(run.record.model, limit=80)} against",
            f"  save this run as the baseline: {_update(test)}",
            f"  or another that is known to be good: peakbench baseline save RUN --out {file}",
        )
    )


def _update(test: str) -> str:
    return f'pytest --peakbench-update-baseline "{test}"'


def saved(run: Run, file: Path, shared: Shared, *, asked: Asked, test: str, shown: Path) -> str:
    """Save a run as the baseline, once a session, and say so.

    Args:
        asked: how the run would be judged; what it is against the baseline that was there is said.
        test: the test that asks for it.
        shown: the file as the session's end names it.

    Raises:
        StoreError: another test has saved another run there, or the run cannot be a baseline.
        NotComparable: the run lacks what is to be gated.
    """
    _check_gated(run, asked)
    total = run.summary["samples"]["total"]
    with (run.path / "scores.jsonl").open("rb") as scores:
        digest = hashlib.file_digest(scores, "sha256").hexdigest()
    key = shared.key("baseline", file=f"baseline {file.resolve()}")
    state = shared.folder / f"{key}.json"
    with shared.lock(key):
        before = json.loads(state.read_text(encoding="utf-8")) if state.exists() else None
        if before is not None:
            if before["scores"] != digest:
                raise StoreError(
                    "two tests save different runs as one baseline",
                    where=str(shown),
                    expected="a baseline of its own for each run",
                    hint=f"saved by {before['test']}, now by {test}",
                )
            return str(before["line"])
        what = f"{neutral(run.record.model, limit=80)} on {neutral(run.record.data.name, limit=80)}, {total:,} samples"
        line = f"saved {shown}: {what}{_against(run, file, asked)}"
        save_baseline(run, file, overwrite=True)
        state.write_text(json.dumps({"scores": digest, "test": test, "line": line}), encoding="utf-8")
    return line


def _check_gated(run: Run, asked: Asked) -> None:
    """Refuse a baseline without the scores that it is there for."""
    table = read_scores(run.directory)
    itself = pair(table, table)
    for name in [asked.metrics] if isinstance(asked.metrics, str) else asked.metrics or ():
        _ = itself.field(name.removeprefix(FIELD)) if name.startswith(FIELD) else itself.metric(name)


def _against(run: Run, file: Path, asked: Asked) -> str:
    if not file.is_file():
        return ""
    try:
        return f"; it was {line_of(judged(run, file, replace(asked, unchanged='pass')))}"
    except PeakBenchError as error:
        return f"; the one before could not be used: {neutral(str(error).splitlines()[0], limit=_LINE)}"
