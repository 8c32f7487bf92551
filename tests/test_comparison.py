"""Two runs compared: numbers against scipy and hand-worked tables; what is refused; flips; the page and the command."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import peakbench as pb
from peakbench.analysis.comparison.changes import Change, changes, with_holm
from peakbench.analysis.comparison.flips import Flips, write_flips
from peakbench.analysis.comparison.pairing import pair
from peakbench.analysis.comparison.scoretable import FieldColumns, MetricColumns, Origin, ScoreTable, read_scores
from peakbench.api.comparisons import compare
from peakbench.cli.app import main
from peakbench.errors import ConfigError, InputError, NotComparable
from peakbench.records import OUTCOMES
from peakbench.report.comparison import comparison_page
from peakbench.store import RunDirectory

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "garment_photos"
PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TASK: dict[str, Any] = {
    "id": "shirt",
    "prompt": {"user": "Describe."},
    "fields": {"color": {}, "brand": {"comparator": {"kind": "fuzzy", "threshold": 0.5}, "weight": 3}},
}


def table(
    metrics: Mapping[str, Sequence[tuple[float, float]]],
    fields: Mapping[str, Sequence[int]] | None = None,
    *,
    path: str = "a",
    failed: Sequence[float] | None = None,
    pooled: Sequence[str] = (),
    lower: Sequence[str] = (),
    ids: Sequence[str] | None = None,
    signature: str = "v1",
) -> ScoreTable:
    """Make a table of (numerator, denominator) rows, and of outcomes by their place in OUTCOMES (-1: not asked)."""
    n = len(next(iter(metrics.values())))
    names = tuple(ids if ids is not None else (f"s{i}" for i in range(n)))

    def metric(name: str, rows: Sequence[tuple[float, float]]) -> MetricColumns:
        above, below = np.array(rows, dtype=float).reshape(-1, 2).T
        binary = name not in pooled and bool(np.isin(above, (0, 1)).all())
        reduction = "pooled" if name in pooled else "mean"
        return MetricColumns(f"{name}|{signature}", reduction, 0.0, 1.0, name not in lower, above, below, binary)

    def field(name: str, outcomes: Sequence[int]) -> FieldColumns:
        shares = np.zeros((n, len(OUTCOMES)))
        asked = np.array(outcomes) >= 0
        shares[np.flatnonzero(asked), np.array(outcomes)[asked]] = 1
        return FieldColumns(f"{name}|exact", 1.0, shares[:, 0] + shares[:, 1], asked.astype(float), shares)

    return ScoreTable(
        origin=Origin("m", path, "2026-01-01", "shirt", 1, "data", f"print of {names[0]}", n, f"journal of {path}"),
        ids=names,
        references=("",) * n,
        failed=np.array(failed if failed is not None else [0.0] * n, dtype=float),
        repeats=1,
        metrics={name: metric(name, rows) for name, rows in metrics.items()},
        fields={name: field(name, outcomes) for name, outcomes in (fields or {}).items()},
    )


def means(values: Sequence[float]) -> list[tuple[float, float]]:
    return [(value, 1.0) for value in values]


def only(found: list[Change]) -> Change:
    (change,) = found
    return change


# -- numbers -----------------------------------------------------------------------------------------------------------

FIRST = [0.9, 0.4, 0.7, 0.2, 0.5, 0.5, 0.8, 0.35]
SECOND = [0.8, 0.6, 0.9, 0.6, 0.5, 0.75, 1.0, 0.3]


def test_a_mean_by_hand_and_its_p_as_scipys() -> None:
    change = only(changes(pair(table({"m": means(FIRST)}), table({"m": means(SECOND)}, path="b"))))
    apart = np.array(SECOND) - np.array(FIRST)
    assert change.value == pytest.approx(apart.mean(), abs=1e-12)
    assert (change.first, change.second) == pytest.approx((np.mean(FIRST), np.mean(SECOND)))
    assert (change.better, change.worse, change.same, change.n) == (5, 2, 1, 8)
    assert change.spread == pytest.approx(apart.std(ddof=1))
    # (2.80 s_d / d)^2 with 1.959964 + 0.841621 for 2.80
    assert change.needed == np.ceil((2.801585 * apart.std(ddof=1) / apart.mean()) ** 2)
    expected = stats.permutation_test((np.array(SECOND), np.array(FIRST)), _mean_apart, permutation_type="samples")
    assert expected.null_distribution.size == 2**8
    assert change.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert change.test == "sign flips, exact"
    assert change.low is not None
    assert change.high is not None
    assert change.low < change.value < change.high
    assert change.unreliable == "fewer than 100 samples (8)"


def _mean_apart(one: Any, two: Any, axis: int = 0) -> Any:
    return np.mean(one, axis=axis) - np.mean(two, axis=axis)


def test_many_samples_are_exchanged_at_random_as_scipy_does() -> None:
    random = np.random.default_rng(1)
    first = random.random(120)
    second = np.clip(first + random.normal(0.04, 0.12, 120), 0, 1)
    change = only(changes(pair(table({"m": means(first)}), table({"m": means(second)}, path="b"))))
    expected = stats.permutation_test(
        (second, first),
        _mean_apart,
        permutation_type="samples",
        n_resamples=100_000,
        vectorized=True,
        random_state=2,
        batch=2000,
    )
    assert change.test == "sign flips"
    assert change.p is not None
    assert 0.01 < expected.pvalue < 0.5  # a p that could be wrong either way
    error = np.sqrt(expected.pvalue * (1 - expected.pvalue) / 10_000)
    assert change.p == pytest.approx(expected.pvalue, abs=4 * error)
    interval = stats.bootstrap(
        (second - first,), np.mean, n_resamples=20_000, method="BCa", random_state=3
    ).confidence_interval
    assert (change.low, change.high) == pytest.approx((interval.low, interval.high), abs=0.003)


def test_a_pooled_value_is_exchanged_whole_samples_at_a_time() -> None:
    """Every one of the 2^6 exchanges, written out: numerator and denominator of a sample change sides together."""
    first = [(2, 4), (4, 4), (0, 3), (2, 5), (6, 6), (1, 3)]
    second = [(4, 4), (4, 5), (2, 3), (2, 4), (6, 6), (3, 3)]
    change = only(changes(pair(table({"f": first}, pooled=["f"]), table({"f": second}, path="b", pooled=["f"]))))
    observed = 21 / 25 - 15 / 25
    assert change.value == pytest.approx(observed, abs=1e-12)
    extreme = 0
    for swaps in itertools.product((False, True), repeat=6):
        one = [b if swap else a for a, b, swap in zip(first, second, swaps, strict=True)]
        two = [a if swap else b for a, b, swap in zip(first, second, swaps, strict=True)]
        ratios = [sum(above for above, _ in side) / sum(below for _, below in side) for side in (one, two)]
        extreme += abs(ratios[1] - ratios[0]) >= observed - 1e-12
    assert change.p == pytest.approx(extreme / 64)


@pytest.mark.parametrize(
    ("row", "became", "counts"),
    [
        ((0, 0), (0, 2), (0, 12, 8)),  # nothing there to find, then two values invented
        ((0, 2), (0, 0), (12, 0, 8)),
        ((2, 4), (4, 8), (0, 12, 8)),  # as good by itself, but below the rest and heavier now
        ((2, 4), (2, 4), (0, 0, 20)),
    ],
)
def test_a_row_without_a_ratio_of_its_own_got_better_or_worse_all_the_same(
    row: tuple[float, float], became: tuple[float, float], counts: tuple[int, int, int]
) -> None:
    first, second = ([*[one] * 12, *[(6, 6)] * 8] for one in (row, became))
    both = pair(table({"f": first}, pooled=["f"]), table({"f": second}, path="b", pooled=["f"]))
    (change,) = with_holm(changes(both, resamples=500))
    assert (change.better, change.worse, change.same) == counts
    assert change.differs == (change.value != 0) == (change.p_holm is not None)


@pytest.mark.parametrize(("kind", "attribute"), [("ar", "p"), ("bs", "p_bootstrap")])
def test_a_pooled_values_p_is_sacrebleus(kind: str, attribute: str) -> None:
    """TER is edits over words of the reference, so two systems under sacrebleu's paired tests are two runs here.

    sacrebleu counts exchanges that go beyond what was seen, we those that reach it too: weights for the sentences leave
    no ties, and the two are one number.
    """
    from sacrebleu.metrics import TER
    from sacrebleu.significance import PairedTest

    random = np.random.default_rng(6)
    words = ["a", "red", "blue", "long", "short", "sleeve", "shirt", "shoe", "with", "zip", "and", "logo"]
    weights = random.uniform(0.5, 1.5, 150)

    class Weighted(TER):
        def _extract_corpus_statistics(self, hypotheses: Any, references: Any) -> Any:
            found = super()._extract_corpus_statistics(hypotheses, references)
            return [[weight * part for part in row] for row, weight in zip(found, weights, strict=True)]

    references = [" ".join(random.choice(words, size=random.integers(3, 12))) for _ in range(150)]

    def spoiled(share: float) -> list[str]:
        return [
            " ".join("x" if random.random() < share else word for word in reference.split()) for reference in references
        ]

    systems = [("a", spoiled(0.27)), ("b", spoiled(0.2))]
    metric = Weighted()
    tables = []
    for name, hypotheses in systems:
        rows = metric._extract_corpus_statistics(hypotheses, [references])
        tables.append(table({"ter": rows}, path=name, pooled=["ter"], lower=["ter"]))
    change = only(changes(pair(*tables), resamples=10_000))
    scores = PairedTest(systems, {"TER": metric}, [references], test_type=kind, n_samples=10_000)()[1]["TER"]
    assert change.first == pytest.approx(scores[0].score / 100)
    assert change.second == pytest.approx(scores[1].score / 100)
    expected = scores[1].p_value
    assert 0.005 < expected < 0.6
    error = np.sqrt(2 * expected * (1 - expected) / 10_000)
    assert getattr(change, attribute) == pytest.approx(expected, abs=4 * error)


def test_right_or_wrong_is_mcnemars() -> None:
    # 12 became right, 3 ceased to be, 85 stayed
    first = [0] * 12 + [1] * 3 + [1] * 60 + [0] * 25
    second = [1] * 12 + [0] * 3 + [1] * 60 + [0] * 25
    codes = {0: OUTCOMES.index("wrong"), 1: OUTCOMES.index("correct")}
    one = table({"valid": means(first)}, {"color": [codes[v] for v in first]})
    two = table({"valid": means(second)}, {"color": [codes[v] for v in second]}, path="b")
    for change in changes(pair(one, two)):
        assert change.test == "McNemar"
        assert (change.gained, change.lost, change.better, change.worse, change.same) == (12, 3, 12, 3, 85)
        assert change.p == pytest.approx(stats.binomtest(12, 15).pvalue, abs=1e-12)
        assert change.value == pytest.approx(0.09)


def test_a_metric_where_low_is_good_got_better_by_falling() -> None:
    one = table({"flips": means([1] * 9 + [0] * 11)}, lower=["flips"])
    two = table({"flips": means([0] * 9 + [0] * 11)}, path="b", lower=["flips"])
    change = only(changes(pair(one, two)))
    assert change.value == -0.45
    assert (change.better, change.worse, change.gained, change.lost) == (9, 0, 9, 0)
    assert change.oriented is not None
    assert change.oriented[0] == 0.45
    assert change.oriented[1] == -(change.high or 0)


def test_an_interval_ends_where_differences_do() -> None:
    one, two = table({"m": means([1] * 20)}), table({"m": means([0] * 19 + [0.5])}, path="b")
    change = only(changes(pair(one, two)))
    assert change.low is not None
    assert change.high is not None
    assert -1 <= change.low < -0.975 < change.high < 0


def test_holms_family_leaves_out_what_was_not_tested() -> None:
    """Holm by hand over 0.01, 0.04, 0.03: 0.03, 0.06 and 0.06; a metric in which nothing differs is outside."""
    found = [
        Change(name="a", kind="metric", value=0.1, p=0.01, better=3, worse=0),
        Change(name="nothing", kind="metric", value=0.0, p=1.0, better=0, worse=0),
        Change(name="b", kind="metric", value=0.1, p=0.04, better=3, worse=1),
        Change(name="none", kind="metric", reason="unscored"),
        Change(name="c", kind="metric", value=0.1, p=0.03, better=3, worse=1),
    ]
    assert [change.p_holm for change in with_holm(found)] == pytest.approx([0.03, None, 0.06, None, 0.06])


def test_failed_answers_do_not_count_and_are_bracketed() -> None:
    one = table({"m": [(1, 1), (0, 0), (0.5, 1), (0.5, 1)]}, {"c": [0, -1, 0, 2]}, failed=[0, 1, 0, 0])
    two = table({"m": [(1, 1), (1, 1), (0, 0), (1, 1)]}, {"c": [0, 0, -1, 0]}, path="b", failed=[0, 0, 1, 0])
    metric, field = changes(pair(one, two))
    assert (metric.n, metric.dropped, metric.value) == (2, 2, 0.25)
    # by hand: differences 0, 1 - [0, 1], [0, 1] - 0.5, 0.5 over four samples
    assert metric.with_failures == pytest.approx({"low": (0 + 0 - 0.5 + 0.5) / 4, "high": (0 + 1 + 0.5 + 0.5) / 4})
    assert (field.n, field.dropped, field.value) == (2, 2, 0.5)
    assert field.with_failures == pytest.approx({"low": (0 + 0 - 1 + 1) / 4, "high": (0 + 1 + 0 + 1) / 4})


def test_a_failed_answer_weighs_as_the_others_do_in_a_pooled_value() -> None:
    one = table({"f": [(2, 4), (0, 0), (1, 2)]}, failed=[0, 1, 0], pooled=["f"])
    two = table({"f": [(4, 4), (3, 3), (2, 2)]}, path="b", pooled=["f"])
    change = only(changes(pair(one, two)))
    assert change.value == 1 - 3 / 6
    # a failed answer is 0 or 3 of 3, three being the mean denominator of the answered: (3 + 0) / 9 to (3 + 3) / 9
    assert change.with_failures == pytest.approx({"low": 1 - 6 / 9, "high": 1 - 3 / 9})


def test_different_samples_are_two_draws_and_say_so() -> None:
    random = np.random.default_rng(4)
    first, second = random.random(40), np.clip(random.random(30) + 0.15, 0, 1)
    one = table({"m": means(first)}, ids=[f"x{i}" for i in range(40)])
    two = table({"m": means(second)}, path="b", ids=[f"y{i}" for i in range(30)])
    pairing = pair(one, two, how="unpaired")
    change = only(changes(pairing))
    expected = stats.permutation_test(
        (second, first),
        _mean_apart,
        permutation_type="independent",
        n_resamples=50_000,
        vectorized=True,
        random_state=2,
        batch=5000,
    )
    assert change.test == "labels exchanged"
    assert change.value == pytest.approx(second.mean() - first.mean())
    error = np.sqrt(expected.pvalue * (1 - expected.pvalue) / 10_000)
    assert change.p == pytest.approx(expected.pvalue, abs=5 * error + 1e-4)
    assert (change.better, change.worse, change.same, change.needed) == (None, None, None, None)
    assert "unpaired" in pairing.notes[0]


def test_very_many_samples_take_the_normal_road() -> None:
    random = np.random.default_rng(5)
    first = random.random(20_500)
    second = np.clip(first + random.normal(0.001, 0.1, 20_500), 0, 1)
    change = only(changes(pair(table({"m": means(first)}), table({"m": means(second)}, path="b")), resamples=100))
    apart = second - first
    error = apart.std(ddof=1) / np.sqrt(20_500)
    assert (change.method, change.test) == ("normal", "normal")
    assert change.low == pytest.approx(apart.mean() - 1.959964 * error, abs=1e-8)
    # under the hypothesis the mean is 0, so the squares are not centred
    expected = 2 * stats.norm.sf(abs(apart.sum()) / np.sqrt((apart**2).sum()))
    assert change.p == pytest.approx(expected, abs=1e-9)


def test_what_cannot_be_compared_comes_back_with_the_reason() -> None:
    one = table({"m": means([1, 0]), "old": means([1, 0]), "gone": [(0, 0), (0, 0)]})
    two = table({"m": means([1, 1]), "gone": means([1, 1])}, path="b")
    found = {change.name: change for change in changes(pair(one, two))}
    assert found["m"].reason is None
    assert found["old"].reason is not None
    assert found["old"].reason == "not among its scores (second run)"
    assert (found["gone"].value, found["gone"].reason) == (None, "no sample is scored in both runs")
    other = table({"m": means([1, 1])}, path="b", signature="v2")
    assert "m|v1 and m|v2" in str(only(changes(pair(table({"m": means([1, 0])}), other))).reason)


def test_another_profile_is_named_once(tmp_path: Path) -> None:
    first, second = scored(tmp_path, "a", REFERENCES), scored(tmp_path, "b", REFERENCES)
    pb.score(second.path, profile="published-2026", resamples=50)
    page = comparison_page(compare(first.path, second.path, resamples=50)).text()
    (line,) = [line for line in page.splitlines() if "two profiles: none and published-2026" in line]
    assert "structured_match" in line
    assert line.partition(":")[0].endswith("color, brand")
    with pytest.raises(NotComparable, match="structured_match means two things"):
        compare(first.path, second.path, metrics=["structured_match"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12))
def test_the_other_way_round_is_the_same_with_the_sign_turned(rows: list[tuple[float, float]]) -> None:
    one = table({"m": means([a for a, _ in rows])})
    two = table({"m": means([b for _, b in rows])}, path="b")
    there, back = only(changes(pair(one, two), resamples=200)), only(changes(pair(two, one), resamples=200))
    assert there.value is not None
    assert back.value is not None
    assert there.value == pytest.approx(-back.value, abs=1e-12)
    assert there.p == back.p
    assert (there.better, there.worse) == (back.worse, back.better)


# -- runs --------------------------------------------------------------------------------------------------------------

REFERENCES: list[dict[str, Any]] = [
    {"color": "red", "brand": "acme"},
    {"color": "blue", "brand": None},
    {"color": None, "brand": None},
    {"color": "green", "brand": "nord"},
]


def scored(
    folder: Path,
    name: str,
    answers: Sequence[Any],
    *,
    references: Sequence[Any] = REFERENCES,
    task: Mapping[str, Any] = TASK,
    prefix: str = "s",
) -> RunDirectory:
    """Score answers, one a reference, several where a list stands; a string is the answer's text."""
    data, given, task_file = (folder / f"{name}.{part}" for part in ("data.jsonl", "answers.jsonl", "task.json"))
    lines = [{"id": f"{prefix}{i}", "image": PIXEL, "reference": one} for i, one in enumerate(references)]
    data.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    rows = []
    for i, answer in enumerate(answers):
        for repeat, one in enumerate(answer if isinstance(answer, list) else [answer]):
            row: dict[str, Any] = {"id": f"{prefix}{i}", "repeat": repeat}
            rows.append(row | ({"error": {"kind": "timeout"}} if one == "FAILED" else {"response": one}))
    given.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    task_file.write_text(json.dumps(task), encoding="utf-8")
    return pb.score(answers=given, data=data, task=task_file, out=folder / name, resamples=50).directory


