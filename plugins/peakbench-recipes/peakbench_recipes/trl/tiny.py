"""Tiny models of real architectures, made from their configuration: random weights, a tokenizer made on the spot.

They are for the mechanics: what runs on one of them in seconds runs on the real one. They are written as checkpoint
folders of Hugging Face, and read back as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peakbench_recipes.trl.families import family
from peakbench_recipes.trl.processors import images_only

PATCH, IMAGE = 16, 64
"""Side of a patch and of the largest image or tile, in pixels: 16 patches, merged to 4 tokens where they are merged."""

_END, _PAD = "<|im_end|>", "<|endoftext|>"
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What sets a family's tiny model apart.

    Attributes:
        tokens: special tokens, by the names that the processor asks the tokenizer for.
        image: what the chat template writes for an image.
        ids: settings of the configuration -> the special token whose id they are.
        text: settings of the decoder.
        vision: settings of the vision tower.
        joint: settings of the whole.
        image_processor: name of its class.
        images: its settings.
        options: settings of the processor.
    """

    tokens: Mapping[str, str]
    image: str
    ids: Mapping[str, str]
    image_processor: str
    text: Mapping[str, Any] = field(default_factory=dict)
    vision: Mapping[str, Any] = field(default_factory=dict)
    joint: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def _qwen(text: Mapping[str, Any], vision: Mapping[str, Any]) -> _Parts:
    names = {"vision_start": "<|vision_start|>", "vision_end": "<|vision_end|>", "image": "<|image_pad|>",
             "video": "<|video_pad|>"}  # fmt: skip
    return _Parts(
        tokens={f"{name}_token": token for name, token in names.items()},
        image="<|vision_start|><|image_pad|><|vision_end|>",
        ids={f"{name}_token_id": token for name, token in names.items()},
        image_processor="Qwen2VLImageProcessorPil",
        text=text,
        vision={"spatial_merge_size": 2, "temporal_patch_size": 2, **vision},
        images={
            "size": {"shortest_edge": 32 * 32, "longest_edge": IMAGE * IMAGE},
            "patch_size": PATCH,
            "merge_size": 2,
        },
    )


