"""The benchmark's reward in the form that TRL calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from peakbench.rewards import Reward

Message = Mapping[str, Any]


class AnswerReward:
    """Scores completions with ``peakbench.rewards.Reward``; one is passed to TRL's GRPO trainer as reward function.

    The data set needs a column ``reference``: the reference of each sample as JSON text (columns of nested objects do
    not keep missing keys and nulls apart).

    >>> rewards = AnswerReward(Reward("garment"))
    >>> answer = [{"role": "assistant", "content": '{"type": "coat"}'}]
    >>> [round(x, 2) for x in rewards(prompts=[[]], completions=[answer], reference=['{"type": "coat"}'])]
    [0.82]
    """

    __name__ = "reward"  # how TRL names it in its logs

    def __init__(self, reward: Reward) -> None:
        self.reward = reward

    def __call__(
        self,
        *,
        completions: Sequence[Sequence[Message] | str],
        reference: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **others: object,
    ) -> list[float]:
        """Return the total of each completion; the means of the layers go to ``log_metric``."""
        texts = [completion_text(completion) for completion in completions]
        parts = self.reward.batch(texts, [json.loads(one) for one in reference])
        if log_metric is not None and parts:
            log_metric("json_rate", fmean(float(one.json) for one in parts))
            log_metric("structure", fmean(one.structure for one in parts))
            log_metric("content", fmean(one.content for one in parts))
        return [one.total for one in parts]


def completion_text(completion: Sequence[Message] | str) -> str:
    """Return the text of a completion: a string, or messages whose content is text or parts of text.

    >>> completion_text([{"role": "assistant", "content": [{"type": "text", "text": "{}"}]}])
    '{}'
    """
    if isinstance(completion, str):
        return completion
    texts = []
    for message in completion:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
        else:
            texts.extend(part["text"] for part in content if part.get("type") == "text")
    return "".join(texts)
