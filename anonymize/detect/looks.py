"""More looks at a picture, smaller, larger and mirrored: for archives, where a frame may take four times as long.

A box counts by how far the looks agree: its confidence is the mean, over all of them, of the strongest box of its
class that lies there. On the 300 held-back pictures, at 9 % false hits, `archive` so finds 0.902 of the plates in scope
instead of 0.833, and 0.945 of the faces instead of 0.928; taking the strongest look alone gains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from anonymize.boxes import CLASS_LABELS, BoxTable
from anonymize.detect.adapters import Adapter
from anonymize.detect.candidates import VOTING_FROM, Candidates
from anonymize.detect.geometry import InputGeometry
from anonymize.detect.manifest import ModelEntry
from anonymize.detect.session import BoundNetwork, NetworkSession
from anonymize.errors import TooManyError
from anonymize.frames import Label

MOST_KEPT: Final = 1024  # boxes of one look, most of them far below any threshold
FLOOR: Final = 0.10  # a box this sure in one look alone is not lost before the others were asked
SAME_IOU: Final = 0.4  # boxes of two looks on one object; they differ by a network px or two

Floats = npt.NDArray[np.float32]
Found = tuple[Floats, Floats, npt.NDArray[np.int32]]  # boxes (N, 4) px of the picture, confidences, class ids


@dataclass(frozen=True, slots=True)
class Look:
    """The network's input enlarged by `scale`, from 0.5 up, and mirrored or not."""

    scale: float
    mirrored: bool = False


LOOKS: Final = (Look(0.5), Look(1.5), Look(1.0, mirrored=True))  # beside the first one, as it is


class MoreLooks:
    """The looks at pictures of one kind beside the first, and what all say together."""

    def __init__(
        self, geometry: InputGeometry, entry: ModelEntry, session: NetworkSession, adapter: Adapter
    ) -> None:
        self._entry, self._adapter = entry, adapter
        size = geometry.size
        self._first = size.picture_height, size.picture_width
        self._networks: list[tuple[Look, BoundNetwork, tuple[int, int]]] = []
        for look in LOOKS:
            height, width = (max(1, round(side * look.scale)) for side in self._first)
            padded_height, padded_width = (_round_up(side, entry.size_multiple) for side in (height, width))
            shapes = adapter.output_shapes(padded_height, padded_width)
            network = session.bind(padded_height, padded_width, shapes)
            for channel in range(3):
                network.channels[channel] = (entry.pad[channel] - entry.mean[channel]) / entry.std[channel]
            self._networks.append((look, network, (height, width)))
        self._candidates = Candidates(MOST_KEPT)
        self._table = BoxTable.for_as_many_as(MOST_KEPT)

    def find(
        self,
        first: BoundNetwork,
        floors: Mapping[Label, float],
        px_per_network_px: tuple[float, float],
        out: BoxTable,
    ) -> None:
        """Write what all looks find together to `out`, strongest first, px of the upright picture.

        Parameters
        ----------
        first : BoundNetwork
            The first look, which was run.
        floors : mapping of Label to probability
            From which mean confidence a box is kept.
        px_per_network_px : (float, float)
            Of the first look, across and down.
        out : BoxTable

        Raises
        ------
        DetectorError, TooManyError
            As `Detector.detect`.
        """
        height, width = self._first
        picture = first.channels[:, :height, :width]
        found: list[Found] = [self._boxes(first, floors, px_per_network_px)]
        for look, network, size in self._networks:
            view = network.channels[:, : size[0], : size[1]]
            resized(picture, view[:, :, ::-1] if look.mirrored else view)
            network.run()
            ratio = width / size[1] * px_per_network_px[0], height / size[0] * px_per_network_px[1]
            boxes, scores, classes = self._boxes(network, floors, ratio)
            if look.mirrored:
                boxes[:, [0, 2]] = width * px_per_network_px[0] - boxes[:, [2, 0]]
            found.append((boxes, scores, classes))
        _put(agreed(found), np.concatenate([of[1] for of in found]), floors, out)

    def _boxes(
        self, network: BoundNetwork, floors: Mapping[Label, float], ratio: tuple[float, float]
    ) -> Found:
        """What one look found, px of the picture by `ratio`."""
        self._candidates.clear()
        self._adapter.decode(network.outputs, dict.fromkeys(floors, FLOOR), self._candidates)
        table = self._table
        self._candidates.suppress(self._entry.nms_iou, ratio, table)
        rows = slice(0, table.count)
        return table.boxes[rows].copy(), table.scores[rows].copy(), table.class_ids[rows].copy()


