"""``verify = "exact"``: pairs whose estimate is uncertain are decided by their texts.

An edge whose estimated similarity lies less than two standard errors above the threshold stays only
if the exact Jaccard similarity reaches the threshold. Sets of shingle hashes are shuffled by the
first document of the edges, so that a hub's set travels once; text stays in the tasks that read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from strata.errors import ConflictError
from strata.pipelines.dedup.edges import edge_frame, write_frame
from strata.pipelines.dedup.exact_jaccard import (
    MAX_HASHES,
    ROW_COLUMNS,
    WANTED_COLUMNS,
    CandidatePairs,
    compared_rows,
    exact_jaccard,
    located,
    set_rows,
)
from strata.pipelines.execution.cached_frames import cached
from strata.pipelines.execution.data_files import DataFile
from strata.pipelines.execution.stage import Counters, StageContext
from strata.pipelines.kernels.banding import SIGNATURE_BYTES
from strata.pipelines.lineage.upstream import Upstream
from strata.pipelines.tables.texts import own_texts, reference_texts
from strata.settings import VerifyMethod
from strata.storage.contracts.url import Url
from strata.storage.stores.opening import open_store
from strata.storage.writing.parquet import WrittenFile

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["UNCERTAIN_ERRORS", "VerifiedEdges", "verified_by_text", "verified_on_driver"]

# A pair of 64-bit ids and its similarity.
_VERIFIED_BYTES = 24
UNCERTAIN_ERRORS = 2
"""Standard errors above the threshold up to which an estimate is uncertain."""


@dataclass(frozen=True, slots=True)
class VerifiedEdges:
    """Files of edges after the texts have decided.

    Attributes:
        files: the files, not yet published.
        read: how many pairs were compared by their texts.
        refuted: how many of those are no longer edges.
        cached: where Spark cached the comparisons; empty where there were none.
    """

    files: list[WrittenFile]
    read: int
    refuted: int
    cached: Mapping[str, object] = field(default_factory=dict)


def verified_by_text(
    context: StageContext, upstream: Upstream, files: Sequence[WrittenFile]
) -> VerifiedEdges:
    """Decide the uncertain edges of files that are not yet published; the old files are deleted.

    Args:
        context: the corpus.
        upstream: what the stage stands on: settings, and where the texts are.
        files: distinct edges.

    Raises:
        ConflictError: the text of a document is not there.
    """
    from pyspark.sql import functions as f

    if not files:
        return VerifiedEdges([], 0, 0)
    edges = edge_frame(context, [file.url for file in files])
    threshold = upstream.settings.threshold
    uncertain = ~f.col("equal") & (f.col("similarity") < _certain_similarity(threshold))
    asked = edges.where(uncertain).select("a", "b")
    context.progress.start("dedup", "compare the texts of uncertain pairs", 0)
    rows = sum(file.rows for file in files)
    with cached(_exact_similarities(context, upstream, asked), rows, _VERIFIED_BYTES) as decided:
        right = decided.frame.where(f.col("jaccard") >= threshold)
        read, true = asked.count(), right.count()
        missing = read - decided.frame.count()
        if missing:
            raise ConflictError(
                f"the texts of {missing:,} of {read:,} uncertain pairs are not there",
                hint="run `strata shard` first",
            )
        similarity = f.col("jaccard").cast("float").alias("similarity")
        right = right.select("a", "b", similarity, f.lit(False).alias("equal"))
        written = write_frame(context, edges.where(~uncertain).union(right))
    context.progress.finish()
    for file in files:
        context.store.delete(Url.parse(file.url))
    return VerifiedEdges(written, read, read - true, decided.facts)


def verified_on_driver(context: StageContext, upstream: Upstream, edges: pa.Table) -> pa.Table:
    """The same for edges that the driver holds, where the settings ask for it.

    Args:
        context: the corpus.
        upstream: settings, and where the texts are.
        edges: a, b, similarity, equal.

    Raises:
        ConflictError: the text of a document is not there.
    """
    threshold = upstream.settings.threshold
    similarity = edges["similarity"].to_numpy().astype(float)
    uncertain = ~edges["equal"].to_numpy(zero_copy_only=False) & (
        similarity < _certain_similarity(threshold)
    )
    if upstream.settings.verify is VerifyMethod.SKETCH or not uncertain.any():
        return edges
    a, b = (edges[name].to_numpy()[uncertain] for name in ("a", "b"))
    pairs = CandidatePairs(a, b, np.full(len(a), 2 * MAX_HASHES))
    similarity[uncertain] = exact_jaccard(context, _texts(upstream), pairs, Counters())
    true = pa.array(~uncertain | (similarity >= threshold))
    place = edges.schema.get_field_index("similarity")
    exact = pa.array(similarity.astype(np.float32))
    return edges.set_column(place, edges.schema.field(place), exact).filter(true)


def _certain_similarity(threshold: float) -> float:
    return threshold + UNCERTAIN_ERRORS * sqrt((1 - threshold**2) / SIGNATURE_BYTES)


def _exact_similarities(context: StageContext, upstream: Upstream, pairs: DataFrame) -> DataFrame:
    """Exact similarities of pairs a, b: a, b (long), jaccard (double)."""
    from pyspark.sql import functions as f

    texts = _texts(upstream)
    ngram, storage = upstream.settings.ngram, context.storage_options

    def locate(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return located(batches, texts)

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return set_rows(batches, texts, ngram, open_store(storage))

    centers = pairs.select(f.col("a").alias("center"), f.col("a").alias("doc_id"))
    members = pairs.select(f.col("a").alias("center"), f.col("b").alias("doc_id"))
    wanted = centers.distinct().union(members).mapInArrow(locate, WANTED_COLUMNS)
    by_file = wanted.repartition("file").sortWithinPartitions("file", "doc_id", "center")
    sets = by_file.mapInArrow(read, ROW_COLUMNS)
    stars = sets.repartition("center").sortWithinPartitions("center", "doc_id")
    return stars.mapInArrow(compared_rows, "a long, b long, jaccard double")


def _texts(upstream: Upstream) -> tuple[DataFile, ...]:
    elsewhere = reference_texts(upstream.references)
    if elsewhere is None:
        raise ConflictError(
            "a corpus in dedup.against has no longer the texts of its fingerprints",
            hint='use dedup.verify = "sketch"',
        )
    return own_texts(upstream.table("documents")) + elsewhere
