"""The small reader in torch: its two ways of reading agree, and with the NumPy reader."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from peakbench.reader import load_arrays, open_reader, read_manifest  # noqa: E402
from peakbench.serving.base import Prompt, Sampling  # noqa: E402

from peakbench_recipes.tiny.checkpoint import load_model, save_model  # noqa: E402
from peakbench_recipes.tiny.export import export_checkpoint, export_series  # noqa: E402
from peakbench_recipes.tiny.model import Convolution, Reader, Sizes, pixels  # noqa: E402
from peakbench_recipes.tiny.optimizer import Average, Muon, orthogonal  # noqa: E402
from peakbench_recipes.tiny.tokens import END, Phrase, Tokenizer, answer, caption  # noqa: E402

SAID = {
    "type": Phrase.of("The type is {value}.", "No garment is visible."),
    "color": Phrase.of("The color is {value}.", "No color is visible."),
    "brand": Phrase.of("The brand is {value}.", "No brand is visible."),
}
REFERENCES = [
    {"type": "shirt", "color": "navy blue and white", "brand": None},
    {"type": "t-shirt", "color": "red", "brand": "lumen"},
]
STEM = (Convolution(4, kernel=7, stride=4), Convolution(6, residual=1))


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer.build(REFERENCES, SAID)


@pytest.fixture
def model(tokenizer: Tokenizer) -> Reader:
    torch.manual_seed(0)
    made = Reader(Sizes(len(tokenizer.vocabulary), 16, 2, 2, STEM, size=32, answer=40))
    with torch.no_grad():
        made.embedding.weight.mul_(30)  # far from uniform, so that greedy choices are not close calls
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.weight.uniform_(0.5, 2)
                module.bias.normal_()
    return made.eval()


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def test_keys_null_and_values_are_one_token_each(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(answer(REFERENCES[0], SAID))
    assert [tokenizer.piece(one) for one in ids] == [
        '{"type": "',
        "shirt",
        '", "color": "',
        "navy blue",
        " and ",
        "white",
        '", "brand": ',
        "null",
        "}",
    ]
    assert len(tokenizer.encode(caption(REFERENCES[0], SAID))) == 7  # absent brand: one token, with the stop before it


@pytest.mark.parametrize("text", ["", "Kleid, grün", '{"type": "t-shirt"}', "\x00\n", "The type is shirt. No"])
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.text([*tokenizer.encode(text), END, 7]) == text


def test_answers_and_forward_give_the_same_logits(model: Reader, tokenizer: Tokenizer) -> None:
    prompt = list(tokenizer.prompt)
    seen = model.see(pixels(torch.from_numpy(np.stack([picture(0), picture(1)]))))
    ids = torch.randint(0, len(tokenizer.vocabulary), (6, 5), generator=torch.Generator().manual_seed(1))
    whole = model(torch.cat([torch.tensor([prompt] * 6), ids], 1)[:, :-1], seen.repeat_interleave(3, 0))
    torch.testing.assert_close(model.answers(seen, prompt, ids, 3), whole[:, len(prompt) - 1 :], atol=1e-4, rtol=1e-4)


def test_greedy_writing_follows_the_logits(model: Reader, tokenizer: Tokenizer) -> None:
    seen = model.see(pixels(torch.from_numpy(picture(2)[None])))
    ids, mask = model.write(seen, tokenizer.prompt, end=END, limit=8)
    expected = model.answers(seen, tokenizer.prompt, ids).argmax(-1)
    assert torch.equal(ids[mask], expected[mask])


def test_the_image_is_seen_in_both_directions_and_answers_only_backwards(model: Reader) -> None:
    mask = model.mask(70)
    tokens = model.sizes.image_tokens
    assert tokens == 16
    assert bool(mask[:tokens, :tokens].all())
    assert not bool(mask[:tokens, tokens:].any())
    assert torch.equal(mask[tokens:], torch.ones(70, 70, dtype=torch.bool).tril()[tokens:])


def test_the_numpy_reader_says_what_torch_says(model: Reader, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model.adapt(4, 8)
    with torch.no_grad():
        for _, one in model.adapters():
            one.b.normal_(std=0.1)
    save_model(tmp_path / "c", model, tokenizer, adapter=(4, 8.0), training={"seed": 3})
    folder = export_checkpoint(tmp_path / "c", "reader", tmp_path / "out")
    reader = open_reader(str(folder))
    again, _, about = load_model(tmp_path / "c")
    assert about["adapter"] == (4, 8.0)
    assert read_manifest(folder).training["seed"] == 3
    for seed in range(4):
        image = picture(seed)
        ids, _ = again.write(again.see(pixels(torch.from_numpy(image[None]))), tokenizer.prompt, end=END, limit=12)
        buffer = io.BytesIO()
        from PIL import Image

        Image.fromarray(image).save(buffer, "PNG")
        prompt = Prompt((buffer.getvalue(),), "", Sampling(temperature=0, max_tokens=12))
        assert reader.generate([prompt])[0][0].text == tokenizer.text(ids[0].tolist())


def test_a_series_shares_its_base(model: Reader, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tmp_path / "base", model, tokenizer, adapter=None, training={})
    adapted, _, _ = load_model(tmp_path / "base")
    adapted.adapt(4, 8)
    save_model(tmp_path / "sft", adapted, tokenizer, adapter=(4, 8.0), training={})
    stages = {"base": tmp_path / "base", "sft": tmp_path / "sft"}
    made = export_series(stages, tmp_path / "out", training={"recipe": "toy"})
    assert list(made.models) == ["reader", "reader-int8", "reader-base", "reader-sft"]
    base, last = (load_arrays(tmp_path / "out", made, name) for name in ("reader-base", "reader"))
    for name, value in base.items():
        np.testing.assert_array_equal(last[name], value)  # B is zero: nothing learned yet
    assert json.loads((tmp_path / "out" / "reader.json").read_text())["training"] == {"recipe": "toy"}


def test_the_reader_of_a_series_is_the_best_on_validation(model: Reader, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tmp_path / "base", model, tokenizer, adapter=None, training={"validation": {"reward": 0.0}})
    adapted, _, _ = load_model(tmp_path / "base")
    adapted.adapt(4, 8)
    for name, reward in {"sft": 0.77, "grpo": 0.78, "gtpo": 0.76}.items():
        save_model(tmp_path / name, adapted, tokenizer, adapter=(4, 8.0), training={"validation": {"reward": reward}})
    stages = {name: tmp_path / name for name in ("base", "sft", "grpo", "gtpo")}
    made = export_series(stages, tmp_path / "out", training={})
    assert made.models["reader"].adapter == "grpo.npz"
    assert made.models["reader-int8"].adapter == "grpo.npz"


def test_one_step_of_muon_by_hand() -> None:
    """The change is 0.2 * lr * sqrt(longer side) times a matrix with singular values about 1, against the gradient."""
    weight = torch.nn.Parameter(torch.zeros(4, 9))
    weight.grad = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    gradient = weight.grad.clone()
    Muon([weight], lr=0.1, momentum=0.9).step()
    size = 0.2 * 0.1 * 3
    values = torch.linalg.svdvals(weight.detach() / size)
    assert bool(((values > 0.6) & (values < 1.3)).all())
    assert float((weight.detach() * gradient).sum()) < 0
    u, _, vt = torch.linalg.svd(gradient, full_matrices=False)
    aligned = torch.diagonal(u.T @ (-weight.detach() / size) @ vt.T)
    assert bool(((aligned > 0.6) & (aligned < 1.3)).all())


def test_orthogonal_of_a_tall_matrix() -> None:
    tall = torch.randn(9, 4, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(orthogonal(tall), orthogonal(tall.T).T, atol=1e-5)


def test_the_average_forgets_its_beginning() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    average = Average([("w", weight)], 0.9)
    with torch.no_grad():
        weight.fill_(1.0)
    values = []
    for step in range(3):
        average.update([("w", weight)], step)
        values.append(float(average.values["w"]))
    # shares kept: 1/10, 2/11, 3/12
    assert values == pytest.approx([0.9, 1 - 0.1 * 2 / 11, 1 - 0.1 * 2 / 11 * 0.25])
