"""What is hidden in a frame: linked over the borders of files, corrected by a person, asked for by number."""

from __future__ import annotations

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from anonymize.archive.decided import Decided, corrected, fits, linked_frames
from anonymize.archive.spool import SpoolHeader, SpoolReader, new_spool
from anonymize.archive.tally import MOMENTS, Tally
from anonymize.archive.work import AddedBox, Corrections, FalseHit
from anonymize.boxes import ORIGINS
from anonymize.errors import MediaError
from anonymize.frames import Box, Label, Origin, Reason
from anonymize.track.seen_frame import LinkedFrame, SeenFrame

EMPTY = np.zeros((0, 4), np.float32)


def spool(path: Path, boxes: list[list[float] | None], *, first_pts: int = 0, width: int = 640) -> Path:
    """A film of 30 frames a second with at most one plate a frame."""
    header = SpoolHeader(
        source_sha256="a" * 64, settings_sha256="b" * 64, time_base=Fraction(1, 30), width=width, height=360,
        thresholds={0: 0.4, 1: 0.57},
    )  # fmt: skip
    with new_spool(path, header) as out:
        for number, box in enumerate(boxes):
            count = 0 if box is None else 1
            found = EMPTY if box is None else np.array([box], np.float32)
            ones = np.ones(count)
            scores = (0.9 * ones).astype(np.float32)
            frame = SeenFrame(0, 0.0, found, ones.astype(np.int32), scores, ones.astype(bool))
            out.add(frame, first_pts + number)
    return path


def plate(x: float) -> list[float]:
    return [x, 100.0, x + 40.0, 114.0]


def origins(out: LinkedFrame) -> list[str]:
    return [str(ORIGINS[origin]) for origin in out.origins]


def test_tracks_cross_the_border_of_two_files(tmp_path):
    """A plate passes; the last frames of one file and the first of the next do not show it to the network."""
    way = [plate(100 + 3 * n) for n in range(80)]
    first = spool(tmp_path / "1", [box if n < 34 else None for n, box in enumerate(way[:40])])
    second = spool(tmp_path / "2", [None] * 6 + way[46:], first_pts=9000)
    with SpoolReader(first) as one, SpoolReader(second) as two:
        ends = list(linked_frames(one, None, two))
        begins = list(linked_frames(two, one, None))
        alone = list(linked_frames(one, None, None))
    assert [frame.number for frame in ends] == [frame.number for frame in begins] == list(range(40))
    assert [origins(frame) for frame in ends[34:]] == [["held"]] * 6
    assert [origins(frame) for frame in begins[:6]] == [["held"]] * 6
    assert begins[0].time_s == 300.0
    for number, frame in enumerate([*ends, *begins]):
        assert (frame.boxes[0, :2] <= np.array(way[number][:2]) + 0.01).all()
        assert (frame.boxes[0, 2:] >= np.array(way[number][2:]) - 0.01).all()
    assert [origins(frame) for frame in alone[34:]] == [["predicted"]] * 6


def test_files_of_another_kind_are_not_joined(tmp_path):
    kinds = [
        spool(tmp_path / "a", [None]),
        spool(tmp_path / "b", [None], width=320),
        spool(tmp_path / "c", []),
    ]
    with ExitStack() as opened:
        one, other, empty = (opened.enter_context(SpoolReader(path)) for path in kinds)
        assert [fits(one, reader) for reader in (one, other, empty)] == [True, False, False]


def frame(*boxes: list[float], time_s: float = 2.0, reason: Reason | None = None) -> LinkedFrame:
    count = len(boxes)
    places = np.array(boxes, np.float32).reshape(-1, 4)
    ones = np.ones(count)
    numbers = np.arange(1, count + 1)
    return LinkedFrame(
        0,
        time_s,
        places,
        ones.astype(np.int32),
        numbers,
        ones.astype(np.float32),
        np.zeros(count, np.int32),
        reason,
    )


def test_a_box_is_added_in_its_span_alone():
    added = Corrections(added=(AddedBox("face", (10.0, 10.0, 40.0, 50.0), 1.0, 2.0),))
    for time_s, count in ((0.99, 1), (1.0, 2), (2.0, 2), (2.01, 1)):
        out = corrected(frame(plate(100), time_s=time_s), added)
        assert len(out.boxes) == len(out.class_ids) == len(out.track_ids) == len(out.scores) == count
    out = corrected(frame(), added)
    assert (out.boxes.tolist(), out.class_ids.tolist()) == ([[10, 10, 40, 50]], [0])
    assert origins(out) == ["static"] and out.track_ids[0] < 0


