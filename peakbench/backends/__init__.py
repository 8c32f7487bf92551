"""Models on this machine: weights, and what loads them. The only room that imports torch and its kin, when asked to.

>>> tools = open_tools()
>>> (tools.encoder is None) == ("encoder" in tools.missing)
True
"""

from __future__ import annotations

from peakbench.backends import weights
from peakbench.metrics.base import Encoder, Entailer, Lexicon, Tools

ENCODER = "all-mpnet-base-v2"
ENTAILER = "deberta-v3-base-mnli-fever-anli"
LEXICON = "wordnet"


def open_tools(
    *, encoder: Encoder | None = None, entailer: Entailer | None = None, lexicon: Lexicon | None = None
) -> Tools:
    """Return the models that metrics may use: those given, else those whose weights are on this machine.

    Nothing is loaded here, and nothing stands in for a model that is not there: ``missing`` says what mends it. Each
    model loads itself with the first text that it is asked about and does not remember.
    """
    missing: dict[str, str] = {}
    if encoder is None and _here("encoder", ENCODER, missing):
        from peakbench.backends.encoder import open_encoder

        encoder = open_encoder()
    if entailer is None and _here("entailer", ENTAILER, missing):
        from peakbench.backends.entailer import open_entailer

        entailer = open_entailer()
    if lexicon is None and _here("lexicon", LEXICON, missing):
        from peakbench.backends.lexicon import open_lexicon

        lexicon = open_lexicon()
    return Tools(encoder, entailer, lexicon, missing=missing)


def _here(tool: str, model: str, missing: dict[str, str]) -> bool:
    reason = weights.missing_reason(model)
    if reason is not None:
        missing[tool] = reason
    return reason is None
