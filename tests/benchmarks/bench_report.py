"""The report page of large runs: how long it takes to write, to open, to filter and to scroll in a real Chromium.

    python tests/benchmarks/bench_report.py [--samples 3500 20000] [--images 3500] [--keep FOLDER]

Makes runs of synthetic answers (10 % of the fields wrong, 1 % not JSON, 1 % failed) with photos of 400 x 533 pixels for
the first samples, writes the page, and opens it from the disk. Interactive: the list is drawn, a sample is shown and
the script has ended, counted from the start of navigation (performance.timeOrigin). Frames: intervals between
animation frames while the list is scrolled from top to bottom in three seconds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from peakbench import api
from peakbench.api.reports import write_report as report

METRICS = (
    *("structured_match", "field_match_rate", "value_accuracy", "weighted_score", "valued_f1", "token_set_ratio"),
    *("rouge_l", "levenshtein", "quality_lexical", "json_parse_rate", "schema_valid_rate"),
)
VALUES: dict[str, list[str | None]] = {
    "type": ["dress", "t-shirt", "jeans", "hoodie", "skirt", "shoes"],
    "color": ["navy blue", "red", "black", "white", "green", "beige"],
    "pattern": ["solid", "striped", "floral", "plaid"],
    "neckline": ["crew neck", "v-neck", None],
    "sleeve_length": ["long sleeve", "short sleeve", None],
    "closure": ["button", "zip", "pullover", None],
    "brand": [None, None, None, "Acme", "Globex"],
    "size": [None, "M", "32x34"],
    "defect_type": [None, None, None, "stain"],
}
SCROLL = """async () => {
  const list = document.getElementById("samples-list"), times = [], most = list.scrollHeight - list.clientHeight;
  const began = performance.now();
  let last = began, blank = 0;
  while (last - began < 3000) {
    const now = await new Promise(done => requestAnimationFrame(done));
    times.push(now - last); last = now;
    list.scrollTop = most * Math.min(1, (now - began) / 3000);
    if (!document.querySelector(".sb-row")) { blank += 1; }
  }
  times.sort((a, b) => a - b);
  const at = share => times[Math.floor(share * (times.length - 1))];
  return {frames: times.length, p50: at(.5), p95: at(.95), worst: at(1), blank};
}"""
TIMED = """(act) => new Promise(done => {
  const began = performance.now();
  const node = document.getElementById(act[0]);
  node.value = act[1];
  node.dispatchEvent(new Event("change"));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""
SEARCH = """(text) => new Promise(done => {
  const began = performance.now(), node = document.getElementById("sb-q"), count = document.querySelector(".sb-count");
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => done(performance.now() - began - 120))))
    .observe(count, {childList: true});
  node.value = text;
  node.dispatchEvent(new Event("input"));
})"""


def make_run(folder: Path, n: int, images: int) -> Path:
    """Write data, photos and answers, and score them."""
    draw = random.Random(0)  # noqa: S311 - synthetic data
    noise = Image.effect_noise((400, 533), 60).convert("RGB")
    with (folder / "samples.jsonl").open("w") as data, (folder / "answers.jsonl").open("w") as answers:
        for place in range(n):
            truth = {name: draw.choice(values) for name, values in VALUES.items()}
            given = {m: draw.choice(VALUES[m]) if draw.random() < 0.1 else value for m, value in truth.items()}
            sample: dict[str, Any] = {
                "id": f"s{place:05d}",
                "reference": truth,
                "metadata": {"shop": f"shop {place % 50}"},
            }
            if images:
                name = folder / f"{place % images}.jpg"
                if place < images:
                    tint = Image.new("RGB", noise.size, tuple(draw.randrange(256) for _ in range(3)))
                    file = io.BytesIO()
                    Image.blend(noise.rotate(place % 360), tint, 0.2).save(file, "JPEG", quality=80)
                    name.write_bytes(file.getvalue())
                sample["image"] = str(name)
            data.write(json.dumps(sample) + "\n")
            text = "no idea" if draw.random() < 0.01 else json.dumps(given)
            line: dict[str, Any] = {"id": sample["id"], "text": text, "model": "synthetic"}
            if draw.random() < 0.01:
                line = {"id": sample["id"], "error": {"kind": "server_error", "http_status": 500, "message": "down"}}
            answers.write(json.dumps(line) + "\n")
    made = api.score(
        answers=folder / "answers.jsonl",
        data=folder / "samples.jsonl",
        out=folder / "run",
        metrics=METRICS,
        slices=["shop"],
        resamples=1000,
        images=bool(images),
    )
    return made.path


def measure(browser: Any, path: Path) -> dict[str, float]:
    """Open the page three times; return the medians, and what filters, search and scrolling take."""
    opened, heaps = [], []
    for _ in range(3):
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(path.as_uri(), wait_until="load")
        page.wait_for_function("document.getElementById('samples-browser').dataset.ready")
        opened.append(float(page.get_attribute("#samples-browser", "data-ready")))
        heaps.append(page.evaluate("performance.memory ? performance.memory.usedJSHeapSize / 1e6 : 0"))
        if len(opened) < 3:
            page.close()
    found: dict[str, float] = {"interactive_ms": sorted(opened)[1], "heap_mb": sorted(heaps)[1]}
    found |= {f"scroll_{name}": value for name, value in page.evaluate(SCROLL).items()}
    found["filter_ms"] = page.evaluate(TIMED, ["sb-outcome", "invented"])
    found["sort_ms"] = page.evaluate(TIMED, ["sb-sort", "rouge_l"])
    page.evaluate(TIMED, ["sb-outcome", ""])
    found["search_first_ms"] = page.evaluate(SEARCH, "navy")
    found["search_again_ms"] = page.evaluate(SEARCH, "navy blue")
    page.close()
    return found


def main() -> None:
    """Measure each size and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[3500, 20000])
    parser.add_argument("--images", type=int, default=3500, help="photos; further samples show the same ones again")
    parser.add_argument("--keep", type=Path, help="write here and keep it")
    options = parser.parse_args()
    chromium = os.environ.get("PEAKBENCH_CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
        )
        for n in options.samples:
            folder = (options.keep or Path(temporary)) / str(n)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            run = make_run(folder, n, min(n, options.images))
            began = time.perf_counter()
            page = report(run)
            found: dict[str, Any] = {"samples": n, "write_s": time.perf_counter() - began}
            found["page_mb"] = page.stat().st_size / 1e6
            beside = list(page.with_name("report_files").glob("*"))
            found |= {"files": len(beside), "files_mb": sum(file.stat().st_size for file in beside) / 1e6}
            found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            found |= measure(browser, page)
            print(json.dumps({name: round(value, 2) for name, value in found.items()}))
        browser.close()


if __name__ == "__main__":
    main()
