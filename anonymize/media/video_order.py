"""From the order in which a decoder hands out pictures to the order of their times, with every packet settled.

Every packet is a promise of one picture. A promise that is not kept, by an error or silently, is a lost frame and
is reported; and a picture is handed on only when no packet with an earlier time is still under way. Most decoders
hand out by time anyway, then nothing waits. But times that do not agree with the coding order happen (a shared
test clip has one), encoders want rising times, and players go by the time.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import av

LOST_AFTER: Final = 17  # pictures: no H.264 or HEVC decoder may hold back more than 16 (DPB size, annex A)
LOOK_AHEAD: Final = (
    16  # packets read ahead of the decoder, so that earlier times are known before they are due
)


@dataclass(frozen=True, slots=True)
class Promise:
    """A packet that must become a picture: its number in the file (from 0), its time, and whether players skip it."""

    number: int
    pts: int | None
    dts: int | None
    leading: bool


@dataclass(order=True, slots=True)
class _Held:
    pts: int
    number: int
    frame: av.VideoFrame = field(compare=False)


class PresentationOrder:
    """Pictures in by the decoder's order, out by time."""

    def __init__(self, *, decoder_delay: int = 0) -> None:
        self._lost_after = LOST_AFTER + decoder_delay
        self._promised: dict[int, Promise] = {}
        self._held: list[_Held] = []

    def promise(self, promise: Promise) -> None:
        """A packet was read and is still to be decoded."""
        self._promised[promise.number] = promise

    def settle(self, number: int) -> Promise | None:
        """The packet failed, or will give no picture; the promise, or None where it was settled before."""
        return self._promised.pop(number, None)

    def put(self, number: int, pts: int, frame: av.VideoFrame) -> None:
        """The picture of packet `number` came."""
        self._promised.pop(number, None)
        heapq.heappush(self._held, _Held(pts, number, frame))

    def lost(self, newest: int | None) -> list[Promise]:
        """Promises that can no longer be kept once the picture of packet `newest` came; None at the end: all."""
        gone = [p for p in self._promised.values() if newest is None or p.number < newest - self._lost_after]
        for promise in gone:
            del self._promised[promise.number]
        return gone

    def ready(self) -> Iterator[tuple[int, int, av.VideoFrame]]:
        """Pictures whose turn it is: (pts, number of the packet, picture)."""
        due = min((p.pts for p in self._promised.values() if p.pts is not None), default=None)
        while self._held and (due is None or self._held[0].pts <= due):
            first = heapq.heappop(self._held)
            yield first.pts, first.number, first.frame
