"""The table on which a garment lies: pieces of cloth with shadow and shading, seams, buttons, zips, labels."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from cloth import SCALE, SIZE, Color, H, Points, W, path, shade
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont


class Table:
    """A picture in the making, in units of W x H."""

    def __init__(self, cloth: Image.Image, color: Color) -> None:
        ground = np.linspace(1.03, 0.95, SIZE[1])[:, None, None] * np.array([205, 200, 192])
        self.image = Image.fromarray(np.broadcast_to(ground, (SIZE[1], SIZE[0], 3)).astype(np.uint8))
        self.cloth = cloth
        self.color = color
        dark = sum(color) < 240
        self.edge = shade(color, 1.6) if dark else shade(color, 0.62)
        """Lines on the cloth: lighter than a dark cloth, darker than a light one."""

    def draw(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.image)

    def mask(self, points: Points) -> Image.Image:
        mask = Image.new("L", SIZE, 0)
        ImageDraw.Draw(mask).polygon([(x * SCALE, y * SCALE) for x, y in points], fill=255)
        return mask

    def piece(
        self,
        points: Points,
        *,
        tone: float = 1.0,
        cloth: Image.Image | None = None,
        shadow: bool = True,
        turn: float = 0,
    ) -> None:
        """Lay down one piece of cloth: its shadow, the cloth, softly darker towards its edges, and an outline."""
        mask = self.mask(points)
        if shadow:
            soft = ImageChops.offset(mask, 2 * SCALE, 5 * SCALE).filter(ImageFilter.GaussianBlur(5 * SCALE))
            self.image = Image.composite(
                Image.new("RGB", SIZE, (120, 112, 104)), self.image, soft.point(lambda v: v * 0.6)
            )
        fabric = cloth or self.cloth
        if turn:
            x = sum(p[0] for p in points) / len(points) * SCALE
            y = sum(p[1] for p in points) / len(points) * SCALE
            fabric = fabric.rotate(turn, Image.Resampling.BICUBIC, center=(x + SIZE[0] / 2, y + SIZE[1] / 2))
        fabric = fabric.crop((SIZE[0] // 2, SIZE[1] // 2, SIZE[0] // 2 + SIZE[0], SIZE[1] // 2 + SIZE[1]))
        inner = np.asarray(mask.filter(ImageFilter.GaussianBlur(9 * SCALE)), dtype=np.float32) / 255
        light = np.clip(0.74 + 0.3 * inner, 0, 1.03)[..., None] * tone
        shaded = np.clip(np.asarray(fabric, dtype=np.float32) * light, 0, 255).astype(np.uint8)
        self.image.paste(Image.fromarray(shaded), mask=mask)
        self.line([*points, points[0]], width=1.3, color=shade(self.color, 0.5))

    def line(self, points: Points, *, width: float = 1.0, color: Color | None = None) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self.draw().line(scaled, fill=color or self.edge, width=max(1, round(width * SCALE)), joint="curve")

    def stitches(self, points: Points, *, color: Color | None = None) -> None:
        """A dashed seam."""
        for (x0, y0), (x1, y1) in pairwise(points):
            count = max(1, round(math.hypot(x1 - x0, y1 - y0) / 5))
            for k in range(count):
                a, b = k / count, (k + 0.55) / count
                self.line(
                    [(x0 + (x1 - x0) * a, y0 + (y1 - y0) * a), (x0 + (x1 - x0) * b, y0 + (y1 - y0) * b)],
                    width=0.8,
                    color=color,
                )

    def folds(self, *lines: Points) -> None:
        """Soft shadows along lines."""
        layer = Image.new("L", SIZE, 0)
        draw = ImageDraw.Draw(layer)
        for points in lines:
            draw.line([(x * SCALE, y * SCALE) for x, y in points], fill=90, width=4 * SCALE, joint="curve")
        layer = layer.filter(ImageFilter.GaussianBlur(3 * SCALE))
        self.image = Image.composite(Image.new("RGB", SIZE, shade(self.color, 0.45)), self.image, layer)

    def disc(self, x: float, y: float, radius: float, color: Color, *, outline: Color | None = None) -> None:
        box = [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]
        self.draw().ellipse(box, fill=color, outline=outline, width=SCALE)

    def button(self, x: float, y: float) -> None:
        face = (250, 248, 240) if sum(self.color) < 560 else (90, 96, 120)
        self.disc(x, y, 4, face, outline=shade(face, 0.55))
        for dx, dy in ((-1.2, -1.2), (1.2, 1.2)):
            self.disc(x + dx, y + dy, 0.7, shade(face, 0.4))

    def word(self, text: str, x: float, y: float, height: float, color: Color) -> None:
        font = ImageFont.load_default(round(height * SCALE))
        self.draw().text((x * SCALE, y * SCALE), text, fill=color, font=font, anchor="mm", stroke_width=1)

    def label(
        self, text: str, x: float, y: float, *, width: float, height: float, ground: Color = (252, 252, 250)
    ) -> None:
        """A sewn-on label with a word."""
        box = [v * SCALE for v in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)]
        self.draw().rectangle(box, fill=ground, outline=shade(ground, 0.6), width=SCALE)
        self.word(text, x, y, height * 0.72, (28, 28, 32) if sum(ground) > 380 else (250, 246, 236))

    def zip(self, x: float, top: float, bottom: float) -> None:
        self.line([(x, top), (x, bottom)], width=5, color=shade(self.color, 0.55))
        y = top + 2
        while y < bottom - 2:
            self.line([(x - 1.8, y), (x + 1.8, y)], width=1.1, color=(214, 214, 218))
            y += 3.2
        self.draw().rounded_rectangle(
            [v * SCALE for v in (x - 3, top + 2, x + 3, top + 18)],
            2 * SCALE,
            fill=(226, 226, 230),
            outline=(90, 90, 94),
        )

    def cord(self, x: float, y: float, length: float) -> None:
        pale = (246, 244, 238) if sum(self.color) < 560 else (120, 116, 110)
        for side in (-1, 1):
            self.line(
                path((x + side * 6, y), (x + side * 12, y + length * 0.5, x + side * 7, y + length)),
                width=2.2,
                color=pale,
            )
            self.disc(x + side * 7, y + length, 2.4, pale)

    def finish(self) -> Image.Image:
        return self.image.resize((W, H), Image.Resampling.LANCZOS)
