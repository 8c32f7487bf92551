"""What a model card says of a run: a few figures, by field, and how they were measured. Reads summary.json alone.

The text goes to a public page, so nothing in it comes from the machine: no path, no address of an endpoint. Names come
from outside, so :func:`escaped` takes their power: no markup, no HTML, no comment that could end a section.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from peakbench.errors import InputError, nearest
from peakbench.report.leaderboard import board_page
from peakbench.report.scores import highest_floor, interval
from peakbench.report.tables import Page, Table, neutral, percent, quantity

if TYPE_CHECKING:
    from peakbench.analysis.leaderboard.standings import Leaderboard

HEADLINES = (
    "weighted_score",
    "quality",
    "quality_lexical",
    "sbert_nli",
    "structured_match",
    "valued_f1",
    "json_parse_rate",
)
"""Metrics that a card shows unless others are asked for, as far as the run has them."""
_PUNCTUATION = frozenset("\\`*_[]<>|~$&#!@{}")
_LIMIT = 120


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric as a card shows it; ``value``, ``low``, ``high`` and ``skill`` as in summary.json.

    ``floor``: the answer without a model that scores highest, and its score. ``percent``: the value is a share, shown
    in per cent; otherwise it has a ``unit``.
    """

    metric: str
    title: str
    value: float
    low: float | None
    high: float | None
    floor: tuple[str, float] | None
    skill: float | None
    n: int
    unit: str
    signature: str
    higher_is_better: bool
    unreliable: bool

    @property
    def percent(self) -> bool:
        """Whether the value is a share."""
        return not self.unit

    @property
    def shown(self) -> str:
        """The value as the card's table has it."""
        return percent(self.value) if self.percent else quantity(self.value)

    @property
    def number(self) -> float:
        """The value as the card's metadata has it: per cent with two decimals, or as it is where it has a unit."""
        return shared_number(self.value) if self.percent else float(f"{self.value:.6g}")


def shared_number(value: float) -> float:
    """A share in per cent with two decimals; rounding never makes a whole of a part, nor nothing of something.

    >>> shared_number(0.97764), shared_number(0.999999), shared_number(0.000001), shared_number(1.0)
    (97.76, 99.99, 0.01, 100.0)
    """
    number = round(value * 100, 2)
    if number == 100.0 and value < 1:
        return 99.99
    if number == 0.0 and value:
        return math.copysign(0.01, value)
    return number


def escaped(text: object, *, limit: int = _LIMIT) -> str:
    r"""Return text that Markdown only prints: no markup, HTML, link, mention or formula.

    >>> escaped("a_b <!-- x --> [c](javascript:d) www.e.org http://f")
    'a\\_b \\<\\!-- x --\\> \\[c\\](javascript:d) www\\.e.org http\\://f'
    """
    shown = "".join(f"\\{letter}" if letter in _PUNCTUATION else letter for letter in neutral(text, limit=limit))
    return re.sub(r"(?i)www\.|[a-z]:(?=//)|(?:mailto|xmpp):", lambda it: f"{it[0][:-1]}\\{it[0][-1]}", shown).strip()


def code(text: object, *, limit: int = _LIMIT) -> str:
    """Return text as a code span in a table or a line, whatever stands in it.

    >>> code("a|b`c")
    "`a/b'c`"
    """
    shown = neutral(text, limit=limit).replace("`", "'").replace("|", "/").replace("<!--", "<! --").strip()
    return f"`{shown}`" if shown else ""


def _definition(one: Figure) -> str:
    # outside a table a bar is a bar, and a signature with others in its place would be another signature
    return "|".join(code(part, limit=400).strip("`") for part in (one.signature or one.metric).split("|"))


def figures(summary: Mapping[str, Any], metrics: Sequence[str] | None = None) -> list[Figure]:
    """Return what a card shows of a run.

    Args:
        summary: summary.json.
        metrics: ids, in this order; None: the headlines that the run has.

    Raises:
        InputError: an unknown metric, one that is unscored, or a run without any score.
    """
    entries: Mapping[str, Mapping[str, Any]] = summary["metrics"]
    if metrics is None:
        scored = [name for name, entry in entries.items() if entry.get("value") is not None and not entry.get("unit")]
        chosen: Sequence[str] = [name for name in HEADLINES if name in scored] or scored[:5]
    else:
        chosen = list(dict.fromkeys(metrics))
    for name in chosen:
        if name not in entries:
            raise InputError(f"the run has no metric '{name}'", hint=nearest(name, entries))
        if entries[name].get("value") is None:
            raise InputError(f"'{name}' is unscored: {entries[name].get('reason') or 'no reason given'}")
    if not chosen:
        raise InputError("nothing in this run is scored: there is nothing that a card could show")
    return [_figure(name, entries[name]) for name in chosen]


