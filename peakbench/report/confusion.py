"""Confusion matrices for people: all fields at a glance, or some of them in full."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from peakbench.analysis.vocabulary.confusion import Confusion, ValueScore
from peakbench.report.tables import Lines, Page, Table, neutral, percent
from peakbench.statistics import Estimate

MATRIX = 16
"""Values of a matrix that have a row of their own: as many fit beside each other in a terminal."""

FEW, MANY = 3, 20
"""Lines of a list about one field: where all fields are shown, and where it was asked for."""

_WIDE = 24


def confusion_page(found: Mapping[str, Confusion], *, path: str, whole: bool, skipped: Mapping[str, str] = {}) -> Page:
    """Lay out the fields side by side, then what is taken for what, then unknown words.

    Args:
        found: by field.
        path: of the run.
        whole: the fields were named: their matrices and the scores of their values too.
        skipped: fields that have none, with the reason.
    """
    page = Page()
    page.add(Lines([f"What are values taken for? {neutral(path)}", *_counts(found.values())], kind="heading"))
    page.add(_fields(found.values()))
    notes = [f"{', '.join(names)}: {note}" for note, names in _notes(found.values()).items()]
    notes += [f"{neutral(name)} is left out: {reason}" for name, reason in skipped.items()]
    page.add(Lines(notes, kind="note"))
    for one in found.values() if whole else ():
        page.add(_matrix(one))
        page.add(_hidden(one))
        page.add(_values(one))
    page.add(_confusions(found.values(), MANY if whole else FEW))
    page.add(_unknown(found.values(), MANY if whole else FEW))
    page.add(_snippet(found.values()))
    return page


def _notes(found: Iterable[Confusion]) -> dict[str, list[str]]:
    """Return each note once, with the fields that it is about."""
    fields: dict[str, list[str]] = {}
    for one in found:
        for note in one.notes:
            fields.setdefault(neutral(note), []).append(neutral(one.field))
    return fields


def _counts(found: Iterable[Confusion]) -> list[str]:
    one = next(iter(found))
    parts = [f"{one.answers:,} answers"]
    if one.unread:
        parts.append(f"{one.unread:,} of them cannot be read and are counted as such")
    parts += [f"{count:,} {word}: not counted" for count, word in ((one.failed, "failed"), (one.unasked, "not asked"))
              if count]  # fmt: skip
    return ["; ".join(parts) + "."]


def _fields(found: Iterable[Confusion]) -> Table:
    rows = [
        [
            neutral(one.field),
            f"{len(one.words):,} of {'the task' if one.source == 'task' else 'references'}",
            f"{one.asked:,}",
            percent(one.correct / one.asked if one.asked else None),
            percent(one.out_of_vocabulary.value),
            _interval(one.out_of_vocabulary),
            percent(one.micro.f1),
            _interval(one.micro_f1) + ("*" if one.micro_f1.unreliable else ""),
            percent(one.macro.f1),
        ]
        for one in found
    ]
    columns = ["field", "words", "cells", "right %", "outside %", "95 %", "micro F1", "95 %", "macro F1"]
    return Table(columns, rows, "Fields (* too few samples for a reliable interval)")


def _interval(one: Estimate) -> str:
    return "-" if one.low is None or one.high is None else f"{percent(one.low)} to {percent(one.high)}"


def _matrix(one: Confusion) -> Table | None:
    rows, _, table = one.matrix(MATRIX)
    values = len(rows) - 2
    heads = [*(str(at + 1) for at in range(values)), "null", "other", "unread"]
    names = [f"{at + 1} {_short(name)}" if at < values else name for at, name in enumerate(rows)]
    body = [
        [name, *(str(count) if count else "." for count in line)]
        for name, line in zip(names, table.tolist(), strict=True)
        if any(line)
    ]
    unit = "tags" if one.tags else "answers"
    return Table(["reference", *heads], body, f"{neutral(one.field)}: rows references, columns {unit}")


def _hidden(one: Confusion) -> Lines | None:
    hidden = set(one.labels()) - set(one.labels(MATRIX))
    if not hidden:
        return None
    right = sum(count for (truth, given), count in one.counts.items() if truth == given and truth in hidden)
    return Lines([f"(other) holds {len(hidden):,} rarer values; where they meet, {right:,} answers are right."])


def _values(one: Confusion) -> Table:
    rows = [
        [
            _short(value.value),
            f"{value.support:,}",
            f"{value.answered:,}",
            f"{value.correct:,}",
            percent(value.precision),
            _ends(value.precision_low, value.precision_high),
            percent(value.recall),
            _ends(value.recall_low, value.recall_high),
            percent(value.f1),
        ]
        for value in one.values[:MANY]
    ]
    rest = len(one.values) - MANY
    title = f"{neutral(one.field)}: each value" + (f" ({rest:,} rarer ones: --json, --csv)" if rest > 0 else "")
    columns = ["value", "support", "answered", "right", "precision %", "95 %", "recall %", "95 %", "F1 %"]
    return Table(columns, rows, title)


def _ends(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{percent(low)} to {percent(high)}"


def _confusions(found: Iterable[Confusion], most: int) -> Table:
    rows = []
    for one in found:
        support = _support(one.values)
        for truth, given, count in one.confusions(most):
            share = percent(count / support[truth]) if support.get(truth) else "-"
            rows.append([neutral(one.field), _short(truth), _short(given), f"{count:,}", share])
    columns = ["field", "reference", "taken for", "times", "share %"]
    return Table(columns, rows, "Most frequent confusions", left=frozenset(columns[:3]))


def _support(values: Sequence[ValueScore]) -> dict[str, int]:
    return {one.value: one.support for one in values}


def _unknown(found: Iterable[Confusion], most: int) -> Table:
    found = list(found)
    rows = [
        [
            neutral(one.field),
            _short(word.word) + "*" * word.grouped,
            f"{word.count:,}",
            _short(word.nearest) if word.nearest is not None else "-",
            "-" if word.similarity is None else f"{word.similarity:.2f}",
            f"{word.stood_for:,}",
            "; ".join(f"{_short(name)} {count:,}" for name, count in word.most_often[:2]) or "-",
        ]
        for one in found
        for word in one.unknown[:most]
    ]
    left = sum(max(0, len(one.unknown) - most) for one in found)
    names = sorted({one.similar_by for one in found if one.unknown})
    title = f"Outside the vocabulary, nearest word by {neutral(', '.join(names))}"
    title += (
        " (* a group of its own in the synonym table)" if any(w.grouped for one in found for w in one.unknown) else ""
    )
    title += f" ({left:,} more: --field NAME, --json)" if left else ""
    columns = ["field", "answered", "times", "nearest", "similar", "instead of it", "mostly instead of"]
    return Table(columns, rows, title, left=frozenset({"answered", "nearest", "mostly instead of"}))


def _snippet(found: Iterable[Confusion]) -> Lines | None:
    lines = [
        f"{neutral(one.field)}: {json.dumps(groups, ensure_ascii=True)}" for one in found if (groups := one.synonyms())
    ]
    return Lines(lines, "Perhaps synonyms: look at them, then paste what is right into the field's synonym table")


def _short(text: str) -> str:
    shown = neutral(text[: 2 * _WIDE])
    return shown if len(shown) <= _WIDE else f"{shown[: _WIDE - 1]}…"
