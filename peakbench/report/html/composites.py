"""What a composite is made of, read from its signature: how a number came about, without a registry."""

from __future__ import annotations

import re
from typing import Any, Literal

_PAIR = re.compile(r"([^=,{}]+)=([^=,{}]+)")


def composite_terms(signature: str, answer: Literal["json", "text"]) -> dict[str, Any] | None:
    """Return parts with weights, divisor and penalty of a composite metric; None for any other metric.

    ``exact``: whether an exact answer is 1 at once. ``penalty``: metric, above, strength, and whether it was on.

    >>> composite_terms("q|v1|divide_by:0.75|parts:{a=0.5,b=0.25}|answer:json", "json")
    {'parts': [['a', 0.5], ['b', 0.25]], 'divide_by': 0.75, 'exact': False, 'penalty': None}
    >>> composite_terms("rouge_l|v1|view:values", "json") is None
    True
    """
    given = dict(part.split(":", 1) for part in signature.split("|") if ":" in part)
    chosen = given.get("parts") or given.get(answer)
    if chosen is None or "answer" not in given:
        return None
    try:
        parts = [[name, float(weight)] for name, weight in _PAIR.findall(chosen)]
        divide_by = float(given.get("divide_by", 1.0))
        penalty = None
        if "penalty" in given and given["penalty"] != "null":
            found = dict(_PAIR.findall(given["penalty"]))
            penalty = {
                "metric": found["metric"],
                "above": float(found["above"]),
                "strength": float(found["strength"]),
                "on": given.get("hallucination", "off").startswith("on"),
            }
    except (ValueError, KeyError):
        return None
    return (
        {"parts": parts, "divide_by": divide_by, "exact": "parts" not in given, "penalty": penalty} if parts else None
    )
