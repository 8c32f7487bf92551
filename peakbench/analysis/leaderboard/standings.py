"""A leaderboard as it stands: one standing a model, one a floor, and which of them may be ranked together.

Everything that draws, writes or reads a leaderboard starts from these three: :class:`Score`, :class:`Standing`,
:class:`Leaderboard`. Scores are fractions; a rank is a range wherever models cannot be told apart.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from peakbench.analysis.frames import frame
from peakbench.analysis.lineage.models import Lineage

if TYPE_CHECKING:
    import pandas as pd

Source = Literal["run", "published", "floor"]
SHOWN = ("weighted", "sbert_nli", "quality", "json_rate", "throughput", "skill")
"""The scores that every standing has a place for, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Score:
    """A number with its 95 % interval, None where it has none. A fraction, but for speeds."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def certain(self) -> bool:
        """Whether it has an interval."""
        return self.low is not None and self.high is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One model, or one answer that needs no model.

    Attributes:
        rank: the best rank that it may have: one more than the number of models that are told apart above it. None
            where it is not ranked, and ``flags`` say why.
        last_rank: the worst that it may have: ``rank`` where nothing ties with it.
        model: its name. ``family``, ``parameters``, ``training``, ``quantization``, ``version``: what is known of it;
            ``lineage`` the same with what was only read from the name; None of a floor.
        source: a ``run``, a row that somebody ``published``, or a ``floor``: what an answer without a model scores.
        group: place in :attr:`Leaderboard.groups`; only standings of one group are ranked against each other.
        score: by what it is ranked.
        weighted: the weighted score. ``sbert_nli``, ``quality``, ``json_rate`` (the share of answers that are JSON)
            likewise, all in 0 to 1.
        throughput: samples a second.
        skill: what is left of the score above the highest floor, as a part of what there was to win.
        behind: the score's difference to the group's first, below 0; with an interval where it is of the same samples.
        fields: the score of each field. ``metrics``: every score there is, by the metric's id.
        n: samples that the score is of; None where nobody said.
        flags: what speaks against trusting or ranking it, in words.
        refused: scores that cannot be, by the metric's id, as they were published: 1.014.
        published_rank: the rank that the published table gave.
        path: the run's folder, or the line of the table.
    """

    rank: int | None = None
    last_rank: int | None = None
    model: str
    family: str | None = None
    parameters: str | None = None
    training: tuple[str, ...] = ()
    quantization: str = "none"
    version: str | None = None
    lineage: Lineage | None = None
    source: Source = "run"
    group: int = 0
    score: Score | None = None
    weighted: Score | None = None
    sbert_nli: Score | None = None
    quality: Score | None = None
    json_rate: Score | None = None
    throughput: Score | None = None
    skill: Score | None = None
    behind: Score | None = None
    fields: Mapping[str, Score] = field(default_factory=dict)
    metrics: Mapping[str, Score] = field(default_factory=dict)
    n: int | None = None
    flags: tuple[str, ...] = ()
    refused: Mapping[str, float] = field(default_factory=dict)
    published_rank: int | None = None
    path: str = ""

    @property
    def tied(self) -> str:
        """The range of ranks where it is one, like ``2-4``; empty where the rank is certain, or where there is none.

        >>> Standing(model="m", rank=2, last_rank=4).tied, Standing(model="m", rank=2, last_rank=2).tied
        ('2-4', '')
        """
        return "" if self.rank is None or self.last_rank in (None, self.rank) else f"{self.rank}-{self.last_rank}"

    @property
    def place(self) -> str:
        """The rank as it is shown: ``1``, ``2-4``, or ``-``."""
        return self.tied or ("-" if self.rank is None else str(self.rank))

    @property
    def trained(self) -> str:
        """The training as it is shown: ``SFT+GRPO``, ``as released``, or empty where nobody and nothing says."""
        if self.training:
            return "+".join(self.training)
        return "" if self.lineage is None or "training" in self.lineage.unknown else "as released"

    @property
    def quantized(self) -> bool:
        """Whether anything says that the model is quantized."""
        return self.quantization != "none"


