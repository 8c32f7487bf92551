"""May a run ship? A run held against a baseline, with a margin, and never passed by accident."""
