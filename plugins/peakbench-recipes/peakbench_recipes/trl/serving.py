"""A model of Hugging Face behind PeakBench's server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peakbench.errors import ImageError
from peakbench.serving.base import Generation, Prompt, PromptRefused, Sampling, Token
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from peakbench_recipes.data import decode
from peakbench_recipes.trl.checkpoints import Checkpoint, Opened, open_checkpoint

ROWS = 16
"""Rows of one pass at most."""


class TransformersModel:
    """Answers prompts with ``generate``; implements ``peakbench.serving.base.ServedModel``.

    Greedy and sampled rows go through the same pass. A sampled row has a generator of its own, so its tokens depend on
    its seed alone, up to the rounding of a batch.
    """

    def __init__(self, opened: Opened, *, name: str, system: str | None = None) -> None:
        self._model = opened.model.eval()
        self._processor = opened.processor
        self._tokenizer = opened.processor.tokenizer
        self._name = name
        self._system = system
        text = self._model.config.get_text_config()
        self._context = int(text.max_position_embeddings)
        self._vocabulary = int(text.vocab_size)
        ends = self._model.generation_config.eos_token_id
        self._ends = {int(one) for one in (ends if isinstance(ends, list) else [ends]) if one is not None}

    @property
    def name(self) -> str:
        """The name under which it is asked."""
        return self._name

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together, at most."""
        return self._context

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt, images included.

        Raises:
            PromptRefused: an image cannot be read, or a schema is asked for.
        """
        if prompt.sampling.schema is not None:
            raise PromptRefused("This model cannot be held to a schema: leave response_format out.")
        return int(self._read([prompt])["input_ids"].shape[1])

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        """Answer a batch: for each prompt its ``sampling.n`` generations."""
        rows = [(at, turn) for at, prompt in enumerate(prompts) for turn in range(prompt.sampling.n)]
        found: list[list[Generation]] = [[] for _ in prompts]
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            for (at, _), made in zip(part, self._pass([(prompts[at], turn) for at, turn in part]), strict=True):
                found[at].append(made)
        return found

    def _pass(self, rows: Sequence[tuple[Prompt, int]]) -> list[Generation]:
        inputs = self._read([prompt for prompt, _ in rows])
        length = inputs["input_ids"].shape[1]
        room = self._context - length
        limits = [min(prompt.sampling.max_tokens or room, room) for prompt, _ in rows]
        noise = [_generator(prompt.sampling, turn) for prompt, turn in rows]
        settings = GenerationConfig(
            max_new_tokens=max(limits),
            do_sample=False,
            eos_token_id=sorted(self._ends) or None,
            pad_token_id=self._tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=any(prompt.sampling.logprobs is not None for prompt, _ in rows),
        )
        draw = LogitsProcessorList([Draw([prompt.sampling for prompt, _ in rows], noise)])
        with torch.inference_mode():
            output = self._model.generate(**inputs, generation_config=settings, logits_processor=draw)
        ids = output.sequences[:, length:].tolist()
        scores = None if output.logits is None else torch.stack(output.logits, 1).float().log_softmax(-1)
        return [
            self._generation(ids[at], None if scores is None else scores[at], prompt.sampling, limits[at])
            for at, (prompt, _) in enumerate(rows)
        ]

    def _read(self, prompts: Sequence[Prompt]) -> Any:
        images = [[_image(data) for data in prompt.images] for prompt in prompts]
        texts = [
            self._processor.apply_chat_template(self._messages(prompt), tokenize=False, add_generation_prompt=True)
            for prompt in prompts
        ]
        given = {"images": images} if any(images) else {}
        read = self._processor(text=texts, padding=True, return_tensors="pt", add_special_tokens=False, **given)
        return read.to(self._model.device)

    def _messages(self, prompt: Prompt) -> list[dict[str, Any]]:
        """Return the messages as in training: the text of the system apart, the images first."""
        text, before = prompt.text, []
        if self._system is not None and text.startswith(f"{self._system}\n"):
            text = text.removeprefix(f"{self._system}\n")
            before = [{"role": "system", "content": [{"type": "text", "text": self._system}]}]
        pictures = [{"type": "image"} for _ in prompt.images]
        return [*before, {"role": "user", "content": [*pictures, {"type": "text", "text": text}]}]

    def _generation(self, ids: list[int], scores: Any, sampling: Sampling, limit: int) -> Generation:
        end = next((place for place, token in enumerate(ids[:limit]) if token in self._ends), None)
        kept = ids[: limit if end is None else end]
        pieces = self._pieces(kept)
        tokens = []
        for place, (token, piece) in enumerate(zip(kept, pieces, strict=True)):
            if scores is None or sampling.logprobs is None:
                tokens.append(Token(token, piece))
                continue
            best = scores[place].topk(min(sampling.logprobs, self._vocabulary)) if sampling.logprobs else None
            top = (
                ()
                if best is None
                else tuple(
                    (self._tokenizer.decode([other]), value)
                    for other, value in zip(best.indices.tolist(), best.values.tolist(), strict=True)
                )
            )
            tokens.append(Token(token, piece, float(scores[place, token]), top))
        return Generation(tuple(tokens), "length" if end is None else "stop")

    def _pieces(self, ids: list[int]) -> list[str]:
        """Return the text of each token; bytes of one character that are split over tokens go to the last of them."""
        pieces, shown = [], ""
        for place in range(len(ids)):
            text = self._tokenizer.decode(ids[: place + 1], skip_special_tokens=True)
            if text.endswith("\ufffd") and place + 1 < len(ids):
                text = shown
            pieces.append(text[len(shown) :])
            shown = text
        return pieces


class Draw(LogitsProcessor):  # type: ignore[misc]
    """Turns the likeliest token into a drawn one, row by row.

    The largest of ``logit / temperature + Gumbel noise`` is a draw from the softmax (Gumbel-max), so greedy search over
    these scores samples; rows of temperature 0 stay as they are.
    """

    def __init__(self, sampling: Sequence[Sampling], generators: Sequence[torch.Generator | None]) -> None:
        self._rows = list(zip(sampling, generators, strict=True))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores of a step with the noise of each row."""
        scores = scores.float()
        for row, (sampling, generator) in enumerate(self._rows):
            if generator is None:
                continue
            logits = (scores[row] / sampling.temperature).cpu()
            if sampling.top_p < 1:
                logits = _nucleus(logits, sampling.top_p)
            noise = -torch.log(torch.empty_like(logits).exponential_(generator=generator))
            scores[row] = (logits + noise).to(scores.device)
        return scores


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the likeliest tokens whose probabilities first sum to ``top_p``."""
    ordered, order = logits.softmax(-1).sort(descending=True)
    left_out = ordered.cumsum(-1) - ordered >= top_p
    return logits.masked_fill(torch.zeros_like(left_out).scatter(0, order, left_out), float("-inf"))


def _generator(sampling: Sampling, turn: int) -> torch.Generator | None:
    if sampling.temperature == 0:
        return None
    made = torch.Generator()
    if sampling.seed is None:
        made.seed()
    else:
        made.manual_seed((sampling.seed * 1_000_003 + turn) % 2**63)
    return made


def _image(data: bytes) -> Any:
    try:
        return decode(data)
    except ImageError as error:
        raise PromptRefused(f"The image cannot be read: {error}") from error


def serve(folder: Path) -> TransformersModel:
    """Open a checkpoint folder for asking."""
    checkpoint = Checkpoint.read(folder)
    opened = open_checkpoint(checkpoint)
    return TransformersModel(opened, name=Path(checkpoint.base).name, system=checkpoint.system)
