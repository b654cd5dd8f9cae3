"""A second look at what was hidden: mirrored and at another scale, for faces and plates that are still to be seen.

The same network at the same scale would find nothing new. Mirrored and at another scale it meets other pixels, another
grid and other anchors of chance; what it then finds outside every hidden area was missed, or is nothing. Which it is, a
person says: the file is set aside until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.archive.work import FalseHit, Tools
from anonymize.boxes import CLASS_LABELS, BoxTable
from anonymize.detect import DetectionSettings, Detector, to_stored, upright_size
from anonymize.detect.input_size import network_size
from anonymize.errors import SecondLookError
from anonymize.frames import Box, CapturedFrame, Origin, Plane
from anonymize.settings import Settings

HIDDEN_SHARE: Final = 0.5  # of a found box: with as much of it hidden, it was found the first time
# Above the model's threshold, from `scope_px` on (bench/archive_pictures.py --second-look 300, data/train): without a
# margin 51 files are set aside, 6 of them for a marked object; 0.10 sets 12 aside (2), 0.20 sets 1 (0). That was with
# a threshold of 0.43 for faces; since it is 0.46, 0.07 and 0.17 ask for as much confidence as 0.10 and 0.20 did.
# Where many frames of one file are looked at, the larger one: a file is set aside for its least lucky frame.
PICTURE_MARGIN: Final = 0.07
SAMPLE_MARGIN: Final = 0.17
LARGER: Final = 1.25  # times the scale of the first look, where the picture has the pixels for it
SMALLER: Final = 0.75  # where it has not: pictures are never enlarged
MAX_DETECTORS: Final = 4  # one a scale: pictures of few sizes come in one archive


class SecondLook:
    """Looks at written pictures of any size. Not for two threads at once.

    Parameters
    ----------
    tools : Tools
        The network, and the hits that a person called false.
    settings : Settings or None
        Of the first look; None takes those of videos.
    margin : float
        Of confidence, above the model's own threshold.
    """

    def __init__(
        self, tools: Tools, settings: Settings | None = None, *, margin: float = SAMPLE_MARGIN
    ) -> None:
        self._margin = margin
        self._settings = settings or tools.settings.video
        self._model, self._threads = tools.model, tools.threads
        self._released: tuple[FalseHit, ...] = tools.corrections.released
        self._detectors: dict[int, Detector] = {}

    def release(self, false_hits: tuple[FalseHit, ...]) -> None:
        """From now on these are the hits that a person called false: those of the next file."""
        self._released = false_hits

    def findings(self, frame: CapturedFrame, hidden: Iterable[Box]) -> tuple[Box, ...]:
        """Faces and plates outside what was hidden and outside what was judged a false hit, surest first.

        Parameters
        ----------
        frame : CapturedFrame
            A picture as it was written, decoded again.
        hidden : iterable of Box
            What was hidden in it, px of the stored picture.

        Raises
        ------
        DetectorError, TooManyError
            As the detector does.
        """
        detector = self._detector_for(frame)
        found = detector.detect(_mirrored(frame))
        rows = [row for row in range(found.count) if self._counts(found, row, detector)]
        boxes = _stored(found.boxes[rows], frame)
        areas = [box.hidden_xyxy for box in hidden]
        at_s = float(frame.pts * frame.time_base)
        findings = []
        for row, xyxy in zip(rows, boxes.tolist(), strict=True):
            label = CLASS_LABELS[found.class_ids[row]]
            box = Box(label, tuple(xyxy), float(found.scores[row]), Origin.DETECTED, (0, 0, 0, 0))
            if _hidden_share(box.xyxy, areas) < HIDDEN_SHARE and not self._is_released(box, at_s):
                findings.append(box)
        return tuple(findings)

    def check(self, frame: CapturedFrame, hidden: Iterable[Box], number: int = 0, topic: str = "") -> None:
        """Raise `SecondLookError` for the surest finding of `findings`, if there is one."""
        for box in self.findings(frame, hidden):
            at_s = float(frame.pts * frame.time_base)
            raise SecondLookError(
                box.label.value, box.xyxy, box.confidence, frame=number, pts_s=at_s, topic=topic
            )

    def _detector_for(self, frame: CapturedFrame) -> Detector:
        """For another scale than that of the first look; larger where the first one was small."""
        first = self._settings
        size = network_size(
            *upright_size(frame.width, frame.height, frame.rotation_deg),
            scope_px=first.scope_px, keep_px=first.keep_px, min_long_side=first.min_long_side_px,
        )  # fmt: skip
        permille = round(1000 * size.scale * (LARGER if size.scale * LARGER <= 1.0 else SMALLER))
        if permille not in self._detectors:
            if len(self._detectors) == MAX_DETECTORS:
                self._detectors.clear()
            settings = DetectionSettings(
                thresholds=dict(first.thresholds or {}),
                classes=first.classes,
                scope_px=1000,
                keep_px=permille,
                min_long_side_px=1,
                cautious=first.cautious,
            )
            self._detectors[permille] = Detector(self._model, settings, threads=self._threads)
        return self._detectors[permille]

    def _counts(self, found: BoxTable, row: int, detector: Detector) -> bool:
        """Whether a find is sure and large enough to set a file aside for it."""
        threshold = detector.thresholds[CLASS_LABELS[found.class_ids[row]]]
        x1, y1, x2, y2 = found.boxes[row]
        in_scope = min(x2 - x1, y2 - y1) >= self._settings.scope_px
        return bool(in_scope and found.scores[row] >= threshold + self._margin)

    def _is_released(self, box: Box, at_s: float) -> bool:
        """Whether a person called this a false hit, or the settings leave such a place out."""
        x, y = (box.xyxy[0] + box.xyxy[2]) / 2, (box.xyxy[1] + box.xyxy[3]) / 2
        places = [
            hit.xyxy for hit in self._released if hit.label == box.label and hit.from_s <= at_s <= hit.until_s
        ]
        return any(x1 <= x < x2 and y1 <= y < y2 for x1, y1, x2, y2 in (*places, *self._settings.never))


def _mirrored(frame: CapturedFrame) -> CapturedFrame:
    """A copy whose upright picture is mirrored left to right: pixel for pixel, in the planes themselves."""
    axis = 1 if frame.rotation_deg in (0, 180) else 0
    planes: list[Plane] = [np.flip(plane, axis).copy() for plane in frame.planes]
    return replace(frame, planes=tuple(planes))


def _stored(boxes: npt.NDArray[np.float32], frame: CapturedFrame) -> npt.NDArray[np.float32]:
    """Boxes of the mirrored upright picture as boxes of the stored one."""
    width, _ = upright_size(frame.width, frame.height, frame.rotation_deg)
    back = boxes.copy()
    back[:, 0], back[:, 2] = width - boxes[:, 2], width - boxes[:, 0]
    size = (frame.width, frame.height)
    out = np.empty_like(back)
    to_stored(back, out, size, rotation_deg=frame.rotation_deg, mirrored=frame.mirrored)
    return np.clip(out, 0, np.array([*size, *size], np.float32))


def _hidden_share(xyxy: Sequence[float], areas: Sequence[tuple[int, int, int, int]]) -> float:
    """Share of a box's px that lie in at least one hidden area, 0 to 1; an empty box counts as hidden."""
    left, top = int(np.floor(xyxy[0])), int(np.floor(xyxy[1]))
    right, bottom = int(np.ceil(xyxy[2])), int(np.ceil(xyxy[3]))
    if right <= left or bottom <= top:
        return 1.0
    inside = np.zeros((bottom - top, right - left), bool)
    for x1, y1, x2, y2 in areas:
        inside[max(y1 - top, 0) : max(y2 - top, 0), max(x1 - left, 0) : max(x2 - left, 0)] = True
    return float(inside.mean())
