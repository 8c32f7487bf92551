"""A reader's folder: what is written is read again, and what is damaged says so."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peakbench.errors import InputError
from peakbench.reader import (
    Architecture,
    Entry,
    Stage,
    load_arrays,
    open_reader,
    read_manifest,
    reader_names,
    save_reader,
)

sys.path.insert(0, str(Path(__file__).parent))
from reader_weights import ARCHITECTURE, random_adapter, random_arrays, vocabulary, write_random_reader  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_random_reader(tmp_path / "reader")


def test_what_is_saved_is_read_again(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.architecture == ARCHITECTURE
    assert manifest.vocabulary == vocabulary()
    assert manifest.models["reader-int8"] == Entry("base.npz", "sft.npz", "int8")
    assert manifest.training == {"seed": 0, "recipe": "random"}
    assert reader_names(folder) == ("reader", "reader-int8", "reader-base")
    arrays = load_arrays(folder, manifest, "reader-base")
    written = random_arrays(ARCHITECTURE, len(vocabulary()))
    assert set(arrays) == set(written)
    assert all(np.array_equal(arrays[name], written[name]) and arrays[name].dtype == np.float32 for name in arrays)


def test_the_same_weights_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = write_random_reader(tmp_path / "again")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in again.iterdir()}


def test_a_stem_of_other_kernels(tmp_path: Path) -> None:
    stem = (Stage(8, kernel=4, stride=4, padding=0), Stage(12, kernel=5, stride=2, padding=2))
    architecture = replace(ARCHITECTURE, stem=stem)
    assert architecture.image_tokens == 16
    reader = open_reader(write_random_reader(tmp_path, architecture=architecture))
    assert reader.name == "reader"


def edit(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "reader.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    damage.__name__ = name
    return damage


def flip(folder: Path) -> None:
    data = bytearray((folder / "sft.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "sft.npz").write_bytes(data)


def swap(folder: Path, data: bytes) -> None:
    """Replace the adapter and say so in the manifest, as someone would who means harm."""
    import hashlib

    (folder / "sft.npz").write_bytes(data)
    edit("", lambda c: c["files"]["sft.npz"].update(sha256=hashlib.sha256(data).hexdigest()))(folder)


def pickled(folder: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, scale=np.array([{}], dtype=object))
    swap(folder, buffer.getvalue())


def misshapen(folder: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{**random_adapter(ARCHITECTURE, 10), "blocks.0.o.b": np.zeros((3, 4), dtype=np.float16)})
    swap(folder, buffer.getvalue())


def foreign(folder: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **random_adapter(ARCHITECTURE, 10), **{"blocks.0.norm1.a": np.zeros((4, 32), dtype=np.float16)})
    swap(folder, buffer.getvalue())


def endless(folder: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, scale=np.float16(np.inf))
    swap(folder, buffer.getvalue())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, "sha256 differs"),
        (lambda folder: (folder / "base.npz").unlink(), "base.npz: cannot be read"),
        (lambda folder: (folder / "reader.json").unlink(), "a folder that holds a reader"),
        (lambda folder: (folder / "reader.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "reader.json").write_text("[]"), "format None is not known"),
        (lambda folder: swap(folder, b"junk"), "is not a file of arrays"),
        (pickled, "is not a file of arrays"),
        (misshapen, r"array 'blocks.0.o.b' has shape \(3, 4\)"),
        (foreign, "array 'blocks.0.norm1.a' is not expected"),
        (endless, "finite"),
        (edit("format", lambda c: c.update(format=2)), "expected: format 1"),
        (edit("files", lambda c: c["files"].clear()), "base.npz is not among files"),
        (edit("models", lambda c: c["models"].clear()), "models: none"),
        (edit("storage", lambda c: c["models"]["reader"].update(storage="fp4")), "neither fp16 nor int8"),
        (edit("outside", lambda c: c["models"]["reader"].update(weights="../base.npz")), "not the name of a file"),
        (edit("key", lambda c: c["models"]["reader"].update(weight="x")), "is incomplete"),
        (edit("end", lambda c: c.update(end=10_000)), "prompt and end"),
        (edit("prompt", lambda c: c.update(prompt=[5] * 200)), "no position for an answer"),
        (edit("heads", lambda c: c["architecture"].update(heads=5)), "cannot be shared by 5 heads"),
        (edit("width", lambda c: c["architecture"].update(width=60_000)), "parameters|shape"),
        (edit("zero", lambda c: c["architecture"].update(blocks=0)), "whole numbers"),
        (edit("text", lambda c: c["architecture"].update(size="32")), "is incomplete|whole numbers"),
        (edit("large", lambda c: c["architecture"].update(size=256)), "1024 image tokens leave no room"),
        (edit("words", lambda c: c["vocabulary"].append("\u20ac")), "is incomplete"),
        (edit("more", lambda c: c["vocabulary"].append("more")), "array 'embedding' has shape"),
        (edit("gone", lambda c: c.pop("vocabulary")), "is incomplete"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_damaged_folder(folder: Path, damage: Callable[[Path], object], said: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=said) as caught:
        open_reader(folder)
    assert str(folder) in str(caught.value)


def test_names(folder: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'reader-int8'"):
        open_reader(folder, model="reader-in8")
    with pytest.raises(InputError, match="a folder that holds a reader"):
        open_reader(folder / "nothing")


def test_saving_what_does_not_fit(tmp_path: Path, folder: Path) -> None:
    manifest = read_manifest(folder)
    arrays = {"base.npz": random_arrays(ARCHITECTURE, len(vocabulary())), "sft.npz": random_adapter(ARCHITECTURE, 0)}
    for change, said in [
        ({"sft.npz": None}, "no arrays for"),
        ({"base.npz": {**arrays["base.npz"], "norm": np.full(32, 1e6)}}, "finite"),
        ({"base.npz": {k: v for k, v in arrays["base.npz"].items() if k != "norm"}}, "'norm' is missing"),
        ({"../more.npz": {}}, "not the name of a file"),
    ]:
        changed = {name: content for name, content in {**arrays, **change}.items() if content is not None}
        with pytest.raises(InputError, match=said):
            save_reader(tmp_path / "new", manifest, changed)
    with pytest.raises(InputError, match="image tokens leave no room"):
        save_reader(tmp_path / "new", replace(manifest, architecture=replace(ARCHITECTURE, positions=16)), arrays)
    assert not list((tmp_path / "new").glob("*.json"))


def test_sizes_that_hang_together() -> None:
    assert ARCHITECTURE.problem() is None
    assert "whole numbers" in str(replace(ARCHITECTURE, stem=()).problem())
    assert "std" in str(replace(ARCHITECTURE, std=0.0).problem())
    shapes = Architecture(size=8, stem=(Stage(4),), width=8, heads=1, blocks=1, hidden=16, positions=32).shapes(10)
    assert (
        sum(int(np.prod(shape)) for shape in shapes.values()) == 112 + 40 + 80 + 256 + 8 + 8 + 192 + 64 + 8 + 144 + 136
    )
