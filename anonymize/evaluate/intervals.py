"""Bounds of rates: Clopper–Pearson, exact, and the bootstrap over pictures."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.float64]
ONE_SIDED = 0.95  # probability that the true rate is not beyond the bound
STEPS = 50  # of bisection: 2^-50, and no middle is ever 0 or 1


def binomial_tail(hits: int, trials: int) -> Callable[[float], float]:
    """Probability of at least `hits` of `trials` (0 < hits) as a function of the true rate in (0, 1).

    By log-gamma: no table, no overflow.
    """
    counts = np.arange(hits, trials + 1)
    ways = [math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) for k in counts]

    def probability(rate: float) -> float:
        return float(np.exp(ways + counts * math.log(rate) + (trials - counts) * math.log1p(-rate)).sum())

    return probability


def lower_bound(hits: int, trials: int, confidence: float = ONE_SIDED) -> float:
    """Clopper–Pearson lower bound of a rate, one-sided (Biometrika 26, 1934): NaN of no trials.

    The rate at which `hits` or more are as unlikely as 1 - confidence, by bisection.
    """
    if trials == 0:
        return math.nan
    if hits == 0:
        return 0.0
    probability = binomial_tail(hits, trials)
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if probability(middle) < 1.0 - confidence:
            low = middle
        else:
            high = middle
    return low


def upper_bound(hits: int, trials: int, confidence: float = ONE_SIDED) -> float:
    """Clopper–Pearson upper bound of a rate, one-sided: one less the lower bound of the misses."""
    return 1.0 - lower_bound(trials - hits, trials, confidence)


def resamples(pictures: int, seed: int, count: int = 1000) -> Weights:
    """How often each picture is drawn in each resample, (count, pictures), with replacement, from a fixed seed."""
    if pictures == 0:
        return np.zeros((count, 0))
    drawn = np.random.default_rng(seed).multinomial(pictures, np.full(pictures, 1.0 / pictures), size=count)
    return np.asarray(drawn, np.float64)  # whole numbers, in a type that BLAS multiplies


def bootstrap(
    hits: npt.NDArray[np.int64], trials: npt.NDArray[np.int64], weights: Weights
) -> tuple[float, float]:
    """The 5th and 95th percentile of the rate over resampled pictures; NaN where there are no trials.

    Objects of one picture are not independent: pictures are drawn, not objects.

    Parameters
    ----------
    hits, trials : (pictures,) int
    weights : (resamples, pictures)
        From `resamples`.
    """
    wholes = weights @ trials
    rates = (weights @ hits)[wholes > 0] / wholes[wholes > 0]
    if not len(rates):
        return math.nan, math.nan
    low, high = np.percentile(rates, [5, 95])
    return float(low), float(high)
