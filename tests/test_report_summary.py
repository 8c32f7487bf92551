from __future__ import annotations

import io
import re
import time
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.records import Completion, Failure, Prediction, Problem, Response
from peakbench.report.progress import Progress, State, progress_line, trouble_line
from peakbench.report.sample import sample_page
from peakbench.report.summary import summary_page
from peakbench.report.tables import Lines, Page, Table, neutral, percent, quantity
from peakbench.runner import Ended, Finished, Paused, Resumed, Retrying, Started, Tally
from peakbench.tasks import Task

HOSTILE = "\x1b]0;owned\x07\x1b[2Jred\r\n\u202etxt\u2028[bold red]x[/] | `a` <script>\ud800\x9b31m\x7f"
TASK = Task.model_validate({"id": "shirt", "prompt": {"user": "?"}, "fields": {"color": {}, "size": {}}})


def metric(**changes: Any) -> dict[str, Any]:
    return {
        "value": 0.91,
        "low": 0.89,
        "high": 0.93,
        "method": "bca",
        "n": 98,
        "unscored": 0,
        "reason": None,
        "unreliable": None,
        "floor": {"unparseable": 0.0, "all_null": 0.45, "majority": 0.54, "vocabulary": 0.44},
        "skill": 0.804,
        "with_failures": {"low": 0.892, "high": 0.912},
        "unit": "",
        "higher_is_better": True,
    } | changes


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "run": {
            "model": "qwen",
            "data": {"name": "photos"},
            "task": {"id": "garment", "version": 1},
            "endpoint": {"url": "http://127.0.0.1:8000/v1", "provider": None},
            "repeats": 1,
        },
        "samples": {
            "total": 100, "answers": 100, "failed": 0, "strict": 92, "extracted": 6, "unparseable": 1, "off_schema": 1,
        },
        "metrics": {"structured_match": metric()},
        "fields": {
            "type": {
                "score": 0.95, "low": 0.9, "high": 0.98, "weight": 2.5, "n": 98, "unreliable": None,
                "floor": {"unparseable": 0.0, "all_null": 0.3, "majority": 0.4, "vocabulary": 0.1}, "skill": 0.9167,
                "with_failures": {"low": 0.931, "high": 0.951},
                "correct": 60, "correct_null": 30, "wrong": 3, "invented": 2, "omitted": 1, "unread": 2,
            },
        },
        "slices": {},
        "performance": {
            "workers": 8, "wall_s": 12.34, "samples_per_s": 8.1, "latency_s": {"p50": 0.0432, "p90": 0.3, "p99": 1.2},
            "tokens": {"prompt": 120000, "completion": 6400, "per_s": 518.6, "n": 98},
        },
    } | changes  # fmt: skip


def row(text: str, name: str) -> list[str]:
    return next(re.split(r"  +", line.strip()) for line in text.splitlines() if line.strip().startswith(name))


@pytest.mark.parametrize(
    ("structured", "metrics", "counted"),
    [
        ("off", {}, None),
        ("json_object", {}, "8 whole answers"),  # 92 of 100 are strict
        ("json_schema", {"schema_valid_rate": metric(value=0.99, n=100)}, "1 whole answer"),
        ("json_schema", {"schema_valid_rate": metric(value=1.0, n=100)}, None),
    ],
)
def test_guided_decoding_that_was_not_honoured_is_said(structured, metrics, counted):
    asked = summary(metrics=metrics)
    asked["run"]["sampling"] = {"structured": structured}
    text = summary_page(asked).text()
    assert ("the server may have ignored it" in text) == (counted is not None)
    assert counted is None or f"({structured}) was asked for, and {counted} " in text
    # an answer that was cut off cannot be held against the server
    asked["samples"]["truncated"] = 8
    assert "ignored" not in summary_page(asked).text()


