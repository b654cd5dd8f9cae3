"""The road of a frame, in order, and the rule that nothing raw gets past it.

    CapturedFrame -> admit -> own -> detect -> track -> hide -> check -> AnonymizedFrame -> release

Read `Engine._decide`: whatever fails on the road, the frame is dropped or hidden as a whole, and counted with
its reason. There is no path that passes the original on. This is the only module that joins the stages.
Files may go the road twice: `look` gives what is found, `hide` hides what was decided when all was seen.
"""

from __future__ import annotations

import gc
import math
import time
from collections import Counter
from functools import partial
from typing import Final

from anonymize.boxes import BoxTable, Found
from anonymize.camera_state import CameraState
from anonymize.canary import blank_frame
from anonymize.canary_watch import CanaryWatch
from anonymize.detect import Detector, Model, load_packaged
from anonymize.errors import (
    DetectorBlindError,
    DetectorError,
    FrameError,
    HideError,
    InterlacedError,
    LateError,
    TooManyError,
    UsageError,
)
from anonymize.frames import (
    AnonymizedFrame,
    CapturedFrame,
    ColorMatrix,
    ColorRange,
    Dropped,
    Label,
    PixelFormat,
    Reason,
    ReleasedFrame,
    _seal_anonymized,
)
from anonymize.process_guard import forbid_core_dumps
from anonymize.settings import Settings
from anonymize.stage_clock import StageClock
from anonymize.zones import Gate, OpenGate

Outcome = ReleasedFrame | Dropped

MAX_CAMERAS: Final = 16
REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (  # the first that fits
    (LateError, Reason.LATE),
    (InterlacedError, Reason.INTERLACED),
    (FrameError, Reason.BAD_FRAME),
    (TooManyError, Reason.TOO_MANY),
    (DetectorBlindError, Reason.DETECTOR_BLIND),
    (DetectorError, Reason.DETECTOR_ERROR),
    (HideError, Reason.CHECK_FAILED),
    (Exception, Reason.INTERNAL_ERROR),
)


def _require_captured(captured: object) -> None:
    if not isinstance(captured, CapturedFrame):
        raise UsageError(f"the engine was given a {type(captured).__name__}; wanted a CapturedFrame")


