"""Files go the road twice: a look that hides nothing, then hiding by boxes that were decided in between."""

from __future__ import annotations

import numpy as np
import pytest

from anonymize.boxes import CLASS_IDS, MAX_BOXES, ORIGINS, BoxTable
from anonymize.errors import DetectorBlindError, DetectorError, InterlacedError, TooManyError, UsageError
from anonymize.frames import Dropped, Label, Origin, Reason, ReleasedFrame
from anonymize.settings import Settings
from anonymize.zones import OpenGate

FACE = ((20.0, 10.0, 40.0, 34.0), Label.FACE)
PLATE = ((50.0, 40.0, 80.0, 50.0), Label.PLATE)


def table(*boxes: tuple[float, ...]) -> BoxTable:
    decided = BoxTable(count=len(boxes))
    for row, box in enumerate(boxes):
        decided.boxes[row], decided.class_ids[row] = box, CLASS_IDS[Label.PLATE]
        decided.track_ids[row], decided.scores[row] = row + 1, 0.7
        decided.origins[row] = ORIGINS.index(Origin.BACKFILLED)
    return decided


def test_a_look_gives_what_is_found_and_touches_nothing(scripted, noise_frame):
    engine, detector = scripted(in_place=True)
    detector.found = [FACE, PLATE]
    frame = noise_frame()
    before = [plane.copy() for plane in frame.planes]
    found = engine.look(frame)
    assert found.boxes.count == 2 and found.shift_px == (0.0, 0.0)
    assert found.boxes.boxes[0].tolist() == list(FACE[0])
    assert found.boxes.strong[:2].all()
    assert all((plane == was).all() for plane, was in zip(frame.planes, before, strict=True))
    assert not engine.dropped


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_a_look_is_in_px_of_the_stored_picture(scripted, noise_frame, rotation_deg, mirrored):
    """The upright picture moves right and down; `hide` at what `look` gave covers what `process` covers."""
    engine, detector = scripted(Settings(tracking=False))
    detector.found = [FACE]
    turn = {"rotation_deg": rotation_deg, "mirrored": mirrored}
    wanted = engine.process(noise_frame(**turn))[0].boxes
    rows = np.random.default_rng(0).random((40, 60)).astype(np.float32)
    detector.channel = np.ascontiguousarray(rows[4:28, 4:36])
    engine.look(noise_frame(**turn))
    detector.channel = np.ascontiguousarray(rows[2:26, 1:33])  # all seen moves 3 right and 2 down, network px
    found = engine.look(noise_frame(pts=1, **turn))
    assert tuple(found.boxes.boxes[0].tolist()) == wanted[0].xyxy
    right, down = {0: (6, 4), 90: (4, -6), 180: (-6, -4), 270: (-4, 6)}[rotation_deg]
    assert found.shift_px == pytest.approx((-right if mirrored else right, down), abs=0.6)


def test_what_was_decided_is_hidden_and_checked_without_a_look(scripted, noise_frame):
    engine, detector = scripted(Settings(hide_always=((0, 0, 8, 8),), never=((60, 0, 96, 20),)))
    detector.fault = AssertionError("no look was wanted")
    frame = noise_frame()
    (out,) = engine.hide(frame, table((30, 30, 50, 40), (70, 5, 80, 12)))
    assert isinstance(out, ReleasedFrame)
    assert [(box.origin, box.xyxy) for box in out.boxes] == [
        (Origin.BACKFILLED, (30.0, 30.0, 50.0, 40.0)),
        (Origin.STATIC, (0.0, 0.0, 8.0, 8.0)),
    ]
    assert (out.planes[0][30:40, 30:50] == frame.planes[0][30:40, 30:50]).mean() < 0.1
    assert (out.planes[0][5:12, 70:80] == frame.planes[0][5:12, 70:80]).all()
    assert detector.canaries_seen == 0


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    "boxes",
    [table((np.nan, 0, 9, 9)), table((0, 0, 9, 9), (20, 20, 10, 10)), table(*[(1, 1, 9, 9)] * MAX_BOXES)],
    ids=["nan", "inside-out", "no room for a static area"],
)
def test_boxes_that_cannot_be_hidden_drop_the_frame_and_blank_it_in_place(
    scripted, noise_frame, boxes, in_place
):
    engine, _ = scripted(Settings(hide_always=((0, 0, 8, 8),)), in_place=in_place)
    frame = noise_frame()
    before = frame.planes[0].copy()
    (out,) = engine.hide(frame, boxes)
    assert isinstance(out, Dropped) and sum(engine.dropped.values()) == 1
    assert len(np.unique(frame.planes[0])) == 1 if in_place else (frame.planes[0] == before).all()


def test_a_box_that_the_hidden_areas_do_not_cover_drops_the_frame(scripted, noise_frame, monkeypatch):
    engine, _ = scripted()
    released = engine.hide(noise_frame(), table((30, 30, 50, 40)))
    assert isinstance(released[0], ReleasedFrame)
    camera = engine._cameras["front"]
    monkeypatch.setattr(type(camera), "place", lambda self, boxes, frame: None)
    camera.hidden.boxes[0] = (30, 30, 40, 40)  # something shrank it on the way
    assert engine.hide(noise_frame(pts=1), table((10, 30, 50, 40))) == [Dropped(Reason.CHECK_FAILED)]


@pytest.mark.parametrize("on_fault", ["drop", "hide"])
@pytest.mark.parametrize("reason", [Reason.TOO_MANY, Reason.DETECTOR_ERROR, Reason.WITHHELD])
def test_a_frame_whose_look_failed_is_dropped_or_hidden_as_a_whole(scripted, noise_frame, on_fault, reason):
    engine, _ = scripted(Settings(on_fault=on_fault), in_place=True)
    frame = noise_frame()
    (out,) = engine.hide(frame, reason)
    expected = reason if reason is not Reason.WITHHELD else Reason.DETECTOR_ERROR
    assert out.reason is expected and engine.dropped == {expected: 1}
    assert isinstance(out, ReleasedFrame) == (on_fault == "hide")
    assert all(len(np.unique(plane)) == 1 for plane in frame.planes)


@pytest.mark.parametrize("fault", [DetectorError("x"), TooManyError("x"), ZeroDivisionError("x")])
def test_a_look_that_fails_raises_and_the_next_asks_the_canary(scripted, noise_frame, fault):
    engine, detector = scripted()
    engine.look(noise_frame())
    detector.fault = fault
    with pytest.raises(type(fault)):
        engine.look(noise_frame(pts=1))
    detector.fault, seen = None, detector.canaries_seen
    engine.look(noise_frame(pts=2))
    assert detector.canaries_seen == seen + 1


def test_a_look_is_refused_where_it_would_mean_nothing(scripted, noise_frame):
    engine, detector = scripted()
    detector.blind = True
    with pytest.raises(DetectorBlindError):
        engine.look(noise_frame())
    with pytest.raises(InterlacedError):
        engine.look(noise_frame(interlaced=True))
    with pytest.raises(UsageError, match="CapturedFrame"):
        engine.look("a frame")
    with pytest.raises(UsageError, match="CapturedFrame"):
        engine.hide("a frame", table())

    class Zones(OpenGate.__mro__[1]):
        """Not an open gate."""

    engine, _ = scripted(zones=Zones())
    with pytest.raises(UsageError, match="zones"):
        engine.look(noise_frame())


def test_the_thresholds_in_force_are_told(scripted):
    engine, detector = scripted()
    detector.thresholds = {Label.FACE: 0.3}
    assert engine.thresholds == {Label.FACE: 0.3}
