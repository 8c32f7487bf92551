"""The reader in NumPy: the same numbers as PyTorch, answers of their own whatever the batch, honest refusals."""

from __future__ import annotations

import io
import math
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from peakbench.errors import InputError
from peakbench.garments import GarmentSet
from peakbench.reader import Reader, embedded, load_arrays, open_reader, read_manifest, reader_names
from peakbench.reader.sampling import distribution, log_softmax
from peakbench.reader.storage import quantize
from peakbench.reader.vision import GRAY, read_image
from peakbench.rewards import Reward
from peakbench.serving.base import Generation, Prompt, PromptRefused, Sampling

sys.path.insert(0, str(Path(__file__).parent))
from reader_weights import ARCHITECTURE, write_random_reader  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_reader(tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def reader(folder: Path) -> Reader:
    return open_reader(folder)


def picture(seed: int, size: int = 32) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def ask(model: Reader, image: bytes, **sampling: object) -> list[Generation]:
    return model.generate([Prompt((image,), "anything", Sampling(**{"temperature": 0.0, **sampling}))])[0]


def ids(generation: Generation) -> list[int]:
    return [token.id for token in generation.tokens]


# Against PyTorch


def torch_logits(arrays: dict[str, np.ndarray], pixels: np.ndarray, text: list[int], *, bidirectional: bool = True):
    """A reader's forward pass as one would write it in PyTorch: whole sequences, no cache."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional  # noqa: N806
    a = ARCHITECTURE
    w = {name: torch.from_numpy(array) for name, array in arrays.items()}
    x = ((torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255) - a.mean) / a.std
    for i, stage in enumerate(a.stem):
        x = F.conv2d(x, w[f"stem.{i}.weight"], w[f"stem.{i}.bias"], stride=stage.stride, padding=stage.padding).relu()
        for j in range(stage.residual):
            y = F.conv2d(x, w[f"stem.{i}.{j}.a.weight"], w[f"stem.{i}.{j}.a.bias"], padding=1).relu()
            x = (x + F.conv2d(y, w[f"stem.{i}.{j}.b.weight"], w[f"stem.{i}.{j}.b.bias"], padding=1)).relu()
    image = F.linear(x.flatten(2).transpose(1, 2), w["project.weight"], w["project.bias"])
    x = torch.cat([image, F.embedding(torch.tensor([text]), w["embedding"])], 1)
    tokens = x.shape[1]
    x = x + w["position"][:tokens]
    mask = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    if bidirectional:
        mask[: image.shape[1], : image.shape[1]] = True
    for i in range(a.blocks):
        p = f"blocks.{i}"
        y = F.linear(F.rms_norm(x, (a.width,), w[f"{p}.norm1"], 1e-6), w[f"{p}.qkv.weight"])
        q, k, v = (part.view(1, tokens, a.heads, -1).transpose(1, 2) for part in y.chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + F.linear(y.transpose(1, 2).reshape(1, tokens, a.width), w[f"{p}.o.weight"])
        y = F.linear(F.rms_norm(x, (a.width,), w[f"{p}.norm2"], 1e-6), w[f"{p}.up.weight"], w[f"{p}.up.bias"])
        x = x + F.linear(F.gelu(y, approximate="tanh"), w[f"{p}.down.weight"], w[f"{p}.down.bias"])
    x = F.rms_norm(x[:, image.shape[1] :], (a.width,), w["norm"], 1e-6)
    return F.linear(x, w["embedding"])[0].numpy()


@pytest.mark.parametrize("seed", range(3))
def test_every_token_has_the_probability_that_torch_gives_it(folder: Path, seed: int) -> None:
    model = open_reader(folder, model="reader-base")
    manifest = read_manifest(folder)
    data = picture(seed)
    (written,) = ask(model, data, temperature=1.0, seed=seed, max_tokens=60, logprobs=5)
    assert len(written.tokens) > 10
    arrays = load_arrays(folder, manifest, "reader-base")
    text = [*manifest.prompt, *ids(written)]
    logits = torch_logits(arrays, read_image(data, ARCHITECTURE.size), text)
    expected = log_softmax(logits[len(manifest.prompt) - 1 :])
    for token, row in zip(written.tokens, expected, strict=False):
        assert token.logprob == pytest.approx(row[token.id], abs=1e-4)
        assert [score for _, score in token.top] == pytest.approx(sorted(row, reverse=True)[:5], abs=1e-4)
    causal = torch_logits(arrays, read_image(data, ARCHITECTURE.size), text, bidirectional=False)
    assert np.abs(causal - logits).max() > 0.01  # the comparison tells one mask from the other


def test_greedy_takes_the_likeliest_token(folder: Path) -> None:
    model = open_reader(folder, model="reader-base")
    (written,) = ask(model, picture(5), max_tokens=12, logprobs=1)
    assert all(token.logprob == token.top[0][1] for token in written.tokens)
    assert written.finish_reason == "length"


def test_an_adapter_is_added_to_the_matrices_it_names(folder: Path) -> None:
    manifest = read_manifest(folder)
    base = load_arrays(folder, manifest, "reader-base")
    merged = load_arrays(folder, manifest, "reader")
    adapter = np.load(folder / "sft.npz")
    x = np.random.default_rng(0).standard_normal((7, ARCHITECTURE.width)).astype(np.float32)
    down, up = adapter["blocks.1.qkv.a"].astype(np.float32), adapter["blocks.1.qkv.b"].astype(np.float32)
    beside = x @ base["blocks.1.qkv.weight"].T + 2.0 * (x @ down.T) @ up.T
    assert np.allclose(x @ merged["blocks.1.qkv.weight"].T, beside, atol=1e-4)
    changed = {name for name in base if not np.array_equal(base[name], merged[name])}
    assert changed == {f"blocks.{i}.{matrix}.weight" for i in (0, 1) for matrix in ("qkv", "o", "up", "down")}


# Batches, seeds, sampling


def test_an_answer_is_its_own_whatever_else_is_in_the_batch(reader: Reader) -> None:
    prompts = [
        Prompt(
            (picture(i),),
            "",
            Sampling(temperature=0.8 * (i % 3), seed=i, n=1 + i % 4, max_tokens=5 + 7 * i, logprobs=3),
        )
        for i in range(13)
    ]
    together = reader.generate(prompts)
    assert [len(choices) for choices in together] == [1 + i % 4 for i in range(13)]
    assert [reader.generate([prompt])[0] for prompt in prompts] == together  # log probabilities too, to the last bit
    assert reader.generate(prompts[::-1]) == together[::-1]


def test_more_choices_than_are_written_at_once(reader: Reader) -> None:
    many = ask(reader, picture(1), temperature=1.0, seed=3, n=70, max_tokens=4)
    few = ask(reader, picture(1), temperature=1.0, seed=3, n=2, max_tokens=4)
    assert len(many) == 70
    assert many[:2] == few


def test_seeds(reader: Reader) -> None:
    def draw(**sampling: object) -> list[list[int]]:
        return [ids(one) for one in ask(reader, picture(2), temperature=1.0, max_tokens=20, **sampling)]

    assert draw(seed=1, n=3) == draw(seed=1, n=3)
    assert draw(seed=1) != draw(seed=2)
    assert draw(seed=-1) != draw(seed=1)
    assert draw() != draw()
    first, second = draw(seed=1, n=2)
    assert first != second


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 0.9), (1.5, 0.5)])
def test_tokens_are_drawn_as_often_as_their_probability_says(folder: Path, temperature: float, top_p: float) -> None:
    model = open_reader(folder, model="reader-base")
    drawn: Counter[int] = Counter()
    for seed in range(8):
        choices = ask(
            model, picture(4), temperature=temperature, top_p=top_p, seed=seed, n=256, max_tokens=1, logprobs=0
        )
        drawn.update(ids(one)[0] if one.tokens else model.manifest.end for one in choices)
    arrays = load_arrays(folder, model.manifest, model.name)
    logits = torch_logits(arrays, read_image(picture(4), ARCHITECTURE.size), list(model.manifest.prompt))[-1]
    probabilities = distribution(logits, temperature, top_p)
    assert not [i for i in drawn if probabilities[i] == 0]
    expected = probabilities * 2048
    often = expected >= 5
    seen = np.array([drawn[i] for i in range(len(expected))])
    observed = [*seen[often], seen[~often].sum()]
    wanted = [*expected[often], expected[~often].sum()]
    if wanted[-1] < 1:
        observed, wanted = observed[:-1], wanted[:-1]
    assert stats.chisquare(observed, np.array(wanted) * sum(observed) / sum(wanted)).pvalue > 1e-3


def test_nucleus_keeps_the_token_that_reaches_it() -> None:
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    assert distribution(logits, 1.0, 0.7).tolist() == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert distribution(logits, 1.0, 0.71).tolist() == pytest.approx([4 / 9, 3 / 9, 2 / 9, 0])
    assert distribution(logits, 1.0, 1e-9).tolist() == [1, 0, 0, 0]
    assert distribution(logits, 0.5, 1.0).tolist() == pytest.approx((np.array([16, 9, 4, 1]) / 30).tolist())


def test_log_probabilities_are_of_the_whole_distribution(reader: Reader) -> None:
    (hot,) = ask(reader, picture(3), temperature=1.3, top_p=0.4, seed=1, max_tokens=1, logprobs=3)
    (cold,) = ask(reader, picture(3), max_tokens=1, logprobs=len(reader.vocabulary))
    assert hot.tokens[0].top == cold.tokens[0].top[:3]
    assert math.fsum(math.exp(score) for _, score in cold.tokens[0].top) == pytest.approx(1)
    (plain,) = ask(reader, picture(3), max_tokens=1, logprobs=0)
    assert plain.tokens[0].top == ()
    assert plain.tokens[0].logprob == cold.tokens[0].top[0][1]


def test_length(reader: Reader) -> None:
    (cut,) = ask(reader, picture(0), max_tokens=3)
    assert (len(cut.tokens), cut.finish_reason) == (3, "length")
    prompt = Prompt((picture(0),), "", Sampling(temperature=0.0))
    room = reader.context - reader.prompt_tokens(prompt)
    (whole,) = reader.generate([prompt])[0]
    assert len(whole.tokens) == room if whole.finish_reason == "length" else len(whole.tokens) < room
    assert reader.generate([]) == []


# Quantization


def test_int8_is_off_by_half_a_step_at_most() -> None:
    array = np.random.default_rng(0).standard_normal((64, 33)).astype(np.float32)
    array[:, 5] = 0
    stored = quantize(array)
    assert stored.values.dtype == np.int8
    steps = np.abs(array).max(axis=0) / 127
    assert (np.abs(stored.widen() - array) <= steps / 2 * (1 + 1e-5)).all()


def test_int8_rests_in_half_the_memory_and_answers_alike(folder: Path) -> None:
    half, eighth = open_reader(folder), open_reader(folder, model="reader-int8")
    assert eighth.parameters == half.parameters
    assert eighth.nbytes < 0.65 * half.nbytes  # norms, biases and positions stay; they weigh more in a small model
    (a,), (b,) = (ask(model, picture(1), max_tokens=1, logprobs=len(half.vocabulary)) for model in (half, eighth))
    exact, rounded = dict(a.tokens[0].top), dict(b.tokens[0].top)
    differences = [abs(exact[text] - rounded[text]) for text in exact]
    assert 0 < np.mean(differences) < 0.1


# Images


def test_an_image_of_another_shape_is_fitted_into_the_square() -> None:
    wide = read_image(encoded(Image.new("RGB", (200, 100), "red")), 32)
    assert wide.shape == (32, 32, 3)
    assert wide[4, 16].tolist() == list(GRAY)
    assert wide[16, 16].tolist() == [255, 0, 0]
    assert (wide == np.array([255, 0, 0])).all(-1).sum() == 32 * 16


def test_an_image_is_turned_upright_and_laid_on_white() -> None:
    sideways = Image.new("RGB", (64, 32), "blue")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = read_image(encoded(sideways, "JPEG", exif=exif), 32)
    assert upright[16, 2].tolist() == list(GRAY)
    clear = read_image(encoded(Image.new("RGBA", (32, 32), (0, 0, 0, 0))), 32)
    assert (clear == 255).all()
    for mode in ("L", "P", "LA", "1", "I;16"):
        assert read_image(encoded(Image.new(mode, (32, 32))), 32).shape == (32, 32, 3)


def test_images_that_cannot_be_read(reader: Reader) -> None:
    whole = picture(0, size=64)
    huge = bytearray(encoded(Image.new("1", (8, 8))))
    huge[16:24] = (30_000).to_bytes(4, "big") * 2
    for data in (b"", b"no image", whole[: len(whole) // 2], bytes(huge), b"GIF89a"):
        with pytest.raises(PromptRefused, match="image"):
            reader.prompt_tokens(Prompt((data,)))
    with pytest.raises(PromptRefused, match="50,000,000 at most"):
        read_image(encoded(Image.new("1", (9_000, 6_000))), 32)


def test_prompts_that_are_refused(reader: Reader) -> None:
    image = picture(0)
    assert reader.prompt_tokens(Prompt((image,), "x" * 10_000)) == 16 + len(reader.manifest.prompt)
    with pytest.raises(PromptRefused, match=r"^At most 1 image\(s\) may be provided in one prompt\.$"):
        reader.prompt_tokens(Prompt((image, image)))
    with pytest.raises(PromptRefused, match="one image"):
        reader.generate([Prompt((), "what is this?")])
    with pytest.raises(PromptRefused, match="n has to be"):
        reader.prompt_tokens(Prompt((image,), "", Sampling(n=100_000)))
    with pytest.raises(PromptRefused, match="pattern"):
        reader.prompt_tokens(Prompt((image,), "", Sampling(schema={"type": "string", "pattern": "a"})))


# The reader that ships


def test_the_models_that_ship_are_small_and_whole() -> None:
    assert sum(path.stat().st_size for path in embedded().iterdir()) <= 4_000_000
    assert {"reader", "reader-int8", "reader-base", "reader-sft", "reader-grpo", "reader-gtpo"} <= set(reader_names())
    for name in reader_names():
        assert open_reader(name).name == name
    with pytest.raises(InputError, match="did you mean 'reader-int8'"):
        open_reader("reader-int4")


def test_the_reader_that_ships_reads_and_its_base_does_not_answer_with_json() -> None:
    drawn = GarmentSet(40, seed=7, split="validation")
    prompts = [Prompt((encoded(Image.fromarray(p)),), "", Sampling(temperature=0.0)) for p in drawn.images()]
    references = drawn.references()

    def mean(name: str, answered: list[dict[str, str | None]]) -> float:
        texts = [choices[0].text for choices in open_reader(name).generate(prompts)]
        return float(np.mean([part.total for part in Reward().batch(texts, answered)]))

    read, quantized = mean("reader", references), mean("reader-int8", references)
    assert read > 0.9
    assert quantized == pytest.approx(read, abs=0.05)
    assert mean("reader", references[1:] + references[:1]) < read - 0.1  # it looks: another image's facts pay less
    assert mean("reader-base", references) == 0
