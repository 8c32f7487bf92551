"""WordNet through nltk: the senses of words, Porter's stems, and nltk's own METEOR.

nltk is pointed at one folder. Nothing is downloaded, and no multilingual data are needed. nltk 3.10 opens only files
under the folders of ``nltk.data.path``, so the folder is put at the end of that list; whatever stood there before is
still found first.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import warnings
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from peakbench.errors import InputError, MissingDependency
from peakbench.metrics.base import Floats, Lexicon

WORDNET = "wordnet"
"""Name of the data among the weights."""

FILES = (
    *(f"{kind}.{part}" for kind in ("data", "index") for part in ("noun", "verb", "adj", "adv")),
    *(f"{part}.exc" for part in ("noun", "verb", "adj", "adv")),
)
"""What decides which senses a word has. nltk reads ``lexnames`` and ``index.sense`` too."""

_REMEMBERED = 32_768
_VERSION = re.compile(rb"WordNet (\d+(?:\.\d+)*) Copyright")


def open_lexicon(folder: Path | None = None) -> Lexicon:
    """Return WordNet, which is read when the first word is looked up (2.4 s).

    Args:
        folder: holds ``corpora/wordnet``, as a folder of nltk data does; default: what
            ``peakbench weights fetch wordnet`` put there.

    Raises:
        MissingDependency: nltk is not installed.
        InputError: the files are not there, or have DOS line ends (byte offsets are wrong then).
    """
    if importlib.util.find_spec("nltk") is None:
        raise MissingDependency("METEOR", package="nltk", extra="models")
    if folder is None:
        from peakbench.backends import weights

        folder = weights.folder(WORDNET)
    corpus = folder / "corpora" / "wordnet"
    absent = [name for name in (*FILES, "lexnames", "index.sense") if not (corpus / name).is_file()]
    if absent:
        raise InputError(
            f"WordNet is not there: no {absent[0]}",
            where=str(corpus),
            expected="the database files of WordNet 3.0",
            hint="fetch it: peakbench weights fetch wordnet",
        )
    for name in FILES:
        with (corpus / name).open("rb") as file:
            if b"\r" in file.read(4096):
                raise InputError(
                    "the file has DOS line ends, so that its byte offsets are wrong",
                    where=str(corpus / name),
                    hint="fetch it again: peakbench weights fetch wordnet",
                )
    return _WordNet(folder.resolve())


class _WordNet:
    """The WordNet database in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._corpus = folder / "corpora" / "wordnet"
        # nltk's reader seeks in files that all threads share.
        self._lock = Lock()
        self.senses = lru_cache(_REMEMBERED)(self._senses)
        self.stem = lru_cache(_REMEMBERED)(self._stem)

    @cached_property
    def identity(self) -> str:
        """WordNet's version, the sha256 of what decides senses, and nltk's version."""
        digest = hashlib.sha256()
        for name in FILES:
            content = (self._corpus / name).read_bytes()
            digest.update(b"%s %d\n" % (name.encode(), len(content)))
            digest.update(content)
        with (self._corpus / "data.noun").open("rb") as file:
            found = _VERSION.search(file.read(4096))
        release = found[1].decode() if found else "unknown"
        library = ".".join(version("nltk").split(".")[:2])
        return f"wordnet-{release}@{digest.hexdigest()[:12]},nltk-{library}"

    @cached_property
    def _reader(self) -> Any:
        import nltk
        from nltk.corpus.reader.wordnet import WordNetCorpusReader

        if str(self._folder) not in nltk.data.path:
            nltk.data.path.append(str(self._folder))
        with warnings.catch_warnings():
            # "multilingual functions are not available": they are not wanted.
            warnings.simplefilter("ignore", UserWarning)
            return WordNetCorpusReader(str(self._corpus), None)

    @cached_property
    def _stemmer(self) -> Any:
        from nltk.stem.porter import PorterStemmer

        return PorterStemmer()

    def _senses(self, word: str) -> frozenset[str]:
        with self._lock:
            return frozenset(synset.name() for synset in self._reader.synsets(word))

    def _stem(self, word: str) -> str:
        return str(self._stemmer.stem(word))

    def meteor(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Return ``single_meteor_score`` of the whitespace-separated words of each pair."""
        from nltk.translate.meteor_score import single_meteor_score

        with self._lock:
            reader = self._reader
            scores = (single_meteor_score(ref.split(), hyp.split(), wordnet=reader) for ref, hyp in pairs)
            return np.fromiter(scores, np.float64, len(pairs))
