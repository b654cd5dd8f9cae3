"""Camera motion: kernels equal their twins, and a known shift is found."""

from __future__ import annotations

import numpy as np
import pytest
from anonymize_kernels import motion
from anonymize_reference import motion as twin
from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**32 - 1), st.booleans())
def test_sums_equal_the_twins(height, width, seed, padded):
    picture = np.random.default_rng(seed).random((height, width + 5), np.float32)
    picture = picture[:, :width] if padded else np.ascontiguousarray(picture[:, :width])
    ours = np.zeros(width, np.float32), np.zeros(height, np.float32)
    wanted = np.zeros(width, np.float32), np.zeros(height, np.float32)
    motion.project(picture, *ours)
    twin.project(picture, *wanted)
    for came, expected in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(came, expected, rtol=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3]))
def test_sums_of_bytes_are_exact(height, width, seed, channels):
    """One channel of a picture whose channels lie side by side, and what lies beside it counts nowhere."""
    room = np.random.default_rng(seed).integers(0, 256, (height, width + 1, channels), np.uint8)
    picture = room[:, :width, channels // 2]
    ours = np.full(width, np.nan, np.float32), np.full(height, np.nan, np.float32)
    motion.project_bytes(picture, *ours)
    assert (ours[0] == picture.sum(axis=0)).all() and (ours[1] == picture.sum(axis=1)).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(8, 60), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_shifts_equal_the_twins(length, max_shift, seed):
    """On whole numbers, where both sum exactly; where shifts cost the same, either may be first."""
    random = np.random.default_rng(seed)
    before, after = random.integers(0, 1000, (2, length)).astype(np.float32)
    max_shift = min(max_shift, length // 4)
    assert motion.shift_between(before, after, max_shift) == pytest.approx(
        twin.shift_between(before, after, max_shift), abs=1e-6
    )


@pytest.mark.parametrize("shift", [-9, -1, 0, 1, 4, 10])
def test_a_known_shift_is_found(shift):
    scene = np.cumsum(np.random.default_rng(4).standard_normal(140)).astype(np.float32)
    before, after = scene[20:120], scene[20 - shift : 120 - shift]
    assert motion.shift_between(before, after, 12) == pytest.approx(shift, abs=0.3)


def test_noise_counts_as_no_motion():
    flat = np.full(64, 5.0, np.float32)
    assert motion.shift_between(flat, flat, 8) == 0.0
