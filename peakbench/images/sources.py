"""Image sources to images: found, bounded, checked by header and trailer, hashed. The bytes sent are the bytes found.

Paths come from data sets, which may be anybody's: a path must stay inside the folder of its data set (after every
symbolic link), and only regular files are opened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pybase64

from peakbench.errors import ImageError
from peakbench.images.headers import read_header
from peakbench.records import Image, ImageSource

MAX_BYTES = 20_000_000
"""Default limit of one image, bytes: what the large public endpoints take."""

_URL_CHARACTERS = 8192
_DATA_URI = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=[\w.+-]+)*;base64,", re.ASCII | re.IGNORECASE)
_DATA_URI_HEAD = 256
_OTHER_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".JPG", ".JPEG", ".PNG")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """What a run writes down about one image.

    ``path``: absolute, symbolic links resolved; None for images that are not files. ``sha256``: hex, of the bytes as
    found; None for a URL, whose bytes only the server sees. ``bytes``: their number, 0 for a URL. ``mtime_ns``: the
    file's time of change, which spares a second hashing. ``width``, ``height``: pixels, as the header states them.
    """

    path: str | None
    url: str | None
    sha256: str | None
    bytes: int
    media_type: str
    mtime_ns: int | None = None
    label: str | None = None
    width: int | None = None
    height: int | None = None


def load(
    source: ImageSource, *, allow_outside: bool = False, allow_urls: bool = False, max_bytes: int = MAX_BYTES
) -> Image:
    """Read one image and check its header, size and trailer, without decoding it.

    Args:
        source: where it is. A path is taken from ``source.base``, and has to stay in that folder.
        allow_outside: let a path lead out of ``source.base``.
        allow_urls: let a URL through; it is sent as it is, and the server fetches it.
        max_bytes: limit of the encoded image.

    Raises:
        ImageError: missing, outside, not a regular file, too large, not an image, cut off.

    >>> gif = b"GIF89a" + bytes([2, 0, 3, 0, 0, 0, 0]) + b";"
    >>> image = load(ImageSource("bytes", gif))
    >>> image.media_type, image.width, image.height
    ('image/gif', 2, 3)
    """
    return _load(source, allow_outside=allow_outside, allow_urls=allow_urls, max_bytes=max_bytes)[0]


def identify(
    source: ImageSource, *, allow_outside: bool = False, allow_urls: bool = False, max_bytes: int = MAX_BYTES
) -> ImageRecord:
    """Load one image as :func:`load` does and return what a run writes down about it, without the bytes.

    Raises:
        ImageError: as :func:`load`.
    """
    image, path, mtime_ns = _load(source, allow_outside=allow_outside, allow_urls=allow_urls, max_bytes=max_bytes)
    return ImageRecord(
        path=path,
        url=image.url,
        sha256=image.sha256,
        bytes=0 if image.data is None else len(image.data),
        media_type=image.media_type,
        mtime_ns=mtime_ns,
        label=image.label,
        width=image.width,
        height=image.height,
    )


def load_recorded(source: ImageSource | None, record: ImageRecord) -> Image:
    """Read again an image that was checked when the run began; its bytes must be the same.

    A file whose size and time of change are as recorded is not hashed again: this is the path that every request
    takes, and it costs what reading the file costs. ``source`` is needed for images that are not files.

    Raises:
        ImageError: the image is gone, or changed since the run began.
    """
    if record.url is not None:
        return Image(record.media_type, None, None, url=record.url, label=record.label)
    if record.path is not None:
        data, mtime_ns = _read(record.path, record.path, max(record.bytes, MAX_BYTES))
        if len(data) == record.bytes and mtime_ns == record.mtime_ns:
            return Image(record.media_type, data, record.sha256, record.width, record.height, label=record.label)
        where = record.path
    elif source is None:
        raise ImageError("the image is not a file, and its source was not given", where=record.label)
    else:
        data = _embedded(source, max(record.bytes, MAX_BYTES))
        where = _name(source)
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise ImageError(
            "the image changed since the run began",
            where=where,
            expected=f"{record.bytes:,} bytes with sha256 {record.sha256}",
            hint="put the old image back, or begin a new run",
        )
    return Image(record.media_type, data, record.sha256, record.width, record.height, label=record.label)


def data_url(image: Image) -> bytes:
    """Return the URL under which an image is sent: a base64 ``data:`` URL, or its own where it is one.

    >>> data_url(Image("image/gif", b"GIF", None))
    b'data:image/gif;base64,R0lG'
    """
    if image.data is None:
        return (image.url or "").encode()
    return b"data:%b;base64,%b" % (image.media_type.encode(), pybase64.b64encode(image.data))


def _load(
    source: ImageSource, *, allow_outside: bool, allow_urls: bool, max_bytes: int
) -> tuple[Image, str | None, int | None]:
    """Return the image, and for a file its resolved path and time of change."""
    path: str | None = None
    mtime_ns: int | None = None
    if source.kind == "url":
        return _url(source, allow_urls), None, None
    if source.kind == "path":
        path = _inside(source, allow_outside)
        data, mtime_ns = _read(path, _name(source), max_bytes)
    else:
        data = _embedded(source, max_bytes)
    try:
        header = read_header(data)
    except ImageError as error:
        error.where = _name(source)
        raise
    digest = hashlib.sha256(data).hexdigest()
    image = Image(header.media_type, data, digest, header.width, header.height, label=source.label)
    return image, path, mtime_ns


def _name(source: ImageSource) -> str:
    """Name a source in a message."""
    if source.kind in ("path", "url"):
        return str(source.value)
    return f"image given as {'a data URI' if source.kind == 'data_uri' else 'bytes'}"


def _url(source: ImageSource, allow_urls: bool) -> Image:
    url = str(source.value)
    if not allow_urls:
        raise ImageError(
            "images by URL are off: the server would fetch them, and nothing pins what they show",
            where=url[:200],
            hint="download them, or allow them: --allow-image-urls, allow_urls=True",
        )
    if len(url) > _URL_CHARACTERS or not url.isprintable() or " " in url:
        raise ImageError("not a URL that can be sent", where=url[:200], expected="http:// or https://, no spaces")
    return Image("", None, None, url=url, label=source.label)


@lru_cache(maxsize=64)
def _resolved_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _inside(source: ImageSource, allow_outside: bool) -> str:
    """Resolve a path against its base and hold it inside; without a base it is taken from the working directory."""
    value = os.fspath(str(source.value))
    if "\0" in value or not value:
        raise ImageError("not a path", where=repr(value))
    path = os.path.realpath(value if source.base is None else os.path.join(source.base, value))  # noqa: PTH118
    if source.base is None or allow_outside:
        return path
    folder = _resolved_folder(os.path.abspath(source.base))  # noqa: PTH100 - absolute, or the cache forgets chdir
    if not path.startswith(folder.rstrip(os.sep) + os.sep):
        raise ImageError(
            "the path leads out of the folder of the data set" + (f", to {path}" if path != value else ""),
            where=value,
            expected=f"a path inside {folder}",
            hint="move the images there, or allow it: --allow-outside, allow_outside=True",
        )
    return path


def _read(path: str, name: str, max_bytes: int) -> tuple[bytes, int]:
    """Read a regular file of at most ``max_bytes``; return its bytes and its time of change in nanoseconds."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for somebody to write into it.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ImageError(*_why_not_opened(error), where=name, hint=_similar(path)) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ImageError(f"{kind}, where an image file belongs", where=name)
        if status.st_size > max_bytes:
            raise ImageError(
                f"{status.st_size:,} bytes",
                where=name,
                expected=f"at most {max_bytes:,} bytes an image",
                hint="make the file smaller: fewer pixels, or a JPEG",
            )
        if not status.st_size:
            raise ImageError("the file is empty", where=name)
        data = os.read(handle, status.st_size)
        while len(data) < status.st_size and (more := os.read(handle, status.st_size - len(data))):
            data += more
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}", where=name) from None
    finally:
        os.close(handle)
    return data, status.st_mtime_ns


