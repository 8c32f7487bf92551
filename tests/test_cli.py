"""The command line as a user meets it: results on stdout, everything else on stderr, exit codes, messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from peakbench.cli import main
from peakbench.cli.app import COMMANDS
from peakbench.testing import Reply, ScriptedEndpoint

DEMO = Path(__file__).parent.parent / "peakbench" / "data" / "demo"
RECORDED = ("--endpoint", "recorded")
ANSWER = json.dumps(
    {"type": "dress", "color": "red", "pattern": None, "neckline": None, "sleeve_length": None, "closure": None}
    | {"brand": None, "size": None, "defect_type": None}
)


class Done(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def peakbench(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PEAKBENCH_") or name == "OPENAI_API_KEY"]:
        monkeypatch.delenv(name)

    def call(*arguments: object) -> Done:
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def data(tmp_path):
    """Three of the samples inside the package, in a folder of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = (DEMO / "samples.jsonl").read_text().splitlines()[:3]
    for line in lines:
        image = folder / json.loads(line)["image"]
        image.parent.mkdir(exist_ok=True)
        shutil.copy(DEMO / json.loads(line)["image"], image)
    (folder / "eval.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "eval.jsonl"


def test_a_run_of_recorded_answers_says_plainly_that_no_model_is_asked(peakbench, tmp_path):
    done = peakbench("run", *RECORDED)
    assert done.code == 0
    assert done.err.startswith("No model is asked: recorded answers")
    assert "recorded on demo" in done.out
    assert "\nendpoint recorded\n" in done.out  # and no port that means nothing
    assert "structured_match" in done.out
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("recorded-demo-")
    assert (run / "summary.json").is_file()


def test_json_has_the_summary_on_stdout_and_nothing_else(peakbench, tmp_path):
    done = peakbench("run", *RECORDED, "--out", "r", "--limit", 2, "--json")
    assert done.code == 0
    assert json.loads(done.out) == json.loads((tmp_path / "r" / "summary.json").read_text())
    quiet = peakbench("run", *RECORDED, "--out", "q", "--limit", 2, "--json", "--quiet")
    assert quiet.err == ""
    assert json.loads(quiet.out)["samples"]["total"] == 2


def test_show_score_and_sample_read_the_run_back(peakbench, data):
    assert peakbench("run", *RECORDED, "--out", "r", "--limit", 3).code == 0
    assert "recorded on demo" in peakbench("show", "r").out
    assert "| metric |" in peakbench("show", "r", "--format", "markdown").out
    scored = peakbench("score", "r", "--metrics", "bleu,chrf", "--json")
    assert set(json.loads(scored.out)["metrics"]) == {"bleu", "chrf"}
    name = json.loads(data.read_text().splitlines()[0])["id"]
    sample = peakbench("show", "r", "--sample", name)
    assert sample.out.startswith(f"{name}\n")
    assert "field          reference" in sample.out
    shown = json.loads(peakbench("show", "r", "--sample", name, "--json").out)
    assert shown["sample"]["id"] == name
    assert shown["predictions"][0]["state"] == shown["scores"][0]["state"]


def test_answers_from_elsewhere_are_scored_without_asking(peakbench, data, tmp_path):
    ids = [json.loads(line)["id"] for line in data.read_text().splitlines()]
    lines = [json.dumps({"id": name, "response": ANSWER}) for name in ids]
    (tmp_path / "theirs.jsonl").write_text("\n".join(lines))
    done = peakbench("score", "--answers", "theirs.jsonl", "--data", data, "--task", "garment", "--out", "r")
    assert done.code == 0, done.err
    assert "theirs on " in done.out
    assert "3 strict" in done.out


def test_a_dry_run_sends_nothing(peakbench, data):
    with ScriptedEndpoint(ANSWER) as server:
        arguments = ("run", "--endpoint", server.url, "--model", "m", "--data", data, "--limit", 1, "--dry-run")
        done = peakbench(*arguments)
        assert server.requests == 0
        assert done.code == 0
        assert done.out.startswith(f"POST {server.url}/chat/completions\n")
        assert '"model": "m"' in done.out
        assert "without --limit: 3 requests" in done.out
        assert "nothing was sent" in done.out
        plan = json.loads(peakbench(*arguments, "--json").out)
    assert (plan["requests"], plan["full_requests"]) == (1, 3)
    assert not Path("runs").exists()


def test_options_reach_the_request(peakbench, data):
    with ScriptedEndpoint(ANSWER) as server:
        done = peakbench(
            "run", "--endpoint", server.url, "--model", "m", "--data", data, "--out", "r", "--limit", 1,
            "--temperature", 0.5, "--max-completion-tokens", 77, "--seed", 9, "--top-p", 0.9, "--stop", "###",
            "--structured", "json_object", "--extra-body", '{"top_k": 5}', "--header", "X-Team: vision", "--stream",
        )  # fmt: skip
        assert done.code == 0, done.err
        asked = server.asked[0]
    body = asked.body
    assert (body["temperature"], body["max_completion_tokens"], body["seed"], body["top_p"]) == (0.5, 77, 9, 0.9)
    assert (body["stop"], body["response_format"], body["top_k"], body["stream"]) == (
        ["###"],
        {"type": "json_object"},
        5,
        True,
    )
    assert "max_tokens" not in body
    assert asked.headers["X-Team"] == "vision"


def test_failed_requests_remain_exit_code_3_and_resume_asks_them_again(peakbench, data):
    def fails_once(asked: Any) -> Reply | None:
        return Reply(status=400, body=b'{"error": {"message": "bad \\u001b[31mimage"}}') if asked.number == 0 else None

    with ScriptedEndpoint(ANSWER, faults=[fails_once]) as server:
        done = peakbench("run", "--endpoint", server.url, "--model", "m", "--data", data, "--out", "r", "--workers", 1)
        assert done.code == 3
        assert "1 failed, not scored: 1 bad request" in done.out
        assert "1 request without an answer; ask again: peakbench run --resume --out r" in done.out
        assert "\x1b" not in done.out + done.err
        # what run.json holds need not be said again
        done = peakbench("run", "--resume", "--out", "r")
        assert done.code == 0, done.err
        assert server.requests == 4


def test_a_run_goes_on_at_the_endpoint_that_is_named_and_no_key_goes_elsewhere(peakbench, data, tmp_path, monkeypatch):
    monkeypatch.setenv("GOOD_KEY", "sk-good-secret")
    monkeypatch.setenv("BAD_KEY", "sk-bad-secret")
    with ScriptedEndpoint(Reply(status=400, body=b"{}")) as bad, ScriptedEndpoint(ANSWER) as good:
        (tmp_path / "peakbench.toml").write_text(
            f'[endpoints.good]\nurl = "{good.url}?api-version=7"\napi_key_env = "GOOD_KEY"\n'
            f'[endpoints.bad]\nurl = "{bad.url}?api-version=6"\napi_key_env = "BAD_KEY"\n'
        )
        done = peakbench("run", "--endpoint", "bad", "--model", "m", "--data", data, "--out", "r")
        assert done.code == 3
        assert "peakbench run --resume --out r --endpoint bad" in done.out
        assert peakbench("run", "--resume", "--out", "r", "--endpoint", "good").code == 0
        assert [asked.headers["Authorization"] for asked in good.asked] == ["Bearer sk-good-secret"] * 3
        assert [asked.headers["Authorization"] for asked in bad.asked] == ["Bearer sk-bad-secret"] * 3


def test_the_api_version_of_a_url_survives_a_resume(peakbench, data):
    with ScriptedEndpoint(Reply(status=400, body=b"{}")) as server:
        url = f"{server.url}?api-version=2024-10-21"
        done = peakbench("run", "--endpoint", url, "--model", "m", "--data", data, "--out", "r", "--limit", 1)
        assert done.code == 3
        assert "ask again: peakbench run --resume --out r\n" in done.out
        # a dry run shows the whole URL that is posted to
        posted = f"{server.url}/chat/completions?api-version=2024-10-21"
        assert peakbench("run", "--resume", "--out", "r", "--dry-run").out.startswith(f"POST {posted}\n")
        assert json.loads(peakbench("run", "--resume", "--out", "r", "--dry-run", "--json").out)["url"] == posted


def test_the_command_that_goes_on_names_the_settings_file_that_was_named(peakbench, data, tmp_path):
    with ScriptedEndpoint(Reply(status=400, body=b"{}")) as server:
        (tmp_path / "lab.toml").write_text(f'[endpoints.lab]\nurl = "{server.url}"\nmodel = "m"\n')
        done = peakbench("run", "--config", "lab.toml", "--endpoint", "lab", "--data", data, "--out", "r")
    assert "ask again: peakbench run --resume --out r --config lab.toml --endpoint lab\n" in done.out


def test_where_nothing_was_answered_there_is_no_throughput_for_that_reason(peakbench, data):
    with ScriptedEndpoint(Reply(status=400, body=b"{}")) as server:
        arguments = ("--endpoint", server.url, "--model", "m", "--data", data, "--out", "r", "--metrics", "throughput")
        done = peakbench("run", *arguments)
    assert "throughput: nothing was answered\n" in done.out


def test_without_references_one_line_stands_for_two_tables_of_dashes(peakbench, data):
    lines = [json.loads(line) for line in data.read_text().splitlines()]
    bare = data.parent / "bare.jsonl"
    bare.write_text("".join(json.dumps({"id": one["id"], "image": one["image"]}) + "\n" for one in lines))
    with ScriptedEndpoint(ANSWER) as server:
        arguments = ("run", "--endpoint", server.url, "--model", "m", "--data", bare)
        done = peakbench(*arguments, "--out", "a")
        assert done.out.count("the sample has no reference") == 1
        assert "\nnothing else can be scored: the sample has no reference\n" in done.out
        assert "Fields" not in done.out
        table = done.out.split("Metrics, %\n")[1].split("\n\n")[0].splitlines()
        assert [line.split()[0] for line in table] == ["metric", "json_parse_rate", "schema_valid_rate"]
        # nor does an encoder that is missing hide the reason
        done = peakbench(*arguments, "--out", "b", "--metrics", "quality,bleu,structured_match")
        assert "\nnothing can be scored: the sample has no reference\n" in done.out
        assert "Metrics" not in done.out
        assert "encoder" not in done.out


def test_scoring_with_fewer_metrics_says_which_are_gone(peakbench):
    metrics = ("--metrics", "bleu,chrf,structured_match")
    assert peakbench("run", *RECORDED, "--out", "r", "--limit", 3, *metrics).code == 0
    done = peakbench("score", "r", "--metrics", "bleu", "--json")
    (line,) = (line for line in done.err.splitlines() if "gone" in line)
    assert line.endswith("gone until the run is scored again: chrf, structured_match")
    assert "gone" not in peakbench("score", "r", "--metrics", "bleu,rouge_l").err
    assert peakbench("score", "r", "--metrics", "bleu", "--quiet").err == ""


def test_max_failed_raises_the_limit(peakbench, data):
    with ScriptedEndpoint(Reply(status=400, body=b"{}")) as server:
        arguments = ("run", "--endpoint", server.url, "--model", "m", "--data", data, "--quiet")
        assert peakbench(*arguments, "--out", "a", "--max-failed", 2).code == 3
        assert peakbench(*arguments, "--out", "b", "--max-failed", 3).code == 0


def test_a_refused_key_ends_with_what_to_do_and_is_never_shown(peakbench, data, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-wrong-secret")
    with ScriptedEndpoint(ANSWER, api_key="sk-right-secret") as server:
        done = peakbench(
            "run", "--endpoint", server.url, "--model", "m", "--data", data, "--out", "r", "--api-key-env", "MY_KEY"
        )
        assert done.code == 2
        assert "401" in done.err
        assert "go on with: peakbench run --resume --out r --api-key-env MY_KEY" in done.err
        monkeypatch.setenv("MY_KEY", "sk-right-secret")
        assert peakbench("run", "--resume", "--out", "r", "--api-key-env", "MY_KEY").code == 0
    written = b"".join(path.read_bytes() for path in Path("r").iterdir() if path.is_file())
    assert b"secret" not in written
    assert "secret" not in done.out + done.err


def test_a_server_that_is_not_there_is_exit_code_3(peakbench, data):
    with ScriptedEndpoint(ANSWER) as server:
        gone = server.url
    done = peakbench("run", "--endpoint", gone, "--model", "m", "--data", data, "--out", "r", "--retries", 0)
    assert done.code == 3
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum"], "no command 'rum'; did you mean 'run'?"),
        (["run", "--modle", "x"], "No such option '--modle'"),
        (["metrics", "lst"], "no command 'lst'; did you mean 'list'?"),
        (["run", "--endpoint", "http://h/v1", "--model", "m", "--data", "nope.jsonl"], "nope.jsonl: no such file"),
        (["run", "--endpoint", "recorded", "--task", "garmnet"], "did you mean 'garment'?"),
        (["run", "--metrics", "structured_mtch"], "did you mean 'structured_match'?"),
        (["run", "--endpoint", "localhost:8000/v1", "--model", "m"], "did you mean 'http://localhost:8000/v1'?"),
        (["run", "--endpoint", "recrded"], "did you mean 'recorded'?"),
        (["run", "--endpoint", "http://h/v1"], "no model was named"),
        (["run", "--data", "mine.jsonl"], "--data without an endpoint: there is nobody to ask"),
        (["run", "--workers", "0"], "--workers: '0' cannot be used\n  expected: a whole number at least 1"),
        (["run", "--transport", "curl"], "is not one of 'aiohttp', 'openai'"),
        (["run", "--resume"], "--resume needs the run that is to go on"),
        (["run", "--resume", "--out", "none"], "none: no run here to go on with"),
        (["run", "--api-key-env", "NOPE", "--endpoint", "http://h/v1", "--model", "m"], "NOPE is not set"),
        (["show", "none"], "none: no run here"),
        (["score"], "nothing to score"),
        (["score", "none"], "none: no run here"),
        (["metrics", "show", "qualty"], "did you mean 'quality'?"),
        (["metrics", "check", "none.json"], "none.json: no such file"),
        (["task", "show", "garmnet"], "did you mean 'garment'?"),
        (["task", "init", "x"], "--from-schema FILE or --from-data PATH"),
        (["data", "check", "none.jsonl"], "none.jsonl: no such file"),
        (["config", "--config", "none.toml"], "none.toml: no such file"),
    ],
)
def test_a_mistake_is_exit_code_2_with_the_next_step_and_no_traceback(peakbench, arguments, message):
    done = peakbench(*arguments)
    assert done.code == 2
    assert message in done.err
    assert done.out == ""
    assert "Traceback" not in done.err


