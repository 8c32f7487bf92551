"""The pytest plugin as somebody else's suite meets it: sessions of pytest, each in a process of its own."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from peakbench.errors import EndpointGone, InputError, MissingDependency, StoreError
from peakbench.pytest_plugin.sharing import Shared
from peakbench.records import Sampling
from peakbench.testing import Reply, ScriptedEndpoint

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
INSTALLED = any(point.name == "peakbench" for point in entry_points(group="pytest11"))
STRICT = ("-W", "error", "--strict-markers", "--strict-config", "-p", "no:cacheprovider", "-p", "no:asyncio")
ANSWER = '{"type": "t-shirt", "color": "red"}'

Play = Callable[..., pytest.RunResult]

GATED = """
import os
import pytest

COLORS = ["red", "blue", "green"]
DATA = [
    {"id": f"s{n}", "reference": {"type": "t-shirt", "color": COLORS[n % 3], "brand": None}} for n in range(120)
]

@pytest.fixture(scope="session")
def run(peakbench_score):
    bad = int(os.environ.get("BAD", 0))
    answers = {one["id"]: dict(one["reference"]) for one in DATA}
    for one in DATA[:bad]:
        answers[one["id"]]["color"] = "pink\\x1b[31m"
    return peakbench_score(answers=answers, data=DATA, images=False, metrics=["weighted_score"], resamples=100)
