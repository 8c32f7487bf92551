"""peakbench gate as CI calls it: exit codes, JSON, JUnit XML, GitHub's annotations; two annotators of real photos."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import peakbench as pb
from peakbench.analysis.comparison.scoretable import Origin
from peakbench.analysis.gating.judgement import Gated, Shift, Verdict
from peakbench.api.gates import gate, load_baseline, save_baseline
from peakbench.cli.app import main
from peakbench.report.gating import github_command, github_commands, verdict_page
from peakbench.report.junit import junit, junit_error
from peakbench.runs import Run

PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TASK = {"id": "shirt", "prompt": {"user": "Describe."}, "fields": {"color": {}, "brand": {}}}
METRICS = ["weighted_score", "structured_match", "valued_f1"]
COLORS = ["red", "blue", "green", "black"]
N = 160
REFERENCES = [{"color": COLORS[i % 4], "brand": "acme" if i % 3 else None} for i in range(N)]
PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "garment_photos"
Score = Callable[..., Run]


@pytest.fixture(scope="module")
def score(tmp_path_factory: pytest.TempPathFactory) -> Score:
    """Score answers by name: ``wrong`` are the rows whose color is wrong, ``failed`` those without an answer."""
    folder = tmp_path_factory.mktemp("runs")
    data, task = folder / "data.jsonl", folder / "task.json"
    rows = [{"id": f"s{i:03}", "image": PIXEL, "reference": one} for i, one in enumerate(REFERENCES)]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task.write_text(json.dumps(TASK), encoding="utf-8")

    def make(
        name: str, *, wrong: range = range(0), failed: range = range(0), unasked: range = range(0), **more: Any
    ) -> Run:
        answers = folder / f"{name}.jsonl"
        lines = []
        for i, reference in enumerate(REFERENCES):
            value: dict[str, Any] = {"response": reference | ({"color": f"no {name}"} if i in wrong else {})}
            if i in failed:
                value = {"error": {"kind": "timeout", "message": "-"}}
            if i not in unasked:
                lines.append(json.dumps({"id": f"s{i:03}", **value}))
        answers.write_text("\n".join(lines), encoding="utf-8")
        options = {"data": data, "task": task, "out": folder / name, "resamples": 20, "metrics": METRICS, **more}
        return pb.score(answers=answers, **options)

    return make


@pytest.fixture(scope="module")
def baseline(score: Score, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_baseline(score("good", wrong=range(20)), tmp_path_factory.mktemp("kept") / "baseline.json")


@pytest.fixture(autouse=True)
def no_github(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture(scope="module")
def runs(score: Score) -> dict[str, Run]:
    return {
        "better": score("better", wrong=range(2)),
        "worse": score("worse", wrong=range(70)),
        "near": score("near", wrong=range(10, 32)),
        "failing": score("failing", wrong=range(2), failed=range(30, 90)),
        "partly": score("partly", wrong=range(2), unasked=range(30, 90)),
    }


CODES = {"better": 0, "worse": 4, "near": 5, "failing": 5, "partly": 5}


@pytest.mark.parametrize("name", CODES)
def test_exit_codes(runs: dict[str, Run], baseline: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["gate", str(runs[name].path), "--baseline", str(baseline)]
    assert main(arguments) == CODES[name]
    page = capsys.readouterr().out
    assert page.startswith({0: "PASSED\n", 4: "FELL\n", 5: "UNDECIDED"}[CODES[name]])
    assert "weighted_score" in page
    assert "quality is scored neither in the baseline nor in the run" in page
    assert main([*arguments, "--json"]) == CODES[name]
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["exit_code"] == CODES[name]
    assert found == json.loads(json.dumps(gate(runs[name], baseline).as_dict()))
    assert not err


def test_missing_answers_say_how_to_ask_again(
    runs: dict[str, Run], baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("failing", "partly"):
        main(["gate", str(runs[name].path), "--baseline", str(baseline)])
        assert (
            "60 samples without every answer, read as the worst. Ask again: peakbench run --resume"
            in capsys.readouterr().out
        )


def test_the_number_of_samples_needed_is_said(
    runs: dict[str, Run], baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", str(runs["near"].path), "--baseline", str(baseline)]) == 5
    said = re.search(r"about ([\d,]+) samples let an equal run pass; about ([\d,]+) decide it", capsys.readouterr().out)
    found = gate(runs["near"], baseline).metrics[0]
    assert said is not None
    assert [int(number.replace(",", "")) for number in said.groups()] == [found.needed, found.needed_seen]


def test_what_cannot_be_compared_is_exit_code_6(
    score: Score, runs: dict[str, Run], baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = str(runs["better"].path)
    for options in (["--metric", "quality"], ["--metric", "weighted_scores"], ["--metric", "latency"]):
        assert main(["gate", new, "--baseline", str(baseline), *options]) == 6
    own = save_baseline(runs["better"], tmp_path / "own.json")
    assert main(["gate", new, "--baseline", str(own)]) == 6
    assert "the baseline was saved from these very answers" in capsys.readouterr().out
    data = tmp_path / "fewer.jsonl"
    rows = [{"id": f"s{i:03}", "image": PIXEL, "reference": one} for i, one in enumerate(REFERENCES[:150])]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    answers = tmp_path / "fewer.answers.jsonl"
    answers.write_text("\n".join(json.dumps({"id": row["id"], "response": row["reference"]}) for row in rows))
    fewer = pb.score(answers=answers, data=data, task=new + "/task.json", out=tmp_path / "fewer", metrics=METRICS)
    assert main(["gate", str(fewer.path), "--baseline", str(baseline)]) == 6
    page = capsys.readouterr().out
    assert "the samples differ: 10 only in the baseline (as s150)" in page
    assert "--unpaired" not in page


def test_what_is_not_there_is_exit_code_2(
    runs: dict[str, Run], baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = str(runs["better"].path)
    assert main(["gate", new, "--baseline", str(tmp_path / "none.json")]) == 2
    assert "peakbench baseline save RUN" in capsys.readouterr().err
    assert main(["gate", str(tmp_path / "none"), "--baseline", str(baseline)]) == 2
    assert main(["gate", new, "--baseline", str(baseline), "--margin", "1"]) == 2
    assert "0.01 is one point of a hundred" in capsys.readouterr().err
    assert main(["gate", new, "--baseline", str(baseline), "--resamples", "10"]) == 2
    assert main(["gate", new, "--baseline", str(baseline), "--margin", "nan"]) == 2
    cut = tmp_path / "cut.json"
    cut.write_bytes(baseline.read_bytes()[:-100])
    assert main(["gate", new, "--baseline", str(cut)]) == 2


def test_an_unfinished_run_does_not_pass(score: Score, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = score("unfinished", wrong=range(1))
    (run.path / "summary.json").unlink()
    assert main(["gate", str(run.path), "--baseline", str(baseline)]) == 2
    assert "unfinished" in capsys.readouterr().err


def test_a_repeat_that_was_not_asked_is_missing(baseline: Path, runs: dict[str, Run], tmp_path: Path) -> None:
    data = runs["better"].path.parent / "data.jsonl"
    answers = tmp_path / "twice.jsonl"
    lines = [
        json.dumps({"id": f"s{i:03}", "repeat": repeat, "response": reference})
        for i, reference in enumerate(REFERENCES)
        for repeat in range(2)
        if (i, repeat) != (3, 1)
    ]
    answers.write_text("\n".join(lines), encoding="utf-8")
    task = runs["better"].path / "task.json"
    twice = pb.score(answers=answers, data=data, task=task, out=tmp_path / "twice", metrics=METRICS, resamples=20)
    found = gate(twice, baseline)
    assert found.missing == 1
    (one,) = found.metrics
    assert one.change is not None
    assert one.worst is not None
    assert one.change.second == 1
    assert one.worst.second == pytest.approx(1 - 0.5 / N)  # one of two answers to one sample, read as 0
    assert found.passed
    assert "repeats differ: 1 in the baseline, 2 in the run" in found.notes


def test_a_baseline_that_was_loaded_serves_as_well(runs: dict[str, Run], baseline: Path) -> None:
    for name in ("better", "worse"):
        assert gate(runs[name].path, load_baseline(baseline)) == gate(runs[name], str(baseline))


# JUnit


def parsed(data: bytes) -> list[tuple[str, list[str]]]:
    root = ElementTree.fromstring(data)
    assert root.tag == "testsuites"
    cases = [(case.get("name") or "", [child.tag for child in case]) for case in root.iter("testcase")]
    counts = {kind: sum(kind in tags for _, tags in cases) for kind in ("failure", "error")}
    for suite in (root, *root.iter("testsuite")):
        assert int(suite.get("tests") or -1) == len(cases)
        assert int(suite.get("failures") or 0) == counts["failure"]
        assert int(suite.get("errors") or 0) == counts["error"]
    return cases


def test_junit_is_green_only_for_what_passed(runs: dict[str, Run], baseline: Path, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "gate.xml"
    metrics = ["--metric", "weighted_score", "--metric", "field:color", "--metric", "sbert"]
    expected = {
        "better": [("weighted_score", []), ("field:color", []), ("sbert", ["error"])],
        "worse": [("weighted_score", ["failure"]), ("field:color", ["failure"]), ("sbert", ["error"])],
        "near": [("weighted_score", ["failure"]), ("field:color", ["failure"]), ("sbert", ["error"])],
    }
    for name, cases in expected.items():
        main(["gate", str(runs[name].path), "--baseline", str(baseline), "--junit", str(file), *metrics])
        assert parsed(file.read_bytes()) == cases


def test_an_old_junit_file_does_not_stand_for_a_gate_that_was_not_held(
    runs: dict[str, Run], baseline: Path, tmp_path: Path
) -> None:
    file, new = tmp_path / "gate.xml", str(runs["better"].path)
    assert main(["gate", new, "--baseline", str(baseline), "--junit", str(file)]) == 0
    assert parsed(file.read_bytes()) == [("weighted_score", [])]
    assert main(["gate", new, "--baseline", str(tmp_path / "none.json"), "--junit", str(file)]) == 2
    assert parsed(file.read_bytes()) == [("gate", ["error"])]


HOSTILE = 'x\x00\x1b[31m\ud800\ufffe\uffff]]>&<a href="b">\n::set-env name=A::b\u202e\U0001f600'


def hostile(verdict: Any = "fell") -> Verdict:
    origin = Origin(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE, 1, HOSTILE, HOSTILE)
    gated = Gated(name=HOSTILE, kind="metric", verdict=verdict, reasons=(HOSTILE,))
    shift = Shift(HOSTILE, HOSTILE, 1.0, 0.0, -1.0)
    return Verdict(
        verdict=verdict,
        margin=0.01,
        min_samples=100,
        metrics=(gated,),
        samples=(shift,),
        run=origin,
        baseline=origin,
        reasons=(HOSTILE,),
        notes=(HOSTILE,),
    )


@pytest.mark.parametrize("verdict", ["fell", "undecided", "not comparable", "passed"])
def test_what_data_and_model_wrote_cannot_break_out(verdict: Any) -> None:
    cases = parsed(junit(hostile(verdict)))
    assert len(cases) == 1
    assert parsed(junit_error(HOSTILE)) == [("gate", ["error"])]
    (command,) = github_commands(hostile(verdict))
    assert command.startswith("::notice " if verdict == "passed" else "::error ")
    assert "\n" not in command
    page = verdict_page(hostile(verdict))
    for text in (page.text(), page.markdown(), command):
        assert "\x1b" not in text
        assert "\u202e" not in text
        text.encode("utf-8")
    assert "<a href" not in page.markdown().replace("\\<", "")
    assert not [line for line in page.text().splitlines() if line.lstrip().startswith("::")]


# GitHub


def test_githubs_escapes() -> None:
    # https://github.com/actions/toolkit, packages/core/src/command.ts: escapeData, escapeProperty
    assert github_command("error", "a:b,c%\r\n", "d:e,f%\r\n") == "::error title=a%3Ab%2Cc%25%0D%0A::d:e,f%25%0D%0A"


def test_on_github_the_job_is_annotated_and_summarised(
    runs: dict[str, Run],
    baseline: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    arguments = ["gate", str(runs["worse"].path), "--baseline", str(baseline)]
    assert main(arguments) == 4
    lines = capsys.readouterr().out.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    assert re.fullmatch("[0-9a-f]{32}", token)
    last = lines.index(f"::{token}::")
    assert lines[1] == "FELL"
    assert lines[last + 1 :] == [next(iter(github_commands(gate(runs["worse"], baseline))))]
    assert lines[-1].startswith("::error title=peakbench gate%3A weighted_score fell::")
    assert summary.read_text(encoding="utf-8").startswith("## FELL\n")
    assert "| weighted\\_score |" in summary.read_text(encoding="utf-8") or "| weighted_score |" in summary.read_text()
    assert main([*arguments, "--json"]) == 4
    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "fell"
    assert err.startswith("::error ")
    assert main([*arguments, "--no-github"]) == 4
    assert "::" not in capsys.readouterr().out
    assert main(["gate", str(runs["better"].path), "--baseline", str(baseline)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("::notice ")
    assert main(["gate", str(runs["better"].path), "--baseline", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().out.startswith("::error title=peakbench gate::")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert main(arguments) == 4
    assert "the summary of the job cannot be written" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    assert main(arguments) == 4
    assert "::" not in capsys.readouterr().out


# Two annotators of a hundred photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    if not (PHOTOS / "samples.jsonl").is_file():
        pytest.skip("the garment photos are not here")
    folder = tmp_path_factory.mktemp("photos")
    return {
        name: pb.score(
            answers=PHOTOS / f"annotator_{name}.jsonl",
            data=PHOTOS / "samples.jsonl",
            task="garment",
            out=folder / name,
            metrics=["weighted_score"],
            resamples=20,
            images=False,
        )
        for name in "ab"
    }


def test_two_annotators_by_turns(photos: dict[str, Run], tmp_path: Path) -> None:
    kept = {name: save_baseline(run, tmp_path / f"{name}.json") for name, run in photos.items()}
    forth, back = gate(photos["b"], kept["a"]), gate(photos["a"], kept["b"])
    (one,), (two,) = forth.metrics, back.metrics
    assert one.change is not None
    # measured with the photos: .978 and .983
    assert (one.change.first, one.change.second) == (pytest.approx(0.9776, abs=5e-5), pytest.approx(0.9832, abs=5e-5))
    assert two.value == pytest.approx(-0.0056, abs=1e-9)
    assert back.verdict == "undecided"
    assert one.needed == two.needed
    assert one.change.spread is not None
    assert one.needed == math.ceil((2.801585 * one.change.spread / 0.01) ** 2)
    assert gate(photos["a"], kept["b"], margin=0.05).passed
    lost = {flip.field for shift in back.samples for flip in shift.flips}
    assert lost <= set(photos["a"].task.keys)
    assert all(
        flip.second.answers and flip.reference != flip.second.answers[0] for s in back.samples for flip in s.flips
    )
