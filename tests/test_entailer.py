"""The entailment model's real path, offline, on a tiny DeBERTa-v2 made here; the oracle is transformers itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'peakbench[models]'")
pytest.importorskip("transformers", reason="transformers is not installed: pip install 'peakbench[models]'")

from peakbench.backends import weights
from peakbench.backends.entailer import MODEL, TransformersEntailer, _batches, _key, contradiction_label, open_entailer
from peakbench.backends.vectors import default_cache
from peakbench.errors import InputError

LABELS = {0: "neutral", 1: "ENTAILMENT", 2: "Contradiction"}
WORDS = ["▁the", "▁color", "▁is", "▁red", "▁blue", ".", "▁", "▁no", "▁brand", "▁visible", *"abcdefghijklmnopqrstuvwxyz"]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
PAIRS = [
    ("The color is red.", "The color is blue."),
    ("The color is red. No brand is visible.", "The brand is x."),
    ("", "red"),
    ("Zebra {value}", "ﬁne \ud800 no"),
    ("The color is blue.", "The color is red."),
]


def make_model(folder: Path, labels: dict[int, str], seed: int = 3) -> Path:
    """Save a DeBERTa-v2 of two layers with wide weights, so that its judgements differ, and a tokenizer of its own."""
    import torch
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

    vocabulary = [(word, 0.0) for word in SPECIAL] + [(word, -1.0 - at) for at, word in enumerate(WORDS)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL])
    # As some published files have it: nothing of that may reach the judgements.
    tokenizer.enable_padding(length=40)
    tokenizer.enable_truncation(8)
    config = DebertaV2Config(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=37,
        max_position_embeddings=64,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        position_biased_input=False,
        type_vocab_size=0,
        pad_token_id=0,
        initializer_range=0.8,
        id2label=labels,
        label2id={name: at for at, name in labels.items()},
    )
    torch.manual_seed(seed)
    model = DebertaV2ForSequenceClassification(config)
    model.classifier.weight.data *= 0.05
    # Half precision, as the published file has it.
    model.half().save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny"), LABELS)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEAKBENCH_VECTORS", str(tmp_path / "kept.sqlite"))


def by_transformers(folder: Path, pair: tuple[str, str], label: int = 2) -> float:
    """One pair alone, by transformers' own classes."""
    import torch
    from transformers import DebertaV2ForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    model = DebertaV2ForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    texts = [text.encode("utf-8", "replace").decode().replace("?", "�") for text in pair]
    tokens = tokenizer(*texts, return_tensors="pt", truncation="longest_first", max_length=64, padding=False)
    with torch.no_grad():
        return torch.softmax(model(**tokens).logits[0], -1)[label].item()


def test_probabilities_are_those_of_transformers(folder: Path):
    entailer = open_entailer("tiny", folder=folder)
    found = entailer.contradiction(PAIRS)
    assert found.dtype == np.float64
    assert found == pytest.approx([by_transformers(folder, pair) for pair in PAIRS], abs=1e-6)
    assert np.ptp(found) > 0.05, "a model that says the same of everything proves nothing"
    assert abs(found[0] - by_transformers(folder, PAIRS[0], label=0)) > 0.01
    assert entailer.contradiction([]).shape == (0,)


def test_the_batch_a_pair_is_in_changes_nothing(folder: Path):
    entailer = open_entailer("tiny", folder=folder, cached=False)
    many = [(f"The color is {'red ' * (n % 7)}.", f"{'no ' * (n % 5)}brand {n}") for n in range(70)]
    together = entailer.contradiction(many)
    alone = np.concatenate([entailer.contradiction([pair]) for pair in many])
    assert together == pytest.approx(alone, abs=1e-6)
    shuffled = np.random.default_rng(0).permutation(len(many))
    assert entailer.contradiction([many[at] for at in shuffled]) == pytest.approx(together[shuffled], abs=1e-6)


def test_every_pair_is_judged_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    judge = TransformersEntailer._judge

    def counted(self: TransformersEntailer, pairs: Any) -> Any:
        asked.extend(pairs)
        return judge(self, pairs)

    monkeypatch.setattr(TransformersEntailer, "_judge", counted)
    first = open_entailer("tiny", folder=folder).contradiction([PAIRS[0], PAIRS[1], PAIRS[0]])
    assert sorted(asked) == sorted(PAIRS[:2])
    assert first[0] == first[2]
    again = open_entailer("tiny", folder=folder).contradiction(PAIRS[:3])
    assert again[:2].tolist() == first[:2].tolist()  # to the last bit
    assert asked[2:] == [PAIRS[2]]
    # The border between premise and hypothesis counts.
    open_entailer("tiny", folder=folder).contradiction([("a", "bc"), ("ab", "c")])
    assert len(asked) == 5


def test_a_judgement_that_cannot_be_one_is_made_again(folder: Path):
    entailer = open_entailer("tiny", folder=folder)
    true = entailer.contradiction(PAIRS[:2]).tolist()
    cache, keys = default_cache(), [_key(pair) for pair in PAIRS[:2]]
    assert cache is not None
    damaged = [np.array(row, dtype=np.float32) for row in ([0.5, 0.25, 0.0], [0.6, 0.8])]
    cache.put(entailer.identity, dict(zip(keys, damaged, strict=True)))
    assert open_entailer("tiny", folder=folder).contradiction(PAIRS[:2]).tolist() == true


