"""The chain of verified pairs that leads from a document to the survivor of its cluster."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

__all__ = ["EdgeArrays", "Link", "chain"]


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
        similarity: to the document before it.
        equal: whether both have the same bytes.
    """

    doc_id: int
    similarity: float
    equal: bool


def chain(edges: EdgeArrays, start: int, end: int) -> tuple[Link, ...] | None:
    """The fewest verified pairs from one document to another.

    A breadth-first search, linear in the edges. Of several shortest chains it gives the one that
    is smallest by the documents' ids, read from the start, whatever the order of the edges.

    Returns:
        The steps, the last of which leads to ``end``; none where ``start`` is ``end``; None where
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
    """Steps from the origin of all nodes that are nearer than the target, and of the target."""
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
    """Neighbours by node, in compressed rows; nodes are places in ``ids``.

    Attributes:
        ids: int64[n], ascending.
        offsets: int64[n + 1]; neighbours of node i are at ``offsets[i]:offsets[i + 1]``.
        others: int64[2 m], the neighbours.
        pairs: int64[2 m], the edge of each.
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
        """The step between two neighbours; the strongest where several edges join them."""
        span = slice(self.offsets[node], self.offsets[node + 1])
        pairs = self.pairs[span][self.others[span] == other]
        return Link(
            doc_id=int(self.ids[other]),
            similarity=float(self.edges.similarity[pairs].max()),
            equal=bool(self.edges.equal[pairs].any()),
        )
