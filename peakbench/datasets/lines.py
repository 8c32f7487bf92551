"""JSONL: one sample a line. Every problem is named with its line; reading goes on after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import orjson

from peakbench.datasets.samples import SampleReader
from peakbench.errors import DataError, DataProblem
from peakbench.records import Sample

LINE_BYTES = 32 * 2**20
"""The longest line that is read: 32 MiB, a sample with a dozen large images as data URIs."""


def read_jsonl(spec: str) -> Iterator[Sample | DataProblem]:
    """Read a JSONL file in UTF-8 (a byte order mark is allowed), blank lines allowed.

    Raises:
        DataError: the file is missing, cannot be read, or is not UTF-8 (UTF-16 and UTF-32 are named).
    """
    return _read(open_utf8(spec), spec)


def open_utf8(path: str) -> IO[bytes]:
    """Open a text file at its first byte after a UTF-8 byte order mark.

    Raises:
        DataError: missing, a folder, unreadable, or UTF-16 or UTF-32 by its byte order mark or its zero bytes.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - the iterator that reads it closes it
    except IsADirectoryError:
        raise DataError("a folder, where a file belongs", where=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from None
    head = file.read(4)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        file.close()
        name = "UTF-32" if head in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") or head.count(b"\0") > 2 else "UTF-16"
        raise DataError(
            f"the file is {name}, or not text at all",
            where=path,
            expected="UTF-8",
            hint=f"convert it: iconv -f {name} -t UTF-8 FILE > NEW",
        )
    file.seek(3 if head.startswith(b"\xef\xbb\xbf") else 0)
    return file


def _read(file: IO[bytes], path: str) -> Iterator[Sample | DataProblem]:
    samples = SampleReader(str(Path(path).absolute().parent))
    with file:
        number = 0
        while line := file.readline(LINE_BYTES + 1):
            number += 1
            where = f"{path}:{number}"
            if len(line) > LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = file.readline(LINE_BYTES)
                yield DataProblem(where, f"the line is longer than {LINE_BYTES // 2**20} MiB")
                continue
            if line.isspace():
                continue
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield DataProblem(where, f"not JSON: {why_not_json(line, error)}")
                continue
            result = samples.read(value, where)
            if isinstance(result, Sample):
                yield result
            else:
                yield from result


def why_not_json(text: bytes | str, error: orjson.JSONDecodeError) -> str:
    """Say why a text is not JSON, and at which character (from 1).

    >>> try:
    ...     orjson.loads('{"a": 1')
    ... except orjson.JSONDecodeError as error:
    ...     why_not_json('{"a": 1', error).endswith(", at the end")
    True
    """
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as wrong:
            return f"byte {wrong.start + 1} of the line is not UTF-8"
    reason = error.msg.split(": line ")[0]
    near = text[error.pos : error.pos + 20].rstrip("\r\n")
    return f"{reason} at character {error.pos + 1} ({near!r})" if near else f"{reason}, at the end"