def test_another_model_has_other_judgements(folder: Path, tmp_path: Path):
    other = make_model(tmp_path / "other", {0: "contradiction", 1: "entailment", 2: "neutral"}, seed=4)
    one, two = open_entailer("tiny", folder=folder), open_entailer("tiny", folder=other)
    assert one.identity != two.identity
    digest = subprocess.run(["sha256sum", other / "model.safetensors"], capture_output=True, text=True, check=True)
    assert two.identity == f"tiny@{digest.stdout[:12]}"
    one.contradiction(PAIRS[:1])
    assert two.contradiction(PAIRS[:1])[0] == pytest.approx(by_transformers(other, PAIRS[0], label=0), abs=1e-6)


def test_what_is_kept_needs_no_torch_and_nothing_is_written(folder: Path):
    program = (
        "import sys, warnings\n"
        "warnings.simplefilter('error')\n"
        "from pathlib import Path\n"
        "from peakbench.backends.entailer import open_entailer\n"
        f"entailer = open_entailer('tiny', folder=Path({str(folder)!r}))\n"
        "value = entailer.contradiction([('The color is red.', 'The color is blue.')])[0]\n"
        "print(repr(float(value)), 'torch' in sys.modules, 'transformers' in sys.modules)\n"
    )

    def run() -> tuple[list[str], str]:
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100)
        return done.stdout.split(), done.stderr

    (value, *loaded), errors = run()
    assert (loaded, errors) == (["True", "True"], "")
    (kept, *loaded), errors = run()
    assert (kept, loaded, errors) == (value, ["False", "False"], "")


def test_a_pair_that_is_too_long_is_cut_and_counted(folder: Path, tmp_path: Path):
    long, short = ("red " * 100, "blue"), ("red " * 10, "blue")
    for _ in range(2):  # the second time from what was kept
        entailer = open_entailer("tiny", folder=folder)
        assert entailer.contradiction([short, long])[1] == pytest.approx(by_transformers(folder, long), abs=1e-6)
        assert entailer.cut([short, long, ("never", "judged")]).tolist() == [False, True, False]
    entailer.contradiction([(" " * 200_000, "red")])
    assert entailer.cut([(" " * 200_000, "red")]).tolist() == [True]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"0": "entailment", "1": "not_entailment"}, "0 'entailment', 1 'not_entailment'"),
        ({"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "0 'LABEL_0', 1 'LABEL_1', 2 'LABEL_2'"),
        ({"0": "contradiction", "1": "Contradiction"}, "0 'contradiction', 1 'Contradiction'"),
        ({}, "none"),
        (None, "no labels can be read"),
        (["contradiction"], "no labels can be read"),
        ({"zero": "contradiction"}, "no labels can be read"),
    ],
)
def test_labels_without_a_contradiction(folder: Path, tmp_path: Path, labels: Any, words: str):
    shutil.copytree(folder, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "id2label": labels}))
    with pytest.raises(InputError) as caught:
        open_entailer("tiny", folder=tmp_path / "model")
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_label_order_is_read_from_the_config(folder: Path):
    assert contradiction_label(folder) == 2


def test_what_is_missing_is_named(folder: Path, tmp_path: Path):
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"model\.safetensors is missing"):
        open_entailer("tiny", folder=tmp_path / "model")


def test_a_model_without_a_head_is_refused(folder: Path, tmp_path: Path):
    from safetensors.numpy import load_file, save_file

    shutil.copytree(folder, tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = load_file(path)
    save_file({name: one for name, one in tensors.items() if "classifier" not in name}, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"lack 2 .* classifier\.bias"):
        open_entailer("tiny", folder=tmp_path / "model").contradiction(PAIRS[:1])


@pytest.mark.parametrize("lengths", [[], [5], [512] * 9, list(range(1, 513)), [3] * 100])
def test_batches_are_bounded_and_hold_every_row_once(lengths: list[int]):
    batches = list(_batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= 32
        assert len(batch) * max(lengths[row] for row in batch) ** 2 <= 1 << 20 or len(batch) == 1


@pytest.fixture(scope="session")
def deberta() -> Any:
    reason = weights.missing_reason(MODEL)
    if reason is not None:
        pytest.skip(reason)
    return open_entailer()


@pytest.mark.parametrize(
    ("premise", "hypothesis", "low", "high"),
    [
        ("The color is red.", "The color is blue.", 0.9, 1.0),
        ("No brand is visible.", "The brand is nike.", 0.9, 1.0),
        ("The color is red.", "The color is red.", 0.0, 0.05),
        ("The color is navy blue.", "The color is blue.", 0.0, 0.5),
    ],
)
def test_known_pairs_with_the_real_weights(deberta: Any, premise: str, hypothesis: str, low: float, high: float):
    assert low <= deberta.contradiction([(premise, hypothesis)])[0] <= high
