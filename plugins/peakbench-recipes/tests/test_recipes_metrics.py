"""The two metrics of the package: through PeakBench, against values worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peakbench as pb
import pytest
from peakbench.testing import ScriptedEndpoint

RIGHT = {"type": "kind 1", "color": "red", "brand": None}


@pytest.mark.parametrize(
    ("answer", "correct", "reward"),
    [
        # type weighs 2.5 and color 1; both fields with a value are right; 3 of the task's 9 keys are there
        (json.dumps(RIGHT), 1.0, 0.2 * 3 / 9 + 0.8),
        (json.dumps({**RIGHT, "color": "blue"}), 0.0, 0.2 * 3 / 9 + 0.8 * 2.5 / 3.5),
        # an invented brand (1.5) joins the denominator
        (json.dumps({**RIGHT, "brand": "Acme"}), 0.0, 0.2 * 3 / 9 + 0.8 * 3.5 / 5.0),
        # the benchmark reads a fence, training does not
        (f"```json\n{json.dumps(RIGHT)}\n```", 1.0, 0.0),
        ("a red coat", 0.0, 0.0),
    ],
)
def test_against_hand_worked_values(
    installed: dict[str, str], data: Path, tmp_path: Path, answer: str, correct: float, reward: float
) -> None:
    one = data.with_name("one.jsonl")
    one.write_text(data.read_text(encoding="utf-8").splitlines()[1] + "\n", encoding="utf-8")
    with ScriptedEndpoint(answer) as server:
        run = pb.run(
            one, endpoint=server.url, model="m", metrics=["reward", "all_correct"], resamples=10, out=tmp_path / "run"
        )
    metrics = run.summary["metrics"]
    assert metrics["all_correct"]["value"] == correct
    assert metrics["reward"]["value"] == pytest.approx(reward)


def test_an_answer_that_is_text_has_no_fields(installed: dict[str, str], data: Path, tmp_path: Path) -> None:
    task = {"format": 1, "id": "caption", "title": "A caption", "answer": "text", "prompt": {"user": "What is it?"}}
    (tmp_path / "caption.json").write_text(json.dumps(task), encoding="utf-8")
    text = data.with_name("text.jsonl")
    text.write_text(json.dumps({"id": "a", "images": ["1.png"], "reference": "a red coat"}) + "\n", encoding="utf-8")
    options: Any = {"task": tmp_path / "caption.json", "model": "m", "resamples": 10}
    with ScriptedEndpoint("a red coat") as server:
        run = pb.run(text, endpoint=server.url, metrics=["reward", "all_correct"], out=tmp_path / "run", **options)
        assert "no fields" in run.summary["metrics"]["reward"]["reason"]
        assert run.summary["metrics"]["all_correct"]["value"] is None
        plain = pb.run(text, endpoint=server.url, metrics="default", out=tmp_path / "plain", **options)
    assert "reward" not in plain.summary["metrics"]
