"""The telemetry of action cameras (GPMF) as fixes: GPS5 with GPSU, GPSF and GPSP, or GPS9.

A packet is a second of film. GPS5 has one time (GPSU), one kind of fix (GPSF) and one dilution (GPSP) for all of its
18 or so positions; the position dilution stands in for the horizontal one, which is never larger. The first packets
often carry the time of an older fix: a time is believed only where it goes on to the next packet's as the film does.
GPS9 carries all of it with each position. What is missing is not guessed: no GPSF is no fix, no GPSP no accuracy.

Format: github.com/gopro/gpmf-parser, docs/README.md; that GPSU is the time of a packet's first position: its issue 46.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from anonymize.errors import TrackError
from anonymize.zones.feeds.track import FeedCounts, Track, radius_of_hdop_m
from anonymize.zones.fixes import Fix

STEADY_S: Final = 0.2  # GPSU steps of a real file differ from the film's by up to 0.05 s
# how long before its packet's film a position was measured is not written; packets are a second long
TIME_UNCERTAINTY_S: Final = 1.0
MOST_NESTING: Final = 4
DAYS_FROM_S: Final = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
_GPS5: Final = struct.Struct(">5i")
_GPS9: Final = struct.Struct(">7i2H")
_GPS9_TYPE: Final = b"lllllllSS"


@dataclass(slots=True, repr=False)
class _Payload:
    """What one packet says of positions."""

    start_s: float
    utc_s: float | None = None
    dimensions: int = 0
    dop: float | None = None
    places: list[tuple[float, float]] = field(default_factory=list)
    fixes: list[Fix] = field(default_factory=list)  # of GPS9, complete


def read_gpmf(packets: Sequence[tuple[float, bytes]]) -> Track:
    """The fixes of telemetry packets (start in s of the film, content), and the film's clock.

    Raises
    ------
    TrackError
        None of them holds a position.
    """
    counts = FeedCounts()
    payloads = [_payload(start_s, content, counts) for start_s, content in packets]
    if not any(payload.places or payload.fixes for payload in payloads):
        raise TrackError("the video's telemetry holds no positions: was its receiver on?")
    ends_s = _believed_ends_s(payloads)
    fixes: list[Fix] = []
    starts_s: list[float] = []
    continues = False
    for payload, end_s in zip(payloads, ends_s, strict=True):
        found = payload.fixes or _placed_in_time(payload, end_s)
        if not found:
            counts.undated += len(payload.places)
            continues = False
            continue
        fixes.append(_joined(found[0], continues=continues))
        fixes += found[1:]
        starts_s.append(found[0].time_s - payload.start_s)
        continues = True
    return Track(
        tuple(fixes), counts, time_uncertainty_s=TIME_UNCERTAINTY_S, film_start_s=_agreed_start_s(starts_s)
    )


def _joined(fix: Fix, *, continues: bool) -> Fix:
    return Fix(fix.lon_deg, fix.lat_deg, fix.accuracy_m, fix.time_s, fix.dimensions, continues=continues)


def _agreed_start_s(starts_s: list[float]) -> float | None:
    """UTC of the film's time 0, if all packets say the same to the uncertainty; None if they do not."""
    if not starts_s or not max(starts_s) - min(starts_s) <= TIME_UNCERTAINTY_S:
        return None
    return (max(starts_s) + min(starts_s)) / 2.0


def _believed_ends_s(payloads: Sequence[_Payload]) -> list[float | None]:
    """UTC at which the positions of each packet end; None where its own time is not believed."""
    ends_s: list[float | None] = []
    for one, other in pairwise(payloads):
        steady = False
        if one.utc_s is not None and other.utc_s is not None:
            film_s, clock_s = other.start_s - one.start_s, other.utc_s - one.utc_s
            steady = clock_s > 0.0 and abs(clock_s - film_s) <= STEADY_S
        ends_s.append(other.utc_s if steady else None)
    last = payloads[-1]
    steady_before = bool(ends_s) and ends_s[-1] is not None and last.utc_s is not None
    step_s = last.start_s - payloads[-2].start_s if steady_before else 0.0
    return [*ends_s, last.utc_s + step_s if steady_before and last.utc_s is not None else None]


