"""Plugins through real entry points: packages written to a folder on sys.path, sound ones and broken ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peakbench.builtins import open_plugins, open_registry
from peakbench.errors import PluginError
from peakbench.metrics.base import Tools
from peakbench.plugins import Plugins, commands, load_plugins

HEAD = "from peakbench import ComparatorKind, MetricKind, hookimpl\n"

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write a module with its distribution's metadata, as an installer would leave them."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, code: str, *, group: str = "peakbench", package: str | None = None, value: str = "") -> None:
        module = f"plugin_{package or name}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        folder = tmp_path / f"{module}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or name}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}{value}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return write


def reason(plugins: Plugins, name: str) -> str:
    assert name not in [plugin.name for plugin in plugins.loaded]
    (broken,) = [broken for broken in plugins.broken if broken.name == name]
    return broken.reason


KIND = (
    HEAD
    + """
@hookimpl
def peakbench_metric_kinds():
    return [MetricKind("mine", lambda info, parameters, setting: None)]
"""
)


def test_a_sound_plugin_is_loaded_with_its_distribution(install: Install) -> None:
    install("good", KIND)
    (plugin,) = load_plugins().loaded
    assert (plugin.name, plugin.distribution, plugin.version) == ("good", "good", "1.2")
    assert [kind.name for kind in plugin.offers.metric_kinds] == ["mine"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = (", "SyntaxError: "),
        ("", "implements no hook; mark its functions with peakbench.hookimpl"),
        (
            HEAD + "@hookimpl\ndef peakbench_metrics_kinds():\n    return []",
            "implements 'peakbench_metrics_kinds', which is not a hook of PeakBench; "
            "did you mean 'peakbench_metric_kinds'?",
        ),
        (HEAD + "@hookimpl\ndef peakbench_tasks(config):\n    return []", "PluginValidationError: "),
        (HEAD + "@hookimpl\ndef peakbench_tasks():\n    raise RuntimeError('no disk')", "RuntimeError: no disk"),
        (HEAD + "@hookimpl\ndef peakbench_tasks():\n    yield 1 / 0", "ZeroDivisionError: division by zero"),
        (HEAD + "@hookimpl\ndef peakbench_tasks():\n    return 3", "TypeError: 'int' object is not iterable"),
        (
            HEAD + "@hookimpl\ndef peakbench_comparators():\n    return [MetricKind('a', None)]",
            "'peakbench_comparators' returned MetricKind; expected items of ComparatorKind",
        ),
        (
            HEAD + "@hookimpl(wrapper=True)\ndef peakbench_tasks():\n    return (yield)",
            "'peakbench_tasks' is a wrapper",
        ),
    ],
)
def test_a_broken_plugin_is_named_and_refused(install: Install, code: str, expected: str) -> None:
    install("bad", code)
    install("good", KIND)
    plugins = load_plugins()
    assert expected in reason(plugins, "bad")
    assert [plugin.name for plugin in plugins.loaded] == ["good"]
    assert str(plugins.broken[0]).startswith("plugin 'bad' (bad) is not used: ")


def test_a_broken_plugin_does_not_reach_the_registry(install: Install) -> None:
    """One hook is sound, the other raises: nothing of the plugin is used."""
    install("half", KIND + "\n@hookimpl\ndef peakbench_tasks():\n    raise OSError('gone')\n")
    registry = open_registry()
    assert "mine" not in registry.kinds
    assert "garment" in registry.tasks
    assert reason(registry.plugins, "half") == "OSError: gone"


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (
            "metric_definitions():\n    return [{'format': 1, 'metrics': [{'id': 'bleu', 'kind': 'chrf', "
            "'title': 'B', 'range': [0, 1], 'higher_is_better': True}]}]",
            "duplicate id; it is defined in ",
        ),
        (
            "metric_definitions():\n    return [{'format': 1, 'metrics': [{'id': 'm', 'kind': 'blue', "
            "'title': 'B', 'range': [0, 1], 'higher_is_better': True}]}]",
            "metrics[0] 'm': unknown kind 'blue'; did you mean 'bleu'?",
        ),
        (
            "metric_definitions():\n    return [{'format': 1, 'null_values': ['x'], 'metrics': []}]",
            "a plugin cannot change the null list",
        ),
        ("metric_kinds():\n    return [MetricKind('bleu', None)]", "the kind 'bleu' is already offered by 'peakbench'"),
        ("comparators():\n    return [ComparatorKind('exact', None)]", "the comparator 'exact' is already offered by"),
        (
            "tasks():\n    from peakbench import Task\n    return [Task.model_validate("
            "{'id': 'garment', 'prompt': {'user': 'x'}, 'fields': {'a': {}}})]",
            "the task 'garment' is already offered by 'peakbench'",
        ),
        (
            "tasks():\n    from peakbench import Task\n    return [Task.model_validate("
            "{'id': 'hat', 'prompt': {'user': 'x'}, 'fields': {'a': {'comparator': 'fuzy'}}})]",
            "task 'hat': fields.a.comparator: unknown comparator 'fuzy'; did you mean 'fuzzy'?",
        ),
        (
            "tasks():\n    from pathlib import Path\n    return [Path('/no/such.json')]",
            "/no/such.json: no such task file",
        ),
        (
            "readers():\n    from peakbench import Reader\n    return [Reader('mine', ('.csv',), None)]",
            "the file ending '.csv' is already offered by 'peakbench'",
        ),
        (
            "endpoints():\n    from peakbench import EndpointProvider\n    return [EndpointProvider('recorded', None)]",
            "the endpoint 'recorded' is already offered by 'peakbench'",
        ),
    ],
)
def test_what_cannot_be_used_takes_the_plugin_out_and_nothing_else(install: Install, hook: str, expected: str) -> None:
    install("bad", f"{HEAD}@hookimpl\ndef peakbench_{hook}\n")
    install("good", KIND)
    registry = open_registry()
    assert expected in reason(registry.plugins, "bad")
    assert "mine" in registry.kinds
    assert registry.origins["bleu"] == "peakbench"


def test_two_plugins_with_one_task_the_second_is_refused(install: Install) -> None:
    code = (
        HEAD
        + "from peakbench import Task\n@hookimpl\ndef peakbench_tasks():\n"
        + "    return [Task.model_validate({'id': 'hat', 'prompt': {'user': 'x'}, 'fields': {'a': {}}})]\n"
    )
    install("first", code)
    install("second", code)
    registry = open_registry()
    assert reason(registry.plugins, "second") == "the task 'hat' is already offered by 'first'"
    assert registry.task("hat").keys == ("a",)


def test_two_packages_with_one_entry_point_name(install: Install) -> None:
    install("same", KIND, package="one")
    install("same", KIND, package="two")
    plugins = load_plugins()
    assert [plugin.distribution for plugin in plugins.loaded] == ["one"]
    assert [(b.distribution, b.reason) for b in plugins.broken] == [
        ("two", "the name 'same' is taken by the package 'one'")
    ]


def test_a_plugin_that_leans_on_a_refused_one_goes_too(install: Install) -> None:
    install("a-base", KIND + "@hookimpl\ndef peakbench_comparators():\n    return [ComparatorKind('exact', None)]\n")
    definition = "{'id': 'm', 'kind': 'mine', 'title': 'M', 'range': [0, 1], 'higher_is_better': True}"
    install(
        "b-top",
        HEAD
        + "@hookimpl\ndef peakbench_metric_definitions():\n"
        + f"    return [{{'format': 1, 'metrics': [{definition}]}}]",
    )
    plugins = open_registry().plugins
    assert "unknown kind 'mine'" in reason(plugins, "b-top")
    assert "the comparator 'exact'" in reason(plugins, "a-base")


def test_a_metric_that_cannot_be_built_is_unscored_with_the_reason(install: Install) -> None:
    definition = "{'id': 'm', 'kind': 'mine', 'title': 'M', 'range': [0, 1], 'higher_is_better': True, 'default': True}"
    install(
        "fails",
        f"""{HEAD}
