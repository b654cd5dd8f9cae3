"""Boxes in time: how one moves at an end of its track, between two finds, and how large those around say it is.

All in px of a camera that stands still: the sum of the camera's shifts has been taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

GROW_PER_S: Final = 1.2  # of the longer side, on every side, each second away from the nearest find (as live)
GROW_PER_MOTION: Final = 0.3  # and this share of the way that the box was moved along (as live)
GROW_BETWEEN_PER_S: Final = (
    0.6  # between two finds, each second away from the nearer one: both ends are known
)
MATCH_GROWTH: Final = 1.6  # boxes are compared enlarged, as `anonymize_kernels.track` has it

Position = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """One find of an object: `index` of its frame, `box` (4,) xyxy."""

    index: int
    time_s: float
    box: Position
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """A box at `from_s` and the velocity of its edges, px/s."""

    box: Position
    velocity: Position
    from_s: float

    def at(self, time_s: float) -> Position:
        """Where the box is at `time_s`, before or after `from_s`; it never shrinks."""
        way = self.velocity * (time_s - self.from_s)
        for low in (0, 1):
            if way[low + 2] < way[low]:
                way[low] = way[low + 2] = (way[low] + way[low + 2]) / 2
        return np.asarray(self.box + way)

    def grown_at(self, time_s: float) -> Position:
        """The same, enlarged by what is not known so long before or after."""
        away_s = abs(time_s - self.from_s)
        still = GROW_PER_S * away_s * _longer_side(self.box)
        centre_way = np.abs(self.velocity[:2] + self.velocity[2:]) / 2 * away_s
        return _enlarged(self.at(time_s), still + GROW_PER_MOTION * centre_way)


def fit_motion(hits: Sequence[Hit], at: Hit) -> Motion:
    """The least-squares velocity of the edges over `hits`, from the find `at` on; none of a single find."""
    times = np.array([hit.time_s for hit in hits])
    times -= times.mean()
    spread = float(times @ times)
    if spread == 0.0:
        return Motion(at.box, np.zeros(4), at.time_s)
    return Motion(at.box, times @ np.array([hit.box for hit in hits]) / spread, at.time_s)


def between(before: Hit, after: Hit, time_s: float) -> Position:
    """The box between two finds, on a straight way from one to the other, enlarged by what is not known."""
    share = (time_s - before.time_s) / (after.time_s - before.time_s)
    box = before.box + (after.box - before.box) * share
    away_s = min(time_s - before.time_s, after.time_s - time_s)
    return _enlarged(box, np.full(2, GROW_BETWEEN_PER_S * away_s * _longer_side(box)))


def outermost(hits: Sequence[Hit], time_s: float) -> Position:
    """The outermost edges of all `hits` (two or more), each moved to `time_s` along their common motion."""
    times = np.array([hit.time_s for hit in hits])
    boxes = np.array([hit.box for hit in hits])
    centred = times - times.mean()
    velocity = centred @ ((boxes[:, :2] + boxes[:, 2:]) / 2) / (centred @ centred)
    moved = boxes + np.tile((time_s - times)[:, None] * velocity, 2)
    return np.concatenate([moved[:, :2].min(axis=0), moved[:, 2:].max(axis=0)])


def union(a: Position, b: Position) -> Position:
    """The smallest box that holds both."""
    return np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])


def overlap_of_enlarged(a: Position, b: Position) -> float:
    """Intersection over union of two boxes enlarged `MATCH_GROWTH` times about their centres."""
    more = (MATCH_GROWTH - 1) / 2
    a = _enlarged(a, more * (a[2:] - a[:2]))
    b = _enlarged(b, more * (b[2:] - b[:2]))
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if sides.min() <= 0.0:
        return 0.0
    both = float(sides.prod())
    return both / (float((a[2:] - a[:2]).prod()) + float((b[2:] - b[:2]).prod()) - both)


def _longer_side(box: Position) -> float:
    return float((box[2:] - box[:2]).max())


def _enlarged(box: Position, more: Position) -> Position:
    return np.concatenate([box[:2] - more, box[2:] + more])
