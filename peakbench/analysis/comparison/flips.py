"""The flip list: every field of every sample that two runs did not get the same, worst first.

What flipped is found in the arrays of two score tables, so the list costs a few bytes a flip. The reference and both
answers are read from the run directories only when an entry is looked at: as many may be written as there are.
"""

from __future__ import annotations

import csv
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, TypeVar

import numpy as np

from peakbench.analysis.comparison.pairing import Pairing
from peakbench.errors import InputError, NotComparable, StoreError
from peakbench.metrics.base import Bools, Floats, Ints
from peakbench.parsing import read
from peakbench.records import OUTCOMES, JSONValue, Reference
from peakbench.store import JournalIndex, RunDirectory
from peakbench.store.directory import SAMPLES
from peakbench.store.formats import csv_cell, dump_line, load_line
from peakbench.store.journal import whole_lines

Direction = Literal["better", "worse"]

REPEATS_SHOWN = 10
"""Answers of one side that an entry holds at most."""

ANSWER_SHOWN = 2000
"""Characters of one answer that an entry holds at most."""

_REMEMBERED = 256
_TIE = 1e-12
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Side:
    """What became of a field in one run.

    ``answers``: the values as given, one a repeat (a text that could not be read: its beginning; a key that is not
    there: left out, and counted in ``absent``). None where the answers are not at hand. ``outcomes``: outcome -> share
    of the repeats; ``score``, ``correct``: means over the repeats.
    """

    score: float
    correct: float
    outcomes: Mapping[str, float]
    answers: tuple[JSONValue, ...] | None
    absent: int = 0

    @property
    def outcome(self) -> str:
        """The outcome in a word, with shares where the repeats differ (``correct 0.67, wrong 0.33``), "" for texts."""
        if len(self.outcomes) == 1:
            return next(iter(self.outcomes))
        return ", ".join(f"{name} {share:.2g}" for name, share in self.outcomes.items())

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "answers": None if self.answers is None else list(self.answers),
            "absent": self.absent,
            "outcome": self.outcome,
            "outcomes": dict(self.outcomes),
            "score": self.score,
            "correct": self.correct,
        }


@dataclass(frozen=True, slots=True)
class Flip:
    """One field of one sample that got better or worse from the first run to the second.

    ``change``: second score - first. ``weight``: the field's, in weighted_score. ``reference``: None also where the
    samples are not at hand.
    """

    sample_id: str
    field: str
    direction: Direction
    change: float
    weight: float
    reference: JSONValue
    first: Side
    second: Side

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "sample_id": self.sample_id,
            "field": self.field,
            "direction": self.direction,
            "change": self.change,
            "weight": self.weight,
            "reference": self.reference,
            "first": self.first.as_dict(),
            "second": self.second.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class _Track:
    """One field of both runs, over the compared pairs; ``outcomes``: shape (n, 6), None where there are none."""

    name: str
    weight: float
    counts: Bools
    score: tuple[Floats, Floats]
    correct: tuple[Floats, Floats]
    outcomes: tuple[Floats, Floats] | None


