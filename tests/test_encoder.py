"""The sentence encoder: the loading path on a tiny MPNet made here, the real weights where they are, kept vectors.

Known cosines of the real model are those of its publishers' own library, measured apart from this package.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from peakbench.backends import encoder as room
from peakbench.backends import vectors as vector_room
from peakbench.backends.encoder import open_encoder, threads_wanted
from peakbench.backends.vectors import CachedEncoder, VectorCache, default_cache
from peakbench.errors import ConfigError, InputError, MissingDependency

WORDS = ["navy", "blue", "dark", "red", "long", "short", "sleeve", "t", "-", "shirt", "tee", "##s", "a", "b"]
TEXTS = ["navy blue", "dark blue", "red", "t-shirts", "long sleeve " * 40, "tee", "navy " * 600, "", "unknown words"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence encoder of two small layers with random weights, in the layout of the published one."""
    pytest.importorskip("sentence_transformers", reason="pip install 'peakbench[models]'")
    import torch
    from safetensors.torch import save_file
    from transformers import MPNetConfig, MPNetModel

    folder = tmp_path_factory.mktemp("models") / "tiny"
    (folder / "1_Pooling").mkdir(parents=True)
    names = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", *WORDS, "<mask>"]
    torch.manual_seed(0)
    config = MPNetConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=514,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=0.5,
    )
    model = MPNetModel(config).eval()
    save_file(
        {name: one.contiguous() for name, one in model.state_dict().items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    config.architectures = ["MPNetModel"]
    (folder / "config.json").write_text(config.to_json_string(use_diff=False), encoding="utf-8")
    special = {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "unk_token": "[UNK]",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    _tokenizer(names).save(str(folder / "tokenizer.json"))
    files = {
        "tokenizer_config.json": {"tokenizer_class": "MPNetTokenizer", "model_max_length": 512, **special},
        "special_tokens_map.json": special,
        "sentence_bert_config.json": {"max_seq_length": 384, "do_lower_case": False},
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "2.0.0"}},
        "1_Pooling/config.json": {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True},
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return folder


def _tokenizer(names):
    """WordPiece, as MPNet's; with the published file's truncation and padding to 128, which must not hold."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    made = Tokenizer(models.WordPiece({name: number for number, name in enumerate(names)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=False)
    made.enable_truncation(128)
    made.enable_padding(length=128, pad_id=1, pad_token="<pad>")
    return made


def plain(folder: Path, texts):
    """Return what sentence-transformers itself gives, one text at a time."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return np.stack([model.encode(text, normalize_embeddings=True, show_progress_bar=False) for text in texts])


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments):
        raise AssertionError(f"the network was asked: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# -- loading -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_network")
def test_vectors_are_those_of_sentence_transformers(tiny, capfd):
    from huggingface_hub import constants
    from transformers.utils import logging as words

    before = constants.HF_HUB_OFFLINE, words.is_progress_bar_enabled(), words.get_verbosity()
    encoder = open_encoder("tiny", folder=tiny, cached=False)
    found = encoder.encode(TEXTS)
    assert capfd.readouterr() == ("", "")
    assert (constants.HF_HUB_OFFLINE, words.is_progress_bar_enabled(), words.get_verbosity()) == before
    assert found.shape == (len(TEXTS), 16)
    assert found.dtype == np.float32
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-6)
    assert found == pytest.approx(plain(tiny, TEXTS), abs=1e-5)
    # far apart from each other: the test would see one vector in another's place
    assert np.sort((found @ found.T)[np.triu_indices(len(TEXTS), 1)])[-1] < 0.9999


def test_texts_are_read_beyond_the_128_tokens_of_the_tokenizer_file(tiny):
    encoder = open_encoder("tiny", folder=tiny, cached=False)
    one, other, third = encoder.encode(["blue " * 300, "blue " * 300 + "red " * 60, "blue " * 300 + "red " * 500])
    assert float(one @ other) < 0.9999
    assert encoder.encode(["blue " * 300 + "red " * 82])[0] == pytest.approx(third, abs=1e-5)


def test_hostile_texts_are_encoded(tiny):
    found = open_encoder("tiny", folder=tiny, cached=False).encode(["\ud800 blue", "\x00", "a" * 200_000, "🧥"])
    assert np.isfinite(found).all()


def test_identity_names_the_weights(tiny, monkeypatch):
    import hashlib

    digest = hashlib.sha256((tiny / "model.safetensors").read_bytes()).hexdigest()[:12]
    assert open_encoder("tiny", folder=tiny).identity == f"tiny@{digest}"
    assert open_encoder("tiny", folder=tiny, precision="bfloat16").identity == f"tiny@{digest}+bf16"
    if room.importlib.util.find_spec("onnxruntime"):
        assert open_encoder("tiny", folder=tiny, engine="onnx").identity == f"tiny@{digest}+onnx"