def test_the_flip_list_holds_every_difference_worst_first(tmp_path: Path) -> None:
    first = scored(tmp_path, "a", [REFERENCES[0], {"color": "blue"}, {"color": "red", "brand": None}, "no JSON"])
    second = scored(
        tmp_path, "b", [{"color": "green", "brand": "zzz"}, REFERENCES[1], REFERENCES[2], {"color": "green"}]
    )
    flips = Flips(pair(read_scores(first), read_scores(second)), first=first, second=second)
    found = [(flip.sample_id, flip.field, flip.direction, flip.change * flip.weight) for flip in flips]
    # brand weighs three times as much; a missing key and an explicit null are the same null, so s1 is no flip, and
    # s3's brand is wrong in both: once unread, once omitted
    assert found == [
        ("s0", "brand", "worse", -3.0),
        ("s0", "color", "worse", -1.0),
        ("s2", "color", "better", 1.0),
        ("s3", "color", "better", 1.0),
    ]
    assert (len(flips), flips.worse, flips.better, flips.samples) == (4, 2, 2, 3)
    assert flips.by_field == {"color": (2, 1), "brand": (0, 1)}
    entries = list(flips)
    assert (entries[0].reference, entries[0].first.answers, entries[0].second.answers) == ("acme", ("acme",), ("zzz",))
    assert (entries[2].first.outcome, entries[2].second.outcome) == ("invented", "correct_null")
    assert (entries[3].first.outcome, entries[3].first.answers) == ("unread", ("no JSON",))
    chosen = Flips(pair(read_scores(first), read_scores(second)), first=None, second=None, fields=["brand"])
    assert [(flip.sample_id, flip.first.answers, flip.reference) for flip in chosen] == [("s0", None, None)]


