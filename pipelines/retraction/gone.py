"""The documents that a retraction takes out: single ones, and whole input files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strata.pipelines.readers.records import POSITION_BITS

__all__ = ["DocumentSet"]


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """Documents by number, and all documents of some input files.

    Attributes:
        ids: int64[n], ascending, each once.
        ordinals: int64[m], numbers of input files, ascending, each once.
    """

    ids: NDArray[np.int64]
    ordinals: NDArray[np.int64]

    @classmethod
    def of(cls, ids: Iterable[int], ordinals: Iterable[int] = ()) -> DocumentSet:
        """These documents, and those of these input files."""
        return cls(_distinct(ids), _distinct(ordinals))

    def __bool__(self) -> bool:
        return bool(len(self.ids) or len(self.ordinals))

    def contains(self, doc_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these documents go: int64[k] -> bool[k]."""
        held: NDArray[np.bool_] = np.isin(doc_ids, self.ids)
        if len(self.ordinals):
            held |= np.isin(doc_ids >> POSITION_BITS, self.ordinals)
        return held

    def overlaps(self, low: int, high: int) -> bool:
        """Whether a document between ``low`` and ``high``, both included, may go."""
        return _any_between(self.ids, low, high) or _any_between(
            self.ordinals, low >> POSITION_BITS, high >> POSITION_BITS
        )

    def plus(self, ids: NDArray[np.int64]) -> DocumentSet:
        """The same, and these documents."""
        return DocumentSet(np.union1d(self.ids, ids), self.ordinals)


def _distinct(values: Iterable[int]) -> NDArray[np.int64]:
    listed = values if isinstance(values, np.ndarray) else list(values)
    return np.unique(np.asarray(listed, np.int64))


def _any_between(values: NDArray[np.int64], low: int, high: int) -> bool:
    return bool(np.searchsorted(values, high, "right") > np.searchsorted(values, low))
