"""Sentence encoders: all-mpnet-base-v2 through sentence-transformers, or through ONNX Runtime over an export of it.

Nothing is loaded before the first string whose vector is not kept from before: see :mod:`peakbench.backends.vectors`.
Nothing touches the network, and nothing is written to the screen.
"""

from __future__ import annotations

import importlib.util
import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from peakbench.backends.loading import LocalModel, clean, offline, silence, threads_wanted, verified
from peakbench.backends.vectors import CachedEncoder, Vector, default_cache
from peakbench.errors import ConfigError, InputError, MissingDependency, nearest
from peakbench.metrics.base import Encoder

MODEL = "all-mpnet-base-v2"

Engine = Literal["torch", "onnx"]
Precision = Literal["float32", "bfloat16"]

_BATCH = 32
_CHUNK = 4096
_REFUSED = {
    "int8": "dynamic int8 shifts the cosines of this model by 0.2 to 0.3, more than what tells one value from another",
    "float16": "float16 is not faster than float32 on a processor, and it overflows",
}


def open_encoder(
    id: str = MODEL,
    *,
    engine: Engine = "torch",
    precision: Precision = "float32",
    folder: Path | None = None,
    cached: bool = True,
) -> Encoder:
    """Open a sentence encoder; its model is loaded at the first string that has to be encoded.

    Args:
        id: which weights.
        engine: ``torch`` is the reference, sentence-transformers on the processor; ``onnx`` is ONNX Runtime, the same
            within 1e-4 in cosine and a third faster. Its file is made once, beside the weights.
        precision: ``float32``, or by name ``bfloat16`` (torch alone), whose error docs/calibration.md gives.
        folder: where the weights lie, instead of where ``peakbench weights`` puts them.
        cached: keep vectors between runs (``PEAKBENCH_VECTORS``: a path, or ``off``).

    Returns:
        an encoder whose ``identity`` is the model's id, the first twelve digits of the sha256 of its weights, and
        what else decides the numbers: ``all-mpnet-base-v2@78c0197b6159+onnx``.

    Raises:
        ConfigError: an unknown engine; a precision that is refused, with the reason.
        MissingDependency: a package is not installed.
        InputError: the weights are not there, or not those of a sentence encoder.
    """
    if engine not in ("torch", "onnx"):
        raise ConfigError(f"unknown engine '{engine}'", where="encoder", hint=nearest(engine, ["torch", "onnx"]))
    if precision not in ("float32", "bfloat16") or (engine == "onnx" and precision != "float32"):
        reason = _REFUSED.get(precision, f"'{engine}' does not offer it")
        raise ConfigError(
            f"precision '{precision}' is refused: {reason}", where="encoder", expected="float32, or bfloat16 with torch"
        )
    needed = [("sentence-transformers", "models")] if engine == "torch" else [("onnxruntime", "onnx")]
    for package, extra in needed:
        if importlib.util.find_spec(package.replace("-", "_")) is None:
            raise MissingDependency("the sentence encoder", package=package, extra=extra)
    digest = None
    if folder is None:
        folder, digest = verified(id)
    if not (folder / "modules.json").is_file():
        raise InputError(
            "no sentence encoder lies there", where=str(folder), expected="modules.json and model.safetensors"
        )
    threads_wanted()
    made = OnnxEncoder(id, folder) if engine == "onnx" else TorchEncoder(id, folder, precision)
    if digest is not None:
        made.digest = digest  # known since the weights came here: nothing need be read again
    return CachedEncoder(made, default_cache() if cached else None)


class _ModelEncoder(LocalModel):
    """What both engines share: texts of like length together, each text in its place."""

    def encode(self, texts: Sequence[str]) -> Vector:
        """Return one unit-length row a text, shape (n, d).

        A text beyond 384 tokens is cut there, as the model was published; one beyond 65,536 characters before that.
        """
        with self._lock:
            self.loaded()
            rows: Vector | None = None
            for places in _alike([len(text) for text in texts]):
                made = self._rows([clean(texts[place]) for place in places])
                if rows is None:
                    rows = np.empty((len(texts), made.shape[1]), dtype=np.float32)
                rows[places] = made
        return np.empty((0, 0), dtype=np.float32) if rows is None else rows

    @abstractmethod
    def _rows(self, texts: list[str]) -> Vector: ...


