"""Edges without repetition, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from strata.pipelines.kernels.buckets import Edges

__all__ = ["EdgeSet"]

# Bands find the same pair again and again; so many rows wait before repetitions are dropped, at
# some 60 bytes each while they are sorted.
WAITING_EDGES = 2_000_000


class EdgeSet:
    """Collects edges, drops what repeats, and passes on what gets too many.

    Args:
        spill: takes edges, each once and in ascending order of (a, b). A pair that comes again
            after it was passed on is passed on again.
        waiting: edges that are held at most, but for the ones that come last.
    """

    def __init__(self, spill: Callable[[Edges], None], waiting: int = WAITING_EDGES) -> None:
        self._spill = spill
        self._waiting = waiting
        self._parts: list[Edges] = []
        self._count = 0

    def add(self, edges: Edges) -> None:
        """Add edges, in any order."""
        if len(edges.a):
            self._parts.append(edges)
            self._count += len(edges.a)
        if self._count > self._waiting:
            self._parts = [_distinct(self._parts)]
            self._count = len(self._parts[0].a)
            # Dropping repetitions sorts all edges, so it must not come back at every batch.
            if 2 * self._count > self._waiting:
                self.finish()

    def finish(self) -> None:
        """Pass on what is left."""
        if self._parts:
            self._spill(_distinct(self._parts))
        self._parts, self._count = [], 0


def _distinct(parts: list[Edges]) -> Edges:
    a = np.concatenate([part.a for part in parts])
    b = np.concatenate([part.b for part in parts])
    similarity = np.concatenate([part.similarity for part in parts])
    order = np.lexsort((b, a))
    a, b, similarity = a[order], b[order], similarity[order]
    first = np.ones(len(a), bool)
    first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
    return Edges(a[first], b[first], similarity[first])
