"""The table of boxes that detection, tracking and hiding hand on: fixed arrays, allocated once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.frames import Label, Origin

MAX_BOXES: Final = 256  # a frame with more is hidden or dropped as a whole (`too_many`)
CLASS_LABELS: Final = (Label.FACE, Label.PLATE, Label.AREA)  # by class id
CLASS_IDS: Final = {label: index for index, label in enumerate(CLASS_LABELS)}
# by origin id
ORIGINS: Final = (
    Origin.DETECTED,
    Origin.HELD,
    Origin.PREDICTED,
    Origin.BACKFILLED,
    Origin.STATIC,
)


@dataclass(slots=True, eq=False)
class BoxTable:
    """Boxes of one frame: the first `count` rows of each array.

    Attributes
    ----------
    boxes : (MAX_BOXES, 4) float32
        xyxy, px, max exclusive.
    class_ids, origins : (MAX_BOXES,) int32
        Rows of `CLASS_LABELS` and `ORIGINS`.
    track_ids : (MAX_BOXES,) int64
        -1 where there is no track.
    scores : (MAX_BOXES,) float32
        Confidence, 0 to 1.
    strong : (MAX_BOXES,) bool
        Reaches the threshold of its class; the others only keep tracks alive.
    """

    boxes: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((MAX_BOXES, 4), np.float32))
    class_ids: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(MAX_BOXES, np.int32))
    track_ids: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(MAX_BOXES, np.int64))
    scores: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros(MAX_BOXES, np.float32))
    origins: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(MAX_BOXES, np.int32))
    strong: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(MAX_BOXES, np.bool_))
    count: int = 0

    @classmethod
    def for_as_many_as(cls, most: int) -> BoxTable:
        """A table with `most` rows instead of MAX_BOXES."""
        return cls(
            np.zeros((most, 4), np.float32), np.zeros(most, np.int32), np.zeros(most, np.int64),
            np.zeros(most, np.float32), np.zeros(most, np.int32), np.zeros(most, np.bool_),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What one look at a frame of a file gave, for the second pass over it.

    Attributes
    ----------
    boxes : BoxTable
        px of the *stored* picture, strongest first; weak finds too. Overwritten by the next look.
    shift_px : (float, float)
        Motion of the picture since the look before, px of the stored picture; (0, 0) at first.
    """

    boxes: BoxTable
    shift_px: tuple[float, float] = (0.0, 0.0)
