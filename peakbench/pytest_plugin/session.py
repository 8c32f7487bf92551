"""What the fixtures do: one object a session and process."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from peakbench import api
from peakbench.api.options import Options
from peakbench.errors import ConfigError, DataError, DataProblem, PeakBenchError, nearest
from peakbench.pytest_plugin import NOTE, Place
from peakbench.pytest_plugin.gates import GATE_OPTIONS, Asked, failure_text, judged, line_of, missing_text, saved
from peakbench.pytest_plugin.sharing import Shared
from peakbench.records import Sample
from peakbench.runs import Run
from peakbench.testing import Answer, Answers, Reply, ScriptedEndpoint, replay

if TYPE_CHECKING:
    from peakbench.analysis.gating.judgement import Verdict

RUN_OPTIONS = frozenset(Options.__dataclass_fields__)
SCORE_OPTIONS = frozenset(inspect.signature(api.score).parameters) - {"run", "answers", "data", "task"}
MARKED = RUN_OPTIONS | SCORE_OPTIONS | {"data"}
_URL = re.compile(r"https?:", re.IGNORECASE)
_DERIVED = ("scores.jsonl", "summary.json", "report.html", ".*")
"""What a copy of a run leaves behind, to be made anew."""


class Session:
    """The factories behind the fixtures, and what they share.

    Args:
        config: of pytest.
        place: says who calls.
        folder: the temporary folder that all workers of the session see.
        worker: the name of this process.
    """

    def __init__(self, config: pytest.Config, place: Place, folder: Path, worker: str) -> None:
        self._config = config
        self._place = place
        self._folder = folder / "peakbench"
        self._worker = worker
        self._shared = Shared(self._folder / "shared", worker)
        self._servers: dict[str, str] = {}
        self._serial = 0

    # -- asking --------------------------------------------------------------------------------------------------------

    def run(self, data: Any = None, *, share: bool = True, **options: Any) -> Run:
        """Ask a model about a data set and return the run.

        Args:
            data: as peakbench.run takes it; a relative path is looked for in pytest's root first.
            share: False asks anew, also where the same was asked before.
            options: as peakbench.run takes them; ``endpoint`` may also be a ScriptedEndpoint.

        Raises:
            ConfigError: there is nobody to ask.
            PeakBenchError: whatever peakbench.run raises.
        """
        __tracebackhide__ = True
        _known("peakbench_run", options, RUN_OPTIONS)
        try:
            given = {**({} if data is None else {"data": data}), **options}
            marked = {name: value for name, value in self._marked().items() if name in RUN_OPTIONS | {"data"}}
            settings = self._endpoint(given, marked)
            settings = {**marked, **given, **settings}
            data = self._file(settings.pop("data", None))
            if isinstance(settings.get("task"), str):
                settings["task"] = self._file(settings["task"], ".json")
            return self._asked(data, settings, share)
        except PeakBenchError as error:
            raise error.with_traceback(None) from None

    def _asked(self, data: Any, settings: dict[str, Any], share: bool) -> Run:
        out = settings.pop("out", None)
        identity = {**settings, "endpoint": self._servers.get(settings["endpoint"], settings["endpoint"])}
        key = self._shared.key("run", data=data, out=out and str(out), **identity, **self._alone(share))
        # A folder of ours that a killed test left half done is gone on with.
        if out is None:
            out, settings["resume"] = self._made(settings.get("model"), key), True
        self._shared.once(key, lambda: api.run(data, **{**settings, "out": out}))
        return Run(out)

    def _endpoint(self, given: Mapping[str, Any], marked: Mapping[str, Any]) -> dict[str, Any]:
        """Who is asked: the call, else the command line, else the marker; a model that was named for a server stays."""
        option = self._config.getoption
        typed = {"endpoint": option("--peakbench-endpoint"), "model": option("--peakbench-model")}
        layers = (given, {name: value for name, value in typed.items() if value is not None}, marked)
        place = next((place for place, layer in enumerate(layers) if layer.get("endpoint") is not None), None)
        if place is None:
            raise ConfigError(
                "no endpoint was named: there is nobody to ask",
                where=self._place.item.nodeid,
                expected="pytest --peakbench-endpoint URL --peakbench-model NAME, or "
                '@pytest.mark.peakbench(endpoint=..., model=...), or peakbench_run(endpoint=..., model="...")',
                hint='endpoint="recorded" asks the recorded answers inside the package, without a model',
            )
        endpoint = layers[place]["endpoint"]
        if isinstance(endpoint, ScriptedEndpoint):
            own = endpoint.endpoint()
            self._servers.setdefault(endpoint.url, self._token())
            model, key = given.get("model") or own.model, given.get("api_key") or own.api_key
            return {"endpoint": endpoint.url, "model": model, "api_key": key}
        url = _URL.match(str(endpoint)) is not None
        # A plugin's endpoint has a model of its own: one that was named for a server is none of its affair.
        named = layers if url else (given, layers[place])
        model = next((layer["model"] for layer in named if layer.get("model") is not None), None)
        if url and model is None:
            raise ConfigError(
                "no model was named",
                where=self._place.item.nodeid,
                expected="pytest --peakbench-model NAME, @pytest.mark.peakbench(model=...), or "
                "peakbench_run(model=...), as the server knows it",
            )
        return {"endpoint": str(endpoint), "model": model}

    # -- scoring -------------------------------------------------------------------------------------------------------

    def score(
        self,
        run: Run | str | Path | None = None,
        *,
        answers: str | Path | Mapping[str, Any] | None = None,
        data: Any = None,
        task: Any = None,
        share: bool = True,
        **options: Any,
    ) -> Run:
        """Score answers that are there, or score a copy of a run, and return the run.

        Args:
            run: a run, or its directory.
            answers: a JSONL file, or a mapping of sample id to a text, an object, None, or a list of these (repeats).
            data, task: what was answered; the marker's where they are left out.
            share: False scores anew.
            options: as peakbench.score takes them.

        Raises:
            PeakBenchError: whatever peakbench.score raises.
        """
        __tracebackhide__ = True
        _known("peakbench_score", options, SCORE_OPTIONS - {"on_progress"})
        try:
            marked = self._marked()
            settings = {name: value for name, value in marked.items() if name in SCORE_OPTIONS} | options
            out = settings.pop("out", None)
            if run is not None and answers is None:
                return self._rescored(run, settings, out, share)
            data = self._file(marked.get("data") if data is None else data)
            task = marked.get("task") if task is None else task
            task = self._file(task, ".json") if isinstance(task, str) else task
            if isinstance(answers, Mapping):
                answers = self._written(answers)
            settings |= {"answers": self._file(answers), "data": data, "task": task}
            key = self._shared.key("score", out=out and str(out), **settings, **self._alone(share))
            folder = Path(out) if out is not None else self._made("answers", key)
            self._shared.once(key, lambda: _into(folder, out is None, lambda: api.score(run, out=folder, **settings)))
            return Run(folder)
        except PeakBenchError as error:
            raise error.with_traceback(None) from None

    def _rescored(self, run: Run | str | Path, settings: dict[str, Any], out: Any, share: bool) -> Run:
        source = run if isinstance(run, Run) else Run(self._file(run))
        files = [source.path / name for name in ("run.json", "task.json", "samples.jsonl", "responses.jsonl")]
        key = self._shared.key("rescore", files=files, out=out and str(out), **settings, **self._alone(share))
        folder = Path(out) if out is not None else self._made(source.record.model, key)

        def make() -> None:
            shutil.copytree(source.path, folder, ignore=shutil.ignore_patterns(*_DERIVED))
            api.score(folder, **settings)

        self._shared.once(key, lambda: _into(folder, out is None, make))
        return Run(folder)

    def _written(self, answers: Mapping[str, Any]) -> Path:
        lines = []
        for name, found in answers.items():
            for repeat, answer in enumerate(found if isinstance(found, list | tuple) else [found]):
                text = answer if answer is None or isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
                lines.append(json.dumps({"id": name, "repeat": repeat, "response": text}) + "\n")
        key = self._shared.key("answers", lines=lines)
        path = self._folder / "answers" / key / "answers.jsonl"

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(lines), encoding="utf-8")

        self._shared.once(key, write)
        return path

    # -- the gate ------------------------------------------------------------------------------------------------------

    def baseline(
        self,
        run: Run | str | Path,
        path: str | Path,
        *,
        metrics: str | Sequence[str] | None = None,
        margin: float = 0.01,
        unchanged: Literal["fail", "pass"] = "fail",
        **settings: Any,
    ) -> Verdict | None:
        """Fail the test unless the run is as good as its baseline; return the verdict, None where it was saved.

        Args:
            run: a run, or its directory.
            path: the baseline; a relative path stands in pytest's root.
            metrics: what is gated, ids or ``field:NAME``; None: quality, else weighted_score.
            margin: how much worse it may be, as a fraction.
            unchanged: what answers are that are the baseline's own, byte by byte: a mistake ("fail"), or answers in
                which nothing changed ("pass", where scoring them passes).
            settings: as peakbench.gate takes them.

        Raises:
            PeakBenchError: the run or the baseline cannot be used.
        """
        __tracebackhide__ = True
        if unchanged not in ("fail", "pass"):
            raise TypeError(f"peakbench_baseline(): unchanged is {unchanged!r}; expected 'fail' or 'pass'")
        _known("peakbench_baseline", settings, GATE_OPTIONS)
        file, test = self._config.rootpath / path, self._place.item.nodeid
        asked = Asked(metrics, margin, unchanged, settings)
        verdict, problem = None, None
        try:
            run = run if isinstance(run, Run) else Run(self._file(run))
            if self._config.getoption("--peakbench-update-baseline"):
                self._note(saved(run, file, self._shared, asked=asked, test=test, shown=Path(path)))
            elif not file.is_file():
                problem = missing_text(run, file, test)
            else:
                verdict = judged(run, file, asked)
                self._note(line_of(verdict))
                problem = None if verdict.passed else failure_text(verdict, run, file, test)
        except PeakBenchError as error:
            raise error.with_traceback(None) from None
        if problem is not None:
            pytest.fail(problem, pytrace=False)
        return verdict

    # -- the scripted endpoint -----------------------------------------------------------------------------------------

    def endpoint(self, answers: Answers | Mapping[str, Any], *, data: Any = None, **settings: Any) -> ScriptedEndpoint:
        """Start a scripted endpoint, and stop it with the test or the fixture that called.

        Args:
            answers: as ScriptedEndpoint takes them; with ``data``, a mapping of sample id to answer (an object is sent
                as JSON), or a JSONL file of recorded answers.
            data: the data set whose samples are to be answered, each with its own.
            settings: as ScriptedEndpoint takes them.

        Raises:
            DataError: the data set cannot be used, or a sample has no answer.
        """
        __tracebackhide__ = True
        try:
            if data is not None:
                answers = self._replayed(answers, data)
            server = ScriptedEndpoint(answers, **settings)
        except PeakBenchError as error:
            raise error.with_traceback(None) from None
        server.__enter__()
        self._place.node.addfinalizer(lambda: server.__exit__(None, None, None))
        # Another server may get this port later in the session: what was asked here is not its answer.
        self._servers[server.url] = self._token()
        return server

    def _replayed(self, answers: Any, data: Any) -> Answers:
        from peakbench.builtins import open_registry
        from peakbench.datasets import open_dataset

        samples: list[Sample] = []
        problems: list[DataProblem] = []
        for item in open_dataset(self._file(data), readers=open_registry().readers):
            (samples if isinstance(item, Sample) else problems).append(item)  # type: ignore[arg-type]
        if problems:
            raise DataError(
                f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in the data set", problems=problems
            )
        if not isinstance(answers, Mapping):
            return replay(samples, self._file(answers))
        return replay(samples, {name: _answer(found) for name, found in answers.items()})

    # -- what they share -----------------------------------------------------------------------------------------------

    def _marked(self) -> dict[str, Any]:
        """The marker's keywords, those nearest the caller first."""
        found: dict[str, Any] = {}
        for mark in self._place.node.iter_markers("peakbench"):
            if mark.args:
                raise ConfigError(
                    "the marker 'peakbench' takes keywords alone",
                    where=self._place.node.nodeid,
                    expected='@pytest.mark.peakbench(data="eval.jsonl", model="...")',
                )
            for name, value in mark.kwargs.items():
                if name not in MARKED:
                    raise ConfigError(
                        f"the marker 'peakbench' knows no keyword '{name}'",
                        where=self._place.node.nodeid,
                        hint=nearest(name, MARKED),
                    )
                found.setdefault(name, value)
        return found

    def _file(self, spec: Any, ending: str = "") -> Any:
        """A relative path from pytest's root where there is such a file, else as it is: from the working directory."""
        if not isinstance(spec, str | Path):
            return spec
        if Path(spec).is_absolute() or not str(spec).endswith(ending):
            return spec
        rooted = self._config.rootpath / spec
        file = Path(str(rooted).partition("#")[0])  # FOLDER#SPLIT is a data set too
        return str(rooted) if rooted.exists() or (file != rooted and file.is_dir()) else spec

    def _made(self, name: Any, key: str) -> Path:
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", str(name or "recorded")).strip("-.")[:40]
        return self._folder / "runs" / f"{slug}-{key[:12]}"

    def _alone(self, share: bool) -> dict[str, str]:
        return {} if share else {"alone": self._token()}

    def _token(self) -> str:
        self._serial += 1
        return f"{self._worker} {self._serial}"

    def _note(self, text: str) -> None:
        self._place.item.user_properties.append((NOTE, text))


def _into(folder: Path, ours: bool, make: Callable[[], object]) -> None:
    if ours:
        shutil.rmtree(folder, ignore_errors=True)  # half done, by a test that was killed
    make()


def _answer(found: Any) -> Answer:
    if isinstance(found, Sequence) and not isinstance(found, str):
        return [_text(one) for one in found]
    return _text(found)


def _text(found: Any) -> str | Reply:
    return found if isinstance(found, str | Reply) else json.dumps(found, ensure_ascii=False)


def _known(fixture: str, options: Mapping[str, Any], known: frozenset[str]) -> None:
    __tracebackhide__ = True
    for name in options:
        if name not in known:
            raise TypeError(f"{fixture}() got an unexpected keyword argument '{name}'; {nearest(name, known)}")
