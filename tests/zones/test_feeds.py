"""Position logs: the traps of the parsers, damaged input, midnight, and the real drives of ../shared/data/gnss."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import TrackError, UsageError
from anonymize.zones.feeds import read_track
from anonymize.zones.feeds.gpx import read_gpx
from anonymize.zones.feeds.nmea import NmeaReader, read_nmea
from anonymize.zones.feeds.table import TableColumns, read_table
from anonymize.zones.feeds.track import Track, radius_of_deviations_m, radius_of_hdop_m
from anonymize.zones.fixes import FineReason, Fix, fault_of_fix, fault_of_step

ROAD = "time=utc_ms,unit=ms,lat=latitude,lon=longitude"


def nmea(*bodies: str) -> list[str]:
    """Sentences with their checksums."""
    lines = []
    for body in bodies:
        total = 0
        for letter in body:
            total ^= ord(letter)
        lines.append(f"${body}*{total:02X}")
    return lines


def rmc(at: str = "101112.00", status: str = "A", day: str = "241126", mode: str = "A") -> str:
    return f"GNRMC,{at},{status},4807.038,N,01131.000,E,1.0,84.4,{day},,,{mode}"


def gga(at: str = "101112.00", quality: int = 1, hdop: str = "1.0") -> str:
    return f"GNGGA,{at},4807.0380,N,01131.0000,E,{quality},08,{hdop},545.4,M,46.9,M,,"


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# accuracy


def test_the_rule_for_accuracy():
    assert radius_of_hdop_m(1.0) == pytest.approx(1.5096 / math.sqrt(2.0) * 6.0, rel=1e-4)
    assert radius_of_deviations_m(3.0, 4.0, 4.5) == pytest.approx(1.5096 * 4.5, rel=1e-4)
    assert radius_of_deviations_m(3.0, 4.0, None) == pytest.approx(1.5096 * 5.0, rel=1e-4)
    assert radius_of_deviations_m(3.0, 4.0, 3.9) == pytest.approx(
        1.5096 * 5.0, rel=1e-4
    )  # shorter than an axis
    assert radius_of_deviations_m(3.0, 4.0, 9.0) == pytest.approx(
        1.5096 * 5.0, rel=1e-4
    )  # longer than can be
    for none in (None, 0.0, -1.0, math.nan, math.inf):
        assert radius_of_hdop_m(none) is None
    for none in ((None, 1.0, 1.0), (1.0, None, 1.0), (0.0, 0.0, 0.0), (math.nan, 1.0, 1.0), (-1.0, 1.0, 1.0)):
        assert radius_of_deviations_m(*none) is None


# NMEA


def test_an_epoch_is_put_together():
    lines = nmea(
        rmc(), gga(hdop="2.0"), "GNGSA,A,3,01,02,03,04,,,,,,,,,1.5,2.0,1.2", "GNHDT,123.5,T",
        "GNGST,101112.00,1.0,3.0,2.0,10.0,2.5,2.6,4.0", "GNVTG,84.4,T,,M,1.0,N,1.9,K,A",
    )  # fmt: skip
    (only,) = read_nmea(lines).fixes
    assert (only.lon_deg, only.lat_deg) == pytest.approx((11.0 + 31.0 / 60.0, 48.0 + 7.038 / 60.0))
    assert only.time_s == seconds("2026-11-24T10:11:12")
    assert only.accuracy_m == pytest.approx(1.5096 * 3.0, rel=1e-4)
    assert (only.dimensions, only.heading_deg, only.dead_reckoned) == (3, 123.5, False)
    assert read_nmea(nmea(rmc(), gga(hdop="2.0"))).fixes[0].accuracy_m == pytest.approx(
        2.0 * radius_of_hdop_m(1.0)
    )


def test_positions_of_all_four_quarters():
    for north, lat_sign in (("N", 1.0), ("S", -1.0)):
        for east, lon_sign in (("E", 1.0), ("W", -1.0)):
            body = rmc().replace(",N,", f",{north},").replace(",E,", f",{east},")
            (only,) = read_nmea(nmea(body)).fixes
            assert (math.copysign(1, only.lat_deg), math.copysign(1, only.lon_deg)) == (lat_sign, lon_sign)


VOID_RMC = "GNRMC,101112.00,V,,,,,,,241126,,,N"


def test_the_trap_is_there():
    """If pynmea2 stops doing this, the guard may go."""
    import pynmea2

    void = pynmea2.parse(nmea(VOID_RMC)[0], check=True)
    assert (void.latitude, void.longitude) == (0.0, 0.0)


@pytest.mark.parametrize(
    "bodies",
    [
        [VOID_RMC],
        [rmc(status="V")],
        [rmc(mode="N")],
        [rmc().replace(",N,", ",,")],
        [rmc().replace(",N,", ",X,")],
        [rmc().replace("4807.038", "")],
        [rmc().replace("4807.038", "48O7.038")],
        [rmc().replace("4807.038", "4860.0")],
        [rmc().replace("4807.038", "nan")],
        [rmc().replace("01131.000", "-01131.000")],
        ["GNRMC,101112.00,A"],
        [rmc(), gga(quality=0)],
        [gga(), VOID_RMC],
        [rmc(), gga().replace("4807.0380", "")],
    ],
)
def test_a_void_epoch_has_no_position_and_never_latitude_zero(bodies):
    track = read_nmea(nmea(*bodies), first_date=date(2026, 11, 24))
    assert [fault_of_fix(one) for one in track.fixes] == [FineReason.NO_POSITION]
    assert math.isnan(track.fixes[0].lat_deg)


@pytest.mark.parametrize(
    "bodies", [[rmc(mode="E")], [rmc(mode="S")], [gga(quality=6), rmc()], [gga(quality=8), rmc()]]
)
def test_estimated_and_simulated_positions_are_dead_reckoned(bodies):
    (only,) = read_nmea(nmea(*bodies)).fixes
    assert only.dead_reckoned


def test_a_sentence_without_a_checksum_is_not_used():
    (line,) = nmea(rmc())
    assert read_nmea([line]).fixes
    track = read_nmea([line[:-3]])
    assert track.fixes == ()
    assert (track.counts.unchecked, track.counts.damaged) == (1, 0)


def test_a_wrong_checksum_is_damage():
    (line,) = nmea(rmc())
    track = read_nmea(
        [line.replace("4807", "4817"), line[:-1], "noise", "", "$GNRMC*", "$" + "A" * 5000, "\x00\xff"]
    )
    assert track.fixes == ()
    assert track.counts.damaged + track.counts.unchecked == 6
    assert track.counts.read == 6


def test_the_worst_of_several_gsa_counts():
    gsa = [f"GNGSA,A,{mode},01,02,,,,,,,,,,,1.5,1.0,1.2" for mode in (3, 2, 3)]
    assert read_nmea(nmea(rmc(), *gsa)).fixes[0].dimensions == 2
    assert read_nmea(nmea(rmc(), gsa[0].replace(",3,", ",x,"))).fixes[0].dimensions == 0
    assert read_nmea(nmea(rmc())).fixes[0].dimensions is None


def test_midnight_with_and_without_a_date():
    late, early = "235959.00", "000000.00"
    dated = read_nmea(nmea(rmc(late), rmc(early, day="251126"))).fixes
    undated = read_nmea(nmea(gga(late), gga(early), gga("000001.00")), first_date=date(2026, 11, 24)).fixes
    lost = read_nmea(
        nmea(rmc(late), gga(early), rmc("000001.00", day="251126"))
    ).fixes  # the RMC of 0:00 was damaged
    for fixes in (dated, undated, lost):
        assert [one.time_s - fixes[0].time_s for one in fixes] == [float(i) for i in range(len(fixes))]


def test_a_new_year_and_a_leap_day():
    fixes = read_nmea(nmea(gga("235959.50"), gga("000000.00")), first_date=date(2027, 12, 31)).fixes
    assert fixes[1].time_s == seconds("2028-01-01T00:00:00")
    fixes = read_nmea(nmea(gga("235959.50"), gga("000000.00")), first_date=date(2028, 2, 28)).fixes
    assert fixes[1].time_s == seconds("2028-02-29T00:00:00")


def test_the_date_of_zda_only_within_its_epoch():
    zda = "GNZDA,101112.20,24,11,2026,00,00"
    assert read_nmea(nmea(gga(), zda)).fixes[0].time_s == seconds("2026-11-24T10:11:12")
    assert read_nmea(nmea(gga("101110.00"), zda)).counts.undated == 1
    broken = read_nmea(nmea(gga(), zda.replace(",11,", ",13,")))
    assert (broken.fixes, broken.counts.damaged) == ((), 1)


def test_positions_without_a_date_or_a_time_are_counted():
    track = read_nmea(nmea(gga(), gga("101113.00")))
    assert (track.fixes, track.counts.undated) == ((), 2)
    assert read_nmea(nmea(rmc(at=""))).counts.undated == 1
    assert read_nmea(nmea(rmc(at="256199"))).counts.undated == 1


def test_live_reading_gives_a_fix_when_the_receiver_pauses():
    reader = NmeaReader()
    assert [reader.take(line) for line in nmea(rmc(), gga())] == [None, None]
    assert reader.flush() is not None
    assert reader.flush() is None
    assert reader.take(nmea(gga("101113.00"))[0]) is None
    first = reader.take(nmea(gga("101114.00"))[0])
    assert first is not None
    assert first.time_s == seconds("2026-11-24T10:11:13")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=90), st.sampled_from(nmea(rmc(), gga(), VOID_RMC))), max_size=8))
def test_no_line_makes_the_reader_raise(lines):
    track = read_nmea(lines, first_date=date(2026, 1, 1))
    assert all(one.lat_deg != 0.0 for one in track.fixes)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([rmc(), gga()]),
    st.integers(0, 80),
    st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="*$"), max_size=6),
)
def test_no_change_of_a_field_gives_a_place_out_of_range(body, at, put):
    changed = body[: at % len(body)] + put + body[at % len(body) + len(put) :]
    for one in read_nmea(nmea(changed), first_date=date(2026, 1, 1)).fixes:
        assert fault_of_fix(one) is not None or (0 < abs(one.lat_deg) <= 90 and 0 < abs(one.lon_deg) <= 180)


# GPX

GPX = """<?xml version="1.0"?><gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="t"><trk>
<trkseg><trkpt lat="48.1" lon="11.5"><time>2026-11-24T10:00:10Z</time><fix>3d</fix><hdop>1.5</hdop></trkpt>
<trkpt lat="48.1" lon="11.6"><time>2026-11-24T10:00:11.5</time><fix>2d</fix></trkpt>
<trkpt lat="48.1" lon="11.7"></trkpt>
<trkpt lat="48.1" lon="11.8"><time>2026-11-24T12:00:13+02:00</time></trkpt></trkseg>
<trkseg><trkpt lat="48.1" lon="11.9"><time>2026-11-24T10:00:00Z</time></trkpt></trkseg><trkseg></trkseg></trk></gpx>"""


def test_gpx():
    track = read_gpx(GPX.encode())
    start_s = seconds("2026-11-24T10:00:00")
    assert [one.time_s - start_s for one in track.fixes] == [0.0, 10.0, 11.5, 13.0]
    assert [one.continues for one in track.fixes] == [False, False, True, False]
    assert [one.dimensions for one in track.fixes] == [None, 3, 2, None]
    assert track.fixes[1].accuracy_m == pytest.approx(radius_of_hdop_m(1.5))
    assert track.fixes[0].accuracy_m is None
    assert (track.counts.read, track.counts.undated) == (5, 1)


def test_a_gpx_time_that_cannot_be_is_no_time():
    assert read_gpx(GPX.replace("10:00:10Z", "25:00:10Z").encode()).counts.undated == 2


@pytest.mark.parametrize(
    "broken",
    [
        "<gpx",
        "<html></html>",
        GPX.replace('lat="48.1"', 'lat="forty-eight"'),
        GPX.replace('lat="48.1" ', ""),
        GPX.replace('<?xml version="1.0"?>', '<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "b">]>'),
    ],
)
def test_broken_gpx_is_refused_without_a_word_of_it(broken, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(TrackError) as refusal:
        read_gpx(broken.encode())
    told = str(refusal.value) + caplog.text
    assert "48" not in told
    assert "11.5" not in told
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
    assert not logging.getLogger("gpxpy.parser").disabled


# tables


def test_csv_with_named_columns():
    text = "\ufeffutc_ms, latitude,longitude,acc\n1533226490000,37.5,-122.4,4.5\n1533226490100,,,\nx,1,2,3\n1,2\n"
    track = read_table(text.encode(), TableColumns.parse(ROAD + ",accuracy=acc"))
    assert [(one.time_s, one.accuracy_m) for one in track.fixes] == [
        (1533226490.0, 4.5),
        (1533226490.1, None),
    ]
    assert (track.fixes[0].lon_deg, track.fixes[0].lat_deg) == (-122.4, 37.5)
    assert fault_of_fix(track.fixes[1]) is FineReason.NO_POSITION
    assert (track.counts.read, track.counts.damaged) == (4, 2)


def test_json_lines_with_every_column():
    row = {
        "time_s": "2026-11-24T10:00:00", "lon_deg": 11.5, "lat_deg": 48.1, "hdop": 2, "dimensions": 3,
        "wheel_speed_mps": 3.5, "heading_deg": 90,
    }  # fmt: skip
    lines = [
        json.dumps(row),
        "",
        '{"time_s": "2026-11-24T10:00:01+00:00", "lon_deg": "nan", "lat_deg": 1e999}',
        '{"time_s": null}',
        '{"time_s": true, "lon_deg": 1, "lat_deg": 1}',
        '{"time_s": "2026-11-24T10:00:02Z", "lon_deg": [1], "lat_deg": 1}',
        '{"time_s": "2026-11-24T10:00:02Z", "lon_deg": true, "lat_deg": 1}',
        '{"lon_deg": 1, "lon_deg": 2}',
        "[1]",
        "[" * 5000,
        '{"a": "' + "x" * 70_000 + '"}',
    ]
    track = read_table("\n".join(lines).encode(), TableColumns.parse("unit=iso"))
    first, second = track.fixes
    assert (first.time_s, first.wheel_speed_mps, first.heading_deg) == (
        seconds("2026-11-24T10:00:00"),
        3.5,
        90.0,
    )
    assert (first.accuracy_m, first.dimensions) == (pytest.approx(radius_of_hdop_m(2.0)), 3)
    assert fault_of_fix(second) is FineReason.NO_POSITION
    assert (track.counts.read, track.counts.damaged) == (10, 8)


@pytest.mark.parametrize(
    ("unit", "text"), [("s", "1.5"), ("ms", "1500"), ("us", "1500000"), ("ns", "1500000000")]
)
def test_units_of_time(unit, text):
    csv = f"time_s,lon_deg,lat_deg\n{text},1,2\ninf,1,2\n"
    track = read_table(csv.encode(), TableColumns(unit=unit))
    assert [one.time_s for one in track.fixes] == [1.5]
    assert track.counts.damaged == 1


def test_tables_that_are_none():
    for text in ("", "a,b\n1,2\n", "time_s,lon_deg,lon_deg,lat_deg\n1,2,3,4\n"):
        with pytest.raises(TrackError, match="wanted a table"):
            read_table(text.encode(), TableColumns())
    for columns in ("latitude", "lat=", "speed=x", "unit=hours"):
        with pytest.raises(UsageError):
            TableColumns.parse(columns)
    long_row = "time_s,lon_deg,lat_deg\n1,2," + "3" * 70_000
    assert read_table(long_row.encode(), TableColumns()).counts.damaged == 1


# files


def test_files_are_told_apart_by_content(tmp_path):
    files = {
        "gpx": (GPX, {}),
        "nmea": ("started\n" + "\n".join(nmea(rmc())), {}),
        "csv": ("utc_ms,latitude,longitude\n1,2,3\n", {"columns": ROAD}),
        "jsonl": ('{"time_s": 1, "lon_deg": 2, "lat_deg": 3}\n', {}),
    }
    for name, (text, options) in files.items():
        path = tmp_path / f"{name}.txt"
        path.write_text(text)
        track = read_track(path, **options)
        assert track.fixes
        assert "48" not in repr(track)


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(TrackError, match="cannot be read"):
        read_track(tmp_path / "missing")
    monkeypatch.setattr("anonymize.zones.feeds.track.MOST_BYTES", 10)
    (tmp_path / "long").write_text("x" * 11)
    with pytest.raises(TrackError, match="more than"):
        read_track(tmp_path / "long")


@pytest.mark.parametrize("library", ["gpxpy", "pynmea2"])
def test_a_missing_library_is_named(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(TrackError, match=library):
        read_gpx(GPX.encode()) if library == "gpxpy" else read_nmea([])


# real logs


@pytest.fixture(scope="session")
def gnss(data_dir: Path) -> Path:
    return data_dir / "gnss"


def faults(track) -> Counter:
    return Counter(fault_of_fix(one) for one in track.fixes)


def test_tahoe_crosses_midnight_has_two_gaps_and_33_flat_fixes(gnss):
    track = read_track(gnss / "tahoe_drive.nmea")
    assert faults(track) == {None: 1367, FineReason.TWO_DIMENSIONAL: 33}
    steps = Counter(fault_of_step(a, b) for a, b in zip(track.fixes, track.fixes[1:], strict=False))
    assert steps == {None: 1397, FineReason.GAP: 2}
    assert track.counts.damaged == 1  # the line that is no NMEA
    assert (track.fixes[0].time_s, track.fixes[-1].time_s > seconds("2005-09-26T00:00:00")) == (
        seconds("2005-09-25T23:52:34"),
        True,
    )


def test_mountain_view_and_its_reference(gnss):
    track = read_track(gnss / "mountain_view_drive.nmea")
    assert faults(track) == {None: 600}
    assert track.counts.damaged == 4
    reference = gnss / "mountain_view_drive_reference.nmea"
    undated = read_track(reference)  # every RMC has a wrong checksum, so there is no date
    assert (undated.fixes, undated.counts.damaged, undated.counts.undated) == ((), 660, 661)
    dated = read_track(reference, first_date=date(2020, 2, 7))
    assert faults(dated) == {None: 643, FineReason.ACCURACY_POOR: 10, FineReason.ACCURACY_MISSING: 8}


def test_the_radius_claimed_for_mountain_view_holds_against_its_reference(gnss):
    """68 % of the errors lie within the radius made from HDOP, and 99.9 % within 2.46 of it."""
    from anonymize.zones.fixes import distance_between_m

    truth = {round(one.time_s): one for one in read_track(
        gnss / "mountain_view_drive_reference.nmea", first_date=date(2020, 2, 7)).fixes}  # fmt: skip
    shares = [
        distance_between_m(one, truth[round(one.time_s)]) / one.accuracy_m
        for one in read_track(gnss / "mountain_view_drive.nmea").fixes
        if round(one.time_s) in truth
    ]
    assert len(shares) > 500
    assert sum(share <= 1.0 for share in shares) / len(shares) >= 0.68
    assert max(shares) <= 2.46


def test_survey_receiver_has_accuracy_from_deviations(gnss):
    track = read_track(gnss / "survey_receiver_gst.nmea")
    assert faults(track) == {None: 34}
    assert track.fixes[0].accuracy_m == pytest.approx(1.5096 * 0.054, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "columns", "count", "longest_gap_s"),
    [
        ("visnjan_car.gpx", None, 104, 49.0),
        ("highway280_phone.csv", ROAD, 30, 2.0),
        ("highway280_ublox.csv", ROAD, 579, 0.2),
    ],
)
def test_logs_without_accuracy(gnss, name, columns, count, longest_gap_s):
    track = read_track(gnss / name, columns=columns)
    assert faults(track) == {FineReason.ACCURACY_MISSING: count}
    gaps_s = [b.time_s - a.time_s for a, b in zip(track.fixes, track.fixes[1:], strict=False)]
    assert max(gaps_s) == pytest.approx(longest_gap_s)


def test_a_track_in_another_datum_is_moved_and_never_guessed():
    from anonymize.zones.datum import wgs84_to_gcj02

    lon, lat = wgs84_to_gcj02(116.4, 39.9)
    fixes = (Fix(float(lon), float(lat), 3.0, 1.8e9), Fix(math.nan, math.nan, None, 1.8e9 + 1))
    track = Track(fixes)
    assert track.in_wgs84("wgs84") is track
    assert Track(()).in_wgs84("gcj02").fixes == ()
    moved, none = track.in_wgs84("gcj02").fixes
    assert (moved.lon_deg, moved.lat_deg) == pytest.approx((116.4, 39.9), abs=1e-8)
    assert (moved.accuracy_m, moved.time_s) == (3.0, 1.8e9)
    assert math.isnan(none.lon_deg)
    with pytest.raises(TrackError, match="outside the area where bd09"):
        Track((Fix(11.0, 48.0, 3.0, 1.8e9),)).in_wgs84("bd09")
