"""A recorded drive against a list, for the map of the person who prepares the list: what would be kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from statistics import median

from anonymize.zones.decide import Answer, Decider
from anonymize.zones.fixes import K_999_OF_68, R68_FLOOR_M, Fix, fault_of_fix
from anonymize.zones.in_force import unsigned_in_force
from anonymize.zones.rules import DATUM_M, MAP_M, ArchiveOptions, GateRules
from anonymize.zones.shapes import ZoneList
from anonymize.zones.views import CameraView

CAMERA = "drive"


def drive_of(
    zone_list: ZoneList, fixes: Iterable[Fix], archive: ArchiveOptions, view: CameraView
) -> list[tuple[float, float, bool]]:
    """Longitude, latitude and whether a frame of that moment would be kept, of every fix that has a position."""
    fixes = list(fixes)
    rules = GateRules(not_before_s=None, archive=archive)
    decider = Decider(unsigned_in_force(zone_list), rules, {CAMERA: view})
    for fix in fixes:
        decider.add_fix(fix, fix.time_s)
    decider.end_of_fixes()
    drive = []
    for fix in fixes:
        if not (math.isfinite(fix.lon_deg) and math.isfinite(fix.lat_deg)):
            continue
        captured_s = fix.time_s + view.clock_offset_s
        decision = decider.decide(CAMERA, captured_s, captured_s, arrived_s=fix.time_s, now_s=fix.time_s)
        drive.append((fix.lon_deg, fix.lat_deg, decision.answer is Answer.KEEP))
    return drive


def usual_margin_m(fixes: Iterable[Fix], archive: ArchiveOptions, view: CameraView) -> float:
    """The margin that half of the drive has at most, m, the view included; zones add their own."""
    assumed = (
        replace(fix, accuracy_m=archive.track_accuracy_m) if fix.accuracy_m is None else fix for fix in fixes
    )
    radii_m = [fix.r68_m for fix in assumed if fault_of_fix(fix) is None]
    seen_m = view.view_m if view.wedge is None else view.wedge.range_m
    return K_999_OF_68 * median(radii_m or [R68_FLOOR_M]) + DATUM_M + MAP_M + seen_m
