"""A run in words, figures as places on a line, and pieces of a page, against hand-worked ones."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.analysis.comparison.changes import Change
from peakbench.report.html.figures import change_spans, outcome_stacks, score_spans, ticks
from peakbench.report.html.page import embedded_json, policy, slug
from peakbench.report.html.timeline import timeline
from peakbench.report.html.writing import verdict

# ---- words --------------------------------------------------------------------------------------------------------


def summary(**more: Any) -> dict[str, Any]:
    entry = {
        "value": 0.8,
        "low": 0.7,
        "high": 0.9,
        "n": 100,
        "floor": {"all_null": 0.4, "majority": 0.6},
        "skill": 0.5,
        "skill_low": 0.25,
        "skill_high": 0.75,
        "with_failures": {"low": 0.78, "high": 0.82},
    }
    samples = {"total": 100, "answers": 100, "failed": 0, "strict": 100}
    samples |= more.pop("samples", {})
    return {
        "run": {"model": "m", **more.pop("run", {})},
        "samples": samples,
        "metrics": {"weighted_score": {**entry, **more}},
        "fields": {},
    }


def test_a_good_run_in_words() -> None:
    made = verdict(summary())
    assert made.lead == (
        "m scores 80.0 % on weighted_score (95 % interval 70.0 to 90.0 %, 100 samples). That is 50.0 % (25.0 to 75.0 "
        "%) of the way from the best answer without a model (always the most frequent values, 60.0 %) to a perfect "
        "one.",
    )
    assert made.doubts == ()
    assert made.trust == "Nothing was lost: every sample was asked, answered and read."


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"skill": -0.1}, "That is no better than the best answer without a model"),
        ({"skill": 0.0}, "That is no better than the best answer without a model"),
        ({"skill": 0.1, "skill_low": -0.05}, "That is not clearly better than the best answer without a model"),
        ({"skill": None, "skill_reason": "the floor is the best value already"}, "The floor is the best value already"),
        ({"low": None, "high": None}, "(100 samples, no interval)"),
    ],
)
def test_how_good(more: dict[str, Any], words: str) -> None:
    assert words in verdict(summary(**more)).lead[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"samples": {"failed": 4}},
            "4 of 100 requests failed and are not scored; read as the worst and as the best, weighted_score is 78.0 to "
            "82.0 %.",
        ),
        ({"samples": {"unasked": 1}}, "1 request not sent yet: the run is not finished."),
        (
            {"samples": {"unparseable": 2, "off_schema": 1}},
            "3 of 100 answers cannot be read as what was asked for; they score as the worst.",
        ),
        ({"samples": {"truncated": 5}}, "5 answers cut off at the token limit."),
        ({"samples": {"repaired": 1}}, "1 answer read only after a repair."),
        ({"samples": {"total": 29}}, "Only 29 samples: small differences to other runs mean nothing."),
        (
            {"unreliable": "fewer than 10 imperfect samples (3)"},
            "The interval of weighted_score is unreliable: fewer than 10 imperfect samples (3).",
        ),
        (
            {"skill": None, "skill_reason": "the floor is the best value already"},
            "weighted_score says nothing here: an answer without a model scores the best value on it too.",
        ),
    ],
)
def test_what_to_distrust(more: dict[str, Any], words: str) -> None:
    made = verdict(summary(**more))
    assert words in made.doubts
    assert made.trust == ""


def test_published_profile_is_the_first_doubt() -> None:
    doubts = verdict(summary(run={"profile": "published-2026"}, samples={"failed": 1})).doubts
    assert doubts[0].startswith("Scored under the profile published-2026, for comparison with published numbers only")


def test_fields_in_words() -> None:
    made = summary()
    made["fields"] = {
        "type": {"score": 0.9, "wrong": 10},
        "color": {"score": 0.5, "wrong": 40, "invented": 10},
        "size": {"score": 0.9, "omitted": 10},
    }
    assert verdict(made).lead[1:] == (
        "The weakest field is color (50.0 %); the best: type and size (90.0 %).",
        "Of 70 mistakes in fields, 40 are a wrong value in color.",
    )


# ---- figures ------------------------------------------------------------------------------------------------------


def test_a_score_stands_where_it_is() -> None:
    figure = score_spans(
        [
            (
                "x",
                {
                    "value": 0.8,
                    "low": 0.7,
                    "high": 0.9,
                    "floor": {"majority": 0.6},
                    "with_failures": {"low": 0.5, "high": 1},
                },
            )
        ],
        failed=True,
    )
    (row,) = figure.rows
    assert (row.place, row.low, row.high, row.floor, row.possible) == (0.8, 0.7, 0.9, 0.6, (0.5, 1))
    assert (row.numbers, row.aside) == ("80.0 %", "95 %: 70.0-90.0")
    assert [(one.place, one.label) for one in figure.ticks] == [
        (0.0, "0"), (0.2, "20"), (0.4, "40"), (0.6, "60"), (0.8, "80"), (1.0, "100"),
    ]  # fmt: skip


def test_changes_share_one_axis_and_say_what_is_clear() -> None:
    def change(name: str, **more: Any) -> Change:
        return Change(name=name, kind="metric", first=0.5, second=0.5, better=3, worse=1, n=10, **more)

    figure = change_spans(
        [
            change("up", value=0.2, low=0.1, high=0.3, p=0.001, p_holm=0.004),
            change("loud", value=0.2, low=0.1, high=0.3, p=0.001, p_holm=0.004, higher_is_better=False),
            change("unsure", value=-0.1, low=-0.3, high=0.1, p=0.04, p_holm=0.12),
            change("none", reason="not scored"),
        ]
    )
    assert figure is not None
    assert [(row.name, row.tone) for row in figure.rows] == [
        ("up", "better"), ("loud (low is good)", "worse"), ("unsure", "unclear"),
    ]  # fmt: skip
    # from -0.3 to 0.3 and 6 % of 0.6 more on each side: 0 is in the middle
    width = 0.6 * 1.12
    assert figure.zero == pytest.approx(0.5)
    assert figure.rows[0].place == pytest.approx(0.5 + 0.2 / width)
    assert figure.rows[2].low == pytest.approx(0.5 - 0.3 / width)
    assert figure.rows[2].aside == "not clear, p 0.040, Holm 0.120"
    zero = [one for one in figure.ticks if one.label == "0"]
    assert [one.place for one in zero] == [pytest.approx(figure.zero)]


def test_a_bar_holds_all_answers() -> None:
    figure = outcome_stacks({"color": {"score": 0.5, "correct": 40, "correct_null": 10, "wrong": 47, "invented": 3}})
    (row,) = figure.rows
    assert [(one.kind, one.share, one.label) for one in row.parts] == [
        ("correct", 0.4, "40"), ("correct_null", 0.1, "10"), ("wrong", 0.47, "47"), ("invented", 0.03, ""),
    ]  # fmt: skip
    assert sum(one.share for one in row.parts) == pytest.approx(1)
    assert [kind for kind, _ in figure.key] == ["o-correct", "o-correct_null", "o-wrong", "o-invented"]


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_stand_where_they_say(low: float, span: float) -> None:
    made = ticks(low, low + span)
    assert len(made) <= 7
    for one in made:
        value = float(one.label.replace(",", ""))
        assert -1e-6 <= one.place <= 1 + 1e-6
        assert low + one.place * span == pytest.approx(value, abs=span * 0.02 + 1e-5 * abs(value))


def journal(folder: Path, lines: Sequence[tuple[float, float | None]]) -> Any:
    """A run whose journal holds answers by when they began and how long they took; None: it failed."""
    folder.mkdir()
    (folder / "responses.jsonl").write_text(
        "".join(
            json.dumps(
                {"sample_id": str(n), "started_at": began, "latency_s": took, "error": None if took else {"kind": "x"}}
            )
            + "\n"
            for n, (began, took) in enumerate(lines)
        )
    )
    return SimpleNamespace(path=folder)


def test_time_without_asking_is_left_out(tmp_path: Path) -> None:
    # ten answers of 1 s back to back, an hour's pause, ten more, the first of them after a failure
    first = [(1000.0 + at, 1.0) for at in range(10)]
    second = [(4610.0, None), *((4611.0 + at, 1.0) for at in range(10))]
    found = timeline(journal(tmp_path / "r", [*first, *second]))
    assert found is not None
    assert found.seconds == pytest.approx(21.0)  # 10 s, then 11 s
    assert found.pauses == [pytest.approx(10 / 21)]
    assert found.failed == [pytest.approx(10 / 21, abs=0.001)]
    assert found.answers == 20
    assert found.mean_rate == pytest.approx(20 / 21)
    assert found.median == 1.0
    # the columns hold every answer: their areas are counts
    high = max(height for _, _, height in found.columns)
    assert high == 1.0
    bins = round(1 / found.columns[0][1])
    heights = {round(x * bins): height for x, _, height in found.columns}
    most = 20 / sum(heights.values())
    assert [round(height * most, 6) for height in heights.values()] == [
        round(height * most) for height in heights.values()
    ]


def test_no_timings_no_figure(tmp_path: Path) -> None:
    assert timeline(journal(tmp_path / "r", [(1.0, None), (2.0, 0.5)])) is None


# ---- pieces of the page -------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_embedded_json_is_the_same_value_and_no_markup(value: Any) -> None:
    text = str(embedded_json(value))
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)
    text.encode("utf-8")


def test_the_policy_of_a_page_without_scripts_runs_none() -> None:
    assert policy([]).endswith("script-src 'none'")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=8), max_size=8))
def test_names_in_links_are_all_different(texts: list[str]) -> None:
    taken: set[str] = set()
    made = [slug(text, taken) for text in texts]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[a-z0-9-]+", one) for one in made)
