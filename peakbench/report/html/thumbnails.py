"""Small pictures of a run's images for a page: inlined up to a total, beside the page after that.

An image is read again from where it lay when the run began, and only if its bytes are still the same. Its pixels are
written anew, so nothing of the file but the picture reaches the page: no place, no camera, no comment.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from peakbench.errors import ImageError
from peakbench.images import ImageRecord, load_recorded
from peakbench.images.pixels import HUGE

SIDE = 192
"""Longer side of a thumbnail, pixels."""

INLINED_BYTES = 8_000_000
"""Thumbnails inside the page, bytes in all as they are encoded; what comes after lies in the side folder."""

MOST = 5_000
"""Images of one page that get a thumbnail at most: each has to be decoded."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_QUALITY = 70
_WORKERS = 4
_AHEAD = 64
_OURS = re.compile(r"[0-9a-f]{32}\.(?:webp|jpg)")


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture for a page. ``source``: what ``src`` of an ``img`` takes; None where there is none, for ``note``."""

    source: str | None
    note: str | None = None


def thumbnails(
    records: Iterable[ImageRecord],
    folder: Path | None,
    *,
    inlined_bytes: int | None = None,
    most: int | None = None,
) -> Iterator[Thumbnail]:
    """Make one thumbnail for each image, in order; an image that stands twice is made once.

    Args:
        records: what the run wrote down about the images, the most wanted ones first.
        folder: where the pictures go that do not fit into the page, named by hash, referred to as ``NAME/HASH.webp``;
            it is made when it is needed, and what an earlier page left there goes. None: they are left out.
        inlined_bytes: how many bytes of pictures go into the page; default ``INLINED_BYTES``.
        most: how many images are decoded; default ``MOST``.
    """
    inlined_bytes = INLINED_BYTES if inlined_bytes is None else inlined_bytes
    most = MOST if most is None else most
    shelf = _Shelf(folder, inlined_bytes)
    known: dict[tuple[str | None, str | None], Thumbnail] = {}
    waiting = iter(records)
    made = 0
    with ThreadPoolExecutor(_WORKERS) as workers:
        while batch := list(islice(waiting, _AHEAD)):
            fresh = {
                _key(record): record
                for record in batch
                if record.path is not None and record.sha256 is not None and _key(record) not in known
            }
            chosen = list(fresh.values())[: max(0, most - made)]
            made += len(chosen)
            for record, picture in zip(chosen, workers.map(_made, chosen), strict=True):
                assert record.sha256 is not None
                known[_key(record)] = picture if isinstance(picture, Thumbnail) else shelf.keep(record.sha256, picture)
            for record in batch:
                yield known.get(_key(record)) or Thumbnail(None, _why_none(record, most))
    shelf.tidy()


def _key(record: ImageRecord) -> tuple[str | None, str | None]:
    # by path too: of two files with the same bytes one may be gone
    return record.sha256, record.path


def _why_none(record: ImageRecord, most: int) -> str:
    if record.url is not None:
        return "an image by URL: only the server saw it"
    if record.path is None:
        return "an image inside the data set, which the run does not keep"
    return f"no thumbnail: only the first {most:,} images have one"


def _made(record: ImageRecord) -> tuple[str, bytes] | Thumbnail:
    """Return ending and bytes of a small picture, or the thumbnail that says why there is none."""
    try:
        image = load_recorded(None, record)
    except ImageError as error:
        return Thumbnail(None, f"the image cannot be shown: {error.what}")
    assert image.data is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _shrunk(image.data)
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more
        return Thumbnail(None, f"the image cannot be decoded: {type(error).__name__}")


def _shrunk(data: bytes) -> tuple[str, bytes]:
    from PIL import Image, ImageOps, features

    with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
        if picture.width * picture.height > HUGE:
            raise ValueError("too many pixels")
        picture.draft("RGB", (SIDE, SIDE))  # a JPEG is read at a fraction of its size, most of the time saved
        small: Any = picture
        if picture.mode == "P":
            small = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        elif picture.mode.startswith("I"):
            small = picture.convert("F").point(lambda value: value / 257).convert("L")
        orientation = picture.getexif().get(0x0112)
        small.load()  # one that is small enough already is not read by what follows, and the file is closed after it
        small.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
        if orientation in range(2, 9):
            small.getexif()[0x0112] = orientation
            small = ImageOps.exif_transpose(small)
    out = io.BytesIO()
    if features.check("webp"):
        small = small if small.mode in ("RGB", "RGBA") else small.convert("RGB")
        small.save(out, "WEBP", quality=_QUALITY, method=2, exif=b"", icc_profile=b"", xmp=b"")
        return "webp", out.getvalue()
    if "A" in small.getbands():
        flat = Image.new("RGB", small.size, "white")
        flat.paste(small, mask=small.getchannel("A"))
        small = flat
    small.convert("RGB").save(out, "JPEG", quality=_QUALITY, exif=b"", icc_profile=None)
    return "jpg", out.getvalue()


class _Shelf:
    """Where the pictures go: into the page while there is room, then into the folder."""

    def __init__(self, folder: Path | None, room: int) -> None:
        self._folder = folder
        self._room = room
        self._placed: dict[str, Thumbnail] = {}
        self._kept: set[str] = set()

    def keep(self, sha256: str, picture: tuple[str, bytes]) -> Thumbnail:
        """Return where a picture is, putting it there the first time."""
        if sha256 not in self._placed:
            self._placed[sha256] = self._place(sha256, *picture)
        return self._placed[sha256]

    def _place(self, sha256: str, ending: str, data: bytes) -> Thumbnail:
        if len(data) <= self._room:
            self._room -= len(data)
            media = "webp" if ending == "webp" else "jpeg"
            return Thumbnail(f"data:image/{media};base64,{base64.b64encode(data).decode('ascii')}")
        self._room = 0  # so that what is in the page is the beginning of the list, without gaps
        if self._folder is None:
            return Thumbnail(None, "no thumbnail: the page holds as many as it may")
        name = f"{sha256[:32].lower()}.{ending}"
        if not _OURS.fullmatch(name):
            return Thumbnail(None, "no thumbnail: its hash is none")
        try:
            self._folder.mkdir(exist_ok=True)
            (self._folder / name).write_bytes(data)
        except OSError as error:
            return Thumbnail(None, f"no thumbnail: it cannot be written: {error.strerror}")
        self._kept.add(name)
        return Thumbnail(f"{quote(self._folder.name, errors='replace')}/{name}")

    def tidy(self) -> None:
        """Remove the pictures of an earlier page that this one does not show; anything else stays."""
        if self._folder is None or not self._folder.is_dir():
            return
        for file in self._folder.iterdir():
            if _OURS.fullmatch(file.name) and file.name not in self._kept and not file.is_symlink():
                file.unlink(missing_ok=True)
        if not self._kept:
            try:
                self._folder.rmdir()
            except OSError:
                return  # somebody else's files are in it
