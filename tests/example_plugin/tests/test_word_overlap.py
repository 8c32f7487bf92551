"""The metric against values worked out by hand, and the definitions through the registry."""

import pytest
from peakbench_example.prefix import Prefix
from peakbench_example.word_overlap import jaccard


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("navy blue", "navy blue", 1.0),
        ("navy blue", "dark blue", 1 / 3),  # {blue} of {navy, blue, dark}
        ("black and white", "white", 1 / 2),  # "and" is left out: {white} of {black, white}
        ("red", "green", 0.0),
    ],
)
def test_jaccard(left: str, right: str, expected: float) -> None:
    assert jaccard(left, right, frozenset({"and"})) == pytest.approx(expected)


def test_prefix() -> None:
    assert Prefix(3).score("sneakers", "SNEAKER") == 1.0
    assert Prefix(3).score("sandals", "sneakers") == 0.0
