"""Components on Spark against SciPy's, on graphs that are hard for one rule or another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from strata.pipelines.dedup.spark_components import ComponentLabels, PairFolder, spark_components
from strata.pipelines.kernels.components import components
from strata.storage.contracts.url import Url
from strata.storage.stores.fsspec_store import FsspecStore

Graph = np.ndarray
"""Edges, int64[m, 2]."""
Label = Callable[[Graph, int], ComponentLabels]


def path(nodes: np.ndarray) -> Graph:
    return np.stack([nodes[:-1], nodes[1:]], axis=1)


def star(hub: int, leaves: np.ndarray) -> Graph:
    return np.stack([np.full(len(leaves), hub), leaves], axis=1)


def clique(nodes: np.ndarray) -> Graph:
    left, right = np.triu_indices(len(nodes), 1)
    return np.stack([nodes[left], nodes[right]], axis=1)


def random_graph(seed: int, nodes: int, edges: int) -> Graph:
    return np.random.default_rng(seed).integers(0, nodes, (edges, 2))


def shuffled(count: int) -> np.ndarray:
    return np.random.default_rng(4).permutation(count)


LEAVES = np.arange(1, 50_000)
GRAPHS = {
    "path in order": path(np.arange(100_000)),
    "path in random order": path(shuffled(100_000)),
    "path from both ends": path(np.argsort(np.arange(20_000) % 2, kind="stable")),
    "star around its first": star(0, LEAVES),
    "star around its last": star(50_000, LEAVES),
    "stars in a row": np.concatenate(
        [star(n * 100, n * 100 + np.arange(1, 101)) for n in range(99)]
    ),
    "clique": clique(np.arange(300)),
    "cliques on a path": np.concatenate([clique(np.arange(n, n + 8)) for n in range(0, 3500, 7)]),
    "many small ones": random_graph(1, 100_000, 40_000),
    "one giant": random_graph(2, 20_000, 60_000),
    "self loops": np.repeat(np.arange(500), 2).reshape(-1, 2),
    "repeated edges": np.tile(random_graph(3, 300, 200), (20, 1)),
}


def side_by_side() -> Graph:
    """All graphs, far from each other, with ids of both signs."""
    return np.concatenate(
        [graph.astype(np.int64) + (n - 5) * 2**40 for n, graph in enumerate(GRAPHS.values())]
    )


def small_ones() -> Graph:
    return np.concatenate([path(shuffled(300)), path(np.arange(300, 600)), star(600, LEAVES + 600)])


@pytest.fixture
def folder(spark: SparkSession, tmp_path: Path) -> PairFolder:
    # Few pairs a task: paths cross the files of all of them, as those of a large graph do.
    return PairFolder(spark, FsspecStore(), Url.parse(tmp_path), task_pairs=100)


@pytest.fixture
def label(spark: SparkSession, folder: PairFolder) -> Label:
    def label_graph(graph: Graph, driver_edges: int) -> ComponentLabels:
        table = pa.table([pa.array(graph[:, 0]), pa.array(graph[:, 1])], ["a", "b"])
        edges = spark.createDataFrame(table).repartition(12)
        return spark_components(edges, folder, driver_edges)

    return label_graph


def assert_components(folder: PairFolder, labels: ComponentLabels, graph: Graph) -> None:
    found = folder.load(labels.files)
    order = np.argsort(found.x)
    expected = components(graph[:, 0], graph[:, 1])
    assert np.array_equal(found.x[order], expected.nodes)
    roots = found.y[order]
    # One name a component, and one component a name.
    assert np.array_equal(expected.root[np.searchsorted(expected.nodes, roots)], expected.root)
    assert len(np.unique(roots)) == len(np.unique(expected.root))


@pytest.mark.parametrize(("driver_edges", "least_rounds"), [(30_000, 2), (10**6, 0)])
def test_wide_components_hard_graphs_equal_scipy(
    label: Label, folder: PairFolder, driver_edges: int, least_rounds: int
) -> None:
    graph = side_by_side()

    labels = label(graph, driver_edges)

    assert_components(folder, labels, graph)
    # Two paths of 100,000 nodes halve in each round.
    assert least_rounds <= labels.rounds <= least_rounds + 3


def test_wide_components_without_the_driver_equal_scipy(label: Label, folder: PairFolder) -> None:
    graph = small_ones()

    labels = label(graph, 0)

    assert_components(folder, labels, graph)
    assert 2 <= labels.rounds <= 12


def test_wide_components_no_edges_no_labels(label: Label) -> None:
    labels = label(np.empty((0, 2), np.int64), 0)

    assert (labels.files.rows, labels.rounds) == (0, 0)


def test_wide_components_leaves_only_the_labels(
    label: Label, folder: PairFolder, tmp_path: Path
) -> None:
    labels = label(small_ones(), 200)

    assert sorted(str(Url.parse(each)) for each in tmp_path.iterdir()) == sorted(labels.files.urls)
