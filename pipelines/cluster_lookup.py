"""One cluster of the ledger: its members and the verified pairs among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.duplicate_chain import EdgeArrays
from strata.pipelines.table_lookup import TableLookup

__all__ = ["Cluster", "read_cluster"]

# Beyond so many members or pairs, a search among them would take the memory of a worker.
MAX_MEMBERS = 1_000_000
MAX_PAIRS = 4_000_000
MEMBERS = pa.schema([("doc_id", pa.int64()), ("similarity", pa.float32())])
PAIRS = pa.schema(
    [("a", pa.int64()), ("b", pa.int64()), ("similarity", pa.float32()), ("equal", pa.bool_())]
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A survivor and the documents that were removed for it.

    Attributes:
        kept_id: the survivor; below 0 where it is of another corpus.
        doc_id: int64[n], the members of this corpus, ascending; of a cluster that is too large only
            the first ones.
        similarity: float32[n], to the most similar neighbour of each.
        edges: the pairs that join members, or a member and a document of another corpus; None
            where there are too many.
    """

    kept_id: int
    doc_id: np.ndarray
    similarity: np.ndarray
    edges: EdgeArrays | None

    def first(self, limit: int, doc_id: int) -> dict[int, float | None]:
        """The survivor, one document and the first others, with their similarities."""
        others = self.doc_id[: limit + 2].tolist()
        chosen = list(dict.fromkeys([self.kept_id, doc_id, *others]))[: max(limit, 2)]
        places = np.searchsorted(self.doc_id, chosen)
        return {
            each: round(float(self.similarity[place]), 4)
            if place < len(self.doc_id) and self.doc_id[place] == each
            else None
            for each, place in zip(chosen, places.tolist(), strict=True)
        }


def read_cluster(tables: TableLookup, kept_id: int) -> Cluster:
    """Read a cluster; row groups of other clusters and pairs are passed over."""
    survivor = np.array([kept_id], np.int64)
    batches = tables.batches_of("clusters", "kept_id", MEMBERS.names, survivor)
    members = _at_most(batches, MEMBERS, MAX_MEMBERS).sort_by("doc_id")
    doc_id = members["doc_id"].to_numpy()
    edges = _edges(tables, doc_id, kept_id) if len(doc_id) <= MAX_MEMBERS else None
    return Cluster(kept_id, doc_id, members["similarity"].to_numpy(), edges)


def _edges(tables: TableLookup, members: np.ndarray, kept_id: int) -> EdgeArrays | None:
    pairs = _at_most(_pairs(tables, members, kept_id), PAIRS, MAX_PAIRS)
    if pairs.num_rows > MAX_PAIRS:
        return None
    a, b, similarity, equal = (column.to_numpy() for column in pairs.columns)
    return EdgeArrays(a, b, similarity, equal)


def _pairs(tables: TableLookup, members: np.ndarray, kept_id: int) -> Iterator[pa.RecordBatch]:
    for batch in tables.batches_of("edges", "a", PAIRS.names, members):
        yield batch.filter(pa.array(np.isin(batch.column("b").to_numpy(), members)))
    # A document of another corpus survives before any of ours, and is always the smaller of a pair.
    if kept_id < 0:
        for batch in tables.batches_of("edges", "b", PAIRS.names, members):
            yield batch.filter(pc.less(batch.column("a"), 0))


def _at_most(batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int) -> pa.Table:
    """The rows, or a few more than so many if there are more."""
    found: list[pa.RecordBatch] = []
    while sum(batch.num_rows for batch in found) <= rows:
        batch = next(batches, None)
        if batch is None:
            break
        found.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    return pa.Table.from_batches(found, schema)
