"""Pictures that the project draws itself: plates, a street, the canary (RGB, uint8, numpy alone).

The one face in them is NASA's public-domain portrait of Eileen Collins (as scikit-image ships it,
`skimage.data.astronaut`), cut and scaled to 128 x 128 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.frames import Label

Picture = npt.NDArray[np.uint8]
Xyxy = tuple[int, int, int, int]

FACE_IN_PORTRAIT: Final = (40, 35, 88, 93)  # hairline to chin in the 128 x 128 px portrait, drawn by hand

# 5 x 7 px dot-matrix characters, one hexadecimal byte a row (the HD44780 character generator's shapes)
_GLYPHS: Final = {
    "0": "0e11131519110e", "1": "040c040404040e", "2": "0e11010204081f", "3": "1f02040201110e", "4": "02060a121f0202",
    "5": "1f101e0101110e", "6": "0608101e11110e", "7": "1f010204080808", "8": "0e11110e11110e", "9": "0e11110f01020c",
    "A": "0e11111f111111", "B": "1e11111e11111e", "C": "0e11101010110e", "D": "1c12111111121c", "E": "1f10101e10101f",
    "F": "1f10101e101010", "G": "0e11101713110f", "H": "1111111f111111", "K": "11121418141211", "L": "1010101010101f",
    "M": "111b1515111111", "N": "11111915131111", "P": "1e11111e101010", "R": "1e11111e141211", "S": "0f10100e01011e",
    "T": "1f040404040404", "V": "1111111111 0a04".replace(" ", ""), "X": "11110a040a1111", " ": "00000000000000",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """A face or plate that was drawn, and where: xyxy px, max exclusive."""

    label: Label
    xyxy: Xyxy


@cache
def _glyph(character: str) -> npt.NDArray[np.bool_]:
    rows = bytes.fromhex(_GLYPHS[character])
    return np.array([[row >> (4 - x) & 1 for x in range(5)] for row in rows], bool)


def portrait(side_px: int) -> Picture:
    """The portrait, (side_px, side_px, 3) uint8 RGB, by area averaging or repetition."""
    import anonymize_models

    path = Path(anonymize_models.__file__).with_name("canary_face.npy")
    source: Picture = np.load(path, allow_pickle=False)
    return _resized(source, side_px, side_px)


def _resized(source: Picture, width: int, height: int) -> Picture:
    """Mean over a 4 x 4 grid of nearest samples for each target px: plain, and good enough for a drawing."""
    rows = ((np.arange(height * 4) + 0.5) * source.shape[0] / (height * 4)).astype(np.intp).reshape(-1, 4)
    columns = ((np.arange(width * 4) + 0.5) * source.shape[1] / (width * 4)).astype(np.intp).reshape(-1, 4)
    of_rows = sum(source[rows[:, k]].astype(np.uint16) for k in range(4))
    total = sum(of_rows[:, columns[:, k]] for k in range(4))
    mean: Picture = ((total + 8) >> 4).astype(np.uint8)
    return mean


def plate(width_px: int, text: str = "B 427 KX", *, paper: tuple[int, int, int] = (242, 242, 238)) -> Picture:
    """A licence plate with a blue band at its left, (height, width_px, 3) uint8 RGB, height = width / 4.4."""
    scale = 6
    columns = 6 * len(text) + 8
    art = np.empty((13, columns, 3), np.uint8)
    art[:] = paper
    art[:, :3] = (20, 60, 150)
    for index, character in enumerate(text):
        left = 6 + 6 * index
        art[3:10, left : left + 5][_glyph(character)] = (24, 24, 28)
    art = art.repeat(scale, axis=0).repeat(scale, axis=1)
    art[:3], art[-3:], art[:, :3], art[:, -3:] = (50,) * 3, (50,) * 3, (50,) * 3, (50,) * 3
    return _resized(art, width_px, max(4, round(width_px / 4.4)))


def _paste(scene: Picture, art: Picture, left: int, top: int) -> Xyxy:
    height, width = art.shape[:2]
    scene[top : top + height, left : left + width] = art
    return left, top, left + width, top + height


def _car(scene: Picture, left: int, top: int, width: int, body: tuple[int, int, int], text: str) -> Xyxy:
    """The rear of a car `width` px wide, and the box of its plate."""
    unit = width / 20.0

    def block(x1: float, y1: float, x2: float, y2: float, colour: tuple[int, int, int]) -> None:
        rows = slice(top + round(y1 * unit), top + round(y2 * unit))
        scene[rows, left + round(x1 * unit) : left + round(x2 * unit)] = colour

    dark = tuple(part * 2 // 3 for part in body)
    block(0.6, 13.2, 19.4, 14.2, (38, 38, 40))  # shadow on the road
    block(1.2, 11.6, 4.2, 14.0, (22, 22, 24))  # tyres
    block(15.8, 11.6, 18.8, 14.0, (22, 22, 24))
    block(3.2, 0.0, 16.8, 5.0, body)
    block(4.0, 0.8, 16.0, 4.6, (58, 70, 84))  # window
    block(0.0, 4.8, 20.0, 10.8, body)
    block(0.4, 10.2, 19.6, 12.6, (dark[0], dark[1], dark[2]))  # bumper
    block(0.6, 5.8, 3.4, 7.4, (170, 24, 28))  # lights
    block(16.6, 5.8, 19.4, 7.4, (170, 24, 28))
    art = plate(round(6.4 * unit), text)
    return _paste(scene, art, left + round(6.8 * unit), top + round(7.4 * unit))


def _street(width: int, height: int) -> Picture:
    """Sky, houses with windows, pavement and road, with a little fixed grain."""
    scene = np.empty((height, width, 3), np.uint8)
    horizon, kerb = round(height * 0.45), round(height * 0.62)
    shade = np.linspace(0, 1, horizon, dtype=np.float32)[:, None, None]
    scene[:horizon] = (np.array([150, 182, 214]) * (1 - shade) + np.array([206, 218, 226]) * shade).astype(
        np.uint8
    )
    scene[horizon:kerb] = (128, 124, 118)
    scene[kerb:] = (92, 93, 96)
    house = max(8, width // 6)
    for index, left in enumerate(range(0, width, house)):
        top = round(height * (0.10 + 0.06 * (index * 5 % 4)))
        wall = ((164, 140, 118), (178, 170, 156), (142, 120, 108))[index % 3]
        scene[top:kerb, left : left + house - 2] = wall
        step = max(4, house // 5)
        for y in range(top + step // 2, horizon, step * 3 // 2):
            for x in range(left + step // 2, min(width, left + house) - step, step * 3 // 2):
                scene[y : y + step * 3 // 4, x : x + step * 2 // 3] = (74, 86, 100)
    scene[round(height * 0.8) : round(height * 0.815), :: max(1, width // 9)] = (214, 214, 206)
    grain = np.random.default_rng(7).integers(-5, 6, (height, width, 1))
    grained: Picture = np.clip(scene.astype(np.int16) + grain, 0, 255).astype(np.uint8)
    return grained


def draw_street(width: int = 1280, height: int = 720) -> tuple[Picture, list[DrawnObject]]:
    """A street with three cars and two people: (height, width, 3) uint8 RGB, and what was drawn where.

    Parameters
    ----------
    width, height : int
        px, at least 320 x 180.
    """
    if width < 320 or height < 180:
        raise ValueError(f"a street of {width} x {height} px; wanted at least 320 x 180")
    scene = _street(width, height)
    drawn = []
    cars = ((0.04, 0.46, 0.24, (150, 34, 38), "B 427 KX"), (0.42, 0.52, 0.30, (60, 84, 120), "HN 8053 T"),
            (0.80, 0.50, 0.15, (196, 198, 200), "K 19 RPM"))  # fmt: skip
    for left, top, size, body, text in cars:
        box = _car(scene, round(left * width), round(top * height), round(size * width), body, text)
        drawn.append(DrawnObject(Label.PLATE, box))
    for left, top, size in ((0.30, 0.36, 0.10), (0.735, 0.40, 0.07)):
        side = max(16, round(size * width))
        x1, y1, _, y2 = _paste(scene, portrait(side), round(left * width), round(top * height))
        scene[y2 : y2 + side, x1 : x1 + side] = (176, 84, 48)
        face = FACE_IN_PORTRAIT
        unit = side / 128.0
        xyxy = (
            x1 + round(face[0] * unit),
            y1 + round(face[1] * unit),
            x1 + round(face[2] * unit),
            y1 + round(face[3] * unit),
        )
        drawn.append(DrawnObject(Label.FACE, xyxy))
    return scene, drawn
