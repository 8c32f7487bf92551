"""Runs in, findings out: floors, summaries."""