def test_the_whole_page_as_plain_text():
    assert summary_page(summary(), path="runs/qwen").text() == (
        "qwen on photos\n"
        "100 samples, task garment v1\n"
        "endpoint http://127.0.0.1:8000/v1\n"
        "run runs/qwen\n"
        "\n"
        "Metrics, %\n"
        "  metric            score       95 %  floor          skill   n\n"
        "  structured_match   91.0  89.0-93.0  54.0 majority   80.4  98\n"
        "\n"
        "Fields, %\n"
        "  field  weight  score       95 %  floor          skill\n"
        "  type      2.5   95.0  90.0-98.0  40.0 majority   91.7\n"
        "\n"
        "Fields, answers\n"
        "  field  correct  null ok  wrong  invented  omitted  unread\n"
        "  type        60       30      3         2        1       2\n"
        "\n"
        "Answers\n"
        "  92 strict, 6 extracted, 1 off-schema, 1 unparseable\n"
        "\n"
        "Speed\n"
        "  latency p50 0.0432 s, p90 0.300 s, p99 1.20 s\n"
        "  throughput 8.10 samples/s at 8 workers, 12.3 s in all\n"
        "  tokens 120,000 prompt, 6,400 completion, 519 a second\n"
    )


def test_a_metric_without_a_value_is_a_dash_with_its_reason_and_never_a_zero():
    nothing = dict.fromkeys(("value", "low", "high", "skill")) | {
        "n": 0,
        "unscored": 98,
        "floor": {},
        "with_failures": {},
    }
    text = summary_page(summary(metrics={"quality": metric(**nothing, reason="sbert is missing")})).text()
    assert row(text, "quality") == ["quality", "-", "-", "-", "-", "0"]
    assert "quality unscored: sbert is missing" in text
    assert "0.0" not in text.split("Fields")[0].split("Metrics")[1]


def test_answers_that_a_metric_leaves_out_are_counted_beside_its_value():
    text = summary_page(summary(metrics={"bleu": metric(n=90, unscored=8, reason="no field to score")})).text()
    assert row(text, "bleu")[-2:] == ["90", "8"]
    assert "bleu: 8 answers unscored: no field to score" in text


def test_one_reason_is_given_once_for_the_metrics_that_stand_on_each_other():
    missing = {"value": None, "unscored": 98, "unit": ""}
    found = {
        "sbert": metric(**missing, reason="no encoder"),
        "quality": metric(**missing, reason="sbert is unscored: no encoder"),
    }
    assert "  sbert, quality unscored: no encoder\n" in summary_page(summary(metrics=found)).text()


def test_a_zero_is_a_zero():
    text = summary_page(summary(metrics={"structured_match": metric(value=0.0, low=0.0, high=0.0)})).text()
    assert row(text, "structured_match")[1:3] == ["0.0", "0.0-0.0"]


def test_failures_are_counted_by_kind_with_the_range_of_every_score_and_the_command():
    samples = {"total": 100, "answers": 100, "failed": 2, "strict": 98, "unasked": 1, "failures": {"timeout": 2}}
    text = summary_page(summary(samples=samples), resume="peakbench run --resume --out runs/qwen").text()
    assert row(text, "structured_match")[3] == "89.2-91.2"
    assert "2 failed, not scored: 2 timeout" in text
    assert "1 not asked yet" in text
    assert "3 requests without an answer; ask again: peakbench run --resume --out runs/qwen" in text


def test_an_unreliable_interval_is_marked_and_explained_once():
    doubtful = metric(unreliable="fewer than 100 samples (24)")
    text = summary_page(summary(metrics={"structured_match": doubtful, "bleu": doubtful, "chrf": metric()})).text()
    assert row(text, "structured_match")[1] == "91.0*"
    assert row(text, "chrf")[1] == "91.0"
    assert text.count("* interval unreliable: fewer than 100 samples\n") == 1


def test_the_floor_of_a_metric_where_low_is_good_is_the_lowest():
    entry = metric(higher_is_better=False, floor={"all_null": 0.3, "majority": 0.5})
    assert row(summary_page(summary(metrics={"hallucination": entry})).text(), "hallucination")[3] == "30.0 all_null"


