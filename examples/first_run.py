"""A run over the embedded data set, and its main numbers: python examples/first_run.py

The small reader inside the package is asked about drawn garments, on this machine. Name your own server, and the rest
stays as it is:

    pb.run("eval.jsonl", task="garment", endpoint="http://127.0.0.1:8000/v1", model="qwen3-vl-2b", out="runs/qwen3")
"""

import tempfile
from pathlib import Path

import peakbench as pb

with tempfile.TemporaryDirectory() as folder:
    run = pb.run(limit=48, out=Path(folder) / "demo")

    samples = run.summary["samples"]
    print(f"{samples['total']} samples: {samples['answers'] - samples['failed']} answered, {samples['failed']} failed")
    for state in ("strict", "extracted", "unparseable"):
        print(f"  {samples[state]} {state}")

    print(f"{'metric':<18} {'score':>6}   {'95 % interval':<14}  {'floor':>6}  {'skill':>6}")
    for name in ("weighted_score", "valued_f1", "structured_match"):
        one = run.summary["metrics"][name]
        interval = f"{one['low']:.3f} to {one['high']:.3f}"
        floor = max(value for value in one["floor"].values() if value is not None)
        print(f"{name:<18} {one['value']:6.3f}   {interval:<14}  {floor:6.3f}  {one['skill']:6.3f}")

    worst = min(run.summary["fields"].items(), key=lambda item: item[1]["score"])
    print(f"the weakest field is '{worst[0]}': {worst[1]['score']:.3f}, {worst[1]['wrong']} wrong")

    quality = run.summary["metrics"]["quality"]
    print(f"quality is unscored, not zero: {quality['reason']}")
