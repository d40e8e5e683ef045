"""Intervals against exact enumeration, and their coverage in simulations."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from strata.pipelines.evaluation.intervals import (
    Estimate,
    found_share,
    share_of,
    total_of,
    weighted_total,
)


@pytest.mark.parametrize(("sample", "population"), [(1, 1), (7, 7), (5, 9), (30, 200), (90, 400)])
def test_share_of_equals_enumeration_of_all_totals(sample, population):
    totals = np.arange(population + 1)
    for hits in range(0, sample + 1, max(1, sample // 6)):
        likely = hypergeom.sf(hits - 1, population, totals, sample) >= 0.025
        unlikely_many = hypergeom.cdf(hits, population, totals, sample) >= 0.025
        expected = (totals[likely].min(), totals[unlikely_many].max())

        result = share_of(hits, sample, population)

        assert (round(result.low * population), round(result.high * population)) == expected
        assert result.low <= result.value <= result.high


def test_share_of_a_huge_population_is_clopper_pearson():
    result = share_of(0, 1000, 10**11)
    assert result.low == 0
    assert result.high == pytest.approx(1 - 0.025 ** (1 / 1000), rel=1e-4)


def test_share_of_a_census_is_a_point():
    assert share_of(19, 20, 20) == Estimate(0.95, 0.95, 0.95)


def test_share_of_a_part_of_a_hit_is_wider_than_both_sides():
    parts = share_of(2.5, 100, 10_000)
    assert parts.low == share_of(2, 100, 10_000).low
    assert parts.high == share_of(3, 100, 10_000).high


def test_weighted_total_of_single_hits_is_the_share_times_the_population():
    result = weighted_total([1.0] * 3, 200, 5000)
    assert result.value == pytest.approx(3 / 200 * 5000)
    assert result.low == pytest.approx(share_of(3, 200, 5000).low * 5000)


def test_weighted_total_of_nothing_bounds_single_hits():
    assert weighted_total([0.0, 0.0], 200, 5000).high == share_of(0, 200, 5000).high * 5000


def coverage(of, truth, rounds=400):
    rng = np.random.default_rng(5)
    results = [of(rng) for _ in range(rounds)]
    return np.mean([each.low <= truth <= each.high for each in results])


@pytest.mark.parametrize("rate", [0.0005, 0.005, 0.05])
def test_weighted_total_covers_rare_sums(rate):
    rng = np.random.default_rng(1)
    values = np.where(rng.random(20_000) < rate, rng.integers(1, 4, 20_000), 0)

    def estimated(rng):
        drawn = rng.choice(values, 1000, replace=False)
        return weighted_total(drawn.tolist(), 1000, len(values))

    assert coverage(estimated, values.sum()) >= 0.93


def test_total_of_covers_a_skewed_sum():
    values = np.random.default_rng(2).geometric(0.3, 5000).astype(float)

    def estimated(rng):
        return total_of(rng.choice(values, 300, replace=False).tolist(), len(values))

    assert 0.92 <= coverage(estimated, values.sum()) <= 0.98


def test_found_share_covers_the_ratio_of_two_sums():
    rng = np.random.default_rng(3)
    found = rng.geometric(0.3, 5000).astype(float)
    missed = np.where(rng.random(15_000) < 0.01, 1.0, 0.0)

    def estimated(rng):
        lost = rng.choice(missed, 1000, replace=False).tolist()
        kept = rng.choice(found, 1000, replace=False).tolist()
        return found_share(total_of(kept, 5000), weighted_total(lost, 1000, 15_000))

    truth = found.sum() / (found.sum() + missed.sum())
    assert coverage(estimated, truth) >= 0.93


def test_found_share_with_nothing_missed_reaches_one():
    result = found_share(Estimate(100, 90, 110), Estimate(0, 0, 5))
    assert result.value == result.high == 1
    assert 0.94 < result.low < 0.96