def test_a_slice_with_many_values_is_cut_and_says_so():
    values = {f"v{n:02}": {"n": 3, "metrics": {"bleu": {"value": 0.5, "unreliable": "few (3)"}}} for n in range(40)}
    text = summary_page(summary(slices={"shop": values})).text()
    assert "By shop, %" in text
    assert row(text, "v00") == ["v00", "3", "50.0*", "-", "-", "-"]
    assert "... and 10 more" in text
    assert "v30" not in text


def test_a_table_of_slices_has_the_metrics_that_matter_most_and_says_where_all_are():
    names = [
        "structured_match",
        "field_match_rate",
        "weighted_score",
        "valued_f1",
        "bleu",
        "quality",
        "quality_lexical",
    ]
    entries: dict[str, dict[str, Any]] = {name: {"value": 0.5} for name in [*names, "json_parse_rate"]}

    def columns(entries: dict[str, dict[str, Any]]) -> list[str]:
        text = summary_page(summary(slices={"shop": {"north": {"n": 3, "metrics": entries}}})).text()
        title, head = text.split("\n\n")[4].splitlines()[:2]
        assert title.startswith("By shop, %")
        head = re.split(r"  +", head.strip())
        cut = f"({len(head) - 5} of {len(entries)} metrics; all are in summary.json)"
        assert (cut in title) == (len(entries) > 5)
        return head

    worth = ["95 %", "floor", "skill"]
    others = ["structured_match", "valued_f1"]
    assert columns(entries) == ["shop", "n", "quality", *worth, "weighted_score", *others]
    entries["quality"] = {"value": None}
    assert columns(entries) == ["shop", "n", "weighted_score", *worth, *others, "quality_lexical"]
    few = {name: {"value": 0.5} for name in ("rouge_l", "chrf", "bleu", "levenshtein", "quality")}
    assert columns(few) == ["shop", "n", "quality", *worth, "rouge_l", "chrf", "bleu", "levenshtein"]


def slice_entry(score: float, **changes: Any) -> dict[str, Any]:
    field = {"score": score, "floor": {"all_null": 0.2}, "skill": (score - 0.2) / 0.8}
    entries = {"hallucination": metric(value=score, floor={"all_null": 0.3, "majority": 0.5}, skill=0.25)}
    return {"n": 120, "failed": 0, "metrics": entries, "fields": {"type": field, "color": field}} | changes


def test_a_table_of_slices_says_what_its_first_metric_is_worth_and_no_table_is_wider_than_a_screen():
    low = metric(higher_is_better=False)
    shops = {"north": slice_entry(0.4), "south": slice_entry(0.6)}
    text = summary_page(summary(metrics={"hallucination": low}, slices={"shop": shops})).text()
    # where low is good the lowest floor counts, in a slice as in the run
    assert row(text, "north") == ["north", "120", "40.0", "89.0-93.0", "30.0 all_null", "25.0"]
    fields = text.split("Fields by shop, %: score (skill)\n")[1]
    assert row(fields, "north") == ["north", "40.0 (25.0)", "40.0 (25.0)"]
    shops["south"]["failed"] = 3
    text = summary_page(summary(metrics={"hallucination": low}, slices={"shop": shops})).text()
    assert row(text, "south")[4] == "89.2-91.2"


@pytest.mark.parametrize(
    ("slices", "fields", "title", "first"),
    [
        (2, 3, "Fields by shop, %: score (skill)", ["shop", "field 0", "field 1", "field 2"]),
        (4, 9, "Fields by shop, %: score (skill)", ["field", "shop 0", "shop 1", "shop 2", "shop 3"]),
        (9, 9, "Fields by shop, % (skill is in summary.json)", ["shop", *(f"field {n}" for n in range(9))]),
        (20, 20, None, []),
    ],
)
def test_fields_by_slice_are_turned_and_shortened_until_they_fit(slices, fields, title, first):
    found = {f"field {n}": slice_entry(0.5)["fields"]["type"] for n in range(fields)}
    shops = {f"shop {n}": slice_entry(0.5, fields=found) for n in range(slices)}
    text = summary_page(summary(slices={"shop": shops})).text()
    assert max(map(len, text.splitlines())) <= 100
    if title is None:
        assert "Fields by" not in text
    else:
        assert re.split(r"  +", text.split(f"{title}\n")[1].splitlines()[0].strip()) == first


