"""What a retraction changes in `edges` and `clusters`: pairs, clusters, survivors.

Only the clusters that lose a document are made again, and those that a new pair links to them. The
ledger is a function of the pairs, so the rows of all others stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from strata.pipelines.dedup_scan import EDGE_SCHEMA
from strata.pipelines.kernels.banding import Banding
from strata.pipelines.ledger_writer import ledger_of
from strata.pipelines.retraction.gone import DocumentSet
from strata.pipelines.retraction.new_pairs import new_pairs
from strata.pipelines.retraction.select import RowFilter, matching_rows
from strata.pipelines.stage import StageContext
from strata.storage.schemas import SCHEMAS

__all__ = ["Reelection", "fits_driver", "reelect", "replaced_pairs"]

MEMBER_COLUMNS = ("doc_id", "kept_id", "cluster_size", "kept")


@dataclass(frozen=True, slots=True)
class Reelection:
    """The change of the ledger.

    Attributes:
        clusters: int64[c], `kept_id` of the clusters whose rows go.
        rows: the rows that take their place, sorted by document.
        promoted: int64[p], documents that survive now and did not before, ascending.
        demoted: int64[d], documents that survived before and do not now, ascending.
    """

    clusters: NDArray[np.int64]
    rows: pa.RecordBatch
    promoted: NDArray[np.int64]
    demoted: NDArray[np.int64]

    @classmethod
    def none(cls) -> Reelection:
        """Nothing changes."""
        empty = np.empty(0, np.int64)
        return cls(empty, _no_rows(), empty, empty)


def _no_rows() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=SCHEMAS["clusters"])


def replaced_pairs(context: StageContext, retracted: DocumentSet, banding: Banding) -> pa.Table:
    """The pairs that `edges` gets for those that it loses, in order of (a, b)."""
    lost = matching_rows(context, "edges", ("a", "b"), RowFilter(("a", "b"), retracted))
    ends = _ends(lost)
    return new_pairs(context, retracted, ends[retracted.contains(ends)], banding)


def fits_driver(context: StageContext, retracted: DocumentSet) -> bool:
    """Whether the clusters that lose a document have few enough members for the driver."""
    rows = matching_rows(
        context, "clusters", ("kept_id", "cluster_size"), RowFilter(("doc_id",), retracted)
    )
    first = np.unique(rows["kept_id"].to_numpy(), return_index=True)[1]
    members = int(rows["cluster_size"].to_numpy()[first].sum())
    return members <= context.settings.dedup.driver_edges


def reelect(context: StageContext, retracted: DocumentSet, added_pairs: pa.Table) -> Reelection:
    """Make the touched clusters again.

    Args:
        context: the corpus, whose ledger is still the one before.
        retracted: the documents that go.
        added_pairs: pairs that `edges` does not have yet.
    """
    touched = matching_rows(context, "clusters", ("kept_id",), RowFilter(("doc_id",), retracted))
    lost = matching_rows(context, "edges", ("a", "b"), RowFilter(("a", "b"), retracted))
    near = _ends(lost)
    # With direct links a document can be in a pair, and in no cluster.
    start = _Start(
        np.unique(touched["kept_id"].to_numpy()), near[~retracted.contains(near)], added_pairs
    )
    part = _connected_part(context, retracted, start)
    rows = ledger_of(context, part.edges) if part.edges.num_rows else _no_rows()
    removed = rows.column("doc_id").to_numpy()[~_flags(rows.column("kept"))]
    survivors = np.setdiff1d(part.members[~retracted.contains(part.members)], removed)
    # Documents of other corpora are in the ledger as survivors, but in none of our tables.
    return Reelection(
        clusters=part.clusters,
        rows=rows,
        promoted=_own_ids(np.setdiff1d(survivors, part.survivors)),
        demoted=_own_ids(np.intersect1d(removed, part.survivors)),
    )


def _ends(pairs: pa.Table) -> NDArray[np.int64]:
    ends: NDArray[np.int64] = np.union1d(pairs["a"].to_numpy(), pairs["b"].to_numpy())
    return ends


def _own_ids(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    return ids[ids >= 0]


def _flags(column: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = np.asarray(column.to_numpy(zero_copy_only=False), bool)
    return flags


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of the graph that no pair links to the rest.

    Attributes:
        clusters: int64[c], its clusters in the ledger before.
        members: int64[m], all of its documents, ascending; also those that go.
        survivors: int64[s], the members that survived before.
        edges: its pairs without those of documents that go, of EDGE_SCHEMA.
    """

    clusters: NDArray[np.int64]
    members: NDArray[np.int64]
    survivors: NDArray[np.int64]
    edges: pa.Table


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a part begins: clusters of the ledger, documents, and pairs."""

    clusters: NDArray[np.int64]
    near: NDArray[np.int64]
    added_pairs: pa.Table


def _connected_part(context: StageContext, retracted: DocumentSet, start: _Start) -> _Part:
    """All that pairs link to a start."""
    clusters, alone = start.clusters, np.empty(0, np.int64)
    while True:
        ledger = matching_rows(
            context, "clusters", MEMBER_COLUMNS, RowFilter(("kept_id",), DocumentSet.of(clusters))
        )
        members = np.union1d(ledger["doc_id"].to_numpy(), alone)
        edges = pa.concat_tables([_pairs_of(context, members, retracted), start.added_pairs])
        outside = np.setdiff1d(np.union1d(_ends(edges), start.near), members)
        if not len(outside):
            survivors = ledger["doc_id"].to_numpy()[_flags(ledger["kept"])]
            return _Part(clusters, members, np.union1d(survivors, alone), edges)
        linked = matching_rows(
            context,
            "clusters",
            ("doc_id", "kept_id"),
            RowFilter(("doc_id",), DocumentSet.of(outside)),
        )
        clusters = np.union1d(clusters, linked["kept_id"].to_numpy())
        alone = np.union1d(alone, np.setdiff1d(outside, linked["doc_id"].to_numpy()))


def _pairs_of(
    context: StageContext, members: NDArray[np.int64], retracted: DocumentSet
) -> pa.Table:
    rows = matching_rows(
        context, "edges", EDGE_SCHEMA.names, RowFilter(("a", "b"), DocumentSet.of(members))
    )
    lost = retracted.contains(rows["a"].to_numpy()) | retracted.contains(rows["b"].to_numpy())
    return pa.table(rows.filter(pa.array(~lost)).columns, schema=EDGE_SCHEMA)