def _alike(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of texts that differ by less than a factor of two in length, at most 4,096 at a time.

    A batch is padded to its longest: one long text among thirty short ones would make thirty-one long ones.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for _, group in groupby(order, key=lambda place: max(lengths[place], 16).bit_length()):
        places = list(group)
        for start in range(0, len(places), _CHUNK):
            yield places[start : start + _CHUNK]


class TorchEncoder(_ModelEncoder):
    """The reference: ``SentenceTransformer.encode`` with normalised rows, on the processor."""

    def __init__(self, model: str, folder: Path, precision: Precision = "float32") -> None:
        super().__init__(model, folder)
        self.precision = precision
        self.suffix = "+bf16" if precision == "bfloat16" else ""

    def _load(self) -> Any:
        return load_sentence_transformer(self.folder, self.precision)

    def _rows(self, texts: list[str]) -> Vector:
        # sorts by length and pads each batch to its longest
        rows = self._loaded.encode(
            texts, batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True
        )
        vectors: Vector = np.asarray(rows, dtype=np.float32)
        if self.precision != "float32":  # the length is rounded too
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def load_sentence_transformer(folder: Path, precision: Precision = "float32") -> Any:
    """Load a ``SentenceTransformer`` from a folder: no network, no code from the folder, no word on the screen."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a fork after the first use writes to the screen
    with silence():
        import torch
        from sentence_transformers import SentenceTransformer

        threads = threads_wanted()
        if threads is not None:
            torch.set_num_threads(threads)
        with offline():
            return SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": getattr(torch, precision), "use_safetensors": True},
            )


class OnnxEncoder(_ModelEncoder):
    """ONNX Runtime over an export of the transformer; tokens by the tokenizers library, the mean taken here.

    ``file``: the export; left out, it lies beside the weights and is made where it is not there, which needs torch
    and half a minute.
    """

    suffix = "+onnx"

    def __init__(self, model: str, folder: Path, file: Path | None = None) -> None:
        super().__init__(model, folder)
        self._file = file

    def _load(self) -> Any:
        from tokenizers import Tokenizer

        import onnxruntime  # isort: skip

        _check_pooling(self.folder)
        file = self._file or self.folder / f"peakbench-{self.digest[:12]}.onnx"
        if not file.is_file():
            export(self.folder, file)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        threads = threads_wanted()
        if threads is not None:
            options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        # The published file says 128 and 128; the model was published with 384 tokens.
        tokenizer.no_padding()
        tokenizer.enable_truncation(_longest(self.folder))
        return session, tokenizer, _padding(self.folder)

    def _rows(self, texts: list[str]) -> Vector:
        session, tokenizer, padding = self._loaded
        tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        rows: Vector | None = None
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            longest = len(tokens[chosen[-1]])
            ids = np.full((len(chosen), longest), padding, dtype=np.int64)
            mask = np.zeros((len(chosen), longest), dtype=np.int64)
            for row, index in enumerate(chosen):
                ids[row, : len(tokens[index])] = tokens[index]
                mask[row, : len(tokens[index])] = 1
            (states,) = session.run(["states"], {"input_ids": ids, "attention_mask": mask})
            mean = np.einsum("ijk,ij->ik", states, mask.astype(np.float32)) / mask.sum(axis=1, keepdims=True)
            mean /= np.linalg.norm(mean, axis=1, keepdims=True)
            if rows is None:
                rows = np.empty((len(texts), mean.shape[1]), dtype=np.float32)
            rows[chosen] = mean
        return cast("Vector", rows)


def _read_json(path: Path) -> Any:
    import json

    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None


def _check_pooling(folder: Path) -> None:
    """Refuse a model that is more than a transformer, the mean over its tokens, and unit length."""
    modules = [one["type"].rpartition(".")[2] for one in _read_json(folder / "modules.json")]
    pooling = [one["path"] for one in _read_json(folder / "modules.json") if one["type"].endswith("Pooling")]
    settings = _read_json(folder / pooling[0] / "config.json") if pooling else {}
    modes = {name for name, on in settings.items() if name.startswith("pooling_mode_") and on is True}
    if settings.get("pooling_mode"):
        modes.add(f"pooling_mode_{settings['pooling_mode']}_tokens")
    if modules != ["Transformer", "Pooling", "Normalize"] or modes != {"pooling_mode_mean_tokens"}:
        raise InputError(
            "the ONNX engine offers the mean over tokens alone", where=str(folder), hint="use the engine 'torch'"
        )


def _longest(folder: Path) -> int:
    return int(_read_json(folder / "sentence_bert_config.json")["max_seq_length"])


def _padding(folder: Path) -> int:
    return int(_read_json(folder / "config.json")["pad_token_id"])


def export(folder: Path, file: Path) -> None:
    """Write the transformer of a sentence encoder as an ONNX file; it appears whole or not at all.

    Raises:
        MissingDependency: sentence-transformers, onnx or onnxscript is not installed.
    """
    for package in ("sentence_transformers", "onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependency("making the ONNX file", package=package, extra="models,onnx")
    model = load_sentence_transformer(folder)
    import torch

    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens", min=2, max=_longest(folder))
    example = {
        "input_ids": torch.arange(3, 3 + 16).reshape(2, 8),
        "attention_mask": torch.ones(2, 8, dtype=torch.int64),
    }
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        with silence():
            torch.onnx.export(
                model[0].auto_model.eval(),
                (),
                str(unfinished),
                kwargs=example,
                input_names=list(example),
                output_names=["states"],
                dynamic_shapes={name: {0: rows, 1: tokens} for name in example},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
