"""Write the generated parts of the documentation: tables and help texts that the code already holds.

    python docs/generate.py              # the pages
    python docs/generate.py --picture    # and run.svg, a run as a terminal shows it

A generated part stands in its page between ``<!-- generated: NAME -->`` and ``<!-- end -->``. What a plugin adds to
this machine is left out. tests/test_docs.py fails where a page is not what this would write.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import os
import re
import sys
import tempfile
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from unittest import mock

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # the checkout, where it is not installed

import click  # noqa: E402

from peakbench.builtins import definition_file, open_plugins, open_registry  # noqa: E402
from peakbench.cli.app import app  # noqa: E402
from peakbench.config.settings import (  # noqa: E402
    FIELDS,
    PROFILE_KEYS,
    SAMPLING_KEYS,
    RunSettings,
    Setting,
    kind_of,
    option_name,
)
from peakbench.metrics.base import Tools  # noqa: E402
from peakbench.parsing.reasons import REASONS  # noqa: E402
from peakbench.registry import Registry  # noqa: E402
from peakbench.values import shipped_tables  # noqa: E402

COLUMNS = 80
"""Width of the help texts."""

PICTURE_COLUMNS = 100
MARK = re.compile(r"(?P<open><!-- generated: (?P<name>[a-z-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL)
REDUCTIONS = {
    "mean": "mean over samples",
    "pooled": "ratio of two sums",
    "rate": "share of answers",
    "median": "median over answers",
    "run": "one number",
}


def main(arguments: Sequence[str]) -> None:
    """Write every page that has a generated part, and the picture where it is asked for."""
    for path, text in pages().items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(FOLDER.parent)}")
    if "--picture" in arguments:
        (FOLDER / "run.svg").write_text(picture(), encoding="utf-8")
        print("wrote docs/run.svg")


def pages() -> dict[Path, str]:
    """Return every page that has a generated part, as it should be."""
    parts: dict[str, Callable[[], Iterable[str]]] = {
        "metrics": metric_table,
        "signatures": signatures,
        "comparators": comparator_table,
        "nulls": null_list,
        "synonyms": synonym_tables,
        "reasons": reason_table,
        "readers": reader_table,
        "settings": setting_tables,
        "commands": command_helps,
    }
    found = {}
    for path in sorted(FOLDER.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if MARK.search(text):
            found[path] = MARK.sub(
                lambda match: match["open"] + "\n" + "\n".join(parts[match["name"]]()) + "\n\n" + match["close"], text
            )
    return found


def registry() -> Registry:
    """Return what ships, without the plugins of this machine."""
    return open_registry(plugins=open_plugins(blocked=["all"]))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def metric_table() -> Iterator[str]:
    """One row a metric, from its definition and its kind."""
    found = registry()
    rows = []
    for name, one in found.definitions.items():
        low, high = ("∞" if end is None else f"{end:g}" for end in one.range)
        reading = f"{low} to {high} {one.unit}".strip() + f", {'higher' if one.higher_is_better else 'lower'} is better"
        rows.append(
            [
                f"`{name}`" + ("" if one.default else " †"),
                f"**{one.title}.** {one.description}",
                f"{reading}; {REDUCTIONS[one.reduction]}",
                ", ".join(sorted(found.kinds[one.kind].needs)) or "the answer",
            ]
        )
    return table(["metric", "what it is", "range; a run's value", "needs"], rows)


def signatures() -> Iterator[str]:
    """The signature of each metric as the garment task gives it."""
    found = registry()
    yield "```text"
    for metric in found.build("all", found.task("garment"), Tools()):
        yield metric.info.signature
    yield "```"


def comparator_table() -> Iterator[str]:
    """One row a comparator, with the parameters that a task may give it."""
    rows = []
    for kind in registry().comparator_kinds.values():
        fields = kind.parameters.model_fields
        given = (
            f"`{name}`" + ("" if field.is_required() else f" = {json.dumps(field.default)}")
            for name, field in fields.items()
        )
        meaning = " ".join((inspect.getdoc(kind.parameters) or "").split()).replace("``", "`") if fields else ""
        rows.append([f"`{kind.name}`", kind.description, ", ".join(given), meaning])
    return table(["kind", "two values are compared by", "parameters", "their meaning"], rows)


def null_list() -> Iterator[str]:
    """The strings that mean null."""
    values = json.loads(definition_file().read_text(encoding="utf-8"))["null_values"]
    yield ", ".join(f"`{value}`" if value else "the empty string" for value in values) + "."


def synonym_tables() -> Iterator[str]:
    """The names of the synonym tables that ship."""
    yield ", ".join(f"`{name}`" for name in shipped_tables()) + "."


def reason_table() -> Iterator[str]:
    """Why an answer is odd."""
    return table(["reason", "meaning"], ([f"`{name}`", meaning] for name, meaning in REASONS.items()))


def reader_table() -> Iterator[str]:
    """The forms of data sets that ship."""
    folders = {"hf", "images"}
    rows = (
        [
            f"`{one.name}`",
            ", ".join(f"`{ending}`" for ending in one.endings)
            or ("a folder" if one.name in folders else f"`{one.name}:`"),
            one.description,
        ]
        for one in registry().readers
    )
    return table(["form", "chosen by", "what it is"], rows)


def setting_tables() -> Iterator[str]:
    """One table a panel: each setting's key, option, value, default and meaning."""
    defaults = {field.name: _default(field) for field in dataclasses.fields(RunSettings)}
    for panel in dict.fromkeys(setting.panel for setting in FIELDS.values()):
        names = [name for name, setting in FIELDS.items() if setting.panel == panel]
        place = "[run.sampling]" if names[0] in SAMPLING_KEYS else "[run]"
        yield f"### {panel}"
        yield ""
        yield f"Keys of `{place}`."
        yield ""
        rows = (
            [
                f"`{name}`" + (" †" if name in PROFILE_KEYS else ""),
                f"`{option_name(name)}`",
                _value(name, FIELDS[name]),
                defaults[name],
                FIELDS[name].help,
            ]
            for name in names
        )
        yield from table(["key", "option", "value", "default", "meaning"], rows)
        yield ""


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING or field.default is None or field.default == ():
        return ""
    default = field.default
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    if isinstance(default, tuple):
        return f"`{', '.join(default)}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _value(name: str, setting: Setting) -> str:
    kind, _ = kind_of(name)
    if typing.get_origin(kind) is Literal:
        return " or ".join(f"`{part}`" for part in typing.get_args(kind))
    origin = typing.get_origin(kind) or kind
    words = {str: "text", int: "whole number", float: "number", bool: "true or false", tuple: "list of texts"}
    word = words.get(origin, "table")
    return word + (f", {setting.low:g} or more" if setting.low is not None else "")


