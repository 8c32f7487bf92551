"""Field comparators against published values and tables worked by hand."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from peakbench.errors import InputError, TaskError
from peakbench.metrics.base import Comparator, Tools
from peakbench.metrics.comparators import COMPARATORS, Exact, Fuzzy, Numeric, Objects, Size, Synonyms, TagSet
from peakbench.values import SynonymTable, canonical

SCALAR = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
ANY = st.recursive(
    st.none() | SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=6,
)


def build(name: str, **parameters: object) -> Comparator:
    kind = next(kind for kind in COMPARATORS if kind.name == name)
    return kind.build(kind.parameters.model_validate(parameters), Tools())


ALL = {
    "exact": build("exact"),
    "synonyms": build("synonyms", table="garment.color"),
    "fuzzy": build("fuzzy"),
    "numeric": build("numeric", absolute=0.5),
    "size": build("size"),
    "set": build("set"),
    "objects": build("objects", fields={"a": "exact", "b": {"kind": "fuzzy", "threshold": 0.5}}),
}


def test_every_kind_that_ships_is_listed() -> None:
    assert [kind.name for kind in COMPARATORS] == ["exact", "synonyms", "fuzzy", "numeric", "size", "set", "objects"]
    assert {name: one.shape for name, one in ALL.items() if one.shape == "list"} == {"set": "list", "objects": "list"}


@given(st.sampled_from([name for name, one in ALL.items() if one.shape == "scalar"]), SCALAR, SCALAR)
@settings(deadline=None, max_examples=300)
def test_scalar_scores_lie_in_the_unit_interval_and_a_value_equals_itself(name: str, a: object, b: object) -> None:
    comparator = ALL[name]
    assert 0 <= comparator.score(a, b) <= 1
    assert comparator.score(a, a) == 1
    if isinstance(a, bool) is not isinstance(b, bool):
        assert comparator.score(a, b) == 0
    if canonical(a) == canonical(b):
        assert comparator.score(a, b) == 1


@given(st.sampled_from(["set", "objects"]), st.lists(ANY, max_size=4), st.lists(ANY, max_size=4))
@settings(deadline=None, max_examples=150)
def test_list_scores_lie_in_the_unit_interval_and_are_symmetric(name: str, a: list[object], b: list[object]) -> None:
    comparator = ALL[name]
    assert 0 <= comparator.score(a, b) <= 1
    assert comparator.score(a, b) == pytest.approx(comparator.score(b, a))
    if name == "set":  # in objects, a list where a scalar belongs is wrong even beside itself
        assert comparator.score(a, a) == 1


def test_exact() -> None:
    assert Exact().score("Crew-Neck", "crew neck") == 1
    assert Exact().score(32, 32.0) == 1
    assert Exact().score("32", 32) == 1
    assert Exact().score("crew neck", "crewneck") == 0


def test_synonyms_inline_and_shipped() -> None:
    table = SynonymTable({"t-shirt": ["tee"]})
    assert Synonyms(table).score("Tee", "T Shirt") == 1
    assert build("synonyms", table={"t-shirt": ["tee"]}).score("Tee", "T Shirt") == 1
    assert build("synonyms", table={"gray": ["grey"]}, joiners=["and"]).score("grey and red", "gray and red") == 1
    assert ALL["synonyms"].score("navy", "navy blue") == 1
    assert ALL["synonyms"].score("navy", "blue") == 0
    with pytest.raises(InputError, match="unknown synonym table 'garment.colors'"):
        build("synonyms", table="garment.colors")
    with pytest.raises(ValidationError):
        build("synonyms", table="garment.color", joined=["and"])


def test_fuzzy_gives_the_published_ratio() -> None:
    # README of rapidfuzz, "Simple Ratio": fuzz.ratio("this is a test", "this is a test!") -> 96.55171966552734
    assert Fuzzy(0.9).score("this is a test", "this is a test!") == pytest.approx(0.9655171966552734, abs=1e-7)


def test_fuzzy_is_zero_below_its_threshold_and_passes_at_it() -> None:
    # Indel: "abcd" and "abce" share 3 of 4 letters each: 2 * 3 / 8 = 0.75.
    at, above = Fuzzy(0.75), Fuzzy(0.7500001)
    assert at.score("abcd", "abce") == 0.75 >= at.pass_mark
    assert above.score("abcd", "abce") == 0
    assert Fuzzy(0.01).score(True, "\ufffdtrue") == 0
    with pytest.raises(ValidationError):
        build("fuzzy", threshold=0)


@pytest.mark.parametrize(
    ("reference", "prediction", "absolute", "relative", "score"),
    [
        (32, "32.0", 0, 0, 1),
        ("32", " 32 ", 0, 0, 1),
        (1, 1.1, 0.1, 0, 1),  # 1.1 - 1 is 0.10000000000000009 in binary
        (1, 1.11, 0.1, 0, 0),
        (200, 190, 0, 0.05, 1),
        (190, 200, 0, 0.05, 0),  # relative to the reference: 9.5
        (-200, -190, 0, 0.05, 1),
        (0, 0.1, 0, 0.5, 0),
        ("1e3", 1000, 0, 0, 1),
        ("\u22125", -5, 0, 0, 1),
        ("\uff13\uff12", 32, 0, 0, 1),
        (1, True, 5, 0, 0),
        (0, False, 5, 0, 0),
        ("about 32", 32, 5, 0, 0),  # not a number: compared as it is written
        ("about 32", "About  32", 0, 0, 1),
        (1, "1e999", 5, 0, 0),
        (1, "nan", 5, 0, 0),
        (1, "inf", 5, 0, 0),
        (1, "9" * 100_000, 5, 0, 0),
    ],
)
def test_numeric(reference: object, prediction: object, absolute: float, relative: float, score: float) -> None:
    assert Numeric(absolute=absolute, relative=relative).score(reference, prediction) == score


def test_numeric_takes_the_widest_numbers() -> None:
    comparator = Numeric(relative=0.1)
    assert comparator.score(1e308, 1.05e308) == 1
    assert comparator.score(10**400, 10**400) == 1
    assert comparator.score(10**400, 1) == 0


SAME_SIZE = [
    ("M", "medium"),
    ("M", "Med"),
    ("XL", "x-large"),
    ("XL", "Extra Large"),
    ("XL", "1XL"),
    ("XXL", "2XL"),
    ("XXL", "2X-Large"),
    ("XXL", "xx large"),
    ("XXL", "extra extra large"),
    ("XXL", "double XL"),
    ("XS", "extra-small"),
    ("3XL", "xxxl"),
    ("Size M", "m"),
    ("32x34", "W32 L34"),
    ("32x34", "32/34"),
    ("32x34", "32 X 34"),
    ("32x34", "32\u00d734"),
    ("32x34", "32W x 34L"),
    ("32x34", "W32/L34"),
    ("32x34", "waist 32 length 34"),
    ("32x34", '32" x 34"'),
    ("EU 42", "42"),
    ("EU 42", "42 EUR"),
    ("EU42", "eu-42"),
    ("UK 8.5", "8 1/2 UK"),
    ("8\u00bd", "8.5"),
    ("8.50", "8.5"),
    ("08", "8"),
    (42, "42"),
    (8.5, "8.5"),
    ("one size", "OS"),
    ("one size", "One-size"),
    ("O/S", "one size fits all"),
    ("6-12 months", "6\u201312M"),
    ("4 years", "4y"),
    ("M/L", "m / l"),
    ("M (38)", "38, medium"),
    ("EU 42 / US 10", "US 10 / EU 42"),
    ("EU 42 / US 10", "10 / 42"),
    ("38/40", "40 / 38"),  # two sizes: trousers of length 40 are not made
    ("Petite", "petite"),
]
OTHER_SIZE = [
    ("M", "L"),
    ("S", "XS"),
    ("XL", "XXL"),
    ("1X", "1XL"),  # plus sizes
    ("2X", "XXL"),
    ("32x34", "34x32"),
    ("32x34", "32-34"),  # a range
    ("32x34", "32"),
    ("32 34", "32x34"),
    ("EU 42", "US 42"),
    ("EU 38", "US 8"),  # no conversion
    ("EU 42", "US 10"),
    ("0", "00"),
    ("8", "80"),
    ("8.5", "85"),
    ("M", "M/L"),
    ("M/L", "M/M"),
    ("EU 42 / US 10", "EU 42 / UK 10"),
    ("12 months", "12 years"),
    ("M", "M tall"),
    (42, True),
    (1, True),
]


@pytest.mark.parametrize(("first", "second"), SAME_SIZE)
def test_the_same_size(first: object, second: object) -> None:
    assert Size().score(first, second) == Size().score(second, first) == 1


@pytest.mark.parametrize(("first", "second"), OTHER_SIZE)
def test_another_size(first: object, second: object) -> None:
    assert Size().score(first, second) == Size().score(second, first) == 0


def test_a_long_size_takes_no_time() -> None:
    assert Size().score("M", "x" * 1_000_000) == 0
    assert Size().score("M", "x " * 49) == 0


def test_set_f1_by_hand() -> None:
    # 2 of 3 found, 2 of 4 right: P 1/2, R 2/3, F1 = 2 * 1/2 * 2/3 / (1/2 + 2/3) = 4/7
    assert TagSet().score(["a", "b", "c"], ["A", "b", "x", "y"]) == pytest.approx(4 / 7)
    assert TagSet().score(["a", "b"], ["b", "a", "B", " a "]) == 1
    assert TagSet().score([True], [1]) == 0
    assert TagSet().score([], []) == 1
    assert TagSet().score(["a"], []) == 0
    assert build("set", pass_mark=0.5).pass_mark == 0.5


def test_objects_find_the_assignment_of_the_published_example() -> None:
    # scipy.optimize.linear_sum_assignment, example: cost [[4, 1, 3], [2, 0, 5], [3, 2, 2]] has the optimum 5,
    # columns 1, 0, 2. As scores: 1 - cost / 10, so the sum is 3 - 0.5 = 2.5, over 3 objects.
    class Table:
        pass_mark, shape = 1.0, "scalar"
        cost = ((4, 1, 3), (2, 0, 5), (3, 2, 2))

        def score(self, reference: int, prediction: int) -> float:
            return 1 - self.cost[reference][prediction] / 10

    rows = [{"n": n} for n in range(3)]
    assert Objects({"n": Table()}).score(rows, rows) == pytest.approx(2.5 / 3)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_objects_against_every_permutation(data: st.DataObject) -> None:
    item = st.fixed_dictionaries({}, optional={"part": st.sampled_from("abc"), "kind": st.sampled_from("xy")})
    first, second = data.draw(st.lists(item, min_size=1, max_size=4)), data.draw(st.lists(item, min_size=1, max_size=4))

    def pair(one: dict[str, str], other: dict[str, str]) -> float:
        return sum(one.get(name) == other.get(name) for name in ("part", "kind")) / 2

    short, long = sorted((first, second), key=len)
    best = max(
        sum(pair(one, other) for one, other in zip(short, chosen, strict=True))
        for chosen in itertools.permutations(long, len(short))
    )
    score = Objects({"part": Exact(), "kind": Exact()}).score(first, second)
    assert score == pytest.approx(best / len(long))


def test_objects_by_hand() -> None:
    defects = build("objects", fields={"part": "exact", "defect": {"kind": "synonyms", "table": "garment.defect_type"}})
    reference = [{"part": "cuff", "defect": "stain"}, {"part": "hem", "defect": "tear"}]
    assert defects.score(reference, [{"part": "hem", "defect": "rip"}, {"part": "cuff", "defect": "stained"}]) == 1
    assert defects.score(reference, [{"part": "hem", "defect": "rip"}]) == 0.5  # one too few
    assert defects.score([reference[0]], [reference[0], reference[1], {}]) == pytest.approx(1 / 3)  # two too many
    assert defects.score(reference, [{"part": "hem"}, "cuff"]) == 0.25  # half of one object; a string is none
    assert defects.score([{"part": "hem", "defect": None}], [{"part": "hem"}]) == 1  # null both
    assert defects.score([{"part": ["hem"]}], [{"part": ["hem"]}]) == 0.5  # a list where a scalar belongs, null both
    assert defects.score([], []) == 1
    assert defects.score([], [{}]) == 0


def test_objects_beyond_the_limit_count_against_the_answer() -> None:
    comparator = Objects({"n": Exact()})
    assert comparator.score([{"n": 1}], [{"n": 1}] * 20_000) == pytest.approx(1 / 20_000)
    assert comparator.score([{"n": 1}], [{"n": 0}] * Objects.LONGEST + [{"n": 1}]) == 0


def test_objects_name_what_is_wrong_with_their_fields() -> None:
    with pytest.raises(TaskError, match="objects: field 'part': unknown comparator 'exakt'") as caught:
        build("objects", fields={"part": "exakt"})
    assert "did you mean 'exact'?" in str(caught.value)
    with pytest.raises(TaskError, match="threshold"):
        build("objects", fields={"part": {"kind": "fuzzy", "threshold": 2}})
    with pytest.raises(ValidationError):
        build("objects", fields={})
