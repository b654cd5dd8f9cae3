"""Position logs as fixes: GPX, NMEA 0183, and tables with named columns.

`read_track` takes a file by its content. Each format's library is imported when a file of it is read.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from anonymize.zones.feeds.track import FeedCounts, Track, read_bytes

__all__ = ["FeedCounts", "Track", "read_track"]


def read_track(path: str | Path, *, columns: str | None = None, first_date: date | None = None) -> Track:
    """The fixes of a position log.

    Parameters
    ----------
    path : path
        GPX, NMEA 0183, CSV or JSON Lines, told apart by content.
    columns : str or None
        Names of a table's columns, as in ``time=utc_ms,unit=ms,lat=latitude,lon=longitude``; None takes
        `time_s`, `lon_deg`, `lat_deg`, `accuracy_m` and so on, as `Fix` names them.
    first_date : date or None
        UTC date of an NMEA log without one; it is counted on at midnight.

    Raises
    ------
    TrackError
        The file cannot be read, or is none of these.
    UsageError
        `columns` names what is not known.
    """
    content = read_bytes(path)
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<"):
        from anonymize.zones.feeds.gpx import read_gpx

        return read_gpx(content)
    if columns is None and (start.startswith((b"$", b"!")) or b"\n$" in content[:65536]):
        from anonymize.zones.feeds.nmea import read_nmea

        return read_nmea(content.decode("ascii", "replace").splitlines(), first_date=first_date)
    from anonymize.zones.feeds.table import TableColumns, read_table

    return read_table(content, TableColumns.parse(columns or ""))
