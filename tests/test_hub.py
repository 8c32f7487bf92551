"""Pushes to a Hub on loopback: one commit, a second push that changes nothing, conflicts, refusals, faults, a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("huggingface_hub", reason="the hub extra is not installed")

sys.path.insert(0, str(Path(__file__).parent))
from hub_server import READ_TOKEN, TOKEN, Fault, HubServer, Repo  # noqa: E402

import peakbench  # noqa: E402
from peakbench.api.hubs import hub_plan, hub_push  # noqa: E402
from peakbench.cli.app import main  # noqa: E402
from peakbench.errors import HubError, HubRefused, InputError, StoreError  # noqa: E402
from peakbench.hub.modelcard import CardOptions, table_values  # noqa: E402
from peakbench.hub.pushing import Push  # noqa: E402
from peakbench.hub.remote import Hub  # noqa: E402

CARD = """---
license: apache-2.0   # chosen
tags: [vision,   "json"]
model-index:
  - name: m
    results:
      - task: {type: image-text-to-text}
        dataset: {type: 'org/other', name: Other}
        metrics:
          -   type: wer
              value: 3.10   # theirs
---

# A model of mine

Text, with spaces at its end.\x20\x20
"""
MINE = CARD.partition("---\n\n")[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "first"
    peakbench.run(endpoint="recorded", out=str(folder), limit=12, resamples=200)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server


@pytest.fixture
def repo(server: HubServer) -> Repo:
    return server.create("org/m", {"README.md": CARD})


@pytest.fixture
def hub(server: HubServer) -> Hub:
    return Hub(pause_s=0.01, timeout_s=5)


def pushed(run: Path, hub: Hub, **given: Any) -> Push:
    done = hub_push(run, "org/m", hub=hub, **given)
    assert done is not None
    return done


def key(run: Path) -> str:
    record = peakbench.Run(run).record
    return f"{record.data.name}/{record.task.id}"


def assert_once(repo: Repo, run: Path) -> None:
    """The card holds the section once, the numbers of the run, and what was there before."""
    text = repo.text()
    assert text.count("<!-- peakbench:begin ") == text.count("<!-- peakbench:end ") == 1
    assert text.count("name: PeakBench") == 1
    assert MINE in text
    assert "              value: 3.10   # theirs\n" in text
    assert 'license: apache-2.0   # chosen\ntags: [vision,   "json"]\n' in text
    summary = peakbench.Run(run).summary
    shown = table_values(text, key(run))
    assert shown["weighted_score"] == f"{summary['metrics']['weighted_score']['value'] * 100:.1f}"


def test_a_plan_writes_nothing(run: Path, repo: Repo, hub: Hub, server: HubServer) -> None:
    plan = hub_plan(run, "org/m", hub=hub)
    assert [change.path for change in plan.changes] == ["README.md"]
    assert all(line[0] in "+-@ " for line in plan.diff())
    assert not [line for line in plan.diff() if line.startswith("-") and not line.startswith("---")]
    assert repo.files["README.md"].decode() == CARD
    assert server.count("POST") == 0


def test_a_push_is_one_commit_and_a_second_changes_nothing(run: Path, repo: Repo, hub: Hub, server: HubServer) -> None:
    first = pushed(run, hub, options=CardOptions(dataset="org/photos"))
    assert first.committed
    assert len(repo.commits) == 2
    assert first.commit == repo.head
    assert_once(repo, run)
    assert set(repo.files) == {".gitattributes", "README.md", ".eval_results/peakbench-org-photos.yaml"}
    tree, posts = dict(repo.files), server.count("POST")
    second = pushed(run, hub, options=CardOptions(dataset="org/photos"))
    assert not second.committed
    assert not second.plan.changes
    assert repo.files == tree
    assert len(repo.commits) == 2
    assert server.count("POST") == posts, "nothing is even sent"
    assert all(check.same for check in second.checks)


def test_a_picture_is_a_file_of_the_same_commit(run: Path, repo: Repo, hub: Hub) -> None:
    from xml.etree import ElementTree

    done = pushed(run, hub, options=CardOptions(chart=True))
    (path,) = [path for path in repo.files if path.endswith(".svg")]
    assert {change.path for change in done.plan.changes} == {"README.md", path}
    assert f"]({path})" in repo.text()
    root = ElementTree.fromstring(repo.text(path))
    values = [one.text for one in root.iter() if one.tag.endswith("text") and one.get("x") == "624"]
    fields = peakbench.Run(run).summary["fields"]
    assert values == [f"{one['score'] * 100:.1f}" for one in fields.values()]
    assert not pushed(run, hub, options=CardOptions(chart=True)).committed
    assert len(repo.commits) == 2


def test_what_is_read_back_are_the_numbers_of_the_run(run: Path, repo: Repo, hub: Hub) -> None:
    import yaml
    from huggingface_hub import ModelCard as Reader
    from huggingface_hub import parse_eval_result_entries

    done = pushed(run, hub, options=CardOptions(dataset="org/photos"))
    places = {check.where for check in done.checks}
    assert places == {
        "README.md: table",
        "README.md: model-index",
        ".eval_results",
        "the Hub's reading of the model-index",
        "the Hub's reading of .eval_results",
    }
    summary = peakbench.Run(run).summary["metrics"]
    ours = [one for one in Reader(repo.text()).data.eval_results if one.source_name == "PeakBench"]
    assert {one.metric_type: one.metric_value for one in ours} == {
        one.metric_type: round(summary[one.metric_type]["value"] * 100, 2) for one in ours
    }
    assert len(ours) > 3
    (row,) = parse_eval_result_entries(yaml.safe_load(repo.text(".eval_results/peakbench-org-photos.yaml")))
    assert row.dataset_id == "org/photos"
    assert row.value == round(summary["weighted_score"]["value"] * 100, 2)
    assert row.source_url == "https://huggingface.co/org/m"


def test_a_hub_that_shows_other_numbers_is_told(run: Path, repo: Repo, hub: Hub, server: HubServer) -> None:
    pushed(run, hub)
    other = repo.text().replace("| `weighted_score` | ", "| `weighted_score` | 9")
    repo.commits[-1] = (repo.head, {**repo.files, "README.md": other.encode()}, "")

    class Deaf(Hub):
        def commit(self, *_: object, **__: object) -> str:  # takes the commit and keeps the old card
            return repo.head

    with pytest.raises(HubError, match="1 of .* numbers on the Hub are not those of the run: weighted_score"):
        pushed(run, Deaf(pause_s=0.01))


def test_a_new_run_replaces_the_section_and_the_rows(run: Path, repo: Repo, hub: Hub, tmp_path: Path) -> None:
    pushed(run, hub, options=CardOptions(dataset="org/photos"))
    before = repo.text()
    later = tmp_path / "later"
    shutil.copytree(run, later)
    summary = json.loads((later / "summary.json").read_text())
    summary["metrics"]["weighted_score"]["value"] = 0.1234
    (later / "summary.json").write_text(json.dumps(summary))
    assert pushed(later, hub, options=CardOptions(dataset="org/photos")).committed
    assert_once(repo, later)
    assert len(repo.commits) == 3
    assert "value: 12.34" in repo.text(".eval_results/peakbench-org-photos.yaml")
    assert pushed(run, hub, options=CardOptions(dataset="org/photos")).committed
    assert repo.text() == before


def test_a_repository_without_a_card_gets_one(run: Path, server: HubServer, hub: Hub) -> None:
    repo = server.create("org/m")
    assert pushed(run, hub).committed
    assert repo.text().startswith("---\nmodel-index:\n- name: m\n")
    assert "\n---\n\n# m\n\n<!-- peakbench:begin" in repo.text()
    assert not pushed(run, hub).committed


def test_two_data_sets_stand_beside_each_other(run: Path, repo: Repo, hub: Hub, tmp_path: Path) -> None:
    pushed(run, hub)
    first = repo.text()
    other = tmp_path / "other"
    shutil.copytree(run, other)
    for name in ("run.json", "summary.json"):
        value = json.loads((other / name).read_text())
        (value.get("run") or value)["data"]["name"] = "elsewhere"
        (other / name).write_text(json.dumps(value))
    pushed(other, hub)
    text = repo.text()
    assert text.count("<!-- peakbench:begin ") == 2
    section = first[first.index("<!-- peakbench:begin") :]
    assert section in text
    assert not pushed(run, hub).committed
    assert not pushed(other, hub).committed


def test_a_commit_in_between_is_read_and_kept(run: Path, repo: Repo, hub: Hub, server: HubServer) -> None:
    def theirs() -> None:
        repo.commit({"README.md": repo.text().replace("Text,", "New text,").encode(), "config.json": b"{}"}, "theirs")

    server.faults.append(Fault("/commit/", before=theirs))
    why: list[str] = []
    done = pushed(run, hub, on_retry=why.append)
    assert done.attempts == 2
    assert "somebody else wrote" in why[0]
    assert len(repo.commits) == 3
    assert "New text, with spaces" in repo.text()
    assert repo.files["config.json"] == b"{}"
    assert repo.text().count("<!-- peakbench:begin ") == 1
    assert not pushed(run, hub).committed


def test_others_who_never_stop_end_it(run: Path, repo: Repo, hub: Hub, server: HubServer) -> None:
    def theirs() -> None:
        repo.commit({"n": str(len(repo.commits)).encode()}, "theirs")

    server.faults.append(Fault("/commit/", times=99, before=theirs))
    with pytest.raises(HubError, match="nothing was written in 6 attempts") as caught:
        pushed(run, hub)
    assert caught.value.exit_code == 3
    assert repo.files["README.md"].decode() == CARD


def test_two_pushes_at_once_end_as_one_after_the_other(run: Path, repo: Repo, server: HubServer) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            pushed(run, Hub(pause_s=0.01))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(repo.commits) == 2, "one wrote, the others found it done"
    assert_once(repo, run)


def test_rows_of_others_stay_unless_taken_over(run: Path, server: HubServer, hub: Hub) -> None:
    record = peakbench.Run(run).record
    row = (
        "- task: {type: image-text-to-text}\n        dataset: {type: 'org/other', name: Other}\n        metrics:\n"
        "          -   type: wer\n              value: 3.10   # theirs\n"
    )
    mine = row.replace("org/other", record.data.name).replace("wer", "weighted_score")
    repo = server.create("org/m", {"README.md": CARD.replace(row, f"{row}      {mine}")})
    done = pushed(run, hub)
    assert [note for note in done.plan.notes if "weighted_score 3.1" in note and "stays" in note]
    assert repo.text().count("type: weighted_score") == 1
    assert repo.text().count("# theirs") == 2
    assert not pushed(run, hub).committed
    assert pushed(run, hub, options=CardOptions(take_over=True)).committed
    assert repo.text().count("type: weighted_score") == 1
    assert repo.text().count("# theirs") == 1


@pytest.mark.parametrize(
    ("token", "what"),
    [("hf_" + "x" * 30, "401"), (READ_TOKEN, "403")],
)
def test_tokens_that_may_not_write(
    run: Path, repo: Repo, hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str, what: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubRefused, match=what) as caught:
        pushed(run, hub)
    assert caught.value.exit_code == 2
    assert "hf auth login" in str(caught.value)
    assert token not in str(caught.value)
    assert repo.files["README.md"].decode() == CARD


@pytest.mark.parametrize("name", ["org/none", "none/m"])
def test_a_repository_that_is_not_there(run: Path, server: HubServer, hub: Hub, name: str) -> None:
    with pytest.raises(HubRefused, match="no such repository"):
        hub_push(run, name, hub=hub)
    assert server.count("GET") == 1, "what the Hub refuses is not asked again"


@pytest.mark.parametrize("name", ["m", "org/a/b", "https://huggingface.co/org/m", "org/a b", "../m", ""])
def test_a_name_that_is_no_repository(run: Path, hub: Hub, server: HubServer, name: str) -> None:
    with pytest.raises(InputError, match="is no repository"):
        hub_plan(run, name, hub=hub)
    assert not server.requests


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_reads_are_tried_again(run: Path, repo: Repo, hub: Hub, server: HubServer, status: int) -> None:
    server.faults.append(Fault("GET /api/models", status=status, times=2))
    assert pushed(run, hub).attempts == 1
    assert_once(repo, run)


def test_a_hub_that_is_down_ends_it(run: Path, repo: Repo, hub: Hub, server: HubServer) -> None:
    server.faults.append(Fault("GET /api/models", status=500, times=99, body='{"error": "down"}'))
    with pytest.raises(HubError, match="the Hub answers 500: down") as caught:
        pushed(run, hub)
    assert caught.value.exit_code == 3
    assert server.count("GET /api/models") == hub.attempts


@pytest.mark.parametrize("given", [{"status": 500}, {"status": 503}, {"drop": True}])
def test_a_commit_without_an_answer_is_looked_for(
    run: Path, repo: Repo, hub: Hub, server: HubServer, given: dict[str, Any]
) -> None:
    server.faults.append(Fault("/commit/", **given))
    done = pushed(run, hub)
    assert done.committed
    assert done.attempts == 2
    assert len(repo.commits) == 2, "made once, whether the first one arrived or not"
    assert_once(repo, run)


def test_a_hub_that_hangs_is_left(run: Path, repo: Repo, server: HubServer) -> None:
    server.faults.append(Fault("GET /api/models", hang="before", times=99))
    began = time.monotonic()
    with pytest.raises(HubError, match="no answer within 0.3 s"):
        pushed(run, Hub(pause_s=0.01, timeout_s=0.3, attempts=2))
    assert time.monotonic() - began < 3


def test_no_hub_at_all(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="ConnectError|refused|HF_ENDPOINT"):
        pushed(run, Hub(pause_s=0.01, attempts=2))


def test_a_card_that_the_hub_refuses(run: Path, repo: Repo, hub: Hub, server: HubServer) -> None:
    body = json.dumps({"errors": [{"message": '"license" must be one of [...]'}], "warnings": []})
    server.faults.append(Fault("validate-yaml", status=400, body=body))
    with pytest.raises(HubRefused, match="license"):
        pushed(run, hub)
    assert len(repo.commits) == 1


def test_a_card_that_cannot_be_changed_safely_is_refused(run: Path, server: HubServer, hub: Hub) -> None:
    for card in (CARD.replace("tags: [", "tags: [["), CARD + "<!-- peakbench:end x -->\n", b"\xff\xfe---"):
        text = card.replace("end x", f"end {key(run)}") if isinstance(card, str) else card
        repo = server.create("org/m", {"README.md": text})
        with pytest.raises(InputError):
            pushed(run, hub)
        assert len(repo.commits) == 1


@pytest.mark.parametrize("hang", ["before", "after"])
def test_a_kill_in_the_middle(run: Path, repo: Repo, hub: Hub, server: HubServer, hang: str) -> None:
    server.faults.append(Fault("/commit/", hang=hang))
    command = [sys.executable, "-m", "peakbench", "hub", "push", str(run), "--repo", "org/m", "--yes"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ.copy())
    assert server.arrived.wait(30)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert len(repo.commits) == (2 if hang == "after" else 1), "the card is whole: as it was, or as it shall be"
    done = pushed(run, hub)
    assert done.committed == (hang == "before")
    assert len(repo.commits) == 2
    assert_once(repo, run)


def test_unfinished_runs_are_refused(run: Path, repo: Repo, hub: Hub, tmp_path: Path) -> None:
    copied = tmp_path / "unfinished"
    shutil.copytree(run, copied)
    summary = json.loads((copied / "summary.json").read_text())
    summary["samples"]["unasked"] = 3
    (copied / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(StoreError, match="3 samples were never asked"):
        hub_plan(copied, "org/m", hub=hub)
    (copied / "summary.json").unlink()
    with pytest.raises(StoreError, match="unfinished"):
        hub_plan(copied, "org/m", hub=hub)


def test_the_commands(run: Path, repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hub", "plan", str(run), "--repo", "org/m"]) == 0
    assert "+<!-- peakbench:begin" in capsys.readouterr().out
    assert main(["hub", "push", str(run), "--repo", "org/m"]) == 2, "nobody to ask"
    assert "say --yes" in capsys.readouterr().err
    assert len(repo.commits) == 1
    assert main(["hub", "push", str(run), "--repo", "org/m", "--yes"]) == 0
    assert "read back from" in capsys.readouterr().out
    assert main(["hub", "push", str(run), "--repo", "org/m", "--yes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["committed"], found["unchanged"], found["commit"]) == (False, True, repo.head)
    assert all(one["same"] for one in found["checks"])
    assert main(["hub", "plan", str(run), "--repo", "org/m"]) == 0
    assert "nothing to change" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "commits"), [("y\n", 2), ("n\n", 1)])
def test_a_push_asks(
    run: Path,
    repo: Repo,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    commits: int,
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["hub", "push", str(run), "--repo", "org/m"]) == 0
    assert "Write this to org/m?" in capsys.readouterr().err
    assert len(repo.commits) == commits


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault("/commit/", status=401, headers={"X-Error-Message": "Invalid credentials in Authorization header"}), 2),
        (Fault("/commit/", status=403), 2),
        (Fault("/commit/", status=404), 2),
        (Fault("/commit/", status=422, body='{"error": "no"}'), 2),
        (Fault("GET /api/models", status=404), 2),
    ],
)
def test_exit_codes_of_refusals(
    run: Path, repo: Repo, server: HubServer, capsys: pytest.CaptureFixture[str], fault: Fault, code: int
) -> None:
    server.faults.append(Fault(**fault.__dict__))
    assert main(["hub", "push", str(run), "--repo", "org/m", "--yes"]) == code
    assert str(fault.status) in capsys.readouterr().err
    assert len(repo.commits) == 1


def test_the_token_is_in_no_output(
    run: Path, repo: Repo, server: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps({"error": f"got Bearer {TOKEN} from you"})
    server.faults += [Fault("/commit/", status=403, body=body), Fault("validate-yaml", status=400, body=json.dumps(
        {"errors": [{"message": f"odd {TOKEN}"}], "warnings": []}))]  # fmt: skip
    for _ in range(2):
        assert main(["--debug", "hub", "push", str(run), "--repo", "org/m", "--yes"]) == 2
    assert main(["hub", "push", str(run), "--repo", "org/m", "--yes"]) == 0
    shown = capsys.readouterr()
    assert "***" in shown.err
    assert TOKEN not in shown.out + shown.err
    assert not any(TOKEN.encode() in data for _, tree, _ in repo.commits for data in tree.values())


def test_a_token_of_another_look_is_in_no_output(
    run: Path, repo: Repo, server: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "eyJhbGciOi.of-another.look"
    monkeypatch.setenv("HF_TOKEN", secret)
    server.faults.append(Fault("/commit/", status=403, body=json.dumps({"error": f"not for {secret}"})))
    assert main(["hub", "push", str(run), "--repo", "org/m", "--yes"]) == 2
    shown = capsys.readouterr()
    assert "not for ***" in shown.err
    assert secret not in shown.out + shown.err


def test_without_the_extra_the_install_command_is_said(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for command in (["plan", str(run), "--repo", "org/m"], ["sync", str(run)], ["board", str(run), "--repo", "org/m"]):
        assert main(["hub", *command]) == 2
        assert "pip install 'peakbench[hub]'" in capsys.readouterr().err
