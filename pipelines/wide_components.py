"""Connected components on Spark, for more edges than the driver should hold.

Local contractions (Łącki, Mirrokni, Włodarczyk: "Connected Components at Scale via Local
Contractions", 2018, section 3): in a round every node joins the neighbour that comes first in a
random order, if it comes before the node itself, and the graph of the joined nodes is the next one.
It has about half of the nodes, so all rounds together cost twice the first; a graph small enough is
finished by the driver. Labels then flow back through the rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from strata.errors import BalanceError
from strata.pipelines.kernels.components import components, scramble, unscramble
from strata.pipelines.pair_files import Change, PairBatch, PairFiles, PairFolder

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["ComponentLabels", "spark_components"]

# A round halves the nodes: 2^64 of them are not more than this.
MAX_ROUNDS = 64
# So many edges of a partition are reduced to a forest at once, in some 60 bytes each.
FOREST_EDGES = 1_000_000


@dataclass(frozen=True, slots=True)
class ComponentLabels:
    """Which nodes are connected.

    Attributes:
        files: pairs of a node and a node of its component, the same for the whole component.
        rounds: rounds that Spark made before the driver took over.
    """

    files: PairFiles
    rounds: int


def spark_components(edges: DataFrame, folder: PairFolder, driver_edges: int) -> ComponentLabels:
    """Label the nodes of a graph by component.

    Args:
        edges: two long columns; direction, repetition and self loops do not matter.
        folder: where the graph of each round is kept.
        driver_edges: edges from which on the driver finishes the work.

    Raises:
        BalanceError: no convergence; a defect.
    """
    graph = folder.write(edges, _forests)
    joins: list[PairFiles] = []
    while graph.rows > driver_edges:
        if len(joins) == MAX_ROUNDS:
            raise BalanceError(
                f"connected components did not converge in {MAX_ROUNDS} rounds",
                hint="this is a defect, please report it",
            )
        joins.append(_join_neighbours(folder, graph, order=len(joins)))
        smaller = _contract(folder, graph, joins[-1])
        folder.delete(graph)
        graph = smaller
    labels = _finish_on_driver(folder, graph)
    folder.delete(graph)
    return ComponentLabels(_propagate_labels(folder, joins, labels), len(joins))


def _join_neighbours(folder: PairFolder, graph: PairFiles, order: int) -> PairFiles:
    """Pairs of a node and the node that it joins, which may be itself."""
    from pyspark.sql import functions as f

    edges = folder.read(graph, ("u", "v"), _scrambling(order))
    both = edges.union(edges.select("v", "u"))
    first = both.groupBy("u").agg(f.min("v").alias("v"))
    return folder.write(first.select("u", f.least("u", "v")), _unscrambling(order))


def _contract(folder: PairFolder, graph: PairFiles, joins: PairFiles) -> PairFiles:
    """The graph of the joined nodes."""
    edges = folder.read(graph, ("u", "v"))
    left = folder.read(joins, ("u", "a"))
    right = folder.read(joins, ("v", "b"))
    smaller = edges.join(left, "u").join(right, "v").select("a", "b").where("a <> b")
    return folder.write(smaller, _forests)


def _finish_on_driver(folder: PairFolder, graph: PairFiles) -> PairFiles:
    edges = folder.load(graph)
    found = components(edges.x, edges.y)
    return folder.save(PairBatch(found.nodes, found.root))


def _propagate_labels(folder: PairFolder, joins: list[PairFiles], labels: PairFiles) -> PairFiles:
    from pyspark.sql import functions as f

    known = folder.read(labels, ("node", "root"))
    for files in reversed(joins):
        joined = folder.read(files, ("node", "v"))
        above = known.select(f.col("node").alias("v"), "root")
        # A component that was joined to one node is not in the next graph.
        known = joined.join(above, "v", "left").select(
            "node", f.coalesce("root", "v").alias("root")
        )
    result = folder.write(known) if joins else labels
    for files in joins:
        folder.delete(files)
    if joins:
        folder.delete(labels)
    return result


def _scrambling(order: int) -> Change:
    def change(parts: Iterator[PairBatch]) -> Iterator[PairBatch]:
        return (PairBatch(scramble(part.x, order), scramble(part.y, order)) for part in parts)

    return change


def _unscrambling(order: int) -> Change:
    def change(parts: Iterator[PairBatch]) -> Iterator[PairBatch]:
        return (PairBatch(unscramble(part.x, order), unscramble(part.y, order)) for part in parts)

    return change


def _forests(parts: Iterator[PairBatch]) -> Iterator[PairBatch]:
    """Fewer edges that connect the same nodes: stars, of so many edges at a time."""
    waiting: list[PairBatch] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part.x)
        if count >= FOREST_EDGES:
            yield _forest(waiting)
            waiting, count = [], 0
    if waiting:
        yield _forest(waiting)


def _forest(parts: list[PairBatch]) -> PairBatch:
    a, b = (np.concatenate(each) for each in ([p.x for p in parts], [p.y for p in parts]))
    found = components(a, b)
    # A node whose only edge is to itself keeps it, or it would be forgotten.
    leaf = found.nodes != found.root
    lonely = ~np.isin(found.nodes, found.root[leaf]) & ~leaf
    kept = leaf | lonely
    return PairBatch(found.nodes[kept], found.root[kept])
