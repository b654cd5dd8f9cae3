"""The road of a frame: what is found is hidden, what fails is dropped, and nothing raw gets past."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from anonymize.boxes import MAX_BOXES
from anonymize.errors import (
    DetectorBlindError,
    DetectorError,
    FrameExpiredError,
    TooManyError,
    UsageError,
)
from anonymize.frames import (
    AnonymizedFrame,
    Dropped,
    FrameMemory,
    Label,
    Origin,
    Reason,
    ReleasedFrame,
)
from anonymize.hide import Styles
from anonymize.settings import Settings
from anonymize.zones import OpenGate

FACE = ((20.0, 10.0, 40.0, 34.0), Label.FACE)
PLATE = ((50.0, 40.0, 80.0, 50.0), Label.PLATE)
FORMATS = ["bgr24", "rgb24", "gray8", "nv12", "yuv420p", "yuv422p", "yuv444p", "yuv420p10le"]


def released(outcomes):
    (outcome,) = outcomes
    assert isinstance(outcome, ReleasedFrame)
    return outcome


def raw_share(planes, raw, box):
    """Share of the samples of `box` in the first plane that still are the raw ones."""
    x1, y1, x2, y2 = (int(edge) for edge in box)
    return float((planes[0][y1:y2, x1:x2] == raw[0][y1:y2, x1:x2]).mean())


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("pixel_format", FORMATS)
def test_what_is_found_is_hidden_and_the_rest_is_untouched(scripted, noise_frame, pixel_format, in_place):
    engine, detector = scripted(in_place=in_place)
    detector.found = [FACE, PLATE]
    frame = noise_frame(97, 63, pixel_format)
    raw = tuple(plane.copy() for plane in frame.planes)
    out = released(engine.process(frame))
    for box, _ in detector.found:
        assert raw_share(out.planes, raw, box) < 0.05
    assert [box.label for box in out.boxes] == [Label.FACE, Label.PLATE]
    assert all(box.origin is Origin.DETECTED for box in out.boxes)
    for plane, before in zip(out.planes, raw, strict=True):
        assert (plane == before).mean() > 0.5
        assert (plane[:4, :4] == before[:4, :4]).all()
    if in_place:
        assert out.planes[0] is frame.planes[0]
    else:
        assert all((plane == before).all() for plane, before in zip(frame.planes, raw, strict=True))


def test_the_camera_may_use_its_buffer_again_right_after_process(scripted, noise_frame):
    engine, detector = scripted()
    detector.found = [FACE]
    frame = noise_frame()
    out = released(engine.process(frame))
    before = [plane.copy() for plane in out.planes]
    for plane in frame.planes:
        plane.fill(77)
    assert all((plane == was).all() for plane, was in zip(out.planes, before, strict=True))


def test_planes_are_taken_back_by_the_next_process_and_a_copy_is_kept(scripted, noise_frame):
    engine, _ = scripted()
    first = released(engine.process(noise_frame(seed=1)))
    kept = first.copy()
    pixels = first.planes[0].copy()
    released(engine.process(noise_frame(seed=2, pts=1)))
    with pytest.raises(FrameExpiredError, match="copy"):
        first.planes
    assert (kept.planes[0] == pixels).all()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (DetectorError("x"), Reason.DETECTOR_ERROR),
        (DetectorBlindError("x"), Reason.DETECTOR_BLIND),
        (TooManyError("x"), Reason.TOO_MANY),
        (ZeroDivisionError("x"), Reason.INTERNAL_ERROR),
        (MemoryError("x"), Reason.INTERNAL_ERROR),
    ],
)
def test_a_fault_drops_the_frame_and_is_counted(scripted, noise_frame, fault, reason):
    engine, detector = scripted()
    detector.fault = fault
    assert engine.process(noise_frame()) == [Dropped(reason)]
    assert engine.dropped == {reason: 1}
    assert type(fault).__name__ in engine.last_fault
    detector.fault = None
    released(engine.process(noise_frame(pts=1)))


@pytest.mark.parametrize("in_place", [False, True])
def test_a_consumer_that_needs_every_tick_gets_one_flat_colour(scripted, noise_frame, in_place):
    engine, detector = scripted(Settings(on_fault="hide"), in_place=in_place)
    detector.fault = RuntimeError("boom")
    out = released(engine.process(noise_frame()))
    assert out.hidden_whole
    assert out.reason is Reason.INTERNAL_ERROR
    assert all(len(np.unique(plane)) == 1 for plane in out.planes)


@pytest.mark.parametrize("fault", [RuntimeError("boom"), KeyboardInterrupt()])
def test_in_place_a_fault_leaves_nothing_raw_in_the_callers_memory(scripted, noise_frame, fault):
    engine, detector = scripted(in_place=True)
    frame = noise_frame()
    detector.fault = fault
    if isinstance(fault, Exception):
        assert engine.process(frame) == [Dropped(Reason.INTERNAL_ERROR)]
    else:
        with pytest.raises(KeyboardInterrupt):
            engine.process(frame)
    assert all(len(np.unique(plane)) == 1 for plane in frame.planes)


@pytest.mark.parametrize("on_fault", ["drop", "hide"])
def test_read_only_planes_cannot_be_hidden_in_place(scripted, noise_frame, on_fault):
    engine, _ = scripted(Settings(on_fault=on_fault), in_place=True)
    frame = noise_frame()
    for plane in frame.planes:
        plane.setflags(write=False)
    assert engine.process(frame) == [Dropped(Reason.BAD_FRAME)]


@pytest.mark.parametrize("stage", ["hide", "check"])
def test_a_stage_that_raises_drops_the_frame(scripted, noise_frame, monkeypatch, stage):
    engine, detector = scripted()
    detector.found = [FACE]
    released(engine.process(noise_frame()))

    def fail(*_):
        raise OSError("no luck")

    monkeypatch.setattr(engine._cameras["front"].hider, stage, fail)
    assert engine.process(noise_frame(pts=1)) == [Dropped(Reason.INTERNAL_ERROR)]


def test_a_hider_that_hides_nothing_is_caught_by_the_check(scripted, noise_frame, monkeypatch):
    engine, detector = scripted()
    released(engine.process(noise_frame()))
    detector.found = [FACE]
    monkeypatch.setattr(engine._cameras["front"].hider, "hide", lambda *_: None)
    assert engine.process(noise_frame(pts=1)) == [Dropped(Reason.CHECK_FAILED)]


def test_a_tracker_that_loses_a_detection_is_caught_by_the_check(scripted, noise_frame, monkeypatch):
    engine, detector = scripted()
    released(engine.process(noise_frame()))
    detector.found = [FACE]
    empty = type(engine._cameras["front"].hidden)()
    monkeypatch.setattr(engine._cameras["front"].tracker, "step", lambda *_, **__: empty)
    assert engine.process(noise_frame(pts=1)) == [Dropped(Reason.CHECK_FAILED)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_box_that_is_not_finite_drops_the_frame(scripted, noise_frame, bad):
    engine, detector = scripted()
    detector.found = [((10.0, 10.0, bad, 40.0), Label.FACE)]
    assert engine.process(noise_frame()) == [Dropped(Reason.CHECK_FAILED)]


def test_a_blind_detector_drops_every_frame_until_it_sees_again(scripted, noise_frame):
    engine, detector = scripted()
    detector.blind = True
    assert engine.process(noise_frame()) == [Dropped(Reason.DETECTOR_BLIND)]
    assert engine.process(noise_frame(pts=1)) == [Dropped(Reason.DETECTOR_BLIND)]
    detector.blind = False
    released(engine.process(noise_frame(pts=2)))


def test_the_canary_is_asked_at_start_in_turn_and_after_a_fault(scripted, noise_frame, monkeypatch):
    engine, detector = scripted(Settings(canary_every_s=30.0))
    now_s = [100.0]
    monkeypatch.setattr("anonymize.pipeline.time.monotonic", lambda: now_s[0])
    for pts in range(3):
        engine.process(noise_frame(pts=pts))
    assert detector.canaries_seen == 1
    now_s[0] += 31
    engine.process(noise_frame(pts=3))
    assert detector.canaries_seen == 2
    detector.fault = DetectorError("provider")
    engine.process(noise_frame(pts=4))
    detector.fault = None
    engine.process(noise_frame(pts=5))
    assert detector.canaries_seen == 3
    engine.process(noise_frame(pts=6, pixel_format="bgr24"))
    assert detector.canaries_seen == 4


class ClosedGate(OpenGate):
    """Admits what `admits` says; raises where told to."""

    def __init__(self, *, admits: bool = True, raises: int = 0) -> None:
        self.admits, self.raises = admits, raises

    def admit(self, captured):
        return self.admits

    def release(self, hidden):
        if self.raises:
            self.raises -= 1
            raise RuntimeError("the gate is stuck")
        return super().release(hidden)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_frame_that_the_gate_does_not_admit_is_withheld_before_any_work(scripted, noise_frame, in_place):
    engine, detector = scripted(Settings(on_fault="hide"), zones=ClosedGate(admits=False), in_place=in_place)
    frame = noise_frame()
    assert engine.process(frame) == [Dropped(Reason.WITHHELD)]
    assert detector.canaries_seen == 0
    assert all(len(np.unique(plane)) == 1 for plane in frame.planes) is in_place


@pytest.mark.parametrize(("raises", "hidden_whole"), [(1, True), (2, False)])
def test_a_gate_that_raises_lets_nothing_raw_through(scripted, noise_frame, raises, hidden_whole):
    engine, detector = scripted(Settings(on_fault="hide"), zones=ClosedGate(raises=raises), in_place=True)
    detector.found = [FACE]
    frame = noise_frame()
    (outcome,) = engine.process(frame)
    assert isinstance(outcome, ReleasedFrame) is hidden_whole
    assert engine.dropped == {Reason.INTERNAL_ERROR: 1}
    assert all(len(np.unique(plane)) == 1 for plane in frame.planes)


class HoldingGate(ClosedGate):
    """Holds what it is given and drops it at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.held = 0

    def release(self, hidden):
        self.held += 1
        return []

    def collect(self):
        outcomes, self.held = [Dropped(Reason.WITHHELD)] * self.held, 0
        return outcomes

    close = collect


