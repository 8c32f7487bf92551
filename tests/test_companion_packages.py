"""The companion packages, installed for real: plugins that import nothing heavy and say what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"peakbench-mlflow": "mlflow", "peakbench-wandb": "wandb"}
RECIPES = "peakbench-recipes"
pytestmark = pytest.mark.skipif(not (ROOT / "plugins").is_dir(), reason="a source package, without plugins/")

LISTED = """
import json, sys
from peakbench.api.exports import destinations
from peakbench.builtins import open_plugins
print(json.dumps({
    "destinations": {name: one.contents for name, one in destinations().items()},
    "broken": [str(one) for one in open_plugins().broken],
    "heavy": [name for name in ("mlflow", "wandb") if name in sys.modules],
}))
"""


@pytest.fixture(scope="module")
def environment(new_environment: Callable) -> Any:
    made = new_environment("companions")
    for name in (*PACKAGES, RECIPES):
        made.install(str(ROOT / "plugins" / name))
    made.add_path(ROOT)
    return made


@pytest.mark.timeout(300)
def test_they_are_destinations_that_keep_contents_here(environment: Any) -> None:
    found = json.loads(environment.run("-c", LISTED))
    assert found["broken"] == []
    assert {found["destinations"][name] for name in PACKAGES.values()} == {False}
    assert found["heavy"] == []  # nobody pays for them who exports elsewhere


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("package", "module"), PACKAGES.items())
def test_without_the_service_the_install_command_is_named(environment: Any, package: str, module: str) -> None:
    if find_spec(module) is not None:
        pytest.skip(f"{module} is installed here")
    code = (
        "import tempfile, peakbench as pb\n"
        "from peakbench.api.exports import export\n"
        "out = tempfile.mkdtemp() + '/r'\n"
        "run = pb.run(endpoint='recorded', limit=2, resamples=10, metrics=['weighted_score'], out=out)\n"
        "try:\n"
        f"    export(run, '{module}:x')\n"
        "except pb.InputError as error:\n"
        "    print(error)\n"
    )
    assert "pip install" in environment.run("-c", code)


@pytest.mark.timeout(300)
def test_recipes_are_a_command_that_needs_no_torch(environment: Any) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'trl'): sys.modules[name] = None\n"
        "from peakbench.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    listed = {one["name"]: one for one in json.loads(environment.run("-c", code, "recipe", "list", "--json"))}
    assert {"reader", "florence"} <= set(listed)
    shown = environment.run("-c", code, "recipe", "show", "reader")
    assert listed["reader"]["command"] in shown
    assert "reward" in environment.run("-c", code, "metrics", "list")


@pytest.mark.timeout(1000)
@pytest.mark.parametrize(("package", "module"), [*PACKAGES.items(), (RECIPES, "torch")])
def test_their_own_tests_pass(package: str, module: str) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install ./plugins/{package}")
    folder = ROOT / "plugins" / package
    paths = os.pathsep.join(filter(None, [str(ROOT), str(folder), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(folder / "pyproject.toml")]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
