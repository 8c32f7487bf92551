"""Repeated answers: cosine, identical ones, flips; worked by hand. And the command that asks whose doing it is."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peakbench as pb
from peakbench.analysis.agreement import Mean, agreement
from peakbench.api.jobs import demo_data
from peakbench.builtins import open_registry
from peakbench.cli import main
from peakbench.errors import StoreError
from peakbench.metrics.base import Batch, MetricInfo, NoParameters, Scores, Tools
from peakbench.metrics.consistency import KINDS, TOO_FEW, answer_text, equal_share, flip_share
from peakbench.records import Completion, Prediction, Response
from peakbench.tasks import Task, parse_task
from peakbench.testing import Asked, Reply, ScriptedEndpoint
from peakbench.values import fold_nulls

KIND = {kind.name: kind for kind in KINDS}
NULLS = fold_nulls(["", "n/a"])
TASK = parse_task({"id": "t", "fields": {"type": {}, "color": {}}, "prompt": {"user": "?"}}, where="test")
TEXT = parse_task({"id": "t", "answer": "text", "prompt": {"user": "?"}}, where="test")


class Letters:
    """Counts the letters r, g, b of a text, as a unit vector; an x turns it around. Keeps what it was asked."""

    identity = "letters@0"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Any) -> Any:
        self.asked.append(list(texts))
        counts = np.array([[text.count(letter) for letter in "rgb"] for text in texts], dtype=np.float32)
        counts /= np.linalg.norm(counts, axis=1, keepdims=True)
        return counts * np.array([[-1.0 if "x" in text else 1.0] for text in texts], dtype=np.float32)


def score(kind: str, answers: Any, task: Task = TASK, encoder: Any = None, missing: Any = None) -> Scores:
    """Score (sample, value) pairs; a value that is a string prefixed by ! is an unread text."""
    info = MetricInfo(id=kind, title=kind, family="text", low=0, high=1, higher_is_better=True, signature=f"{kind}|v1")
    setting: Any = SimpleNamespace(task=task, nulls=NULLS, tools=Tools(encoder=encoder, missing=missing or {}))
    predictions = []
    for number, (sample, value) in enumerate(answers):
        if isinstance(value, str) and value.startswith("!"):
            completion = Completion(sample, number, Response(text=value))
            predictions.append(Prediction(sample, number, "unparseable", completion=completion))
        else:
            predictions.append(Prediction(sample, number, "text" if task is TEXT else "strict", value))
    read = np.array([one.read for one in predictions], dtype=np.bool_)
    metric = KIND[kind].build(info, NoParameters(), setting)
    return metric.score_batch(Batch(predictions, [None] * len(predictions), read, None))


def garment(type_: Any, color: Any) -> dict[str, Any]:
    return {"type": type_, "color": color}


# -- shares ------------------------------------------------------------------------------------------------------------


def test_shares_by_hand() -> None:
    assert equal_share("aaaa") == 1
    assert equal_share("aabb") == 2 / 6
    assert equal_share("abc") == 0
    assert flip_share("aaab") == 0.25
    assert flip_share("abcd") == 0.75


@settings(deadline=None, max_examples=100)
@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=12))
def test_shares_against_counting_pairs(forms: list[str]) -> None:
    n = len(forms)
    pairs = [(i, j) for i in range(n) for j in range(i)]
    assert equal_share(forms) == pytest.approx(sum(forms[i] == forms[j] for i, j in pairs) / len(pairs))
    assert flip_share(forms) == pytest.approx(min(sum(one != most for one in forms) for most in forms) / n)


# -- identical answers and flips ---------------------------------------------------------------------------------------


def test_identical_share_is_one_value_for_a_sample() -> None:
    answers = [
        ("p0", garment("dress", "red")),
        ("p0", {"color": "red", "type": "dress"}),
        ("p0", garment("dress", "Red")),  # another letter is another answer
        ("p1", garment("dress", None)),
        ("p1", garment("dress", "n/a")),  # so is another way to say null
        ("p2", garment("dress", 1)),
    ]
    scores = score("identical_share", answers)
    assert scores.values.tolist() == pytest.approx([1 / 3] * 3 + [0, 0, 0])
    assert scores.scored.tolist() == [True] * 5 + [False]
    assert scores.reasons == {5: TOO_FEW}


def test_unread_answers_are_identical_where_their_texts_are() -> None:
    assert score("identical_share", [("p", "!no"), ("p", "!no"), ("p", "!nay")]).values[0] == pytest.approx(1 / 3)
    # an object whose text would be the same as an unread one's is none
    assert score("identical_share", [("p", "!no"), ("p", garment(1, 1))]).values[0] == 0


def test_flip_rate() -> None:
    answers = [
        ("p0", garment("dress", "red")),
        ("p0", garment("Dress", "blue")),  # the exact comparator's form: no flip of the type
        ("p0", garment("t-shirt", "green")),
        ("p1", garment("dress", None)),
        ("p1", {"type": "dress", "color": "N/A"}),
        ("p1", {"type": "dress"}),  # a missing key is null
        ("p2", garment("dress", "red")),
        ("p2", "!no"),  # a value of its own in both fields
    ]
    # p0: type 1 of 3 flips, color 2 of 3; p1: none; p2: 1 of 2 in both
    assert score("flip_rate", answers).values.tolist() == pytest.approx([0.5] * 3 + [0] * 3 + [0.5] * 2)


def test_a_text_task_has_no_fields_to_flip() -> None:
    scores = score("flip_rate", [("p", "a"), ("p", "b")], TEXT)
    assert not scores.scored.any()
    assert set(scores.reasons.values()) == {"the task's answer is text: it has no fields"}
    assert score("identical_share", [("p", "a"), ("p", "a"), ("p", "b")], TEXT).values[0] == pytest.approx(1 / 3)


# -- consistency -------------------------------------------------------------------------------------------------------


def test_what_is_embedded() -> None:
    def text(value: Any, task: Task = TASK) -> str:
        return answer_text(Prediction("p", 0, "strict", value), task, NULLS)

    assert text({"color": "Navy  BLUE", "type": "T-Shirt", "note": "x"}) == "t-shirt, navy blue"
    assert text(garment("n/a", "red")) == "red"
    assert text(garment(None, None)) == ""
    assert text(garment(["a", "b"], 5.0)) == "a, b, 5"
    assert text(" A  photo ", TEXT) == "a photo"


def test_mean_pairwise_cosine() -> None:
    encoder = Letters()
    answers = [
        ("p0", garment("r", None)),
        ("p0", garment("R", "n/a")),  # the same text
        ("p0", garment("g", None)),  # orthogonal to both
        ("p1", garment("rrrg", None)),
        ("p1", garment("rggg", None)),  # (3, 1).(1, 3) / 10
        ("p2", garment("b", None)),
        ("p2", garment("b", None)),  # identical: not embedded
        ("p3", garment("r", None)),
        ("p3", garment("rx", None)),  # -1, clipped to 0
        ("p4", garment("b", None)),
    ]
    scores = score("consistency", answers, encoder=encoder)
    assert scores.values.tolist() == pytest.approx([1 / 3] * 3 + [0.6] * 2 + [1, 1, 0, 0, 0], abs=1e-6)
    assert scores.reasons == {9: TOO_FEW}
    assert encoder.asked == [["r", "g", "rrrg", "rggg", "rx"]]


def test_answers_without_words() -> None:
    answers = [
        ("p0", "!no"),
        ("p0", "!no"),
        ("p0", garment("r", None)),  # 1 of 3 pairs
        ("p1", garment(None, None)),
        ("p1", garment("n/a", None)),  # both without a value: the same
        ("p2", garment(None, None)),
        ("p2", garment("r", None)),
    ]
    scores = score("consistency", answers, encoder=Letters())
    assert scores.values.tolist() == pytest.approx([1 / 3] * 3 + [1, 1, 0, 0])


def test_a_text_task_is_embedded_whole() -> None:
    assert score("consistency", [("p", "rg"), ("p", "gr r")], TEXT, Letters()).values[0] == pytest.approx(
        3 / np.sqrt(10), abs=1e-6
    )


def test_without_an_encoder_or_repeats_every_row_is_unscored() -> None:
    command = "fetch it: peakbench weights fetch all-mpnet-base-v2"
    twice, once = [("p", garment("r", 1)), ("p", garment("g", 1))], [("p", garment("r", 1)), ("q", garment("g", 1))]
    for answers, reason in ((twice, command), (once, TOO_FEW)):
        scores = score("consistency", answers, missing={"encoder": command})
        assert scores.reasons == {0: reason, 1: reason}
        assert not scores.scored.any()
    assert score("consistency", once, encoder=Letters()).reasons == {0: TOO_FEW, 1: TOO_FEW}


# -- in a run, and between two -----------------------------------------------------------------------------------------


def answer(color: str) -> str:
    return json.dumps(dict.fromkeys(open_registry().task("garment").keys) | {"type": "dress", "color": color})


def ask(server: ScriptedEndpoint, out: Path, **options: Any) -> pb.Run:
    given: dict[str, Any] = {"limit": 6, "resamples": 20, "metrics": ["identical_share", "flip_rate"], **options}
    return pb.run(demo_data(), task="garment", endpoint=server.url, model="m", out=out, **given)


class Batching:
    """A server whose answer depends on whether requests have ever been in flight beside each other."""

    def __init__(self) -> None:
        self.flying = self.most = 0

    async def __call__(self, asked: Asked) -> str:
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(0.1)
        self.flying -= 1
        return answer("red" if self.most == 1 else "blue" if asked.turn % 2 else "green")


def test_a_run_with_repeats_and_one_without(tmp_path: Path) -> None:
    # the second and third answer of each sample differ from the first in one of nine fields
    with ScriptedEndpoint(lambda asked: answer("red" if asked.turn < 1 else "blue")) as server:
        run = ask(server, tmp_path / "r", repeats=3)
        once = ask(server, tmp_path / "once")
    metrics = run.summary["metrics"]
    assert (metrics["identical_share"]["value"], metrics["identical_share"]["n"]) == (pytest.approx(1 / 3), 6)
    assert metrics["flip_rate"]["value"] == pytest.approx(1 / 27)
    assert metrics["flip_rate"]["floor"] is None or not any(metrics["flip_rate"]["floor"].values())
    entry = once.summary["metrics"]["identical_share"]
    assert entry["value"] is None
    assert "needs --repeats 2 or more" in entry["reason"]


def test_a_server_that_depends_on_concurrency_is_found_out(tmp_path: Path) -> None:
    with ScriptedEndpoint(Batching()) as server:
        one = ask(server, tmp_path / "one", repeats=2, workers=1)
        many = ask(server, tmp_path / "many", repeats=2, workers=6)
    found = agreement([one.directory, many.directory], fold_nulls([]))
    assert found.between is not None
    assert found.runs[0].identical.value == 1
    assert (found.runs[0].workers, found.runs[1].workers) == ((1,), (6,))
    assert found.between.identical.value == 0
    assert found.between.requests == 12
    assert found.between.differs["color"].value == 1
    assert found.between.differs["type"].value == 0
    assert "agree with each other more than with those at 6 workers, by 100.0 %" in found.verdict[0]
    assert "points to the server's concurrency" in found.verdict[0]


def test_a_server_that_varies_anyway_is_not_blamed_on_concurrency(tmp_path: Path) -> None:
    # each sample: red, blue, green over its repeats, by the seed, so whatever the workers are and who is first
    colors = ["red", "blue", "green"]
    with ScriptedEndpoint(lambda asked: answer(colors[asked.body["seed"] % 3])) as server:
        one = ask(server, tmp_path / "one", repeats=3, workers=1)
    with ScriptedEndpoint(lambda asked: answer(colors[(asked.body["seed"] + 1) % 3])) as server:
        many = ask(server, tmp_path / "many", repeats=3, workers=4)
    found = agreement([one.directory, many.directory], fold_nulls([]))
    assert found.between is not None
    assert found.runs[0].identical.value == found.runs[1].identical.value == 0
    assert found.runs[0].flips["color"].value == pytest.approx(2 / 3)
    assert found.between.excess.value == 0
    assert "no sign of the server's concurrency" in found.verdict[0]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedEndpoint(lambda asked: answer("red" if asked.turn < 1 else "blue")) as server:
        ask(server, tmp_path / "a", repeats=2, workers=1)
        ask(server, tmp_path / "b", repeats=2, workers=2)
        ask(server, tmp_path / "c", limit=5, repeats=2)
        ask(server, tmp_path / "d", sampling=pb.Sampling(temperature=1.0))
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    assert main(["consistency", a]) == 0
    alone = capsys.readouterr().out
    assert "100.0 % of the pairs of repeats differ at 1 worker" in alone
    assert [line.split() for line in alone.splitlines() if line.strip().startswith("color")] == [["color", "50.0"]]
    assert main(["consistency", a, b, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    # turns 0 and 1 went to the first run: red, blue; the second saw blue only
    assert [run["identical_share"]["value"] for run in shown["runs"]] == [0, 1]
    assert shown["between"]["identical_share"] == {"value": 0.5, "standard_error": 0.0, "samples": 6}
    assert shown["between"]["differs"]["color"]["value"] == 0.5
    assert main(["consistency", a, b, "--format", "markdown"]) == 0
    assert "| between the two |" in capsys.readouterr().out
    assert main(["consistency", a, c]) == 2
    assert "did not ask the same requests: data: samples: was 6, now 5" in capsys.readouterr().err
    assert main(["consistency", a, d]) == 2
    assert "sampling.temperature" in capsys.readouterr().err
    assert main(["consistency", d]) == 0
    assert "ask with --repeats 2 or more" in capsys.readouterr().out
    assert main(["consistency", str(tmp_path / "no")]) == 2


def test_failed_and_unread_answers_are_named(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Any:
        return [answer("red"), Reply(status=400), "no JSON", "no JSON"][asked.turn]

    with ScriptedEndpoint(reply) as server:
        run = ask(server, tmp_path / "r", repeats=4, workers=1, limit=2)
    found = agreement([run.directory], fold_nulls([]))
    # one read answer and two that are the same text: 1 of 3 pairs
    assert found.runs[0].identical.value == pytest.approx(1 / 3)
    assert found.verdict[1:] == (
        "2 failed answers are left out.",
        "4 of 6 answers cannot be read: they are identical where their texts are.",
    )


def test_runs_of_other_tasks_are_refused(tmp_path: Path) -> None:
    with ScriptedEndpoint(answer("red")) as server:
        one = ask(server, tmp_path / "a")
    changed = tmp_path / "b"
    shutil.copytree(one.path, changed)
    record = json.loads((changed / "run.json").read_text())
    record["task"]["version"] += 1
    (changed / "run.json").write_text(json.dumps(record))
    with pytest.raises(StoreError, match="did not ask the same requests: task"):
        agreement([one.directory, pb.load_run(changed).directory], fold_nulls([]))


def test_a_mean_and_its_standard_error() -> None:
    mean = Mean()
    assert (mean.value, mean.error) == (None, None)
    for value in (0.0, 0.5, 1.0):
        mean.add(value)
    # standard deviation 0.5 over the root of 3
    assert (mean.value, mean.error) == (0.5, pytest.approx(0.5 / 3**0.5))
