"""Engines whose detector says what the test wants it to say."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import anonymize.pipeline
from anonymize.boxes import CLASS_IDS, BoxTable
from anonymize.detect.input_size import network_size
from anonymize.errors import LateError
from anonymize.frames import LAYOUTS, CapturedFrame, Label, PixelFormat
from anonymize.pipeline import Engine
from anonymize.settings import Settings

Found = list[tuple[tuple[float, float, float, float], Label]]


class ScriptedDetector:
    """Finds the canary where it was drawn, and in other frames what `script` says; may be told to fail."""

    labels = (Label.FACE, Label.PLATE)
    px_per_network_px = (2.0, 2.0)
    thresholds = {Label.FACE: 0.5, Label.PLATE: 0.5}  # noqa: RUF012

    def __init__(self) -> None:
        self.found: Found = []
        self.fault: BaseException | None = None
        self.blind = False
        self.takes_s = 0.0
        self.canary_late = False
        self.begun: CapturedFrame | None = None
        self.channel = np.zeros((24, 32), np.float32)
        self.canaries_seen = 0
        self.canary: object = None

    def size_for(self, frame: CapturedFrame):
        return network_size(frame.width, frame.height)

    def detect(self, frame: CapturedFrame, clock: object = None, *, until_s: float = math.inf) -> BoxTable:
        if clock is not None and self.takes_s:
            time.sleep(min(self.takes_s, max(0.0, until_s - time.monotonic())))
            if time.monotonic() >= until_s:
                raise LateError("scripted")
        table = BoxTable()
        objects = self.found
        if clock is None:  # the engine shows the canary without a clock
            self.canaries_seen += 1
            objects = [] if self.blind else [(o.xyxy, o.label) for o in self.engine_canary(frame)]
        elif self.fault is not None:
            raise self.fault
        for row, (box, label) in enumerate(objects):
            table.boxes[row], table.class_ids[row] = box, CLASS_IDS[label]
            table.scores[row], table.strong[row] = 0.9, True
        table.count = len(objects)
        return table

    busy = False
    provider = "ScriptedExecutionProvider"
    fallbacks = ("nothing is real here",)

    def compare_with_float(self, canary: CapturedFrame) -> None:
        pass

    def begin(self, frame: CapturedFrame) -> None:
        self.begun = frame

    def finish(self, until_s: float) -> BoxTable:
        if self.canary_late:
            raise LateError("the canary is not done")
        return self.detect(self.begun)

    def close(self) -> None:
        pass

    def engine_canary(self, frame: CapturedFrame):
        states = self.engine._cameras.values()
        return next(state.canary.objects for state in states if state.canary.frame is frame)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Engine, ScriptedDetector]]:
    """`scripted(settings, **engine_options)` gives an engine and its detector."""

    def make(settings: Settings | None = None, **options: object) -> tuple[Engine, ScriptedDetector]:
        detector = ScriptedDetector()
        monkeypatch.setattr(anonymize.pipeline, "Detector", lambda *_, **__: detector)
        engine = Engine(SimpleNamespace(entry=None), settings, guard_process=False, **options)
        detector.engine = engine
        return engine, detector

    return make


def noise_frame(
    width: int = 96,
    height: int = 64,
    pixel_format: str = "nv12",
    *,
    seed: int = 1,
    pts: int = 0,
    **more: object,
) -> CapturedFrame:
    """Random pixels: whatever of them is left after hiding can be recognised."""
    layout = LAYOUTS[PixelFormat(pixel_format)]
    random = np.random.default_rng(seed)
    planes = tuple(
        random.integers(0, 1 << layout.bits, shape).astype(layout.dtype)
        for shape in layout.shapes(width, height)
    )
    return CapturedFrame(planes, pixel_format, pts=pts, time_base=Fraction(1, 30), **more)


@pytest.fixture(name="noise_frame")
def noise_frame_fixture():
    return noise_frame
