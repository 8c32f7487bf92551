"""The small reader in torch: a convolutional stem, then a transformer that reads its tokens and answers.

Image tokens see each other in both directions; the tokens of prompt and answer see the image and what stands before
them. The input and the output embedding are one matrix. Low-rank adapters attach to the four linear layers of each
block (``qkv``, ``o``, ``up``, ``down``), which is where the stages after the first one learn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

ADAPTED = ("qkv", "o", "up", "down")
"""Linear layers of a block that take an adapter."""


@dataclass(frozen=True)
class Convolution:
    """One step of the stem: a convolution with batch normalisation and ReLU, then ``residual`` residual blocks."""

    channels: int
    kernel: int = 3
    stride: int = 2
    residual: int = 0

    @property
    def padding(self) -> int:
        """As much as keeps side / stride."""
        return (self.kernel - self.stride + 1) // 2


STEM = (Convolution(24), Convolution(48, residual=1), Convolution(96, residual=1), Convolution(192, residual=1))


@dataclass(frozen=True)
class Sizes:
    """The architecture. ``size``: side of the square image in pixels; ``answer``: tokens after the image, at most.

    >>> Sizes(vocabulary=500).image_tokens
    64
    >>> Sizes.load(Sizes(500).dump()) == Sizes(500)
    True
    """

    vocabulary: int
    width: int = 128
    heads: int = 4
    blocks: int = 2
    stem: tuple[Convolution, ...] = STEM
    size: int = 128
    answer: int = 48

    @property
    def image_tokens(self) -> int:
        """How many tokens one image gives."""
        side = self.size
        for step in self.stem:
            side = (side + 2 * step.padding - step.kernel) // step.stride + 1
        return side * side

    @classmethod
    def load(cls, value: dict[str, Any]) -> Sizes:
        """The sizes from their JSON form."""
        return cls(**{**value, "stem": tuple(Convolution(**step) for step in value["stem"])})

    def dump(self) -> dict[str, Any]:
        """The sizes as JSON."""
        return {**asdict(self), "stem": [asdict(step) for step in self.stem]}


class Norm(nn.Module):  # type: ignore[misc]
    """Root-mean-square normalisation with a learned gain."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last axis."""
        return F.rms_norm(x, (x.size(-1),), self.weight.to(x.dtype), 1e-6)


class Adapted(nn.Module):  # type: ignore[misc]
    """A frozen linear layer with a low-rank correction: W x + (alpha / rank) B A x. B begins at zero."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        self.a = nn.Parameter(torch.empty(rank, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output."""
        return self.base(x) + F.linear(F.linear(x, self.a), self.b) * self.scale


class Block(nn.Module):  # type: ignore[misc]
    """Attention and a feed-forward layer, each on the normalised input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.norm2 = Norm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: list[Tensor] | None = None, last: int | None = None
    ) -> Tensor:
        """(batch, tokens, width) to the same.

        ``cache``: keys and values of the tokens before; it is brought up to date. ``last``: only the last so many
        tokens are wanted (of the last block, nobody reads what it makes of the image).
        """
        batch, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if last is not None:
            q, x, tokens = q[:, :, -last:], x[:, -last:], last
            mask = None if mask is None else mask[-last:]
        if cache is not None:
            if cache:
                k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
            cache[:] = [k, v]
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.o(seen.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


def convolution(inputs: int, step: Convolution) -> list[nn.Module]:
    """A convolution and its batch normalisation."""
    kernel = nn.Conv2d(inputs, step.channels, step.kernel, step.stride, step.padding, bias=False)
    return [kernel, nn.BatchNorm2d(step.channels)]


class Residual(nn.Module):  # type: ignore[misc]
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        same = Convolution(channels, stride=1)
        self.f = nn.Sequential(*convolution(channels, same), nn.ReLU(inplace=True), *convolution(channels, same))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, rows, columns) to the same."""
        return F.relu_(self.f(x) + x)


