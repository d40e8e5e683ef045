"""Connected components on Spark, for more edges than the driver should hold.

Alternating large-star and small-star (Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii:
"Connected Components in MapReduce and Beyond", SoCC 2014, section 3), with O(log² n) rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strata.errors import BalanceError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["wide_components"]

# Paths of 2^32 nodes end far earlier; more rounds than this would be a defect.
MOST_ROUNDS = 64


def wide_components(edges: DataFrame) -> DataFrame:
    """Label the nodes of a graph with the smallest node of their component.

    Args:
        edges: columns a and b (long); direction and repetition do not matter.

    Returns:
        Columns doc_id and root (long), one row a node.

    Raises:
        BalanceError: no convergence; a defect.
    """
    from pyspark.sql import functions as f

    original = edges
    edges = _settled(
        edges.select(f.greatest("a", "b").alias("u"), f.least("a", "b").alias("v")).where("u <> v")
    )
    state = _digest(edges)
    for _ in range(MOST_ROUNDS):
        edges = _settled(_small_star(_large_star(edges)))
        reached = _digest(edges)
        if reached == state:
            return _labels(original, edges)
        state = reached
    raise BalanceError(
        f"connected components did not converge in {MOST_ROUNDS} rounds",
        hint="this is a defect, please report it",
    )


def _labels(original: DataFrame, stars: DataFrame) -> DataFrame:
    from pyspark.sql import functions as f

    leaves = stars.select(f.col("u").alias("doc_id"), f.col("v").alias("root"))
    roots = stars.select(f.col("v").alias("doc_id"), f.col("v").alias("root")).distinct()
    # A node whose only edge is to itself is in no star.
    alone = original.where("a = b").select(f.col("a").alias("doc_id"), f.col("a").alias("root"))
    known = leaves.union(roots)
    return known.union(alone.distinct().join(known, "doc_id", "left_anti"))


def _large_star(edges: DataFrame) -> DataFrame:
    from pyspark.sql import functions as f

    both = edges.union(edges.select(f.col("v").alias("u"), f.col("u").alias("v")))
    smallest = both.groupBy("u").agg(f.min("v").alias("m"))
    linked = both.where("v > u").join(smallest, "u")
    return linked.select(f.col("v").alias("u"), f.least("u", "m").alias("v"))


def _small_star(edges: DataFrame) -> DataFrame:
    from pyspark.sql import functions as f

    # Every edge already leads from the larger node to the smaller one.
    smallest = edges.groupBy("u").agg(f.min("v").alias("m"))
    members = edges.join(smallest, "u").select(f.col("v").alias("u"), f.col("m").alias("v"))
    hubs = smallest.select("u", f.col("m").alias("v"))
    return members.union(hubs).where("u <> v")


def _settled(edges: DataFrame) -> DataFrame:
    # Without a checkpoint each round would run all rounds before it again.
    return edges.distinct().localCheckpoint()


def _digest(edges: DataFrame) -> tuple[int, int]:
    from pyspark.sql import functions as f

    row = edges.agg(f.count("*"), f.bit_xor(f.xxhash64("u", "v"))).first()
    return (int(row[0]), int(row[1] or 0)) if row is not None else (0, 0)