def test_repeats_flip_by_share(tmp_path: Path) -> None:
    right, wrong = REFERENCES[0], {"color": "blue", "brand": "acme"}
    first = scored(tmp_path, "a", [[right, right, wrong]], references=REFERENCES[:1])
    second = scored(tmp_path, "b", [[wrong, {"brand": "acme"}, "FAILED"]], references=REFERENCES[:1])
    (flip,) = Flips(pair(read_scores(first), read_scores(second)), first=first, second=second)
    assert flip.change == pytest.approx(-2 / 3)
    assert flip.first.answers == ("red", "red", "blue")
    assert flip.first.outcome == "correct 0.67, wrong 0.33"
    # the failed repeat has no answer, the one without the key an omitted value
    assert (flip.second.answers, flip.second.absent) == (("blue",), 1)
    assert flip.second.outcomes == {"wrong": 0.5, "omitted": 0.5}


def test_answers_in_text_flip_by_their_metric(tmp_path: Path) -> None:
    task = {"id": "caption", "answer": "text", "prompt": {"user": "Describe."}}
    references = ["a red shirt", "a blue shoe", "one hat"]
    first = scored(tmp_path, "a", ["a red shirt", "a red shoe", "one hat"], references=references, task=task)
    second = scored(tmp_path, "b", ["socks", "a blue shoe", "one hat"], references=references, task=task)
    flips = Flips(pair(read_scores(first), read_scores(second)), first=first, second=second)
    found = [(flip.sample_id, flip.direction, flip.reference, flip.second.answers) for flip in flips]
    assert found == [
        ("s0", "worse", "a red shirt", ("socks",)),
        ("s1", "better", "a blue shoe", ("a blue shoe",)),
    ]
    assert "socks" in comparison_page(compare(first.path, second.path)).text()


