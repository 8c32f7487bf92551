"""Null, types, canonical forms. Oracles: Unicode's own tables (UAX #15, CaseFolding.txt) and tables worked by hand."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakbench.errors import InputError
from peakbench.values import (
    SynonymTable,
    canonical,
    fold_nulls,
    is_null,
    shipped_table,
    shipped_tables,
    shortest,
    text_form,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("\ufb01le", "file"),  # UAX #15, figure 6: the ligature fi
        ("2\u2075", "25"),  # UAX #15, figure 6: a superscript
        ("\u1e9b\u0323", "\u1e69"),  # UAX #15, figure 6
        ("A\u030a", "\u00e5"),  # UAX #15, figure 3, and case
        ("stra\u00dfe", "STRASSE"),  # CaseFolding.txt: 00DF; F; 0073 0073
        ("\u03c3\u03b1\u03c2", "\u03a3\u0391\u03a3"),  # CaseFolding.txt: final sigma
        ("T-Shirt", "t shirt"),
        ("t\u2011shirt", "T \u2013  SHIRT"),
        (" navy\u00a0blue\n", "Navy Blue"),
        ("\uff2d", "m"),
    ],
)
def test_strings_with_one_canonical_form(first: str, second: str) -> None:
    assert canonical(first) == canonical(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("tshirt", "t-shirt"),  # a space is folded, not dropped
        ("32.0", 32),  # a string is not read as a number
        ("-5", 5),
        ("-5", "5"),
        (True, 1),
        (True, "true"),
        (True, "\0true"),
        (False, 0),
        (False, None),
        (None, "null"),
        ("null", "\0null"),
        (["a"], "a"),
        (["a"], '["a"]'),
        (["a", "b"], ["b", "a"]),
        ({"a": 1}, {"a": True}),
    ],
)
def test_values_with_different_canonical_forms(first: object, second: object) -> None:
    assert canonical(first) != canonical(second)


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (32, "32"),
        (32.0, "32"),
        (-32.5, "-32.5"),
        (0.1, "0.1"),
        (-0.0, "0"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (2**64, "18446744073709551616"),
    ],
)
def test_shortest_decimal(number: float, form: str) -> None:
    assert shortest(number) == canonical(number) == text_form(number) == form


def test_a_number_too_long_for_decimal_digits_still_has_a_form() -> None:
    assert shortest(10**5000) == hex(10**5000)
    assert shortest(float("inf")) == "inf"


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None, max_examples=100)
def test_the_shortest_decimal_reads_back_as_the_same_number(number: float) -> None:
    form = shortest(number)
    assert "e" not in form
    assert float(Decimal(form)) == number


@given(st.text(max_size=30))
@settings(deadline=None, max_examples=200)
def test_forms_are_fixed_points(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)
    assert text_form(text_form(text)) == text_form(text)


@given(JSON, JSON)
@settings(deadline=None, max_examples=200)
def test_kinds_never_mix(first: object, second: object) -> None:
    kinds = {kind: isinstance(first, kind) is isinstance(second, kind) for kind in (bool, list, dict, type(None))}
    if not all(kinds.values()):
        assert canonical(first) != canonical(second)


def test_null_like_strings() -> None:
    nulls = fold_nulls(["N/A", "not visible", "-", "\u2013", ""])
    for value in (None, "n/a", " N/A ", "\uff2e\uff0f\uff21", "Not  Visible", "-", "\u2013", "", "\t"):
        assert is_null(value, nulls), value
    # What is not in the list is a value, whatever it looks like, and only strings are looked up.
    for value in ("none", "n a", 0, False, [], {}, ["n/a"], "0"):
        assert not is_null(value, nulls), value


def test_text_forms() -> None:
    assert text_form("  Long\u2011Sleeve ") == "long\u2010sleeve"  # NFKC turns U+2011 into U+2010; it stays a hyphen
    assert text_form(["Cotton", 5.0, None, True]) == "cotton, 5, , true"
    assert text_form({"b": [1, 2.0], "A": " X  y"}) == '{"a":"x y","b":[1,2]}'
    assert text_form(None) == ""


@given(JSON)
@settings(deadline=None, max_examples=100)
def test_every_json_value_has_both_forms(value: object) -> None:
    assert isinstance(canonical(value), str)
    assert isinstance(text_form(value), str)


def test_deep_values_have_forms() -> None:
    deep: object = "x"
    for _ in range(500):
        deep = [deep]
    assert canonical(deep).startswith("\0")
    assert "..." in text_form(deep)


@pytest.mark.timeout(5)
def test_a_flood_of_combining_marks_takes_no_quadratic_time() -> None:
    # unicodedata.normalize needs 9 s for these 100,000 marks: it sorts them by insertion.
    flood = "a" + "\u0300\u0316" * 50_000
    assert canonical(flood) == unicodedata.normalize("NFKC", "a" + "\u0300\u0316" * 15)


def test_a_synonym_table_maps_a_group_to_one_form() -> None:
    table = SynonymTable({"navy blue": ["navy"], "gray": ["grey"]}, joiners=["and", "&", ","])
    assert table.head("NAVY") == table.head("navy-blue") == "navy blue"
    assert table.head("Grey, and navy") == table.head("gray & Navy Blue") == "gray and navy blue"
    assert table.head("navy and grey") != table.head("grey and navy")  # the first color is the main one
    assert table.head("sandy") == "sandy"  # "and" is a word, not three letters
    assert table.head(" & ") == "&"
    assert table.head(7) == "7"


def test_a_string_in_two_groups_is_refused() -> None:
    with pytest.raises(InputError, match="'Grey' stands in two groups: 'gray' and 'silver'"):
        SynonymTable({"gray": ["grey"], "silver": ["Grey"]})


def test_the_identity_of_a_table_follows_its_content() -> None:
    one = SynonymTable({"gray": ["grey"]})
    assert one.identity == SynonymTable({"Gray": ["GREY"]}).identity
    assert one.identity != SynonymTable({"gray": ["grey", "griege"]}).identity
    assert one.identity != SynonymTable({"gray": ["grey"]}, joiners=["and"]).identity


def test_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown synonym table 'garment.colour'") as caught:
        shipped_table("garment.colour")
    assert "did you mean 'garment.color'?" in str(caught.value)


def test_every_table_that_ships_loads() -> None:
    fields = ["closure", "color", "defect_type", "neckline", "pattern", "sleeve_length", "type"]
    assert shipped_tables() == tuple(f"garment.{name}" for name in fields)
    assert all(len(shipped_table(name)) >= 40 for name in shipped_tables())


@pytest.mark.parametrize(
    ("table", "first", "second"),
    [
        ("type", "T-shirt", "tee"),
        ("type", "trousers", "pants"),
        ("type", "trainers", "sneakers"),
        ("color", "Grey", "gray"),
        ("color", "navy and white", "navy blue & white"),
        ("pattern", "plain", "solid"),
        ("neckline", "polo neck", "turtleneck"),
        ("sleeve_length", "\u00be sleeves", "three-quarter sleeve"),
        ("closure", "zip up", "zip front"),
        ("defect_type", "torn", "rip"),
    ],
)
def test_what_a_cataloguer_calls_the_same(table: str, first: str, second: str) -> None:
    assert shipped_table(f"garment.{table}").head(first) == shipped_table(f"garment.{table}").head(second)


@pytest.mark.parametrize(
    ("table", "first", "second"),
    [
        ("type", "sweater", "sweatshirt"),
        ("type", "cap", "beanie"),
        ("type", "sweatpants", "leggings"),
        ("type", "dress", "skirt"),
        ("color", "navy blue", "dark blue"),
        ("color", "burgundy", "maroon"),
        ("color", "white and blue", "blue and white"),
        ("pattern", "plaid", "checkered"),
        ("pattern", "striped", "pinstripe"),
        ("neckline", "polo collar", "polo neck"),
        ("neckline", "scoop neck", "crew neck"),
        ("sleeve_length", "cap sleeve", "sleeveless"),
        ("closure", "zip fly", "zip front"),
        ("closure", "half zip", "quarter zip"),
        ("defect_type", "stain", "hole"),
        ("defect_type", "pilling", "fraying"),
    ],
)
def test_what_a_cataloguer_keeps_apart(table: str, first: str, second: str) -> None:
    assert shipped_table(f"garment.{table}").head(first) != shipped_table(f"garment.{table}").head(second)


def test_the_tables_write_a_string_once() -> None:
    # Within a group too: a form that canonical() already folds does not belong in the file.
    from importlib import resources

    text = (resources.files("peakbench") / "data" / "synonyms" / "garment.json").read_text(encoding="utf-8")
    for name, table in json.loads(text)["tables"].items():
        for head, others in table["groups"].items():
            forms = [canonical(one) for one in (head, *others)]
            assert len(set(forms)) == len(forms), (name, head)
