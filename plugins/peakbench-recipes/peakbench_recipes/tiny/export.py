"""Checkpoints as the folder that ``peakbench.reader`` opens: one base, one adapter file a stage, half precision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from peakbench import ConfigError
from peakbench.reader import Architecture, Entry, Manifest, Stage, save_reader
from torch import Tensor, nn

from peakbench_recipes.tiny.checkpoint import MODEL, load_model
from peakbench_recipes.tiny.model import Adapted, Reader, Residual, Sizes
from peakbench_recipes.tiny.tokens import END, Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray

BASE = "base.npz"

Arrays = dict[str, "NDArray[np.float32]"]


def export_checkpoint(checkpoint: Path, form: str, target: Path) -> Path:
    """Write one checkpoint as a reader of the name ``reader``, its int8 twin beside it.

    Raises:
        ConfigError: the form is not ``reader``.
    """
    if form != "reader":
        raise ConfigError(f"a small reader has no form '{form}'", expected="reader, series, folder")
    model, tokenizer, about = load_model(checkpoint)
    files: dict[str, Mapping[str, NDArray[Any]]] = {BASE: base_arrays(model)}
    adapter = None
    if about["adapter"] is not None:
        adapter = "adapter.npz"
        files[adapter] = adapter_arrays(model)
    models = {"reader": Entry(BASE, adapter), "reader-int8": Entry(BASE, adapter, "int8")}
    save_reader(target, manifest(model.sizes, tokenizer, models, about["training"]), files)
    return target


def export_series(stages: Mapping[str, Path], target: Path, *, training: Mapping[str, Any]) -> Manifest:
    """Write a base and what was trained from it as one folder.

    Args:
        stages: name -> checkpoint: the base first, then the stages in their order. The one with the highest reward
            on validation images is the reader; of equals, or where nothing was validated, the last.
        target: the folder.
        training: what ``reader.json`` says of the training.

    Raises:
        ConfigError: a stage was trained from another base.
    """
    files: dict[str, Mapping[str, NDArray[Any]]] = {}
    models: dict[str, Entry] = {}
    rewards: dict[str, float] = {}
    for name, checkpoint in stages.items():
        model, tokenizer, about = load_model(checkpoint)
        arrays = base_arrays(model)
        if not files:
            files[BASE], first = arrays, (model.sizes, tokenizer)
        elif any(not np.array_equal(files[BASE][key], value) for key, value in arrays.items()):
            raise ConfigError(f"stage '{name}' was trained from another base", where=str(checkpoint))
        adapter = None
        if about["adapter"] is not None:
            adapter = f"{name}.npz"
            files[adapter] = adapter_arrays(model)
        models[f"reader-{name}"] = Entry(BASE, adapter)
        rewards[f"reader-{name}"] = about["training"].get("validation", {}).get("reward", 0.0)
    best = models[max(reversed(rewards), key=rewards.__getitem__)]
    named = {"reader": best, "reader-int8": Entry(best.weights, best.adapter, "int8"), **models}
    return save_reader(target, manifest(*first, named, training), files)


def manifest(sizes: Sizes, tokenizer: Tokenizer, models: Mapping[str, Entry], training: Mapping[str, Any]) -> Manifest:
    """What ``reader.json`` says of a model."""
    stem = tuple(Stage(step.channels, step.kernel, step.stride, step.padding, step.residual) for step in sizes.stem)
    architecture = Architecture(
        size=sizes.size,
        stem=stem,
        width=sizes.width,
        heads=sizes.heads,
        blocks=sizes.blocks,
        hidden=4 * sizes.width,
        positions=sizes.image_tokens + sizes.answer,
    )
    return Manifest(architecture, tokenizer.vocabulary, tokenizer.prompt, END, models, training=training)


def base_arrays(model: Reader) -> Arrays:
    """The weights without the adapters; each batch normalisation is folded into the convolution before it."""
    found: dict[str, Tensor] = {}
    step, block = -1, 0
    layers = list(model.stem)
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            step, block = step + 1, 0
            _fold(found, f"stem.{step}", layer, layers[place + 1])
        elif isinstance(layer, Residual):
            for half, first in (("a", 0), ("b", 3)):
                _fold(found, f"stem.{step}.{block}.{half}", layer.f[first], layer.f[first + 1])
            block += 1
    found |= {"project.weight": model.project.weight, "project.bias": model.project.bias}
    found |= {"embedding": model.embedding.weight, "position": model.position[0], "norm": model.norm.weight}
    for number, one in enumerate(model.blocks):
        name = f"blocks.{number}"
        found |= {f"{name}.norm1": one.norm1.weight, f"{name}.norm2": one.norm2.weight}
        for matrix in ("qkv", "o", "up", "down"):
            layer = getattr(one, matrix)
            layer = layer.base if isinstance(layer, Adapted) else layer
            found[f"{name}.{matrix}.weight"] = layer.weight
            if layer.bias is not None:
                found[f"{name}.{matrix}.bias"] = layer.bias
    return {name: value.detach().numpy().astype(np.float32) for name, value in found.items()}


def adapter_arrays(model: Reader) -> Arrays:
    """The adapters: ``blocks.{i}.{matrix}.a`` and ``.b``, and their ``scale``."""
    arrays = {name: value.numpy().astype(np.float32) for name, value in model.adapter_state().items()}
    scales = {one.scale for _, one in model.adapters()}
    return {**arrays, "scale": np.float32(scales.pop())}


def sha256(checkpoint: Path) -> str:
    """The checksum of a checkpoint's weights."""
    return hashlib.sha256((checkpoint / MODEL).read_bytes()).hexdigest()


def _fold(found: dict[str, Tensor], name: str, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    found[f"{name}.weight"] = layer.weight * gain[:, None, None, None]
    found[f"{name}.bias"] = norm.bias - norm.running_mean * gain
