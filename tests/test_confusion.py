"""Confusion matrices and closed vocabularies: against scikit-learn's tables, and against what scoring says."""

from __future__ import annotations

import csv
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import peakbench as pb
from peakbench.analysis.vocabulary import tabulation, words
from peakbench.analysis.vocabulary.confusion import NULL, OTHER, UNREAD, Confusion
from peakbench.analysis.vocabulary.survey import confusions
from peakbench.analysis.vocabulary.synonyms import open_similarity, unknown_words
from peakbench.api.vocabularies import confusion
from peakbench.backends.encoder import open_encoder
from peakbench.builtins import PACKAGE, open_registry
from peakbench.cli import main
from peakbench.errors import ConfigError, InputError
from peakbench.metrics.base import Tools
from peakbench.metrics.comparators import Fuzzy
from peakbench.runs import Run
from peakbench.tasks import Task
from peakbench.values import SynonymTable, canonical

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "garment_photos"
PIXEL = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
EXACT: dict[str, Any] = {"color": {}}
SYNONYMS: dict[str, Any] = {
    "kind": "synonyms",
    "table": {"navy blue": ["navy", "marine"], "t-shirt": ["tee"]},
    "joiners": ["and", "/"],
}


class Directions:
    """An encoder of words whose directions are given; every other word points away from all of them."""

    identity = "directions@1"

    def __init__(self, **angles: float) -> None:
        self.angles = angles
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        rows = [
            [np.cos(self.angles[text]), np.sin(self.angles[text]), 0.0] if text in self.angles else [0.0, 0.0, 1.0]
            for text in (text.replace(" ", "_") for text in texts)
        ]
        return np.array(rows, dtype=np.float32)


class Remembering:
    """The real encoder, asked once a word; a vector that was kept from before is used."""

    def __init__(self, folder: Path) -> None:
        self.encoder = open_encoder(folder=folder)
        self.identity = self.encoder.identity
        self.rows: dict[str, Any] = {}

    def encode(self, texts: Sequence[str]) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self.rows]
        if new:
            self.rows |= dict(zip(new, self.encoder.encode(new), strict=True))
        return np.stack([self.rows[text] for text in texts])


def scored(
    folder: Path, references: Sequence[Any], answers: Sequence[Any], fields: dict[str, Any] = EXACT, **options: Any
) -> Run:
    """Score answers, one a reference, several where a tuple stands; a string is the answer's text, None not asked."""
    folder.mkdir(exist_ok=True)
    lines = [{"id": f"s{i}", "image": PIXEL, "reference": one} for i, one in enumerate(references)]
    rows = []
    for i, answer in enumerate(answers):
        for repeat, one in enumerate(answer if isinstance(answer, tuple) else (answer,)):
            if one is not None:
                row: dict[str, Any] = {"id": f"s{i}", "repeat": repeat}
                row |= {"error": {"kind": "timeout", "message": "-"}} if one == "FAILED" else {"response": one}
                rows.append(row)
    for name, content in (("data", lines), ("answers", rows)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, content)), encoding="utf-8")
    task = {"id": "shirt", "prompt": {"user": "Describe."}, "fields": fields}
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    return pb.score(
        answers=folder / "answers.jsonl",
        data=folder / "data.jsonl",
        task=folder / "task.json",
        out=folder / "run",
        resamples=50,
        images=False,
        **{"metrics": ["valued_f1", "weighted_score"]} | options,
    )


def of_colors(folder: Path, references: Sequence[Any], answers: Sequence[Any], **spec: Any) -> Confusion:
    """One field, values given as they are."""
    run = scored(
        folder,
        [{"color": one} for one in references],
        [one if isinstance(one, str) and one in ("prose", "FAILED") else {"color": one} for one in answers],
        {"color": spec},
    )
    return run.confusion("color")


def dense(found: Confusion, labels: Sequence[str]) -> list[list[int]]:
    return [[found.counts.get((row, column), 0) for column in labels] for row in labels]


# -- against scikit-learn ----------------------------------------------------------------------------------------------


def test_matrix_of_the_documentation(tmp_path):
    # scikit-learn, sklearn.metrics.confusion_matrix, the example with labels ["ant", "bird", "cat"]
    found = of_colors(
        tmp_path,
        ["cat", "ant", "cat", "cat", "ant", "bird"],
        ["ant", "ant", "cat", "cat", "ant", "cat"],
    )
    assert dense(found, ["ant", "bird", "cat"]) == [[2, 0, 0], [0, 0, 1], [1, 0, 2]]
    assert (found.asked, found.correct) == (6, 4)


