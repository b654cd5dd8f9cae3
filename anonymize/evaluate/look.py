"""Every picture through the real engine, once, at a low threshold: what it would hide, and from which confidence.

Growth, rounding and clipping are the engine's own (`Box.hidden_xyxy`); raising the threshold only takes areas
away, so one look serves every threshold. Non-maximum suppression takes the strongest first: what it leaves above
a threshold does not depend on what was asked for below it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from anonymize.detect import Model
from anonymize.errors import MediaError
from anonymize.evaluate.dataset import LabelledPicture
from anonymize.evaluate.overlap import as_boxes
from anonymize.evaluate.records import Look
from anonymize.frames import CapturedFrame, Label, ReleasedFrame
from anonymize.media.pictures import open_picture
from anonymize.pipeline import Engine
from anonymize.settings import FULL_SIZE_PX, Settings

FLOORS: Final = (0.1, 0.2, 0.3)  # thresholds to look from: the lowest with room for every box
Progress = Callable[[int, int], None]


def full_size(*, tracking: bool = False) -> Settings:
    """Detection as `anonymize run` reads files: at native size up to 1920 px, larger ones at half of it or more."""
    return Settings(tracking=tracking, min_long_side_px=FULL_SIZE_PX)


def live_size(*, tracking: bool = False) -> Settings:
    """Detection at the live engine's size: a 16 px plate keeps 8 px."""
    return Settings(tracking=tracking)


class Looker:
    """Looks at pictures with one model; where a low threshold gives too many boxes, at the next, at last its own."""

    def __init__(self, model: Model, settings: Settings, *, threads: int = 1) -> None:
        self._model, self._settings, self._threads = model, settings, threads
        own = model.entry.threshold
        lower = [floor for floor in FLOORS if floor < min(own.values())]
        self._thresholds = [dict.fromkeys(own, floor) for floor in lower] + [dict(own)]
        self._engines: dict[int, Engine] = {}

    def look(self, frame: CapturedFrame) -> Look:
        """What is found from the lowest floor on that leaves the engine room; px of the picture."""
        dropped = ""
        for step, thresholds in enumerate(self._thresholds):
            engine = self._engine(step)
            (outcome,) = engine.process(frame)
            engine.reset(frame.camera)
            if isinstance(outcome, ReleasedFrame):
                return look_of(outcome, max(thresholds.values()))
            dropped = outcome.reason.value
        empty = as_boxes([])
        return Look(empty, empty, np.zeros(0, np.str_), np.zeros(0), 1.0, dropped)

    def _engine(self, step: int) -> Engine:
        if step not in self._engines:
            settings = replace(self._settings, thresholds=self._thresholds[step])
            self._engines[step] = Engine(self._model, settings, threads=self._threads)
        return self._engines[step]


def look_of(outcome: ReleasedFrame, floor: float) -> Look:
    """What one released frame holds, as arrays; static areas are left out."""
    boxes = [box for box in outcome.boxes if box.label is not Label.AREA]
    return Look(
        boxes=as_boxes([box.xyxy for box in boxes]),
        hidden=as_boxes([box.hidden_xyxy for box in boxes]),
        labels=np.array([box.label.value for box in boxes], np.str_),
        scores=np.array([box.confidence for box in boxes], np.float64),
        floor=floor,
    )


def open_labelled(picture: LabelledPicture) -> CapturedFrame:
    """The picture's frame.

    Raises
    ------
    MediaError
        It cannot be read, is of another size than the labels say, or is turned by its EXIF.
    """
    frame = open_picture(picture.path).frame
    if frame.rotation_deg or frame.mirrored:
        raise MediaError(
            f"{picture.path}: is turned by its EXIF; wanted pixels as the boxes were drawn on them"
        )
    if (frame.width, frame.height) != (picture.width, picture.height):
        came, wanted = f"{frame.width} x {frame.height}", f"{picture.width} x {picture.height}"
        raise MediaError(f"{picture.path}: is {came} px; wanted {wanted} px as in the labels")
    return frame


def look_at(
    looker: Looker, pictures: Sequence[LabelledPicture], progress: Progress = lambda done, of: None
) -> list[Look]:
    """What is found in each picture, in their order."""
    looks = []
    for done, picture in enumerate(pictures):
        progress(done, len(pictures))
        looks.append(looker.look(open_labelled(picture)))
    progress(len(pictures), len(pictures))
    return looks
