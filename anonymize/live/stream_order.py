"""What has come into an element that holds frames, in its order: events of the stream, and a ticket for each frame."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from anonymize.live.gst_names import PictureKind


@dataclass(frozen=True, slots=True)
class Ticket:
    """What an element remembers of a frame that waits: nothing of its pixels, nothing of the buffer it came in.

    Parameters
    ----------
    captured_at_s : float
        UTC, s: finds the ticket of a released frame.
    pts_ns, duration_ns : int
        As the buffer had them, ns.
    kind : PictureKind
    form : object
        How the caps of its time lay a picture out in memory.
    """

    captured_at_s: float
    pts_ns: int
    duration_ns: int
    kind: PictureKind
    form: Any


class StreamOrder:
    """Events leave in their places among the frames; frames that were withheld are passed over."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Any) -> None:
        """The next ticket or event."""
        self._items.append(item)

    def take_back(self, ticket: Ticket) -> None:
        """The ticket that came last is of no use: its frame does not wait."""
        if self._items and self._items[-1] is ticket:
            self._items.pop()

    def reach(self, captured_at_s: float) -> tuple[list[Any], Ticket | None]:
        """Events before the frame of this time, and its ticket. Without such a ticket nothing changes."""
        if not any(isinstance(one, Ticket) and one.captured_at_s == captured_at_s for one in self._items):
            return [], None
        events = []
        while True:
            item = self._items.popleft()
            if not isinstance(item, Ticket):
                events.append(item)
            elif item.captured_at_s == captured_at_s:
                return events, item

    def settle(self, oldest_s: float) -> list[Any]:
        """Forget the tickets before this time, whose frames were withheld; the events among them."""
        events = []
        while self._items:
            item = self._items[0]
            if not isinstance(item, Ticket):
                events.append(item)
            elif item.captured_at_s >= oldest_s:
                break
            self._items.popleft()
        return events

    def clear(self) -> list[Any]:
        """Forget everything; the events that were waiting."""
        events = [item for item in self._items if not isinstance(item, Ticket)]
        self._items.clear()
        return events
