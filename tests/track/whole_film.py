"""The linking in two directions from its definition: the whole film in memory, plain Python; `link` must agree.

Only the association frame by frame is shared (`Tracker`, which has a twin of its own).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from anonymize.boxes import BoxTable
from anonymize.track import Tracker
from anonymize.track.seen_frame import SeenFrame

LINK, BEFORE, UNSEEN, PER_HIT, FIT, STEADY = 1.0, 2.7, 1.0, 0.4, 0.3, 0.4


@dataclass
class Track:
    class_id: int
    first: int  # frame of the first find of the tracker
    rows: dict[int, int] = field(default_factory=dict)  # frame -> row of the find


class WholeFilm:
    def __init__(self, frames: list[SeenFrame], size: tuple[int, int]) -> None:
        self.frames, self.size = frames, size
        self.time = [frame.time_s for frame in frames]
        self.camera = np.cumsum([np.tile(frame.shift_px, 2) for frame in frames], axis=0)
        self.tracks = self._associate()
        self.reach = {}
        for number in sorted(range(len(self.tracks)), key=lambda n: (self.tracks[n].first, n)):
            self._follow_back(number)

    def _associate(self) -> list[Track]:
        tracker, table = Tracker(hold_s=LINK, first_hold_s=PER_HIT), BoxTable()
        tracks: list[Track] = []
        current: dict[int, Track] = {}
        for number, frame in enumerate(self.frames):
            tracker.step(frame.fill(table), frame.time_s, shift=frame.shift_px, size=self.size)
            for row, track_id in enumerate(tracker.ids_of(table).tolist()):
                if not track_id:
                    continue
                track = current.get(track_id)
                if track is None or frame.time_s - self.time[max(track.rows)] > LINK:
                    track = current[track_id] = Track(int(frame.class_ids[row]), number)
                    tracks.append(track)
                track.rows[number] = row
        return tracks

    def still(self, track: Track, number: int) -> np.ndarray:
        return self.frames[number].boxes[track.rows[number]].astype(float) - self.camera[number]

    def velocity(self, track: Track, numbers: list[int]) -> np.ndarray:
        if len(numbers) < 2:
            return np.zeros(4)
        boxes = np.array([self.still(track, number) for number in numbers])
        return np.polyfit([self.time[number] for number in numbers], boxes, 1)[0]

    def moved(self, track: Track, anchor: int, numbers: list[int], at: int) -> tuple[np.ndarray, np.ndarray]:
        """The box of frame `anchor`, moved to the time of frame `at` on the way of `numbers`; and the velocity."""
        velocity = self.velocity(track, numbers)
        way = velocity * (self.time[at] - self.time[anchor])
        for axis in (0, 1):
            if way[axis + 2] < way[axis]:
                way[[axis, axis + 2]] = way[[axis, axis + 2]].mean()
        return self.still(track, anchor) + way, velocity

    def begin(self, track: Track) -> tuple[int, list[int]]:
        first = min(track.rows)
        return first, [n for n in sorted(track.rows) if self.time[n] <= self.time[first] + FIT]

    def _follow_back(self, which: int) -> None:
        track = self.tracks[which]
        known = [n for n in track.rows if self.time[n] <= self.time[track.first] + FIT]
        reach = min(UNSEEN, PER_HIT * len(known))
        for number in range(track.first - 1, -1, -1):
            support, near = self.begin(track)
            if self.time[support] - self.time[number] > reach:
                break
            if self.time[track.first] - self.time[number] > BEFORE:
                break
            box = self.moved(track, support, near, number)[0] + self.camera[number]
            if self.outside(box):
                break
            frame = self.frames[number]
            free = [
                row
                for row in range(len(frame.boxes))
                if frame.class_ids[row] == track.class_id
                and all(other.rows.get(number) != row for other in self.tracks)
            ]
            overlaps = [enlarged_overlap(frame.boxes[row].astype(float), box) for row in free]
            if free and max(overlaps) > 0.10:
                track.rows[number] = free[int(np.argmax(overlaps))]
        gone = self.time[track.first] - self.time[min(track.rows)]
        self.reach[which] = min(reach, BEFORE - gone)

    def outside(self, box: np.ndarray) -> bool:
        return bool(box[2] <= 0 or box[3] <= 0 or box[0] >= self.size[0] or box[1] >= self.size[1])

    def hidden(self, number: int) -> dict[int, tuple[np.ndarray, str]]:
        """Box and origin of each track in a frame, by the track's place in the order of their beginning."""
        out = {}
        for which, track in enumerate(self.tracks):
            placed = self._place(which, track, number)
            if placed is not None:
                out[which] = placed
        return out

    def _place(self, which: int, track: Track, number: int) -> tuple[np.ndarray, str] | None:
        finds = sorted(track.rows)
        now, camera = self.time[number], self.camera[number]
        if number in track.rows:
            box = self._steady(track, number, self.still(track, number))
            return box + camera, "detected"
        if number < finds[0]:
            anchor, numbers = self.begin(track)
            limit, origin = self.reach[which], "backfilled"
        elif number > finds[-1]:
            anchor = finds[-1]
            numbers = [n for n in finds if self.time[n] >= self.time[anchor] - FIT]
            limit, origin = min(UNSEEN, PER_HIT * len(finds)), "predicted"
        else:
            a = max(n for n in finds if n < number)
            b = min(n for n in finds if n > number)
            share = (now - self.time[a]) / (self.time[b] - self.time[a])
            box = self.still(track, a) * (1 - share) + self.still(track, b) * share
            away = min(now - self.time[a], self.time[b] - now)
            more = 0.6 * away * (box[2:] - box[:2]).max()
            box = self._steady(track, number, box + np.array([-more, -more, more, more]))
            return None if self.outside(box + camera) else (box + camera, "held")
        away = abs(now - self.time[anchor])
        if away > limit:
            return None
        box, velocity = self.moved(track, anchor, numbers, number)
        if self.outside(box + camera):
            return None
        base = self.still(track, anchor)
        more = 1.2 * away * (base[2:] - base[:2]).max()
        more = more + 0.3 * away * abs(velocity[:2] + velocity[2:]) / 2
        return box + np.concatenate([-more, more]) + camera, origin

    def _steady(self, track: Track, number: int, box: np.ndarray) -> np.ndarray:
        near = [n for n in track.rows if abs(self.time[n] - self.time[number]) <= STEADY]
        if len(near) < 2:
            return box
        centres = [(b[:2] + b[2:]) / 2 for b in (self.still(track, n) for n in near)]
        velocity = np.tile(np.polyfit([self.time[n] for n in near], np.array(centres), 1)[0], 2)
        moved = [self.still(track, n) + velocity * (self.time[number] - self.time[n]) for n in near]
        every = np.array([box, *moved])
        return np.concatenate([every[:, :2].min(axis=0), every[:, 2:].max(axis=0)])


def enlarged_overlap(a: np.ndarray, b: np.ndarray) -> float:
    (a1, a2), (b1, b2) = (
        ((x[:2] + x[2:]) / 2 - (x[2:] - x[:2]) * 0.8, (x[:2] + x[2:]) / 2 + (x[2:] - x[:2]) * 0.8)
        for x in (a, b)
    )
    sides = np.clip(np.minimum(a2, b2) - np.maximum(a1, b1), 0, None)
    both = sides.prod()
    return float(both / ((a2 - a1).prod() + (b2 - b1).prod() - both))
