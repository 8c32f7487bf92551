"""A checkpoint measured: served on loopback, asked by PeakBench about the held-out split, scored, kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peakbench as pb

if TYPE_CHECKING:
    from peakbench.serving.base import Generation, Prompt, ServedModel

    from peakbench_recipes.configuration import EvaluationConfig


OURS = ("reward", "all_correct")
"""Metrics that this package brings as a plugin of PeakBench."""


class Named:
    """A served model under another name: that of its recipe and stage."""

    def __init__(self, model: ServedModel, name: str) -> None:
        self._model = model
        self._name = name

    @property
    def name(self) -> str:
        """The name under which it is asked."""
        return self._name

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together, at most."""
        return self._model.context

    def prompt_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt."""
        return self._model.prompt_tokens(prompt)

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Generation]]:
        """Answer a batch."""
        return self._model.generate(prompts)


def evaluate(
    model: ServedModel,
    config: EvaluationConfig,
    out: str | Path,
    *,
    task: str = "garment",
    name: str | None = None,
    lineage: Mapping[str, Any] | None = None,
) -> pb.Run:
    """Measure a model as the recipe says; an evaluation that was cut off goes on where it stopped.

    Args:
        model: what is asked; served on a free port of loopback until all answers are in.
        config: data, metrics, decoding.
        out: the run directory.
        task: as PeakBench names it.
        name: the model's name in the run; by default its own.
        lineage: where the model comes from, as ``peakbench.run`` takes it.

    Raises:
        InputError: the data or the metrics cannot be used.
        EndpointError: the model failed to answer.
    """
    from peakbench.builtins import open_registry
    from peakbench.serving import Server

    known = open_registry().ids
    asked = [config.metrics] if isinstance(config.metrics, str) else [*config.metrics]
    metrics = [*asked, *(one for one in OURS if one in known and one not in asked)]
    folder = Path(out)
    if folder.is_dir() and not (folder / "run.json").is_file():
        shutil.rmtree(folder)  # cut off before it was a run
    name = name or model.name
    with Server(Named(model, name)) as server:
        return pb.run(
            config.data,
            task=task,
            endpoint=server.url,
            model=name,
            out=folder,
            resume=folder.is_dir(),
            limit=config.limit,
            metrics=metrics,
            sampling=pb.Sampling(temperature=config.temperature, max_tokens=config.max_tokens),
            workers=config.workers,
            resamples=config.resamples,
            allow_outside=config.allow_outside,
            lineage=lineage,
        )
