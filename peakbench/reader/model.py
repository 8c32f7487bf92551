"""The reader as a served model: prompts in, answers out, in NumPy."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from peakbench.errors import InputError, nearest
from peakbench.reader.decoder import LANES, Cache, Decoder
from peakbench.reader.grammar import Grammar, State
from peakbench.reader.sampling import Sampler, log_softmax
from peakbench.reader.storage import Stored, store
from peakbench.reader.vision import Eye, Pixels, read_image
from peakbench.reader.vocabulary import Trie, Vocabulary
from peakbench.reader.weights import MANIFEST, Array, Manifest, load_arrays, read_manifest
from peakbench.serving.base import Generation, Prompt, PromptRefused, Sampling, Token

MAX_ROWS = 64
"""Answers that are written at the same time; what is beyond waits for the next round."""

MAX_CHOICES = 256
IMAGES_KEPT = 256
GRAMMARS_KEPT = 32


class Reader:
    """A model that looks at one image of a garment and answers with its attributes as JSON.

    It was trained for one question, and the text of a prompt is not read. Weights rest in half precision or eight
    bits and are widened for the time of a batch. An answer depends on its own prompt, sampling and seed alone, to the
    last bit, whatever else is in the batch.
    """

    def __init__(self, name: str, manifest: Manifest, arrays: Mapping[str, Array]) -> None:
        self.name = name
        self.manifest = manifest
        self.vocabulary = Vocabulary(manifest.vocabulary)
        self._stored: dict[str, Stored] = store(arrays, manifest.models[name].storage)
        self._prompt = np.asarray(manifest.prompt, dtype=np.intp)
        self._trie = Trie.of(self.vocabulary)
        self._lock = threading.Lock()
        self._images: OrderedDict[bytes, Pixels] = OrderedDict()
        self._grammars: OrderedDict[str, Grammar] = OrderedDict()

    @property
    def context(self) -> int:
        """Tokens of image, prompt and answer together, at most."""
        return self.manifest.architecture.positions

    @property
    def nbytes(self) -> int:
        """Bytes of the weights at rest, in memory."""
        return sum(stored.nbytes for stored in self._stored.values())

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(stored.values.size for stored in self._stored.values())

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Count the tokens that are read: those of the image, and a fixed question in place of the text.

        Raises:
            PromptRefused: no image or more than one, an image that cannot be read, a schema that cannot be kept, more
                than 256 choices.
        """
        if len(prompt.images) > 1:
            raise PromptRefused("At most 1 image(s) may be provided in one prompt.")
        if not prompt.images:
            raise PromptRefused("This model reads one image, and the prompt has none.")
        if not 1 <= prompt.sampling.n <= MAX_CHOICES:
            raise PromptRefused(f"n has to be from 1 to {MAX_CHOICES}, not {prompt.sampling.n}.")
        self._pixels(prompt.images[0])
        if prompt.sampling.schema is not None:
            self._grammar(prompt.sampling.schema)
        return self.manifest.architecture.image_tokens + len(self._prompt)

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        """Answer a batch: for each prompt its ``sampling.n`` generations.

        Raises:
            PromptRefused: a prompt cannot be taken, for a reason that ``prompt_tokens`` gives.
        """
        for prompt in prompts:
            self.prompt_tokens(prompt)
        weights = {name: stored.widen() for name, stored in self._stored.items()}
        eye = Eye(self.manifest.architecture, weights)
        decoder = Decoder(self.manifest.architecture, weights)
        asked = [(i, choice) for i, prompt in enumerate(prompts) for choice in range(prompt.sampling.n)]
        answers: list[list[Generation]] = [[] for _ in prompts]
        for at in range(0, len(asked), MAX_ROWS):
            part = asked[at : at + MAX_ROWS]
            needed = sorted({i for i, _ in part})
            read = [decoder.prefill(eye(self._pixels(prompts[i].images[0])), self._prompt) for i in needed]
            rows = [_Row(Sampler(prompts[i].sampling, choice), prompts[i].sampling) for i, choice in part]
            for row in rows:
                if row.sampling.schema is not None:
                    row.grammar = self._grammar(row.sampling.schema)
                    row.state = row.grammar.start
            origin = np.array([needed.index(i) for i, _ in part], dtype=np.intp)
            self._write(decoder, rows, [logits for logits, _ in read], [kept for _, kept in read], origin)
            for (i, _), row in zip(part, rows, strict=True):
                answers[i].append(self._generation(row))
        return answers

    def _write(
        self,
        decoder: Decoder,
        rows: list[_Row],
        first: list[Array],
        beginnings: list[list[tuple[Array, Array]]],
        origin: npt.NDArray[np.intp],
    ) -> None:
        """Write all rows to their ends, a token of each at a time."""
        length = beginnings[0][0][0].shape[1]
        room = self.context - length
        for row in rows:
            row.limit = room if row.sampling.max_tokens is None else min(room, row.sampling.max_tokens)
        live = np.arange(_filled(len(rows)), dtype=np.intp) % len(rows)  # the last block is filled with copies
        cache = Cache(beginnings, origin[live], max(row.limit for row in rows))
        active: list[_Row | None] = [*rows, *[None] * (len(live) - len(rows))]
        logits = np.stack([first[i] for i in origin[live]])
        while True:
            ids = np.zeros(len(active), dtype=np.intp)
            for at, writer in enumerate(active):
                if writer is not None and self._extend(writer, logits[at]):
                    ids[at] = writer.ids[-1]
                else:
                    active[at] = None
            left = [at for at, row in enumerate(active) if row is not None]
            if not left:
                return
            if _filled(len(left)) < len(active):
                chosen = np.resize(np.array(left, dtype=np.intp), _filled(len(left)))
                cache.keep(chosen)
                ids = ids[chosen]
                active = [*[active[at] for at in left], *[None] * (len(chosen) - len(left))]
            logits = decoder.step(ids, cache)

    def _extend(self, row: _Row, logits: Array) -> bool:
        """Choose a row's next token; whether one has to follow it."""
        if row.limit < 1:
            row.reason = "length"
            return False
        free = logits
        if row.grammar is not None:
            allowed = row.grammar.allowed(row.state).copy()
            allowed[self.manifest.end] = row.grammar.complete(row.state)
            free = np.where(allowed, logits, -np.inf)
        token = row.sampler.draw(free)
        if token == self.manifest.end:
            return False
        if row.grammar is not None:
            row.state = row.grammar.advance(row.state, self.vocabulary.tokens[token])
        row.ids.append(token)
        if row.sampling.logprobs is not None:
            scores = log_softmax(logits)
            best = np.argsort(-scores, kind="stable")[: max(0, row.sampling.logprobs)]
            row.logprobs.append(float(scores[token]))
            row.top.append(tuple((self.vocabulary.alone[i], float(scores[i])) for i in best))
        if len(row.ids) == row.limit:
            row.reason = "length"
            return False
        return True

    def _generation(self, row: _Row) -> Generation:
        texts = self.vocabulary.texts(row.ids)
        tokens = tuple(
            Token(i, text, *((row.logprobs[at], row.top[at]) if row.logprobs else ()))
            for at, (i, text) in enumerate(zip(row.ids, texts, strict=True))
        )
        return Generation(tokens, row.reason)

    def _pixels(self, data: bytes) -> Pixels:
        key = hashlib.sha256(data).digest()
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
                return self._images[key]
        pixels = read_image(data, self.manifest.architecture.size)
        with self._lock:
            self._images[key] = pixels
            while len(self._images) > IMAGES_KEPT:
                self._images.popitem(last=False)
        return pixels

    def _grammar(self, schema: Mapping[str, Any]) -> Grammar:
        try:
            key = json.dumps(schema)
        except (TypeError, ValueError) as error:
            raise PromptRefused(f"The schema is not JSON: {error}") from None
        with self._lock:
            if key in self._grammars:
                self._grammars.move_to_end(key)
                return self._grammars[key]
        grammar = Grammar(schema, self.vocabulary, self._trie)
        with self._lock:
            self._grammars[key] = grammar
            while len(self._grammars) > GRAMMARS_KEPT:
                self._grammars.popitem(last=False)
        return grammar


