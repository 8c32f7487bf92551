"""A leaderboard as a folder: a page, a README, CSV and JSON, and the charts where they can be drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peakbench.analysis.findings.statements import Findings
from peakbench.analysis.leaderboard.standings import Leaderboard
from peakbench.analysis.lineage.pairs import Pairs
from peakbench.errors import InputError, MissingDependency, StoreError
from peakbench.report.findings import findings_page, first_findings
from peakbench.report.html.boards import Picture, board_html
from peakbench.report.leaderboard import board_csv, board_json, board_page
from peakbench.report.tables import Lines, Page, neutral
from peakbench.store.directory import replace_file
from peakbench.tasks import Task

README, TABLE, DATA, PAGE, CHARTS = "README.md", "leaderboard.csv", "leaderboard.json", "index.html", "charts"
_MARK = "<!-- written by peakbench leaderboard -->"


@dataclass(frozen=True, slots=True)
class WrittenBoard:
    """What was written. ``charts``: how many were drawn, each in light and dark; ``undrawn``: why there are none."""

    folder: Path
    files: tuple[Path, ...]
    charts: int = 0
    undrawn: str | None = None


@dataclass(slots=True)
class _Drawn:
    """Charts: for the page by group, and as files by group and chart, (light, dark)."""

    pictures: dict[int, list[Picture]] = field(default_factory=dict)
    files: dict[int, dict[str, tuple[Path, Path]]] = field(default_factory=dict)
    css: str = ""
    undrawn: str | None = None


def write_board(
    board: Leaderboard,
    folder: Path,
    *,
    findings: Findings | None = None,
    pairs: Sequence[Pairs] = (),
    tasks: Mapping[int, Task] | None = None,
    charts: bool = True,
) -> WrittenBoard:
    """Write the folder.

    Args:
        findings: stand above the tables.
        pairs: for charts of what training and quantization did.
        tasks: of groups, by their places, for the chart of what fields count for.
        charts: whether to draw.

    Raises:
        InputError: the folder is none, or holds a README.md or an index.html of somebody else.
        StoreError: it cannot be written.
    """
    _check(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror}", where=str(folder)) from None
    drawn = _draw(board, folder / CHARTS, pairs, tasks or {}) if charts else _Drawn()
    page = board_html(board, pictures=drawn.pictures, chart_css=drawn.css, findings=findings)
    data = json.loads(board_json(board)) | {"findings": None if findings is None else findings.as_dict()}
    contents = {
        PAGE: page,
        README: _readme(board, findings, drawn, folder),
        TABLE: board_csv(board),
        DATA: json.dumps(data, indent=1, allow_nan=False) + "\n",
    }
    for name, text in contents.items():
        replace_file(folder / name, text.encode("utf-8", "backslashreplace"))
    pictures = [file for by_name in drawn.files.values() for both in by_name.values() for file in both]
    return WrittenBoard(folder, (*(folder / name for name in contents), *pictures), len(pictures) // 2, drawn.undrawn)


def _check(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError("a file, not a folder", where=str(folder), expected="a folder for the leaderboard")
    if (folder / "run.json").is_file():
        raise InputError("a run, not a folder for a leaderboard", where=str(folder), hint="choose another --out")
    readme = folder / README
    ours = readme.is_file() and readme.read_text(encoding="utf-8", errors="replace").startswith(_MARK)
    for name in (README, PAGE, TABLE, DATA):
        if (folder / name).exists() and not ours:
            raise InputError(
                "not written by peakbench leaderboard, so it is left alone",
                where=str(folder / name),
                hint="choose another --out, or move the file away",
            )


def _readme(board: Leaderboard, findings: Findings | None, drawn: _Drawn, folder: Path) -> str:
    page = board_page(board, findings=None if findings is None else first_findings(findings), struck=True)
    parts = [_MARK, "", page.markdown()]
    for number, files in drawn.files.items():
        title = neutral(board.groups[number].title, limit=200) if len(board.groups) > 1 else "Charts"
        parts.append(Page([Lines([f"Charts: {title}" if len(board.groups) > 1 else title], kind="heading")]).markdown())
        for name, (light, dark) in files.items():
            places = [file.relative_to(folder).as_posix() for file in (light, dark)]
            parts.append(
                f'<picture><source media="(prefers-color-scheme: dark)" srcset="{places[1]}">'
                f'<img alt="{name.replace("_", " ")}" src="{places[0]}"></picture>\n'
            )
    if findings is not None:
        parts.append(findings_page(findings).markdown())
    return "\n".join(parts)


def _draw(board: Leaderboard, folder: Path, pairs: Sequence[Pairs], tasks: Mapping[int, Task]) -> _Drawn:
    """Draw what the data of each group carry, a group of one standing aside."""
    from peakbench.report.charts import CHARTS as KINDS
    from peakbench.report.charts import chart_files, figure, page_css

    drawn = _Drawn(css=page_css())
    several = [number for number in range(len(board.groups)) if len(board.of(number)) > 1]
    try:
        for number in several:
            paths = {one.path for one in board.of(number)}
            of = next((one for one in pairs if any(found.where in paths for found in one.candidates)), None)
            task = tasks.get(number)
            place = folder if len(several) == 1 else folder / str(number + 1)
            files = chart_files(board, place, group=number, pairs=of, task=task)
            drawn.files[number] = {name: (file, files.dark[name]) for name, file in files.light.items()}
            made = ((name, figure(name, board, group=number, pairs=of, task=task)) for name in KINDS)
            drawn.pictures[number] = [Picture(name, KINDS[name].title, one) for name, one in made if one is not None]
    except MissingDependency as error:
        return _Drawn(undrawn=str(error))
    return drawn