def test_an_existing_run_is_not_overwritten(peakbench):
    assert peakbench("run", *RECORDED, "--out", "r", "--limit", 1, "--quiet").code == 0
    done = peakbench("run", *RECORDED, "--out", "r", "--limit", 1)
    assert done.code == 2
    assert "--resume" in done.err


def test_a_resumed_run_that_would_ask_something_else_is_refused(peakbench):
    assert peakbench("run", *RECORDED, "--out", "r", "--limit", 2, "--quiet").code == 0
    done = peakbench("run", "--out", "r", "--resume", "--temperature", "0.7")
    assert done.code == 2
    assert "temperature: was 0.0, now 0.7" in done.err


def test_a_fault_of_ours_is_exit_code_1_with_a_short_message_and_a_traceback_on_request(peakbench, monkeypatch):
    def broken() -> None:
        raise RuntimeError("first\nsecond \x1b[31m")

    monkeypatch.setattr("peakbench.builtins.open_registry", broken)
    done = peakbench("task", "list")
    assert done.code == 1
    assert done.err.startswith("internal error: RuntimeError: first\n")
    assert "Traceback" not in done.err
    for arguments in (["task", "list", "--debug"], ["--debug", "task", "list"]):
        done = peakbench(*arguments)
        assert done.code == 1
        assert "Traceback (most recent call last):\n" in done.err
        assert "\x1b" not in done.err
    monkeypatch.setenv("PEAKBENCH_DEBUG", "1")
    assert "Traceback" in peakbench("task", "list").err
    mistake = peakbench("show", "none")
    assert mistake.code == 2
    assert "Traceback" in mistake.err