HOSTILE = '=HYPERLINK("http://x")\x1b[31m\u202e' + "x" * 5000


def test_flips_are_written_whole_and_harmless(tmp_path: Path) -> None:
    first = scored(tmp_path, "a", REFERENCES)
    second = scored(tmp_path, "b", [{"color": HOSTILE, "brand": "acme"}, "\ud800", {}, REFERENCES[3]])
    flips = Flips(pair(read_scores(first), read_scores(second)), first=first, second=second)
    assert write_flips(flips, tmp_path / "flips.jsonl") == len(flips) == 5
    lines = [json.loads(line) for line in (tmp_path / "flips.jsonl").read_text(encoding="utf-8").splitlines()]
    by_cell = {(line["sample_id"], line["field"]): line for line in lines}
    answer = by_cell["s0", "color"]["second"]["answers"][0]
    assert answer == HOSTILE[:2000] + "…"
    assert by_cell["s1", "color"]["second"]["outcome"] == "unread"
    write_flips(flips, tmp_path / "flips.csv")
    with (tmp_path / "flips.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sample_id"], row["field"]) for row in rows] == [(flip.sample_id, flip.field) for flip in flips]
    (cell,) = [row["second_answer"] for row in rows if (row["sample_id"], row["field"]) == ("s0", "color")]
    assert cell.startswith("'=HYPERLINK")
    page = comparison_page(compare(first.path, second.path, resamples=50)).text()
    assert "\x1b" not in page
    assert "\u202e" not in page
    with pytest.raises(InputError, match="ends in .jsonl or .csv"):
        write_flips(flips, tmp_path / "flips.txt")
    with pytest.raises(InputError, match="cannot be written"):
        write_flips(flips, tmp_path / "none" / "flips.csv")


