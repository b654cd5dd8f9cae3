"""A camera that moves over a still picture: pan, zoom, roll, motion blur, exposure, noise; every true box is known.

Pure functions on arrays; what is random comes from the generator that is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.evaluate.overlap import Boxes, Floats

Rgb = npt.NDArray[np.uint8]
FRAMES_PER_S: Final = 30
VIEW_SHARE: Final = 0.75  # of the still's sides, so that there is room to move
LARGEST_VIEW_PX: Final = 640  # longer side
ZOOM: Final = (0.8, 1.25)  # view px per still px
MOST_ROLL_DEG: Final = 2.5
PAN: Final = (0.2, 1.2)  # way of the camera in a clip, of the view's width
SHAKE_PX: Final = 1.5
SHUTTER: Final = (0.1, 0.5)  # share of a frame's time
NOISE: Final = (1.0, 7.0)  # sigma, levels of 255
EXPOSURE: Final = 0.35  # largest swing of the gain
CRF: Final = (24, 34)
LONGEST_BLUR_PX: Final = 15


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the camera looks: centre in px of the still, view px per still px, roll in rad."""

    x: float
    y: float
    zoom: float
    roll: float


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip to be drawn: its poses and how the camera behaves."""

    width: int
    height: int
    poses: tuple[Pose, ...]
    gains: tuple[float, ...]
    shutter: float
    noise: float
    crf: int


def view_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the view over a still, px, even."""
    scale = min(VIEW_SHARE, LARGEST_VIEW_PX / max(width, height))
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)


def plan_clip(rng: np.random.Generator, still: tuple[int, int], target: Floats, frames: int) -> Clip:
    """A clip that passes over the box `target` (4,) somewhere in its middle.

    Parameters
    ----------
    still : (width, height), px
    """
    width, height = view_size(*still)
    time = np.arange(frames) / max(frames - 1, 1)
    passing = rng.uniform(0.3, 0.7)
    direction = rng.uniform(0, 2 * math.pi)
    way = rng.uniform(*PAN) * width
    along = (_eased(time) - _eased(np.array([passing]))) * way
    middle = (target[:2] + target[2:]) / 2 + rng.uniform(-0.2, 0.2, 2) * (width, height)
    xs = middle[0] + along * math.cos(direction) + _shake(rng, frames)
    ys = (
        middle[1] + along * math.sin(direction) * 0.4 + _shake(rng, frames)
    )  # cameras pan more than they tilt
    zooms = np.exp(np.interp(time, [0, 1], np.log(rng.uniform(*ZOOM, 2))))
    rolls = np.radians(np.interp(time, [0, passing, 1], rng.uniform(-MOST_ROLL_DEG, MOST_ROLL_DEG, 3)))
    poses = tuple(
        _inside(Pose(*map(float, pose)), still, (width, height))
        for pose in zip(xs, ys, zooms, rolls, strict=True)
    )
    swing = rng.uniform(0, EXPOSURE)
    gains = np.exp(swing * np.sin(2 * math.pi * (rng.uniform(0.3, 1.5) * time + rng.random())))
    return Clip(
        width,
        height,
        poses,
        tuple(gains.tolist()),
        rng.uniform(*SHUTTER),
        rng.uniform(*NOISE),
        int(rng.integers(*CRF)),
    )


def _eased(time: Floats) -> Floats:
    return np.asarray((1 - np.cos(math.pi * time)) / 2)


def _shake(rng: np.random.Generator, frames: int) -> Floats:
    """A few px of slow swings, as of a car on a road."""
    time_s = np.arange(frames) / FRAMES_PER_S
    swings = [np.sin(2 * math.pi * (rng.uniform(0.7, 5) * time_s + rng.random())) for _ in range(3)]
    return np.asarray(SHAKE_PX * np.mean(swings, axis=0))


def _inside(pose: Pose, still: tuple[int, int], view: tuple[int, int]) -> Pose:
    """The pose moved so that the view stays inside the still where it can."""
    centre = []
    for at, side, seen in zip((pose.x, pose.y), still, view, strict=True):
        half = min(seen / pose.zoom, side) / 2
        centre.append(min(max(at, half), side - half))
    return Pose(centre[0], centre[1], pose.zoom, pose.roll)


