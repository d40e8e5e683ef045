"""The ledger made by Spark, row for row what :mod:`strata.pipelines.ledger` makes on the driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strata.pipelines.ledger import preferred_sources
from strata.pipelines.pair_files import PairFolder
from strata.pipelines.wide_components import spark_components

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["SparkLedger", "election_keys", "spark_ledger"]


@dataclass(frozen=True, slots=True)
class SparkLedger:
    """The columns of `clusters`, unordered, and the rounds of Spark that their components took."""

    rows: DataFrame
    rounds: int


def spark_ledger(
    edges: DataFrame,
    attributes: DataFrame,
    rules: Sequence[str],
    folder: PairFolder,
    driver_edges: int,
) -> SparkLedger:
    """The ledger of a graph of verified edges.

    Args:
        edges: a, b (long), similarity (float), equal (boolean).
        attributes: doc_id, n_bytes (long), source (string) of at least all documents in an edge.
        rules: survivor rules.
        folder: where the components of documents, and of equal texts, are kept.
        driver_edges: edges from which on the driver finishes the components.
    """
    from pyspark.sql import functions as f

    clusters = spark_components(edges.select("a", "b"), folder, driver_edges)
    texts = spark_components(edges.where("equal").select("a", "b"), folder, driver_edges)
    labels = folder.read(clusters.files, ("doc_id", "root"))
    # Documents of other corpora have no attributes here, and survive before ours.
    ranked = labels.join(attributes, "doc_id", "left") if rules[0] != "first" else labels
    best = f.min(f.struct(*election_keys(rules))).getField("doc_id")
    elected = ranked.groupBy("root").agg(
        best.alias("kept_id"),
        f.count("*").alias("cluster_size"),
    )
    rows = labels.join(elected, "root").join(_strongest(edges), "doc_id")
    named = _with_method(rows, folder.read(texts.files, ("doc_id", "text")))
    return SparkLedger(named.where("doc_id >= 0"), clusters.rounds)


def election_keys(rules: Sequence[str]) -> list[Column]:
    """Sort keys of documents in a cluster, most important first: the smallest survives.

    Needs doc_id, and where the rules ask for more than it, n_bytes and source. Documents of other
    corpora come first, in the order of their ids alone.
    """
    from pyspark.sql import functions as f

    own = f.col("doc_id") >= 0
    ranks = [f.when(own, key).alias(f"k{number}") for number, key in enumerate(_rank(rules))]
    return [own.alias("own"), *ranks, f.col("doc_id")]


def _rank(rules: Sequence[str]) -> list[Column]:
    from pyspark.sql import functions as f

    keys = []
    for rule in rules:
        kind, _, names = rule.partition(":")
        if kind == "first":
            break
        if kind == "longest":
            keys.append(-f.col("n_bytes"))
        else:
            order = preferred_sources(names)
            place = f.array_position(f.lit(order), f.col("source"))
            keys.append(f.when(place == 0, len(order) + 1).otherwise(place))
    return keys


def _strongest(edges: DataFrame) -> DataFrame:
    from pyspark.sql import functions as f

    ends = edges.select(f.col("a").alias("doc_id"), "similarity").union(
        edges.select(f.col("b").alias("doc_id"), "similarity")
    )
    return ends.groupBy("doc_id").agg(f.max("similarity").alias("similarity"))


def _with_method(rows: DataFrame, texts: DataFrame) -> DataFrame:
    from pyspark.sql import functions as f

    of_kept = texts.select(f.col("doc_id").alias("kept_id"), f.col("text").alias("kept_text"))
    joined = rows.join(texts, "doc_id", "left").join(of_kept, "kept_id", "left")
    joined = joined.withColumn(
        "same",
        f.coalesce("text", "doc_id") == f.coalesce("kept_text", "kept_id"),
    )
    whole = joined.groupBy("kept_id").agg(f.min("same").alias("all_same"))
    kept = f.col("doc_id") == f.col("kept_id")
    exact = f.col("same") & (~kept | f.col("all_same"))
    return joined.join(whole, "kept_id").select(
        "doc_id",
        "kept_id",
        "cluster_size",
        kept.alias("kept"),
        f.when(exact, "exact").otherwise("fuzzy").alias("method"),
        "similarity",
    )
