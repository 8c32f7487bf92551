"""Work done once a session: by one test for all others, and by one xdist worker for all workers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from filelock import FileLock

from peakbench import errors
from peakbench.errors import InputError, PeakBenchError


class Shared:
    """A folder that every worker of a session sees.

    Args:
        folder: the folder; made where it is not there.
        worker: the name of this process among the workers.
    """

    def __init__(self, folder: Path, worker: str) -> None:
        self.folder = folder
        self._worker = worker
        self._errors: dict[str, PeakBenchError] = {}
        self._held: dict[int, object] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def key(self, what: str, **arguments: Any) -> str:
        """Return a name for a call: the same for equal arguments, in every worker where they are plain data.

        None is an argument left out. A path counts with the time of change and the size of the file; an object that
        is no data by its identity.
        """
        given = [[name, self._plain(value)] for name, value in sorted(arguments.items()) if value is not None]
        plain = json.dumps([what, *given])
        return hashlib.sha256(plain.encode()).hexdigest()[:24]

    def once(self, key: str, make: Callable[[], object]) -> None:
        """Call ``make`` unless this or another worker has done so; its error is everybody's.

        Raises:
            PeakBenchError: what ``make`` raised, in whichever worker.
        """
        if key in self._errors:
            raise self._errors[key]
        outcome = self.folder / f"{key}.json"
        with self.lock(key):
            if outcome.exists():
                failed = json.loads(outcome.read_text(encoding="utf-8"))
                if failed is not None:
                    raise self._errors.setdefault(key, _error(**failed))
                return
            failed = None
            try:
                make()
            except PeakBenchError as error:
                self._errors[key] = error
                failed = {"kind": type(error).__name__, "text": str(error)}
                raise
            finally:
                # Anything else, such as a time-out of the test, decides nothing: the next caller goes on.
                if failed is not None:
                    outcome.write_text(json.dumps(failed), encoding="utf-8")
            outcome.write_text("null", encoding="utf-8")

    def lock(self, key: str) -> FileLock:
        """Return the lock of a name; the system frees it when its holder dies."""
        return FileLock(self.folder / f"{key}.lock", timeout=-1)

    def _plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str | os.PathLike):
            return _file(os.fspath(value))
        if isinstance(value, bytes):
            return ["bytes", hashlib.sha256(value).hexdigest()]
        if isinstance(value, Mapping):
            return [[self._plain(key), self._plain(item)] for key, item in value.items()]
        if isinstance(value, Sequence):
            return [self._plain(item) for item in value]
        if isinstance(value, AbstractSet):
            return sorted(json.dumps(self._plain(item)) for item in value)
        if hasattr(value, "model_dump"):
            return [type(value).__name__, self._plain(value.model_dump(mode="json"))]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            return [type(value).__name__, {name: self._plain(getattr(value, name)) for name in names}]
        self._held[id(value)] = value  # kept, so that no later object takes its number
        return [type(value).__name__, id(value), self._worker]


def _file(text: str) -> Any:
    try:
        state = os.stat(text)  # noqa: PTH116 - any text is asked, also such as no path can be
    except (OSError, ValueError):
        return text
    return [str(Path(text).absolute()), state.st_mtime_ns, state.st_size]


def _error(kind: str, text: str) -> PeakBenchError:
    """Make the error of another worker again, of the same class where that takes a text alone."""
    found = getattr(errors, kind, None)
    if not (isinstance(found, type) and issubclass(found, PeakBenchError)):
        return PeakBenchError(text)
    try:
        return found(text)
    except TypeError:
        return InputError(text) if issubclass(found, InputError) else PeakBenchError(text)
