"""The virtual camera: where the truth lies in its frames, and what it does to them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anonymize.drawing import draw_street
from anonymize.evaluate.overlap import as_boxes
from anonymize.evaluate.virtual_camera import (
    Pose,
    blurred,
    draw_clip,
    plan_clip,
    seen_from,
    true_boxes,
    view_size,
)

STREET, DRAWN = draw_street(640, 360)
BOXES = as_boxes([item.xyxy for item in DRAWN])


def test_a_still_camera_sees_the_still():
    still = Pose(320, 180, 1.0, 0.0)
    assert (seen_from(STREET, still, (640, 360)) == STREET).all()
    assert (seen_from(STREET, Pose(220, 130, 1.0, 0.0), (200, 100)) == STREET[80:180, 120:320]).all()
    assert true_boxes(BOXES, still, (640, 360)).tolist() == BOXES.tolist()


def test_true_boxes_move_zoom_and_turn_with_the_picture():
    box = as_boxes([[100, 100, 140, 120]])
    assert true_boxes(box, Pose(120, 110, 2.0, 0.0), (200, 100)).tolist() == [[60, 30, 140, 70]]
    quarter = true_boxes(box, Pose(120, 110, 1.0, math.pi / 2), (200, 100))
    assert quarter[0] == pytest.approx([90, 30, 110, 70])  # 40 x 20 px become 20 x 40 px


def test_what_is_drawn_lies_where_the_truth_says():
    """A white block on black: its mean place in the view is the middle of its true box, at any zoom and roll."""
    still = np.zeros((400, 600, 3), np.uint8)
    still[150:200, 250:350] = 255
    for pose in (Pose(280, 190, 0.8, 0.04), Pose(320, 160, 1.25, -0.04), Pose(300, 175, 1.0, 0.3)):
        view = seen_from(still, pose, (320, 240))[..., 0].astype(float)
        x1, y1, x2, y2 = true_boxes(as_boxes([[250, 150, 350, 200]]), pose, (320, 240))[0]
        rows, columns = np.mgrid[:240, :320] + 0.5
        assert (view * columns).sum() / view.sum() == pytest.approx((x1 + x2) / 2, abs=0.2)
        assert (view * rows).sum() / view.sum() == pytest.approx((y1 + y2) / 2, abs=0.2)
        lit = np.argwhere(view > 128)
        assert lit.min(axis=0) == pytest.approx([y1, x1], abs=2) and lit.max(axis=0) == pytest.approx(
            [y2, x2], abs=2
        )


def test_blur_spreads_along_the_way_and_keeps_the_mean():
    view = np.zeros((40, 60, 3), np.uint8)
    view[:, 30] = 240
    assert blurred(view, (0.3, 0.2)) is view
    across = blurred(view, (5.0, 0.0))
    assert np.flatnonzero(across[20, :, 0]).tolist() == list(range(27, 33))
    assert (blurred(view, (0.0, 5.0)) == view).all()  # along the line nothing changes
    assert blurred(view, (500.0, 0.0)).shape == view.shape


@pytest.mark.parametrize("size", [(1280, 960), (400, 301), (225, 400)])
def test_a_clip_stays_in_the_still_shows_its_target_and_repeats(size):
    target = np.array([size[0] * 0.4, size[1] * 0.4, size[0] * 0.5, size[1] * 0.5])
    clips = [plan_clip(np.random.default_rng(5), size, target, 90) for _ in range(2)]
    assert clips[0] == clips[1] and len(clips[0].poses) == 90
    width, height = view_size(*size)
    assert width % 2 == height % 2 == 0 and max(width, height) <= 640
    seen = 0
    for pose in clips[0].poses:
        assert (
            min(width / pose.zoom, size[0]) / 2 - 1e-6
            <= pose.x
            <= size[0] - min(width / pose.zoom, size[0]) / 2 + 1e-6
        )
        x1, y1, x2, y2 = true_boxes(as_boxes(target), pose, (width, height))[0]
        seen += x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height
    assert seen > 20


def test_frames_of_a_clip_repeat_and_differ_from_one_another():
    clip = plan_clip(np.random.default_rng(1), (640, 360), BOXES[0], 4)
    first, again = (list(draw_clip(STREET, clip, np.random.default_rng(2))) for _ in range(2))
    assert len(first) == 4 and all((a == b).all() for a, b in zip(first, again, strict=True))
    assert all(frame.dtype == np.uint8 and frame.shape == (clip.height, clip.width, 3) for frame in first)
    assert (first[0] != first[1]).mean() > 0.3
