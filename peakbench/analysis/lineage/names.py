"""What a model's name says: family, size, training stages, quantization, version; by convention, so it may be wrong.

The conventions are those of model hubs: ``org/Family-8B-Instruct-FP8``, ``Family-2B SFT+GRPO v9 NVFP4``,
``family:7b-q4_K_M``, ``Family-35B-A3B-GPTQ-Int4``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

STAGES = frozenset(
    {"CPT", "SFT", "RFT", "DPO", "KTO", "IPO", "ORPO", "SIMPO", "CPO", "PPO", "GRPO", "GTPO", "GSPO", "DAPO", "RLOO"}
    | {"RLHF", "RLAIF", "RLVR"}
)
"""Training stages that are known by their short names."""

_EDGE, _END = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
_SIZE = re.compile(
    r"(?<![A-Za-z0-9.])(?:"
    r"(?P<experts>\d+)x(?P<each>\d+(?:\.\d+)?)b"
    r"|(?P<effective>e)?(?P<size>\d+(?:\.\d+)?)\s?(?P<unit>[bm])"
    r"(?:[-_ ]a(?P<active>\d+(?:\.\d+)?)b|\s*\((?P<bracket>\d+(?:\.\d+)?)b(?:\s+active)?\))?"
    rf"){_END}",
    re.IGNORECASE,
)
_WIDTHS = (
    # (pattern, canonical form); the first that fits counts
    (r"nvfp4|mxfp[468]|nf4|fp4", lambda text: text.upper()),
    (r"fp8(?:[-_ ](?:dynamic|static|block|e4m3|e5m2))*", lambda _: "FP8"),
    (r"w\d{1,2}a\d{1,2}", lambda text: text.upper()),
    (r"i?q[1-8](?:_(?:k(?:_(?:s|m|l|xl))?|[01]|xxs|xs|s|m|l|nl))?", lambda text: text.upper()),
    (r"u?int[-_]?[2348]", lambda text: text.upper().replace("-", "").replace("_", "")),
    (r"[2-8][-_ ]?bits?", lambda text: f"{text[0]}BIT"),
)
_METHODS = r"gptq|awq|bnb|hqq|aqlm|autoround|exl[23]|mlx|gguf"
_WHOLE = r"bf16|fp16|f16|fp32|f32|bfloat16|float16|float32|unquantized"
_WORD = re.compile(r"[^\s\-_/+,()\[\]:]+")
_WIDTH = re.compile(
    rf"{_EDGE}(?:{'|'.join(f'(?P<w{i}>{pattern})' for i, (pattern, _) in enumerate(_WIDTHS))}){_END}", re.I
)
_METHOD = re.compile(rf"{_EDGE}(?:{_METHODS})(?={_END}|-?int)", re.IGNORECASE)
_FULL = re.compile(rf"{_EDGE}(?:{_WHOLE}){_END}", re.IGNORECASE)
_STAGE = re.compile(rf"{_EDGE}(?:{'|'.join(sorted(STAGES, key=len, reverse=True))}){_END}", re.IGNORECASE)
_RELEASED = re.compile(
    rf"{_EDGE}(?:(?P<base>base|pt|pretrained)|(?P<instruct>instruct|it|chat)|zero[-_ ]?shot){_END}", re.IGNORECASE
)
_VERSION = re.compile(rf"{_EDGE}v\d+(?:\.\d+)*(?![A-Za-z0-9.])", re.IGNORECASE)
_OF_FAMILY = frozenset({"vl", "vision", "multimodal", "omni", "audio", "thinking", "reasoning", "coder", "math", "moe"})
_IDLE = frozenset({"hf", "full", "quantized"})
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class NameParts:
    """What a name says; None or empty where it says nothing.

    ``stages``: empty also where the name says that the model is as released. ``variant``: ``base`` or ``instruct``.
    ``labels``: words that no convention explains, folded.
    """

    family: str | None
    parameters: str | None
    stages: tuple[str, ...]
    quantization: str | None
    version: str | None
    variant: str | None
    labels: frozenset[str]


def read_name(name: str) -> NameParts:
    """Read a model's name.

    >>> parts = read_name("Qwen3-VL-2B SFT+GRPO v9 NVFP4")
    >>> parts.family, parts.parameters, parts.stages, parts.quantization, parts.version
    ('Qwen3-VL', '2B', ('SFT', 'GRPO'), 'NVFP4', 'v9')
    >>> read_name("unsloth/Qwen3.5-35B-A3B-GGUF:Q4_K_M").quantization
    'Q4_K_M'
    """
    text = re.split(r"[/\\]", name.strip()[:_LONGEST].rstrip("/\\"))[-1]
    text = re.sub(r"\.gguf$", "-gguf", text, flags=re.IGNORECASE)
    spans: list[tuple[int, int]] = []

    def taken(pattern: re.Pattern[str]) -> list[re.Match[str]]:
        found = [
            match
            for match in pattern.finditer(text)
            if all(match.end() <= start or match.start() >= end for start, end in spans)
        ]
        spans.extend(match.span() for match in found)
        return found

    widths, methods = taken(_WIDTH), taken(_METHOD)
    whole = taken(_FULL)
    sizes = taken(_SIZE)
    stages = tuple(dict.fromkeys(match[0].upper() for match in taken(_STAGE)))
    released = taken(_RELEASED)
    first = min((start for start, _ in spans), default=len(text))
    versions = [match for match in taken(_VERSION) if match.start() > first]
    family, labels = _rest(text, spans, first, [match.span() for match in versions])
    variants = {key for match in released for key, found in match.groupdict().items() if found}
    return NameParts(
        family=family,
        parameters=_size(sizes[0]) if sizes else None,
        stages=stages,
        quantization="none" if whole and not widths else _quantization(widths, [match[0].upper() for match in methods]),
        version=versions[0][0].lower() if versions else None,
        # "Instruct (Base)" is an instruct model that was taken as the base
        variant="instruct" if "instruct" in variants else "base" if "base" in variants else None,
        labels=labels,
    )


def read_size(text: str) -> str:
    """Return a size in the one form that sizes are compared in; what is no size comes back as it is.

    >>> read_size("35B (3B)"), read_size("0.8b"), read_size("500M"), read_size("8x7b"), read_size("tiny")
    ('35B-A3B', '0.8B', '0.5B', '8x7B', 'tiny')
    """
    match = _SIZE.fullmatch(text.strip())
    return _size(match) if match else text.strip()


def read_quantization(text: str) -> str:
    """Return a quantization in the one form that they are compared in, ``none`` for a precision that is none.

    >>> read_quantization("nvfp4"), read_quantization("GPTQ-Int4"), read_quantization("BF16"), read_quantization("own")
    ('NVFP4', 'GPTQ-INT4', 'none', 'own')
    """
    if text.strip().casefold() == "none" or _FULL.fullmatch(text.strip()):
        return "none"
    widths = list(_WIDTH.finditer(text))
    methods = [match[0].upper() for match in _METHOD.finditer(text)]
    return _quantization(widths, methods) or text.strip()


def read_stages(text: str) -> tuple[tuple[str, ...], str | None]:
    """Read training stages joined by "+" or ","; a quantization among them is returned apart.

    >>> read_stages("SFT+GRPO+NVFP4"), read_stages("Zero-shot"), read_stages("sft, my-own-stage")
    ((('SFT', 'GRPO'), 'NVFP4'), ((), None), (('SFT', 'my-own-stage'), None))
    """
    stages: list[str] = []
    quantization = None
    for part in (part.strip() for part in re.split(r"[+,]", text)):
        if _WIDTH.search(part) or _METHOD.search(part):
            quantization = read_quantization(part)
        elif part and part.casefold() != "none" and not _RELEASED.fullmatch(part) and not _FULL.fullmatch(part):
            stages.append(part.upper() if part.upper() in STAGES else part)
    return tuple(stages), quantization


def fold(text: str) -> str:
    """Return a family's name as families are compared: case, spaces, hyphens and underscores do not count.

    >>> fold("Qwen3-VL") == fold("qwen3_vl"), fold("Qwen3.5") == fold("Qwen35")
    (True, False)
    """
    return re.sub(r"[\s\-_]+", "", text).casefold()


def _rest(
    text: str, spans: list[tuple[int, int]], first: int, versions: list[tuple[int, int]]
) -> tuple[str | None, frozenset[str]]:
    """Return the family, words before the first known part and some after it, and the words left over."""
    known = [*spans, *versions]
    family, labels = text[:first].strip(" -_+([:.,"), []
    for word in _WORD.finditer(text, first):
        if any(word.start() < end and word.end() > start for start, end in known):
            continue
        folded = word[0].casefold().strip(".")
        if folded in _OF_FAMILY:
            family = f"{family}-{word[0]}" if family else word[0]
        elif folded and folded not in _IDLE:
            labels.append(folded)
    return family or None, frozenset(labels)


def _size(match: re.Match[str]) -> str:
    if match["experts"]:
        return f"{match['experts']}x{float(match['each']):g}B"
    size = float(match["size"]) / (1000 if match["unit"] in "mM" else 1)
    active = match["active"] or match["bracket"]
    return f"{'E' if match['effective'] else ''}{size:g}B" + (f"-A{float(active):g}B" if active else "")


def _quantization(widths: list[re.Match[str]], methods: list[str]) -> str | None:
    width = None
    if widths:
        place = int((widths[0].lastgroup or "w0")[1:])
        width = _WIDTHS[place][1](widths[0][0])
    method = next((method for method in methods if method != "GGUF"), None)
    if width is None:
        return method or ("GGUF" if methods else None)
    if method is None:
        return width
    return f"{method}-{width.replace('4BIT', 'INT4').replace('8BIT', 'INT8') if method in ('GPTQ', 'AWQ') else width}"
