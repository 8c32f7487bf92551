"""How each kind of garment is put together."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cloth import MID, SCALE, SIZE, Color, Points, flip, path, shade, solid, whole
from PIL import Image, ImageChops, ImageFilter
from table import Table

FIELDS = ("type", "color", "pattern", "neckline", "sleeve_length", "closure", "brand", "size", "defect_type")


@dataclass(frozen=True)
class Garment:
    """One sample: the nine fields as drawn, and how to draw it."""

    draw: Callable[[Table, Garment], None]
    type: str
    color: str
    pattern: str = "solid"
    neckline: str | None = None
    sleeve_length: str | None = None
    closure: str | None = None
    brand: str | None = None
    size: str | None = None
    defect_type: str | None = None
    inks: tuple[str, ...] = ()
    """Colors of the cloth where they are not those of ``color`` (a print's small colors are not the garment's)."""
    tag: str | None = None
    """What the size label says, as it is drawn."""
    reference: dict[str, str | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.reference.update({name: getattr(self, name) for name in FIELDS})


def top(table: Table, g: Garment) -> None:
    """Everything worn above the waist, and dresses."""
    dress, long = g.type == "dress", g.sleeve_length == "long sleeve"
    jacket = g.type in ("jacket", "hoodie", "sweatshirt", "sweater")
    wide = 8 if jacket else 0
    neck = 33 if g.neckline in ("crew neck", "v-neck", "scoop neck") else 26
    bare = g.sleeve_length == "sleeveless"
    hem = 352 if dress else 318 if not jacket else 312
    shoulder = (MID + (58 if bare else 78 + wide), 76 if bare else 84)
    pit = (MID + 66 + wide, 150)
    if bare:
        neck = 34
        side = path((MID + neck, 58), (MID + 54, 62), (MID + 46, 118, *pit))
    else:
        side = path((MID + neck, 58), shoulder, (MID + 80 + wide, 118, *pit))
    if dress:
        side += path(
            (MID + 66, 150),
            (MID + 52, 195, MID + 50, 205),
            (MID + 78, 280, MID + 106, hem),
            (MID + 60, hem + 12, MID, hem + 12),
        )[1:]
    else:
        side += path(pit, (MID + 62 + wide, 240, MID + 66 + wide, hem), (MID + 30, hem + 5, MID, hem + 5))[1:]
    dip = {"crew neck": 84, "v-neck": 128, "scoop neck": 122}.get(g.neckline or "", 76)
    front = (
        path((MID, dip), (MID + neck, 58))
        if g.neckline == "v-neck"
        else path((MID, dip), (MID + neck * 0.95, dip - 2, MID + neck, 58))
    )

    if g.neckline == "hooded":
        hood = whole(path((MID, 8), (MID + 58, 8, MID + 50, 66), (MID + 44, 86), (MID + 20, 98, MID, 98)))
        table.piece(hood)
        table.piece(
            whole(path((MID, 24), (MID + 36, 24, MID + 32, 66), (MID + 24, 88, MID, 92))),
            tone=0.5,
            cloth=solid([table.color]),
            shadow=False,
        )
    else:
        back = whole(path((MID, 64), (MID + neck * 0.7, 64, MID + neck, 57), (MID + neck, dip), (MID, dip + 2)))
        table.piece(back, tone=0.62, shadow=True)
    if not bare:
        if long:
            sleeve = path(
                (MID + 60, 76),
                shoulder,
                (MID + 112 + wide, 120, MID + 124, 290),
                (MID + 96, 296),
                (MID + 92, 190, *pit),
            )
        else:
            sleeve = path(
                (MID + 60, 76), shoulder, (MID + 108, 104, MID + 132, 156), (MID + 98, 178), (MID + 84, 160, *pit)
            )
        for points, turn in ((sleeve, -38 if not long else 12), (flip(sleeve), 38 if not long else -12)):
            table.piece(points, turn=turn)
        for points in ([(MID + 99, 280), (MID + 122, 274)] if long else [(MID + 95, 170), (MID + 127, 149)],):
            table.stitches(points)
            table.stitches(flip(points))
    body = front + side[1:]
    table.piece(whole(body), shadow=True)
    table.folds(
        path((MID + 60, 160), (MID + 40, 190, MID + 44, 230)),
        flip(path((MID + 60, 160), (MID + 40, 190, MID + 44, 230))),
    )
    if dress:
        table.folds(*[path((MID + dx * 0.5, 210), (MID + dx, 340)) for dx in (-76, -40, 0, 40, 76)])
        if g.pattern == "solid":
            table.line(path((MID - 51, 203), (MID, 212, MID + 51, 203)), width=2)
    else:
        table.stitches(path((MID - 62 - wide, hem - 6), (MID, hem, MID + 62 + wide, hem - 6)))
    if not bare:
        seam = path(shoulder, (MID + 70 + wide, 120, *pit))
        table.line(seam)
        table.line(flip(seam))
    neckline(table, g, neck, dip, front)
    fastening(table, g, hem, dip)
    trimmings(table, g, hem)


def neckline(table: Table, g: Garment, neck: float, dip: float, front: Points) -> None:
    plain = solid([table.color])
    if g.neckline in ("crew neck", "v-neck", "scoop neck"):
        outer = [(x, y + 7) if x < MID + neck - 1 else (x + 5, y) for x, y in front]
        both = flip(outer)[::-1] + outer + front[::-1] + flip(front)
        table.piece(both, tone=0.86, cloth=plain, shadow=False)
    elif g.neckline == "shirt collar":
        wing = path((MID, 80), (MID + 26, 54), (MID + 36, 66), (MID + 22, 104))
        table.piece(wing, tone=0.98)
        table.piece(flip(wing), tone=0.98)
        table.stitches([(MID + 4, 82), (MID + 21, 98), (MID + 32, 67)])
        table.stitches(flip([(MID + 4, 82), (MID + 21, 98), (MID + 32, 67)]))
    elif g.neckline == "turtleneck":
        roll = whole(path((MID, 28), (MID + 30, 28, MID + 30, 34), (MID + 34, 76), (MID + 20, 86, MID, 86)))
        table.piece(roll)
        table.line(path((MID - 32, 56), (MID, 66, MID + 32, 56)), width=1.5)
        for dx in range(-24, 25, 8):
            table.line([(MID + dx, 34), (MID + dx * 1.1, 82)], width=0.7)
    elif g.neckline == "stand collar":
        table.piece(whole(path((MID, 48), (MID + 26, 48, MID + 28, 46), (MID + 34, 78), (MID + 16, 90, MID, 90))))
        table.stitches(path((MID - 30, 76), (MID, 90, MID + 30, 76)))
    elif g.neckline == "hooded":
        for side in (1, -1):
            edge = path((MID + 44 * side, 84), (MID + 20 * side, 100, MID, 100))
            table.line(edge, width=1.6)
        table.cord(MID, 98, 44)


def fastening(table: Table, g: Garment, hem: float, dip: float) -> None:
    if g.closure == "button front":
        if g.pattern == "polka dot":  # buttons would be lost among the dots
            table.piece(
                [(MID - 9, 88), (MID + 9, 88), (MID + 9, hem + 4), (MID - 9, hem + 4)],
                cloth=solid([table.color]),
                shadow=False,
            )
        table.line([(MID - 9, 86), (MID - 9, hem)])
        table.line([(MID + 9, 86), (MID + 9, hem)])
        for index, y in enumerate(range(108, int(hem) - 8, 34)):
            if g.defect_type == "missing button" and index == 3:
                for dx, dy in ((-6, -5), (3, 8), (7, -4), (-4, 6)):
                    table.line([(MID, y), (MID + dx, y + dy)], width=1.2, color=(60, 60, 70))
                table.line([(MID - 4, y), (MID + 4, y)], width=1.6, color=(40, 40, 48))
            else:
                table.button(MID, y)
    elif g.closure == "zip front":
        table.zip(MID, 80 if g.neckline == "stand collar" else 98, hem + 3)


def trimmings(table: Table, g: Garment, hem: float) -> None:
    """Pockets, ribs, prints, words and labels of tops."""
    if g.type in ("hoodie", "sweatshirt", "sweater", "jacket"):
        for dx in range(-68, 69, 6):
            table.line([(MID + dx, hem - 14), (MID + dx, hem + 2)], width=0.7)
        table.line(path((MID - 74, hem - 15), (MID, hem - 9, MID + 74, hem - 15)), width=1.3)
    if g.neckline == "hooded":
        if g.closure == "zip front":
            for half in (path((MID + 8, 228), (MID + 34, 228), (MID + 54, 284), (MID + 8, 284)),):
                table.line([*half], width=1.4)
                table.line(flip(half), width=1.4)
        else:
            table.line(
                path((MID - 54, 284), (MID - 36, 228), (MID + 36, 228), (MID + 54, 284), (MID - 54, 284)), width=1.4
            )
    if g.pattern == "denim wash":
        for points in (
            path((MID + 20, 140), (MID + 54, 140), (MID + 54, 176), (MID + 37, 184), (MID + 20, 176), (MID + 20, 140)),
        ):
            table.stitches(points, color=(224, 170, 90))
            table.stitches(flip(points), color=(224, 170, 90))
    elif g.type == "shirt":
        table.line(
            path((MID + 24, 150), (MID + 56, 150), (MID + 56, 184), (MID + 40, 192), (MID + 24, 184), (MID + 24, 150)),
            width=1.1,
        )
    elif g.type == "jacket":
        for x0, x1 in ((24, 56),):
            table.line([(MID + x0, 262), (MID + x1, 226)], width=3, color=shade(table.color, 0.5))
            table.line([(MID - x0, 262), (MID - x1, 226)], width=3, color=shade(table.color, 0.5))
    if g.pattern == "logo" and g.brand:
        ink = (32, 70, 140) if sum(table.color) > 500 else (246, 244, 238)
        table.word(g.brand.upper(), MID, 170, 25, ink)
        table.line([(MID - 50, 192), (MID + 50, 192)], width=3, color=(206, 60, 52))
    if g.pattern == "graphic print":
        table.disc(MID + 14, 158, 22, (240, 176, 60))
        for points, color in (
            ([(MID - 52, 226), (MID - 14, 160), (MID + 22, 226)], (88, 150, 160)),
            ([(MID - 16, 226), (MID + 22, 182), (MID + 54, 226)], (214, 90, 74)),
        ):
            table.draw().polygon([(x * SCALE, y * SCALE) for x, y in points], fill=color)
        table.draw().polygon(
            [(x * SCALE, y * SCALE) for x, y in [(MID - 24, 177), (MID - 14, 160), (MID - 4, 178)]],
            fill=(248, 248, 246),
        )
    if g.tag:
        table.label(g.tag, MID, 66, width=25, height=15)


def trousers(table: Table, g: Garment) -> None:
    """Pants, jeans, sweatpants and shorts."""
    short = g.type == "shorts"
    end, out = (216, 80) if short else (352, 74)
    inner = 10 if short else 20
    soft = g.closure in ("drawstring", "elastic waist")
    leg = path(
        (MID, 60),
        (MID + 56, 56),
        (MID + 66, 90, MID + 69, 130),
        (MID + (69 + out) / 2, (130 + end) / 2, MID + out, end),
        (MID + inner, end + 4),
    )
    leg += path((MID + inner, end + 4), (MID + 12, (170 + end) / 2, MID, 172))[1:]
    if short:
        leg = [(x, y + 50) for x, y in leg]
    drop = 50 if short else 0
    table.piece(whole(leg))
    table.folds(
        path((MID + 4, 176 + drop), (MID + 26, 186 + drop, MID + 44, 182 + drop)),
        flip(path((MID + 4, 176 + drop), (MID + 26, 186 + drop, MID + 44, 182 + drop))),
    )
    if not short:
        table.folds([(MID + 46, 150), (MID + 47, 330)], [(MID - 46, 150), (MID - 47, 330)])
    band = whole(
        path(
            (MID, 44 + drop),
            (MID + 30, 43 + drop, MID + 55, 40 + drop),
            (MID + 58, 62 + drop),
            (MID + 30, 66 + drop, MID, 66 + drop),
        )
    )
    table.piece(band, tone=0.92, shadow=False)
    seam = (224, 170, 90) if g.pattern == "denim wash" else None
    for side in (1, -1):
        pocket = path((MID + side * 30, 66 + drop), (MID + side * 34, 96 + drop, MID + side * 63, 100 + drop))
        table.line(pocket, width=1.2)
        table.stitches([(x, y + 3) for x, y in pocket], color=seam)
        table.stitches(
            [(MID + side * (inner + 4), end + drop - 8), (MID + side * (out - 4), end + drop - 11)], color=seam
        )
    if soft:
        for dx in range(-52, 53, 6):
            table.line([(MID + dx, 44 + drop), (MID + dx, 64 + drop)], width=0.7)
        table.cord(MID, 60 + drop, 40)
    else:
        table.line(path((MID, 66 + drop), (MID, 150 + drop)), width=1.2)
        table.stitches(path((MID + 14, 66), (MID + 16, 130, MID, 144)), color=seam)
        table.button(MID + 4, 54 + drop)
        for x in (-40, 40):
            table.line([(MID + x, 40 + drop), (MID + x, 68 + drop)], width=5, color=shade(table.color, 0.8))
    if g.brand:
        table.label(g.brand.upper(), MID + 40, 84, width=44, height=18, ground=(150, 92, 52))
    if g.tag:
        table.label(g.tag, MID - 28, 82, width=58, height=16)


def skirt(table: Table, g: Garment) -> None:
    half = path((MID, 96), (MID + 48, 92), (MID + 74, 180, MID + 108, 308), (MID + 60, 326, MID, 326))
    table.piece(whole(half))
    table.folds(
        *[path((MID + dx * 0.45, 106), (MID + dx * 0.7, 200, MID + dx, 316)) for dx in (-90, -54, -18, 18, 54, 90)]
    )
    table.piece(
        whole(path((MID, 76), (MID + 30, 75, MID + 46, 72), (MID + 50, 98), (MID + 30, 102, MID, 102))),
        tone=0.94,
        shadow=False,
    )
    for dx in range(-44, 45, 6):
        table.line([(MID + dx, 76), (MID + dx * 1.05, 98)], width=0.8)
    table.stitches(path((MID - 104, 300), (MID, 324, MID + 104, 300)))


def sneaker(table: Table, g: Garment) -> None:
    """One shoe from its side, the toe to the right."""
    rubber: Color = (252, 252, 252)
    upper = path(
        (46, 236),
        (44, 190, 54, 164),
        (84, 172, 112, 150),
        (126, 160),
        (176, 204, 216, 216),
        (276, 222, 284, 258),
        (46, 258),
    )
    table.piece(upper)
    table.piece(path((54, 164), (84, 172, 112, 150), (120, 158), (96, 184, 56, 180)), tone=0.55, shadow=False)
    table.piece(path((222, 216), (276, 222, 284, 258), (214, 258), (206, 236, 222, 216)), tone=0.88, shadow=False)
    table.piece(path((40, 254), (290, 254), (298, 268, 284, 282), (52, 282), (36, 274, 40, 254)), cloth=solid([rubber]))
    table.line([(42, 264), (290, 264)], width=2.2, color=(196, 60, 54))
    table.line(path((46, 206), (70, 210, 76, 254)), width=1.2)
    for k in range(5):
        x, y = 134 + k * 15, 170 + k * 8.6
        table.line([(x - 14, y + 15), (x + 6, y - 1)], width=4, color=(84, 88, 100))
        table.disc(x - 15, y + 16, 2.6, (120, 122, 130))
    for side in (-1, 1):
        table.line(path((134, 166), (134 + side * 24, 128, 132 + side * 16, 160)), width=3, color=(84, 88, 100))
    if g.brand:
        table.word(g.brand.upper(), 116, 232, 21, (32, 70, 140))


def cap(table: Table, g: Garment) -> None:
    table.piece(path((36, 236), (130, 216, 218, 236), (190, 286, 96, 282), (50, 276, 36, 236)), tone=0.85)
    dome = path((86, 240), (80, 126, 176, 122), (268, 122, 272, 238), (180, 222, 86, 240))
    table.piece(dome)
    table.line(path((180, 124), (150, 170, 158, 226)), width=1.3)
    table.line(path((186, 124), (236, 160, 238, 228)), width=1.3)
    table.disc(180, 123, 6, shade(table.color, 0.8), outline=shade(table.color, 0.5))
    table.stitches(path((52, 246), (130, 232, 206, 250)))
    table.stitches(path((60, 256), (130, 244, 194, 260)))


def damage(table: Table, g: Garment) -> None:
    """Draw a hole or a stain large enough to be seen."""
    chance = random.Random(5)
    x, y = MID - 30, 246
    blot = [
        (x + math.cos(a * math.tau / 24) * r, y + math.sin(a * math.tau / 24) * r * 0.8)
        for a, r in ((a, chance.uniform(14, 20)) for a in range(24))
    ]
    if g.defect_type == "hole":
        table.draw().polygon([(a * SCALE, b * SCALE) for a, b in blot], fill=(92, 84, 76))
        inner = [(x + (a - x) * 0.78 + 1, y + (b - y) * 0.78 + 2) for a, b in blot]
        table.draw().polygon([(a * SCALE, b * SCALE) for a, b in inner], fill=(182, 174, 164))
        for a, b in blot[::2]:
            table.line(
                [(a, b), (x + (a - x) * 0.6 + chance.uniform(-3, 3), y + (b - y) * 0.6)],
                width=1.1,
                color=shade(table.color, 1.25),
            )
    elif g.defect_type == "stain":
        mask = table.mask([(x + (a - x) * 1.7, y + (b - y) * 1.7) for a, b in blot])
        mask = ImageChops.lighter(mask, table.mask([(x + 44 + (a - x) * 0.5, y + 22 + (b - y) * 0.5) for a, b in blot]))
        mask = mask.filter(ImageFilter.GaussianBlur(1.6 * SCALE)).point(lambda v: v * 0.72)
        table.image = Image.composite(Image.new("RGB", SIZE, (74, 48, 30)), table.image, mask)
