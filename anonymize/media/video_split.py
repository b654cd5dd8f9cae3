"""One file for each run of kept frames, `name.001.mp4` and so on: all of them get their names, or none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anonymize.errors import MediaError
from anonymize.frames import ReleasedFrame
from anonymize.media.video_read import VideoReader
from anonymize.media.video_write import VideoWriter


class SplitWriter:
    """As `VideoWriter`, but each gap begins a new file, whose first frame has the time of the source's first.

    Parameters
    ----------
    path : str or path
        Name of the whole; each part gets its number before the extension. Parts of an earlier run with higher
        numbers stay as they are.
    reader : VideoReader
    **chosen
        As for `VideoWriter`.

    Attributes
    ----------
    notes : list of str
    paths : list of Path
        The parts begun.
    """

    def __init__(self, path: str | os.PathLike[str], reader: VideoReader, **chosen: Any) -> None:
        self.path = Path(path)
        self.reader = reader
        self.notes: list[str] = []
        self.paths: list[Path] = []
        self._chosen = chosen
        self._parts: list[VideoWriter] = []
        self._open: VideoWriter | None = None
        self._withheld = 0
        self._opening = self._part()  # what cannot be written is said before the first frame

    def _part(self) -> VideoWriter:
        number = len(self._parts) + 1
        path = self.path.with_name(f"{self.path.stem}.{number:03d}{self.path.suffix}")
        return VideoWriter(path, self.reader, gap="cut", **self._chosen)

    @property
    def last_pts(self) -> int | None:
        """Time in its part of the last frame written."""
        return self._parts[-1].last_pts if self._parts else None

    @property
    def last_place(self) -> tuple[int, int]:
        """Number of the part of the last frame written, from 1, and of the frame in it, from 0."""
        return len(self._parts), self._parts[-1].frames_written - 1

    def __enter__(self) -> Self:
        return self

    def write(self, frame: ReleasedFrame) -> None:
        """Encode one frame into the part at hand, or into a new one after a gap."""
        if self._open is None:
            part = self._opening if not self._parts else self._part()
            self._open = part.__enter__()
            self._parts.append(part)
            self.paths.append(part.path)
            if self._withheld:
                part.withhold(self.reader.facts.first_pts)
        self._open.write(frame)

    def withhold(self, pts: int) -> None:
        """A frame of the reader may not be there: the part at hand ends."""
        self._withheld += 1
        part, self._open = self._open, None
        if part is None:
            self.reader.take_duration(pts)
            return
        part.withhold(pts)
        part.complete()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException as fault:
            self._leave_nothing(fault)
            raise
        if error is not None:
            self._leave_nothing(error)

    def _finish(self) -> None:
        if not self.reader.finished:
            raise MediaError(f"{self.path}: not all frames of {self.reader.path} were read; nothing is kept")
        if not self._parts:
            raise MediaError(
                f"{self.path}: no frame of {self.reader.path} could be released; nothing is kept"
            )
        if self._open is not None:
            self._open.complete()
            self._open = None
        named: list[Path] = []
        waiting = list(self._parts)
        try:
            while waiting:
                waiting[0].__exit__(None, None, None)
                named.append(waiting.pop(0).path)
        except BaseException:
            for path in named:
                path.unlink(missing_ok=True)
            raise
        released = sum(part.frames_written for part in self._parts)
        if left_out := self.reader.frames_read - released - self._withheld:
            self.notes.append(f"{left_out} of {self.reader.frames_read} frames were not released")
        for part in self._parts:
            self.notes += [note for note in part.notes if note not in self.notes]
        self.notes += [*self._parts[0].notes_beside, *self.reader.notes]

    def _leave_nothing(self, fault: BaseException) -> None:
        for part in self._parts:
            with contextlib.suppress(Exception):
                part.__exit__(type(fault), fault, fault.__traceback__)
