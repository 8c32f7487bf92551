"""The pages of the view: its own from templates that escape, reports as ``peakbench report`` writes them."""

from __future__ import annotations

import html
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from peakbench import __version__
from peakbench.api.comparisons import compare
from peakbench.backends import open_tools
from peakbench.builtins import open_registry
from peakbench.report.html.assembly import comparison_html, run_html
from peakbench.report.html.page import HERE as REPORT
from peakbench.report.html.page import policy
from peakbench.report.html.source import open_source
from peakbench.report.tables import neutral
from peakbench.runs import Run
from peakbench.store.directory import RESPONSES, RUN, SAMPLES, SCORES, SUMMARY, TASK
from peakbench.viewer.rows import Stamp, stamp

HERE = Path(__file__).parent
KEPT = 24
"""Reports that are kept ready."""

KEPT_CHARS = 200_000_000
"""Characters of all reports that are kept ready."""

PICTURES = "pictures"
"""The folder of the pictures that do not fit into a report, as its page calls it."""

_FILES = (RUN, TASK, SAMPLES, RESPONSES, SCORES, SUMMARY)
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
_BRAND = '<span class="brand">PeakBench</span>'
_HOME = '<a class="brand" href="/">All runs</a>'


@dataclass(frozen=True, slots=True)
class Page:
    """A page, the policy under which a browser shows it, and the pictures it has beside it, by name."""

    text: str
    policy: str
    pictures: Mapping[str, Path] = field(default_factory=dict)


def own_page(template: str, *, script: str | None = None, **context: Any) -> Page:
    """Return a page of the view; ``script``: a file in ``static/``. Every text is escaped where it is shown."""
    theme = _static(REPORT / "static" / "page.js")
    own = _static(HERE / "static" / script) if script else None
    allowed = policy([theme, own] if own else [theme])
    text = (
        _environment()
        .get_template(template)
        .render(
            **context,
            version=__version__,
            styles=Markup(_static(REPORT / "static" / "report.css") + _static(HERE / "static" / "view.css")),  # noqa: S704
            theme=Markup(theme),  # noqa: S704 - our own files
            script=Markup(own) if own else None,  # noqa: S704
        )
    )
    return Page(text, f"{allowed}; connect-src 'self'; frame-ancestors 'none'")


class Reports:
    """Reports of runs and of comparisons, made when they are asked for and kept until a file of theirs changes.

    Thread-safe; one report is made at a time, since each takes a processor of its own.
    """

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[Path, ...], tuple[tuple[Stamp, ...], Page, TemporaryDirectory[str]]] = (
            OrderedDict()
        )
        self._lock = threading.Lock()
        self._names = threading.Lock()

    def get(self, *paths: Path) -> Page:
        """Return the report of one run, or of runs held against the first.

        Raises:
            PeakBenchError: a run is unfinished or damaged, or they cannot be compared.
        """
        with self._lock:
            stamps = tuple(stamp(path, *_FILES) for path in paths)
            kept = self._made.get(paths)
            if kept is not None and kept[0] == stamps:
                with self._names:
                    self._made.move_to_end(paths)
                return kept[1]
            folder = TemporaryDirectory(prefix="peakbench-view-", ignore_cleanup_errors=True)
            try:
                page = _report(paths, Path(folder.name) / PICTURES)
            except BaseException:
                folder.cleanup()
                raise
            self._forget(paths)
            with self._names:
                self._made[paths] = (stamps, page, folder)
            while len(self._made) > 1 and (len(self._made) > KEPT or self._chars() > KEPT_CHARS):
                self._forget(next(iter(self._made)))
            return page

    def picture(self, name: str) -> Path | None:
        """Return the picture of that name, None where no page that is kept has one; names are hashes of pictures."""
        with self._names:
            return next((page.pictures[name] for _, page, _ in self._made.values() if name in page.pictures), None)

    def close(self) -> None:
        """Remove the pictures."""
        with self._lock:
            for paths in list(self._made):
                self._forget(paths)

    def _chars(self) -> int:
        return sum(len(page.text) for _, page, _ in self._made.values())

    def _forget(self, paths: tuple[Path, ...]) -> None:
        with self._names:
            kept = self._made.pop(paths, None)
        if kept is not None:
            kept[2].cleanup()


def _report(paths: Sequence[Path], files: Path) -> Page:
    runs = [Run(path) for path in paths]
    sources = [open_source(run.directory) for run in runs]
    registry = open_registry()
    if len(runs) == 1:
        text = run_html(sources[0], registry, open_tools(), files=files)
    else:
        text = comparison_html(sources, compare(*runs), registry, files=files)
    found = _POLICY.search(text)
    allowed = html.unescape(found[1]) if found else "default-src 'none'"
    pictures = {one.name: one for one in files.iterdir() if one.is_file()} if files.is_dir() else {}
    text = text.replace(_BRAND, _HOME, 1).encode("utf-8", errors="backslashreplace").decode("utf-8")
    return Page(text, f"{allowed}; frame-ancestors 'none'", pictures)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=lambda value: (
            neutral(value, keep="\n\t") if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _static(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if "</s" in text.lower():
        raise ValueError(f"{path.name}: what stands inside an element cannot hold its end tag")
    return text
