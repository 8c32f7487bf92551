"""What a leaderboard puts into the card of an organisation: a section, and the proof of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from peakbench.analysis.leaderboard.standings import Leaderboard
from peakbench.hub.markers import find_section, section_key, with_section
from peakbench.hub.pushing import CARD, Check
from peakbench.report.cards import board_rows, board_section
from peakbench.report.tables import neutral


class BoardCard:
    """A leaderboard as it is to stand in a repository, by its title: a second one of another title stands beside it."""

    def __init__(self, board: Leaderboard) -> None:
        self.board = board
        self.key = section_key("leaderboard", board.title)
        self.message = f"PeakBench: {neutral(board.title, limit=80)}"

    def reads(self, path: str) -> bool:
        """The card alone."""
        return path == CARD

    def changes(self, files: Mapping[str, str], repo: str) -> tuple[dict[str, str], list[str]]:
        """Return the card with the section."""
        card = files.get(CARD, f"# {repo.partition('/')[0]}\n")
        return {CARD: with_section(card, self.key, board_section(self.board))}, []

    def checks(self, files: Mapping[str, str], repo: str) -> list[Check]:
        """Hold every row of the table against the leaderboard."""
        card = files.get(CARD, "")
        span = find_section(card, self.key)
        lines = re.findall(r"^\| (.*) \|\r?$", card[span[0] : span[1]], re.MULTILINE) if span else []
        rows = [tuple(re.split(r"(?<!\\) \| ", line)) for line in lines]
        there = {row: row for row in rows}
        return [Check(row[1], f"{CARD}: table", row, there.get(row)) for row in board_rows(self.board)]

    def shown_checks(self, info: Any, repo: str) -> list[Check]:
        """The Hub reads no numbers from a table."""
        return []