def test_what_the_gate_drops_later_is_counted_and_told_at_the_next_chance(scripted, noise_frame):
    gate = HoldingGate()
    engine, _ = scripted(zones=gate)
    assert engine.process(noise_frame()) == []
    gate.admits = False
    assert engine.process(noise_frame(pts=1)) == [Dropped(Reason.WITHHELD)] * 2
    gate.admits = True
    assert engine.process(noise_frame(pts=2)) == []
    assert engine.close() == [Dropped(Reason.WITHHELD)]
    assert engine.dropped == {Reason.WITHHELD: 3}


def test_without_zones_nothing_waits(scripted):
    engine, _ = scripted()
    assert engine.collect() == engine.close() == []


def test_an_interlaced_frame_is_dropped(scripted, noise_frame):
    engine, _ = scripted()
    assert engine.process(noise_frame(interlaced=True)) == [Dropped(Reason.INTERLACED)]


def test_static_areas_are_hidden_and_never_areas_are_not(scripted, noise_frame):
    settings = Settings(hide_always=((0, 56, 96, 64),), never=((45, 35, 96, 55),))
    engine, detector = scripted(settings)
    detector.found = [FACE, PLATE]
    frame = noise_frame()
    out = released(engine.process(frame))
    assert [(box.label, box.origin) for box in out.boxes] == [
        (Label.FACE, Origin.DETECTED),
        (Label.AREA, Origin.STATIC),
    ]
    assert raw_share(out.planes, frame.planes, (0, 56, 96, 64)) < 0.05
    assert raw_share(out.planes, frame.planes, (62, 42, 78, 50)) == 1.0
    assert any("(45, 35, 96, 55)" in line for line in settings.exceptions())