class Reader(nn.Module):  # type: ignore[misc]
    """The whole reader. Images are float, (batch, 3, size, size), normalised by ``pixels``."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        stem: list[nn.Module] = []
        inputs = 3
        for step in sizes.stem:
            stem += [
                *convolution(inputs, step),
                nn.ReLU(inplace=True),
                *(Residual(step.channels) for _ in range(step.residual)),
            ]
            inputs = step.channels
        self.stem = nn.Sequential(*stem)
        self.project = nn.Linear(inputs, sizes.width)
        self.embedding = nn.Embedding(sizes.vocabulary, sizes.width)
        self.position = nn.Parameter(torch.randn(1, sizes.image_tokens + sizes.answer, sizes.width) * 0.02)
        self.blocks = nn.ModuleList(Block(sizes.width, sizes.heads) for _ in range(sizes.blocks))
        self.norm = Norm(sizes.width)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def see(self, images: Tensor) -> Tensor:
        """Images to image tokens, (batch, image tokens, width), before the positions are added."""
        return self.project(self.stem(images).flatten(2).transpose(1, 2))

    def mask(self, tokens: int) -> Tensor:
        """Who sees whom among ``tokens`` places, image first: True where the row may look at the column."""
        seen = torch.ones(tokens, tokens, dtype=torch.bool).tril()
        seen[: self.sizes.image_tokens, : self.sizes.image_tokens] = True
        return seen

    def forward(self, ids: Tensor, seen: Tensor | None = None) -> Tensor:
        """Logits (batch, tokens, vocabulary) after each of ``ids``. ``seen``: image tokens, or None for text alone."""
        first = self.sizes.image_tokens
        position = self.position.to(torch.float32 if seen is None else seen.dtype)
        x = self.embedding(ids).to(position.dtype) + position[:, first : first + ids.size(1)]
        if seen is None:
            mask = torch.ones(ids.size(1), ids.size(1), dtype=torch.bool).tril()
        else:
            x = torch.cat([seen + position[:, :first], x], 1)
            mask = self.mask(x.size(1))
        for block in self.blocks[:-1]:
            x = block(x, mask)
        return self.read(self.blocks[-1](x, mask, last=ids.size(1)))

    def answers(self, seen: Tensor, prompt: Sequence[int], ids: Tensor, copies: int = 1) -> Tensor:
        """Logits before each token of ``ids``, the answers, (batch * copies, tokens, vocabulary).

        Image and prompt are read once for all ``copies`` answers of an image, which stand in a row.
        """
        x, caches = self._begin(seen, prompt, copies)
        before, tokens = caches[0][0].size(2), ids.size(1) - 1
        y = self.embedding(ids[:, :-1]) + self.position[:, before : before + tokens]
        mask = torch.ones(tokens, before + tokens, dtype=torch.bool).tril(before)
        for block, cache in zip(self.blocks, caches, strict=True):
            y = block(y, mask, cache)
        return self.read(torch.cat([x[:, -1:], y], 1))

    def _begin(self, seen: Tensor, prompt: Sequence[int], copies: int) -> tuple[Tensor, list[list[Tensor]]]:
        """Read image and prompt: the last layer's tokens, and keys and values of each block, ``copies`` of each row."""
        ids = torch.tensor([list(prompt)] * seen.size(0))
        x = torch.cat([seen, self.embedding(ids)], 1)
        x = x + self.position[:, : x.size(1)]
        mask = self.mask(x.size(1))
        caches: list[list[Tensor]] = [[] for _ in self.blocks]
        for place, (block, cache) in enumerate(zip(self.blocks, caches, strict=True)):
            x = block(x, mask, cache, last=1 if place == len(self.blocks) - 1 else None)
        if copies > 1:
            x = x.repeat_interleave(copies, 0)
            for cache in caches:
                cache[:] = [tensor.repeat_interleave(copies, 0) for tensor in cache]
        return x, caches

    def read(self, x: Tensor) -> Tensor:
        """Logits of the last layer's tokens."""
        return F.linear(self.norm(x), self.embedding.weight.to(x.dtype))

    def adapt(self, rank: int, alpha: float) -> list[nn.Parameter]:
        """Freeze everything and put a low-rank adapter on each decoder linear; what is left to train is returned."""
        self.requires_grad_(False)
        for block in self.blocks:
            for name in ADAPTED:
                setattr(block, name, Adapted(getattr(block, name), rank, alpha))
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def adapters(self) -> Iterator[tuple[str, Adapted]]:
        """The adapters, by the name of the layer they correct."""
        for name, module in self.named_modules():
            if isinstance(module, Adapted):
                yield name, module

    def adapter_state(self) -> dict[str, Tensor]:
        """The adapters' weights by name."""
        return {f"{name}.{half}": getattr(one, half).detach() for name, one in self.adapters() for half in ("a", "b")}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def restore_adapters(self, state: dict[str, Tensor]) -> None:
        """Put back what ``adapter_state`` gave."""
        for name, one in self.adapters():
            one.a.copy_(state[f"{name}.a"])
            one.b.copy_(state[f"{name}.b"])

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def write(
        self,
        seen: Tensor,
        prompt: Sequence[int],
        *,
        end: int,
        limit: int,
        temperature: float = 0.0,
        copies: int = 1,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer ``copies`` times for each image, greedily at temperature 0.

        Returns:
            Token ids (batch * copies, tokens), the end token among them and zero after it, and the mask of the tokens
            that count (the end token does).
        """
        x, caches = self._begin(seen, prompt, copies)
        first = caches[0][0].size(2)
        written = []
        done = torch.zeros(x.size(0), dtype=torch.bool)
        for place in range(first, first + limit):
            logits = self.read(x)[:, 0].float()
            if temperature > 0:
                chosen = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
            else:
                chosen = logits.argmax(-1)
            chosen = torch.where(done, torch.zeros_like(chosen), chosen)
            written.append((chosen, ~done))
            done = done | (chosen == end)
            if bool(done.all()):
                break
            x = self.embedding(chosen)[:, None] + self.position[:, place : place + 1]
            for block, cache in zip(self.blocks, caches, strict=True):
                x = block(x, None, cache)
        tokens, counts = zip(*written, strict=True)
        return torch.stack(tokens, 1), torch.stack(counts, 1)


def pixels(images: Tensor) -> Tensor:
    """Bytes (batch, rows, columns, 3) to what the stem takes: (batch, 3, rows, columns), about -2 to 2."""
    scaled = images.permute(0, 3, 1, 2).float().div_(63.75).sub_(2.0)
    return scaled.contiguous(memory_format=torch.channels_last)
