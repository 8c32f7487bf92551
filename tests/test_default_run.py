"""``peakbench run`` without an endpoint: the reader that ships, started for the run, over drawn garments."""

from __future__ import annotations

import json
import threading

import openai
import pybase64
import pytest

import peakbench
from peakbench.builtins import DEMO, open_registry
from peakbench.cli import main
from peakbench.reader import embedded, open_reader, reader_names
from peakbench.serving import Server

QUICK = {"limit": 24, "resamples": 50, "metrics": ["weighted_score", "json_parse_rate", "schema_valid_rate"]}


@pytest.fixture(scope="module", autouse=True)
def _drawn(tmp_path_factory):
    """The pictures are drawn into a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PEAKBENCH_SYNTHETIC", str(tmp_path_factory.mktemp("synthetic")))
        yield


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    return peakbench.run(out=tmp_path_factory.mktemp("runs") / "default", **QUICK)


def answers(run) -> dict[str, str]:
    lines = (json.loads(line) for line in (run.path / "responses.jsonl").read_text().splitlines())
    return {line["sample_id"]: line["text"] for line in lines}


def test_the_command_says_what_is_asked_and_about_what(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    threads = threading.active_count()
    assert main(["run", "--limit", "4"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("A small model that ships is asked, on this machine.")
    assert "says nothing about photos" in err
    assert "reader on garments" in out
    assert "\nendpoint reader\n" in out  # and no port that means nothing
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("reader-demo-")
    assert (run / "summary.json").is_file()
    assert threading.active_count() == threads  # its server has ended


def test_a_real_model_is_measured(asked):
    assert asked.record.model == "reader"
    assert asked.record.endpoint.provider == "reader"
    assert asked.record.data.source.startswith("synthetic:garments?")
    assert asked.summary["samples"]["failed"] == 0
    metrics = asked.summary["metrics"]
    assert metrics["json_parse_rate"]["value"] > 0.8
    score = metrics["weighted_score"]
    assert score["low"] > max(value for value in score["floor"].values() if value is not None)
    assert 0.9 < score["value"] < 1.0  # a reader that reads, and no replay


def test_it_answers_the_same_again_in_other_batches(asked, tmp_path):
    again = peakbench.run(out=tmp_path / "again", workers=3, **QUICK)
    assert answers(again) == answers(asked)
    assert again.record.data.fingerprint == asked.record.data.fingerprint


def test_its_int8_twin_is_another_model_under_the_same_endpoint(asked, tmp_path):
    twin = peakbench.run(endpoint="reader", model="reader-int8", out=tmp_path / "int8", **QUICK)
    assert (twin.record.model, twin.summary["samples"]["failed"]) == ("reader-int8", 0)
    assert twin.summary["metrics"]["weighted_score"]["value"] > 0.6


def test_a_model_that_does_not_ship_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--endpoint", "reader", "--model", "raeder", "--limit", "1", "--out", "r"]) == 2
    assert "The model `raeder` does not exist." in capsys.readouterr().err


def test_a_schema_and_probabilities_through_the_openai_client():
    task = open_registry().task("garment")
    url = "data:image/jpeg;base64," + pybase64.b64encode((DEMO / "images" / "g01.jpg").read_bytes()).decode()
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    wanted = {"type": "json_schema", "json_schema": {"name": "garment", "schema": task.json_schema}}
    with Server(open_reader("reader")) as server, openai.OpenAI(base_url=server.url, api_key="none") as client:
        done = client.chat.completions.create(
            model="reader", messages=messages, temperature=1, seed=1, response_format=wanted, logprobs=True
        )
    assert list(json.loads(done.choices[0].message.content)) == list(task.keys)
    tokens = done.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == done.choices[0].message.content
    assert all(token.logprob <= 0 for token in tokens)


def test_what_ships():
    assert reader_names()[0] == "reader"
    assert {"reader", "reader-int8"} <= set(reader_names())
    assert sum(file.stat().st_size for file in embedded().iterdir()) < 4_000_000
