import numpy as np
import pytest

from strata.pipelines.kernels.components import components, scramble, unscramble


def naive(a, b):
    parent = {}

    def find(x):
        while parent.setdefault(x, x) != x:
            x = parent[x]
        return x

    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        x, y = sorted((find(x), find(y)))
        parent[y] = x
    return {x: find(x) for x in list(parent)}


@pytest.mark.parametrize("seed", range(5))
def test_components_of_random_graph_equal_union_find(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-(2**62), 2**62, 400)[rng.integers(0, 400, (2, 250))]
    result = components(a, b)
    assert np.array_equal(result.nodes, np.unique(np.concatenate((a, b))))
    assert dict(zip(result.nodes.tolist(), result.root.tolist(), strict=True)) == naive(a, b)


def test_components_of_long_path_have_one_root():
    path = np.random.default_rng(1).permutation(100_000) * 3 + 5
    result = components(path[:-1], path[1:])
    assert len(result.nodes) == 100_000
    assert (result.root == 5).all()


def test_components_of_star_and_clique_stay_apart():
    hub, rim = np.full(50_000, 10), np.arange(11, 50_011)
    x, y = np.triu_indices(40, 1)
    result = components(np.concatenate((rim, x + 100_000)), np.concatenate((hub, y + 100_000)))
    assert result.nodes.tolist() == [*range(10, 50_011), *range(100_000, 100_040)]
    assert set(result.root[:50_001].tolist()) == {10}
    assert set(result.root[50_001:].tolist()) == {100_000}


def test_components_of_self_edges_and_repeats_are_their_own():
    result = components(np.array([7, 7, 3, 3]), np.array([7, 7, 4, 4]))
    assert result.nodes.tolist() == [3, 4, 7]
    assert result.root.tolist() == [3, 3, 7]


def test_components_of_no_edges_are_empty():
    result = components(np.empty(0, np.int64), np.empty(0, np.int64))
    assert len(result.nodes) == len(result.root) == 0


def naive_scramble(node, order):
    x = (node ^ order * 0x9E3779B97F4A7C15) % 2**64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    x ^= x >> 31
    return x - 2**64 if x >= 2**63 else x


@pytest.mark.parametrize("order", [0, 1, 2, 63])
def test_scramble_gives_the_names_of_splitmix_and_back(order):
    corners = [-(2**63), -1, 0, 1, 2**63 - 1]
    nodes = np.array([*corners, *np.random.default_rng(order).integers(-(2**63), 2**63, 200)])
    names = scramble(nodes, order)
    expected = [naive_scramble(node, order) if order else node for node in nodes.tolist()]
    assert names.tolist() == expected
    assert np.array_equal(unscramble(names, order), nodes)


def test_scramble_orders_neighbours_at_random_in_each_order():
    nodes = np.arange(20_000)
    one, other = scramble(nodes, 1), scramble(nodes, 2)
    assert np.mean(one[1:] > one[:-1]) == pytest.approx(0.5, abs=0.02)
    agree = np.mean((one[1:] > one[:-1]) == (other[1:] > other[:-1]))
    assert agree == pytest.approx(0.5, abs=0.02)
