"""The bridge from a folder of runs to their cards, and a leaderboard on the card of an organisation."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub", reason="the hub extra is not installed")

sys.path.insert(0, str(Path(__file__).parent))
from hub_server import TOKEN, Fault, HubServer  # noqa: E402

import peakbench  # noqa: E402
from peakbench.api.hubs import hub_push, hub_sync  # noqa: E402
from peakbench.api.leaderboards import leaderboard  # noqa: E402
from peakbench.cli.app import main  # noqa: E402
from peakbench.hub.remote import Hub  # noqa: E402

CARD = "---\nlicense: mit\n---\n# A model of mine\n"


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
        yield server


@pytest.fixture
def hub(server: HubServer) -> Hub:
    return Hub(pause_s=0.01, timeout_s=5)


# --- the bridge ---


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    """Three models' runs, one of them twice, one run unfinished, one whose repository nobody knows."""
    runs = tmp_path / "runs"
    for name, model, created in (
        ("a-old", "org/a", "2026-01-01T00:00:00+00:00"),
        ("a-new", "org/a", "2026-02-01T00:00:00+00:00"),
        ("b", "my b", "2026-01-01T00:00:00+00:00"),
        ("lost", "elsewhere", "2026-01-01T00:00:00+00:00"),
        ("unfinished", "org/a", "2026-03-01T00:00:00+00:00"),
    ):
        shutil.copytree(run, runs / name)
        for file in ("run.json", "summary.json"):
            value = json.loads((runs / name / file).read_text())
            (value.get("run") or value).update(model=model, created_at=created)
            (runs / name / file).write_text(json.dumps(value))
    (runs / "unfinished" / "summary.json").unlink()
    return runs


def test_sync_brings_every_finished_run_to_its_card(server: HubServer, folder: Path, hub: Hub) -> None:
    a, b = server.create("org/a", {"README.md": CARD}), server.create("org/b", {"README.md": CARD})
    given = {"repos": {"my b": "org/b"}, "hub": hub}
    dry = {one.run.name: one.state for one in hub_sync(folder, **given)}
    assert dry == {"a-old": "skipped", "a-new": "planned", "b": "planned", "lost": "skipped"}
    assert len(a.commits) == len(b.commits) == 1
    done = {one.run.name: one.state for one in hub_sync(folder, write=True, **given)}
    assert done == {"a-old": "skipped", "a-new": "pushed", "b": "pushed", "lost": "skipped"}
    assert "2026-02-01" in a.text()
    again = {one.run.name: one.state for one in hub_sync(folder, write=True, **given)}
    assert again == {"a-old": "skipped", "a-new": "unchanged", "b": "unchanged", "lost": "skipped"}
    assert len(a.commits) == len(b.commits) == 2


def test_the_repository_of_somebody_else_is_left_alone(server: HubServer, folder: Path, hub: Hub) -> None:
    theirs = server.create("org/a", {"README.md": CARD})
    found = {one.run.name: one for one in hub_sync(folder, organisation="us", write=True, hub=hub)}
    assert found["a-new"].state == "skipped"
    assert "--repos" in found["a-new"].why
    assert len(theirs.commits) == 1


def test_the_watch_sees_what_finishes_and_outlives_the_hub(
    server: HubServer, folder: Path, hub: Hub, run: Path
) -> None:
    a, b = server.create("org/a", {"README.md": CARD}), server.create("org/b", {"README.md": CARD})
    hub.attempts = 1
    server.faults.append(Fault("GET /api/models/org/b", status=503, times=2))
    found = hub_sync(folder, repos={"my b": "org/b"}, write=True, watch_s=0.02, hub=hub)
    first = [next(found) for _ in range(4)]
    assert {one.run.name: one.state for one in first} == {
        "a-old": "skipped", "a-new": "pushed", "b": "failed", "lost": "skipped"
    }  # fmt: skip
    asked = server.count("org/a")
    second = next(found)
    assert (second.run.name, second.state) == ("b", "failed"), "what could not be brought is tried again"
    third = next(found)
    assert (third.run.name, third.state) == ("b", "pushed")
    assert server.count("org/a") == asked, "what was brought is not asked about again"
    summary = json.loads((folder / "a-new" / "summary.json").read_text())
    summary["run"]["created_at"] = "2026-03-01T00:00:00+00:00"
    (folder / "unfinished" / "summary.json").write_text(json.dumps(summary))
    fourth = next(found)
    assert (fourth.run.name, fourth.state) == ("unfinished", "pushed")
    assert "2026-03-01" in a.text()
    assert len(a.commits) == 3
    assert len(b.commits) == 2


def test_sync_on_the_command_line(
    server: HubServer, folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    a = server.create("org/a", {"README.md": CARD})
    server.create("org/my-b")
    assert main(["hub", "sync", str(folder), "--organisation", "org", "--watch"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["hub", "sync", str(folder), "--organisation", "org"]) == 2, "org/elsewhere is not there"
    assert len(a.commits) == 1
    capsys.readouterr()
    server.create("org/elsewhere")
    assert main(["hub", "sync", str(folder), "--organisation", "org", "--yes", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["repo"], one["state"]) for one in lines if one["state"] != "skipped"] == [
        ("org/a", "pushed"), ("org/my-b", "pushed"), ("org/elsewhere", "pushed")
    ]  # fmt: skip
    broken = tmp_path / "repos.json"
    broken.write_text('{"a": "no repository"}')
    assert main(["hub", "sync", str(folder), "--repos", str(broken)]) == 2
    assert main(["hub", "sync", str(tmp_path / "none")]) == 2


# --- a leaderboard ---


def test_a_leaderboard_on_an_organisations_card(server: HubServer, folder: Path, hub: Hub) -> None:
    about = "---\ntitle: Org\nsdk: static\n---\n# We\n"
    repo = server.create("org/README", {"README.md": about}, "space")
    board = leaderboard(folder, resamples=200)
    done = hub_push(board, "org/README", hub=hub)
    assert done is not None
    assert done.committed
    assert done.checks
    assert all(check.same for check in done.checks)
    assert repo.text().startswith(about)
    assert board.notes, "they name folders"
    assert str(folder) not in repo.text()
    assert "| org/a " in repo.text()
    assert len(done.checks) == len(board.standings) + len(board.floors)
    again = hub_push(board, "org/README", hub=hub)
    assert again is not None
    assert not again.committed
    assert len(repo.commits) == 2
    other = leaderboard(folder / "b", resamples=200, title="Second")
    hub_push(other, "org/README", hub=hub)
    assert repo.text().count("<!-- peakbench:begin ") == 2


def test_the_board_command(server: HubServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repo = server.create("org/README", {"README.md": "# We\n"}, "space")
    given = ["hub", "board", str(folder / "a-new"), str(folder / "b"), "--repo", "org/README", "--yes"]
    assert main(given) == 0
    assert main(given) == 0
    assert "nothing to change" in capsys.readouterr().out
    assert len(repo.commits) == 2
