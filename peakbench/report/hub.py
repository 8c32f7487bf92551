"""Plans and pushes to the Hub for people: the change line by line, what was left alone, the numbers read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peakbench.report.tables import Lines, Page, Table, neutral

_WIDTH = 4000


def plan_page(plan: Mapping[str, Any]) -> Page:
    """Lay out a plan, given as its dictionary.

    >>> print(plan_page({"repo": "o/m", "head": "0" * 40, "unchanged": True, "files": [], "notes": []}).text())
    o/m at 000000000000
    nothing to change: the card says it already
    <BLANKLINE>
    """
    page = Page()
    lines = [f"{neutral(plan['repo'])} at {neutral(plan['head'], limit=12).partition('…')[0]}"]
    if plan["unchanged"]:
        lines.append("nothing to change: the card says it already")
    page.add(Lines(lines, kind="heading"))
    for file in plan["files"]:
        page.add(Lines([neutral(line, limit=_WIDTH) for line in file["diff"]]))
    page.add(Lines([neutral(note, limit=400) for note in plan["notes"]], "Left as it is", "note"))
    return page


def push_page(push: Mapping[str, Any]) -> Page:
    """Lay out what a push did, given as its dictionary."""
    page = Page()
    first = f"{neutral(push['repo'])}: " + ("one commit" if push["committed"] else "nothing to change")
    if push["attempts"] > 1:
        first += f", in {push['attempts']} attempts"
    page.add(Lines([first, neutral(push["url"], limit=_WIDTH)], kind="heading"))
    page.add(_checks(push["checks"]))
    page.add(Lines([neutral(one, limit=600) for one in push["warnings"]], "The Hub says", "note"))
    page.add(Lines([neutral(note, limit=400) for note in push["notes"]], "Left as it is", "note"))
    return page


def _checks(checks: Sequence[Mapping[str, Any]]) -> Table | None:
    if not checks:
        return None
    places = list(dict.fromkeys(one["where"] for one in checks))
    rows = []
    for place in places:
        here = [one for one in checks if one["where"] == place]
        rows.append([neutral(place), f"{sum(one['same'] for one in here)} of {len(here)}", _examples(here)])
    return Table(["read back from", "the same", "numbers"], rows, left=frozenset({"numbers"}))


def _examples(checks: Sequence[Mapping[str, Any]]) -> str:
    shown = [one for one in checks if not isinstance(one["hub"], tuple | list)][:4]
    words = [f"{neutral(one['what'], limit=60)} {neutral(one['hub'])}" for one in shown]
    return ", ".join(words) + (", ..." if len(checks) > len(shown) else "") if words else ""


def synced_line(one: Mapping[str, Any]) -> str:
    """What came of one run, in a line.

    >>> synced_line({"run": "runs/a", "repo": None, "state": "skipped", "why": "no repository", "commit": None})
    'runs/a: skipped: no repository'
    """
    where = f" -> {neutral(one['repo'])}" if one["repo"] else ""
    words = {"planned": "would change"}.get(one["state"], one["state"])
    what = f"{words}: {neutral(one['why'].split(chr(10), 1)[0], limit=400)}" if one["why"] else words
    if one.get("commit") and one["state"] == "pushed":
        what += f" {neutral(one['commit'][:12])}"
    return f"{neutral(one['run'])}{where}: {what}"


def counted(states: Iterable[str]) -> str:
    """How many runs came to which end.

    >>> counted(["pushed", "skipped", "pushed"])
    '2 pushed, 1 skipped'
    """
    given = list(states)
    return ", ".join(f"{given.count(state)} {state}" for state in dict.fromkeys(given)) or "no finished run"
