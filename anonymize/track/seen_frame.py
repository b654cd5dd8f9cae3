"""What goes into the linking of a file's tracks, frame by frame, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from anonymize.boxes import BoxTable, Found
from anonymize.frames import Reason

Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SeenFrame:
    """What was found in one frame; times rise from frame to frame.

    Attributes
    ----------
    number : int
        Given back with the frame's boxes; says nothing here.
    time_s : float
    boxes : (N, 4) float32
        xyxy, px of the stored picture, strongest first; N up to `MAX_BOXES`.
    class_ids, scores, strong : (N,) int32, float32, bool
        As in `BoxTable`.
    shift_px : (float, float)
        Motion of the picture since the frame before.
    reason : Reason or None
        Why the look at this frame failed.
    """

    number: int
    time_s: float
    boxes: Boxes
    class_ids: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    strong: npt.NDArray[np.bool_]
    shift_px: tuple[float, float] = (0.0, 0.0)
    reason: Reason | None = None

    @classmethod
    def of(cls, number: int, time_s: float, found: Found) -> Self:
        """What one look gave, in memory of its own."""
        table, count = found.boxes, found.boxes.count
        return cls(
            number,
            time_s,
            table.boxes[:count].copy(),
            table.class_ids[:count].copy(),
            table.scores[:count].copy(),
            table.strong[:count].copy(),
            found.shift_px,
        )

    @classmethod
    def unseen(cls, number: int, time_s: float, reason: Reason) -> Self:
        """A frame at which the look failed."""
        numbers = np.zeros(0, np.float32)
        return cls(
            number, time_s, numbers.reshape(0, 4), numbers.astype(np.int32), numbers, numbers.astype(bool),
            reason=reason,
        )  # fmt: skip

    def fill(self, table: BoxTable) -> BoxTable:
        """The finds as a table."""
        table.count = len(self.boxes)
        for name in ("boxes", "class_ids", "scores", "strong"):
            getattr(table, name)[: table.count] = getattr(self, name)
        return table


@dataclass(frozen=True, slots=True, eq=False)
class LinkedFrame:
    """All boxes to hide in one frame, or why it cannot be hidden box by box (`reason`)."""

    number: int
    time_s: float
    boxes: Boxes
    class_ids: npt.NDArray[np.int32]
    track_ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    origins: npt.NDArray[np.int32]
    reason: Reason | None = None

    def fill(self, table: BoxTable) -> BoxTable:
        """The boxes as a table for the engine; only where there is no `reason`."""
        table.count = len(self.boxes)
        for name in ("boxes", "class_ids", "track_ids", "scores", "origins"):
            getattr(table, name)[: table.count] = getattr(self, name)
        return table
