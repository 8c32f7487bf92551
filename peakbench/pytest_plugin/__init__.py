"""PeakBench in a pytest suite: ask a model, score its answers, and let a test fail where the model got worse.

pytest finds this module by itself (entry point ``peakbench``). It loads nothing but pytest until a test asks for one
of its fixtures, which are factories: a test, and a fixture of any scope, calls them with what they are to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from peakbench.analysis.gating.judgement import Verdict
    from peakbench.pytest_plugin.session import Session
    from peakbench.runs import Run
    from peakbench.testing import ScriptedEndpoint

FIXTURES = frozenset({"peakbench_run", "peakbench_score", "peakbench_baseline", "peakbench_endpoint"})
PLACE = "peakbench-place"
NOTE = "peakbench_baseline"
"""Key of the lines that a test's report carries to the end of the session, and into JUnit XML as a property."""

_item: pytest.StashKey[pytest.Item] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, all of one prefix."""
    group = parser.getgroup("peakbench", "models that answer with JSON (PeakBench)")
    group.addoption(
        "--peakbench-endpoint",
        metavar="URL",
        help="the endpoint that peakbench_run asks, or the name of an endpoint plugin; stands above the marker",
    )
    group.addoption("--peakbench-model", metavar="NAME", help="the model, as the endpoint knows it")
    group.addoption(
        "--peakbench-update-baseline",
        action="store_true",
        help="peakbench_baseline saves each run as the new baseline, and passes",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "peakbench(data=..., task=..., endpoint=..., model=..., workers=...): what peakbench_run and peakbench_score "
        "take where the call says nothing else; any keyword of peakbench.run.",
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    """Follow the set-up of fixtures where any test asks for ours, and only there."""
    if any(not FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) for item in session.items):
        _place(session.config)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember the test that runs."""
    item.config.stash[_item] = item


class Place:
    """Who calls a factory: a test, or a fixture whose scope is wider and which therefore has no test's marker."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._nodes: list[pytest.Item | pytest.Collector] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, request: pytest.FixtureRequest) -> Any:
        """Hold the node that a fixture belongs to while it is set up."""
        self._nodes.append(request.node)
        try:
            return (yield)
        finally:
            self._nodes.pop()

    @property
    def node(self) -> pytest.Item | pytest.Collector:
        """What the caller belongs to: it has the markers, and what the caller opened is closed when it ends."""
        return self._nodes[-1] if self._nodes else self.item

    @property
    def item(self) -> pytest.Item:
        """The test that runs."""
        return self._config.stash[_item]


def _place(config: pytest.Config) -> Place:
    found: Place | None = config.pluginmanager.get_plugin(PLACE)
    if found is None:
        found = Place(config)
        config.pluginmanager.register(found, PLACE)
    return found


@pytest.fixture(scope="session")
def _peakbench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Session:
    from peakbench.pytest_plugin.session import Session

    # Under xdist each worker has a folder of its own inside the one that all of them share.
    worker = getattr(request.config, "workerinput", {}).get("workerid")
    base = tmp_path_factory.getbasetemp()
    return Session(request.config, _place(request.config), base.parent if worker else base, worker or "main")


@pytest.fixture(scope="session")
def peakbench_run(_peakbench: Session) -> Callable[..., Run]:
    """Ask a model about a data set and score its answers: ``peakbench_run(data=None, **options) -> Run``.

    Options are those of peakbench.run; what is left out comes from --peakbench-endpoint and --peakbench-model, then
    from the marker. The same arguments are asked once a session, by one xdist worker for all; share=False asks anew.
    """
    return _peakbench.run


@pytest.fixture(scope="session")
def peakbench_score(_peakbench: Session) -> Callable[..., Run]:
    """Score answers that are there, or a run anew: ``peakbench_score(run=None, *, answers=..., data=..., task=...)``.

    Answers are a JSONL file, or a mapping of sample id to the answer (text, an object, or a list of repeats). A run
    is scored in a copy: the one that is given stays as it is.
    """
    return _peakbench.score


@pytest.fixture(scope="session")
def peakbench_baseline(_peakbench: Session) -> Callable[..., Verdict | None]:
    """Fail where a run is not as good as its baseline: ``peakbench_baseline(run, path, *, metrics=None, margin=0.01)``.

    It fails too where the samples are too few to tell, or the two cannot be compared. --peakbench-update-baseline
    saves the run as the baseline instead.
    """
    return _peakbench.baseline


@pytest.fixture(scope="session")
def peakbench_endpoint(_peakbench: Session) -> Callable[..., ScriptedEndpoint]:
    """Start an endpoint that answers what it is told: ``peakbench_endpoint(answers, *, data=None, **settings)``.

    It is stopped with the test, or with the fixture's scope, that started it. With data, answers go by sample id.
    """
    return _peakbench.endpoint


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the baselines that were saved, whichever worker saved them."""
    if not terminalreporter.config.getoption("--peakbench-update-baseline"):
        return
    lines = dict.fromkeys(_saved(terminalreporter))
    terminalreporter.section("PeakBench baselines")
    for line in lines or ("no test saved a baseline",):
        terminalreporter.write_line(line)


def _saved(terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == NOTE and str(value).startswith("saved "):
                    yield str(value)
