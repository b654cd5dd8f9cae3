"""Several cameras on one engine: fair, the newest frame first when late, every frame accounted for."""

from __future__ import annotations

import threading
import time
from collections import Counter

from anonymize.cameras import CameraGroup
from anonymize.deadline import Budget
from anonymize.frames import Dropped, Reason, ReleasedFrame
from anonymize.settings import Settings
from tests.pipeline.conftest import noise_frame


class Sink:
    """Keeps what is delivered; the first delivery waits for `gate`."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()
        self.told: list[tuple[str, int | Reason]] = []

    def __call__(self, outcome) -> None:
        released = isinstance(outcome, ReleasedFrame)
        self.told.append((outcome.camera, outcome.pts if released else outcome.reason))
        self.begun.set()
        assert self.gate.wait(60)


def test_the_newest_frames_stay_and_cameras_take_turns(scripted):
    engine, _ = scripted(in_place=True)
    sink = Sink()
    with CameraGroup(engine, ["front", "rear"], sink, queue_frames=2) as group:
        group.submit(noise_frame(pts=0))
        assert sink.begun.wait(60)  # the worker is busy: from now on frames wait
        taken = [group.submit(noise_frame(pts=pts)) for pts in range(1, 6)]
        taken += [group.submit(noise_frame(pts=pts, camera="rear")) for pts in range(1, 3)]
        assert taken == [True, True, False, False, False, True, True]
        sink.gate.set()
    assert sink.told == [("front", 0), ("rear", 1), ("front", 4), ("rear", 2), ("front", 5)]
    assert group.dropped == {Reason.QUEUE_FULL: 3}


def test_a_frame_that_waited_beyond_its_deadline_is_late_and_the_newest_is_looked_at(scripted):
    engine, _ = scripted(Settings(budget=Budget(400.0)), in_place=True)
    engine.process(noise_frame(), arrived_s=time.monotonic() + 600.0)  # compiled and awake
    sink = Sink()
    with CameraGroup(engine, ["front"], sink, queue_frames=2) as group:
        group.submit(noise_frame(pts=1))
        assert sink.begun.wait(60)
        group.submit(noise_frame(pts=2))
        time.sleep(0.5)
        group.submit(noise_frame(pts=3))
        sink.gate.set()
    assert sink.told == [("front", 1), ("front", Reason.LATE), ("front", 3)]
    assert engine.dropped == {Reason.LATE: 1}


def test_every_frame_of_every_camera_is_accounted_for(scripted):
    engine, detector = scripted(Settings(budget=Budget(30.0, "hide")), in_place=True)
    engine.process(noise_frame(), arrived_s=time.monotonic() + 600.0)
    detector.takes_s = 0.02
    told: Counter[str] = Counter()
    seen = threading.Lock()

    def count(outcome) -> None:
        with seen:
            told[
                "dropped" if isinstance(outcome, Dropped) else "whole" if outcome.hidden_whole else "hidden"
            ] += 1

    cameras = ["front", "rear", "left"]
    with CameraGroup(engine, cameras, count) as group:
        for pts in range(40):
            for camera in cameras:
                group.submit(noise_frame(pts=pts, camera=camera))
            time.sleep(0.01)
    assert sum(told.values()) + group.dropped[Reason.QUEUE_FULL] == 3 * 40
    assert told["dropped"] == 0  # late ones are hidden as a whole
    assert group.dropped[Reason.QUEUE_FULL] > 0
