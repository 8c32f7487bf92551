"""What the reader costs, and what eight bits cost it: python tests/benchmarks/bench_reader.py [images] [folder]

Images of the synthetic test split (seed 7), as JPEG files in memory; each is decoded, read and answered greedily.
CPU seconds of the process (one thread: OMP_NUM_THREADS=1), best of three, loading not counted. "reward" is that of the
recipes (``peakbench.rewards``): 0 for what is not JSON, else 20 % structure and 80 % content. "same" is the share of
images on which two models write the same answer.
"""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from PIL import Image  # noqa: E402

from peakbench.garments import GarmentSet  # noqa: E402
from peakbench.reader import Reader, embedded, open_reader, read_manifest  # noqa: E402
from peakbench.rewards import Reward  # noqa: E402
from peakbench.serving.base import Prompt, Sampling  # noqa: E402


def encode(images: object) -> list[bytes]:
    encoded = []
    for pixels in images:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
        encoded.append(buffer.getvalue())
    return encoded


def answers(reader: Reader, images: list[bytes], batch: int) -> list[str]:
    prompts = [Prompt((image,), "", Sampling(temperature=0.0)) for image in images]
    return [
        choices[0].text for at in range(0, len(prompts), batch) for choices in reader.generate(prompts[at : at + batch])
    ]


def cost(folder: Path, model: str, images: list[bytes], batch: int) -> float:
    """CPU milliseconds an image; every pass begins with a reader that has seen none."""
    passes = []
    for _ in range(3):
        reader = open_reader(folder, model=model)
        begun = time.process_time()
        answers(reader, images, batch)
        passes.append((time.process_time() - begun) / len(images) * 1000)
    return min(passes)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else embedded()
    manifest = read_manifest(folder)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    print("files:", ", ".join(f"{name} {size:,}" for name, size in files.items()), f"= {sum(files.values()):,} bytes")
    garments = GarmentSet(count, seed=7, split="test")
    images, references = encode(garments.images()), garments.references()
    reward = Reward()
    written: dict[str, list[str]] = {}
    for model in manifest.models:
        begun = time.process_time()
        reader = open_reader(folder, model=model)
        opened = (time.process_time() - begun) * 1000
        written[model] = answers(reader, images, 16)
        parts = reward.batch(written[model], references)
        total = sum(part.total for part in parts) / count
        read = sum(part.json for part in parts) / count
        whole = sum(part.content == 1 for part in parts) / count
        print(
            f"{model:14s} {reader.parameters:,} numbers, {reader.nbytes:,} bytes at rest, opened in {opened:.0f} ms; "
            f"reward {total:.4f}, JSON {read:.3f}, all nine {whole:.3f}"
        )
    first, *others = written
    for other in others:
        same = sum(a == b for a, b in zip(written[first], written[other], strict=True)) / count
        print(f"{first} and {other}: same {same:.3f}")
    for model in [name for name in manifest.models if name in ("reader", "reader-int8")]:
        costs = {batch: cost(folder, model, images[:96], batch) for batch in (1, 4, 8, 16)}
        print(
            f"{model:14s} CPU ms an image:", ", ".join(f"{value:.1f} in batches of {n}" for n, value in costs.items())
        )


if __name__ == "__main__":
    main()
