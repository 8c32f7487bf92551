"""Shapes, colors and cloth: a bolt of fabric a pattern, with the picture in its middle."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFilter

W, H = 320, 384
SCALE = 3
"""Everything is drawn three times as large and shrunk at the end, which smooths the edges."""
SIZE = (W * SCALE, H * SCALE)
MID = W / 2
BOLT = (2 * SIZE[0], 2 * SIZE[1])
"""Size of the cloth that pieces are cut from: room enough to turn it under a sleeve."""

Color = tuple[int, int, int]
Points = list[tuple[float, float]]

COLORS: dict[str, Color] = {
    "red": (196, 45, 48),
    "white": (243, 242, 238),
    "navy blue": (34, 48, 92),
    "yellow": (238, 197, 62),
    "black": (44, 44, 48),
    "orange": (226, 124, 48),
    "light blue": (154, 193, 226),
    "pink": (240, 172, 190),
    "green": (62, 128, 84),
    "beige": (208, 186, 148),
    "blue": (72, 108, 160),
    "olive": (112, 116, 66),
    "gray": (142, 145, 150),
    "purple": (112, 74, 142),
    "burgundy": (116, 32, 50),
    "brown": (116, 78, 52),
}


def path(*steps: tuple[float, ...]) -> Points:
    """Return points along steps: (x, y) a straight line, (cx, cy, x, y) a quadratic curve."""
    points: Points = [(steps[0][0], steps[0][1])]
    for step in steps[1:]:
        if len(step) == 2:
            points.append((step[0], step[1]))
            continue
        (x0, y0), (cx, cy, x1, y1) = points[-1], step
        for k in range(1, 17):
            t = k / 16
            points.append(
                (
                    (1 - t) ** 2 * x0 + 2 * t * (1 - t) * cx + t * t * x1,
                    (1 - t) ** 2 * y0 + 2 * t * (1 - t) * cy + t * t * y1,
                )
            )
    return points


def flip(points: Points) -> Points:
    """Mirror points in the middle of the picture."""
    return [(W - x, y) for x, y in points]


def whole(right: Points) -> Points:
    """Close a right half, given from its top to its bottom, with its mirror image."""
    return right + flip(right)[::-1]


def shade(color: Color, factor: float) -> Color:
    """Darken (factor < 1) or lighten a color."""
    return tuple(max(0, min(255, round(c * factor + (255 * (factor - 1) * 0.4 if factor > 1 else 0)))) for c in color)  # type: ignore[return-value]


def solid(colors: Sequence[Color]) -> Image.Image:
    return Image.new("RGB", BOLT, colors[0])


def striped(colors: Sequence[Color]) -> Image.Image:
    cloth = Image.new("RGB", BOLT, colors[1])
    draw = ImageDraw.Draw(cloth)
    for y in range(0, 2 * H, 26):
        draw.rectangle((0, y * SCALE, BOLT[0], (y + 13) * SCALE), fill=colors[0])
    return cloth


def bands(colors: Sequence[Color], step: int, width: int) -> Image.Image:
    """Bands both ways over a ground, each half see-through: gingham where both are as wide as the gaps."""
    cloth = Image.new("RGB", BOLT, colors[0])
    for upright in (True, False):
        over = Image.new("L", BOLT, 0)
        draw = ImageDraw.Draw(over)
        for at in range(0, 2 * H, step):
            a, b = at * SCALE, (at + width) * SCALE
            draw.rectangle((a, 0, b, BOLT[1]) if upright else (0, a, BOLT[0], b), fill=140)
        cloth = Image.composite(Image.new("RGB", BOLT, colors[1]), cloth, over)
    return cloth


def checkered(colors: Sequence[Color]) -> Image.Image:
    return bands(colors, 24, 12)


def plaid(colors: Sequence[Color]) -> Image.Image:
    cloth = bands(colors, 44, 20)
    draw = ImageDraw.Draw(cloth)
    for at in range(32, 2 * H, 44):
        draw.line((at * SCALE, 0, at * SCALE, BOLT[1]), fill=(236, 218, 170), width=SCALE * 2)
        draw.line((0, at * SCALE, BOLT[0], at * SCALE), fill=(236, 218, 170), width=SCALE * 2)
    return cloth


def dotted(colors: Sequence[Color]) -> Image.Image:
    cloth = Image.new("RGB", BOLT, colors[0])
    draw = ImageDraw.Draw(cloth)
    for row, y in enumerate(range(6, 2 * H, 17)):
        for x in range(6 + (row % 2) * 10, 2 * W, 20):
            draw.ellipse([(v + d) * SCALE for d in (-4, 4) for v in (x, y)], fill=colors[1])
    return cloth


def floral(colors: Sequence[Color]) -> Image.Image:
    cloth = Image.new("RGB", BOLT, colors[0])
    draw = ImageDraw.Draw(cloth)
    chance = random.Random(7)
    placed: Points = []
    for _ in range(12000):
        x, y, size = chance.uniform(0, 2 * W), chance.uniform(0, 2 * H), chance.uniform(6, 9)
        if any(math.hypot(x - a, y - b) < 24 for a, b in placed):
            continue
        placed.append((x, y))
        turn = chance.uniform(0, math.tau)
        for side in (0.3, 3.5):
            leaf = [
                (x + math.cos(turn + side + d) * size * r, y + math.sin(turn + side + d) * size * r)
                for d, r in ((-0.3, 1.0), (0, 1.9), (0.3, 1.0))
            ]
            draw.polygon([(a * SCALE, b * SCALE) for a, b in leaf], fill=(84, 138, 88))
        petal = chance.choice([(214, 52, 92), (252, 250, 244), (150, 60, 130)])
        for k in range(5):
            a, b = (
                x + math.cos(turn + k * math.tau / 5) * size * 0.7,
                y + math.sin(turn + k * math.tau / 5) * size * 0.7,
            )
            r = size * 0.5
            draw.ellipse(((a - r) * SCALE, (b - r) * SCALE, (a + r) * SCALE, (b + r) * SCALE), fill=petal)
        r = size * 0.34
        draw.ellipse(((x - r) * SCALE, (y - r) * SCALE, (x + r) * SCALE, (y + r) * SCALE), fill=(246, 204, 70))
    return cloth


def denim(colors: Sequence[Color]) -> Image.Image:
    """Twill lines, and the faded parts of worn jeans."""
    cloth = Image.new("RGB", BOLT, colors[0])
    draw = ImageDraw.Draw(cloth)
    for at in range(-BOLT[1], BOLT[0], 4 * SCALE):
        draw.line((at, 0, at + BOLT[1], BOLT[1]), fill=shade(colors[0], 1.1), width=SCALE)
    faded = Image.new("L", BOLT, 0)
    spots = ImageDraw.Draw(faded)
    for x in (272, 368):
        spots.ellipse([v * SCALE for v in (x - 22, 302, x + 22, 482)], fill=130)
    faded = faded.filter(ImageFilter.GaussianBlur(16 * SCALE))
    return Image.composite(Image.new("RGB", BOLT, shade(colors[0], 1.5)), cloth, faded)


CLOTH: dict[str, Callable[[Sequence[Color]], Image.Image]] = {
    "striped": striped,
    "checkered": checkered,
    "plaid": plaid,
    "polka dot": dotted,
    "floral": floral,
    "denim wash": denim,
}
