"""What the pytest plugin costs a suite that does not use it.

    python tests/benchmarks/bench_pytest_plugin.py

The same suite, 200 tests in 10 files with a fixture each, is run with PeakBench installed and its plugin found by
pytest (``with``), with PeakBench installed and no such entry point (``without``), and so again (``again``, which shows
what the machine's noise is). The three take turns, in another order each round; a round's difference is
``with - without``. Wall time is that of the whole process; CPU time, which a busy machine disturbs less, is user and
system time of the process. Other plugins of the environment are blocked in all three. ``--cold`` writes no bytecode,
so that each session compiles what it loads, as in a container for one use.

Aim: a median difference below 20 ms by both clocks.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import entry_points
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
AIM_MS = 20.0
FILES, TESTS = 10, 20
ARMS = ("without", "with", "again")
FILE = """import pytest

@pytest.fixture
def number():
    return 1

@pytest.mark.parametrize("value", range({tests}))
def test_adds(number, value):
    assert value + number > value
"""


def install(folder: Path, *, plugin: bool) -> Path:
    """Lay PeakBench out as an installer does: the package, its metadata, the list of its files, its entry points."""
    shutil.copytree(ROOT / "peakbench", folder / "peakbench", ignore=shutil.ignore_patterns("__pycache__", "demo"))
    info = folder / "peakbench-0.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peakbench\nVersion: 0.0.0\n")
    points = "[console_scripts]\npeakbench = peakbench.cli:main\n"
    if plugin:
        points += "[pytest11]\npeakbench = peakbench.pytest_plugin\n"
    (info / "entry_points.txt").write_text(points)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))
    return folder


def others() -> list[str]:
    """Arguments that block every other plugin that this environment holds."""
    names = sorted({point.name for point in entry_points(group="pytest11")} - {"peakbench"})
    return [part for name in names for part in ("-p", f"no:{name}")]


def timed(suite: Path, site: Path, *, plugin: bool, cold: bool) -> tuple[float, float]:
    """Run the suite; return wall and CPU seconds of the process."""
    environment = os.environ | {"PYTHONPATH": str(site), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": ""}
    environment.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if cold:
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *others(),
        *([] if plugin else ["-p", "no:peakbench"]),
    ]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=suite, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"pytest ended with {process.returncode}")
    return wall, usage.ru_utime + usage.ru_stime


def loads(suite: Path, site: Path) -> bool:
    """Whether pytest finds the plugin there."""
    command = [sys.executable, "-m", "pytest", "--markers"]
    done = subprocess.run(
        command, cwd=suite, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, check=True
    )
    return b"@pytest.mark.peakbench(" in done.stdout


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, mean, and the mean's standard error."""
    return statistics.median(values), statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def main() -> int:
    """Time the arms in turn and print the paired differences; exit code 1 above the aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder, "suite")
        suite.mkdir()
        (suite / "pytest.ini").write_text("[pytest]\n")
        for number in range(FILES):
            (suite / f"test_{number}.py").write_text(FILE.format(tests=TESTS))
        sites = {name: install(Path(folder, name), plugin=name == "with") for name in ARMS}
        if not loads(suite, sites["with"]):
            raise SystemExit("pytest does not find the plugin: nothing would be measured")
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ARMS}
        for round_ in range(given.rounds + 1):
            for name in ARMS[round_ % 3 :] + ARMS[: round_ % 3]:
                one = timed(suite, sites[name], plugin=name == "with", cold=given.cold)
                if round_:  # the first compiles
                    taken[name].append(one)
    found = {}
    for place, clock in enumerate(("wall", "cpu")):
        without, with_, again = ([1000 * one[place] for one in taken[name]] for name in ARMS)
        median, mean, error = spread([b - a for a, b in zip(without, with_, strict=True)])
        noise = spread([b - a for a, b in zip(without, again, strict=True)])
        found[clock] = {
            "without_ms": statistics.median(without),
            "with_ms": statistics.median(with_),
            "difference_median_ms": median,
            "difference_mean_ms": mean,
            "standard_error_ms": error,
            "difference_of_fastest_ms": min(with_) - min(without),
            "noise_median_ms": noise[0],
            "noise_mean_ms": noise[1],
        }
    if given.json:
        print(json.dumps({"rounds": given.rounds, "cold": given.cold, **found}, indent=2))
    else:
        print(f"{FILES * TESTS} tests, {given.rounds} rounds{', no bytecode kept' if given.cold else ''}, ms")
        print(f"{'':5} {'without':>9} {'with':>9}   difference: median, mean ± se, fastest   without against itself")
        for clock, row in found.items():
            print(
                f"{clock:5} {row['without_ms']:9.1f} {row['with_ms']:9.1f}   {row['difference_median_ms']:18.1f}, "
                f"{row['difference_mean_ms']:.1f} ± {row['standard_error_ms']:.1f}, "
                f"{row['difference_of_fastest_ms']:.1f}   {row['noise_median_ms']:.1f}"
            )
    return 0 if max(row["difference_median_ms"] for row in found.values()) < AIM_MS else 1


if __name__ == "__main__":
    sys.exit(main())
