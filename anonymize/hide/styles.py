"""Which style hides which class, and how strong: a frozen value that is refused where it would be too weak."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

from anonymize.boxes import CLASS_IDS
from anonymize.errors import UsageError
from anonymize.frames import Label

FACE, PLATE, AREA = (CLASS_IDS[label] for label in (Label.FACE, Label.PLATE, Label.AREA))
MIN_FACE_SIGMA: Final = 0.35  # PRODUCT.md "Styles of hiding"; ACCEPTANCE.md: 0.0 % of 198 faces found at 0.5
MIN_PLATE_SIGMA: Final = 1.0  # ACCEPTANCE.md: 5-7 % of characters read, no plate whole, from one frame
MAX_SIGMA: Final = 100.0
MAX_GROWTH: Final = 10.0
MAX_SOFT_EDGE: Final = 1.0


class Style(enum.StrEnum):
    """What is done to a hidden area, from the strongest to the weakest; where areas overlap, the stronger wins."""

    SOLID = "solid"
    VEIL = "veil"
    MOSAIC = "mosaic"
    BLUR = "blur"

    @property
    def weak(self) -> bool:
        """Whether the fill depends on the pixels that it hides (on video only with `--allow-weak-on-video`)."""
        return self in (Style.MOSAIC, Style.BLUR)


@dataclass(frozen=True, slots=True)
class Styles:
    """How each class of box is hidden.

    Parameters
    ----------
    face, plate : Style or str
    area : Style or str
        Of static areas (`--hide-always`): `veil` or `solid`; they are neither grown nor softened.
    growth : float
        Factor of a box's sides about its centre, 1 to 10. PRODUCT.md asks for 1.3.
    soft_edge_fraction : float
        Width of the soft band outside veil and solid, as a share of the box's shorter side, 0 to 1.
    face_sigma, plate_sigma : float
        Sigma of a blur as a share of the box's shorter side, at least 0.35 and 1.0.

    Raises
    ------
    UsageError
        A value is not one of these.
    """

    face: Style = Style.VEIL
    plate: Style = Style.VEIL
    area: Style = Style.VEIL
    growth: float = 1.3
    soft_edge_fraction: float = 0.06
    face_sigma: float = MIN_FACE_SIGMA
    plate_sigma: float = MIN_PLATE_SIGMA

    def __post_init__(self) -> None:
        for name in ("face", "plate", "area"):
            try:
                object.__setattr__(self, name, Style(getattr(self, name)))
            except ValueError:
                raise UsageError(
                    f"style of {name} is {getattr(self, name)!r}; wanted one of {', '.join(Style)}"
                ) from None
        if self.area.weak:
            raise UsageError(f"style of area is {self.area}; static areas take veil or solid")
        for name, low, high in (
            ("growth", 1.0, MAX_GROWTH),
            ("soft_edge_fraction", 0.0, MAX_SOFT_EDGE),
            ("face_sigma", MIN_FACE_SIGMA, MAX_SIGMA),
            ("plate_sigma", MIN_PLATE_SIGMA, MAX_SIGMA),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"{name} is {value!r}; wanted {low} to {high}")

    @property
    def weak(self) -> bool:
        """Whether any class is hidden by a style that depends on the pixels that it hides."""
        return self.face.weak or self.plate.weak

    def strict(self) -> Styles:
        """The same with every area solid and without soft edges."""
        return Styles(
            Style.SOLID, Style.SOLID, Style.SOLID, self.growth, 0.0, self.face_sigma, self.plate_sigma
        )
