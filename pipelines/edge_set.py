"""Edges without repetition, in memory that follows the distinct ones."""

from __future__ import annotations

import numpy as np

from strata.pipelines.kernels.buckets import Edges

__all__ = ["EdgeSet"]

# Bands find the same pair again and again; so many rows wait before repetitions are dropped.
WAITING_EDGES = 2_000_000


class EdgeSet:
    """Collects edges; the same pair counts once."""

    def __init__(self, waiting: int = WAITING_EDGES) -> None:
        self._waiting = waiting
        self._limit = waiting
        self._parts: list[Edges] = []
        self._count = 0

    def add(self, edges: Edges) -> None:
        """Add edges, in any order."""
        if len(edges.a):
            self._parts.append(edges)
            self._count += len(edges.a)
        if self._count > self._limit:
            self._parts = [self.distinct()]
            self._count = len(self._parts[0].a)
            # Dropping repetitions sorts all edges, so it must not come back at every batch.
            self._limit = max(self._waiting, 2 * self._count)

    def distinct(self) -> Edges:
        """Every pair once, in ascending order of (a, b)."""
        if not self._parts:
            return Edges(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        a = np.concatenate([part.a for part in self._parts])
        b = np.concatenate([part.b for part in self._parts])
        similarity = np.concatenate([part.similarity for part in self._parts])
        order = np.lexsort((b, a))
        a, b, similarity = a[order], b[order], similarity[order]
        first = np.ones(len(a), bool)
        first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        return Edges(a[first], b[first], similarity[first])
