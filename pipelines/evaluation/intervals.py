"""Estimates with their 95 % confidence intervals, from samples of a finite number of documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, lgamma, sqrt
from typing import Final

__all__ = ["CONFIDENCE", "Estimate", "found_share", "share_of", "total_of", "weighted_total"]

CONFIDENCE: Final = 0.95
_TAIL: Final = (1 - CONFIDENCE) / 2
_QUANTILE: Final = 1.959963984540054
_NOTHING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and the ends of its confidence interval."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Estimate:
        """The estimate of a quantity that is ``factor`` times as large."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


def share_of(hits: float, sample: int, population: int) -> Estimate:
    """Share of a population that has a property, of which a random sample has ``hits``.

    The interval inverts the tails of the hypergeometric distribution: that of Clopper and Pearson
    (Biometrika 26, 1934) for samples without replacement, so it covers in at least 95 of 100 cases
    and is one point when the sample is the population. Fractional hits, as in weighted samples,
    widen it (Korn and Graubard, Survey Methodology 24, 1998, with the effective count).
    """
    low = _least_total(floor(hits), sample, population)
    high = population - _least_total(sample - ceil(hits), sample, population)
    return Estimate(hits / sample, low / population, high / population)


def _least_total(hits: int, sample: int, population: int) -> int:
    """Fewest members with a property for which P(``hits`` or more in a sample) >= 2.5 %."""
    low, high = hits, population - (sample - hits)
    while low < high:
        middle = (low + high) // 2
        if _likely(hits, sample, population, middle):
            high = middle
        else:
            low = middle + 1
    return low


def _likely(hits: int, sample: int, population: int, total: int) -> bool:
    """Whether P(``hits`` or more in a sample, of ``total`` in the population) is 2.5 % or more."""
    start = max(hits, sample - (population - total))
    term = exp(
        _choices(total, start)
        + _choices(population - total, sample - start)
        - _choices(population, sample)
    )
    tail = term
    for k in range(start, min(sample, total)):
        rest = population - total - sample + k + 1
        term *= (total - k) * (sample - k) / ((k + 1) * rest)
        tail += term
        if tail >= _TAIL or (term < _NOTHING and total * sample < k * population):
            break
    return tail >= _TAIL


def _choices(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def weighted_total(weights: Sequence[float], sample: int, population: int) -> Estimate:
    """Total of something rare over a population, from its values in a sample.

    Args:
        weights: the values of sampled members; only those above 0 count.
        sample: how many members were sampled.
        population: how many there are.

    Returns:
        The total. Its interval is that of a share of members at the effective count (sum w)² /
        sum w², times the weight that a counted member then has; weight 1 where nothing was found.
    """
    some = [weight for weight in weights if weight > 0]
    if not some:
        return share_of(0, sample, population).times(population)
    total = sum(some)
    effective = total**2 / sum(weight**2 for weight in some)
    share = share_of(effective, sample, population)
    return share.times(population * total / effective)


def total_of(values: Sequence[float], population: int) -> Estimate:
    """Total of something frequent over a population, from the values of a sample of two or more.

    The interval is the normal one, with the correction for a finite population.
    """
    n = len(values)
    mean = sum(values) / n
    variance = sum((value - mean) ** 2 for value in values) / max(1, n - 1)
    error = _QUANTILE * sqrt(variance / n * max(0.0, 1 - n / population))
    return Estimate(mean, max(0.0, mean - error), mean + error).times(population)


def found_share(found: Estimate, missed: Estimate) -> Estimate:
    """``found / (found + missed)`` of two independent totals; ``found`` must be above 0.

    The interval of the ratio is derived from those of the totals (Donner and Zou: Closed-form
    confidence intervals for functions of the normal mean and standard deviation, Statistical
    Methods in Medical Research 21, 2012: the method of variance estimates recovery).
    """
    a, b = missed, found
    product = a.value * b.value
    low_root = product**2 - a.low * b.high * (2 * a.value - a.low) * (2 * b.value - b.high)
    high_root = product**2 - a.high * b.low * (2 * a.value - a.high) * (2 * b.value - b.low)
    low = (product - sqrt(max(0.0, low_root))) / (b.high * (2 * b.value - b.high))
    high = (product + sqrt(max(0.0, high_root))) / (b.low * (2 * b.value - b.low))
    return Estimate(
        b.value / (a.value + b.value), 1 / (1 + max(0.0, high)), 1 / (1 + max(0.0, low))
    )