def build(info, parameters, setting):
    raise RuntimeError("no licence")
@hookimpl
def peakbench_metric_kinds():
    return [MetricKind("mine", build)]
@hookimpl
def peakbench_metric_definitions():
    return [{{'format': 1, 'metrics': [{definition}]}}]
""",
    )
    registry = open_registry()
    metrics = registry.build("default", registry.task("garment"), Tools())
    (metric,) = [metric for metric in metrics if metric.info.id == "m"]
    assert (
        metric.score_batch([None, None]).reasons[1] == "could not be built (plugin 'fails'): RuntimeError: no licence"
    )
    assert len(metrics) > 10


@pytest.mark.parametrize("value", ["1", "all", "true", "bad, good", "good,bad"])
def test_the_environment_disables_plugins(install: Install, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    install("bad", "raise RuntimeError('imported')")
    install("good", KIND)
    monkeypatch.setenv("PEAKBENCH_DISABLE_PLUGINS", value)
    plugins = open_plugins()
    assert [plugin.name for plugin in plugins.loaded] == ["peakbench"]
    assert (plugins.broken, plugins.blocked) == ([], ["bad", "good"])


def test_a_block_list_leaves_out_only_what_it_names(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("bad", "raise RuntimeError('imported')")
    install("good", KIND)
    monkeypatch.setenv("PEAKBENCH_DISABLE_PLUGINS", "0")
    plugins = load_plugins(blocked=["bad"])
    assert ([p.name for p in plugins.loaded], plugins.broken, plugins.blocked) == (["good"], [], ["bad"])
    assert plugins.require("good").name == "good"
    with pytest.raises(PluginError, match="'bad' is blocked"):
        plugins.require("bad")
    with pytest.raises(PluginError, match=r"no plugin 'god' is installed\n  did you mean 'good'"):
        plugins.require("god")


def test_a_broken_plugin_asked_for_by_name_is_an_error(install: Install) -> None:
    install("bad", "1 / 0")
    with pytest.raises(PluginError, match="division by zero") as caught:
        load_plugins().require("bad")
    assert caught.value.exit_code == 2


def test_commands_are_listed_without_an_import(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("wave", "raise RuntimeError('imported')", group="peakbench.commands", value=":main")
    assert commands()["wave"].value == "plugin_wave:main"
    monkeypatch.setenv("PEAKBENCH_DISABLE_PLUGINS", "wave")
    assert "wave" not in commands()
    monkeypatch.setenv("PEAKBENCH_DISABLE_PLUGINS", "1")
    assert commands() == {}


def test_listing_commands_loads_no_heavy_room() -> None:
    program = (
        "import sys\nfrom peakbench.plugins import commands\ncommands()\n"
        "print([name for name in ('numpy', 'pydantic', 'pluggy', 'asyncio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_printed(install: Install, capfd: pytest.CaptureFixture[str]) -> None:
    install("bad", "1 / 0")
    load_plugins()
    assert capfd.readouterr() == ("", "")
