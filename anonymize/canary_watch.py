"""When the network is asked whether it still sees: at the first frame of a kind, in turn, and after each fault."""

from __future__ import annotations

import time
from typing import Final

from anonymize.camera_state import CameraState
from anonymize.canary import draw_canary
from anonymize.detect import Detector
from anonymize.errors import AnonymizeError, LateError
from anonymize.frames import CapturedFrame

AHEAD_S: Final = 0.1  # with deadlines a canary is shown that much before it is due, while nobody waits


class CanaryWatch:
    """Shows each camera its canary; what does not find it raises `DetectorBlindError`, and the frame is dropped."""

    def __init__(self, detector: Detector, every_s: float) -> None:
        self._detector, self._every_s = detector, every_s
        self._asked: CameraState | None = None  # whose canary the network is looking at, on its own thread

    def show(self, frame: CapturedFrame, camera: CameraState, due_s: float) -> None:
        """Before a frame: ask if it is time to, and hear the answer to what was begun after an earlier frame.

        Raises
        ------
        DetectorBlindError
            The canary was not found.
        LateError
            The network was not done with an earlier canary by `due_s` (`time.monotonic`).
        """
        self._hear(due_s)
        now_s = time.monotonic()
        if camera.canary is not None and camera.canary.fits(frame) and now_s < camera.canary_due_s:
            return
        if camera.canary is None or not camera.canary.fits(frame):
            canary = draw_canary(frame, self._detector.size_for(frame).scale)
            self._detector.compare_with_float(canary.frame)  # where it fails, the next frame asks again
            camera.canary = canary
        camera.canary_due_s = 0.0
        camera.canary.check(self._detector.detect(camera.canary.frame), self._detector.labels)
        camera.canary_due_s = now_s + self._every_s

    def begin(self, camera: CameraState) -> None:
        """After a frame with a deadline: let the network look at a canary that will be due before the next one."""
        if camera.canary is None or self._asked is not None or self._detector.busy:
            return
        if time.monotonic() + AHEAD_S < camera.canary_due_s:
            return
        try:
            self._detector.begin(camera.canary.frame)
        except AnonymizeError:
            camera.canary_due_s = 0.0  # then the next frame asks, and waits for the answer
        else:
            self._asked = camera

    def _hear(self, due_s: float) -> None:
        asked = self._asked
        if asked is None or asked.canary is None:
            return
        asked.canary_due_s = 0.0
        try:
            found = self._detector.finish(due_s)
        except LateError:
            raise
        except Exception:
            self._asked = None
            raise
        self._asked = None
        asked.canary.check(found, self._detector.labels)
        asked.canary_due_s = time.monotonic() + self._every_s
