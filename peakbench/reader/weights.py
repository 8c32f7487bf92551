"""A reader on disk: one folder with ``reader.json`` and one ``.npz`` file for the base and for each training stage.

``reader.json``::

    {
      "format": 1,
      "architecture": {
        "size": 128,                                    side of the square image, in pixels
        "mean": 0.5, "std": 0.25,                       (pixel / 255 - mean) / std goes in
        "stem": [{"channels": 24, "kernel": 3, "stride": 2, "padding": 1, "residual": 0}, ...],
        "width": 128, "heads": 4, "blocks": 2, "hidden": 512,
        "positions": 128                                image tokens, prompt and answer together, at most
      },
      "vocabulary": ["", "", "{\\"type\\": ", ...],       id -> bytes, one character (U+0000 to U+00FF) a byte;
                                                        "" for a special token
      "prompt": [3, 17, 4],                             ids between the image and the answer
      "end": 1,                                         id that ends an answer
      "models": {"reader": {"weights": "base.npz", "adapter": "gtpo.npz", "storage": "fp16"}, ...},
      "files": {"base.npz": {"sha256": "...", "bytes": 2960000}, ...},
      "training": {"seed": 0, "steps": 2500, "recipe": "reader", ...}
    }

The first of ``models`` is the one a folder opens. ``storage`` is "fp16" or "int8" (quantized at load from the same
numbers). Every matrix in a weights file lies as PyTorch keeps it, in half precision, batch norm folded in; with
w = width, c = the channels of a stage, p = those of the stage before (3 at first):

===========================  =====================  ==================================================================
name                         shape                  what
===========================  =====================  ==================================================================
stem.{i}.weight, .bias       (c, p, k, k), (c)      convolution of stage i with its stride, then ReLU
stem.{i}.{j}.a.weight .bias  (c, c, 3, 3), (c)      residual block j of stage i: relu(x + b(relu(a(x)))), padding 1
stem.{i}.{j}.b.weight .bias  (c, c, 3, 3), (c)
project.weight, .bias        (w, c last), (w)       image tokens, row by row of the last stage's map
embedding                    (vocabulary, w)        tokens in, and (tied) logits out
position                     (positions, w)         added to image tokens, prompt and answer alike
blocks.{i}.norm1             (w)                    RMS norm, epsilon 1e-6, before attention
blocks.{i}.qkv.weight        (3w, w)                queries, keys, values one below the other; heads contiguous
blocks.{i}.o.weight          (w, w)
blocks.{i}.norm2             (w)                    RMS norm before the feed-forward part
blocks.{i}.up.weight, .bias  (hidden, w), (hidden)  then GELU, tanh form
blocks.{i}.down.weight .bias (w, hidden), (w)
norm                         (w)                    RMS norm before the logits
===========================  =====================  ==================================================================

Image tokens see one another in both directions; every later token sees all before it.

An adapter file holds, for some of the decoder's matrices (qkv, o, up, down), ``blocks.{i}.{matrix}.a`` (rank, in) and
``blocks.{i}.{matrix}.b`` (out, rank), and ``scale`` (a number, alpha / rank): weight + scale * b @ a is what is used.
A stage that trained everything is a weights file of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from peakbench.errors import InputError, nearest

MANIFEST = "reader.json"
FORMAT = 1
ADAPTED = ("qkv", "o", "up", "down")
"""Matrices of a block that an adapter may change."""

MAX_PARAMETERS = 200_000_000

Array = npt.NDArray[np.float32]
Storage = Literal["fp16", "int8"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the convolutional stem, and how many residual blocks follow it."""

    channels: int
    kernel: int = 3
    stride: int = 2
    padding: int = 1
    residual: int = 0


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a reader.

    >>> small = Architecture(size=16, stem=(Stage(4), Stage(8, residual=1)), width=8, heads=2, blocks=1, hidden=16,
    ...                      positions=32)
    >>> small.image_tokens
    16
    >>> small.shapes(vocabulary=10)["stem.1.0.a.weight"]
    (8, 8, 3, 3)
    """

    size: int
    stem: tuple[Stage, ...]
    width: int
    heads: int
    blocks: int
    hidden: int
    positions: int
    mean: float = 0.5
    std: float = 0.25

    @property
    def image_tokens(self) -> int:
        """How many tokens one image takes."""
        side = self.size
        for stage in self.stem:
            side = (side + 2 * stage.padding - stage.kernel) // stage.stride + 1
        return side * side

    def shapes(self, vocabulary: int) -> dict[str, tuple[int, ...]]:
        """Every array of a weights file, with its shape."""
        width = self.width
        shapes: dict[str, tuple[int, ...]] = {}
        before = 3
        for i, stage in enumerate(self.stem):
            c = stage.channels
            shapes |= {f"stem.{i}.weight": (c, before, stage.kernel, stage.kernel), f"stem.{i}.bias": (c,)}
            for j in range(stage.residual):
                for half in ("a", "b"):
                    shapes |= {f"stem.{i}.{j}.{half}.weight": (c, c, 3, 3), f"stem.{i}.{j}.{half}.bias": (c,)}
            before = c
        shapes |= {"project.weight": (width, before), "project.bias": (width,)}
        shapes |= {"embedding": (vocabulary, width), "position": (self.positions, width), "norm": (width,)}
        for i in range(self.blocks):
            shapes |= {
                f"blocks.{i}.norm1": (width,),
                f"blocks.{i}.qkv.weight": (3 * width, width),
                f"blocks.{i}.o.weight": (width, width),
                f"blocks.{i}.norm2": (width,),
                f"blocks.{i}.up.weight": (self.hidden, width),
                f"blocks.{i}.up.bias": (self.hidden,),
                f"blocks.{i}.down.weight": (width, self.hidden),
                f"blocks.{i}.down.bias": (width,),
            }
        return shapes

    def problem(self) -> str | None:
        """What is wrong with the sizes, or None."""
        counts = [self.size, self.width, self.heads, self.blocks, self.hidden, self.positions]
        counts += [n for stage in self.stem for n in (stage.channels, stage.kernel, stage.stride)]
        counts += [1 + n for stage in self.stem for n in (stage.padding, stage.residual)]
        if not self.stem or not all(isinstance(n, int) and 1 <= n <= 65_536 for n in counts):
            return "sizes have to be whole numbers from 1, with one stage in the stem at least"
        if self.width % self.heads:
            return f"width {self.width} cannot be shared by {self.heads} heads"
        if not 1 <= self.image_tokens < self.positions:
            return f"{self.image_tokens} image tokens leave no room in {self.positions} positions"
        if not self.std > 0:
            return "std has to be above 0"
        return None


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a folder: its weights file, an adapter or None, and how its matrices are kept in memory."""

    weights: str
    adapter: str | None = None
    storage: Storage = "fp16"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``reader.json`` says."""

    architecture: Architecture
    vocabulary: tuple[bytes, ...]
    prompt: tuple[int, ...]
    end: int
    models: Mapping[str, Entry]
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def problem(self) -> str | None:
        """What is wrong, or None."""
        ids = range(len(self.vocabulary))
        if found := self.architecture.problem():
            return f"architecture: {found}"
        if not all(i in ids for i in (*self.prompt, self.end)):
            return f"prompt and end have to be ids below {len(self.vocabulary)}"
        if self.architecture.image_tokens + len(self.prompt) >= self.architecture.positions:
            return "image and prompt leave no position for an answer"
        if not self.models:
            return "models: none"
        for name, entry in self.models.items():
            if entry.storage not in ("fp16", "int8"):
                return f"models: {name}: storage {entry.storage!r} is neither fp16 nor int8"
        return None


def save_reader(
    folder: str | Path,
    manifest: Manifest,
    arrays: Mapping[str, Mapping[str, npt.NDArray[Any]]],
) -> Manifest:
    """Write a reader's folder: every file of ``arrays`` (file name -> name -> array), then ``reader.json``.

    Arrays are rounded to half precision; ``manifest.files`` is made here. Files are replaced one by one and the
    manifest last, so a reader that is opened meanwhile is either whole or says what does not fit.

    Raises:
        InputError: an array is missing, has the wrong shape or is not finite in half precision.
    """
    folder = Path(folder)
    if problem := manifest.problem():
        raise InputError(problem, where=str(folder / MANIFEST))
    used = {name for entry in manifest.models.values() for name in (entry.weights, entry.adapter) if name}
    if missing := used - set(arrays):
        raise InputError(f"no arrays for {sorted(missing)}", where=str(folder))
    weights = {entry.weights for entry in manifest.models.values()}
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, dict[str, Any]] = {}
    for name, content in arrays.items():
        _check_file_name(name, folder)
        with np.errstate(over="ignore"):
            halves = {key: np.asarray(value).astype(np.float16) for key, value in content.items()}
        _check_arrays(halves, manifest, adapter=name not in weights, where=str(folder / name))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **halves)  # type: ignore[arg-type]  # the stub takes **kwargs for allow_pickle
        data = buffer.getvalue()
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        _replace(folder / name, data)
    written = Manifest(
        manifest.architecture,
        manifest.vocabulary,
        manifest.prompt,
        manifest.end,
        dict(manifest.models),
        files,
        dict(manifest.training),
    )
    document = {
        "format": FORMAT,
        "architecture": asdict(written.architecture),
        "vocabulary": [token.decode("latin-1") for token in written.vocabulary],
        "prompt": list(written.prompt),
        "end": written.end,
        "models": {name: asdict(entry) for name, entry in written.models.items()},
        "files": files,
        "training": dict(written.training),
    }
    _replace(folder / MANIFEST, (json.dumps(document, indent=1) + "\n").encode())
    return written


def read_manifest(folder: str | Path) -> Manifest:
    """Read ``reader.json``.

    Raises:
        InputError: it is not there, is not of this format or does not hold together.
    """
    path = Path(folder) / MANIFEST
    where = str(path)
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror or error}", where=where, expected="a folder that holds a reader"
        ) from None
    except ValueError as error:
        raise InputError(f"is not JSON: {error}", where=where) from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise InputError(f"format {found!r} is not known", where=where, expected=f"format {FORMAT}")
    try:
        sizes = dict(content["architecture"])
        sizes["stem"] = tuple(Stage(**stage) for stage in sizes["stem"])
        manifest = Manifest(
            architecture=Architecture(**sizes),
            vocabulary=tuple(token.encode("latin-1") for token in content["vocabulary"]),
            prompt=tuple(int(i) for i in content["prompt"]),
            end=int(content["end"]),
            models={name: Entry(**entry) for name, entry in content["models"].items()},
            files={name: dict(entry) for name, entry in content["files"].items()},
            training=dict(content.get("training") or {}),
        )
        problem = manifest.problem()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        problem = f"is incomplete: {type(error).__name__}: {error}"
    if problem:
        raise InputError(problem, where=where)
    return manifest


def load_arrays(folder: str | Path, manifest: Manifest, model: str) -> dict[str, Array]:
    """The arrays of one model in single precision, its adapter merged.

    Raises:
        InputError: the folder has no model of that name; a file is missing, was changed (sha256) or holds other
            arrays than the architecture asks for.
    """
    folder = Path(folder)
    entry = manifest.models.get(model)
    if entry is None:
        raise InputError(
            f"no model {model!r}",
            where=str(folder / MANIFEST),
            expected=", ".join(manifest.models),
            hint=nearest(model, manifest.models),
        )
    arrays = _read_file(folder, manifest, entry.weights, adapter=False)
    if entry.adapter:
        adapter = _read_file(folder, manifest, entry.adapter, adapter=True)
        scale = np.float32(adapter.pop("scale"))
        for name in [name for name in adapter if name.endswith(".a")]:
            stem = name.removesuffix(".a")
            arrays[f"{stem}.weight"] = arrays[f"{stem}.weight"] + scale * (adapter[f"{stem}.b"] @ adapter[name])
    return arrays


def _read_file(folder: Path, manifest: Manifest, name: str, *, adapter: bool) -> dict[str, Array]:
    where = str(folder / name)
    _check_file_name(name, folder)
    try:
        expected = manifest.files[name]
        sha256 = expected["sha256"]
    except KeyError:
        raise InputError(f"{name} is not among files", where=str(folder / MANIFEST)) from None
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=where) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(
            "is not the file that reader.json names: its sha256 differs",
            where=where,
            hint="install PeakBench again, or export the reader again",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > 8 * MAX_PARAMETERS:
            raise InputError(f"unpacks to {unpacked:,} bytes", where=where)
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"is not a file of arrays: {error}", where=where) from None
    _check_arrays(arrays, manifest, adapter=adapter, where=where)
    return {key: value.astype(np.float32) for key, value in arrays.items()}


def _check_arrays(arrays: Mapping[str, npt.NDArray[Any]], manifest: Manifest, *, adapter: bool, where: str) -> None:
    shapes = manifest.architecture.shapes(len(manifest.vocabulary))
    if sum(int(np.prod(shape)) for shape in shapes.values()) > MAX_PARAMETERS:
        raise InputError(f"more than {MAX_PARAMETERS:,} parameters", where=where)
    if adapter:
        shapes = _adapter_shapes(arrays, shapes, where)
    if different := set(shapes) ^ set(arrays):
        name = min(different)
        raise InputError(f"array {name!r} is {'missing' if name in shapes else 'not expected'}", where=where)
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape:
            raise InputError(f"array {name!r} has shape {array.shape}", where=where, expected=str(shape))
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise InputError(f"array {name!r} holds something else than finite numbers", where=where)


def _adapter_shapes(
    arrays: Mapping[str, npt.NDArray[Any]], weights: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"scale": ()}
    for name, array in arrays.items():
        stem, _, half = name.rpartition(".")
        if half != "a" or stem.rpartition(".")[2] not in ADAPTED or f"{stem}.weight" not in weights:
            continue
        if array.ndim != 2:
            raise InputError(f"array {name!r} has shape {array.shape}", where=where, expected="(rank, in)")
        out, into = weights[f"{stem}.weight"]
        shapes |= {name: (array.shape[0], into), f"{stem}.b": (out, array.shape[0])}
    return shapes


def _check_file_name(name: str, folder: Path) -> None:
    if Path(name).name != name or not name.endswith(".npz"):
        raise InputError(f"{name!r} is not the name of a file in this folder", where=str(folder / MANIFEST))


def _replace(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, suffix=".part", delete=False) as part:
        part.write(data)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)
