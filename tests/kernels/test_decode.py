"""Decoders and suppression equal their twins, and refuse NaN and overflow; run with the JIT on and off."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from anonymize_kernels import decode
from anonymize_reference import decode as twin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JIT = not numba.config.DISABLE_JIT
EXAMPLES = settings(
    max_examples=150 if JIT else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
CAPACITY = 1024
SEEDS = st.integers(0, 2**32)
SIDES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@pytest.fixture(scope="module", autouse=True)
def compiled():
    decode.compile_all()


def room(capacity=CAPACITY):
    return np.zeros((capacity, 4), np.float32), np.zeros(capacity, np.float32), np.zeros(capacity, np.int32)


def level_of(seed, sides):
    random = np.random.default_rng(seed)
    level = random.normal(0, 2, (6, *sides)).astype(np.float32)
    level[2:][random.random((4, *sides)) < 0.1] = 20.0  # sides that are clipped to exp(8)
    return level


@EXAMPLES
@given(
    SEEDS,
    SIDES,
    st.sampled_from([8, 16, 32]),
    st.lists(st.sampled_from([-9.0, 0.0, 1.5, np.inf]), min_size=2, max_size=2),
    st.sampled_from([0, 20, 96]),
)
def test_level_equals_twin(seed, sides, stride, thresholds, least):
    level, logits = level_of(seed, sides), np.array(thresholds, np.float32)
    boxes, scores, class_ids = room()
    count = decode.decode_level(level, stride, least, logits, boxes, scores, class_ids, 3)
    their_boxes, their_scores, their_classes = twin.decode_level(level, stride, least, logits)
    assert count == 3 + len(their_scores)
    np.testing.assert_allclose(boxes[3:count], their_boxes, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(scores[3:count], their_scores, rtol=1e-6)
    np.testing.assert_array_equal(class_ids[3:count], their_classes)
    assert not boxes[:3].any()


def test_level_worked_by_hand():
    """Cell (2, 1) of stride 16: centre (40, 24), sides 16 e**0, 16 e**ln 2, ...; both classes at once."""
    level = np.full((6, 3, 4), -10.0, np.float32)
    level[:2, 1, 2] = 0.0, np.log(3.0)
    level[2:, 1, 2] = 0.0, np.log(2.0), np.log(0.5), 9.0
    boxes, scores, class_ids = room()
    logits = np.zeros(2, np.float32)
    assert decode.decode_level(level, 16, 0, logits, boxes, scores, class_ids, 0) == 2
    np.testing.assert_allclose(boxes[0], [24, -8, 48, 24 + 16 * np.exp(8.0)], rtol=1e-6)
    np.testing.assert_array_equal(boxes[0], boxes[1])
    np.testing.assert_allclose(scores[:2], [0.5, 0.75], rtol=1e-6)
    assert list(class_ids[:2]) == [0, 1]


@pytest.mark.parametrize("channel", range(6))
def test_nan_anywhere_is_told(channel):
    """Also where no candidate is: a network that gives NaN is not believed elsewhere."""
    level = np.full((6, 5, 7), -10.0, np.float32)
    level[channel, 4, 6] = np.nan
    assert decode.decode_level(level, 8, 0, np.zeros(2, np.float32), *room(), 0) == decode.NAN
    assert decode.decode_level(level, 8, 0, np.full(2, np.inf, np.float32), *room(), 0) == decode.NAN


@pytest.mark.parametrize("value", [np.inf, -np.inf, 3e38, -3e38])
def test_infinite_outputs_give_finite_boxes_or_none(value):
    level = np.full((6, 2, 2), value, np.float32)
    boxes, scores, class_ids = room()
    count = decode.decode_level(level, 32, 0, np.zeros(2, np.float32), boxes, scores, class_ids, 0)
    assert count == (8 if value > 0 else 0)
    assert np.isfinite(boxes).all() and np.isfinite(scores).all()


@pytest.mark.parametrize(("capacity", "expected"), [(35, decode.FULL), (36, 36), (37, 36), (0, decode.FULL)])
def test_capacity_plus_one_is_told(capacity, expected):
    """36 cells are candidates: one place too few is an answer of its own, never a shorter list."""
    level = np.zeros((6, 6, 6), np.float32)
    logits = np.array([0, np.inf], np.float32)
    assert decode.decode_level(level, 8, 0, logits, *room(capacity), 0) == expected
    maps = np.zeros((2, 6, 6), np.float32)
    assert decode.decode_centerface(maps[0], maps, maps, 0.0, 0, *room(capacity), 0) == expected


@EXAMPLES
@given(SEEDS, SIDES, st.sampled_from([0.0, 0.25, 0.8, 2.0]))
def test_centerface_equals_twin(seed, sides, threshold):
    random = np.random.default_rng(seed)
    heat = random.random(sides, np.float32)
    scale = random.normal(1, 2, (2, *sides)).astype(np.float32)
    offset = random.normal(0, 1, (2, *sides)).astype(np.float32)
    boxes, scores, class_ids = room()
    count = decode.decode_centerface(heat, scale, offset, threshold, 7, boxes, scores, class_ids, 0)
    their_boxes, their_scores = twin.decode_centerface(heat, scale, offset, threshold)
    assert count == len(their_scores)
    np.testing.assert_allclose(boxes[:count], their_boxes, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(scores[:count], their_scores)
    assert (class_ids[:count] == 7).all()


def test_centerface_worked_by_hand():
    """Row 2, column 5, height 4 * 4 and width 4 * 2 px, moved by a quarter cell right; rows come first."""
    heat = np.zeros((8, 8), np.float32)
    scale, offset = np.zeros((2, 8, 8), np.float32), np.zeros((2, 8, 8), np.float32)
    heat[2, 5], scale[:, 2, 5], offset[:, 2, 5] = 0.9, (np.log(4.0), np.log(2.0)), (0.0, 0.25)
    boxes, scores, class_ids = room()
    assert decode.decode_centerface(heat, scale, offset, 0.5, 0, boxes, scores, class_ids, 0) == 1
    np.testing.assert_allclose(boxes[0], [23 - 4, 10 - 8, 23 + 4, 10 + 8], rtol=1e-6)


@pytest.mark.parametrize("part", range(5))
def test_centerface_nan_is_told(part):
    maps = np.zeros((5, 4, 4), np.float32)
    maps[part, 3, 3] = np.nan
    heat, scale, offset = maps[0].copy(), maps[1:3].copy(), maps[3:].copy()
    assert decode.decode_centerface(heat, scale, offset, 0.5, 0, *room(), 0) == decode.NAN


def places(count):
    """Scratch and results of suppression."""
    return np.zeros(count, np.int32), np.zeros(count, np.int32), np.zeros((count, 5))


@st.composite
def candidates(draw):
    """Boxes on a coarse grid, so equal boxes, equal scores, touching edges and exact thresholds come up."""
    random, count = np.random.default_rng(draw(SEEDS)), draw(st.integers(0, 60))
    corners = random.integers(0, 12, (count, 2, 2))
    sides = random.integers(0, 6, (count, 2))  # some without area
    boxes = np.concatenate([corners[:, 0], corners[:, 0] + sides], axis=1).astype(np.float32)
    scores = (random.integers(1, 9, count) / 8).astype(np.float32)
    return boxes, scores, random.integers(0, 2, count).astype(np.int32)


@EXAMPLES
@given(candidates(), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 2.0]))
def test_nms_equals_twin(found, iou, voting_from):
    boxes, scores, class_ids = found
    count = len(scores)
    order, keep, means = places(count)
    kept = decode.nms(boxes, scores, class_ids, count, iou, voting_from, order, keep, means)
    their_rows, their_means = twin.nms(boxes, scores, class_ids, iou, voting_from)
    assert list(keep[:kept]) == their_rows
    np.testing.assert_allclose(means[:kept, :4], their_means, atol=1e-9)
    assert sorted(order) == list(range(count))


def test_nms_keeps_the_strongest_of_each_class():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [50, 50, 60, 60]], np.float32)
    scores, class_ids = np.array([0.6, 0.9, 0.5, 0.7], np.float32), np.array([0, 0, 1, 0], np.int32)
    order, keep, means = places(4)
    assert decode.nms(boxes, scores, class_ids, 4, 0.5, 0.0, order, keep, means) == 3
    assert list(keep[:3]) == [1, 3, 2]
    np.testing.assert_allclose(means[0], [0.6, 0, 10.6, 10, 1.5], atol=1e-6)  # 0.9 and 0.6 of its class
    np.testing.assert_allclose(means[1:3, :4], boxes[[3, 2]], atol=1e-6)


def test_a_box_below_the_floor_has_no_vote_and_one_of_score_0_stays_where_it_is():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    scores, class_ids = np.array([0.9, 0.2, 0.0], np.float32), np.zeros(3, np.int32)
    order, keep, means = places(3)
    assert decode.nms(boxes, scores, class_ids, 3, 0.5, 0.25, order, keep, means) == 2
    np.testing.assert_allclose(means[:2, :4], boxes[[0, 2]], atol=1e-6)


@pytest.mark.parametrize(("most", "expected"), [(4, decode.FULL), (5, 5)])
def test_nms_tells_when_more_are_left_than_fit(most, expected):
    boxes = (np.arange(5)[:, None] * 20 + np.array([0, 0, 10, 10])).astype(np.float32)
    scores, class_ids, order = np.ones(5, np.float32), np.zeros(5, np.int32), np.zeros(5, np.int32)
    assert decode.nms(boxes, scores, class_ids, 5, 0.5, 0.0, order, *places(most)[1:]) == expected


def test_opencv_agrees_on_nms():
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(6)
    corners = random.uniform(0, 100, (200, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (200, 2))], axis=1).astype(np.float32)
    scores = (random.permutation(200) + 1).astype(np.float32) / 200
    order, keep, means = places(200)
    kept = decode.nms(boxes, scores, np.zeros(200, np.int32), 200, 0.4, 2.0, order, keep, means)
    sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    theirs = cv2.dnn.NMSBoxes(sizes.tolist(), scores.tolist(), 0.0, 0.4)
    assert list(keep[:kept]) == list(theirs)


@pytest.mark.skipif(not JIT, reason="the JIT is off")
def test_other_types_do_not_compile():
    with pytest.raises(TypeError):
        decode.decode_level(np.zeros((6, 2, 2)), 8, 0, np.zeros(2, np.float32), *room(), 0)
    assert len(decode.decode_level.signatures) == 1
