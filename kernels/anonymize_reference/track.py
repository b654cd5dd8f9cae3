"""The tracker from its definition: one object a track, plain Python; `anonymize_kernels.track` must agree."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


@dataclass
class Track:
    """One object over time; box xyxy px, velocity of its four edges px/s."""

    number: int
    class_id: int
    box: Vector
    score: float
    velocity: Vector = field(default_factory=lambda: np.zeros(4))
    hits: int = 1
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


class ReferenceTracker:
    """Predict, match in the order given, update, start strong ones, forget: as the kernel's docstrings say."""

    def __init__(self, *, hold_s: float, first_hold_s: float) -> None:
        self.hold_s, self.first_hold_s = hold_s, first_hold_s
        self.tracks: list[Track] = []
        self.numbers = 0

    def step(
        self,
        found: list[tuple[Vector, int, float, bool]],
        elapsed_s: float,
        shift: tuple[float, float],
        size: tuple[int, int],
    ) -> list[tuple[int, Vector, str]]:
        """(number, box to hide, origin) of each live track; `found` are (box, class, score, strong)."""
        for track in self.tracks:
            track.box = track.box + np.tile(shift, 2) + track.velocity * elapsed_s
        pairs = self._match(found)
        for track in self.tracks:
            track.missed_s += elapsed_s
        for (box, class_id, score, strong), matched in zip(found, pairs, strict=True):
            if matched is not None:
                if elapsed_s > 0:
                    matched.velocity = matched.velocity + 0.5 * (box - matched.box) / max(
                        elapsed_s, matched.missed_s
                    )
                shrinks = np.tile(matched.velocity[2:] < matched.velocity[:2], 2)
                together = np.tile((matched.velocity[:2] + matched.velocity[2:]) / 2, 2)
                matched.velocity = np.where(shrinks, together, matched.velocity)
                matched.box, matched.score, matched.missed_s = box, score, 0.0
                matched.hits += 1
            elif strong:
                self.numbers += 1
                self.tracks.append(Track(self.numbers, class_id, box, score))
        self.tracks = [track for track in self.tracks if self._lives(track, size)]
        return [(track.number, self._hidden(track), self._origin(track)) for track in self.tracks]

    def _match(self, found: list[tuple[Vector, int, float, bool]]) -> list[Track | None]:
        free = list(self.tracks)
        pairs: list[Track | None] = []
        for box, class_id, _, _ in found:
            fitting = [(enlarged_overlap(t.box, box), t) for t in free if t.class_id == class_id]
            overlap, best = max(fitting, key=lambda pair: pair[0], default=(0.0, None))
            pairs.append(best if overlap > 0.10 else None)
            if best is not None and overlap > 0.10:
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
        low, high = track.box[:2], track.box[2:]
        if track.missed_s == 0:
            return np.concatenate([low, high])
        longer = float((track.box[2:] - track.box[:2]).max())
        drift = np.abs(track.velocity[:2] + track.velocity[2:]) / 2
        more = 1.2 * track.missed_s * longer + 0.3 * track.missed_s * drift
        return np.concatenate([low - more, high + more])

    @staticmethod
    def _origin(track: Track) -> str:
        if track.missed_s == 0:
            return "detected"
        return "predicted" if track.hits > 1 else "held"
