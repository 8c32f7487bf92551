"""A Florence-2 checkpoint behind the endpoint.

Its own decoding loop, not ``generate``: a request's seed has to give the same tokens whatever else is in the batch,
probabilities are reported, and the generation settings that Florence-2 ships with (three beams, no three tokens
twice) would forbid JSON to write ``null, `` again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from peakbench import ImageError
from peakbench.serving.base import Generation, Prompt, PromptRefused, Sampling, Token

from peakbench_recipes.data import decode
from peakbench_recipes.florence.model import chosen_device, load_merged

if TYPE_CHECKING:
    import torch


class ServedFlorence:
    """A checkpoint that can be asked; see :func:`serve`.

    A checkpoint that was trained with a prompt of its own is asked with that one, whatever the request's text says.
    """

    def __init__(self, model: Any, processor: Any, *, name: str, prompt: str | None, max_target: int) -> None:
        self._model, self._processor, self._name = model, processor, name
        self._prompt, self._max_target = prompt, max_target
        text = model.config.text_config
        self._reads, self._writes = text.max_position_embeddings, text.max_position_embeddings
        # the decoder's start token, then the token that every target begins with
        self._prefix = [text.decoder_start_token_id, text.bos_token_id]
        self._end = text.eos_token_id

    @property
    def name(self) -> str:
        """The name under which it is asked."""
        return self._name

    @property
    def context(self) -> int:
        """Tokens of the encoder and of the decoder together; each has its own half."""
        return int(self._reads + self._writes)

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Count the tokens that the encoder reads, image included.

        Raises:
            PromptRefused: no image or several, one that cannot be read, a schema, a prompt that is too long or holds
                the model's own control tokens.
        """
        if not prompt.images:
            raise PromptRefused("At least 1 image must be provided in one prompt.")
        if len(prompt.images) > 1:
            raise PromptRefused("At most 1 image(s) may be provided in one prompt.")
        if prompt.sampling.schema is not None:
            raise PromptRefused("This model cannot be held to a JSON schema.")
        self._picture(prompt)
        text = self._text(prompt)
        written = len(self._processor.tokenizer(text, add_special_tokens=False).input_ids)
        count = int(self._processor.num_image_tokens) + written + 2
        if count > self._reads:
            raise PromptRefused(f"The prompt has {count} tokens; this model's encoder reads at most {self._reads}.")
        return count

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        """Answer a batch: for each prompt ``sampling.n`` generations."""
        import torch

        with torch.inference_mode():
            encoded = self._processor(
                images=[self._picture(prompt) for prompt in prompts],
                text=[self._text(prompt) for prompt in prompts],
                padding=True,
                return_tensors="pt",
            ).to(self._model.device)
            rows = [_Row(prompt.sampling, copy) for prompt in prompts for copy in range(prompt.sampling.n)]
            owners = [place for place, prompt in enumerate(prompts) for _ in range(prompt.sampling.n)]
            self._decode(rows, *self._encoded(encoded, owners))
        answers: list[list[Generation]] = [[] for _ in prompts]
        for owner, row in zip(owners, rows, strict=True):
            answers[owner].append(self._generation(row))
        return answers

    def _encoded(self, inputs: Any, owners: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the encoder once a prompt; return (states, mask), a row for each generation."""
        inner = self._model
        embeds = inner.get_input_embeddings()(inputs["input_ids"])
        features = inner.get_image_features(pixel_values=inputs["pixel_values"]).pooler_output
        places = (inputs["input_ids"] == inner.config.image_token_id).unsqueeze(-1)
        embeds = embeds.masked_scatter(places, features.to(embeds.dtype))
        states = inner.get_encoder()(inputs_embeds=embeds, attention_mask=inputs["attention_mask"])[0]
        return states[owners], inputs["attention_mask"][owners]

    def _decode(self, rows: Sequence[_Row], states: torch.Tensor, mask: torch.Tensor) -> None:
        """Write every row's tokens, until each has ended or may not go on."""
        import torch
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        encoder = BaseModelOutput(last_hidden_state=states)
        tokens = torch.tensor([self._prefix] * len(rows), device=states.device)
        longest = min(self._max_target, self._writes - len(self._prefix))
        for _ in range(longest):
            found = self._model(
                encoder_outputs=encoder,
                attention_mask=mask,
                decoder_input_ids=tokens,
                past_key_values=cache,
                use_cache=True,
            )
            logits = found.logits[:, -1].double().cpu().numpy()
            for row, values in zip(rows, logits, strict=True):
                row.take(values, end=self._end, longest=longest)
            if all(row.reason is not None for row in rows):
                return
            tokens = torch.tensor([[row.last] for row in rows], device=states.device)
        for row in rows:
            row.reason = row.reason or "length"

    def _generation(self, row: _Row) -> Generation:
        tokenizer = self._processor.tokenizer
        pieces = token_texts(row.ids, lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True)))
        tokens = tuple(
            Token(
                token,
                piece,
                logprob,
                tuple((str(tokenizer.decode([other])), value) for other, value in top),
            )
            for token, piece, logprob, top in zip(row.ids, pieces, row.logprobs, row.tops, strict=True)
        )
        return Generation(tokens, "stop" if row.reason == "stop" else "length")

    def _text(self, prompt: Prompt) -> str:
        text = prompt.text if self._prompt is None else self._prompt
        if self._prompt is None:
            held = [token for token in (self._processor.image_token, *self._own_words()) if token in text]
            if held:
                raise PromptRefused(f"The prompt holds a control token of this model: {held[0]}")
        return text

    def _own_words(self) -> list[str]:
        """The task words that the processor would put its own sentence in place of, and special tokens."""
        own = (*self._processor.task_prompts_without_inputs, *self._processor.task_prompts_with_input)
        return [*own, *self._processor.tokenizer.all_special_tokens]

    def _picture(self, prompt: Prompt) -> Any:
        try:
            return decode(prompt.images[0])
        except ImageError as error:
            raise PromptRefused(f"Failed to load image: {error.what}") from None


