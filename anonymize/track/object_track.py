"""One object of a film: its finds in a window of time, and where it is in between, before and after."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from anonymize.frames import Origin
from anonymize.track.motion_fit import Hit, Motion, Position, between, fit_motion, outermost, union

# Tuned on clips of training stills (bench/two_passes.py), none of the test pictures.
LINK_S: Final = 1.0  # longest time between two finds of one object
BEFORE_S: Final = 2.7  # weak finds are followed back so long before the first one at the threshold
UNSEEN_S: Final = (
    1.0  # longest extension before the first and after the last find; twice as much gained nothing
)
PER_HIT_S: Final = 0.4  # each find adds as much to it: what was seen once is hardly extended
FIT_S: Final = 0.3  # the motion at an end of a track is that of its finds in this time
STEADY_S: Final = 0.4  # finds so near say how large the object is; faces hidden in every frame: 0.65 -> 0.94
LOOK_AHEAD_S: Final = 3.2  # more than BEFORE_S + FIT_S, than LINK_S and than STEADY_S
assert max(BEFORE_S + FIT_S, LINK_S, STEADY_S) + 0.1 < LOOK_AHEAD_S


class Placed(NamedTuple):
    """Where an object is: the `box` to hide, the likeliest box `core` in it, origin and confidence."""

    box: Position
    core: Position
    origin: Origin
    score: float


@dataclass(slots=True, eq=False)
class ObjectTrack:
    """Finds in the order of time; those that nothing can ask for any more are let go."""

    number: int
    class_id: int
    hits: list[Hit] = field(default_factory=list)
    count: int = 0
    begin: Motion | None = None  # set when the track was followed backwards
    reach_before_s: float = 0.0
    _end: Motion | None = None

    def add(self, hit: Hit) -> None:
        """A find after all others."""
        self.hits.append(hit)
        self.count += 1
        self._end = None

    def begin_motion(self) -> Motion:
        """Motion at the first find."""
        until_s = self.hits[0].time_s + FIT_S
        return fit_motion([hit for hit in self.hits if hit.time_s <= until_s], self.hits[0])

    def _end_motion(self) -> Motion:
        if self._end is None:
            since_s = self.hits[-1].time_s - FIT_S
            self._end = fit_motion([hit for hit in self.hits if hit.time_s >= since_s], self.hits[-1])
        return self._end

    def where(self, time_s: float) -> Placed | None:
        """Where it is at the time of a frame; None where nothing is known of it."""
        first, last = self.hits[0], self.hits[-1]
        if time_s < first.time_s:
            if self.begin is None or first.time_s - time_s > self.reach_before_s:
                return None  # begin is None: not yet followed back, so it begins more than BEFORE_S later
            return _moved(self.begin, time_s, Origin.BACKFILLED, first)
        if time_s > last.time_s:
            if time_s - last.time_s > min(UNSEEN_S, PER_HIT_S * self.count):
                return None
            return _moved(self._end_motion(), time_s, Origin.PREDICTED, last)
        return self._inside(time_s)

    def _inside(self, time_s: float) -> Placed:
        after = next(n for n, hit in enumerate(self.hits) if hit.time_s >= time_s)
        nearest = self.hits[after]
        if nearest.time_s == time_s:
            box, origin = nearest.box, Origin.DETECTED
        else:
            before = self.hits[after - 1]
            box, origin = between(before, nearest, time_s), Origin.HELD
            nearest = min(before, nearest, key=lambda hit: abs(hit.time_s - time_s))
        near = [hit for hit in self.hits if abs(hit.time_s - time_s) <= STEADY_S]
        if len(near) > 1:
            box = union(box, outermost(near, time_s))
        return Placed(box, box, origin, nearest.score)

    def forget_before(self, time_s: float) -> None:
        """Let go of the finds that no later frame can ask for."""
        needed_s = min(time_s - STEADY_S, self.hits[-1].time_s - FIT_S)
        while len(self.hits) > 1 and self.hits[1].time_s < needed_s:
            del self.hits[0]


def _moved(motion: Motion, time_s: float, origin: Origin, nearest: Hit) -> Placed:
    return Placed(motion.grown_at(time_s), motion.at(time_s), origin, nearest.score)
