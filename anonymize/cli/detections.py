"""The detections file: one JSON line a frame, schema 1 (docs/detections.md)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from anonymize.frames import Box, ReleasedFrame
from anonymize.media.output import check_target, new_file

SCHEMA = 1


def line_of(
    frame: ReleasedFrame, source: str, number: int, *, pts: int | None = None, part: int | None = None
) -> dict[str, Any]:
    """What the file says of one frame; frames that were withheld have no line (SAFETY 24).

    `pts` is given where the output's times are not the source's, `part` where it is one of several files.
    """
    pts = frame.pts if pts is None else pts
    return {
        "schema": SCHEMA,
        "source": source,
        **({} if part is None else {"part": part}),
        "frame": number,
        "pts": pts,
        "time_base": f"{frame.time_base.numerator}/{frame.time_base.denominator}",
        "pts_s": round(float(pts * frame.time_base), 6),
        "width": frame.width,
        "height": frame.height,
        "boxes": [_box(box) for box in frame.boxes],
    }


def _box(box: Box) -> dict[str, Any]:
    return {
        "label": box.label.value,
        "xyxy": [round(edge, 2) for edge in box.xyxy],
        "confidence": round(box.confidence, 4),
        "origin": box.origin.value,
        "hidden_xyxy": list(box.hidden_xyxy),
    }


class DetectionsFile:
    """Lines of all inputs that were done; those of one that fails are taken out again."""

    def __init__(self, file: BinaryIO | None) -> None:
        self._file = file

    def add(
        self,
        frame: ReleasedFrame,
        source: str,
        number: int,
        *,
        pts: int | None = None,
        part: int | None = None,
    ) -> None:
        """Write the line of one frame; see `line_of`."""
        if self._file is not None:
            line = json.dumps(line_of(frame, source, number, pts=pts, part=part), separators=(",", ":"))
            self._file.write(line.encode() + b"\n")

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Lines added in the block stay only if it ends without an exception."""
        start = self._file.tell() if self._file is not None else 0
        try:
            yield
        except BaseException:
            if self._file is not None:
                self._file.seek(start)
                self._file.truncate()
            raise


@contextlib.contextmanager
def open_detections(path: Path | None, *, overwrite: bool) -> Iterator[DetectionsFile]:
    """The file at `path`, complete under its name when the block ends; without a path, a file that takes nothing."""
    if path is None:
        yield DetectionsFile(None)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    check_target(path, overwrite=overwrite)
    with new_file(path, overwrite=overwrite) as file:
        yield DetectionsFile(file)
