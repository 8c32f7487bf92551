"""Start-up: ``peakbench --help`` beside ``python -c pass``, taking turns in one run.

    env -u PYTHONDONTWRITEBYTECODE python tests/benchmarks/bench_startup.py

Aim: at most 20 times ``python -c pass``. The figure is the median over rounds of the wall time of the whole process;
the ratio is that of the medians. Bytecode is compiled in a first round that is not counted. ``console`` is what the
installed command does: its script in the environment's bin, where there is one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
AIM = 20.0
HELP = "import sys; from peakbench.cli import main; sys.exit(main(['--help']))"


def commands() -> dict[str, list[str]]:
    """What is timed, by name."""
    console = shutil.which("peakbench", path=str(Path(sys.executable).parent))
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import click": [sys.executable, "-c", "import click"],
        "import typer": [sys.executable, "-c", "import typer"],
        "peakbench --help": [sys.executable, "-c", HELP],
        "peakbench run --help": [sys.executable, "-c", HELP.replace("['--help']", "['run', '--help']")],
        "import peakbench": [sys.executable, "-c", "import peakbench"],
        **({"console": [console, "--help"]} if console else {}),
    }


def timed(command: list[str]) -> float | None:
    """Seconds that a command takes; None where it cannot be run."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    return None if done.returncode else time.perf_counter() - began


def main() -> int:
    """Time every command in turn and print medians and ratios; exit code 1 above the aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name, command in commands().items() if timed(command) is not None}
    for _ in range(given.rounds):
        for name, taken in found.items():
            seconds = timed(commands()[name])
            if seconds is not None:
                taken.append(seconds)
    base = statistics.median(found["python -c pass"])
    rows = {
        name: {
            "median_ms": statistics.median(taken) * 1000,
            "min_ms": min(taken) * 1000,
            "ratio": statistics.median(taken) / base,
        }
        for name, taken in found.items()
    }
    if given.json:
        print(json.dumps(rows, indent=2))
    else:
        print(f"{'':22}  median ms  min ms  times pass")
        for name, row in rows.items():
            print(f"{name:22}  {row['median_ms']:9.1f}  {row['min_ms']:6.1f}  {row['ratio']:10.1f}")
    return 0 if rows["peakbench --help"]["ratio"] <= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