def _figure(name: str, entry: Mapping[str, Any]) -> Figure:
    return Figure(
        metric=name,
        title=str(entry.get("title") or name),
        value=float(entry["value"]),
        low=entry.get("low"),
        high=entry.get("high"),
        floor=highest_floor(entry),
        skill=entry.get("skill"),
        n=int(entry.get("n") or 0),
        unit=str(entry.get("unit") or ""),
        signature=str(entry.get("signature") or ""),
        higher_is_better=bool(entry.get("higher_is_better", True)),
        unreliable=bool(entry.get("unreliable")),
    )


def model_section(summary: Mapping[str, Any], shown: Sequence[Figure], *, picture: str | None = None) -> str:
    """Write what a card says of a run, in Markdown.

    Args:
        summary: summary.json.
        shown: the figures of the table, from :func:`figures`.
        picture: a file of the repository to show beside the table.
    """
    run = summary["run"]
    name = escaped((run.get("data") or {}).get("name") or "data")
    blocks = [f"## Evaluation on {name}", _sentence(summary, shown[0]), "\n".join(_figure_table(shown))]
    if picture:
        blocks.append(f"![Score of each field, with 95 % intervals and floors]({picture})")
    fields = [(key, one) for key, one in (summary.get("fields") or {}).items() if one.get("score") is not None]
    if fields:
        table = "\n".join(_field_table(fields))
        blocks.append(f"<details>\n<summary>By field</summary>\n\n{table}\n\n</details>")
    blocks.append("\n".join(["### How it was measured", "", *(f"- {line}" for line in _measured(summary, shown))]))
    definitions = "\n".join(f"- `{_definition(one)}`" for one in shown)
    blocks.append(f"<details>\n<summary>Definitions of the metrics</summary>\n\n{definitions}\n\n</details>")
    return "\n\n".join(blocks) + "\n"


def board_section(board: Leaderboard) -> str:
    """Write a leaderboard for an organisation's card, in Markdown."""
    blocks = []
    for block in _public(board).blocks:
        if isinstance(block, Table):
            if block.title:
                blocks.append(f"### {escaped(block.title, limit=200)}")
            blocks.append("\n".join(_table(block)))
        elif block.kind == "heading":
            blocks.append(f"## {escaped(block.lines[0], limit=200)}")
        else:
            blocks.append("\n".join(f"- {escaped(line, limit=800)}" for line in block.lines))
    return "\n\n".join(blocks) + "\n"


def board_rows(board: Leaderboard) -> list[tuple[str, ...]]:
    """The cells of every table of :func:`board_section`, row by row, as they are written."""
    tables = [block for block in _public(board).blocks if isinstance(block, Table)]
    return [tuple(escaped(cell) for cell in row) for table in tables for row in table.rows]


def _public(board: Leaderboard) -> Page:
    # the notes of a board are for whoever made it: they name folders of the machine
    return board_page(replace(board, notes=()))


