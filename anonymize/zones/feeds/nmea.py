"""NMEA 0183 as fixes, read by pynmea2: GGA, RMC, GSA, GST, HDT and ZDA, put together by epoch.

pynmea2 alone fails open: it gives latitude 0.0 for a void RMC and for an unknown hemisphere, and takes a
sentence without a checksum. So `check=True`, both fields and the hemisphere are asked for, and an epoch of
which any sentence says "no position" has none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any, Final

from anonymize.errors import TrackError
from anonymize.zones.feeds.track import FeedCounts, Track, radius_of_deviations_m, radius_of_hdop_m
from anonymize.zones.fixes import Fix

LONGEST_SENTENCE: Final = 1_024  # the standard has 82; receivers write longer ones
MEASURED_QUALITIES: Final = frozenset({1, 2, 3, 4, 5, 9})  # GGA; 6 estimated, 7 typed in, 8 simulated
MEASURED_MODES: Final = frozenset({"A", "D", "P", "R", "F"})  # RMC; E estimated, M typed in, S simulated
HALF_DAY_S: Final = 43_200.0
ZDA_WITHIN_S: Final = 1.0


@dataclass(slots=True, repr=False)
class _Epoch:
    """What the sentences of one time of day have said so far."""

    at: time_of_day | None = None
    day: date | None = None
    by_gga: tuple[float, float] | None = None
    by_rmc: tuple[float, float] | None = None
    void: bool = False
    measured: bool = True
    hdop: float | None = None
    deviations_m: tuple[float | None, float | None, float | None] | None = None
    dimensions: int | None = None
    heading_deg: float | None = None


class NmeaReader:
    """Takes sentences one by one. A fix is complete when the next epoch begins, or `flush` is called.

    For live use call `flush` when the receiver pauses: else each fix comes one epoch late.

    Parameters
    ----------
    first_date : date or None
        UTC date to begin with, for logs that give none.

    Raises
    ------
    TrackError
        pynmea2 is not installed.
    """

    def __init__(self, first_date: date | None = None) -> None:
        try:
            import pynmea2
        except ImportError:
            raise TrackError("reading NMEA needs pynmea2: install vehicle-anonymize[zones]") from None
        self._pynmea2 = pynmea2
        self.counts = FeedCounts()
        self._epoch = _Epoch()
        self._day = first_date
        self._last_at: time_of_day | None = None

    def take(self, line: str) -> Fix | None:
        """The fix of the epoch that this sentence ends, if it ends one that has a position or says "none"."""
        line = line.strip()
        if not line:
            return None
        self.counts.read += 1
        sentence = self._parse(line)
        kind = getattr(sentence, "sentence_type", "")
        if kind not in ("GGA", "RMC", "GSA", "GST", "HDT", "ZDA"):
            return None
        complete = None
        at = _field(sentence, "timestamp")
        if kind in ("GGA", "RMC", "GST"):
            if not isinstance(at, time_of_day):
                at = None
            if at is not None and self._epoch.at is not None and at != self._epoch.at:
                complete = self.flush()
            self._epoch.at = self._epoch.at or at
        getattr(self, f"_take_{kind.lower()}")(sentence)
        return complete

    def flush(self) -> Fix | None:
        """The fix of the epoch so far; the next sentence begins another."""
        epoch, self._epoch = self._epoch, _Epoch()
        place = epoch.by_gga or epoch.by_rmc
        if place is None and not epoch.void:
            return None
        when_s = self._when_s(epoch)
        if when_s is None:
            self.counts.undated += 1
            return None
        lon_deg, lat_deg = (math.nan, math.nan) if place is None or epoch.void else place
        accuracy_m = None
        if epoch.deviations_m is not None:
            accuracy_m = radius_of_deviations_m(*epoch.deviations_m)
        if accuracy_m is None:
            accuracy_m = radius_of_hdop_m(epoch.hdop)
        return Fix(
            lon_deg,
            lat_deg,
            accuracy_m,
            when_s,
            dimensions=epoch.dimensions,
            dead_reckoned=not epoch.measured,
            heading_deg=epoch.heading_deg,
        )

    def _when_s(self, epoch: _Epoch) -> float | None:
        """UTC of an epoch; without a date of its own it is the last one's, or the day after at midnight."""
        if epoch.at is None:
            return None
        if epoch.day is not None:
            self._day = epoch.day
        elif self._day is not None and _seconds_between(epoch.at, self._last_at) > HALF_DAY_S:
            self._day += timedelta(days=1)
        self._last_at = epoch.at
        if self._day is None:
            return None
        return datetime.combine(self._day, epoch.at.replace(tzinfo=UTC)).timestamp()

    def _parse(self, line: str) -> Any:
        if len(line) > LONGEST_SENTENCE:
            self.counts.damaged += 1
            return None
        try:
            return self._pynmea2.parse(line, check=True)
        except self._pynmea2.SentenceTypeError:
            return None  # a kind of sentence that pynmea2 does not know
        except self._pynmea2.ChecksumError:
            if "*" in line[-5:]:
                self.counts.damaged += 1
            else:
                self.counts.unchecked += 1
        except Exception:  # noqa: BLE001 - whatever a broken sentence makes it raise; its text holds the place
            self.counts.damaged += 1
        return None

    def _take_gga(self, sentence: Any) -> None:
        quality = _field(sentence, "gps_qual")
        place = _place(sentence)
        if quality == 0 or place is None:
            self._epoch.void = True
            return
        self._epoch.by_gga = place
        self._epoch.measured &= quality in MEASURED_QUALITIES
        self._epoch.hdop = _number(_field(sentence, "horizontal_dil"))

    def _take_rmc(self, sentence: Any) -> None:
        day = _field(sentence, "datestamp")
        if isinstance(day, date):
            self._epoch.day = day
        place = _place(sentence)
        mode = _field(sentence, "mode_indicator")
        if _field(sentence, "status") != "A" or place is None or mode == "N":
            self._epoch.void = True
            return
        self._epoch.by_rmc = place
        self._epoch.measured &= not mode or mode in MEASURED_MODES

    def _take_gsa(self, sentence: Any) -> None:
        """The worst of the epoch's sentences, one for each constellation; 1 is "no fix"."""
        mode = _number(_field(sentence, "mode_fix_type"))
        dimensions = int(mode) if mode in (1.0, 2.0, 3.0) else 0
        known = self._epoch.dimensions
        self._epoch.dimensions = dimensions if known is None else min(known, dimensions)

    def _take_gst(self, sentence: Any) -> None:
        names = ("std_dev_latitude", "std_dev_longitude", "std_dev_major")
        latitude_m, longitude_m, major_m = (_number(_field(sentence, name)) for name in names)
        self._epoch.deviations_m = latitude_m, longitude_m, major_m

    def _take_hdt(self, sentence: Any) -> None:
        self._epoch.heading_deg = _number(_field(sentence, "heading"))

    def _take_zda(self, sentence: Any) -> None:
        at = _field(sentence, "timestamp")
        if not isinstance(at, time_of_day) or abs(_seconds_between(self._epoch.at, at)) > ZDA_WITHIN_S:
            return  # of another epoch, perhaps of another day
        parts = [_number(_field(sentence, name)) for name in ("year", "month", "day")]
        try:
            year, month, day = (int(part or 0) for part in parts)
            self._epoch.day = self._epoch.day or date(year, month, day)
        except (ValueError, OverflowError):
            self.counts.damaged += 1


