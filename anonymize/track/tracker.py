"""The live tracker of one camera: arrays allocated once, the work done by `anonymize_kernels.track`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.boxes import CLASS_LABELS, MAX_BOXES, BoxTable
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

    def shift(self, picture: npt.NDArray[Any]) -> tuple[float, float]:
        """Shift (x, y) in px of `picture` (H, W) float32 or uint8 since the last call; (0, 0) at first."""
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
        project = motion.project_bytes if picture.dtype == np.uint8 else motion.project
        project(picture, columns, rows)
        if not self._seen:
            self._seen = True
            return 0.0, 0.0
        return (
            motion.shift_between(columns_before, columns, width // MAX_SHIFT_SHARE),
            motion.shift_between(rows_before, rows, height // MAX_SHIFT_SHARE),
        )


class Tracker:
    """Tracks of one camera over time.

    A find at its threshold is always given out, at least as large as it was found: as large as the object's finds of
    the last 0.4 s, or a little larger where it is new. What was not found is held, moved with the camera and with
    itself, and grown until it runs out. A weak find (below the threshold) keeps a track alive; where thresholds are
    given, weak finds that go on become a track of their own.

    Parameters
    ----------
    hold_s, first_hold_s : float
        Longest hold, and that after a single find.
    thresholds : mapping of class id to confidence
        From which a find is strong; classes not named start tracks with strong finds alone.
    """

    def __init__(
        self,
        *,
        hold_s: float = HOLD_S,
        first_hold_s: float = FIRST_HOLD_S,
        thresholds: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        from anonymize_kernels import track

        self._kernels = track
        self.hold_s, self.first_hold_s = hold_s, first_hold_s
        self._tracks = np.zeros(MAX_BOXES, track.TRACK)
        self._strong_from = _floats(len(CLASS_LABELS))
        for class_id, threshold in thresholds.items():
            self._strong_from[class_id] = threshold
        self._next_number = 1
        self._last_s: float | None = None
        self.out = BoxTable()

    def forget(self) -> None:
        """Drop every track: the next frame belongs to another scene."""
        self._tracks["number"] = 0
        self._last_s = None

    def ids_of(self, found: BoxTable) -> npt.NDArray[np.int64]:
        """Track of each find of the `step` just made with this table, (count,); 0 for a weak one of none."""
        rows = found.origins[: found.count]
        return np.where(rows >= 0, self._tracks["number"][rows], 0)

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
        track, tracks = self._kernels, self._tracks
        elapsed_s = 0.0 if self._last_s is None else max(time_s - self._last_s, SMALLEST_STEP_S)
        self._last_s = time_s
        if elapsed_s > LONGEST_STEP_S:
            tracks["number"] = 0
        track.predict(tracks, shift[0], shift[1], elapsed_s)
        pairs = found.origins  # free on input: holds the track's row of each detection
        track.match(tracks, found.boxes, found.class_ids, found.count, pairs)
        next_number = track.update(
            tracks, found.boxes, found.scores, found.class_ids, found.strong, found.count, pairs, self._strong_from,
            elapsed_s, self._next_number,
        )  # fmt: skip
        if next_number < 0:
            raise TooManyError(f"more than {MAX_BOXES} objects in one picture")
        self._next_number = int(next_number)
        track.forget(tracks, self.hold_s, self.first_hold_s, size[0], size[1])
        out = self.out
        out.count = int(
            track.gather(tracks, out.boxes, out.class_ids, out.track_ids, out.scores, out.origins)
        )
        return out
