"""How weights lie in memory: half precision, or eight-bit integers with one scale a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from peakbench.reader.weights import Array, Storage


@dataclass(frozen=True, slots=True)
class Stored:
    """One array at rest. ``scale``: what a column of ``values`` is multiplied with, None for half precision."""

    values: npt.NDArray[Any]
    scale: Array | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory, scales included."""
        return int(self.values.nbytes) + (0 if self.scale is None else int(self.scale.nbytes))

    def widen(self) -> Array:
        """The numbers in single precision, as the arithmetic wants them."""
        wide = self.values.astype(np.float32)
        if self.scale is not None:
            wide *= self.scale
        return wide


def quantize(array: Array) -> Stored:
    """Round a matrix (in, out) to integers from -127 to 127, with one scale for each column.

    A number is off by half a step at most, and a step is the column's largest magnitude / 127.

    >>> stored = quantize(np.array([[1.0, 0.02], [-0.25, 0.008]], dtype=np.float32))
    >>> stored.values.tolist()
    [[127, 127], [-32, 51]]
    """
    scale = np.abs(array).max(axis=0) / np.float32(127)
    scale[scale == 0] = 1
    return Stored(np.rint(array / scale).astype(np.int8), scale.astype(np.float32))


def arrange(name: str, array: Array) -> Array:
    """A weight as it is multiplied: (in, out); a kernel as (row, column, channel in) by channel out."""
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0])
    elif name.endswith(".weight") or name == "embedding":
        array = array.T
    return np.ascontiguousarray(array)


def store(arrays: Mapping[str, Array], storage: Storage) -> dict[str, Stored]:
    """Lay arrays (in the shapes of a weights file) down for arithmetic; int8 takes the matrices, fp16 the rest.

    >>> kept = store({"o.weight": np.eye(2, 3, dtype=np.float32), "norm": np.ones(3, dtype=np.float32)}, "int8")
    >>> kept["o.weight"].values.shape, kept["o.weight"].values.dtype.name, kept["norm"].values.dtype.name
    ((3, 2), 'int8', 'float16')
    """
    kept = {}
    for name, array in arrays.items():
        laid = arrange(name, array)
        matrix = laid.ndim == 2 and name != "position"
        kept[name] = quantize(laid) if matrix and storage == "int8" else Stored(laid.astype(np.float16))
    return kept
