"""Charts as files: SVG and PNG without a browser, the Vega-Lite specification, and a page that needs no network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from peakbench.errors import InputError, MissingDependency, PeakBenchError, nearest

if TYPE_CHECKING:
    import altair as alt

ENDINGS = (".svg", ".png", ".json", ".html")
_SVG = "http://www.w3.org/2000/svg"
_ELEMENTS = frozenset({"svg", "g", "path", "text", "tspan", "line", "rect", "defs", "clipPath", "circle"})
_VARIABLE = re.compile(r"var\(--[a-z-]+, (#[0-9a-f]{6})\)")
_SCALE = 2.0  # of PNG: sharp on screens with two dots a pixel


def svg(chart: alt.LayerChart, *, prefix: str | None = None) -> str:
    """Return a chart as SVG: one picture with its description, nothing in it that can run or load anything.

    Args:
        chart: as :func:`peakbench.report.charts.draw` returns it.
        prefix: begins every id in it, so that several fit into one page. By default it follows from the content.

    Raises:
        MissingDependency: vl-convert is not installed.
        PeakBenchError: the drawing holds something else than a drawing.
    """
    spec = chart.to_dict()
    drawn = str(_converter().vegalite_to_svg(spec, vl_version=_version()))
    return _checked(drawn, str(spec.get("description", "")), prefix)


def png(chart: alt.LayerChart, *, scale: float = _SCALE) -> bytes:
    """Return a chart as PNG, ``scale`` dots a pixel.

    Raises:
        MissingDependency: vl-convert is not installed.
    """
    return bytes(_converter().vegalite_to_png(_plain(chart.to_dict()), vl_version=_version(), scale=scale))


def page(chart: alt.LayerChart) -> str:
    """Return a chart as a page of its own, with Vega inside: what is pointed at is told; nothing is loaded.

    Raises:
        MissingDependency: vl-convert is not installed.
    """
    spec = chart.to_dict()
    # vl-convert's own page writes the specification into its script, where a text "</script>" would end it.
    script = _converter().javascript_bundle(
        'const spec = JSON.parse(document.getElementById("spec").textContent);\n'
        'vegaEmbed("#chart", spec, {actions: false, ast: true, mode: "vega-lite", renderer: "svg"});',
        vl_version=_version(),
    )
    script = re.sub(r"</(?=script)", r"<\\/", script, flags=re.IGNORECASE)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    heading = " ".join(spec["title"]["text"])
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(heading)}</title>"
        f"<style>body{{margin:0;background:{html.escape(_plain(spec)['config']['background'])}}}"
        "#chart svg{max-width:100%;height:auto}</style></head>\n"
        f'<body><main id="chart" role="img" aria-label="{html.escape(spec.get("description", ""))}"></main>\n'
        f'<script type="application/json" id="spec">{_inert(json.dumps(_plain(spec)))}</script>\n'
        f"<script>{script}</script></body></html>\n"
    )


def save(chart: alt.LayerChart, path: str | Path) -> Path:
    """Write a chart to a file by its ending: .svg, .png, .json (the Vega-Lite specification) or .html.

    Raises:
        InputError: another ending, or a place that cannot be written.
        MissingDependency: vl-convert is not installed.
    """
    file = Path(path)
    ending = file.suffix.lower()
    if ending not in ENDINGS:
        raise InputError(
            f"unknown ending '{ending}'", where=str(path), expected=", ".join(ENDINGS), hint=nearest(ending, ENDINGS)
        )
    if ending == ".png":
        content = png(chart)
    elif ending == ".svg":
        content = svg(chart).encode()
    elif ending == ".html":
        content = page(chart).encode()
    else:
        content = (json.dumps(_plain(chart.to_dict()), indent=1) + "\n").encode()
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None
    return file


def _converter() -> Any:
    try:
        import vl_convert
    except ImportError:
        raise MissingDependency("a chart as a picture", package="vl-convert-python", extra="report") from None
    return vl_convert


def _version() -> str:
    """The version of Vega-Lite that altair writes, as vl-convert names it."""
    import altair

    return ".".join(altair.SCHEMA_VERSION.lstrip("v").split(".")[:2])


def _plain(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with colours in place of CSS variables, which only a page knows."""
    return dict(json.loads(_VARIABLE.sub(r"\1", json.dumps(spec))))


def _inert(text: str) -> str:
    """JSON as it may stand inside a script."""
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _checked(drawn: str, description: str, prefix: str | None) -> str:
    """The drawing, written anew from its elements: none but shapes and letters, ids of its own, one description."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(drawn)  # noqa: S314 - written by vl-convert a moment ago, without a document type
    start = prefix or f"chart-{hashlib.sha256(drawn.encode()).hexdigest()[:8]}-"
    for element in root.iter():
        name = str(element.tag).removeprefix(f"{{{_SVG}}}")
        if name not in _ELEMENTS:
            raise PeakBenchError(f"a chart's drawing holds <{name}>: it is not used")
        for key, value in list(element.attrib.items()):
            word = key.rpartition("}")[2].lower()
            if word.startswith("on") or word in ("href", "style", "src"):
                raise PeakBenchError(f"a chart's drawing holds the attribute {word}: it is not used")
            if word == "id":
                element.set(key, start + value)
            elif value.startswith("url(#"):
                element.set(key, f"url(#{start}{value.removeprefix('url(#')}")
            elif word in ("class", "pointer-events", "role") or word.startswith("aria-"):
                del element.attrib[key]
    root.set("role", "img")
    root.set("aria-label", description)
    return ElementTree.tostring(root, encoding="unicode")