"""


@pytest.fixture
def play(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Write a test file and run pytest on it in a process of its own, with warnings as errors."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    loaded = () if INSTALLED else ("-p", "peakbench.pytest_plugin")

    def run(source: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_it=source)
        return pytester.runpytest_subprocess(*loaded, *STRICT, *arguments, timeout=100)

    return run


def workers() -> tuple[str, ...]:
    if find_spec("xdist") is None:
        pytest.skip("pytest-xdist is not installed")
    return ("-n", "2")


# -- what it costs and says --------------------------------------------------------------------------------------------


def test_a_suite_that_does_not_use_it_loads_nothing(play: Play) -> None:
    play(
        """
        import sys

        def test_modules():
            rooms = {name for name in sys.modules if name.startswith("peakbench")}
            assert rooms <= {"peakbench", "peakbench.pytest_plugin"}, rooms
            assert not {"numpy", "pydantic", "aiohttp", "orjson", "filelock", "scipy"} & set(sys.modules)
        """
    ).assert_outcomes(passed=1)


def test_help_names_options_marker_and_fixtures(play: Play) -> None:
    said = play("", "--help").stdout.str()
    assert {"--peakbench-endpoint=URL", "--peakbench-model=NAME", "--peakbench-update-baseline"} <= set(said.split())
    said = play("", "--markers").stdout.str()
    assert "@pytest.mark.peakbench(data=..., task=..., endpoint=..., model=..., workers=...): " in said
    said = play("", "--fixtures").stdout.str()
    assert [n for n in ("run", "score", "baseline", "endpoint") if f"peakbench_{n} [session scope]" not in said] == []


# -- asking ------------------------------------------------------------------------------------------------------------


def test_runs_are_asked_once_and_servers_end_with_their_scope(play: Play) -> None:
    play(
        f"""
        import socket
        from urllib.parse import urlsplit
        import pytest

        ports = []

        def is_open(url):
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0

        @pytest.fixture(scope="module")
        def server(peakbench_endpoint):
            return peakbench_endpoint({ANSWER!r})

        @pytest.fixture(scope="module")
        def run(peakbench_run, server):
            return peakbench_run(endpoint=server, limit=3, resamples=20)

        def test_a_fixture_of_a_wider_scope(run, server):
            assert run.summary["samples"]["strict"] == server.requests == 3

        def test_the_same_arguments_are_not_asked_again(peakbench_run, server, run):
            assert peakbench_run(endpoint=server, resamples=20, limit=3).path == run.path
            assert peakbench_run(endpoint=server.url, model="scripted", limit=3, resamples=20).path == run.path
            assert server.requests == 3

        def test_others_are(peakbench_run, server, run, tmp_path):
            assert peakbench_run(endpoint=server, limit=2, resamples=20).path != run.path
            assert server.requests == 5
            assert peakbench_run(endpoint=server, limit=3, resamples=20, share=False).path != run.path
            assert server.requests == 8
            out = tmp_path / "mine"
            assert peakbench_run(endpoint=server, limit=1, resamples=20, out=out).path == out

        def test_a_server_of_its_own(peakbench_endpoint, peakbench_run, run):
            server = peakbench_endpoint("no JSON", api_key="secret", model="mine")
            ports.append(server.url)
            found = peakbench_run(endpoint=server, limit=3, resamples=20)
            assert (found.record.model, found.summary["samples"]["unparseable"]) == ("mine", 3)

        def test_it_has_ended(server):
            assert not is_open(ports[0])
            assert is_open(server.url)

        def test_answers_by_sample(peakbench_endpoint, peakbench_run):
            from peakbench.api.jobs import demo_data
            from peakbench.datasets import open_dataset
            right = {{sample.id: dict(sample.reference) for sample in open_dataset(demo_data())}}
            server = peakbench_endpoint(right | {{"g01": [{{"type": "jeans"}}, "never asked"]}}, data=demo_data())
            run = peakbench_run(demo_data(), endpoint=server, resamples=20)
            scores = {{row["sample_id"]: row["metrics"]["weighted_score"]["value"] for row in run.rows()}}
            assert scores.pop("g01") < 1 and set(scores.values()) == {{1.0}}
        """
    ).assert_outcomes(passed=6)


def test_who_is_asked(play: Play, pytester: pytest.Pytester) -> None:
    """The call stands above the command line, and that above the marker; a wider fixture has no test's marker."""
    with ScriptedEndpoint(ANSWER) as one, ScriptedEndpoint(ANSWER) as two:
        play(
            f"""
            import pytest

            pytestmark = pytest.mark.peakbench(endpoint={one.url!r}, model="marked", limit=2, resamples=20)

            @pytest.fixture(scope="module")
            def wide(peakbench_run):
                return peakbench_run()

            @pytest.mark.peakbench(limit=1, workers=1)
            def test_the_nearest_marker_counts_key_by_key(wide, peakbench_run):
                run = peakbench_run()
                assert (run.record.data.samples, run.record.workers, run.record.model) == (1, 1, "typed")
                assert run.record.endpoint.url == {two.url!r}
                assert (wide.record.data.samples, wide.record.workers) == (2, 8)

            def test_the_call(peakbench_run):
                run = peakbench_run(endpoint={one.url!r}, model="called")
                assert (run.record.model, run.record.endpoint.url) == ("called", {one.url!r})

            def test_a_model_typed_for_a_server_is_no_affair_of_a_plugin(peakbench_run):
                run = peakbench_run(endpoint="recorded")
                assert (run.record.model, run.record.endpoint.provider) == ("recorded", "recorded")

            def test_its_own_data(peakbench_run, tmp_path, monkeypatch):
                monkeypatch.chdir(tmp_path)
                assert peakbench_run("data", limit=1).record.data.name == "data"
            """,
            "--peakbench-endpoint",
            two.url,
            "--peakbench-model=typed",
        ).assert_outcomes(passed=3, failed=1)
        demo = ROOT / "peakbench" / "data" / "demo"
        (pytester.path / "data").symlink_to(demo)
        done = play(
            f"""
            def test_a_path_from_the_root(peakbench_run, tmp_path, monkeypatch):
                monkeypatch.chdir(tmp_path)
                run = peakbench_run("data/samples.jsonl", endpoint={one.url!r}, model="m", limit=1, resamples=20)
                assert run.record.data.samples == 1
            """
        )
        done.assert_outcomes(passed=1)