def test_bfloat16_is_near(tiny):
    exact = open_encoder("tiny", folder=tiny, cached=False).encode(TEXTS)
    rough = open_encoder("tiny", folder=tiny, cached=False, precision="bfloat16").encode(TEXTS)
    assert rough.dtype == np.float32
    assert np.linalg.norm(rough, axis=1) == pytest.approx(1, abs=1e-6)
    assert 0 < np.abs(rough - exact).max() < 0.1


def test_what_is_refused(tiny, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"precision 'int8' is refused: dynamic int8 shifts the cosines"):
        open_encoder("tiny", folder=tiny, precision="int8")
    with pytest.raises(ConfigError, match="precision 'bfloat16' is refused: 'onnx' does not offer it"):
        open_encoder("tiny", folder=tiny, engine="onnx", precision="bfloat16")
    with pytest.raises(ConfigError, match="unknown engine 'onx'") as caught:
        open_encoder("tiny", folder=tiny, engine="onx")
    assert caught.value.hint == "did you mean 'onnx'?"
    with pytest.raises(InputError, match="no sentence encoder lies there"):
        open_encoder("tiny", folder=tmp_path)
    with pytest.raises(InputError, match=r"the weights of all-mpnet-base-v2 are not on this machine"):
        open_encoder()
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency) as missing:
        open_encoder("tiny", folder=tiny)
    assert missing.value.hint == "install it: pip install 'peakbench[models]'"


def test_threads(monkeypatch):
    monkeypatch.delenv("PEAKBENCH_THREADS", raising=False)
    assert threads_wanted() is None
    monkeypatch.setenv("PEAKBENCH_THREADS", "3")
    assert threads_wanted() == 3
    for wrong in ("0", "two", "-1", "²"):
        monkeypatch.setenv("PEAKBENCH_THREADS", wrong)
        with pytest.raises(ConfigError, match="PEAKBENCH_THREADS"):
            threads_wanted()


@pytest.mark.usefixtures("no_network")
def test_onnx_is_the_same(tiny, tmp_path):
    for package in ("onnxruntime", "onnx", "onnxscript"):
        pytest.importorskip(package, reason="pip install 'peakbench[onnx]'")
    encoder = open_encoder("tiny", folder=tiny, engine="onnx", cached=False)
    found = encoder.encode(TEXTS)
    assert len(list(tiny.glob("peakbench-*.onnx*"))) == 1
    assert found == pytest.approx(plain(tiny, TEXTS), abs=1e-5)
    assert encoder.encode(TEXTS[::-1])[::-1] == pytest.approx(found, abs=1e-6)


