"""YUV to RGB against the standards' own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from anonymize.detect.color import rgb_from_yuv
from anonymize.frames import ColorMatrix, ColorRange


@pytest.mark.parametrize("matrix", list(ColorMatrix))
def test_black_white_and_grey(matrix):
    to_rgb, offset = rgb_from_yuv(matrix, ColorRange.LIMITED)
    for luma, level in ((16, 0), (235, 255), (125.5, 127.5)):
        np.testing.assert_allclose(to_rgb @ [luma, 128, 128] + offset, level, atol=1e-9)
    to_rgb, offset = rgb_from_yuv(matrix, ColorRange.FULL)
    for level in (0, 77, 255):
        np.testing.assert_allclose(to_rgb @ [level, 128, 128] + offset, level, atol=1e-9)


def test_jfif_red():
    """JFIF 1.02: Y 76.245, Cb 84.972, Cr 255.5 is pure red."""
    to_rgb, offset = rgb_from_yuv(ColorMatrix.BT601, ColorRange.FULL)
    np.testing.assert_allclose(to_rgb @ [76.245, 84.972, 255.5] + offset, [255, 0, 0], atol=0.01)


def test_bt709_bars():
    """75 % green of the BT.709 colour bars (SMPTE RP 219): Y 133, Cb 63, Cr 52 in 8 bits, limited range."""
    to_rgb, offset = rgb_from_yuv(ColorMatrix.BT709, ColorRange.LIMITED)
    np.testing.assert_allclose(to_rgb @ [133, 63, 52] + offset, [0, 191, 0], atol=1.5)


def test_opencv_agrees():
    cv2 = pytest.importorskip("cv2")
    samples = np.random.default_rng(2).integers(40, 200, (50, 1, 3), np.uint8)
    theirs = cv2.cvtColor(samples[:, :, [0, 2, 1]], cv2.COLOR_YCrCb2RGB)[:, 0].astype(float)
    to_rgb, offset = rgb_from_yuv(ColorMatrix.BT601, ColorRange.FULL)
    ours = np.clip(samples[:, 0] @ to_rgb.T + offset, 0, 255)
    np.testing.assert_allclose(ours, theirs, atol=1.5)