def test_a_comparison_of_three_runs_is_one_family(tmp_path: Path) -> None:
    references = [{"color": "red", "brand": "acme"}] * 30
    right, wrong = {"color": "red", "brand": "acme"}, {"color": "blue", "brand": "acme"}
    runs = [
        scored(tmp_path, name, [right] * (30 - bad) + [wrong] * bad, references=references)
        for name, bad in (("a", 0), ("b", 6), ("c", 9))
    ]
    found = compare(*(run.path for run in runs), metrics=["structured_match"], resamples=200)
    (one,), (two,) = (contrast.metrics for contrast in found)
    # 6 and 9 samples that differ, all one way: 2 / 2^6 and 2 / 2^9, Holm over the two
    assert (one.p, two.p) == (2 / 64, 2 / 512)
    assert (one.p_holm, two.p_holm) == (2 / 64, 2 * 2 / 512)
    color, brand = found.contrasts[0].fields
    assert (color.p, color.p_holm) == (2 / 64, 2 / 64)
    assert (brand.p, brand.p_holm) == (1.0, None)
    skill = found.contrasts[0].floors["metric", "structured_match"]
    # every reference is the same, so the majority answer is right everywhere: no room above the floor
    assert (skill.floor, skill.answer, skill.value) == (1.0, "majority", None)
    frame = found.to_pandas()
    assert len(frame) == 2 * (1 + 2)
    assert frame.loc[0, "value"] == pytest.approx(-0.1)
    value = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [one["path"] for one in value["runs"]] == [str(run.path) for run in runs]
    assert value["pairs"][1]["flips"]["worse"] == 9
    assert "structured_match, %, against" in comparison_page(found).text()
    html = found._repr_html_()
    assert html.count("<table>") == 2


