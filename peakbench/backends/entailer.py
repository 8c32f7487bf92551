"""Entailment models: DeBERTa-v3 for natural language inference, through transformers.

Nothing is loaded before the first pair whose judgement is not kept from before (``peakbench.backends.vectors``: the
same file holds the encoders' vectors). Nothing touches the network, no code comes from the folder of the weights, and
nothing is written to the screen.

Tokens are made by the published ``tokenizer.json`` itself: transformers 5 builds a DeBERTa tokenizer from its
vocabulary alone, without the file's normaliser, and gives other tokens for the same text.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from peakbench.backends.loading import (
    CHARACTERS,
    WEIGHTS,
    LocalModel,
    clean,
    offline,
    silence,
    threads_wanted,
    verified,
)
from peakbench.backends.vectors import Vector, VectorCache, default_cache
from peakbench.errors import InputError, MissingDependency
from peakbench.metrics.base import Bools, Entailer, Floats

MODEL = "deberta-v3-base-mnli-fever-anli"

_LABEL = "contradiction"
_FILES = ("config.json", WEIGHTS, "tokenizer.json")
_KEPT_AT_ONCE = 512
_MOST_IN_A_BATCH = 32
# Attention takes memory by the square of the length: 12 heads of four bytes make 48 MiB of each matrix.
_SQUARES = 1 << 20
_PUBLISHED_LENGTH = 512

_Pair = tuple[str, str]


def open_entailer(id: str = MODEL, *, folder: Path | None = None, cached: bool = True) -> Entailer:
    """Open an entailment model; it is loaded at the first pair that has to be judged.

    Args:
        id: which weights.
        folder: where they lie, instead of where ``peakbench weights`` puts them.
        cached: keep judgements between runs (``PEAKBENCH_VECTORS``: a path, or ``off``).

    Returns:
        an entailer whose ``identity`` is the id and the first twelve digits of the sha256 of the weights. Which of its
        numbers is the contradiction is read from the model's ``id2label``.

    Raises:
        MissingDependency: torch or transformers is not installed.
        InputError: the weights are not there, or have no label 'contradiction'.
    """
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise MissingDependency("the entailment model", package=package, extra="models")
    digest = None
    if folder is None:
        folder, digest = verified(id)
    absent = [name for name in _FILES if not (folder / name).is_file()]
    if absent:
        raise InputError(
            f"no entailment model lies there: {', '.join(absent)} is missing",
            where=str(folder),
            expected=", ".join(_FILES),
        )
    threads_wanted()
    entailer = TransformersEntailer(id, folder, default_cache(whole=_is_judgement) if cached else None)
    if digest is not None:
        entailer.digest = digest  # known since the weights came here: nothing need be read again
    return entailer


class TransformersEntailer(LocalModel):
    """A model for sequence classification with a label 'contradiction', float32, on the processor.

    Every distinct pair is judged once, and not at all where ``cache`` has it. ``cut`` says which pairs were longer
    than the model reads.

    Raises:
        InputError: the model's labels have no 'contradiction'; they are named.
    """

    def __init__(self, model: str, folder: Path, cache: VectorCache | None = None) -> None:
        super().__init__(model, folder)
        self._cache = cache
        self._label = contradiction_label(folder)
        self._cut: set[str] = set()

    def contradiction(self, pairs: Sequence[_Pair]) -> Floats:
        """Return the probability of contradiction for each (premise, hypothesis), shape (n,), in [0, 1].

        A pair beyond the model's length (512 tokens) loses the end of its longer text; see :meth:`cut`.
        """
        by_key = {_key(pair): pair for pair in pairs}
        judged = self._cache.get(self.identity, list(by_key)) if self._cache and by_key else {}
        # Alike in length they need little padding; in parts, so that a run that is stopped keeps what it has.
        absent = sorted((key for key in by_key if key not in judged), key=len)
        for start in range(0, len(absent), _KEPT_AT_ONCE):
            keys = absent[start : start + _KEPT_AT_ONCE]
            with self._lock:
                made = dict(zip(keys, self._judge([by_key[key] for key in keys]), strict=True))
            if self._cache:
                self._cache.put(self.identity, made)
            judged |= made
        self._cut.update(key for key in by_key if judged[key][2])
        return np.array([judged[_key(pair)][0] for pair in pairs], dtype=np.float64)

    def cut(self, pairs: Sequence[_Pair]) -> Bools:
        """Say which pairs, judged by this entailer before, were longer than the model reads, shape (n,)."""
        return np.array([_key(pair) in self._cut for pair in pairs], dtype=np.bool_)

    def _judge(self, pairs: Sequence[_Pair]) -> Vector:
        """Return (contradiction, the rest, whether the pair was cut) for each pair, shape (n, 3)."""
        model, tokenizer, padding = self.loaded()
        import torch

        encodings = tokenizer.encode_batch([(clean(premise), clean(hypothesis)) for premise, hypothesis in pairs])
        rows = np.zeros((len(pairs), 3), dtype=np.float32)
        rows[:, 2] = [
            bool(encoding.overflowing) or max(map(len, pair)) > CHARACTERS
            for encoding, pair in zip(encodings, pairs, strict=True)
        ]
        for chosen in _batches([len(encoding.ids) for encoding in encodings]):
            longest = max(len(encodings[row].ids) for row in chosen)
            ids = np.full((3, len(chosen), longest), padding, dtype=np.int64)
            ids[1:] = 0
            for at, row in enumerate(chosen):
                one = encodings[row]
                ids[:, at, : len(one.ids)] = one.ids, one.attention_mask, one.type_ids
            tokens, mask, kinds = torch.from_numpy(ids)
            with torch.inference_mode():
                logits = model(input_ids=tokens, attention_mask=mask, token_type_ids=kinds).logits
            rows[chosen, 0] = torch.softmax(logits.double(), dim=-1)[:, self._label].numpy()
        rows[:, 1] = 1 - rows[:, 0]
        if not np.isfinite(rows).all():
            raise ValueError(f"{self.identity} gave a probability that is no number")
        return rows

    def _load(self) -> Any:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a fork after the first use writes to the screen
        with silence():
            import torch
            from tokenizers import Tokenizer
            from transformers import AutoModelForSequenceClassification

            threads = threads_wanted()
            if threads is not None:
                torch.set_num_threads(threads)
            with offline():
                # The published file holds half precision: without dtype transformers 5 would compute in it.
                model, report = AutoModelForSequenceClassification.from_pretrained(
                    str(self.folder),
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=True,
                    dtype=torch.float32,
                    output_loading_info=True,
                )
        made_up = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
        if made_up:
            raise InputError(
                f"the weights lack {len(made_up)} of the model's parameters, which would be random: {made_up[0]}",
                where=str(self.folder),
                hint="a model without the head for classification cannot judge",
            )
        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(_longest(model.config), strategy="longest_first")
        return model.eval(), tokenizer, model.config.pad_token_id or 0


def contradiction_label(folder: Path) -> int:
    """Return which number of the model is the contradiction, by ``id2label`` in its config.json.

    Raises:
        InputError: none is, or several are; the labels are named.
    """
    path = folder / "config.json"
    try:
        labels = json.loads(path.read_text(encoding="utf-8")).get("id2label")
        found = [int(at) for at, name in labels.items() if str(name).casefold() == _LABEL]
    except (OSError, ValueError, AttributeError):
        raise InputError("no labels can be read", where=str(path), expected="a JSON object with 'id2label'") from None
    if len(found) != 1:
        named = ", ".join(f"{at} '{name}'" for at, name in labels.items()) or "none"
        raise InputError(
            f"the model has no one label '{_LABEL}'",
            where=f"{path}: id2label",
            expected=f"one label '{_LABEL}' among: {named}",
            hint="take a model of natural language inference with three labels",
        )
    return found[0]


def _longest(config: Any) -> int:
    return int(min(getattr(config, "max_position_embeddings", None) or _PUBLISHED_LENGTH, _PUBLISHED_LENGTH))


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield rows that are judged together, the shortest first: at most 32, and fewer where they are long."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) == _MOST_IN_A_BATCH or (len(batch) + 1) * lengths[row] ** 2 > _SQUARES):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _key(pair: _Pair) -> str:
    premise, hypothesis = pair
    return f"{len(premise)}:{premise}{hypothesis}"


def _is_judgement(row: Vector) -> bool:
    return row.shape == (3,) and bool((row >= 0).all() and abs(row[0] + row[1] - 1) < 1e-6 and row[2] in (0, 1))
