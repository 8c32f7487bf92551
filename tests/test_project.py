"""What holds for the project as a whole: lint, format, types, directions of imports, and a site without warnings."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CHECKS = {
    "lint": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "types": ["-m", "mypy"],
    "import directions": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
    "site": ["-m", "mkdocs", "build", "--strict"],
}
TOOLS = {"lint": "ruff", "format": "ruff", "types": "mypy", "import directions": "importlinter", "site": "mkdocs"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHECKS)
def test_check_passes(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(TOOLS[name]) is None:
        pytest.skip(f"{TOOLS[name]} is not installed: pip install -e '.[dev]'")
    command = [sys.executable, *CHECKS[name]]
    if name == "site":
        command += ["--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    if name == "site":
        assert "WARNING" not in done.stdout + done.stderr


def test_nothing_names_another_place() -> None:
    """Nothing shipped or documented points outside the repository or to one machine."""
    names = [f"..{os.sep}shared", "/root/", "/tmp/pb"]
    for path in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("peakbench/**/*.py"), ROOT / "README.md"]:
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if name in text], path
