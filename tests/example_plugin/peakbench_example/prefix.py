"""The comparator: two values are the same where they begin alike."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from peakbench import ComparatorKind, Tools


class Parameters(BaseModel, extra="forbid", frozen=True):
    """``letters``: how many letters must be the same."""

    letters: Annotated[int, Field(ge=1)] = 3


@dataclass(frozen=True)
class Prefix:
    """1 where the first letters are the same, else 0."""

    letters: int
    pass_mark: float = 1.0
    shape: Literal["scalar", "list"] = "scalar"

    def score(self, reference: object, prediction: object) -> float:
        """Compare two values, neither of them null.

        >>> Prefix(3).score("Sneakers", "sneaker")
        1.0
        """
        left, right = (str(value).casefold()[: self.letters] for value in (reference, prediction))
        return float(left == right)


def build(parameters: Parameters, tools: Tools) -> Prefix:
    """Build the comparator."""
    return Prefix(parameters.letters)


PREFIX = ComparatorKind("prefix", build, Parameters, "the first letters are the same")
