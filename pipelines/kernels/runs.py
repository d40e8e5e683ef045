"""Runs of equal values in sorted columns, and removal of repetitions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["distinct_pairs", "repeated", "run_starts"]


def run_starts(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Which rows differ from the row before in some column, the first row among them: bool[n]."""
    first, *others = columns
    starts = np.ones(len(first), np.bool_)
    np.not_equal(first[1:], first[:-1], out=starts[1:])
    for column in others:
        starts[1:] |= column[1:] != column[:-1]
    return starts


def repeated(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of some sorted values occur more than once: bool[n]."""
    same = np.zeros(len(values) + 1, np.bool_)
    # Between two rows, with none before the first and none after the last.
    np.equal(values[1:], values[:-1], out=same[1:-1])
    return same[1:] | same[:-1]


def distinct_pairs(
    a: NDArray[np.int64], b: NDArray[np.int64], *preference: NDArray[Any]
) -> NDArray[np.int64]:
    """One row for every distinct pair, in ascending order of (a, b): int64[m].

    Args:
        a: int64[n].
        b: int64[n].
        preference: columns of length n that choose among the rows of a pair, most important first:
            the smallest counts, and of equal ones the first row.
    """
    order = np.lexsort((*reversed(preference), b, a))
    return order[run_starts(a[order], b[order])]
