"""The three ways to hide the frames of a clip, from one look at each: in two passes, live, and frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from anonymize.boxes import CLASS_IDS, BoxTable
from anonymize.errors import TooManyError
from anonymize.evaluate.overlap import Boxes, as_boxes
from anonymize.frames import CapturedFrame, Origin, Reason, ReleasedFrame
from anonymize.pipeline import Engine
from anonymize.track import Tracker
from anonymize.track.persistent import count_persistent
from anonymize.track.seen_frame import SeenFrame
from anonymize.track.two_sided import link

MODES: Final = ("two_sided", "with_tracking", "without_tracking")


def hide_in_all_modes(engine: Engine, frames: Sequence[CapturedFrame]) -> Iterator[dict[str, Boxes] | None]:
    """Hidden areas of each frame by mode, px; None where the engine would drop it."""
    engine.reset()
    seen = [_look(engine, frame, number) for number, frame in enumerate(frames)]
    size = (frames[0].width, frames[0].height)
    thresholds = {CLASS_IDS[label]: value for label, value in engine.thresholds.items()}
    linked = link(count_persistent(seen, size, thresholds), size)
    tracker, found, table = Tracker(), BoxTable(), BoxTable()
    for frame, looked, both in zip(frames, seen, linked, strict=True):
        if looked.reason is not None or both.reason is not None:
            yield None
            continue
        live = tracker.step(looked.fill(found), looked.time_s, shift=looked.shift_px, size=size)
        (with_tracking,) = engine.hide(frame, live)
        (two_sided,) = engine.hide(frame, both.fill(table))
        if not isinstance(with_tracking, ReleasedFrame) or not isinstance(two_sided, ReleasedFrame):
            yield None
            continue
        alone = [
            box
            for box in with_tracking.boxes
            if box.origin is Origin.DETECTED and box.confidence >= np.float32(engine.thresholds[box.label])
        ]
        yield {
            "two_sided": as_boxes([box.hidden_xyxy for box in two_sided.boxes]),
            "with_tracking": as_boxes([box.hidden_xyxy for box in with_tracking.boxes]),
            "without_tracking": as_boxes([box.hidden_xyxy for box in alone]),
        }


def _look(engine: Engine, frame: CapturedFrame, number: int) -> SeenFrame:
    time_s = float(frame.pts * frame.time_base)
    try:
        return SeenFrame.of(number, time_s, engine.look(frame))
    except TooManyError:
        return SeenFrame.unseen(number, time_s, Reason.TOO_MANY)
