"""The stars of ``link = "direct"`` made by Spark, those of :mod:`strata.pipelines.direct_links`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from strata.pipelines.dedup_rows import FingerprintFile, sketch_words
from strata.pipelines.direct_links import MAX_SURVIVORS, member_batches
from strata.pipelines.kernels.buckets import BucketScanner
from strata.pipelines.pair_files import PairFolder
from strata.pipelines.wide_components import spark_components
from strata.pipelines.wide_ledger import election_keys
from strata.storage.store import StorageOptions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["MEMBER_COLUMNS", "plain_members", "spark_direct_edges"]

MEMBER_COLUMNS = "doc_id long, n_bytes long, source string, content_hash binary, sketch binary"
# Spark has no binary type of fixed size.
PLAIN = pa.schema(
    [
        *(("doc_id", pa.int64()), ("n_bytes", pa.int64()), ("source", pa.string())),
        *(("content_hash", pa.binary()), ("sketch", pa.binary())),
    ]
)


def plain_members(file: FingerprintFile, storage: StorageOptions) -> Iterator[pa.RecordBatch]:
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
    """Stars around survivors in the place of chains.

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
    # Two documents of other corpora are not ours to remove.
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