def read_nmea(lines: Iterable[str], *, first_date: date | None = None) -> Track:
    """The fixes of a log.

    Parameters
    ----------
    lines : iterable of str
    first_date : date or None
        UTC date to begin with, for logs that give none.
    """
    reader = NmeaReader(first_date)
    fixes = [fix for line in lines if (fix := reader.take(line)) is not None]
    last = reader.flush()
    return Track(tuple(fixes if last is None else [*fixes, last]), reader.counts)


def _field(sentence: Any, name: str) -> Any:
    """A field; None where the sentence is too short for it, its text where that is no value of its type."""
    return getattr(sentence, name, None)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _place(sentence: Any) -> tuple[float, float] | None:
    """Longitude and latitude, degrees; None unless both and both hemispheres are there and in range."""
    lat_deg = _degrees(_field(sentence, "lat"), _field(sentence, "lat_dir"), "NS")
    lon_deg = _degrees(_field(sentence, "lon"), _field(sentence, "lon_dir"), "EW")
    return None if lat_deg is None or lon_deg is None else (lon_deg, lat_deg)


def _degrees(value: Any, direction: Any, directions: str) -> float | None:
    """Degrees of ``dddmm.mmm`` and a hemisphere."""
    number = _number(value)
    if number is None or not 0.0 <= number < 18_100.0 or direction not in tuple(directions):
        return None
    whole = number // 100.0
    minutes = number - 100.0 * whole
    if minutes >= 60.0:
        return None
    return (whole + minutes / 60.0) * (1.0 if direction == directions[0] else -1.0)


def _seconds_between(earlier: time_of_day | None, later: time_of_day | None) -> float:
    """Seconds of the day from one to the other; 0 where one is not known."""
    if earlier is None or later is None:
        return 0.0
    return (
        (later.hour - earlier.hour) * 3600.0
        + (later.minute - earlier.minute) * 60.0
        + later.second
        - earlier.second
    )