def test_ctrl_c_keeps_what_is_finished_and_prints_the_command_that_goes_on(data, tmp_path):
    with ScriptedEndpoint(
        ANSWER, faults=[lambda asked: Reply(ANSWER, latency_s=30) if asked.number else None]
    ) as server:
        command = [
            sys.executable,
            "-m",
            "peakbench",
            "run",
            "--endpoint",
            server.url,
            "--model",
            "m",
            "--data",
            str(data),
        ]
        process = subprocess.Popen(
            [*command, "--out", "r", "--workers", "1"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(DEMO.parent.parent.parent)},
            stderr=subprocess.PIPE,
            text=True,
        )
        journal = tmp_path / "r" / "responses.jsonl"
        deadline = time.monotonic() + 30
        while not (journal.is_file() and journal.read_bytes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=20)[1]
    assert process.returncode == 130
    assert "interrupted; every finished answer is on disk. Go on with:\n  peakbench run --resume --out r" in err
    assert "Traceback" not in err
    assert len(journal.read_text().splitlines()) == 1


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    script = f"{sys.executable} -m peakbench task show garment | head -n 1; echo ${{PIPESTATUS[0]}}"
    environment = os.environ | {"PYTHONPATH": str(DEMO.parent.parent.parent)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["garment v1", "0"]
    assert done.stderr == ""


def test_config_shows_what_is_in_force_and_from_where_and_no_secret(peakbench, tmp_path, monkeypatch):
    monkeypatch.setenv("PEAKBENCH_RETRIES", "2")
    monkeypatch.setenv("PEAKBENCH_RETRYS", "2")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    (tmp_path / "peakbench.toml").write_text(
        "[run]\nworkers = 3\n[endpoints.lab]\n"
        'url = "http://me:secret@lab/v1?key=secret"\nheaders = {X-Team = "secret"}\n'
    )
    done = peakbench("config", "--endpoint", "lab", "--limit", 5)
    assert done.code == 0
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in done.out.splitlines() if line.startswith("  ")}
    assert rows["workers"] == "3 peakbench.toml [run]"
    assert rows["retries"] == "2 PEAKBENCH_RETRIES"
    assert rows["limit"] == "5 --limit"
    assert rows["repeats"] == "1 default"
    assert rows["endpoint"] == "http://lab/v1 peakbench.toml [endpoints.lab]"
    assert rows["headers"] == "X-Team: set peakbench.toml [endpoints.lab]"
    assert "key $OPENAI_API_KEY: set" in done.out
    assert "PEAKBENCH_RETRYS sets nothing; did you mean 'PEAKBENCH_RETRIES'?" in done.err
    shown = json.loads(peakbench("config", "--endpoint", "lab", "--json").out)
    assert shown["settings"]["workers"] == {"value": 3, "from": "peakbench.toml [run]"}
    assert "secret" not in done.out + done.err + json.dumps(shown)


