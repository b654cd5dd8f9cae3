"""The blur: its strength, its distance from a Gaussian, and that it reads its own rectangle alone."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from anonymize_kernels import blur as kernels
from anonymize_kernels.areas import PlaneAt
from anonymize_reference import blur as twin
from hypothesis import given, settings
from hypothesis import strategies as st

GRAY = PlaneAt(0, 0, 1, 0, 255)
EXAMPLES = 20 if numba.config.DISABLE_JIT else 100


def make_lanes(size):
    shape = (size, kernels.LANES)
    return kernels.Lanes(
        np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.zeros(kernels.LANES, np.int64)
    )


def blur(plane, rect, sigma_px, at=GRAY):
    kernels.blur_area(plane, at, np.array(rect, np.int32), float(sigma_px), make_lanes(max(plane.shape)))


@settings(deadline=None, max_examples=EXAMPLES)
@given(st.floats(0, 3000))
def test_three_boxes_are_never_weaker_than_asked(sigma_px):
    radius = kernels.box_radius(sigma_px)
    assert radius == twin.box_radius(sigma_px)
    variance = 3 * ((2 * radius + 1) ** 2 - 1) / 12  # of three boxes of 2 * radius + 1
    assert variance >= sigma_px**2
    assert radius <= sigma_px + 1


@settings(deadline=None, max_examples=EXAMPLES)
@given(st.integers(1, 70), st.integers(1, 70), st.floats(0, 90), st.integers(0, 2**32 - 1), st.booleans())
def test_equals_its_twin(width, height, sigma_px, seed, ten_bit):
    rng = np.random.default_rng(seed)
    peak, dtype = (1023, np.uint16) if ten_bit else (255, np.uint8)
    plane = rng.integers(0, peak + 1, (height + 4, width + 6)).astype(dtype)
    before = plane.copy()
    blur(plane, (3, 2, 3 + width, 2 + height), sigma_px)
    radius = twin.box_radius(sigma_px)
    wanted = before.copy()
    inside = before[2 : 2 + height, 3 : 3 + width, None].astype(np.int64)
    wanted[2 : 2 + height, 3 : 3 + width] = twin.blur(inside, radius, radius)[:, :, 0]
    np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize("size", [1, 31, 32, 33, 65])
def test_a_flat_area_stays_flat(size):
    for level in (0, 1, 127, 254, 255):
        plane = np.full((size, size), level, np.uint8)
        blur(plane, (0, 0, size, size), 20.0)
        assert (plane == level).all()


@pytest.mark.parametrize("sigma_px", [3.0, 11.2, 24.0])
def test_lies_near_a_gaussian_of_the_same_variance(sigma_px):
    """Within 3 % of the range for an edge, 2 levels for noise: three boxes are no Gaussian, but nearly."""
    cv2 = pytest.importorskip("cv2")
    size = 200
    edge = np.zeros((size, size), np.uint8)
    edge[:, size // 2 :] = 255
    noise = np.random.default_rng(1).integers(0, 256, (size, size)).astype(np.uint8)
    radius = kernels.box_radius(sigma_px)
    real_sigma = (radius * (radius + 1)) ** 0.5
    for plane, bound in ((edge, 0.03 * 255), (noise, 4 if sigma_px < 5 else 2)):
        wanted = cv2.GaussianBlur(
            plane.astype(np.float32), (0, 0), real_sigma, borderType=cv2.BORDER_REPLICATE
        )
        blur(plane, (0, 0, size, size), sigma_px)
        margin = int(3 * sigma_px)  # nearer to the edge the repeated samples are blurred anew in each pass
        inner = np.s_[margin : size - margin, margin : size - margin]
        assert np.abs(plane[inner] - wanted[inner]).max() <= bound


def test_padded_reversed_and_interleaved_lines():
    rng = np.random.default_rng(2)
    base = rng.integers(0, 256, (40, 90)).astype(np.uint8)
    tight, padded, turned = base[:, :60].copy(), base.copy()[:, :60], base[::-1].copy()[::-1][:, :60]
    at = PlaneAt(0, 0, 3, 0, 255)
    for plane in (tight, padded, turned):
        blur(plane, (2, 3, 18, 37), 5.0, at)
    np.testing.assert_array_equal(tight, padded)
    np.testing.assert_array_equal(tight, turned)
    single = base[:, 1:60:3].copy()
    blur(single, (2, 3, 18, 37), 5.0)
    np.testing.assert_array_equal(tight[:, 1::3], single)
