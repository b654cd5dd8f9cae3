"""Rates of an exported network: ``python scripts/train/measure.py [MODEL]``.

Detection rate: share of the objects in scope (faces >= 32 px, plates >= 16 px, shorter side) of
which one mask covers at least half. False rate: share of the masks of that size that touch no such
object; masks on an ignore box count neither way. Coverage recall: share of the objects >= 16 px of
which one mask covers at least 90 %. Masks are the boxes grown 1.3 times. A mask touches an object
when they share a quarter of the smaller one of the two. Pictures whose class nobody marked are left out.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import settings
from boxes import area, grow, intersection_matrix, iou_matrix
from detect import Detections, detect, open_session
from network import CLASSES
from numpy.typing import NDArray
from pictures import Picture, read_coco

SCOPE_PX = {0: 32.0, 1: 16.0}  # GB/T 44464-2024: faces, plates
COVERAGE_FLOOR_PX = 16.0
GROWTH = 1.3
TOUCH_SHARE = 0.25
POINTS = (0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70)


@dataclass
class Tally:
    """Counts of one class over some pictures."""

    scope: int = 0
    detected: int = 0
    masks: int = 0
    false: int = 0
    sized: int = 0
    covered: int = 0
    matched: int = 0
    pictures: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    def rates(self) -> dict[str, float | int]:
        """Return the rates, 0 to 1, with the counts they stand on."""
        return {
            "pictures": self.pictures,
            "objects_in_scope": self.scope,
            "detection_rate": ratio(self.detected, self.scope),
            "masks_in_scope": self.masks,
            "false_rate": ratio(self.false, self.masks),
            "objects_from_16_px": self.sized,
            "coverage_recall": ratio(self.covered, self.sized),
            "recall_iou50": ratio(self.matched, self.sized),
        }


def ratio(part: int, whole: int) -> float:
    """Return part / whole to four places, NaN of nothing."""
    return round(part / whole, 4) if whole else float("nan")


def shorter(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the shorter side of each box in px."""
    return np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def tally(picture: Picture, found: NDArray[np.float32], class_id: int, unit: float = 1.0) -> Tally:
    """Count one picture's hits and misses of a class; ``unit`` scales the size limits."""
    of_class = picture.class_id == class_id
    asked = picture.boxes[of_class & ~picture.ignore]
    left_out = picture.boxes[of_class & picture.ignore]
    masks = grow(found, GROWTH, picture.width_px, picture.height_px)
    covered = (intersection_matrix(asked, masks) / np.maximum(area(asked), 1e-6)[:, None]).max(
        axis=1, initial=0.0
    )
    matched = iou_matrix(asked, found).max(axis=1, initial=0.0) >= 0.5
    in_scope = shorter(asked) >= SCOPE_PX[class_id] * unit
    sized = shorter(asked) >= COVERAGE_FLOOR_PX * unit
    large = masks[shorter(found) >= SCOPE_PX[class_id] * unit]
    on_object, on_ignored = touches(large, asked), touches(large, left_out)
    return Tally(
        int(in_scope.sum()),
        int((in_scope & (covered >= 0.5)).sum()),
        int((on_object | ~on_ignored).sum()),
        int((~on_object & ~on_ignored).sum()),
        int(sized.sum()),
        int((sized & (covered >= 0.9)).sum()),
        int((sized & matched).sum()),
        1,
    )


