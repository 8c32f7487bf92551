"""A data set against a task: every problem, with its place, before anything is asked."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from peakbench.datasets.base import Dataset, SampleRecord
from peakbench.errors import DataError, DataProblem, ImageError, nearest
from peakbench.images import MAX_BYTES, ImageRecord, identify
from peakbench.records import JSONValue, Sample
from peakbench.tasks import Task, TaskField

KEPT = 1000
"""How many problems are kept with their place; the rest are counted."""


def checked(
    dataset: Dataset,
    *,
    task: Task,
    allow_outside: bool = False,
    allow_urls: bool = False,
    max_image_bytes: int = MAX_BYTES,
    read_images: bool = True,
) -> Iterator[SampleRecord]:
    """Yield every sound sample in order, then raise once if anything was wrong; ask nothing before the end.

    Checked: what the reader found, ids that stand twice, references against the task (unknown fields, a list where
    one value belongs, text for a JSON task, no field to score anywhere), and each image's header, size and trailer.
    A sample without a reference is sound: it is asked, not scored.

    Args:
        dataset: read once; a second time where ids stand twice, to name both places.
        task: what the references are held against.
        allow_outside: image paths may lead out of the data set's folder.
        allow_urls: images may be URLs.
        max_image_bytes: limit of one encoded image.
        read_images: open the images; False for scoring answers that came from elsewhere.

    Raises:
        DataError: after the last sample, with every problem (the first 1,000 by place, the rest counted).
    """
    found = _Found()
    ids = array("q")
    scorable = with_reference = 0
    for found.at, item in enumerate(_items(dataset)):
        if isinstance(item, DataProblem):
            found.add(item)
            continue
        ids.append(hash(item.id))
        before = found.count
        if item.reference is not None:
            with_reference += 1
            scorable += _check_reference(item, task, found)
        images: list[ImageRecord] = []
        if read_images:
            if not item.images:
                found.add(DataProblem(item.where, f"sample {item.id!r} has no image"))
            for source in item.images:
                try:
                    images.append(
                        identify(source, allow_outside=allow_outside, allow_urls=allow_urls, max_bytes=max_image_bytes)
                    )
                except ImageError as error:
                    found.image(item.where, error)
        if found.count == before:
            yield SampleRecord(item.id, item.reference, item.metadata, item.prompt, tuple(images), item.where)
    _check_whole(dataset, task, found, ids=ids, scorable=scorable, with_reference=with_reference)
    found.raise_if_any(dataset)


def _items(dataset: Dataset) -> Iterator[Sample | DataProblem]:
    """Iterate; a reader (a plugin's, say) that fails to read is a data set that cannot be used."""
    try:
        yield from dataset
    except OSError as error:
        raise DataError(f"cannot be read: {error}", where=dataset.spec) from error


@dataclass(slots=True)
class _Shared:
    """A problem that many samples have: the first of them, and how many."""

    at: int
    where: str
    times: int = 1


class _Found:
    """The problems found so far, bounded; those that a whole column shares are named once and counted.

    ``at``: the position in the data set of what is looked at; problems are listed by it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.at = -1
        self._dropped = False
        self._kept: list[tuple[int, DataProblem]] = []
        self._shared: dict[str, _Shared] = {}
        self._hints: list[str] = []

    def add(self, problem: DataProblem) -> None:
        self.count += 1
        if len(self._kept) < KEPT:
            self._kept.append((self.at, problem))
        else:
            self._dropped = True

    def share(self, where: str, what: str) -> None:
        """Add a problem that many samples have in the same words."""
        self.count += 1
        if what in self._shared:
            self._shared[what].times += 1
        elif len(self._shared) < KEPT:
            self._shared[what] = _Shared(self.at, where)
        else:
            self._dropped = True

    def image(self, where: str, error: ImageError) -> None:
        expected = f" (expected: {error.expected})" if error.expected else ""
        self.add(DataProblem(where, f"image {error.where}: {error.what}{expected}"))
        if error.hint and error.hint not in self._hints and len(self._hints) < 3:
            self._hints.append(error.hint)

    def raise_if_any(self, dataset: Dataset) -> None:
        if not self.count:
            return
        # What many samples share stands first: nobody should have to look for it among a thousand others.
        often = [
            DataProblem(one.where, f"{what} (in {one.times:,} samples)")
            for what, one in self._shared.items()
            if one.times > 1
        ]
        once = [(one.at, DataProblem(one.where, what)) for what, one in self._shared.items() if one.times == 1]
        by_place = sorted([*once, *self._kept], key=lambda pair: pair[0])
        noun = "problem" if self.count == 1 else "problems"
        kept = f"; the first {KEPT:,} are kept" if self._dropped else ""
        raise DataError(
            f"{self.count:,} {noun} in {dataset.spec}{kept}",
            problems=[*often, *(problem for _, problem in by_place)],
            hint="\n  ".join(self._hints) or None,
        )


def _check_reference(sample: Sample, task: Task, found: _Found) -> bool:
    """Hold one reference against the task; return whether anything in it can be scored."""
    reference = sample.reference
    if task.answer == "text":
        if isinstance(reference, str):
            return True
        found.share(sample.where, f"the reference is an object, and the answer to task '{task.id}' is text")
        return False
    if not isinstance(reference, Mapping):
        found.share(sample.where, f"the reference is text, and the answer to task '{task.id}' is a JSON object")
        return False
    known = 0
    fields = task.fields
    for name, value in reference.items():
        field = fields.get(name)
        if field is None:
            found.share(sample.where, f"reference: task '{task.id}' has no field {name!r}; {nearest(name, task.keys)}")
            continue
        known += 1
        # Text for a text field is nearly every value; a million samples have ten million.
        if value is None or (type(value) is str and field.type == "string" and not field.many):
            continue
        if wrong := _misfit(value, field):
            found.add(DataProblem(sample.where, f"reference, field '{name}': {wrong}"))
    return known > 0


def _misfit(value: JSONValue, field: TaskField) -> str | None:
    """Say what is wrong with a value that is not null for a field, None where it fits."""
    if field.many:
        if not isinstance(value, list | tuple):
            return f"one value ({value!r:.60}), where the task has a list"
        return next((wrong for item in value if (wrong := _one_misfit(item, field))), None)
    return _one_misfit(value, field)


def _one_misfit(value: JSONValue, field: TaskField) -> str | None:
    if isinstance(value, list | tuple):
        return "a list, where the task has one value"
    if isinstance(value, Mapping) != (field.type == "object"):
        return "an object, where the task has a plain value" if isinstance(value, Mapping) else "not an object"
    if field.type != "object" and isinstance(value, bool) != (field.type == "boolean"):
        return f"{value!r:.60}, where the task has {'true or false' if field.type == 'boolean' else f'a {field.type}'}"
    if field.type in ("number", "integer") and not _is_number(value):
        return f"{value!r:.60} is not a number"
    return None


def _is_number(value: JSONValue) -> bool:
    """Whether a value is a finite number, or text that reads as one (as every cell of a CSV file is text)."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return False
    return number - number == 0


def _check_whole(
    dataset: Dataset, task: Task, found: _Found, *, ids: array[int], scorable: int, with_reference: int
) -> None:
    if not ids and not found.count:
        found.add(DataProblem(dataset.spec, "no sample in it"))
    if with_reference and not scorable:
        names = f" (fields: {', '.join(task.keys)})" if task.keys else ""
        found.add(DataProblem(dataset.spec, f"no reference can be scored by task '{task.id}'{names}"))
    for found.at, problem in _duplicates(dataset, ids):
        found.add(problem)


def _duplicates(dataset: Dataset, ids: array[int]) -> Iterator[tuple[int, DataProblem]]:
    """Name ids that stand twice, both places each, with the position of the second.

    A pass keeps 8 bytes a sample. Only where two hashes meet is the data set read again, for the ids themselves.
    """
    import numpy as np

    hashes = np.sort(np.frombuffer(ids, dtype=np.int64)) if ids else np.empty(0, dtype=np.int64)
    twice = set(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]).tolist())
    if not twice:
        return
    first: dict[str, str] = {}
    for position, item in enumerate(dataset):
        if isinstance(item, Sample) and hash(item.id) in twice:
            if item.id in first:
                yield position, DataProblem(item.where, f"id {item.id!r} stands already at {first[item.id]}")
            elif len(first) < KEPT:
                first[item.id] = item.where
