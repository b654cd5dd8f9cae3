"""From the options of zones to a gate that decides each frame, and to the time at which each was taken.

No message here holds a place, or says when or why a frame was left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from anonymize.cli.cameras_in_use import STATED_S, WHOLE_SECOND_S, CamerasInUse, cameras_in_use
from anonymize.cli.inputs import Job
from anonymize.cli.tracks import TrackInUse, archive_options, usable_track
from anonymize.configuration import Configuration
from anonymize.errors import AnonymizeError, MediaError, UsageError

if TYPE_CHECKING:
    from anonymize.frames import CapturedFrame
    from anonymize.zones.rules import ArchiveOptions, ZonesInForce
    from anonymize.zones.zone_gate import ZoneGate

_NEED_ZONES: Final = (
    "zones_root", "zones_state", "zones_datum", "track", "track_columns", "track_date", "track_datum", "gap",
    "camera_start", "camera_offset_s", "camera_offset_uncertainty_s", "track_accuracy_m", "max_gap_s", "top_speed_mps",
    "unsigned_zones", "camera", "camera_view",
)  # fmt: skip


@dataclass(frozen=True)
class ZonesInUse:
    """A zone list, a track and the cameras' clocks, for one run.

    Attributes
    ----------
    zones : ZonesInForce
    count : int
        Zones in the list.
    version : int or None
        Of a signed list.
    track : TrackInUse
    cameras : CamerasInUse
    warnings : tuple of str
    exceptions : tuple of str
        What was loosened by hand.
    """

    zones: ZonesInForce
    count: int
    version: int | None
    track: TrackInUse
    archive: ArchiveOptions
    cameras: CamerasInUse
    warnings: tuple[str, ...]
    exceptions: tuple[str, ...]
    gap: Literal["cut", "black", "split"]
    camera_start_s: float | None

    def gate(self) -> ZoneGate:
        """A gate that knows the whole track."""
        from anonymize.zones.zone_gate import ZoneGate

        return ZoneGate.for_track(self.zones, self.track.track.fixes, self.archive, views=self.cameras.views)

    def clock_of(self, reader: Any, camera: str) -> Callable[[CapturedFrame], float]:
        """UTC of a video's frames, s: as stated, else as its own telemetry says, else from its creation time.

        Raises
        ------
        MediaError
            Nobody said how the camera's clock stands to the track's, or the file has no creation time.
        """
        facts, film_start_s = reader.facts, self.track.track.film_start_s
        if self.camera_start_s is not None:
            start_s, first = self.camera_start_s, facts.first_pts
        elif film_start_s is not None and self.track.film == reader.identity:
            start_s, first = film_start_s, 0
        elif facts.creation_time is None:
            raise MediaError(
                f"{reader.path}: says nothing of when it was taken; with --zones wanted "
                "--camera-start, UTC of its first frame, such as 2026-05-04T08:15:00.5Z"
            )
        elif camera not in self.cameras.clock_stated:
            raise MediaError(
                f"{reader.path}: many cameras write local time or the end of the recording as creation time; with "
                "--zones wanted --camera-start, UTC of the first frame, or --camera-offset-s, the camera's clock "
                "minus the track's (0 where the creation time is UTC and that of the first frame)"
            )
        else:
            start_s, first = datetime.fromisoformat(facts.creation_time).timestamp(), 0
        return lambda frame: start_s + float((frame.pts - first) * frame.time_base)

    def nothing_kept(self, reader: Any) -> str:
        """Why a video may have lost all its frames: the ways to be wrong, not which one it was."""
        return (
            f"{reader.path}: none of its frames may be kept. If the drive was not in zones all the way: does the "
            "track cover it, 3 s before and behind included, and do the clocks agree (--camera-start, "
            "--camera-offset-s)? Nothing is written"
        )


def zones_in_use(
    options: argparse.Namespace, configuration: Configuration, jobs: Sequence[Job]
) -> ZonesInUse | None:
    """What the options and the configuration say; None without zones.

    Raises
    ------
    UsageError
        Options that do not go together.
    TrackError
        The track lets nothing be kept; the message says why and what would change it.
    ZoneListError
        The list is refused.
    """
    options = with_configuration(options, configuration)
    if options.zones is None:
        if options.zones_required:
            raise UsageError("zones are required and no list is given; wanted --zones LIST")
        for name in _NEED_ZONES:
            if getattr(options, name) not in (None, False, []):
                raise UsageError(f"--{name.replace('_', '-')} is of no use without --zones LIST")
        return None
    if options.track is None:
        raise UsageError("--zones needs to know where the vehicle was; wanted --track FILE")
    archive = archive_options(options)
    camera_start_s = None if options.camera_start is None else _instant_s(options.camera_start)
    if camera_start_s is not None and len(jobs) > 1:
        raise UsageError(f"--camera-start is of one video, and there are {len(jobs)} inputs; run them apart")
    zones, count, version, warnings = _list_in_force(options)
    track = usable_track(options, archive)
    # the film's own positions and its frames lie in the same packets: the error of their time counts once
    own_clock = camera_start_s is None and all(is_film_of(track, job.source) for job in jobs)
    least_s = 0.0 if own_clock else WHOLE_SECOND_S if camera_start_s is None else STATED_S
    cameras = cameras_in_use(options, configuration, least_s=least_s, track_s=track.track.time_uncertainty_s)
    used = {cameras.camera_of(job.source) for job in jobs}
    by_hand = [] if camera_start_s is None else ["when the video was taken was stated by hand"]
    return ZonesInUse(
        zones=zones, count=count, version=version, track=track, archive=archive, cameras=cameras,
        warnings=warnings, exceptions=(*archive.exceptions(), *by_hand, *cameras.exceptions(used)),
        gap=options.gap or "cut", camera_start_s=camera_start_s,
    )  # fmt: skip


def with_configuration(options: argparse.Namespace, configuration: Configuration) -> argparse.Namespace:
    """The options, and where they say nothing what `[zones]` says; a list of their own comes with all of its own."""
    filled, part = argparse.Namespace(**vars(options)), configuration.zones
    filled.zones_required |= part.required
    if filled.zones is None and part.list is not None:
        filled.zones = part.list
        filled.zones_root = filled.zones_root or part.root
        filled.zones_state = filled.zones_state or part.state
        filled.zones_datum = filled.zones_datum or part.datum
    if filled.zones is not None:
        filled.gap = filled.gap or part.gap
    return filled


def is_film_of(track: TrackInUse, source: Path) -> bool:
    """Whether the track came in this very file."""
    from anonymize.media.output import FileIdentity

    try:
        return track.film is not None and FileIdentity.of(source.stat()) == track.film
    except OSError:
        return False


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
    return signed_in_force(signed), len(signed.zone_list), signed.version, signed.warnings(time.time())
