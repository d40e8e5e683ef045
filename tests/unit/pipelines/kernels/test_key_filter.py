import numpy as np
import pytest

from strata.pipelines.kernels.key_filter import MAX_BITS, MIN_BITS, KeyFilter, filter_bits


def random_keys(seed, number):
    return np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, number, endpoint=True)


@pytest.mark.parametrize("number", [0, 1, 2, 1_000, 50_000])
def test_filter_holds_all_that_was_added_and_few_others(number):
    met = KeyFilter.empty(filter_bits(number))
    keys = random_keys(1, number)
    for part in np.array_split(keys, 3):
        met.add(part)

    assert met.contains(keys).all()
    strangers = met.contains(random_keys(2, 20_000)).mean()
    assert strangers <= 0.13


def test_filter_extreme_keys_are_held():
    keys = np.array([-(2**63), -1, 0, 2**63 - 1])
    met = KeyFilter.empty(MIN_BITS)
    met.add(keys)
    assert met.contains(keys).all()


def test_filter_united_holds_the_keys_of_both():
    one, other = KeyFilter.empty(MIN_BITS), KeyFilter.empty(MIN_BITS)
    one.add(random_keys(3, 100))
    other.add(random_keys(4, 100))
    one.merge(other)
    assert one.contains(np.concatenate([random_keys(3, 100), random_keys(4, 100)])).all()
    assert not one.contains(random_keys(5, 100)).all()


@pytest.mark.parametrize(
    ("keys", "bits"), [(0, MIN_BITS), (10_000, 1 << 17), (10**7, 1 << 27), (10**12, MAX_BITS)]
)
def test_filter_bits_are_a_power_of_two_within_bounds(keys, bits):
    assert filter_bits(keys) == bits