def test_mistakes_are_named_without_a_traceback_of_ours(play: Play) -> None:
    done = play(
        """
        import pytest
        import peakbench

        def test_nobody(peakbench_run):
            peakbench_run()

        def test_no_model(peakbench_run):
            peakbench_run(endpoint="http://127.0.0.1:9/v1")

        def test_keyword(peakbench_run):
            peakbench_run(modle="m")

        @pytest.mark.peakbench(endpoint="recorded", modle="m")
        def test_marker(peakbench_run):
            peakbench_run()

        @pytest.mark.peakbench("eval.jsonl")
        def test_marker_position(peakbench_run):
            peakbench_run()

        def test_no_answers(peakbench_score):
            peakbench_score()

        def test_an_error_has_its_class_and_is_not_provoked_twice(peakbench_run, peakbench_endpoint):
            server = peakbench_endpoint("x", api_key="right")
            for _ in range(2):
                with pytest.raises(peakbench.EndpointRefused, match="Incorrect API key"):
                    peakbench_run(endpoint=server.url, model="m", limit=1, api_key="wrong")
            assert server.requests == 1
        """
    )
    done.assert_outcomes(passed=1, failed=6)
    said = done.stdout.str()
    for line in (
        "E       peakbench.errors.ConfigError: test_it.py::test_nobody: no endpoint was named: there is nobody to ask",
        "E         expected: pytest --peakbench-endpoint URL --peakbench-model NAME, or @pytest.mark.peakbench",
        "E       peakbench.errors.ConfigError: test_it.py::test_no_model: no model was named",
        "E       TypeError: peakbench_run() got an unexpected keyword argument 'modle'; did you mean 'model'?",
        "E       peakbench.errors.ConfigError: test_it.py::test_marker: the marker 'peakbench' knows no keyword",
        "E       peakbench.errors.ConfigError: test_it.py::test_marker_position: the marker 'peakbench' takes keywords",
        "E       peakbench.errors.ConfigError: nothing to score",
    ):
        assert line in said, line
    assert set(re.findall(r"^(\S+\.py):\d+: ", said, re.MULTILINE)) == {"test_it.py"}


# -- scoring -----------------------------------------------------------------------------------------------------------


def test_scoring_answers_and_runs(play: Play) -> None:
    """Weighted by hand: two fields of weights 2 and 1."""
    play(
        """
        import json
        import pytest

        DATA = [{"id": "a", "reference": {"type": "t-shirt", "color": "red"}},
                {"id": "b", "reference": {"type": "jeans", "color": "blue"}}]
        TASK = {"format": 1, "id": "pair", "version": 1, "title": "A pair", "answer": "json",
                "fields": {"type": {"weight": 2}, "color": {"weight": 1}}, "prompt": {"user": "Describe."}}

        @pytest.mark.peakbench(data=DATA, task="pair.json", metrics=["weighted_score"], images=False, resamples=20)
        def test_it(peakbench_score, pytestconfig):
            (pytestconfig.rootpath / "pair.json").write_text(json.dumps(TASK))
            right = {"a": DATA[0]["reference"], "b": json.dumps(DATA[1]["reference"])}
            assert peakbench_score(answers=right).summary["metrics"]["weighted_score"]["value"] == 1.0
            run = peakbench_score(answers=right | {"b": {"type": "jeans", "color": None}})
            assert run.summary["metrics"]["weighted_score"]["value"] == pytest.approx((1 + 2 / 3) / 2)
            twice = peakbench_score(answers={"a": [right["a"], "no"], "b": [right["b"], None]})
            assert (twice.record.repeats, twice.summary["metrics"]["weighted_score"]["value"]) == (2, 0.5)
            before = {path.name: path.read_bytes() for path in run.path.iterdir()}
            again = peakbench_score(run, metrics=["structured_match"])
            assert again.path != run.path
            assert set(again.summary["metrics"]) == {"structured_match"}
            assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before
            assert peakbench_score(str(run.path), metrics=["structured_match"]).path == again.path
            lines = [json.dumps({"id": key, "response": value}) for key, value in right.items()]
            (pytestconfig.rootpath / "answers.jsonl").write_text("\\n".join(lines))
            assert peakbench_score(answers="answers.jsonl").summary["metrics"]["weighted_score"]["value"] == 1.0
        """
    ).assert_outcomes(passed=1)