def test_skill_changes_by_the_room_above_the_floor(tmp_path: Path) -> None:
    first = scored(tmp_path, "a", [{}, REFERENCES[1], REFERENCES[2], REFERENCES[3]])
    second = scored(tmp_path, "b", REFERENCES)
    found = compare(first.path, second.path, resamples=200)
    (contrast,) = found
    floors = contrast.floors["metric", "weighted_score"]
    # weights 1 and 3; all null is right for s2 whole and for s1's brand: (0 + 3/4 + 1 + 0) / 4
    assert (floors.floor, floors.answer) == (7 / 16, "all_null")
    change = next(change for change in contrast.metrics if change.name == "weighted_score")
    assert change.value == 0.25
    assert floors.value == pytest.approx(0.25 / (9 / 16))
    assert floors.second == 1.0
    assert floors.first == pytest.approx((0.75 - 7 / 16) / (9 / 16))


def test_runs_that_are_not_alike_are_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = scored(tmp_path, "a", REFERENCES)
    shorter = scored(tmp_path, "b", REFERENCES[:3], references=REFERENCES[:3])
    foreign = scored(tmp_path, "c", REFERENCES, prefix="other")
    task = {**TASK, "fields": {"color": {}, "maker": {}}}
    renamed = [{"color": one["color"], "maker": one["brand"]} for one in REFERENCES]
    another = scored(tmp_path, "d", renamed, references=renamed, task=task)
    loose = {**TASK, "fields": {**TASK["fields"], "color": {"comparator": {"kind": "fuzzy", "threshold": 0.5}}}}
    fuzzy = scored(tmp_path, "e", REFERENCES, task=loose)

    def code(*arguments: object) -> int:
        return main(["compare", *map(str, arguments), "--resamples", "50"])

    assert code(first.path, shorter.path) == 6
    assert "1 only in the first (as s3)" in capsys.readouterr().err
    assert code(first.path, shorter.path, "--common") == 0
    assert "only the 3 samples that both share" in capsys.readouterr().out
    assert code(first.path, foreign.path, "--common") == 6
    capsys.readouterr()
    assert code(first.path, foreign.path, "--unpaired") == 0
    out = capsys.readouterr().out
    assert "different samples, unpaired" in out
    assert "Flips" not in out
    assert code(first.path, first.path, "--unpaired") == 6
    assert code(first.path, another.path) == 6
    assert "two tasks" in capsys.readouterr().err
    assert code(first.path, fuzzy.path, "--metrics", "weighted_score") == 6
    assert "weighted_score means two things" in capsys.readouterr().err
    assert code(first.path, fuzzy.path, "--metrics", "structured_match", "--fields", "brand") == 0
    capsys.readouterr()
    assert code(first.path, fuzzy.path) == 0
    assert "color: field color is compared in two ways" in capsys.readouterr().out
    with pytest.raises(NotComparable):
        compare(first.path, fuzzy.path, fields=["color"])


