"""The tracker from its definition: one object a track, plain Python; `anonymize_kernels.track` must agree."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


@dataclass
class Track:
    """One object over time; box xyxy px, velocity of its four edges px/s; reach: outermost edges of late."""

    number: int
    class_id: int
    box: Vector
    reach: Vector
    sure: bool = False
    evidence: float = 0.0
    velocity: Vector = field(default_factory=lambda: np.zeros(4))
    hits: int = 0
    missed_s: float = 0.0


def enlarged_overlap(a: Vector, b: Vector) -> float:
    """Intersection over union of two boxes enlarged 1.6 times about their centres."""
    grown = []
    for box in (a, b):
        centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 0.8
        grown.append((centre - half, centre + half))
    (a1, a2), (b1, b2) = grown
    side = np.minimum(a2, b2) - np.maximum(a1, b1)
    if (side <= 0).any():
        return 0.0
    both = float(np.prod(side))
    return both / (float(np.prod(a2 - a1)) + float(np.prod(b2 - b1)) - both)


OUTWARDS = np.array([-1, -1, 1, 1])


class ReferenceTracker:
    """Predict, match in the order given, update, start, forget: as the kernel's docstrings say."""

    def __init__(self, *, hold_s: float, first_hold_s: float, thresholds: dict[int, float]) -> None:
        self.hold_s, self.first_hold_s, self.thresholds = hold_s, first_hold_s, thresholds
        self.tracks: list[Track] = []
        self.numbers = 0

    def step(
        self,
        found: list[tuple[Vector, int, float, bool]],
        elapsed_s: float,
        shift: tuple[float, float],
        size: tuple[int, int],
    ) -> list[tuple[int, Vector, str]]:
        """(number, box to hide, origin) of each sure track; `found` are (box, class, score, strong)."""
        gain = min(0.2, elapsed_s / 0.15)
        for track in self.tracks:
            track.box = track.box + np.tile(shift, 2) + track.velocity * elapsed_s
            middle = np.tile((track.velocity[:2] + track.velocity[2:]) / 2, 2)
            track.reach = track.reach + np.tile(shift, 2) + middle * elapsed_s
            track.evidence *= 1 - gain
        pairs = self._match(found)
        for track in self.tracks:
            track.missed_s += elapsed_s
        for (box, class_id, score, strong), matched in zip(found, pairs, strict=True):
            threshold = self.thresholds.get(class_id)
            if matched is None:
                if not strong and threshold is None:
                    continue
                self.numbers += 1
                grown = box + OUTWARDS * np.tile(box[2:] - box[:2], 2) * 0.1
                track, share = Track(self.numbers, class_id, box, grown), 0.2
                self.tracks.append(track)
            else:
                track, share = matched, gain
                self._go_on(track, box, elapsed_s)
            track.box, track.missed_s = box, 0.0
            track.hits += 1
            if threshold is not None:
                track.evidence += share * min(1.0, score / threshold)
            track.sure |= strong or track.evidence >= 0.7
        self.tracks = [track for track in self.tracks if self._lives(track, size)]
        return [
            (track.number, self._hidden(track), self._origin(track)) for track in self.tracks if track.sure
        ]

    @staticmethod
    def _go_on(track: Track, box: Vector, elapsed_s: float) -> None:
        since_s = max(elapsed_s, track.missed_s)
        if elapsed_s > 0:
            track.velocity = track.velocity + 0.5 * (box - track.box) / since_s
        shrinks = np.tile(track.velocity[2:] < track.velocity[:2], 2)
        together = np.tile((track.velocity[:2] + track.velocity[2:]) / 2, 2)
        track.velocity = np.where(shrinks, together, track.velocity)
        beyond = np.maximum(OUTWARDS * (track.reach - box), 0)
        track.reach = box + OUTWARDS * beyond * np.exp(-since_s / 0.4)

    def _match(self, found: list[tuple[Vector, int, float, bool]]) -> list[Track | None]:
        pairs: list[Track | None] = [None] * len(found)
        for sure in (True, False):
            free = [track for track in self.tracks if track.sure == sure]
            for index, (box, class_id, _, _) in enumerate(found):
                if pairs[index] is not None:
                    continue
                fitting = [(enlarged_overlap(t.box, box), t) for t in free if t.class_id == class_id]
                overlap, best = max(fitting, key=lambda pair: pair[0], default=(0.0, None))
                if best is not None and overlap > 0.10:
                    pairs[index] = best
                    free.remove(best)
        return pairs

    def _lives(self, track: Track, size: tuple[int, int]) -> bool:
        if track.missed_s == 0:
            return True
        x1, y1, x2, y2 = track.box
        gone = x2 <= 0 or y2 <= 0 or x1 >= size[0] or y1 >= size[1]
        return not gone and track.missed_s <= min(self.hold_s, track.hits * self.first_hold_s)

    @staticmethod
    def _hidden(track: Track) -> Vector:
        longer = float((track.box[2:] - track.box[:2]).max())
        drift = np.abs(track.velocity[:2] + track.velocity[2:]) / 2
        more = 1.2 * track.missed_s * longer + 0.3 * track.missed_s * drift
        grown = track.box + OUTWARDS * np.tile(more, 2)
        return OUTWARDS * np.maximum(OUTWARDS * grown, OUTWARDS * track.reach)

    @staticmethod
    def _origin(track: Track) -> str:
        if track.missed_s == 0:
            return "detected"
        return "predicted" if track.hits > 1 else "held"
