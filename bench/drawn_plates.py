"""Plates for the attacks on styles: seven of 36 bold characters at known places, drawn as coverage of ink.

The shapes are the 5 x 7 dots of `anonymize/drawing.py` with the missing letters added, the dots run together to
strokes about a fifth of a character wide, as on a European plate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

CHARACTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLACES: Final = 7
ASPECT: Final = 520 / 110  # of a European plate, mm
PAPER, INK, BAND, BODY = 235.0, 25.0, 60.0, 110.0  # luma
_ROWS: Final = (
    "0e11131519110e 040c040404040e 0e11010204081f 1f02040201110e 02060a121f0202 1f101e0101110e 0608101e11110e"
    " 1f010204080808 0e11110e11110e 0e11110f01020c 0e11111f111111 1e11111e11111e 0e11101010110e 1c12111111121c"
    " 1f10101e10101f 1f10101e101010 0e11101713110f 1111111f111111 0e04040404040e 0702020202120c 11121418141211"
    " 1010101010101f 111b1515111111 11111915131111 0e11111111110e 1e11111e101010 0e11111115120d 1e11111e141211"
    " 0f10100e01011e 1f040404040404 1111111111110e 11111111110a04 1111111515150a 11110a040a1111 11110a04040404"
    " 1f01020408101f"
)  # five bits a row, seven rows a character
_DOT_PX: Final = 16
_LEFT, _PITCH, _WIDTH, _TOP, _BOTTOM = 0.115, 0.123, 0.095, 0.18, 0.82  # shares of the plate's sides

Floats = npt.NDArray[np.float32]
Texts = npt.NDArray[np.intp]


@cache
def bold_glyphs() -> Floats:
    """Coverage of each character, (36, 112, 80) float32, 0 or 1."""
    glyphs = []
    for word in _ROWS.split():
        dots = np.array([[row >> (4 - x) & 1 for x in range(5)] for row in bytes.fromhex(word)], np.float32)
        fine = dots.repeat(_DOT_PX, axis=0).repeat(_DOT_PX, axis=1)
        glyphs.append(cv2.GaussianBlur(fine, (0, 0), _DOT_PX * 0.35) > 0.42)
    return np.array(glyphs, np.float32)


@dataclass(frozen=True, slots=True)
class Stage:
    """A plate of one size on a piece of car, as a tile.

    `ink` (7, 36, rows, columns) float32 is each character at each place, 0 to 1; `blank` the tile without any;
    `box` the plate's place in the tile, xyxy px.
    """

    width_px: int
    height_px: int
    ink: Floats
    blank: Floats
    box: tuple[float, float, float, float]

    def draw(self, texts: Texts) -> Floats:
        """Tiles with these texts, (n, rows, columns) float32 luma."""
        tiles = np.repeat(self.blank[None], len(texts), axis=0)
        for place in range(PLACES):
            tiles -= (PAPER - INK) * self.ink[place, texts[:, place]]
        return tiles


def make_stage(width_px: int) -> Stage:
    """The stage for plates of this width; margins hold a box grown 1.3 times with edges off by 0.25 heights."""
    height = round(width_px / ASPECT)
    margin_x, margin_y = _even(0.15 * width_px + 0.45 * height + 6), _even(0.70 * height + 6)
    rows, columns = _even(height + 2 * margin_y), _even(width_px + 2 * margin_x)
    shade = np.linspace(-15, 15, columns, dtype=np.float32)
    blank = np.full((rows, columns), BODY, np.float32) + shade
    blank[margin_y - 2 : margin_y + height + 2, margin_x - 2 : margin_x + width_px + 2] = 50.0
    plate = blank[margin_y : margin_y + height, margin_x : margin_x + width_px]
    plate[:] = PAPER
    plate[:, : round(0.09 * width_px)] = BAND
    ink = np.zeros((PLACES, len(CHARACTERS), rows, columns), np.float32)
    for place in range(PLACES):
        for index, glyph in enumerate(bold_glyphs()):
            fine = np.zeros((height * 8, width_px * 8), np.float32)
            left, right = (round((_LEFT + _PITCH * place + end) * width_px * 8) for end in (0.0, _WIDTH))
            top, bottom = round(_TOP * height * 8), round(_BOTTOM * height * 8)
            fine[top:bottom, left:right] = cv2.resize(glyph, (right - left, bottom - top))
            part = ink[place, index, margin_y : margin_y + height, margin_x : margin_x + width_px]
            part[:] = cv2.resize(fine, (width_px, height), interpolation=cv2.INTER_AREA)
    box = (float(margin_x), float(margin_y), float(margin_x + width_px), float(margin_y + height))
    return Stage(width_px, height, ink, blank, box)


def _even(value: float) -> int:
    return 2 * round(value / 2)


def draw_texts(count: int, rng: np.random.Generator) -> Texts:
    """Random texts, (count, 7) indices into CHARACTERS."""
    return rng.integers(0, len(CHARACTERS), (count, PLACES))
