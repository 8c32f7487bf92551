"""What the view reads of runs on disk: where they lie, who writes them, and a journal as it grows."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

import peakbench as pb
from peakbench.records import Completion, Failure, Response
from peakbench.store import RunDirectory, dump_completion
from peakbench.viewer import tailing
from peakbench.viewer.catalogue import Catalogue
from peakbench.viewer.folders import DEPTH, find_runs
from peakbench.viewer.progress import Progress
from peakbench.viewer.tailing import JournalTail

ANSWER = json.dumps({"type": "shirt", "color": "navy"})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the embedded data, and one that was ended in the middle."""
    folder = tmp_path_factory.mktemp("runs")
    pb.run(endpoint="recorded", out=folder / "one", limit=6, resamples=50, metrics=["weighted_score"])
    shutil.copytree(folder / "one", folder / "cut")
    for name in ("summary.json", "scores.jsonl"):
        (folder / "cut" / name).unlink()
    journal = folder / "cut" / "responses.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:4]))
    return folder


def test_runs_are_found_at_any_depth_that_is_meant(made: Path, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abc")
    shutil.copytree(made / "one", deep / "in")
    shutil.copytree(made / "one", tmp_path / "a" / "in")
    shutil.copytree(made / "one", tmp_path / "a" / "in" / "inner")
    shutil.copytree(made / "one", tmp_path / ".hidden" / "in")
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert DEPTH == 3
    found = find_runs([tmp_path])
    assert tmp_path / "a" / "in" in found
    assert deep / "in" not in found
    assert not any("inner" in path.parts or ".hidden" in path.parts for path in found)
    assert find_runs([deep]) == [deep / "in"]
    assert find_runs([made / "one"]) == [made / "one"], "a run itself is a folder of one"


def test_the_viewer_takes_no_lock_and_moves_no_file(made: Path, tmp_path: Path) -> None:
    """RunDirectory.open ends what a kill between two files left, and would take them from a run that is being made."""
    run = tmp_path / "new"
    shutil.copytree(made / "cut", run)
    (run / "task.json").rename(run / ".task.json.tmp")
    (run / ".lock").unlink()
    os.utime(run / "run.json")
    catalogue = Catalogue([tmp_path])
    catalogue.refresh()
    (row,) = catalogue.changes(0)["rows"]
    assert row["state"] == "starting"
    assert (run / ".task.json.tmp").exists()
    assert not (run / ".lock").exists()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux lists its locks")
def test_a_locked_run_is_asking_and_a_killed_one_is_not(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "going"
    shutil.copytree(made / "cut", run)
    record = json.loads((run / "run.json").read_text())
    record["sessions"] = [{"started_at": 1.0, "wall_s": None, "workers": 2}]
    (run / "run.json").write_text(json.dumps(record))
    os.utime(run / "responses.jsonl", (1, 1))

    def state() -> str:
        catalogue = Catalogue([tmp_path])
        catalogue.refresh()
        (row,) = catalogue.changes(0)["rows"]
        return str(row["state"])

    assert state() == "unfinished"
    with RunDirectory.open(run).lock():
        assert state() == "asking"
    assert state() == "unfinished"


def line(name: str, *, failed: bool = False, latency: float = 0.5, text: str = "{}") -> bytes:
    failure = Failure("timeout", "too slow", None) if failed else None
    response = None if failed else Response(text, latency_s=latency)
    return dump_completion(Completion(name, 0, response, failure, started_at=time.time()))


def test_a_journal_is_read_once_however_often_one_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    real = tailing.load_completion
    monkeypatch.setattr(tailing, "load_completion", lambda one: read.append(one) or real(one))
    path = tmp_path / "responses.jsonl"
    tail = JournalTail(path)
    assert tail.read() is False
    path.write_bytes(line("a") + line("b", failed=True))
    assert tail.read() is True
    assert tail.read() is False
    torn = line("c")
    with path.open("ab") as file:
        file.write(torn[:30])
        file.flush()
        assert tail.read() is False, "a line that is being written waits"
        file.write(torn[30:])
    assert tail.read() is True
    assert len(read) == 3
    assert (len(tail), tail.states["answered"], tail.states["failed"]) == (3, 2, 1)
    with path.open("ab") as file:
        file.write(line("b"))
    tail.read()
    assert (len(tail), tail.states["failed"], +tail.failures, tail.retried) == (3, 0, {}, 1), "the last line counts"
    path.write_bytes(line("z"))
    tail.read()
    assert (len(tail), tail.lines) == (1, 1), "a journal that was shortened is read from its beginning"
    path.unlink()
    assert tail.read() is True
    assert len(tail) == 0


def test_a_long_journal_does_not_hold_up_the_others(tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    path.write_bytes(b"".join(line(f"s{place}") for place in range(2000)))
    tail = JournalTail(path)
    tail.read(0.0)
    assert not tail.whole
    assert 0 < len(tail) < 2000
    while not tail.whole:
        tail.read(0.01)
    assert len(tail) == 2000


def test_progress_counts_what_the_journal_says(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made / "cut", run)
    lines = [line("a", text="no json", latency=3.0), line("b", failed=True), line("c", text=ANSWER, latency=1.0)]
    (run / "responses.jsonl").write_bytes(b"".join(lines) + b"damaged\n")
    found = Progress(run).look(0, asking=True)
    assert {one["state"]: one["count"] for one in found["states"]} == {"strict": 1, "unparseable": 1, "failed": 1}
    assert found["failures"] == [{"kind": "timeout", "count": 1}]
    assert (found["done"], found["damaged"], found["p50"], found["p90"]) == (3, 1, 1.0, 3.0)
    assert [one["sample"] for one in found["latest"]] == ["c", "b", "a"]
    assert found["rate"] is not None
