"""Several cameras on one engine: bounded queues, a worker thread, and a camera that is never blocked.

`submit` copies the frame into memory of the group, so the camera may use its buffer again at once. Where a queue is
full its oldest frame makes room and is counted as `queue_full`: what is late already is not worth being looked at,
the newest frame is. Deadlines (`Settings.budget`) count from `submit`. The frames that wait are raw; they live in RAM
alone and are blanked once they were worked on or discarded.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Final, NamedTuple

import numpy as np

from anonymize.errors import AnonymizeError, UsageError
from anonymize.frames import CapturedFrame, Dropped, Planes, Reason, ReleasedFrame
from anonymize.pipeline import Engine

IDLE_CHECK_S: Final = 0.5


class WorkerError(AnonymizeError, RuntimeError):
    """The worker thread died, most often because `deliver` raised; nothing more is accepted."""


class _Waiting(NamedTuple):
    """A raw frame in a slot of its camera, and when it arrived (`time.monotonic`)."""

    frame: CapturedFrame
    arrived_s: float


class _Slots:
    """Memory for the waiting frames of one camera; allocated when a frame of a new kind comes."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kind: tuple[object, ...] = ()
        self._free: deque[Planes] = deque()

    def fill(self, captured: CapturedFrame) -> Planes:
        """The planes of `captured` in a free slot."""
        kind = (captured.pixel_format, captured.width, captured.height)
        if kind != self._kind:
            self._kind = kind
            memory = (captured.layout.allocate(captured.width, captured.height) for _ in range(self._count))
            self._free = deque(memory)
        planes = self._free.popleft()  # one more than may wait: there is always one
        for ours, theirs in zip(planes, captured.planes, strict=True):
            np.copyto(ours, theirs)
        return planes

    def give_back(self, frame: CapturedFrame) -> None:
        """Blank the slot that holds `frame` and make it free again."""
        for plane in frame.planes:
            plane.fill(0)
        if (frame.pixel_format, frame.width, frame.height) == self._kind:
            self._free.append(frame.planes)


class CameraGroup:
    """Hides the frames of several cameras on one engine, in turn, each camera in its own order.

    Parameters
    ----------
    engine : Engine
        Made with `in_place=True`: it hides in the group's memory. Not to be used elsewhere meanwhile.
    cameras : iterable of str
        Their names, as in `CapturedFrame.camera`.
    deliver : callable
        Gets every outcome, on the worker's thread. A released frame is valid until it returns.
    queue_frames : int
        Frames that may wait for each camera.
    """

    def __init__(
        self,
        engine: Engine,
        cameras: Iterable[str],
        deliver: Callable[[ReleasedFrame | Dropped], None],
        *,
        queue_frames: int = 2,
    ) -> None:
        names = list(cameras)
        if not names or len(set(names)) < len(names):
            raise UsageError(f"cameras are {names}; wanted different names, at least one")
        if queue_frames < 1:
            raise UsageError(f"queue_frames is {queue_frames}; wanted at least 1")
        if not engine.in_place:
            raise UsageError(
                "the engine of a CameraGroup works in the group's memory: make it with in_place=True"
            )
        self._engine, self._deliver, self._queue_frames = engine, deliver, queue_frames
        self._waiting: dict[str, deque[_Waiting]] = {name: deque() for name in names}
        # one slot more than may wait: the frame that is being worked on keeps its own
        self._slots = {name: _Slots(queue_frames + 1) for name in names}
        self._order = deque(names)
        self._changed = threading.Condition()
        self._closing = False
        self._fault: BaseException | None = None
        self.dropped: Counter[Reason] = Counter()
        self._worker = threading.Thread(target=self._work, name="anonymize-worker", daemon=True)
        self._worker.start()

    def submit(self, captured: CapturedFrame) -> bool:
        """Queue a frame; False where an older one of its camera had to make room. Never waits for the network.

        Raises
        ------
        WorkerError
            The worker died; the frame was not taken.
        UsageError
            A camera that the group does not know, or a group that was closed.
        """
        arrived_s = time.monotonic()
        if captured.camera not in self._waiting:
            raise UsageError(f"camera {captured.camera!r}; wanted one of {', '.join(self._waiting)}")
        with self._changed:
            self._raise_fault()
            if self._closing:
                raise UsageError("the group was closed")
            queue, slots = self._waiting[captured.camera], self._slots[captured.camera]
            made_room = len(queue) >= self._queue_frames
            if made_room:
                slots.give_back(queue.popleft().frame)
                self.dropped[Reason.QUEUE_FULL] += 1
            planes = slots.fill(captured)
            queue.append(_Waiting(replace(captured, planes=planes), arrived_s))
            self._changed.notify()
        return not made_room

    def close(self) -> None:
        """Work off what waits, then stop; raises `WorkerError` if the worker had died."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._worker.join()
        self._raise_fault()

    def __enter__(self) -> CameraGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        with self._changed:
            self._discard_waiting()
            self._closing = True
            self._changed.notify()
        self._worker.join()

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise WorkerError(
                f"the worker died: {type(self._fault).__name__}: {self._fault}"
            ) from self._fault

    def _work(self) -> None:
        try:
            while (waiting := self._next()) is not None:
                frame = waiting.frame
                try:
                    for outcome in self._engine.process(frame, arrived_s=waiting.arrived_s):
                        self._deliver(outcome)
                finally:
                    with self._changed:
                        self._slots[frame.camera].give_back(frame)
        except BaseException as fault:  # told to whoever submits or closes next
            with self._changed:
                self._fault = fault
                self._discard_waiting()

    def _next(self) -> _Waiting | None:
        """The oldest frame of the camera whose turn it is; None when closed and empty."""
        with self._changed:
            while True:
                for _ in range(len(self._order)):
                    name = self._order[0]
                    self._order.rotate(-1)
                    if self._waiting[name]:
                        return self._waiting[name].popleft()
                if self._closing:
                    return None
                self._changed.wait(IDLE_CHECK_S)

    def _discard_waiting(self) -> None:
        for name, queue in self._waiting.items():
            while queue:
                self._slots[name].give_back(queue.popleft().frame)
                self.dropped[Reason.QUEUE_FULL] += 1
