"""The three ways to hide the frames of a clip, from one look at each: in two passes, live, and frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from anonymize.boxes import CLASS_IDS, BoxTable
from anonymize.errors import TooManyError
from anonymize.evaluate.overlap import Boxes, as_boxes
from anonymize.frames import CapturedFrame, Reason, ReleasedFrame
from anonymize.pipeline import Engine
from anonymize.track import Tracker
from anonymize.track.persistent import count_persistent
from anonymize.track.seen_frame import SeenFrame
from anonymize.track.two_sided import link

MODES: Final = ("two_sided", "with_tracking", "without_tracking")
# beside them: what growing the labelled boxes alone would hide, the least that hiding them all costs
LABELS: Final = "labels"


def hide_in_all_modes(engine: Engine, frames: Sequence[CapturedFrame]) -> Iterator[dict[str, Boxes] | None]:
    """Hidden areas of each frame by mode, px; None where the engine would drop it."""
    engine.reset()
    seen = [_look(engine, frame, number) for number, frame in enumerate(frames)]
    size = (frames[0].width, frames[0].height)
    thresholds = {CLASS_IDS[label]: value for label, value in engine.thresholds.items()}
    linked = link(count_persistent(seen, size, thresholds), size)
    tracker, found, table = Tracker(thresholds=thresholds), BoxTable(), BoxTable()
    for frame, looked, both in zip(frames, seen, linked, strict=True):
        if looked.reason is not None or both.reason is not None:
            yield None
            continue
        live = tracker.step(looked.fill(found), looked.time_s, shift=looked.shift_px, size=size)
        boxes_of = (both.fill(table), live, strong_finds(looked))
        hidden = [_hidden(engine, frame, boxes) for boxes in boxes_of]
        areas = {mode: of for mode, of in zip(MODES, hidden, strict=True) if of is not None}
        yield areas if len(areas) == len(MODES) else None


def strong_finds(seen: SeenFrame) -> BoxTable:
    """What was found in this very frame at the threshold."""
    rows = np.flatnonzero(seen.strong)
    table = BoxTable(count=len(rows))
    for name in ("boxes", "class_ids", "scores"):
        getattr(table, name)[: len(rows)] = getattr(seen, name)[rows]
    return table


def _hidden(engine: Engine, frame: CapturedFrame, boxes: BoxTable) -> Boxes | None:
    (outcome,) = engine.hide(frame, boxes)
    if not isinstance(outcome, ReleasedFrame):
        return None
    return as_boxes([box.hidden_xyxy for box in outcome.boxes])


def _look(engine: Engine, frame: CapturedFrame, number: int) -> SeenFrame:
    time_s = float(frame.pts * frame.time_base)
    try:
        return SeenFrame.of(number, time_s, engine.look(frame))
    except TooManyError:
        return SeenFrame.unseen(number, time_s, Reason.TOO_MANY)
