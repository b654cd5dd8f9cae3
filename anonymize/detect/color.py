"""How YUV samples become RGB, as numbers for the kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.frames import ColorMatrix, ColorRange

# weights of red and blue in luma: ITU-R BT.601-7 2.5.1, BT.709-6 3.2, BT.2020-2 table 4 (non-constant luminance)
LUMA_WEIGHTS: Final[Mapping[ColorMatrix, tuple[float, float]]] = {
    ColorMatrix.BT601: (0.299, 0.114),
    ColorMatrix.BT709: (0.2126, 0.0722),
    ColorMatrix.BT2020: (0.2627, 0.0593),
}


def rgb_from_yuv(
    matrix: ColorMatrix, color_range: ColorRange
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(3, 3) matrix m and (3,) offset o with RGB = m @ YUV + o, all on the 8-bit scale.

    Limited range: luma 16 to 235, chroma 16 to 240 (ITU-R BT.601-7 2.5.3); full range: 0 to 255, as in JFIF.
    """
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1.0 - red - blue
    limited = color_range is ColorRange.LIMITED
    luma, chroma = (255.0 / 219.0, 255.0 / 224.0) if limited else (1.0, 1.0)
    from_u = np.array([0.0, -2.0 * (1.0 - blue) * blue / green, 2.0 * (1.0 - blue)]) * chroma
    from_v = np.array([2.0 * (1.0 - red), -2.0 * (1.0 - red) * red / green, 0.0]) * chroma
    to_rgb = np.stack([np.full(3, luma), from_u, from_v], axis=1)
    zero = np.array([16.0 if limited else 0.0, 128.0, 128.0])
    return to_rgb, -to_rgb @ zero