@dataclass(frozen=True, slots=True)
class Group:
    """Standings that may be ranked against each other: of one data set, one task and one way of scoring.

    ``rule``: how its ties were found: ``paired`` differences over the same samples, ``intervals`` that overlap, or
    ``values`` alone. ``ranked``: how many of its standings are. ``notes``: what its numbers do not say.
    ``path``: the file of a published table.
    """

    title: str
    source: Source
    rule: Literal["paired", "intervals", "values"]
    n: int | None = None
    task: str | None = None
    data: str | None = None
    fingerprint: str | None = None
    signature: str | None = None
    profile: str | None = None
    ranked: int = 0
    notes: tuple[str, ...] = ()
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Two ranked standings of one group, by their places in :attr:`Leaderboard.standings`, the better one first.

    ``value``: the worse one's score minus the better one's, over the same samples. ``apart``: whether they are told
    apart. ``p_holm``: corrected over all pairs of the group.
    """

    first: int
    second: int
    value: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    n: int
    apart: bool


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Standings, group by group, the ranked ones first and by their score; floors apart.

    ``metric``: the id of the metric that ranks. ``told``: every paired comparison that a rank rests on.
    """

    standings: tuple[Standing, ...]
    floors: tuple[Standing, ...]
    metric: str
    notes: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    told: tuple[Told, ...] = ()
    higher_is_better: bool = True
    title: str = "Leaderboard"

    def __iter__(self) -> Iterator[Standing]:
        return iter(self.standings)

    def __len__(self) -> int:
        return len(self.standings)

    @property
    def ranked(self) -> tuple[Standing, ...]:
        """The standings that have a rank."""
        return tuple(one for one in self.standings if one.rank is not None)

    def of(self, group: int, *, floors: bool = False) -> tuple[Standing, ...]:
        """The standings of a group, or its floors."""
        return tuple(one for one in (self.floors if floors else self.standings) if one.group == group)

    def floor(self, group: int = 0) -> Standing | None:
        """The highest floor of a group, by the metric that ranks; None where no floor is known."""
        known = [one for one in self.of(group, floors=True) if one.score is not None]
        sign = 1 if self.higher_is_better else -1
        return max(known, key=lambda one: sign * (one.score.value if one.score else 0.0), default=None)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Every field that any standing has a score of, in their order."""
        return tuple(dict.fromkeys(name for one in self.standings for name in one.fields))

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat row a standing, floors last: scores as fractions, intervals as ``_low`` and ``_high``."""
        fields = self.field_names
        rows = []
        for one in (*self.standings, *self.floors):
            row: dict[str, Any] = {
                "group": self.groups[one.group].title if one.group < len(self.groups) else "",
                "rank": one.rank,
                "last_rank": one.last_rank,
                "model": one.model,
                "family": one.family,
                "parameters": one.parameters,
                "training": one.trained,
                "quantization": one.quantization,
                "version": one.version,
                "source": one.source,
            }
            for name in ("score", *SHOWN, "behind"):
                row |= _flat(name, getattr(one, name))
            for name in fields:
                row |= _flat(f"field.{name}", one.fields.get(name))
            row |= {
                "n": one.n,
                "flags": "; ".join(one.flags),
                "published_rank": one.published_rank,
                "path": one.path,
            }
            rows.append(row)
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "format": 1,
            "title": self.title,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "groups": [asdict(one) for one in self.groups],
            "standings": [_standing_dict(one) for one in self.standings],
            "floors": [_standing_dict(one) for one in self.floors],
            "told": [asdict(one) for one in self.told],
            "notes": list(self.notes),
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return :meth:`rows` as a table.

        Raises:
            MissingDependency: pandas is not installed.
        """
        return frame(self.rows())

    def _repr_html_(self) -> str:
        names = ("rank", "model", "training", self.metric, "95 %", "SBERT+NLI", "JSON", "samples/s", "skill", "n")
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        parts = [f"<p><b>{html.escape(self.title)}</b></p>"]
        for number, group in enumerate(self.groups):
            rows = []
            for one in (*self.of(number), *self.of(number, floors=True)):
                cells = [
                    one.place if one.source != "floor" else "floor",
                    one.model + (" ⚠" if one.flags else ""),
                    "+".join(part for part in (one.trained, one.quantization) if part not in ("", "none")),
                    _percent(one.score),
                    "–" if one.score is None or not one.score.certain else _interval(one.score),
                    _percent(one.sbert_nli),
                    _percent(one.json_rate),
                    "–" if one.throughput is None else f"{one.throughput.value:.1f}",
                    _percent(one.skill),
                    "–" if one.n is None else f"{one.n:,}",
                ]
                rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
            parts.append(
                f"<p>{html.escape(group.title)}</p><table><thead><tr>{head}</tr></thead>"
                f"<tbody>{''.join(rows)}</tbody></table>"
            )
        return "".join(parts)


def _flat(name: str, score: Score | None) -> dict[str, float | None]:
    if score is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}


def _standing_dict(one: Standing) -> dict[str, Any]:
    plain = {
        name: getattr(one, name)
        for name in ("rank", "last_rank", "model", "family", "parameters", "quantization", "version", "source", "group")
    }
    scores = {name: _score_dict(getattr(one, name)) for name in ("score", *SHOWN, "behind")}
    return {
        **plain,
        "training": list(one.training),
        "lineage": None if one.lineage is None else one.lineage.as_dict(),
        **scores,
        "fields": {name: _score_dict(score) for name, score in one.fields.items()},
        "metrics": {name: _score_dict(score) for name, score in one.metrics.items()},
        "n": one.n,
        "flags": list(one.flags),
        "refused": dict(one.refused),
        "published_rank": one.published_rank,
        "path": one.path,
    }


def _score_dict(score: Score | None) -> dict[str, float | None] | None:
    return None if score is None else asdict(score)


def _percent(score: Score | None) -> str:
    return "–" if score is None else f"{100 * score.value:.1f}"


def _interval(score: Score) -> str:
    return f"{100 * (score.low or 0.0):.1f} to {100 * (score.high or 0.0):.1f}"
