"""SAFETY 4: no output pixel depends on a pixel of the hidden union, whatever the boxes, the order, the format.

The whole union is filled with other values; every output pixel must stay equal, bit for bit, over several
frames of the same tracks, so that nothing travels through what is remembered. Outside union and soft bands
the planes equal the input, bit for bit.
"""

from __future__ import annotations

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anonymize.frames import LAYOUTS, PixelFormat
from anonymize.hide import Styles
from anonymize.hide import hider as hiding
from anonymize.hide.hider import Hider

FRAMES = 3
EXAMPLES = 25 if numba.config.DISABLE_JIT else 120
SLOW = settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def box_sets(draw, width, height):
    """Boxes that lie apart, touch, overlap and nest: each starts from an edge of an earlier one, or anew."""
    boxes = []
    for _ in range(draw(st.integers(1, 7))):
        if boxes and draw(st.booleans()):
            x1, y1, x2, y2 = draw(st.sampled_from(boxes))
            how = draw(st.sampled_from(["touch", "overlap", "nest", "around", "same"]))
            w, h = x2 - x1, y2 - y1
            boxes.append(
                {
                    "touch": (x2, y1, x2 + w, y2),
                    "overlap": (x1 + w / 2, y1 + h / 3, x2 + w / 2, y2 + h / 3),
                    "nest": (x1 + w / 4, y1 + h / 4, x2 - w / 4, y2 - h / 4),
                    "around": (x1 - 2, y1 - 2, x2 + 2, y2 + 2),
                    "same": (x1, y1, x2, y2),
                }[how]
            )
            continue
        xs = sorted(draw(st.floats(-5, width + 5, width=32)) for _ in range(2))
        ys = sorted(draw(st.floats(-5, height + 5, width=32)) for _ in range(2))
        boxes.append((xs[0], ys[0], xs[1], ys[1]))
    return draw(st.permutations(boxes))


