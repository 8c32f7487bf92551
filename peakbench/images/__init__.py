"""Image sources, checks, data URLs. The bytes sent are the bytes found, unless a resize was asked for."""

from __future__ import annotations

from peakbench.images.headers import Header, read_header
from peakbench.images.pixels import inspect, resize
from peakbench.images.sources import MAX_BYTES, ImageRecord, data_url, identify, load, load_recorded
from peakbench.records import Image, ImageSource

__all__ = [
    "MAX_BYTES",
    "Header",
    "Image",
    "ImageRecord",
    "ImageSource",
    "data_url",
    "identify",
    "inspect",
    "load",
    "load_recorded",
    "read_header",
    "resize",
]
