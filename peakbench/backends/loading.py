"""Loading a model from a folder on this machine: who it is, with no network, and with no word on the screen."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from peakbench.errors import ConfigError, InputError

THREADS = "PEAKBENCH_THREADS"
WEIGHTS = "model.safetensors"
CHARACTERS = 1 << 16
"""A text is cut here before a tokenizer sees it: far beyond what any of the models reads."""


class LocalModel(ABC):
    """A model that loads at the first text, once, whatever the thread; ``suffix``: what else decides its numbers."""

    suffix = ""

    def __init__(self, model: str, folder: Path) -> None:
        self.model = model
        self.folder = folder
        self._lock = threading.Lock()
        self._loaded: Any = None

    @cached_property
    def digest(self) -> str:
        """The sha256 of model.safetensors; half a second for 438 MB."""
        path = self.folder / WEIGHTS
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"the weights cannot be read: {error.strerror}", where=str(path)) from None

    @property
    def identity(self) -> str:
        """Who speaks: id, weights, and what else decides the numbers."""
        return f"{self.model}@{self.digest[:12]}{self.suffix}"

    def loaded(self) -> Any:
        """Return what :meth:`_load` made, which is called once; hold ``_lock`` meanwhile."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    @abstractmethod
    def _load(self) -> Any: ...


def verified(id: str) -> tuple[Path, str | None]:
    """Return the folder of the weights, and the sha256 that they were verified with."""
    from peakbench.backends import weights

    reason = weights.missing_reason(id)
    if reason is not None:
        raise InputError(reason, where=f"weights '{id}'")
    stamp = weights.stamp(id)
    seen = stamp.files.get(WEIGHTS) if stamp else None
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


def clean(text: str) -> str:
    """Cut, and put U+FFFD for halves of characters, which JSON can hold and no tokenizer takes."""
    return text[:CHARACTERS].encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@contextmanager
def silence() -> Iterator[None]:
    """Keep warnings and records of loading from the screen."""
    kept = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(kept)


@contextmanager
def offline() -> Iterator[None]:
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
