"""The run directory: formats, refusals, the lock, the journal and its index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import tracemalloc
from io import FileIO
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peakbench as pb
from peakbench.datasets import ImageRecord, SampleRecord
from peakbench.errors import StoreError
from peakbench.records import Completion, Failure, Response, Sampling
from peakbench.store import (
    DataRecord,
    EndpointRecord,
    Journal,
    JournalIndex,
    RunDirectory,
    RunRecord,
    TaskRecord,
    dump_completion,
    load_completion,
    task_sha256,
)
from peakbench.store import journal as journal_room
from peakbench.store.formats import load_line
from peakbench.store.record import public_url
from peakbench.store.schemas import FOLDER, schemas
from peakbench.tasks import Task

TASK = Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}, "size": {}}})


def record(**changes: Any) -> RunRecord:
    base = RunRecord(
        name="first",
        created_at="2026-11-21T10:00:00+00:00",
        task=TaskRecord(id="shirt", version=1, sha256=task_sha256(TASK)),
        data=DataRecord(name="eval", source="eval.jsonl", fingerprint="f" * 64, samples=2),
        endpoint=EndpointRecord(url="http://127.0.0.1:8000/v1", transport="aiohttp"),
        model="m",
        sampling=Sampling(),
        workers=8,
        versions={"peakbench": "0.1.0"},
    )
    return base.model_copy(update=changes)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", record(), TASK)


def answer(sample_id: str, text: str | None = "{}", repeat: int = 0) -> Completion:
    return Completion(sample_id, repeat, Response(text, latency_s=0.5), None, "a" * 64, 1, 100.0, (("b" * 64, 9),))


def failure(sample_id: str, repeat: int = 0) -> Completion:
    return Completion(sample_id, repeat, None, Failure("server_error", "boom", 500), "a" * 64, 6, 100.0)


# run.json and task.json


def test_a_run_is_read_as_it_was_made(run: RunDirectory) -> None:
    again = RunDirectory.open(run.path)
    assert again.run == run.run == record()
    assert again.task == TASK
    assert task_sha256(again.task) == run.run.task.sha256
    assert sorted(entry.name for entry in run.path.iterdir() if not entry.name.startswith(".")) == [
        "run.json",
        "task.json",
    ]


def test_keys_that_a_later_version_added_are_kept(run: RunDirectory) -> None:
    value = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps({**value, "region": "eu", "sampling": {**value["sampling"]}}))
    again = RunDirectory.open(run.path)
    with again.session(workers=1):
        pass
    assert json.loads((run.path / "run.json").read_text())["region"] == "eu"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:pass@host:8000/v1", "http://host:8000/v1"),
        ("https://host/v1?key=s3cret&api-version=2024-10-21#s3cret", "https://host/v1?key=***&api-version=2024-10-21"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_no_secret_of_the_url_is_written(url: str, shown: str) -> None:
    assert public_url(url) == EndpointRecord(url=url, transport="aiohttp").url == shown


def test_a_run_that_is_there_is_not_overwritten(run: RunDirectory) -> None:
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(StoreError, match="a run already") as caught:
        RunDirectory.create(run.path, record(model="other"), TASK)
    assert "--resume" in str(caught.value)
    assert "--out" in str(caught.value)
    assert (run.path / "run.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        RunDirectory.create(tmp_path, record(), TASK)
    with pytest.raises(StoreError, match="not a run"):
        RunDirectory.open(tmp_path)
    with pytest.raises(StoreError, match="no such run"):
        RunDirectory.open(tmp_path / "nowhere")
    with pytest.raises(StoreError, match="cannot be made"):
        RunDirectory.create(tmp_path / "thesis.tex" / "run", record(), TASK)


def test_an_empty_folder_and_one_whose_creation_was_killed_are_used(tmp_path: Path) -> None:
    (tmp_path / ".run.json.tmp").write_text("{")
    (tmp_path / ".lock").touch()
    assert RunDirectory.create(tmp_path, record(), TASK).task == TASK


def test_a_creation_killed_between_its_files_is_ended_by_the_next_reader(run: RunDirectory) -> None:
    (run.path / "task.json").rename(run.path / ".task.json.tmp")
    assert RunDirectory.open(run.path).task == TASK
    assert (run.path / "task.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "format None"),
        ('{"format": 2}', "pip install -U"),
        ('{"format": 1, "name": "x"}', "created_at"),
    ],
)
def test_a_damaged_run_file_is_named(run: RunDirectory, content: str, message: str) -> None:
    (run.path / "run.json").write_text(content)
    with pytest.raises(StoreError, match=message) as caught:
        RunDirectory.open(run.path)
    assert "run.json" in str(caught.value)


def test_of_many_creators_one_wins(tmp_path: Path) -> None:
    outcomes: list[str] = []

    def create(number: int) -> None:
        try:
            RunDirectory.create(tmp_path / "run", record(name=str(number)), TASK)
        except StoreError:
            outcomes.append("refused")
        else:
            outcomes.append(str(number))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome != "refused"]
    assert len(outcomes) == 8
    assert winners == [RunDirectory.open(tmp_path / "run").run.name]


# The same run


def test_what_may_change_on_resume() -> None:
    other = record(
        name="second",
        workers=64,
        endpoint=EndpointRecord(url="http://elsewhere/v1", transport="openai"),
        created_at="2027-01-01T00:00:00+00:00",
        versions={},
    )
    assert record().differences(other) == []


def test_every_difference_is_named(run: RunDirectory) -> None:
    other = record(
        task=TaskRecord(id="shirt", version=1, sha256="0" * 64),
        data=DataRecord(name="eval", source="eval.jsonl", fingerprint="0" * 64, samples=3, limit=3),
        model="other",
        sampling=Sampling(seed=7, temperature=0.5, structured="json_schema"),
        repeats=3,
        prompt_version=2,
    )
    with pytest.raises(StoreError) as caught:
        run.check_same(other)
    message = str(caught.value)
    for line in (
        "content of task shirt",
        "data: samples: was 2, now 3",
        "data: limit: was null, now 3",
        "data: content",
        "model: was m, now other",
        "sampling.seed: was 0, now 7",
        "sampling.temperature: was 0.0, now 0.5",
        "sampling.structured: was off, now json_schema",
        "repeats: was 1, now 3",
        "prompt version: was 1, now 2",
    ):
        assert line in message
    assert "--out" in message


# The lock


def test_one_writer_at_a_time(run: RunDirectory) -> None:
    other = RunDirectory.open(run.path)
    with run.journal() as journal:
        journal.append(answer("p1"))
        for write in (other.journal, lambda: other.write_scores([]), lambda: other.write_summary({})):
            with pytest.raises(StoreError, match="another PeakBench") as caught:
                write()
            assert str(run.path / ".lock") in str(caught.value)
        assert len(other.index()) == 1  # reading needs no lock
    other.journal().close()


def test_a_killed_writer_leaves_no_lock(run: RunDirectory) -> None:
    program = (
        "import sys, time; from peakbench.store import RunDirectory\n"
        "journal = RunDirectory.open(sys.argv[1]).journal(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(run.path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="another PeakBench"):
            run.journal()
        process.kill()
    run.journal().close()


# Sessions


def test_wall_time_sums_the_sessions(run: RunDirectory) -> None:
    for _ in range(2):
        with run.session(workers=4):
            pass
    (run.path / "run.json").write_text(
        json.dumps(
            {
                **run.run.model_dump(mode="json"),
                "sessions": [
                    {"started_at": 100.0, "wall_s": 2.5, "workers": 4},
                    {"started_at": 200.0, "wall_s": 1.5, "workers": 8},
                ],
            }
        )
    )
    assert RunDirectory.open(run.path).wall_s() == 4.0


def test_a_killed_session_ends_with_its_last_answer(run: RunDirectory) -> None:
    session = run.session(workers=4)
    session.__enter__()  # and never ended
    started = run.run.sessions[0].started_at
    again = RunDirectory.open(run.path)
    assert again.wall_s() == 0.0
    run._lock.release()
    with again.journal() as journal:
        for offset, latency in ((1.0, 0.5), (3.0, 0.25), (2.0, 0.5)):
            journal.append(Completion("p", 0, Response("{}", latency_s=latency), started_at=started + offset))
        journal.append(Completion("old", 0, Response("{}", latency_s=900.0), started_at=started - 800.0))
    assert again.wall_s() == pytest.approx(3.25)
    with again.session(workers=4):
        assert again.run.sessions[0].wall_s == pytest.approx(3.25)  # settled on disk by the next one
        assert again.run.sessions[1].wall_s is None
    assert [s.wall_s is None for s in RunDirectory.open(run.path).run.sessions] == [False, False]


# Samples


def test_samples_come_back_in_order(run: RunDirectory) -> None:
    image = ImageRecord(
        path="a.jpg", url=None, sha256="a" * 64, bytes=10, media_type="image/jpeg", mtime_ns=5, label="tag"
    )
    records = [
        SampleRecord("p1", {"color": None}, {"shop": "A"}, None, (image,)),
        SampleRecord("p\ud8002", "a text", {}, "Own prompt?", ()),
        SampleRecord("p3", None),
    ]
    assert run.write_samples(iter(records)) == 3
    assert list(run.samples()) == records
    assert list(run.samples()) == records


def test_samples_are_written_whole_or_not_at_all(run: RunDirectory) -> None:
    def failing() -> Any:
        yield SampleRecord("p1")
        raise RuntimeError("the data set broke")

    with pytest.raises(RuntimeError, match="broke"):
        run.write_samples(failing())
    assert not run.has_samples
    with pytest.raises(StoreError, match="no samples yet"):
        list(run.samples())
    assert not list(run.path.glob("*.tmp")) + list(run.path.glob(".*.tmp"))


def test_a_damaged_sample_is_named(run: RunDirectory) -> None:
    (run.path / "samples.jsonl").write_text('{"id": "p1", "reference": null}\n{"reference": null}\n')
    with pytest.raises(StoreError, match=r"samples\.jsonl:2"):
        list(run.samples())


# responses.jsonl


def test_the_keys_of_a_line_and_their_order() -> None:
    line = json.loads(dump_completion(answer("p1")))
    assert list(line) == [
        "sample_id",
        "repeat",
        "request_sha256",
        "text",
        "reasoning",
        "finish_reason",
        "model",
        "usage",
        "attempts",
        "started_at",
        "latency_s",
        "ttft_s",
        "images",
        "error",
    ]
    assert line["images"] == [{"sha256": "b" * 64, "bytes": 9}]
    assert json.loads(dump_completion(failure("p1")))["error"] == {
        "kind": "server_error",
        "http_status": 500,
        "message": "boom",
    }
    refused = Completion("p1", 0, Response(None, refusal="no"))
    assert json.loads(dump_completion(refused))["refusal"] == "no"


texts = st.text(alphabet=st.characters(), max_size=30)  # lone surrogates included
optional = st.none() | texts
numbers = st.none() | st.floats(0, 1e9)
completions = st.builds(
    Completion,
    texts,
    st.integers(0, 1000),
    st.builds(
        Response,
        optional,
        optional,
        optional,
        optional,
        optional,
        st.none() | st.dictionaries(texts, st.integers(-(2**70), 2**70), max_size=2),
        st.floats(0, 1e9),
        numbers,
    ),
    st.none(),
    optional,
    st.integers(0, 9),
    st.floats(0, 1e10),
    st.tuples(st.tuples(optional, st.integers(0, 10**9))),
) | st.builds(
    Completion,
    texts,
    st.integers(0, 1000),
    st.none(),
    st.builds(Failure, st.sampled_from(["timeout", "image"]), texts, st.none() | st.integers(100, 599)),
    optional,
    st.integers(0, 9),
    numbers,
)


@given(completions)
@settings(deadline=None, max_examples=200)
def test_a_line_comes_back_as_it_was(completion: Completion) -> None:
    line = dump_completion(completion)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    big = completion.response and completion.response.usage and max(map(abs, completion.response.usage.values()))
    if big and big >= 2**63:  # JSON numbers beyond 64 bits come back as floats
        assert load_completion(line).sample_id == completion.sample_id
    else:
        assert load_completion(line) == completion


def test_an_answer_survives_a_usage_that_cannot_be_written() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    line = json.loads(dump_completion(Completion("p1", 0, Response("{}", usage=deep))))
    while deep:  # taken apart by hand: a deep dict overflows the stack of some deallocators
        deep = deep.pop("a")
    assert (line["text"], line["usage"]) == ("{}", None)


# The index


def test_the_last_line_counts(run: RunDirectory) -> None:
    lines = [answer("p1", "old"), failure("p2"), answer("p1", "new"), answer("p2", "later"), failure("p3")]
    lines += [answer("p1", "repeat", repeat=1), answer("p4"), failure("p4")]
    with run.journal() as journal:
        for line in lines:
            journal.append(line)
    index = run.index()
    found = index.get("p1", 0)
    assert found == lines[2]
    assert index.get("p1", 1) == lines[5]
    assert index.get("p1", 2) is index.get("p9", 0) is None
    expected = {("p1", 0): True, ("p1", 1): True, ("p2", 0): True, ("p3", 0): False, ("p4", 0): False, ("p9", 0): False}
    assert {key: index.answered(*key) for key in expected} == expected
    assert (len(index), index.answered_total) == (5, 3)
    index.close()


def test_no_journal_is_an_empty_index(run: RunDirectory) -> None:
    index = run.index()
    assert (len(index), index.answered_total, index.answered("p1", 0), index.get("p1", 0)) == (0, 0, False, None)


@given(st.lists(st.tuples(completions, st.booleans()), max_size=8))
@settings(deadline=None, max_examples=60)
def test_any_id_is_found_whoever_wrote_the_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[Completion, bool]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "responses.jsonl"
    expected: dict[tuple[str, int], Completion] = {}
    with path.open("wb") as file:
        for completion, foreign in lines:
            line = dump_completion(completion)
            value = load_line(line)
            if foreign:  # other order of keys, spaces, escapes
                line = json.dumps(dict(reversed(value.items())), indent=None).encode() + b"\n"
            file.write(line)
            expected[completion.sample_id, completion.repeat] = load_completion(line)
    index = JournalIndex(path)
    assert len(index) == len(expected)
    for key, completion in expected.items():
        assert index.get(*key) == completion
        assert index.answered(*key) == (completion.failure is None)
    index.close()


@pytest.mark.parametrize(
    "line",
    [
        b'{"sample_id":"p1","repeat":0,"request_sha256":null,"text":"a","error":{"kind":"timeout","x":{"error":null}}}\n',
        b'{"sample_id":"p1","repeat":0,"request_sha256":null,"error":{"kind":"timeout"},"text":",\\"error\\":null}"}\n',
        b'{"text":"{\\"sample_id\\":\\"p2\\"}","sample_id":"p1","repeat":0,"error":{"kind":"timeout","message":""}}\n',
    ],
)
def test_no_line_looks_answered_that_is_not(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "responses.jsonl"
    path.write_bytes(line)
    index = JournalIndex(path)
    assert not index.answered("p1", 0)
    assert not index.answered("p2", 0)


def test_equal_hashes_are_told_apart_by_the_id(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_room, "_key", lambda name, repeat: 7)
    with run.journal() as journal:
        for line in (answer("p1", "a"), answer("p2", "b"), answer("p1", "c")):
            journal.append(line)
    index = run.index()
    texts = [found.response.text for id in ("p1", "p2") if (found := index.get(id, 0)) and found.response]
    assert texts == ["c", "b"]
    assert index.get("p3", 0) is None
    index.close()


def test_the_index_is_small(tmp_path: Path) -> None:
    path, n = tmp_path / "responses.jsonl", 50_000
    with Journal(path) as journal:
        for number in range(n):
            journal.append(answer(f"sample-{number:09}"))
    tracemalloc.start()
    index = JournalIndex(path)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index) == n
    assert held < 24 * n + 10_000
    assert peak < 70 * n + 2**21  # 1 MiB of it is the read buffer


# Torn and damaged lines


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_journal_cut_at_any_byte_is_a_prefix(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lines = [answer("p1", 'say "}\n{"'), failure("pé2"), answer("p\ud8003", "\udfff"), answer("p1", "again")]
    whole = b"".join(map(dump_completion, lines))
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.mktemp("cut") / "responses.jsonl"
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    expected = {completion.sample_id: completion for completion in lines[:kept]}
    index = JournalIndex(path)
    assert {id: index.get(id, 0) for id in expected} == expected
    assert len(index) == len(expected)
    index.close()
    with Journal(path) as journal:  # resumed: the torn line is gone, the next one is whole
        journal.append(answer("p9"))
    assert path.read_bytes() == b"".join(map(dump_completion, [*lines[:kept], answer("p9")]))


def test_a_long_torn_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    whole = dump_completion(answer("p1"))
    path.write_bytes(whole + b"x" * 300_000)
    assert len(JournalIndex(path)) == 1
    Journal(path).close()
    assert path.read_bytes() == whole
    path.write_bytes(b"x" * 300_000)
    Journal(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    "damage", [b"\0" * 40, b"[1]", b'{"sample_id":1,"repeat":0}', b'{"sample_id":"p","repeat":-1}']
)
def test_a_damaged_line_is_named(run: RunDirectory, damage: bytes) -> None:
    path = run.path / "responses.jsonl"
    path.write_bytes(dump_completion(answer("p1")) + damage + b"\n" + dump_completion(answer("p2")))
    with pytest.raises(StoreError, match=r"responses\.jsonl:2"):
        run.index()


def test_damage_inside_a_line_is_named_when_it_is_read(run: RunDirectory) -> None:
    path = run.path / "responses.jsonl"
    bad = dump_completion(answer("p2")).replace(b'"attempts":1', b'"attempts":\0')
    path.write_bytes(dump_completion(answer("p1")) + bad + dump_completion(answer("p3")))
    index = run.index()
    assert index.get("p1", 0) is not None
    with pytest.raises(StoreError, match=r"responses\.jsonl:2"):
        index.get("p2", 0)
    index.close()


def test_a_full_disk_leaves_whole_lines(run: RunDirectory) -> None:
    class Full(FileIO):
        failing = False

        def write(self, data: Any, /) -> int:
            if self.failing:
                raise OSError(28, "No space left on device")
            if b"big" in data:
                self.failing = True
                return super().write(data[:50])
            return super().write(data)

    journal = run.journal()
    journal._file.close()
    journal._file = Full(run.path / "responses.jsonl", "ab")
    journal.append(answer("p1"))
    with pytest.raises(StoreError, match="No space left"):
        journal.append(answer("p2", "big"))
    journal._file.failing = False
    journal.append(answer("p3"))
    journal.close()
    assert (run.path / "responses.jsonl").read_bytes() == dump_completion(answer("p1")) + dump_completion(answer("p3"))


def test_a_full_disk_is_named_and_leaves_the_old_files(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write_summary({"value": 1})
    with run.session(workers=2):

        def full(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        for write in (lambda: run.write_summary({"value": 2}), lambda: run.write_scores([{}])):
            with pytest.raises(StoreError, match="No space left"):
                write()
    monkeypatch.undo()
    again = RunDirectory.open(run.path)  # the session's end could not be written, and did not hide the error before it
    assert again.run.sessions[0].wall_s is None
    assert (again.summary(), list(again.scores())) == ({"value": 1}, [])


# scores.jsonl and summary.json


def test_scores_and_summary(run: RunDirectory) -> None:
    assert run.summary() is None
    assert list(run.scores()) == []
    rows = [{"sample_id": "p1", "repeat": 0, "state": "strict", "metrics": {}, "fields": {}}]
    assert run.write_scores(iter(rows)) == 1
    run.write_summary({"format": 1, "note": "\ud800"})
    assert list(run.scores()) == rows
    assert run.summary() == {"format": 1, "note": "\ud800"}


def test_a_run_that_is_asked_again_is_unfinished(run: RunDirectory) -> None:
    run.write_summary({"format": 1})
    with run.journal() as journal:
        assert run.summary() is not None  # nothing new was written yet
        journal.append(answer("p1"))
        assert run.summary() is None


def test_new_scores_are_never_beside_an_old_summary(run: RunDirectory) -> None:
    run.write_scores([{"sample_id": "old"}])
    run.write_summary({"format": 1})

    def failing() -> Any:
        yield {"sample_id": "new"}
        raise RuntimeError("a metric broke")

    with pytest.raises(RuntimeError):
        run.write_scores(failing())
    assert [row["sample_id"] for row in run.scores()] == ["old"]
    assert run.summary() == {"format": 1}
    run.write_scores([{"sample_id": "new"}])
    assert run.summary() is None


def test_a_summary_that_cannot_be_written_leaves_the_old_one(run: RunDirectory) -> None:
    run.write_summary({"value": 1})
    with pytest.raises(TypeError):
        run.write_summary({"value": object()})
    assert run.summary() == {"value": 1}


def test_damaged_results_are_named(run: RunDirectory) -> None:
    (run.path / "summary.json").write_text("{")
    with pytest.raises(StoreError, match=r"summary\.json"):
        run.summary()
    (run.path / "scores.jsonl").write_text("{}\n{\n")
    with pytest.raises(StoreError, match=r"scores\.jsonl:2"):
        list(run.scores())


# JSON Schemas


@pytest.mark.parametrize("name", sorted(schemas()))
def test_schemas_are_those_that_ship(name: str) -> None:
    message = 'write them again: python -c "from peakbench.store.schemas import write_schemas; write_schemas()"'
    assert json.loads((FOLDER / name).read_text(encoding="utf-8")) == schemas()[name], message


def closed(schema: Any) -> Any:
    """The schema with every object closed: a key that it does not declare is an error."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if "properties" in found and schema.get("type") == "object":
        found["additionalProperties"] = False
    return found


