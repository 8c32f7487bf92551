"""Sentence encoders: all-mpnet-base-v2 through sentence-transformers, or through ONNX Runtime over an export of it.

Nothing is loaded before the first string whose vector is not kept from before: see :mod:`peakbench.backends.vectors`.
Nothing touches the network, and nothing is written to the screen.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from peakbench.backends.vectors import CachedEncoder, Vector, default_cache
from peakbench.errors import ConfigError, InputError, MissingDependency, nearest
from peakbench.metrics.base import Encoder

MODEL = "all-mpnet-base-v2"
THREADS = "PEAKBENCH_THREADS"
_WEIGHTS = "model.safetensors"

Engine = Literal["torch", "onnx"]
Precision = Literal["float32", "bfloat16"]

_BATCH = 32
_CHUNK = 4096
# 384 tokens are what the model reads. Words above 100 characters count as one, so no ordinary text is cut by this.
_CHARACTERS = 1 << 16
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
            within 1e-4 in cosine and about twice as fast. Its file is made once, beside the weights.
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
        folder, digest = _verified(id)
    if not (folder / "modules.json").is_file():
        raise InputError(
            "no sentence encoder lies there", where=str(folder), expected="modules.json and model.safetensors"
        )
    threads_wanted()
    made = OnnxEncoder(id, folder) if engine == "onnx" else TorchEncoder(id, folder, precision)
    if digest is not None:
        made.digest = digest  # known since the weights came here: nothing need be read again
    return CachedEncoder(made, default_cache() if cached else None)


def _verified(id: str) -> tuple[Path, str | None]:
    """Return the folder of the weights, and the sha256 that they were verified with."""
    from peakbench.backends import weights

    reason = weights.missing_reason(id)
    if reason is not None:
        raise InputError(reason, where=f"weights '{id}'")
    stamp = weights.stamp(id)
    seen = stamp.files.get(_WEIGHTS) if stamp else None
    return weights.folder(id), seen.sha256 if seen else None


def threads_wanted() -> int | None:
    """Return how many threads a model may use, ``PEAKBENCH_THREADS``; None: as many as its library takes.

    Raises:
        ConfigError: it is not a number above 0.
    """
    given = os.environ.get(THREADS, "").strip()
    if not given:
        return None
    if not given.isascii() or not given.isdigit() or int(given) < 1:
        raise ConfigError(f"'{given}' is not a number of threads", where=THREADS, expected="1 or more")
    return int(given)


class _ModelEncoder:
    """What both engines share: who they are, and loading at the first string, once, whatever the thread."""

    suffix = ""

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self._lock = threading.Lock()
        self._loaded: Any = None

    @cached_property
    def digest(self) -> str:
        """The sha256 of model.safetensors; half a second for 438 MB."""
        path = self.folder / _WEIGHTS
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"the weights cannot be read: {error.strerror}", where=str(path)) from None

    @property
    def identity(self) -> str:
        """Who makes the vectors: id, weights, and what else decides the numbers."""
        return f"{self.model}@{self.digest[:12]}{self.suffix}"

    def encode(self, texts: Sequence[str]) -> Vector:
        """Return one unit-length row a text, shape (n, d).

        A text beyond 384 tokens is cut there, as the model was published; one beyond 65,536 characters before that.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            parts = [
                self._rows([_clean(text) for text in texts[start : start + _CHUNK]])
                for start in range(0, len(texts), _CHUNK)
            ]
        return np.concatenate(parts) if parts else np.empty((0, 0), dtype=np.float32)

    def _load(self) -> Any:
        raise NotImplementedError

    def _rows(self, texts: list[str]) -> Vector:
        raise NotImplementedError


def _clean(text: str) -> str:
    """Cut, and put U+FFFD for halves of characters, which JSON can hold and no tokenizer takes."""
    return text[:_CHARACTERS].encode("utf-8", "surrogatepass").decode("utf-8", "replace")


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
    with _silence():
        import torch
        from sentence_transformers import SentenceTransformer

        threads = threads_wanted()
        if threads is not None:
            torch.set_num_threads(threads)
        with _offline():
            return SentenceTransformer(
                str(folder),
                device="cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": getattr(torch, precision), "use_safetensors": True},
            )


@contextmanager
def _silence() -> Iterator[None]:
    kept = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(kept)


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the Hub's client offline and transformers quiet, and leave both as they were.

    The variables HF_HUB_OFFLINE and HF_HUB_DISABLE_TELEMETRY are read when the client is imported, so what they set
    is set here: ``peakbench.backends.weights`` may fetch in the same process later.
    """
    from huggingface_hub import constants
    from transformers.utils import logging as transformers_logging

    words: Any = transformers_logging
    kept = constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_TELEMETRY
    bars, verbosity = words.is_progress_bar_enabled(), words.get_verbosity()
    constants.HF_HUB_OFFLINE = constants.HF_HUB_DISABLE_TELEMETRY = True
    words.disable_progress_bar()
    words.set_verbosity_error()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, constants.HF_HUB_DISABLE_TELEMETRY = kept
        words.set_verbosity(verbosity)
        if bars:
            words.enable_progress_bar()


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
        with _silence():
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
