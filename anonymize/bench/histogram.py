"""Counts of durations in buckets of equal relative width, as in HdrHistogram: small, mergeable, exact at the end.

A duration is counted in ticks of 0.1 µs. Up to 51.2 µs a bucket is one tick; above, each doubling of the duration
has 256 buckets, so the middle of a bucket is at most 1 / 512 = 0.2 % away from what was counted in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

TICKS_PER_MS: Final = 10_000
HALF_BITS: Final = 8
RELATIVE_ERROR: Final = 1 / 2 ** (HALF_BITS + 1)
MAX_TICKS: Final = 1 << 36  # 1.9 hours; longer ones are counted as this
NEVER_MS: Final = math.inf


def bucket_of(duration_ms: float) -> int:
    """The bucket that counts `duration_ms`, ms, not negative."""
    ticks = min(int(duration_ms * TICKS_PER_MS), MAX_TICKS)
    shift = max(0, ticks.bit_length() - HALF_BITS - 1)
    return (shift << HALF_BITS) + (ticks >> shift)


def middle_ms(bucket: int) -> float:
    """The duration in the middle of a bucket, ms."""
    if bucket < 1 << (HALF_BITS + 1):
        return (bucket + 0.5) / TICKS_PER_MS
    shift = (bucket >> HALF_BITS) - 1
    ticks = (bucket - (shift << HALF_BITS)) << shift
    return (ticks + 0.5 * (1 << shift)) / TICKS_PER_MS


class Histogram:
    """How many durations fell into which bucket, and how many frames never came.

    Attributes
    ----------
    counts : dict of bucket to count
    never : int
        Frames without a duration: they did not come out. They rank above every duration.
    max_ms : float
        The longest duration, exact, ms; 0 without any.
    """

    __slots__ = ("counts", "max_ms", "never")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.never = 0
        self.max_ms = 0.0

    @property
    def total(self) -> int:
        """Durations counted, and frames that never came."""
        return sum(self.counts.values()) + self.never

    def add(self, duration_ms: float) -> None:
        """Count one duration, ms; infinity counts as never."""
        if duration_ms == NEVER_MS:
            self.never += 1
            return
        bucket = bucket_of(duration_ms)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.max_ms = max(self.max_ms, duration_ms)

    def merge(self, other: Histogram) -> None:
        """Count what `other` has counted too."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.never += other.never
        self.max_ms = max(self.max_ms, other.max_ms)

    def quantile_ms(self, share: float) -> float:
        """The duration that `share` (0 to 1) of all did not exceed, within 0.2 %, ms; infinite for "never".

        Nearest rank: the smallest duration with at least that share at or below it; NaN where nothing was counted.
        """
        total = self.total
        if not total:
            return math.nan
        rank, seen = max(1, math.ceil(share * total)), 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= rank:
                return min(middle_ms(bucket), self.max_ms)
        return NEVER_MS

    def as_list(self) -> list[int]:
        """Bucket, count, bucket, count, … in order, for JSON."""
        return [number for bucket in sorted(self.counts) for number in (bucket, self.counts[bucket])]

    @classmethod
    def from_list(cls, numbers: Sequence[int], *, never: int = 0) -> Histogram:
        """What `as_list` gave; the longest duration is then the middle of the last bucket."""
        made = cls()
        made.counts = dict(zip(numbers[::2], numbers[1::2], strict=True))
        made.never = never
        made.max_ms = middle_ms(max(made.counts)) if made.counts else 0.0
        return made


QUANTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}


def summary(histogram: Histogram) -> dict[str, float | None]:
    """p50, p90, p99, p99.9 and max, ms; None where the frame at that rank never came, or there is none."""
    values = {name: histogram.quantile_ms(share) for name, share in QUANTILES.items()}
    values["max"] = NEVER_MS if histogram.never else histogram.max_ms
    return {name: round(value, 4) if math.isfinite(value) else None for name, value in values.items()}


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of them all."""
    whole = Histogram()
    for one in histograms:
        whole.merge(one)
    return whole
