"""Track measures by hand, and a short clip through the engine."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from anonymize.detect import Detector, load_packaged
from anonymize.drawing import draw_street
from anonymize.evaluate.dataset import LabelledPicture
from anonymize.evaluate.look import full_size, live_size
from anonymize.evaluate.overlap import as_boxes
from anonymize.evaluate.track_modes import LABELS, hide_in_all_modes
from anonymize.evaluate.tracks import FollowedObject, class_tracks, compare, longest_run
from anonymize.evaluate.virtual_camera import Clip, Pose
from anonymize.frames import CapturedFrame, PixelFormat
from anonymize.media.compression import through_h264
from anonymize.pipeline import Engine


def flags(word: str) -> np.ndarray:
    return np.array([letter == "x" for letter in word])


def followed(still: int, visible: str, in_scope: str, hidden: str, found: str) -> FollowedObject:
    both = {("two_sided", hidden), ("with_tracking", hidden), ("without_tracking", found)}
    masks = {(mode, share): flags(word) for mode, word in both for share in ("hidden", "half_hidden")}
    return FollowedObject(still, "plate", flags(visible), flags(in_scope), masks)


def test_longest_run():
    assert [longest_run(flags(word)) for word in ("", "...", "xxx", "x.xx.xxx.", "xx.")] == [0, 0, 3, 3, 2]


def test_track_measures_by_hand():
    objects = [
        followed(0, "xxxxxx", "xxxxxx", "xxxxxx", "xx..xx"),  # tracking closes the gap
        followed(
            0, "xxxxxx", "..xxxx", "...xxx", "....xx"
        ),  # in scope from the third frame: not in every one
        followed(
            1, "xxxxxx", "......", "......", "......"
        ),  # never in scope: counts for the longest run alone
        followed(1, "......", "......", "......", "......"),  # never visible: counts nowhere
    ]
    values = class_tracks(objects, stills=2, seed=0)
    assert (values["objects"], values["objects_in_scope"], values["frames_in_scope"]) == (3, 2, 10)
    tracked, plain = (values[mode]["hidden"] for mode in ("with_tracking", "without_tracking"))
    assert (tracked["hidden_in_every_frame"]["hits"], tracked["hidden_in_every_frame"]["of"]) == (1, 2)
    assert plain["hidden_in_every_frame"]["hits"] == 0
    assert tracked["longest_unhidden_run_frames"] == {"median": 3.0, "p95": 6.0, "objects": 3}  # 0, 3, 6
    assert tracked["longest_unhidden_run_in_scope_frames"] == {
        "median": 0.5,
        "p95": 1.0,
        "objects": 2,
    }  # 0, 1
    assert plain["longest_unhidden_run_frames"]["median"] == 4.0  # 2, 4, 6
    assert tracked["recall_by_frame"] == [1.0, 1.0, 0.5, 1.0, 1.0, 1.0]
    assert (tracked["frame_recall"], plain["frame_recall"]) == (0.9, 0.6)


def test_frames_without_objects_in_scope_have_no_recall():
    assert class_tracks([], 1, 0)["with_tracking"]["hidden"]["recall_by_frame"] == []
    values = class_tracks([followed(0, "xx", ".x", "xx", "xx")], 1, 0)
    assert values["with_tracking"]["hidden"]["recall_by_frame"] == [None, 1.0]


def test_one_look_gives_what_engines_with_and_without_tracking_hide_and_two_passes_hide_more():
    model = load_packaged()
    street, _ = draw_street(640, 360)
    rng = np.random.default_rng(0)
    frames = []
    for pts in range(8):
        # every third frame is dark: there tracks are held; the first one only the archive can fill
        light = 0.0 if pts % 3 == 0 else 0.4 + 0.1 * (pts % 4)
        picture = np.clip(np.roll(street, 5 * pts, 1) * light + rng.normal(0, 9, street.shape), 0, 255)
        frames.append(CapturedFrame((picture.astype(np.uint8),), PixelFormat.RGB24, pts, Fraction(1, 30)))
    tracking, plain = Engine(model, live_size(tracking=True)), Engine(model, live_size())
    held = []
    for frame, areas in zip(frames, hide_in_all_modes(tracking, frames), strict=True):
        (single,) = plain.process(frame)
        assert sorted(areas["without_tracking"].tolist()) == sorted(
            list(box.hidden_xyxy) for box in single.boxes
        )
        held.append({mode: len(boxes) for mode, boxes in areas.items()})
        for box in areas["without_tracking"]:  # two passes hide each of them, by an area as large or larger
            both = areas["two_sided"]
            assert ((both[:, :2] <= box[:2]) & (both[:, 2:] >= box[2:])).all(axis=1).any()
    live = list(hide_in_all_modes(tracking, frames))
    tracking.reset()
    for frame, areas in zip(frames, live, strict=True):
        (tracked,) = tracking.process(frame)
        assert areas["with_tracking"].tolist() == [list(box.hidden_xyxy) for box in tracked.boxes]
    assert held[3]["with_tracking"] > held[3]["without_tracking"]  # the case is no empty one
    assert held[0]["two_sided"] > held[0]["with_tracking"] == 0


def test_h264_in_memory_keeps_number_and_place():
    pytest.importorskip("av", reason="H.264 needs PyAV, the extra [video]")
    street, _ = draw_street(320, 180)
    grain = np.random.default_rng(0).integers(-9, 10, street.shape)
    noisy = np.clip(street + grain, 0, 255).astype(np.uint8)
    frames = [np.ascontiguousarray(np.roll(noisy, 3 * shift, 1)) for shift in range(30)]
    out, again = (through_h264(frames, crf=30) for _ in range(2))
    assert all((a == b).all() for a, b in zip(out, again, strict=True))
    assert [frame.shape for frame in out] == [street.shape] * 30
    for came, went in zip(out, frames, strict=True):
        assert 0.5 < np.abs(came.astype(int) - went).mean() < 12  # artefacts, but the same picture


def test_full_size_is_native_up_to_1920_px():
    street, _ = draw_street(1280, 720)
    frame = CapturedFrame((street,), PixelFormat.RGB24, 0, Fraction(1, 30))
    sizes = [
        Detector(load_packaged(), settings.detection()).size_for(frame)
        for settings in (full_size(), live_size())
    ]
    assert [(size.picture_width, size.picture_height) for size in sizes] == [(1280, 720), (640, 360)]
    assert live_size(tracking=True).tracking and not full_size().tracking


def test_growth_alone_has_its_own_share_of_the_rest():
    box = as_boxes([[40, 40, 60, 60]])
    picture = LabelledPicture(
        Path("still.png"),
        "still.png",
        "drawn",
        100,
        100,
        frozenset({"plate"}),
        box,
        np.array(["plate"]),
        np.zeros(1, bool),
    )
    clip = Clip(100, 100, (Pose(50, 50, 1.0, 0.0),), (1.0,), 0.1, 1.0, 24)
    far = as_boxes([[0, 0, 10, 10]])
    still = compare(picture, 0, clip, [{"with_tracking": far}], known={"plate"}, modes=["with_tracking"])
    assert still.hidden_rest == pytest.approx({"with_tracking": 100 / 9600, LABELS: (26**2 - 20**2) / 9600})
