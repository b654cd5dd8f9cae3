"""Several looks at one picture: what they are made of, what they agree on, and that they find more than one."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from anonymize.boxes import BoxTable
from anonymize.canary import draw_canary
from anonymize.detect import Detector, load_packaged
from anonymize.detect.looks import LOOKS, _put, agreed, resized
from anonymize.drawing import draw_street
from anonymize.errors import DetectorError, UsageError
from anonymize.frames import Label
from anonymize.pipeline import Engine
from anonymize.settings import Budget, Settings
from tests.detect.networks import constant_network
from tests.detect.test_detector import frame_of, settings


@pytest.mark.parametrize(("scale", "method"), [(0.5, cv2.INTER_AREA), (1.5, cv2.INTER_LINEAR), (1.0, 0)])
def test_resizing_is_cv2s(scale, method):
    picture = np.random.default_rng(3).random((3, 44, 60), np.float32)
    out = np.zeros((3, int(44 * scale), int(60 * scale)), np.float32)
    resized(picture, out)
    for channel in range(3):
        wanted = cv2.resize(picture[channel], out.shape[:0:-1], interpolation=method)
        np.testing.assert_allclose(out[channel], wanted, atol=1e-5)


def test_resizing_odd_and_tiny_pictures_stays_inside():
    for size in [(1, 1), (1, 7), (5, 3)]:
        picture = np.random.default_rng(1).random((3, *size), np.float32)
        out = np.full((3, max(1, round(size[0] * 0.5)), max(1, round(size[1] * 1.5))), np.nan, np.float32)
        resized(picture, out)
        assert picture.min() - 1e-6 <= out.min() <= out.max() <= picture.max() + 1e-6


def test_a_box_counts_by_what_every_look_says_there():
    here, there = [0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]
    near = [1.0, 0.0, 11.0, 10.0]  # IoU 0.82

    def look(boxes, scores, classes):
        return (
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(classes, np.int32),
        )

    boxes, scores, classes = agreed(
        [look([here, there], [0.9, 0.8], [0, 0]), look([near], [0.5], [0]), look([here], [0.7], [1])]
    )
    assert len(boxes) == 4
    np.testing.assert_allclose(scores, [1.4 / 3, 0.8 / 3, 1.4 / 3, 0.7 / 3], atol=1e-6)
    assert classes.tolist() == [0, 0, 0, 1]


def test_an_object_lies_where_the_looks_say_weighted_by_how_sure_each_was():
    boxes = np.array(
        [[0, 0, 10, 10], [1, 0, 11, 10], [0, 2, 10, 12], [50, 50, 60, 60], [0, 0, 10, 10]], np.float32
    )
    own = np.array([0.9, 0.6, 0.2, 0.7, 0.5], np.float32)  # the third is not sure enough to have a say
    together, classes = np.array([0.6, 0.6, 0.6, 0.4, 0.5], np.float32), np.array([0, 0, 0, 0, 1], np.int32)
    table = BoxTable()
    _put((boxes, together, classes), own, {Label.FACE: 0.3, Label.PLATE: 0.3}, table)
    assert table.count == 3
    np.testing.assert_allclose(table.boxes[:3], [[0.4, 0, 10.4, 10], boxes[4], boxes[3]], atol=1e-5)
    np.testing.assert_allclose(table.scores[:3], [0.6, 0.5, 0.4])
    assert table.class_ids[:3].tolist() == [0, 1, 0]


@pytest.fixture(scope="module")
def thorough() -> Detector:
    return Detector(load_packaged(), settings(min_long_side_px=1920, thorough=True))


def test_the_canary_is_found_where_it_is(thorough):
    blank = frame_of(np.zeros((360, 640, 3), np.uint8))
    canary = draw_canary(blank, thorough.size_for(blank).scale)
    canary.check(thorough.detect(canary.frame), thorough.labels)


def test_the_boxes_of_a_street_lie_where_one_look_finds_them(thorough):
    frame = frame_of(draw_street(640, 360)[0])
    once = Detector(load_packaged(), settings(min_long_side_px=1920)).detect(frame)
    table = thorough.detect(frame)
    sure = once.boxes[: once.count][once.scores[: once.count] > 0.6]
    assert len(sure) > 0
    ours = table.boxes[: table.count]
    assert all(np.abs(ours - box).max(axis=1).min() < 6 for box in sure)
    overlaps = (np.abs(ours[:, None] - ours[None, :]).max(axis=2) < 6) & ~np.eye(len(ours), dtype=bool)
    assert not overlaps.any()  # one object, one box, however many looks saw it
    order = table.scores[: table.count]
    assert (np.diff(order) <= 0).all()


def test_a_mirrored_look_alone_cannot_move_a_box(thorough):
    """An object at the left edge: were the mirrored boxes not turned back, the looks would not agree on it."""
    blank = frame_of(np.zeros((360, 640, 3), np.uint8))
    canary = draw_canary(blank, thorough.size_for(blank).scale)
    plate = next(drawn for drawn in canary.objects if drawn.label is Label.PLATE)
    x1, y1, x2, y2 = (int(v) for v in plate.xyxy)
    rgb = np.full((360, 640, 3), 90, np.uint8)
    rgb[y1:y2, 20 : 20 + x2 - x1] = np.asarray(canary.frame.planes[0])[y1:y2, x1:x2]
    table = thorough.detect(frame_of(rgb))
    assert table.count
    assert abs(table.boxes[0, 0] - 20) < 6


@pytest.mark.parametrize("logit", [-20.0, float("nan")])
def test_every_look_is_checked(logit):
    model = constant_network(logit)
    detector = Detector(model, settings(thorough=True))
    frame = frame_of(np.zeros((64, 96, 3), np.uint8))
    if logit < 0:
        assert detector.detect(frame).count == 0
    else:
        with pytest.raises(DetectorError, match="NaN"):
            detector.detect(frame)


def test_a_model_without_such_thresholds_is_refused():
    model = load_packaged()
    bare = replace(model, entry=replace(model.entry, threshold_thorough={}))
    with pytest.raises(UsageError, match="several looks"):
        Engine(bare, Settings(thorough=True))


def test_it_does_not_go_with_a_deadline_or_with_cautious_thresholds():
    with pytest.raises(UsageError, match="deadline"):
        Settings(thorough=True, budget=Budget(deadline_ms=30))
    with pytest.raises(UsageError, match="cautious"):
        Detector(load_packaged(), settings(thorough=True, cautious=True))
    assert len(LOOKS) == 3
