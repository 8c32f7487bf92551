"""peakbench_metrics.json is at the top level of the repository and is found from every kind of installation."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from peakbench.builtins import definition_file

ROOT = Path(__file__).parent.parent
FILE = ROOT / "peakbench_metrics.json"

PROGRAM = """
import json
from peakbench.builtins import definition_file, open_registry
registry = open_registry()
print(json.dumps({"file": str(definition_file()), "ids": registry.ids, "tasks": list(registry.tasks)}))
"""


def expected_ids() -> list[str]:
    return [metric["id"] for metric in json.loads(FILE.read_text(encoding="utf-8"))["metrics"]]


def test_in_a_checkout() -> None:
    assert definition_file() == FILE


@pytest.mark.timeout(300)
def test_from_an_editable_install(new_environment: Callable) -> None:
    environment = new_environment("editable")
    environment.install("--editable", str(ROOT))
    found = json.loads(environment.run("-c", PROGRAM))
    assert Path(found["file"]) == FILE
    assert found["ids"] == expected_ids()


@pytest.mark.timeout(300)
def test_from_a_wheel(new_environment: Callable, tmp_path: Path) -> None:
    environment = new_environment("wheel")
    build = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    environment.run(*build, "--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(ROOT))
    (wheel,) = tmp_path.glob("peakbench-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {"peakbench_metrics.json", "schemas/peakbench_metrics.schema.json", "data/tasks/garment.json", "py.typed"}
    assert {f"peakbench/{name}" for name in shipped} <= set(names)

    environment.install(str(wheel))
    found = json.loads(environment.run("-c", PROGRAM))
    assert Path(found["file"]) == environment.site / "peakbench" / "peakbench_metrics.json"
    assert Path(found["file"]).read_bytes() == FILE.read_bytes()
    assert found["ids"] == expected_ids()
    assert "garment" in found["tasks"]
