"""Real-time priority for a paced run, as a vehicle gives it to the process that hides (`chrt -f`, systemd, QNX)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from anonymize.errors import UsageError

LOWEST, HIGHEST = 2, 90  # above 90 the system's own threads would wait for ours
_THREADS: Final = Path("/proc/self/task")


@contextmanager
def real_time(priority: int | None) -> Iterator[None]:
    """Within it this process's threads run before all ordinary ones (SCHED_FIFO); nothing is done for None.

    The caller's thread gets `priority`, the others, the network's among them, one less: who waits for the network
    until a deadline must not have to wait for it beyond.

    Raises
    ------
    UsageError
        The system has no such priorities, or does not grant them to this user.
    """
    if priority is None:
        yield
        return
    if not hasattr(os, "sched_setscheduler") or not _THREADS.is_dir():
        raise UsageError("--priority needs Linux; leave it out here")
    before: dict[int, tuple[int, int]] = {}
    try:
        _raise(priority, before)
        yield
    finally:
        for thread, (policy, usual) in before.items():
            with suppress(OSError):
                os.sched_setscheduler(thread, policy, os.sched_param(usual))


def _raise(priority: int, before: dict[int, tuple[int, int]]) -> None:
    """Give every thread its priority; `before` gets what each had."""
    own = threading.get_native_id()
    try:
        for thread in (int(entry.name) for entry in _THREADS.iterdir()):
            with suppress(ProcessLookupError):  # it has ended
                before[thread] = os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority - (thread != own)))
    except PermissionError:
        raise UsageError(
            f"--priority {priority} is not granted to this user; wanted root, CAP_SYS_NICE, or `ulimit -r` of "
            f"{priority} or more"
        ) from None
