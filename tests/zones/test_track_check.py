"""What is said of a track before a video is decided by it, on drawn tracks and on the real ones."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from anonymize.zones.feeds import read_track
from anonymize.zones.rules import ArchiveOptions
from anonymize.zones.track_check import check_track
from tests.zones.places import fix

ROAD = "time=utc_ms,unit=ms,lat=latitude,lon=longitude"


def test_a_good_track_needs_no_word():
    check = check_track([fix(s) for s in range(20)])
    assert (check.usable, check.lines, check.known_s, check.believed) == (True, (), 13.0, 20)


def test_an_empty_track_and_one_that_is_too_short():
    assert not check_track([]).usable
    assert not check_track([fix(s) for s in range(7)]).usable
    assert check_track([fix(s) for s in range(8)]).known_s == 1.0


def test_missing_accuracy_and_gaps_name_their_options():
    fixes = [fix(5 * s, accuracy_m=None) for s in range(20)]
    check = check_track(fixes)
    assert not check.usable
    assert check.lines[0] == "20 of 20 fixes carry no accuracy"
    assert [line.split()[0] for line in check.lines[1:]] == ["--track-accuracy-m", "--max-gap-s"]
    half = check_track(fixes, ArchiveOptions(track_accuracy_m=5.0))
    assert half.lines[0] == "19 gaps are too long or breaks of reception, the longest 5 s"
    assert "--max-gap-s 5 would bridge" in half.lines[1]
    whole = check_track(fixes, ArchiveOptions(track_accuracy_m=5.0, max_gap_s=5.0))
    assert (whole.usable, whole.lines, whole.known_s, whole.longest_gap_s) == (True, (), 89.0, 5.0)


def test_every_fault_is_said_in_words():
    fixes = [fix(s) for s in range(30)]
    fixes[5] = replace(fixes[5], lat_deg=math.nan)
    fixes[8] = replace(fixes[8], lon_deg=fixes[8].lon_deg + 1.0)
    fixes[12] = replace(fixes[12], time_s=fixes[10].time_s)
    lines = " ".join(check_track(fixes).lines)
    for words in ("1 of 30 fixes have no position", "2 steps are faster", "do not follow"):
        assert words in lines
    assert "11." not in lines  # no place
    assert (
        check_track(fixes).known_s == 16.0 - 6.0
    )  # what lies before 3 s behind the late fix is scrubbed away


@pytest.mark.parametrize(
    ("name", "columns", "options", "known_s"),
    [
        ("mountain_view_drive.nmea", None, ArchiveOptions(), 593.0),
        ("tahoe_drive.nmea", None, ArchiveOptions(), 2_686.0),
        ("survey_receiver_gst.nmea", None, ArchiveOptions(), 27.0),
        (
            "visnjan_car.gpx",
            None,
            ArchiveOptions(track_accuracy_m=10.0, max_gap_s=49.0, top_speed_mps=40.0),
            508.0,
        ),
        ("highway280_phone.csv", ROAD, ArchiveOptions(track_accuracy_m=10.0), 52.0),
        ("highway280_ublox.csv", ROAD, ArchiveOptions(track_accuracy_m=10.0), 53.8),
    ],
)
def test_the_real_logs_and_the_options_they_need(data_dir, name, columns, options, known_s):
    track = read_track(data_dir / "gnss" / name, columns=columns)
    check = check_track(track.fixes, options)
    assert check.known_s == pytest.approx(known_s, abs=1.0)
    assert check_track(track.fixes).usable is (options == ArchiveOptions())