class Engine:
    """Finds and hides every face and plate, frame by frame. One engine serves one thread.

    Parameters
    ----------
    model : Model or None
        A network whose bytes were checked; None takes the packaged one.
    settings : Settings or None
    zones : Gate or None
        Which frames may be taken and let go; `anonymize.zones.zone_gate.ZoneGate` holds frames until a fix
        after them is known. None: no zones, every hidden frame is released at once.
    in_place : bool
        Hide in the planes that the caller gives. The caller then keeps that memory untouched until the
        outcome was written; on a fault the planes are blanked. Without it the engine hides in a copy of its
        own, and the camera may use its buffer again as soon as `process` returns.
    threads : int
        Threads of the network's run.
    provider : str
        Where the network runs: `cpu`, or another that the installed runtime offers (`openvino`, `cuda`, `tensorrt`,
        `qnn`, `coreml`, `xnnpack`). Its answers are compared with the CPU's before the first frame of each size.
    provider_fallback : bool
        Take the CPU where that provider is missing or does not agree, instead of refusing every frame;
        `engine.provider` tells which one is used, `engine.fallbacks` why.
    guard_process : bool
        Forbid core dumps of this process, which would hold raw frames.

    Raises
    ------
    ModelError
        The model is missing, altered or of an unknown layout.
    UsageError
        Settings that do not go together: a weak style with tracking, without `weak_on_video`.
    """

    def __init__(
        self,
        model: Model | None = None,
        settings: Settings | None = None,
        *,
        zones: Gate | None = None,
        in_place: bool = False,
        threads: int = 1,
        provider: str = "cpu",
        provider_fallback: bool = False,
        guard_process: bool = True,
    ) -> None:
        if threads < 1:
            raise UsageError(f"threads is {threads}; wanted at least 1")
        if guard_process:
            forbid_core_dumps()
        self.settings = settings or Settings()
        if self.settings.tracking and self.settings.styles.weak and not self.settings.weak_on_video:
            raise UsageError(
                "blur and mosaic on video can be read back from many frames; wanted veil or solid, "
                "tracking=False for single pictures, or weak_on_video=True"
            )
        self.model = model or load_packaged()
        self.dropped: Counter[Reason] = Counter()
        self.deadline_misses: Counter[str] = Counter()
        self.last_fault = ""
        self.in_place = in_place
        self._detector = Detector(
            self.model, self.settings.detection(),
            threads=threads, provider=provider, provider_fallback=provider_fallback,
        )  # fmt: skip
        self._gate: Gate = zones or OpenGate()
        self._cameras: dict[str, CameraState] = {}
        self._canaries = CanaryWatch(self._detector, self.settings.canary_every_s)

    def process(self, captured: CapturedFrame, *, arrived_s: float | None = None) -> list[Outcome]:
        """What became of this frame, and of earlier ones that are decided now.

        The planes of the frames returned are valid until `process` is called again; `copy` keeps one.
        Never raises for what a frame holds; `last_fault` says in words why the last one was refused.

        Parameters
        ----------
        captured : CapturedFrame
        arrived_s : float or None
            When it arrived, on `time.monotonic`: from there its deadline counts. None: now.
        """
        _require_captured(captured)
        budget = self.settings.budget_of(captured.camera)
        return self._decide(captured, budget.due_s(time.monotonic() if arrived_s is None else arrived_s))

    def look(self, captured: CapturedFrame) -> Found:
        """What is found in this frame of a file, weak finds too, and how the camera moved: for a later `hide`.

        Nothing is hidden and nothing handed out. The frames of a camera come in the order of their times.

        Raises
        ------
        DetectorBlindError
            The canary was not found: what this look gave would be worth nothing.
        InterlacedError, DetectorError, TooManyError
            As `process` would have dropped the frame.
        UsageError
            With zones: boxes of a frame that may not be recorded would be kept.
        """
        _require_captured(captured)
        if not isinstance(self._gate, OpenGate):
            raise UsageError("look() came with zones; wanted process(), which asks them first")
        if captured.interlaced:
            raise InterlacedError("an interlaced frame came; wanted progressive ones")
        camera = self._camera(captured.camera)
        try:
            self._canaries.show(captured, camera, math.inf)
            found = self._look(captured, camera, StageClock(), math.inf)
        except Exception:
            camera.canary_due_s = 0.0  # whatever happened, the next look asks the canary first
            raise
        return camera.describe_found(
            found, self._detector.channel, self._detector.px_per_network_px, captured
        )

    def hide(self, captured: CapturedFrame, boxes: BoxTable | Reason) -> list[Outcome]:
        """What became of a frame whose boxes are known: the rule of `process`, without a look at it.

        Parameters
        ----------
        captured : CapturedFrame
        boxes : BoxTable or Reason
            All that is to be hidden, px of the stored picture (static areas are added, boxes in areas left out are
            not hidden); or why the look at this frame failed: then it is dropped or hidden as a whole.
        """
        _require_captured(captured)
        return self._decide(captured, math.inf, boxes)

    def _decide(
        self, captured: CapturedFrame, due_s: float, boxes: BoxTable | Reason | None = None
    ) -> list[Outcome]:
        """The one rule: hidden and released, or dropped or hidden as a whole; never handed on as it came."""
        camera = self._camera(captured.camera)
        budget = self.settings.budget_of(captured.camera)
        camera.planes = None  # the frame before belongs to whoever got it, and its memory to nobody here
        try:
            if not self._gate.admit(captured):
                return [*self.collect(), *self._drop(captured, camera, Reason.WITHHELD)]
            return self._count(self._gate.release(self._hide(captured, camera, due_s, boxes)))
        except Exception as fault:
            self.last_fault = f"{type(fault).__name__}: {fault}"
            reason = next(reason for kind, reason in REASONS if isinstance(fault, kind))
            if reason is Reason.LATE and budget.late == "predict":
                return self._predict(captured, camera)
            return self._refuse(captured, camera, reason)
        except BaseException:  # Ctrl-C, SystemExit: nothing raw may stay in the caller's buffer either
            camera.blank(captured, in_place=self.in_place)
            raise
        finally:
            if due_s < math.inf:
                self.deadline_misses[captured.camera] += time.monotonic() > due_s
                self._canaries.begin(camera)

    def _hide(
        self,
        captured: CapturedFrame,
        camera: CameraState,
        due_s: float = math.inf,
        boxes: BoxTable | Reason | None = None,
    ) -> AnonymizedFrame:
        """The road between the gate's two questions."""
        clock = StageClock()
        frame = camera.own(captured, in_place=self.in_place)
        clock.stage("copy_ms")
        if frame.interlaced:
            raise InterlacedError("an interlaced frame came; wanted progressive ones")
        if isinstance(boxes, Reason):
            raise next((kind for kind, reason in REASONS if reason is boxes), DetectorError)(
                f"the look at this frame failed: {boxes}"
            )
        if boxes is not None:
            camera.place(boxes, frame)
            check = partial(camera.check_placed, boxes, frame)
        else:
            self._canaries.show(frame, camera, due_s)
            clock.skip()
            found = self._look(frame, camera, clock, due_s)
            camera.follow(found, self._detector.channel, self._detector.px_per_network_px, frame)
            check = partial(camera.check_covered, found, frame)
        clock.stage("track_ms")
        camera.hide(frame)
        clock.stage("hide_ms")
        check()
        camera.hider.check(frame.planes)
        clock.stage("check_ms")
        found_and_hidden = camera.describe()
        return _seal_anonymized(
            captured, frame.planes, camera.memory, boxes=found_and_hidden, timings=clock.timings()
        )

    def _look(self, frame: CapturedFrame, camera: CameraState, clock: StageClock, due_s: float) -> BoxTable:
        """What the network finds by the frame's deadline."""
        if due_s == math.inf:
            return self._detector.detect(frame, clock)
        begun_s = time.monotonic()
        if camera.pace.is_hopeless(due_s - begun_s, self.settings.budget_of(frame.camera)):
            raise LateError(
                f"{1e3 * (due_s - begun_s):.1f} ms are left of the deadline; no run was that fast"
            )
        found = self._detector.detect(frame, clock, until_s=due_s)
        camera.pace.note(time.monotonic() - begun_s)
        return found

    def _predict(self, captured: CapturedFrame, camera: CameraState) -> list[Outcome]:
        """A late frame hidden by prediction alone (SAFETY 7, by choice); as a whole where that fails."""
        try:
            frame = camera.owned(captured)
            camera.predict(frame)
            camera.hide(frame)
            camera.hider.check(frame.planes)
            found_and_hidden = camera.describe()
            outcomes = self._gate.release(
                _seal_anonymized(
                    captured, frame.planes, camera.memory,
                    boxes=found_and_hidden, predicted_only=True, reason=Reason.LATE,
                )
            )  # fmt: skip
        except Exception as fault:
            self.last_fault += f"; then {type(fault).__name__}: {fault}"
            return self._refuse(captured, camera, Reason.LATE)
        self.dropped[Reason.LATE] += 1
        return self._count(outcomes)

    def _refuse(self, captured: CapturedFrame, camera: CameraState, reason: Reason) -> list[Outcome]:
        """A frame that could not be hidden box by box: one flat colour as a whole, or nothing."""
        as_a_whole = self.settings.on_fault == "hide"
        if reason is Reason.LATE:
            as_a_whole = self.settings.budget_of(captured.camera).late != "drop"
        else:
            camera.canary_due_s = 0.0  # whatever happened, the next frame asks the canary first
        try:
            camera.blank(captured, in_place=self.in_place)
            if as_a_whole and camera.planes is not None:
                memory = camera.planes, camera.memory
                outcomes = self._gate.release(
                    _seal_anonymized(captured, *memory, hidden_whole=True, reason=reason)
                )
                self.dropped[reason] += 1
                return self._count(outcomes)
        except Exception as fault:
            self.last_fault += f"; then {type(fault).__name__}: {fault}"
        return self._drop(captured, camera, reason)

    def _count(self, outcomes: list[Outcome]) -> list[Outcome]:
        """Count what the gate has dropped of frames that it held."""
        self.dropped.update(outcome.reason for outcome in outcomes if isinstance(outcome, Dropped))
        return outcomes

    def _drop(self, captured: CapturedFrame, camera: CameraState, reason: Reason) -> list[Outcome]:
        """Nothing is handed on, and in place nothing raw is left in the caller's memory."""
        if self.in_place:
            camera.blank(captured, in_place=True)
        self.dropped[reason] += 1
        return [Dropped(reason, captured.camera)]

    def _camera(self, name: str) -> CameraState:
        if name not in self._cameras:
            if len(self._cameras) == MAX_CAMERAS:
                raise UsageError(f"camera {name!r} is one more than the {MAX_CAMERAS} that one engine serves")
            self._cameras[name] = CameraState(self.settings, self.thresholds)
        return self._cameras[name]

    def collect(self) -> list[Outcome]:
        """With zones: frames that fixes and time have decided since the last `process`; without: nothing."""
        return self._count(self._gate.collect())

    def close(self) -> list[Outcome]:
        """With zones: the last frames, where they are certain; what is not is discarded."""
        self._detector.close()
        return self._count(self._gate.close())

    @property
    def thresholds(self) -> dict[Label, float]:
        """From which confidence a find of each class is hidden."""
        return dict(self._detector.thresholds)

    @property
    def provider(self) -> str:
        """The runtime's name of the execution provider that is really used."""
        return self._detector.provider

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """What is used in place of what was asked for (a provider, int8), and why; empty where nothing is."""
        return self._detector.fallbacks

    def reset(self, camera: str = "front") -> None:
        """Forget the tracks of a camera: its next frame belongs to another scene or file."""
        if camera in self._cameras:
            self._cameras[camera].forget()

    def warm_up(
        self,
        *,
        width: int,
        height: int,
        pixel_format: PixelFormat | str,
        camera: str = "front",
        line_bytes: tuple[int, ...] | None = None,
        rotation_deg: int = 0,
        mirrored: bool = False,
        color_range: ColorRange = ColorRange.LIMITED,
        color_matrix: ColorMatrix = ColorMatrix.BT709,
    ) -> None:
        """Compile every kernel, allocate every array and find the canary, before the camera starts.

        For a camera with a deadline, what lives by then is left out of garbage collection from now on (`gc.freeze`).

        Parameters
        ----------
        width, height : int
            Of the stored picture, px.
        line_bytes : tuple of int or None
            Bytes from line to line of each plane; None: lines follow one another without a gap.

        Raises
        ------
        DetectorBlindError
            The network does not find the canary in this format and size.
        AnonymizeError
            Anything else that would have dropped the first frame.
        """
        blank = blank_frame(
            width, height, PixelFormat(pixel_format), line_bytes, camera=camera, rotation_deg=rotation_deg,
            mirrored=mirrored, color_range=color_range, color_matrix=color_matrix,
        )  # fmt: skip
        state = self._camera(camera)
        self._hide(blank, state)
        assert state.canary is not None  # it was shown before that frame
        canary = state.canary.frame
        self._hide(state.canary.copy(), state)  # with something to hide
        if (canary.width, canary.height) != (width, height):  # a small camera's
            self._hide(blank, state)
        state.forget()
        state.memory.revoke()
        if self.settings.budget_of(camera).deadline_ms is not None:
            gc.freeze()  # a full collection over all that was imported takes 65 ms: of some later frame
