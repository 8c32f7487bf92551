"""PeakBench: a benchmark harness for models that look at an image and answer with JSON."""

__version__ = "0.1.0"
