"""A second way to learn to see, while the base is trained: each field's value straight from the image tokens.

Every image token votes for the values of every field, and the votes are pooled by log-sum-exp, so that a small thing
seen at one place (a stain, a name) is learned where it is. The captions alone reach the stem by attention, which has to
find the place first. The votes are not part of the reader: they are left behind with the training.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from peakbench_recipes.tiny.tokens import JOIN, Reference


class Votes(nn.Module):  # type: ignore[misc]
    """A linear layer from image tokens to the values of all fields; of two values in a field, the first counts."""

    def __init__(self, references: Sequence[Reference], keys: Sequence[str], width: int) -> None:
        super().__init__()
        rows = [[_value(one, key) for key in keys] for one in references]
        self.values = [sorted({row[place] for row in rows}) for place in range(len(keys))]
        numbers = [{value: number for number, value in enumerate(values)} for values in self.values]
        self.targets = torch.tensor([[number[v] for number, v in zip(numbers, row, strict=True)] for row in rows])
        self.linear = nn.Linear(width, sum(map(len, self.values)))
        nn.init.zeros_(self.linear.weight)

    def forward(self, seen: Tensor, chosen: Sequence[int]) -> Tensor:
        """Cross-entropy of each field, in nats, for image tokens (batch, tokens, width) of the ``chosen`` samples."""
        pooled = self.linear(F.rms_norm(seen, (seen.size(-1),))).logsumexp(1)
        targets = self.targets[torch.as_tensor(chosen)]
        parts = pooled.split([len(values) for values in self.values], 1)
        return torch.stack([F.cross_entropy(part, targets[:, place]) for place, part in enumerate(parts)])


def _value(reference: Reference, key: str) -> str:
    return (reference.get(key) or "").split(JOIN)[0]
