"""What a person sees while a run goes on: a bar on a terminal, a plain line for each input elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Protocol

from anonymize.cli.work import Result
from anonymize.frames import Label

BAR_EVERY_S = 0.1


class RunProgress(Protocol):
    """Told of every frame of a video and of every input that ended."""

    def __enter__(self) -> RunProgress: ...

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None: ...

    def frame(self, result: Result) -> None:
        """A frame of this video was done."""

    def ended(self, result: Result) -> None:
        """This input was done, or failed."""


def make_progress(total: int, *, quiet: bool) -> RunProgress:
    """A bar on a terminal, lines elsewhere, nothing when quiet; all on standard error."""
    if quiet:
        return _Silent()
    return _Bar(total) if sys.stderr.isatty() else _Lines(total)


def describe(result: Result) -> str:
    """One line on one input."""
    if result.error:
        return f"FAILED {result.error}"
    if result.kind == "picture" and result.withheld:
        return "done"  # which one zones left out is not told
    faces, plates = (result.objects[label] for label in (Label.FACE, Label.PLATE))
    found = f"{_many(faces, 'face')}, {_many(plates, 'plate')}"
    if result.kind == "picture":
        return f"{result.job.source}: {found} hidden"
    rate = result.frames / max(result.seconds, 1e-6)
    return f"{result.job.source}: {found} hidden in {_many(result.frames, 'frame')}, {rate:.1f} frames/s"


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        return None

    def frame(self, result: Result) -> None:
        """Nothing."""

    def ended(self, result: Result) -> None:
        """Nothing."""


class _Lines(_Silent):
    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def __enter__(self) -> _Lines:
        return self

    def ended(self, result: Result) -> None:
        """Print one line."""
        self._done += 1
        print(f"{self._done}/{self._total} {describe(result)}", file=sys.stderr, flush=True)


class _Bar(_Silent):
    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(), TextColumn("{task.fields[found]}"), console=self._console,
        )  # fmt: skip
        self._inputs = self._bar.add_task("inputs", total=total, rate="", found="")
        self._video: Any = None
        self._drawn_s = 0.0
        self._started_s = time.monotonic()
        self._faces = self._plates = self._pictures = 0

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bar.stop()

    def frame(self, result: Result) -> None:
        """Move the bar of the video at hand, ten times a second at most."""
        now_s = time.monotonic()
        if self._video is None:
            self._video_started_s = now_s
            name = result.job.source.name
            self._video = self._bar.add_task(name, total=result.frames_total or None, rate="", found="")
        if now_s - self._drawn_s < BAR_EVERY_S:
            return
        self._drawn_s = now_s
        rate = result.frames / max(now_s - self._video_started_s, 1e-6)
        self._bar.update(
            self._video,
            completed=result.frames,
            rate=f"{rate:.1f} frames/s",
            found=f"{result.objects[Label.FACE]} faces, {result.objects[Label.PLATE]} plates",
        )

    def ended(self, result: Result) -> None:
        """Count the input and print its line above the bars."""
        if self._video is not None:
            self._bar.remove_task(self._video)
            self._video = None
        self._faces += result.objects[Label.FACE]
        self._plates += result.objects[Label.PLATE]
        self._pictures += 1
        rate = self._pictures / max(time.monotonic() - self._started_s, 1e-6)
        self._bar.update(
            self._inputs, advance=1, rate=f"{rate:.1f}/s", found=f"{self._faces} faces, {self._plates} plates"
        )
        self._console.print(describe(result), highlight=False, markup=False)
