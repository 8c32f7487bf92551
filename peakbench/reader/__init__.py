"""The reader that ships: a small trained model that reads a garment from pixels, with NumPy alone."""

from __future__ import annotations

from peakbench.reader.model import Reader, embedded, open_reader, reader_names
from peakbench.reader.weights import Architecture, Entry, Manifest, Stage, load_arrays, read_manifest, save_reader

__all__ = [
    "Architecture",
    "Entry",
    "Manifest",
    "Reader",
    "Stage",
    "embedded",
    "load_arrays",
    "open_reader",
    "read_manifest",
    "reader_names",
    "save_reader",
]
