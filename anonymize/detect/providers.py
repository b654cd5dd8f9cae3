"""Where a network may run: the CPU, or what else the installed runtime offers, checked against the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.errors import UsageError

CPU: Final = "CPUExecutionProvider"
# Our names, the runtime's, and what makes the answers those of the CPU. The wheel's Azure provider calls a network
# and is in no table.
PROVIDERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "cpu": (CPU, {}),
    "openvino": ("OpenVINOExecutionProvider", {"device_type": "CPU", "precision": "FP32"}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
    "tensorrt": ("TensorrtExecutionProvider", {"trt_fp16_enable": "0"}),
    "qnn": ("QNNExecutionProvider", {}),
    "coreml": ("CoreMLExecutionProvider", {}),
    "xnnpack": ("XnnpackExecutionProvider", {}),
}
# Largest difference of a raw output (a logit, or the logarithm of a side in strides) from the CPU's in float32. A logit
# that is 0.1 off moves a confidence by 0.025 at most, a side by a tenth; float32 runtimes differ by less than 0.001.
TOLERANCE: Final = 0.1


def find(name: str, offered: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The runtime's name and options of a provider of ours.

    Raises
    ------
    UsageError
        A name that we do not know, or a provider that the installed runtime does not offer.
    """
    if name not in PROVIDERS:
        raise UsageError(f"provider is {name!r}; wanted one of {', '.join(PROVIDERS)}")
    theirs, options = PROVIDERS[name]
    if theirs not in offered:
        there = [ours for ours, (full, _) in PROVIDERS.items() if full in offered]
        raise UsageError(f"provider is {name!r}; the installed runtime offers {', '.join(there)}")
    return theirs, options


def test_picture(height: int, width: int) -> npt.NDArray[np.float32]:
    """(1, 3, height, width) float32, 0 to 1: blocks of all sizes, the same on every machine."""
    random = np.random.default_rng(5)
    picture = np.zeros((3, height, width), np.float32)
    for block in (4, 16, 64):
        rows, columns = -(-height // block), -(-width // block)
        coarse = random.random((3, rows, columns), np.float32)
        fine = coarse.repeat(block, axis=1).repeat(block, axis=2)
        picture += fine[:, :height, :width] / 3
    return picture[None]


def largest_difference(ours: Sequence[npt.NDArray[Any]], cpus: Sequence[npt.NDArray[Any]]) -> float:
    """Largest difference of two lists of outputs; infinity where one is not finite or of another shape."""
    worst = 0.0
    for mine, theirs in zip(ours, cpus, strict=True):
        if mine.shape != theirs.shape or not np.isfinite(mine).all():
            return float("inf")
        worst = max(worst, float(np.abs(mine - theirs).max(initial=0.0)))
    return worst
