"""One worker: `python -m anonymize.archive.worker`. Tasks come on standard input, receipts go to standard output.

It loads the network once, does one task at a time, dies with its driver, and says nothing but messages: what it
knows of pictures does not leave it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from types import FrameType
from typing import Any, Final

from anonymize.archive.framing import receive, send
from anonymize.process_guard import forbid_core_dumps

TELL_EVERY_S: Final = 0.25
LIVE_EVERY_S: Final = 5.0
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class Stopped(BaseException):
    """The driver asked for an end."""


class Worker:
    """Does what the driver sends until it closes the pipe."""

    def __init__(self, inward: int, outward: int) -> None:
        self._inward, self._outward = inward, outward
        self._asked = self._idle = False
        self._told_s, self._told_bytes = 0.0, 0

    def run(self) -> None:
        """Take the setup, say that it is ready, then task after task."""
        first = receive(self._inward)
        if first is None:
            return
        try:
            self._prepare(first["setup"])
        except Exception as fault:  # noqa: BLE001  said to the driver, which ends the run with it
            send(self._outward, {"unfit": describe(fault)})
            return
        send(self._outward, {"ready": os.getpid()})
        while (message := self._next()) is not None:
            self._told_s, self._told_bytes = 0.0, 0
            send(self._outward, self._answer(message["task"]))
            if self._asked:  # whoever asked; the driver, if it goes on, starts another worker
                return

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """A signal: the job ends at its next question, an idle worker at once."""
        self._asked = True
        if self._idle:
            os._exit(0)

    def _next(self) -> dict[str, Any] | None:
        self._idle = True
        message = receive(self._inward)
        self._idle = False
        return message

    def _prepare(self, plain: Any) -> None:
        from anonymize.archive.jobs import make_jobs
        from anonymize.archive.plain import from_plain
        from anonymize.archive.receipts import Setup
        from anonymize.archive.work import Tools

        setup = from_plain(Setup, plain)
        self._jobs = make_jobs(setup)
        self._tools = Tools(
            settings=setup.settings, model=self._jobs.load_model(setup.model), threads=setup.threads,
            progress=self._tell, check_stop=self._check,
        )  # fmt: skip

    def _answer(self, plain: Any) -> dict[str, Any]:
        from anonymize.archive.carry_out import carry_out
        from anonymize.archive.plain import from_plain, to_plain
        from anonymize.archive.receipts import Task

        try:
            return {"done": to_plain(carry_out(from_plain(Task, plain), self._jobs, self._tools))}
        except Stopped:
            return {"stopped": True}
        except Exception as fault:  # noqa: BLE001  named by type and words, never with its values
            return {"failed": failure_of(fault)}

    def _tell(self, done_bytes: int) -> None:
        self._told_bytes = int(done_bytes)
        self._say(TELL_EVERY_S)

    def _check(self) -> None:
        if self._asked:
            raise Stopped
        self._say(LIVE_EVERY_S)  # a long verification moves no bytes, and is no hanging

    def _say(self, every_s: float) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= every_s:
            self._told_s = now_s
            send(self._outward, {"progress": self._told_bytes})


def failure_of(fault: Exception) -> dict[str, Any]:
    """What the driver must know of a failed task: words, and what is to become of it."""
    from anonymize.archive.errors import UnverifiedError, is_full
    from anonymize.archive.plain import to_plain
    from anonymize.errors import AnonymizeError

    words = {"error": describe(fault)}
    if is_full(fault):
        return {**words, "then": "full"}
    if isinstance(fault, UnverifiedError):
        moment = to_plain(fault.moment) if fault.moment is not None else None
        return {**words, "then": "quarantined", "source_digest": fault.source_digest, "moment": moment}
    return {**words, "then": "failed" if isinstance(fault, (AnonymizeError, FileNotFoundError)) else "again"}


def describe(fault: BaseException) -> str:
    """An exception in one line: our own words, or a foreign one's kind and place."""
    from anonymize.errors import AnonymizeError

    if isinstance(fault, (AnonymizeError, OSError)):
        return str(fault)
    last = traceback.extract_tb(fault.__traceback__)[-1:]
    where = f" at {last[0].filename.rsplit('/', 1)[-1]}:{last[0].lineno}" if last else ""
    return f"internal error{where}: {type(fault).__name__}"


def die_with_parent(parent: int) -> None:
    """Have the system kill this process when its driver ends, however it ends."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Standard output is for messages alone: what libraries print goes nowhere."""
    die_with_parent(int(sys.argv[1]))
    forbid_core_dumps()
    outward, nowhere = os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    worker = Worker(os.dup(0), outward)
    os.dup2(nowhere, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    signal.signal(signal.SIGTERM, worker.ask)
    worker.run()


if __name__ == "__main__":
    main()
