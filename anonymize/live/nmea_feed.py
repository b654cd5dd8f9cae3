"""Fixes from a receiver that writes NMEA 0183 to a device or a FIFO, read by a thread of its own."""

from __future__ import annotations

import os
import select
import stat
import threading
from collections.abc import Callable
from typing import Final

from anonymize.errors import UsageError
from anonymize.zones.feeds.nmea import LONGEST_SENTENCE, NmeaReader
from anonymize.zones.fixes import Fix

POLL_S: Final = 0.1
PAUSE_S: Final = 0.3  # an epoch is complete when the receiver pauses; a sentence at 4800 baud takes 0.17 s
READ_BYTES: Final = 4_096


class NmeaFeed:
    """Reads sentences line by line and gives each fix on, until `stop`, or until the receiver ends or fails.

    Parameters
    ----------
    path : str
        A device or a FIFO. A log is none: its fixes are of another time.
    take : callable
        Gets each `Fix`, on the feed's thread.
    ended : callable
        Called once, with words that hold no place, when no fix will come any more; not after `stop`.

    Raises
    ------
    UsageError
        It cannot be opened, or is neither device nor FIFO.
    TrackError
        pynmea2 is not installed.
    """

    def __init__(self, path: str, take: Callable[[Fix], None], ended: Callable[[str], None]) -> None:
        self._take, self._ended = take, ended
        self._reader = NmeaReader()
        self._stop = threading.Event()
        try:
            # without waiting: a FIFO that nobody writes to yet would block the start
            self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as fault:
            raise UsageError(f"{path}: the receiver cannot be opened: {fault.strerror}") from None
        mode = os.fstat(self._file).st_mode
        self._is_fifo = stat.S_ISFIFO(mode)
        if not (self._is_fifo or stat.S_ISCHR(mode)):
            os.close(self._file)
            raise UsageError(f"{path} is neither a device nor a FIFO; wanted the receiver itself, not a log")
        self._thread = threading.Thread(target=self._run, name="nmea", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Read no more; returns when the thread has ended."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        words = "the receiver's reader failed"
        try:
            words = self._read()
        except OSError as fault:
            words = f"the receiver cannot be read: {fault.strerror}"
        except Exception as fault:  # noqa: BLE001 - whatever it was, there are no more fixes; its text holds the place
            words = f"the receiver's reader failed: {type(fault).__name__}"
        finally:
            os.close(self._file)
            if not self._stop.is_set():
                self._ended(f"{words}; no fix comes any more, and every frame is withheld")

    def _read(self) -> str:
        poller = select.poll()
        poller.register(self._file, select.POLLIN)
        rest, paused_s, begun = b"", 0.0, False
        while not self._stop.is_set():
            if not poller.poll(POLL_S * 1000.0):
                paused_s += POLL_S
                if paused_s >= PAUSE_S and not rest:
                    self._give(self._reader.flush())
                continue
            try:
                content = os.read(self._file, READ_BYTES)
            except BlockingIOError:
                continue
            if not content:
                if begun or not self._is_fifo:
                    self._give(self._reader.flush())
                    return "the receiver has ended"
                self._stop.wait(POLL_S)  # nobody writes to the FIFO yet
                continue
            begun, paused_s = True, 0.0
            *lines, rest = (rest + content).split(b"\n")
            rest = rest[-LONGEST_SENTENCE:]  # noise without an end; its checksum will not fit
            for line in lines:
                self._give(self._reader.take(line.decode("ascii", "replace")))
        return ""

    def _give(self, fix: Fix | None) -> None:
        if fix is not None and not self._stop.is_set():
            self._take(fix)
