"""Every notebook runs from top to bottom in a kernel of its own, offline, and shows what its text says."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SHOWN = {
    "first_run.ipynb": ["data:image/jpeg;base64,", "'skill': 0.58", "unparseable", "(2, 0.883"],
    # By hand: every third of 24 answers is 8; g10 is no bare JSON and stays, g13 was wrong before with "tan": 6 fields
    # are worse, and 6 of 24 is 0.25.
    "compare_models.ipynb": [
        "{'color': -0.25}",
        "6 fields became worse, 0 better, in 6 samples",
        "twin against recorded",
    ],
    "audit_labels.ipynb": ["camouflage", "data:image/jpeg;base64,"],
    # By hand, the fields of g03 in both: t-shirt, blue for navy, striped, crew neck, short sleeve, pullover, and a hole
    # that the answer leaves out: 5 of 7 begin with the same letter.
    "write_metric.ipynb": ["catalogue_score", "same_first_letter", "0.7142857142857143"],
    "gate_in_ci.ipynb": ["('undecided', 5)", "('fell', 4)", "('passed', True)", "FELL"],
}


def notebook(name: str) -> Any:
    return json.loads((EXAMPLES / name).read_text(encoding="utf-8"))


def test_every_notebook_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.ipynb")} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_is_kept_as_it_was_before_it_ran(name: str) -> None:
    found = notebook(name)
    assert (found["nbformat"], found["cells"][0]["cell_type"]) == (4, "markdown")
    code = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in found["cells"]}) == len(found["cells"])


# Libraries of the kernel warn about sockets and loops of their own; what a cell warns of stands in its output.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pandas", reason="the notebooks show tables: pip install 'peakbench[data]'")
    pytest.importorskip("ipykernel", reason="needs a kernel: pip install ipykernel nbclient")
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient: pip install ipykernel nbclient")
    nbformat = pytest.importorskip("nbformat")
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    for variable in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))

    class ThisPython(AsyncKernelManager):
        """The kernel of the Python that runs the tests, whatever kernels are installed beside it."""

        @property
        def kernel_spec(self) -> KernelSpec:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="this", language="python")

    found = nbformat.reads(json.dumps(notebook(name)), as_version=4)
    # before the first cell: nothing but this machine can be reached
    found.cells.insert(0, nbformat.v4.new_code_cell(OFFLINE))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(found, timeout=100, resources=resources, kernel_manager_class=ThisPython).execute()
    outputs = [one for cell in found.cells if cell["cell_type"] == "code" for one in cell["outputs"]]
    assert [one for one in outputs if one["output_type"] == "error" or one.get("name") == "stderr"] == []
    shown = "".join(
        str(one.get("text", "")) + "".join(str(part) for part in one.get("data", {}).values()) for one in outputs
    )
    assert [expected for expected in SHOWN[name] if expected not in shown] == [], shown[-3000:]
    assert "<script" not in shown


OFFLINE = """
import socket
connect = socket.socket.connect
def only_here(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise AssertionError(f"a request to {address}")
    return connect(self, address)
socket.socket.connect = only_here
"""


def test_the_offline_guard_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "connect", socket.socket.connect)  # put back afterwards
    exec(OFFLINE, {})
    with socket.socket() as one, pytest.raises(AssertionError, match="a request to"):
        one.connect(("192.0.2.1", 80))
