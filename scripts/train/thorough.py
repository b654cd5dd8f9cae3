"""The engine's own several looks (`anonymize.detect.looks`) at labelled pictures, for their thresholds and rates."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import measure
import numpy as np
import settings
from detect import Detections
from network import CLASSES
from pictures import Picture

FLOOR = 0.40  # the engine hands out from half of it on; lower, a crowd has more boxes than it takes


def look_thoroughly(
    model: Path, pictures: list[Picture], read: measure.Reader, *, threads: int
) -> measure.Found:
    """Return what the engine's detector finds with several looks at each picture."""
    sys.path[:0] = [str(settings.REPOSITORY / place) for place in ("", "kernels", "models")]
    from anonymize.boxes import CLASS_LABELS
    from anonymize.detect import DetectionSettings, Detector, Model, packaged_manifest, read_manifest
    from anonymize.errors import TooManyError
    from anonymize.frames import CapturedFrame, Label, PixelFormat

    floors = {Label(name): FLOOR for name in CLASSES}
    entry = read_manifest(packaged_manifest())["drive"]  # every network of ours has its layout
    content = model.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    entry = replace(entry, adapter="anonymize-v2", sha256=digest, threshold_thorough=floors)
    how = DetectionSettings(floors, frozenset(floors), 16, 8, 4096, thorough=True)
    detector = Detector(Model(entry, content), how, threads=threads)
    found: measure.Found = []
    for picture in pictures:
        pixels = np.ascontiguousarray(read(picture))
        limit = np.array([pixels.shape[1], pixels.shape[0]] * 2, np.float32)
        try:
            table = detector.detect(CapturedFrame((pixels,), PixelFormat.BGR24, 0, Fraction(1)))
        except TooManyError:  # the engine hides such a picture as a whole
            whole = np.tile(np.array([0, 0, *limit[:2]], np.float32), (len(CLASSES), 1))
            sure = np.ones(len(CLASSES), np.float32)
            found.append((picture, Detections(whole, sure, np.arange(len(CLASSES)))))
            continue
        rows = slice(0, table.count)
        assert all(CLASS_LABELS[k].value == CLASSES[k] for k in range(len(CLASSES)))
        boxes = np.clip(table.boxes[rows], 0, limit)
        found.append(
            (picture, Detections(boxes, table.scores[rows].copy(), table.class_ids[rows].astype(np.int64)))
        )
    return found
