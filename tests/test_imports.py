"""What must not be loaded, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

HEAVY = ("torch", "transformers", "nltk", "pandas", "openai")


def modules_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nsys.stdout.flush()\nprint()\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines())


def command(*arguments: str) -> str:
    return f"from peakbench.cli import main\nassert main({list(arguments)!r}) in (0, None)"


def test_importing_peakbench_loads_nothing_heavy():
    loaded = modules_after("import peakbench")
    assert "peakbench" in loaded
    assert not loaded & {*HEAVY, "numpy", "pydantic", "aiohttp", "scipy", "PIL", "rich"}


def test_importing_every_public_name_loads_nothing_heavy():
    loaded = modules_after("import peakbench\nfor name in peakbench.__all__: getattr(peakbench, name)")
    assert "peakbench.api" in loaded
    assert not loaded & {*HEAVY, "PIL", "sentence_transformers"}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("run", "--help"), ("metrics", "--help")])
def test_help_loads_no_plugin_and_nothing_of_the_work(arguments):
    loaded = modules_after(command(*arguments))
    assert "peakbench.cli.app" in loaded
    assert not loaded & {*HEAVY, "numpy", "pydantic", "aiohttp", "scipy", "PIL", "rich", "pluggy", "orjson"}
    assert not loaded & {"peakbench.api", "peakbench.registry", "peakbench.metrics"}
    plugins = {entry.module for group in ("peakbench", "peakbench.commands") for entry in entry_points(group=group)}
    assert not loaded & plugins


def test_help_imports_no_command_but_the_one_that_is_called():
    loaded = modules_after(command("--help"))
    assert not {name for name in loaded if name.startswith("peakbench.cli.")} - {
        "peakbench.cli.app",
        "peakbench.cli.base",
    }


def test_completing_a_command_imports_none_of_them():
    code = (
        "import os\n"
        "os.environ |= {'_PEAKBENCH_COMPLETE': 'bash_complete', 'COMP_WORDS': 'peakbench s', 'COMP_CWORD': '1'}\n"
        "from peakbench.cli import main\n"
        "try: main([])\nexcept SystemExit: pass"
    )
    loaded = modules_after(code)
    assert {"plain,score", "plain,show"} <= loaded
    assert "peakbench.cli.score" not in loaded
