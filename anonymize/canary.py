"""A picture with a known face and a known plate: a network that does not find them is blind (SAFETY 5).

It is drawn in the camera's own format, size, line padding, range, matrix and orientation, and goes through
the same kernels and the same session as the camera's frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize import drawing
from anonymize.boxes import CLASS_LABELS, BoxTable
from anonymize.detect.color import rgb_from_yuv
from anonymize.errors import DetectorBlindError, FrameError
from anonymize.frames import (
    LAYOUTS,
    CapturedFrame,
    ColorMatrix,
    ColorRange,
    Label,
    PixelFormat,
    Plane,
    Planes,
)

SMALLEST_PX: Final = 320  # a camera with shorter sides gets a canary of this size
PORTRAIT_PX: Final = 192  # the face in it is 72 x 87 px
PLATE_PX: Final = 150
MIN_IOU: Final = 0.4


@dataclass(frozen=True, slots=True)
class Canary:
    """The drawn frame and what must be found in it, px of the upright picture."""

    frame: CapturedFrame
    objects: tuple[drawing.DrawnObject, ...]
    kind: tuple[object, ...]

    def copy(self) -> CapturedFrame:
        """The drawn frame again, its lines as far apart: hidden in place, the canary itself would be lost."""
        return replace(self.frame, planes=tuple(_padded_like(plane, plane) for plane in self.frame.planes))

    def fits(self, frame: CapturedFrame) -> bool:
        """Whether `frame` is of the kind that this canary was drawn for."""
        return _kind(frame) == self.kind

    def check(self, found: BoxTable, labels: Sequence[Label]) -> None:
        """Ask for every drawn object of the classes that the network knows.

        Raises
        ------
        DetectorBlindError
            One was not found with its class, at IoU 0.4; a weak find is enough, for blindness is asked.
        """
        for wanted in self.objects:
            if wanted.label in labels and not _is_found(wanted, found):
                raise DetectorBlindError(
                    f"the canary's {wanted.label} was not found in a {self.frame.width} x {self.frame.height} px "
                    f"{self.frame.pixel_format} picture: wrong colour order, provider or weights?"
                )


def _is_found(wanted: drawing.DrawnObject, found: BoxTable) -> bool:
    for row in range(found.count):
        same = CLASS_LABELS[found.class_ids[row]] is wanted.label
        if same and _iou(found.boxes[row], wanted.xyxy) >= MIN_IOU:
            return True
    return False


def _iou(a: npt.NDArray[np.float32], b: drawing.Xyxy) -> float:
    across = max(0.0, min(float(a[2]), b[2]) - max(float(a[0]), b[0]))
    down = max(0.0, min(float(a[3]), b[3]) - max(float(a[1]), b[1]))
    areas = float(a[2] - a[0]) * float(a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return across * down / max(areas - across * down, 1e-9)


def draw_canary(camera: CapturedFrame, network_scale: float) -> Canary:
    """The canary for frames like `camera`'s (its pixels are not read).

    Parameters
    ----------
    camera : CapturedFrame
        Format, size, strides, range, matrix and orientation are taken from it.
    network_scale : float
        Network px per frame px; what is drawn has the same size in the network's input for every camera.
    """
    width, height = max(camera.width, SMALLEST_PX), max(camera.height, SMALLEST_PX)
    upright = (height, width) if camera.rotation_deg in (90, 270) else (width, height)
    small = max(camera.width, camera.height) < SMALLEST_PX or min(camera.width, camera.height) < SMALLEST_PX
    scale = min(1.0 / network_scale, min(upright) / SMALLEST_PX) if not small else 1.0
    picture, objects = _draw_upright(upright[0], upright[1], scale)
    stored = turn_to_stored(picture, camera.rotation_deg, mirrored=camera.mirrored)
    planes = planes_from_rgb(
        stored, camera.pixel_format, color_matrix=camera.color_matrix, color_range=camera.color_range
    )
    if not small:
        planes = tuple(_padded_like(plane, model) for plane, model in zip(planes, camera.planes, strict=True))
    return Canary(replace(camera, planes=planes, interlaced=False), objects, _kind(camera))


def _kind(frame: CapturedFrame) -> tuple[object, ...]:
    """All that decides how a frame's memory is read."""
    memory = tuple((plane.shape, plane.strides) for plane in frame.planes)
    turn = (frame.rotation_deg, frame.mirrored)
    return frame.pixel_format, memory, turn, frame.color_range, frame.color_matrix