# -- the gate ----------------------------------------------------------------------------------------------------------


def test_a_baseline_from_none_to_fallen(play: Play, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = GATED + (
        "\ndef test_gate(run, peakbench_baseline):\n"
        "    peakbench_baseline(run, 'kept/base.json', metrics=['weighted_score', 'field:color'])\n"
    )
    done = play(suite)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "there is no baseline */kept/base.json: nothing to hold answers against",
            '  save this run as the baseline: pytest --peakbench-update-baseline "test_it.py::test_gate"',
            "  or another that is known to be good: peakbench baseline save RUN --out */kept/base.json",
        ]
    )
    done = play(suite, "--peakbench-update-baseline")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["*= PeakBench baselines =*", "saved kept/base.json: answers on in-memory, 120 samples"])
    kept = (pytester.path / "kept" / "base.json").read_bytes()

    monkeypatch.setenv("BAD", "30")
    done = play(suite, "--junitxml=junit.xml")
    done.assert_outcomes(failed=1)
    # worked by hand: 30 of 120 lose the colour, 1 of the weights 2.5 (type), 1 and 1.5 (brand) that are asked
    done.stdout.fnmatch_lines(
        [
            "answers: worse than its baseline: weighted_score: -*beyond the margin of 1 point",
            "FELL",
            "weighted_score *100.0 * 95.0 * -5.0 * 120 * 0 * 30 * fell",
            "field:color *100.0 * 75.0 * -25.0 * 120 * 0 * 30 * fell",
            "Fields that changed, %",
            "  color *100.0 * 75.0 * -25.0*",
            "Samples that lost most",
            "  s0 * 100.0 -> 80.0 * color * red * pink\\x1b?31m * correct -> wrong",
            "where this is as it should be, save it anew: pytest --peakbench-update-baseline *",
        ]
    )
    assert "\x1b" not in done.stdout.str()
    assert re.findall(r"^\S+\.py:\d+", done.stdout.str(), re.MULTILINE) == [], "a traceback"
    (noted,) = ET.parse(pytester.path / "junit.xml").iter("property")
    assert noted.get("name") == "peakbench_baseline"
    assert str(noted.get("value")).startswith("worse than its baseline: weighted_score: -")
    assert (pytester.path / "kept" / "base.json").read_bytes() == kept

    done = play(suite, "--peakbench-update-baseline")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["saved kept/base.json: *, 120 samples; it was worse than its baseline: weighted_score*"])


def test_a_baseline_without_what_is_to_be_gated_is_not_saved(play: Play, pytester: pytest.Pytester) -> None:
    suite = GATED + (
        "\ndef test_gate(run, peakbench_baseline):\n"
        "    peakbench_baseline(run, 'base.json', metrics='weihted_score')\n"
        "\ndef test_field(run, peakbench_baseline):\n"
        "    peakbench_baseline(run, 'base.json', metrics='field:colour')\n"
    )
    done = play(suite, "--peakbench-update-baseline")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(["*weihted_score is not among its scores", "*did you mean 'weighted_score'?*"])
    done.stdout.fnmatch_lines(["*no field 'colour'", "*did you mean 'color'?*"])
    assert not (pytester.path / "base.json").exists()