def test_fields_have_the_range_with_the_failures_where_requests_failed():
    failed = summary()
    failed["samples"] |= {"failed": 2}
    text = summary_page(failed).text()
    assert row(text.split("Fields, %")[1], "type")[4] == "93.1-95.1"


def test_a_profile_is_named_and_explained():
    published = summary()
    assert "profile" not in summary_page(published).text()
    published["run"]["profile"] = "published-2026"
    text = summary_page(published).text()
    assert "\nprofile published-2026\n" in text
    assert (
        "profile published-2026: for comparison with published numbers only; "
        "2 answers that cannot be read are scored as all null\n"
    ) in text


def test_slices_without_any_value_have_no_table():
    empty = {"shop": {"north": {"n": 3, "metrics": {"bleu": {"value": None}}}}}
    text = summary_page(summary(slices=empty)).text()
    assert "By shop" not in text
    assert "no slices by it" not in text
    text = summary_page(summary(slices={"shop": {}})).text()
    assert "no sample that was asked has shop in its metadata: no slices by it\n" in text


def test_the_endpoint_of_a_provider_is_its_name():
    run = summary()["run"] | {"endpoint": {"url": "http://127.0.0.1:45223/v1", "provider": "recorded"}}
    text = summary_page(summary(run=run)).text()
    assert "endpoint recorded\n" in text
    assert "45223" not in text


def test_timings_stand_under_speed_and_not_among_the_scores():
    found = {"structured_match": metric(), "ttft": metric(unit="s", value=None, reason="the answers were not streamed")}
    text = summary_page(summary(metrics=found)).text()
    assert "  ttft: the answers were not streamed\n" in text
    assert "ttft" not in text.split("Fields")[0]


@pytest.mark.parametrize("form", ["plain", "terminal", "markdown"])
def test_nothing_that_a_terminal_obeys_gets_through(form):
    run = {"model": HOSTILE, "data": {"name": HOSTILE}, "task": {"id": "t"}, "endpoint": {"provider": HOSTILE}}
    found = metric(reason=HOSTILE, value=None, unreliable=HOSTILE)
    fields = {HOSTILE: summary()["fields"]["type"]}
    slices = {HOSTILE: {HOSTILE: {"n": 1, "metrics": {HOSTILE: {"value": 1.0}}}}}
    hostile = summary(run=run, metrics={HOSTILE: found}, fields=fields, slices=slices, notes=[HOSTILE])
    page = summary_page(hostile, path=HOSTILE)
    out = io.StringIO()
    page.write(out, form)
    letters = set(out.getvalue())
    assert not {letter for letter in letters if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} - {"\n"}
    if form != "markdown":
        assert "[bold red]x[/]" in out.getvalue()  # shown as it is: no markup was read
    else:
        assert "\\[bold red\\]" in out.getvalue()
        assert "<script>" not in out.getvalue().replace("\\<", "")
        lines = [line for line in out.getvalue().splitlines() if line.startswith("| ")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines[:3]}) <= 2