def test_data_check_decodes_and_names_every_problem(peakbench, data):
    done = peakbench("data", "check", data)
    assert done.code == 0
    assert "3 samples, 3 with a reference" in done.out
    first, second, _ = (json.loads(line) for line in data.read_text().splitlines())
    image = data.parent / first["image"]
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    (data.parent / second["image"]).unlink()
    done = peakbench("data", "check", data, "--json")
    found = json.loads(done.out)
    assert done.code == 2
    assert not found["ok"]
    assert [problem["where"].rpartition(":")[2] for problem in found["problems"]] == ["1", "2"]


def test_data_check_gives_the_hints_of_a_run_and_names_every_problem_at_its_place(peakbench, data, tmp_path):
    first, second, third = (json.loads(line) for line in data.read_text().splitlines())
    shutil.copy(data.parent / first["image"], tmp_path / "outside.jpg")
    lines = [first, second | {"image": "../outside.jpg"}, second | {"id": first["id"]}, third | {"image": "gone.jpg"}]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = peakbench("run", "--endpoint", "http://127.0.0.1:9/v1", "--model", "m", "--data", data)
    *_, hint = asked.err.splitlines()
    assert "--allow-outside" in hint
    done = peakbench("data", "check", data)
    assert done.code == 2
    assert f"Hints\n{hint}\n" in done.out
    found = json.loads(peakbench("data", "check", data, "--json").out)
    assert [problem["where"].rpartition(":")[2] for problem in found["problems"]] == ["2", "3", "4"]
    assert found["hints"] == [hint.strip()]


