"""One recorded image as an HTML element that holds it: shrunk, bounded, or a line that says why it is not shown."""

from __future__ import annotations

import html
from dataclasses import replace

from peakbench.errors import ImageError
from peakbench.images import MAX_BYTES, ImageRecord, data_url, load_recorded, read_header, resize

SIDE = 320
"""Pixels of the longer side, as an image is shown."""


def picture_html(image: ImageRecord, *, side: int = SIDE) -> str:
    """Return an ``img`` element with the image inside it, or a line that says why there is none.

    Only a file is shown, and only if it is still the image that the run began with; an image by URL is named and never
    fetched.

    >>> picture_html(ImageRecord(None, "https://example.org/a.jpg", None, 0, "image/jpeg"))
    '<p>an image by URL, not fetched: https://example.org/a.jpg</p>'
    """
    if image.url is not None:
        return f"<p>an image by URL, not fetched: {html.escape(image.url[:200])}</p>"
    if image.path is None:
        return "<p>an image inside the data set, not kept by the run</p>"
    if image.bytes > MAX_BYTES:
        return f"<p>an image of {image.bytes:,} bytes, too large to be shown</p>"
    try:
        # without the time of change the bytes are hashed: what stands in a run's files is no reason to show a file
        found = load_recorded(None, replace(image, mtime_ns=None))
        assert found.data is not None
        header = read_header(found.data)
        found = replace(found, media_type=header.media_type, width=header.width, height=header.height)
        found = resize(found, 2 * side)
    except ImageError as error:
        return f"<p>not shown: {html.escape(str(error)[:500])}</p>"
    label = f"{image.label}, " if image.label else ""
    words = html.escape(f"{label}{image.path.rpartition('/')[2]}"[:200])
    source = data_url(found).decode("ascii")
    return f'<img src="{source}" alt="{words}" title="{words}" style="max-width:{side}px;max-height:{side}px">'
