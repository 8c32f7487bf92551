"""Data sets: files, folders and objects to samples; everything that is wrong with them, all at once."""

from __future__ import annotations

from peakbench.datasets.base import Dataset, Fingerprint, Reader, SampleRecord
from peakbench.datasets.checking import checked
from peakbench.datasets.opening import READERS, in_memory, open_dataset
from peakbench.images import ImageRecord

__all__ = [
    "READERS",
    "Dataset",
    "Fingerprint",
    "ImageRecord",
    "Reader",
    "SampleRecord",
    "checked",
    "in_memory",
    "open_dataset",
]
