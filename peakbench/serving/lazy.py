"""A model that is opened when it is first asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from peakbench.serving.base import Generation, Prompt, ServedModel


class LazyModel:
    """A model by name, opened by ``open`` when a request names it: a server can offer many and hold a few.

    >>> LazyModel("reader", lambda: None).name
    'reader'
    """

    def __init__(self, name: str, open: Callable[[], ServedModel]) -> None:
        self.name = name
        self._open = open
        self._model: ServedModel | None = None
        self._lock = threading.Lock()

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together, at most."""
        return self._opened().context

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt, images included."""
        return self._opened().prompt_tokens(prompt)

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        """Answer a batch."""
        return self._opened().generate(prompts)

    def _opened(self) -> ServedModel:
        with self._lock:
            if self._model is None:
                self._model = self._open()
            return self._model
