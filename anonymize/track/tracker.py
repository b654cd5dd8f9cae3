"""The live tracker of one camera: arrays allocated once, the work done by `anonymize_kernels.track`."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.boxes import MAX_BOXES, BoxTable
from anonymize.errors import TooManyError

HOLD_S: Final = 0.6  # longest hold of a track seen often; a flicker of detectors rarely lasts longer
FIRST_HOLD_S: Final = 0.2  # hold after a single find, and what each further find adds
SMALLEST_STEP_S: Final = 0.001  # equal or falling times still let held boxes run out
LONGEST_STEP_S: Final = 1.0  # beyond it a prediction says nothing: tracks are forgotten
MAX_SHIFT_SHARE: Final = 8  # camera shift is looked for up to 1/8 of the picture's side


def _floats(*shape: int) -> npt.NDArray[np.float32]:
    return np.zeros(shape, np.float32)


class CameraMotion:
    """Shift of the picture since the frame before, from the row and column sums of one network channel."""

    def __init__(self) -> None:
        self._profiles: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = []
        self._seen = False

    def forget(self) -> None:
        """The next picture has nothing before it."""
        self._seen = False

    def shift(self, picture: npt.NDArray[np.float32]) -> tuple[float, float]:
        """Shift (x, y) in px of `picture` (H, W) float32 since the last call; (0, 0) at first."""
        from anonymize_kernels import motion

        height, width = picture.shape
        if (
            not self._profiles
            or self._profiles[0][0].shape[0] != width
            or self._profiles[0][1].shape[0] != height
        ):
            self._profiles = [(_floats(width), _floats(height)) for _ in range(2)]
            self._seen = False
        self._profiles.reverse()
        (columns, rows), (columns_before, rows_before) = self._profiles
        motion.project(picture, columns, rows)
        if not self._seen:
            self._seen = True
            return 0.0, 0.0
        return (
            motion.shift_between(columns_before, columns, width // MAX_SHIFT_SHARE),
            motion.shift_between(rows_before, rows, height // MAX_SHIFT_SHARE),
        )


class Tracker:
    """Tracks of one camera over time.

    A weak find (below the threshold) keeps a track alive but starts none. What was found is always given
    out as found; what was not is held, moved with the camera and with itself, and grown until it runs out.
    """

    def __init__(self, *, hold_s: float = HOLD_S, first_hold_s: float = FIRST_HOLD_S) -> None:
        self.hold_s, self.first_hold_s = hold_s, first_hold_s
        self._boxes, self._velocities = _floats(MAX_BOXES, 4), _floats(MAX_BOXES, 4)
        self._ids = np.zeros(MAX_BOXES, np.int64)
        self._classes = np.zeros(MAX_BOXES, np.int32)
        self._hits = np.zeros(MAX_BOXES, np.int64)
        self._missed_s, self._scores = _floats(MAX_BOXES), _floats(MAX_BOXES)
        self._next_id = 1
        self._last_s: float | None = None
        self.out = BoxTable()

    def forget(self) -> None:
        """Drop every track: the next frame belongs to another scene."""
        self._ids[:] = 0
        self._last_s = None

    def ids_of(self, found: BoxTable) -> npt.NDArray[np.int64]:
        """Track of each find of the `step` just made with this table, (count,); 0 for a weak one of none."""
        rows = found.origins[: found.count]
        return np.where(rows >= 0, self._ids[rows], 0)

    def step(
        self,
        found: BoxTable,
        time_s: float,
        *,
        shift: tuple[float, float] = (0.0, 0.0),
        size: tuple[int, int],
    ) -> BoxTable:
        """Boxes to hide at `time_s`, given what was found in this frame.

        Parameters
        ----------
        found : BoxTable
            Detections, strongest first; `track_ids` is not read, `origins` is scratch.
        time_s : float
            Presentation time, s.
        shift : (x, y), px
            Motion of the picture since the frame before.
        size : (width, height), px
            Of the upright picture.

        Raises
        ------
        TooManyError
            More than `MAX_BOXES` objects.
        """
        from anonymize_kernels import track

        elapsed_s = 0.0 if self._last_s is None else max(time_s - self._last_s, SMALLEST_STEP_S)
        self._last_s = time_s
        if elapsed_s > LONGEST_STEP_S:
            self._ids[:] = 0
        track.predict(self._boxes, self._velocities, self._ids, shift[0], shift[1], elapsed_s)
        pairs = found.origins  # free on input: holds the track's row of each detection
        track.match(self._boxes, self._classes, self._ids, found.boxes, found.class_ids, found.count, pairs)
        next_id = track.update(
            self._boxes, self._velocities, self._ids, self._hits, self._missed_s, self._scores, self._classes,
            found.boxes, found.scores, found.class_ids, found.strong, found.count, pairs, elapsed_s, self._next_id,
        )  # fmt: skip
        if next_id < 0:
            raise TooManyError(f"more than {MAX_BOXES} objects in one picture")
        self._next_id = int(next_id)
        track.forget(
            self._boxes,
            self._ids,
            self._hits,
            self._missed_s,
            self.hold_s,
            self.first_hold_s,
            size[0],
            size[1],
        )
        out = self.out
        out.count = int(
            track.gather(
                self._boxes, self._velocities, self._ids, self._hits, self._missed_s, self._scores, self._classes,
                out.boxes, out.class_ids, out.track_ids, out.scores, out.origins,
            )
        )  # fmt: skip
        return out
