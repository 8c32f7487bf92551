"""What the values of one field are taken for: the confusion matrix, and precision, recall and F1 of each value.

Rows are references, columns are answers. Beside the values stand ``(null)``: not there; ``(unread)``: the answer cannot
be read; ``(other)``: outside the vocabulary, or beyond what a table has room for; ``(no single value)``: a list or an
object where one value belongs. A value that is spelled like one of these stands in quotes.

Definitions
    * Precision, recall, F1 of a value: van Rijsbergen (1979), "Information Retrieval", chapter 7. Micro: of the sums
      over all values. Macro: the mean over the values that the references hold, a precision without any answer as 0.
    * Null is no value: it has no precision and no recall, and what nulls are right about raises nothing here.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from peakbench.errors import MissingDependency
from peakbench.metrics.base import Ints
from peakbench.statistics import Estimate, wilson

if TYPE_CHECKING:
    import pandas as pd

NULL, OTHER, UNREAD, NO_SINGLE_VALUE = "(null)", "(other)", "(unread)", "(no single value)"
SPECIAL = (NULL, OTHER, UNREAD, NO_SINGLE_VALUE)


@dataclass(frozen=True, slots=True)
class ValueScore:
    """One value: ``support`` references have it, ``answered`` answers gave it, ``correct`` of them where it is right.

    ``precision`` is None where no answer gave it, ``recall`` where no reference has it, ``f1`` where neither. The
    intervals are Wilson's; None where samples were asked more than once, since repeats are not independent.
    """

    value: str
    support: int
    answered: int
    correct: int
    precision: float | None
    recall: float | None
    f1: float | None
    precision_low: float | None = None
    precision_high: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None

    @classmethod
    def of(cls, value: str, *, support: int, answered: int, correct: int, intervals: bool) -> ValueScore:
        """Make the three numbers of the three counts.

        >>> one = ValueScore.of("navy", support=4, answered=2, correct=2, intervals=False)
        >>> one.precision, one.recall, round(one.f1, 4)
        (1.0, 0.5, 0.6667)
        """
        shares = [wilson(correct, answered), wilson(correct, support)]
        precision, recall = shares
        ends = [end for share in shares for end in (share.low, share.high)] if intervals else []
        f1 = 2 * correct / (support + answered) if support + answered else None
        return cls(value, support, answered, correct, precision.value, recall.value, f1, *ends)


@dataclass(frozen=True, slots=True)
class Averages:
    """Precision, recall and F1 over all values; None where there is nothing to divide by."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A word that was answered and that the vocabulary does not have.

    ``count``: how often. ``nearest``: the vocabulary's nearest word, ``similarity`` to it in [0, 1], ``stood_for``: how
    often the reference was that word. ``most_often``: the words that the references had there, with how often.
    ``proposal``: the word that it may be another spelling of: near enough, and the reference in at least half of the
    places where there was one. ``grouped``: the field's synonym table knows the word as another one, so there is none.
    """

    word: str
    count: int
    nearest: str | None = None
    similarity: float | None = None
    stood_for: int = 0
    most_often: tuple[tuple[str, int], ...] = ()
    proposal: str | None = None
    grouped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """One field of one run.

    ``counts``: (reference, answered) -> answers, the most frequent first; integers that sum to ``asked``. ``tags``: the
    field is a list; its tags are counted one by one, a missed one as (tag, ``(null)``), one too many as (``(null)``,
    tag). ``source``: where ``words``, the vocabulary, come from. ``outside`` of ``valued`` answered values are not in
    it; ``out_of_vocabulary`` is their share. ``micro_f1``: with its interval. ``similar_by``: what judged similarity.
    ``answers`` were given, of which ``unread`` cannot be read; ``failed`` and ``unasked`` ones are not counted.
    """

    field: str
    comparator: str
    tags: bool
    source: Literal["task", "references"]
    words: tuple[str, ...]
    counts: Mapping[tuple[str, str], int]
    correct: int
    values: tuple[ValueScore, ...]
    micro: Averages
    macro: Averages
    micro_f1: Estimate
    valued: int
    outside: int
    out_of_vocabulary: Estimate
    unknown: tuple[Unknown, ...]
    similar_by: str
    answers: int
    unread: int
    failed: int
    unasked: int
    notes: tuple[str, ...] = ()

    @property
    def asked(self) -> int:
        """How many answers (tags) stand in the matrix."""
        return sum(self.counts.values())

    def labels(self, most: int | None = None) -> list[str]:
        """Return the values of rows and columns, the most frequent in references and answers first."""
        weights: Counter[str] = Counter()
        for one in self.values:
            weights[one.value] = one.support + one.answered
        return [value for value, _ in weights.most_common(most)]

    def matrix(self, most: int = 20) -> tuple[list[str], list[str], Ints]:
        """Return rows, columns and the counts between them, shape (rows, columns).

        Args:
            most: values that have a row and a column of their own; the rarer ones share ``(other)``, as do answers
                outside the vocabulary. Where values share it, its diagonal holds right answers and wrong ones.
        """
        kept = self.labels(most)
        rows, columns = [*kept, NULL, OTHER], [*kept, NULL, OTHER, UNREAD]
        row_of, column_of = ({name: at for at, name in enumerate(names)} for names in (rows, columns))
        table = np.zeros((len(rows), len(columns)), dtype=np.int64)
        for (reference, answered), count in self.counts.items():
            table[row_of.get(reference, row_of[OTHER]), column_of.get(answered, column_of[OTHER])] += count
        return rows, columns, table

    def confusions(self, most: int | None = None) -> list[tuple[str, str, int]]:
        """Return (reference, answered, times) of what was taken for something else, the most frequent first."""
        found = [(*pair, n) for pair, n in self.counts.items() if pair[0] != pair[1] and pair[1] != UNREAD]
        return found[:most]

    def synonyms(self) -> dict[str, list[str]]:
        """Return the proposals as groups of a synonym table: a word of the vocabulary, then its likely synonyms."""
        groups: dict[str, list[str]] = {}
        for one in self.unknown:
            if one.proposal is not None:
                groups.setdefault(one.proposal, []).append(one.word)
        return groups

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values; ``matrix`` lists the pairs that occur."""
        return {
            "field": self.field,
            "comparator": self.comparator,
            "unit": "tags" if self.tags else "answers",
            "answers": {"given": self.answers, "unread": self.unread, "failed": self.failed, "unasked": self.unasked},
            "vocabulary": {"source": self.source, "words": list(self.words)},
            "matrix": [
                {"reference": reference, "answered": answered, "count": count}
                for (reference, answered), count in self.counts.items()
            ],
            "correct": self.correct,
            "asked": self.asked,
            "values": [asdict(one) for one in self.values],
            "micro": asdict(self.micro),
            "macro": asdict(self.macro),
            "micro_f1": asdict(self.micro_f1),
            "out_of_vocabulary": {**asdict(self.out_of_vocabulary), "outside": self.outside, "answered": self.valued},
            "unknown": [{**asdict(one), "most_often": [list(pair) for pair in one.most_often]} for one in self.unknown],
            "similar_by": self.similar_by,
            "synonyms": self.synonyms(),
            "notes": list(self.notes),
        }

    def to_pandas(self, kind: Literal["matrix", "values", "unknown"] = "matrix", *, most: int = 50) -> pd.DataFrame:
        """Return the matrix (rows references, columns answers), the scores by value, or the unknown words.

        Args:
            kind: which.
            most: values that have a row and a column of the matrix of their own.

        Raises:
            MissingDependency: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingDependency("to_pandas()", package="pandas", extra="data") from None
        if kind == "matrix":
            rows, columns, table = self.matrix(most)
            index, heads = pd.Index(rows, name="reference"), pd.Index(columns, name="answered")
            return pd.DataFrame(table, index=index, columns=heads)
        records: Sequence[ValueScore | Unknown] = self.values if kind == "values" else self.unknown
        kinds = ValueScore if kind == "values" else Unknown
        return pd.DataFrame.from_records([asdict(one) for one in records], columns=list(kinds.__dataclass_fields__))

    def __repr__(self) -> str:
        return f"<Confusion of {self.field}: {self.correct} of {self.asked} right, {len(self.words)} words>"

    def _repr_html_(self) -> str:
        rows, columns, table = self.matrix()
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ["reference \\ answered", *columns])
        body = "".join(
            f"<tr><th>{html.escape(name)}</th>" + "".join(f"<td>{count or ''}</td>" for count in row) + "</tr>"
            for name, row in zip(rows, table.tolist(), strict=True)
        )
        title = f"{self.field}: {self.correct} of {self.asked} right, {self.outside} of {self.valued} answered values "
        title += "outside the vocabulary"
        return f"<p><b>{html.escape(title)}</b></p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def averages(values: Sequence[ValueScore], *, correct: int, support: int, answered: int) -> tuple[Averages, Averages]:
    """Return the micro and the macro averages.

    Args:
        values: the scores by value.
        correct, support, answered: sums over all values, those without a score of their own too.
    """
    micro = Averages(
        correct / answered if answered else None,
        correct / support if support else None,
        2 * correct / (support + answered) if support + answered else None,
    )
    held = [one for one in values if one.support]
    if not held:
        return micro, Averages(None, None, None)
    precision, recall, f1 = (
        sum(getattr(one, name) or 0.0 for one in held) / len(held) for name in ("precision", "recall", "f1")
    )
    return micro, Averages(precision, recall, f1)
