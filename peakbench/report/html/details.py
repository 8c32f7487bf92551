"""What the page shows of one sample: texts, pictures, and each answer as it was read. Everything is bounded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peakbench.datasets import SampleRecord
from peakbench.parsing import read
from peakbench.records import Completion, JSONValue, Prediction
from peakbench.report.html.source import ReportSource
from peakbench.report.html.thumbnails import Thumbnail
from peakbench.scoring import read_under

TEXT_SHOWN = 20_000
"""Characters of one text (answer, reasoning, prompt, reference) at most."""

TEXTS_SHOWN = 16_000_000
"""Characters of all texts together, beyond which one is cut after ``TEXT_AFTER``."""

TEXT_AFTER = 400
VALUE_SHOWN = 2_000


class Interned:
    """Values that stand often, each once: a text as itself, anything else as its JSON text in a list of one."""

    def __init__(self) -> None:
        self.entries: list[str | list[str]] = []
        self._places: dict[tuple[bool, str], int] = {}

    def code(self, value: JSONValue) -> int:
        """Return the place of a value among the entries, where it is put the first time."""
        plain = isinstance(value, str)
        key = plain, _bounded(value if plain else _json(value), VALUE_SHOWN)
        if key not in self._places:
            self._places[key] = len(self.entries)
            self.entries.append(key[1] if plain else [key[1]])
        return self._places[key]


@dataclass(slots=True)
class Answer:
    """One line of scores.jsonl, as far as the index needs it, and the values as they were read."""

    repeat: int
    state: str
    values: Mapping[str, float | None]
    reasons: Mapping[str, int]
    fields: Mapping[str, tuple[float, int]]
    given: list[int] = field(default_factory=list)


class Texts:
    """Cuts texts, sparingly while there is room for all, then short."""

    def __init__(self) -> None:
        self._left = TEXTS_SHOWN

    def cut(self, text: str) -> str | list[str | int]:
        """Return the text, or its beginning and how many characters are missing."""
        limit = TEXT_SHOWN if self._left > 0 else TEXT_AFTER
        self._left -= min(len(text), limit)
        return text if len(text) <= limit else [text[:limit], len(text) - limit]


class Reader:
    """Reads one run's answers, as they were last scored."""

    def __init__(
        self,
        side: ReportSource,
        answers: Mapping[str, Sequence[Answer]],
        values: Interned,
        names: Sequence[str],
        texts: Texts,
    ) -> None:
        self.index = side.directory.index()
        self._side, self._answers, self._values, self._names, self._texts = side, answers, values, names, texts
        run = side.summary["run"]
        self._repair = bool(run.get("repair", side.record.repair))
        self._profile = run.get("profile")

    def read(self, sample_id: str) -> list[dict[str, Any]]:
        """Return what is known about each answer to a sample, one a repeat."""
        found: list[dict[str, Any]] = []
        task = self._side.task
        for answer in self._answers.get(sample_id, ()):
            completion = self.index.get(sample_id, answer.repeat)
            if completion is None:
                answer.given = [-1] * len(self._names)
                found.append({})
                continue
            prediction = read(completion, keys=task.keys, answer=task.answer, repair=self._repair)
            as_scored = read_under(prediction, task, self._profile)
            answer.given = coded(as_scored.value if as_scored.read else None, self._names, self._values)
            found.append({**self._completion(completion), **_prediction(prediction)})
        return found

    def _completion(self, completion: Completion) -> dict[str, Any]:
        known: dict[str, Any] = {"attempts": completion.attempts, "request": completion.request_sha256}
        if completion.failure is not None:
            failure = completion.failure
            known["failure"] = [failure.kind, failure.http_status, _bounded(failure.message, VALUE_SHOWN)]
        response = completion.response
        if response is not None:
            for name, text in (
                ("text", response.text),
                ("reasoning", response.reasoning),
                ("refusal", response.refusal),
            ):
                if text is not None:
                    known[name] = self._texts.cut(text)
            known["finish"] = response.finish_reason
            known["model"] = response.model if response.model != self._side.record.model else None
            if completion.started_at is not None:
                known |= {"latency": rounded(response.latency_s), "ttft": rounded(response.ttft_s)}
            tokens = response.usage if isinstance(response.usage, Mapping) else {}
            known["tokens"] = [
                [str(key)[:100], value] for key, value in tokens.items() if type(value) is int and abs(value) < 2**53
            ][:20]
        return {name: value for name, value in known.items() if value not in (None, [], 0)}


