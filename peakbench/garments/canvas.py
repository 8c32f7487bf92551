"""Where a garment is drawn: unit coordinates over a picture drawn at twice its size."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from peakbench.garments.vocabulary import RGB

Point = tuple[float, float]


@dataclass(slots=True)
class Canvas:
    """A picture, its pen, and the pose: shift and scale of unit coordinates."""

    side: int
    chance: random.Random
    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    picture: Image.Image = field(init=False)
    pen: ImageDraw.ImageDraw = field(init=False)

    def __post_init__(self) -> None:
        self.paint(Image.new("RGB", (self.side, self.side)))

    def paint(self, picture: Image.Image) -> None:
        """Go on with another picture."""
        self.picture = picture
        self.pen = ImageDraw.Draw(picture)

    def x(self, value: float) -> float:
        """Pixels of a unit coordinate."""
        return (0.5 + self.dx + (value - 0.5) * self.scale) * self.side

    def y(self, value: float) -> float:
        """Pixels of a unit coordinate."""
        return (0.5 + self.dy + (value - 0.5) * self.scale) * self.side

    def points(self, points: Sequence[Point]) -> list[Point]:
        """Pixels of points."""
        return [(self.x(x), self.y(y)) for x, y in points]

    def box(self, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        """Pixels of a rectangle."""
        return self.x(left), self.y(top), self.x(right), self.y(bottom)

    def line(self, points: Sequence[Point], color: RGB, width: float = 0.010) -> None:
        """Draw a line through points."""
        self.pen.line(self.points(points), fill=color, width=self.width(width))

    def polygon(self, points: Sequence[Point], color: RGB, outline: RGB | None = None) -> None:
        """Fill a polygon."""
        self.pen.polygon(self.points(points), fill=color, outline=outline, width=self.width() if outline else 1)

    def width(self, value: float = 0.010) -> int:
        """Pixels of a line's width, 1 at least."""
        return max(1, round(value * self.side))


def shade(color: RGB, factor: float) -> RGB:
    """Make a color darker or lighter."""
    return tuple(max(0, min(255, int(part * factor))) for part in color)  # type: ignore[return-value]


def light(color: RGB) -> float:
    """How light a color is, 0 to 255."""
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]


def seam(color: RGB) -> RGB:
    """A color for seams and outlines that shows on the cloth."""
    return shade(color, 0.55) if light(color) > 60 else (105, 105, 112)


def contrast(color: RGB) -> RGB:
    """Nearly black or nearly white, whichever shows on the cloth."""
    return (28, 28, 32) if light(color) > 128 else (246, 246, 242)


@lru_cache(maxsize=64)
def font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that every machine draws the same letters."""
    return ImageFont.load_default(max(8, pixels))


@lru_cache(maxsize=2048)
def lettering(text: str, height: int, style: str, longest: int) -> Image.Image:
    """Return a mask of a word ``height`` pixels high at most ``longest`` wide, in one of five styles."""
    stroke = max(1, height // 12) if style == "bold" else 0
    face = font(height)
    left, top, right, bottom = face.getbbox(text, stroke_width=stroke)
    mask = Image.new("L", (int(right - left) + 4, int(bottom - top) + 4), 0)
    ImageDraw.Draw(mask).text((2 - left, 2 - top), text, font=face, fill=255, stroke_width=stroke)
    if style == "slanted":
        lean = 0.25
        wide = mask.width + int(lean * mask.height)
        mask = mask.transform(
            (wide, mask.height),
            Image.Transform.AFFINE,
            (1, lean, -lean * mask.height, 0, 1, 0),
            Image.Resampling.BILINEAR,
        )
    stretch = {"narrow": 0.78, "wide": 1.25}.get(style, 1.0)
    wanted = min(longest, int(mask.width * stretch))
    return mask if wanted == mask.width else mask.resize((wanted, mask.height), Image.Resampling.BILINEAR)