def test_a_terminal_gets_the_plain_layout_with_styles_and_none_where_no_color_is_set(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    styled = Terminal()
    summary_page(summary(metrics={"a": metric(value=None, reason="why")})).write(styled, "terminal")
    assert "\x1b[33m" in styled.getvalue()
    assert (
        re.sub(r"\x1b\[[0-9;]*m", "", styled.getvalue())
        == summary_page(summary(metrics={"a": metric(value=None, reason="why")})).text()
    )
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    summary_page(summary(metrics={"a": metric(value=None, reason="why")})).write(plain, "terminal")
    assert "\x1b[33m" not in plain.getvalue()


def test_a_narrow_terminal_loses_no_digit(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    summary_page(summary()).write(out, "terminal")
    assert row(out.getvalue(), "structured_match")[1:] == ["91.0", "89.0-93.0", "54.0 majority", "80.4", "98"]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.none() | st.integers(0, 50))
def test_neutral_text_holds_no_control_character_and_loses_no_other(text, limit):
    shown = neutral(text, limit=limit)
    assert all(unicodedata.category(letter) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in shown)
    if limit is None and text.isprintable():
        assert shown == text


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1))
def test_rounding_never_makes_a_whole_of_a_part_nor_nothing_of_something(value):
    shown = percent(value)
    assert (shown == "100.0") == (value == 1)
    assert (shown == "0.0") == (value == 0)


def test_quantities_have_three_digits():
    assert [quantity(value) for value in (0.0012345, 1.5, 999.4, 12345, float("nan"), None)] == [
        "0.00123",
        "1.50",
        "999",
        "12,345",
        "-",
        "-",
    ]


def test_wide_letters_keep_the_columns_straight():
    page = Page([Table(["name", "n"], [["\u8272", "1"], ["color", "22"]])])
    assert page.text() == "name    n\n\u8272      1\ncolor  22\n"


def test_an_empty_block_is_left_out():
    page = Page()
    page.add(Lines([], "Nothing"))
    page.add(Table(["a"], []))
    page.add(None)
    assert page.blocks == []


def view(completion: Completion, prediction: Prediction, scores: list[dict[str, Any]]) -> Any:
    image = SimpleNamespace(path="a.jpg", url=None, bytes=1234, media_type="image/jpeg", label="front")
    record = SimpleNamespace(
        id="p1", images=(image,), metadata={"shop": HOSTILE}, prompt=None, reference={"color": "red", "size": None}
    )
    return SimpleNamespace(record=record, completions=(completion,), predictions=(prediction,), scores=scores)


def test_a_sample_shows_reference_answer_outcome_and_how_it_was_read():
    completion = Completion(
        "p1",
        0,
        Response("x" * 5000 + HOSTILE, latency_s=0.25, ttft_s=0.1, finish_reason="stop"),
        started_at=1.0,
        attempts=3,
    )
    prediction = Prediction(
        "p1",
        0,
        "extracted",
        {"color": HOSTILE, "size": ["m"]},
        Problem("text_around", 7, "before it"),
        extra=("brand",),
    )
    scores = [
        {
            "sample_id": "p1",
            "repeat": 0,
            "metrics": {"bleu": {"value": 0.25, "reason": None}, "sbert": {"value": None, "reason": "no encoder"}},
            "fields": {"color": {"score": 0.5, "outcome": "wrong"}, "size": {"score": 0.0, "outcome": "invented"}},
        }
    ]
    text = sample_page(view(completion, prediction, scores), TASK).text()
    assert "image front: a.jpg (image/jpeg, 1,234 bytes)" in text
    assert "extracted: text_around at character 7 (before it)" in text
    assert "unknown keys: brand" in text
    assert "0.250 s, first token 0.100 s, finish reason stop" in text
    assert "3 attempts" in text
    assert row(text, "size") == ["size", "null", '["m"]', "invented", "0.0"]
    assert row(text, "bleu") == ["bleu", "0.2500"]
    assert row(text, "sbert") == ["sbert", "-", "no encoder"]
    assert "more)" in text
    assert len(text) < 5000
    assert not {letter for letter in text if unicodedata.category(letter) in {"Cc", "Cf", "Cs"}} - {"\n"}


def test_a_failed_sample_shows_the_failure_and_no_zero():
    completion = Completion("p1", 0, None, Failure("server_error", "boom", 503), attempts=6)
    text = sample_page(view(completion, Prediction("p1", 0, "failed"), []), TASK).text()
    assert "failed: server_error 503: boom" in text
    assert row(text, "color") == ["color", "red", "-", "not scored", "-"]


