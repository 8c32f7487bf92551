"""What the site needs to show docstrings as they are meant: doctests as code, roles as plain names.

A Griffe extension, named in mkdocs.yml. Docstrings stand in the code for ``help()``, where neither needs a mark.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

ROLE = re.compile(r":(?:func|class|meth|mod):`~?([^`]+)`")


class Doctests(Extension):
    """Fences the doctests of every docstring."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite one docstring, before it is parsed."""
        del kwargs
        if obj.docstring is not None:
            obj.docstring.value = fenced(ROLE.sub(r"`\1`", obj.docstring.value))


def fenced(text: str) -> str:
    r"""Put a fence around each doctest: from ``>>>`` to the next empty line.

    >>> fenced("Add.\n\n>>> 1 + 1\n2\n\nMore.")
    'Add.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore.'
    """
    lines: list[str] = []
    inside = False
    for line in [*text.split("\n"), ""]:
        if not inside and line.lstrip().startswith(">>> "):
            inside = True
            lines.append(line[: len(line) - len(line.lstrip())] + "```pycon")
        elif inside and not line.strip():
            inside = False
            lines.append("```")
        lines.append(line)
    return "\n".join(lines[:-1])