def _table(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(map(escaped, table.columns)) + " |"
    yield "|" + "|".join(" --- " if table.is_left(index) else " ---: " for index in range(len(table.columns))) + "|"
    for row in table.rows:
        yield "| " + " | ".join(map(escaped, row)) + " |"


def _sentence(summary: Mapping[str, Any], first: Figure) -> str:
    total = int(summary["samples"].get("total") or 0)
    unit = " %" if first.percent else f" {escaped(first.unit)}"
    words = f"{_words(first)} **{first.shown}{unit}** on {total:,} sample{'' if total == 1 else 's'}"
    if first.low is not None and first.high is not None and first.percent:
        words += f" (95 % interval {interval(first.low, first.high)})"
    if first.floor:
        words += f"; an answer without a model reaches {percent(first.floor[1])} % ({escaped(first.floor[0])})"
    return words + "."


def _words(one: Figure) -> str:
    low = "" if one.higher_is_better else " (low is good)"
    return f"{escaped(one.title)}{low}"


def _figure_table(shown: Sequence[Figure]) -> Iterator[str]:
    yield "| Metric | | Score | 95 % | Floor | Skill, % | n |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
    for one in shown:
        unit = "%" if one.percent else escaped(one.unit)
        both = interval(one.low, one.high) if one.percent else _plain_interval(one)
        floor = f"{percent(one.floor[1])} {escaped(one.floor[0])}" if one.floor and one.percent else "-"
        cells = [_words(one), code(one.metric), f"{one.shown} {unit}", both + ("*" if one.unreliable else "")]
        yield "| " + " | ".join([*cells, floor, percent(one.skill), f"{one.n:,}"]) + " |"


def _plain_interval(one: Figure) -> str:
    return "-" if one.low is None or one.high is None else f"{quantity(one.low)}-{quantity(one.high)}"


def _field_table(fields: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    yield "| Field | Weight | Score, % | 95 % | Floor, % | n |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, one in fields:
        floor = highest_floor(one, higher_is_better=True)
        weight = one.get("weight")
        cells = [
            escaped(name),
            "-" if weight is None else f"{weight:g}",
            percent(one["score"]),
            interval(one.get("low"), one.get("high")),
            percent(floor[1]) if floor else "-",
            f"{one.get('n') or 0:,}",
        ]
        yield "| " + " | ".join(cells) + " |"


def _measured(summary: Mapping[str, Any], shown: Sequence[Figure]) -> Iterator[str]:
    run, samples = summary["run"], summary["samples"]
    task, data = run.get("task") or {}, run.get("data") or {}
    versions = run.get("versions") or {}
    counted = f"{int(samples.get('total') or 0):,} samples"
    if data.get("limit"):
        counted = f"the first {counted}"
    content = code(str(data.get("fingerprint") or "-")[:16])
    yield (
        f"Data {escaped(data.get('name') or '-')}, {counted}, content {content}; "
        f"task {escaped(task.get('id') or '-')} v{task.get('version', 1)}."
    )
    endpoint = run.get("endpoint") or {}
    if endpoint.get("transport") == "file":
        yield f"The answers of {escaped(run.get('model') or '-')} came from elsewhere and were scored here."
    else:
        yield "Asked: " + ", ".join(_asked(run)) + "."
    yield "Answers: " + _answers(samples) + "."
    if run.get("profile"):
        yield f"Profile {escaped(run['profile'])}: for comparison with published numbers only."
    yield (
        "Floor: the best that an answer without a model scores. Skill: how far the score stands from the floor to the "
        "best possible. 95 %: interval over samples"
        + ("; * is not to be trusted." if any(one.unreliable for one in shown) else ".")
    )
    at = str(run.get("created_at") or "")[:10]
    yield f"PeakBench {escaped(versions.get('peakbench') or '-')}, {escaped(at or '-')}."


def _asked(run: Mapping[str, Any]) -> list[str]:
    sampling = run.get("sampling") or {}
    asked = [f"model {escaped(run.get('model') or '-')}"]
    for key, words in (("temperature", "temperature"), ("max_tokens", "at most {} tokens"), ("seed", "seed")):
        if sampling.get(key) is not None:
            asked.append(words.format(sampling[key]) if "{}" in words else f"{words} {sampling[key]:g}")
    if sampling.get("structured") not in (None, "off"):
        asked.append(f"form asked for by {escaped(sampling['structured'])}")
    if run.get("max_side"):
        asked.append(f"images shrunk to {run['max_side']} pixels")
    repeats = int(run.get("repeats") or 1)
    asked.append("each asked once" if repeats == 1 else f"each asked {repeats} times")
    return asked


def _answers(samples: Mapping[str, Any]) -> str:
    words = []
    for key, text in (
        ("strict", "JSON as asked for"),
        ("extracted", "JSON found in other text"),
        ("repaired", "repaired"),
        ("off_schema", "JSON of another form"),
        ("unparseable", "no JSON"),
        ("text", "text"),
        ("failed", "failed at the endpoint, not scored"),
        ("unasked", "not asked"),
    ):
        if samples.get(key):
            words.append(f"{int(samples[key]):,} {text}")
    return ", ".join(words) or "none"
