"""Gives tasks to a crew, retries, sets poison aside, and enters in the journal what became of every file."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from anonymize.archive.adopt import proven, sweep
from anonymize.archive.crew import Crew, Ended, Event, Failed, Progress
from anonymize.archive.errors import ArchiveError
from anonymize.archive.journal import Journal, State
from anonymize.archive.place import is_remote
from anonymize.archive.receipts import Receipt, Task
from anonymize.archive.state import temporary_name

MAX_TRIES: Final = 3
WAIT_S: Final = 0.2
TELL_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class FileWork:
    """The steps of one file: a video has a look before, unless its spool lies there.

    `waits_for` names the videos (itself, its neighbours in the drive) whose looks must have ended before it can be
    hidden. A look without a file is for its neighbours' sake.
    """

    file: Task | None
    look: Task | None = None
    waits_for: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """What a run did so far, for whoever shows it."""

    total_bytes: int = 0
    total_files: int = 0
    done_bytes: int = 0
    done_files: int = 0
    failed_files: int = 0
    adopted_files: int = 0
    in_flight: dict[str, int] = field(default_factory=dict)

    @property
    def seen_bytes(self) -> int:
        """Done, and done of what is in flight."""
        return min(self.total_bytes, self.done_bytes + sum(self.in_flight.values()))


class Watcher:
    """Told how a run goes on; the default says nothing."""

    def tick(self, tally: Tally) -> None:
        """Something moved, or 0.2 s went by."""

    def ended(self, key: str, receipt: Receipt, tally: Tally) -> None:
        """This file is done, and its row is committed."""

    def failed(self, key: str, error: str, tally: Tally) -> None:
        """This file came to nothing."""


class Driver:
    """Runs all work to its end, or to an interruption.

    Parameters
    ----------
    journal : Journal
    crew : Crew
    run : int
        The run's number in the journal.
    watcher : Watcher
    """

    def __init__(self, journal: Journal, crew: Crew, run: int, watcher: Watcher) -> None:
        self._journal, self._crew = journal, crew
        self._run, self._watcher = run, watcher
        self._ready: deque[Task] = deque()
        self._held: dict[str, tuple[Task, set[str]]] = {}
        self._blind: set[str] = set()  # videos whose look failed: their neighbours are hidden without it
        self._tries: dict[str, int] = {}
        self._told_s = 0.0
        self._full = ""
        self.tally = Tally()

    def run(self, work: Iterable[FileWork], check: Callable[[], None]) -> None:
        """Do all of it; what could not be done stands in the journal.

        Parameters
        ----------
        work : iterable of FileWork
        check : callable
            Asked several times a second; what it raises ends the run, with nothing unfinished left.

        Raises
        ------
        ArchiveError
            The disk is full, the journal cannot be written, or no worker starts.
        """
        self._take(work)
        in_flight = 0
        try:
            while self._ready or in_flight:
                check()
                while self._ready and self._crew.free and not self._full:
                    self._begin(self._ready.popleft())
                    in_flight += 1
                for event in self._crew.events(WAIT_S):
                    in_flight -= not isinstance(event, Progress)
                    self._follow(event)
                self._tell()
                if self._full and not in_flight:
                    raise ArchiveError(self._full)
            self._tell(at_once=True)
        finally:
            for task in self._crew.stop():
                self.clear(task)

    def _take(self, work: Iterable[FileWork]) -> None:
        looks: list[Task] = []
        for one in work:
            self.tally.total_bytes += sum(task.weight for task in (one.look, one.file) if task is not None)
            if one.look is not None:
                looks.append(one.look)
            if one.file is not None:
                self.tally.total_files += 1
                self._held[one.file.key] = one.file, set(one.waits_for)
        coming = {task.key for task in looks}
        for _, pending in self._held.values():
            pending &= coming
        self._ready.extend(task for task, pending in self._held.values() if not pending)
        self._held = {key: held for key, held in self._held.items() if held[1]}
        self._ready.extend(looks)

    def _begin(self, task: Task) -> None:
        task = replace(
            task,
            temporary="" if is_remote(task.target) else str(temporary_name(Path(task.target))),
            before=None if task.before in self._blind else task.before,
            after=None if task.after in self._blind else task.after,
        )
        if task.step == "file":
            self._journal.begin(task.key, task.temporary)
        self.tally.in_flight[_name(task)] = 0
        self._crew.begin(task)

    def _follow(self, event: Event) -> None:
        task = event.task
        if isinstance(event, Progress):
            self.tally.in_flight[_name(task)] = (
                min(event.done_bytes, task.bound.size) * task.weight // max(1, task.bound.size)
            )
            return
        self.tally.in_flight.pop(_name(task), None)
        if isinstance(event, Ended):
            self._ended(task, event.receipt)
        else:
            self._failed(task, event)

    def _ended(self, task: Task, receipt: Receipt) -> None:
        self.tally.done_bytes += task.weight
        if task.step == "look":
            self._journal.looked(receipt)
            self._release(task, receipt.source_digest)
            return
        self._journal.done(receipt)
        if task.receipt:
            Path(task.receipt).unlink(missing_ok=True)
        self.tally.done_files += 1
        self._watcher.ended(task.key, receipt, self.tally)

    def _failed(self, task: Task, event: Failed) -> None:
        self.clear(task)
        if event.then == "full":
            self._full = f"{event.error}; the disk is full: free space and run the same command again"
            return
        receipt = proven(Path(task.receipt), Path(task.target)) if task.receipt else None
        if receipt is not None and receipt.bound == task.bound:
            self._ended(task, receipt)  # the worker was lost after the rename
            return
        tries = self._tries[_name(task)] = self._tries.get(_name(task), 0) + 1
        if event.then == "again" and tries < MAX_TRIES:
            if task.step == "file" or task.key in self._held:  # else the look is for its neighbours' sake
                self._journal.wait_again(task.key, tries=tries, error=event.error)
            self._ready.append(task)
            return
        self._give_up(task, event, "set aside" if event.then == "again" else event.then, tries)

    def _give_up(self, task: Task, event: Failed, state: State, tries: int) -> None:
        self.tally.done_bytes += task.weight
        if task.step == "look":
            self._blind.add(task.target)
            held = self._held.pop(task.key, None)
            self.tally.done_bytes += held[0].weight if held else 0
            self._release(task, "")
            if held is None:  # only a neighbour's look was wanted
                return
        if state == "quarantined":
            self._journal.quarantined(task, event.error, event.source_digest, event.moment)
        else:
            self._journal.failed(task.key, event.error, state, tries=tries)
        self.tally.failed_files += 1
        self._watcher.failed(task.key, event.error, self.tally)

    def _release(self, look: Task, source_digest: str) -> None:
        """Let the files go on that waited for this look; they come before further looks, so that drives end."""
        for key in [key for key, (_, pending) in self._held.items() if look.key in pending]:
            task, pending = self._held[key]
            pending.discard(look.key)
            if key == look.key and source_digest:
                task = replace(task, source_digest=source_digest)
            self._held[key] = task, pending
            if not pending:
                del self._held[key]
                self._ready.appendleft(task)

    def clear(self, task: Task) -> None:
        """Nothing of this try is left."""
        if task.temporary:
            sweep(Path(task.temporary))
        if task.step == "file" and not is_remote(
            task.target
        ):  # what lies there of a remote one is not settled
            with contextlib.suppress(ArchiveError):  # the journal may be what failed
                self._journal.wait_again(task.key)

    def _tell(self, *, at_once: bool = False) -> None:
        self._watcher.tick(self.tally)
        if at_once or time.monotonic() - self._told_s > TELL_EVERY_S:
            self._told_s = time.monotonic()
            self._journal.tell(self._run, self.tally.seen_bytes)


def _name(task: Task) -> str:
    return f"{task.step} {task.key}"