def test_metrics_are_listed_explained_and_checked(peakbench, tmp_path):
    assert "structured_match*" in peakbench("metrics", "list").out
    assert "signature" in peakbench("metrics", "show", "structured_match").out
    assert {one["id"] for one in json.loads(peakbench("metrics", "list", "--json").out)} >= {"quality", "latency"}
    shipped = peakbench("metrics", "check", DEMO.parent.parent.parent / "peakbench_metrics.json")
    assert shipped.code == 0, shipped.err
    rows = {line.split()[0]: line.split() for line in shipped.out.splitlines() if line.startswith("  ")}
    assert rows["structured_match"][1:3] == ["100.0", "55.6"]  # per cent: 5 of the 9 fields of "half"
    # timings in their units: 40 tokens in a quarter of a second are 160 a second
    assert rows["latency"][1:3] == ["s", "0.250"]
    assert rows["tokens_per_second"][1:3] == ["tokens/s", "160"]
    shown = json.loads(peakbench("metrics", "show", "quality", "--json").out)
    assert shown["needs"] == ["encoder", "reference"]
    assert {"json", "text"} <= shown["parameters"].keys()
    assert json.loads(peakbench("metrics", "show", "bleu", "--json").out)["needs"] == ["reference"]
    mine = {
        "id": "my_bleu",
        "kind": "bleu",
        "title": "Mine",
        "range": [0, 1],
        "higher_is_better": True,
        "family": "text",
    }
    (tmp_path / "mine.json").write_text(json.dumps({"format": 1, "metrics": [mine]}))
    values = json.loads(peakbench("metrics", "check", "mine.json", "--json").out)["metrics"]["my_bleu"]["values"]
    assert (values["right"], values["all null"], values["unreadable"]) == (1.0, 0.0, 0.0)
    # a declared range that its own values leave is found before a run
    (tmp_path / "mine.json").write_text(json.dumps({"format": 1, "metrics": [mine | {"range": [0, 0.5]}]}))
    done = peakbench("metrics", "check", "mine.json")
    assert done.code == 2
    assert "outside [0, 0.5]" in done.err


