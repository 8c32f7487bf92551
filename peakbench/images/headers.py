"""What the first and the last bytes of an image file say: its type, its size in pixels, and whether it was cut off.

Nothing is decoded here: a decode costs ten times what the whole request costs. The type comes from the bytes, never
from the file's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from peakbench.errors import ImageError

READABLE = "a JPEG, PNG, WebP, GIF or BMP image"
_CUT_OFF = "get the file again from where it came; a run sends only whole images"
_JPEG_SEGMENTS = 4096
"""More segments than any real JPEG has before its picture: 300 hold 20 MB. Bounds the scan of a hostile file."""
_GIF_TAIL = 4096

_NO_SIZE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers that stand alone: TEM, RST0-7, SOI."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG start-of-frame markers: all of C0-CF but the tables DHT and DAC and the reserved JPG."""


@dataclass(frozen=True, slots=True)
class Header:
    """Type and size in pixels, as the file's header states them (before any EXIF rotation)."""

    media_type: str
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """Read type and size from the header, and check that the end of the file is there.

    Costs some microseconds. Bytes after the end of the picture (padding, a phone's motion clip) are allowed.

    Raises:
        ImageError: not a known image (naming what it looks like), damaged, or cut off; ``where`` is not set.

    >>> read_header(b"GIF89a" + bytes([2, 0, 3, 0, 0, 0, 0]) + b";")
    Header(media_type='image/gif', width=2, height=3)
    """
    for magic, read in _FORMATS:
        if data.startswith(magic):
            header = read(data)
            if header.width < 1 or header.height < 1:
                _damaged(f"its header says {header.width} x {header.height} pixels")
            return header
    raise ImageError(_looks_like(data[:512]), expected=READABLE, hint="convert it, or mend the path")


def _damaged(what: str) -> NoReturn:
    raise ImageError(f"damaged image: {what}", hint=_CUT_OFF)


def _cut_off(what: str) -> NoReturn:
    raise ImageError(f"the image is cut off: {what}", hint=_CUT_OFF)


def _jpeg(data: bytes) -> Header:
    """Walk the segments up to the first scan (ISO/IEC 10918-1, annex B); EOI must follow it somewhere.

    The search for EOI begins at the scan, because an EXIF thumbnail before it is a JPEG with an EOI of its own;
    inside a scan 0xFF is followed by 0x00, so EOI cannot stand there by chance.
    """
    size = len(data)
    offset = 2
    frame: Header | None = None
    for _ in range(_JPEG_SEGMENTS):
        if offset + 4 > size:
            _cut_off("it ends before the picture begins")
        if data[offset] != 0xFF:
            _damaged(f"no JPEG marker at byte {offset}")
        marker = data[offset + 1]
        if marker == 0xFF:
            offset += 1
            continue
        if marker in _NO_SIZE:
            offset += 2
            continue
        if marker == 0xD9:
            _damaged("it ends before the picture begins")
        length = int.from_bytes(data[offset + 2 : offset + 4], "big")
        if length < 2:
            _damaged(f"JPEG segment of length {length} at byte {offset}")
        if offset + 2 + length > size:
            _cut_off("it ends inside its header")
        if marker in _FRAMES:
            if length < 8:
                _damaged(f"JPEG frame header of length {length} at byte {offset}")
            height = int.from_bytes(data[offset + 5 : offset + 7], "big")
            width = int.from_bytes(data[offset + 7 : offset + 9], "big")
            frame = Header("image/jpeg", width, height)
        elif marker == 0xDA:
            if frame is None:
                _damaged("the picture begins without a JPEG frame header")
            if data.rfind(b"\xff\xd9", offset) < 0:
                _cut_off("no JPEG end marker (FF D9)")
            return frame
        offset += 2 + length
    _damaged(f"more than {_JPEG_SEGMENTS} JPEG segments before the picture")


