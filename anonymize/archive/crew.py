"""The workers of this machine: one process a core; a dead or hung one is replaced, and its task comes back."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from anonymize.archive.errors import ArchiveError
from anonymize.archive.framing import FramingError, Inbox, send
from anonymize.archive.plain import from_plain, to_plain
from anonymize.archive.receipts import Receipt, Setup, Task
from anonymize.archive.work import Moment

STALL_S: Final = 900.0  # without a word from a job; the first one compiles kernels
START_S: Final = 600.0  # until it has loaded the network
STOP_S: Final = 10.0
CHUNK_BYTES: Final = 1 << 16
END_AT_ONCE: Final = 5  # workers that end before they are ready: it is not the files' fault


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes of the source that are done of a task in flight."""

    task: Task
    done_bytes: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A task's output has its name."""

    task: Task
    receipt: Receipt


Then = Literal["failed", "quarantined", "again", "full"]


@dataclass(frozen=True, slots=True)
class Failed:
    """A task came to nothing; `then` says what is to become of its file. "again": a worker was lost, or a bug.

    `source_digest` and `moment` are of a file in quarantine.
    """

    task: Task
    error: str
    then: Then
    source_digest: str = ""
    moment: Moment | None = None


def failed(task: Task, said: dict[str, Any]) -> Failed:
    """What a worker said of a failure."""
    moment = from_plain(Moment, said["moment"]) if said.get("moment") else None
    return Failed(task, said["error"], said["then"], said.get("source_digest", ""), moment)


Event = Progress | Ended | Failed


class Crew(Protocol):
    """Who carries tasks out: the workers here, or a cluster's."""

    @property
    def free(self) -> int:
        """How many tasks may be begun now."""

    def begin(self, task: Task) -> None:
        """Give a task to a worker."""

    def events(self, wait_s: float) -> list[Event]:
        """What happened, after `wait_s` at most."""

    def stop(self) -> list[Task]:
        """End everything, gently and then not; the tasks that were in flight."""


class LocalCrew:
    """Worker processes of this machine.

    Parameters
    ----------
    setup : Setup
    workers : int
    scratch : Path or None
        RAM folder, mode 0700, in which each worker has a place for what its libraries put into files.
    stall_s : float
        A worker whose job says nothing for so long is hung: it is killed, and the task tried again.
    """

    def __init__(
        self, setup: Setup, workers: int, *, scratch: Path | None = None, stall_s: float = STALL_S
    ) -> None:
        self._setup, self._count, self._stall_s, self._scratch = setup, workers, stall_s, scratch
        self._selector = selectors.DefaultSelector()
        self._members: list[_Member] = []
        self._early_ends = 0

    @property
    def free(self) -> int:
        """Workers without a task, those not yet started included."""
        return self._count - sum(member.task is not None for member in self._members)

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [member.process.pid for member in self._members]

    def begin(self, task: Task) -> None:
        """Give the task to an idle worker, or to a new one: it waits in the pipe until that is ready."""
        member = next((member for member in self._members if member.task is None), None)
        if member is None:
            member = _Member(self._setup, self._scratch)
            self._members.append(member)
            self._selector.register(member.outward, selectors.EVENT_READ, member)
        member.task, member.heard_s = task, time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # its end is seen when its pipe is read
            send(member.inward, {"task": to_plain(task)})

    def events(self, wait_s: float) -> list[Event]:
        """What the workers said, and which of them were lost."""
        found: list[Event] = []
        for key, _ in self._selector.select(wait_s):
            found += self._hear(key.data)
        now_s = time.monotonic()
        for member in list(self._members):
            limit_s = self._stall_s if member.ready else START_S
            if member.task is not None and now_s - member.heard_s > limit_s:
                found += self._lose(member, f"the worker was silent for {limit_s:.0f} s and was ended")
        return found

    def stop(self) -> list[Task]:
        """Ask, wait, kill; nothing of the workers is left."""
        members, self._members = self._members, []
        for member in members:
            self._selector.unregister(member.outward)
            member.process.terminate()
            member.hang_up()
        end_s = time.monotonic() + STOP_S
        for member in members:
            with contextlib.suppress(subprocess.TimeoutExpired):
                member.process.wait(max(0.0, end_s - time.monotonic()))
            member.end()
        self._selector.close()
        return [member.task for member in members if member.task is not None]

    def _hear(self, member: _Member) -> list[Event]:
        chunk = os.read(member.outward, CHUNK_BYTES)
        if not chunk:
            return self._lose(member, "")
        member.heard_s = time.monotonic()
        try:
            messages = member.inbox.take(chunk)
        except (FramingError, ValueError):
            return self._lose(member, "the worker said what is no message and was ended")
        return [event for message in messages if (event := self._event(member, message)) is not None]

    def _event(self, member: _Member, message: dict[str, Any]) -> Event | None:
        if "unfit" in message:
            raise ArchiveError(f"a worker cannot start: {message['unfit']}")
        if "ready" in message:
            member.ready, self._early_ends = True, 0
            return None
        task = member.task
        if task is None:
            return None
        if "progress" in message:
            return Progress(task, message["progress"])
        member.task = None
        if "done" in message:
            return Ended(task, from_plain(Receipt, message["done"]))
        if "failed" in message:
            return failed(task, message["failed"])
        return Failed(task, "the worker was asked to stop", "again")

    def _lose(self, member: _Member, why: str) -> list[Event]:
        """Put the worker away; its task is tried again, by another."""
        self._members.remove(member)
        self._selector.unregister(member.outward)
        member.end()
        self._early_ends += not member.ready
        if self._early_ends >= END_AT_ONCE:
            raise ArchiveError(f"{END_AT_ONCE} workers ended before they were ready: {member.last_words()}")
        if member.task is None:
            return []
        return [Failed(member.task, why or f"the worker was lost: {member.last_words()}", "again")]


class _Member:
    """One worker process and its two pipes."""

    def __init__(self, setup: Setup, scratch: Path | None) -> None:
        self._place = tempfile.TemporaryDirectory(dir=scratch, prefix="worker-") if scratch else None
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }  # the driver's own code
        if self._place is not None:
            environment["TMPDIR"] = self._place.name
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "anonymize.archive.worker", str(os.getpid())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment, process_group=0, bufsize=0,
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.inward, self.outward = self.process.stdin.fileno(), self.process.stdout.fileno()
        self.inbox = Inbox()
        self.task: Task | None = None
        self.ready = False
        self.heard_s = time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            send(self.inward, {"setup": to_plain(setup)})

    def hang_up(self) -> None:
        """Close its input: an idle worker ends."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def end(self) -> None:
        """Kill it if it still lives, and empty its place."""
        self.hang_up()
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        if self._place is not None:
            with contextlib.suppress(OSError):
                self._place.cleanup()

    def last_words(self) -> str:
        """How it ended."""
        code = self.process.returncode
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"