def _why_not_opened(error: OSError) -> tuple[str]:
    if error.errno == errno.ENOENT:
        return ("no such file",)
    if error.errno == errno.ELOOP:
        return ("a symbolic link that leads back to itself",)
    return (f"cannot be opened: {error.strerror}",)


def _similar(path: str) -> str | None:
    """Name a file that differs in its ending only: the slip met most often."""
    here = Path(path)
    if "\\" in here.name:
        return "write the path with / between folders"
    for ending in _OTHER_ENDINGS:
        try:
            if ending != here.suffix and here.with_suffix(ending).is_file():
                return f"there is {here.with_suffix(ending).name}"
        except (OSError, ValueError):
            return None
    return None


def _embedded(source: ImageSource, max_bytes: int) -> bytes:
    """Return the bytes of a source that holds them, bounded before they are decoded."""
    value = source.value
    if isinstance(value, str):
        if len(value) > max_bytes // 3 * 4 + _DATA_URI_HEAD:
            raise ImageError(
                f"a data URI of {len(value):,} characters",
                where=_name(source),
                expected=f"at most {max_bytes:,} bytes an image",
            )
        match = _DATA_URI.match(value[:_DATA_URI_HEAD])
        if match is None:
            raise ImageError(
                f"not a data URI with base64: {value[:40]!r}", where=_name(source), expected="data:image/...;base64,..."
            )
        try:
            value = pybase64.b64decode(value[match.end() :], validate=True)
        except ValueError as error:
            raise ImageError(f"not base64: {error}", where=_name(source)) from None
    if len(value) > max_bytes:
        raise ImageError(f"{len(value):,} bytes", where=_name(source), expected=f"at most {max_bytes:,} bytes an image")
    if not value:
        raise ImageError("no bytes", where=_name(source))
    return value
