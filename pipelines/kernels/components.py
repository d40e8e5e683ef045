"""Connected components of the duplicate graph, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Components", "components", "scramble", "unscramble"]

_STEP: Final = 0x9E3779B97F4A7C15
# Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014, figure 16.
_FACTORS: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS: Final = (np.uint64(30), np.uint64(27), np.uint64(31))
_INVERSES: Final = tuple(np.uint64(pow(int(factor), -1, 2**64)) for factor in _FACTORS)


@dataclass(frozen=True, slots=True)
class Components:
    """Every node with an edge, and its component.

    Attributes:
        nodes: int64[n], ascending, each once.
        root: int64[n], the smallest node of the component of ``nodes[i]``.
    """

    nodes: NDArray[np.int64]
    root: NDArray[np.int64]


def components(a: NDArray[np.int64], b: NDArray[np.int64]) -> Components:
    """Components of the undirected graph with the edges ``a[i] - b[i]``, both int64[m].

    Edges may repeat, in either direction. Takes about 60 bytes per edge.
    """
    # Without edges, a run is spared the half second that SciPy takes to load.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes, index = np.unique(np.concatenate((a, b)), return_inverse=True)
    graph = coo_array(
        (np.ones(len(a), dtype=np.int8), (index[: len(a)], index[len(a) :])),
        shape=(len(nodes), len(nodes)),
    )
    count, labels = connected_components(graph, directed=False)
    first = np.full(count, len(nodes), dtype=np.int64)
    np.minimum.at(first, labels, np.arange(len(nodes)))
    return Components(nodes.astype(np.int64), nodes[first[labels]].astype(np.int64))


def scramble(nodes: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """Other names for nodes, int64[n] -> int64[n]: a bijection for each ``order``; 0 changes none.

    The order of the new names is as good as random (splitmix64).
    """
    if order == 0:
        return nodes
    x = nodes.view(np.uint64) ^ _offset(order)
    for shift, factor in zip(_SHIFTS, _FACTORS, strict=False):
        x = (x ^ (x >> shift)) * factor
    names: NDArray[np.int64] = (x ^ (x >> _SHIFTS[-1])).view(np.int64)
    return names


def unscramble(names: NDArray[np.int64], order: int) -> NDArray[np.int64]:
    """The nodes of names that `scramble` gave in this order."""
    if order == 0:
        return names
    x = _unshift(names.view(np.uint64), _SHIFTS[-1])
    for shift, inverse in zip(_SHIFTS[1::-1], _INVERSES[::-1], strict=True):
        x = _unshift(x * inverse, shift)
    nodes: NDArray[np.int64] = (x ^ _offset(order)).view(np.int64)
    return nodes


def _offset(order: int) -> np.uint64:
    return np.uint64(order * _STEP % 2**64)


def _unshift(y: NDArray[np.uint64], shift: np.uint64) -> NDArray[np.uint64]:
    """The x with ``y = x ^ (x >> shift)``; three steps undo any shift above 21."""
    x: NDArray[np.uint64] = y ^ (y >> shift) ^ (y >> (shift * np.uint64(2)))
    return x
