"""Frames withheld, per day and fine reason: the only trace that a fine reason leaves."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from typing import Final

from anonymize.zones.fixes import FineReason

MOST_DAYS: Final = 32
LAST_DAY_S: Final = 253_402_300_799.0  # end of the year 9999, the last that a date can hold


class DayCounts:
    """Counts of frames by UTC day and fine reason; the newest 32 days are kept."""

    def __init__(self) -> None:
        self._counts: dict[date, Counter[FineReason]] = {}

    def add(self, reason: FineReason, now_s: float, *, frames: int = 1) -> None:
        """Count frames under the day of `now_s` (UTC, s); a clock that cannot be counts under 1970-01-01."""
        self._counts.setdefault(self.day_of(now_s), Counter())[reason] += frames
        if len(self._counts) > MOST_DAYS:
            del self._counts[min(self._counts)]

    @staticmethod
    def day_of(now_s: float) -> date:
        """UTC day of a time, 1970-01-01 where it is out of range or no number."""
        sane_s = now_s if 0.0 <= now_s <= LAST_DAY_S else 0.0
        return datetime.fromtimestamp(sane_s, UTC).date()

    def of_day(self, day: date) -> dict[FineReason, int]:
        """Frames withheld on a UTC day, by reason."""
        return dict(self._counts.get(day, {}))

    def total(self) -> Counter[FineReason]:
        """Frames withheld on all days that are kept, by reason."""
        return sum(self._counts.values(), Counter())

    def take_before(self, day: date) -> dict[date, dict[FineReason, int]]:
        """The counts of the days before `day`, which are complete, for the ledger; they are forgotten here."""
        return {kept: dict(self._counts.pop(kept)) for kept in sorted(self._counts) if kept < day}
