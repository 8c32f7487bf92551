"""A run in Weights & Biases, offline: what it leaves on disk is read back."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peakbench as pb
import pytest
from peakbench.testing import Reply, ScriptedEndpoint

wandb = pytest.importorskip("wandb", reason="needs Weights & Biases: pip install wandb")
import peakbench_wandb

METRICS = ["weighted_score", "consistency"]  # the second needs repeats: unscored here
ANSWER = '{"type": "t-shirt", "color": "red", "pattern": "solid", "brand": null}'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pb.Run:
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()  # it reads its variables once a process
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with ScriptedEndpoint(ANSWER, faults=[lambda asked: Reply(status=500) if asked.number == 0 else None]) as server:
        return pb.run(
            endpoint=server.url,
            model="m=<b>",
            limit=6,
            retries=0,
            resamples=100,
            metrics=METRICS,
            out=tmp_path / "run",
        )


def records(folder: Path) -> Iterator[Any]:
    """Read the logs: the log format of LevelDB after a head of 7 bytes (blocks of 32 KiB, records in parts).

    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    from wandb.proto import wandb_internal_pb2

    wandb.teardown()  # its writer has ended: everything is on disk
    for path in sorted(folder.rglob("run-*.wandb")):
        data, place, whole = path.read_bytes(), 7, b""
        while place + 7 <= len(data):
            if 32768 - place % 32768 < 7:
                place += 32768 - place % 32768
                continue
            _, length, kind = struct.unpack_from("<IHB", data, place)
            whole += data[place + 7 : place + 7 + length]
            place += 7 + length
            if kind in {1, 4}:  # a whole record, or its last part
                record = wandb_internal_pb2.Record()
                record.ParseFromString(whole)
                whole = b""
                yield record


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in records(folder):
        for item in record.summary.update:
            found[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return found


def tables(folder: Path) -> dict[str, Any]:
    return {path.name.split("_")[0]: json.loads(path.read_text()) for path in folder.rglob("*.table.json")}


def test_the_numbers_are_those_of_the_summary(run: pb.Run, tmp_path: Path) -> None:
    peakbench_wandb.log_run(run, "garments")
    found, entry = summary(tmp_path), run.summary["metrics"]["weighted_score"]
    assert found["weighted_score"] == entry["value"]
    assert (found["weighted_score.low"], found["weighted_score.high"]) == (entry["low"], entry["high"])
    assert found["weighted_score.floor"] == max(value for value in entry["floor"].values() if value is not None)
    assert found["field.color"] == run.summary["fields"]["color"]["score"]
    assert (found["samples.failed"], found["samples.answers"]) == (1, 6)
    assert "consistency" not in found  # unscored is no number
    (begun,) = (record.run for record in records(tmp_path) if record.HasField("run"))
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert (begun.project, config["model"], config["sampling"]["max_tokens"]) == ("garments", "m=<b>", 512)


def test_contents_stay_here(run: pb.Run, tmp_path: Path) -> None:
    peakbench_wandb.log_run(run)
    assert set(tables(tmp_path)) == {"scores"}
    written = b"".join(path.read_bytes() for path in (tmp_path / "wandb").rglob("*") if path.is_file())
    assert b"t-shirt" not in written


def test_contents_go_where_they_are_asked_for(run: pb.Run, tmp_path: Path) -> None:
    peakbench_wandb.log_run(run, contents=True)
    answers = tables(tmp_path)["answers"]
    assert len(answers["data"]) == 6
    texts = [row[answers["columns"].index("text")] for row in answers["data"]]
    assert texts.count(None) == 1
    assert texts.count(ANSWER) == 5


def test_the_same_run_has_the_same_id(run: pb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, init = [], wandb.init

    def noted(**options: Any) -> Any:
        begun.append((options["id"], options["resume"]))
        return init(**options)

    monkeypatch.setattr(wandb, "init", noted)
    peakbench_wandb.log_run(run)
    pb.score(run, metrics=["weighted_score"], resamples=200)
    peakbench_wandb.log_run(pb.load_run(run.path))
    assert begun[0] == begun[1]
    assert begun[0][1] == "allow"


def test_it_is_a_destination(run: pb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from peakbench.destinations import Export

    asked: list[Any] = []
    monkeypatch.setattr(
        peakbench_wandb, "log_run", lambda *args, **options: asked.append((args[1:], options)) or "there"
    )
    (destination,) = peakbench_wandb.peakbench_destinations()
    for target in ("team/garments", "garments", ""):
        assert destination.write(Export(run, target, contents=destination.contents)).endswith("there")
    assert [(project, options["entity"]) for (project,), options in asked] == [
        ("garments", "team"),
        ("garments", None),
        ("peakbench", None),
    ]
    assert not any(options["contents"] for _, options in asked)


def test_nothing_is_sent(run: pb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def here(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] in {"127.0.0.1", "::1", "localhost"}, address
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", here)
    peakbench_wandb.log_run(run)


def test_a_server_that_refuses_is_the_users_to_mend(run: pb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from peakbench.destinations import Export
    from wandb.errors import UsageError

    def refused(**_: Any) -> None:
        raise UsageError("no key")

    monkeypatch.setattr(wandb, "init", refused)
    (destination,) = peakbench_wandb.peakbench_destinations()
    with pytest.raises(pb.InputError, match="did not take the run: no key"):
        destination.write(Export(run, "", contents=False))
