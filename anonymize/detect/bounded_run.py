"""A thread of its own for the network, so that whoever waits for it can stop waiting at a deadline.

A run cannot be taken back once it hangs in a driver or on a stolen core; but nobody has to wait for it. It is asked
to stop, and until it has, everything that comes is late.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from anonymize.errors import LateError


def step_behind() -> None:
    """Where the application's thread is a real-time one, this thread, which inherited that, goes one behind it.

    Whoever waits until a deadline must not have to wait for this thread to leave the core they share.
    """
    if not hasattr(os, "sched_getscheduler"):
        return
    with suppress(OSError):  # a sandbox without these calls: the thread works all the same
        policy, priority = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
        if policy in (os.SCHED_FIFO, os.SCHED_RR):
            os.sched_setscheduler(0, policy, os.sched_param(max(1, priority - 1)))


class BoundedRun:
    """Does one job at a time on a thread of its own. Not for two callers at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._job: Callable[[], None] | None = None
        self._fault: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """A job is being done."""
        return self._job is not None

    def start(self, job: Callable[[], None]) -> None:
        """Begin a job; `LateError` while the one before is still being done."""
        with self._changed:
            if self._job is not None:
                raise LateError("the network is still busy with an earlier frame")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="anonymize-network", daemon=True)
                self._thread.start()
            self._job, self._fault = job, None
            self._changed.notify_all()

    def wait(self, until_s: float) -> None:
        """Return when the job is done; raise what it raised.

        Parameters
        ----------
        until_s : float
            Of `time.monotonic`.

        Raises
        ------
        LateError
            It was not done by then. It goes on, and what it finds is nobody's.
        """
        with self._changed:
            while self._job is not None:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    raise LateError("the network was not done by the frame's deadline")
                self._changed.wait(left_s)
            fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def close(self) -> None:
        """End the thread once its job is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        step_behind()
        while True:
            with self._changed:
                while self._job is None:
                    if self._closed:
                        return
                    self._changed.wait()
                job = self._job
            fault: BaseException | None = None
            try:
                job()
            except BaseException as raised:  # handed to whoever waits
                fault = raised
            with self._changed:
                self._job, self._fault = None, fault
                self._changed.notify_all()