def test_static_areas_and_boxes_beyond_the_capacity_hide_the_whole_frame(scripted, noise_frame):
    areas = tuple((0.0, 0.0, 2.0, 2.0) for _ in range(MAX_BOXES))
    engine, detector = scripted(Settings(hide_always=areas))
    released(engine.process(noise_frame()))
    detector.found = [FACE]
    assert engine.process(noise_frame(pts=1)) == [Dropped(Reason.TOO_MANY)]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_upright_boxes_are_hidden_where_they_are_stored(scripted, noise_frame, rotation_deg, mirrored):
    engine, detector = scripted(Settings(tracking=False))
    frame = noise_frame(96, 64, "gray8", rotation_deg=rotation_deg, mirrored=mirrored)
    upright = frame.planes[0][:, ::-1] if mirrored else frame.planes[0]
    upright = np.rot90(upright, -(rotation_deg // 90))
    detector.found = [((10.0, 20.0, 26.0, 40.0), Label.FACE)]
    out = released(engine.process(frame)).planes[0]
    out = np.rot90(out[:, ::-1] if mirrored else out, -(rotation_deg // 90))
    assert len(np.unique(out[20:40, 10:26])) == 1
    changed = np.argwhere(out != upright)
    assert changed.min(axis=0).tolist() >= [15, 6]
    assert changed.max(axis=0).tolist() <= [45, 30]


def test_what_was_missed_in_a_frame_is_held_and_reset_forgets_it(scripted, noise_frame):
    engine, detector = scripted()
    detector.found = [FACE]
    released(engine.process(noise_frame()))
    detector.found = []
    assert [box.origin for box in released(engine.process(noise_frame(pts=1))).boxes] == [Origin.HELD]
    engine.reset()
    assert released(engine.process(noise_frame(pts=2))).boxes == ()


def test_cameras_have_tracks_of_their_own(scripted, noise_frame):
    engine, detector = scripted()
    detector.found = [FACE]
    released(engine.process(noise_frame(camera="front")))
    detector.found = []
    assert released(engine.process(noise_frame(camera="rear"))).boxes == ()
    with pytest.raises(UsageError, match="16"):
        for number in range(20):
            engine.process(noise_frame(camera=f"c{number}"))


def test_only_captured_frames_are_taken(scripted, noise_frame):
    engine, _ = scripted()
    with pytest.raises(UsageError, match="ndarray"):
        engine.process(noise_frame().planes[0])


def test_frames_cannot_be_made_pickled_or_shown(scripted, noise_frame):
    engine, _ = scripted()
    frame = noise_frame()
    out = released(engine.process(frame))
    for value in (frame, out):
        with pytest.raises(TypeError):
            pickle.dumps(value)
        with pytest.raises(TypeError):
            copy.deepcopy(value)
        assert "array" not in repr(value)
        assert len(repr(value)) < 100
    with pytest.raises(TypeError, match="only the gate"):
        ReleasedFrame(object(), out._hidden)
    with pytest.raises(TypeError, match="only the pipeline"):
        AnonymizedFrame(object(), frame.planes, FrameMemory(), *[None] * 9)


def test_warm_up_fits_padded_lines_and_leaves_no_tracks(scripted):
    engine, detector = scripted(in_place=True)
    detector.found = [FACE]
    engine.warm_up(width=640, height=360, pixel_format="nv12", line_bytes=(704, 704))
    detector.found = []
    camera = engine._cameras["front"]
    assert [plane.strides[0] for plane in camera.canary.frame.planes] == [704, 704]
    empty = camera.tracker.step(type(camera.hidden)(), 0.0, size=(640, 360))
    assert empty.count == 0


def test_a_blind_detector_fails_the_warm_up(scripted):
    engine, detector = scripted()
    detector.blind = True
    with pytest.raises(DetectorBlindError, match="640 x 360 px nv12"):
        engine.warm_up(width=640, height=360, pixel_format="nv12")


def test_strict_styles_hide_with_one_colour(scripted, noise_frame):
    engine, detector = scripted(Settings(styles=Styles().strict()))
    detector.found = [FACE, PLATE]
    out = released(engine.process(noise_frame(pixel_format="gray8")))
    for box in out.boxes:
        x1, y1, x2, y2 = box.hidden_xyxy
        assert np.unique(out.planes[0][y1:y2, x1:x2]).tolist() == [0]
