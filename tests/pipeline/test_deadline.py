"""The contract of a deadline: a frame that cannot be looked at in time is dropped or hidden, never passed on."""

from __future__ import annotations

import gc
import time

import numba
import numpy as np
import pytest

import anonymize.pipeline
from anonymize.deadline import Budget, Pace
from anonymize.errors import UsageError
from anonymize.frames import Dropped, Label, Origin, Reason, ReleasedFrame
from anonymize.pipeline import Engine
from anonymize.settings import Settings
from tests.pipeline.conftest import noise_frame

FACE = ((20.0, 10.0, 44.0, 40.0), Label.FACE)
TOO_LONG_S = 5.0


def settings(late: str = "drop", deadline_ms: float = 400.0, **more: object) -> Settings:
    return Settings(budget=Budget(deadline_ms, late), **more)


def warm(engine, **kind: object) -> None:
    """A first frame, with all the time that compiling takes."""
    assert engine.process(noise_frame(**kind), arrived_s=time.monotonic() + 600.0)


def test_a_network_that_is_too_slow_drops_the_frame_at_its_deadline(scripted):
    engine, detector = scripted(settings())
    warm(engine)
    detector.takes_s = TOO_LONG_S
    begun_s = time.monotonic()
    assert engine.process(noise_frame(pts=1)) == [Dropped(Reason.LATE)]
    assert time.monotonic() - begun_s < 3.0
    assert engine.dropped[Reason.LATE] == 1
    assert engine.deadline_misses["front"] == 1  # it came back just after its deadline
    detector.takes_s = 0.0
    assert isinstance(engine.process(noise_frame(pts=2))[0], ReleasedFrame)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_late_frame_is_hidden_as_a_whole_where_every_tick_needs_one(scripted, in_place):
    engine, detector = scripted(settings("hide"), in_place=in_place)
    warm(engine)
    detector.takes_s = TOO_LONG_S
    frame = noise_frame(pts=1)
    (out,) = engine.process(frame)
    assert out.hidden_whole and out.reason is Reason.LATE and not out.predicted_only
    assert all(len(np.unique(plane)) == 1 for plane in out.planes)
    assert engine.dropped[Reason.LATE] == 1


def test_a_late_frame_that_is_dropped_leaves_nothing_raw_in_the_callers_memory(scripted):
    engine, detector = scripted(settings(), in_place=True)
    warm(engine)
    detector.takes_s = TOO_LONG_S
    frame = noise_frame(pts=1)
    assert engine.process(frame) == [Dropped(Reason.LATE)]
    assert all(len(np.unique(plane)) == 1 for plane in frame.planes)


def test_a_frame_that_waited_too_long_is_not_looked_at(scripted, monkeypatch):
    engine, detector = scripted(settings())
    warm(engine)
    monkeypatch.setattr(detector, "detect", None)  # calling it would be an internal error
    assert engine.process(noise_frame(pts=1), arrived_s=time.monotonic() - 1.0) == [Dropped(Reason.LATE)]


def test_prediction_hides_what_was_tracked_and_a_strip_along_the_edges(scripted):
    engine, detector = scripted(settings("predict"))
    detector.found = [FACE]
    warm(engine)
    for pts in range(1, 4):
        engine.process(noise_frame(pts=pts))
    detector.takes_s = TOO_LONG_S
    frame = noise_frame(pts=4)
    (out,) = engine.process(frame)
    assert out.predicted_only and not out.hidden_whole and out.reason is Reason.LATE
    face = next(box for box in out.boxes if box.label is Label.FACE)
    assert face.origin in (Origin.HELD, Origin.PREDICTED)
    x1, y1, x2, y2 = face.hidden_xyxy
    assert x1 <= 20 and y1 <= 10 and x2 >= 44 and y2 >= 40
    luma, raw = out.planes[0], noise_frame(pts=4).planes[0]
    assert len(np.unique(luma[y1:y2, x1:x2])) <= 3  # the face's fill and strips that reach into it
    strip = round(1.5 / 30 * 96)
    for edge in (np.s_[:2], np.s_[-2:], np.s_[:, :strip], np.s_[:, -strip:]):
        assert (luma[edge] == raw[edge]).mean() < 0.1
    assert engine.settings.exceptions()[-1].startswith("late frames are hidden by prediction")
    assert out.copy().predicted_only


def test_prediction_that_would_mean_nothing_hides_the_whole_frame(scripted):
    engine, detector = scripted(settings("predict"))
    warm(engine)
    detector.takes_s = TOO_LONG_S
    for pts in (0, 12, 10_000):  # no time since, too long ago
        (out,) = engine.process(noise_frame(pts=pts))
        assert out.hidden_whole and not out.predicted_only
        assert all(len(np.unique(plane)) == 1 for plane in out.planes)


