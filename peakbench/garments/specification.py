"""A garment as words: drawn at random so that every fact is one that the picture will show."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from peakbench.garments.vocabulary import BRANDS, COLORS, DEFECTS, PATTERNS, SIZES

Level = Literal["easy", "medium", "hard"]
View = Literal["front", "back", "tag"]
LEVELS: tuple[Level, ...] = get_args(Level)

LONG, QUARTER, SHORT, NONE = "long sleeve", "three-quarter sleeve", "short sleeve", "sleeveless"


@dataclass(frozen=True, slots=True)
class Cut:
    """What a type of garment may have. An empty tuple: it has no such thing."""

    shape: Literal["top", "dress", "skirt", "legs", "hat", "shoe"]
    necks: tuple[str, ...] = ()
    sleeves: tuple[str, ...] = ()
    closures: tuple[str | None, ...] = (None,)


ROUND = ("crew neck", "v-neck", "scoop neck")
CUTS: dict[str, Cut] = {
    "t-shirt": Cut("top", ROUND, (SHORT,), ("pullover",)),
    "tank top": Cut("top", ("scoop neck", "v-neck"), (NONE,), ("pullover",)),
    "shirt": Cut("top", ("shirt collar",), (SHORT, QUARTER, LONG), ("button front",)),
    "blouse": Cut("top", ("v-neck", "scoop neck"), (SHORT, QUARTER), ("pullover", "button front")),
    "sweater": Cut("top", ("crew neck", "v-neck", "turtleneck"), (QUARTER, LONG), ("pullover",)),
    "sweatshirt": Cut("top", ("crew neck", "stand collar"), (LONG,), ("pullover", "half zip")),
    "hoodie": Cut("top", ("hooded",), (LONG,), ("pullover", "zip front")),
    "jacket": Cut("top", ("shirt collar", "stand collar"), (LONG,), ("zip front", "button front")),
    "coat": Cut("top", ("lapel", "hooded"), (LONG,), ("button front", "zip front")),
    "vest": Cut("top", ("stand collar", "v-neck"), (NONE,), ("zip front", "button front")),
    "dress": Cut("dress", ROUND, (NONE, SHORT, QUARTER, LONG), ("pullover", "button front")),
    "skirt": Cut("skirt", closures=("elastic waist", "zip front", "button front")),
    "pants": Cut("legs", closures=("zip fly", "drawstring")),
    "jeans": Cut("legs", closures=("zip fly",)),
    "sweatpants": Cut("legs", closures=("drawstring", "elastic waist")),
    "shorts": Cut("legs", closures=("zip fly", "drawstring", "elastic waist")),
    "cap": Cut("hat"),
    "beanie": Cut("hat"),
    "sneakers": Cut("shoe", closures=("lace-up", "velcro")),
}  # fmt: skip
TWO_COLORED = ("striped", "checkered", "color block")
LETTERINGS = ("plain", "bold", "slanted", "narrow", "wide")


@dataclass(frozen=True, slots=True)
class Garment:
    """One garment as it will be drawn. The nine facts are None where the garment has none or the view hides it.

    ``colors``: ground color and, for patterns of two colors, the second. ``seed`` decides everything that is no fact:
    pose, light, background.
    """

    pattern: str
    neckline: str | None
    sleeve_length: str | None
    closure: str | None
    brand: str | None
    size: str | None
    defect_type: str | None
    cut: str
    colors: tuple[str, str]
    lettering: str
    level: Level
    view: View
    seed: int

    @property
    def type(self) -> str | None:
        """The cut; None where a label fills the picture."""
        return None if self.view == "tag" else self.cut

    @property
    def color(self) -> str:
        """The ground color, and the second one where the pattern has areas of both."""
        return " and ".join(self.colors) if self.pattern in TWO_COLORED else self.colors[0]


def sample_seed(seed: int, split: str, index: int) -> int:
    """Return the seed of one sample: 63 bits of a hash, so that splits and seeds share none.

    >>> sample_seed(7, "train", 0) == sample_seed(7, "test", 0)
    False
    """
    digest = hashlib.sha256(f"peakbench garments|{seed}|{split}|{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def draw_garment(seed: int, *, level: Level | None = None) -> Garment:
    """Draw a garment at random; ``level`` None draws one of the three.

    >>> draw_garment(1, level="easy") == draw_garment(1, level="easy")
    True
    """
    chance = random.Random(seed)  # noqa: S311 - a drawing, no secret
    chosen = chance.choice(LEVELS) if level is None else level
    name = chance.choice(list(CUTS))
    cut = CUTS[name]
    ground, second = chance.sample(list(COLORS), 2)
    pattern = _pattern(name, cut, chance)
    if name == "jeans":
        ground = chance.choice(("blue", "light blue", "navy blue", "black", "gray"))
        second = "white"
    while _close(ground, second):
        second = chance.choice(list(COLORS))
    view: View = "front"
    if cut.shape not in ("hat", "shoe"):
        view = chance.choices(("front", "back", "tag"), (80, 12, 8))[0]
    if view != "front" and pattern in ("graphic print", "logo"):
        pattern = "solid"  # the print is on the other side
    neckline = chance.choice(cut.necks) if cut.necks else None
    closure = chance.choice(cut.closures)
    sleeve = chance.choice(cut.sleeves) if cut.sleeves else None
    brand = (
        chance.choice(BRANDS) if chance.random() < (0.9 if view == "tag" else 0.45 if view == "front" else 0) else None
    )
    if cut.shape in ("hat", "shoe") and pattern != "solid":
        brand = None
    sized = 0.95 if view == "tag" else 0.32
    size = chance.choice(SIZES) if cut.shape not in ("hat",) and chance.random() < sized else None
    defects = [one for one in DEFECTS if one != "missing button" or (closure == "button front" and view == "front")]
    defect = chance.choice(defects) if view != "tag" and chance.random() < 0.35 else None
    if view == "back":
        neckline = neckline if neckline in ("hooded", "turtleneck", "shirt collar") else None
        closure = closure if closure == "elastic waist" else None
    if view == "tag":
        neckline = sleeve = closure = None
    return Garment(
        pattern, neckline, sleeve, closure, brand, size, defect,
        name, (ground, second), chance.choice(LETTERINGS), chosen, view, seed,
    )  # fmt: skip


def reference(garment: Garment) -> dict[str, str | None]:
    """Return the nine facts, in the order of the garment task."""
    names = ("type", "color", "pattern", "neckline", "sleeve_length", "closure", "brand", "size", "defect_type")
    return {name: getattr(garment, name) for name in names}


def _pattern(name: str, cut: Cut, chance: random.Random) -> str:
    if name == "jeans":
        return "denim wash"
    weights = {"solid": 8, "graphic print": 3, "denim wash": 0}
    allowed = [
        one for one in PATTERNS if cut.shape not in ("hat", "shoe") or one in ("solid", "color block", "striped")
    ]
    return chance.choices(allowed, [weights.get(one, 2) for one in allowed])[0]


def vocabulary() -> dict[str, tuple[str | None, ...]]:
    """Return every value that each field can take, None among them where a garment may lack it.

    >>> vocabulary()["sleeve_length"]
    ('short sleeve', 'sleeveless', 'three-quarter sleeve', 'long sleeve', None)
    """
    pairs = [f"{one} and {other}" for one in COLORS for other in COLORS if one != other and not _close(one, other)]
    return {
        "type": (*CUTS, None),
        "color": (*COLORS, *pairs),
        "pattern": PATTERNS,
        "neckline": _values(cut.necks for cut in CUTS.values()),
        "sleeve_length": _values(cut.sleeves for cut in CUTS.values()),
        "closure": _values(cut.closures for cut in CUTS.values()),
        "brand": (*BRANDS, None),
        "size": (*SIZES, None),
        "defect_type": (*DEFECTS, None),
    }


def _values(found: Iterable[tuple[str | None, ...]]) -> tuple[str | None, ...]:
    return (*dict.fromkeys(value for values in found for value in values if value is not None), None)


def _close(one: str, other: str) -> bool:
    """Whether two colors are too much alike to be a pattern."""
    a, b = COLORS[one], COLORS[other]
    light = [0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2] for c in (a, b)]
    return abs(light[0] - light[1]) < 45
