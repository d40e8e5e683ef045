"""The ledger and the stars of ``link = "direct"``, computed by Spark.

They equal, row for row, what the driver computes by :mod:`strata.pipelines.dedup.election` and
:mod:`strata.pipelines.dedup.direct_links`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from strata.pipelines.dedup.band_rows import sketch_words
from strata.pipelines.dedup.direct_links import MAX_SURVIVORS, member_batches
from strata.pipelines.dedup.election import election_keys, needs_attributes
from strata.pipelines.dedup.spark_components import PairFolder, spark_components
from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.kernels.buckets import BucketScanner
from strata.storage.contracts.options import StorageOptions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["MEMBER_COLUMNS", "SparkLedger", "plain_members", "spark_direct_edges", "spark_ledger"]

MEMBER_COLUMNS = "doc_id long, n_bytes long, source string, content_hash binary, sketch binary"
# Spark has no binary type of fixed size.
PLAIN = pa.schema(
    [
        *(("doc_id", pa.int64()), ("n_bytes", pa.int64()), ("source", pa.string())),
        *(("content_hash", pa.binary()), ("sketch", pa.binary())),
    ]
)


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
    # Documents of reference corpora have no attributes here, and are preferred to ours.
    ranked = labels.join(attributes, "doc_id", "left") if needs_attributes(rules) else labels
    best = f.min(f.struct(*election_keys(rules))).getField("doc_id")
    elected = ranked.groupBy("root").agg(
        best.alias("kept_id"),
        f.count("*").alias("cluster_size"),
    )
    rows = labels.join(elected, "root").join(_strongest(edges), "doc_id")
    named = _with_method(rows, folder.read(texts.files, ("doc_id", "text")))
    return SparkLedger(named.where("doc_id >= 0"), clusters.rounds)


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


def plain_members(file: DataFile, storage: StorageOptions) -> Iterator[pa.RecordBatch]:
    """The documents of a file of fingerprints, as Spark takes them: MEMBER_COLUMNS."""
    for batch in member_batches(file, storage):
        yield batch.cast(PLAIN)


def spark_direct_edges(
    edges: DataFrame,
    members: DataFrame,
    rules: Sequence[str],
    threshold: float,
    folder: PairFolder,
    driver_edges: int,
) -> DataFrame:
    """Stars around survivors in place of chains.

    Args:
        edges: a, b (long), similarity (float), equal (boolean).
        members: MEMBER_COLUMNS of at least all documents in an edge.
        rules: survivor rules.
        threshold: similarity that links a document to a survivor.
        folder: where the components are kept.
        driver_edges: edges from which on the driver finishes the components.

    Returns:
        The columns of ``edges``, from a survivor to a document that is removed for it.
    """
    from pyspark.sql import functions as f

    clusters = spark_components(edges.select("a", "b"), folder, driver_edges)
    labels = folder.read(clusters.files, ("doc_id", "root"))
    keys = election_keys(rules)
    names = [f"rank{number}" for number in range(len(keys))]
    ranks = [key.alias(name) for key, name in zip(keys, names, strict=True)]
    ranked = labels.join(members, "doc_id").select("root", *ranks, "doc_id", "sketch")
    ordered = ranked.repartition("root").sortWithinPartitions("root", *names)
    stars = ordered.select("root", "doc_id", "sketch").mapInArrow(
        _scanner(threshold), "a long, b long, similarity float"
    )
    left = members.select(f.col("doc_id").alias("a"), f.col("content_hash").alias("left"))
    right = members.select(f.col("doc_id").alias("b"), f.col("content_hash").alias("right"))
    # Pairs of two documents of reference corpora do not concern us.
    compared = stars.where("b >= 0").join(left, "a").join(right, "b")
    return compared.select("a", "b", "similarity", (f.col("left") == f.col("right")).alias("equal"))


def _scanner(threshold: float) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def scan(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        scanner = BucketScanner(threshold, MAX_SURVIVORS)
        for batch in batches:
            found = scanner.feed(
                batch.column("root").to_numpy(),
                batch.column("doc_id").to_numpy(),
                sketch_words(batch.column("sketch")),
            )
            yield pa.RecordBatch.from_pydict(
                {"a": found.a, "b": found.b, "similarity": found.similarity}
            )

    return scan
