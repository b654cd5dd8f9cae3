"""Twin of `anonymize_kernels.blur`, from the definition: each mean is summed anew, on whole arrays."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FRACTION_BITS = 6
RECIPROCAL_BITS = 32


def box_radius(sigma_px: float) -> int:
    """Smallest r with r * (r + 1) >= sigma², which is the variance of three boxes of 2 r + 1."""
    return next(r for r in range(math.ceil(sigma_px) + 1) if r * (r + 1) >= sigma_px * sigma_px)


def _pass_box(values: npt.NDArray[np.int64], radius: int) -> npt.NDArray[np.int64]:
    length, size = values.shape[0], 2 * radius + 1
    window = np.arange(length)[:, None] + np.arange(-radius, radius + 1)[None, :]
    sums = values[np.clip(window, 0, length - 1)].sum(axis=1)
    reciprocal = (2**RECIPROCAL_BITS + size // 2) // size
    return (sums * reciprocal + 2 ** (RECIPROCAL_BITS - 1)) >> RECIPROCAL_BITS


def _blur_columns(samples: npt.NDArray[np.int64], radius: int) -> npt.NDArray[np.int64]:
    values = samples << FRACTION_BITS
    for _ in range(3):
        values = _pass_box(values, radius)
    return (values + 2 ** (FRACTION_BITS - 1)) >> FRACTION_BITS


def blur(pixels: npt.NDArray[np.int64], radius_x: int, radius_y: int) -> npt.NDArray[np.int64]:
    """Blur (rows, columns, channels) along rows, then along columns; edges are repeated."""
    along_rows = _blur_columns(pixels.swapaxes(0, 1), radius_x).swapaxes(0, 1)
    return _blur_columns(along_rows, radius_y)