@st.composite
def films(draw):
    width, height = draw(st.integers(1, 41)), draw(st.integers(1, 33))
    frames = [draw(box_sets(width, height)) for _ in range(FRAMES)]
    return SimpleNamespace(
        width=width,
        height=height,
        frames=frames,
        class_ids=draw(st.lists(st.integers(0, 2), min_size=7, max_size=7)),
        track_ids=draw(st.permutations([-1, 0, 1, 2, 3, 4, 5])),
        growth=draw(st.sampled_from([1.0, 1.3])),
        soft=draw(st.sampled_from([0.0, 0.06, 0.5])),
        padding=draw(st.sampled_from([0, 3])),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def make_planes(rng, layout, width, height, padding):
    planes = []
    for shape in layout.shapes(width, height):
        wide = (shape[0], shape[1] + padding, *shape[2:])
        planes.append(rng.integers(0, 1 << layout.bits, wide).astype(layout.dtype)[:, : shape[1]])
    return tuple(planes)


def copy_padded(planes):
    """The same planes with the same strides in memory of their own."""
    copies = []
    for plane in planes:
        base = plane if plane.base is None else plane.base
        copies.append(base.copy()[:, : plane.shape[1]])
    return tuple(copies)


def mark(layout, planes, rects):
    """Per plane, which samples lie in one of the rectangles (px of the picture)."""
    height, width = planes[0].shape[:2]
    union = np.zeros((height, width), bool)
    for x1, y1, x2, y2 in rects:
        union[y1:y2, x1:x2] = True
    masks = []
    for index in range(len(planes)):
        step_x = 1 << (layout.chroma_shift_x if index else 0)
        step_y = 1 << (layout.chroma_shift_y if index else 0)
        padded = np.pad(union, ((0, -height % step_y), (0, -width % step_x)))
        blocks = padded.reshape(padded.shape[0] // step_y, step_y, padded.shape[1] // step_x, step_x)
        masks.append(blocks.any(axis=(1, 3)))
    return masks


def overwrite(rng, layout, planes, masks):
    """Other values in every sample of the masks."""
    for plane, mask in zip(planes, masks, strict=True):
        plane[mask] = rng.integers(0, 1 << layout.bits, plane[mask].shape)


def hide(hider, layout, planes, boxes, film):
    count = len(boxes)
    hider.hide(
        planes,
        layout,
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array(film.class_ids[:count]),
        np.array(film.track_ids[:count]),
        count,
    )
    return hider.grown[:count].tolist()


@pytest.mark.parametrize("pixel_format", list(PixelFormat))
@pytest.mark.parametrize("styles", [("veil", "veil", "veil"), ("veil", "solid", "solid")], ids="-".join)
@SLOW
@given(film=films())
def test_output_does_not_depend_on_the_union(pixel_format, styles, film):
    layout = LAYOUTS[pixel_format]
    rng = np.random.default_rng(film.seed)
    value = Styles(*styles, growth=film.growth, soft_edge_fraction=film.soft)
    hider, other = Hider(value), Hider(value)
    for boxes in film.frames:
        planes = make_planes(rng, layout, film.width, film.height, film.padding)
        before, twin = copy_padded(planes), copy_padded(planes)
        grown = hide(hider, layout, planes, boxes, film)
        union = mark(layout, planes, grown)
        overwrite(rng, layout, twin, union)
        assert hide(other, layout, twin, boxes, film) == grown
        banded = mark(layout, planes, hider._scratch.areas.banded[: len(boxes)].tolist())
        for a, b in zip(planes, twin, strict=True):
            np.testing.assert_array_equal(a, b)
        for made, old, touched in zip(planes, before, banded, strict=True):
            np.testing.assert_array_equal(made[~touched], old[~touched])


@pytest.mark.parametrize("pixel_format", [PixelFormat.BGR24, PixelFormat.NV12, PixelFormat.YUV420P10LE])
@pytest.mark.parametrize("weak", ["blur", "mosaic"])
@SLOW
@given(film=films())
def test_weak_neighbours_carry_nothing_out_of_a_veil(pixel_format, weak, film):
    """Faces veiled, plates weak: no output pixel depends on what a veil hides, also where they overlap."""
    with pytest.MonkeyPatch.context() as patch:  # the same noise for both
        patch.setattr(hiding, "_draw_noise", lambda noise, bits: noise.fill(7))
        compare_over_veils(pixel_format, weak, film)


def compare_over_veils(pixel_format, weak, film):
    layout = LAYOUTS[pixel_format]
    rng = np.random.default_rng(film.seed)
    value = Styles("veil", weak, growth=film.growth, soft_edge_fraction=film.soft)
    hider, other = Hider(value), Hider(value)
    for boxes in film.frames:
        planes = make_planes(rng, layout, film.width, film.height, film.padding)
        twin = copy_padded(planes)
        grown = hide(hider, layout, planes, boxes, film)
        strong = [rect for rect, kind in zip(grown, film.class_ids, strict=False) if kind != 1]
        overwrite(rng, layout, twin, mark(layout, planes, strong))
        hide(other, layout, twin, boxes, film)
        for a, b in zip(planes, twin, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("pixel_format", [PixelFormat.RGB24, PixelFormat.NV12, PixelFormat.YUV422P])
@pytest.mark.parametrize("styles", [("blur", "blur"), ("mosaic", "mosaic"), ("blur", "mosaic")], ids="-".join)
@SLOW
@given(film=films())
def test_weak_styles_carry_nothing_out_of_the_union(pixel_format, styles, film):
    layout = LAYOUTS[pixel_format]
    rng = np.random.default_rng(film.seed)
    hider, other = Hider(Styles(*styles)), Hider(Styles(*styles))
    for boxes in film.frames:
        planes = make_planes(rng, layout, film.width, film.height, film.padding)
        twin = copy_padded(planes)
        grown = hide(hider, layout, planes, boxes, film)
        union = mark(layout, planes, grown)
        overwrite(rng, layout, twin, union)
        hide(other, layout, twin, boxes, film)
        for a, b, hidden in zip(planes, twin, union, strict=True):
            np.testing.assert_array_equal(a[~hidden], b[~hidden])
