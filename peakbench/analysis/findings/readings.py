"""A leaderboard's group as findings read it: whose score says something, who is of one family, who is told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from peakbench.analysis.findings.wording import labels
from peakbench.analysis.leaderboard.ranking import overlap
from peakbench.analysis.leaderboard.standings import Group, Leaderboard, Standing, Told
from peakbench.analysis.lineage.kinship import FEW_READABLE
from peakbench.analysis.lineage.names import fold

_TOTAL = re.compile(r"E?(?:(\d+)x)?(\d+(?:\.\d+)?)B(?:-A[\d.]+B)?", re.IGNORECASE)


@dataclass(frozen=True)
class GroupReading:
    """The standings of one group that are ranked against each other, and what is known between two of them."""

    board: Leaderboard
    number: int

    @property
    def group(self) -> Group:
        """What the group is."""
        return self.board.groups[self.number]

    @cached_property
    def all(self) -> tuple[Standing, ...]:
        """Every standing of a model."""
        return self.board.of(self.number)

    @cached_property
    def labels(self) -> dict[str, str]:
        """What each standing is called in a sentence, by its path."""
        return labels((one.path, one.model) for one in self.all)

    def label(self, one: Standing) -> str:
        """What a standing is called in a sentence."""
        return self.labels[one.path]

    @cached_property
    def usable(self) -> tuple[Standing, ...]:
        """Ranked models most of whose answers could be read, the best first: scores that speak of the content."""
        sign = -1 if self.board.higher_is_better else 1
        kept = [one for one in self.all if one.rank is not None and one.score is not None and not unreadable(one)]
        return tuple(sorted(kept, key=lambda one: sign * value(one)))

    def gain(self, first: Standing, second: Standing) -> float:
        """How much better the first is, in the metric's unit."""
        return (value(first) - value(second)) * (1 if self.board.higher_is_better else -1)

    def told(self, first: Standing, second: Standing) -> Told | None:
        """Return the paired comparison of two standings, whichever is the better; None where there is none."""
        ends = {self._place(first), self._place(second)}
        return next((one for one in self.board.told if {one.first, one.second} == ends), None)

    def apart(self, first: Standing, second: Standing) -> bool:
        """Whether two ranked standings are told apart, by the rule of their group."""
        if self.group.rule == "paired":
            told = self.told(first, second)
            return told is not None and told.apart
        if self.group.rule == "intervals" and first.score is not None and second.score is not None:
            return not overlap(first.score, second.score)
        return False

    @cached_property
    def comparisons(self) -> tuple[Told, ...]:
        """The paired comparisons of the group."""
        places = {self._place(one) for one in self.all}
        return tuple(one for one in self.board.told if one.first in places)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {id(one): place for place, one in enumerate(self.board.standings)}

    def _place(self, one: Standing) -> int:
        return self._places[id(one)]

    @cached_property
    def families(self) -> dict[int, str | None]:
        """The family of each standing, by its ``id``: what was given, or the one given family that its name fits.

        None where its name fits several, or where neither anybody nor its name says one.
        """
        given = [one for one in self.all if _given(one)]
        labels: dict[str, str] = {}
        for one in given:
            labels.setdefault(fold(one.family or ""), one.family or "")
        found: dict[int, str | None] = {id(one): labels[fold(one.family or "")] for one in given}
        for one in self.all:
            if id(one) not in found:
                found[id(one)] = self._by_name(one, given, labels)
        return found

    def _by_name(self, one: Standing, given: Sequence[Standing], labels: dict[str, str]) -> str | None:
        if one.lineage is None or one.family is None:
            return None
        kin = [other for other in given if other.lineage is not None and one.lineage.akin(other.lineage)]
        same = [other for other in kin if other.parameters == one.parameters]
        keys = {fold(other.family or "") for other in same or kin}
        if len(keys) > 1:
            return None
        return labels.setdefault(keys.pop() if keys else fold(one.family), one.family)


def unreadable(one: Standing) -> bool:
    """Whether fewer than half of a model's answers are JSON: its score is hardly about what they say."""
    return one.json_rate is not None and one.json_rate.value < FEW_READABLE


def value(one: Standing) -> float:
    """The score by which a standing is ranked."""
    assert one.score is not None
    return one.score.value


def size(parameters: str | None) -> float | None:
    """All parameters of a model in billions, where its size can be read.

    >>> size("8B"), size("35B-A3B"), size("8x7B"), size("tiny"), size(None)
    (8.0, 35.0, 56.0, None, None)
    """
    match = _TOTAL.fullmatch(parameters or "")
    return float(match[1] or 1) * float(match[2]) if match else None


def by_name(standings: Iterable[Standing]) -> str:
    """The words that are due where only a name, or nothing at all, says how one of some models was trained."""
    told = ("training" in one.lineage.inferred | one.lineage.unknown for one in standings if one.lineage is not None)
    return "; how they were trained is known from names only" if any(told) else ""


def _given(one: Standing) -> bool:
    return one.family is not None and (one.lineage is None or "family" not in one.lineage.inferred)
