"""A scripted OpenAI-compatible endpoint on loopback, for anybody's tests and for replaying recorded answers.

>>> with ScriptedEndpoint("red") as server:
...     server.url.startswith("http://127.0.0.1:"), server.requests
(True, 0)

It can be slow, refuse, ask to wait, cut a body off, hang up and stream; what it answers is a text, a list, a mapping or
a function of the request. It listens on 127.0.0.1 alone, in a thread and a loop of its own.
"""

from __future__ import annotations

from peakbench.testing.endpoint import ScriptedEndpoint
from peakbench.testing.recording import recorded, recorded_endpoint, replay
from peakbench.testing.script import Answer, Answers, Asked, Fault, Reply, every, first, key

__all__ = [
    "Answer",
    "Answers",
    "Asked",
    "Fault",
    "Reply",
    "ScriptedEndpoint",
    "every",
    "first",
    "key",
    "recorded",
    "recorded_endpoint",
    "replay",
]
