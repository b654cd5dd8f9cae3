"""Released frames in memory of the store's own, used again and again: fresh memory costs the camera's thread 2 ms."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from anonymize.frames import LAYOUTS, ColorMatrix, ColorRange, PixelFormat, Planes, ReleasedFrame


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeptFrame:
    """What is coded of a released frame; made by `KeptMemory.keep` alone."""

    planes: Planes
    pixel_format: PixelFormat
    width: int
    height: int
    pts: int
    time_base: Fraction
    rotation_deg: int
    mirrored: bool
    color_range: ColorRange
    color_matrix: ColorMatrix
    camera: str
    captured_at_s: float | None
    predicted_only: bool


class KeptMemory:
    """Planes for the frames that wait; those of one kind of frame are kept when they are free again."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._kind: tuple[object, ...] = ()
        self._free: deque[Planes] = deque()

    def keep(self, frame: ReleasedFrame) -> KeptFrame:
        """The frame in our memory; raises `TypeError` for anything but a `ReleasedFrame`."""
        if type(frame) is not ReleasedFrame:
            raise TypeError(f"the store was given a {type(frame).__name__}; wanted a ReleasedFrame")
        kind = frame.pixel_format, frame.width, frame.height
        with self._turn:
            if (
                kind != self._kind
            ):  # another camera, or another size: its memory is new each time they take turns
                self._kind = kind
                self._free.clear()
            planes = self._free.pop() if self._free else None
        if planes is None:
            planes = LAYOUTS[frame.pixel_format].allocate(frame.width, frame.height)
        for ours, hidden in zip(planes, frame.planes, strict=True):
            np.copyto(ours, hidden)
        return KeptFrame(
            planes, frame.pixel_format, frame.width, frame.height, frame.pts, frame.time_base, frame.rotation_deg,
            frame.mirrored, frame.color_range, frame.color_matrix, frame.camera, frame.captured_at_s,
            frame.predicted_only,
        )  # fmt: skip

    def give_back(self, frame: KeptFrame) -> None:
        """The frame was coded: its memory is free."""
        with self._turn:
            if (frame.pixel_format, frame.width, frame.height) == self._kind:
                self._free.append(frame.planes)
