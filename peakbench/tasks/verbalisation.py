"""A JSON object as sentences, for models that judge sentences: "The color is navy blue. No brand is visible."

Each field has two templates, ``sentence`` with one ``{value}`` and ``absent`` for null; where the task gives none they
are made from the field's name. A value is put in as it is: braces in it are never read as a template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from peakbench.records import JSONValue
from peakbench.tasks.task import VALUE, Task, TaskField
from peakbench.values import is_null, text_form

LONGEST = 200
"""Characters of a value that a sentence holds; the rest is cut."""

_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+")


class Verbaliser:
    """Makes sentences of the answers to a task.

    Args:
        task: its fields give the templates and their order.
        nulls: the folded null list (``values.fold_nulls``).

    >>> fields = {"color": {"absent": "No color is visible."}, "sleeve_length": {}}
    >>> task = Task.model_validate({"id": "shirt", "prompt": {"user": "Describe."}, "fields": fields})
    >>> verbaliser = Verbaliser(task, frozenset({"n/a"}))
    >>> verbaliser.object({"color": "Navy  Blue", "sleeve_length": "N/A"})
    'The color is navy blue. There is no sleeve length.'
    >>> verbaliser.object({"color": None, "sleeve_length": "{value}"}, absent=False)
    'The sleeve length is {value}.'
    """

    def __init__(self, task: Task, nulls: frozenset[str]) -> None:
        self._nulls = nulls
        self._templates = {name: _templates(name, field) for name, field in task.fields.items()}

    def text(self, value: JSONValue) -> str:
        """Return what a sentence says of a value (``values.text_form``); the empty string for null."""
        if isinstance(value, list):
            value = [item for item in value if not is_null(item, self._nulls)]
        return "" if is_null(value, self._nulls) else text_form(value)

    def sentence(self, name: str, text: str) -> str:
        """Return the sentence of one field for a value's text; for the empty text the one that says it is absent."""
        head, tail, absent = self._templates[name]
        return f"{head}{text[:LONGEST]}{tail}" if text else absent

    def object(self, value: Mapping[str, JSONValue], names: Iterable[str] | None = None, *, absent: bool = True) -> str:
        """Return an object's sentences in the order of the task's fields, joined by spaces.

        Args:
            value: a reference or an answer; keys that the task does not know are left out.
            names: the fields to speak of, a missing one being null; default: those that the object has.
            absent: also say which fields are null.
        """
        wanted = set(value if names is None else names)
        texts = ((name, self.text(value.get(name))) for name in self._templates if name in wanted)
        return " ".join(self.sentence(name, text) for name, text in texts if text or absent)


def _templates(name: str, field: TaskField) -> tuple[str, str, str]:
    words = _BETWEEN_WORDS.sub(" ", name).strip().lower() or "value"
    head, tail = f"The {words} is ", "."
    if field.sentence is not None:
        head, _, tail = field.sentence.partition(VALUE)
    return head, tail, field.absent if field.absent is not None else f"There is no {words}."