def finished(failure: Failure | None = None) -> Finished:
    return Finished(Completion("p", 0, None if failure else Response("{}"), failure))


def test_the_progress_line_counts_failures_retries_and_names_a_pause():
    state = State()
    assert progress_line(state, 0.0) == "reading the data set"
    state.take(Started(4, 2))
    state.began = 0.0
    limited = Failure("rate_limited", "slow down", 429)
    for event in (
        finished(),
        finished(Failure("timeout", "late")),
        Retrying("p", 0, limited, 1.0, 1),
        Paused(1012.0, limited),
    ):
        state.take(event)
    assert progress_line(state, 1.0, score=0.5) == "2/4  50 %  2/s  1 s left  weighted 50.0 %"
    assert trouble_line(state, 1000.0) == "1 failed (1 timeout)  1 retry  paused 12 s: the server asked for it (429)"
    state.take(Resumed())
    assert trouble_line(state, 1000.0) == "1 failed (1 timeout)  1 retry"
    state.take(Ended(Tally()))
    assert progress_line(state, 1.0) == "2/4  50 %  scoring"


def test_on_a_terminal_progress_is_one_live_line_and_one_for_trouble_which_then_go_away(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    out = io.StringIO()
    limited = Failure("rate_limited", "slow down", 429)
    with Progress(file=out, terminal=True, refresh_s=0.005) as progress:
        progress(Started(4, 2))
        progress(finished())
        progress(Paused(time.time() + 60, limited))
        deadline = 400
        while "429" not in out.getvalue() and deadline:
            progress._stop.wait(0.01)
            deadline -= 1
    assert "1/4" in out.getvalue()
    assert "the server asked for it (429)" in out.getvalue()
    assert re.sub(r"\x1b\[[0-9]*[A-Z]", "", out.getvalue().splitlines()[-1]).startswith("1 answered in ")


def test_without_a_terminal_progress_is_plain_lines_now_and_then():
    out = io.StringIO()
    scored: list[int] = []

    def running(batch: list[Completion]) -> float:
        scored.append(len(batch))
        return 0.75

    with Progress(file=out, running=running, refresh_s=0.005, line_every_s=0.02) as progress:
        progress(Started(3, 1))
        for _ in range(3):
            progress(finished())
        deadline = 400
        while "weighted 75.0 %" not in out.getvalue() and deadline:
            progress._stop.wait(0.01)
            deadline -= 1
    assert sum(scored) == 3
    assert "3/3  100 %" in out.getvalue()
    assert "weighted 75.0 %" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().splitlines()[-1].startswith("3 answered in ")


def test_a_running_score_that_fails_goes_silent_and_ends_nothing():
    out = io.StringIO()

    def running(batch: list[Completion]) -> float:
        raise RuntimeError("a plugin's comparator")

    with Progress(file=out, running=running, refresh_s=0.005) as progress:
        progress(Started(1, 1))
        progress(finished())
        progress._stop.wait(0.05)
    assert "1 answered" in out.getvalue()
    assert "weighted" not in out.getvalue()


def test_what_a_metric_says_of_single_fields_stands_in_the_field_table():
    """1.8 over 2 answers is 90 %; 0.5 over 4 is 12.5 %; a field that a metric does not know has a dash."""
    shown = summary(
        metrics={
            "sbert": metric(beside={"cosine.type": {"sum": 1.8, "n": 2}}),
            "hallucination": metric(beside={"contradiction.type": {"sum": 0.5, "n": 4}, "cut": {"sum": 0, "n": 4}}),
        }
    )
    text = summary_page(shown).text()
    header = next(line for line in text.splitlines() if "weight" in line)
    assert re.split(r"  +", header.strip())[6:8] == ["sbert", "contradicted"]
    assert row(text, "type")[6:8] == ["90.0", "12.5"]
    assert "contradicted" not in summary_page(summary()).text()
