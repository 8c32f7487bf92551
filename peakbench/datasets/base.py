"""What a data-set reader, a data set and a checked sample are; the fingerprint of a data set's content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from peakbench.errors import DataProblem
from peakbench.images import ImageRecord
from peakbench.records import JSONValue, Reference, Sample


@dataclass(frozen=True, slots=True)
class Reader:
    """A form of data set, as a plugin offers it.

    ``name`` is also the scheme in front of a spec (``csv:export.txt``). ``endings``: the file endings it is chosen by
    (``".csv"``), lower case. ``open(spec)`` takes what follows the scheme and returns an iterable of samples, each
    with its place in ``where``, and of the problems found on the way, in the order of the data; it is called once
    for every pass, so it must give the same each time. It raises DataError where nothing can be read at all.
    """

    name: str
    endings: tuple[str, ...]
    open: Callable[[str], Iterable[Sample | DataProblem]]
    description: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set: read anew in every pass, never held in memory as a whole.

    ``name``: for people and file names. ``spec``: what opens it again. ``reader``: the name of its form.
    ``limit``: the number of samples after which it ends, None for all.
    """

    name: str
    spec: str
    reader: str
    source: Callable[[], Iterable[Sample | DataProblem]] = field(repr=False)
    limit: int | None = None

    def __iter__(self) -> Iterator[Sample | DataProblem]:
        """Yield samples in order, and problems where they stand."""
        if self.limit is None:
            yield from self.source()
            return
        left = self.limit
        if left < 1:
            return
        for item in self.source():
            yield item
            if isinstance(item, Sample):
                left -= 1
                if not left:
                    return


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One checked sample as a run writes it down (one line of samples.jsonl). ``where`` is for messages."""

    id: str
    reference: Reference = None
    metadata: Mapping[str, JSONValue] = field(default_factory=dict)
    prompt: str | None = None
    images: tuple[ImageRecord, ...] = ()
    where: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the line of samples.jsonl: what is None, empty or for messages only is left out.

        >>> SampleRecord("p1", {"color": None}, where="eval.jsonl:1").as_dict()
        {'id': 'p1', 'reference': {'color': None}}
        """
        line: dict[str, Any] = {"id": self.id, "reference": self.reference}
        if self.prompt is not None:
            line["prompt"] = self.prompt
        if self.metadata:
            line["metadata"] = dict(self.metadata)
        if self.images:
            line["images"] = [
                {key: value for key, value in asdict(image).items() if value is not None} for image in self.images
            ]
        return line

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> SampleRecord:
        """Make the record from a line of samples.jsonl; unknown keys of an image are left aside.

        >>> SampleRecord.from_dict({"id": "p1", "reference": {"color": None}}).reference
        {'color': None}
        """
        return cls(
            id=line["id"],
            reference=line.get("reference"),
            metadata=line.get("metadata") or {},
            prompt=line.get("prompt"),
            images=tuple(
                ImageRecord(**{key: image.get(key, default) for key, default in _IMAGE_DEFAULTS.items()})
                for image in line.get("images", ())
            ),
        )


_IMAGE_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(ImageRecord.__dataclass_fields__),
    "bytes": 0,
    "media_type": "",
}


class Fingerprint:
    """Sha256 over the content of a data set, in order: what is asked about and what is scored against.

    Each sample counts with its id, prompt, reference, and each image's sha256 (its URL where it has one) and label.
    Paths, times of change and metadata do not count, nor do the order of keys or 32.0 against 32; so the same content
    has the same fingerprint as JSONL, CSV, Parquet or a Hugging Face folder, wherever it lies.

    >>> one, two = Fingerprint(), Fingerprint()
    >>> one.add(SampleRecord("a", {"x": 32, "y": None})); two.add(SampleRecord("a", {"y": None, "x": 32.0}))
    >>> one.hexdigest() == two.hexdigest(), one.samples
    (True, 1)
    """

    def __init__(self) -> None:
        self.samples = 0
        self._hash = hashlib.sha256(b"peakbench data set 1\n")

    def add(self, record: SampleRecord) -> None:
        """Take in the next sample."""
        content = [
            record.id,
            record.prompt,
            _plain(record.reference),
            [[image.sha256 or image.url, image.label] for image in record.images],
        ]
        self._hash.update(orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE))
        self.samples += 1

    def hexdigest(self) -> str:
        """Return the sha256 of what was taken in so far, 64 hex digits."""
        return self._hash.hexdigest()


def _plain(value: JSONValue) -> JSONValue:
    """Write whole floats as integers: Parquet gives 32.0 where JSON has 32."""
    kind = type(value)
    if kind is str or value is None:  # nearly every value; a million samples have ten million
        return value
    if kind is dict:
        return {key: item if type(item) is str or item is None else _plain(item) for key, item in value.items()}
    if isinstance(value, Mapping):
        return _plain(dict(value))
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if kind is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