def test_scores_of_the_documentation(tmp_path):
    # scikit-learn, sklearn.metrics.precision_recall_fscore_support, the examples with macro, micro and no average
    found = of_colors(
        tmp_path,
        ["cat", "dog", "pig", "cat", "dog", "pig"],
        ["cat", "pig", "dog", "cat", "cat", "dog"],
    )
    by_value = {one.value: one for one in found.values}
    assert [by_value[one].precision for one in ("pig", "dog", "cat")] == pytest.approx([0, 0, 2 / 3])
    assert [by_value[one].recall for one in ("pig", "dog", "cat")] == [0, 0, 1]
    assert [by_value[one].f1 for one in ("pig", "dog", "cat")] == pytest.approx([0, 0, 0.8])
    assert [by_value[one].support for one in ("pig", "dog", "cat")] == [2, 2, 2]
    macro, micro = found.macro, found.micro
    assert (macro.precision, macro.recall, macro.f1) == pytest.approx((0.2222, 0.3333, 0.2667), abs=5e-5)
    assert (micro.precision, micro.recall, micro.f1) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_same_numbers_as_scikit_learn(tmp_path):
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    labels = ["ant", "bee", "cat", "dog", "eel"]
    truth = random.choice(labels[:4], 200, p=[0.5, 0.3, 0.15, 0.05]).tolist()
    answers = [one if random.random() < 0.6 else random.choice(labels).item() for one in truth]
    found = of_colors(tmp_path, truth, answers)
    table = metrics.confusion_matrix(truth, answers, labels=labels)
    assert dense(found, labels) == table.tolist()
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        truth, answers, labels=labels[:4], zero_division=0
    )
    by_value = {one.value: one for one in found.values}
    assert [by_value[one].precision for one in labels[:4]] == pytest.approx(precision.tolist())
    assert [by_value[one].recall for one in labels[:4]] == pytest.approx(recall.tolist())
    assert [by_value[one].f1 for one in labels[:4]] == pytest.approx(f1.tolist())
    assert [by_value[one].support for one in labels[:4]] == support.tolist()
    macro = metrics.precision_recall_fscore_support(truth, answers, labels=labels[:4], average="macro", zero_division=0)
    assert (found.macro.precision, found.macro.recall, found.macro.f1) == pytest.approx(macro[:3])
    assert found.micro.f1 == pytest.approx(metrics.f1_score(truth, answers, labels=labels, average="micro"))


# -- against what scoring says -----------------------------------------------------------------------------------------

REFERENCES = [
    None, "N/A", "navy", "Navy-Blue", "marine", "tee", "T-shirt", "navy and tee", "red", "Red ", "rde", "EU 42", "42",
    "US 42", "43.0", "M", "medium", "true", "(null)", "(other)", "x" * 300,
]  # fmt: skip
ANSWERS = [*REFERENCES, "prose", 42, 42.0, 43, True, ["red"], {"a": 1}, "x" * 301, "\ud800"]
KINDS: list[dict[str, Any]] = [
    {},
    {"comparator": SYNONYMS},
    {"comparator": {"kind": "fuzzy", "threshold": 0.5}},
    {"comparator": "size"},
    {"comparator": {"kind": "numeric", "absolute": 1}},
    {"vocabulary": ["red", "navy blue", "M"]},
    {"comparator": SYNONYMS, "vocabulary": ["navy", "tee"]},
]