def _idefics(image_processor: str) -> _Parts:
    return _Parts(
        tokens={
            "fake_image_token": "<fake_token_around_image>",
            "image_token": "<image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
        image="<image>",
        ids={"image_token_id": "<image>"},
        image_processor=image_processor,
        joint={"scale_factor": 2},
        images={
            "size": {"longest_edge": IMAGE},
            "max_image_size": {"longest_edge": IMAGE},
            "do_image_splitting": False,
        },
        options={"image_seq_len": 4},
    )


def _granite(text: Mapping[str, Any], vision: Mapping[str, Any], joint: Mapping[str, Any], **options: Any) -> _Parts:
    grids = [[IMAGE, IMAGE], [IMAGE, 2 * IMAGE], [2 * IMAGE, IMAGE]]
    return _Parts(
        tokens={"image_token": "<image>"},
        image="<image>",
        ids={"image_token_id": "<image>"},
        image_processor="LlavaNextImageProcessorPil",
        text={
            "embedding_multiplier": 12.0,
            "logits_scaling": 8.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 1 / 32,
            **text,
        },
        vision={"model_type": "siglip_vision_model", "vision_use_head": False, **vision},
        joint={
            "image_grid_pinpoints": grids,
            "vision_feature_layer": [-2, -1],
            "vision_feature_select_strategy": "full",
            **options,
            **joint,
        },
        images={"size": _SQUARE, "crop_size": _SQUARE, "image_grid_pinpoints": grids},
        options={"patch_size": PATCH, "vision_feature_select_strategy": "full", **options},
    )


_SQUARE = {"height": IMAGE, "width": IMAGE}
_PARTS: Mapping[str, _Parts] = {
    "qwen3-vl": _qwen(
        {
            "head_dim": 32,
            "rope_scaling": {"rope_type": "default", "mrope_section": [8, 4, 4], "mrope_interleaved": True},
        },
        {"num_position_embeddings": (IMAGE // PATCH) ** 2, "deepstack_visual_indexes": [0]},
    ),
    "qwen2.5-vl": _qwen(
        {"rope_scaling": {"rope_type": "default", "mrope_section": [4, 6, 6]}},
        {"window_size": 2 * 2 * PATCH, "fullatt_block_indexes": [1]},
    ),
    "idefics3": _idefics("Idefics3ImageProcessorPil"),
    "smolvlm": _idefics("SmolVLMImageProcessorPil"),
    "internvl": _Parts(
        tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        image="<IMG_CONTEXT>",
        ids={"image_token_id": "<IMG_CONTEXT>"},
        image_processor="GotOcr2ImageProcessorPil",
        text={"model_type": "qwen2"},
        joint={"image_seq_length": 4},
        images={"size": _SQUARE},
        options={"image_seq_length": 4},
    ),
    "granite-vision": _granite({"model_type": "granite"}, {}, {}),
    "granite4-vision": _granite(
        {},
        {"hidden_size": 64},  # one head of the projector is 64 wide
        {
            "deepstack_layer_map": [[-2, 0]],
            "spatial_target_layers": [1],
            "projector_dropout": 0.0,
            "qformer_config": {
                "model_type": "blip_2_qformer",
                "num_hidden_layers": 1,
                "intermediate_size": 64,
                "cross_attention_frequency": 1,
                "use_qformer_text_input": False,
                "hidden_dropout_prob": 0.0,
                "attention_probs_dropout_prob": 0.0,
            },
        },
        downsample_rate="1/2",
    ),
}


def make(name: str, folder: Path, texts: Iterable[str], *, seed: int = 0, width: int = 64, layers: int = 2) -> Path:
    """Write a tiny model of a family to ``folder`` and return it.

    Args:
        name: of the family.
        folder: gets configuration, weights, tokenizer and image processor.
        texts: what the tokenizer learns its words from.
        seed: of the weights.
        width: of the decoder, a multiple of 32.
        layers: of the decoder.
    """
    import torch
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    chosen, parts = family(name), _PARTS[name]
    tokenizer = _tokenizer(parts, list(texts))
    configuration = transformers.AutoConfig.for_model(chosen.types[0], **_settings(parts, tokenizer, width, layers))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForImageTextToText.from_config(configuration)
        # wide enough that an adapter alone can make a token likely: a new head's logits all but coincide
        scaling = getattr(configuration.get_text_config(), "logits_scaling", 1.0)
        torch.nn.init.normal_(model.get_output_embeddings().weight, std=0.25 * scaling)
    end, pad = tokenizer.convert_tokens_to_ids([_END, _PAD])
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = end, pad
    model.generation_config.bos_token_id = None
    model.save_pretrained(folder)
    kind: Any = PROCESSOR_MAPPING[type(configuration)]
    images = getattr(transformers, parts.image_processor)(**parts.images)
    made = images_only(kind) if chosen.video else kind
    made(images, tokenizer, chat_template=tokenizer.chat_template, **parts.options).save_pretrained(folder)
    return folder


def _tokenizer(parts: _Parts, texts: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    specials = [_PAD, "<|im_start|>", _END, *parts.tokens.values()]
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
        extra_special_tokens=dict(parts.tokens),
        chat_template=_TEMPLATE.replace("IMAGE", parts.image),
    )


def _settings(parts: _Parts, tokenizer: Any, width: int, layers: int) -> dict[str, Any]:
    """Return the settings of the configuration; a name that an architecture does not have is not read."""
    heads = width // 32
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": max(heads // 2, 1),
        "max_position_embeddings": 4096,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "tie_word_embeddings": False,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": PATCH,
        "image_size": IMAGE,
        "out_hidden_size": width,
    }
    return {
        "text_config": {**text, **parts.text},
        "vision_config": {**vision, **parts.vision},
        "tie_word_embeddings": False,
        **{key: tokenizer.convert_tokens_to_ids(token) for key, token in parts.ids.items()},
        **parts.joint,
    }