def test_onnx_refuses_another_pooling(tiny, tmp_path):
    pytest.importorskip("onnxruntime", reason="pip install 'peakbench[onnx]'")
    import shutil

    shutil.copytree(tiny, tmp_path / "cls")
    settings = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True}
    (tmp_path / "cls" / "1_Pooling" / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(InputError, match="the mean over tokens alone"):
        open_encoder("cls", folder=tmp_path / "cls", engine="onnx", cached=False).encode(["red"])


def test_torch_is_not_imported_while_every_string_is_kept(tiny, tmp_path):
    program = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from peakbench.backends.encoder import open_encoder
        encoder = open_encoder("tiny", folder=Path({str(tiny)!r}))
        print(encoder.encode(["navy", "red", "navy"]).shape, "torch" in sys.modules)
    """)
    written = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
            cwd=Path(__file__).parent.parent,
            env=os.environ | {"PEAKBENCH_VECTORS": str(tmp_path / "vectors.sqlite")},
        )
        written.append(done.stdout + done.stderr)
    assert written == ["(3, 16) True\n", "(3, 16) False\n"]


# -- the real weights --------------------------------------------------------------------------------------------------

KNOWN = {
    ("navy blue", "dark blue"): 0.8375,
    ("t-shirt", "tee shirt"): 0.8203,
    ("solid", "floral"): 0.1687,
    ("blue", "red"): 0.739,
    ("long sleeve", "short sleeve"): 0.924,
}


def garment_words() -> list[str]:
    path = Path(vector_room.__file__).parents[1] / "data" / "synonyms" / "garment.json"
    tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
    groups = [group for table in tables.values() for group in table["groups"].items()]
    return sorted({word for head, like in groups for word in [head, *like]})


@pytest.mark.timeout(300)
def test_known_cosines_of_the_real_model(mpnet):
    encoder = open_encoder(folder=mpnet, cached=False)
    assert encoder.identity == "all-mpnet-base-v2@78c0197b6159"
    for pair, cosine in KNOWN.items():
        first, second = encoder.encode(pair)
        assert float(first @ second) == pytest.approx(cosine, abs=5e-4), pair
    words = [*garment_words()[::40], "navy blue " * 200]
    assert encoder.encode(words) == pytest.approx(plain(mpnet, words), abs=1e-5)


@pytest.mark.timeout(300)
def test_onnx_equals_torch_over_the_garment_vocabulary(mpnet):
    """Where the export is not there yet it is made, half a minute."""
    for package in ("onnxruntime", "onnx", "onnxscript"):
        pytest.importorskip(package, reason="pip install 'peakbench[onnx]'")
    words = garment_words()[::4]
    exact = open_encoder(folder=mpnet, cached=False).encode(words)
    found = open_encoder(folder=mpnet, engine="onnx", cached=False).encode(words)
    assert len(words) > 100
    assert np.abs(found @ found.T - exact @ exact.T).max() < 1e-4
    assert np.abs(np.einsum("ij,ij->i", found, exact) - 1).max() < 1e-4


# -- kept vectors ------------------------------------------------------------------------------------------------------


class Counting:
    """Unit vectors that a text decides; keeps what it was asked."""

    identity = "counting@1"

    def __init__(self, width=8):
        self.asked = []
        self.width = width

    def encode(self, texts):
        self.asked.append(list(texts))
        return np.stack([unit(text, self.width) for text in texts])


def unit(text, width=8):
    row = np.random.default_rng(list(text.encode("utf-8", "surrogatepass")) or [0]).normal(size=width)
    return (row / np.linalg.norm(row)).astype(np.float32)


@pytest.fixture
def cache(tmp_path):
    return VectorCache(tmp_path / "deep" / "vectors.sqlite")


def test_each_string_is_encoded_once_and_rows_keep_their_order(cache):
    inner = Counting()
    texts = ["long one", "b", "b", "a", "long one", "\ud800"]
    found = CachedEncoder(inner, cache).encode(texts)
    assert found.tolist() == [unit(text).tolist() for text in texts]
    assert sorted(sum(inner.asked, [])) == sorted(set(texts))
    again = Counting()
    assert CachedEncoder(again, cache).encode([*texts, "new"])[:6].tolist() == found.tolist()
    assert again.asked == [["new"]]
    assert CachedEncoder(again, None).encode([]).shape == (0, 0)


def test_without_a_cache_a_call_is_deduplicated():
    inner = Counting()
    CachedEncoder(inner, None).encode(["a", "a"])
    CachedEncoder(inner, None).encode(["a"])
    assert inner.asked == [["a"], ["a"]]


def test_another_model_has_other_vectors(cache):
    CachedEncoder(Counting(), cache).encode(["a"])
    other = Counting()
    other.identity = "counting@2"
    CachedEncoder(other, cache).encode(["a"])
    assert other.asked == [["a"]]


def test_no_text_lies_in_the_file(cache):
    CachedEncoder(Counting(), cache).encode(["a private customer's words"])
    assert b"private" not in cache.path.read_bytes()


def test_size_is_bounded_and_the_least_recently_used_go_first(tmp_path, monkeypatch):
    limit = 2 << 20
    cache = VectorCache(tmp_path / "vectors.sqlite", max_bytes=limit)
    vectors = {f"t{number}": unit(f"t{number}", 768) for number in range(700)}
    names = list(vectors)
    monkeypatch.setattr(vector_room, "_today", lambda: 1)
    cache.put("m", {name: vectors[name] for name in names[:400]})
    monkeypatch.setattr(vector_room, "_today", lambda: 2)
    assert len(cache.get("m", names[:100])) == 100  # used today
    for start in range(400, 700, 100):
        cache.put("m", {name: vectors[name] for name in names[start : start + 100]})
        assert cache.path.stat().st_size <= limit
    kept = cache.get("m", names)
    assert set(names[:100]) | set(names[400:]) <= set(kept)  # used today
    dropped = [name for name in names[100:400] if name not in kept]
    assert 100 < len(dropped) < 250
    assert dropped == names[100 : 100 + len(dropped)]


def test_a_vector_larger_than_the_limit_is_no_trouble(tmp_path):
    cache = VectorCache(tmp_path / "vectors.sqlite", max_bytes=1000)
    for text in "abc":
        CachedEncoder(Counting(), cache).encode([text])
    assert len(cache.get("counting@1", list("abc"))) <= 3


@pytest.mark.parametrize("damage", ["text", "cut", "middle"])
def test_a_damaged_file_is_started_anew_with_a_note(cache, damage, caplog):
    texts = [f"t{number}" for number in range(300)]
    CachedEncoder(Counting(256), cache).encode(texts)
    content = cache.path.read_bytes()
    if damage == "text":
        cache.path.write_text("not a database, " * 5000, encoding="utf-8")
    elif damage == "cut":
        cache.path.write_bytes(content[: len(content) // 2 + 100])
    else:
        cache.path.write_bytes(content[:16384] + b"\xff" * (len(content) - 16384))
    inner = Counting(256)
    with caplog.at_level(logging.WARNING):
        found = CachedEncoder(inner, cache).encode(texts)
        found = CachedEncoder(inner, cache).encode(texts)
    assert found.tolist() == [unit(text, 256).tolist() for text in texts]
    assert "was damaged and is started anew" in caplog.text
    assert (cache.path.parent / "vectors.sqlite.damaged").exists()
    last = Counting(256)
    CachedEncoder(last, cache).encode(texts)
    assert last.asked == []


def test_a_vector_with_a_flipped_bit_is_made_again(cache):
    CachedEncoder(Counting(), cache).encode(["a", "b"])
    connection = sqlite3.connect(cache.path)
    with connection:
        connection.execute("UPDATE vectors SET vector = ? WHERE id = 1", (b"\0" * 32,))
        connection.execute("UPDATE vectors SET vector = substr(vector, 1, 7) WHERE id = 2")
    connection.close()
    inner = Counting()
    assert CachedEncoder(inner, cache).encode(["a", "b"]).tolist() == [unit("a").tolist(), unit("b").tolist()]
    assert inner.asked == [["a", "b"]]


def test_another_database_is_left_alone(tmp_path, caplog):
    path = tmp_path / "mine.sqlite"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = path.read_bytes()
    assert len(CachedEncoder(Counting(), VectorCache(path)).encode(["a"])) == 1
    assert path.read_bytes() == before
    assert "vectors are not kept: it is another database" in caplog.text


def test_a_place_that_cannot_be_written_costs_nothing_but_time(tmp_path, caplog):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    cache = VectorCache(tmp_path / "file" / "vectors.sqlite")
    assert len(CachedEncoder(Counting(), cache).encode(["a"])) == 1
    assert len(CachedEncoder(Counting(), cache).encode(["a"])) == 1
    assert caplog.text.count("cannot be used") == 1


def test_a_locked_file_is_a_miss(cache, monkeypatch, caplog):
    monkeypatch.setattr(vector_room, "_WAIT_SECONDS", 0.05)
    CachedEncoder(Counting(), cache).encode(["a"])
    connection = sqlite3.connect(cache.path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    inner = Counting()
    assert len(CachedEncoder(inner, cache).encode(["a"])) == 1
    connection.close()
    assert (inner.asked, caplog.text) == ([["a"]], "")
    assert len(cache.get("counting@1", ["a"])) == 1


WRITER = """
import sys
from pathlib import Path
import numpy as np
from peakbench.backends.vectors import VectorCache
cache, start = VectorCache(Path(sys.argv[1])), int(sys.argv[2])
for number in range(start, start + 60):
    vector = np.array([np.cos(number), np.sin(number)], dtype=np.float32)
    cache.put("m", {f"t{number}": vector})
    assert np.array_equal(cache.get("m", [f"t{number}"])[f"t{number}"], vector)
"""


def test_a_file_that_another_process_makes_in_between_is_ours(cache, monkeypatch):
    asked, answers = vector_room._is_ours, []

    def slow(connection):
        answers.append(asked(connection))
        if len(answers) == 1:  # the file is empty still; before the next question another process has made it
            monkeypatch.setattr(vector_room, "_is_ours", asked)
            VectorCache(cache.path).put("m", {"theirs": np.array([1, 0], dtype=np.float32)})
        return answers[-1]

    monkeypatch.setattr(vector_room, "_is_ours", slow)
    cache.put("m", {"mine": np.array([0, 1], dtype=np.float32)})
    assert answers == [False]
    assert set(cache.get("m", ["mine", "theirs"])) == {"mine", "theirs"}


def test_several_processes_write_at_once(cache):
    root = Path(__file__).parent.parent
    commands = [[sys.executable, "-c", WRITER, str(cache.path), str(start)] for start in (0, 30, 60)]
    workers = [subprocess.Popen(command, cwd=root) for command in commands]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    kept = cache.get("m", [f"t{number}" for number in range(120)])
    assert len(kept) == 120
    assert kept["t119"] == pytest.approx([np.cos(119), np.sin(119)])


def test_where_vectors_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PEAKBENCH_VECTORS", "off")
    assert default_cache() is None
    monkeypatch.setenv("PEAKBENCH_VECTORS", str(tmp_path / "v.sqlite"))
    assert default_cache().path == tmp_path / "v.sqlite"
    monkeypatch.delenv("PEAKBENCH_VECTORS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache().path.name == "vectors.sqlite"


def test_a_broken_encoder_is_an_error():
    class Short(Counting):
        def encode(self, texts):
            return super().encode(texts)[:1]

    with pytest.raises(ValueError, match="zip"):
        CachedEncoder(Short(), None).encode(["a", "b"])
