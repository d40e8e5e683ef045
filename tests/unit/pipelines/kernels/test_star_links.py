"""Star links are those of the product's scan, and for other widths those of a naive oracle."""

import numpy as np
import pytest

from strata.pipelines.evaluation.tune import USUAL, Choice
from strata.pipelines.kernels.buckets import BucketScanner, pack_sketches
from strata.pipelines.kernels.star_links import bit_planes, star_links


def bucketed(seed, size=600):
    """Ascending keys, and signatures of which neighbours differ in some places."""
    rng = np.random.default_rng(seed)
    keys = np.sort(rng.integers(0, 40, size)) << 2
    base = rng.integers(0, 256, (8, 256), dtype=np.uint8)
    rows = base[rng.integers(0, 8, size)]
    changed = rng.random((size, 256)) < rng.choice([0.0, 0.1, 0.3], size)[:, None]
    return keys, np.where(changed, rng.integers(0, 256, (size, 256)), rows).astype(np.uint8)


def naive(keys, symbols, most_differing, most_hubs):
    links, hubs, last = [], [], None
    for row, key in enumerate(keys):
        if key != last:
            hubs, last = [], key
        for hub in hubs:
            differing = int((symbols[row] != symbols[hub]).sum())
            if differing <= most_differing:
                links.append([hub, row, differing])
                break
        else:
            if len(hubs) < most_hubs:
                hubs.append(row)
    return links


@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("hubs", [1, 3, 16])
def test_star_links_equal_naive_oracle(bits, hubs):
    keys, signature = bucketed(bits)
    symbols = signature & np.uint8(2**bits - 1)

    links = star_links(keys, bit_planes(signature, bits), 60, hubs)

    assert links.tolist() == naive(keys, symbols, 60, hubs)
    assert len(links) > 20


def test_star_links_of_one_bit_are_the_edges_of_the_product():
    keys, signature = bucketed(9)
    edges = BucketScanner(0.8, 16).feed(keys, np.arange(len(keys)), pack_sketches(signature))

    links = star_links(keys, bit_planes(signature, 1), Choice(USUAL).most_differing(0.8), 16)

    pairs = sorted(zip(edges.a.tolist(), edges.b.tolist(), strict=True))
    assert sorted(links[:, :2].tolist()) == [list(pair) for pair in pairs]
    assert len(pairs) > 100
