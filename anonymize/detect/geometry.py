"""How a stored picture lies in the network's input, and how boxes come back from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anonymize.detect.input_size import NetworkSize


@dataclass(frozen=True, slots=True)
class InputGeometry:
    """A stored picture of `width` x `height` px, its orientation, and the network size for it upright."""

    width: int
    height: int
    rotation_deg: int
    mirrored: bool
    size: NetworkSize

    def stored_view(self, tensor: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The part of a (C, H, W) tensor that holds the picture, seen in the stored orientation (no copy)."""
        picture = tensor[:, : self.size.picture_height, : self.size.picture_width]
        turned = np.rot90(picture, self.rotation_deg // 90, axes=(1, 2))
        return turned[:, :, ::-1] if self.mirrored else turned


def upright_size(width: int, height: int, rotation_deg: int) -> tuple[int, int]:
    """(width, height) of the picture after its turn, px."""
    return (height, width) if rotation_deg in (90, 270) else (width, height)


def to_stored(
    boxes: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
    size: tuple[int, int],
    *,
    rotation_deg: int,
    mirrored: bool,
) -> None:
    """Write upright boxes (N, 4) xyxy px as boxes of the stored picture of `size` (width, height) px to `out`."""
    width, height = size
    x1, y1, x2, y2 = (boxes[:, c] for c in range(4))
    if rotation_deg == 0:
        turned = (x1, y1, x2, y2)
    elif rotation_deg == 90:
        turned = (y1, height - x2, y2, height - x1)
    elif rotation_deg == 180:
        turned = (width - x2, height - y2, width - x1, height - y1)
    else:
        turned = (width - y2, x1, width - y1, x2)
    if mirrored:
        turned = (width - turned[2], turned[1], width - turned[0], turned[3])
    for c, edge in enumerate(turned):
        out[:, c] = edge
