"""Exports: tables in files against the run itself, spans against the semantic conventions, hostile answers in both."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import peakbench as pb
from peakbench.api.exports import destinations, export
from peakbench.cli import main
from peakbench.destinations import Destination, Export
from peakbench.errors import InputError, MissingDependency, StoreError
from peakbench.exports.answers import answer_table
from peakbench.testing import Asked, Reply, ScriptedEndpoint

FORMULA = '=HYPERLINK("http://example.org";"x")'
GOOD = {"type": "t-shirt", "color": "red", "pattern": FORMULA, "brand": None}
USAGE = {
    "prompt_tokens": 31,
    "completion_tokens": 10**30,  # no count of anything
    "prompt_tokens_details": {"cached_tokens": 7},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def answer(asked: Asked) -> Reply:
    message = {"role": "assistant", "content": json.dumps(GOOD), "reasoning_content": "half a pair: \ud800"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return Reply(
        body=json.dumps({"id": "x", "model": asked.body["model"], "choices": choices, "usage": USAGE}).encode()
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pb.Run:
    """Six samples asked twice; the first request fails, one answer is no JSON."""

    def trouble(asked: Asked) -> Reply | None:
        return {0: Reply("secret <b>", status=500), 5: Reply("no JSON here")}.get(asked.number)

    with ScriptedEndpoint(answer, faults=[trouble]) as server:
        return pb.run(
            endpoint=server.url,
            model="m=<b>",
            limit=6,
            repeats=2,
            retries=0,
            workers=1,
            metrics=["weighted_score", "structured_match", "consistency"],
            out=tmp_path_factory.mktemp("exports") / "run",
            resamples=100,
        )


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_is_an_answer(run: pb.Run, tmp_path: Path) -> None:
    assert export(run, tmp_path / "answers.jsonl") == f"12 answers written to {tmp_path / 'answers.jsonl'}"
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [(row["sample_id"], row["repeat"]) for row in rows] == [
        (row["sample_id"], row["repeat"]) for row in run.rows()
    ]
    (failed,) = [row for row in rows if row["state"] == "failed"]
    assert (failed["error"], failed["http_status"], failed["text"], failed["weighted_score"]) == (
        "server_error",
        500,
        None,
        None,
    )
    (unread,) = [row for row in rows if row["state"] == "unparseable"]
    assert (unread["text"], unread["weighted_score"], unread["color.answer"]) == ("no JSON here", 0.0, None)
    good = next(row for row in rows if row["state"] == "strict")
    assert (good["color.answer"], good["pattern.answer"], good["brand.answer"]) == ("red", FORMULA, None)
    assert (good["prompt_tokens"], good["completion_tokens"]) == (31, None)
    assert good["latency_s"] > 0


def test_every_score_is_that_of_the_run(run: pb.Run, tmp_path: Path) -> None:
    export(run, tmp_path / "answers.csv")
    for row, scored in zip(read_csv(tmp_path / "answers.csv"), run.rows(), strict=True):
        for name, one in scored["metrics"].items():
            assert (row[name] or None) == (None if one["value"] is None else json.dumps(one["value"]))
        for name, field in scored["fields"].items():
            assert (float(row[f"{name}.score"]), row[f"{name}.outcome"]) == (field["score"], field["outcome"])


def test_no_spreadsheet_runs_an_answer(run: pb.Run, tmp_path: Path) -> None:
    export(run, tmp_path / "answers.csv")
    cells = [cell for row in read_csv(tmp_path / "answers.csv") for cell in row.values()]
    assert f"'{FORMULA}" in cells
    assert not [cell for cell in cells if cell[:1] in set("=+@\t\r") or (cell[:1] == "-" and not _number(cell))]


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_parquet_says_what_the_run_was(run: pb.Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("pandas")
    export(run, tmp_path / "answers.parquet")
    table = parquet.read_table(tmp_path / "answers.parquet")
    about = json.loads(table.schema.metadata[b"peakbench"])
    assert (about["model"], about["data"]["fingerprint"]) == ("m=<b>", run.record.data.fingerprint)
    assert about["signatures"]["weighted_score"] == run.summary["metrics"]["weighted_score"]["signature"]
    frame = table.to_pandas()
    known = run.to_pandas()
    assert frame["weighted_score"].tolist()[1:] == known["weighted_score"].tolist()[1:]
    assert frame["weighted_score"].isna().tolist() == known["weighted_score"].isna().tolist()
    assert str(table.schema.field("http_status").type) == "int64"
    assert frame["reasoning"].dropna().iloc[0] == "half a pair: \\ud800"  # no UTF-8, so written out


def test_the_summary_is_a_table_too(run: pb.Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(run, tmp_path / "summary.csv")  # the name says which table
    export(run, tmp_path / "numbers.parquet", table="summary")
    rows = run.table()
    found = read_csv(tmp_path / "summary.csv")
    assert [row["name"] for row in found] == [row["name"] for row in rows]
    assert list(found[0]) == list(rows[0])
    same = parquet.read_table(tmp_path / "numbers.parquet").to_pylist()
    assert [row["value"] for row in same] == [row["value"] for row in rows]
    assert [row["signature"] for row in same] == [row["signature"] for row in rows]


def test_without_contents_no_value_leaves(run: pb.Run, tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.otlp.jsonl"):
        if name.endswith("otlp.jsonl"):
            pytest.importorskip("opentelemetry.sdk")
        export(run, tmp_path / name, contents=False)
        text = (tmp_path / name).read_text()
        assert not [word for word in ("t-shirt", "HYPERLINK", "no JSON here", "half a pair", "secret") if word in text]
        assert "weighted_score" in text


def test_a_metric_named_as_a_column_keeps_both(run: pb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other = pb.Run(run.path)
    other.summary = {**run.summary, "metrics": {"state": {}, "color.score": {}, "weighted_score": {}}}
    assert dict(answer_table(other, contents=False).metrics) == {
        "state": "metric.state",
        "color.score": "metric.color.score",
        "weighted_score": "weighted_score",
    }


def test_a_run_is_never_written_over(run: pb.Run) -> None:
    before = (run.path / "responses.jsonl").read_bytes()
    with pytest.raises(InputError, match="part of a run"):
        export(run, run.path / "responses.jsonl")
    assert (run.path / "responses.jsonl").read_bytes() == before


def test_what_fails_leaves_nothing_behind(run: pb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("as it was")
    monkeypatch.setattr("peakbench.exports.files.csv_cell", lambda value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(run, tmp_path / "a.csv")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "as it was")]
    with pytest.raises(InputError, match="cannot be written"):
        export(run, tmp_path / "no" / "such" / "a.csv")


@pytest.mark.parametrize(
    ("target", "message"),
    [("a.xlsx", "nothing here writes 'a.xlsx'"), ("mflow:x", "nothing here writes"), ("csv", "nothing here writes")],
)
def test_an_unknown_target_is_named(run: pb.Run, target: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        export(run, target)
    assert ".parquet" in str(caught.value)


def test_an_unfinished_run_is_named_before_anything_is_written(run: pb.Run, tmp_path: Path) -> None:
    for name in ("run.json", "task.json", "samples.jsonl", "responses.jsonl"):
        (tmp_path / name).write_bytes((run.path / name).read_bytes())
    with pytest.raises(StoreError, match="unfinished"):
        export(tmp_path, tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_a_text_task_has_one_reference(tmp_path: Path) -> None:
    task = {"format": 1, "id": "caption", "answer": "text", "prompt": {"user": "What is it?"}}
    (tmp_path / "caption.json").write_text(json.dumps(task))
    image = "data:image/gif;base64,R0lGODlhAgADAAAAADs="
    (tmp_path / "eval.jsonl").write_text(json.dumps({"id": "a", "image": image, "reference": "-1 shoe"}))
    with ScriptedEndpoint("+a shoe") as server:
        run = pb.run(
            tmp_path / "eval.jsonl",
            task=tmp_path / "caption.json",
            endpoint=server.url,
            model="m",
            metrics=["rouge_l", "chrf"],
            resamples=100,
            out=tmp_path / "run",
        )
    export(run, tmp_path / "a.csv")
    (row,) = read_csv(tmp_path / "a.csv")
    assert (row["reference"], row["text"], row["state"]) == ("'-1 shoe", "'+a shoe", "text")
    assert float(row["rouge_l"]) == next(run.rows())["metrics"]["rouge_l"]["value"]
    assert "shoe" in run.sample("a")._repr_html_()


def test_answers_from_elsewhere_have_no_length(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    (tmp_path / "eval.jsonl").write_text(json.dumps({"id": "a", "image": "x.jpg", "reference": {"type": "shirt"}}))
    (tmp_path / "answers.jsonl").write_text(json.dumps({"id": "a", "response": '{"type": "shirt"}'}))
    run = pb.score(
        answers=tmp_path / "answers.jsonl",
        data=tmp_path / "eval.jsonl",
        out=tmp_path / "run",
        images=False,
        metrics=["weighted_score"],
        resamples=100,
    )
    export(run, tmp_path / "s.otlp.jsonl")
    answered, whole = spans_of(tmp_path / "s.otlp.jsonl")
    created = datetime.fromisoformat(run.record.created_at).timestamp()
    assert int(answered["startTimeUnixNano"]) == int(answered["endTimeUnixNano"]) == round(created * 1e9)
    assert (whole["startTimeUnixNano"], whole["endTimeUnixNano"]) == (answered["startTimeUnixNano"],) * 2
    assert plain(answered["attributes"])["gen_ai.provider.name"] == "answers"
    export(run, tmp_path / "a.jsonl")
    (row,) = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert (row["started_at"], row["latency_s"], row["type.answer"], row["weighted_score"]) == (
        None,
        None,
        "shirt",
        1.0,
    )


# Spans


def spans_of(path: Path) -> list[dict[str, Any]]:
    requests = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        span
        for request in requests
        for resource in request["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def plain(attributes: list[Mapping[str, Any]]) -> dict[str, Any]:
    def value(one: Mapping[str, Any]) -> Any:
        ((kind, found),) = one.items()
        if kind == "arrayValue":
            return [value(item) for item in found["values"]]
        return int(found) if kind == "intValue" else found

    return {one["key"]: value(one["value"]) for one in attributes}


@pytest.fixture
def spans(run: pb.Run, tmp_path: Path) -> list[dict[str, Any]]:
    pytest.importorskip("opentelemetry.sdk", reason="needs OpenTelemetry: pip install 'peakbench[otel]'")
    export(run, tmp_path / "spans.otlp.jsonl")
    return spans_of(tmp_path / "spans.otlp.jsonl")


def test_a_span_is_an_answer_under_the_conventions(run: pb.Run, spans: list[dict[str, Any]]) -> None:
    # The attributes that https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ requires of an inference
    # span, with the values its table asks for.
    *asked, whole = spans
    assert len(asked) == 12
    assert {span["kind"] for span in asked} == {3}  # CLIENT in opentelemetry/proto/trace/v1/trace.proto
    assert {span["name"] for span in asked} == {"chat m=<b>"}
    assert {span["parentSpanId"] for span in asked} == {whole["spanId"]}
    assert {span["traceId"] for span in asked} == {whole["traceId"]}
    assert len({span["spanId"] for span in spans}) == 13
    good = plain(next(span for span in asked if span["status"]["code"] == 0)["attributes"])
    assert good["gen_ai.operation.name"] == "chat"
    assert good["gen_ai.provider.name"] == "openai"
    assert good["gen_ai.request.model"] == "m=<b>"
    assert good["gen_ai.request.max_tokens"] == 512
    assert good["gen_ai.response.finish_reasons"] == ["stop"]
    assert good["gen_ai.usage.input_tokens"] == 31
    assert good["gen_ai.usage.cache_read.input_tokens"] == 7
    assert good["gen_ai.usage.reasoning.output_tokens"] == 4
    assert "gen_ai.usage.output_tokens" not in good  # what the server said is no count
    assert good["server.address"] == "127.0.0.1"
    seeds = {plain(span["attributes"])["gen_ai.request.seed"] for span in asked}
    assert seeds == {0, 1}  # the seed of a repeat is the run's plus its number


def test_a_span_lasts_as_long_as_its_attempt(run: pb.Run, spans: list[dict[str, Any]]) -> None:
    index = run.directory.index()
    for span in spans[:-1]:
        about = plain(span["attributes"])
        completion = index.get(about["peakbench.sample.id"], about["peakbench.repeat"])
        assert completion is not None
        lasted = (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9
        assert lasted == pytest.approx(completion.response.latency_s if completion.response else 0, abs=1e-8)
        assert int(span["startTimeUnixNano"]) / 1e9 == pytest.approx(completion.started_at, abs=1e-5)
    index.close()
    assert int(spans[-1]["startTimeUnixNano"]) == min(int(span["startTimeUnixNano"]) for span in spans)
    assert int(spans[-1]["endTimeUnixNano"]) == max(int(span["endTimeUnixNano"]) for span in spans)


def test_a_failure_is_an_error_and_has_no_scores(spans: list[dict[str, Any]]) -> None:
    (failed,) = [span for span in spans if span["status"]["code"] == 2]
    about = plain(failed["attributes"])
    assert (about["error.type"], about["peakbench.error.kind"], failed["status"]["message"]) == (
        "500",
        "server_error",
        "server_error",
    )
    assert failed["events"] == []


def test_scores_are_evaluation_events(run: pb.Run, spans: list[dict[str, Any]]) -> None:
    rows = {(row["sample_id"], row["repeat"]): row for row in run.rows()}
    for span in spans[:-1]:
        about = plain(span["attributes"])
        row = rows[about["peakbench.sample.id"], about["peakbench.repeat"]]
        expected = {name: one["value"] for name, one in row["metrics"].items() if one["value"] is not None}
        expected |= {f"field.{name}": one["score"] for name, one in row["fields"].items()}
        events = [plain(event["attributes"]) for event in span["events"]]
        assert {event["name"] for event in span["events"]} <= {"gen_ai.evaluation.result"}
        found = {one["gen_ai.evaluation.name"]: one["gen_ai.evaluation.score.value"] for one in events}
        assert found == expected


def test_contents_are_messages_in_parts(run: pb.Run, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    export(run, tmp_path / "s.otlp.jsonl", contents=True)
    found = [plain(span["attributes"]) for span in spans_of(tmp_path / "s.otlp.jsonl")]
    good = next(one for one in found if one.get("peakbench.state") == "strict")
    (user,) = json.loads(good["gen_ai.input.messages"])
    image, text = user["parts"]
    sha256 = next(run.samples()).images[0].sha256
    assert image["type"] == "uri"
    assert f"sha256:{sha256}" in {
        part["uri"]
        for one in found[:-1]
        for part in json.loads(one["gen_ai.input.messages"])[0]["parts"]
        if part["type"] == "uri"
    }
    assert text == {"type": "text", "content": run.task.prompt.user}
    (said,) = json.loads(good["gen_ai.output.messages"])
    assert said["finish_reason"] == "stop"
    assert said["parts"][-1] == {"type": "text", "content": json.dumps(GOOD)}


def test_the_same_run_gives_the_same_spans(run: pb.Run, spans: list[dict[str, Any]], tmp_path: Path) -> None:
    export(run, tmp_path / "again.otlp.jsonl")
    assert spans_of(tmp_path / "again.otlp.jsonl") == spans


def test_a_file_is_what_the_protocol_reads(run: pb.Run, tmp_path: Path) -> None:
    """The oracle is OTLP's own message: its JSON reader takes every line, and knows every field in it."""
    pytest.importorskip("opentelemetry.sdk")
    messages = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    json_format = pytest.importorskip("google.protobuf.json_format")
    export(run, tmp_path / "s.otlp.jsonl", contents=True)
    for line in (tmp_path / "s.otlp.jsonl").read_text().splitlines():
        # OTLP writes ids as hexadecimal where protobuf's JSON has base64; either alphabet takes these
        message = json_format.Parse(line, messages.ExportTraceServiceRequest())
        assert len(message.resource_spans[0].scope_spans[0].spans) == 13


