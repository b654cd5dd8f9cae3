"""Plates where nobody marked plates: an own checkpoint proposes, a person looks, the rest is background.

``propose`` writes sheets of numbered crops; the numbers of the true and the doubtful ones go into
``reviewed_plates.json`` (by picture and box); ``settle`` turns that into labels for training.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from boxes import iou_matrix
from detect import detect, open_session
from numpy.typing import NDArray
from pictures import PLATE, Pack, rows_of

REVIEWED = Path(__file__).resolve().with_name("reviewed_plates.json")
CELL_PX = 120
SAME_IOU = 0.3
STREETS = ("coco128", "roadsigns_cc0", "lund_walk", "lums_road")
TOO_SMALL_PX, TOO_SMALL_CONFIDENCE = 9.0, 0.35
Proposal = dict[str, Any]


def propose(pack: Pack, model: Path, folder: Path, floor: float) -> list[Proposal]:
    """Write the plates found in pictures without marked plates, most confident first, and their sheets."""
    session = open_session(model)
    known = json.loads(REVIEWED.read_text()) if REVIEWED.exists() else {}
    proposals: list[Proposal] = []
    cells: list[NDArray[np.uint8]] = []
    for picture in pack.pictures:
        if PLATE in picture.labelled:
            continue
        pixels = pack.pixels(picture)
        found = detect(session, pixels, floor=floor)
        seen = np.array([k["box"] for k in known.get(picture.name, [])], np.float32).reshape(-1, 4)
        for k in np.flatnonzero(found.class_id == PLATE):
            if iou_matrix(found.boxes[k : k + 1], seen).max(initial=0.0) > SAME_IOU:
                continue
            box = [round(float(v), 1) for v in found.boxes[k]]
            proposals.append({"name": picture.name, "box": box, "confidence": float(found.confidence[k])})
            cells.append(cell(pixels, found.boxes[k]))
    order = np.argsort([-p["confidence"] for p in proposals])
    proposals = [proposals[k] for k in order]
    (folder / "proposals.json").write_text(json.dumps(proposals))
    sheets([cells[k] for k in order], folder)
    return proposals


def cell(pixels: NDArray[np.uint8], box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a square crop round the box, the box drawn in."""
    centre, half = (box[:2] + box[2:]) / 2, max(24.0, float((box[2:] - box[:2]).max()) * 1.1)
    matrix = np.array([[1, 0, half - centre[0]], [0, 1, half - centre[1]]]) * (CELL_PX / 2 / half)
    crop = cv2.warpAffine(pixels, matrix, (CELL_PX, CELL_PX), flags=cv2.INTER_AREA)
    corners = (box.reshape(2, 2) - centre + half) * (CELL_PX / 2 / half)
    low, high = (tuple(int(v) for v in corner) for corner in corners)
    return np.asarray(cv2.rectangle(crop, low, high, (0, 0, 255), 1), np.uint8)


def sheets(cells: list[NDArray[np.uint8]], folder: Path, columns: int = 12, rows: int = 8) -> None:
    """Write the numbered crops as PNG sheets."""
    for first in range(0, len(cells), columns * rows):
        sheet = np.zeros((rows * CELL_PX, columns * CELL_PX, 3), np.uint8)
        for k, crop in enumerate(cells[first : first + columns * rows]):
            y, x = k // columns * CELL_PX, k % columns * CELL_PX
            sheet[y : y + CELL_PX, x : x + CELL_PX] = crop
            cv2.putText(
                sheet, str(first + k), (x + 3, y + 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 255, 255), 1
            )
        cv2.imwrite(str(folder / f"sheet{first // (columns * rows)}.png"), sheet)


def note(proposals: list[Proposal], true: set[int], doubtful: set[int]) -> None:
    """Add what a person saw to ``reviewed_plates.json``: numbers of true and doubtful proposals."""
    known = json.loads(REVIEWED.read_text()) if REVIEWED.exists() else {}
    for number in sorted(true | doubtful):
        p = proposals[number]
        known.setdefault(p["name"], []).append({"box": p["box"], "ignore": number in doubtful})
    lines = [f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known)]
    REVIEWED.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def settle(pack: Pack, proposals: list[Proposal], target: Path) -> int:
    """Write plate rows for all pictures without marked plates; what was not seen as one is background.

    On streets, a proposal too small to judge is ignored.
    """
    known = json.loads(REVIEWED.read_text())
    small: dict[str, list[list[float]]] = {}
    for p in proposals:
        x0, y0, x1, y1 = p["box"]
        if min(x1 - x0, y1 - y0) < TOO_SMALL_PX and p["confidence"] >= TOO_SMALL_CONFIDENCE:
            small.setdefault(p["name"], []).append(p["box"])
    said = {}
    for picture in pack.pictures:
        if PLATE in picture.labelled:
            continue
        rows = [row for row in rows_of(picture) if row[1] == PLATE]
        rows += [(k["box"], PLATE, k["ignore"]) for k in known.get(picture.name, [])]
        sure = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
        for box in small.get(picture.name, []) if picture.source in STREETS else []:
            if iou_matrix(np.array([box], np.float32), sure).max(initial=0.0) < SAME_IOU:
                rows.append((box, PLATE, True))
        said[picture.name] = {"class_id": PLATE, "rows": rows}
    partial = target.with_suffix(".tmp")
    partial.write_text(json.dumps(said))
    partial.replace(target)
    return len(said)
