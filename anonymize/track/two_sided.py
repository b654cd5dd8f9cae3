"""Tracks linked forwards and backwards in time, for files: what was found before and after fills what was missed.

It only ever adds. A find at its threshold keeps its place and may only be made larger, by the finds just before and
after it; beside the finds stand boxes between two of an object (`held`), after its last one (`predicted`) and before
its first one (`backfilled`), moved with the camera and the object, and grown with the time to the nearest find.

A stream over a window: a frame is given out once the frames of `LOOK_AHEAD_S` after it are known. Nothing later can
change it, so the result is that of the whole film in memory (`tests/track/whole_film.py` is that twin).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from anonymize.boxes import MAX_BOXES, ORIGINS, BoxTable
from anonymize.errors import TooManyError, UsageError
from anonymize.frames import Origin, Reason
from anonymize.track.motion_fit import Hit, Position, overlap_of_enlarged, union
from anonymize.track.object_track import (
    BEFORE_S,
    FIT_S,
    LINK_S,
    LOOK_AHEAD_S,
    PER_HIT_S,
    UNSEEN_S,
    ObjectTrack,
    Placed,
)
from anonymize.track.seen_frame import LinkedFrame, SeenFrame
from anonymize.track.tracker import Tracker

MIN_OVERLAP: Final = 0.10  # of enlarged boxes, as `anonymize_kernels.track.match` has it


def link(frames: Iterable[SeenFrame], size: tuple[int, int]) -> Iterator[LinkedFrame]:
    """All boxes to hide in each frame, in the order given.

    Parameters
    ----------
    frames : iterable of SeenFrame
        Of one camera, without end if need be: memory holds `LOOK_AHEAD_S` of them.
    size : (width, height), px
        Of the stored picture.
    """
    window = _Window(size)
    for seen in frames:
        window.take(seen)
        while window.slots[0].seen.time_s < seen.time_s - LOOK_AHEAD_S:
            yield window.give()
    window.finish()
    while window.slots:
        yield window.give()


@dataclass(frozen=True, slots=True, eq=False)
class _Slot:
    """A frame in the window, the sum of all shifts so far, and the row of each track that was found in it."""

    index: int
    seen: SeenFrame
    camera: Position
    rows: dict[int, int]

    def hit(self, row: int, track: ObjectTrack) -> Hit:
        """A find, for its track."""
        self.rows[track.number] = row
        box = self.seen.boxes[row].astype(np.float64) - self.camera
        return Hit(self.index, self.seen.time_s, box, float(self.seen.scores[row]))

    def best_weak(self, class_id: int, box: Position) -> int | None:
        """The find without a track that lies best on a predicted box; None where none does."""
        best, best_overlap = None, MIN_OVERLAP
        taken = set(self.rows.values())
        for row, of_class in enumerate(self.seen.class_ids):
            if of_class == class_id and row not in taken:
                overlap = overlap_of_enlarged(self.seen.boxes[row].astype(np.float64), box)
                if overlap > best_overlap:
                    best, best_overlap = row, overlap
        return best


class _Window:
    def __init__(self, size: tuple[int, int]) -> None:
        self.slots: deque[_Slot] = deque()
        self._size = size
        self._tracker = Tracker(hold_s=LINK_S, first_hold_s=PER_HIT_S)
        self._found = BoxTable()
        self._camera = np.zeros(4)
        self._by_id: dict[int, ObjectTrack] = {}  # by the tracker's ids
        self._tracks: list[ObjectTrack] = []
        self._new: deque[ObjectTrack] = deque()  # not yet followed backwards
        self._taken = 0
        self._numbers = 0

    def take(self, seen: SeenFrame) -> None:
        """Link a frame to the tracks before it; then follow back what began `FIT_S` ago."""
        if self.slots and seen.time_s <= self.slots[-1].seen.time_s:
            raise UsageError(f"frame {seen.number} is not later than the one before it; wanted rising times")
        self._camera = self._camera + np.tile(seen.shift_px, 2)
        slot = _Slot(self._taken, seen, self._camera, {})
        self._taken += 1
        self.slots.append(slot)
        seen.fill(self._found)
        step = self._tracker.step
        try:
            step(self._found, seen.time_s, shift=seen.shift_px, size=self._size)
        except TooManyError:  # finds alone always have room
            self._tracker.forget()
            step(self._found, seen.time_s, shift=seen.shift_px, size=self._size)
        for row, track_id in enumerate(self._tracker.ids_of(self._found).tolist()):
            if track_id:
                track = self._track(track_id, seen, row)
                track.add(slot.hit(row, track))
        while self._new and self._new[0].hits[0].time_s + FIT_S <= seen.time_s:
            self._follow_back(self._new.popleft())

    def finish(self) -> None:
        """No frame comes any more."""
        while self._new:
            self._follow_back(self._new.popleft())

    def _track(self, track_id: int, seen: SeenFrame, row: int) -> ObjectTrack:
        track = self._by_id.get(track_id)
        if track is None or seen.time_s - track.hits[-1].time_s > LINK_S:
            self._numbers += 1
            track = self._by_id[track_id] = ObjectTrack(self._numbers, int(seen.class_ids[row]))
            self._tracks.append(track)
            self._new.append(track)
        return track

    def _follow_back(self, track: ObjectTrack) -> None:
        """Give a track the weak finds before its first one that lie on its way; then say how far it reaches."""
        first = track.hits[0]
        known = sum(hit.time_s <= first.time_s + FIT_S for hit in track.hits)
        reach_s = min(UNSEEN_S, PER_HIT_S * known)
        track.begin = track.begin_motion()
        for slot in reversed(self.slots):
            time_s = slot.seen.time_s
            if slot.index >= first.index:
                continue
            if track.begin.from_s - time_s > reach_s or first.time_s - time_s > BEFORE_S:
                break
            box = track.begin.at(time_s) + slot.camera
            if self._is_outside(box):
                break
            row = slot.best_weak(track.class_id, box)
            if row is not None:
                track.hits.insert(0, slot.hit(row, track))
                track.count += 1
                track.begin = track.begin_motion()
        track.reach_before_s = min(reach_s, BEFORE_S - (first.time_s - track.begin.from_s))

    def give(self) -> LinkedFrame:
        """The boxes of the oldest frame, which leaves the window."""
        slot = self.slots.popleft()
        seen = slot.seen
        placed = [(track, where) for track in self._tracks if (where := self._where(track, slot)) is not None]
        self._forget_before(seen.time_s)
        return LinkedFrame(
            seen.number,
            seen.time_s,
            np.array([where.box for _, where in placed], np.float32).reshape(-1, 4),
            np.array([track.class_id for track, _ in placed], np.int32),
            np.array([track.number for track, _ in placed], np.int64),
            np.array([where.score for _, where in placed], np.float32),
            np.array([ORIGINS.index(where.origin) for _, where in placed], np.int32),
            seen.reason or (Reason.TOO_MANY if len(placed) > MAX_BOXES else None),
        )

    def _where(self, track: ObjectTrack, slot: _Slot) -> Placed | None:
        placed = track.where(slot.seen.time_s)
        if placed is None:
            return None
        box = placed.box + slot.camera
        if placed.origin is Origin.DETECTED:  # past all rounding, what was found lies inside
            return placed._replace(
                box=union(box.astype(np.float32), slot.seen.boxes[slot.rows[track.number]])
            )
        return None if self._is_outside(placed.core + slot.camera) else placed._replace(box=box)

    def _forget_before(self, time_s: float) -> None:
        """Let go of finds that nothing can ask for, and of tracks that are over."""
        alive = [t for t in self._tracks if time_s - t.hits[-1].time_s <= max(UNSEEN_S, LINK_S)]
        for track in alive:
            track.forget_before(time_s)
        if len(alive) < len(self._tracks):
            self._tracks = alive
            kept = set(map(id, alive))
            self._by_id = {key: track for key, track in self._by_id.items() if id(track) in kept}

    def _is_outside(self, box: Position) -> bool:
        width, height = self._size
        return bool(box[2] <= 0 or box[3] <= 0 or box[0] >= width or box[1] >= height)
