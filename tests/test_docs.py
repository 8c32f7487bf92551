"""What the documentation says is so: generated parts are current, code runs, commands parse, every key is named."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import click
import pytest

import peakbench
from peakbench.api.jobs import demo_data
from peakbench.builtins import open_registry
from peakbench.cli.app import app
from peakbench.config import resolve
from peakbench.datasets import open_dataset
from peakbench.records import FailureKind
from peakbench.store.schemas import schemas
from peakbench.testing import Reply, ScriptedEndpoint

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "examples" / "README.md"]
FENCE = re.compile(r"^(?:<!-- test: (?P<mark>[\w.]+) -->\n\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
SERVER = "http://127.0.0.1:8000/v1"


def blocks(page: Path, language: str) -> list[str]:
    return [
        match["code"] for match in FENCE.finditer(page.read_text(encoding="utf-8")) if match["language"] == language
    ]


def marked(page: str, mark: str) -> str:
    (code,) = [m["code"] for m in FENCE.finditer((DOCS / page).read_text(encoding="utf-8")) if m["mark"] == mark]
    return code


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED = load(DOCS / "generate.py").pages()


# -- generated parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_generated_parts_are_current(path: Path) -> None:
    written, wanted = path.read_text(encoding="utf-8"), GENERATED[path]
    if path.name == "cli.md":  # where click breaks a line is its own affair, and changes with its version
        written, wanted = " ".join(written.split()), " ".join(wanted.split())
    assert written == wanted, "the page is not what the code says; mend it with: python docs/generate.py"


def test_every_metric_comparator_setting_and_command_is_on_a_page() -> None:
    """The generator's own output against other sources than its own."""
    metrics, settings, cli = (GENERATED[DOCS / name] for name in ("metrics.md", "settings.md", "cli.md"))
    definitions = json.loads((ROOT / "peakbench_metrics.json").read_text(encoding="utf-8"))["metrics"]
    assert [one["id"] for one in definitions if f"| `{one['id']}`" not in metrics] == []
    fields = {field.name for field in dataclasses.fields(peakbench.config.RunSettings)}
    assert {name for name in fields if f"| `{name}`" not in settings} == set()
    assert [
        line for line in ("peakbench run", "peakbench data check", "peakbench task init") if f"### {line}" not in cli
    ] == []


