"""The hiding kernels equal their twin, bit for bit, on planes of every kind; run with the JIT on and off."""

from __future__ import annotations

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from anonymize_reference import hide as twin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anonymize.frames import LAYOUTS, PixelFormat
from anonymize.hide import Styles
from anonymize.hide import hider as hiding
from anonymize.hide.hider import Hider

STYLES = st.sampled_from(["veil", "solid", "blur", "mosaic"])
EDGES = st.sampled_from([-7.0, 0.0, 0.5, 1.0, 2.0])


@st.composite
def boxes_in(draw, width, height):
    """A box inside, across an edge, outside, empty, or as large as the frame."""
    spans = []
    for size in (width, height):
        place = st.one_of(st.floats(-6, size + 6, width=32), EDGES, EDGES.map(lambda v, s=size: s - v))
        spans.append(sorted((draw(place), draw(place))))
    return [spans[0][0], spans[1][0], spans[0][1], spans[1][1]]


@st.composite
def scenes(draw):
    width, height = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    count = draw(st.integers(0, 6))
    return SimpleNamespace(
        width=width,
        height=height,
        layout=LAYOUTS[draw(st.sampled_from(list(PixelFormat)))],
        styles=Styles(
            face=draw(STYLES),
            plate=draw(STYLES),
            area=draw(st.sampled_from(["veil", "solid"])),
            growth=draw(st.sampled_from([1.0, 1.3, 2.0])),
            soft_edge_fraction=draw(st.sampled_from([0.0, 0.1, 0.6])),
        ),
        frames=[[draw(boxes_in(width, height)) for _ in range(count)] for _ in range(2)],
        class_ids=draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)),
        track_ids=draw(st.lists(st.integers(-1, 3), min_size=count, max_size=count)),
        padding=draw(st.sampled_from([0, 1, 5])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def make_planes(rng, layout, width, height, padding):
    """Random planes whose lines are padded by some pixels."""
    planes = []
    for shape in layout.shapes(width, height):
        wide = (shape[0], shape[1] + padding, *shape[2:])
        planes.append(rng.integers(0, 1 << layout.bits, wide).astype(layout.dtype)[:, : shape[1]])
    return tuple(planes)


def hide_by_twin(hider, planes, areas, memory):
    """What the definition makes of the planes, with the noise that the hider drew."""
    hidden = []
    for plane, at in zip(planes, hider._places, strict=True):
        pixels = plane.reshape(*plane.shape[:2], at.channels)
        made = twin.hide_plane(pixels, at, areas, hider._scratch.colours, memory)
        hidden.append(made.reshape(plane.shape))
    return hidden


@settings(
    deadline=None,
    max_examples=40 if numba.config.DISABLE_JIT else 200,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(scenes())
def test_equals_its_twin(scene):
    rng = np.random.default_rng(scene.seed)
    hider, memory = Hider(scene.styles), twin.Memory()
    for given_boxes in scene.frames:  # the second frame meets the remembered colours
        boxes = np.array(given_boxes, np.float64).reshape(-1, 4)
        planes = make_planes(rng, scene.layout, scene.width, scene.height, scene.padding)
        before = tuple(plane.copy() for plane in planes)
        if len(set(scene.track_ids)) < len(scene.track_ids):  # a track is in a frame but once
            scene.track_ids = [-1] * len(boxes)
        hider.hide(
            planes, scene.layout, boxes, np.array(scene.class_ids), np.array(scene.track_ids), len(boxes)
        )
        areas = twin.grow(boxes, scene.class_ids, scene.track_ids, hider._rules, hider._picture)
        assert hider.grown[: len(boxes)].tolist() == [list(area.grown) for area in areas]
        for made, wanted in zip(planes, hide_by_twin(hider, before, areas, memory), strict=True):
            np.testing.assert_array_equal(made, wanted)
        hider.check(planes)


@settings(deadline=None, max_examples=15 if numba.config.DISABLE_JIT else 50)
@given(scenes())
def test_padding_of_lines_is_not_touched(scene):
    rng = np.random.default_rng(scene.seed)
    planes = make_planes(rng, scene.layout, scene.width, scene.height, 5)
    bases = [plane.base.copy() for plane in planes]
    boxes = np.array(scene.frames[0], np.float64).reshape(-1, 4)
    Hider(scene.styles).hide(
        planes, scene.layout, boxes, np.array(scene.class_ids), np.array(scene.track_ids), len(boxes)
    )
    for plane, base in zip(planes, bases, strict=True):
        np.testing.assert_array_equal(plane.base[:, plane.shape[1] :], base[:, plane.shape[1] :])


def test_by_hand():
    """A box of 2 x 2 px in the middle of a gray 6 x 6 picture: grown to 4 x 4, one line of ring outside."""
    plane = np.zeros((6, 6), np.uint8)
    plane[0] = 40
    plane[2:4, 2:4] = 255
    hider = Hider(Styles(soft_edge_fraction=0.0))
    hider.hide((plane,), LAYOUTS["gray8"], np.array([[2.0, 2.0, 4.0, 4.0]]), np.zeros(1), np.array([-1]), 1)
    assert hider.grown[0].tolist() == [1, 1, 5, 5]
    ring = 12  # (6 * 40 + 14 * 0) / 20
    wanted = np.zeros((6, 6), np.uint8)
    wanted[0] = 40
    wanted[1:5, 1:5] = ring
    np.testing.assert_array_equal(plane, wanted)


def test_band_by_hand():
    """Solid black over white; the band is as wide as the box, 4 px, and falls by fifths: 255 * 1/5 is 51."""
    plane = np.full((1, 40), 255, np.uint8)
    styles = Styles(face="solid", growth=1.0, soft_edge_fraction=1.0)
    hider = Hider(styles)
    hider.hide(
        (plane,), LAYOUTS["gray8"], np.array([[10.0, -2.0, 14.0, 2.0]]), np.zeros(1), np.array([-1]), 1
    )
    assert plane[0, 5:10].tolist() == [255, 204, 153, 103, 52]  # weights of 256 are rounded down
    assert plane[0, 10:14].tolist() == [0, 0, 0, 0]
    assert plane[0, 14:19].tolist() == [52, 103, 153, 204, 255]


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64])
def test_nothing_left_for_the_ring_is_solid(size):
    planes = (np.full((size, size), 200, np.uint8), np.full((-(-size // 2),) * 2 + (2,), 90, np.uint8))
    hider = Hider(Styles())
    hider.hide(planes, LAYOUTS["nv12"], np.array([[0, 0, size, size]]), np.zeros(1), np.array([4]), 1)
    assert (planes[0] == hiding.BLACK_LUMA).all()
    assert (planes[1] == 128).all()
