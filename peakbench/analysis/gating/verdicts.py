"""What a gate says of a run: the verdict, and for each metric or field what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from peakbench.analysis.comparison.changes import Change
from peakbench.analysis.comparison.flips import Flip
from peakbench.analysis.comparison.scoretable import Origin

Outcome = Literal["passed", "fell", "undecided", "not comparable"]

EXIT_CODES: Mapping[Outcome, int] = {"passed": 0, "fell": 4, "undecided": 5, "not comparable": 6}
FIELD = "field:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """One metric or field that is gated. Every number is turned so that above 0 the run is better.

    Attributes:
        change: from the baseline to the run, over the samples that are scored in both.
        value: of ``change``. ``low``, ``high``: what the verdict rests on: the 95 % interval, widened by what is
            missing, and by the exact bound where hardly any sample differs.
        bound: what ``low`` is: the interval's end, or the bound for few samples that differ.
        worst: the change with every missing answer read as the worst value; ``best`` as the best. None where no
            answer is missing.
        needed: samples that would let an equal run pass, with a power of 80 %.
        needed_seen: samples that would decide it if the difference seen is the true one.
    """

    name: str
    kind: Literal["metric", "field"]
    verdict: Outcome
    reasons: tuple[str, ...] = ()
    change: Change | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: Literal["interval", "few differ"] = "interval"
    worst: Change | None = None
    best: Change | None = None
    needed: int | None = None
    needed_seen: int | None = None

    @property
    def label(self) -> str:
        """How it is named on the command line."""
        return FIELD + self.name if self.kind == "field" else self.name

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Shift:
    """A sample that lost in the metric that decides: the metric's values before and after, and its fields that fell."""

    sample_id: str
    metric: str
    first: float
    second: float
    gain: float
    flips: tuple[Flip, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "sample_id": self.sample_id,
            "metric": self.metric,
            "first": self.first,
            "second": self.second,
            "gain": self.gain,
            "flips": [flip.as_dict() for flip in self.flips],
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Verdict:
    """What the gate says of a run. It is true only where the run has passed.

    Attributes:
        metrics: what is gated, in the order in which it was named.
        fields: the change of every field, Holm-corrected over the fields.
        samples: those that lost most in the first metric that did not pass, else in the first.
        missing: samples of the baseline with an answer that failed or was not asked.
        reasons: why the verdict is what it is. ``notes``: what else is to be known.
    """

    verdict: Outcome
    margin: float
    min_samples: int
    metrics: tuple[Gated, ...]
    fields: tuple[Change, ...] = ()
    samples: tuple[Shift, ...] = ()
    run: Origin
    baseline: Origin
    missing: int = 0
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    resamples: int = 0
    seed: int = 0

    @property
    def exit_code(self) -> int:
        """0 passed, 4 fell, 5 undecided, 6 not comparable."""
        return EXIT_CODES[self.verdict]

    @property
    def passed(self) -> bool:
        """Whether the run may ship."""
        return self.verdict == "passed"

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<Verdict {self.verdict}: {'; '.join(self.reasons)}>"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "format": 1,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "margin": self.margin,
            "min_samples": self.min_samples,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "metrics": [one.as_dict() for one in self.metrics],
            "fields": [one.as_dict() for one in self.fields],
            "samples": [one.as_dict() for one in self.samples],
            "missing": self.missing,
            "run": asdict(self.run),
            "baseline": asdict(self.baseline),
            "resamples": {"n": self.resamples, "seed": self.seed},
        }


def points(value: float) -> str:
    """Return a fraction in points of a hundred: as many digits as tell it from the numbers beside it.

    >>> points(-0.0123), points(0.01), points(0.0), points(-0.00004)
    ('-1.23', '1', '0', '-0.004')
    """
    shown = value * 100
    return f"{shown:.3g}" if abs(shown) < 1 else f"{shown:.2f}".rstrip("0").rstrip(".")


def in_points(value: float) -> str:
    """Return a fraction in points, in words.

    >>> in_points(0.01), in_points(-0.025)
    ('1 point', '-2.5 points')
    """
    shown = points(value)
    return f"{shown} point" if shown in {"1", "-1"} else f"{shown} points"