def _placed_in_time(payload: _Payload, end_s: float | None) -> list[Fix]:
    """The positions of GPS5, evenly between the packet's time and the next one's."""
    if payload.utc_s is None or end_s is None:
        return []
    count = len(payload.places)
    accuracy_m = radius_of_hdop_m(payload.dop)
    return [
        Fix(lon, lat, accuracy_m, payload.utc_s + (end_s - payload.utc_s) * k / count, payload.dimensions)
        for k, (lon, lat) in enumerate(payload.places)
    ]


def _payload(start_s: float, content: bytes, counts: FeedCounts) -> _Payload:
    """Everything of one packet; where a part cannot be read, nothing of it."""
    counts.read += 1
    try:
        groups = [group for group in _groups(content, 0) if b"GPS5" in group or b"GPS9" in group]
        by_fix = [group for group in groups if b"GPS9" in group]
        chosen = by_fix or groups
        if len(chosen) > 1:
            raise ValueError("positions of two receivers")
        payload = _Payload(start_s)
        if by_fix:
            payload.fixes = _fixes_of_gps9(chosen[0])
        elif chosen:
            _take_gps5(payload, chosen[0])
    except (ValueError, struct.error, OverflowError):
        counts.damaged += 1
        return _Payload(start_s)
    return payload


def _groups(content: bytes, depth: int) -> Iterator[dict[bytes, tuple[bytes, bytes]]]:
    """Each innermost list of values: name to (type, bytes)."""
    values: dict[bytes, tuple[bytes, bytes]] = {}
    at = 0
    while at < len(content):
        name, kind = content[at : at + 4], content[at + 4 : at + 5]
        size, count = struct.unpack_from(">BH", content, at + 5)
        length = size * count
        value = content[at + 8 : at + 8 + length]
        if len(value) < length:
            raise ValueError("a value longer than its packet")
        if kind == b"\0":
            if depth == MOST_NESTING:
                raise ValueError("nested too deeply")
            yield from _groups(value, depth + 1)
        elif name in values and name.startswith(b"GPS"):
            raise ValueError("a value twice")
        else:
            values[name] = kind, value
        at += 8 + (length + 3) // 4 * 4
    yield values


def _take_gps5(payload: _Payload, group: dict[bytes, tuple[bytes, bytes]]) -> None:
    lat_scale, lon_scale = _scales(group, 5)[:2]
    value = group[b"GPS5"][1]
    payload.places = [(row[1] / lon_scale, row[0] / lat_scale) for row in _GPS5.iter_unpack(value)]
    payload.utc_s = _utc_s(group.get(b"GPSU", (b"", b""))[1])
    if b"GPSF" in group:
        payload.dimensions = struct.unpack(">I", group[b"GPSF"][1])[0]
    if b"GPSP" in group:
        payload.dop = struct.unpack(">H", group[b"GPSP"][1])[0] / 100.0


def _fixes_of_gps9(group: dict[bytes, tuple[bytes, bytes]]) -> list[Fix]:
    if group.get(b"TYPE", (b"", b""))[1] != _GPS9_TYPE:
        raise ValueError("GPS9 of another layout")
    scales = _scales(group, 9)
    fixes = []
    for row in _GPS9.iter_unpack(group[b"GPS9"][1]):
        lat, lon, _, _, _, days, seconds, dop, kind = (n / s for n, s in zip(row, scales, strict=True))
        fixes.append(Fix(lon, lat, radius_of_hdop_m(dop), DAYS_FROM_S + days * 86_400.0 + seconds, int(kind)))
    return fixes


def _scales(group: dict[bytes, tuple[bytes, bytes]], count: int) -> list[float]:
    kind, value = group.get(b"SCAL", (b"", b""))
    word = {b"l": "i", b"s": "h", b"L": "I", b"S": "H", b"f": "f"}.get(kind, "i")
    numbers = [float(number) for (number,) in struct.iter_unpack(f">{word}", value)]
    if len(numbers) != count or not all(0.0 < number < math.inf for number in numbers):
        raise ValueError("scales that do not fit")
    return numbers


def _utc_s(text: bytes) -> float | None:
    """UTC of ``yymmddhhmmss.sss``; None where there is none."""
    try:
        return (
            datetime.strptime(text.decode("ascii").strip("\0 "), "%y%m%d%H%M%S.%f")
            .replace(tzinfo=UTC)
            .timestamp()
        )
    except ValueError:
        return None