def test_other_ways_to_fail(play: Play, pytester: pytest.Pytester) -> None:
    suite = GATED + (
        """
import json
import peakbench

def test_same_answers_where_they_may_be(run, peakbench_baseline):
    peakbench_baseline(run, "base.json", metrics="weighted_score", unchanged="pass")

def test_other_answers_that_score_alike(peakbench_score, peakbench_baseline):
    answers = {one["id"]: json.dumps(one["reference"], indent=2) for one in DATA}
    run = peakbench_score(answers=answers, data=DATA, images=False, metrics=["weighted_score"], resamples=20)
    verdict = peakbench_baseline(run, "base.json", metrics=["weighted_score", "field:color"])
    assert [one.value for one in verdict.metrics] == [0, 0]

def test_same_answers(run, peakbench_baseline):
    peakbench_baseline(run, "base.json")

def test_too_few(run, peakbench_baseline):
    peakbench_baseline(run, "base.json", unchanged="pass", min_samples=200)

def test_not_scored(run, peakbench_baseline):
    peakbench_baseline(run, "base.json", metrics=["quality"], unchanged="pass")

def test_other_data(peakbench_score, peakbench_baseline):
    part = DATA[:110]
    run = peakbench_score(answers={one["id"]: one["reference"] for one in part}, data=part, images=False, resamples=20,
                          metrics=["weighted_score"])
    peakbench_baseline(run, "base.json")

def test_damaged(run, peakbench_baseline):
    peakbench_baseline(run, "damaged.json")

def test_keyword(run, peakbench_baseline):
    peakbench_baseline(run, "base.json", min_sample=3)

def test_margin(run, peakbench_baseline):
    with pytest.raises(peakbench.ConfigError):
        peakbench_baseline(run, "base.json", margin=1)
"""
    )
    play(suite, "--peakbench-update-baseline", "-k", "same_answers_where").assert_outcomes(passed=1)
    (pytester.path / "damaged.json").write_text("{")
    done = play(suite)
    done.assert_outcomes(passed=3, failed=6)
    done.stdout.fnmatch_lines(
        [
            "answers: not comparable with its baseline: *saved from these very answers*",
            'answers that may stay as they were: peakbench_baseline(..., unchanged="pass")',
            "answers: not known to be as good as its baseline: weighted_score: 120 compared *",
            "answers: not comparable with its baseline: *",
            "answers: not comparable with its baseline: *",
            "E       peakbench.errors.StoreError: *damaged.json*",
            "E       TypeError: peakbench_baseline() got an unexpected keyword argument 'min_sample'; did you mean*",
        ]
    )


def test_two_runs_cannot_be_one_baseline(play: Play) -> None:
    done = play(
        GATED
        + """
def test_one(run, peakbench_baseline):
    assert peakbench_baseline(run, "base.json") is None

def test_the_same_again(run, peakbench_baseline, request):
    peakbench_baseline(run, str(request.config.rootpath / "base.json"))

def test_another(peakbench_score, peakbench_baseline):
    run = peakbench_score(answers={one["id"]: "{}" for one in DATA}, data=DATA, images=False, resamples=20)
    peakbench_baseline(run, "base.json")
""",
        "--peakbench-update-baseline",
    )
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(
        [
            "E       peakbench.errors.StoreError: base.json: two tests save different runs as one baseline",
            "E         saved by test_it.py::test_one, now by test_it.py::test_another",
        ]
    )
    assert done.stdout.str().count("saved base.json: ") == 1


