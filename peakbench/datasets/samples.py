"""One mapping to one Sample: the JSON form of a sample, which every other form is brought into.

::

    {"id": "p017",                              required; an integer is turned into text
     "image": "images/p017.jpg",                a path from the data set's folder, an http(s) URL or a data URI
     "images": ["a.jpg", {"path": "b.jpg", "label": "tag"}],     instead of "image"; path, url or data
     "prompt": "...",                           replaces the task's user prompt
     "reference": {"color": "red", "brand": null},      object, text, or null (asked, not scored)
     "metadata": {...}}                         anything else that belongs to the sample

A key that is not known is a problem, never dropped in silence: a misspelt "refrence" would leave a sample unscored.
"""

from __future__ import annotations

import datetime
import decimal
import math
import os
from collections.abc import Mapping
from typing import Any

from peakbench.errors import DataProblem, nearest
from peakbench.records import ImageSource, JSONValue, Sample

KEYS = ("id", "image", "images", "prompt", "reference", "metadata")
IMAGE_KEYS = ("path", "url", "data", "label")
_ID_CHARACTERS = 1024
_IMAGES = 64
_LEVELS = 64
"""Objects inside objects, at most: writers of JSON stop at 254 levels, Python at 1,000."""


class SampleReader:
    """Turns mappings into samples; remembers which unknown keys it has named, so that each is named once.

    ``base``: the folder that relative image paths start from and have to stay in; None for the working directory,
    without that limit.
    """

    def __init__(self, base: str | None) -> None:
        self.base = base
        self._named: set[str] = set()

    def read(self, value: object, where: str) -> Sample | list[DataProblem]:
        """Return the sample, or everything that is wrong with the mapping (at least one problem)."""
        if type(value) is not dict and not isinstance(value, Mapping):
            return [DataProblem(where, f"a sample is a JSON object, this is {_kind(value)}")]
        wrong: list[str] = []
        for key in value:
            if key not in KEYS and (key := str(key)) not in self._named:
                self._named.add(key)
                wrong.append(
                    f"unknown key {key!r} ({nearest(key, KEYS)}); what else belongs to a sample goes under 'metadata'; "
                    "each unknown key is named once"
                )
        sample_id = _id(value, wrong)
        prompt = value.get("prompt")
        if prompt is not None and (not isinstance(prompt, str) or not prompt.strip()):
            wrong.append(f"'prompt' is {_kind(prompt)}, expected text or null")
        reference = value.get("reference")
        if reference is not None and not isinstance(reference, dict | str | Mapping):
            wrong.append(f"'reference' is {_kind(reference)}, expected an object, text or null")
        metadata = value.get("metadata")
        if metadata is not None and not isinstance(metadata, dict | Mapping):
            wrong.append(f"'metadata' is {_kind(metadata)}, expected an object")
        for name, part in (("reference", reference), ("metadata", metadata)):
            if part and type(part) is dict and _too_deep(part):
                wrong.append(f"'{name}' has more than {_LEVELS} levels of objects and lists")
        images = self._images(value, wrong)
        if wrong:
            return [DataProblem(where, what) for what in wrong]
        return Sample(sample_id, images, prompt, reference, metadata or {}, where)

    def _images(self, value: Mapping[str, Any], wrong: list[str]) -> tuple[ImageSource, ...]:
        one, many = value.get("image"), value.get("images")
        if one is not None and many is not None:
            wrong.append("both 'image' and 'images'; use one of them")
            return ()
        if many is None:
            return () if one is None else tuple(filter(None, [self._image(one, "image", wrong)]))
        if not isinstance(many, list | tuple):
            wrong.append(f"'images' is {_kind(many)}, expected a list")
            return ()
        if len(many) > _IMAGES:
            wrong.append(f"{len(many)} images, at most {_IMAGES} a sample")
            return ()
        sources = [self._image(item, f"images[{index}]", wrong) for index, item in enumerate(many)]
        return tuple(source for source in sources if source is not None)

    def _image(self, value: object, name: str, wrong: list[str]) -> ImageSource | None:
        label: str | None = None
        key: str | None = None
        if isinstance(value, ImageSource):
            return value
        if not isinstance(value, str) and isinstance(value, Mapping):
            unknown = [str(k) for k in value if k not in IMAGE_KEYS]
            given = [k for k in ("path", "url", "data") if value.get(k) is not None]
            label = value.get("label")
            if unknown:
                wrong.append(f"'{name}': unknown key {unknown[0]!r} ({nearest(unknown[0], IMAGE_KEYS)})")
                return None
            if len(given) != 1:
                wrong.append(f"'{name}': expected exactly one of 'path', 'url', 'data', found {len(given)}")
                return None
            if label is not None and (not isinstance(label, str) or not 0 < len(label) <= 100):
                wrong.append(f"'{name}': 'label' is {_kind(label)}, expected a short text such as 'front'")
                return None
            key = given[0]
            value = value[key]
        if isinstance(value, bytes | bytearray | memoryview):
            return ImageSource("bytes", bytes(value), label)
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str) or not value:
            wrong.append(f"'{name}' is {_kind(value)}, expected a path, a URL or a data URI")
            return None
        if key == "data" and not value.startswith("data:"):
            return ImageSource("data_uri", f"data:;base64,{value}", label)
        if key in (None, "data") and value.startswith("data:"):
            return ImageSource("data_uri", value, label)
        if key == "url" or (key is None and value.startswith(("http://", "https://"))):
            if not value.startswith(("http://", "https://")):
                wrong.append(f"'{name}': not an http:// or https:// URL: {value[:80]!r}")
                return None
            return ImageSource("url", value, label)
        if value.startswith(("file://", "s3://", "gs://", "hf://")):
            wrong.append(f"'{name}': {value[:80]!r} cannot be read; give a path")
            return None
        return ImageSource("path", value, label, self.base)


