"""What a cosine is worth: the share of labelled pairs at that cosine that mean the same, fitted and stored as data.

A mapping belongs to one model: a cosine of another says something else. The one that ships, ``garment``, was fitted on
``data/calibration/garment_pairs.json``, three labels over the garment vocabulary; docs/calibration.md measures it.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, model_validator

from peakbench.errors import TaskError, nearest
from peakbench.metrics.base import Floats

Unit = Annotated[float, Field(ge=0, le=1)]


class Pair(BaseModel, extra="forbid", frozen=True):
    """Two values of one field: the ``same`` words written otherwise, a ``synonym``, or ``different`` values."""

    field: str
    first: str
    second: str
    label: Literal["same", "synonym", "different"]

    @property
    def alike(self) -> bool:
        """Whether both mean the same."""
        return self.label != "different"


class Calibration(BaseModel, extra="forbid", frozen=True):
    """A rising mapping from cosine to the probability that two values mean the same; straight between its knots.

    ``model``: identity of the encoder whose cosines were labelled. ``cosines`` rise, ``probabilities`` do not fall;
    below the first knot and above the last the mapping is level.

    >>> Calibration(model="m@1", cosines=(0.2, 0.6), probabilities=(0.0, 1.0)).apply(np.array([0.1, 0.3, 0.9])).round(2)
    array([0.  , 0.25, 1.  ])
    """

    format: Literal[1] = 1
    model: str
    cosines: Annotated[tuple[Unit, ...], Field(min_length=1)]
    probabilities: Annotated[tuple[Unit, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rises(self) -> Calibration:
        if len(self.cosines) != len(self.probabilities):
            raise ValueError("as many cosines as probabilities")
        if (np.diff(self.cosines) <= 0).any() or (np.diff(self.probabilities) < 0).any():
            raise ValueError("cosines must rise, and probabilities must not fall")
        return self

    @property
    def digest(self) -> str:
        """Eight digits that tell this mapping from another, for signatures."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:8]

    def apply(self, cosines: npt.ArrayLike) -> Floats:
        """Return the probability for each cosine, same shape, in [0, 1]."""
        values: Floats = np.interp(np.asarray(cosines, dtype=np.float64), self.cosines, self.probabilities)
        return values

    def fits(self, identity: str) -> bool:
        """Whether an encoder is the one that this was fitted for; its engine and precision may be others.

        >>> mapping = Calibration(model="m@1", cosines=(0.5,), probabilities=(0.5,))
        >>> mapping.fits("m@1+onnx"), mapping.fits("m@12")
        (True, False)
        """
        return identity.partition("+")[0] == self.model


def fit(cosines: npt.ArrayLike, alike: npt.ArrayLike, model: str) -> Calibration:
    """Fit a mapping on labelled pairs by isotonic regression (pool adjacent violators, ``scipy.optimize``).

    Args:
        cosines: shape (n,), clipped to [0, 1].
        alike: shape (n,), whether the two values of each pair mean the same.
        model: identity of the encoder.

    >>> fit([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], "m@1").probabilities
    (0.0, 0.5, 0.5, 1.0)
    """
    from scipy.optimize import isotonic_regression

    clipped = np.clip(np.asarray(cosines, dtype=np.float64), 0, 1).round(6)
    places, inverse, counts = np.unique(clipped, return_inverse=True, return_counts=True)
    shares = np.bincount(inverse, weights=np.asarray(alike, dtype=np.float64)) / counts
    fitted = np.clip(isotonic_regression(shares, weights=counts).x, 0, 1).round(6)
    # Inside a level stretch a knot says nothing.
    inner = np.zeros(len(places), dtype=np.bool_)
    inner[1:-1] = (fitted[1:-1] == fitted[:-2]) & (fitted[1:-1] == fitted[2:])
    return Calibration(
        model=model, cosines=tuple(places[~inner].tolist()), probabilities=tuple(fitted[~inner].tolist())
    )


def shipped_pairs(name: str = "garment") -> tuple[Pair, ...]:
    """Return the labelled pairs that ship under a name.

    >>> shipped_pairs()[0].label
    'same'
    """
    content = json.loads(_folder().joinpath(f"{name}_pairs.json").read_text(encoding="utf-8"))
    return tuple(Pair.model_validate(one) for one in content["pairs"])


@cache
def shipped_calibration(name: str) -> Calibration:
    """Return a mapping that ships.

    Raises:
        TaskError: no mapping has that name; the nearest is named.

    >>> shipped_calibration("garment").model
    'all-mpnet-base-v2@78c0197b6159'
    """
    file = _folder().joinpath(f"{name}.json")
    names = [one.name.removesuffix(".json") for one in _folder().iterdir() if not one.name.endswith("_pairs.json")]
    if name not in names:
        raise TaskError(f"unknown calibration '{name}'", hint=nearest(name, names))
    return Calibration.model_validate_json(file.read_text(encoding="utf-8"))


def _folder() -> Traversable:
    return resources.files("peakbench") / "data" / "calibration"
