"""Probing finds what a comparison of all signatures with the sample finds."""

import numpy as np
import pytest

from strata.pipelines.kernels.banding import Banding
from strata.pipelines.kernels.signature_index import MISS_RATE, SignatureIndex, run_bytes


def family(rng, base, similarity):
    """A signature that agrees with another in about this share of places."""
    changed = rng.random(256) >= similarity
    return np.where(changed, rng.integers(0, 256, 256), base).astype(np.uint8)


def collection(seed, size):
    """Signatures in families of several similarities, and some equal ones."""
    rng = np.random.default_rng(seed)
    rows = []
    while len(rows) < size:
        base = rng.integers(0, 256, 256, dtype=np.uint8)
        rows += [base, base.copy()]
        rows += [family(rng, base, similarity) for similarity in (0.95, 0.85, 0.75, 0.5)]
    return np.array(rows[:size])


def naive(rows, sample, agree):
    same = (rows[:, None, :] == sample[None, :, :]).sum(axis=2)
    return [[*pair, same[tuple(pair)]] for pair in np.argwhere(same >= agree).tolist()]


def found(index, rows):
    return [pair for pairs in index.near(rows) for pair in pairs.tolist()]


@pytest.mark.parametrize(("threshold", "agree"), [(0.3, 60), (0.8, 190), (1.0, 256)])
@pytest.mark.parametrize("members", [1, 7, 300])
def test_index_finds_all_similar_pairs_in_order(threshold, agree, members):
    rows = collection(1, 900)
    sample = rows[:: 900 // members][:members]

    result = found(SignatureIndex(sample, threshold, agree), rows)

    assert result == naive(rows, sample, agree)
    assert len(result) > members


def test_index_many_equal_members_each_pair_once():
    rows = np.tile(collection(2, 1), (700, 1))
    sample = rows[:400]

    assert found(SignatureIndex(sample, 0.8, 256), rows) == naive(rows, sample, 256)


def test_index_of_nothing_finds_nothing():
    rows = collection(3, 10)
    assert found(SignatureIndex(rows[:0], 0.8, 200), rows) == []
    assert found(SignatureIndex(rows, 0.8, 200), rows[:0]) == []


@pytest.mark.parametrize("threshold", [0.2, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_run_bytes_as_long_as_the_miss_rate_allows(threshold):
    def missed(length):
        return 1 - Banding(256 // length, length).probability(threshold)

    length = run_bytes(threshold)

    assert missed(length) <= MISS_RATE
    assert length == 4 or missed(2 * length) > MISS_RATE