@pytest.mark.parametrize("stage", ["predict", "hide", "describe"])
def test_a_prediction_that_raises_hides_the_whole_frame(scripted, monkeypatch, stage):
    engine, detector = scripted(settings("predict"))
    warm(engine)
    detector.takes_s = TOO_LONG_S
    monkeypatch.setattr(anonymize.camera_state.CameraState, stage, None)
    (out,) = engine.process(noise_frame(pts=1))
    assert out.hidden_whole and all(len(np.unique(plane)) == 1 for plane in out.planes)


def test_each_camera_has_its_own_budget(scripted):
    engine, detector = scripted(Settings(budgets={"rear": Budget(400.0, "hide")}))
    for camera in ("front", "rear"):
        warm(engine, camera=camera)
    detector.takes_s = 1.0
    (front,) = engine.process(noise_frame(camera="front", pts=1))
    (rear,) = engine.process(noise_frame(camera="rear", pts=1))
    assert not front.hidden_whole and rear.hidden_whole
    assert engine.deadline_misses == {"rear": 1}


def test_with_a_deadline_the_canary_is_looked_at_between_frames(scripted):
    engine, detector = scripted(settings())
    warm(engine)
    assert detector.canaries_seen == 1 and detector.begun is None
    engine._cameras["front"].canary_due_s = time.monotonic() + 0.05  # in its turn, before the next frame
    engine.process(noise_frame(pts=1))
    assert detector.begun is not None and detector.canaries_seen == 1  # begun after the frame
    detector.canary_late = True
    assert engine.process(noise_frame(pts=2)) == [Dropped(Reason.LATE)]  # not heard yet
    detector.canary_late = False
    detector.blind = True
    assert engine.process(noise_frame(pts=3)) == [Dropped(Reason.DETECTOR_BLIND)]
    assert engine.process(noise_frame(pts=4)) == [Dropped(Reason.DETECTOR_BLIND)]
    detector.blind = False
    assert isinstance(engine.process(noise_frame(pts=5))[0], ReleasedFrame)


def test_a_canary_that_fails_on_its_thread_stops_the_next_frame(scripted, monkeypatch):
    engine, detector = scripted(settings(canary_every_s=0.01))
    warm(engine)
    assert detector.begun is not None

    def broken(until_s):
        raise RuntimeError("driver lost")

    monkeypatch.setattr(detector, "finish", broken)
    assert engine.process(noise_frame(pts=2)) == [Dropped(Reason.INTERNAL_ERROR)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deadline_ms": 0.0}, "deadline_ms is 0.0"),
        ({"deadline_ms": float("nan")}, "deadline_ms is nan"),
        ({"deadline_ms": 10.0, "late": "pass"}, "late is 'pass'"),
        ({"late": "hide"}, "without a deadline_ms"),
    ],
)
def test_a_budget_that_means_nothing_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Budget(**options)


def test_prediction_without_tracks_is_refused():
    with pytest.raises(UsageError, match="tracking"):
        Settings(budget=Budget(30.0, "predict"), tracking=False)


def test_a_run_that_must_be_late_is_not_begun_but_one_on_time_always_is():
    pace, budget = Pace(), Budget(30.0)
    assert not pace.is_hopeless(0.001, budget) and pace.is_hopeless(0.0, budget)
    for _ in range(3):
        pace.note(0.020)
    assert pace.is_hopeless(0.015, budget) and not pace.is_hopeless(0.021, budget)
    for _ in range(200):
        pace.note(0.500)  # a processor that has become slow: tried again as long as the frame is on time
    assert not pace.is_hopeless(0.029, budget) and pace.is_hopeless(0.026, budget)
    assert not Pace().is_hopeless(-1.0, Budget())


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="real kernels on a whole picture take minutes in Python")
def test_an_engine_that_was_closed_asks_its_canary_anew(noise_frame):
    """What was begun on the thread that has ended is never taken for an answer."""
    engine = Engine(settings=settings(deadline_ms=60_000.0, canary_every_s=0.01), guard_process=False)
    kind = {"width": 640, "height": 360}
    assert isinstance(engine.process(noise_frame(**kind))[0], ReleasedFrame)  # and a canary is begun
    engine.close()
    assert engine.process(noise_frame(**kind, pts=1)) == [Dropped(Reason.INTERNAL_ERROR)]
    assert isinstance(engine.process(noise_frame(**kind, pts=2))[0], ReleasedFrame)


@pytest.mark.parametrize(("deadline_ms", "frozen"), [(400.0, True), (None, False)])
def test_a_camera_with_a_deadline_leaves_what_lives_out_of_garbage_collection(scripted, deadline_ms, frozen):
    """A full collection over all that was imported takes longer than a frame may."""
    engine, _ = scripted(settings(deadline_ms=deadline_ms))
    gc.unfreeze()
    try:
        engine.warm_up(width=64, height=48, pixel_format="gray8")
        assert (gc.get_freeze_count() > 10_000) == frozen
    finally:
        gc.unfreeze()