def blank_frame(
    width: int, height: int, pixel_format: PixelFormat, line_bytes: tuple[int, ...] | None, **camera: Any
) -> CapturedFrame:
    """A black frame of the camera's kind; `line_bytes` from line to line of each plane, None without gaps."""
    layout = LAYOUTS[pixel_format]
    planes: list[Plane] = []
    for index, shape in enumerate(layout.shapes(width, height)):
        plane: Any = np.zeros(shape, layout.dtype)
        if line_bytes is not None:
            if len(line_bytes) != len(layout.channels) or line_bytes[index] < plane.strides[0]:
                raise FrameError(
                    f"line_bytes are {line_bytes}; plane {index} needs at least {plane.strides[0]}"
                )
            memory = np.zeros((shape[0], line_bytes[index] // plane.itemsize), layout.dtype)
            strides = (memory.strides[0], *plane.strides[1:])
            plane = np.lib.stride_tricks.as_strided(memory, shape, strides)
        planes.append(plane)
    return CapturedFrame(tuple(planes), pixel_format, pts=0, time_base=Fraction(1, 1000), **camera)


def _draw_upright(
    width: int, height: int, scale: float
) -> tuple[drawing.Picture, tuple[drawing.DrawnObject, ...]]:
    """Portrait above, plate on a dark body below, side by side where the picture is wide enough."""
    picture: drawing.Picture = np.empty((height, width, 3), np.uint8)
    picture[:] = np.linspace(150, 96, height).astype(np.uint8)[:, None, None]
    side = min(round(PORTRAIT_PX * scale), height * 3 // 5, width * 3 // 5)
    portrait = drawing.portrait(side)
    left, top = max(0, width // 3 - side // 2), max(0, round(height * 0.3) - side // 2)
    picture[top : top + side, left : left + side] = portrait
    unit = side / 128.0
    face = tuple(round(edge * unit) for edge in drawing.FACE_IN_PORTRAIT)
    plate = drawing.plate(min(round(PLATE_PX * scale), width // 2))
    rows, columns = plate.shape[:2]
    x, y = width * 2 // 3 - columns // 2, round(height * 0.8) - rows // 2
    picture[y - 2 * rows : min(height, y + 2 * rows), max(0, x - columns // 2) : x + columns * 3 // 2] = (
        52,
        60,
        78,
    )
    picture[y : y + rows, x : x + columns] = plate
    return picture, (
        drawing.DrawnObject(Label.FACE, (left + face[0], top + face[1], left + face[2], top + face[3])),
        drawing.DrawnObject(Label.PLATE, (x, y, x + columns, y + rows)),
    )


def turn_to_stored(upright: drawing.Picture, rotation_deg: int, *, mirrored: bool) -> drawing.Picture:
    """The stored picture that becomes `upright` (H, W, ...) by mirroring, then turning clockwise."""
    stored = np.rot90(upright, rotation_deg // 90)  # np.rot90 turns counter-clockwise
    return np.ascontiguousarray(stored[:, ::-1] if mirrored else stored)


def planes_from_rgb(
    rgb: drawing.Picture, pixel_format: PixelFormat, *, color_matrix: ColorMatrix, color_range: ColorRange
) -> Planes:
    """Planes of a drawn picture: (H, W, 3) uint8 RGB to `pixel_format`, chroma by the mean of its pixels."""
    if pixel_format is PixelFormat.RGB24:
        return (rgb.copy(),)
    if pixel_format is PixelFormat.BGR24:
        return (np.ascontiguousarray(rgb[..., ::-1]),)
    layout = LAYOUTS[pixel_format]
    if pixel_format is PixelFormat.GRAY8:
        gray = _mix(rgb, np.array((0.299, 0.587, 0.114), np.float32))  # ITU-R BT.601
        return (np.clip(gray + np.float32(0.5), 0, 255).astype(np.uint8),)
    matrix, offset = rgb_from_yuv(color_matrix, color_range)
    to_yuv = np.linalg.inv(matrix).astype(np.float32)
    factor = 1 << (layout.bits - 8)

    def plane(channel: int, picture: npt.NDArray[Any]) -> Plane:
        shift = 0.5 - factor * float(to_yuv[channel] @ offset)
        values = _mix(picture, factor * to_yuv[channel]) + np.float32(shift)
        clipped: Plane = np.clip(values, 0, 256 * factor - 1).astype(layout.dtype)
        return clipped

    luma, small = plane(0, rgb), _mean_blocks(rgb, 1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y)
    blue, red = plane(1, small), plane(2, small)
    if pixel_format is not PixelFormat.NV12:
        return luma, blue, red
    both = np.empty((*blue.shape, 2), layout.dtype)
    both[..., 0], both[..., 1] = blue, red
    return luma, both


def _mean_blocks(rgb: drawing.Picture, across: int, down: int) -> npt.NDArray[np.float32]:
    """Colour of each block of `across` x `down` px; the last ones of an odd size reach over the edge."""
    rows, columns = -rgb.shape[0] % down, -rgb.shape[1] % across
    whole = np.pad(rgb, ((0, rows), (0, columns), (0, 0)), "edge") if rows or columns else rgb
    total = np.zeros((whole.shape[0] // down, whole.shape[1] // across, 3), np.float32)
    for y in range(down):
        for x in range(across):
            total += whole[y::down, x::across]
    total /= across * down
    return total


def _mix(picture: npt.NDArray[Any], weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weighted sum of the three channels (H, W, 3), channel by channel: a matrix product takes five times as long."""
    mixed: npt.NDArray[np.float32] = picture[..., 0] * weights[0]
    for channel in (1, 2):
        mixed += picture[..., channel] * weights[channel]
    return mixed


def _padded_like(
    plane: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
    model: npt.NDArray[np.uint8] | npt.NDArray[np.uint16],
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """A copy of `plane` whose lines are as far apart as the camera's."""
    line = max(abs(model.strides[0]), plane.strides[0]) // plane.itemsize
    memory = np.zeros((plane.shape[0], line), plane.dtype)
    view = memory[:, : plane.strides[0] // plane.itemsize].reshape(plane.shape[0], -1)
    padded = np.lib.stride_tricks.as_strided(view, plane.shape, (memory.strides[0], *plane.strides[1:]))
    padded[...] = plane
    return padded
