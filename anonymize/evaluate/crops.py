"""The worst misses as small pictures in which the miss, and every other face and plate known or found, is hidden.

A crop goes through the engine like any picture, with the labelled boxes as areas to hide always: nothing else can
make the `ReleasedFrame` that is encoded.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from anonymize.detect import Model
from anonymize.evaluate.dataset import LabelledPicture
from anonymize.evaluate.findings import Finding
from anonymize.evaluate.look import open_labelled
from anonymize.evaluate.overlap import Boxes, Floats, area, as_boxes, clipped
from anonymize.evaluate.records import Look
from anonymize.frames import CapturedFrame, Plane, ReleasedFrame
from anonymize.hide import Styles
from anonymize.media.metadata import PictureMetadata
from anonymize.media.pictures import encode_picture
from anonymize.media.sniff import PictureFormat
from anonymize.pipeline import Engine
from anonymize.settings import Settings

AROUND: Final = 4.0  # a crop is this many times the miss's longer side
SMALLEST_PX: Final = 240
LARGEST_PX: Final = 480  # beyond it every second, third, … px is taken
WEAK_SHARE: Final = 0.5  # of a threshold: weaker finds than the engine's are hidden here too


@dataclass(frozen=True, slots=True)
class Crop:
    """A hidden picture as a `data:` address, its size, and where the miss lies in it, px."""

    finding: Finding
    address: str
    width: int
    height: int
    xyxy: tuple[float, float, float, float]


def crop_misses(
    model: Model,
    findings: Sequence[Finding],
    pictures: Mapping[str, LabelledPicture],
    looks: Mapping[str, Look],
    *,
    count: int,
) -> list[Crop]:
    """At most `count` crops of the largest misses in scope, by class in turn."""
    misses = [finding for finding in findings if finding.kind == "miss"]
    labels = sorted({finding.label for finding in misses})
    turns = {label: [finding for finding in misses if finding.label == label] for label in labels}
    worst = [
        turns[label][turn] for turn in range(len(misses)) for label in labels if turn < len(turns[label])
    ]
    crops = [
        _crop(model, finding, pictures[finding.picture], looks[finding.picture]) for finding in worst[:count]
    ]
    return [crop for crop in crops if crop is not None]


def _crop(model: Model, finding: Finding, picture: LabelledPicture, look: Look) -> Crop | None:
    window, step = window_around(as_boxes(finding.xyxy)[0], picture.width, picture.height)
    left, top, right, bottom = window
    frame = open_labelled(picture)
    cut: Plane = frame.planes[0][top:bottom:step, left:right:step].copy()
    hidden = _to_crop(np.concatenate([grown(picture.boxes), _found(model, look)]), window, step)
    settings = Settings(
        tracking=False, hide_always=tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in hidden.tolist())
    )
    small = CapturedFrame((cut,), frame.pixel_format, frame.pts, frame.time_base)
    (outcome,) = Engine(model, settings).process(small)
    if not isinstance(outcome, ReleasedFrame):
        return None
    return Crop(
        finding, data_address(outcome), outcome.width, outcome.height,
        tuple(_to_crop(as_boxes(finding.xyxy), window, step)[0].tolist()),
    )  # fmt: skip


def data_address(frame: ReleasedFrame) -> str:
    """A hidden frame as a `data:` address of a JPEG, made in memory."""
    metadata = PictureMetadata(picture_format=PictureFormat.JPEG)
    encoded = encode_picture(frame, metadata, picture_format=PictureFormat.JPEG)
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode("ascii")


def window_around(box: Floats, width: int, height: int) -> tuple[tuple[int, int, int, int], int]:
    """The crop around a box, xyxy px inside the picture, and the step in which its px are taken."""
    side = max(AROUND * float(max(box[2] - box[0], box[3] - box[1])), SMALLEST_PX)
    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    left = int(np.clip(x - side / 2, 0, max(0, width - side)))
    top = int(np.clip(y - side / 2, 0, max(0, height - side)))
    window = left, top, int(min(width, left + side)), int(min(height, top + side))
    return window, max(1, -(-max(window[2] - left, window[3] - top) // LARGEST_PX))


def grown(boxes: Boxes, growth: float = Styles().growth) -> Boxes:
    """Boxes grown about their centres, as the engine grows what it finds (static areas it does not)."""
    more = (boxes[:, 2:] - boxes[:, :2]) * (growth - 1.0) / 2.0
    return np.concatenate([boxes[:, :2] - more, boxes[:, 2:] + more], axis=1)


def _found(model: Model, look: Look) -> Boxes:
    floors = np.array([WEAK_SHARE * _threshold(model, label) for label in look.labels], np.float64)
    return np.asarray(look.hidden[look.scores >= floors])


def _threshold(model: Model, label: str) -> float:
    return next(value for name, value in model.entry.threshold.items() if name.value == label)


def _to_crop(boxes: Boxes, window: tuple[int, int, int, int], step: int) -> Boxes:
    inside = clipped(boxes, np.array(window, np.float64))
    shifted = (inside - np.array([window[0], window[1]] * 2)) / step
    return np.asarray(shifted[area(shifted) > 0])
