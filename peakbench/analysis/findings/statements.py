"""A finding: one sentence, the numbers that it rests on, and how much it claims."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from peakbench.analysis.findings.research import Gap
from peakbench.analysis.frames import frame

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal[
    "best", "refused", "coverage", "training", "quantization", "size", "family", "fields", "speed", "floor", "open"
]
Strength = Literal["fact", "shown", "observed", "open"]

KINDS: tuple[Kind, ...] = (
    "best",
    "refused",
    "coverage",
    "quantization",
    "training",
    "size",
    "family",
    "fields",
    "speed",
    "floor",
    "open",
)
"""In the order in which findings are read."""

STRENGTHS: Mapping[Strength, str] = {
    "fact": "it stands in the data as it is",
    "shown": "a 95 % interval excludes that there is nothing",
    "observed": "so it is in what was measured; that it holds beyond is not shown",
    "open": "the data cannot say",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence and what it rests on.

    Attributes:
        kind: what it is about.
        sentence: plain text; names of models in it are cut where they are long, and may hold anything.
        evidence: JSON values: every number of the sentence, scores as fractions, names in full.
        strength: how much is claimed, see :data:`STRENGTHS`.
        group: title of the group that it is of; empty where the leaderboard has one group only.
    """

    kind: Kind
    sentence: str
    evidence: Mapping[str, Any]
    strength: Strength
    group: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "strength": self.strength,
            "group": self.group,
            "evidence": dict(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class Findings:
    """All findings of a leaderboard, in the order of :data:`KINDS`, and the research table.

    ``metric``: by which models are held against each other. ``research``: what was not tried, most promising first.
    """

    findings: tuple[Finding, ...]
    research: tuple[Gap, ...]
    metric: str

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def of(self, kind: Kind) -> tuple[Finding, ...]:
        """Return the findings of one kind."""
        return tuple(one for one in self.findings if one.kind == kind)

    def first(self, count: int = 5) -> tuple[Finding, ...]:
        """Return the findings to read first: one of each kind, then the rest, without what is open."""
        kept = [one for one in self.findings if one.kind != "open"]
        leading = list({one.kind: one for one in reversed(kept)}.values())[::-1]
        return tuple((leading + [one for one in kept if one not in leading])[:count])

    def as_dict(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {
            "format": 1,
            "metric": self.metric,
            "findings": [one.as_dict() for one in self.findings],
            "research": [one.as_dict() for one in self.research],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return the research table.

        Raises:
            MissingDependency: pandas is not installed.
        """
        return frame([one.as_dict() for one in self.research])

    def _repr_html_(self) -> str:
        items = []
        for one in self.findings:
            start = f"{html.escape(one.group)}: " if one.group else ""
            items.append(f"<li>{start}{html.escape(one.sentence)} <i>({one.strength})</i></li>")
        return f"<ul>{''.join(items)}</ul>"
