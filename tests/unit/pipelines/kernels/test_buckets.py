import numpy as np
import pytest

from strata.errors import SettingsError
from strata.pipelines.kernels.banding import SKETCH_WORDS
from strata.pipelines.kernels.buckets import BucketScanner, acceptance, pack_sketches

BITS = 64 * SKETCH_WORDS


def naive(keys, doc_ids, sketches, threshold, max_hubs):
    """Edges as {(a, b): similarity}."""
    hubs, edges = {}, {}
    for key, doc, row in zip(keys.tolist(), doc_ids.tolist(), sketches.tolist(), strict=True):
        bucket = hubs.setdefault(key, [])
        if doc in (hub for hub, _ in bucket):
            continue
        for hub, other in bucket:
            differing = sum((x ^ y).bit_count() for x, y in zip(row, other, strict=True))
            similarity = 1 - 2 * differing / BITS
            if similarity >= acceptance(threshold):
                edges[hub, doc] = np.float32(similarity)
                break
        else:
            if len(bucket) < max_hubs:
                bucket.append((doc, row))
    return edges


def corpus(seed, n=600, families=12):
    """Sorted rows: noisy copies of a few sketches, in few buckets."""
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 2, (families, BITS), dtype=np.uint8)
    flips = rng.random((n, BITS)) < rng.choice([0, 0.02, 0.08, 0.2], (n, 1))
    rows = pack_sketches(bases[rng.integers(0, families, n)] ^ flips)
    keys = np.repeat(rng.integers(-9, 9, n // 2), 2) * 2**59
    doc_ids = rng.integers(0, 200, n) << 37
    order = np.lexsort((doc_ids, keys))
    # a document has one sketch, wherever it turns up
    rows = rows[np.unique(doc_ids, return_index=True)[1]][
        np.unique(doc_ids, return_inverse=True)[1]
    ]
    return keys[order], doc_ids[order], rows[order]


def collect(scanner, rows, cuts):
    edges = {}
    for start, stop in zip([0, *cuts], [*cuts, len(rows[0])], strict=True):
        found = scanner.feed(*(column[start:stop] for column in rows))
        pairs = list(zip(found.a.tolist(), found.b.tolist(), strict=True))
        assert pairs == sorted(set(pairs))
        edges |= dict(zip(pairs, found.similarity, strict=True))
    return edges


@pytest.mark.parametrize("max_hubs", [1, 3, 16])
@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_scanner_over_random_buckets_equals_naive_oracle(threshold, max_hubs):
    rows = corpus(5)
    expected = naive(*rows, threshold, max_hubs)
    assert expected
    assert collect(BucketScanner(threshold, max_hubs), rows, []) == expected


def test_scanner_fed_in_any_cuts_gives_the_same_edges():
    rows = corpus(6)
    whole = collect(BucketScanner(0.8), rows, [])
    rng = np.random.default_rng(1)
    for _ in range(20):
        cuts = sorted(rng.integers(0, len(rows[0]), 9).tolist())
        assert collect(BucketScanner(0.8), rows, cuts) == whole
    assert collect(BucketScanner(0.8), rows, list(range(1, len(rows[0])))) == whole


def test_scanner_of_one_large_bucket_makes_a_star():
    n = 100_000
    rows = (np.zeros(n, np.int64), np.arange(n), np.zeros((n, SKETCH_WORDS), np.uint64))
    edges = BucketScanner(0.8).feed(*rows)
    assert not edges.a.any()
    assert np.array_equal(edges.b, np.arange(1, n))
    assert (edges.similarity == 1).all()


def test_scanner_of_no_rows_gives_no_edges():
    edges = BucketScanner(0.8).feed(
        np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, SKETCH_WORDS), np.uint64)
    )
    assert len(edges.a) == len(edges.b) == len(edges.similarity) == 0


def test_scanner_with_impossible_threshold_raises_settings_error():
    with pytest.raises(SettingsError, match=r"threshold 1\.5"):
        BucketScanner(1.5)


def test_pack_puts_the_low_bit_of_byte_i_at_bit_i():
    signature = np.zeros((2, BITS), np.uint8)
    signature[1, [0, 3, 64, 255]] = 0b101
    assert pack_sketches(signature).tolist() == [[0] * SKETCH_WORDS, [0b1001, 1, 0, 1 << 63]]


def test_acceptance_allows_one_standard_error_and_none_for_equality():
    assert acceptance(1.0) == 1.0
    assert acceptance(0.8) == pytest.approx(0.7625)
