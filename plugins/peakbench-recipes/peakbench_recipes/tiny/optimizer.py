"""Optimisers and schedules of the small reader.

``Muon``: momentum whose every matrix is made orthogonal before it is applied (K. Jordan and others, "Muon: an
optimizer for hidden layers in neural networks", 2024), for convolutions and the linear layers inside; everything else
(embedding, positions, gains, biases) is left to AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """The matrix with its singular values pressed towards 1, by a quintic Newton-Schulz iteration.

    >>> values = torch.linalg.svdvals(orthogonal(torch.randn(8, 20, generator=torch.Generator().manual_seed(0))))
    >>> bool(((values > 0.6) & (values < 1.3)).all())
    True
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.size(0) > x.size(1)
    x = x.T if tall else x
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Orthogonalised momentum; a convolution counts as the matrix (channels out, all that goes in).

    ``lr``: the root mean square of one step's change is about 0.2 * lr, whatever the matrix's shape.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:
        """Apply the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                kept = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(kept, group["momentum"]).flatten(1)
                change = orthogonal(ahead) * (0.2 * math.sqrt(max(ahead.shape)))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(change.view_as(parameter), alpha=-group["lr"])


def cosine(step: int, steps: int, *, warmup: int, floor: float = 0.02) -> float:
    """The share of the learning rate at a step: half a cosine down to ``floor``, times a line up in ``warmup`` steps.

    >>> [round(cosine(step, 100, warmup=10), 2) for step in (0, 9, 50, 99)]
    [0.1, 0.98, 0.51, 0.02]
    """
    return min(1.0, (step + 1) / max(1, warmup)) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * step / steps)))


class Average:
    """A moving average of a model's parameters, which is what is kept of a training.

    The memory grows with the steps taken up to ``decay``, so the beginning is soon forgotten.
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], decay: float) -> None:
        self.decay = decay
        self.values = {name: parameter.detach().clone() for name, parameter in parameters}

    def restore(self, values: dict[str, Tensor]) -> None:
        """Go on from earlier values."""
        self.values = {name: value.clone() for name, value in values.items()}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def update(self, parameters: Iterable[tuple[str, nn.Parameter]], step: int) -> None:
        """Take in the parameters after a step."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, parameter in parameters:
            self.values[name].lerp_(parameter.detach(), share)