@given(
    spec=st.sampled_from(KINDS),
    pairs=st.lists(st.tuples(st.sampled_from(REFERENCES), st.sampled_from(ANSWERS)), min_size=1, max_size=12),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_diagonal_is_what_scoring_calls_correct(spec, pairs, tmp_path_factory):
    run = scored(
        tmp_path_factory.mktemp("run"),
        [{"color": reference} for reference, _ in pairs],
        [answer if answer == "prose" else {"color": answer} for _, answer in pairs],
        {"color": spec},
    )
    found, entry = run.confusion("color"), run.summary["fields"]["color"]
    assert found.asked == len(pairs)
    assert found.correct == entry["correct"] + entry["correct_null"]
    diagonal = sum(count for (truth, given), count in found.counts.items() if truth == given)
    other = found.counts.get((OTHER, OTHER), 0)
    assert diagonal - other <= found.correct <= diagonal
    assert sum(count for (_, given), count in found.counts.items() if given == UNREAD) == entry["unread"]
    invented = sum(c for (truth, given), c in found.counts.items() if truth == NULL and given not in (NULL, UNREAD))
    assert invented == entry["invented"]
    assert sum(c for (truth, given), c in found.counts.items() if truth != NULL and given == NULL) == entry["omitted"]
    assert found.micro.f1 == pytest.approx(run.summary["metrics"]["valued_f1"]["value"]) or found.micro.f1 is None
    rows, columns, table = found.matrix(2)
    assert table.sum() == len(pairs)
    assert len(set(columns)) == len(columns)
    assert found.outside <= found.valued <= len(pairs)
    json.dumps(found.as_dict(), allow_nan=False)


def test_synonyms_share_one_value(tmp_path):
    found = of_colors(
        tmp_path, ["navy", "Navy Blue", "navy blue", "red"], ["marine", "navy", "red", "RED"], comparator=SYNONYMS
    )
    assert found.words == ("navy blue", "red") or found.words == ("Navy Blue", "red")
    navy = found.words[0]
    assert dict(found.counts) == {(navy, navy): 2, (navy, "red"): 1, ("red", "red"): 1}
    assert found.outside == 0


def test_spellings_that_the_comparator_takes_for_one_are_one_word(tmp_path):
    fuzzy = {"kind": "fuzzy", "threshold": 0.85}
    found = of_colors(
        tmp_path,
        ["Quiksilver", "Quiksilver", "Quicksilver", "adidas"],
        ["quicksilver", "Adidas", "quiksilver", "addidas"],
        comparator=fuzzy,
    )
    assert found.words == ("Quiksilver", "adidas")
    assert dict(found.counts) == {
        ("Quiksilver", "Quiksilver"): 2,
        ("Quiksilver", "adidas"): 1,
        ("adidas", "adidas"): 1,
    }


def test_two_values_that_one_word_stands_for_and_that_differ_are_apart(tmp_path):
    # "42" is the same as "EU 42" and as "US 42"; those two are not the same
    found = of_colors(tmp_path, ["42", "42", "EU 42"], ["42", "42", "US 42"], comparator="size")
    assert found.words == ("42",)
    assert dict(found.counts) == {("42", "42"): 2, ("42", "US 42"): 1}
    assert (found.correct, found.outside, found.unknown) == (2, 0, ())


def test_null_unread_and_failed_are_three_things(tmp_path):
    found = of_colors(tmp_path, ["red", "red", None, None, "red"], ["N/A", "prose", "prose", "blue", "FAILED"])
    assert dict(found.counts) == {("red", NULL): 1, ("red", UNREAD): 1, (NULL, UNREAD): 1, (NULL, "blue"): 1}
    assert (found.answers, found.unread, found.failed, found.unasked) == (4, 2, 1, 0)
    assert (found.valued, found.outside) == (1, 1)
    red = found.values[0]
    assert (red.support, red.answered, red.precision, red.recall, red.f1) == (2, 0, None, 0, 0)


@pytest.mark.parametrize("answer", ["FAILED", "prose", None])
def test_a_run_without_a_single_value_has_no_scores(tmp_path, capsys, answer):
    run = scored(tmp_path, [{"color": "red"}] * 3, ["FAILED", answer, answer])
    found = run.confusion("color")
    assert (found.valued, found.out_of_vocabulary.value, found.micro.precision) == (0, None, None)
    assert found.failed + found.unasked + found.unread == 3
    assert main(["confusion", str(run.path), "--field", "color"]) == 0
    assert f"{found.answers} answers" in capsys.readouterr().out


def test_a_wild_value_costs_nothing_and_stands_nowhere(tmp_path):
    deep = "[" * 400 + "]" * 400
    answers = [f'{{"color": {one}}}' for one in (deep, json.dumps("x" * 2_000_000), json.dumps("a\u0301" * 50_000))]
    run = scored(tmp_path, [{"color": "red"}] * 3, answers, {"color": {"comparator": "fuzzy"}})
    found = run.confusion("color")
    assert (found.correct, found.asked, found.unknown) == (0, 3, ())
    assert len(json.dumps(found.as_dict())) < 3_000


def test_a_list_where_one_value_belongs_is_no_value(tmp_path):
    found = of_colors(tmp_path, ["red", None], [["red"], {"a": 1}])
    assert dict(found.counts) == {("red", "(no single value)"): 1, (NULL, "(no single value)"): 1}
    assert (found.valued, found.outside, found.unknown) == (2, 2, ())
    assert found.matrix()[2].tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_a_field_that_the_reference_lacks_is_in_no_matrix(tmp_path):
    run = scored(tmp_path, [{"color": "red"}, {"brand": "x"}], [{"color": "red"}, {"color": "teal"}],
                 {"color": {}, "brand": {}})  # fmt: skip
    found = run.confusion("color")
    assert dict(found.counts) == {("red", "red"): 1}
    # but whether a word is in the vocabulary needs no reference
    assert (found.valued, found.outside, found.unknown[0].word) == (2, 1, "teal")


def test_values_spelled_like_a_column_stand_in_quotes(tmp_path):
    found = of_colors(tmp_path, ["(null)", "(other)", "true"], ["(null)", None, True])
    assert dict(found.counts) == {('"(null)"', '"(null)"'): 1, ('"(other)"', NULL): 1, ("true", '"true"'): 1}


# -- rates -------------------------------------------------------------------------------------------------------------


def test_rate_outside_the_vocabulary_is_wilsons(tmp_path):
    # 81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I)
    answers = ["teal"] * 81 + ["red"] * 182 + [None] * 7
    found = of_colors(tmp_path, ["red"] * 270, answers)
    rate = found.out_of_vocabulary
    assert (rate.value, rate.method, rate.n) == (81 / 263, "wilson", 263)
    assert (round(rate.low, 4), round(rate.high, 4)) == (0.2553, 0.3662)
    red = found.values[0]
    assert (red.recall, red.precision) == (182 / 270, 1)
    assert red.recall_low < 182 / 270 < red.recall_high


def test_repeats_are_averaged_before_they_are_resampled(tmp_path):
    references = [{"color": "red"}] * 40
    answers = [({"color": "teal"}, {"color": "teal"})] * 10 + [({"color": "red"}, {"color": "red"})] * 30
    found = scored(tmp_path / "a", references, answers).confusion("color")
    once = scored(tmp_path / "b", references, [one for one, _ in answers]).confusion("color")
    assert (found.asked, found.valued, found.outside) == (80, 80, 20)
    rate = found.out_of_vocabulary
    assert (rate.value, rate.method, rate.n) == (0.25, "bca", 40)
    # as uncertain as 40 answers, not as 80
    wilson = once.out_of_vocabulary
    assert rate.high - rate.low == pytest.approx(wilson.high - wilson.low, rel=0.15)
    assert (found.values[0].recall, found.values[0].recall_low) == (0.75, None)


def test_micro_f1_has_an_interval_and_says_when_it_is_weak(tmp_path):
    found = of_colors(tmp_path, ["red"] * 60, ["red"] * 50 + ["blue"] * 10)
    assert found.micro_f1.value == pytest.approx(found.micro.f1) == pytest.approx(50 / 60)
    assert found.micro_f1.low < 50 / 60 < found.micro_f1.high
    assert found.micro_f1.unreliable == "fewer than 100 samples (60)"


# -- vocabularies ------------------------------------------------------------------------------------------------------


def test_the_tasks_vocabulary_is_the_vocabulary(tmp_path):
    found = of_colors(
        tmp_path, ["red", "crimson", "blue", "blue"], ["red", "crimson", "teal", "BLUE"], vocabulary=["blue", "red"]
    )
    assert (found.source, found.words) == ("task", ("blue", "red"))
    # a reference outside it is said, and its value is outside for the answer too
    assert (found.outside, found.valued, found.correct) == (2, 4, 3)
    assert found.notes[0] == "1 references are outside the task's vocabulary (as 'crimson')"
    assert [one.word for one in found.unknown] == ["crimson", "teal"]
    assert [one.value for one in found.values] == ["blue", "crimson", "red"]


def test_joined_values_are_inside_where_each_part_is(tmp_path):
    found = of_colors(tmp_path, ["navy", "red", "red"], ["red and marine", "navy/teal", "red"], comparator=SYNONYMS)
    assert (found.outside, [one.word for one in found.unknown]) == (1, ["navy/teal"])
    assert found.counts["navy", "red and marine"] == 1


def test_tags_are_counted_one_by_one(tmp_path):
    found = of_colors(
        tmp_path,
        [["cotton", "wool"], ["cotton"], None, ["silk"], ["wool"]],
        [["Wool", "cotton", "cotton"], ["linen"], [], "silk", "prose"],
        comparator="set",
        many=True,
    )
    assert found.tags
    assert dict(found.counts) == {
        ("cotton", "cotton"): 1,
        ("wool", "wool"): 1,
        ("cotton", NULL): 1,
        (NULL, "linen"): 1,
        (NULL, NULL): 1,
        ("silk", NULL): 1,
        (NULL, "(no single value)"): 1,
        ("wool", UNREAD): 1,
    }
    assert (found.valued, found.outside, found.out_of_vocabulary.method) == (4, 2, "bca")
    # where linen stood, cotton was missed
    assert (found.unknown[0].word, found.unknown[0].most_often) == ("linen", (("cotton", 1),))


def test_fields_without_single_values_are_left_out_by_name(tmp_path):
    objects = {"comparator": {"kind": "objects", "fields": {"part": "exact"}}, "many": True, "type": "object"}
    run = scored(tmp_path, [{"color": "red", "defects": []}], [{"color": "red", "defects": []}],
                 {"color": {"weight": 0}, "defects": objects})  # fmt: skip
    assert list(confusion(run)) == ["color"]
    with pytest.raises(InputError, match="field 'defects': its values are objects"):
        run.confusion("defects")
    with pytest.raises(ConfigError, match="near: nan"):
        confusion(run, near=float("nan"))
    with pytest.raises(InputError, match="did you mean 'color'"):
        run.confusion("colour")


def test_memory_is_bounded_and_what_is_over_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(words, "MOST_WORDS", 5)
    monkeypatch.setattr(tabulation, "MOST_PAIRS", 8)
    found = of_colors(tmp_path, [f"w{i}" for i in range(20)], [f"w{i}" if i % 2 else f"v{i}" for i in range(20)])
    assert len(found.words) == 5
    assert found.asked == 20
    assert found.correct == 10
    assert sum(len({row, column}) == 2 for row, column in found.counts) <= 8
    assert {one.value: one.correct for one in found.values} == {
        one.value: found.counts.get((one.value, one.value), 0) for one in found.values
    }
    assert "some values are too many or too long to be told apart: they share (other)" in found.notes


@given(
    known=st.lists(st.text("abc-", max_size=6), min_size=1, max_size=8),
    value=st.one_of(st.text("abc-", max_size=6), st.booleans(), st.integers(0, 20)),
    threshold=st.sampled_from([0.3, 0.5, 2 / 3, 0.85, 1.0]),
)
@settings(deadline=None, max_examples=200)
def test_fuzzy_words_are_found_as_one_by_one(known, value, threshold):
    fast, slow = (words.Vocabulary(Fuzzy(threshold)) for _ in range(2))
    slow._fuzzy = False
    for vocabulary in (fast, slow):
        for word in known:
            vocabulary.add(word, known=True)
    assert [fast.label(number) for number in fast.words] == [slow.label(number) for number in slow.words]
    assert fast.find(value) == slow.find(value)


def test_a_comparator_that_is_asked_too_often_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(words, "MOST_COMPARISONS", 10)
    found = of_colors(
        tmp_path, [f"{i:08b}" for i in range(20)], [f"{i:08b}" for i in range(20)],
        comparator={"kind": "numeric", "absolute": 0.5},
    )  # fmt: skip
    assert found.correct == 20
    assert any("too many values to compare" in note for note in found.notes)


# -- synonyms ----------------------------------------------------------------------------------------------------------


def test_a_near_word_that_stood_for_it_is_proposed(tmp_path):
    references = ["navy blue"] * 4 + ["red"] * 4
    answers = ["marine", "marine", "marine", "marine", "marine", "red", "scarlet", "teal"]
    run = scored(tmp_path, [{"color": one} for one in references], [{"color": one} for one in answers])
    encoder = Directions(navy_blue=0.0, marine=0.5, red=1.4, scarlet=1.5)
    found = confusion(run, ["color"], encoder=encoder)["color"]
    marine, scarlet, teal = found.unknown
    assert (marine.word, marine.count, marine.nearest, marine.stood_for) == ("marine", 5, "navy blue", 4)
    assert marine.similarity == pytest.approx(np.cos(0.5), abs=1e-6)
    assert marine.most_often == (("navy blue", 4), ("red", 1))
    assert (scarlet.nearest, scarlet.proposal) == ("red", "red")
    assert (teal.similarity, teal.proposal) == (0.0, None)
    assert found.similar_by == "directions@1"
    assert found.synonyms() == {"navy blue": ["marine"], "red": ["scarlet"]}
    # what is proposed works as a table
    table = SynonymTable(found.synonyms())
    assert table.head("Marine") == table.head("navy-blue")
    # a higher bar leaves marine out
    assert confusion(run, encoder=encoder, near=0.9)["color"].synonyms() == {"red": ["scarlet"]}


def test_a_near_word_that_stands_elsewhere_is_not_proposed():
    similarity = open_similarity(Tools(encoder=Directions(long_sleeve=0.0, longish_sleeve=0.1)))
    stood = {("long sleeve", "longish sleeve"): 1, ("none", "longish sleeve"): 2}
    (found,), _ = unknown_words({"longish sleeve": 3}, stood, ["long sleeve", "none"], similarity)
    assert (found.nearest, found.stood_for, found.proposal) == ("long sleeve", 1, None)


def test_a_word_of_its_own_in_the_synonym_table_is_never_proposed(tmp_path):
    run = scored(
        tmp_path,
        [{"color": one} for one in ("navy", "navy", "teal")],
        [{"color": one} for one in ("t-shirt", "tealish", "tealish")],
        {"color": {"comparator": SYNONYMS}},
    )
    encoder = Directions(navy=0.0, tee=0.1, **{"t-shirt": 0.1}, teal=1.2, tealish=1.25)
    found = confusion(run, encoder=encoder)["color"]
    tealish, tee = found.unknown
    assert (tee.word, tee.nearest, tee.stood_for, tee.grouped, tee.proposal) == ("t-shirt", "navy", 1, True, None)
    assert (tealish.nearest, tealish.stood_for, tealish.grouped, tealish.proposal) == ("teal", 1, False, "teal")


@pytest.mark.timeout(600)  # every word is encoded where no vector was kept
def test_how_many_labelled_synonyms_are_proposed(mpnet):
    """The labelled pairs of docs/calibration.md: the first word is known, the second answered where it was right."""
    pairs = json.loads((PACKAGE / "data" / "calibration" / "garment_pairs.json").read_text())["pairs"]
    similarity = open_similarity(Tools(encoder=Remembering(mpnet)))
    proposed: Counter[tuple[float, str]] = Counter()
    listed: Counter[str] = Counter()
    for name in {one["field"] for one in pairs}:
        known = {canonical(one["first"]): one["first"] for one in pairs if one["field"] == name}
        asked = [one for one in pairs if one["field"] == name and canonical(one["second"]) not in known]
        labels = {(one["first"], one["second"]): one["label"] for one in asked}
        # a synonym is seen three times, a mistake once
        stood = {pair: 1 if label == "different" else 3 for pair, label in labels.items()}
        listed.update(labels.values())
        for near in (0.5, 0.75):
            given = Counter(second for _, second in stood)
            found, _ = unknown_words(given, stood, sorted(known.values()), similarity, near=near)
            for one in found:
                label = labels.get((one.proposal, one.word))
                if label is not None:
                    proposed[near, label] += 1
    assert listed == {"same": 74, "synonym": 143, "different": 54}
    # what docs/confusion.md says
    shares = {key: round(100 * count / listed[key[1]]) for key, count in proposed.items()}
    assert shares == {
        (0.75, "same"): 66, (0.75, "synonym"): 38, (0.75, "different"): 19,
        (0.5, "same"): 96, (0.5, "synonym"): 82, (0.5, "different"): 63,
    }  # fmt: skip


def test_without_an_encoder_spelling_judges_and_says_so(tmp_path):
    found = of_colors(tmp_path, ["gray", "gray", "red"], ["grey", "grey", "red"])
    (grey,) = found.unknown
    # rapidfuzz.fuzz.ratio("grey", "gray") = 100 (1 - 2 / 8)
    assert (grey.nearest, grey.similarity, grey.stood_for, grey.proposal) == ("gray", 0.75, 2, "gray")
    assert found.similar_by == "spelling (rapidfuzz ratio)"
    assert re.search(r"spelling alone: .*(peakbench weights fetch|pip install 'peakbench\[models\]')", found.notes[0])


def test_no_unknown_word_needs_no_encoder(tmp_path):
    encoder = Directions()
    found = confusion(scored(tmp_path, [{"color": "red"}], [{"color": "Red"}]), encoder=encoder)["color"]
    assert (encoder.asked, found.unknown, found.notes) == ([], (), ())


# -- as it is read -----------------------------------------------------------------------------------------------------

HOSTILE = "\x1b[31mred\x1b[0m <b>|x|</b> \u202e" + "y" * 100


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    references = ["red"] * 6 + ["blue"] * 3 + [None]
    answers = ["red"] * 4 + ["blue", "prose", "blue", HOSTILE, "teal", "red"]
    return scored(
        tmp_path_factory.mktemp("mixed"),
        [{"color": one, "brand": None} for one in references],
        [one if one == "prose" else {"color": one, "brand": None} for one in answers],
        {"color": {}, "brand": {}},
    )


def test_tables_for_pandas(mixed):
    pytest.importorskip("pandas")
    found = mixed.confusion("color")
    table = found.to_pandas()
    assert (table.loc["red", "red"], table.loc["red", UNREAD], table.loc[NULL, "red"]) == (4, 1, 1)
    assert table.loc["blue", OTHER] == 2
    assert (table.index.name, table.columns.name, table.to_numpy().sum()) == ("reference", "answered", 10)
    assert found.to_pandas(most=1).columns.tolist() == ["red", NULL, OTHER, UNREAD]
    assert found.to_pandas("values").set_index("value").loc["red", "recall"] == pytest.approx(4 / 6)
    assert set(found.to_pandas("unknown")["word"]) == {HOSTILE, "teal"}


def test_html_holds_no_markup_of_the_data(tmp_path):
    page = of_colors(tmp_path, ["<script>x</script>"], ["<script>x</script>"])._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize("arguments", [[], ["--field", "color"], ["--format", "markdown", "--field", "color"]])
def test_page(mixed, capsys, arguments):
    assert main(["confusion", str(mixed.path), *arguments]) == 0
    page = capsys.readouterr().out
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "10 answers; 1 of them cannot be read" in page
    assert "teal" in page
    assert max(len(line) for line in page.splitlines() if line.startswith("  ") or line.startswith("|")) <= 110
    assert ("each value" in page) == ("--field" in arguments)
    assert ("brand" in page) == (not arguments)


def test_page_numbers(mixed, capsys):
    assert main(["confusion", str(mixed.path), "--field", "color"]) == 0
    lines = {" ".join(line.split()[:2]): line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert lines["1 red"] == ["1", "red", "4", "1", ".", ".", "1"]
    assert lines["2 blue"] == ["2", "blue", ".", "1", ".", "2", "."]
    assert lines["(null) 1"] == ["(null)", "1", ".", ".", ".", "."]


def test_json_and_csv(mixed, tmp_path, capsys):
    file = tmp_path / "pairs.csv"
    assert main(["confusion", str(mixed.path), "--json", "--csv", str(file)]) == 0
    value = json.loads(capsys.readouterr().out)
    assert list(value["fields"]) == ["color", "brand"]
    color = value["fields"]["color"]
    assert {"reference": "red", "answered": "red", "count": 4} in color["matrix"]
    assert color["out_of_vocabulary"]["outside"] == 2
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines(keepends=True)))
    assert sum(int(row["count"]) for row in rows if row["field"] == "color") == 10
    assert {row["answered"] for row in rows} >= {HOSTILE, "teal", NULL}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--field", "colr"], "did you mean 'color'"),
        (["--near", "2"], "0<=x<=1"),
        (["--csv", "/no/such/folder/x.csv"], "cannot be written"),
    ],
)
def test_mistakes_are_said(mixed, capsys, arguments, message):
    assert main(["confusion", str(mixed.path), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_text_tasks_have_no_fields(tmp_path):
    lines = [{"id": "a", "image": PIXEL, "reference": "A red shirt."}]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (tmp_path / "answers.jsonl").write_text(json.dumps({"id": "a", "response": "A shirt."}))
    (tmp_path / "task.json").write_text(
        json.dumps({"id": "caption", "answer": "text", "prompt": {"user": "Describe."}})
    )
    run = pb.score(
        answers=tmp_path / "answers.jsonl", data=tmp_path / "data.jsonl", task=tmp_path / "task.json",
        out=tmp_path / "run", images=False, metrics=["token_set_ratio"], resamples=50,
    )  # fmt: skip
    with pytest.raises(InputError, match="the task's answer is text"):
        run.confusion("color")


def test_lone_surrogates_can_be_written(tmp_path, capsys):
    run = scored(tmp_path, [{"color": "red"}], ['{"color": "\\ud800x"}'])
    assert main(["confusion", str(run.path), "--csv", str(tmp_path / "x.csv")]) == 0


# -- 100 photos, two annotators ----------------------------------------------------------------------------------------


@pytest.mark.skipif(not PHOTOS.exists(), reason="../shared/data/garment_photos is not there")
@pytest.mark.parametrize(("annotator", "wrong", "unknown"), [("a", 20, 2), ("b", 18, 1)])
def test_two_annotators_of_real_photos(tmp_path, annotator, wrong, unknown):
    run = pb.score(
        answers=PHOTOS / f"annotator_{annotator}.jsonl", data=PHOTOS / "samples.jsonl", task="garment",
        out=tmp_path / "run", images=False, metrics=["weighted_score"], resamples=50,
    )  # fmt: skip
    found = confusions(run.directory, open_registry(), Tools(), resamples=50)
    fields = run.summary["fields"]
    assert {name: one.correct for name, one in found.items()} == {
        name: entry["correct"] + entry["correct_null"] for name, entry in fields.items()
    }
    assert sum(one.asked - one.correct for one in found.values()) == wrong
    assert sum(len(one.unknown) for one in found.values()) == unknown
    truths = Counter(
        json.loads(line)["reference"]["type"] for line in (PHOTOS / "samples.jsonl").read_text().splitlines()
    )
    assert {one.value: one.support for one in found["type"].values if one.support} == dict(truths)


@pytest.mark.timeout(600)
@pytest.mark.skipif(not PHOTOS.exists(), reason="../shared/data/garment_photos is not there")
def test_the_groups_of_the_shipped_table_are_found_again(mpnet, tmp_path):
    """Exact comparators, every second value in another word of the table that ships, 15 % of the values mistaken."""
    tables = json.loads((PACKAGE / "data" / "synonyms" / "garment.json").read_text())["tables"]
    task = json.loads((PACKAGE / "data" / "tasks" / "garment.json").read_text())
    groups: dict[str, dict[str, list[str]]] = {name: {} for name in tables if name in task["fields"]}
    for name, found in groups.items():
        task["fields"][name]["comparator"] = "exact"
        for head, others in tables[name]["groups"].items():
            found |= {canonical(word): [head, *others] for word in (head, *others)}
    references = [json.loads(line)["reference"] for line in (PHOTOS / "samples.jsonl").read_text().splitlines()] * 5
    known = {name: sorted({one[name] for one in references if one[name]}) for name in groups}
    draw = random.Random(1)
    answers = []
    for reference in references:
        answer = dict(reference)
        for name, group_of in groups.items():
            if answer[name] is None:
                continue
            if draw.random() < 0.15:
                answer[name] = draw.choice(known[name])
            group = group_of.get(canonical(answer[name]))
            if group and draw.random() < 0.5:
                answer[name] = draw.choice(group)
        answers.append(answer)
    run = scored(tmp_path, references, answers, task["fields"])
    encoder = Remembering(mpnet)
    counts: Counter[object] = Counter()
    for name, found in confusion(run, list(groups), encoder=encoder).items():
        counts["unknown"] += sum(canonical(one.word) in groups[name] for one in found.unknown)
        for near in (0.5, 0.75):
            for head, others in confusion(run, [name], encoder=encoder, near=near)[name].synonyms().items():
                for word in others:
                    right = head in groups[name].get(canonical(word), ())
                    counts[near, right] += 1
    # what docs/confusion.md says
    assert counts == {"unknown": 220, (0.5, True): 166, (0.5, False): 8, (0.75, True): 94}


# -- the page ----------------------------------------------------------------------------------------------------------


def test_code_on_the_page_runs_and_its_group_makes_two_words_one(tmp_path, monkeypatch):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    page = (PACKAGE.parent / "docs" / "confusion.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict[str, Any] = {}
    exec(compile(code, "confusion.md", "exec"), names)
    assert names["color"].field == "color"
    assert Run("runs/some").confusion("color").counts == names["color"].counts
    (pasted,) = re.findall(r"```json\n(.*?)```", page, re.S)
    task = Task.model_validate({"id": "t", "prompt": {"user": "-"}, "fields": {"color": json.loads(pasted)}})
    comparator = open_registry().comparators(task, Tools())["color"]
    assert comparator.score("green", "Dark Green") == 1.0