class _Row:
    """One generation while it is written."""

    def __init__(self, sampling: Sampling, copy: int) -> None:
        self.sampling = sampling
        seed = None if sampling.seed is None else [sampling.seed % 2**64, copy]
        self._chance = np.random.default_rng(seed)
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.tops: list[tuple[tuple[int, float], ...]] = []
        self.reason: str | None = None
        self.last = 0

    def take(self, logits: NDArray[np.float64], *, end: int, longest: int) -> None:
        """Choose the next token from the logits, (vocabulary,); a row that has ended only keeps its place."""
        if self.reason is not None:
            return
        logprobs = logits - logits.max()
        logprobs -= np.log(np.exp(logprobs).sum())
        self.last = choose(logprobs, self.sampling, self._chance)
        if self.last == end:
            self.reason = "stop"
            return
        self.ids.append(self.last)
        self.logprobs.append(float(logprobs[self.last]))
        count = self.sampling.logprobs or 0
        best = np.argsort(-logprobs, kind="stable")[:count] if count else ()
        self.tops.append(tuple((int(token), float(logprobs[token])) for token in best))
        limit = longest if self.sampling.max_tokens is None else min(longest, self.sampling.max_tokens)
        if len(self.ids) >= limit:
            self.reason = "length"


def choose(logprobs: NDArray[np.float64], sampling: Sampling, chance: np.random.Generator) -> int:
    """Draw a token as the request asks: greedy at temperature 0, else from the likeliest that make up ``top_p``.

    >>> logprobs = np.log(np.array([0.1, 0.6, 0.3]))
    >>> choose(logprobs, Sampling(temperature=0), np.random.default_rng(0))
    1
    >>> {choose(logprobs, Sampling(top_p=0.5), np.random.default_rng(seed)) for seed in range(20)}
    {1}
    """
    if sampling.temperature <= 0:
        return int(np.argmax(logprobs))
    scaled = logprobs / sampling.temperature
    shares = np.exp(scaled - scaled.max())
    shares /= shares.sum()
    order = np.argsort(-shares, kind="stable")
    heaped = np.cumsum(shares[order])
    kept = int(np.searchsorted(heaped, sampling.top_p - 1e-12)) + 1 if sampling.top_p < 1 else len(heaped)
    drawn = chance.random() * heaped[min(kept, len(heaped)) - 1]
    return int(order[min(int(np.searchsorted(heaped, drawn, side="right")), len(heaped) - 1)])


def token_texts(ids: Sequence[int], text_of: Any) -> list[str]:
    """Return each token's text, so that together they are the text of all; what is half a character waits.

    >>> letters = {1: b"a", 2: b"\\xc3", 3: b"\\xa9"}
    >>> token_texts([1, 2, 3], lambda ids: b"".join(letters[i] for i in ids).decode(errors="replace"))
    ['a', '', 'é']
    """
    texts: list[str] = []
    waiting: list[int] = []
    for token in ids:
        waiting.append(token)
        text = text_of(waiting)
        if text.endswith("\ufffd") and len(waiting) < 4 and len(texts) + 1 < len(ids):
            texts.append("")
        else:
            texts.append(text)
            waiting = []
    return texts


def serve(folder: Path) -> ServedFlorence:
    """Load a checkpoint, adapters merged into the base, and put it behind the endpoint's protocol.

    Raises:
        ConfigError: the folder holds no Florence-2 checkpoint, or its base cannot be loaded.
    """
    model, processor, checkpoint = load_merged(folder)
    return ServedFlorence(
        model.to(chosen_device("auto")),
        processor,
        name="florence",
        prompt=checkpoint.prompt,
        max_target=checkpoint.max_target,
    )