def _png(data: bytes) -> Header:
    """IHDR comes first and IEND last (W3C PNG, section 5)."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        _cut_off("it ends inside its header") if len(data) < 33 else _damaged("no IHDR chunk at byte 12")
    if data.rfind(b"IEND\xaeB`\x82") < 0:
        _cut_off("no PNG end chunk (IEND)")
    return Header("image/png", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))


def _gif(data: bytes) -> Header:
    """Logical screen size in bytes 6 to 10; the trailer 0x3B follows a block's end (GIF89a, sections 18 and 27)."""
    if len(data) < 13:
        _cut_off("it ends inside its header")
    if not data.rstrip(b"\0").endswith(b";") and data.rfind(b"\0;", len(data) - _GIF_TAIL) < 0:
        _cut_off("no GIF trailer (3B)")
    return Header("image/gif", int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"))


def _webp(data: bytes) -> Header:
    """RIFF length, then the first chunk: VP8 (RFC 6386, 9.1), VP8L (RFC 9649, 3.4) or VP8X (RFC 9649, 2.7)."""
    if data[8:12] != b"WEBP":
        raise ImageError("a RIFF file that is not WebP (a sound or a video?)", expected=READABLE)
    if len(data) < 30:
        _cut_off("it ends inside its header")
    stated = int.from_bytes(data[4:8], "little") + 8
    if stated > len(data):
        _cut_off(f"its header says {stated:,} bytes and there are {len(data):,}")
    chunk = data[12:16]
    if chunk == b"VP8X":
        return Header(
            "image/webp", int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        )
    if chunk == b"VP8L":
        if data[20] != 0x2F:
            _damaged("no VP8L signature")
        bits = int.from_bytes(data[21:25], "little")
        return Header("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8 ":
        if data[23:26] != b"\x9d\x01\x2a":
            _damaged("no VP8 start code")
        return Header(
            "image/webp", int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
        )
    return _damaged(f"unknown WebP chunk {chunk!r}")


def _bmp(data: bytes) -> Header:
    """BITMAPFILEHEADER and BITMAPINFOHEADER; uncompressed rows are padded to 4 bytes, so the length is known."""
    if len(data) < 26:
        _cut_off("it ends inside its header")
    start, kind = int.from_bytes(data[10:14], "little"), int.from_bytes(data[14:18], "little")
    if kind == 12:
        width, height = int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
        depth, compression = int.from_bytes(data[24:26], "little"), 0
    elif kind >= 40:
        if len(data) < 34:
            _cut_off("it ends inside its header")
        width = int.from_bytes(data[18:22], "little", signed=True)
        height = abs(int.from_bytes(data[22:26], "little", signed=True))  # a negative height means top row first
        depth, compression = int.from_bytes(data[28:30], "little"), int.from_bytes(data[30:34], "little")
    else:
        _damaged(f"BMP header of length {kind}")
    end = start + (width * depth + 31) // 32 * 4 * height
    if compression == 0 and end > len(data):
        _cut_off(f"its header says {end:,} bytes and there are {len(data):,}")
    return Header("image/bmp", width, height)


_FORMATS: tuple[tuple[bytes, Callable[[bytes], Header]], ...] = (
    (b"\xff\xd8\xff", _jpeg),
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"RIFF", _webp),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"BM", _bmp),
)

_HEIF_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF", b"avis": "AVIF"}


def _looks_like(head: bytes) -> str:
    """Say what a file that is no readable image seems to be; these are the ones met in downloaded data sets."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head[4:8] == b"ftyp":
        return f"of type {_HEIF_BRANDS.get(head[8:12], 'HEIF or video')}, which few servers read"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return "a TIFF image, which few servers read"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the image itself (git lfs pull fetches it)"
    if text.startswith((b"<!doctype html", b"<html")):
        return "an HTML page (a download that failed?)"
    if text.startswith((b"<svg", b"<?xml")):
        return "an SVG or XML file"
    if head.startswith(b"%PDF"):
        return "a PDF file"
    return f"not an image: it begins with {head[:8].hex(' ')}"
