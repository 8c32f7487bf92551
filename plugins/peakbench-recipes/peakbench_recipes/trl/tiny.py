"""Tiny models of real architectures, made from their configuration: random weights, a tokenizer made on the spot.

They are for the mechanics: what runs on one of them in seconds runs on the real one. They are written as checkpoint
folders of Hugging Face, and read back as any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peakbench_recipes.trl.families import family
from peakbench_recipes.trl.processors import images_only

PATCH, IMAGE = 16, 64
"""Side of a patch and of the largest image, in pixels: 16 patches, merged to 4 tokens."""

_END, _PAD = "<|im_end|>", "<|endoftext|>"
_SPECIALS = {
    "qwen3-vl": ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
    "idefics3": ("<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>"),
}
_IMAGE_TEXT = {"qwen3-vl": "<|vision_start|><|image_pad|><|vision_end|>", "idefics3": "<image>"}
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make(name: str, folder: Path, texts: Iterable[str], *, seed: int = 0, width: int = 64, layers: int = 2) -> Path:
    """Write a tiny model of a family to ``folder`` and return it.

    Args:
        name: ``qwen3-vl`` or ``idefics3``.
        folder: gets configuration, weights, tokenizer and image processor.
        texts: what the tokenizer learns its words from.
        seed: of the weights.
        width: of the decoder, a multiple of 32.
        layers: of the decoder.
    """
    import torch
    from transformers import AutoModelForImageTextToText

    chosen = family(name)
    tokenizer = _tokenizer(name, list(texts))
    if name == "qwen3-vl":
        configuration, processor = _qwen3_vl(tokenizer, width, layers)
    else:
        configuration, processor = _idefics3(tokenizer, width, layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(configuration)
        # wide enough that an adapter alone can make a token likely: a new head's logits all but coincide
        torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.25)
    end, pad = tokenizer.convert_tokens_to_ids([_END, _PAD])
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = end, pad
    model.generation_config.bos_token_id = None
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    assert chosen.types[0] == configuration.model_type
    return folder


def _tokenizer(name: str, texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    specials = [_PAD, "<|im_start|>", _END, *_SPECIALS[name]]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=1024, special_tokens=specials, initial_alphabet=alphabet, show_progress=False),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token=_PAD,
        eos_token=_END,
        padding_side="left",
        extra_special_tokens=list(_SPECIALS[name]),
        chat_template=_TEMPLATE.replace("IMAGE", _IMAGE_TEXT[name]),
    )


def _qwen3_vl(tokenizer: Any, width: int, layers: int) -> tuple[Any, Any]:
    from transformers import Qwen3VLConfig, Qwen3VLProcessor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    start, end, image, video = tokenizer.convert_tokens_to_ids(list(_SPECIALS["qwen3-vl"]))
    heads = width // 32
    configuration = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": max(heads // 2, 1),
            "head_dim": 32,
            "max_position_embeddings": 4096,
            "rope_scaling": {"rope_type": "default", "mrope_section": [8, 4, 4], "mrope_interleaved": True},
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": width,
            "num_position_embeddings": (IMAGE // PATCH) ** 2,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=False,
    )
    images = Qwen2VLImageProcessorPil(
        size={"shortest_edge": 32 * 32, "longest_edge": IMAGE * IMAGE}, patch_size=PATCH, merge_size=2
    )
    return configuration, images_only(Qwen3VLProcessor)(images, tokenizer, chat_template=tokenizer.chat_template)


def _idefics3(tokenizer: Any, width: int, layers: int) -> tuple[Any, Any]:
    from transformers import Idefics3Config, Idefics3ImageProcessorPil, Idefics3Processor

    heads = width // 32
    configuration = Idefics3Config(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads,
            "max_position_embeddings": 4096,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "tie_word_embeddings": False,
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": IMAGE,
            "patch_size": PATCH,
        },
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": IMAGE}, max_image_size={"longest_edge": IMAGE}, do_image_splitting=False
    )
    seen = (IMAGE // PATCH // 2) ** 2
    return configuration, Idefics3Processor(images, tokenizer, seen, chat_template=tokenizer.chat_template)
