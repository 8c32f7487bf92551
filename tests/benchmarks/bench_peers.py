"""A whole benchmark run beside other harnesses: 1,000 requests, 8 at a time, 50 ms each, on one server, in one run.

    python -m venv peers && peers/bin/pip install torch "lm-eval[api]==0.4.13" "inspect-ai==0.3.285" openai
    python tests/benchmarks/bench_peers.py --peers peers/bin/python

Each harness is a process of its own from start to exit code, as a user starts it. PeakBench sends a small image with
each request and scores nine fields with intervals and floors; the others send text and score an exact match, which is
less work. Ideal wall time: 1,000 / 8 x 50 ms = 6.25 s. CPU is what the kernel charged the process and its children.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
LM_EVAL_TASK = """task: bench
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: [], max_gen_toks: 64}
metric_list: [{metric: exact_match}]
"""
INSPECT_TASK = """from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import match
from inspect_ai.solver import generate

@task
def bench():
    samples = [Sample(input=f"Describe garment {i}.", target="dress", id=i) for i in range(COUNT)]
    return Task(dataset=MemoryDataset(samples), solver=generate(), scorer=match())
"""


def prepare(folder: Path, count: int) -> None:
    (folder / "a.png").write_bytes(PIXEL)
    reference = {"type": "dress", "color": "white", "pattern": None}
    with (folder / "data.jsonl").open("w") as ours, (folder / "text.jsonl").open("w") as theirs:
        for i in range(count):
            ours.write(json.dumps({"id": str(i), "image": "a.png", "reference": reference}) + "\n")
            theirs.write(json.dumps({"question": f"Describe garment {i}.", "answer": "dress"}) + "\n")
    (folder / "bench.yaml").write_text(LM_EVAL_TASK.replace("FILE", str(folder / "text.jsonl")))
    (folder / "inspect_bench.py").write_text(INSPECT_TASK.replace("COUNT", str(count)))


def commands(folder: Path, url: str, peers: str | None) -> dict[str, list[str]]:
    ours = ["run", "--endpoint", url, "--model", "bench", "--data", str(folder / "data.jsonl")]
    found = {"peakbench": [sys.executable, "-m", "peakbench", *ours, "--out", str(folder / "run"), "--quiet", "--json"]}
    if peers:
        arguments = (
            f"model=bench,base_url={url}/chat/completions,num_concurrent=8,max_retries=1,tokenized_requests=False"
        )
        found["lm-eval"] = [
            *(peers, "-m", "lm_eval", "--model", "local-chat-completions", "--model_args", arguments),
            *("--tasks", "bench", "--include_path", str(folder), "--apply_chat_template"),
        ]
        found["inspect_ai"] = [
            *(peers, "-m", "inspect_ai", "eval", "inspect_bench.py", "--model", "openai-api/bench/bench"),
            *("--max-connections", "8", "--display", "none", "--log-dir", str(folder / "logs")),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="Python of an environment that has lm-eval and inspect-ai")
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    server = subprocess.Popen([sys.executable, str(HERE / "endpoint_server.py")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}/50/v1"
    ideal = arguments.count / 8 * 0.05
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            prepare(folder, arguments.count)
            settings = {"OPENAI_API_KEY": "x", "BENCH_API_KEY": "x", "BENCH_BASE_URL": url, "HF_HUB_OFFLINE": "1"}
            environment = {**os.environ, **settings}
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            print(f"{arguments.count} requests, 8 at a time, 50 ms: ideal {ideal:.2f} s")
            for harness, command in commands(folder, url, arguments.peers).items():
                cwd = folder if harness == "inspect_ai" else None  # it takes task files by relative path alone
                before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
                done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
                wall = time.monotonic() - began
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                note = "" if done.returncode == 0 else f"  exit {done.returncode}: {done.stderr[-300:]}"
                if harness == "peakbench" and not note:
                    asking = json.loads(done.stdout)["performance"]["wall_s"]
                    note = f"  asking alone {asking:.2f} s"
                print(f"{harness:<12} whole process {wall:6.2f} s   CPU {cpu:6.2f} s{note}", flush=True)
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
