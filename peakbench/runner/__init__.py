"""Asks an endpoint about many samples: workers, retries, pauses, rate; says what happens, shows nothing."""

from peakbench.runner.asking import ask
from peakbench.runner.events import Ended, Event, Finished, Paused, Resumed, Retrying, Started, Tally, Tripped
from peakbench.runner.policy import Policy

__all__ = [
    "Ended",
    "Event",
    "Finished",
    "Paused",
    "Policy",
    "Resumed",
    "Retrying",
    "Started",
    "Tally",
    "Tripped",
    "ask",
]
