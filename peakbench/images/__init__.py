"""Image sources, checks, data URLs. The bytes sent are the bytes found, unless a resize was asked for."""

from __future__ import annotations

from peakbench.images.headers import Header, read_header
from peakbench.images.sources import MAX_BYTES, ImageRecord, data_url, identify, load, load_recorded

__all__ = [
    "MAX_BYTES",
    "Header",
    "ImageRecord",
    "data_url",
    "identify",
    "load",
    "load_recorded",
    "read_header",
]
