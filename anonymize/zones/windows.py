"""When a zone is active: the `limitedApplicability` of ED-318, UTC, both ends included.

What is not understood is always active: sun events, missing times, unknown days, dates that cannot be read.
An end named to the second includes that whole second.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

DAY_S: Final = 86_400.0
WEEK_S: Final = 7 * DAY_S
THURSDAY: Final = 3  # 1 January 1970
DAYS: Final = {name: number for number, name in enumerate(("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"))}
EVERY_DAY: Final = frozenset(range(7))
MOST_WINDOWS: Final = 10_000  # for one zone; more is taken as always active

_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d)(?::([0-5]\d)(?:\.\d+)?)?(Z|[+-](?:0\d|1[0-4]):?[0-5]\d)")


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of certain weekdays between two dates.

    Parameters
    ----------
    from_s, to_s : float
        UTC, s since 1970, the second `to_s` included; infinite where open.
    days : frozenset of int
        Monday is 0, in the local time of `offset_s`.
    start_s, end_s : float or None
        Time of day, s after local midnight, the second `end_s` included; None means all day. An end before the
        start lies on the next day.
    offset_s : float
        Local time minus UTC, s.
    """

    from_s: float = -math.inf
    to_s: float = math.inf
    days: frozenset[int] = EVERY_DAY
    start_s: float | None = None
    end_s: float | None = None
    offset_s: float = 0.0

    def meets(self, first_s: float, last_s: float) -> bool:
        """Whether it is active at any time from `first_s` to `last_s` (UTC)."""
        first_s, last_s = max(first_s, self.from_s), min(last_s, self.to_s + 1.0)
        # the second that ends the window ends before the next one begins
        if not (first_s < self.to_s + 1.0 and first_s <= last_s):
            return False
        whole_day = self.start_s is None or self.end_s is None
        if last_s - first_s >= WEEK_S or (whole_day and self.days == EVERY_DAY):
            return bool(self.days)
        first_s, last_s = first_s + self.offset_s, last_s + self.offset_s
        # the window of yesterday may reach into today
        for day in range(math.floor(first_s / DAY_S) - 1, math.floor(last_s / DAY_S) + 1):
            if (day + THURSDAY) % 7 in self.days and self._meets_day(day * DAY_S, first_s, last_s):
                return True
        return False

    def _meets_day(self, midnight_s: float, first_s: float, last_s: float) -> bool:
        if self.start_s is None or self.end_s is None or self.start_s == self.end_s:
            return first_s < midnight_s + DAY_S and last_s >= midnight_s
        start_s, end_s = midnight_s + self.start_s, midnight_s + self.end_s + 1.0
        if self.start_s < self.end_s:
            return first_s < end_s and last_s >= start_s
        # over midnight; a list may also mean the early hours of the day itself, so these count too
        return (first_s < end_s and last_s >= midnight_s) or (first_s < end_s + DAY_S and last_s >= start_s)


ALWAYS: Final = Window()


def active(windows: Sequence[Window], time_s: float, clock_uncertainty_s: float) -> bool:
    """Whether a zone with these windows may be active at `time_s` (UTC), give or take `clock_uncertainty_s`.

    A time or an uncertainty that is no number is any time.
    """
    if not windows:
        return True
    first_s, last_s = time_s - clock_uncertainty_s, time_s + clock_uncertainty_s
    if not (math.isfinite(first_s) and math.isfinite(last_s) and first_s <= last_s):
        return True
    return any(window.meets(first_s, last_s) for window in windows)


def windows_of(applicability: object) -> tuple[tuple[Window, ...], list[str]]:
    """Windows of a `limitedApplicability` or `applicability` list, and a line for all that was taken as always.

    An empty tuple means always active.
    """
    if applicability is None or applicability == []:
        return (), []
    entries = applicability if isinstance(applicability, list) else [applicability]
    windows: list[Window] = []
    notes: list[str] = []
    for entry in entries:
        windows += _windows_of_entry(entry, notes)
        if len(windows) > MOST_WINDOWS:
            return (), [f"more than {MOST_WINDOWS} time windows: taken as always active"]
    if any(window == ALWAYS for window in windows):
        return (), notes
    return tuple(windows), notes


