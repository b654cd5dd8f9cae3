"""What `anonymize zones check|convert|sign|verify|preview` do, as functions that return text.

Only the person who prepares a list calls these; the engine does not.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from anonymize.errors import UsageError
from anonymize.zones.drafts import MOST_MARGIN_M
from anonymize.zones.drive import drive_of, usual_margin_m
from anonymize.zones.fixes import Fix
from anonymize.zones.geometry import zone_area_km2
from anonymize.zones.lists import load_zones
from anonymize.zones.preview import preview_html
from anonymize.zones.rules import ArchiveOptions
from anonymize.zones.shapes import Polygon, ZoneList
from anonymize.zones.views import CameraView
from anonymize.zones.writing import written

MOST_LINES = 20  # of one kind in a report


def check(path: str | Path, *, datum: str | None = None) -> str:
    """What a list holds and what was repaired: features, area, datum, holes, times, margins, expiry.

    Raises
    ------
    ZoneListError
        The list is refused; the message says why.
    """
    zone_list = load_zones(path, datum=datum)
    shapes = [shape for zone in zone_list for shape in zone.shapes]
    polygons = [shape for shape in shapes if isinstance(shape, Polygon)]
    positions = sum(len(ring) for polygon in polygons for ring in polygon.rings)
    margins_m = [zone.margin_m for zone in zone_list]
    area_km2 = math.fsum(zone_area_km2(zone) for zone in zone_list)
    lines = [
        f"format    {zone_list.source_format}",
        f"datum     {', '.join(zone_list.datums)}",
        f"zones     {len(zone_list)} on {len({zone.site_id for zone in zone_list})} sites",
        f"shapes    {len(polygons)} polygons of {positions} positions, {len(shapes) - len(polygons)} circles",
        f"area      {area_km2:.3f} km2",
        f"margins   {min(margins_m):g} to {max(margins_m):g} m of their own",
        f"holes     {'honoured' if zone_list.honour_holes else 'ignored'}",
        f"times     {sum(bool(zone.windows) for zone in zone_list)} zones are active only at times",
        f"expiry    {_expiry(zone_list)}",
        f"repaired  {len(zone_list.repairs)}",
    ]
    for title, found in (
        ("repaired", zone_list.repairs),
        ("note", zone_list.notes),
        ("left out", zone_list.left_out),
    ):
        lines += [f"  {title}: {line}" for line in found[:MOST_LINES]]
        if len(found) > MOST_LINES:
            lines.append(f"  and {len(found) - MOST_LINES} more: {_kinds(found)}")
    return "\n".join(lines) + "\n"


def convert(
    path: str | Path,
    output: str | Path,
    *,
    to_format: str = "geojson",
    to_datum: str = "wgs84",
    datum: str | None = None,
) -> str:
    """Write a list in another format or datum, readable by its owner alone. Returns a line that says what is lost.

    Raises
    ------
    ZoneListError
        The list is refused, or lies where the datum is not defined.
    """
    zone_list = load_zones(path, datum=datum)
    _write_private(output, written(zone_list, to_format=to_format, datum=to_datum))
    lost = [f"{len(zone_list.left_out)} features that forbid nothing", "altitudes"]
    if not zone_list.honour_holes:
        lost.append("holes")
    return f"{len(zone_list)} zones written as {to_format} in {to_datum}; not kept: {', '.join(lost)}\n"


def sign(
    list_path: str | Path | None,
    folder: str | Path,
    keys: Sequence[str | Path],
    *,
    public_keys: Sequence[str | Path] = (),
    threshold: int | None = None,
    valid_days: float = 90.0,
    grace_days: float = 30.0,
) -> str:
    """Sign the next version of a list into a folder; without a list add signatures to the one that is there.

    `public_keys` and `threshold` found the authority, the first time.

    Raises
    ------
    ZoneListError, UsageError
        The list is refused, or keys and threshold do not fit.
    """
    from anonymize.zones.authority import cosign, found_authority, sign_list

    if not keys:
        raise UsageError("no key to sign with")
    now_s, lines = time.time(), []
    if public_keys:
        root = found_authority(
            folder, public_keys, keys, threshold=threshold or len(public_keys), now_s=now_s
        )
        lines.append(f"new authority; vehicles trust {root.parent.name}/{root.name}")
    if list_path is None:
        done = cosign(folder, keys)
    else:
        done = sign_list(list_path, folder, keys, now_s=now_s, valid_days=valid_days, grace_days=grace_days)
    state = "complete" if done.complete else "vehicles refuse it until more keys have signed"
    lines.append(f"version {done.version}: {done.signatures} of {done.threshold} signatures, {state}")
    return "\n".join(lines) + "\n"


def verify(
    folder: str | Path,
    trusted_root: str | Path,
    *,
    state: str | Path | None = None,
    now_s: float | None = None,
) -> str:
    """What a vehicle with this root file would say to a signed folder.

    Parameters
    ----------
    state : path or None
        The vehicle's memory of the newest version; None asks as a vehicle that has seen none.

    Raises
    ------
    ZoneListError
        The vehicle would refuse it; the message says why.
    """
    from anonymize.zones.signed import load_signed_zones

    try:
        root = Path(trusted_root).read_bytes()
    except OSError as error:
        raise UsageError(f"the root file cannot be read: {error.strerror}") from error
    with tempfile.TemporaryDirectory() as empty:
        signed = load_signed_zones(folder, root, state or empty, now_s=now_s)
    degraded = signed.is_degraded(time.time() if now_s is None else now_s)
    return (
        f"version {signed.version}, {len(signed.zone_list)} zones, issued {_day(signed.issued_s)}\n"
        f"expires {_day(signed.expires_s)}{': over, still enforced' if degraded else ''}; "
        f"nothing is stored after {_day(signed.store_nothing_after_s)}\n"
    )


def preview(
    path: str | Path,
    output: str | Path,
    *,
    margin_m: float | None = None,
    fixes: Sequence[Fix] = (),
    archive: ArchiveOptions | None = None,
    view: CameraView | None = None,
    datum: str | None = None,
) -> str:
    """Write a page with a map of the zones and their margins, for its owner alone.

    Parameters
    ----------
    margin_m : float or None
        Drawn round each zone, m; None takes that of the drive, or 0 without one.
    fixes : sequence of Fix
        A drive, drawn with what would be kept of it under `archive` by a camera of this `view`.

    Raises
    ------
    ZoneListError
        The list is refused.
    UsageError
        The margin is no length.
    """
    archive, view = archive or ArchiveOptions(unsigned_zones=True), view or CameraView()
    if margin_m is not None and not 0.0 <= margin_m <= MOST_MARGIN_M:
        raise UsageError(f"the margin is {margin_m} m; wanted 0 to {MOST_MARGIN_M:g}")
    zone_list = load_zones(path, datum=datum)
    drive = drive_of(zone_list, fixes, archive, view) if fixes else []
    if margin_m is None:
        margin_m = usual_margin_m(fixes, archive, view) if fixes else 0.0
    _write_private(output, preview_html(zone_list, margin_m=margin_m, drive=drive))
    kept = sum(keep for _, _, keep in drive)
    of_drive = f", and of a drive: {kept} of {len(drive)} positions kept" if fixes else ""
    return f"map of {len(zone_list)} zones{of_drive}; it is as secret as the list\n"


def _expiry(zone_list: ZoneList) -> str:
    if zone_list.valid_to_s is None:
        return "none in the file"
    return f"{_day(zone_list.valid_to_s)} by the file; its zones stay in force until a newer list"


def _day(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _kinds(lines: Sequence[str]) -> str:
    """How often each kind of line stands there, without the features' numbers."""
    kinds = Counter(line.partition(": ")[2] or line for line in lines)
    return "; ".join(f"{count} x {kind}" for kind, count in kinds.most_common(5))


def _write_private(path: str | Path, text: str) -> None:
    """Write a new file that only its owner can read, under its final name at the end alone."""
    target = Path(path)
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
