"""The second look: other pixels at another scale, boxes in the stored picture, what a person released left alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from anonymize.archive.second_look import SecondLook, _hidden_share, _mirrored
from anonymize.archive.work import ArchiveSettings, Corrections, FalseHit, Tools
from anonymize.detect import Detector, load_packaged
from anonymize.errors import SecondLookError
from anonymize.frames import Box, CapturedFrame, Label, Origin, PixelFormat
from anonymize.media.metadata import TURNS
from anonymize.media.pictures import open_picture, upright
from anonymize.pipeline import Engine
from anonymize.settings import FULL_SIZE_PX, Settings

MODEL = load_packaged()
SETTINGS = Settings(tracking=False, min_long_side_px=FULL_SIZE_PX)
TOOLS = Tools(ArchiveSettings(pictures=SETTINGS, video=SETTINGS), MODEL)


@pytest.fixture(scope="module")
def face(data_dir: Path) -> npt.NDArray[np.uint8]:
    """A face close to the camera, upright (of a set under the MIT licence)."""
    picture = open_picture(data_dir / "exif" / "phone_face_orientation6_gps.jpg")
    return np.ascontiguousarray(upright(picture.frame.planes[0], picture.metadata.orientation), np.uint8)


def frame_of(pixels: npt.NDArray[np.uint8], orientation: int = 1, pts: int = 0) -> CapturedFrame:
    """The upright pixels as a camera of this orientation stores them."""
    mirrored, rotation_deg = TURNS[orientation]
    stored = np.rot90(pixels, rotation_deg // 90)
    stored = np.ascontiguousarray(stored[:, ::-1] if mirrored else stored)
    return CapturedFrame(
        (stored,), PixelFormat.RGB24, pts=pts, time_base=Fraction(1, 10), rotation_deg=rotation_deg, mirrored=mirrored
    )  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_not_hidden_is_found_where_the_first_look_found_it(
    face: npt.NDArray[np.uint8], orientation: int
) -> None:
    frame = frame_of(face, orientation)
    (hidden,) = Engine(MODEL, SETTINGS).process(frame)
    first = max(hidden.boxes, key=lambda box: box.confidence)
    found = SecondLook(TOOLS).findings(frame, ())
    assert [box.label for box in found] == [Label.FACE]
    assert np.allclose(found[0].xyxy, first.xyxy, atol=0.15 * (first.xyxy[2] - first.xyxy[0]))
    written = replace(frame, planes=tuple(plane.copy() for plane in hidden.planes))
    assert SecondLook(TOOLS).findings(written, hidden.boxes) == ()


def test_it_looks_at_other_pixels_and_another_scale(
    face: npt.NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[CapturedFrame, int]] = []
    detect = Detector.detect

    def watch(self: Detector, frame: CapturedFrame, *words: object) -> object:
        seen.append((frame, self.size_for(frame).picture_width))
        return detect(self, frame, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(Detector, "detect", watch)
    frame = frame_of(face)
    SecondLook(TOOLS).findings(frame, ())
    small = Tools(ArchiveSettings(), MODEL)  # live size: the first look at 640 of 1280 px
    large = frame_of(np.zeros((720, 1280, 3), np.uint8))
    SecondLook(small).findings(large, ())
    assert np.array_equal(seen[0][0].planes[0], frame.planes[0][:, ::-1])
    assert seen[0][1] == round(0.75 * frame.width)
    assert seen[1][1] == 800
    assert _mirrored(large).planes[0].base is None


def test_a_false_hit_is_released_in_its_span_and_for_its_label(face: npt.NDArray[np.uint8]) -> None:
    (found,) = SecondLook(TOOLS).findings(frame_of(face), ())
    for label, pts, kept in (("face", 15, 0), ("plate", 15, 1), ("face", 25, 1)):
        hit = FalseHit(label, found.xyxy, 1.0, 2.0)
        look = SecondLook(replace(TOOLS, corrections=Corrections(released=(hit,))))
        assert len(look.findings(frame_of(face, pts=pts), ())) == kept
    never = replace(SETTINGS, never=(found.xyxy,))
    assert SecondLook(TOOLS, never).findings(frame_of(face), ()) == ()


def test_check_raises_with_all_that_a_reviewer_needs(face: npt.NDArray[np.uint8]) -> None:
    look = SecondLook(TOOLS)
    with pytest.raises(SecondLookError) as fault:
        look.check(frame_of(face, pts=15), (), 15, "/front")
    error = fault.value
    assert (error.label, error.frame, error.pts_s, error.topic) == ("face", 15, 1.5, "/front")
    assert error.confidence > 0.6
    assert "/front at 1.500 s" in str(error)


def test_small_and_unsure_finds_set_nothing_aside(face: npt.NDArray[np.uint8]) -> None:
    (found,) = SecondLook(TOOLS).findings(frame_of(face), ())
    over = found.confidence - MODEL.entry.threshold[Label.FACE]
    assert SecondLook(TOOLS, margin=over - 0.01).findings(frame_of(face), ())
    assert not SecondLook(TOOLS, margin=over + 0.01).findings(frame_of(face), ())
    side = min(found.xyxy[2] - found.xyxy[0], found.xyxy[3] - found.xyxy[1])
    assert not SecondLook(TOOLS, replace(SETTINGS, scope_px=int(side) + 2)).findings(frame_of(face), ())


@pytest.mark.parametrize(
    ("areas", "share"),
    [([], 0.0), ([(0, 0, 5, 10)], 0.5), ([(0, 0, 5, 10), (3, 0, 8, 10)], 0.8), ([(-9, -9, 99, 99)], 1.0),
     ([(20, 20, 30, 30)], 0.0), ([(0, 0, 0, 0)], 0.0)],
)  # fmt: skip
def test_the_hidden_share_counts_a_pixel_once(areas: list[tuple[int, int, int, int]], share: float) -> None:
    assert _hidden_share((0.0, 0.0, 10.0, 10.0), areas) == pytest.approx(share)
    assert _hidden_share((-4.0, 0.0, -4.0, 10.0), areas) == 1.0


def test_boxes_that_a_hidden_area_covers_by_half_are_no_finding(face: npt.NDArray[np.uint8]) -> None:
    (found,) = SecondLook(TOOLS).findings(frame_of(face), ())
    x1, y1, x2, y2 = (round(side) for side in found.xyxy)
    for right, findings in ((x1 + (x2 - x1) * 2 // 5, 1), (x1 + (x2 - x1) * 3 // 5, 0)):
        half = Box(Label.FACE, found.xyxy, 0.9, Origin.DETECTED, (x1, y1, right, y2))
        assert len(SecondLook(TOOLS).findings(frame_of(face), (half,))) == findings