class Flips:
    """The flip list of two paired runs; iterating reads the answers, entry by entry.

    Worst first: what got worse before what got better, then the greater loss of weight times score, then the order of
    the samples and of the fields. A task whose answer is text has no fields: its samples are listed by ``quality``, or
    the first metric that is comparable, and ``field`` is that metric's id. ``better`` and ``worse`` count entries.

    Args:
        pairing: two runs, paired.
        first: where the first run's answers are, None where they are not at hand.
        second: likewise.
        fields: names, None for all.
    """

    def __init__(
        self,
        pairing: Pairing,
        *,
        first: RunDirectory | None,
        second: RunDirectory | None,
        fields: Collection[str] | None = None,
    ) -> None:
        if not pairing.paired:
            raise NotComparable("samples that differ have no flips", where=pairing.first.origin.path)
        self._pairing = pairing
        self._runs = first, second
        self._tracks = list(_field_tracks(pairing, fields) if pairing.first.fields else _text_tracks(pairing))
        self._rows, self._places, self._change = _found(self._tracks)
        self.better = int((self._change > 0).sum())
        self.worse = len(self._change) - self.better

    def __len__(self) -> int:
        return len(self._change)

    @property
    def samples(self) -> int:
        """How many samples have an entry."""
        return len(np.unique(self._rows))

    @cached_property
    def by_field(self) -> dict[str, tuple[int, int]]:
        """Field -> (better, worse)."""
        up = self._change > 0
        return {
            track.name: (int((up & (self._places == place)).sum()), int((~up & (self._places == place)).sum()))
            for place, track in enumerate(self._tracks)
        }

    def __iter__(self) -> Iterator[Flip]:
        with ExitStack() as stack:
            readers = [
                stack.enter_context(closing(_Answers(run, table.places))) if run is not None else None
                for run, table in zip(self._runs, (self._pairing.first, self._pairing.second), strict=True)
            ]
            for row, place, change in zip(self._rows, self._places, self._change, strict=True):
                yield self._entry(int(row), self._tracks[place], float(change), readers)

    def shown(self, count: int) -> list[Flip]:
        """Return the first entries."""
        return list(islice(self, count))

    def _entry(self, row: int, track: _Track, change: float, readers: Sequence[_Answers | None]) -> Flip:
        sample_id = self._pairing.first.ids[int(self._pairing.left[row])]
        sides = []
        for side, reader in enumerate(readers):
            shares: dict[str, float] = {}
            if track.outcomes is not None:
                row_shares = zip(OUTCOMES, track.outcomes[side][row].tolist(), strict=True)
                shares = {outcome: share for outcome, share in row_shares if share > 0}
            answers, absent = reader.answers(sample_id, track.name) if reader is not None else (None, 0)
            score, correct = float(track.score[side][row]), float(track.correct[side][row])
            sides.append(Side(score, correct, shares, answers, absent))
        known = next((reader for reader in readers if reader is not None), None)
        reference = known.reference(sample_id) if known is not None else None
        if isinstance(reference, Mapping):
            reference = reference.get(track.name)
        return Flip(
            sample_id=sample_id,
            field=track.name,
            direction="better" if change > 0 else "worse",
            change=0.0 if abs(change) <= _TIE else change,
            weight=track.weight,
            reference=_bounded(reference),
            first=sides[0],
            second=sides[1],
        )


def _field_tracks(pairing: Pairing, chosen: Collection[str] | None) -> Iterator[_Track]:
    for name, one in pairing.first.fields.items():
        if chosen is not None and name not in chosen:
            continue
        try:
            outcomes = pairing.field_outcomes(name)
        except NotComparable:
            continue
        two, left, right = pairing.second.fields[name], pairing.left, pairing.right
        counts = (one.asked[left] > 0) & (two.asked[right] > 0)
        score, correct = (one.score[left], two.score[right]), (one.correct[left], two.correct[right])
        yield _Track(name, one.weight, counts, score, correct, outcomes)


def _text_tracks(pairing: Pairing) -> Iterator[_Track]:
    for name in sorted(pairing.first.metrics, key=lambda name: name != "quality"):
        try:
            columns = pairing.metric(name)
        except NotComparable:
            continue
        if columns.higher_is_better and not columns.pooled:
            score = columns.first[:, 0], columns.second[:, 0]
            yield _Track(name, 1.0, columns.first[:, 1] > 0, score, score, None)
            return


def _found(tracks: Sequence[_Track]) -> tuple[Ints, Ints, Floats]:
    """Row, track and signed change of each entry, in order; a change of correctness alone has its own sign."""
    rows, places, steps, losses = [], [], [], []
    for place, track in enumerate(tracks):
        score = track.score[1] - track.score[0]
        correct = track.correct[1] - track.correct[0]
        score[np.abs(score) <= _TIE] = 0.0
        correct[np.abs(correct) <= _TIE] = 0.0
        at = np.flatnonzero(track.counts & ((score != 0) | (correct != 0)))
        step = np.where(score[at] != 0, score[at], np.copysign(_TIE, correct[at]))
        rows.append(at)
        places.append(np.full(len(at), place, dtype=np.int64))
        steps.append(step)
        losses.append(step * track.weight)
    if not rows:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0)
    row, at_place = np.concatenate(rows), np.concatenate(places)
    step, loss = np.concatenate(steps), np.concatenate(losses)
    # Rounded: differences of equal scores that rounding told apart are to keep the order of the samples. Where nothing
    # is at stake (a weight of 0), the change itself says what comes first.
    size, change = (-np.round(np.abs(values), 9) for values in (loss, step))
    order = np.lexsort((at_place, row, change, size, step > 0))
    return row[order], at_place[order], step[order]


