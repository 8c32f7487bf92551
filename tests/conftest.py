"""What several test files use."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from peakbench.metrics.base import Lexicon


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment that sees the packages of this one, but not its editable installs."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def site(self) -> Path:
        return next(self.folder.glob("lib/python*/site-packages"))

    def add_path(self, folder: Path) -> None:
        """Make what lies in a folder importable, after what is installed."""
        with (self.site / "zz_paths.pth").open("a", encoding="utf-8") as file:
            file.write(f"{folder}\n")

    def install(self, *what: str) -> None:
        """Install without dependencies, without a network."""
        offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
        self._run([sys.executable, "-m", "pip", "--python", self.python, "install", *offline, *what])

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run the environment's Python outside the repository; return what it wrote to stdout."""
        return self._run([self.python, *arguments], code=code)

    def _run(self, command: list[str], code: int = 0) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            env={key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "PYTHONHOME"}},
        )
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def new_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Environment]:
    """Make a fresh virtual environment by name."""
    for needed in ("pip", "hatchling"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install -e '.[dev]'")

    def make(name: str) -> Environment:
        folder = tmp_path_factory.mktemp("environments") / name
        venv.create(folder, with_pip=False, symlinks=True)
        environment = Environment(folder)
        environment.add_path(Path(sysconfig.get_path("purelib")))
        return environment

    return make


@pytest.fixture(scope="session")
def wordnet() -> Lexicon:
    """WordNet as it was fetched; without it, the tests that need it are skipped."""
    from peakbench.backends import weights

    reason = weights.missing_reason("wordnet")
    if reason is not None:
        pytest.skip(reason)
    from peakbench.backends.lexicon import open_lexicon

    return open_lexicon()


@pytest.fixture(scope="session")
def mpnet() -> Path:
    """The folder of the real all-mpnet-base-v2, as it was fetched; without it, the tests that need it are skipped."""
    from peakbench.backends import weights

    reason = weights.missing_reason("all-mpnet-base-v2")
    if reason is not None:
        pytest.skip(reason)
    return weights.folder("all-mpnet-base-v2")


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which finds what keeps people out of a page; PEAKBENCH_AXE names its file or package."""
    place = os.environ.get("PEAKBENCH_AXE")
    if not place:
        pytest.skip("PEAKBENCH_AXE does not name axe-core")
    if place.endswith(".tgz"):
        with tarfile.open(place) as archive:
            member = archive.extractfile("package/axe.min.js")
            assert member is not None
            return member.read().decode()
    return Path(place).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def no_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What weights this machine has changes no test, except those that ask for them by fixture."""
    if not {"mpnet", "wordnet", "deberta"} & set(request.fixturenames):
        monkeypatch.setenv("PEAKBENCH_WEIGHTS", str(tmp_path / "no-weights"))
        monkeypatch.setenv("PEAKBENCH_VECTORS", "off")
