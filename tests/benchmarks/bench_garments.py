"""What a drawn garment costs, with and without the file it is kept in.

python tests/benchmarks/bench_garments.py
"""

from __future__ import annotations

import io
import time

from PIL import Image

from peakbench.garments import GarmentSet, render

N = 400


def main() -> None:
    """Print CPU milliseconds a garment, on one thread, beside a decode and resize of a photo of 800 x 600 pixels."""
    garments = [GarmentSet(N, split="train").garment(index) for index in range(N)]
    for size in (128, 256):
        start = time.process_time()
        for garment in garments:
            render(garment, size)
        print(f"draw, {size} pixels: {1e3 * (time.process_time() - start) / N:.2f} ms")
    start = time.process_time()
    for garment in garments:
        render(garment).save(io.BytesIO(), "JPEG", quality=92)
    print(f"draw, 128 pixels, as JPEG: {1e3 * (time.process_time() - start) / N:.2f} ms")
    photo = io.BytesIO()
    Image.radial_gradient("L").resize((800, 600)).convert("RGB").save(photo, "JPEG", quality=92)
    start = time.process_time()
    for _ in range(N):
        Image.open(io.BytesIO(photo.getvalue())).convert("RGB").resize((128, 128))
    print(f"beside it, a photo of 800 x 600 decoded and shrunk: {1e3 * (time.process_time() - start) / N:.2f} ms")


if __name__ == "__main__":
    main()
