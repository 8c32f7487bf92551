"""Serves a model on this machine behind the OpenAI API.

A `ServedModel` reads prompts in batches and answers with tokens; a `Server` puts one or several on a port of this
machine, for PeakBench and for every other client of that API.
"""

from __future__ import annotations

from peakbench.serving.base import Generation, Prompt, PromptRefused, Sampling, ServedModel, Token
from peakbench.serving.lazy import LazyModel
from peakbench.serving.server import Server

__all__ = ["Generation", "LazyModel", "Prompt", "PromptRefused", "Sampling", "ServedModel", "Server", "Token"]
