"""Candidates of one frame: fixed arrays between the network's outputs and the table of boxes."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.boxes import MAX_BOXES, BoxTable
from anonymize.errors import DetectorError, TooManyError

MAX_CANDIDATES: Final = 8192  # 256 objects of some 30 cells each
VOTING_FROM: Final = 0.25  # confidence from which a suppressed box has a say in where the kept one lies
FULL, NAN = -1, -2  # what the kernels return instead of a count

Tensor = npt.NDArray[np.float32]


class Candidates:
    """Boxes before non-maximum suppression, px of the network's input; `most_kept` after it."""

    def __init__(self, most_kept: int = MAX_BOXES) -> None:
        self.boxes = np.zeros((MAX_CANDIDATES, 4), np.float32)
        self.scores = np.zeros(MAX_CANDIDATES, np.float32)
        self.class_ids = np.zeros(MAX_CANDIDATES, np.int32)
        self.count = 0
        self._order = np.zeros(MAX_CANDIDATES, np.int32)
        self._keep = np.zeros(most_kept, np.int32)  # its length bounds the time of suppression, too
        self._means = np.zeros((most_kept, 5), np.float64)

    def clear(self) -> None:
        """Begin a frame."""
        self.count = 0

    def add_level(self, level: Tensor, stride_px: int, logits: Tensor, *, least_px: int = 0) -> None:
        """Cells of an anonymize level (6, h, w) whose logit reaches their class's (2,), from a shorter side on."""
        from anonymize_kernels import decode

        self._take(
            decode.decode_level(
                level, stride_px, least_px, logits, self.boxes, self.scores, self.class_ids, self.count
            )
        )

    def add_centerface(
        self, heat: Tensor, scale: Tensor, offset: Tensor, floor: float, class_id: int
    ) -> None:
        """Cells of CenterFace's maps (h, w), (2, h, w), (2, h, w) whose heat reaches `floor`."""
        from anonymize_kernels import decode

        self._take(
            decode.decode_centerface(
                heat, scale, offset, floor, class_id, self.boxes, self.scores, self.class_ids, self.count
            )
        )

    def _take(self, count: int) -> None:
        if count == NAN:
            raise DetectorError("the network's output holds NaN")
        if count == FULL:
            raise TooManyError(f"more than {MAX_CANDIDATES} candidates in one picture")
        self.count = count

    def suppress(self, iou: float, px_per_network_px: tuple[float, float], out: BoxTable) -> None:
        """Greedy non-maximum suppression within each class, strongest first, into `out` in px of the picture.

        A box lies where those that it stands for say, weighted by their confidence. `px_per_network_px` is across,
        down.

        Raises
        ------
        TooManyError
            More are left than there is room for.
        """
        from anonymize_kernels import decode

        kept = int(
            decode.nms(
                self.boxes, self.scores, self.class_ids, self.count, iou, VOTING_FROM,
                self._order, self._keep, self._means,
            )
        )  # fmt: skip
        if kept == FULL:
            raise TooManyError(f"more than {len(self._keep)} objects in one picture")
        rows = self._keep[:kept]
        np.multiply(self._means[:kept, :4], px_per_network_px * 2, out=out.boxes[:kept], casting="same_kind")
        out.scores[:kept], out.class_ids[:kept] = self.scores[rows], self.class_ids[rows]
        out.count = kept
