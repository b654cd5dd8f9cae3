"""What became of every labelled object and every hidden area of one class, as flat tables: one row each.

A row keeps *scores* (from which threshold on something holds) instead of answers at one threshold, so that the
curves need no second look at a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anonymize.evaluate.dataset import LabelledPicture
from anonymize.evaluate.matching import match
from anonymize.evaluate.overlap import (
    Boxes,
    Floats,
    area,
    as_boxes,
    covering_score,
    intersection,
    shorter_side,
    union_area,
)

STANDARD_SHARE = 0.5  # GB/T 44464-2024: the mask covers at least half of the box
COVERAGE_SHARE = 0.9  # our own, stricter measure
CLOSE_SHARE = 0.25  # of the smaller of the two: the stricter reading of "touches"

Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the engine found and hid in one picture, one row a box, px of the picture.

    Attributes
    ----------
    boxes, hidden : (M, 4)
        As detected, and the hidden areas as the engine made them.
    labels : (M,) str
    scores : (M,)
    floor : float
        Lowest confidence that was asked for.
    dropped : str
        Why the engine let nothing of this picture go; empty where it did.
    """

    boxes: Boxes
    hidden: Boxes
    labels: npt.NDArray[np.str_]
    scores: Floats
    floor: float
    dropped: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Every labelled object of one class that had to be hidden; one row each.

    Attributes
    ----------
    half, most : (N,)
        Thresholds from which at least 50 % and 90 % of the box are hidden; -inf: never.
    found : (N,)
        Score of the detection at IoU 0.5 or more.
    """

    picture: Rows
    boxes: Boxes
    shorter_px: Floats
    half: Floats
    most: Floats
    found: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """Every hidden area of one class; one row each.

    Attributes
    ----------
    on_object, on_ignored : (M,) bool
        Shares a px with a labelled object, with an ignore box.
    near_object, near_ignored : (M,) bool
        Shares a quarter of the smaller of the two.
    paired_px : (M,)
        Shorter side of the object that it found at IoU 0.5; NaN: none; inf: counts neither way.
    """

    picture: Rows
    boxes: Boxes
    hidden: Boxes
    shorter_px: Floats
    scores: Floats
    on_object: Flags
    on_ignored: Flags
    near_object: Flags
    near_ignored: Flags
    paired_px: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """Areas of each picture at the model's thresholds, px², for one class; one row a picture.

    Attributes
    ----------
    hidden, boxes : (P,)
        Under hidden areas (those on ignore boxes alone left out), and in labelled objects.
    on_objects, met : (P,)
        Under hidden areas that touch an object, and in the objects that they touch: what a hit costs.
    hidden_rest, rest : (P,)
        Hidden outside every box, and the whole picture outside every box.
    """

    hidden: Floats
    boxes: Floats
    on_objects: Floats
    met: Floats
    hidden_rest: Floats
    rest: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ClassRecord:
    """All that is known of one class after all pictures in which it is labelled were looked at."""

    label: str
    threshold: float
    used: Flags  # (P,), the class is labelled there and the picture was not dropped
    objects: Objects
    masks: Masks
    areas: Areas


def record_class(
    pictures: Sequence[LabelledPicture],
    looks: Sequence[Look],
    label: str,
    thresholds: Mapping[str, float],
) -> ClassRecord:
    """Compare what was hidden with what is labelled.

    An object is hidden by whatever lies on it: hidden areas of the other class count where they reach that
    class's own threshold, at every threshold of this class.
    """
    threshold = float(np.float32(thresholds[label]))
    used = np.array(
        [
            label in picture.labelled and not look.dropped
            for picture, look in zip(pictures, looks, strict=True)
        ]
    )
    objects: list[Objects] = []
    masks: list[Masks] = []
    areas = np.zeros((6, len(pictures)))
    for row in map(int, np.flatnonzero(used)):
        picture, look = pictures[row], looks[row]
        masks.append(_masks(row, picture, look, label))
        objects.append(_objects(row, picture, look, label, thresholds))
        areas[:, row] = _areas(picture, masks[-1], label, threshold)
    return ClassRecord(label, threshold, used, _joined_objects(objects), _joined_masks(masks), Areas(*areas))


def _objects(
    row: int, picture: LabelledPicture, look: Look, label: str, thresholds: Mapping[str, float]
) -> Objects:
    asked = picture.asked(label)
    of_class = look.labels == label
    floors = np.array([np.float32(thresholds.get(name, np.inf)) for name in look.labels], np.float64)
    counts = np.where(of_class, look.scores, np.where(look.scores >= floors, np.inf, -np.inf))
    hidden, counts = look.hidden[counts > -np.inf], counts[counts > -np.inf]
    found, _ = match(asked, picture.left_out(label), look.boxes[of_class], look.scores[of_class])
    return Objects(
        picture=np.full(len(asked), row, np.int64),
        boxes=asked,
        shorter_px=shorter_side(asked),
        half=covering_score(asked, hidden, counts, STANDARD_SHARE),
        most=covering_score(asked, hidden, counts, COVERAGE_SHARE),
        found=found,
    )


def _masks(row: int, picture: LabelledPicture, look: Look, label: str) -> Masks:
    asked, left_out = picture.asked(label), picture.left_out(label)
    mine = (look.labels == label) & (area(look.hidden) > 0)
    boxes, hidden, scores = look.boxes[mine], look.hidden[mine], look.scores[mine]
    _, pairs = match(asked, left_out, boxes, scores)
    sizes = np.concatenate([shorter_side(asked), [np.inf, np.nan]])  # the last two: LEFT_OUT, WRONG
    return Masks(
        picture=np.full(len(boxes), row, np.int64),
        boxes=boxes,
        hidden=hidden,
        shorter_px=shorter_side(boxes),
        scores=scores,
        on_object=np.asarray((intersection(hidden, asked) > 0).any(axis=1)),
        on_ignored=np.asarray((intersection(hidden, left_out) > 0).any(axis=1)),
        near_object=_near(hidden, asked),
        near_ignored=_near(hidden, left_out),
        paired_px=sizes[pairs],
    )


def _near(hidden: Boxes, boxes: Boxes) -> Flags:
    smaller = np.minimum(area(hidden)[:, None], area(boxes)[None, :])
    return np.asarray((intersection(hidden, boxes) >= CLOSE_SHARE * np.maximum(smaller, 1e-9)).any(axis=1))


def _areas(picture: LabelledPicture, masks: Masks, label: str, threshold: float) -> tuple[float, ...]:
    asked, left_out = picture.asked(label), picture.left_out(label)
    counted = (masks.scores >= threshold) & (masks.on_object | ~masks.on_ignored)
    hidden = masks.hidden[counted]
    every_box = np.concatenate([asked, left_out])
    under_boxes = union_area(every_box)
    rest = picture.width * picture.height - under_boxes
    hidden_rest = union_area(np.concatenate([every_box, hidden])) - under_boxes
    on_objects = masks.hidden[(masks.scores >= threshold) & masks.on_object]
    met = asked[(intersection(asked, on_objects) > 0).any(axis=1)]
    return union_area(hidden), union_area(asked), union_area(on_objects), union_area(met), hidden_rest, rest


def _joined_objects(parts: list[Objects]) -> Objects:
    names = ("shorter_px", "half", "most", "found")
    columns = {
        name: np.concatenate([np.zeros(0), *(getattr(part, name) for part in parts)]) for name in names
    }
    return Objects(
        picture=np.concatenate([np.zeros(0, np.int64), *(part.picture for part in parts)]),
        boxes=np.concatenate([as_boxes([]), *(part.boxes for part in parts)]),
        **columns,
    )


def _joined_masks(parts: list[Masks]) -> Masks:
    def join(name: str, kind: type) -> npt.NDArray[np.generic]:
        return np.concatenate([np.zeros(0, kind), *(getattr(part, name) for part in parts)])

    flags = ("on_object", "on_ignored", "near_object", "near_ignored")
    columns = {name: join(name, np.float64) for name in ("shorter_px", "scores", "paired_px")}
    columns |= {name: join(name, np.bool_) for name in flags}
    return Masks(
        picture=np.concatenate([np.zeros(0, np.int64), *(part.picture for part in parts)]),
        boxes=np.concatenate([as_boxes([]), *(part.boxes for part in parts)]),
        hidden=np.concatenate([as_boxes([]), *(part.hidden for part in parts)]),
        **columns,  # type: ignore[arg-type]
    )