def touches(masks: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which masks touch any of the boxes."""
    smaller = np.minimum(area(masks)[:, None], area(boxes)[None, :])
    return np.asarray((intersection_matrix(masks, boxes) >= TOUCH_SHARE * smaller).any(axis=1))


Found = list[tuple[Picture, Detections]]
Reader = Callable[[Picture], NDArray[np.uint8]]


def look_at(
    model: Path, pictures: list[Picture], read: Reader, *, scale: float = 1.0, threads: int = 1
) -> Found:
    """Return the detections of every picture."""
    session = open_session(model, threads)
    return [(picture, detect(session, read(picture), scale=scale)) for picture in pictures]


def reader(folder: Path) -> Reader:
    """Return the function that reads a picture (BGR) of the folder."""
    return lambda picture: np.asarray(cv2.imread(str(folder / picture.name)), np.uint8)


def by_source(found: Found, thresholds: tuple[float, float], unit: float = 1.0) -> dict[str, dict[str, Any]]:
    """Return the rates by class and source; "all" is the sum."""
    report: dict[str, dict[str, Any]] = {}
    for class_id, name in enumerate(CLASSES):
        sums: dict[str, Tally] = {}
        for picture, detections in found:
            if class_id in picture.labelled:
                count = tally(picture, detections.at(class_id, thresholds[class_id]), class_id, unit)
                for key in (picture.source, "all"):
                    sums[key] = sums.get(key, Tally()) + count
        report[name] = {key: value.rates() for key, value in sums.items()}
    return report


def sign_hits(found: Found, thresholds: tuple[float, float]) -> dict[str, float]:
    """Return the share of traffic signs and lights with a face or plate that lies on them by half or more."""
    signs = sum(len(picture.boxes) for picture, _ in found)
    hits = {}
    for class_id, name in enumerate(CLASSES):
        hit = 0
        for picture, detections in found:
            boxes = detections.at(class_id, thresholds[class_id])
            inside = intersection_matrix(picture.boxes, boxes) >= 0.5 * np.maximum(area(boxes), 1e-6)
            hit += int(inside.any(axis=1).sum())
        hits[name] = ratio(hit, signs)
    return hits


def enlarged(pictures: list[Picture], read: Reader, scale: float) -> tuple[list[Picture], Reader]:
    """Return the pictures, their boxes and what reads them, as if they had been taken with more px."""
    larger = [
        replace(
            p, width_px=round(p.width_px * scale), height_px=round(p.height_px * scale), boxes=p.boxes * scale
        )
        for p in pictures
    ]

    def read_larger(picture: Picture) -> NDArray[np.uint8]:
        size = (picture.width_px, picture.height_px)
        return np.asarray(cv2.resize(read(picture), size, interpolation=cv2.INTER_CUBIC), np.uint8)

    return larger, read_larger


def tally_looks(looks: list[tuple[Found, float]], class_id: int, threshold: float) -> Tally:
    """Count the hits and misses of a class in several looks together, each with its unit of the size limits."""
    count = Tally()
    for found, unit in looks:
        for picture, detections in found:
            if class_id in picture.labelled:
                count += tally(picture, detections.at(class_id, threshold), class_id, unit)
    return count


def choose_threshold(looks: list[tuple[Found, float]], class_id: int, false_rate: float) -> float:
    """Return the lowest threshold whose false rate on the held-back pictures, all looks, is not above the aim."""
    for threshold in np.arange(0.10, 0.90, 0.01):
        count = tally_looks(looks, class_id, threshold)
        if count.false <= false_rate * count.masks:
            break
    return round(float(threshold), 2)


def operating_points(found: Found, unit: float = 1.0) -> list[dict[str, float]]:
    """Return detection and false rate of both classes at a row of thresholds."""
    points = []
    for threshold in POINTS:
        report = by_source(found, (threshold, threshold), unit)
        point = {"threshold": threshold}
        for name in CLASSES:
            rates = report[name]["all"]
            point |= {
                f"{name}_{key}": rates[key] for key in ("detection_rate", "false_rate", "coverage_recall")
            }
        points.append(point)
    return points


def table(report: dict[str, dict[str, Any]]) -> str:
    """Return the report as a Markdown table."""
    lines = [
        "| class | source | in scope | detection rate | false (masks) | >= 16 px | coverage recall | recall IoU 0.5 |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, sources in report.items():
        for source, r in sorted(sources.items()):
            lines.append(
                f"| {name} | {source} | {r['objects_in_scope']} | {r['detection_rate']:.3f} | {r['false_rate']:.3f} "
                f"({r['masks_in_scope']}) | {r['objects_from_16_px']} | {r['coverage_recall']:.3f} "
                f"| {r['recall_iou50']:.3f} |"
            )
    return "\n".join(lines)


def measure_test(
    model: Path, data: Path, thresholds: tuple[float, float], *, scale: float, threads: int
) -> dict[str, Any]:
    """Return the rates on the test pictures and the hits on traffic signs."""
    found = look_at(
        model, read_coco(data / "test/annotations.json"), reader(data / "test"), scale=scale, threads=threads
    )
    signs = look_at(
        model, read_coco(data / "test/signs.json"), reader(data / "test"), scale=scale, threads=threads
    )
    return {
        "rates": by_source(found, thresholds),
        "sign_hits": sign_hits(signs, thresholds),
        "points": operating_points(found),
    }


def main() -> None:
    """Measure on the test pictures with the manifest's thresholds."""
    folder = settings.REPOSITORY / "models/anonymize_models"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=folder / "drive.onnx")
    parser.add_argument("--data", type=Path, default=settings.data_folder(settings.read()))
    parser.add_argument("--scale", type=float, default=1.0, help="of the pictures before the network")
    parser.add_argument("--threshold", type=float, nargs=2, metavar=("FACE", "PLATE"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    entry = (
        tomllib.loads((folder / "manifest.toml").read_text())[arguments.model.stem]
        if not arguments.threshold
        else {}
    )
    thresholds = tuple(arguments.threshold or (entry["threshold"][name] for name in CLASSES))
    report = measure_test(
        arguments.model, arguments.data, thresholds, scale=arguments.scale, threads=arguments.threads
    )
    print(f"thresholds {thresholds}, scale {arguments.scale}")
    print(f"{table(report['rates'])}\non traffic signs: {report['sign_hits']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
