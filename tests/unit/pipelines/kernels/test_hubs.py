import numpy as np
import pytest

from strata.pipelines.kernels.banding import SKETCH_WORDS
from strata.pipelines.kernels.buckets import (
    BucketScanner,
    acceptance,
    most_differing,
    pack_sketches,
)
from strata.pipelines.kernels.hubs import NO_HUBS, Hubs

BITS = 64 * SKETCH_WORDS
THRESHOLD = 0.8
MAX_HUBS = 16


def corpus(seed, n=900, families=12):
    """Rows in order of (key, doc_id): noisy copies of a few sketches, in buckets of two kinds."""
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, 2, (families, BITS), dtype=np.uint8)
    flips = rng.random((n, BITS)) < rng.choice([0, 0.02, 0.08, 0.2], (n, 1))
    rows = pack_sketches(bases[rng.integers(0, families, n)] ^ flips)
    keys = rng.integers(-4, 4, n) * 2**59 | rng.integers(0, 2, n)
    # A document may come again in another bucket, with the same sketch.
    doc_ids = rng.permutation(n) << 37
    order = np.lexsort((doc_ids, keys))
    return keys[order], doc_ids[order], rows[order]


def naive(keys, doc_ids, sketches):
    """Edges as {(key, a, b): differing bits}, and the hubs of each key in order."""
    hubs, edges = {}, {}
    for key, doc, row in zip(keys.tolist(), doc_ids.tolist(), sketches.tolist(), strict=True):
        bucket = hubs.setdefault(key, [])
        accepted = acceptance(1.0 if key & 3 else THRESHOLD)
        for hub, other in bucket:
            differing = sum((x ^ y).bit_count() for x, y in zip(row, other, strict=True))
            if 1 - 2 * differing / BITS >= accepted:
                edges[key, hub, doc] = differing
                break
        else:
            if len(bucket) < MAX_HUBS:
                bucket.append((doc, row))
    return edges, hubs


def known(hubs, number):
    """The first hubs of every other key."""
    keys = sorted(hubs)[::2]
    most = np.array([most_differing(THRESHOLD), 0, 0, 0])
    found = Hubs.unknown(np.array(keys, np.int64), most)
    for place in range(number):
        some = [key for key in keys if len(hubs[key]) > place]
        found = found.with_hubs(
            np.array([keys.index(key) for key in some], np.int64),
            np.array([hubs[key][place][0] for key in some], np.int64),
            np.array([hubs[key][place][1] for key in some], np.uint64).reshape(-1, SKETCH_WORDS),
        )
    return found


def scanned(keys, doc_ids, sketches):
    """Edges of one scan a kind, as {(a, b)}; documents are in one bucket each."""
    pairs = set()
    for kind, threshold in ((0, THRESHOLD), (1, 1.0)):
        of = keys & 3 == kind
        found = BucketScanner(threshold, MAX_HUBS).feed(keys[of], doc_ids[of], sketches[of])
        pairs |= set(zip(found.a.tolist(), found.b.tolist(), strict=True))
    return pairs


@pytest.mark.parametrize("number", [0, 1, 2, 5, MAX_HUBS])
@pytest.mark.parametrize("seed", range(3))
def test_hubs_joined_first_and_scanned_after_are_the_edges_of_one_scan(seed, number):
    keys, doc_ids, sketches = corpus(seed)
    edges, order = naive(keys, doc_ids, sketches)
    hubs = known(order, number)

    mixed = np.random.default_rng(seed).permutation(len(keys))
    joined = hubs.join(keys[mixed], doc_ids[mixed], sketches[mixed])

    links = np.flatnonzero(joined.differing >= 0)
    before = {
        (int(keys[mixed][i]), int(hubs.doc_ids[joined.hub[i]]), int(doc_ids[mixed][i])): int(
            joined.differing[i]
        )
        for i in links
    }
    assert before.items() <= edges.items()
    assert bool(before) == (number > 0)
    rest = np.sort(mixed[joined.differing < 0])
    after = scanned(keys[rest], doc_ids[rest], sketches[rest])
    assert {(a, b) for _, a, b in before} | after == {(a, b) for _, a, b in edges}
    assert not after & {(a, b) for _, a, b in before}


def test_hubs_row_is_told_apart_as_hub_stranger_or_not_heavy():
    sketches = pack_sketches(np.array([[0] * BITS, [1] * BITS], np.uint8))
    hubs = Hubs.unknown(np.array([4, 8]), np.zeros(4, np.int64))
    hubs = hubs.with_hubs(np.array([1]), np.array([70]), sketches[:1])

    joined = hubs.join(
        np.array([8, 8, 8, 4, 12]), np.array([70, 71, 72, 73, 74]), sketches[[0, 0, 1, 0, 0]]
    )

    assert joined.key.tolist() == [1, 1, 1, 0, -1]
    assert joined.hub.tolist() == [0, 0, -1, -1, -1]
    assert joined.differing.tolist() == [-1, 0, -1, -1, -1]


def test_hubs_none_join_nothing():
    joined = NO_HUBS.join(
        np.zeros(3, np.int64), np.arange(3), np.zeros((3, SKETCH_WORDS), np.uint64)
    )
    assert set(joined.key.tolist()) == set(joined.hub.tolist()) == {-1}