def test_the_command_takes_what_is_given_and_names_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = scored(tmp_path, "a", REFERENCES), scored(tmp_path, "b", [REFERENCES[0], *[{}] * 3])
    paths = [str(first.path), str(second.path)]
    flips = tmp_path / "flips.csv"
    assert main(["compare", *paths, "--metrics", "structured_match", "--json", "--flips", str(flips)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["pairs"][0]["metrics"]] == ["structured_match"]
    assert len(flips.read_text(encoding="utf-8").splitlines()) == 1 + found["pairs"][0]["flips"]["worse"]
    assert main(["compare", *paths, "--format", "markdown"]) == 0
    assert "| color |" in capsys.readouterr().out
    for arguments, words in (
        ([paths[0]], "one run alone"),
        ([*paths, "--metrics", "structured_mach"], "did you mean 'structured_match'?"),
        ([*paths, "--metrics", "sbert_nli"], "score the runs with it first"),
        ([*paths, "--fields", "colour"], "did you mean 'color'?"),
        ([*paths, "--flips", str(tmp_path / "flips.txt")], "ends in .jsonl or .csv"),
        ([*paths, paths[0], "--flips", str(flips)], "two runs"),
        ([*paths, "--common", "--unpaired"], "choose one"),
        ([*paths, "--unpaired", "--flips", str(flips)], "no flips"),
        ([paths[0], str(tmp_path / "none")], "no run here"),
    ):
        assert main(["compare", *arguments]) == 2, arguments
        assert words in capsys.readouterr().err
    (second.path / "summary.json").unlink()
    assert main(["compare", *paths]) == 2
    assert "unfinished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [({"seed": -1}, "seed: -1"), ({"resamples": 0}, "resamples: 0"), ({"how": "comon"}, "did you mean 'common'?")],
)
def test_odd_settings_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    run = scored(tmp_path, "a", REFERENCES).path
    with pytest.raises(ConfigError) as caught:
        compare(run, run, **options)
    assert words in str(caught.value)


def test_one_name_is_a_name(tmp_path: Path) -> None:
    run = scored(tmp_path, "a", REFERENCES).path
    (found,) = compare(run, run, metrics="structured_match", fields="color", resamples=10)
    assert [one.name for one in found.changes] == ["structured_match", "color"]


def test_failed_answers_are_named_on_the_page(tmp_path: Path) -> None:
    first = scored(tmp_path, "a", REFERENCES)
    second = scored(tmp_path, "b", [*REFERENCES[:3], "FAILED"])
    page = comparison_page(compare(first.path, second.path, resamples=50)).text()
    assert "0 answers of the first run and 1 of the second failed" in page
    # three right, the fourth read as 0 or as 1: -25 to 0 points
    assert "structured_match -25.0 to 0.0" in page
    same = comparison_page(compare(first.path, first.path, resamples=50)).text()
    assert "both runs hold the same answers" in same


