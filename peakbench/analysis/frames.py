"""Rows as a pandas table: imported when somebody asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from peakbench.errors import MissingDependency

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as a table, one column a key.

    Raises:
        MissingDependency: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingDependency("to_pandas()", package="pandas", extra="data") from None
    return pd.DataFrame.from_records(list(rows))