def test_a_baseline_with_failed_answers_is_refused(play: Play, pytester: pytest.Pytester) -> None:
    done = play(
        """
        from peakbench.testing import Reply

        def test_it(peakbench_run, peakbench_endpoint, peakbench_baseline):
            server = peakbench_endpoint(lambda asked: Reply("down", status=400 if asked.number else 200))
            run = peakbench_run(endpoint=server, limit=3, resamples=20, workers=1)
            peakbench_baseline(run, "base.json")
        """,
        "--peakbench-update-baseline",
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*StoreError: *requests without an answer: 2 failed*", "no test saved a baseline"])
    assert not (pytester.path / "base.json").exists()


# -- workers of xdist --------------------------------------------------------------------------------------------------


def test_one_worker_asks_for_all(play: Play) -> None:
    with ScriptedEndpoint(ANSWER, latency_s=0.05) as server, ScriptedEndpoint(Reply("no", status=404)) as refusing:
        done = play(
            f"""
            import os
            import pytest
            import peakbench

            @pytest.mark.parametrize("number", range(8))
            def test_run(peakbench_run, number):
                run = peakbench_run(endpoint={server.url!r}, model="m", limit=4, resamples=20)
                assert run.summary["samples"]["strict"] == 4
                assert os.environ["PYTEST_XDIST_WORKER"] in ("gw0", "gw1")

            @pytest.mark.parametrize("number", range(4))
            def test_refused(peakbench_run, number):
                with pytest.raises(peakbench.EndpointRefused, match="404"):
                    peakbench_run(endpoint={refusing.url!r}, model="m", limit=1, workers=1)

            def test_where(request, tmp_path_factory):
                runs = tmp_path_factory.getbasetemp().parent / "peakbench" / "runs"
                assert len(list(runs.iterdir())) <= 2
            """,
            *workers(),
        )
        done.assert_outcomes(passed=13)
        assert (server.requests, refusing.requests) == (4, 1)


def test_another_worker_goes_on_where_one_died(play: Play) -> None:
    """Of twenty requests, the dead worker's answers stay; the one it was waiting for is asked again."""
    with ScriptedEndpoint(ANSWER, latency_s=0.1) as server:
        done = play(
            f"""
            import os
            import threading
            import time
            import pytest

            @pytest.mark.parametrize("number", range(2))
            def test_run(peakbench_run, tmp_path_factory, number):
                def die():
                    while sum(len(file.read_text().splitlines()) for file in base.glob("*/responses.jsonl")) < 5:
                        time.sleep(0.01)
                    os._exit(1)

                base = tmp_path_factory.getbasetemp().parent / "peakbench" / "runs"
                if number == 0:
                    threading.Thread(target=die, daemon=True).start()
                run = peakbench_run(endpoint={server.url!r}, model="m", limit=20, workers=1, resamples=20)
                assert run.summary["samples"]["strict"] == 20
            """,
            *workers(),
            "--max-worker-restart=1",
        )
        done.assert_outcomes(passed=1, failed=1)
        assert server.requests <= 22


def test_workers_save_one_baseline_and_the_session_tells(play: Play, pytester: pytest.Pytester) -> None:
    suite = GATED + (
        "\n@pytest.mark.parametrize('number', range(6))\n"
        "def test_gate(run, peakbench_baseline, number):\n"
        "    peakbench_baseline(run, 'base.json', unchanged='pass')\n"
    )
    done = play(suite, *workers(), "--peakbench-update-baseline")
    done.assert_outcomes(passed=6)
    assert done.stdout.str().count("saved base.json: answers on in-memory, 120 samples") == 1
    assert sorted(path.name for path in pytester.path.glob("*.json")) == ["base.json"]


# -- sharing, piece by piece -------------------------------------------------------------------------------------------


def test_keys_tell_arguments_apart(tmp_path: Path) -> None:
    one, two = Shared(tmp_path / "s", "gw0"), Shared(tmp_path / "s", "gw1")
    file = tmp_path / "data.jsonl"
    file.write_text("{}")

    def same(first: Any, second: Any) -> bool:
        return one.key("run", given=first) == two.key("run", given=second)

    assert same({"a": [1, 2.5, None, True]}, {"a": (1, 2.5, None, True)})
    assert same(Sampling(seed=1), Sampling(seed=1))
    assert same(file, str(file))
    assert same(b"x", b"x")
    assert one.key("run", a=1, b=2) == two.key("run", b=2, a=1, c=None)
    assert not same(Sampling(seed=1), Sampling(seed=2))
    assert not same("1", 1)
    assert not same([1, 2], [2, 1])
    assert one.key("run", a=1) != one.key("score", a=1)
    before = one.key("run", given=file)
    file.write_text("{}\n")
    assert one.key("run", given=file) != before
    tool, other = object(), object()
    assert one.key("run", given=tool) == one.key("run", given=tool)
    assert one.key("run", given=tool) != one.key("run", given=other)
    assert not same(tool, tool), "an object is nobody's but its process's"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointGone("gone", hint="wait"), EndpointGone),
        (StoreError("full", where="run"), StoreError),
        (MissingDependency("this", package="p", extra="e"), InputError),
    ],
)
def test_an_error_is_everybodys(tmp_path: Path, error: Exception, kind: type[Exception]) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise error

    for worker in ("gw0", "gw1"):
        shared = Shared(tmp_path, worker)
        for _ in range(2):
            with pytest.raises(kind) as caught:
                shared.once("key", fail)
            assert str(caught.value) == str(error)
    assert calls == [1]


