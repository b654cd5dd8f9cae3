"""CSV and JSON Lines with named columns as fixes."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final

from anonymize.errors import TrackError, UsageError
from anonymize.zones.feeds.track import FeedCounts, Track, radius_of_hdop_m
from anonymize.zones.fixes import Fix

LONGEST_LINE: Final = 1 << 16
UNITS_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class TableColumns:
    """Which column holds what; optional ones may be missing in the table.

    Parameters
    ----------
    time, lon, lat : str
        UTC; WGS 84, degrees.
    unit : str
        Of `time` since 1970: s, ms, us or ns; or iso for ISO 8601 (without an offset it counts as UTC).
    accuracy, hdop, dimensions, wheel_speed, heading : str
        68 % radius, m; dilution of precision, used where there is no accuracy; 2 or 3; m/s; degrees.
    """

    time: str = "time_s"
    lon: str = "lon_deg"
    lat: str = "lat_deg"
    unit: str = "s"
    accuracy: str = "accuracy_m"
    hdop: str = "hdop"
    dimensions: str = "dimensions"
    wheel_speed: str = "wheel_speed_mps"
    heading: str = "heading_deg"

    def __post_init__(self) -> None:
        if self.unit not in (*UNITS_S, "iso"):
            raise UsageError(f"the unit of time is {self.unit!r}; wanted {', '.join(UNITS_S)} or iso")

    @classmethod
    def parse(cls, text: str) -> TableColumns:
        """Columns from ``time=utc_ms,unit=ms,lat=latitude``; what is not named keeps its usual name.

        Raises
        ------
        UsageError
            A name is unknown, or there is no "=".
        """
        known = {column.name for column in fields(cls)}
        named = {}
        for part in filter(None, text.split(",")):
            key, equals, value = part.partition("=")
            if not equals or key not in known or not value:
                raise UsageError(f"column {part!r}; wanted KEY=NAME with a KEY of {', '.join(sorted(known))}")
            named[key] = value
        return cls(**named)


def read_table(content: bytes, columns: TableColumns) -> Track:
    """The fixes of a CSV file with a header line, or of JSON Lines. Rows that cannot be read are counted.

    Raises
    ------
    TrackError
        The columns of time and place are not there.
    """
    counts = FeedCounts()
    text = content.decode("utf-8-sig", "replace")
    rows = _json_rows(text, counts) if text.lstrip().startswith("{") else _csv_rows(text, columns, counts)
    fixes = []
    for row in rows:
        try:
            fixes.append(_fix(row, columns))
        except (TypeError, ValueError, OverflowError):
            counts.damaged += 1
    return Track(tuple(fixes), counts)


def _csv_rows(text: str, columns: TableColumns, counts: FeedCounts) -> Iterator[Mapping[str, Any]]:
    lines = (line for line in text.splitlines() if line.strip())
    header = next(csv.reader([next(lines, "")[:LONGEST_LINE]]), [])
    names = [name.strip() for name in header]
    wanted = (columns.time, columns.lon, columns.lat)
    if any(names.count(name) != 1 for name in wanted):
        raise TrackError(
            f"wanted a table with one column each of {', '.join(wanted)}; name them by their columns"
        )
    for line in lines:
        counts.read += 1
        cells = next(csv.reader([line]), []) if len(line) <= LONGEST_LINE else []
        if len(cells) != len(names):
            counts.damaged += 1
        else:
            yield dict(zip(names, cells, strict=True))


def _json_rows(text: str, counts: FeedCounts) -> Iterator[Mapping[str, Any]]:
    for line in text.splitlines():
        if not line.strip():
            continue
        counts.read += 1
        try:
            row = json.loads(line, object_pairs_hook=_once) if len(line) <= LONGEST_LINE else None
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            yield row
        else:
            counts.damaged += 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key comes twice")
    return row


def _fix(row: Mapping[str, Any], columns: TableColumns) -> Fix:
    accuracy_m = _number(row.get(columns.accuracy))
    if accuracy_m is None:
        accuracy_m = radius_of_hdop_m(_number(row.get(columns.hdop)))
    dimensions = _number(row.get(columns.dimensions))
    lon_deg, lat_deg = _number(row.get(columns.lon)), _number(row.get(columns.lat))
    return Fix(
        lon_deg=math.nan if lon_deg is None else lon_deg,  # an empty place says that there was none
        lat_deg=math.nan if lat_deg is None else lat_deg,
        accuracy_m=accuracy_m,
        time_s=_time_s(row.get(columns.time), columns.unit),
        dimensions=None if dimensions is None else int(dimensions),
        wheel_speed_mps=_number(row.get(columns.wheel_speed)),
        heading_deg=_number(row.get(columns.heading)),
    )


def _number(cell: Any) -> float | None:
    if cell is None or cell == "":
        return None
    if isinstance(cell, bool):
        raise TypeError("a truth value is no number")
    return float(cell)


def _time_s(cell: Any, unit: str) -> float:
    if unit == "iso":
        when = datetime.fromisoformat(cell)
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
    number = _number(cell)
    if number is None or not math.isfinite(number):
        raise ValueError("no time")
    return number * UNITS_S[unit] if unit == "s" else number / round(1.0 / UNITS_S[unit])