@pytest.mark.parametrize(
    ("hit", "left"),
    [
        (FalseHit("plate", (102.0, 100.0, 142.0, 114.0), 1.0, 3.0), 1),  # matches the first
        (FalseHit("face", (102.0, 100.0, 142.0, 114.0), 1.0, 3.0), 2),  # another class
        (FalseHit("plate", (102.0, 100.0, 142.0, 114.0), 2.5, 3.0), 2),  # another time
        (FalseHit("plate", (130.0, 100.0, 170.0, 114.0), 1.0, 3.0), 2),  # another place
        (FalseHit("plate", (0.0, 0.0, 640.0, 360.0), 0.0, 9.0), 2),  # no box releases what is small in it
    ],
)
def test_a_false_hit_is_released_only_where_it_matches(hit, left):
    out = corrected(frame(plate(100), plate(300)), Corrections(released=(hit,)))
    assert len(out.boxes) == left
    assert plate(300) in out.boxes.tolist()


def test_a_frame_that_is_hidden_as_a_whole_stays_so():
    film = frame(plate(100), reason=Reason.TOO_MANY)
    assert corrected(film, Corrections(released=(FalseHit("plate", tuple(plate(100)), 0.0, 9.0),))) is film


def test_frames_are_asked_for_by_number():
    begun = []

    def begin():
        begun.append(1)
        film = [frame(), frame(plate(1)), frame(), frame(reason=Reason.TOO_MANY)]
        return iter(
            [
                LinkedFrame(n, *[getattr(f, name) for name in LinkedFrame.__slots__[1:]])
                for n, f in enumerate(film)
            ]
        )

    decided = Decided(Path("film.mp4"), begin)
    assert [decided.has_boxes(number) for number in (1, 3)] == [True, True]
    assert [decided.has_boxes(number) for number in range(4)] == [False, True, False, True]
    assert [decided.take(number).number for number in (0, 2, 3)] == [0, 2, 3]
    assert len(begun) == 2
    assert decided.take(1).number == 1  # begun anew
    assert len(begun) == 3
    with pytest.raises(MediaError, match=r"film\.mp4: frame 4 came"):
        decided.take(4)
    with pytest.raises(MediaError, match="frame 4"):
        decided.has_boxes(4)


class Shown:
    """A released frame as the tally sees it."""

    time_base = Fraction(1, 30)
    hidden_whole = False
    reason = None

    def __init__(self, pts: int, *boxes: Box) -> None:
        self.pts, self.boxes = pts, boxes


def box(track: int, confidence: float, origin: Origin = Origin.DETECTED, label: Label = Label.PLATE) -> Box:
    return Box(label, (0.0, 0.0, 9.0, 9.0), confidence, origin, (0, 0, 9, 9), track)


def test_a_tally_counts_boxes_and_objects():
    tally = Tally(1000)
    for number in range(1000):
        held = box(1, 0.95) if number % 2 else box(1, 0.35, Origin.HELD)
        passing = [box(2 + number // 100, 1.0, label=Label.FACE)] if number % 100 < 50 else []
        tally.count(Shown(number, held, *passing, box(-2, 1.0, Origin.STATIC, Label.AREA)), number)
    assert tally.boxes == {"plate": 1000, "face": 500, "area": 1000}
    assert tally.objects == {"plate": 1, "face": 10}
    assert tally.origins == {"detected": 1000, "held": 500, "static": 1000}
    assert tally.confidence == [0, 0, 0, 500, 0, 0, 0, 0, 0, 1000]
    assert len(tally._seen_in) <= 5  # an object that is over is not remembered


def test_the_least_certain_moments_are_spread_over_time_and_objects():
    tally = Tally(2400)
    for number in range(2400):
        doubtful = [box(7, 0.2 + number / 1e5)] if number < 300 else []
        tally.count(Shown(number, *doubtful, box(100 + number // 50, 0.5 + number / 1e4)), number)
    moments = tally.certainty()
    assert len(moments) == MOMENTS
    assert (moments[0].frame, moments[0].confidence, moments[0].pts_s) == (0, 0.2, 0.0)
    assert [m.confidence for m in moments] == sorted(m.confidence for m in moments)
    parts = {moment.frame // 100 for moment in moments}
    assert len(parts) >= MOMENTS - 3
    assert sum(moment.confidence < 0.5 for moment in moments) <= 3
    assert moments[0].origin == "detected" and moments[0].label == "plate"


def test_few_moments_are_all_kept():
    tally = Tally(2)
    tally.count(Shown(0, box(1, 0.6), box(2, 0.4), box(3, 0.9), box(4, 0.5)), 0)
    assert [moment.confidence for moment in tally.certainty()] == [0.4, 0.5, 0.6]
