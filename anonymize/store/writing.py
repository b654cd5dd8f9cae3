"""The thread that codes and stores; the camera's thread only copies a hidden frame into its queue.

Whatever fails here (a full disk, a slow one, an encoder), the engine goes on: frames are dropped, counted with the
reason, and the fault stands in the status until a write has succeeded again.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from anonymize.errors import MediaError
from anonymize.media.segments import Coding
from anonymize.store.coding import GroupMaker, Payload
from anonymize.store.errors import LedgerError, StoreError
from anonymize.store.kept import KeptFrame, KeptMemory
from anonymize.store.vault import Segment
from anonymize.zones.hold import ReleasedGroup

COMMIT_EVERY_S: Final = 1.0
MOST_TOGETHER: Final = 64  # segments of a transaction
SLOW_S: Final = 5.0  # a job of the writer that takes longer is a fault: 1 s of video takes 0.3 s
_IDLE_S: Final = 0.2
_STALE_S: Final = 1.0  # after which a group is closed though no frame came


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong: one word for counts and rows, and a sentence without anything of a picture."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames of a camera are not there: what follows begins a new group (SAFETY 3)."""

    camera: str


Item = KeptFrame | ReleasedGroup | Gap


class Writer:
    """A bounded queue and the thread that empties it.

    Parameters
    ----------
    coding : Coding
    deliver : callable
        Stores segments together and returns what went wrong though they are stored; raises what a disk raises.
    drop : callable
        Told a reason and how many frames.
    tick : callable
        Called some times a second, between two jobs; raises what a disk raises.
    class_of : callable
        Class of what a camera takes.
    queue_bytes : int
        Of frames and groups that wait. What does not fit is dropped as `queue_full`.
    """

    def __init__(
        self,
        coding: Coding,
        *,
        deliver: Callable[[list[Segment]], Exception | None],
        drop: Callable[[str, int], None],
        tick: Callable[[], None],
        class_of: Callable[[str], str],
        queue_bytes: int,
    ) -> None:
        self.fault: Fault | None = None
        self.memory = KeptMemory()
        self._coding, self._deliver, self._drop, self._tick = coding, deliver, drop, tick
        self._class_of, self._queue_bytes = class_of, queue_bytes
        self._queue: deque[tuple[Item, int]] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._busy_since_s: float | None = None
        self._makers: dict[str, GroupMaker] = {}
        self._touched_s: dict[str, float] = {}
        self._batch: list[Segment] = []
        self._batch_since_s = 0.0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def offer(self, item: Item, size: int) -> bool:
        """Queue an item that owns its memory; False where the queue is full. Never waits for the disk."""
        with self._changed:
            if self._closing or (self._queue and self._waiting_bytes + size > self._queue_bytes):
                return False
            self._queue.append((item, size))
            self._waiting_bytes += size
            self._changed.notify()
        return True

    def has_room(self, size: int) -> bool:
        """Whether `offer` would take so many bytes now: asked before a frame is copied."""
        return not self._closing and (not self._queue or self._waiting_bytes + size <= self._queue_bytes)

    def close(self, patience_s: float) -> bool:
        """Store what is queued, close the last groups and end; False where the disk does not let it end in time."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> tuple[int, int]:
        """Items and bytes in the queue."""
        with self._changed:
            return len(self._queue), self._waiting_bytes

    def present_fault(self) -> Fault | None:
        """The last fault, until something was stored after it; or that the disk is slow just now."""
        since_s = self._busy_since_s
        if since_s is not None and time.monotonic() - since_s > SLOW_S:
            return Fault(
                "slow_disk", f"the writer waits for the disk since {time.monotonic() - since_s:.0f} s"
            )
        return self.fault

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            item, ended = self._next()
            self._busy_since_s = time.monotonic()
            if item is not None:
                self._guarded(partial(self._take, item))
            self._close_groups(stale_only=not ended)
            if self._batch and (ended or self._is_due()):
                self._flush()
            self._guarded(self._tick)
            self._busy_since_s = None
            if ended:
                return

    def _next(self) -> tuple[Item | None, bool]:
        """The oldest item, if one comes soon; and whether it was the last and the end."""
        with self._changed:
            if not self._queue and not self._closing:
                self._changed.wait(_IDLE_S)
            if not self._queue:
                return None, self._closing
            item, size = self._queue.popleft()
            self._waiting_bytes -= size
            return item, False

    def _guarded(self, job: Callable[[], None]) -> None:
        """Do the job; a fault is kept for the status."""
        try:
            job()
        except Exception as fault:
            self.fault = named(fault)

    def _take(self, item: Item) -> None:
        if isinstance(item, Gap):
            self._close_group(item.camera)
        elif isinstance(item, ReleasedGroup):
            self._take_group(item)
        else:
            try:
                self._take_frame(item)
            finally:
                self.memory.give_back(item)

    def _take_group(self, group: ReleasedGroup) -> None:
        if not group.payload:
            return
        try:
            payload = Payload.unpack(group.payload)
        except StoreError:
            self._drop("foreign_group", len(group.pts))
            raise
        self._add(Segment(group.payload, self._class_of(payload.camera), len(payload.pts)))

    def _take_frame(self, frame: KeptFrame) -> None:
        camera = frame.camera
        maker = self._makers.get(camera)
        if maker is None:
            maker = self._makers[camera] = GroupMaker(camera, self._coding, lambda why: self._drop(why, 1))
        if not maker.takes(frame):
            self._close_group(camera)
        self._touched_s[camera] = time.monotonic()
        try:
            maker.encode(frame)
        except BaseException:
            self._drop("encode_failed", 1 + maker.abandon())
            raise
        if self._coding.group_s == 0.0:
            self._close_group(camera)

    def _close_groups(self, *, stale_only: bool) -> None:
        now_s = time.monotonic()
        for camera in list(self._makers):
            age_s = now_s - self._touched_s[camera]
            if self._makers[camera].frames and (not stale_only or age_s > _STALE_S):
                self._guarded(partial(self._close_group, camera))

    def _close_group(self, camera: str) -> None:
        maker = self._makers.get(camera)
        if maker is None:
            return
        frames = maker.frames
        try:
            plain = maker.close_group()
        except BaseException:
            self._drop("encode_failed", frames)
            raise
        if plain:
            self._add(Segment(plain, self._class_of(camera), frames))

    def _add(self, segment: Segment) -> None:
        if not self._batch:
            self._batch_since_s = time.monotonic()
        self._batch.append(segment)

    def _is_due(self) -> bool:
        return len(self._batch) >= MOST_TOGETHER or time.monotonic() - self._batch_since_s >= COMMIT_EVERY_S

    def _flush(self) -> None:
        batch, self._batch = self._batch, []
        try:
            problem = self._deliver(batch)
            self.fault = None if problem is None else named(problem)
        except Exception as fault:
            self.fault = named(fault)
            self._drop(self.fault.reason, sum(segment.frames for segment in batch))


def named(fault: Exception) -> Fault:
    """A fault of disk, ledger or encoder, in one word and in the system's words; of a bug only its kind."""
    if isinstance(fault, StoreError):
        return Fault(fault.reason, str(fault))
    if isinstance(fault, LedgerError):
        return Fault("ledger_failed", str(fault))
    if isinstance(fault, MediaError):
        return Fault("encode_failed", str(fault))
    if isinstance(fault, OSError):
        words = {
            errno.ENOSPC: "disk_full",
            errno.EDQUOT: "disk_full",
            errno.EROFS: "read_only",
            errno.EACCES: "read_only",
        }
        return Fault(words.get(fault.errno or 0, "disk_error"), fault.strerror or type(fault).__name__)
    return Fault("internal_error", f"internal error: {type(fault).__name__}")