@pytest.fixture
def collector() -> Iterator[tuple[str, list[Any]]]:
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(400 if self.path == "/refuses" else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_spans_are_sent(run: pb.Run, collector: tuple[str, list[Any]]) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter", reason="needs the OTLP exporter")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    url, received = collector
    assert export(run, f"otlp:{url}/v1/traces") == f"13 spans sent to {url}/v1/traces"
    message = ExportTraceServiceRequest.FromString(received[0])
    spans = message.resource_spans[0].scope_spans[0].spans
    assert len(spans) == 13
    assert {span.name for span in spans} == {"chat m=<b>", "evaluate garment"}
    with pytest.raises(InputError, match="did not take the spans"):
        export(run, f"otlp:{url}/refuses")


def test_without_the_extra_the_install_command_is_named(
    run: pb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(MissingDependency, match="opentelemetry-sdk") as caught:
        export(run, tmp_path / "s.otlp.jsonl")
    assert "peakbench[otel]" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# Destinations and the command


def test_a_plugin_adds_a_destination(run: pb.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from peakbench import builtins
    from peakbench.plugins import Loaded, Offers

    seen: list[Export] = []
    added = Destination("board", lambda export: seen.append(export) or "done", (".board",))
    plugins = builtins.open_plugins()
    plugins.loaded.append(Loaded("p", "p", "1", Offers(destinations=(added, Destination("csv", lambda export: "no")))))
    monkeypatch.setattr("peakbench.api.exports.open_plugins", lambda: plugins)
    assert export(run, "board:a:b") == "done"
    assert export(run, "x.board") == "done"
    assert [(one.target, one.contents) for one in seen] == [("a:b", False), ("x.board", False)]
    assert destinations()["csv"] is not plugins.loaded[-1].offers.destinations[1]  # what ships is not replaced


def test_the_command(run: pb.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [str(tmp_path / name) for name in ("answers.csv", "summary.jsonl")]
    assert main(["export", str(run.path), "--to", targets[0], "--to", targets[1], "--no-contents", "--json"]) == 0
    out, error = capsys.readouterr()
    assert [one["to"] for one in json.loads(out)["exported"]] == targets
    assert "12 answers written" in error
    assert "color.answer" not in read_csv(tmp_path / "answers.csv")[0]
    assert main(["export", "--list"]) == 0
    assert ".parquet" in capsys.readouterr().out
    assert main(["export", str(run.path)]) == 2
    assert main(["export", str(run.path), "--to", "a.xlsx"]) == 2