def _windows_of_entry(entry: object, notes: list[str]) -> list[Window]:
    if not isinstance(entry, dict):
        notes.append("a time window that is no object: taken as always active")
        return [ALWAYS]
    if entry.get("permanent") in ("YES", True):  # ED-269
        return [ALWAYS]
    from_s = _instant_s(entry, "startDateTime", -math.inf, notes)
    to_s = _instant_s(entry, "endDateTime", math.inf, notes)
    if from_s > to_s:
        notes.append("a period that ends before it starts: taken as open at both ends")
        from_s, to_s = -math.inf, math.inf
    schedule = entry.get("schedule")
    if schedule is None or schedule == []:
        return [Window(from_s, to_s)]
    days = schedule if isinstance(schedule, list) else [schedule]
    return [_window_of_days(item, from_s, to_s, notes) for item in days]


def _instant_s(entry: dict[str, object], key: str, missing_s: float, notes: list[str]) -> float:
    text = entry.get(key)
    if text is None or text == "":
        return missing_s
    instant = instant_s(text)
    if instant is None:
        notes.append(f"`{key}` is no date and time with a zone: taken as open on that side")
        return missing_s
    return instant


def instant_s(text: object) -> float | None:
    """UTC seconds since 1970 of an ISO 8601 date and time with a zone; None if it is not one."""
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    if instant.tzinfo is None:
        return None
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def _window_of_days(item: object, from_s: float, to_s: float, notes: list[str]) -> Window:
    always = Window(from_s, to_s)
    if not isinstance(item, dict):
        notes.append("a schedule that is no object: taken as always active")
        return always
    if item.get("startEvent") or item.get("endEvent"):
        notes.append("a schedule by the sun: taken as always active")
        return always
    start, end = _time_of_day(item.get("startTime")), _time_of_day(item.get("endTime"))
    if start is None or end is None or start[1] != end[1]:
        notes.append("a schedule whose times are missing or not understood: taken as always active")
        return always
    days = _days(item.get("day"))
    if days is None:
        notes.append("a schedule with a day that is not known: taken as always active")
        return always
    return Window(from_s, to_s, days, start[0], end[0], start[1])


def _days(words: object) -> frozenset[int] | None:
    names = [words] if isinstance(words, str) else words
    if not isinstance(names, list) or not names:
        return None
    if "ANY" in names:
        return EVERY_DAY
    if not all(isinstance(name, str) and name in DAYS for name in names):
        return None
    return frozenset(DAYS[name] for name in names)


def _time_of_day(text: object) -> tuple[float, float] | None:
    """Seconds after midnight and the offset of its zone, s."""
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    hours, minutes, seconds, zone = int(found[1]), int(found[2]), int(found[3] or 0), found[4]
    time_s = 3600.0 * hours + 60.0 * minutes + seconds
    if time_s > DAY_S:
        return None
    if zone == "Z":
        return time_s, 0.0
    sign = -1.0 if zone[0] == "-" else 1.0
    return time_s, sign * (3600.0 * int(zone[1:3]) + 60.0 * int(zone[-2:]))


def limited_applicability(windows: Sequence[Window]) -> list[dict[str, object]]:
    """The `limitedApplicability` of ED-318 that says the same; empty for always."""
    entries: list[dict[str, object]] = []
    for window in windows:
        entry: dict[str, object] = {}
        if math.isfinite(window.from_s):
            entry["startDateTime"] = _written(window.from_s)
        if math.isfinite(window.to_s):
            entry["endDateTime"] = _written(window.to_s)
        if window.start_s is not None and window.end_s is not None:
            zone = timezone(timedelta(seconds=window.offset_s))
            days = [name for name, number in DAYS.items() if number in window.days]
            entry["schedule"] = [
                {
                    "day": ["ANY"] if window.days == EVERY_DAY else days,
                    "startTime": _written_time(window.start_s, zone),
                    "endTime": _written_time(window.end_s, zone),
                }
            ]
        entries.append(entry)
    return entries


def _written(time_s: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_s)).isoformat().replace("+00:00", "Z")


def _written_time(time_s: float, zone: timezone) -> str:
    hours, rest = divmod(round(time_s), 3600)
    minutes, seconds = divmod(rest, 60)
    name = zone.tzname(None).replace("UTC", "") or "Z"
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{name}"