def test_a_killed_test_decides_nothing(tmp_path: Path) -> None:
    calls = []

    def killed() -> None:
        calls.append("killed")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Shared(tmp_path, "gw0").once("key", killed)
    for worker in ("gw1", "gw0"):
        Shared(tmp_path, worker).once("key", lambda: calls.append("done"))
    assert calls == ["killed", "done"]


# -- installed ---------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_installed_pytest_finds_it(new_environment: Callable[[str], Any], tmp_path: Path) -> None:
    """From a wheel, where pytest also rewrites the assertions of the package that brings a plugin."""
    made = new_environment("plugin")
    made.install(str(ROOT))
    suite = tmp_path / "suite"
    suite.mkdir()
    (suite / "pytest.ini").write_text("[pytest]\n")
    (suite / "test_it.py").write_text(
        "import sys\n\n\n"
        "def test_unused():\n"
        "    rooms = {name for name in sys.modules if name.startswith('peakbench')}\n"
        "    assert rooms == {'peakbench', 'peakbench.pytest_plugin'}\n\n\n"
        "def test_used(peakbench_run):\n"
        "    run = peakbench_run(endpoint='recorded', limit=2, resamples=20)\n"
        "    assert run.summary['samples']['strict'] == 2\n"
        "    assert 'site-packages' in sys.modules['peakbench'].__file__\n"
    )
    said = made.run("-m", "pytest", *STRICT, "-q", str(suite))
    assert "2 passed" in said


# -- the page ----------------------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")


def test_the_suites_on_the_page_run(pytester: pytest.Pytester, play: Play) -> None:
    """As they stand: the baselines are saved, then 24 samples are too few for the gate."""
    demo = ROOT / "peakbench" / "data" / "demo"
    shutil.copytree(demo / "images", pytester.path / "images")
    shutil.copy(demo / "samples.jsonl", pytester.path / "eval.jsonl")
    suites = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(suites) == 3
    with ScriptedEndpoint(ANSWER) as server:
        pytester.makepyfile(**{f"test_{place}": suite for place, suite in enumerate(suites)})
        asked = ("--peakbench-endpoint", server.url, "--peakbench-model", "m")
        play("", *asked, "--peakbench-update-baseline").assert_outcomes(passed=5)
        assert sorted(path.name for path in (pytester.path / "baselines").iterdir()) == ["brands.json", "garment.json"]
        assert server.requests == 48, "each of two runs once: they differ in the number of workers"
        done = play("", *asked)
    done.assert_outcomes(passed=3, failed=2)
    done.stdout.fnmatch_lines(["m: not known to be as good as *24 compared samples: fewer than 100 decide nothing"] * 2)
    play("", "-k", "test_brands").assert_outcomes(skipped=1, deselected=4)


def test_the_page_names_everything() -> None:
    assert [name for name in ("run", "score", "baseline", "endpoint") if f"`peakbench_{name}(" not in PAGE] == []
    options = ("--peakbench-endpoint", "--peakbench-model", "--peakbench-update-baseline")
    assert [name for name in options if name not in PAGE] == []
