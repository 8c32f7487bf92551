"""One run on disk: who may write it, what stands in it, and in which order it comes to be there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout
from pydantic import ValidationError

from peakbench.datasets import SampleRecord
from peakbench.errors import StoreError
from peakbench.store.formats import dump_line, load_line
from peakbench.store.journal import Journal, JournalIndex, last_finish, whole_lines
from peakbench.store.record import FORMAT, LineageRecord, RunRecord, Session
from peakbench.tasks import Task, load_task_file

RUN, TASK, SAMPLES, RESPONSES = "run.json", "task.json", "samples.jsonl", "responses.jsonl"
SCORES, SUMMARY, LOCK = "scores.jsonl", "summary.json", ".lock"


def task_sha256(task: Task) -> str:
    """Return the hex sha256 of task.json as it is written for ``task``."""
    return hashlib.sha256(_task_bytes(task)).hexdigest()


class RunDirectory:
    """A run on disk. Made by :meth:`create` or :meth:`open`; reading needs no lock, writing takes it.

    ``path``: the folder. ``run``: run.json as it was read or last written.
    """

    def __init__(self, path: Path, run: RunRecord) -> None:
        self.path = path
        self.run = run
        self._lock = FileLock(path / LOCK, timeout=0, thread_local=False)

    @classmethod
    def create(cls, path: str | Path, run: RunRecord, task: Task) -> RunDirectory:
        """Make a new run: run.json first, then task.json.

        Raises:
            StoreError: there is a run already, or something else; nothing is overwritten.
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder cannot be made: {error.strerror}", where=str(folder)) from None
        directory = cls(folder, run)
        with directory.lock():
            if (folder / RUN).exists():
                raise StoreError(
                    "there is a run already",
                    where=str(folder),
                    hint="go on with it: --resume; or keep it and choose another folder: --out",
                )
            strangers = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
            if strangers:
                raise StoreError(
                    f"the folder is no run and not empty: it holds {strangers[0]}",
                    where=str(folder),
                    expected="a new or an empty folder",
                    hint="choose another folder: --out",
                )
            # The task lies ready before run.json makes this a run; :meth:`open` ends what a kill between the two left.
            with _writing(folder / TASK):
                _write_synced(_temporary(folder / TASK), _task_bytes(task))
                directory._write_run(run)
                _temporary(folder / TASK).replace(folder / TASK)
        return directory

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Read a run that is there.

        Raises:
            StoreError: no such folder, no run, or a run of another version.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise StoreError("no such run directory", where=str(folder), hint="runs are folders that hold run.json")
        try:
            value = orjson.loads((folder / RUN).read_bytes())
        except FileNotFoundError:
            raise StoreError(
                "not a run", where=str(folder), expected="a folder that holds run.json", hint="choose another: --out"
            ) from None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot be read: {error}", where=str(folder / RUN)) from None
        found = value.get("format") if isinstance(value, dict) else None
        if found != FORMAT:
            raise StoreError(
                f"format {found!r} is not known",
                where=str(folder / RUN),
                expected=f"format {FORMAT}",
                hint="a newer PeakBench wrote it: pip install -U peakbench" if isinstance(found, int) else None,
            )
        try:
            run = RunRecord.model_validate(value)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
            )
            raise StoreError(problems, where=str(folder / RUN)) from None
        if not (folder / TASK).exists():
            with contextlib.suppress(OSError):
                _temporary(folder / TASK).replace(folder / TASK)
        return cls(folder, run)

    @cached_property
    def task(self) -> Task:
        """The task as it was when the run began.

        Raises:
            TaskError: task.json is missing or damaged.
        """
        return load_task_file(self.path / TASK)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing; one writer at a time, released when the process ends, however it ends.

        Raises:
            StoreError: another writer holds it.
        """
        self._acquire()
        try:
            yield
        finally:
            self._lock.release()

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout:
            raise StoreError(
                "another PeakBench is writing this run",
                where=str(self.path),
                hint=f"wait until it has ended, or end it; it holds the lock {self.path / LOCK}",
            ) from None
        except OSError as error:
            raise StoreError(f"the run cannot be locked: {error.strerror}", where=str(self.path / LOCK)) from None

    def check_same(self, run: RunRecord) -> None:
        """Make sure that ``run`` would ask what this run has asked.

        Raises:
            StoreError: naming every difference.
        """
        found = self.run.differences(run)
        if found:
            raise StoreError(
                "this is not the same run:\n" + "\n".join(f"    {line}" for line in found),
                where=str(self.path),
                expected="the same task, data, model, sampling and repeats; URL, workers and time-outs may change",
                hint="ask as before, or choose another folder: --out",
            )

    def tag(self, change: Callable[[LineageRecord], LineageRecord]) -> None:
        """Rewrite what run.json says about the model's lineage; ``change`` gets what stands there now.

        Raises:
            StoreError: another writer holds the run.
        """
        with self.lock():
            run = RunDirectory.open(self.path).run
            self._write_run(run.model_copy(update={"lineage": change(run.lineage or LineageRecord())}))

    def write_samples(self, records: Iterable[SampleRecord]) -> int:
        """Write samples.jsonl, streamed, whole or not at all; return how many there are."""
        with self.lock():
            return _write_lines(self.path / SAMPLES, (record.as_dict() for record in records))

    @property
    def has_samples(self) -> bool:
        """Whether samples.jsonl is there; a run that was killed early has none yet."""
        return (self.path / SAMPLES).exists()

    def samples(self) -> Iterator[SampleRecord]:
        """Yield the samples in the order of the data set, read lazily.

        Raises:
            StoreError: samples.jsonl is missing, or a line is damaged.
        """
        path = self.path / SAMPLES
        if not path.exists():
            raise StoreError("the run has no samples yet", where=str(path), hint="begin it again with --resume")
        for number, (_, line) in enumerate(whole_lines(path), start=1):
            try:
                yield SampleRecord.from_dict(load_line(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise StoreError(f"not a sample: {error}", where=f"{path}:{number}") from None

    def responses_sha256(self) -> str:
        """Return the hex sha256 of responses.jsonl, of nothing where it is not there."""
        try:
            with (self.path / RESPONSES).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return hashlib.sha256().hexdigest()

    def journal(self) -> Journal:
        """Open responses.jsonl for appending and take the lock until it is closed.

        With the first line written, a summary from before no longer stands: the run is unfinished again.
        """
        self._acquire()
        try:
            return Journal(
                self.path / RESPONSES,
                on_first=lambda: (self.path / SUMMARY).unlink(missing_ok=True),
                on_close=self._lock.release,
            )
        except BaseException:
            self._lock.release()
            raise

    def index(self) -> JournalIndex:
        """Index responses.jsonl as it is now; an empty index where nothing was asked yet."""
        return JournalIndex(self.path / RESPONSES)

    @contextlib.contextmanager
    def session(self, workers: int) -> Iterator[None]:
        """Note one stretch of asking in run.json: its beginning at once, its length when it ends."""
        with self.lock():
            started_at, began = time.time(), time.monotonic()
            settled = tuple(self._settled(session) for session in self.run.sessions)
            self._write_run(
                self.run.model_copy(update={"sessions": (*settled, Session(started_at=started_at, workers=workers))})
            )
            try:
                yield
            finally:
                ended = Session(started_at=started_at, wall_s=time.monotonic() - began, workers=workers)
                with contextlib.suppress(StoreError):  # the disk is full: the journal says how long it took
                    self._write_run(self.run.model_copy(update={"sessions": (*self.run.sessions[:-1], ended)}))

    def wall_s(self) -> float:
        """Seconds of asking, summed over the sessions; a killed one ends with its last line in the journal."""
        return sum(self._settled(session).wall_s or 0.0 for session in self.run.sessions)

    def _settled(self, session: Session) -> Session:
        # Each session settles those before it, so an open one is the last, and the journal's end belongs to it.
        if session.wall_s is not None:
            return session
        finish = last_finish(self.path / RESPONSES, since=session.started_at)
        return session.model_copy(update={"wall_s": max(0.0, (finish or session.started_at) - session.started_at)})

    def write_scores(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Write scores.jsonl, streamed, whole or not at all; return how many lines. A summary from before goes."""
        with self.lock():
            return _write_lines(self.path / SCORES, rows, before=lambda: (self.path / SUMMARY).unlink(missing_ok=True))

    def scores(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of scores.jsonl, read lazily; nothing where the run was not scored.

        Raises:
            StoreError: a line is damaged.
        """
        path = self.path / SCORES
        for number, (_, line) in enumerate(whole_lines(path) if path.exists() else (), start=1):
            try:
                yield load_line(line)
            except ValueError as error:
                raise StoreError(f"not a line of scores: {error}", where=f"{path}:{number}") from None

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json, last and at once: with it the run is finished."""
        with self.lock():
            replace_file(self.path / SUMMARY, _pretty(summary))

    def summary(self) -> dict[str, Any] | None:
        """Return summary.json, None while the run is unfinished.

        Raises:
            StoreError: the file is damaged.
        """
        path = self.path / SUMMARY
        try:
            value: dict[str, Any] = load_line(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot be read: {error}", where=str(path), hint="score the run again") from None
        return value

    def _write_run(self, run: RunRecord) -> None:
        replace_file(self.path / RUN, _pretty(run.model_dump(mode="json")))
        self.run = run


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, flushed to the disk, then renamed.

    Raises:
        StoreError: the disk is full, or not ours to write to.
    """
    with _writing(path):
        _write_synced(_temporary(path), data)
        _temporary(path).replace(path)
        _sync_folder(path.parent)


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]], before: Callable[[], object] = lambda: None) -> int:
    temporary, count = _temporary(path), 0
    with _writing(path):
        try:
            with temporary.open("wb", buffering=1 << 20) as file:
                for row in rows:
                    file.write(dump_line(row))
                    count += 1
                file.flush()
                os.fsync(file.fileno())
            before()
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    return count


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error}",
            where=str(path),
            hint="make room on the disk, or choose another --out",
        ) from error


def _sync_folder(folder: Path) -> None:
    # A rename is on disk when its folder is; systems that cannot open a folder do without.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _pretty(value: Mapping[str, Any]) -> bytes:
    option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    try:
        return orjson.dumps(value, option=option)
    except TypeError:
        return (json.dumps(value, ensure_ascii=True, indent=2) + "\n").encode("ascii")


def _task_bytes(task: Task) -> bytes:
    return _pretty(task.model_dump(mode="json"))
