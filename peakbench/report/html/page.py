"""What every page is made with: templates that escape, one file, a policy that lets nothing else run.

Whatever a page shows may be model output. Three things keep it harmless: autoescape, with control and bidi characters
shown as escapes; data in a script only through :func:`embedded_json`; and a Content-Security-Policy in the page, under
which a browser runs our own scripts alone, known by their hashes, and sends no request to anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from peakbench import __version__
from peakbench.report.tables import neutral, percent, quantity

HERE = Path(__file__).parent
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def render(
    template: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    **context: Any,
) -> str:
    """Return a page: a template that extends ``page.html.j2``, with everything it needs inside it.

    Args:
        template: a file in ``templates/``.
        styles: files in ``static/`` beside ``report.css``; scripts: beside ``page.js``, run at the end of the page.
        context: what the template shows; ``title`` is needed. Every text is escaped where it is shown.
    """
    early, late = [_static("page.js")], [_static(name) for name in scripts]
    return (
        _environment()
        .get_template(template)
        .render(
            **context,
            version=__version__,
            policy=policy([*early, *late]),
            styles=Markup("\n".join(_static(name) for name in ("report.css", *styles))),  # noqa: S704 - our own files
            early_scripts=[Markup(text) for text in early],  # noqa: S704
            late_scripts=[Markup(text) for text in late],  # noqa: S704
        )
    )


def policy(scripts: Sequence[str]) -> str:
    """Return the Content-Security-Policy of a page with these scripts and no other.

    >>> policy(["1"]).split("; ")[-1]
    "script-src 'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='"
    """
    hashes = (base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes) or "'none'"
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data: 'self'; style-src 'unsafe-inline'; "
        f"script-src {allowed}"
    )


def embedded_json(value: Any) -> Markup:
    """Return JSON that may stand inside a script element: nothing in it can end the element or begin another.

    Lone surrogates are written as escapes, so the page is always valid UTF-8.

    >>> str(embedded_json({"a": "</script>&"}))
    '{"a":"\\\\u003c/script\\\\u003e\\\\u0026"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return Markup(text)  # noqa: S704 - no character of HTML is left in it


def slug(text: str, taken: set[str]) -> str:
    """Return a name that may stand in a link, made of ``text`` and unlike those in ``taken``, to which it is added.

    >>> names = set()
    >>> slug("Sleeve length", names), slug("sleeve-length", names), slug("\u00fc", names)
    ('sleeve-length', 'sleeve-length-2', 'part')
    """
    words = "".join(one if one.isascii() and one.isalnum() else " " for one in text.lower()).split()
    base = "-".join(words)[:60] or "part"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    taken.add(name)
    return name


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "quantity": quantity, "short": _short, "at": _at, "hash": _hash}
    return environment


def _shown(value: Any) -> Any:
    """What a template shows of a value: text without the characters that would act on the text around it."""
    return value if not isinstance(value, str) or isinstance(value, Markup) else neutral(value, keep="\n\t")


def _short(text: object, limit: int = 40) -> str:
    return neutral(text, limit=limit)


def _hash(text: str) -> str:
    """A text as it stands in a link behind ``#``; what UTF-8 cannot write becomes ``?``."""
    return quote(text, safe="", errors="replace")


def _at(place: float) -> str:
    """A place in a figure: a share of its width or height, as CSS and SVG write it."""
    return f"{100 * place:.2f}%"


@cache
def _static(name: str) -> str:
    text = (HERE / "static" / name).read_text(encoding="utf-8")
    if "</s" in text.lower():
        raise ValueError(f"{name}: what stands inside an element cannot hold its end tag")
    return text


def plain_values(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return names and values as text, for a list of facts; what is None or empty is left out.

    >>> plain_values({"model": "m", "top_p": None, "stop": [], "n": 3})
    [('model', 'm'), ('n', '3')]
    """
    found = []
    for name, value in values.items():
        if value is None or value in ("", [], {}, ()):
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        found.append((name, neutral(text, limit=300)))
    return found
