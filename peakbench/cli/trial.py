"""Trial answers: every metric of a definition file scores them, so that a fault shows before a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peakbench.errors import RegistryError
from peakbench.metrics.base import Tools
from peakbench.parsing import parse
from peakbench.records import Completion, Prediction, Response
from peakbench.registry import Registry
from peakbench.scoring import Scorer

REFERENCE = {
    "type": "t-shirt",
    "color": "navy blue",
    "pattern": "solid",
    "neckline": None,
    "sleeve_length": "short sleeve",
    "closure": None,
    "brand": "Nike",
    "size": "M",
    "defect_type": None,
}
WRONG = dict.fromkeys(REFERENCE, "something else")
TRIALS: dict[str, Any] = {
    "right": REFERENCE,
    "half": {**WRONG, **{key: REFERENCE[key] for key in list(REFERENCE)[::2]}},
    "wrong": WRONG,
    "all null": dict.fromkeys(REFERENCE),
    "unreadable": None,
}


def trial(registry: Registry, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Score the trial answers with these metrics, as the task ``garment``.

    Returns:
        for each metric its value for each trial (None where unscored) and the reason of the first that is unscored.

    Raises:
        RegistryError: a metric raised, or gave a value outside its declared range.
    """
    import json

    task = registry.task("garment")
    tools = Tools()
    metrics = registry.build(list(ids), task, tools)
    predictions = []
    for name, value in TRIALS.items():
        text = "no JSON here" if value is None else json.dumps(value)
        parsed = parse(text, keys=task.keys)
        response = Completion(name, 0, Response(text, latency_s=0.25, ttft_s=0.125, usage={"completion_tokens": 40}))
        predictions.append(Prediction(name, 0, parsed.state, parsed.value, parsed.problem, completion=response))
    reference = {key: REFERENCE.get(key) for key in task.keys}
    scorer = Scorer(task, metrics, registry.comparators(task, tools), registry.nulls_of(task))
    scored = scorer.score(predictions, [reference] * len(predictions))
    broken = {name: reason for name, reason in scorer.broken.items() if name in ids}
    if broken:
        listed = "; ".join(f"metric '{name}': {reason}" for name, reason in broken.items())
        raise RegistryError(
            listed, where="trial answers", expected="values inside the declared range, and no exception"
        )
    found: dict[str, dict[str, Any]] = {}
    for name in ids:
        if name not in scored.scores:  # one number a run: nothing to try on single answers
            found[name] = {"values": {}, "reason": "one number a run; not tried"}
            continue
        scores = scored.scores[name]
        values = [float(value) if done else None for value, done in zip(scores.values, scores.scored, strict=True)]
        reason = next((scores.reasons[row] for row in sorted(scores.reasons)), None)
        found[name] = {"values": dict(zip(TRIALS, values, strict=True)), "reason": reason}
    return found