def _prediction(prediction: Prediction) -> dict[str, Any]:
    known: dict[str, Any] = {}
    if prediction.problem is not None and prediction.state != "failed":
        problem = prediction.problem
        known["problem"] = [problem.reason, problem.position, _bounded(problem.detail, VALUE_SHOWN)]
    if prediction.truncated:
        known["truncated"] = True
    if prediction.duplicates:
        known["duplicates"] = prediction.duplicates
    if prediction.extra:
        known["extra"] = [_bounded(str(name), 200) for name in prediction.extra[:50]]
    return known


def details(
    records: Sequence[SampleRecord],
    sides: Sequence[ReportSource],
    answers: Sequence[Mapping[str, Sequence[Answer]]],
    values: Interned,
    pictures: Iterator[dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Yield what is shown of each sample, and fill in the values that its answers gave.

    ``answers``: of each run, by sample id. ``pictures``: one for each image of the samples, in order.
    """
    names, texts = list(sides[0].task.fields), Texts()
    readers = [Reader(side, given, values, names, texts) for side, given in zip(sides, answers, strict=True)]
    for record in records:
        one: dict[str, Any] = {"images": [_image(image, next(pictures)) for image in record.images]}
        if record.prompt:
            one["prompt"] = texts.cut(record.prompt)
        if isinstance(record.reference, str):
            one["reference"] = texts.cut(record.reference)
        elif record.reference is None:
            one["unlabelled"] = True
        one["metadata"] = [[_bounded(str(key), 200), _shown(value)] for key, value in record.metadata.items()]
        one["runs"] = [reader.read(record.id) for reader in readers]
        yield one
    for reader in readers:
        reader.index.close()
    next(pictures, None)  # lets them tidy up


class Pictures:
    """The pictures inside the page, each once, however many samples show it."""

    def __init__(self) -> None:
        self.inlined: dict[str, int] = {}

    def place(self, picture: Thumbnail) -> dict[str, Any]:
        """Return where a thumbnail is: the number of a picture inside the page, or an address beside it."""
        source: str | int | None = picture.source
        if picture.source is not None and picture.source.startswith("data:"):
            source = self.inlined.setdefault(picture.source, len(self.inlined))
        return {"source": source, "note": picture.note}


def _image(image: Any, picture: Mapping[str, Any]) -> dict[str, Any]:
    name = Path(image.path).name if image.path else None
    known = {
        "name": name or image.url,
        "label": image.label,
        "width": image.width,
        "height": image.height,
        "bytes": image.bytes or None,
        **picture,
    }
    return {key: value for key, value in known.items() if value is not None}


def coded(value: JSONValue, names: Sequence[str], values: Interned) -> list[int]:
    """Codes of an object's values in the order of the fields, -1 where the key is not there."""
    if not isinstance(value, Mapping):
        return [-1] * len(names)
    return [values.code(value[name]) if name in value else -1 for name in names]


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit:,} more)"


def _json(value: JSONValue) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return "(cannot be shown)"


def _shown(value: JSONValue) -> str:
    return _bounded(value if isinstance(value, str) else _json(value), VALUE_SHOWN)


def rounded(value: float | None) -> float | int | None:
    """Six digits after the point are more than a page shows; a whole number is written as one."""
    if value is None or not math.isfinite(value):
        return None
    short = round(value, 6)
    return int(short) if short == int(short) else short
