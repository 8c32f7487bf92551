"""A run in an MLflow store on this disk, read back through MLflow's own client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import peakbench as pb
import pytest
from peakbench.testing import Reply, ScriptedEndpoint

mlflow = pytest.importorskip("mlflow", reason="needs MLflow: pip install mlflow-skinny")
import peakbench_mlflow

METRICS = ["weighted_score", "consistency"]  # the second needs repeats: unscored here
ANSWER = '{"type": "t-shirt", "color": "red", "pattern": "solid", "brand": null}'


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    return mlflow.MlflowClient((tmp_path / "store").as_uri())


@pytest.fixture
def run(tmp_path: Path) -> pb.Run:
    with ScriptedEndpoint(ANSWER, faults=[lambda asked: Reply(status=500) if asked.number == 0 else None]) as server:
        return pb.run(
            endpoint=server.url, model="m=<b>", limit=6, retries=0, resamples=100, metrics=METRICS, out=tmp_path / "run"
        )


def logged(client: Any, experiment: str) -> list[Any]:
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_the_numbers_are_those_of_the_summary(client: Any, run: pb.Run) -> None:
    run_id = peakbench_mlflow.log_run(run, "garments")
    (found,) = logged(client, "garments")
    assert (found.info.run_id, found.info.status) == (run_id, "FINISHED")
    entry, metrics = run.summary["metrics"]["weighted_score"], found.data.metrics
    for name, value in (("", entry["value"]), (".low", entry["low"]), (".high", entry["high"])):
        assert metrics[f"weighted_score{name}"] == value
    assert metrics["weighted_score.floor"] == max(value for value in entry["floor"].values() if value is not None)
    assert metrics["field.color"] == run.summary["fields"]["color"]["score"]
    assert (metrics["samples.failed"], metrics["samples.answers"]) == (1, 6)
    assert "consistency" not in metrics  # unscored is no number
    assert "consistency" in json.loads(found.data.tags["peakbench.unscored"])
    assert found.data.params["model"] == "m=<b>"
    assert found.data.params["sampling.max_tokens"] == "512"


def test_contents_stay_here_unless_they_are_asked_for(client: Any, run: pb.Run) -> None:
    run_id = peakbench_mlflow.log_run(run)
    names = {Path(one.path).name for one in client.list_artifacts(run_id, "peakbench")}
    assert names == {"run.json", "summary.json"}
    assert peakbench_mlflow.log_run(run, contents=True) == run_id
    assert "responses.jsonl" in {Path(one.path).name for one in client.list_artifacts(run_id, "peakbench")}


def test_a_second_export_changes_nothing(client: Any, run: pb.Run) -> None:
    first = peakbench_mlflow.log_run(run, "garments")
    assert peakbench_mlflow.log_run(run, "garments") == first
    assert len(logged(client, "garments")) == 1
    assert len(client.get_metric_history(first, "weighted_score")) == 1


def test_new_scores_are_the_next_step(client: Any, run: pb.Run) -> None:
    run_id = peakbench_mlflow.log_run(run, "garments")
    again = pb.score(run, metrics=["weighted_score"], resamples=200)
    assert peakbench_mlflow.log_run(again, "garments") == run_id
    history = client.get_metric_history(run_id, "weighted_score")
    assert [one.step for one in history] == [0, 1]


def test_a_killed_export_is_done_again(client: Any, run: pb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "log_artifact", killed)
        with pytest.raises(KeyboardInterrupt):
            peakbench_mlflow.log_run(run, "garments")
    peakbench_mlflow.log_run(run, "garments")
    (found,) = logged(client, "garments")
    assert found.info.status == "FINISHED"
    assert len(client.list_artifacts(found.info.run_id, "peakbench")) == 2


def test_odd_names_are_names_that_mlflow_takes(run: pb.Run) -> None:
    row = {**run.table()[0], "name": "précision@k"}
    run.table = lambda: [row]  # type: ignore[method-assign]
    assert "pr_cision_k" in peakbench_mlflow.numbers(run)


def test_it_is_a_destination(client: Any, run: pb.Run) -> None:
    from peakbench.destinations import Export

    (destination,) = peakbench_mlflow.peakbench_destinations()
    line = destination.write(Export(run, "garments", contents=destination.contents))
    assert line.startswith("logged to MLflow, experiment garments, run ")
    assert not destination.contents


def test_a_server_that_refuses_is_the_users_to_mend(client: Any, run: pb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException
    from peakbench.destinations import Export

    def refused(*_: Any, **__: Any) -> None:
        raise MlflowException("no such store")

    monkeypatch.setattr(mlflow.MlflowClient, "create_run", refused)
    (destination,) = peakbench_mlflow.peakbench_destinations()
    with pytest.raises(pb.InputError, match="did not take the run: no such store"):
        destination.write(Export(run, "", contents=False))
