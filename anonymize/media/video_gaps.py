"""What is left of a film's time when frames are withheld: where the kept frames go, and which sound may travel.

Times are integers in the video stream's time base. A gap runs from the first withheld frame to the next kept one.
Sound and subtitles are kept only where a kept frame lies near: they tell of a place as well as a picture does.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf
from typing import Final, Literal

Gap = Literal["cut", "black"]
NEAR_S: Final = 1  # of a kept frame; less than the 3 s round it that the gate has looked at


@dataclass(frozen=True, slots=True)
class Window:
    """Sound from `start` to `end` may travel, moved earlier by `shift`."""

    start: int
    end: int
    shift: int


class Timeline:
    """Told of every frame in the order of their times; says where a kept one goes.

    Parameters
    ----------
    time_base : Fraction
        Seconds per unit.
    closes : bool
        Later frames move earlier by the length of each gap; otherwise every frame keeps its time.

    Attributes
    ----------
    gap_start : int or None
        While the newest frame was withheld: the time of the first one that was.
    shift : int
        By how much later frames move earlier.
    """

    def __init__(self, time_base: Fraction, *, closes: bool) -> None:
        self.time_base = time_base
        self.gap_start: int | None = None
        self.shift = 0
        self._closes = closes
        self._near = ceil(NEAR_S / time_base)
        self._windows: list[Window] = []
        self._starts: list[int] = []
        self._open_start: int | None = None
        self._last_kept = 0
        self._newest: int | None = None
        self._ended = False

    def keep(self, pts: int) -> int:
        """The time in the output of a frame that is kept; it ends a gap."""
        if self._open_start is not None and pts - self._last_kept > 2 * self._near:
            self._close_window()
        if self.gap_start is not None:
            self.shift += (pts - self.gap_start) * self._closes
            self._open_start, self.gap_start = pts, None
        elif self._open_start is None:
            self._open_start = pts - self._near
        self._last_kept = self._newest = pts
        return pts - self.shift

    def withhold(self, pts: int) -> None:
        """A frame at this time is not there."""
        if self.gap_start is None:
            self.gap_start = pts
            self._close_window()
        self._newest = pts

    def end(self) -> None:
        """No frame follows."""
        self._close_window()
        self._ended = True

    def knows(self, end_s: Fraction) -> bool:
        """Whether what happened up to this time of the source is settled."""
        return self._ended or (self._newest is not None and end_s <= self._newest * self.time_base)

    def all_before(self, start_s: Fraction) -> bool:
        """Nothing from this time of the source on can be kept."""
        last_s: Fraction | float = self._windows[-1].end * self.time_base if self._windows else -inf
        return self._ended and start_s > last_s

    def shift_of(self, start_s: Fraction, end_s: Fraction) -> Fraction | None:
        """By how many seconds sound of this time moves earlier; None where it may not travel."""
        index = bisect_right(self._starts, start_s / self.time_base) - 1
        windows = self._windows
        if self._open_start is not None:
            newest = Window(self._open_start, self._last_kept, self.shift)
            if start_s >= newest.start * self.time_base:
                return self.shift * self.time_base if end_s <= newest.end * self.time_base else None
        if index < 0 or end_s > windows[index].end * self.time_base:
            return None
        return windows[index].shift * self.time_base

    def _close_window(self) -> None:
        if self._open_start is None:
            return
        end = self._last_kept + self._near
        if self.gap_start is not None:
            end = min(end, self.gap_start)
        self._windows.append(Window(self._open_start, end, self.shift))
        self._starts.append(self._open_start)
        self._open_start = None
