"""What needs the pixels: a full decode that names what is odd about an image, and resizing, on request only.

Both decode with Pillow and are slow beside everything else here (some milliseconds an image): they are
called from ``data check`` and from a thread, never from the event loop.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from typing import TYPE_CHECKING, Any

from peakbench.errors import ImageError
from peakbench.records import Image

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

HUGE = 89_478_485
"""Pixels beyond which nothing is decoded: Pillow's own limit against decompression bombs, a quarter gibibyte of RGB."""
SMALL = 32
"""A shorter side below this leaves nothing to look at: vision models cut images into patches of 14 to 32 pixels."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_JPEG_QUALITY = 92
_ORIENTATION = 0x0112
_ROTATIONS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "upside down and mirrored",
    5: "turned by 90 degrees and mirrored",
    6: "turned by 90 degrees",
    7: "turned by 270 degrees and mirrored",
    8: "turned by 270 degrees",
}


def inspect(image: Image) -> list[str]:
    """Decode an image and name what a server may trip over; an empty list for a sound one.

    Each finding is ``name: words``. Names: ``truncated``, ``undecodable``, ``huge`` (not decoded), ``small``,
    ``rotated`` (by EXIF: some servers turn it), ``cmyk``, ``animated``, ``16-bit``, ``transparent``. An image
    by URL has none: its bytes are not here.
    """
    from PIL import Image as pillow  # noqa: N813 - Pillow's module is named like our record

    if image.data is None:
        return []
    if (image.width or 0) * (image.height or 0) > HUGE:
        return [_huge(image.width or 0, image.height or 0)]
    found: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pillow.open(io.BytesIO(image.data), formats=_FORMATS) as picture:
                found += _described(picture)
                picture.load()
                if picture.has_transparency_data and any(picture.convert("RGBA").getchannel("A").histogram()[:255]):
                    found.append("transparent: parts are see-through; servers put black or white behind them")
    except pillow.DecompressionBombError:
        found.append(_huge(image.width or 0, image.height or 0))
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        name = "truncated" if "truncated" in str(error) else "undecodable"
        found.append(f"{name}: {error}")
    return found


def resize(image: Image, max_side: int) -> Image:
    """Shrink an image so that its longer side is ``max_side`` pixels; one that is not larger comes back as it is.

    EXIF rotation is applied. A JPEG stays a JPEG (quality 92), anything else becomes a PNG; of an animation the first
    picture stays. The same bytes give the same bytes with one version of Pillow; the result has a hash of its own.

    Raises:
        ImageError: it cannot be decoded, is too large to be decoded, or is a URL.
    """
    from PIL import Image as pillow  # noqa: N813

    if max_side < 1:
        raise ValueError(f"max_side is {max_side}, expected at least 1 pixel")
    if image.data is None:
        raise ImageError("an image by URL cannot be resized", where=image.url, hint="download it, or do not resize")
    if max(image.width or 0, image.height or 0) <= max_side and image.width:
        return image
    if (image.width or 0) * (image.height or 0) > HUGE:
        raise ImageError(_huge(image.width or 0, image.height or 0), hint="make it smaller with a tool of your own")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pillow.open(io.BytesIO(image.data), formats=_FORMATS) as picture:
                data, width, height = _shrunk(picture, max_side, jpeg=image.media_type == "image/jpeg")
    except Exception as error:  # as in inspect
        raise ImageError(f"cannot be decoded, so it cannot be resized: {error}", where=image.sha256) from None
    media_type = "image/jpeg" if image.media_type == "image/jpeg" else "image/png"
    return Image(media_type, data, hashlib.sha256(data).hexdigest(), width, height, label=image.label)


def _shrunk(picture: Picture, max_side: int, *, jpeg: bool) -> tuple[bytes, int, int]:
    from PIL import ImageOps
    from PIL.Image import Resampling

    profile = picture.info.get("icc_profile") if picture.mode != "CMYK" else None
    orientation = picture.getexif().get(_ORIENTATION)
    # thumbnail reads a JPEG at a fraction of its size first (draft), which is most of the time saved.
    if picture.mode == "P":
        small = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    elif picture.mode.startswith("I"):
        small = picture.convert("F").point(lambda value: value / 257).convert("L")
    else:
        small = picture
    small.thumbnail((max_side, max_side), Resampling.LANCZOS, reducing_gap=2.0)
    if orientation in _ROTATIONS:
        small.getexif()[_ORIENTATION] = orientation
        small = ImageOps.exif_transpose(small)
    wanted = ("RGB", "L") if jpeg else ("RGB", "RGBA", "L", "LA")
    if small.mode not in wanted:
        small = small.convert("RGB")
    out = io.BytesIO()
    options: dict[str, Any] = {"quality": _JPEG_QUALITY} if jpeg else {}
    small.save(out, "JPEG" if jpeg else "PNG", icc_profile=profile, exif=b"", **options)
    return out.getvalue(), small.width, small.height


def _described(picture: Picture) -> list[str]:
    """Name what the opened file says about itself before its pixels are read."""
    found: list[str] = []
    if picture.width * picture.height > HUGE:
        found.append(_huge(picture.width, picture.height))
    if min(picture.size) < SMALL:
        found.append(f"small: {picture.width} x {picture.height} pixels")
    if (turn := picture.getexif().get(_ORIENTATION)) in _ROTATIONS:
        found.append(f"rotated: EXIF says it is to be {_ROTATIONS[turn]}; servers differ in whether they do it")
    if picture.mode in ("CMYK", "YCCK"):
        found.append("cmyk: four print colours instead of RGB; servers differ in how they show them")
    if picture.mode.startswith("I") or "16" in picture.mode:
        found.append("16-bit: 16 bits a channel; many decoders clip them to white")
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        found.append(f"animated: {getattr(picture, 'n_frames', 2)} pictures; a model sees the first one, if any")
    return found


def _huge(width: int, height: int) -> str:
    return f"huge: {width:,} x {height:,} pixels are not decoded; more than {HUGE:,} pixels"
