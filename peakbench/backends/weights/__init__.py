"""A model's parameters on disk, and WordNet's files: what is known, what is here, how it comes here.

Nothing is loaded or imported from what is fetched. ``torch`` and its kin are not needed in this room.
"""

from peakbench.backends.weights.fetching import fetch
from peakbench.backends.weights.local import Stamp, folder, missing_reason, present, root, stamp, verify
from peakbench.backends.weights.manifest import Weights, find, known

__all__ = [
    "Stamp",
    "Weights",
    "fetch",
    "find",
    "folder",
    "known",
    "missing_reason",
    "present",
    "root",
    "stamp",
    "verify",
]
