"""From a frame to boxes: preprocess, network, decode, on arrays that are allocated once for a kind of frame."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from anonymize.boxes import CLASS_IDS, BoxTable
from anonymize.detect.adapters import make_adapter
from anonymize.detect.bounded_run import BoundedRun
from anonymize.detect.candidates import Candidates
from anonymize.detect.geometry import InputGeometry, upright_size
from anonymize.detect.input_size import NetworkSize, network_size
from anonymize.detect.looks import MoreLooks
from anonymize.detect.manifest import Model
from anonymize.detect.preprocess import Preprocessor
from anonymize.detect.session import BoundNetwork, InputTensor, NetworkSession
from anonymize.errors import LateError, UsageError
from anonymize.frames import CapturedFrame, Label

MAX_KINDS: Final = 8  # kinds of frames (size, format, orientation) whose arrays are kept
# of a confidence: int8 differs from float by 0.02 to 0.06 where it is computed right (drive, its canary, 34 sizes)
SCORE_TOLERANCE: Final = 0.10
WEAK_SHARE: Final = 0.5  # of a threshold: from there on a find keeps a track alive


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """What is looked for and how finely; see `anonymize.settings.Settings`."""

    thresholds: Mapping[Label, float]
    classes: frozenset[Label]
    scope_px: int
    keep_px: int
    min_long_side_px: int
    cautious: bool = False
    thorough: bool = False


class StageListener(Protocol):
    """Is told when a stage has ended."""

    def stage(self, name: str) -> None:
        """The stage `name` ended now."""


class Detector:
    """One network and the arrays around it. Not for two threads at once.

    Attributes
    ----------
    labels : tuple of Label
        The classes that are looked for and that the network knows.
    thresholds : mapping of Label to probability
        In force.
    channel : (H, W) float32 or uint8
        The green channel of the last picture as the network saw it, upright, without padding.
    px_per_network_px : (float, float)
        Of the last picture, across and down: they differ by the rounding to whole px.
    """

    def __init__(
        self,
        model: Model,
        settings: DetectionSettings,
        *,
        threads: int = 1,
        provider: str = "cpu",
        provider_fallback: bool = False,
    ) -> None:
        from anonymize_kernels import decode

        decode.compile_all()
        entry = model.entry
        self.labels = tuple(label for label in entry.labels if label in settings.classes)
        if not self.labels:
            raise UsageError(
                f"model {entry.name!r} knows {', '.join(entry.labels)}; wanted {settings.classes}"
            )
        usual = _usual_thresholds(model, settings)
        self.thresholds = {label: settings.thresholds.get(label, usual[label]) for label in self.labels}
        self._floors = {label: WEAK_SHARE * threshold for label, threshold in self.thresholds.items()}
        self._entry, self._settings = entry, settings
        self._model, self._threads = model, threads
        self._fallbacks: tuple[str, ...] = ()
        self._session = NetworkSession(model, threads=threads, provider=provider, fallback=provider_fallback)
        if settings.thorough and self._session.takes_bytes:
            raise UsageError(
                f"model {entry.name!r} reads bytes, and several looks floats; wanted another network"
            )
        self._adapter = make_adapter(entry, self._session.output_names)
        self._kinds: OrderedDict[tuple[object, ...], tuple[InputGeometry, Preprocessor, BoundNetwork]] = (
            OrderedDict()
        )
        self._more_looks: dict[NetworkSize, MoreLooks] = {}
        self._run = BoundedRun()
        self._begun: tuple[InputGeometry, Preprocessor, BoundNetwork] | None = None
        self._candidates = Candidates()
        self._found = BoxTable()
        self._strong_from = np.full(len(CLASS_IDS), np.inf, np.float32)
        for label, threshold in self.thresholds.items():
            self._strong_from[CLASS_IDS[label]] = threshold
        self.channel: InputTensor = np.zeros((0, 0), np.float32)
        self.px_per_network_px = (1.0, 1.0)

    @property
    def provider(self) -> str:
        """The runtime's name of the execution provider that is really used."""
        return self._session.provider

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """What is used in place of what was asked for, and why."""
        fault = self._session.fault
        return (*self._fallbacks, f"the network runs on the CPU: {fault}") if fault else self._fallbacks

    def compare_with_float(self, canary: CapturedFrame) -> None:
        """Ask an int8 network's float twin about the same picture; take it where they differ here.

        int8 products saturate on processors without VNNI (SAFETY 21). Does nothing for a float network.
        """
        twin = self._model.twin
        if twin is None:
            return
        geometry, preprocessor, network = self._kind(canary)
        preprocessor.fill(canary)
        network.run()
        session = NetworkSession(twin, threads=self._threads)
        size = geometry.size
        exact = session.bind(size.height, size.width, self._adapter.output_shapes(size.height, size.width))
        exact.channels[...] = network.channels
        if self._session.takes_bytes:
            for channel, mean, std in zip(exact.channels, self._entry.mean, self._entry.std, strict=True):
                channel[...] = (channel - mean) / std
        exact.run()
        difference = max(
            _largest_score_difference(network.outputs[name], exact.outputs[name], len(self._entry.labels))
            for name in exact.outputs
        )
        if not difference <= SCORE_TOLERANCE:
            self._fallbacks += (f"int8 is wrong by {difference:.2f} on this processor: float32 is used",)
            self._model, self._session = twin, session
            self._kinds.clear()

    def size_for(self, frame: CapturedFrame) -> NetworkSize:
        """The network's input size for frames of this size and orientation."""
        width, height = upright_size(frame.width, frame.height, frame.rotation_deg)
        return network_size(
            width,
            height,
            scope_px=self._settings.scope_px,
            keep_px=self._settings.keep_px,
            multiple=self._entry.size_multiple,
            min_long_side=self._settings.min_long_side_px,
        )

    def detect(
        self, frame: CapturedFrame, clock: StageListener | None = None, *, until_s: float = math.inf
    ) -> BoxTable:
        """Faces and plates of one frame, strongest first, px of the upright picture.

        The table is overwritten by the next call. It also holds weak finds (from half the threshold on):
        `strong` tells them apart. Up to `until_s` of `time.monotonic` the network is waited for; with a deadline it
        runs on a thread of its own, which never touches the frame's planes.

        Raises
        ------
        DetectorError
            The runtime failed or gave NaN.
        LateError
            It was not done in time, or is still busy with an earlier frame.
        TooManyError
            More candidates or objects than there is room for.
        """
        geometry, preprocessor, network = self._kind(frame)
        if self._run.busy:
            raise LateError("the network is still busy with an earlier frame")
        preprocessor.fill(frame)
        if clock is not None:
            clock.stage("preprocess_ms")
        if until_s == math.inf:
            network.run()
        else:
            self._run.start(network.run)
            try:
                self._run.wait(until_s)
            except LateError:
                network.cancel()
                raise
        if clock is not None:
            clock.stage("network_ms")
        found = self._decode(geometry, network)
        if clock is not None:
            clock.stage("decode_ms")
        return found

    @property
    def busy(self) -> bool:
        """The network is at work on its own thread: on a frame that nobody waits for, or after `begin`."""
        return self._run.busy

    def begin(self, frame: CapturedFrame) -> None:
        """Start to look at a frame of our own (the canary) while the caller goes on; `finish` gives what was found.

        Raises
        ------
        LateError
            The network is still busy with an earlier frame.
        """
        kind = self._kind(frame)
        _, preprocessor, network = kind

        def look() -> None:
            preprocessor.fill(frame)
            network.run()

        self._run.start(look)
        self._begun = kind

    def finish(self, until_s: float) -> BoxTable:
        """What was found in the frame of the last `begin`; raises as `detect` does."""
        if self._begun is None:
            raise UsageError("finish() came without a begin()")
        geometry, _, network = self._begun
        try:
            self._run.wait(until_s)
        except LateError:
            raise  # it goes on, and may be asked for again
        except BaseException:
            self._begun = None
            raise
        self._begun = None
        return self._decode(geometry, network)

    def close(self) -> None:
        """End the thread that a deadline needs; the detector can still be used, and begins another."""
        self._run.close()
        self._run, self._begun = BoundedRun(), None

    def _decode(self, geometry: InputGeometry, network: BoundNetwork) -> BoxTable:
        size = geometry.size
        self.channel = network.channels[1, : size.picture_height, : size.picture_width]
        self.px_per_network_px = (1.0 / size.scale_x, 1.0 / size.scale_y)
        found = self._found
        if self._settings.thorough:
            looks = self._more_looks_for(geometry)
            looks.find(network, self._floors, self.px_per_network_px, found)
        else:
            self._candidates.clear()
            self._adapter.decode(network.outputs, self._floors, self._candidates)
            self._candidates.suppress(self._entry.nms_iou, self.px_per_network_px, found)
        rows = slice(0, found.count)
        found.strong[rows] = found.scores[rows] >= self._strong_from[found.class_ids[rows]]
        return found

    def _more_looks_for(self, geometry: InputGeometry) -> MoreLooks:
        looks = self._more_looks.get(geometry.size)
        if looks is None:
            if len(self._more_looks) == MAX_KINDS:
                self._more_looks.clear()
            looks = MoreLooks(geometry, self._entry, self._session, self._adapter)
            self._more_looks[geometry.size] = looks
        return looks

    def _kind(self, frame: CapturedFrame) -> tuple[InputGeometry, Preprocessor, BoundNetwork]:
        key = (
            frame.width, frame.height, frame.pixel_format, frame.rotation_deg, frame.mirrored,
            frame.color_range, frame.color_matrix,
        )  # fmt: skip
        kind = self._kinds.get(key)
        if kind is None:
            size = self.size_for(frame)
            geometry = InputGeometry(frame.width, frame.height, frame.rotation_deg, frame.mirrored, size)
            shapes = self._adapter.output_shapes(size.height, size.width)
            network = self._session.bind(size.height, size.width, shapes)
            preprocessor = Preprocessor(frame, geometry, self._entry, network.channels)
            kind = self._kinds[key] = (geometry, preprocessor, network)
            if len(self._kinds) > MAX_KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(key)
        return kind


def _usual_thresholds(model: Model, settings: DetectionSettings) -> Mapping[Label, float]:
    """The model's own thresholds for looking in this way."""
    entry = model.entry
    if settings.thorough:
        if settings.cautious:
            raise UsageError("thorough and cautious came together; wanted one of them")
        if model.twin is not None or not entry.threshold_thorough:
            raise UsageError(
                f"model {entry.name!r} has no thresholds for several looks; wanted another network"
            )
        return entry.threshold_thorough
    return entry.threshold_cautious if settings.cautious else entry.threshold


def _largest_score_difference(
    ours: npt.NDArray[np.float32], exact: npt.NDArray[np.float32], classes: int
) -> float:
    """Largest difference of a confidence in two outputs of an anonymize layout; NaN where one is NaN."""
    a, b = (1.0 / (1.0 + np.exp(-np.clip(v[:, :classes], -30, 30))) for v in (ours, exact))
    return float(np.abs(a - b).max(initial=0.0))
