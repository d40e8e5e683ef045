import numpy as np
import pytest

from strata.pipelines.edge_set import EdgeSet
from strata.pipelines.kernels.buckets import Edges


def edges_of(pairs):
    a, b = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    return Edges(a, b, ((a + b) / 100).astype(np.float32))


@pytest.mark.parametrize("waiting", [0, 5, 1000])
def test_edge_set_random_parts_same_as_a_set(waiting):
    random = np.random.default_rng(5)
    pairs = [(int(a), int(a + d)) for a, d in random.integers(1, 9, (400, 2))]
    found = EdgeSet(waiting)
    for start in range(0, len(pairs), 7):
        found.add(edges_of(pairs[start : start + 7]))

    distinct = found.distinct()

    assert list(zip(distinct.a.tolist(), distinct.b.tolist(), strict=True)) == sorted(set(pairs))
    assert np.allclose(distinct.similarity, (distinct.a + distinct.b) / 100)


def test_edge_set_repetitions_do_not_grow_it():
    found = EdgeSet(waiting=10)
    for _ in range(1000):
        found.add(edges_of([(1, 2), (3, 4)]))

    assert sum(len(part.a) for part in found._parts) <= 12


def test_edge_set_nothing_added_no_edges():
    assert len(EdgeSet().distinct().a) == 0
