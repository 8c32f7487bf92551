"""From an encoded image to image tokens: decode, letterbox, convolve."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from peakbench.reader.weights import Architecture, Array
from peakbench.serving.base import PromptRefused

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
GRAY = (128, 128, 128)

Pixels = npt.NDArray[np.uint8]


def read_image(data: bytes, size: int) -> Pixels:
    """Decode an image, turn it upright and fit it into a square of ``size`` pixels, gray beside it.

    Raises:
        PromptRefused: it cannot be decoded, is cut off or has more than 50 million pixels.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise PromptRefused(f"The image has {image.width} x {image.height} pixels; {MAX_PIXELS:,} at most.")
            image.draft("RGB", (2 * size, 2 * size))  # a JPEG is decoded no larger than it needs to be
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                ground = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(ground, upright)
            upright = upright.convert("RGB")
    except PromptRefused:
        raise
    except Exception as error:  # decoders raise what they like on hostile bytes
        raise PromptRefused(f"The image cannot be read: {error}") from None
    if upright.size != (size, size):
        upright = ImageOps.pad(upright, (size, size), Image.Resampling.BICUBIC, color=GRAY)
    return np.asarray(upright, dtype=np.uint8)


class Eye:
    """The convolutional stem: pixels in, image tokens out.

    Images are convolved one by one: the shapes of every product are then the same whatever the batch, and so is the
    result to the last bit; and the columns of one image stay in the processor's cache.
    """

    def __init__(self, architecture: Architecture, weights: Mapping[str, Array]) -> None:
        self._architecture = architecture
        self._weights = weights
        levels = np.arange(256, dtype=np.float32) / 255
        self._levels = ((levels - architecture.mean) / architecture.std).astype(np.float32)

    def __call__(self, pixels: Pixels) -> Array:
        """Image tokens (tokens, width) of one image (size, size, 3)."""
        w = self._weights
        x = self._levels[pixels]
        for i, stage in enumerate(self._architecture.stem):
            shape = {"kernel": stage.kernel, "stride": stage.stride, "padding": stage.padding}
            x = _convolve(x, w[f"stem.{i}.weight"], w[f"stem.{i}.bias"], **shape)
            np.maximum(x, 0, out=x)
            for j in range(stage.residual):
                at = f"stem.{i}.{j}"
                y = _convolve(x, w[f"{at}.a.weight"], w[f"{at}.a.bias"])
                y = _convolve(np.maximum(y, 0, out=y), w[f"{at}.b.weight"], w[f"{at}.b.bias"])
                y += x
                x = np.maximum(y, 0, out=y)
        return x.reshape(-1, x.shape[-1]) @ w["project.weight"] + w["project.bias"]


def _convolve(x: Array, weight: Array, bias: Array, *, kernel: int = 3, stride: int = 1, padding: int = 1) -> Array:
    """Convolve (height, width, channels) with (kernel * kernel * channels, out) as one product."""
    height, width, channels = x.shape
    if padding:
        padded = np.zeros((height + 2 * padding, width + 2 * padding, channels), dtype=np.float32)
        padded[padding:-padding, padding:-padding] = x
        x = padded
    rows = (x.shape[0] - kernel) // stride + 1
    columns = (x.shape[1] - kernel) // stride + 1
    down, right, deep = x.strides
    patches = np.lib.stride_tricks.as_strided(
        x,
        (rows, columns, kernel, kernel, channels),
        (down * stride, right * stride, down, right, deep),
        writeable=False,
    )
    out = patches.reshape(rows * columns, -1) @ weight
    out += bias
    return out.reshape(rows, columns, -1)
