"""Telemetry of action cameras: what is missing, damaged or out of step gives no place and no time."""

from __future__ import annotations

import contextlib
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import TrackError
from anonymize.zones.feeds.gpmf import read_gpmf
from anonymize.zones.fixes import FineReason, fault_of_fix

LAT, LON = 331_267_616, -1_173_273_436
T0_S = 1_574_120_716.0  # 2019-11-18 23:45:16 UTC


def value(name: bytes, kind: bytes, size: int, content: bytes) -> bytes:
    head = name + kind + struct.pack(">BH", size, len(content) // size)
    return head + content + b"\0" * (-len(content) % 4)


def nested(name: bytes, *parts: bytes) -> bytes:
    return value(name, b"\0", 1, b"".join(parts))


def gps5(
    clock: str = "191118234516.000",
    *,
    fix: int | None = 3,
    dop: int | None = 154,
    count: int = 4,
    at: int = 0,
) -> bytes:
    """The stream of one packet, as a camera writes it."""
    rows = b"".join(struct.pack(">5i", LAT + 10 * (at + k), LON, -22_959, 1046, 100) for k in range(count))
    parts = [value(b"STNM", b"c", 1, b"GPS (Lat., Long., Alt., 2D speed, 3D speed)")]
    if fix is not None:
        parts.append(value(b"GPSF", b"L", 4, struct.pack(">I", fix)))
    parts.append(value(b"GPSU", b"U", 16, clock.encode("latin-1").ljust(16, b"\0")))
    if dop is not None:
        parts.append(value(b"GPSP", b"S", 2, struct.pack(">H", dop)))
    parts.append(value(b"SCAL", b"l", 4, struct.pack(">5i", 10**7, 10**7, 1000, 1000, 100)))
    return nested(b"STRM", *parts, value(b"GPS5", b"l", 20, rows))


def packet(*streams: bytes) -> bytes:
    return nested(b"DEVC", value(b"DVID", b"L", 4, b"\0\0\0\1"), *streams)


def drive(count: int = 3, **more: object) -> list[tuple[float, bytes]]:
    return [(float(k), packet(gps5(f"1911182345{16 + k:02d}.000", at=4 * k, **more))) for k in range(count)]


def test_positions_get_times_between_the_packets():
    track = read_gpmf(drive())
    assert [fix.time_s - T0_S for fix in track.fixes] == [k / 4 for k in range(12)]
    first = track.fixes[0]
    assert (first.lon_deg, first.lat_deg, first.dimensions) == (LON / 1e7, LAT / 1e7, 3)
    assert first.accuracy_m == pytest.approx(1.54 * 6.0 * math.sqrt(-math.log(0.32)))
    assert [fix.continues for fix in track.fixes] == [False] + [True] * 11
    assert (track.film_start_s, track.time_uncertainty_s) == (T0_S, 1.0)
    assert track.counts.damaged == track.counts.undated == 0


def test_a_time_that_does_not_go_on_as_the_film_does_is_not_used():
    """The first packet of a real file repeats the time of a fix from before."""
    stale = [(-1.0, packet(gps5("191118234513.000"))), *drive()]
    track = read_gpmf(stale)
    assert (len(track.fixes), track.counts.undated) == (12, 4)
    assert track.film_start_s == T0_S
    jump = drive()[:2] + [(2.0 + k, packet(gps5(f"1911182346{16 + k:02d}.000"))) for k in range(3)]
    track = read_gpmf(jump)
    assert track.counts.undated == 4
    assert [fix.continues for fix in track.fixes].index(False, 1) == 4
    assert track.film_start_s is None  # two clocks in one film: neither is believed
    backwards = [(float(k), packet(gps5(f"1911182345{16 - k:02d}.000"))) for k in range(3)]
    assert read_gpmf(backwards).fixes == ()
    assert read_gpmf(drive(1)).fixes == ()  # one packet alone has nothing to be compared with


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"fix": 0}, FineReason.TWO_DIMENSIONAL),
        ({"fix": 2}, FineReason.TWO_DIMENSIONAL),
        ({"fix": None}, FineReason.TWO_DIMENSIONAL),
        ({"dop": None}, FineReason.ACCURACY_MISSING),
        ({"dop": 0}, FineReason.ACCURACY_MISSING),
        ({"dop": 9999}, FineReason.ACCURACY_POOR),
    ],
)
def test_a_fix_of_unknown_quality_is_not_believed(more, reason):
    assert {fault_of_fix(fix) for fix in read_gpmf(drive(**more)).fixes} == {reason}


@pytest.mark.parametrize("clock", ["", "191118234516", "999999999999.999", "191118234516.0x0", "\xff" * 16])
def test_a_time_that_is_none_dates_nothing(clock):
    content = packet(gps5(clock))
    track = read_gpmf([(0.0, content), (1.0, content)])
    assert track.fixes == ()
    assert track.counts.undated == 8


def gps9(seconds: int, *, dop: int = 154, fix: int = 3, kind: bytes = b"lllllllSS") -> bytes:
    rows = b"".join(
        struct.pack(">7i2H", LAT + k, LON, 0, 0, 0, 7261, 1000 * seconds + 250 * k, dop, fix)
        for k in range(4)
    )
    scale = struct.pack(">9i", 10**7, 10**7, 1000, 1000, 100, 1, 1000, 100, 1)
    return nested(
        b"STRM",
        value(b"TYPE", b"c", 1, kind),
        value(b"SCAL", b"l", 4, scale),
        value(b"GPS9", b"?", 32, rows),
    )


def test_gps9_carries_its_own_times_and_goes_before_gps5():
    second = 23 * 3600 + 45 * 60 + 16
    track = read_gpmf([(float(k), packet(gps5(), gps9(second + k))) for k in range(2)])
    assert [fix.time_s for fix in track.fixes] == [1_574_120_716.0 + 0.25 * k for k in range(8)]
    assert {fix.dimensions for fix in track.fixes} == {3}
    assert track.film_start_s == 1_574_120_716.0
    poor = read_gpmf([(0.0, packet(gps9(second, fix=2, dop=0)))]).fixes[0]
    assert (poor.dimensions, poor.accuracy_m) == (2, None)
    with pytest.raises(TrackError, match="no positions"):
        read_gpmf([(0.0, packet(gps9(second, kind=b"llllllfSS")))])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"DEVC",
        packet(gps5())[:-3],
        packet(gps5(), gps5()),  # two receivers: which is the vehicle's?
        packet(nested(b"STRM", value(b"GPS5", b"l", 20, b"\0" * 20))),  # no scale
        packet(gps5()).replace(struct.pack(">5i", 10**7, 10**7, 1000, 1000, 100), b"\0" * 20),
        nested(b"DEVC", nested(b"STRM", nested(b"A", nested(b"B", nested(b"C", gps5()))))),
        packet(gps5()).replace(b"GPSP", b"GPSF"),  # said twice
    ],
)
def test_a_packet_that_cannot_be_read_gives_nothing(content):
    with pytest.raises(TrackError, match="no positions"):
        read_gpmf([(0.0, content), (1.0, content)])
    track = read_gpmf([*drive(), (3.0, content)])
    assert len(track.fixes) == 8  # the packet before it has no successor that bears its time out


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=8))
def test_no_bytes_raise_anything_else(noise, at, put):
    content = bytearray(packet(gps5()))
    content[at : at + len(put)] = put
    for damaged in (noise, b"DEVC" + noise, bytes(content)):
        with contextlib.suppress(TrackError):
            read_gpmf([(0.0, damaged), (1.0, packet(gps5("191118234517.000")))])