def test_the_python_and_the_costs_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parent.parent / "docs" / "compare.md").read_text(encoding="utf-8")
    code, costs = (page.partition(f"```{language}\n")[2].partition("```")[0] for language in ("python", "json"))
    (tmp_path / "runs").mkdir()
    references = [{"brand": "acme", "size": "m"}, {"brand": None, "size": "l"}]
    task = {**TASK, "fields": {"brand": {}, "size": {}}}
    scored(tmp_path / "runs", "old", references, references=references, task=task)
    scored(tmp_path / "runs", "new", [{}, {"brand": "acme"}], references=references, task=task)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pb, "compare", compare, raising=False)
    exec(compile(code, "compare.md", "exec"), found := {"__name__": "__page__"})
    assert len(found["contrast"].flips) == 4
    assert [one.name for one in dataclasses.fields(Change) if f"`{one.name}`" not in page] == []
    # by hand, over two items: {} has no key and is unread, 10 + 2; then brand invented and size omitted, 10 + 2
    (contrast,) = compare("runs/old", "runs/new", costs=json.loads(costs), resamples=50)
    assert contrast.costs[0].value == 12_000


def test_a_field_with_repeats_is_tested_by_its_mean(tmp_path: Path) -> None:
    right, wrong = REFERENCES[0], {"color": "blue", "brand": "acme"}
    references = [REFERENCES[0]] * 6
    first = scored(tmp_path, "a", [[right, right]] * 6, references=references)
    second = scored(tmp_path, "b", [[right, wrong]] * 5 + [[right, right]], references=references)
    (contrast,) = compare(first.path, second.path, resamples=50)
    color = next(change for change in contrast.fields if change.name == "color")
    assert (color.value, color.worse, color.lost) == (pytest.approx(-5 / 12), 5, None)
    assert (color.p, color.test) == (2 / 32, "sign flips, exact")


# -- photos ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def annotators(tmp_path_factory: pytest.TempPathFactory) -> list[RunDirectory]:
    if not PHOTOS.exists():
        pytest.skip("../shared/data/garment_photos is not there")
    folder = tmp_path_factory.mktemp("annotators")
    return [
        pb.score(
            answers=PHOTOS / f"annotator_{name}.jsonl",
            data=PHOTOS / "samples.jsonl",
            task="garment",
            out=folder / name,
            images=False,
            resamples=100,
        ).directory
        for name in "ab"
    ]


def test_the_flip_list_of_two_annotators_beside_the_cells_in_which_they_differ(annotators: list[RunDirectory]) -> None:
    """39 answers differ as strings. 36 of them flip; two brands differ in capitals alone, one color is wrong twice."""
    answers = []
    for name in "ab":
        lines = (PHOTOS / f"annotator_{name}.jsonl").read_text(encoding="utf-8").splitlines()
        answers.append({one["id"]: json.loads(one["response"]) for one in map(json.loads, lines)})
    first, second = answers
    cells = {(i, field) for i, one in first.items() for field in one if one[field] != second[i][field]}
    assert len(cells) == 39
    flips = Flips(pair(*map(read_scores, annotators)), first=annotators[0], second=annotators[1])
    listed = {(flip.sample_id, flip.field): flip for flip in flips}
    assert (len(listed), flips.worse, flips.better, flips.samples) == (36, 17, 19, 34)
    assert set(listed) < cells
    for (i, field), flip in listed.items():
        assert (flip.first.answers, flip.second.answers) == ((first[i][field],), (second[i][field],))
    kept = {cell: (first[cell[0]][cell[1]], second[cell[0]][cell[1]]) for cell in cells - set(listed)}
    assert kept == {
        ("p054", "brand"): ("LERROS", "Lerros"),  # the reference is LERROS: right in both
        ("p060", "brand"): ("EFFA", "Effa"),  # the reference is EFFA: right in both
        ("p109", "color"): ("black and gray", "white and navy blue"),  # the reference is white and black: wrong in both
    }
    rows = {row["sample_id"]: row for row in annotators[0].scores()}
    assert rows["p109"]["fields"]["color"]["outcome"] == "wrong"
    assert rows["p054"]["fields"]["brand"]["outcome"] == "correct"


def test_two_annotators_compared_whole(annotators: list[RunDirectory]) -> None:
    (contrast,) = compare(*(run.path for run in annotators))
    metrics = {change.name: change for change in contrast.metrics}
    fields = {change.name: change for change in contrast.fields}
    # the table of the metric definitions: A / B structured .978 / .980, weighted .978 / .983
    assert (metrics["structured_match"].first, metrics["structured_match"].second) == pytest.approx(
        (0.978, 0.98), abs=5e-4
    )
    assert (metrics["weighted_score"].first, metrics["weighted_score"].second) == pytest.approx(
        (0.978, 0.983), abs=5e-4
    )
    assert all(change.p is None or change.p > 0.05 for change in metrics.values())
    assert (fields["color"].gained, fields["color"].lost) == (6, 7)
    assert fields["color"].p == pytest.approx(stats.binomtest(6, 13).pvalue)
    assert fields["sleeve_length"].p_holm is None
    assert sum(change.gained or 0 for change in fields.values()) == 19
    assert sum(change.lost or 0 for change in fields.values()) == 17
