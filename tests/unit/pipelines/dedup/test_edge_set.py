import numpy as np
import pytest

from strata.pipelines.dedup.verify_buckets import EdgeSet
from strata.pipelines.kernels.buckets import Edges


def edges_of(pairs):
    a, b = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    return Edges(a, b, ((a + b) / 100).astype(np.float32))


@pytest.mark.parametrize("waiting", [0, 5, 100, 1000])
def test_edge_set_random_parts_same_as_a_set(waiting):
    random = np.random.default_rng(5)
    pairs = [(int(a), int(a + d)) for a, d in random.integers(1, 9, (400, 2))]
    spilled = []
    found = EdgeSet(spilled.append, waiting)
    for start in range(0, len(pairs), 7):
        found.add(edges_of(pairs[start : start + 7]))
    found.finish()

    parts = [list(zip(part.a.tolist(), part.b.tolist(), strict=True)) for part in spilled]
    assert all(part == sorted(set(part)) for part in parts)
    assert {pair for part in parts for pair in part} == set(pairs)
    assert all(np.allclose(part.similarity, (part.a + part.b) / 100) for part in spilled)
    assert (len(spilled) == 1) == (waiting == 1000)


def test_edge_set_repetitions_are_not_spilled():
    spilled = []
    found = EdgeSet(spilled.append, waiting=10)
    for _ in range(1000):
        found.add(edges_of([(1, 2), (3, 4)]))

    assert not spilled


def test_edge_set_never_holds_many_more_than_it_may():
    spilled = []
    found = EdgeSet(spilled.append, waiting=1000)
    for start in range(0, 50_000, 100):
        found.add(edges_of([(n, n + 1) for n in range(start, start + 100)]))

    assert max(len(part.a) for part in spilled) <= 1100
    assert sum(len(part.a) for part in spilled) >= 49_000


def test_edge_set_nothing_added_nothing_spilled():
    spilled = []
    EdgeSet(spilled.append).finish()

    assert not spilled
