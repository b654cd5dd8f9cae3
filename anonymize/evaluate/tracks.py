"""Track measures: was an object hidden in every frame in which it was in scope, and how long was it not?

A virtual camera moves over labelled stills, so the true box of every object is known in every frame. One look at each
frame gives three answers: with tracking, what the live engine hides; two-sided, what an archive hides in two passes;
without, what the network found in that very frame at its threshold (the tracker gives such boxes out unchanged).
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.detect import Model
from anonymize.errors import MediaError
from anonymize.evaluate.dataset import CLASSES, LabelledPicture
from anonymize.evaluate.intervals import resamples
from anonymize.evaluate.look import Progress, open_labelled
from anonymize.evaluate.overlap import (
    Boxes,
    area,
    as_boxes,
    clipped,
    covered_share,
    grown,
    shorter_side,
    union_area,
)
from anonymize.evaluate.rates import SCOPE_PX, Group, rounded
from anonymize.evaluate.records import COVERAGE_SHARE, STANDARD_SHARE
from anonymize.evaluate.track_modes import LABELS, MODES, hide_in_all_modes
from anonymize.evaluate.virtual_camera import FRAMES_PER_S, Clip, Rgb, draw_clip, plan_clip, true_boxes
from anonymize.frames import CapturedFrame, PixelFormat
from anonymize.media.compression import through_h264
from anonymize.pipeline import Engine
from anonymize.settings import DEFAULT_GROWTH, Settings

SHARES: Final = {"half_hidden": STANDARD_SHARE, "hidden": COVERAGE_SHARE}
VISIBLE_SHARE: Final = 0.5  # of the true box inside the view: the standard's "more than half visible"
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class FollowedObject:
    """One object of one class through one clip.

    Attributes
    ----------
    visible, in_scope : (frames,) bool
    hidden : mapping of (mode, share) to (frames,) bool
    """

    still: int
    label: str
    visible: Flags
    in_scope: Flags
    hidden: dict[tuple[str, str], Flags]


@dataclass(frozen=True, slots=True, eq=False)
class FollowedStill:
    """One clip: its objects, and in each mode, and by `LABELS`, the share of all px outside true boxes hidden."""

    objects: list[FollowedObject]
    hidden_rest: dict[str, float]
    dropped: int


def choose_stills(pictures: Sequence[LabelledPicture], count: int, *, seed: int) -> list[LabelledPicture]:
    """Stills with an object in scope, from each source in turn, in an order that the seed fixes."""
    rng = np.random.default_rng(seed)
    by_source: dict[str, list[LabelledPicture]] = {}
    for picture in sorted(pictures, key=lambda picture: picture.name):
        if len(targets_in(picture)):
            by_source.setdefault(picture.source, []).append(picture)
    shuffled = [[of[i] for i in rng.permutation(len(of))] for _, of in sorted(by_source.items())]
    longest = max(map(len, shuffled), default=0)
    turns = [of[turn] for turn in range(longest) for of in shuffled if turn < len(of)]
    return turns[:count]


def targets_in(picture: LabelledPicture) -> Boxes:
    """Boxes in scope of the classes labelled in a picture, with which a clip can be made."""
    of_class = [
        boxes[shorter_side(boxes) >= SCOPE_PX[label]]
        for label in CLASSES
        if label in picture.labelled
        for boxes in (picture.asked(label),)
    ]
    return np.concatenate([as_boxes([]), *of_class])


def follow_stills(
    model: Model,
    settings: Settings,
    stills: Sequence[LabelledPicture],
    *,
    frames: int,
    seed: int,
    threads: int = 1,
    progress: Progress = lambda done, of: None,
) -> dict[str, Any]:
    """The track measures of one model; `settings` must have tracking on. The clips depend on the seed alone."""
    engine = Engine(model, settings, threads=threads)
    thresholds = {label.value: threshold for label, threshold in model.entry.threshold.items()}
    followed, compressed = [], True
    for row, picture in enumerate(stills):
        progress(row, len(stills))
        clip, captured, coded = clip_of(picture, row, frames=frames, seed=seed)
        compressed &= coded
        areas = hide_in_all_modes(engine, captured)
        followed.append(compare(picture, row, clip, areas, known=thresholds))
    progress(len(stills), len(stills))
    objects = [item for clip_of in followed for item in clip_of.objects]
    return {
        "name": model.entry.name,
        "sha256": model.entry.sha256,
        "thresholds": thresholds,
        "h264": compressed,
        "clips": len(stills),
        "dropped_frames": sum(clip_of.dropped for clip_of in followed),
        "hidden_share_of_rest": {
            mode: rounded(float(np.mean([clip_of.hidden_rest[mode] for clip_of in followed])))
            if followed
            else None
            for mode in (*MODES, LABELS)
        },
        "tracks": {
            label: class_tracks([item for item in objects if item.label == label], len(stills), seed)
            for label in thresholds
            if any(item.label == label for item in objects)
        },
    }


def _rgb(picture: LabelledPicture) -> Rgb:
    plane = open_labelled(picture).planes[0]
    wide = np.repeat(plane[..., None], 3, axis=2) if plane.ndim == 2 else plane
    return np.ascontiguousarray(wide, np.uint8)


def clip_of(
    picture: LabelledPicture, row: int, *, frames: int, seed: int
) -> tuple[Clip, list[CapturedFrame], bool]:
    """The clip over a still, its frames, and whether they went through H.264."""
    rng = np.random.default_rng((seed, row))
    targets = targets_in(picture)
    target = targets[int(rng.integers(len(targets)))]
    clip = plan_clip(rng, (picture.width, picture.height), target, frames)
    pixels, compressed = list(draw_clip(_rgb(picture), clip, rng)), True
    try:
        pixels = through_h264(pixels, crf=clip.crf, frames_per_s=FRAMES_PER_S)
    except MediaError:
        compressed = False
    base = Fraction(1, FRAMES_PER_S)
    return (
        clip,
        [CapturedFrame((rgb,), PixelFormat.RGB24, n, base) for n, rgb in enumerate(pixels)],
        compressed,
    )


def compare(
    picture: LabelledPicture,
    row: int,
    clip: Clip,
    hidden_areas: Iterable[Mapping[str, Boxes] | None],
    *,
    known: Container[str],
    modes: Sequence[str] = MODES,
) -> FollowedStill:
    """What was hidden in each mode and frame of a clip (None: dropped), against the truth; of the `known` classes."""
    labels = [label.value for label in CLASSES if label in picture.labelled and label in known]
    asked = [(label, box) for label in labels for box in picture.asked(label)]
    boxes = as_boxes([box for _, box in asked])
    scopes = np.array([SCOPE_PX[label] for label, _ in asked])
    view = as_boxes([[0, 0, clip.width, clip.height]])[0]
    shape = (len(clip.poses), len(asked))
    visible, in_scope = np.zeros(shape, bool), np.zeros(shape, bool)
    hidden = {(mode, share): np.zeros(shape, bool) for mode in modes for share in SHARES}
    rest: dict[str, list[float]] = {mode: [] for mode in (*modes, LABELS)}
    dropped = 0
    for index, (pose, areas_of) in enumerate(zip(clip.poses, hidden_areas, strict=True)):
        if areas_of is None:
            dropped += 1
            continue
        every_box = true_boxes(picture.boxes, pose, (clip.width, clip.height))
        truth = true_boxes(boxes, pose, (clip.width, clip.height))
        seen = np.concatenate(
            [np.clip(truth[:, :2], 0, view[2:]), np.clip(truth[:, 2:], 0, view[2:])], axis=1
        )
        visible[index] = area(seen) > VISIBLE_SHARE * area(truth)
        in_scope[index] = visible[index] & (shorter_side(seen) >= scopes)
        for mode, areas in areas_of.items():
            shares = covered_share(seen, areas)
            for name, least in SHARES.items():
                hidden[mode, name][index] = shares >= least - 1e-9
        under = clipped(every_box, view)
        under_px = union_area(under)
        outside_px = max(float(clip.width * clip.height) - under_px, 1.0)
        for mode, areas in {**areas_of, LABELS: clipped(grown(every_box, DEFAULT_GROWTH), view)}.items():
            rest[mode].append((union_area(np.concatenate([under, areas])) - under_px) / outside_px)
    objects = [
        FollowedObject(
            row, label, visible[:, i], in_scope[:, i], {key: flags[:, i] for key, flags in hidden.items()}
        )
        for i, (label, _) in enumerate(asked)
    ]
    means = {mode: float(np.mean(shares)) if shares else 0.0 for mode, shares in rest.items()}
    return FollowedStill(objects, means, dropped)


def longest_run(flags: Flags) -> int:
    """Length of the longest row of True."""
    longest = run = 0
    for flag in flags:
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def class_tracks(objects: Sequence[FollowedObject], stills: int, seed: int) -> dict[str, Any]:
    """All measures of one class, in both modes."""
    group = Group(np.ones(stills, bool), resamples(stills, seed))
    asked = [item for item in objects if item.in_scope.any()]
    values: dict[str, Any] = {
        "objects": sum(bool(item.visible.any()) for item in objects),
        "objects_in_scope": len(asked),
        "frames_in_scope": int(sum(item.in_scope.sum() for item in asked)),
    }
    for mode in MODES:
        values[mode] = {name: _measures(objects, asked, group, (mode, name)) for name in SHARES}
    return values


def _measures(
    objects: Sequence[FollowedObject], asked: Sequence[FollowedObject], group: Group, key: tuple[str, str]
) -> dict[str, Any]:
    whole = np.array([bool(item.hidden[key][item.in_scope].all()) for item in asked], bool)
    stills = np.array([item.still for item in asked], np.int64)
    everywhere = [longest_run(item.visible & ~item.hidden[key]) for item in objects if item.visible.any()]
    scoped = [longest_run(item.in_scope & ~item.hidden[key]) for item in asked]
    by_frame = _recall_by_frame(asked, key)
    in_scope = sum(int(item.in_scope.sum()) for item in asked)
    hits = sum(int((item.in_scope & item.hidden[key]).sum()) for item in asked)
    return {
        "hidden_in_every_frame": group.rate(whole, np.ones(len(asked), bool), stills).as_values(),
        "longest_unhidden_run_frames": _median_and_95(everywhere),
        "longest_unhidden_run_in_scope_frames": _median_and_95(scoped),
        "frame_recall": rounded(hits / in_scope) if in_scope else None,
        "recall_by_frame": by_frame,
    }


def _median_and_95(runs: Sequence[int]) -> dict[str, float | None]:
    if not runs:
        return {"median": None, "p95": None, "objects": 0}
    return {
        "median": float(np.median(runs)),
        "p95": float(np.percentile(runs, 95, method="higher")),
        "objects": len(runs),
    }


def _recall_by_frame(asked: Sequence[FollowedObject], key: tuple[str, str]) -> list[float | None]:
    if not asked:
        return []
    in_scope = np.sum([item.in_scope for item in asked], axis=0)
    hits = np.sum([item.in_scope & item.hidden[key] for item in asked], axis=0)
    shares = [hit / of if of else math.nan for hit, of in zip(hits.tolist(), in_scope.tolist(), strict=True)]
    return [rounded(share) for share in shares]
