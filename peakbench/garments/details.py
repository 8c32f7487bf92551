"""What is sewn on a garment: neckline, closure, seams, lettering, label, and what is wrong with it."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw, ImageFilter

from peakbench.garments.canvas import Canvas, contrast, lettering, light, seam, shade
from peakbench.garments.outline import HEMS
from peakbench.garments.specification import CUTS, Garment
from peakbench.garments.vocabulary import RGB


def draw_neck(canvas: Canvas, garment: Garment, color: RGB, behind: RGB) -> None:
    """Draw the neckline as the view shows it."""
    pen, line, neck = canvas.pen, seam(color), garment.neckline
    width = canvas.width(0.016)
    inner = shade(color, 0.6) if light(color) > 60 else (72, 72, 80)
    if garment.view == "back" and neck is None:
        pen.arc(canvas.box(0.42, 0.10, 0.58, 0.18), 0, 180, fill=line, width=width)
    elif neck == "crew neck":
        pen.pieslice(canvas.box(0.425, 0.09, 0.575, 0.21), 0, 180, fill=behind)
        pen.arc(canvas.box(0.41, 0.08, 0.59, 0.225), 0, 180, fill=line, width=width + 1)
    elif neck == "scoop neck":
        pen.pieslice(canvas.box(0.395, -0.04, 0.605, 0.34), 0, 180, fill=behind)
        pen.arc(canvas.box(0.385, -0.05, 0.615, 0.35), 0, 180, fill=line, width=width)
    elif neck == "v-neck":
        canvas.polygon([(0.42, 0.145), (0.58, 0.145), (0.50, 0.32)], behind)
        pen.line(canvas.points([(0.415, 0.145), (0.50, 0.33), (0.585, 0.145)]), fill=line, width=width)
    elif neck == "shirt collar":
        if garment.view == "back":
            pen.rectangle(
                canvas.box(0.41, 0.115, 0.59, 0.165), fill=shade(color, 1.1), outline=line, width=canvas.width()
            )
        else:
            canvas.polygon([(0.44, 0.14), (0.56, 0.14), (0.50, 0.22)], inner)
            for side in (-1, 1):
                flap = [
                    (0.50, 0.225),
                    (0.50 + side * 0.03, 0.12),
                    (0.50 + side * 0.12, 0.155),
                    (0.50 + side * 0.08, 0.27),
                ]
                canvas.polygon(flap, shade(color, 1.12), line)
    elif neck == "lapel":
        canvas.polygon([(0.43, 0.14), (0.57, 0.14), (0.50, 0.42)], inner)
        for side in (-1, 1):
            flap = [(0.50, 0.43), (0.50 + side * 0.06, 0.13), (0.50 + side * 0.13, 0.19), (0.50 + side * 0.11, 0.29)]
            canvas.polygon(flap, shade(color, 1.12), line)
    elif neck in ("turtleneck", "stand collar"):
        top = 0.07 if neck == "turtleneck" else 0.105
        pen.rectangle(canvas.box(0.43, top, 0.57, 0.17), outline=line, width=canvas.width(0.012))
        if neck == "turtleneck":
            canvas.line([(0.43, 0.12), (0.57, 0.12)], line, 0.012)
    elif neck == "hooded":
        if garment.view == "back":
            pen.ellipse(canvas.box(0.37, 0.03, 0.63, 0.26), outline=line, width=canvas.width(0.012))
            canvas.line([(0.5, 0.03), (0.5, 0.26)], line)
        else:
            pen.ellipse(canvas.box(0.42, 0.06, 0.58, 0.24), fill=inner, outline=line, width=canvas.width(0.012))


def _rows(garment: Garment) -> tuple[float, float]:
    """Where the closure begins and ends."""
    shape = CUTS[garment.cut].shape
    if shape in ("skirt", "legs"):
        return 0.13 if shape == "legs" else 0.17, 0.30 if shape == "legs" else 0.40
    top = {"v-neck": 0.33, "lapel": 0.44, "scoop neck": 0.34, "turtleneck": 0.17}.get(garment.neckline or "", 0.235)
    return top, 0.62 if shape == "dress" else HEMS.get(garment.cut, 0.8) - 0.01


def draw_closure(canvas: Canvas, garment: Garment, color: RGB) -> None:
    """Draw buttons, zips, strings, laces."""
    pen, line, closure = canvas.pen, seam(color), garment.closure
    top, end = _rows(garment)
    shape = CUTS[garment.cut].shape
    metal = (212, 212, 218) if light(color) < 150 else (84, 84, 90)
    if closure == "button front":
        canvas.line([(0.5, top), (0.5, end)], line, 0.012)
        count = 5 if shape in ("top", "dress") else 3
        missing = count // 2 if garment.defect_type == "missing button" else -1
        for at in range(count):
            y = top + 0.03 + (end - top - 0.06) * at / (count - 1)
            box = canvas.box(0.502, y - 0.017, 0.536, y + 0.017)
            if at == missing:
                canvas.line([(0.519, y - 0.02), (0.508, y + 0.035)], contrast(color), 0.008)
                canvas.line([(0.519, y - 0.02), (0.533, y + 0.03)], contrast(color), 0.008)
            else:
                pen.ellipse(box, fill=contrast(color), outline=line)
    elif closure in ("zip front", "half zip", "zip fly"):
        if closure == "half zip":
            end = top + 0.17
        canvas.line([(0.5, top), (0.5, end)], metal, 0.020)
        y = top
        while y < end:
            canvas.line([(0.482, y), (0.518, y)], line, 0.006)
            y += 0.022
        pen.rectangle(canvas.box(0.486, top, 0.514, top + 0.05), fill=metal, outline=line)
        if closure == "zip fly":
            pen.arc(canvas.box(0.44, 0.10, 0.57, 0.33), 10, 90, fill=line, width=canvas.width())
            pen.ellipse(canvas.box(0.485, 0.125, 0.515, 0.155), fill=metal, outline=line)
    elif closure == "drawstring":
        for side in (-1, 1):
            start = 0.5 + side * 0.02
            canvas.line([(start, 0.14), (start + side * 0.025, 0.27)], contrast(color), 0.018)
            pen.ellipse(
                canvas.box(start + side * 0.025 - 0.016, 0.255, start + side * 0.025 + 0.016, 0.29),
                fill=contrast(color),
            )
    elif closure == "elastic waist":
        base = 0.12 if shape == "legs" else 0.16
        for step in range(16):
            x = 0.355 + step * 0.0195
            canvas.line([(x, base), (x, base + 0.055)], line, 0.008)
    elif closure in ("lace-up", "velcro"):
        for lift in (0.0, 0.30):
            for step in range(3):
                x, y = 0.37 + step * 0.07, 0.30 + lift + step * 0.025
                if closure == "velcro":
                    strap = [(x - 0.02, y + 0.09), (x - 0.02, y), (x + 0.028, y + 0.015), (x + 0.028, y + 0.10)]
                    pen.polygon(canvas.points(strap), fill=contrast(color), outline=line)
                else:
                    canvas.line([(x - 0.035, y + 0.055), (x + 0.035, y)], contrast(color), 0.012)
                    canvas.line([(x - 0.035, y), (x + 0.035, y + 0.055)], contrast(color), 0.012)


def draw_seams(canvas: Canvas, garment: Garment, color: RGB) -> None:
    """Draw what tells types apart: pockets, ribs, cuffs, quilting, soles."""
    pen, line, thin = canvas.pen, seam(color), canvas.width(0.008)
    cut, shape = garment.cut, CUTS[garment.cut].shape
    if cut in ("sweater", "sweatshirt", "hoodie"):
        hem = HEMS[cut]
        canvas.line([(0.30, hem - 0.05), (0.70, hem - 0.05)], line)
        if cut == "sweater":
            for step in range(21):
                x = 0.31 + step * 0.019
                canvas.line([(x, hem - 0.05), (x, hem)], line, 0.008)
        if cut == "hoodie":
            pocket = [(0.40, 0.60), (0.60, 0.60), (0.64, 0.72), (0.36, 0.72), (0.40, 0.60)]
            canvas.line(pocket, line)
    elif cut in ("jacket", "coat"):
        low = 0.60 if cut == "jacket" else 0.66
        for side in (-1, 1):
            x = 0.5 + side * 0.11
            pen.rectangle(canvas.box(x - 0.045, low, x + 0.045, low + 0.075), outline=line, width=canvas.width())
    elif cut == "vest":
        for y in (0.32, 0.42, 0.52, 0.62, 0.72):
            canvas.line([(0.34, y), (0.66, y)], line)
    elif cut == "shirt" and garment.view == "front":
        pen.rectangle(canvas.box(0.56, 0.34, 0.645, 0.43), outline=line, width=thin)
    elif shape == "legs":
        canvas.line([(0.345, 0.17), (0.655, 0.17)], line)
        if cut == "jeans":
            stitch = (225, 150, 60)
            for side in (-1, 1):
                a, b = 0.5 + side * 0.08, 0.5 + side * 0.155
                canvas.line([(a, 0.18), (0.5 + side * 0.10, 0.235), (b, 0.26)], stitch, 0.009)
                pen.line(
                    canvas.points([(0.5 + side * 0.105, 0.36), (0.5 + side * 0.11, 0.90)]), fill=stitch, width=thin
                )
        elif cut == "pants":
            for side in (-1, 1):
                canvas.line([(0.5 + side * 0.09, 0.20), (0.5 + side * 0.10, 0.90)], line, 0.008)
        elif cut == "sweatpants":
            for side in (-1, 1):
                x = 0.5 + side * 0.10
                canvas.line([(x - 0.06, 0.885), (x + 0.06, 0.885)], line, 0.014)
    elif cut == "cap":
        canvas.line([(0.24, 0.555), (0.66, 0.555)], line)
        pen.arc(canvas.box(0.36, 0.26, 0.60, 0.86), 180, 270, fill=line, width=thin)
        pen.ellipse(canvas.box(0.46, 0.24, 0.50, 0.28), fill=line)
    elif cut == "beanie":
        canvas.line([(0.26, 0.52), (0.74, 0.52)], line, 0.012)
        for step in range(12):
            x = 0.285 + step * 0.039
            canvas.line([(x, 0.53), (x, 0.67)], line, 0.008)
    elif shape == "shoe":
        for lift in (0.0, 0.30):
            pen.rectangle(canvas.box(0.15, 0.475 + lift, 0.85, 0.525 + lift), fill=(238, 238, 234), outline=line)


def draw_print(canvas: Canvas, garment: Garment, second: RGB) -> None:
    """Draw a graphic print or a logo, where the garment has one."""
    if garment.pattern not in ("graphic print", "logo"):
        return
    pen, chance = canvas.pen, canvas.chance
    low = {"skirt": 0.52, "legs": 0.42}.get(CUTS[garment.cut].shape, 0.60)
    x, y, size = 0.5, low, 0.10
    if CUTS[garment.cut].shape == "legs":
        x, size = 0.40, 0.055
    if garment.pattern == "logo":
        x, y, size = x + (0.11 if x == 0.5 else 0.0), (0.30 if low == 0.60 else low - 0.12), 0.032
    kind = chance.randrange(3)
    if kind == 0:
        pen.ellipse(canvas.box(x - size, y - size, x + size, y + size), fill=second)
        pen.ellipse(canvas.box(x - size / 2, y - size / 2, x + size / 2, y + size / 2), fill=contrast(second))
    elif kind == 1:
        canvas.polygon([(x, y - size), (x + size, y + size), (x - size, y + size)], second)
        if garment.pattern == "graphic print":
            pen.ellipse(canvas.box(x - 0.02, y, x + 0.02, y + 0.04), fill=contrast(second))
    else:
        tips = []
        for at in range(10):
            reach = size * (1.15 if at % 2 == 0 else 0.5)
            tips.append((x + reach * math.sin(at * math.pi / 5), y - reach * math.cos(at * math.pi / 5)))
        canvas.polygon(tips, second)


def draw_brand(canvas: Canvas, garment: Garment, color: RGB, *, y: float | None = None, longest: float = 0.34) -> None:
    """Write the brand: on a patch, or straight on plain cloth."""
    if garment.brand is None:
        return
    chance, side = canvas.chance, canvas.side
    shape = CUTS[garment.cut].shape
    height = int(0.085 * side * canvas.scale)
    if shape == "hat":
        longest, middle = 0.30, (0.46, 0.44 if garment.cut == "cap" else 0.60)
    elif shape == "shoe":
        longest, middle = 0.22, (0.66, 0.445)
    else:
        middle = (0.5 + chance.uniform(-0.02, 0.02), y or {"skirt": 0.52, "legs": 0.42}.get(shape, 0.46))
        if garment.pattern == "graphic print" and y is None:
            middle = (middle[0], 0.42 if shape in ("top", "dress") else 0.60)
    words = garment.brand.upper() if chance.random() < 0.5 else garment.brand
    mask = lettering(words, height, garment.lettering, int(longest * side))
    left = int(canvas.x(middle[0]) - mask.width / 2)
    top = int(canvas.y(middle[1]) - mask.height / 2)
    straight = garment.pattern in ("solid", "logo") and garment.closure != "button front" and chance.random() < 0.4
    if straight:
        canvas.picture.paste(contrast(color), (left, top), mask)
        return
    patch = (246, 246, 242) if chance.random() < 0.5 else (26, 26, 30)
    margin = canvas.width(0.014)
    canvas.pen.rectangle(
        (left - margin, top - margin, left + mask.width + margin, top + mask.height + margin), fill=patch
    )
    canvas.picture.paste(contrast(patch), (left, top), mask)


def draw_size(canvas: Canvas, garment: Garment) -> None:
    """Hang a tag with the size beside the garment."""
    if garment.size is None:
        return
    chance, side = canvas.chance, canvas.side
    words = garment.size.upper()
    mask = lettering(
        words, int(0.10 * side), "narrow" if "x" in garment.size and len(words) > 3 else "plain", int(0.25 * side)
    )
    half, tall = max(0.10, mask.width / side / 2 + 0.02), 0.062
    x = (0.99 - half if chance.random() < 0.5 else 0.01 + half) * side
    y = chance.uniform(0.88, 0.92) * side
    canvas.pen.line(
        (x, y - tall * side, x + (0.5 * side - x) * 0.35, y - 0.16 * side),
        fill=(120, 120, 120),
        width=canvas.width(0.006),
    )
    box = (x - half * side, y - tall * side, x + half * side, y + tall * side)
    canvas.pen.rectangle(box, fill=(252, 252, 248), outline=(90, 90, 90), width=canvas.width(0.006))
    canvas.picture.paste((18, 18, 18), (int(x - mask.width / 2), int(y - mask.height / 2)), mask)


def fade(canvas: Canvas, sheet: Image.Image, color: RGB, middle: tuple[float, float]) -> Image.Image:
    """Bleach a part of the cloth."""
    veil = Image.new("L", sheet.size, 0)
    x, y = middle
    ImageDraw.Draw(veil).ellipse(canvas.box(x - 0.14, y - 0.10, x + 0.14, y + 0.10), fill=205)
    veil = veil.filter(ImageFilter.BoxBlur(canvas.side * 0.03))
    pale = (238, 234, 226) if light(color) < 190 else (196, 182, 140)
    return Image.composite(Image.new("RGB", sheet.size, pale), sheet, veil)


def place(canvas: Canvas, garment: Garment) -> tuple[float, float]:
    """Choose where a defect lies, on cloth and away from lettering."""
    chance, shape = canvas.chance, CUTS[garment.cut].shape
    if shape == "legs":
        x = chance.choice((0.40, 0.60)) + chance.uniform(-0.02, 0.02)
        return x, chance.uniform(0.43, 0.46) if garment.cut == "shorts" else chance.uniform(0.56, 0.80)
    if shape == "skirt":
        return chance.uniform(0.38, 0.62), chance.uniform(0.62, 0.68)
    if shape == "hat":
        return (
            (chance.uniform(0.34, 0.40), 0.36)
            if garment.cut == "cap"
            else (chance.uniform(0.40, 0.60), chance.uniform(0.32, 0.42))
        )
    if shape == "shoe":
        return chance.uniform(0.24, 0.30), 0.40
    return chance.choice((0.39, 0.61)) + chance.uniform(-0.03, 0.03), chance.uniform(0.56, 0.68)


def draw_defect(canvas: Canvas, garment: Garment, color: RGB, middle: tuple[float, float], behind: RGB) -> None:
    """Draw what is wrong, fading and a missing button apart."""
    pen, chance, kind = canvas.pen, canvas.chance, garment.defect_type
    x, y = middle
    if kind == "stain":
        dirt = (98, 62, 22) if light(color) > 75 else (178, 158, 98)
        for _ in range(5):
            a, b = x + chance.uniform(-0.026, 0.026), y + chance.uniform(-0.026, 0.026)
            size = chance.uniform(0.020, 0.036)
            pen.ellipse(canvas.box(a - size, b - size * 0.8, a + size, b + size * 0.8), fill=dirt)
    elif kind == "hole":
        size = chance.uniform(0.030, 0.040)
        pen.ellipse(
            canvas.box(x - size, y - size, x + size, y + size),
            fill=behind,
            outline=seam(color),
            width=canvas.width(0.012),
        )
        pen.ellipse(canvas.box(x - size * 0.6, y - size * 0.6, x + size * 0.6, y + size * 0.6), fill=(12, 12, 14))
    elif kind == "tear":
        edge = [(x + (at % 2 - 0.5) * 0.035, y - 0.08 + at * 0.032) for at in range(6)]
        canvas.line(edge, behind, 0.042)
        canvas.line(edge, (16, 16, 18), 0.012)
    elif kind == "loose thread":
        thread = contrast(color)
        curve = [(x + 0.045 * math.sin(at * 0.9 + 1) * (1 + at * 0.05), y - 0.04 + at * 0.011) for at in range(15)]
        canvas.line(curve, thread, 0.010)
    elif kind == "pilling":
        lint = shade(color, 0.6) if light(color) > 110 else (168, 168, 172)
        for _ in range(26):
            a, b = x + chance.gauss(0, 0.05), y + chance.gauss(0, 0.035)
            pen.ellipse(canvas.box(a - 0.008, b - 0.008, a + 0.008, b + 0.008), fill=lint)
