"""Score answers that came from elsewhere, without asking: python examples/score_answers.py

The answers stand in a JSONL file, one line each: ``{"id": ..., "response": ...}``. Images need not be at hand.
"""

import json
import tempfile
from pathlib import Path

import peakbench as pb

SAMPLES = [
    {"id": "p1", "reference": {"type": "t-shirt", "color": "navy blue", "brand": None, "size": "M"}},
    {"id": "p2", "reference": {"type": "jeans", "color": "black", "brand": "Levi's", "size": "32x34"}},
    {"id": "p3", "reference": {"type": "dress", "color": "red", "brand": None}},
]
ANSWERS = [
    {"id": "p1", "response": '{"type": "tee", "color": "Navy-Blue", "brand": null, "size": "medium"}'},
    {"id": "p2", "response": 'Here you are:\n```json\n{"type": "jeans", "color": "blue", "brand": "Levis"}\n```'},
    {"id": "p3", "response": "I see a red dress."},
]

with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    for name, lines in (("eval.jsonl", SAMPLES), ("theirs.jsonl", ANSWERS)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    run = pb.score(
        answers=folder / "theirs.jsonl",
        data=folder / "eval.jsonl",
        task="garment",
        out=folder / "theirs",
        metrics=["weighted_score", "valued_f1", "json_parse_rate"],
        images=False,
    )

    for name, one in run.summary["metrics"].items():
        print(f"{name:<16} {one['value']:.3f}  (n = {one['n']})")
    for row in run.rows():
        outcomes = ", ".join(f"{field} {one['outcome']}" for field, one in row["fields"].items())
        print(f"{row['sample_id']} {row['state']:<11} {outcomes}")