def command_helps() -> Iterator[str]:
    """The help of every command that ships, as click prints it."""
    with mock.patch.dict(os.environ, {"PEAKBENCH_DISABLE_PLUGINS": "1"}):
        settings: Any = {**app.context_settings, "terminal_width": COLUMNS}
        yield from _help(app, click.Context(app, info_name="peakbench", **settings), level=2)


def _help(command: click.Command, context: click.Context, level: int) -> Iterator[str]:
    yield f"{'#' * level} {context.command_path}"
    yield ""
    yield "```text"
    yield command.get_help(context)
    yield "```"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield ""
            yield from _help(
                inner, click.Context(inner, parent=context, info_name=name, terminal_width=COLUMNS), min(level + 1, 3)
            )


def picture() -> str:
    """Return ``peakbench run`` as a terminal shows it: the report's own page down to its fields, as SVG."""
    from rich.console import Console
    from rich.terminal_theme import SVG_EXPORT_THEME
    from rich.text import Text

    import peakbench
    from peakbench.report.summary import summary_page
    from peakbench.report.tables import Page

    with tempfile.TemporaryDirectory() as folder:
        run = peakbench.run(out=Path(folder) / "demo")
        page = Page(summary_page(run.summary, path="runs/demo").blocks[:3])
    written = io.StringIO()
    with mock.patch.dict(os.environ, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}):
        page.write(written, "terminal")
    lines = ["$ peakbench run --out runs/demo", "", *written.getvalue().rstrip().split("\n"), ""]
    console = Console(record=True, width=PICTURE_COLUMNS, file=io.StringIO(), highlight=False)
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=True)
    svg = console.export_svg(title="peakbench run", theme=SVG_EXPORT_THEME, unique_id="peakbench")
    # a picture in a page may load nothing: the font is the reader's own
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    main(sys.argv[1:])
