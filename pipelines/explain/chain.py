"""One cluster of the ledger: its members, the verified pairs among them, and chains of pairs.

A chain leads from a document to the survivor of its cluster.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from strata.pipelines.tables.lookup import TableLookup

__all__ = ["Cluster", "EdgeArrays", "Link", "chain", "read_cluster"]

# With more members or pairs than this, a search among them would take the memory of a worker.
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
        kept_id: the survivor; below 0 where it belongs to a reference corpus.
        doc_id: int64[n], the members of this corpus, ascending; of too large a cluster only the
            first ones.
        similarity: float32[n], similarity of each to its most similar neighbour.
        edges: the pairs that join members, or a member and a document of a reference corpus; None
            where there are too many.
    """

    kept_id: int
    doc_id: np.ndarray
    similarity: np.ndarray
    edges: EdgeArrays | None

    def first(self, limit: int, doc_id: int) -> dict[int, float | None]:
        """The survivor, one document and the first few others, with their similarities."""
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
    """Read a cluster, skipping row groups of other clusters and pairs."""
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
    # A document of a reference corpus is preferred to ours, and is always the smaller of a pair.
    if kept_id < 0:
        for batch in tables.batches_of("edges", "b", PAIRS.names, members):
            yield batch.filter(pc.less(batch.column("a"), 0))


def _at_most(batches: Iterator[pa.RecordBatch], schema: pa.Schema, rows: int) -> pa.Table:
    """The rows, or a few more than ``rows`` where there are more."""
    found: list[pa.RecordBatch] = []
    while sum(batch.num_rows for batch in found) <= rows:
        batch = next(batches, None)
        if batch is None:
            break
        found.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    return pa.Table.from_batches(found, schema)


@dataclass(frozen=True, slots=True)
class EdgeArrays:
    """Verified pairs: a, b int64[m]; similarity float32[m]; equal bool[m]."""

    a: np.ndarray
    b: np.ndarray
    similarity: np.ndarray
    equal: np.ndarray


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a chain.

    Attributes:
        doc_id: the document that the step leads to.
        similarity: similarity to the previous document.
        equal: whether both have the same bytes.
    """

    doc_id: int
    similarity: float
    equal: bool


def chain(edges: EdgeArrays, start: int, end: int) -> tuple[Link, ...] | None:
    """The fewest verified pairs from one document to another.

    A breadth-first search, linear in the edges. Of several shortest chains it returns the one that
    is smallest by document ids, compared from the start, whatever the order of the edges.

    Returns:
        The steps, the last of which leads to ``end``; empty where ``start`` is ``end``; None where
        no chain connects the two.
    """
    if start == end:
        return ()
    graph = _Graph.of(edges)
    first, last = graph.place(start), graph.place(end)
    if first is None or last is None:
        return None
    distance = _distances(graph, last, first)
    if first not in distance:
        return None
    links, node = [], first
    while node != last:
        closer = (n for n in graph.neighbours(node) if distance.get(n) == distance[node] - 1)
        nearest = min(closer)
        links.append(graph.link(node, nearest))
        node = nearest
    return tuple(links)


def _distances(graph: _Graph, origin: int, target: int) -> dict[int, int]:
    """Distance from the origin of the target and of all nodes nearer than it, in steps."""
    distance = {origin: 0}
    waiting = deque([origin])
    while waiting and target not in distance:
        node = waiting.popleft()
        for other in graph.neighbours(node):
            if other not in distance:
                distance[other] = distance[node] + 1
                waiting.append(other)
    return distance


@dataclass(frozen=True, slots=True)
class _Graph:
    """Neighbours by node, as compressed sparse rows; nodes are indices into ``ids``.

    Attributes:
        ids: int64[n], ascending.
        offsets: int64[n + 1]; neighbours of node i are at ``offsets[i]:offsets[i + 1]``.
        others: int64[2 m], the neighbours.
        pairs: int64[2 m], the edge to each neighbour.
        edges: the edges.
    """

    ids: np.ndarray
    offsets: np.ndarray
    others: np.ndarray
    pairs: np.ndarray
    edges: EdgeArrays

    @classmethod
    def of(cls, edges: EdgeArrays) -> _Graph:
        ids, ends = np.unique(np.concatenate([edges.a, edges.b]), return_inverse=True)
        other = np.roll(ends, len(edges.a))
        order = np.argsort(ends, kind="stable")
        offsets = np.searchsorted(ends[order], np.arange(len(ids) + 1))
        return cls(ids, offsets, other[order], order % max(1, len(edges.a)), edges)

    def place(self, doc_id: int) -> int | None:
        at = int(np.searchsorted(self.ids, doc_id))
        return at if at < len(self.ids) and self.ids[at] == doc_id else None

    def neighbours(self, node: int) -> list[int]:
        found: list[int] = self.others[self.offsets[node] : self.offsets[node + 1]].tolist()
        return found

    def link(self, node: int, other: int) -> Link:
        """The step between two neighbours; the most similar pair where several edges join them."""
        span = slice(self.offsets[node], self.offsets[node + 1])
        pairs = self.pairs[span][self.others[span] == other]
        return Link(
            doc_id=int(self.ids[other]),
            similarity=float(self.edges.similarity[pairs].max()),
            equal=bool(self.edges.equal[pairs].any()),
        )
