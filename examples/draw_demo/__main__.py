"""Draw the small data set that ships inside the package: 24 flat garments, and the references that belong to them.

    python examples/draw_demo peakbench/data/demo

Writes samples.jsonl and images/*.jpg. What is drawn and what the reference says come from the same line of GARMENTS,
so a reference is true by construction. Needs Pillow and numpy; the drawings are the same on every run with one version
of Pillow. answers.jsonl, beside them, is written by hand and not touched.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cloth import CLOTH, COLORS, solid
from garments import Garment, cap, damage, skirt, sneaker, top, trousers
from PIL import Image
from table import Table

GARMENTS: dict[str, Garment] = {
    "g01": Garment(top, "t-shirt", "red", "solid", "crew neck", "short sleeve", "pullover"),
    "g02": Garment(top, "t-shirt", "white", "logo", "crew neck", "short sleeve", "pullover", brand="Nordvik"),
    "g03": Garment(
        top, "t-shirt", "navy blue and white", "striped", "crew neck", "short sleeve", "pullover", defect_type="hole"
    ),
    "g04": Garment(top, "t-shirt", "yellow", "solid", "v-neck", "short sleeve", "pullover", size="m", tag="M"),
    "g05": Garment(top, "t-shirt", "black", "graphic print", "crew neck", "short sleeve", "pullover"),
    "g06": Garment(top, "tank top", "orange", "solid", "scoop neck", "sleeveless", "pullover", defect_type="stain"),
    "g07": Garment(
        top,
        "shirt",
        "light blue",
        "solid",
        "shirt collar",
        "long sleeve",
        "button front",
        size="40",
        defect_type="missing button",
        tag="40",
    ),
    "g08": Garment(top, "shirt", "red and black", "plaid", "shirt collar", "long sleeve", "button front"),
    "g09": Garment(
        top, "shirt", "white", "polka dot", "shirt collar", "short sleeve", "button front", inks=("white", "navy blue")
    ),
    "g10": Garment(top, "dress", "pink", "floral", "scoop neck", "sleeveless", "pullover"),
    "g11": Garment(top, "dress", "green", "solid", "v-neck", "short sleeve", "pullover"),
    "g12": Garment(top, "dress", "black and white", "striped", "crew neck", "long sleeve", "pullover"),
    "g13": Garment(trousers, "pants", "beige", "solid", closure="zip fly", size="32x34", tag="W32 L34"),
    "g14": Garment(trousers, "jeans", "blue", "denim wash", closure="zip fly", brand="Kolt"),
    "g15": Garment(trousers, "shorts", "olive", "solid", closure="drawstring"),
    "g16": Garment(trousers, "sweatpants", "gray", "solid", closure="drawstring"),
    "g17": Garment(skirt, "skirt", "black", "solid", closure="elastic waist"),
    "g18": Garment(skirt, "skirt", "white and red", "checkered", closure="elastic waist"),
    "g19": Garment(top, "hoodie", "purple", "solid", "hooded", "long sleeve", "zip front"),
    "g20": Garment(top, "hoodie", "gray", "logo", "hooded", "long sleeve", "pullover", brand="Lumara"),
    "g21": Garment(top, "sweater", "burgundy", "solid", "turtleneck", "long sleeve", "pullover", defect_type="hole"),
    "g22": Garment(
        top, "jacket", "navy blue", "solid", "stand collar", "long sleeve", "zip front", size="xl", tag="XL"
    ),
    "g23": Garment(sneaker, "sneakers", "white", "solid", closure="lace-up", brand="Ostra"),
    "g24": Garment(cap, "cap", "green", "solid"),
}


def picture(g: Garment) -> Image.Image:
    """Draw one garment."""
    colors = [COLORS[name] for name in g.inks or g.color.split(" and ")]
    table = Table(CLOTH.get(g.pattern, solid)(colors), colors[0])
    g.draw(table, g)
    damage(table, g)
    return table.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the demo data set.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=GARMENTS, help="draw these alone; samples.jsonl is always whole")
    given = parser.parse_args()
    folder: Path = given.folder
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for name, garment in GARMENTS.items():
        if given.only is None or name in given.only:
            picture(garment).save(folder / "images" / f"{name}.jpg", quality=82, optimize=True)
        line: dict[str, Any] = {"id": name, "image": f"images/{name}.jpg", "reference": garment.reference}
        lines.append(json.dumps(line))
    (folder / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
