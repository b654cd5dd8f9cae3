"""What a trained network still gets wrong on the training pictures, so that the next run sees it more often.

``python scripts/train/run.py mine`` looks at every training picture at several scales with the installed networks and
writes ``hard.json``: false hits (background taken for an object) and objects that were hardly found. The surest false
hits were looked at by a person: what may be an object after all stands in ``reviewed_hits.json`` and is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from boxes import area, intersection_matrix, iou_matrix, nms
from detect import Detections, detect, open_session
from measure import shorter
from network import CLASSES
from pictures import Pack, Picture

REVIEWED = Path(__file__).resolve().with_name("reviewed_hits.json")
LOOKS = (
    ("drive", 1.0),
    ("drive", 1.6),
    ("drive", 0.5),
    ("archive", 1.0),
)  # network, scale: test pictures are larger than these; half the size is what the quarter sees of close-ups
FLOOR = 0.1
SAME_IOU = 0.4
TOUCH_SHARE = 0.1
SMALLEST_PX = (13.0, 8.0)  # faces, plates
FALSE_FROM = (0.50, 0.50)  # all false hits above these confidences, 364 and 960, were looked at
MISSED = (
    0.10,
    0.60,
)  # below the first, marked boxes often were no objects; the second is about the thresholds


def look(pack: Pack, models: Path) -> Iterable[tuple[Picture, list[Detections]]]:
    """Yield every picture with what the looks found in it."""
    sessions = {name: open_session(models / f"{name}.onnx") for name, _ in LOOKS}
    for picture in pack.pictures:
        pixels = pack.pixels(picture)
        found = (detect(sessions[name], pixels, scale=scale, floor=FLOOR) for name, scale in LOOKS)
        yield picture, [large_enough(f, scale) for f, (_, scale) in zip(found, LOOKS, strict=True)]


def large_enough(found: Detections, scale: float) -> Detections:
    """Leave out what was too small in the look that found it."""
    large = shorter(found.boxes) * min(scale, 1.0) >= np.array(SMALLEST_PX)[found.class_id]
    return Detections(found.boxes[large], found.confidence[large], found.class_id[large])


def hard_boxes(picture: Picture, found: list[Detections], class_id: int) -> list[dict[str, Any]]:
    """Return the false hits and the hardly found objects of a class that is marked in the picture."""
    if class_id not in picture.labelled:
        return []
    boxes = np.concatenate([f.boxes[f.class_id == class_id] for f in found])
    confidence = np.concatenate([f.confidence[f.class_id == class_id] for f in found])
    kept = nms(boxes, confidence, SAME_IOU)
    boxes, confidence = boxes[kept], confidence[kept]
    of_class = picture.class_id == class_id
    known, asked = picture.boxes[of_class], picture.boxes[of_class & ~picture.ignore]
    smaller = np.minimum(area(boxes)[:, None], area(known)[None, :])
    free = ~(intersection_matrix(boxes, known) >= TOUCH_SHARE * smaller).any(axis=1)
    false = boxes[free & (confidence >= FALSE_FROM[class_id]) & (shorter(boxes) >= SMALLEST_PX[class_id])]
    overlap = iou_matrix(asked, boxes) >= SAME_IOU
    best = np.where(overlap, confidence[None, :], 0.0).max(axis=1, initial=0.0)
    missed = asked[(best >= MISSED[0]) & (best < MISSED[1]) & (shorter(asked) >= SMALLEST_PX[class_id])]
    return [
        {"box": [round(float(v), 1) for v in box], "class_id": class_id, "object": is_object}
        for group, is_object in ((false, False), (missed, True))
        for box in group
    ]


def mine(found: Iterable[tuple[Picture, list[Detections]]], target: Path) -> dict[str, int]:
    """Write the hard boxes of all pictures that are trained on; return counts."""
    said: dict[str, list[dict[str, Any]]] = {}
    counts = dict.fromkeys((f"{name} {kind}" for name in CLASSES for kind in ("false", "missed")), 0)
    for picture, detections in found:
        if picture.held_back:
            continue
        for class_id, name in enumerate(CLASSES):
            rows = hard_boxes(picture, detections, class_id)
            said.setdefault(picture.name, []).extend(rows)
            for row in rows:
                counts[f"{name} {'missed' if row['object'] else 'false'}"] += 1
    partial = target.with_suffix(".tmp")
    partial.write_text(json.dumps({name: rows for name, rows in said.items() if rows}))
    partial.replace(target)
    return counts
