"""A leaderboard as a folder: a page, a README, CSV and JSON, and the charts where they can be drawn."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakbench.analysis.findings.statements import Findings
from peakbench.analysis.leaderboard.standings import Leaderboard
from peakbench.errors import InputError, StoreError
from peakbench.report.findings import findings_page, first_findings
from peakbench.report.html.boards import Picture, board_html
from peakbench.report.leaderboard import board_csv, board_json, board_page
from peakbench.store.directory import replace_file

README, TABLE, DATA, PAGE, CHARTS = "README.md", "leaderboard.csv", "leaderboard.json", "index.html", "charts"
_MARK = "<!-- written by peakbench leaderboard -->"


@dataclass(frozen=True, slots=True)
class WrittenBoard:
    """What was written. ``undrawn``: charts that there are not, by their name, and why; "" for all of them."""

    folder: Path
    files: tuple[Path, ...]
    undrawn: Mapping[str, str]


def write_board(
    board: Leaderboard, folder: Path, *, findings: Findings | None = None, charts: bool = True
) -> WrittenBoard:
    """Write the folder.

    Raises:
        InputError: the folder is none, or holds a README.md or an index.html of somebody else.
        StoreError: it cannot be written.
    """
    _check(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror}", where=str(folder)) from None
    drawn, undrawn, css = _draw(board, folder / CHARTS) if charts else ({}, {"": "not asked for"}, "")
    pictures = [Picture(name, drawing) for name, (_, drawing) in drawn.items()]
    page = board_html(board, pictures=pictures, chart_css=css, findings=findings)
    data = json.loads(board_json(board)) | {"findings": None if findings is None else findings.as_dict()}
    contents = {
        PAGE: page,
        README: _readme(board, findings, {name: file for name, (file, _) in drawn.items()}),
        TABLE: board_csv(board),
        DATA: json.dumps(data, indent=1, allow_nan=False) + "\n",
    }
    for name, text in contents.items():
        replace_file(folder / name, text.encode("utf-8", "backslashreplace"))
    files = [folder / name for name in contents] + [file for file, _ in drawn.values()]
    return WrittenBoard(folder, tuple(files), undrawn)


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


def _readme(board: Leaderboard, findings: Findings | None, charts: Mapping[str, Path]) -> str:
    page = board_page(board, findings=None if findings is None else first_findings(findings))
    parts = [_MARK, "", page.markdown()]
    if charts:
        parts += ["### Charts", ""]
        parts += [f"![{name.replace('_', ' ')}]({CHARTS}/{file.name})\n" for name, file in charts.items()]
    if findings is not None:
        parts += [findings_page(findings).markdown()]
    return "\n".join(parts)


def _draw(board: Leaderboard, folder: Path) -> tuple[dict[str, tuple[Path, str]], dict[str, str], str]:
    """Draw what the data carry: by name, its file and its drawing for the page; what there is not, and why."""
    try:
        charts: Any = importlib.import_module("peakbench.report.charts")
    except ImportError as error:
        return {}, {"": str(error)}, ""
    return {}, {"": "no charts"} if not hasattr(charts, "CHARTS") else {}, ""