# -- code and commands -------------------------------------------------------------------------------------------------


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: eval.jsonl and an image."""
    demo = Path(demo_data()).parent
    shutil.copytree(demo / "images", tmp_path / "images")
    lines = (demo / "samples.jsonl").read_text(encoding="utf-8").splitlines()[:4]
    (tmp_path / "eval.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copy(demo / "images" / "g01.jpg", tmp_path / "a.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


CODE = [
    (name, number)
    for name in ("index.md", "data.md", "testing.md")
    for number in range(len(blocks(DOCS / name, "python")))
]


@pytest.mark.parametrize(("name", "number"), CODE, ids=lambda part: str(part))
def test_python_on_a_page_runs(name: str, number: int, workplace: Path) -> None:
    code = blocks(DOCS / name, "python")[number]
    with ScriptedEndpoint('{"type": "t-shirt", "color": "red"}') as server:
        exec(compile(code.replace(SERVER, server.url), f"{name}[{number}]", "exec"), {"__name__": "__page__"})


def commands(page: Path) -> Iterator[str]:
    for code in blocks(page, "sh"):
        for line in code.replace("\\\n", " ").splitlines():
            yield from re.findall(r"(?:^|&& )(peakbench(?: .*)?)$", line)


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=lambda page: page.stem)
def test_commands_on_a_page_parse(page: Path) -> None:
    for line in commands(page):
        _, *arguments = shlex.split(line, comments=True)
        # an ellipsis; the command of the example plugin, and that of the recipes, which have a test of their own
        if "..." in arguments or arguments[:1] in (["overlap"], ["recipe"]):
            continue
        command: click.Command = app
        context = click.Context(app, info_name="peakbench")
        while isinstance(command, click.Group):
            name, found, arguments = command.resolve_command(context, arguments)
            assert found is not None, line
            command = found
            context = click.Context(command, parent=context, info_name=name)
        try:
            command.parse_args(context, list(arguments))
        except click.UsageError as error:
            pytest.fail(f"{page.name}: {line}: {error.format_message()}")


def test_marked_files_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "peakbench.toml").write_text(marked("settings.md", "peakbench.toml"), encoding="utf-8")
    environment = {"TEAM_NAME": "vision"}
    local = resolve(file=tmp_path / "peakbench.toml", environment=environment).settings
    hosted = resolve({"endpoint": "hosted"}, file=tmp_path / "peakbench.toml", environment=environment).settings
    assert (local.endpoint, local.workers, local.structured) == (SERVER, 16, "json_schema")
    assert (hosted.api_key_env, hosted.rate, dict(hosted.headers)) == ("EXAMPLE_KEY", 5.0, {"X-Team": "vision"})

    (tmp_path / "receipt.json").write_text(marked("tasks.md", "task"), encoding="utf-8")
    task = open_registry().task(str(tmp_path / "receipt.json"))
    assert task.keys == ("shop", "total", "currency", "paid_by", "items")

    (definitions,) = blocks(DOCS / "metrics.md", "json")
    (tmp_path / "my_metrics.json").write_text(definitions, encoding="utf-8")
    run = peakbench.run(
        endpoint="recorded",
        definitions=[tmp_path / "my_metrics.json"],
        metrics=["rouge_l_raw"],
        limit=2,
        resamples=10,
        out=tmp_path / "run",
    )
    assert "|view:raw|" in run.summary["metrics"]["rouge_l_raw"]["signature"]


def test_samples_on_the_data_page_can_be_read(tmp_path: Path) -> None:
    (csv,) = blocks(DOCS / "data.md", "csv")
    (tmp_path / "eval.csv").write_text(csv, encoding="utf-8")
    first, second = open_dataset(str(tmp_path / "eval.csv"))
    assert [image.label for image in first.images] == ["front", "tag"]
    assert second.reference == {"type": "jeans", "color": "navy", "size": None}
    (tmp_path / "eval.jsonl").write_text("\n".join(blocks(DOCS / "data.md", "json")[1:]), encoding="utf-8")
    assert [type(item).__name__ for item in open_dataset(str(tmp_path / "eval.jsonl"))] == ["Sample", "Sample"]


# -- completeness ------------------------------------------------------------------------------------------------------


def test_every_public_name_is_documented() -> None:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: peakbench\.([\w.]+)$", text, re.M))
    wanted = {f"{room}.{name}" for room, names in peakbench._ROOMS.items() for name in names}
    assert shown == wanted
    assert {name.rpartition(".")[2] for name in wanted} == set(peakbench.__all__) - {"__version__"}


def section(text: str, title: str) -> set[str]:
    """Names in backticks in the tables under one heading."""
    (body,) = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", text, re.M | re.S)
    return {name for row in re.findall(r"^\| .*$", body, re.M) for name in re.findall(r"`(\w+)`", row)}


def keys(value: Any, *, but: frozenset[str] = frozenset()) -> set[str]:
    """Every key of an object at any depth, without what stands under ``but``."""
    if isinstance(value, list):
        return {key for item in value for key in keys(item, but=but)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {key for name, item in value.items() if name not in but for key in keys(item, but=but)}


def declared(schema: dict[str, Any], *names: str) -> set[str]:
    """The keys that a schema declares: its own, or those of the named definitions."""
    parts = [schema["$defs"][name] for name in names] if names else [schema, *schema.get("$defs", {}).values()]
    return {key for part in parts for key in part.get("properties", {})}


def test_every_key_of_a_run_directory_is_documented(tmp_path: Path) -> None:
    """Those of the schemas, and those that a run writes."""
    faults = [lambda asked: Reply(status=400) if asked.number == 0 else None]
    with ScriptedEndpoint('{"type": "t-shirt"}', faults=faults) as server:
        run = peakbench.run(endpoint=server.url, model="m", limit=4, stream=True, out=tmp_path / "run", resamples=10)
    text, known = (DOCS / "formats.md").read_text(encoding="utf-8"), schemas()

    def lines(name: str) -> list[Any]:
        return [json.loads(line) for line in (run.path / name).read_text(encoding="utf-8").splitlines()]

    record = json.loads((run.path / "run.json").read_text(encoding="utf-8"))
    written = {
        "run.json": keys(record, but=frozenset({"versions", "extra_body"})) | declared(known["run.schema.json"]),
        "samples.jsonl": keys(lines("samples.jsonl"), but=frozenset({"reference", "metadata"}))
        | declared(known["samples.schema.json"]),
        "responses.jsonl": keys(lines("responses.jsonl"), but=frozenset({"usage"}))
        | declared(known["responses.schema.json"]),
        "scores.jsonl": {"value", "reason", "score", "outcome"} | set(lines("scores.jsonl")[0]),
        "summary.json": set(run.summary) | set(known["summary.schema.json"]["properties"]),
    }
    summary, definitions = run.summary, known["summary.schema.json"]
    written |= {
        "samples": keys(summary["samples"], but=frozenset({"failures"})) | declared(definitions, "Counts"),
        "metrics": {key for one in summary["metrics"].values() for key in one} | declared(definitions, "MetricEntry"),
        "fields": {key for one in summary["fields"].values() for key in one} | declared(definitions, "FieldEntry"),
        "performance": keys(summary["performance"]) | declared(definitions, "Performance", "Percentiles"),
    }
    assert {title: missing for title, found in written.items() if (missing := found - section(text, title))} == {}


def test_every_failure_and_every_part_of_a_reply_is_documented() -> None:
    assert set(get_args(FailureKind)) <= section((DOCS / "asking.md").read_text(encoding="utf-8"), "What can go wrong")
    faults = section((DOCS / "testing.md").read_text(encoding="utf-8"), "Faults")
    assert {field.name for field in dataclasses.fields(Reply)} <= faults


def test_exit_codes_are_those_of_the_code() -> None:
    from peakbench import errors

    text = (DOCS / "asking.md").read_text(encoding="utf-8")
    text = text.partition("## Exit codes")[2].partition("\n## ")[0]
    codes = {one.exit_code for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "exit_code")}
    assert codes | {0, 4, 5, 130} == {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.M)}


def test_every_page_is_in_the_navigation_and_every_link_leads_somewhere() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in DOCS.glob("*.md") if f": {page.name}" not in navigation] == []
    for page in (ROOT / "README.md", ROOT / "examples" / "README.md"):
        links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_picture_is_a_picture_that_loads_nothing() -> None:
    from xml.etree import ElementTree

    text = (DOCS / "run.svg").read_text(encoding="utf-8")
    tree = ElementTree.fromstring(text)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert "weighted_score" in text
    assert "defect_type" in text
    assert not re.search(r"@font-face|@import|href=|url\(\s*['\"]?http", text)


def test_doctests_are_fenced_for_the_site() -> None:
    pytest.importorskip("griffe")
    fenced = load(DOCS / "docstrings.py").fenced
    assert fenced("Add.\n\n>>> 1 + 1\n2\n\nMore.") == "Add.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nMore."
    assert fenced("No code.") == "No code."
    assert fenced(">>> 1") == "```pycon\n>>> 1\n```"


def test_toml_blocks_are_toml() -> None:
    for page in PAGES:
        for code in blocks(page, "toml"):
            tomllib.loads(code)