def _id(value: Mapping[str, Any], wrong: list[str]) -> str:
    if "id" not in value:
        wrong.append("no 'id'; every sample needs one, and answers are matched by it")
        return ""
    given = value["id"]
    if isinstance(given, int) and not isinstance(given, bool):
        return str(given)
    if not isinstance(given, str) or not given.strip():
        wrong.append(f"'id' is {_kind(given)}, expected text or an integer")
        return ""
    if len(given) > _ID_CHARACTERS or not given.isprintable() or given != given.strip():
        wrong.append(
            f"'id' {given[:40]!r} is not usable: at most {_ID_CHARACTERS} printable characters, no space at its ends"
        )
    return given


def _too_deep(value: Mapping[str, Any]) -> bool:
    level: list[Any] = [item for item in value.values() if isinstance(item, dict | list)]
    for _ in range(_LEVELS - 1):
        if not level:
            break
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
    return bool(level)


def as_json(value: Any, levels: int = _LEVELS) -> JSONValue:
    """Bring a value of a table or of a program into JSON: NaN is how tables say null, times become ISO 8601 text.

    Raises:
        ValueError: there is no such thing in JSON.
    """
    if is_null(value) or isinstance(value, bool):
        return None if is_null(value) else value
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError("half a surrogate pair, which is no character")
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else float(value)
    if isinstance(value, float | decimal.Decimal):
        if math.isinf(value):
            raise ValueError("an infinite number, which JSON does not have")
        return float(value)
    if levels < 1:
        raise ValueError(f"more than {_LEVELS} levels of objects and lists")
    if isinstance(value, Mapping):
        return {str(key): as_json(item, levels - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item, levels - 1) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if hasattr(value, "tolist"):  # a numpy scalar or array
        return as_json(value.tolist(), levels - 1)
    raise ValueError(f"a {type(value).__name__}, which JSON does not have")


def is_null(cell: Any) -> bool:
    """Whether a cell is one of the nulls of tables: NaN, and NA and NaT of pandas, which need not be there."""
    if isinstance(cell, float | decimal.Decimal):
        return math.isnan(cell)
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")


def _kind(value: object) -> str:
    """Name a value's kind as a person who writes JSON would."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}" if value.strip() else "an empty text"
    if isinstance(value, Mapping):
        return "an object"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"
