"""What a person sees of a run of the archive: a bar over bytes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Final

from anonymize.archive.driver import Tally, Watcher
from anonymize.archive.receipts import Receipt
from anonymize.archive.words import amount, remaining

LINE_EVERY_S: Final = 30.0


@contextlib.contextmanager
def make_watcher(*, quiet: bool) -> Iterator[Watcher]:
    """A bar on a terminal, lines elsewhere, nothing when quiet; all on standard error."""
    if quiet:
        yield Watcher()
    elif sys.stderr.isatty():
        bar = _Bar()
        try:
            yield bar
        finally:
            bar.close()
    else:
        yield _Lines()


def describe(key: str, receipt: Receipt) -> str:
    """One line on one file."""
    result = receipt.result
    if result is None:
        return key
    faces, plates = (result.objects.get(label, 0) for label in ("face", "plate"))
    return f"{key}: {faces} faces, {plates} plates hidden in {result.frames} frames, {receipt.seconds:.1f} s"


class _Lines(Watcher):
    """A line a file, and one on the whole every half minute."""

    def __init__(self) -> None:
        self._begun_s = self._said_s = time.monotonic()

    def ended(self, key: str, receipt: Receipt, tally: Tally) -> None:
        self._say(f"{self._place(tally)} {describe(key, receipt)}")

    def failed(self, key: str, error: str, tally: Tally) -> None:
        self._say(f"{self._place(tally)} FAILED {key}: {error}")

    def tick(self, tally: Tally) -> None:
        if time.monotonic() - self._said_s > LINE_EVERY_S:
            seen, total = tally.seen_bytes, max(1, tally.total_bytes)
            rate = seen / (time.monotonic() - self._begun_s)
            left = remaining((total - seen) / rate) if rate else "unknown"
            self._say(f"{amount(seen)} of {amount(total)}, {amount(rate)}/s, {left} left")

    def _place(self, tally: Tally) -> str:
        return f"{tally.done_files + tally.failed_files}/{tally.total_files}"

    def _say(self, words: str) -> None:
        self._said_s = time.monotonic()
        print(words, file=sys.stderr, flush=True)


class _Bar(Watcher):
    """Bytes, rate and remaining time; failures are printed above."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
            TimeRemainingColumn(), TextColumn("{task.fields[files]}"), console=self._console,
        )  # fmt: skip
        self._task = self._bar.add_task("archive", total=None, files="")
        self._bar.start()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def tick(self, tally: Tally) -> None:
        files = f"{tally.done_files + tally.failed_files}/{tally.total_files} files"
        files += f", {tally.failed_files} failed" if tally.failed_files else ""
        self._bar.update(self._task, total=tally.total_bytes, completed=tally.seen_bytes, files=files)

    def failed(self, key: str, error: str, tally: Tally) -> None:
        self._console.print(f"FAILED {key}: {error}", highlight=False, markup=False)