class _Answers:
    """A run's references and answers by sample id, read where they stand; the last few are remembered."""

    def __init__(self, run: RunDirectory, places: Mapping[str, int]) -> None:
        self._run = run
        self._places = places
        self._task = run.task
        # as it was last scored, which may differ from how it was asked for
        self._repair = bool(((run.summary() or {}).get("run") or {}).get("repair", run.run.repair))
        self._index: JournalIndex = run.index()
        self._offsets: Ints = np.full(len(places), -1, dtype=np.int64)
        self._samples: BinaryIO | None = None
        self._known: OrderedDict[str, list[tuple[bool, Any]]] = OrderedDict()
        self._references: OrderedDict[str, Reference] = OrderedDict()

    def answers(self, sample_id: str, name: str) -> tuple[tuple[JSONValue, ...], int]:
        """Return the values of one field over the repeats, and how often its key was not there."""
        found, absent = [], 0
        for readable, value in _remembered(self._known, sample_id, self._read):
            if not readable:
                found.append(value)  # a text that could not be read, or the whole answer where it is text
            elif name in value:
                found.append(_bounded(value[name]))
            else:
                absent += 1
        return tuple(found), absent

    def _read(self, sample_id: str) -> list[tuple[bool, Any]]:
        found = []
        for repeat in range(min(self._run.run.repeats, REPEATS_SHOWN)):
            completion = self._index.get(sample_id, repeat)
            if completion is None or completion.response is None:
                continue
            one = read(completion, keys=self._task.keys, answer=self._task.answer, repair=self._repair)
            readable = one.read and isinstance(one.value, Mapping)
            found.append((readable, one.value if readable else (completion.response.text or "")[:ANSWER_SHOWN]))
        return found

    def reference(self, sample_id: str) -> Reference:
        """Return a sample's reference."""
        return _remembered(self._references, sample_id, self._read_reference)

    def _read_reference(self, sample_id: str) -> Reference:
        if self._samples is None:
            path = self._run.path / SAMPLES
            try:
                for offset, line in whole_lines(path):
                    place = self._places.get(load_line(line)["id"])
                    if place is not None:
                        self._offsets[place] = offset
                self._samples = path.open("rb")
            except (OSError, ValueError, TypeError, KeyError) as error:
                raise StoreError(f"the samples cannot be read: {error}", where=str(path)) from None
        offset = int(self._offsets[self._places[sample_id]])
        if offset < 0:
            return None
        self._samples.seek(offset)
        found: Reference = load_line(self._samples.readline()).get("reference")
        return found

    def close(self) -> None:
        """Close the files."""
        self._index.close()
        if self._samples is not None:
            self._samples.close()


def _remembered(cache: OrderedDict[str, T], key: str, make: Callable[[str], T]) -> T:
    if key not in cache:
        cache[key] = make(key)
        if len(cache) > _REMEMBERED:
            cache.popitem(last=False)
    return cache[key]


def _bounded(value: JSONValue) -> JSONValue:
    """Return a value as it is where its text is short, else the beginning of that text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if len(text) <= ANSWER_SHOWN:
        return value
    return text[:ANSWER_SHOWN] + "…"


def write_flips(flips: Flips, path: str | Path) -> int:
    """Write the whole list as JSON Lines or, by the file's ending, as CSV; return how many entries.

    In CSV a null is ``null``, a key that is not there an empty cell, several repeats are joined by `` | ``, and a text
    that a spreadsheet would take for a formula has ``'`` before it.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    write, file = check_ending(path), Path(path)
    try:
        with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as out:
            write(flips, out)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(file)) from None
    return len(flips)


def check_ending(path: str | Path) -> Callable[[Flips, IO[str]], None]:
    """Return what writes a file with this ending.

    Raises:
        InputError: the ending is none of those that are known.
    """
    writers = {".jsonl": _write_jsonl, ".csv": _write_csv}
    ending = Path(path).suffix.lower()
    if ending not in writers:
        raise InputError(f"flips as '{ending}'", where=str(path), expected="a file that ends in .jsonl or .csv")
    return writers[ending]


def _write_jsonl(flips: Flips, out: IO[str]) -> None:
    for flip in flips:
        out.write(dump_line(flip.as_dict()).decode("utf-8"))


def _write_csv(flips: Flips, out: IO[str]) -> None:
    columns = ["sample_id", "field", "direction", "change", "weight", "reference"]
    parts = ["answer", "outcome", "score"]
    writer = csv.writer(out)
    writer.writerow([*columns, *(f"{side}_{part}" for side in ("first", "second") for part in parts)])
    for flip in flips:
        row: list[Any] = [csv_cell(flip.sample_id), csv_cell(flip.field), flip.direction, flip.change, flip.weight]
        row.append(csv_cell(flip.reference))
        for side in (flip.first, flip.second):
            row += [" | ".join(map(csv_cell, side.answers or ())), side.outcome, side.score]
        writer.writerow(row)
