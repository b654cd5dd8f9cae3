"""Libraries that make threads real-time ones behind our back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextmanager
def usual_priority() -> Iterator[None]:
    """Within it no thread of this process becomes a real-time one for longer than that.

    SVT-AV1 gives its threads, and the one that opens it, SCHED_FIFO at 99 where the user is root: they would take
    every core from the camera's driver and from the engine, and children inherit it. Elsewhere than on Linux nothing
    is done.
    """
    before = _real_time()
    try:
        yield
    finally:
        for thread in _real_time() - before:
            with suppress(OSError):  # it has ended
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _real_time() -> set[int]:
    """Threads of this process that run before all ordinary ones."""
    if not hasattr(os, "sched_getscheduler") or not _THREADS.is_dir():
        return set()
    found = set()
    for thread in (int(entry.name) for entry in _THREADS.iterdir()):
        with suppress(OSError):
            if os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                found.add(thread)
    return found