def true_boxes(boxes: Boxes, pose: Pose, view: tuple[int, int]) -> Boxes:
    """Upright boxes round the turned ones, px of the view; they may reach over its edges."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] - (pose.x, pose.y)  # (N, 4, 2)
    cos, sin = math.cos(pose.roll) * pose.zoom, math.sin(pose.roll) * pose.zoom
    x = corners[:, :, 0] * cos - corners[:, :, 1] * sin + view[0] / 2
    y = corners[:, :, 0] * sin + corners[:, :, 1] * cos + view[1] / 2
    return np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)


def seen_from(still: Rgb, pose: Pose, view: tuple[int, int]) -> Rgb:
    """The view (H, W, 3) by bilinear sampling; beyond the still its edge is repeated."""
    height, width = still.shape[:2]
    across = np.arange(view[0], dtype=np.float32) + np.float32(0.5 - view[0] / 2)
    down = (np.arange(view[1], dtype=np.float32) + np.float32(0.5 - view[1] / 2))[:, None]
    cos, sin = np.float32(math.cos(pose.roll) / pose.zoom), np.float32(math.sin(pose.roll) / pose.zoom)
    x = np.clip(across * cos + down * sin + np.float32(pose.x - 0.5), 0, width - 1)
    y = np.clip(down * cos - across * sin + np.float32(pose.y - 0.5), 0, height - 1)
    left, top = np.minimum(x.astype(np.int32), width - 2), np.minimum(y.astype(np.int32), height - 2)
    right_share, low_share = (x - left)[..., None], (y - top)[..., None]
    samples, first = still.reshape(-1, 3), top * width + left
    upper = _mixed(samples.take(first, 0), samples.take(first + 1, 0), right_share)
    lower = _mixed(samples.take(first + width, 0), samples.take(first + width + 1, 0), right_share)
    mixed: Rgb = (upper + (lower - upper) * low_share + np.float32(0.5)).astype(np.uint8)
    return mixed


def _mixed(a: Rgb, b: Rgb, share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    begin = a.astype(np.float32)
    return np.asarray(begin + (b.astype(np.float32) - begin) * share)


def blurred(view: Rgb, move_px: tuple[float, float]) -> Rgb:
    """The mean of the view along a straight way of `move_px` (x, y), centred; the edge is repeated."""
    steps = min(LONGEST_BLUR_PX, round(max(abs(move_px[0]), abs(move_px[1])))) + 1
    if steps < 2:
        return view
    margin = LONGEST_BLUR_PX // 2 + 1
    padded = np.pad(view, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    total = np.zeros(view.shape, np.uint32)
    height, width = view.shape[:2]
    for share in np.linspace(-0.5, 0.5, steps):
        left = margin + int(np.clip(math.floor(share * move_px[0] + 0.5), -margin, margin))
        top = margin + int(np.clip(math.floor(share * move_px[1] + 0.5), -margin, margin))
        total += padded[top : top + height, left : left + width]
    mean: Rgb = (total // steps).astype(np.uint8)
    return mean


def draw_clip(still: Rgb, clip: Clip, rng: np.random.Generator) -> Iterator[Rgb]:
    """The frames of a clip, one after another, without compression."""
    size = clip.width, clip.height
    grain = rng.normal(0, clip.noise, (clip.height + 64, clip.width + 64)).astype(np.int16)
    before = clip.poses[0]
    for pose, gain in zip(clip.poses, clip.gains, strict=True):
        share = clip.shutter * pose.zoom
        frame = blurred(
            seen_from(still, pose, size), ((before.x - pose.x) * share, (before.y - pose.y) * share)
        )
        top, left = rng.integers(0, 64, 2)
        noise = grain[top : top + clip.height, left : left + clip.width, None]
        levels = (np.arange(256) * gain + 0.5).astype(np.int16)  # one look-up instead of a product a sample
        yield np.clip(levels[frame] + noise, 0, 255).astype(np.uint8)
        before = pose