@dataclass(slots=True)
class _Row:
    """One answer in the making."""

    sampler: Sampler
    sampling: Sampling
    grammar: Grammar | None = None
    state: State = frozenset()
    limit: int = 0
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    top: list[tuple[tuple[str, float], ...]] = field(default_factory=list)
    reason: Literal["stop", "length"] = "stop"


def _filled(rows: int) -> int:
    return -(-rows // LANES) * LANES


def embedded() -> Path:
    """The folder of the reader that ships."""
    return Path(str(resources.files("peakbench"))) / "data" / "reader"


def reader_names(folder: str | Path | None = None) -> tuple[str, ...]:
    """Names of the models in a folder, by default the one that ships; the first is what a folder opens."""
    return tuple(read_manifest(embedded() if folder is None else folder).models)


def open_reader(name: str | Path = "reader", *, model: str | None = None) -> Reader:
    """Open a model that ships by its name, or one of a folder (``model``: which, by default the folder's first).

    Raises:
        InputError: there is no such model, or its files are missing or damaged.
    """
    folder = Path(name)
    if model is None and isinstance(name, str) and folder.name == name and not (folder / MANIFEST).is_file():
        folder, model = embedded(), name
        manifest = read_manifest(folder)
        if name not in manifest.models:
            raise InputError(
                f"no model {name!r} ships with PeakBench",
                expected=f"one of {', '.join(manifest.models)}, or a folder that holds a {MANIFEST}",
                hint=nearest(name, manifest.models),
            )
    else:
        manifest = read_manifest(folder)
        model = next(iter(manifest.models)) if model is None else model
    return Reader(model, manifest, load_arrays(folder, manifest, model))
