"""SAFETY 24 to 26: what the gate withholds tells nobody where the vehicle was."""

from __future__ import annotations

import io
import json
import logging
import re
from fractions import Fraction

import numpy as np
import pytest

from anonymize.frames import CapturedFrame, Dropped, FrameMemory, Reason, ReleasedFrame, _seal_anonymized
from anonymize.zones.day_counts import DayCounts
from anonymize.zones.decide import Decider
from anonymize.zones.fixes import FineReason, Fix
from anonymize.zones.hold import EachFrame
from anonymize.zones.rules import ZonesInForce
from anonymize.zones.zone_gate import ZoneGate

T0_S = 1_800_000_000.0
LON_DEG, LAT_DEG = 116.395, 39.914
SECRET_PATTERN = re.compile(r"116\.|39\.9|1800000|18000\d\d\d")


class Square:
    """A zone of 200 m, which tells its place when it fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def touches(self, start, end, *, margin_m, time_s, clock_uncertainty_s=60.0) -> bool:
        if self.fails:
            raise ValueError(f"zone 7 at {LON_DEG}, {LAT_DEG}")
        reach_deg = (200.0 + margin_m) / 111_000.0
        return min(abs(start[1] - LAT_DEG), abs(end[1] - LAT_DEG)) < reach_deg


def drive_fix(seconds: float, *, lon_deg: float = LON_DEG, **more: object) -> Fix:
    """A car that comes from the south at 20 m/s and passes the zone after 60 s."""
    return Fix(lon_deg, LAT_DEG + (seconds - 60.0) * 20.0 / 111_000.0, 5.0, T0_S + seconds, **more)


def frame(seconds: float) -> CapturedFrame:
    value = round(10 * seconds) % 256
    plane = np.full((4, 4, 3), value, np.uint8)
    return CapturedFrame(
        (plane,), "bgr24", round(10 * seconds), Fraction(1, 10), captured_at_s=T0_S + seconds
    )


def run_live(zones: ZonesInForce, *, shift_deg: float = 0.0, seconds: int = 120, encoded: bool = False):
    """All that comes out of a live gate, and the gate."""
    clock = [T0_S]
    encoders = (lambda camera: EachFrame(lambda hidden: hidden.planes[0].tobytes())) if encoded else None
    gate = ZoneGate(zones, encoders=encoders, clock=lambda: clock[0])
    out: list[object] = []
    for tenth in range(seconds * 10):
        clock[0] = T0_S + tenth / 10.0
        if tenth % 10 == 0:
            gate.fix(drive_fix(tenth / 10.0, lon_deg=LON_DEG + shift_deg))
        captured = frame(tenth / 10.0)
        if gate.admit(captured):
            out += gate.release(_seal_anonymized(captured, captured.planes, FrameMemory()))
        out += gate.take_groups() if encoded else []
    out += gate.close()
    return out, gate


# SAFETY 24


def test_every_drop_of_the_gate_is_one_reason_and_nothing_else():
    for zones in (
        ZonesInForce(Square(), signed=True),
        ZonesInForce(Square(), signed=False),
        ZonesInForce(None),
        ZonesInForce(Square(fails=True), signed=True),
        ZonesInForce(Square(), signed=True, fault=FineReason.LIST_OLD_VERSION),
    ):
        out, gate = run_live(zones)
        drops = {outcome for outcome in out if isinstance(outcome, Dropped)}
        assert drops <= {Dropped(Reason.WITHHELD, "front")}
        assert sum(gate.withheld.total().values()) + sum(isinstance(o, ReleasedFrame) for o in out) == 1200


def test_no_place_and_no_time_in_any_log_text_or_name(caplog, capsys):
    caplog.set_level(logging.DEBUG)
    shown = io.StringIO()
    for fails in (False, True):
        out, gate = run_live(ZonesInForce(Square(fails=fails), signed=True))
        for thing in (gate, gate._decider, gate._decider._legs, gate._decider._legs.legs[0], drive_fix(3.0)):
            shown.write(f"{thing!r} {thing}")
        shown.write(repr([outcome for outcome in out if isinstance(outcome, Dropped)]))
        for judged in gate._decider._judged.values():
            shown.write(repr(judged))
        for group in gate._hold:
            shown.write(repr(group))
    assert not caplog.records
    assert not SECRET_PATTERN.search(shown.getvalue() + "".join(capsys.readouterr()))


def test_a_failing_index_says_nothing_of_the_place_to_the_caller():
    gate = ZoneGate(ZonesInForce(Square(fails=True), signed=True), clock=lambda: T0_S)
    gate.fix(drive_fix(0.0))
    assert not gate.admit(frame(0.5))  # no exception, whose text would hold the zone
    assert gate.withheld.total()[FineReason.ONE_SIDED] == 1


def test_errors_of_the_caller_hold_no_place():
    decider = Decider(ZonesInForce(Square(), signed=True))
    with pytest.raises(AttributeError) as refusal:
        decider.add_fix("116.395, 39.914", T0_S)  # type: ignore[arg-type]
    assert not SECRET_PATTERN.search(str(refusal.value))


def test_the_ledger_gets_counts_per_day_and_no_more():
    _, gate = run_live(ZonesInForce(Square(), signed=True))
    (day, counts), = gate.withheld.take_before(DayCounts.day_of(T0_S + 10 * 86_400.0)).items()  # fmt: skip
    text = json.dumps({day.isoformat(): counts})
    assert set(counts) <= set(FineReason)
    assert not SECRET_PATTERN.search(text)


# SAFETY 26


@pytest.mark.parametrize("encoded", [False, True])
def test_zones_and_track_moved_together_change_no_byte(encoded):
    pytest.importorskip("shapely")
    from anonymize.zones.index import ZoneIndex
    from anonymize.zones.lists import parse_zones

    outputs = []
    for shift_deg in (0.0, 1.0):
        west, east = LON_DEG - 0.002 + shift_deg, LON_DEG + 0.002 + shift_deg
        south, north = LAT_DEG - 0.002, LAT_DEG + 0.002
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        feature = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {},
        }
        content = json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()
        index = ZoneIndex(parse_zones(content, datum="wgs84"), margin_key=b"a key of the authority")
        out, gate = run_live(ZonesInForce(index, signed=True), shift_deg=shift_deg, encoded=encoded)
        written = []
        for outcome in out:
            if isinstance(outcome, ReleasedFrame):
                written.append((outcome.pts, outcome.planes[0].tobytes()))
            elif not isinstance(outcome, Dropped):
                written.append((outcome.pts, outcome.payload))
        outputs.append((written, gate.withheld.total()))
    assert outputs[0] == outputs[1]
    assert outputs[0][0]
    assert outputs[0][1][FineReason.ZONE] > 0
