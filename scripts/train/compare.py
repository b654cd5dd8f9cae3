"""Weights side by side on the held-back pictures: ``python scripts/train/compare.py MODEL.onnx ...``.

As they are and enlarged, as for the thresholds, but what a person saw that may be an object nobody marked
(``reviewed_hits.json``) counts neither way. Of what three networks found there against the marks, a fifth of the
plates and a third of the faces may be right, and among the surest more: by the marks alone the better weights of two
can look worse.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import export
import measure
import mine
import numpy as np
import settings
from network import CLASSES
from pictures import ignore_reviewed

FALSE_RATES = (0.03, 0.05, 0.07, 0.09, 0.12)
THRESHOLDS = np.arange(0.15, 0.80, 0.01)
Point = tuple[float, float, float]  # false rate, detection rate, coverage


def curve(looks: list[tuple[measure.Found, float]], class_id: int) -> list[Point]:
    """Return a class's rates at every threshold."""
    points = []
    for threshold in THRESHOLDS:
        rates = measure.tally_looks(looks, class_id, threshold).rates()
        points.append((rates["false_rate"], rates["detection_rate"], rates["coverage_recall"]))
    return points


def best(points: list[Point], false_rate: float) -> Point:
    """Return the point of the highest detection rate with at most so many false hits."""
    return max((p for p in points if p[0] <= false_rate), key=lambda p: p[1], default=(0.0, 0.0, 0.0))


def main() -> None:
    """Print detection / coverage at several shares of false hits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    work = settings.work_folder(settings.read())
    for model in arguments.models:
        pictures, read = export.held_back_pictures(work)
        ignore_reviewed(pictures, mine.REVIEWED)
        looks = export.held_back(measure.look_at, model, (pictures, read), threads=arguments.threads)
        for class_id, name in enumerate(CLASSES):
            points = curve(looks, class_id)
            said = [f"{f:.0%} {d:.3f} / {c:.3f}" for f in FALSE_RATES for _, d, c in [best(points, f)]]
            print(f"{model.stem} {name}:", ", ".join(said), flush=True)


if __name__ == "__main__":
    main()
