"""Numpy twins of `anonymize_kernels.motion`, written from the definition."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Profile = npt.NDArray[np.float32]


def project(picture: npt.NDArray[np.float32], columns: Profile, rows: Profile) -> None:
    """Sums of each column and each row of `picture` (H, W) into `columns` (W,) and `rows` (H,)."""
    columns[:] = picture.sum(axis=0, dtype=np.float64)
    rows[:] = picture.sum(axis=1, dtype=np.float64)


def shift_between(before: Profile, after: Profile, max_shift: int) -> float:
    """Shift in px that turns `before` into `after`, 0.0 where none beats "no motion" by a tenth."""
    slope_before, slope_after = (p[2:].astype(float) - p[:-2] for p in (before, after))

    def cost(shift: int) -> float:
        n = len(slope_before) - abs(shift)
        if n <= 0:
            return 0.0
        a = slope_before[max(0, -shift) :][:n]
        b = slope_after[max(0, shift) :][:n]
        return float(np.abs(a - b).mean())

    costs = {shift: cost(shift) for shift in range(-max_shift, max_shift + 1)}
    best = min(costs, key=costs.__getitem__)
    if best == 0 or costs[best] >= 0.9 * costs[0]:
        return 0.0
    if abs(best) == max_shift:
        return float(best)
    left, middle, right = (costs[best + step] for step in (-1, 0, 1))
    bend = left - 2.0 * middle + right
    return best + (0.5 * (left - right) / bend if bend > 0 else 0.0)