def test_task_init_writes_a_task_that_a_run_takes(peakbench, data, tmp_path):
    schema = {
        "type": "object",
        "properties": {"color": {"enum": ["red", None]}, "tags": {"type": "array"}},
        "required": ["color"],
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    assert peakbench("task", "init", "mine", "--from-schema", "schema.json").code == 0
    task = json.loads((tmp_path / "mine.json").read_text())
    assert task["fields"] == {
        "color": {"vocabulary": ["red"]},
        "tags": {"many": True, "comparator": "set", "optional": True},
    }
    assert "red" in peakbench("task", "show", "mine.json").out
    again = peakbench("task", "init", "mine", "--from-schema", "schema.json")
    assert again.code == 2
    assert "--force" in again.err
    assert peakbench("task", "init", "theirs", "--from-data", data, "--out", "t.json").code == 0
    assert list(json.loads((tmp_path / "t.json").read_text())["fields"])[:2] == ["type", "color"]
    assert peakbench("data", "check", data, "--task", "t.json").code == 0


def test_task_show_json_is_a_task_file(peakbench, tmp_path):
    (tmp_path / "copy.json").write_text(peakbench("task", "show", "garment", "--json").out)
    copied = json.loads(peakbench("task", "show", "copy.json", "--json").out)
    assert copied == json.loads((tmp_path / "copy.json").read_text())


def test_plugins_lists_what_ships(peakbench):
    found = json.loads(peakbench("plugins", "--json").out)
    assert found["loaded"][0]["name"] == "peakbench"
    assert "recorded" in found["loaded"][0]["offers"]["endpoints"]
    assert "garment" in peakbench("plugins").out


class EntryPoint:
    """An entry point whose loading is seen."""

    def __init__(self, name: str, loads: Any) -> None:
        self.name, self.value, self.dist = (
            name,
            f"{name}_module:main",
            SimpleNamespace(name="some-package", version="1.0"),
        )
        self._loads, self.loaded = loads, 0

    def load(self) -> Any:
        self.loaded += 1
        if isinstance(self._loads, Exception):
            raise self._loads
        return self._loads


def test_a_plugins_command_is_listed_without_being_loaded_and_gets_its_own_arguments(peakbench, monkeypatch):
    import click

    @click.command()
    @click.option("--times", type=int)
    @click.argument("word")
    def shout(times: int, word: str) -> int:
        click.echo(word.upper() * times)
        return 7

    plugin, broken, wrong = (
        EntryPoint("shout", shout),
        EntryPoint("broken", ImportError("no x")),
        EntryPoint("wrong", 5),
    )
    ours = EntryPoint("run", shout)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [plugin, broken, wrong, ours])
    listed = peakbench("--help")
    assert "shout" in listed.out
    assert "the package some-package" in listed.out
    assert plugin.loaded == broken.loaded == 0
    assert peakbench("shout", "--times", 2, "hey") == Done(7, "HEYHEY\n", "")
    done = peakbench("broken")
    assert done.code == 2
    assert "command 'broken' of the package some-package cannot be used: ImportError: no x" in done.err
    assert "wrong_module:main is not a click command" in peakbench("wrong").err
    assert "no command 'shut'; did you mean 'shout'?" in peakbench("shut").err
    assert "Ask a model" in peakbench("run", "--help").out
    assert ours.loaded == 0
    monkeypatch.setenv("PEAKBENCH_DISABLE_PLUGINS", "all")
    assert "shout" not in peakbench("--help").out


