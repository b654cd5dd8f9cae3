"""From the options of a track to fixes: a position log, or a video that carries its own."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from anonymize.errors import TrackError, UsageError

if TYPE_CHECKING:
    from anonymize.media.output import FileIdentity
    from anonymize.zones.feeds import Track
    from anonymize.zones.rules import ArchiveOptions


@dataclass(frozen=True)
class TrackInUse:
    """A track of which something may be kept; `film` is the video that it came in."""

    track: Track
    film: FileIdentity | None


def archive_options(options: argparse.Namespace) -> ArchiveOptions:
    """What was loosened by hand.

    Raises
    ------
    UsageError
        A value out of its range, or without the one it belongs to.
    """
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


def usable_track(options: argparse.Namespace, archive: ArchiveOptions) -> TrackInUse:
    """The track of `--track`.

    Raises
    ------
    TrackError
        It lets nothing be kept; the message says why and what would change it.
    """
    from anonymize.zones.track_check import check_track

    track, film = _read(options)
    check = check_track(track.fixes, archive)
    if not check.usable:
        lines = list(check.lines)
        if film is not None and track.counts.undated:
            lines.append(f"{track.counts.undated} positions have a time that does not go on as the film does")
        elif track.counts.undated and options.track_date is None:
            lines.append(f"{track.counts.undated} positions have no date; --track-date would give them one")
        why = "\n  ".join(lines or ["it is too short: 3 s at both ends are always lost"])
        raise TrackError(f"{options.track}: lets nothing be kept, nothing is written:\n  {why}")
    return TrackInUse(track, film)


def _read(options: argparse.Namespace) -> tuple[Track, FileIdentity | None]:
    from anonymize.media.telemetry import is_film, read_telemetry
    from anonymize.zones.feeds import read_track

    try:
        first_date = date.fromisoformat(options.track_date) if options.track_date else None
    except ValueError:
        raise UsageError(f"--track-date is {options.track_date!r}; wanted YYYY-MM-DD") from None
    if not is_film(options.track):
        track = read_track(options.track, columns=options.track_columns, first_date=first_date)
        return track.in_wgs84(options.track_datum or "wgs84"), None
    from anonymize.zones.feeds.gpmf import read_gpmf

    if options.track_columns or options.track_date:
        raise UsageError("--track-columns and --track-date are of no use with the track of a video")
    if options.track_datum not in (None, "wgs84"):
        raise UsageError("--track-datum is of no use with the track of a video: it is WGS-84")
    telemetry = read_telemetry(options.track)
    return read_gpmf(telemetry.packets), telemetry.identity
