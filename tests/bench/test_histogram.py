"""Buckets of equal relative width: quantiles within 0.2 %, nothing lost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from anonymize.bench.histogram import (
    QUANTILES,
    RELATIVE_ERROR,
    Histogram,
    bucket_of,
    merged,
    middle_ms,
    summary,
)


def counted(values_ms: np.ndarray) -> Histogram:
    histogram = Histogram()
    for value in values_ms:
        histogram.add(float(value))
    return histogram


def test_buckets_are_in_order_and_within_the_stated_error():
    values_ms = np.geomspace(0.06, 3.6e6, 20_000)
    buckets = [bucket_of(value) for value in values_ms]
    assert buckets == sorted(buckets)
    for value, bucket in zip(values_ms, buckets, strict=True):
        assert abs(middle_ms(bucket) / value - 1) <= RELATIVE_ERROR * 1.02 + 0.00006 / value


def test_neighbouring_buckets_leave_no_gap():
    for edge_ms in (0.0511, 0.0512, 0.1024, 0.2048, 26.2144):
        below, above = bucket_of(edge_ms - 0.00011), bucket_of(edge_ms + 0.00011)
        assert 0 <= above - below <= 3


@pytest.mark.parametrize("seed", range(5))
def test_quantiles_are_those_of_the_values(seed):
    values_ms = np.random.default_rng(seed).lognormal(2, 1, 5000)
    histogram = counted(values_ms)
    for share in QUANTILES.values():
        exact = np.quantile(values_ms, share, method="inverted_cdf")
        assert histogram.quantile_ms(share) == pytest.approx(exact, rel=2 * RELATIVE_ERROR)
    assert histogram.max_ms == values_ms.max()
    assert histogram.quantile_ms(1.0) <= values_ms.max()


def test_frames_that_never_came_rank_above_all():
    histogram = counted(np.full(98, 10.0))
    histogram.add(math.inf)
    histogram.add(math.inf)
    assert histogram.total == 100
    assert histogram.quantile_ms(0.98) == pytest.approx(10.0, rel=RELATIVE_ERROR)
    assert histogram.quantile_ms(0.99) == math.inf
    assert summary(histogram)["p99"] is None
    assert summary(histogram)["max"] is None


def test_an_empty_one_has_no_quantile():
    assert math.isnan(Histogram().quantile_ms(0.5))
    assert summary(Histogram())["p50"] is None


def test_merging_and_lists_keep_every_count():
    values_ms = np.random.default_rng(9).exponential(5, 1000)
    parts = [counted(part) for part in np.array_split(values_ms, 7)]
    whole = merged(parts)
    assert whole.counts == counted(values_ms).counts
    again = Histogram.from_list(whole.as_list(), never=3)
    assert again.counts == whole.counts
    assert again.total == 1003