def _round_up(side: int, multiple: int) -> int:
    return -(-side // multiple) * multiple


def resized(picture: Floats, out: Floats) -> None:
    """Write the picture (3, h, w), linearly interpolated between centres, to `out` (3, H, W), at least half as large.

    At half the size that is the mean of each four px.
    """
    lines = _between(picture, out.shape[1], axis=1)
    out[...] = _between(lines, out.shape[2], axis=2)


def _between(picture: Floats, count: int, axis: int) -> Floats:
    """The picture with `count` lines (axis 1) or columns (axis 2)."""
    of = picture.shape[axis]
    if count == of:
        return picture
    at = np.clip((np.arange(count) + 0.5) * of / count - 0.5, 0, of - 1)
    low = np.minimum(at.astype(np.intp), max(of - 2, 0))
    share = (at - low).astype(np.float32)
    share = share[:, None] if axis == 1 else share
    before: Floats = picture.take(low, axis)
    after: Floats = picture.take(np.minimum(low + 1, of - 1), axis)
    after -= before
    after *= share
    after += before
    return after


def agreed(found: list[Found]) -> Found:
    """Boxes (N, 4), confidences and classes of all looks, each confidence the mean of what every look says there."""
    boxes = np.concatenate([of[0] for of in found])
    classes = np.concatenate([of[2] for of in found])
    total = np.zeros(len(boxes), np.float32)
    for theirs, scores, kinds in found:
        same = (_iou(boxes, theirs) >= SAME_IOU) & (classes[:, None] == kinds[None, :])
        total += np.where(same, scores[None, :], np.float32(0)).max(axis=1, initial=np.float32(0))
    return boxes, total / np.float32(len(found)), classes


def _iou(a: Floats, b: Floats) -> Floats:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=2)
    areas = [np.clip(of[:, 2:] - of[:, :2], 0, None).prod(axis=1) for of in (a, b)]
    return np.asarray(both / np.maximum(areas[0][:, None] + areas[1][None, :] - both, 1e-6), np.float32)


def _put(found: Found, own: Floats, floors: Mapping[Label, float], out: BoxTable) -> None:
    """Greedy suppression within each class, strongest first, of the boxes that reach their floor, into `out`.

    What counted as one object is one: at a higher IoU its boxes of other looks, which share its confidence, would stay.
    It lies where all its boxes say, weighted by what each look by itself (`own`) was sure of.
    """
    boxes, scores, classes = found
    least = np.array([floors.get(label, 2.0) for label in CLASS_LABELS], np.float32)
    order = [k for k in np.argsort(-scores, kind="stable") if scores[k] >= least[classes[k]]]
    overlap = _iou(boxes, boxes)
    kept: list[int] = []
    for k in order:
        if not any(classes[k] == classes[j] and overlap[k, j] >= SAME_IOU for j in kept):
            kept.append(int(k))
    if len(kept) > len(out.boxes):
        raise TooManyError(f"{len(kept)} objects in one picture; the limit is {len(out.boxes)}")
    same = (overlap[kept] >= SAME_IOU) & (classes[kept][:, None] == classes)
    voters = same & (np.cumsum(same, axis=0) == 1) & (own >= VOTING_FROM)
    voters[np.arange(len(kept)), kept] = True
    weights = voters * own
    rows = slice(0, len(kept))
    out.boxes[rows] = weights @ boxes / weights.sum(axis=1, keepdims=True)
    out.scores[rows], out.class_ids[rows] = scores[kept], classes[kept]
    out.count = len(kept)
