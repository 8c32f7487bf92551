"""The stages of one training and an eight-bit twin, ranked: python examples/rank_stages.py

Six models that ship with PeakBench, over the same drawn garments. Ranks are ranges: what 100 samples cannot tell apart
shares them. See docs/leaderboard.md for the same board over 1,000.
"""

import tempfile

import peakbench as pb
from peakbench.api.leaderboards import leaderboard

MODELS = ("reader-base", "reader-sft", "reader-grpo", "reader-gtpo", "reader", "reader-int8")
DATA = "synthetic:garments?n=100&seed=7&split=test"

with tempfile.TemporaryDirectory() as folder:
    for model in MODELS:
        pb.run(endpoint="reader", model=model, data=DATA, task="garment", out=f"{folder}/{model}", resamples=1000)
    board = leaderboard(folder, resamples=1000)

print(f"{'rank':<6}{'model':<14}{'weighted score':>16}{'95 %':>16}")
for row in board.standings:
    low, high = 100 * row.score.low, 100 * row.score.high
    print(f"{row.place:<6}{row.model:<14}{100 * row.score.value:16.1f}{low:8.1f} to {high:.1f}")
for row in board.floors:
    print(f"{'floor':<6}{row.model:<14}{100 * row.score.value:16.1f}")
