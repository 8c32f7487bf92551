"""Answers that came from elsewhere: a JSONL file of answer texts becomes completions, without asking.

One line an answer: the sample's id (``id`` or ``sample_id``), the whole answer text (``response``, ``text``,
``answer`` or ``prediction``), and optionally ``repeat``, ``finish_reason``, ``reasoning``. An object in place of the
text is read as the JSON text of that object. The journal of another run (responses.jsonl) is such a file too, and the
only one in which a sample may stand more than once: its last line counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from peakbench.errors import DataError, DataProblem, nearest
from peakbench.records import Completion, Failure, FailureKind, Response

IDS = ("id", "sample_id")
TEXTS = ("response", "text", "answer", "prediction")
MAX_LINE = 32 * 1024 * 1024
"""Bytes of one line that are read at most."""

MAX_REPEATS = 10_000
"""Scoring looks for this many answers a sample at most: a wild number in one line must not make it look for more."""


def read_answers(path: Path) -> Iterator[Completion | DataProblem]:
    """Yield a completion a line, and a problem for each line that holds none.

    Raises:
        DataError: the file cannot be opened.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(
            f"the answers cannot be read: {error.strerror}", where=str(path), expected="a JSONL file of answers"
        ) from None
    with file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"{path}:{number}"
                if len(line) > MAX_LINE:
                    yield DataProblem(where, f"the line is longer than {MAX_LINE} bytes")
                else:
                    yield _answer(line, where)


def _answer(line: bytes, where: str) -> Completion | DataProblem:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return DataProblem(where, f"not JSON: {error}")
    if not isinstance(value, dict):
        return DataProblem(where, "not a JSON object")
    sample_id = next((value[key] for key in IDS if key in value), None)
    if not isinstance(sample_id, str | int) or isinstance(sample_id, bool):
        return DataProblem(where, "no 'id'")
    repeat = value.get("repeat", 0)
    if not isinstance(repeat, int) or isinstance(repeat, bool) or not 0 <= repeat < MAX_REPEATS:
        return DataProblem(where, f"'repeat' is {repeat!r:.40}; expected a whole number from 0 to {MAX_REPEATS - 1}")
    attempts = value["attempts"] if isinstance(value.get("attempts"), int) else 0
    if isinstance(value.get("error"), Mapping):
        return Completion(str(sample_id), repeat, None, _failure(value["error"]), attempts=attempts)
    key = next((key for key in TEXTS if key in value), None)
    if key is None:
        return DataProblem(where, f"no answer: expected one of {', '.join(TEXTS)}; {nearest('response', value)}")
    text = value[key]
    if isinstance(text, dict | list):
        text = json.dumps(text, ensure_ascii=False)
    if text is not None and not isinstance(text, str):
        return DataProblem(where, f"'{key}' is {type(text).__name__}; expected the answer's text")
    response = Response(
        text=text,
        reasoning=_text(value.get("reasoning")),
        refusal=_text(value.get("refusal")),
        finish_reason=_text(value.get("finish_reason")),
        model=_text(value.get("model")),
        usage=value["usage"] if isinstance(value.get("usage"), dict) else None,
    )
    return Completion(str(sample_id), repeat, response, attempts=attempts)


def _failure(error: Mapping[str, Any]) -> Failure:
    status = error.get("http_status")
    kinds: tuple[FailureKind, ...] = get_args(FailureKind)
    return Failure(
        next((kind for kind in kinds if kind == error.get("kind")), "internal"),
        str(error.get("message", ""))[:500],
        status if isinstance(status, int) else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