def test_a_real_run_fits_its_schemas_and_writes_no_key_that_they_do_not_declare(tmp_path: Path) -> None:
    demo = Path(pb.__file__).parent / "data" / "demo"
    rows = [json.loads(line) for line in (demo / "samples.jsonl").read_text().splitlines()]
    rows = [row | {"image": str(demo / row["image"]), "metadata": {"view": "front"}} for row in rows]
    run = pb.run(
        rows,
        endpoint="recorded",
        out=tmp_path / "run",
        limit=6,
        repeats=2,
        resamples=20,
        slices=["view"],
        allow_outside=True,
    )
    assert run.summary["slices"]["view"]["front"]["n"] == 6
    for name, schema in ((name, closed(schema)) for name, schema in schemas().items()):
        checker = jsonschema.Draft202012Validator(schema)
        stem = name.removesuffix(".schema.json")
        if stem in {"run", "summary"}:
            checker.validate(json.loads((run.path / f"{stem}.json").read_text()))
        elif stem != "baseline":  # it has tests of its own
            lines = (run.path / f"{stem}.jsonl").read_text().splitlines()
            assert len(lines) == (6 if stem == "samples" else 12)
            for line in lines:
                checker.validate(json.loads(line))


@pytest.mark.parametrize(
    ("stem", "value"),
    [
        ("responses", {"sample_id": "p1", "repeat": 0}),
        ("run", {"format": 2}),
        ("scores", {"sample_id": "p1", "repeat": 0, "state": "guessed", "metrics": {}, "fields": {}}),
        ("samples", {"id": 3, "reference": None}),
        ("summary", {"format": 1}),
    ],
)
def test_schemas_refuse_what_is_not_of_the_format(stem: str, value: dict[str, Any]) -> None:
    assert not jsonschema.Draft202012Validator(schemas()[f"{stem}.schema.json"]).is_valid(value)
