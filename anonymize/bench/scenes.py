"""Frames to measure with: a drawn street with a known number of faces and plates, or a clip decoded beforehand."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from anonymize.canary import planes_from_rgb
from anonymize.drawing import FACE_IN_PORTRAIT, DrawnObject, Picture, plate, portrait
from anonymize.errors import UsageError
from anonymize.frames import LAYOUTS, CapturedFrame, ColorMatrix, ColorRange, Label, PixelFormat, Planes

PHASES: Final = 8
STEP_PX: Final = 4  # even, so that halved chroma moves by whole samples
MAX_OBJECTS: Final = 64
MAX_CLIP_BYTES: Final = 256 * 2**20
MAX_CLIP_FRAMES: Final = 300
TEXTS: Final = ("B 427 KX", "HN 8053 T", "K 19 RPM", "M 6610 AF")


@dataclass(frozen=True, slots=True)
class Scene:
    """Frames that are shown forwards and backwards, so that nothing jumps, and what is known of them.

    Attributes
    ----------
    frames : tuple of CapturedFrame
    objects : mapping of label to count, or None
        What was drawn; None for a clip, of which nothing is known.
    facts : mapping
        For the report; no name and no place of a file is in it.
    """

    frames: tuple[CapturedFrame, ...]
    objects: dict[str, int] | None
    facts: dict[str, Any]

    def frame(self, number: int, fps: float, camera: str = "front") -> CapturedFrame:
        """The frame that is shown as the `number`-th, with the time that it has at `fps` frames a second."""
        last = len(self.frames) - 1
        place = number % max(1, 2 * last)
        return replace(
            self.frames[min(place, 2 * last - place)],
            pts=number,
            time_base=1 / Fraction(fps).limit_denominator(1001),
            camera=camera,
        )

    @property
    def held_bytes(self) -> int:
        """Memory of all frames, bytes."""
        return sum(plane.nbytes for frame in self.frames for plane in frame.planes)


def draw_scene(width: int, height: int, pixel_format: str, objects: int) -> Scene:
    """A street that moves sideways by 4 px a frame, with `objects` faces and plates, all of them whole in every frame.

    Raises
    ------
    UsageError
        More objects than can be drawn at a size that is worth looking for.
    """
    kind = PixelFormat(pixel_format)
    wide = width + STEP_PX * (PHASES - 1)
    picture = _street(wide, height)
    drawn = _place_objects(picture, objects, left_px=wide - width, right_px=width)
    matrix, limited = ColorMatrix.BT709, ColorRange.LIMITED
    whole = planes_from_rgb(picture, kind, color_matrix=matrix, color_range=limited)
    parts = (_cut(whole, kind, (STEP_PX * phase, width)) for phase in range(PHASES))
    frames = tuple(
        CapturedFrame(part, kind, phase, Fraction(1, 30), color_matrix=matrix, color_range=limited)
        for phase, part in enumerate(parts)
    )
    counted = {str(label): sum(one.label is label for one in drawn) for label in (Label.FACE, Label.PLATE)}
    return Scene(frames, counted, {"source": "drawn", "frames": PHASES})


def _cut(whole: Planes, kind: PixelFormat, columns: tuple[int, int]) -> Planes:
    """`width` columns from `left` on, in memory of their own."""
    layout = LAYOUTS[kind]
    left, width = columns
    planes: list[Any] = []
    for index, plane in enumerate(whole):
        shift = layout.chroma_shift_x if index else 0
        first = left >> shift
        planes.append(np.ascontiguousarray(plane[:, first : first - (-width >> shift)]))
    return tuple(planes)


def _street(width: int, height: int) -> Picture:
    """Sky, house fronts and a road with a little fixed grain: nothing that must be hidden."""
    rng = np.random.default_rng(11)
    scene: Picture = np.empty((height, width, 3), np.uint8)
    kerb = height * 5 // 8
    scene[:kerb] = (176, 196, 214)
    scene[kerb:] = (92, 93, 96)
    front = max(16, width // 9)
    for left in range(0, width, front):
        wall = 110 + int(rng.integers(0, 70))
        scene[height // 10 + int(rng.integers(0, height // 6)) : kerb, left : left + front - 2] = (
            wall, wall - 12, wall - 26,
        )  # fmt: skip
    grain = rng.integers(-5, 6, (height, width, 1), dtype=np.int8)
    grained: Picture = np.clip(scene + grain.astype(np.int16), 0, 255).astype(np.uint8)
    return grained


def _place_objects(picture: Picture, objects: int, *, left_px: int, right_px: int) -> list[DrawnObject]:
    """Draw plates and faces in turn on a grid between two columns; what was drawn, and where."""
    if not 0 <= objects <= MAX_OBJECTS:
        raise UsageError(f"{objects} objects to be drawn; wanted 0 to {MAX_OBJECTS}")
    if not objects:
        return []
    height, width = picture.shape[0], right_px - left_px
    columns = min(objects, max(1, round(math.sqrt(objects * width / height))))
    across, down = width // columns, height // -(-objects // columns)
    drawn = []
    for number in range(objects):
        corner = left_px + number % columns * across, number // columns * down
        draw = _face if number % 2 else _plate
        drawn.append(draw(picture, corner, (across, down), number))
    return drawn


def _plate(picture: Picture, corner: tuple[int, int], cell: tuple[int, int], number: int) -> DrawnObject:
    """A plate on the dark body of a car."""
    art = plate(min(cell[0] * 6 // 10, cell[1] * 2), TEXTS[number // 2 % len(TEXTS)])
    rows, columns = art.shape[:2]
    x, y = corner[0] + (cell[0] - columns) // 2, corner[1] + (cell[1] - rows) // 2
    edge = min(columns // 4, (cell[0] - columns) // 2), min(rows * 3 // 2, (cell[1] - rows) // 2)
    picture[y - edge[1] : y + rows + edge[1], x - edge[0] : x + columns + edge[0]] = (52, 60, 78)
    picture[y : y + rows, x : x + columns] = art
    return DrawnObject(Label.PLATE, (x, y, x + columns, y + rows))


def _face(picture: Picture, corner: tuple[int, int], cell: tuple[int, int], _: int) -> DrawnObject:
    """The public-domain portrait."""
    side = min(cell) * 8 // 10
    x, y = corner[0] + (cell[0] - side) // 2, corner[1] + (cell[1] - side) // 2
    picture[y : y + side, x : x + side] = portrait(side)
    x1, y1, x2, y2 = (round(edge * side / 128) for edge in FACE_IN_PORTRAIT)
    return DrawnObject(Label.FACE, (x + x1, y + y1, x + x2, y + y2))


def read_clip(path: Path) -> Scene:
    """The first frames of a video, decoded and kept: 300 of them, or as many as 256 MiB hold.

    Raises
    ------
    MediaError
        The file cannot be read.
    UsageError
        Not even two of its frames fit.
    """
    from anonymize.media.video import open_video

    frames: list[CapturedFrame] = []
    held = 0
    with open_video(path) as reader:
        for frame in reader:
            frame_bytes = sum(plane.nbytes for plane in frame.planes)
            if len(frames) == MAX_CLIP_FRAMES or held + frame_bytes > MAX_CLIP_BYTES:
                break
            held += frame_bytes
            frames.append(replace(frame, planes=tuple(plane.copy() for plane in frame.planes)))
    if len(frames) < 2:
        raise UsageError(f"{path}: {len(frames)} frames could be kept; wanted at least 2 within 256 MiB")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Scene(tuple(frames), None, {"source": "clip", "frames": len(frames), "sha256": digest})
