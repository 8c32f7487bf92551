"""WordNet through nltk. What needs the database is skipped where it was not fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from peakbench.backends.lexicon import FILES, open_lexicon
from peakbench.errors import InputError
from peakbench.metrics.base import Lexicon

# The example of nltk.translate.meteor_score.single_meteor_score's own docstring (nltk 3.10), and its values.
REFERENCE = "It is a guide to action that ensures that the military will forever heed Party commands"
HYPOTHESIS = "It is a guide to action which ensures that the military always obeys the commands of the party"


def test_meteor_is_nltks(wordnet: Lexicon) -> None:
    values = wordnet.meteor([(REFERENCE, HYPOTHESIS), ("this is a cat", "non matching hypothesis")])
    assert values.round(4).tolist() == [0.6944, 0.0]


def test_meteor_of_nothing(wordnet: Lexicon) -> None:
    assert wordnet.meteor([("", ""), ("", "red"), ("red", "")]).tolist() == [0, 0, 0]
    assert wordnet.meteor([]).shape == (0,)


def test_senses_are_wordnets(wordnet: Lexicon) -> None:
    # https://wordnet.princeton.edu: jersey, T-shirt, tee shirt (a close-fitting pullover shirt) are one synset
    assert "jersey.n.03" in wordnet.senses("t-shirt") & wordnet.senses("tee_shirt") & wordnet.senses("jersey")
    assert "gym_shoe.n.01" in wordnet.senses("sneakers") & wordnet.senses("gym_shoes")
    assert wordnet.senses("tee-shirt") == frozenset()
    assert wordnet.senses("") == frozenset()


def test_stems_are_porters(wordnet: Lexicon) -> None:
    # Porter 1980, "An algorithm for suffix stripping", its examples
    words = {"caresses": "caress", "ponies": "poni", "plastered": "plaster", "motoring": "motor", "hopping": "hop"}
    assert {word: wordnet.stem(word) for word in words} == words


def test_identity_names_the_release_and_the_content(wordnet: Lexicon) -> None:
    assert wordnet.identity.startswith("wordnet-3.0@481a12070a44,nltk-3.")


def test_words_in_any_script_are_looked_up_without_harm(wordnet: Lexicon) -> None:
    for word in ("青い", "\0", "../../etc/passwd", "a" * 10_000, "_", "naïve", "'"):
        assert isinstance(wordnet.senses(word), frozenset)
        assert np.isfinite(wordnet.meteor([(word, word)])).all()


def files(folder: Path, content: bytes = b"  1 This software\n") -> Path:
    corpus = folder / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    for name in (*FILES, "lexnames", "index.sense"):
        (corpus / name).write_bytes(content)
    return folder


def test_missing_files_are_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"WordNet is not there: no data.noun(.|\n)*peakbench weights fetch wordnet"):
        open_lexicon(tmp_path)
    (files(tmp_path) / "corpora" / "wordnet" / "index.sense").unlink()
    with pytest.raises(InputError, match=r"no index\.sense"):
        open_lexicon(tmp_path)


def test_dos_line_ends_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.noun: the file has DOS line ends"):
        open_lexicon(files(tmp_path, b"  1 This software\r\n"))


def test_opening_reads_no_database(tmp_path: Path) -> None:
    assert open_lexicon(files(tmp_path)).identity.startswith("wordnet-unknown@")
