from itertools import pairwise

import numpy as np
import pytest

from strata.pipelines.explain.chain import EdgeArrays, Link, chain


def edges_of(rows):
    a, b, similarity, equal = zip(*rows, strict=True) if rows else ((), (), (), ())
    return EdgeArrays(
        np.array(a, np.int64),
        np.array(b, np.int64),
        np.array(similarity, np.float32),
        np.array(equal, bool),
    )


def random_graph(seed):
    rng = np.random.default_rng(seed)
    ids = np.unique(rng.integers(-(2**40), 2**62, 12)).tolist()
    rows = []
    for _ in range(int(rng.integers(1, 22))):
        a, b = sorted(rng.choice(ids, 2, replace=False).tolist())
        equal = bool(rng.integers(0, 2))
        rows.append((a, b, 1.0 if equal else float(np.float32(rng.uniform(0.8, 1))), equal))
    return ids, rows


def naive_chain(rows, start, end):
    """Grow all simple paths by one step at a time; the smallest of the first that arrive."""
    neighbours = {}
    for a, b, _, _ in rows:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    paths = [(start,)]
    while paths:
        arrived = [path for path in paths if path[-1] == end]
        if arrived:
            return min(arrived)
        paths = [(*p, n) for p in paths for n in neighbours.get(p[-1], ()) if n not in p]
    return None


@pytest.mark.parametrize("seed", range(60))
def test_chain_of_random_graph_is_the_smallest_shortest_path(seed):
    ids, rows = random_graph(seed)
    for start in ids[:4]:
        for end in ids[-4:]:
            expected = naive_chain(rows, start, end)
            found = chain(edges_of(rows), start, end)
            if expected is None:
                assert found is None
                continue
            assert (start, *(link.doc_id for link in found)) == expected
            for (a, b), link in zip(pairwise(expected), found, strict=True):
                joined = [row for row in rows if {row[0], row[1]} == {a, b}]
                assert link.similarity == max(row[2] for row in joined)
                assert link.equal == any(row[3] for row in joined)


@pytest.mark.parametrize("seed", range(10))
def test_chain_is_the_same_for_any_order_of_the_edges(seed):
    ids, rows = random_graph(seed)
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    for end in ids[1:]:
        assert chain(edges_of(rows), ids[0], end) == chain(edges_of(shuffled), ids[0], end)


def test_chain_of_a_path_of_100_000_documents_is_found_whole():
    numbers = np.random.default_rng(1).permutation(100_000).astype(np.int64)
    low, high = np.minimum(numbers[1:], numbers[:-1]), np.maximum(numbers[1:], numbers[:-1])
    same = np.ones(len(low), np.float32), np.zeros(len(low), bool)
    links = chain(EdgeArrays(low, high, *same), int(numbers[0]), int(numbers[-1]))
    assert [link.doc_id for link in links] == numbers[1:].tolist()


def test_chain_within_a_star_goes_over_its_hub():
    rows = [(0, leaf, 0.875, False) for leaf in range(1, 500)]
    assert chain(edges_of(rows), 7, 9) == (Link(0, 0.875, False), Link(9, 0.875, False))


def test_chain_to_itself_is_empty_and_to_nowhere_none():
    edges = edges_of([(1, 2, 0.9, False), (3, 4, 0.9, False)])
    assert chain(edges, 1, 1) == ()
    assert chain(edges, 1, 4) is None
    assert chain(edges, 1, 9) is None
    assert chain(edges_of([]), 1, 2) is None
