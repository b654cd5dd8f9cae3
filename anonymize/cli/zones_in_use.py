"""From the options of zones to a gate that decides each frame, and to the time at which each was taken.

No message here holds a place, or says when or why a frame was left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from anonymize.errors import AnonymizeError, MediaError, TrackError, UsageError

if TYPE_CHECKING:
    from anonymize.frames import CapturedFrame
    from anonymize.zones.fixes import Fix
    from anonymize.zones.rules import ArchiveOptions, ZonesInForce
    from anonymize.zones.zone_gate import ZoneGate

WHOLE_SECOND_S: Final = 1.0  # containers and EXIF count whole seconds
STATED_S: Final = 0.1
_NEED_ZONES: Final = (
    "zones_root", "zones_state", "zones_datum", "track", "track_columns", "track_date", "gap", "camera_start",
    "camera_offset_s", "camera_offset_uncertainty_s", "track_accuracy_m", "max_gap_s", "top_speed_mps",
    "unsigned_zones",
)  # fmt: skip


@dataclass(frozen=True)
class ZonesInUse:
    """A zone list, a track and a camera's clock, for one run.

    Attributes
    ----------
    zones : ZonesInForce
    count : int
        Zones in the list.
    version : int or None
        Of a signed list.
    warnings : tuple of str
    exceptions : tuple of str
        What was loosened by hand.
    """

    zones: ZonesInForce
    count: int
    version: int | None
    fixes: tuple[Fix, ...]
    archive: ArchiveOptions
    warnings: tuple[str, ...]
    exceptions: tuple[str, ...]
    gap: Literal["cut", "black", "split"]
    camera_start_s: float | None
    offset_s: float
    uncertainty_s: float

    def gate(self) -> ZoneGate:
        """A gate that knows the whole track."""
        from anonymize.zones.views import CameraView
        from anonymize.zones.zone_gate import ZoneGate

        view = CameraView(clock_offset_s=self.offset_s, clock_uncertainty_s=self.uncertainty_s)
        return ZoneGate.for_track(self.zones, self.fixes, self.archive, views={"front": view})

    def clock_of(self, reader: Any) -> Callable[[CapturedFrame], float]:
        """UTC of a video's frames, s.

        Raises
        ------
        MediaError
            The file has no creation time, and none was given.
        """
        facts = reader.facts
        if self.camera_start_s is not None:
            start_s, first = self.camera_start_s, facts.first_pts
        else:
            if facts.creation_time is None:
                raise MediaError(
                    f"{reader.path}: says nothing of when it was taken; with --zones wanted "
                    "--camera-start, UTC of its first frame, such as 2026-05-04T08:15:00.5Z"
                )
            start_s, first = datetime.fromisoformat(facts.creation_time).timestamp(), 0
        return lambda frame: start_s + float((frame.pts - first) * frame.time_base)

    def nothing_kept(self, reader: Any) -> str:
        """Why a video may have lost all its frames: the ways to be wrong, not which one it was."""
        return (
            f"{reader.path}: none of its frames may be kept. If the drive was not in zones all the way: does the "
            "track cover it, 3 s before and behind included, and do the clocks agree (--camera-start, "
            "--camera-offset-s)? Nothing is written"
        )


def zones_in_use(options: argparse.Namespace) -> ZonesInUse | None:
    """What the options say; None without zones.

    Raises
    ------
    UsageError
        Options that do not go together.
    TrackError
        The track lets nothing be kept; the message says why and what would change it.
    ZoneListError
        The list is refused.
    """
    if options.zones is None:
        if options.zones_required:
            raise UsageError("zones are required and no list is given; wanted --zones LIST")
        for name in _NEED_ZONES:
            if getattr(options, name) not in (None, False):
                raise UsageError(f"--{name.replace('_', '-')} is of no use without --zones LIST")
        return None
    if options.track is None:
        raise UsageError("--zones needs to know where the vehicle was; wanted --track FILE")
    archive = _archive(options)
    camera_start_s = None if options.camera_start is None else _instant_s(options.camera_start)
    offset_s, uncertainty_s, clock_exceptions = _clock(options, camera_start_s)
    zones, count, version, warnings = _list_in_force(options)
    fixes = _usable_fixes(options, archive)
    return ZonesInUse(
        zones=zones, count=count, version=version, fixes=fixes, archive=archive, warnings=warnings,
        exceptions=(*archive.exceptions(), *clock_exceptions), gap=options.gap or "cut",
        camera_start_s=camera_start_s, offset_s=offset_s, uncertainty_s=uncertainty_s,
    )  # fmt: skip


def _archive(options: argparse.Namespace) -> ArchiveOptions:
    from anonymize.zones.rules import ArchiveOptions

    if options.top_speed_mps is not None and options.max_gap_s is None:
        raise UsageError("--top-speed-mps belongs to --max-gap-s")
    speed = {} if options.top_speed_mps is None else {"top_speed_mps": options.top_speed_mps}
    return ArchiveOptions(
        track_accuracy_m=options.track_accuracy_m,
        max_gap_s=options.max_gap_s,
        unsigned_zones=options.unsigned_zones,
        **speed,
    )


def _instant_s(words: str) -> float:
    try:
        instant = datetime.fromisoformat(words)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise UsageError(
            f"--camera-start is {words!r}; wanted a time with its zone, as 2026-05-04T08:15:00.5Z"
        )
    return instant.timestamp()


def _clock(options: argparse.Namespace, camera_start_s: float | None) -> tuple[float, float, list[str]]:
    from anonymize.zones.views import CameraView

    least_s = STATED_S if camera_start_s is not None else WHOLE_SECOND_S
    given_s = options.camera_offset_uncertainty_s
    view = CameraView(
        clock_offset_s=options.camera_offset_s or 0.0,
        clock_uncertainty_s=least_s if given_s is None else given_s,
    )
    lines = []
    if camera_start_s is not None:
        lines.append("when the video was taken was stated by hand")
    if options.camera_offset_s is not None:
        lines.append("the camera's clock was set against the track's by hand")
    if view.clock_uncertainty_s < least_s:
        lines.append(f"the camera's clock is taken as right to {view.clock_uncertainty_s:g} s")
    return view.clock_offset_s, view.clock_uncertainty_s, lines


def _list_in_force(options: argparse.Namespace) -> tuple[ZonesInForce, int, int | None, tuple[str, ...]]:
    """The list, how many zones it has, its version where it is signed, and what to warn of."""
    try:
        if options.zones.is_dir():
            return _signed_list(options)
        if options.zones_root or options.zones_state:
            raise UsageError("--zones-root and --zones-state belong to a signed list, which is a folder")
        from anonymize.zones.in_force import unsigned_in_force
        from anonymize.zones.lists import load_zones

        if not options.unsigned_zones:
            raise UsageError(
                "the zone list is a file without signature; wanted a signed folder, or --unsigned-zones"
            )
        zone_list = load_zones(options.zones, datum=options.zones_datum)
        warnings = [
            "an unsigned list has no secret margin: where recordings stop draws the edges of its zones"
        ]
        if zone_list.repairs:
            warnings.append(
                f"{len(zone_list.repairs)} repairs in the zone list: anonymize zones check tells them"
            )
        return unsigned_in_force(zone_list), len(zone_list), None, tuple(warnings)
    except ImportError as missing:
        raise AnonymizeError(
            f"zone lists need {missing.name}, which is not installed; "
            "wanted: pip install vehicle-anonymize[zones]"
        ) from None


def _signed_list(options: argparse.Namespace) -> tuple[ZonesInForce, int, int | None, tuple[str, ...]]:
    from anonymize.zones.in_force import signed_in_force
    from anonymize.zones.signed import load_signed_zones

    if options.zones_root is None or options.zones_state is None:
        raise UsageError("a signed list needs --zones-root FILE and --zones-state FOLDER")
    if options.zones_datum is not None or options.unsigned_zones:
        raise UsageError("--zones-datum and --unsigned-zones are of no use with a signed list")
    try:
        root = options.zones_root.read_bytes()
    except OSError as fault:
        raise UsageError(f"--zones-root cannot be read: {fault.strerror}") from None
    signed = load_signed_zones(options.zones, root, options.zones_state)
    degraded = signed.is_degraded(time.time())
    warnings = ("the zone list is past its expiry: still enforced, a newer one is due",) if degraded else ()
    return signed_in_force(signed), len(signed.zone_list), signed.version, warnings


def _usable_fixes(options: argparse.Namespace, archive: ArchiveOptions) -> tuple[Fix, ...]:
    from anonymize.zones.feeds import read_track
    from anonymize.zones.track_check import check_track

    try:
        first_date = date.fromisoformat(options.track_date) if options.track_date else None
    except ValueError:
        raise UsageError(f"--track-date is {options.track_date!r}; wanted YYYY-MM-DD") from None
    track = read_track(options.track, columns=options.track_columns, first_date=first_date)
    check = check_track(track.fixes, archive)
    if not check.usable:
        lines = list(check.lines)
        if track.counts.undated and first_date is None:
            lines.append(f"{track.counts.undated} positions have no date; --track-date would give them one")
        why = "\n  ".join(lines or ["it is too short: 3 s at both ends are always lost"])
        raise TrackError(f"{options.track}: lets nothing be kept, nothing is written:\n  {why}")
    return track.fixes