def test_the_table_of_commands_says_what_the_commands_say_of_themselves(peakbench):
    listed = peakbench("--help").out
    for name, (_, line) in COMMANDS.items():
        assert f"  {name}" in listed
        assert line in listed
        help_text = peakbench(name, "--help")
        assert help_text.code == 0
        assert help_text.out.startswith(f"Usage: peakbench {name} ")


def test_no_option_stands_twice_and_every_line_of_help_fits(peakbench):
    text = peakbench("run", "--help").out
    options = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert len(options) == len(set(options)) > 35
    assert max(len(line) for line in text.splitlines()) <= 104


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(peakbench, shell):
    if shell == "bash" and not shutil.which("bash"):
        pytest.skip("no bash")
    assert "_PEAKBENCH_COMPLETE" in peakbench("completion", shell).out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("peakbench met", {"metrics"}),
        ("peakbench metrics ", {"list", "show", "check"}),
        ("peakbench run --max-c", {"--max-completion-tokens"}),
        ("peakbench run --structured json", {"json_schema", "json_object"}),
    ],
)
def test_commands_options_and_choices_complete(monkeypatch, capsys, words, expected):
    parts = words.split(" ")
    monkeypatch.setenv("_PEAKBENCH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(parts) - 1))
    with pytest.raises(SystemExit):
        main([])
    assert {line.partition(",")[2] for line in capsys.readouterr().out.split()} == expected
