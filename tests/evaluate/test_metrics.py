"""Metrics against cases worked out by hand, and against slower ways to the same number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.evaluate.intervals import bootstrap, lower_bound, resamples, upper_bound
from anonymize.evaluate.matching import LEFT_OUT, WRONG, average_precision, match
from anonymize.evaluate.overlap import (
    NEVER,
    as_boxes,
    covered_share,
    covering_score,
    intersection,
    iou,
    shorter_side,
    union_area,
)

NONE = as_boxes([])


def test_the_bound_that_the_acceptance_standard_is_planned_with():
    """ACCEPTANCE.md: with 200 targets, 188 hits put the 95 % one-sided lower bound at 0.90."""
    assert lower_bound(188, 200) >= 0.90 > lower_bound(187, 200)


@pytest.mark.parametrize(
    ("hits", "trials", "confidence", "bound"),
    [
        (10, 10, 0.95, 0.05 ** (1 / 10)),  # all hits: bound^n = 0.05
        (1, 1, 0.95, 0.05),
        (1, 10, 0.95, 1 - 0.95 ** (1 / 10)),  # one hit: 1 - (1 - bound)^n = 0.05
        (5, 10, 0.975, 0.187086),  # textbook: 5 of 10, two-sided 95 %: 0.1871 to 0.8129
        (0, 7, 0.95, 0.0),
    ],
)
def test_clopper_pearson_by_hand(hits, trials, confidence, bound):
    assert lower_bound(hits, trials, confidence) == pytest.approx(bound, abs=1e-6)
    assert upper_bound(trials - hits, trials, confidence) == pytest.approx(1 - bound, abs=1e-6)


def test_no_trials_have_no_bound():
    assert math.isnan(lower_bound(0, 0)) and math.isnan(upper_bound(0, 0))


def test_many_trials_do_not_overflow():
    wanted = 0.5 - 1.6449 * 0.0015811 - 0.5 / 100_000  # normal, with continuity
    assert lower_bound(50_000, 100_000) == pytest.approx(wanted, abs=1e-5)


def test_bootstrap_draws_pictures_and_repeats():
    weights = resamples(40, seed=3)
    assert (weights.sum(axis=1) == 40).all() and (weights == resamples(40, seed=3)).all()
    hits, trials = np.full(40, 1), np.full(40, 2)
    assert bootstrap(hits, trials, weights) == (0.5, 0.5)  # every picture alike: nothing to vary
    hits = np.array([2, 0] * 20)
    low, high = bootstrap(hits, trials, weights)
    assert low == pytest.approx(
        0.5 - 1.645 * math.sqrt(0.25 / 40), abs=0.03
    )  # pictures vary, not their objects
    assert high == pytest.approx(0.5 + 1.645 * math.sqrt(0.25 / 40), abs=0.03)
    assert all(math.isnan(edge) for edge in bootstrap(hits, np.zeros(40, np.int64), weights))


def test_overlaps_by_hand():
    a, b = as_boxes([[0, 0, 10, 10]]), as_boxes([[5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 12]])
    assert intersection(a, b).tolist() == [[50, 0, 16]]
    assert iou(a, b)[0].tolist() == pytest.approx([50 / 150, 0, 16 / 104])
    assert shorter_side(b).tolist() == [10, 10, 2]
    assert intersection(NONE, b).shape == (0, 3)


def test_union_counts_what_lies_double_once():
    assert union_area(NONE) == 0
    assert union_area(as_boxes([[0, 0, 10, 10], [5, 5, 15, 15]])) == 175
    assert union_area(as_boxes([[0, 0, 2, 2], [4, 4, 6, 6], [3, 3, 1, 1]])) == 8  # the last is inside out


rectangles = st.lists(st.tuples(*[st.integers(0, 12)] * 4), max_size=6).map(
    lambda rows: as_boxes([(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rows])
)


@settings(deadline=None)
@given(rectangles)
def test_union_against_counting_px(boxes):
    picture = np.zeros((12, 12), bool)
    for x1, y1, x2, y2 in boxes.astype(int):
        picture[y1:y2, x1:x2] = True
    assert union_area(boxes) == picture.sum()


def test_two_areas_hide_a_box_together():
    box = as_boxes([[0, 0, 10, 10]])
    halves = as_boxes([[0, 0, 5, 10], [5, 0, 10, 10]])
    assert covered_share(box, halves[:1]).tolist() == [0.5]
    assert covered_share(box, halves).tolist() == [1.0]
    scores = np.array([0.4, 0.7])
    assert covering_score(box, halves, scores, 0.5).tolist() == [0.7]  # exactly half is enough
    assert covering_score(box, halves, scores, 0.9).tolist() == [0.4]
    assert covering_score(box, halves[:1], scores[:1], 0.9).tolist() == [NEVER]
    assert covering_score(box, NONE, np.zeros(0), 0.5).tolist() == [NEVER]


@settings(deadline=None)
@given(rectangles, st.integers(0, 2**32 - 1))
def test_covering_score_against_trying_every_threshold(hidden, seed):
    scores = np.random.default_rng(seed).random(len(hidden)).round(1)
    box = as_boxes([[2, 3, 9, 11]])
    best = covering_score(box, hidden, scores, 0.5)[0]
    tried = [t for t in scores if covered_share(box, hidden[scores >= t])[0] >= 0.5]
    assert best == max(tried, default=NEVER)


def test_matching_gives_each_object_its_strongest_detection_once():
    objects = as_boxes([[0, 0, 10, 10], [20, 0, 30, 10]])
    found = as_boxes([[0, 0, 10, 9], [0, 0, 10, 10], [40, 40, 50, 50], [60, 0, 70, 10]])
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    got, pairs = match(objects, as_boxes([[38, 38, 60, 60]]), found, scores)
    assert got.tolist() == [0.9, NEVER]
    assert pairs.tolist() == [0, WRONG, LEFT_OUT, WRONG]  # a second find of one object is wrong


def test_matching_needs_iou_of_one_half():
    got, pairs = match(
        as_boxes([[0, 0, 10, 10]]), NONE, as_boxes([[0, 0, 10, 4.9], [0, 0, 10, 5]]), np.array([0.9, 0.8])
    )
    assert got.tolist() == [0.8] and pairs.tolist() == [WRONG, 0]


def test_average_precision_by_hand():
    """Right, wrong, right of two objects: precision 1 up to recall 1/2, then 2/3."""
    scores = np.array([0.9, 0.8, 0.7])
    assert average_precision(scores, np.array([True, False, True]), 2) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(scores, np.array([False, True, True]), 2) == pytest.approx(2 / 3)
    assert average_precision(scores, np.array([True, False, False]), 4) == 0.25
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0
    assert math.isnan(average_precision(scores, np.ones(3, bool), 0))
