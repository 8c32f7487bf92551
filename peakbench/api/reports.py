"""write_report(): a run, or runs held against a first one, as a web page in one file."""

from __future__ import annotations

from pathlib import Path

from peakbench.analysis.comparison.pairing import How
from peakbench.api.comparisons import compare
from peakbench.backends import open_tools
from peakbench.builtins import open_registry
from peakbench.errors import InputError
from peakbench.runs import Run
from peakbench.store.directory import replace_file

REPORT, COMPARISON = "report.html", "comparison.html"


def write_report(
    run: Run | str | Path,
    *others: Run | str | Path,
    out: str | Path | None = None,
    how: How = "same",
    resamples: int = 10_000,
    seed: int = 0,
) -> Path:
    """Write a page that holds everything it shows, and return where it is.

    It works from the disk and without a network, in light and dark, on paper, with a keyboard and a screen reader.

    Args:
        run: a run or its directory.
        others: runs to hold against it; with any, the page is a comparison.
        out: the file. Default: ``report.html`` in the run directory, ``comparison.html`` in the first one's.
        how: as for :func:`peakbench.compare`; with ``others``.
        resamples: of a comparison's intervals and tests.
        seed: likewise.

    Raises:
        StoreError: a run is unfinished or damaged, or the page cannot be written.
        NotComparable: the runs did different tasks or samples.

    >>> import peakbench, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> _ = peakbench.run(out=f"{folder}/demo", limit=4, resamples=100)
    >>> page = write_report(f"{folder}/demo")
    >>> page.name, page.read_text(encoding="utf-8")[:15]
    ('report.html', '<!doctype html>')
    """
    from peakbench.report.html.assembly import comparison_html, run_html
    from peakbench.report.html.source import open_source

    runs = [one if isinstance(one, Run) else Run(one) for one in (run, *others)]
    path = Path(out) if out is not None else runs[0].path / (COMPARISON if others else REPORT)
    if path.is_dir():
        raise InputError("a folder, not a file", where=str(path), expected=f"--out FILE, like {path / REPORT}")
    registry = open_registry()
    sources = [open_source(one.directory) for one in runs]
    files = path.with_name(f"{path.stem}_files")
    if others:
        found = compare(*runs, how=how, resamples=resamples, seed=seed)
        text = comparison_html(sources, found, registry, files=files)
    else:
        text = run_html(sources[0], registry, open_tools(), files=files)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode("utf-8", errors="backslashreplace"))
    return path
