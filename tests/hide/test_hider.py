"""What a `Hider` refuses, remembers, checks and never does on a live frame."""

from __future__ import annotations

import gc
import math
import os
import tracemalloc
from pathlib import Path

import numba
import numpy as np
import pytest
from anonymize_kernels import hide as kernels

from anonymize.errors import FrameError, HideError, TooManyError
from anonymize.frames import LAYOUTS, PixelFormat
from anonymize.hide import AREA, FACE, PLATE, Styles
from anonymize.hide import hider as hiding
from anonymize.hide.hider import MAX_BOXES, MAX_TRACKS, Hider

NV12 = LAYOUTS[PixelFormat.NV12]
GRAY = LAYOUTS[PixelFormat.GRAY8]
JIT = not numba.config.DISABLE_JIT


def make_planes(layout, width, height, padding=0, seed=0):
    rng = np.random.default_rng(seed)
    planes = []
    for shape in layout.shapes(width, height):
        wide = (shape[0], shape[1] + padding, *shape[2:])
        planes.append(rng.integers(0, 1 << layout.bits, wide).astype(layout.dtype)[:, : shape[1]])
    return tuple(planes)


def hide(hider, planes, boxes, *, layout=NV12, kind=FACE, tracks=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(boxes)
    ids = np.full(count, -1) if tracks is None else np.array(tracks)
    hider.hide(planes, layout, boxes, np.full(count, kind), ids, count)


@pytest.mark.parametrize(
    "box",
    [
        [math.nan, 0, 5, 5],
        [0, 0, 5, math.nan],
        [0, -math.inf, 5, 5],
        [0, 0, math.inf, 5],
        [5, 0, 0, 5],
        [0, 5, 5, 0],
    ],
    ids=str,
)
def test_no_box_raises_and_writes_nothing(box):
    planes = make_planes(NV12, 32, 24)
    before = [plane.copy() for plane in planes]
    with pytest.raises(HideError, match="box 1 of 2"):
        hide(Hider(Styles()), planes, [[1, 1, 9, 9], box])
    for plane, old in zip(planes, before, strict=True):
        np.testing.assert_array_equal(plane, old)


@pytest.mark.parametrize("kind", [-1, 3, 100])
def test_unknown_class_raises(kind):
    with pytest.raises(HideError):
        hide(Hider(Styles()), make_planes(NV12, 32, 24), [[1, 1, 9, 9]], kind=kind)


@pytest.mark.parametrize("style", ["veil", "solid", "blur", "mosaic"])
def test_capacity_is_hidden_and_one_more_raises(style):
    hider = Hider(Styles(style, style))
    planes = make_planes(NV12, 64, 64)
    spots = [[4 * (i % 16), 4 * (i // 16), 4 * (i % 16) + 2, 4 * (i // 16) + 2] for i in range(MAX_BOXES + 1)]
    hide(hider, planes, spots[:MAX_BOXES], tracks=range(MAX_BOXES))
    hider.check(planes)
    before = [plane.copy() for plane in planes]
    with pytest.raises(TooManyError, match="257"):
        hide(hider, planes, spots, tracks=range(MAX_BOXES + 1))
    for plane, old in zip(planes, before, strict=True):
        np.testing.assert_array_equal(plane, old)


def test_huge_boxes_hide_the_frame():
    planes = make_planes(NV12, 33, 25)
    hider = Hider(Styles())
    hide(hider, planes, [[-1e30, -3e38, 1e30, 3e38]])
    assert hider.grown[0].tolist() == [0, 0, 33, 25]
    assert (planes[0] == hiding.BLACK_LUMA).all()
    assert (planes[1] == 128).all()


def test_last_row_and_column_are_hidden():
    for width, height in ((33, 25), (32, 24)):
        plane = np.full((height, width), 9, np.uint8)
        plane[-1] = plane[:, -1] = 200
        hide(
            Hider(Styles("solid")),
            (plane,),
            [[width - 3.5, height - 3.5, width - 0.5, height - 0.5]],
            layout=GRAY,
        )
        assert (plane[-3:, -3:] == 0).all()


def test_static_areas_are_not_grown():
    hider = Hider(Styles())
    hide(hider, make_planes(GRAY, 64, 64), [[10, 10, 20, 20]], layout=GRAY, kind=AREA)
    assert hider.grown[0].tolist() == [10, 10, 20, 20]


def test_read_only_planes_are_refused():
    planes = make_planes(NV12, 32, 24)
    planes[1].flags.writeable = False
    before = planes[0].copy()
    with pytest.raises(FrameError, match="read-only"):
        hide(Hider(Styles()), planes, [[1, 1, 9, 9]])
    np.testing.assert_array_equal(planes[0], before)


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((8, 6, 3), np.uint8)[:, :, ::-1],  # a flat view of it cannot be had: numpy would copy
        np.zeros((8, 6, 6), np.uint8)[:, :, ::2],
        np.zeros((8, 1, 6), np.uint8)[:, :, ::2],
        np.zeros((8, 12, 3), np.uint8)[:, ::2],
    ],
    ids=lambda plane: str(plane.strides),
)
def test_samples_that_lie_apart_are_refused(plane):
    with pytest.raises(FrameError, match="strides"):
        hide(Hider(Styles()), (plane,), [[0, 0, 1, 4]], layout=LAYOUTS[PixelFormat.BGR24])
    with pytest.raises(FrameError, match="strides"):
        hide(Hider(Styles()), (np.zeros((8, 12), np.uint8)[:, ::2],), [[0, 0, 1, 4]], layout=GRAY)


def test_planes_that_do_not_fit_are_refused():
    luma, chroma = make_planes(NV12, 32, 24)
    for planes in ((luma, chroma[:-1]), (luma, chroma[:, :-1]), (luma, chroma.astype(np.uint16))):
        with pytest.raises(FrameError, match="plane 1 is"):
            hide(Hider(Styles()), planes, [[1, 1, 30, 23]])
    with pytest.raises(FrameError, match="1 planes came"):
        hide(Hider(Styles()), (luma,), [[1, 1, 30, 23]])


@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_fewer_boxes_than_said_are_refused(lacking):
    """numpy would repeat a single row: one box hidden twice, the other not at all."""
    given = [np.array([[1, 1, 9, 9], [12, 12, 20, 20]], np.float32), np.array([0, 1]), np.array([-1, -1])]
    given[lacking] = given[lacking][:1]
    planes = make_planes(NV12, 32, 24)
    with pytest.raises(HideError, match="wanted 2"):
        Hider(Styles()).hide(planes, NV12, *given, 2)


@pytest.mark.parametrize("style", ["veil", "solid", "mosaic"])
def test_check_finds_a_pixel_that_is_not_hidden(style):
    hider = Hider(Styles(style, style))
    planes = make_planes(NV12, 96, 64)
    boxes = [[10, 10, 40, 40], [30, 30, 60, 50], [34, 34, 50, 45]]
    hide(hider, planes, boxes)
    hider.check(planes)
    for index, plane in enumerate(planes):
        x1, y1, x2, y2 = hider.grown[0] >> index
        for y, x in ((y1, x1), (y2 - 1, x1), (y1, x2 - 1)):
            old = plane[y, x].copy()
            plane[y, x] ^= 64
            with pytest.raises(HideError, match=f"box 0 is not in plane {index}"):
                hider.check(planes)
            plane[y, x] = old
    hider.check(planes)


def test_check_finds_a_box_outside_its_area():
    hider = Hider(Styles())
    planes = make_planes(NV12, 96, 64)
    hide(hider, planes, [[10, 10, 40, 40]])
    hider.grown[0, 2] = 38
    with pytest.raises(HideError, match="box 0 is not inside"):
        hider.check(planes)


def test_where_areas_overlap_the_stronger_style_wins():
    """A plate (solid) under a face (blur), given in both orders."""
    for order in (1, -1):
        plane = make_planes(GRAY, 80, 60)[0]
        boxes = np.array([[10, 10, 50, 50], [30, 30, 70, 45]], np.float32)[::order]
        kinds = np.array([FACE, PLATE])[::order]
        hider = Hider(Styles("blur", "solid", growth=1.0, soft_edge_fraction=0.0))
        hider.hide((plane,), GRAY, boxes, kinds, np.array([-1, -1]), 2)
        assert (plane[30:45, 30:70] == 0).all()
        assert (plane[10:30, 10:50] != 0).all()


def test_a_weak_blur_does_not_uncover_a_strong_one():
    """A small face over a large plate: the plate's sigma is 50 px, the face's 4 px; no stripe may come back."""
    plane = np.zeros((80, 200), np.uint8)
    plane[:, ::8] = plane[:, 1::8] = plane[:, 2::8] = plane[:, 3::8] = 255
    hider = Hider(Styles("blur", "blur", growth=1.0))
    boxes = np.array([[90, 30, 102, 42], [10, 15, 190, 65]], np.float32)
    hider.hide((plane,), GRAY, boxes, np.array([FACE, PLATE]), np.array([-1, -1]), 2)
    assert np.abs(np.diff(plane[30:42, 90:102].astype(int))).max() <= 2  # of 255 before


@pytest.mark.parametrize("style", ["blur", "mosaic"])
def test_weak_styles_leave_no_detail(style):
    rng = np.random.default_rng(3)
    plane = np.repeat(np.repeat(rng.integers(0, 2, (10, 40)) * 255, 4, 0), 4, 1).astype(np.uint8)
    hide(Hider(Styles(style, style)), (plane,), [[20, 10, 140, 30]], layout=GRAY, kind=PLATE)
    inside = plane[10:30, 20:140].astype(int)
    assert np.ptp(inside, axis=0).max() <= 40
    assert len(np.unique(inside[:, 30])) <= (1 if style == "mosaic" else 20)


def test_veil_follows_its_ring_slowly_and_for_its_track_alone():
    hider = Hider(Styles(soft_edge_fraction=0.0))
    colours = []
    for level in (100, 200, 200, 200):
        plane = np.full((40, 40), level, np.uint8)
        hide(hider, (plane,), [[15, 15, 25, 25]], layout=GRAY, tracks=[7])
        colours.append(int(plane[20, 20]))
    assert colours == [100, 120, 136, 149]  # 51 of 256 of the way in each frame
    plane = np.full((40, 40), 200, np.uint8)
    hide(hider, (plane,), [[15, 15, 25, 25]], layout=GRAY, tracks=[8])
    assert plane[20, 20] == 200
    hider.reset()
    plane = np.full((40, 40), 250, np.uint8)
    hide(hider, (plane,), [[15, 15, 25, 25]], layout=GRAY, tracks=[7])
    assert plane[20, 20] == 250


def test_a_veil_that_loses_its_ring_keeps_its_colour():
    hider = Hider(Styles(soft_edge_fraction=0.0))
    hide(hider, (np.full((40, 40), 77, np.uint8),), [[15, 15, 25, 25]], layout=GRAY, tracks=[7])
    plane = np.full((40, 40), 200, np.uint8)
    hide(hider, (plane,), [[-5, -5, 45, 45]], layout=GRAY, tracks=[7])
    assert (plane == 77).all()


def test_mosaic_is_computed_once_a_track():
    hider = Hider(Styles("mosaic", "mosaic"))
    seen = []
    for frame in range(20):
        planes = make_planes(NV12, 120, 60, seed=frame)
        shift = frame % 3
        hide(hider, planes, [[20 + shift, 20, 80 + shift, 40]], kind=PLATE, tracks=[5])
        x1, y1, x2, _ = hider.grown[0]
        seen.append(
            (planes[0][y1, x1 : x2 : (x2 - x1) // 4][:4].tolist(), planes[1][y1 // 2, x1 // 2].tolist())
        )
    assert all(colours == seen[0] for colours in seen)
    hider.reset()
    planes = make_planes(NV12, 120, 60, seed=0)
    hide(hider, planes, [[20, 20, 80, 40]], kind=PLATE, tracks=[5])
    x1, y1, x2, _ = hider.grown[0]
    assert (
        planes[0][y1, x1 : x2 : (x2 - x1) // 4][:4].tolist() != seen[0][0]
    )  # other noise: 1 of 2 ** 20 agrees


def test_noise_has_the_sigma_that_was_measured():
    noise = np.zeros((200, 4, 3), np.int32)
    for bits, sigma in ((8, 10), (10, 40)):
        hiding._draw_noise(noise, bits)
        assert abs(noise.mean()) < sigma / 4
        assert 0.9 * sigma < noise.std() < 1.1 * sigma
        assert len(np.unique(noise)) > 3 * sigma


def test_a_track_that_is_here_is_never_forgotten():
    hider = Hider(Styles(soft_edge_fraction=0.0))
    for frame in range(MAX_TRACKS):  # as many other tracks come and go
        plane = np.full((40, 40), 10 if frame == 0 else 250, np.uint8)
        hide(hider, (plane,), [[15, 15, 25, 25], [2, 2, 4, 4]], layout=GRAY, tracks=[-9, 1000 + frame])
        if frame == 1:
            assert plane[20, 20] < 100
    slot = hider._scratch.memory.slots[0]
    assert hider._scratch.memory.ids[slot] == -9


def test_fill_whole_writes_every_pixel():
    for pixel_format, layout in LAYOUTS.items():
        planes = make_planes(layout, 33, 25, padding=3)
        Hider.fill_whole(planes, layout)
        values = [np.unique(plane).tolist() for plane in planes]
        if len(layout.channels) == 1:
            assert values == [[0]], pixel_format
        else:
            scale = 1 << (layout.bits - 8)
            assert values == [[16 * scale]] + [[128 * scale]] * (len(planes) - 1), pixel_format


def test_strict_is_solid():
    planes = make_planes(NV12, 64, 48)
    before = planes[0].copy()
    hider = Hider(Styles("blur", "mosaic"), strict=True)
    hide(hider, planes, [[20, 20, 30, 30]])
    x1, y1, x2, y2 = hider.grown[0]
    assert (planes[0][y1:y2, x1:x2] == hiding.BLACK_LUMA).all()
    planes[0][y1:y2, x1:x2] = before[y1:y2, x1:x2]
    np.testing.assert_array_equal(planes[0], before)


@pytest.mark.skipif(not JIT, reason="the JIT is off")
@pytest.mark.parametrize("pixel_format", list(PixelFormat))
def test_no_live_frame_compiles(pixel_format):
    layout = LAYOUTS[pixel_format]
    hider = Hider(Styles("blur", "mosaic"))
    hider.reserve(64, 48, pixel_format)
    entries = (kernels.grow, kernels.hide_plane, kernels.hide_plane_weakly, kernels.find_unfilled)
    before = [list(entry.overloads) for entry in entries]
    for padding in (0, 5):
        planes = make_planes(layout, 64, 48, padding)
        for kind in (FACE, PLATE, AREA):
            hide(hider, planes, [[10, 10, 30, 30], [50, 30, 80, 80]], layout=layout, kind=kind)
            hider.check(planes)
        upside_down = tuple(plane[::-1] for plane in planes)
        hide(hider, upside_down, [[10, 10, 30, 30]], layout=layout)
    assert [list(entry.overloads) for entry in entries] == before


@pytest.mark.skipif(not JIT, reason="the JIT is off")
@pytest.mark.parametrize("style", ["veil", "solid", "blur", "mosaic"])
def test_no_memory_grows(style):
    hider = Hider(Styles(style, style))
    planes = make_planes(NV12, 320, 180, padding=32)
    boxes = np.array([[10 * i, 5 * i, 10 * i + 30, 5 * i + 25] for i in range(12)], np.float32)
    kinds, tracks = np.arange(12) % 2, np.arange(12)

    def run(frames):
        for _ in range(frames):
            hider.hide(planes, NV12, boxes, kinds, tracks, 12)
            hider.check(planes)
        gc.collect()
        return tracemalloc.get_traced_memory()[0], read_rss_bytes()

    run(20)
    tracemalloc.start()
    grown = []
    for _ in range(8):  # Python's free lists settle over some rounds; what leaks, leaks in every one
        traced, resident = run(0)
        after, resident_after = run(1000)
        grown.append(after - traced)
        assert resident_after - resident < 1_000_000
        if grown[-1] < 4096:
            break
    tracemalloc.stop()
    assert min(grown) < 4096, grown  # the smallest object a frame would be 28,000


def read_rss_bytes():
    with Path("/proc/self/statm").open(encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_of_nested_veils_one_colour_is_seen():
    """A duplicate of a detector inside a larger box must not show as a square of its own."""
    luma = np.random.default_rng(5).integers(0, 256, (80, 120)).astype(np.uint8)
    boxes = np.array([[50, 35, 60, 42], [30, 20, 90, 60]], np.float32)
    hider = Hider(Styles(growth=1.0, soft_edge_fraction=0.0))
    hider.hide((luma,), LAYOUTS[PixelFormat.GRAY8], boxes, np.array([1, 1]), np.array([-1, -1]), 2)
    assert len(np.unique(luma[20:60, 30:90])) == 1
    hider.check((luma,))
