"""Options of restricted zones; imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

DATUMS = ("wgs84", "gcj02", "bd09")


def add_zone_options(group: argparse._ArgumentGroup) -> None:
    """Options of `anonymize run`."""
    group.add_argument(
        "--zones",
        type=Path,
        metavar="LIST",
        help="frames taken in or near these zones are left out: a signed folder, or a file with --unsigned-zones",
    )
    group.add_argument("--zones-required", action="store_true", help="without --zones nothing is done")
    group.add_argument(
        "--zones-root", type=Path, metavar="FILE", help="root file that a signed list is checked by"
    )
    group.add_argument(
        "--zones-state",
        type=Path,
        metavar="FOLDER",
        help="where the newest signed version seen is remembered",
    )
    group.add_argument("--zones-datum", choices=DATUMS, help="datum of an unsigned list that names none")
    group.add_argument(
        "--gap",
        choices=("cut", "black", "split"),
        help="frames left out of a video: closed up (default), one black frame, or a file for each stretch kept",
    )
    group.add_argument(
        "--camera-start",
        metavar="UTC",
        help="when the video's first frame was taken, 2026-05-04T08:15:00.5Z",
    )
    group.add_argument(
        "--camera-offset-s",
        type=float,
        metavar="S",
        help="the camera's clock minus the track's, s; needed where neither --camera-start nor the track tells it",
    )
    group.add_argument(
        "--camera-offset-uncertainty-s",
        type=float,
        metavar="S",
        help="how wrong that may be to either side, s (default: 0.1 with --camera-start, else 1)",
    )
    add_camera_options(group)
    add_track_options(group)
    group.add_argument(
        "--unsigned-zones", action="store_true", help="loosens: take a list that is not signed"
    )


def add_camera_options(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    """Which camera it was and what it sees."""
    group.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="NAME[=PATTERN]",
        help="camera that took the inputs, or those of this pattern (default: front; may be repeated)",
    )
    group.add_argument(
        "--camera-view",
        action="append",
        default=[],
        metavar="NAME=VIEW",
        help="what a camera sees: METRES around, or YAW,FIELD_OF_VIEW,RANGE (degrees off the nose, degrees, m)",
    )


def add_track_options(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    """A track and what may be loosened of it."""
    group.add_argument(
        "--track",
        type=Path,
        metavar="FILE",
        help="where the vehicle was: GPX, NMEA, CSV, JSON Lines, or the MP4 of an action camera",
    )
    group.add_argument(
        "--track-columns", metavar="LIST", help="of a table: time=utc_ms,unit=ms,lat=lat,lon=lon"
    )
    group.add_argument(
        "--track-datum", choices=DATUMS, help="of the track's positions (default: wgs84; never guessed)"
    )
    group.add_argument("--track-date", metavar="YYYY-MM-DD", help="UTC date of an NMEA log without one")
    group.add_argument(
        "--track-accuracy-m", type=float, metavar="M", help="loosens: 68 %% radius of fixes that carry none"
    )
    group.add_argument(
        "--max-gap-s", type=float, metavar="S", help="loosens: bridge longer gaps than 2 s in the track"
    )
    group.add_argument(
        "--top-speed-mps", type=float, metavar="V", help="the fastest that it can have gone in such a gap"
    )


def add_zones_command(zones: argparse.ArgumentParser) -> None:
    """`anonymize zones`, for the person who prepares a list."""
    actions = zones.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="what a list holds and what was repaired")
    _add_list(check)
    convert = actions.add_parser("convert", help="write a list in another format or datum")
    _add_list(convert)
    convert.add_argument("output", type=Path, metavar="OUTPUT", help="file, readable by its owner alone")
    convert.add_argument(
        "--to-format", choices=("geojson", "ed318"), default="geojson", help="default: geojson"
    )
    convert.add_argument("--to-datum", choices=DATUMS, default="wgs84", help="default: wgs84")
    preview = actions.add_parser("preview", help="a page with a map of a list; as secret as the list")
    _add_list(preview)
    preview.add_argument("output", type=Path, metavar="OUTPUT", help="HTML file, readable by its owner alone")
    preview.add_argument(
        "--margin-m",
        type=float,
        metavar="M",
        help="margin drawn round each zone (default: that of the track, or 0)",
    )
    add_track_options(preview)
    preview.add_argument(
        "--view", metavar="VIEW", help="what the camera sees: METRES, or YAW,FIELD_OF_VIEW,RANGE"
    )
    preview.add_argument(
        "--clock-uncertainty-s",
        type=float,
        default=1.0,
        metavar="S",
        help="how wrong the camera's clock may be, s (default: 1)",
    )
    _add_sign(
        actions.add_parser("sign", help="sign the next version of a list, or add signatures to the last one")
    )
    verify = actions.add_parser("verify", help="what a vehicle would say to a signed folder")
    verify.add_argument("folder", type=Path, metavar="FOLDER", help="signed folder")
    verify.add_argument(
        "--root", type=Path, required=True, metavar="FILE", help="root file that vehicles trust"
    )
    verify.add_argument(
        "--state", type=Path, metavar="FOLDER", help="a vehicle's memory of the newest version"
    )
    key = actions.add_parser("new-key", help="make a key: FILE and FILE.pub")
    key.add_argument("file", type=Path, metavar="FILE", help="private key to write; keep it off the vehicles")


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("list", type=Path, metavar="LIST", help="GeoJSON, ED-318 or ED-269 file")
    parser.add_argument("--datum", choices=DATUMS, help="datum of a file that names none")


def _add_sign(sign: argparse.ArgumentParser) -> None:
    sign.add_argument(
        "paths", nargs="+", type=Path, metavar="[LIST] FOLDER", help="without LIST: add signatures to FOLDER"
    )
    sign.add_argument(
        "--key", action="append", default=[], type=Path, metavar="FILE", help="private key (repeat)"
    )
    sign.add_argument(
        "--public-key",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="found the authority (repeat)",
    )
    sign.add_argument("--threshold", type=int, metavar="N", help="how many keys must sign (default: all)")
    sign.add_argument("--valid-days", type=float, default=90.0, metavar="D", help="default: 90")
    sign.add_argument("--grace-days", type=float, default=30.0, metavar="D", help="default: 30")
